/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"
#include "common/random.h"
#include "tap.h"
#include <stdio.h>

uint64_t rig_number(uint64_t seed, uint64_t place, uint64_t low, uint64_t high)
{
    return low + dawni_philox(seed, 0, place).v[0] % (high - low + 1);
}

struct builder {
    const struct rig_opts *opts;
    struct dawn_graph *graph;
    int made[3]; /* tensors, newest first; -1: none */
    int param;   /* tied, or -1 */
};

/* A number for a node; each question has a number of its own. */
static uint64_t draw(const struct builder *b, int node, int question,
                     uint64_t low, uint64_t high)
{
    return rig_number(b->opts->seed, (uint64_t)node * 64 + (uint64_t)question,
                      low, high);
}

static int add_param(struct builder *b, int node)
{
    char name[32];
    struct dawn_param_desc p = {
        .name = name, .dims = 1, .init = DAWN_INIT_NORMAL, .std = 0.02};

    if (node == b->opts->nodes - 1 && b->param >= 0)
        return b->param;
    snprintf(name, sizeof name, "p%d", node);
    p.shape[0] = b->opts->even ? 64 : (int64_t)draw(b, node, 1, 16, 400);
    int id = dawn_graph_add_param(b->graph, &p);
    if (b->param < 0)
        b->param = id;
    return id;
}

static void add_node(struct builder *b, int node)
{
    const struct rig_opts *o = b->opts;
    bool last = node == o->nodes - 1;
    char name[48], output[2][32];
    struct dawn_tensor_desc t[2] = {
        {.name = output[0], .batched = !last, .dims = last ? 0 : 1},
        {.name = output[1], .batched = true, .dims = 1, .no_grad = true}};
    int input[2] = {b->made[0], b->made[draw(b, node, 2, 1, 2)]};
    int param = o->params && draw(b, node, 3, 0, 2) ? add_param(b, node) : -1;
    struct dawn_node_desc d = {.name = name,
                               .op = "test",
                               .inputs = 1,
                               .input = input,
                               .params = param >= 0,
                               .param = &param,
                               .outputs = 1,
                               .output = t};

    if (o->layer)
        snprintf(name, sizeof name, "%slayer%d.n%d", o->stacked ? "stack." : "",
                 node / o->layer, node);
    else
        snprintf(name, sizeof name, "n%d", node);
    snprintf(output[0], sizeof output[0], "t%d", node);
    snprintf(output[1], sizeof output[1], "u%d", node);
    t[0].shape[0] = (int64_t)draw(b, node, 4, 64, o->even ? 96 : 1024);
    if (node >= o->wide[0] && node < o->wide[1])
        t[0].shape[0] = RIG_WIDE;
    t[1].shape[0] = (int64_t)draw(b, node, 5, 16, 256);
    if (o->branchy && input[1] >= 0 && draw(b, node, 6, 0, 2) == 0)
        d.inputs = 2;
    if (o->branchy && !last && draw(b, node, 7, 0, 3) == 0)
        d.outputs = 2;
    d.save_inputs =
        o->even ? 1 : draw(b, node, 8, 0, 3) & ((1u << d.inputs) - 1);
    if (d.outputs == 2)
        d.save_outputs = 2;
    else if (!o->even && draw(b, node, 9, 0, 3) == 0)
        d.save_outputs = 1;
    dawn_graph_add_node(b->graph, &d);
    b->made[2] = b->made[1];
    b->made[1] = b->made[0];
    b->made[0] = dawn_graph_output(b->graph, node, 0);
}

static struct dawn_graph *build(const struct rig_opts *o)
{
    struct builder b = {.opts = o, .made = {-1, -1, -1}, .param = -1};
    struct dawn_tensor_desc x = {
        .name = "x", .batched = true, .dims = 1, .shape = {64}};
    struct dawn_param_desc first = {
        .name = "first", .dims = 1, .shape = {16}, .init = DAWN_INIT_ZERO};
    struct dawn_error err = {0};

    if (dawn_graph_create("rig", &b.graph, &err))
        return NULL;
    b.made[0] = dawn_graph_add_input(b.graph, &x);
    /* a parameter in front gives every tensor behind it a gradient */
    int param = dawn_graph_add_param(b.graph, &first);
    struct dawn_tensor_desc t = {
        .name = "t", .batched = true, .dims = 1, .shape = {128}};
    struct dawn_node_desc d = {.name = "n0",
                               .op = "test",
                               .inputs = 1,
                               .input = b.made,
                               .params = 1,
                               .param = &param,
                               .outputs = 1,
                               .output = &t,
                               .save_inputs = 1};
    dawn_graph_add_node(b.graph, &d);
    b.made[0] = dawn_graph_output(b.graph, 0, 0);
    for (int i = 1; i < o->nodes; i++)
        add_node(&b, i);
    dawn_graph_set_loss(b.graph, b.made[0]);
    if (dawn_graph_finish(b.graph, &err)) {
        diag("%s", err.text);
        dawn_graph_destroy(b.graph);
        return NULL;
    }
    return b.graph;
}

static void set_cost(const struct rig_opts *o, int node, int size,
                     struct dawn_node_cost *c)
{
    struct builder b = {.opts = o};
    double f = 1000.0 * (double)draw(&b, node, 20, o->even ? 90 : 5, 100);

    for (int k = 0; k < 3; k++) {
        uint64_t percent = o->even ? 100 : draw(&b, node, 21 + k, 80, 160);
        c->ns[k] = f * (size + 1) * (double)percent / 100;
        c->spread_ns[k] = c->ns[k] / 100;
        c->scratch_bytes[k] = 64 * draw(&b, node, 30 + k, 0, 8);
    }
    c->update_ns = 1000.0 * (double)draw(&b, node, 40, 0, 5);
    c->update_ns *= o->updates ? o->updates : 1;
    c->prepared_bytes = 64 * draw(&b, node, 41, 0, 4);
}

struct dawn_profile *rig_profile(const struct rig_opts *o)
{
    const int64_t size[] = {1, 2};
    struct dawn_graph *graph = build(o);
    struct dawn_profile *profile;
    struct dawn_error err = {0};

    if (!graph)
        return NULL;
    if (dawn_profile_create(
            graph, &(struct dawn_profile_desc){"host", "made up", 2, size},
            &profile, &err)) {
        diag("%s", err.text);
        dawn_graph_destroy(graph);
        return NULL;
    }
    for (int i = 0; i < o->nodes; i++)
        for (int k = 0; k < 2; k++)
            set_cost(o, i, k, dawn_profile_cost(profile, i, k));
    return profile;
}

struct dawni_planner *rig_planner(const struct dawn_profile *profile,
                                  const char *policy, int stages,
                                  int microbatches, uint64_t cap)
{
    struct dawn_planner_opts opts = {.policy = policy,
                                     .stages = stages,
                                     .microbatches = microbatches,
                                     .microbatch = 1,
                                     .cap_bytes = cap};
    struct dawni_planner *pl = NULL;
    struct dawn_error err = {0};

    if (dawni_planner_create(profile, NULL, &opts, stages, &pl, &err))
        diag("%s", err.text);
    return pl;
}

bool rig_next_cut(int *cut, int n, int l)
{
    int x = l - 1;

    if (cut[l] == 0) {
        for (int i = 0; i < l; i++)
            cut[i] = i;
        cut[l] = n;
        return true;
    }
    while (x > 0 && cut[x] == n - (l - x))
        x--;
    if (x <= 0)
        return false;
    cut[x]++;
    for (int i = x + 1; i < l; i++)
        cut[i] = cut[i - 1] + 1;
    return true;
}
