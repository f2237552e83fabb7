/* SPDX-License-Identifier: Apache-2.0 */
/* The price of a candidate stage: what crosses its cuts. */
#include "memory/memory.h"
#include "tap.h"

/* A node that makes 32 floats and saves its input. Returns its output. */
static int add_node(struct dawn_graph *g, const char *name, int input,
                    int param)
{
    struct dawn_tensor_desc t = {
        .name = name, .batched = true, .dims = 1, .shape = {32}};
    struct dawn_node_desc d = {.name = name,
                               .op = "test",
                               .inputs = 1,
                               .input = &input,
                               .params = param >= 0,
                               .param = &param,
                               .outputs = 1,
                               .output = &t,
                               .save_inputs = 1};
    return dawn_graph_output(g, dawn_graph_add_node(g, &d), 0);
}

/* x -> a -> b -> loss, and a -> dead, to which no gradient comes; the dead end
 * stands in front of b or behind it. */
static struct dawn_graph *make_graph(bool dead_first)
{
    struct dawn_tensor_desc x = {
        .name = "x", .batched = true, .dims = 1, .shape = {32}};
    struct dawn_param_desc p = {
        .name = "p", .dims = 1, .shape = {16}, .init = DAWN_INIT_ZERO};
    struct dawn_tensor_desc loss = {.name = "loss"};
    struct dawn_graph *g = NULL;
    int b = -1;

    dawn_graph_create("dead end", &g, NULL);
    int in = dawn_graph_add_input(g, &x), param = dawn_graph_add_param(g, &p);
    int a = add_node(g, "a", in, param);
    if (!dead_first)
        b = add_node(g, "b", a, -1);
    add_node(g, "dead", a, -1);
    if (dead_first)
        b = add_node(g, "b", a, -1);
    struct dawn_node_desc d = {.name = "loss",
                               .op = "test",
                               .inputs = 1,
                               .input = &b,
                               .outputs = 1,
                               .output = &loss,
                               .save_inputs = 1};
    dawn_graph_add_node(g, &d);
    dawn_graph_set_loss(g, dawn_graph_find_tensor(g, "loss"));
    return dawn_graph_finish(g, NULL) ? NULL : g;
}

static uint64_t comm_of(const struct dawn_graph *g, int first, int last)
{
    struct dawni_stage_memory memory = {0};
    struct dawni_stage_pricer *pricer = NULL;
    struct dawni_sizes sizes;

    dawni_sizes_create(g, 1, &sizes, NULL);
    dawni_stage_pricer_create(g, &sizes, &pricer, NULL);
    is_int(dawni_stage_price(pricer, first, last, NULL, &memory, NULL, NULL),
           DAWN_OK, "nodes %d to %d are priced", first, last);
    dawni_stage_pricer_destroy(pricer);
    dawni_sizes_clear(&sizes);
    return memory.comm;
}

static void test_dead_ends(void)
{
    const uint64_t bytes = 32 * sizeof(float);
    struct dawn_graph *g = make_graph(true);

    is_u64(comm_of(g, 1, 1), bytes, "a dead end receives a, and no gradient");
    is_u64(comm_of(g, 2, 2), 2 * bytes,
           "b receives a and its own gradient, none of a");
    is_u64(comm_of(g, 0, 0), bytes, "a receives one gradient");
    dawn_graph_destroy(g);
    g = make_graph(false);
    is_u64(comm_of(g, 0, 1), bytes,
           "a and b: of a, which goes to a dead end, no gradient comes back");
    is_u64(comm_of(g, 1, 2), 2 * bytes, "b and the dead end: nor here");
    dawn_graph_destroy(g);
}

int main(void)
{
    plan_lazy();
    test_dead_ends();
    return done_testing();
}
