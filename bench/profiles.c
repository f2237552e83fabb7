/* SPDX-License-Identifier: Apache-2.0 */
#include "profiles.h"
#include <stdio.h>

static enum dawn_status make_profile(struct dawn_graph *graph, int64_t size,
                                     struct dawn_profile **profile_p,
                                     struct dawn_error *err)
{
    struct dawn_profile_desc desc = {"host", "made up", 1, &size};
    enum dawn_status st = dawn_profile_create(graph, &desc, profile_p, err);

    if (st)
        dawn_graph_destroy(graph);
    return st;
}

enum dawn_status bench_model_profile(const struct dawn_model_opts *model,
                                     struct dawn_profile **profile_p,
                                     struct dawn_error *err)
{
    struct dawn_graph *g = NULL;
    enum dawn_status st = dawn_model_build(model, &g, err);

    if (!st)
        st = make_profile(g, 4, profile_p, err);
    if (st)
        return st;
    for (int i = 0; i < dawn_graph_nodes(g); i++) {
        struct dawn_node_cost *c = dawn_profile_cost(*profile_p, i, 0);
        const struct dawn_node_desc *n = dawn_graph_node(g, i);
        for (int phase = 0; phase < 3; phase++) {
            c->ns[phase] = 1000 + n->flops[phase] * 4 / 500;
            c->scratch_bytes[phase] = (uint64_t)(i * 37 % 11 * 4096);
        }
        for (int k = 0; k < n->params; k++)
            c->prepared_bytes +=
                2 * (uint64_t)dawn_graph_param_elements(g, n->param[k]);
    }
    return DAWN_OK;
}

/* A number for a question about a node. */
static int64_t draw(int node, int question, int64_t low, int64_t high)
{
    uint64_t x = (uint64_t)node * 64 + (uint64_t)question;

    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return low + (int64_t)((x >> 33) % (uint64_t)(high - low + 1));
}

static void add_node(struct dawn_graph *g, int node, int nodes, int *at)
{
    bool last = node == nodes - 1;
    char name[32], output[32], param[32];
    struct dawn_param_desc p = {
        .name = param, .dims = 1, .init = DAWN_INIT_NORMAL, .std = 0.02};
    struct dawn_tensor_desc t = {
        .name = output, .batched = !last, .dims = !last};
    struct dawn_node_desc d = {.name = name,
                               .op = "chain",
                               .inputs = 1,
                               .input = at,
                               .outputs = 1,
                               .output = &t,
                               .save_inputs = draw(node, 1, 0, 3) > 0,
                               .save_outputs = draw(node, 2, 0, 3) == 0};
    int id;

    snprintf(name, sizeof name, "n%d", node);
    snprintf(output, sizeof output, "t%d", node);
    snprintf(param, sizeof param, "p%d", node);
    p.shape[0] = draw(node, 3, 1, 64) * 1024;
    t.shape[0] = draw(node, 4, 1, 16) * 4096;
    if (draw(node, 5, 0, 2)) {
        id = dawn_graph_add_param(g, &p);
        d.params = 1;
        d.param = &id;
    }
    dawn_graph_add_node(g, &d);
    *at = dawn_graph_output(g, node, 0);
}

enum dawn_status bench_chain_profile(int nodes, struct dawn_profile **profile_p,
                                     struct dawn_error *err)
{
    struct dawn_tensor_desc x = {
        .name = "x", .batched = true, .dims = 1, .shape = {1024}};
    struct dawn_graph *g = NULL;
    enum dawn_status st = dawn_graph_create("chain", &g, err);

    if (st)
        return st;
    int at = dawn_graph_add_input(g, &x);
    for (int i = 0; i < nodes; i++)
        add_node(g, i, nodes, &at);
    dawn_graph_set_loss(g, at);
    st = dawn_graph_finish(g, err);
    if (st) {
        dawn_graph_destroy(g);
        return st;
    }
    st = make_profile(g, 1, profile_p, err);
    for (int i = 0; !st && i < nodes; i++) {
        struct dawn_node_cost *c = dawn_profile_cost(*profile_p, i, 0);
        for (int k = 0; k < 3; k++) {
            c->ns[k] = (double)(draw(i, 6, 5, 100) * draw(i, 7 + k, 8, 16));
            c->scratch_bytes[k] = (uint64_t)draw(i, 10 + k, 0, 4) * 4096;
        }
        c->ns[0] *= 100;
        c->ns[1] *= 100;
        c->ns[2] *= 100;
        c->update_ns = 1000.0 * (double)draw(i, 13, 0, 5);
    }
    return st;
}
