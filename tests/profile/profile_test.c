/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles: round trips, sizes, and what is refused. */
#include "common/clock.h"
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/job.h>
#include <dawnpiper/op.h>
#include <dawnpiper/profile.h>
#include <math.h>

static int forward(void *user, const struct dawn_op_args *args)
{
    return 0;
}

static const struct dawn_layer_fns fns = {.forward = forward};

static struct dawn_tensor_desc tensor(const char *name, enum dawn_dtype dtype,
                                      bool batched, int dims)
{
    return (struct dawn_tensor_desc){.name = name,
                                     .dtype = dtype,
                                     .batched = batched,
                                     .dims = dims,
                                     .shape = {4, 3, 2}};
}

/* Everything that a graph can have: a late input, a user's layer with two
 * outputs, flags, attributes, a tied parameter. */
static struct dawn_graph *odd_graph(void)
{
    struct dawn_tensor_desc x = tensor("x", DAWN_F32, true, 1);
    struct dawn_tensor_desc mask = tensor("mask", DAWN_U8, false, 2);
    struct dawn_tensor_desc loss = tensor("loss", DAWN_F32, false, 0);
    struct dawn_tensor_desc out[2] = {tensor("a", DAWN_BF16, true, 3),
                                      tensor("a.stats", DAWN_F32, true, 1)};
    struct dawn_attr attr[2] = {{"p", 0.1}, {"big", 1e300}};
    struct dawn_graph *g = NULL;

    out[1].no_grad = true;
    dawn_graph_create("odd graph: \"1\"", &g, NULL);
    dawn_graph_add_input(g, &x);
    int w = dawn_graph_add_param(
        g, &(struct dawn_param_desc){.name = "w",
                                     .dims = 2,
                                     .shape = {4, 3},
                                     .init = DAWN_INIT_NORMAL,
                                     .std = 0.02,
                                     .decay = true});
    int s = dawn_graph_add_param(
        g, &(struct dawn_param_desc){
               .name = "s", .dims = 1, .shape = {4}, .average = 0.1});
    dawn_graph_add_node(g,
                        &(struct dawn_node_desc){
                            .name = "a",
                            .op = "layer",
                            .inputs = 1,
                            .input = (int[]){0},
                            .params = 2,
                            .param = (int[]){w, s},
                            .outputs = 2,
                            .output = out,
                            .save_inputs = 1,
                            .save_outputs = 2,
                            .flags = DAWN_NODE_INPLACE | DAWN_NODE_GRAD_INPLACE,
                            .attrs = 2,
                            .attr = attr,
                            .flops = {1, 2, 3.5},
                            .fns = &fns});
    dawn_graph_add_input(g, &mask);
    dawn_graph_add_node(g, &(struct dawn_node_desc){
                               .name = "b",
                               .op = "layer",
                               .inputs = 2,
                               .input = (int[]){dawn_graph_output(g, 0, 0), 3},
                               .params = 1,
                               .param = &w,
                               .outputs = 1,
                               .output = &loss,
                               .flags = DAWN_NODE_GRAD_PASS,
                               .fns = &fns});
    dawn_graph_set_loss(g, dawn_graph_find_tensor(g, "loss"));
    if (dawn_graph_finish(g, NULL))
        abort();
    return g;
}

static struct dawn_profile *make(struct dawn_graph *graph)
{
    const int64_t size[] = {1, 2, 16};
    struct dawn_profile *p = NULL;

    if (dawn_profile_create(graph,
                            &(struct dawn_profile_desc){
                                "host", "a processor, 2 threads", 3, size},
                            &p, NULL))
        abort();
    for (int n = 0; n < dawn_graph_nodes(graph); n++)
        for (int i = 0; i < 3; i++)
            *dawn_profile_cost(p, n, i) = (struct dawn_node_cost){
                .ns = {1000.5 * n + i, 0.1 + n, 1e9 / 3},
                .spread_ns = {i, 0, n / 7.0},
                .scratch_bytes = {(uint64_t)n << 33, 64, 0},
                .update_ns = n * 1.5,
                .prepared_bytes = (uint64_t)n * 64};
    return p;
}

static void test_round_trip(struct dawn_graph *graph, const char *what)
{
    uint64_t digest = dawn_graph_digest(graph);
    struct dawn_profile *p = make(graph), *q = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(dawn_profile_save(p, scratch_path("p.yaml"), &err), DAWN_OK,
           "%s is saved %s", what, err.text);
    is_int(dawn_profile_load(scratch_path("p.yaml"), &q, &err), DAWN_OK,
           "and loaded %s", err.text);
    if (!q) {
        dawn_profile_destroy(p);
        return;
    }
    is_u64(dawn_graph_digest(dawn_profile_graph(q)), digest,
           "its graph has the same digest");
    is_u64(dawn_profile_digest(q), dawn_profile_digest(p), "and it too");
    int last = dawn_graph_nodes(graph) - 1;
    ok(!memcmp(dawn_profile_cost_of(p, last, 2),
               dawn_profile_cost_of(q, last, 2), sizeof(struct dawn_node_cost)),
       "costs come back to the bit");
    ok(dawn_graph_node(dawn_profile_graph(q), 0)->flops[2] ==
           dawn_graph_node(graph, 0)->flops[2],
       "so do flops");
    dawn_profile_save(q, scratch_path("q.yaml"), &err);
    char *a = scratch_read("p.yaml"), *b = scratch_read("q.yaml");
    ok(a && b && !strcmp(a, b), "saved again, it gives the same bytes");
    free(a);
    free(b);
    dawn_profile_cost(q, 0, 0)->ns[0] += 1;
    ok(dawn_profile_digest(q) != dawn_profile_digest(p),
       "another cost gives another digest");
    dawn_profile_destroy(p);
    dawn_profile_destroy(q);
}

static struct dawn_graph *gpt2(int layers)
{
    struct dawn_model_opts opts = {.preset = "gpt2",
                                   .layers = layers,
                                   .hidden = 16,
                                   .heads = 2,
                                   .context = 8,
                                   .vocab = 32,
                                   .fused_attention = true,
                                   .dropout = 0.1,
                                   .dtype = DAWN_BF16};
    struct dawn_graph *g = NULL;

    if (dawn_model_build(&opts, &g, NULL))
        abort();
    return g;
}

static void test_large(void)
{
    struct dawn_profile *p = make(gpt2(833)), *q = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    uint64_t start = dawni_now_ns();

    dawn_profile_save(p, scratch_path("large.yaml"), &err);
    uint64_t saved = dawni_now_ns();
    dawn_profile_load(scratch_path("large.yaml"), &q, &err);
    uint64_t loaded = dawni_now_ns();
    ok(q && dawn_profile_digest(q) == dawn_profile_digest(p),
       "%d nodes are saved and loaded %s",
       dawn_graph_nodes(dawn_profile_graph(p)), err.text);
    diag("saved in %.3f s, loaded in %.3f s", (double)(saved - start) / 1e9,
         (double)(loaded - saved) / 1e9);
    dawn_profile_destroy(p);
    dawn_profile_destroy(q);
}

static void test_access(void)
{
    struct dawn_profile *p = make(odd_graph());

    is_int(dawn_profile_sizes(p), 3, "there are three sizes");
    is_int(dawn_profile_size(p, 2), 16, "the last is 16");
    is_int(dawn_profile_size(p, 3), 0, "there is none after it");
    is_int(dawn_profile_find_size(p, 2), 1, "a size is found");
    is_int(dawn_profile_find_size(p, 3), -1, "one not profiled is not");
    ok(!dawn_profile_cost(p, 2, 0) && !dawn_profile_cost(p, -1, 0) &&
           !dawn_profile_cost_of(p, 0, 3),
       "out of range there is no cost");
    is_str(dawn_profile_device(p), "host", "device");
    is_str(dawn_profile_description(p), "a processor, 2 threads",
           "description");
    dawn_profile_destroy(p);
    dawn_profile_destroy(NULL);
}

/* Sizes 4, 8 and 16; forward takes 10, 18 and 42, W less the more samples. */
static struct dawn_profile *three_sizes(void)
{
    static const int64_t size[] = {4, 8, 16};
    struct dawn_profile_desc desc = {"host", NULL, 3, size};
    struct dawn_profile *p = NULL;

    dawn_profile_create(odd_graph(), &desc, &p, NULL);
    for (int i = 0; i < 3; i++)
        *dawn_profile_cost(p, 0, i) = (struct dawn_node_cost){
            .ns = {(double[]){10, 18, 42}[i], 0, 9 - i},
            .scratch_bytes = {(uint64_t[]){64, 256, 128}[i], 640,
                              (uint64_t[]){0, 64, 128}[i]},
            .update_ns = 5,
            .prepared_bytes = 192};
    return p;
}

static void test_other_sizes(void)
{
    static const struct {
        int64_t size;
        double f, w;
        uint64_t f_scratch, w_scratch;
        int64_t low, high;
    } want[] = {
        {4, 10, 9, 64, 0, 4, 4},       {6, 14, 8.5, 256, 64, 4, 8},
        {8, 18, 8, 256, 64, 8, 8},     {10, 24, 7.75, 256, 128, 8, 16},
        {16, 42, 7, 128, 128, 16, 16}, {20, 54, 7, 128, 192, 8, 16},
        {32, 90, 7, 128, 256, 8, 16},  {2, 6, 9, 64, 0, 4, 8},
    };
    struct dawn_profile *p = three_sizes();
    struct dawn_node_cost c;
    int64_t near[2];

    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        ok(dawn_profile_cost_at(p, 0, want[i].size, &c) &&
               dawn_profile_near(p, want[i].size, near) &&
               near[0] == want[i].low && near[1] == want[i].high,
           "%d samples lie at %d and %d", (int)want[i].size, (int)want[i].low,
           (int)want[i].high);
        is_near(c.ns[0], want[i].f, 1e-9, "time on a line");
        is_near(c.ns[2], want[i].w, 1e-9, "that never falls beyond the ends");
        is_u64(c.scratch_bytes[0], want[i].f_scratch,
               "scratch of the larger one");
        is_u64(c.scratch_bytes[2], want[i].w_scratch, "or extrapolated");
        ok(c.scratch_bytes[1] == 640 && c.update_ns == 5 &&
               c.prepared_bytes == 192,
           "what does not depend on samples stays");
    }
    ok(!dawn_profile_cost_at(p, 0, 0, &c) && !dawn_profile_cost_at(p, 9, 4, &c),
       "no samples and no node have no cost");
    dawn_profile_destroy(p);
    static const int64_t one = 4;
    dawn_profile_create(odd_graph(),
                        &(struct dawn_profile_desc){"host", NULL, 1, &one}, &p,
                        NULL);
    ok(dawn_profile_cost_at(p, 0, 4, &c) && !dawn_profile_cost_at(p, 0, 5, &c),
       "from one size nothing follows for others");
    dawn_profile_destroy(p);
}

static void test_create_bad(void)
{
    const struct {
        int sizes;
        int64_t size[3];
    } row[] = {{0, {0}}, {1, {0}}, {2, {2, 2}}, {3, {1, 4, 3}}, {65, {1}}};
    struct dawn_graph *g = odd_graph();
    struct dawn_profile *p = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ok(dawn_profile_create(g,
                               &(struct dawn_profile_desc){
                                   "host", NULL, row[i].sizes, row[i].size},
                               &p, &err) == DAWN_E_INVAL &&
               !p,
           "refused: %s", err.text);
    dawn_graph_destroy(g);
}

static void test_save_fails(void)
{
    struct dawn_profile *p = make(odd_graph());
    struct dawn_error err;

    scratch_write("kept.yaml", "kept");
    dawn_profile_cost(p, 0, 0)->ns[0] = NAN;
    is_int(dawn_profile_save(p, scratch_path("kept.yaml"), &err),
           DAWN_E_NUMERIC, "a NaN is not saved: %s", err.text);
    char *text = scratch_read("kept.yaml");
    is_str(text, "kept", "the file that was there is untouched");
    free(text);
    dawn_profile_destroy(p);
}

/* A replacement in the saved text of the odd graph's profile. */
static const struct {
    const char *from, *to, *wanted;
    enum dawn_status status;
} bad[] = {
    {"dawn: profile/1", "dawn: profile/9", ":1: key 'dawn': expected profile/1",
     DAWN_E_FORMAT},
    {"device: host", "devise: host",
     "unknown key 'devise'; did you mean "
     "'device'?",
     DAWN_E_FORMAT},
    {"std: 0.02", "std: 0.03", "digest xxh3:", DAWN_E_MISMATCH},
    {"save_in: [0]", "save_in: []", "digest xxh3:", DAWN_E_MISMATCH},
    {"p: 0.1", "p: 0.2", "digest xxh3:", DAWN_E_MISMATCH},
    {"microbatches: [1, 2, 16]", "microbatches: [1, 2]",
     "3 rows, one for each of the 2 microbatch sizes", DAWN_E_FORMAT},
    {"microbatches: [1, 2, 16]", "microbatches: [1, 2, 2]",
     ":4: microbatch sizes must be >= 1 and ascend", DAWN_E_FORMAT},
    {"microbatches: [1, 2, 16]", "microbatches: []",
     ":4: 0 microbatch sizes, must be", DAWN_E_FORMAT},
    {"in: [x]", "in: [y]", "no tensor 'y' before here", DAWN_E_FORMAT},
    {"in: [x]", "in: [[x]]", "key 'in': expected a name, found a list",
     DAWN_E_FORMAT},
    {"params: [w]", "params: [v]", "no parameter 'v'", DAWN_E_FORMAT},
    {"save_in: [0]", "save_in: [1]", "expected the integer 0, found '1'",
     DAWN_E_FORMAT},
    {"dtype: bf16", "dtype: f16",
     "key 'dtype': expected f32, bf16, i32 or u8, "
     "found 'f16'",
     DAWN_E_FORMAT},
    {"shape: [4, 3, 2]", "shape: [4, 0]", "expected an integer from 1 to",
     DAWN_E_FORMAT},
    {"shape: [4, 3, 2]", "shape: [1, 1, 1, 1, 1, 1, 1]", "7 extents, at most 6",
     DAWN_E_FORMAT},
    {"shape: [4, 3, 2]", "shape: [1000000000, 1000000000]", "'a' has extent",
     DAWN_E_FORMAT},
    {"- name: b", "- name: a", "have the name 'a'", DAWN_E_FORMAT},
    {"- name: b", "- name: b c", "only letters", DAWN_E_FORMAT},
    {"op: layer", "op: layer\n  ap: 1", "unknown key 'ap'", DAWN_E_FORMAT},
    {"after_nodes: 1", "after_nodes: 2", "no tensor 'mask' before here",
     DAWN_E_FORMAT},
    {"after_nodes: 1", "after_nodes: 3", "no tensor 'mask'", DAWN_E_FORMAT},
    {"loss: loss", "loss: lost", ":8: no tensor 'lost'", DAWN_E_FORMAT},
    {"loss: loss", "loss: a", "'a' is no scalar f32", DAWN_E_FORMAT},
    {"flops: [1, 2, 3.5]", "flops: [1, 2]", "key 'flops': expected 3 numbers",
     DAWN_E_FORMAT},
    {"- {ns: [0,", "- {ns: [-1,",
     "key 'ns': expected a number from 0 to 1.0e+18, found '-1'",
     DAWN_E_FORMAT},
    {"- {ns: [0,", "- {ms: [0,", "unknown key 'ms'; did you mean 'ns'?",
     DAWN_E_FORMAT},
    {"inplace: true", "inplace: 1", "expected true or false", DAWN_E_FORMAT},
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

static void test_bad(void)
{
    struct dawn_profile *p = make(odd_graph()), *q = NULL;
    struct dawn_error err;

    dawn_profile_save(p, scratch_path("p.yaml"), &err);
    dawn_profile_destroy(p);
    char *text = scratch_read("p.yaml");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *broken = replaced(text, bad[i].from, bad[i].to);
        if (!ok(broken != NULL, "'%s' is in the file", bad[i].from))
            continue;
        scratch_write("bad.yaml", broken);
        int st = dawn_profile_load(scratch_path("bad.yaml"), &q, &err);
        if (!ok(st == (int)bad[i].status && !q &&
                    strstr(err.text, "/bad.yaml:") &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("status %d, wanted %s", st, bad[i].wanted);
        free(broken);
    }
    bool all = true;
    for (size_t n = strlen(text) - 2; n; n = n * 9 / 10) {
        text[n] = '\0';
        scratch_write("bad.yaml", text);
        all = all && dawn_profile_load(scratch_path("bad.yaml"), &q, &err) &&
              strstr(err.text, "/bad.yaml:");
    }
    ok(all && !q, "cut anywhere it is refused with its line");
    free(text);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_round_trip(odd_graph(), "an odd graph");
    test_round_trip(gpt2(2), "a GPT-2");
    test_access();
    test_other_sizes();
    test_create_bad();
    test_save_fails();
    test_bad();
    test_large();
    return done_testing();
}
