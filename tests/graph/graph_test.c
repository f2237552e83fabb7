/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: what may be built, what is derived, what cuts carry. */
#include "graph/graph.h"
#include "plan/cuts.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>

/* in -> a -> b -> add(a, b) -> loss; c hangs off a and leads nowhere */
static struct dawn_graph *diamond(void)
{
    struct dawn_graph *g;
    dawn_graph_create("diamond", &g, NULL);
    struct dawn_tensor_desc x = {
        .name = "x", .batched = true, .dims = 1, .shape = {8}};
    int in = dawn_graph_add_input(g, &x);
    struct dawn_param_desc w = {.name = "w", .dims = 1, .shape = {8}};
    int param = dawn_graph_add_param(g, &w);
    const char *names[] = {"a", "b", "c", "add"};
    int from[4][2] = {{in, 0}, {1, 0}, {1, 0}, {1, 2}};
    for (int i = 0; i < 4; i++) {
        struct dawn_tensor_desc out = x;
        out.name = names[i];
        struct dawn_node_desc d = {
            .name = names[i],
            .op = "test",
            .inputs = i == 3 ? 2 : 1,
            .input = from[i],
            .params = i == 0,
            .param = &param,
            .outputs = 1,
            .output = &out,
            .save_inputs = 1,
        };
        dawn_graph_add_node(g, &d);
    }
    int sum = dawn_graph_find_tensor(g, "add");
    struct dawn_tensor_desc out = {.name = "loss"};
    struct dawn_node_desc d = {.name = "loss",
                               .op = "test",
                               .inputs = 1,
                               .input = &sum,
                               .outputs = 1,
                               .output = &out};
    dawn_graph_add_node(g, &d);
    dawn_graph_set_loss(g, dawn_graph_find_tensor(g, "loss"));
    return g;
}

static void test_derived(void)
{
    struct dawn_graph *g = diamond();
    is_int(dawn_graph_finish(g, NULL), DAWN_OK, "the diamond finishes");
    is_int(dawn_graph_nodes(g), 5, "it has five nodes");
    is_int(dawn_graph_producer(g, 0), -1, "an input has no producer");
    int a = dawn_graph_find_tensor(g, "a"), c = dawn_graph_find_tensor(g, "c");
    is_int(g->tensor[a].users, 3, "a has three users");
    ok(g->tensor[a].needs_grad, "a needs a gradient");
    ok(!g->tensor[0].needs_grad, "an input needs none");
    ok(!g->tensor[c].needs_grad, "what leads nowhere needs none");
    ok(!g->node[2].active, "and its node has no backward");
    ok(!g->node[0].needs_b && g->node[0].active,
       "the first node has a W and no B");
    is_u64(dawn_graph_tensor_bytes(g, a, 3), 96, "bytes: 3 samples of 8 f32");
    struct dawn_graph *h = diamond();
    dawn_graph_finish(h, NULL);
    is_u64(dawn_graph_digest(h), dawn_graph_digest(g),
           "the same graph has the same digest");
    dawn_graph_destroy(g);
    dawn_graph_destroy(h);
}

static void test_cuts(void)
{
    struct dawn_graph *g = diamond();
    struct dawni_cuts cuts;
    int first[] = {0, 1, 3};
    dawn_graph_finish(g, NULL);
    is_int(dawni_cuts_create(g, 3, first, &cuts, NULL), DAWN_OK, "cuts");
    is_int(cuts.acts, 3, "a goes to both later stages, b to the last");
    ok(dawni_cut_find(cuts.act, cuts.acts, 0, 2) != NULL,
       "a goes straight to the last stage");
    ok(dawni_cut_find(cuts.grad, cuts.grads, 0, 2) == NULL,
       "but its gradient comes back over the stage between");
    const struct dawni_cut *c = dawni_cut_find(cuts.grad, cuts.grads, 1, 2);
    is_int(c ? c->tensors : 0, 2, "which gets those of a and b");
    dawni_cuts_clear(&cuts);
    int alone[] = {0, 2, 3}; /* the dead end is a stage of its own */
    dawni_cuts_create(g, 3, alone, &cuts, NULL);
    ok(dawni_cut_find(cuts.act, cuts.acts, 0, 1) != NULL &&
           dawni_cut_find(cuts.grad, cuts.grads, 0, 1) == NULL,
       "a dead end gets a and sends no gradient back");
    ok(dawni_cut_find(cuts.grad, cuts.grads, 0, 2) != NULL,
       "nor is it part of the chain");
    dawni_cuts_clear(&cuts);
    dawn_graph_destroy(g);
}

struct bad {
    const char *text; /* in the error */
    void (*spoil)(struct dawn_graph *g);
};

static void same_tensor(struct dawn_graph *g)
{
    dawn_graph_add_input(g, &(struct dawn_tensor_desc){.name = "x"});
}

static void bad_name(struct dawn_graph *g)
{
    dawn_graph_add_input(g, &(struct dawn_tensor_desc){.name = "a b"});
}

static void no_name(struct dawn_graph *g)
{
    dawn_graph_add_param(g, &(struct dawn_param_desc){.dims = 1});
}

static void zero_extent(struct dawn_graph *g)
{
    dawn_graph_add_param(
        g, &(struct dawn_param_desc){.name = "z", .dims = 1, .shape = {0}});
}

static void huge(struct dawn_graph *g)
{
    dawn_graph_add_param(
        g, &(struct dawn_param_desc){
               .name = "z", .dims = 3, .shape = {1 << 30, 1 << 30, 1 << 30}});
}

static void unused(struct dawn_graph *g)
{
    dawn_graph_add_param(
        g, &(struct dawn_param_desc){.name = "z", .dims = 1, .shape = {1}});
}

static void bad_average(struct dawn_graph *g)
{
    dawn_graph_add_param(
        g, &(struct dawn_param_desc){
               .name = "z", .dims = 1, .shape = {1}, .average = 1});
}

static void decaying_average(struct dawn_graph *g)
{
    dawn_graph_add_param(g, &(struct dawn_param_desc){.name = "z",
                                                      .dims = 1,
                                                      .shape = {1},
                                                      .decay = true,
                                                      .average = 0.1});
}

static void shared_average(struct dawn_graph *g)
{
    int z = dawn_graph_add_param(
        g, &(struct dawn_param_desc){
               .name = "z", .dims = 1, .shape = {1}, .average = 0.1});
    for (int i = 0; i < 2; i++) {
        struct dawn_tensor_desc out = {.name = i ? "p" : "o"};
        dawn_graph_add_node(g, &(struct dawn_node_desc){.name = i ? "n" : "m",
                                                        .op = "test",
                                                        .params = 1,
                                                        .param = &z,
                                                        .outputs = 1,
                                                        .output = &out});
    }
}

static void no_input(struct dawn_graph *g)
{
    int in = 99;
    struct dawn_tensor_desc out = {.name = "o"};
    dawn_graph_add_node(g, &(struct dawn_node_desc){.name = "n",
                                                    .op = "test",
                                                    .inputs = 1,
                                                    .input = &in,
                                                    .outputs = 1,
                                                    .output = &out});
}

static void bad_loss(struct dawn_graph *g)
{
    dawn_graph_set_loss(g, 0);
}

static void lost_loss(struct dawn_graph *g)
{
    dawn_graph_set_loss(g, 77);
}

static void test_bad(void)
{
    static const struct bad bad[] = {
        {"two tensors have the name 'x'", same_tensor},
        {"name 'a b'", bad_name},
        {"a parameter has no name", no_name},
        {"'z' has extent 0", zero_extent},
        {"'z' has extent", huge},
        {"no node uses parameter 'z'", unused},
        {"'z': average 1, must be 0 or below 1", bad_average},
        {"'z': average 0.1, must be 0 or below 1, and without decay",
         decaying_average},
        {"parameter 'z' is an average, and used by 2 nodes", shared_average},
        {"node 'n': input 0 is id 99", no_input},
        {"loss 'x' is no scalar", bad_loss},
        {"the loss is tensor 77", lost_loss},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dawn_graph *g = diamond();
        struct dawn_error err = {0};
        bad[i].spoil(g);
        is_int(dawn_graph_finish(g, &err), DAWN_E_INVAL, "refused: %s",
               bad[i].text);
        ok(strstr(err.text, bad[i].text) != NULL, "and said so: %s", err.text);
        dawn_graph_destroy(g);
    }
    struct dawn_graph *g = diamond();
    dawn_graph_finish(g, NULL);
    same_tensor(g);
    is_int(dawn_graph_tensors(g), 6, "nothing fits into a finished graph");
    dawn_graph_destroy(g);
}

/* A node that takes the same input `inputs` times. */
static enum dawn_status finish_wide(int inputs, struct dawn_error *err)
{
    struct dawn_tensor_desc x = {.name = "x", .batched = true};
    struct dawn_tensor_desc y = {.name = "y", .batched = true};
    int *input = calloc((size_t)inputs, sizeof *input);
    struct dawn_node_desc d = {.name = "join",
                               .op = "test",
                               .inputs = inputs,
                               .input = input,
                               .outputs = 1,
                               .output = &y,
                               .save_inputs = 0x80000001};
    struct dawn_graph *g;

    dawn_graph_create("wide", &g, NULL);
    dawn_graph_add_input(g, &x);
    int join = dawn_graph_add_node(g, &d);
    enum dawn_status st = dawn_graph_finish(g, err);
    if (!st)
        ok(dawni_node_saves_input(dawn_graph_node(g, join), 31) &&
               !dawni_node_saves_input(dawn_graph_node(g, join), 32),
           "of %d inputs, backward may need the first 32", inputs);
    dawn_graph_destroy(g);
    free(input);
    return st;
}

static void test_wide(void)
{
    struct dawn_error err = {0};

    is_int(finish_wide(DAWN_MAX_INPUTS, &err), DAWN_OK, "a node may join %d",
           DAWN_MAX_INPUTS);
    is_int(finish_wide(DAWN_MAX_INPUTS + 1, &err), DAWN_E_INVAL,
           "one more is refused: %s", err.text);
}

int main(void)
{
    plan_lazy();
    test_derived();
    test_cuts();
    test_bad();
    test_wide();
    return done_testing();
}
