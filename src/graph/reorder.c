/* SPDX-License-Identifier: Apache-2.0 */
/* The same model with its nodes in another order.
 *
 * Order must not change a bit. What is keyed by nodes follows their number, the
 * order in which the model was built. The gradient of a tensor is summed over
 * its users from the last to the first, each adding its part while it computes
 * it, so these must keep their order too.
 */
#include "common/array.h"
#include "graph/graph.h"

static const char *name_of(const struct dawn_graph *g, int node)
{
    return g->node[node].desc.name;
}

/* Every node once. at[node]: its place, -1 where it has none yet. */
static enum dawn_status find_places(const struct dawn_graph *g,
                                    const int *order, int count, int *at,
                                    int *bad, struct dawn_error *err)
{
    for (int i = 0; i < g->nodes; i++)
        at[i] = -1;
    for (*bad = 0; *bad < count; ++*bad) {
        int node = order[*bad];
        if (node < 0 || node >= g->nodes)
            return dawn_fail(err, DAWN_E_INVAL,
                             "order: node %d, must be 0 to "
                             "%d",
                             node, g->nodes - 1);
        if (at[node] >= 0)
            return dawn_fail(err, DAWN_E_INVAL,
                             "node '%s' stands twice in the order",
                             name_of(g, node));
        at[node] = *bad;
    }
    for (int i = 0; i < g->nodes; i++)
        if (at[i] < 0)
            return dawn_fail(err, DAWN_E_INVAL,
                             "node '%s' is missing in the order",
                             name_of(g, i));
    return DAWN_OK;
}

/* The user of the tensor next before `node` in the graph that sends a gradient
 * of it back; -1: none. */
static int user_before(const struct dawn_graph *g, int tensor, int node)
{
    const struct dawni_tensor *t = &g->tensor[tensor];
    int before = -1;

    for (int u = 0; u < t->users && t->user[u] != node; u++)
        if (g->node[t->user[u]].active)
            before = t->user[u];
    return before;
}

static enum dawn_status check_node(const struct dawn_graph *g, int node,
                                   const int *at, struct dawn_error *err)
{
    const struct dawn_node_desc *d = &g->node[node].desc;

    for (int i = 0; i < d->inputs; i++) {
        const struct dawni_tensor *t = &g->tensor[d->input[i]];
        if (t->producer >= 0 && at[t->producer] > at[node])
            return dawn_fail(err, DAWN_E_INVAL,
                             "node '%s' stands before '%s', whose output '%s' "
                             "it needs",
                             d->name, name_of(g, t->producer), t->desc.name);
        if (!t->needs_grad || !g->node[node].active ||
            (d->flags & DAWN_NODE_ABSTRACT))
            continue;
        int before = user_before(g, d->input[i], node);
        if (before >= 0 && at[before] > at[node])
            return dawn_fail(err, DAWN_E_INVAL,
                             "node '%s' stands before '%s': the gradients that "
                             "both give '%s' are added in the graph's order",
                             d->name, name_of(g, before), t->desc.name);
    }
    return DAWN_OK;
}

enum dawn_status dawni_graph_check_order(const struct dawn_graph *g,
                                         const int *order, int count, int *bad,
                                         struct dawn_error *err)
{
    int *at = dawni_calloc(g->nodes, sizeof *at);
    enum dawn_status st;

    if (!at)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                         g->nodes);
    st = find_places(g, order, count, at, bad, err);
    for (int i = 0; i < count && !st; i++) {
        *bad = i;
        st = check_node(g, order[i], at, err);
    }
    free(at);
    return st;
}

static bool copy_nodes(const struct dawn_graph *g, const int *order,
                       struct dawn_graph *to)
{
    to->node = dawni_calloc(g->nodes, sizeof *to->node);
    for (int i = 0; to->node && i < g->nodes; i++) {
        const struct dawni_node *n = &g->node[order[i]];
        to->nodes++; /* destroy takes it from here */
        if (!dawni_node_copy(&to->node[i], &n->desc) ||
            dawni_namemap_add(to->node_names, to->node[i].desc.name, i))
            return false;
        to->node[i].number = n->number;
        memcpy(to->node[i].output, n->output,
               (size_t)n->desc.outputs * sizeof *n->output);
    }
    return to->node != NULL;
}

static bool copy_tensors(const struct dawn_graph *g, struct dawn_graph *to)
{
    to->tensor = dawni_calloc(g->tensors, sizeof *to->tensor);
    for (int i = 0; to->tensor && i < g->tensors; i++) {
        struct dawni_tensor *t = &to->tensor[to->tensors++];
        *t = (struct dawni_tensor){.desc = g->tensor[i].desc,
                                   .producer = -1,
                                   .port = g->tensor[i].port};
        t->desc.name = strdup(g->tensor[i].desc.name);
        if (!t->desc.name ||
            dawni_namemap_add(to->tensor_names, t->desc.name, i))
            return false;
    }
    for (int n = 0; to->tensor && n < to->nodes; n++)
        for (int k = 0; k < to->node[n].desc.outputs; k++)
            to->tensor[to->node[n].output[k]].producer = n;
    return to->tensor != NULL;
}

static bool copy_params(const struct dawn_graph *g, struct dawn_graph *to)
{
    to->param = dawni_calloc(g->params, sizeof *to->param);
    for (int i = 0; to->param && i < g->params; i++) {
        struct dawni_param *p = &to->param[to->params++];
        *p = (struct dawni_param){.desc = g->param[i].desc,
                                  .elements = g->param[i].elements};
        p->desc.name = strdup(g->param[i].desc.name);
        if (!p->desc.name ||
            dawni_namemap_add(to->param_names, p->desc.name, i))
            return false;
    }
    return to->param != NULL;
}

enum dawn_status dawn_graph_reorder(const struct dawn_graph *g,
                                    const int *order, int count,
                                    struct dawn_graph **graph_p,
                                    struct dawn_error *err)
{
    struct dawn_graph *to = NULL;
    enum dawn_status st;
    int bad;

    if (!g->finished)
        return dawn_fail(err, DAWN_E_INVAL, "graph '%s' is not finished",
                         g->name);
    if ((st = dawni_graph_check_order(g, order, count, &bad, err)) ||
        (st = dawn_graph_create(g->name, &to, err)))
        return st;
    to->loss = g->loss;
    to->digest = g->digest;
    to->finished = true;
    if (!copy_nodes(g, order, to) || !copy_tensors(g, to) ||
        !copy_params(g, to) || !dawni_graph_derive(to)) {
        dawn_graph_destroy(to);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for graph '%s'",
                         g->name);
    }
    *graph_p = to;
    return DAWN_OK;
}

bool dawni_graph_is_built_order(const struct dawn_graph *g)
{
    for (int i = 0; i < g->nodes; i++)
        if (g->node[i].number != i)
            return false;
    return true;
}

bool dawni_graph_same_order(const struct dawn_graph *a,
                            const struct dawn_graph *b)
{
    if (a->nodes != b->nodes)
        return false;
    for (int i = 0; i < a->nodes; i++)
        if (a->node[i].number != b->node[i].number)
            return false;
    return true;
}

int *dawni_graph_order_like(const struct dawn_graph *g,
                            const struct dawn_graph *like)
{
    int *order = dawni_calloc(like->nodes, sizeof *order);

    for (int i = 0; order && i < like->nodes; i++)
        order[i] = g->place[like->node[i].number];
    return order;
}

enum dawn_status dawni_graph_reorder_like(const struct dawn_graph *g,
                                          const struct dawn_graph *like,
                                          struct dawn_graph **graph_p,
                                          struct dawn_error *err)
{
    int *order = dawni_graph_order_like(g, like);
    enum dawn_status st;

    if (!order)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                         like->nodes);
    st = dawn_graph_reorder(g, order, like->nodes, graph_p, err);
    free(order);
    return st;
}
