/* SPDX-License-Identifier: Apache-2.0 */
/* A topological order of what was read, depth first: what a node sets free
 * comes right behind it, so that branches stay together. Ties go by the file's
 * order.
 */
#include "common/array.h"
#include "import/import.h"

struct order {
    const struct dawni_import *in;
    int *at;      /* by node, nodes + 1: its edges are edge[at] on */
    int *edge;    /* edges by the node they leave, last in the file first */
    int *waiting; /* by node: edges from nodes that were not taken */
    int *ready, readies;
};

static bool begin(struct order *o)
{
    const struct dawni_import *in = o->in;

    o->at = dawni_calloc((int64_t)in->nodes + 1, sizeof *o->at);
    o->edge = dawni_calloc(in->edges, sizeof *o->edge);
    o->waiting = dawni_calloc(in->nodes, sizeof *o->waiting);
    o->ready = dawni_calloc(in->nodes, sizeof *o->ready);
    if (!o->at || !o->edge || !o->waiting || !o->ready)
        return false;
    for (int i = 0; i < in->edges; i++) {
        o->at[in->edge[i].from]++;
        o->waiting[in->edge[i].to]++;
    }
    for (int i = 1; i <= in->nodes; i++)
        o->at[i] += o->at[i - 1];
    for (int i = 0; i < in->edges; i++)
        o->edge[--o->at[in->edge[i].from]] = i;
    for (int i = in->nodes - 1; i >= 0; i--)
        if (!o->waiting[i])
            o->ready[o->readies++] = i;
    return true;
}

static void end(struct order *o)
{
    free(o->at);
    free(o->edge);
    free(o->waiting);
    free(o->ready);
}

/* Returns how many nodes are in order. */
static int sort(struct order *o, int *order)
{
    int nodes = 0;

    while (o->readies) {
        int node = o->ready[--o->readies];
        order[nodes++] = node;
        for (int i = o->at[node]; i < o->at[node + 1]; i++) {
            int to = o->in->edge[o->edge[i]].to;
            if (!--o->waiting[to])
                o->ready[o->readies++] = to;
        }
    }
    return nodes;
}

/* Each node that waits is behind another one that waits: go back until one must
 * have come again. */
static enum dawn_status fail_cycle(struct order *o, struct dawn_error *err)
{
    const struct dawni_import *in = o->in;
    int *back = o->ready; /* by node: an edge from one that waits */
    int edge = 0;

    for (int i = 0; i < in->edges; i++)
        if (o->waiting[in->edge[i].from] && o->waiting[in->edge[i].to]) {
            back[in->edge[i].to] = i;
            edge = i;
        }
    for (int step = 0; step < in->nodes; step++)
        edge = back[in->edge[edge].from];
    return dawni_import_fail(in, in->edge[edge].line, err,
                             "this edge is on a cycle, behind node '%.100s'",
                             in->node[in->edge[edge].from].name);
}

enum dawn_status dawni_import_order(const struct dawni_import *in, int *order,
                                    struct dawn_error *err)
{
    struct order o = {.in = in};
    enum dawn_status st = DAWN_OK;

    if (!begin(&o))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to sort %d nodes",
                       in->nodes);
    else if (sort(&o, order) < in->nodes)
        st = fail_cycle(&o, err);
    end(&o);
    return st;
}
