/* SPDX-License-Identifier: Apache-2.0 */
/* What must stand before what in a graph, and topological orders made from it
 * by list scheduling.
 */
#include "common/array.h"
#include "planner/orders.h"
#include <math.h>

/* Nodes that are looked at, in all, while an order is made: a fraction of a
 * second for graphs that are very wide. */
#define MOST_LOOKS 20000000

typedef void (*edge_fn)(struct dawni_dag *d, int from, int to);

static void each_edge(const struct dawn_graph *g, edge_fn edge,
                      struct dawni_dag *d)
{
    for (int t = 0; t < g->tensors; t++) {
        const struct dawni_tensor *tensor = &g->tensor[t];
        int before = -1;
        for (int u = 0; u < tensor->users; u++) {
            int user = tensor->user[u];
            if (tensor->producer >= 0)
                edge(d, tensor->producer, user);
            if (!tensor->needs_grad || !g->node[user].active)
                continue;
            if (before >= 0 && !(g->node[user].desc.flags & DAWN_NODE_ABSTRACT))
                edge(d, before, user);
            before = user;
        }
    }
}

static void count_edge(struct dawni_dag *d, int from, int to)
{
    d->after_at[from + 2]++;
    d->before_at[to + 2]++;
}

/* Until all are there, at[v + 1] is where the next one of v goes. */
static void add_edge(struct dawni_dag *d, int from, int to)
{
    d->after[d->after_at[from + 1]++] = to;
    d->before[d->before_at[to + 1]++] = from;
}

bool dawni_dag_create(const struct dawn_graph *g, struct dawni_dag *dag)
{
    struct dawni_dag d = {
        .nodes = g->nodes,
        .after_at = dawni_calloc((int64_t)g->nodes + 2, sizeof *d.after_at),
        .before_at = dawni_calloc((int64_t)g->nodes + 2, sizeof *d.before_at),
    };

    if (d.after_at && d.before_at) {
        each_edge(g, count_edge, &d);
        for (int i = 1; i <= g->nodes + 1; i++) {
            d.after_at[i] += d.after_at[i - 1];
            d.before_at[i] += d.before_at[i - 1];
        }
        int edges = d.after_at[g->nodes + 1];
        d.after = dawni_calloc(edges, sizeof *d.after);
        d.before = dawni_calloc(edges, sizeof *d.before);
    }
    if (!d.after || !d.before) {
        dawni_dag_clear(&d);
        return false;
    }
    each_edge(g, add_edge, &d);
    *dag = d;
    return true;
}

void dawni_dag_clear(struct dawni_dag *d)
{
    free(d->after_at);
    free(d->after);
    free(d->before_at);
    free(d->before);
    *d = (struct dawni_dag){0};
}

/* Must v stand right behind the node before it? */
static bool is_bound(const struct dawn_graph *g, int v)
{
    const struct dawn_node_desc *d = &g->node[v].desc;

    for (int i = 0; i < d->inputs; i++) {
        const struct dawni_tensor *t = &g->tensor[d->input[i]];
        if (t->producer == v - 1)
            return true;
        if (!t->needs_grad || !g->node[v].active || !g->node[v - 1].active ||
            (d->flags & DAWN_NODE_ABSTRACT))
            continue;
        for (int u = 0; u < t->users; u++)
            if (t->user[u] == v - 1)
                return true;
    }
    return false;
}

bool dawni_graph_is_chain(const struct dawn_graph *g)
{
    for (int v = 1; v < g->nodes; v++)
        if (!is_bound(g, v))
            return false;
    return true;
}

/* List scheduling */

struct listing {
    const struct dawn_graph *graph;
    const struct dawni_dag *dag;
    enum dawni_order_kind kind;
    double *key;  /* by node, the largest comes first */
    double *way;  /* by node: time of the longest way from it to the end */
    int *missing; /* by node: edges from nodes that are not placed yet */
    int *users;   /* by tensor: users that are not placed yet */
    int *ready;   /* nodes that may come next */
    int readies;
};

/* Bytes that come to life with the node, less those that are then done with. */
static double bytes_left(const struct listing *l, int v)
{
    const struct dawni_node *n = &l->graph->node[v];
    double bytes = 0;

    for (int k = 0; k < n->desc.outputs; k++)
        bytes += (double)dawn_graph_tensor_bytes(l->graph, n->output[k], 1);
    for (int i = 0; i < n->desc.inputs; i++) {
        int t = n->desc.input[i];
        if (l->graph->tensor[t].producer >= 0 && l->users[t] == 1)
            bytes -= (double)dawn_graph_tensor_bytes(l->graph, t, 1);
    }
    return bytes;
}

/* A node may come, at place `at`. */
static void add_ready(struct listing *l, int v, int at)
{
    if (l->kind == DAWNI_ORDER_DEPTH)
        l->key[v] = at;
    else if (l->kind == DAWNI_ORDER_CRITICAL)
        l->key[v] = l->way[v];
    else if (l->kind == DAWNI_ORDER_SHORT)
        l->key[v] = -l->way[v];
    l->ready[l->readies++] = v;
}

static int take_best(struct listing *l)
{
    int best = 0;

    for (int i = 0; i < l->readies; i++) {
        int v = l->ready[i], w = l->ready[best];
        if (l->kind == DAWNI_ORDER_MEMORY)
            l->key[v] = -bytes_left(l, v);
        if (l->key[v] > l->key[w] || (!(l->key[v] < l->key[w]) && v < w))
            best = i;
    }
    int v = l->ready[best];
    l->ready[best] = l->ready[--l->readies];
    return v;
}

static void place(struct listing *l, int v, int at)
{
    const struct dawni_dag *d = l->dag;
    const struct dawn_node_desc *desc = &l->graph->node[v].desc;

    for (int i = 0; i < desc->inputs; i++) {
        int again = 0;
        for (int k = 0; k < i && !again; k++)
            again = desc->input[k] == desc->input[i];
        l->users[desc->input[i]] -= !again;
    }
    for (int i = d->after_at[v]; i < d->after_at[v + 1]; i++)
        if (--l->missing[d->after[i]] == 0)
            add_ready(l, d->after[i], at);
}

static bool list_nodes(struct listing *l, const double *ns, int *order)
{
    const struct dawni_dag *d = l->dag;
    int64_t looks = 0;

    for (int t = 0; t < l->graph->tensors; t++)
        l->users[t] = l->graph->tensor[t].users;
    for (int v = d->nodes - 1; v >= 0; v--) {
        for (int i = d->after_at[v]; i < d->after_at[v + 1]; i++)
            l->way[v] = fmax(l->way[v], l->way[d->after[i]]);
        l->way[v] += ns[v];
    }
    for (int v = 0; v < d->nodes; v++)
        l->missing[v] = d->before_at[v + 1] - d->before_at[v];
    for (int v = 0; v < d->nodes; v++)
        if (l->missing[v] == 0)
            add_ready(l, v, 0);
    for (int at = 0; at < d->nodes && looks < MOST_LOOKS; at++) {
        looks += l->readies;
        order[at] = take_best(l);
        place(l, order[at], at + 1);
    }
    return looks < MOST_LOOKS;
}

bool dawni_list_nodes(const struct dawn_graph *g, const struct dawni_dag *dag,
                      const double *ns, enum dawni_order_kind kind, int *order)
{
    struct listing l = {
        .graph = g,
        .dag = dag,
        .kind = kind,
        .key = dawni_calloc(g->nodes, sizeof *l.key),
        .way = dawni_calloc(g->nodes, sizeof *l.way),
        .missing = dawni_calloc(g->nodes, sizeof *l.missing),
        .users = dawni_calloc(g->tensors, sizeof *l.users),
        .ready = dawni_calloc(g->nodes, sizeof *l.ready),
    };
    bool whole = l.key && l.way && l.missing && l.users && l.ready &&
                 list_nodes(&l, ns, order);

    free(l.key);
    free(l.way);
    free(l.missing);
    free(l.users);
    free(l.ready);
    return whole;
}
