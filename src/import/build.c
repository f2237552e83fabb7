/* SPDX-License-Identifier: Apache-2.0 */
/* From what was read to a profile: a node is a layer that makes one tensor and
 * has one parameter, so that tensors, parameters and nodes have the same ids.
 */
#include "common/array.h"
#include "import/import.h"
#include "profile/profile.h"
#include <math.h>
#include <stdio.h>

struct build {
    const struct dawni_import *in;
    int *order;  /* by id: number in the file's order */
    int *id;     /* the inverse */
    int *at;     /* by id, nodes + 1: its inputs are input[at] on */
    int *input;  /* ids; ascending, some more than once */
    int *inputs; /* by id: how many, each once */
};

static bool begin(struct build *b)
{
    int64_t nodes = b->in->nodes;

    b->order = dawni_calloc(nodes, sizeof *b->order);
    b->id = dawni_calloc(nodes, sizeof *b->id);
    b->at = dawni_calloc(nodes + 1, sizeof *b->at);
    b->input = dawni_calloc(b->in->edges, sizeof *b->input);
    b->inputs = dawni_calloc(nodes, sizeof *b->inputs);
    return b->order && b->id && b->at && b->input && b->inputs;
}

static void end(struct build *b)
{
    free(b->order);
    free(b->id);
    free(b->at);
    free(b->input);
    free(b->inputs);
}

static int by_id(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Each node's inputs, once each. */
static enum dawn_status link_inputs(struct build *b, struct dawn_error *err)
{
    const struct dawni_import *in = b->in;

    for (int i = 0; i < in->nodes; i++)
        b->id[b->order[i]] = i;
    for (int i = 0; i < in->edges; i++)
        b->at[b->id[in->edge[i].to]]++;
    for (int i = 1; i <= in->nodes; i++)
        b->at[i] += b->at[i - 1];
    for (int i = 0; i < in->edges; i++)
        b->input[--b->at[b->id[in->edge[i].to]]] = b->id[in->edge[i].from];
    for (int i = 0; i < in->nodes; i++) {
        int *input = &b->input[b->at[i]], n = b->at[i + 1] - b->at[i];
        qsort(input, (size_t)n, sizeof *input, by_id);
        for (int k = 0; k < n; k++)
            if (!k || input[k] != input[k - 1])
                input[b->inputs[i]++] = input[k];
        const struct dawni_import_node *node = &in->node[b->order[i]];
        if (b->inputs[i] > DAWN_MAX_INPUTS)
            return dawni_import_fail(in, node->line, err,
                                     "node '%s' has %d inputs, at most %d work",
                                     node->name, b->inputs[i], DAWN_MAX_INPUTS);
    }
    return DAWN_OK;
}

/* As many f32 as hold the bytes, at least one. */
static int64_t elements(double bytes)
{
    return bytes > 4 ? (int64_t)ceil(bytes / 4) : 1;
}

static void add_node(const struct build *b, int id, struct dawn_graph *graph)
{
    const struct dawni_import_node *node = &b->in->node[b->order[id]];
    struct dawn_param_desc param = {
        .name = node->name, .dims = 1, .shape = {elements(node->param_bytes)}};
    struct dawn_tensor_desc output = {.name = node->name,
                                      .batched = true,
                                      .dims = 1,
                                      .shape = {elements(node->output_bytes)}};
    int p = dawn_graph_add_param(graph, &param);

    dawn_graph_add_node(
        graph, &(struct dawn_node_desc){.name = node->name,
                                        .op = "layer",
                                        .inputs = b->inputs[id],
                                        .input = &b->input[b->at[id]],
                                        .params = 1,
                                        .param = &p,
                                        .outputs = 1,
                                        .output = &output,
                                        .save_outputs = 1,
                                        .flags = DAWN_NODE_ABSTRACT,
                                        .fns = &dawni_profile_layer_fns});
}

static enum dawn_status build_graph(const struct build *b,
                                    struct dawn_graph **graph_p,
                                    struct dawn_error *err)
{
    struct dawn_graph *graph;
    enum dawn_status st = dawn_graph_create(b->in->format, &graph, err);

    if (st)
        return st;
    for (int i = 0; i < b->in->nodes; i++)
        add_node(b, i, graph);
    st = dawn_graph_finish(graph, err);
    if (st)
        dawn_graph_destroy(graph);
    else
        *graph_p = graph;
    return st;
}

static enum dawn_status fill(const struct build *b, struct dawn_profile *p,
                             struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < b->in->nodes && !st; i++) {
        const struct dawni_import_node *node = &b->in->node[b->order[i]];
        struct dawn_node_cost *cost = dawn_profile_cost(p, i, 0);
        cost->ns[0] = node->f_ns;
        cost->ns[1] = node->b_ns;
        st =
            dawn_profile_set_variants(p, i, node->variants, node->variant, err);
        if (!st)
            st = dawn_profile_set_label(p, i, node->label, err);
    }
    return st;
}

static enum dawn_status build_profile(const struct build *b,
                                      struct dawn_profile **profile_p,
                                      struct dawn_error *err)
{
    const int64_t one = 1;
    struct dawn_profile_desc desc = {
        .device = b->in->format, .sizes = 1, .size = &one};
    struct dawn_graph *graph = NULL;
    struct dawn_profile *p = NULL;
    enum dawn_status st = build_graph(b, &graph, err);

    if (st)
        return st;
    if ((st = dawn_profile_create(graph, &desc, &p, err))) {
        dawn_graph_destroy(graph);
        return st;
    }
    if ((st = fill(b, p, err))) {
        dawn_profile_destroy(p);
        return st;
    }
    snprintf(p->unused, sizeof p->unused, "%s", b->in->unused);
    *profile_p = p;
    return DAWN_OK;
}

enum dawn_status dawni_import_build(const struct dawni_import *in,
                                    struct dawn_profile **profile_p,
                                    struct dawn_error *err)
{
    struct build b = {.in = in};
    enum dawn_status st = DAWN_OK;

    if (!begin(&b))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d nodes", in->nodes);
    if (!st)
        st = dawni_import_order(in, b.order, err);
    if (!st)
        st = link_inputs(&b, err);
    if (!st)
        st = build_profile(&b, profile_p, err);
    end(&b);
    return st;
}
