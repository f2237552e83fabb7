/* SPDX-License-Identifier: Apache-2.0 */
/* Planning for orders other than the given one: never worse, better where it is
 * known to be, and plans that hold what they say.
 */
#include "common/scratch.h"
#include "planner/orders.h"
#include "rig.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_NODES 64

/* A graph with branches. Nodes: the first one, then what `from` says, then one
 * that takes whatever nobody took. */
struct branchy {
    int nodes;
    int from[MOST_NODES]; /* of node i >= 1: the node whose tensor it takes */
    int also[MOST_NODES]; /* another one, or -1 */
    double ns[MOST_NODES];
    int extent[MOST_NODES];
};

static int add_node(struct dawn_graph *g, const struct branchy *b, int i,
                    const int *input, int inputs, const int *param)
{
    char name[32], made[32];
    bool last = i == b->nodes - 1;
    struct dawn_tensor_desc t = {.name = made, .batched = !last, .dims = !last};
    struct dawn_node_desc d = {.name = name,
                               .op = "test",
                               .inputs = inputs,
                               .input = input,
                               .params = i == 0,
                               .param = param,
                               .outputs = 1,
                               .output = &t,
                               .save_inputs = 1};

    snprintf(name, sizeof name, "n%d", i);
    snprintf(made, sizeof made, "t%d", i);
    t.shape[0] = b->extent[i];
    return dawn_graph_output(g, dawn_graph_add_node(g, &d), 0);
}

static struct dawn_graph *build(const struct branchy *b)
{
    struct dawn_tensor_desc x = {
        .name = "x", .batched = true, .dims = 1, .shape = {64}};
    struct dawn_param_desc w = {.name = "w", .dims = 1, .shape = {16}};
    int tensor[MOST_NODES], left[MOST_NODES], lefts = 0;
    bool taken[MOST_NODES] = {false};
    struct dawn_graph *g;

    if (dawn_graph_create("branchy", &g, NULL))
        abort();
    int in = dawn_graph_add_input(g, &x), param = dawn_graph_add_param(g, &w);
    tensor[0] = add_node(g, b, 0, &in, 1, &param);
    for (int i = 1; i < b->nodes - 1; i++) {
        int input[2] = {tensor[b->from[i]], 0};
        taken[b->from[i]] = true;
        if (b->also[i] >= 0) {
            input[1] = tensor[b->also[i]];
            taken[b->also[i]] = true;
        }
        tensor[i] = add_node(g, b, i, input, b->also[i] >= 0 ? 2 : 1, &param);
    }
    for (int i = 0; i < b->nodes - 1; i++)
        if (!taken[i])
            left[lefts++] = tensor[i];
    dawn_graph_set_loss(g, add_node(g, b, b->nodes - 1, left, lefts, &param));
    struct dawn_error err;
    if (dawn_graph_finish(g, &err)) {
        diag("%s", err.text);
        abort();
    }
    return g;
}

static struct dawn_profile *profile_of(const struct branchy *b)
{
    const int64_t one = 1;
    struct dawn_profile *p;

    if (dawn_profile_create(build(b),
                            &(struct dawn_profile_desc){"test", "", 1, &one},
                            &p, NULL))
        abort();
    for (int i = 0; i < b->nodes; i++)
        *dawn_profile_cost(p, i, 0) = (struct dawn_node_cost){
            .ns = {b->ns[i] / 4, b->ns[i] / 4, b->ns[i] / 2}};
    return p;
}

/* Several branches are open at any time. */
static void make_random(struct branchy *b, int nodes, uint64_t seed)
{
    b->nodes = nodes;
    for (int i = 0; i < nodes; i++) {
        uint64_t at = (uint64_t)i * 8;
        int back = i < 6 ? i : 6;
        b->from[i] = i ? i - (int)rig_number(seed, at, 1, (uint64_t)back) : 0;
        b->also[i] = -1;
        if (i > 2 && rig_number(seed, at + 1, 0, 2) == 0)
            b->also[i] = i - (int)rig_number(seed, at + 2, 1, (uint64_t)back);
        if (b->also[i] == b->from[i])
            b->also[i] = -1;
        b->ns[i] = 1000.0 * (double)rig_number(seed, at + 3, 1, 100);
        b->extent[i] = (int)rig_number(seed, at + 4, 16, 1024);
    }
}

static const char *const objectives[] = {"step", "bottleneck"};

/* The best that the policy finds for the order as given; NULL: nothing fits. */
static struct dawn_plan *plan_as_given(const struct dawn_profile *p,
                                       const struct dawn_planner_opts *opts)
{
    struct dawni_planner *pl;
    struct dawn_plan *plan = NULL;

    if (dawni_planner_create(p, NULL, opts, opts->stages, &pl, NULL))
        abort();
    dawni_plan_best(pl, &plan, NULL);
    dawni_planner_destroy(pl);
    return plan;
}

/* Written, read and priced, the plan is the same. */
static bool is_sound(struct dawn_plan *plan, const struct dawn_profile *p,
                     uint64_t cap)
{
    double value = dawni_objective_of(plan);
    struct dawn_plan *again = NULL;
    struct dawn_error err;
    bool sound = false;

    if (dawn_plan_save(plan, scratch_path("plan.yaml"), &err) ||
        dawn_plan_load(scratch_path("plan.yaml"), dawn_profile_graph(p), &again,
                       &err))
        diag("%s", err.text);
    if (!again)
        return false;
    dawn_plan_info(again)->objective = dawn_plan_info(plan)->objective;
    if (dawn_planner_price(again, p, NULL, &err))
        diag("%s", err.text);
    else
        sound = dawni_objective_of(again) == value &&
                dawn_plan_info(again)->bound_ns <= value * (1 + 1e-9);
    for (int x = 0; x < dawn_plan_info(again)->stages; x++)
        sound =
            sound &&
            (!cap || dawn_plan_stage(again, x)->predicted.arena_bytes <= cap);
    dawn_plan_destroy(again);
    return sound;
}

struct tally {
    int better, worse, broken, fits, cases;
    double gain;
};

static void try_case(const struct dawn_profile *p,
                     const struct dawn_planner_opts *opts, struct tally *t)
{
    struct dawn_plan *given = plan_as_given(p, opts), *plan = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    enum dawn_status st = dawn_planner_run(p, NULL, opts, &plan, &err);

    t->cases++;
    t->worse += given && st;
    t->fits += !given && !st;
    if (given && plan) {
        double was = dawni_objective_of(given), is = dawni_objective_of(plan);
        t->worse += is > was;
        t->better += is < was * (1 - 1e-9);
        t->gain += 1 - is / was;
    }
    if (plan && !is_sound(plan, p, opts->cap_bytes))
        t->broken++;
    if (st && st != DAWN_E_NOFIT)
        diag("%s", err.text);
    dawn_plan_destroy(given);
    dawn_plan_destroy(plan);
}

/* A share of what one stage would need. */
static uint64_t cap_of(const struct dawn_profile *p, int stages, int percent)
{
    struct dawn_planner_opts opts = {.stages = stages, .microbatches = 4};
    struct dawn_plan *plan = plan_as_given(p, &opts);
    uint64_t most = 0;

    for (int x = 0; x < stages; x++) {
        uint64_t bytes = dawn_plan_stage(plan, x)->predicted.arena_bytes;
        most = bytes > most ? bytes : most;
    }
    dawn_plan_destroy(plan);
    return most * (uint64_t)percent / 100;
}

static void test_random(int objective, int percent)
{
    static struct branchy b;
    struct tally t = {0};

    for (uint64_t seed = 0; seed < (uint64_t)tap_cases(12); seed++) {
        int stages = 2 + (int)seed % 4;
        make_random(&b, 12 + (int)seed % 5 * 12, seed);
        struct dawn_profile *p = profile_of(&b);
        struct dawn_planner_opts opts = {
            .stages = stages,
            .microbatches = 4,
            .objective = (enum dawn_objective)objective,
            .policy = seed % 2 ? "exact" : "dawnpiper",
            .cap_bytes = percent ? cap_of(p, stages, percent) : 0};
        try_case(p, &opts, &t);
        dawn_profile_destroy(p);
    }
    is_int(t.worse, 0, "%s, cap %d%%: never worse than the given order",
           objectives[objective], percent);
    is_int(t.broken, 0, "and every plan holds what it says");
    ok(t.better > t.cases / 3, "%d of %d are better, by %.1f%% on average",
       t.better, t.cases, 100 * t.gain / t.cases);
    diag("%d fit only in another order", t.fits);
}

/* Four branches of 40, 30, 30 and 20: no cut of that order balances two stages,
 * but two and two do. */
static void test_known(int objective)
{
    static struct branchy b = {
        .nodes = 10,
        .from = {0, 0, 0, 0, 0, 1, 2, 3, 4},
        .ns = {1000, 0, 0, 0, 0, 40000, 30000, 30000, 20000, 1000},
        .extent = {16, 16, 16, 16, 16, 16, 16, 16, 16, 1},
        .also = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
    };
    struct dawn_profile *p = profile_of(&b);
    struct dawn_planner_opts opts = {.stages = 2,
                                     .microbatches = 4,
                                     .objective =
                                         (enum dawn_objective)objective};
    struct dawn_plan *given = plan_as_given(p, &opts), *plan = NULL;

    is_near(dawn_plan_info(given)->bottleneck_ns, 71000, 1e-6,
            "cuts of the given order leave a stage of 71 us");
    dawn_planner_run(p, NULL, &opts, &plan, NULL);
    is_near(dawn_plan_info(plan)->bottleneck_ns, 61000, 1e-6,
            "another order has one of 61, which is least");
    ok(dawni_objective_of(plan) < dawni_objective_of(given),
       "its %s is the smaller one", objectives[objective]);
    is_str(dawn_plan_info(plan)->policy, dawn_plan_info(given)->policy,
           "the policy's name stays");
    dawn_plan_destroy(given);
    dawn_plan_destroy(plan);
    dawn_profile_destroy(p);
}

/* A chain is planned for once: nothing is to be won. */
static void test_chain(void)
{
    static struct branchy b;
    make_random(&b, 40, 1);
    for (int i = 1; i < b.nodes; i++) {
        b.from[i] = i - 1;
        b.also[i] = i % 3 == 0 ? i - 3 : -1;
    }
    struct dawn_profile *p = profile_of(&b);
    struct dawn_planner_opts opts = {.stages = 4, .microbatches = 4};
    struct dawn_plan *plan = NULL;

    ok(dawni_graph_is_chain(dawn_profile_graph(p)),
       "a chain with skips has one order");
    dawn_planner_run(p, NULL, &opts, &plan, NULL);
    ok(plan && dawn_plan_graph(plan) == dawn_profile_graph(p),
       "its plan has no graph of its own");
    dawn_plan_destroy(plan);
    dawn_profile_destroy(p);
    make_random(&b, 40, 1);
    p = profile_of(&b);
    ok(!dawni_graph_is_chain(dawn_profile_graph(p)), "branches have several");
    dawn_profile_destroy(p);
}

static bool gives(const struct dawn_profile *p,
                  const struct dawn_planner_opts *opts, const char *name)
{
    struct dawn_plan *plan = NULL;
    bool given = !dawn_planner_run(p, NULL, opts, &plan, NULL) &&
                 !dawn_plan_save(plan, scratch_path(name), NULL);

    dawn_plan_destroy(plan);
    return given;
}

static void test_deterministic(void)
{
    static struct branchy b;
    make_random(&b, 60, 5);
    struct dawn_profile *p = profile_of(&b);
    struct dawn_planner_opts opts = {.stages = 3, .microbatches = 4};

    opts.cap_bytes = cap_of(p, 3, 80);
    ok(gives(p, &opts, "a.yaml") && gives(p, &opts, "b.yaml"),
       "planned and written twice");
    char *a = scratch_read("a.yaml"), *c = scratch_read("b.yaml");
    ok(a && c && !strcmp(a, c), "the same bytes come out");
    ok(a && strstr(a, "\norder:\n"), "with an order");
    free(a);
    free(c);
    dawn_profile_destroy(p);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    for (int objective = 0; objective < 2; objective++)
        for (int percent = 0; percent <= 75; percent += 75)
            test_random(objective, percent);
    test_known(0);
    test_known(1);
    test_chain();
    test_deterministic();
    return done_testing();
}
