/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a graph. */
#include "graph/graph.h"
#include "common/padded.h"
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define DTYPE_ROW(name, text, bytes) {text, bytes},
    DAWN_DTYPE_MAP(DTYPE_ROW)
#undef DTYPE_ROW
};

const char *dawn_dtype_name(enum dawn_dtype dtype)
{
    size_t i = (size_t)dtype;
    return i < sizeof dtypes / sizeof *dtypes ? dtypes[i].name : NULL;
}

size_t dawn_dtype_bytes(enum dawn_dtype dtype)
{
    size_t i = (size_t)dtype;
    return i < sizeof dtypes / sizeof *dtypes ? dtypes[i].bytes : 0;
}

const char *dawn_graph_name(const struct dawn_graph *g)
{
    return g->name;
}

int dawn_graph_nodes(const struct dawn_graph *g)
{
    return g->nodes;
}

int dawn_graph_tensors(const struct dawn_graph *g)
{
    return g->tensors;
}

int dawn_graph_params(const struct dawn_graph *g)
{
    return g->params;
}

int dawn_graph_loss(const struct dawn_graph *g)
{
    return g->loss;
}

const struct dawn_node_desc *dawn_graph_node(const struct dawn_graph *g,
                                             int node)
{
    return node >= 0 && node < g->nodes ? &g->node[node].desc : NULL;
}

const struct dawn_tensor_desc *dawn_graph_tensor(const struct dawn_graph *g,
                                                 int tensor)
{
    return tensor >= 0 && tensor < g->tensors ? &g->tensor[tensor].desc : NULL;
}

const struct dawn_param_desc *dawn_graph_param(const struct dawn_graph *g,
                                               int param)
{
    return param >= 0 && param < g->params ? &g->param[param].desc : NULL;
}

int dawn_graph_number(const struct dawn_graph *g, int node)
{
    return node >= 0 && node < g->nodes ? g->node[node].number : -1;
}

int dawn_graph_output(const struct dawn_graph *g, int node, int k)
{
    const struct dawn_node_desc *d = dawn_graph_node(g, node);
    return d && k >= 0 && k < d->outputs ? g->node[node].output[k] : -1;
}

int dawn_graph_producer(const struct dawn_graph *g, int tensor)
{
    return tensor >= 0 && tensor < g->tensors ? g->tensor[tensor].producer : -1;
}

int dawn_graph_find_node(const struct dawn_graph *g, const char *name)
{
    return dawni_namemap_find(g->node_names, name);
}

int dawn_graph_find_tensor(const struct dawn_graph *g, const char *name)
{
    return dawni_namemap_find(g->tensor_names, name);
}

int dawn_graph_find_param(const struct dawn_graph *g, const char *name)
{
    return dawni_namemap_find(g->param_names, name);
}

double dawn_graph_attr(const struct dawn_graph *g, int node, const char *key,
                       double otherwise)
{
    const struct dawn_node_desc *d = dawn_graph_node(g, node);
    for (int i = 0; d && i < d->attrs; i++)
        if (strcmp(d->attr[i].key, key) == 0)
            return d->attr[i].value;
    return otherwise;
}

uint64_t dawn_graph_tensor_bytes(const struct dawn_graph *g, int tensor,
                                 int64_t microbatch)
{
    const struct dawn_tensor_desc *d = dawn_graph_tensor(g, tensor);
    if (!d)
        return 0;
    uint64_t bytes = dawn_dtype_bytes(d->dtype);
    for (int i = 0; i < d->dims; i++)
        bytes *= (uint64_t)d->shape[i];
    return d->batched ? bytes * (uint64_t)microbatch : bytes;
}

uint64_t dawni_graph_padded_bytes(const struct dawn_graph *g, int tensor,
                                  int64_t microbatch)
{
    return dawni_padded(dawn_graph_tensor_bytes(g, tensor, microbatch));
}

double dawni_graph_all_bytes(const struct dawn_graph *g, double samples)
{
    double bytes = 0;

    for (int i = 0; i < g->tensors; i++)
        bytes += (double)dawn_graph_tensor_bytes(g, i, 1) *
                 (g->tensor[i].desc.batched ? samples : 1);
    for (int i = 0; i < g->params; i++)
        bytes += 16.0 * (double)g->param[i].elements;
    return bytes;
}

int64_t dawn_graph_param_elements(const struct dawn_graph *g, int param)
{
    return param >= 0 && param < g->params ? g->param[param].elements : 0;
}

uint64_t dawn_graph_digest(const struct dawn_graph *g)
{
    return g->digest;
}

bool dawni_tensor_saved(const struct dawn_graph *g, int tensor, int first,
                        int last)
{
    const struct dawni_tensor *t = &g->tensor[tensor];
    if (t->producer >= first && t->producer <= last) {
        const struct dawni_node *n = &g->node[t->producer];
        if (n->active && (n->desc.save_outputs >> t->port & 1))
            return true;
    }
    for (int u = 0; u < t->users; u++) {
        const struct dawni_node *n = &g->node[t->user[u]];
        if (t->user[u] < first || t->user[u] > last || !n->active)
            continue;
        for (int i = 0; i < n->desc.inputs; i++)
            if (n->desc.input[i] == tensor &&
                dawni_node_saves_input(&n->desc, i))
                return true;
    }
    return false;
}
