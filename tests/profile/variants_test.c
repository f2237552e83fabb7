/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles of the additive rule: variants and labels, in memory and in files.
 */
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/op.h>
#include <dawnpiper/profile.h>
#include <math.h>

static const struct dawn_layer_fns fns;

static const struct dawn_node_variant two[] = {
    {"vanilla", 1.5, 0.25, 1e15},
    {"activation recomp", 2, 0, 0.1},
};

/* Two nodes, a -> b, of 1.5 ns. */
static struct dawn_profile *chain(int sizes, bool saves)
{
    const char *const name[] = {"a", "b"};
    const int64_t size[] = {1, 2};
    struct dawn_graph *g = NULL;
    struct dawn_profile *p = NULL;

    dawn_graph_create("chain", &g, NULL);
    for (int i = 0; i < 2; i++) {
        struct dawn_param_desc w = {.name = name[i], .dims = 1, .shape = {1}};
        struct dawn_tensor_desc out = {.name = name[i], .batched = true};
        int from = i - 1, param = dawn_graph_add_param(g, &w);
        dawn_graph_add_node(g, &(struct dawn_node_desc){.name = name[i],
                                                        .op = "layer",
                                                        .inputs = i,
                                                        .input = &from,
                                                        .params = 1,
                                                        .param = &param,
                                                        .outputs = 1,
                                                        .output = &out,
                                                        .save_outputs = saves,
                                                        .fns = &fns});
    }
    if (dawn_graph_finish(g, NULL) ||
        dawn_profile_create(
            g, &(struct dawn_profile_desc){"published", NULL, sizes, size}, &p,
            NULL))
        abort();
    for (int i = 0; i < 2 * sizes; i++) {
        struct dawn_node_cost *c = dawn_profile_cost(p, i / sizes, i % sizes);
        c->ns[0] = 0.5;
        c->ns[1] = 1;
    }
    return p;
}

static void test_set(void)
{
    struct dawn_profile *p = chain(1, true);
    uint64_t digest = dawn_profile_digest(p);
    struct dawn_error err;

    ok(!dawn_profile_additive(p) && dawn_profile_variants(p, 0) == 0 &&
           !dawn_profile_variant(p, 0, 0) && !dawn_profile_label(p, 0),
       "at first no node has variants or a label");
    is_int(dawn_profile_set_variants(p, 0, 2, two, &err), DAWN_OK,
           "a node takes two variants");
    ok(!dawn_profile_additive(p), "one node of two does not make it additive");
    is_int(dawn_profile_save(p, scratch_path("half.yaml"), &err), DAWN_E_INVAL,
           "nor is it saved: %s", err.text);
    is_int(dawn_profile_set_variants(p, 1, 1, two, &err), DAWN_OK,
           "the other takes one");
    ok(dawn_profile_additive(p), "now it is additive");
    is_int(dawn_profile_set_variants(p, 0, 1, two + 1, &err), DAWN_OK,
           "variants are replaced");
    is_str(dawn_profile_variant(p, 0, 0)->name, "activation recomp",
           "by the new one");
    ok(!dawn_profile_variant(p, 0, 1) && !dawn_profile_variant(p, 2, 0) &&
           !dawn_profile_variant(p, -1, 0),
       "out of range there is none");
    ok(dawn_profile_digest(p) != digest, "variants change the digest");
    digest = dawn_profile_digest(p);
    is_int(dawn_profile_set_label(p, 1, "ReLU()", &err), DAWN_OK,
           "a node takes a label");
    ok(dawn_profile_digest(p) != digest, "which changes the digest too");
    dawn_profile_destroy(p);
}

static void test_set_bad(void)
{
    static const struct {
        int node, variants;
        struct dawn_node_variant variant[3];
    } bad[] = {
        {2, 1, {{"v", 1, 1, 1}}},
        {-1, 1, {{"v", 1, 1, 1}}},
        {0, 0, {{"v", 1, 1, 1}}},
        {0, 3, {{"v", 1, 1, 1}, {"v", 1, 1, 1}, {"v", 1, 1, 1}}},
        {0, 1, {{NULL, 1, 1, 1}}},
        {0, 1, {{"v", -1, 1, 1}}},
        {0, 1, {{"v", 1, (double)NAN, 1}}},
        {0, 2, {{"v", 1, 1, 1}, {"w", 1, 1, (double)INFINITY}}},
    };
    struct dawn_profile *p = chain(1, true);
    struct dawn_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(dawn_profile_set_variants(p, bad[i].node, bad[i].variants,
                                     bad[i].variant, &err) == DAWN_E_INVAL &&
               dawn_profile_variants(p, 0) == 0,
           "refused: %s", err.text);
    is_int(dawn_profile_set_label(p, 2, "x", &err), DAWN_E_INVAL, "refused: %s",
           err.text);
    dawn_profile_destroy(p);
}

static struct dawn_profile *additive(void)
{
    struct dawn_profile *p = chain(1, true);

    dawn_profile_set_variants(p, 0, 2, two, NULL);
    dawn_profile_set_variants(p, 1, 1, two, NULL);
    dawn_profile_set_label(p, 0, "Conv2d(3, 64): \"first\"", NULL);
    return p;
}

static void test_round_trip(void)
{
    struct dawn_profile *p = additive(), *q = NULL;
    struct dawn_error err = {0};

    dawn_profile_save(p, scratch_path("p.yaml"), &err);
    is_int(dawn_profile_load(scratch_path("p.yaml"), &q, &err), DAWN_OK,
           "it is saved and loaded %s", err.text);
    is_u64(dawn_profile_digest(q), dawn_profile_digest(p),
           "with the same digest");
    ok(dawn_profile_additive(q) && dawn_profile_variants(q, 0) == 2,
       "and all variants");
    const struct dawn_node_variant *v = dawn_profile_variant(q, 0, 0);
    ok(v->ns == 1.5 && v->saved_bytes == 0.25 && v->fixed_bytes == 1e15,
       "fractions come back to the bit");
    is_str(dawn_profile_label(q, 0), "Conv2d(3, 64): \"first\"",
           "labels come back");
    ok(!dawn_profile_label(q, 1), "where there are any");
    dawn_profile_save(q, scratch_path("q.yaml"), &err);
    char *a = scratch_read("p.yaml"), *b = scratch_read("q.yaml");
    ok(a && b && !strcmp(a, b), "saved again, it gives the same bytes");
    free(a);
    free(b);
    dawn_profile_destroy(p);
    dawn_profile_destroy(q);
}

/* A replacement in the saved text. */
static const struct {
    const char *from, *to, *wanted;
} bad[] = {
    {"ns: 1.5,", "ns: -1.5,", "key 'ns': expected a number from 0 to 1.0e+18"},
    {"ns: 1.5,", "ns: .inf,", "key 'ns': expected a number"},
    {"ns: 1.5, ", "", "key 'ns'"},
    {"saved_bytes: 0.25", "saved: 0.25", "unknown key 'saved'"},
    {"name: vanilla", "name: [vanilla]", "key 'name'"},
    {"  - {name: vanilla, ns: 1.5, saved_bytes: 0.25, fixed_bytes: "
     "1000000000000000}\n  - {name: \"activation recomp\", ns: 2, saved_bytes: "
     "0, "
     "fixed_bytes: 0.1}\n",
     "", "key 'variants'"},
    {"  variants:\n  - {name: vanilla, ns: 1.5, saved_bytes: 0.25, "
     "fixed_bytes: 1000000000000000}\n  - {name: \"activation recomp\", ns: 2, "
     "saved_bytes: 0, fixed_bytes: 0.1}\n",
     "", "node 'a' has no variants, others have: all or none"},
    {"label: \"Conv2d(3, 64): \\\"first\\\"\"", "label: [x]", "key 'label'"},
    {"microbatches: [1]", "microbatches: [1, 2]", "key 'cost': 1 rows"},
    {"- {ns: [0.5, 1, 0]}", "- {ns: [0.5, 2, 0]}",
     "node 'a': its F, B and W are not what its first variant takes"},
    {"label: \"Conv2d(3, 64): \\\"first\\\"\"", "abstract: 1",
     "key 'abstract'"},
};

static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *out = NULL;

    if (!at || asprintf(&out, "%.*s%s%s", (int)(at - text), text, to,
                        at + strlen(from)) < 0)
        return NULL;
    return out;
}

static void test_read_bad(void)
{
    struct dawn_profile *p = additive(), *q = NULL;
    struct dawn_error err;

    dawn_profile_save(p, scratch_path("p.yaml"), &err);
    dawn_profile_destroy(p);
    char *text = scratch_read("p.yaml");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *broken = replaced(text, bad[i].from, bad[i].to);
        if (!ok(broken != NULL, "'%s' is in the file", bad[i].from)) {
            diag("%s", text);
            continue;
        }
        scratch_write("bad.yaml", broken);
        int st = dawn_profile_load(scratch_path("bad.yaml"), &q, &err);
        if (!ok(st == DAWN_E_FORMAT && !q && strstr(err.text, "/bad.yaml:") &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("status %d, wanted %s", st, bad[i].wanted);
        free(broken);
    }
    free(text);
}

/* What one microbatch takes cannot be of two sizes. */
static void test_sizes(void)
{
    struct dawn_profile *p = chain(2, true);
    struct dawn_error err;

    dawn_profile_set_variants(p, 0, 1, two, &err);
    dawn_profile_set_variants(p, 1, 1, two, &err);
    is_int(dawn_profile_save(p, scratch_path("two.yaml"), &err), DAWN_E_INVAL,
           "refused: %s", err.text);
    dawn_profile_destroy(p);
}

/* A decision is about what backward needs. */
static void test_no_decision(void)
{
    struct dawn_profile *p = chain(1, false);
    struct dawn_error err;

    dawn_profile_set_variants(p, 0, 2, two, &err);
    dawn_profile_set_variants(p, 1, 1, two, &err);
    is_int(dawn_profile_save(p, scratch_path("none.yaml"), &err), DAWN_E_INVAL,
           "refused: %s", err.text);
    dawn_profile_destroy(p);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_set();
    test_set_bad();
    test_round_trip();
    test_read_bad();
    test_sizes();
    test_no_decision();
    return done_testing();
}
