/* SPDX-License-Identifier: Apache-2.0 */
/* Finishing a graph: who uses what, what gets a gradient, the digest. */
#include "common/hash.h"
#include "graph/graph.h"
#include <stdlib.h>

/* Append a node to a list of users, unless it is the newest one already. */
static bool add_user(int **user, int *users, int node)
{
    if (*users && (*user)[*users - 1] == node)
        return true;
    if ((*users & (*users - 1)) == 0) { /* full at powers of two */
        size_t want = *users ? (size_t)*users * 2 : 1;
        int *grown = realloc(*user, want * sizeof **user);
        if (!grown)
            return false;
        *user = grown;
    }
    (*user)[(*users)++] = node;
    return true;
}

static bool link_users(struct dawn_graph *g)
{
    for (int i = 0; i < g->nodes; i++) {
        const struct dawn_node_desc *d = &g->node[i].desc;
        for (int k = 0; k < d->inputs; k++) {
            struct dawni_tensor *t = &g->tensor[d->input[k]];
            if (!add_user(&t->user, &t->users, i))
                return false;
        }
    }
    for (int i = 0; i < g->nodes; i++) {
        int node = g->place[i];
        const struct dawn_node_desc *d = &g->node[node].desc;
        for (int k = 0; k < d->params; k++) {
            struct dawni_param *p = &g->param[d->param[k]];
            if (!add_user(&p->user, &p->users, node))
                return false;
        }
    }
    return true;
}

/* A float output may need a gradient where its node has parameters or an input
 * that may need one. */
static void mark_down(struct dawn_graph *g)
{
    for (int i = 0; i < g->nodes; i++) {
        struct dawni_node *n = &g->node[i];
        for (int k = 0; k < n->desc.inputs; k++)
            n->needs_b |= g->tensor[n->desc.input[k]].needs_grad;
        for (int k = 0; k < n->desc.outputs; k++) {
            struct dawni_tensor *t = &g->tensor[n->output[k]];
            bool real = t->desc.dtype == DAWN_F32 || t->desc.dtype == DAWN_BF16;
            t->needs_grad =
                real && !t->desc.no_grad && (n->needs_b || n->desc.params > 0);
        }
    }
}

/* Does a gradient arrive at the tensor? From the loss, or, in a graph without
 * one, from anything that nobody takes. */
static bool reached(const struct dawn_graph *g, int tensor)
{
    const struct dawni_tensor *t = &g->tensor[tensor];
    if (tensor == g->loss || (g->loss < 0 && t->users == 0))
        return true;
    for (int i = 0; i < t->users; i++)
        if (g->node[t->user[i]].active)
            return true;
    return false;
}

/* Backward runs where a gradient both is wanted and arrives. */
static void mark_up(struct dawn_graph *g)
{
    for (int i = g->nodes - 1; i >= 0; i--) {
        struct dawni_node *n = &g->node[i];
        for (int k = 0; k < n->desc.outputs; k++) {
            struct dawni_tensor *t = &g->tensor[n->output[k]];
            t->needs_grad = t->needs_grad && reached(g, n->output[k]);
            n->active |= t->needs_grad;
        }
        n->needs_b = n->needs_b && n->active;
    }
}

bool dawni_graph_derive(struct dawn_graph *g)
{
    g->place = calloc((size_t)g->nodes + 1, sizeof *g->place);
    if (!g->place)
        return false;
    for (int i = 0; i < g->nodes; i++)
        g->place[g->node[i].number] = i;
    if (!link_users(g))
        return false;
    mark_down(g);
    mark_up(g);
    return true;
}

/* A parameter that nobody uses would have no stage to live on. */
static void check_params(struct dawn_graph *g)
{
    for (int i = 0; i < g->params; i++) {
        const struct dawni_param *p = &g->param[i];
        if (p->users == 0)
            dawn_graph_fail(g, DAWN_E_INVAL, "no node uses parameter '%s'",
                            p->desc.name);
        if (p->users > 1 && p->desc.average > 0)
            dawn_graph_fail(g, DAWN_E_INVAL,
                            "parameter '%s' is an average, and used by %d "
                            "nodes",
                            p->desc.name, p->users);
    }
}

static void hash_int(struct dawni_hash *h, int64_t x)
{
    dawni_hash_add_u64(h, (uint64_t)x);
}

static void hash_shape(struct dawni_hash *h, int dims, const int64_t *shape)
{
    hash_int(h, dims);
    for (int i = 0; i < dims; i++)
        hash_int(h, shape[i]);
}

static void hash_node(struct dawni_hash *h, const struct dawni_node *n)
{
    const struct dawn_node_desc *d = &n->desc;
    dawni_hash_add_str(h, d->name);
    dawni_hash_add_str(h, d->op);
    hash_int(h, d->inputs);
    for (int i = 0; i < d->inputs; i++)
        hash_int(h, d->input[i]);
    hash_int(h, d->params);
    for (int i = 0; i < d->params; i++)
        hash_int(h, d->param[i]);
    hash_int(h, d->outputs);
    hash_int(h, d->save_inputs);
    hash_int(h, d->save_outputs);
    hash_int(h, d->flags);
    hash_int(h, d->attrs);
    for (int i = 0; i < d->attrs; i++) {
        dawni_hash_add_str(h, d->attr[i].key);
        dawni_hash_add_double(h, d->attr[i].value);
    }
}

uint64_t dawni_graph_digest(const struct dawn_graph *g)
{
    struct dawni_hash h;
    dawni_hash_init(&h);
    dawni_hash_add_str(&h, g->name);
    hash_int(&h, g->loss);
    for (int i = 0; i < g->params; i++) {
        const struct dawn_param_desc *d = &g->param[i].desc;
        dawni_hash_add_str(&h, d->name);
        hash_shape(&h, d->dims, d->shape);
        hash_int(&h, (int64_t)d->init);
        dawni_hash_add_double(&h, d->std);
        hash_int(&h, d->decay);
        if (d->average > 0)
            dawni_hash_add_double(&h, d->average);
    }
    for (int i = 0; i < g->tensors; i++) {
        const struct dawn_tensor_desc *d = &g->tensor[i].desc;
        dawni_hash_add_str(&h, d->name);
        hash_int(&h, g->tensor[i].producer);
        hash_int(&h, (int64_t)d->dtype);
        hash_int(&h, d->batched);
        hash_int(&h, d->no_grad);
        hash_shape(&h, d->dims, d->shape);
    }
    for (int i = 0; i < g->nodes; i++)
        hash_node(&h, &g->node[i]);
    return dawni_hash_end(&h);
}

enum dawn_status dawn_graph_finish(struct dawn_graph *g, struct dawn_error *err)
{
    if (g->finished)
        return DAWN_OK;
    if (!g->sticky.status && g->nodes == 0)
        dawn_graph_fail(g, DAWN_E_INVAL, "graph '%s' has no node", g->name);
    if (!g->sticky.status && g->loss >= 0) {
        const struct dawn_tensor_desc *d = &g->tensor[g->loss].desc;
        if (d->dtype != DAWN_F32 || d->dims != 0 || d->batched)
            dawn_graph_fail(g, DAWN_E_INVAL, "loss '%s' is no scalar f32",
                            d->name);
    }
    if (!g->sticky.status && !dawni_graph_derive(g))
        dawn_graph_fail(g, DAWN_E_NOMEM, "no memory for graph '%s'", g->name);
    if (!g->sticky.status)
        check_params(g);
    if (g->sticky.status)
        return dawn_fail(err, g->sticky.status, "%s", g->sticky.text);
    g->digest = dawni_graph_digest(g);
    g->finished = true;
    return DAWN_OK;
}
