/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/cuts.h"
#include "graph/graph.h"
#include <stdlib.h>
#include <string.h>

static int edge_order(struct dawn_edge a, struct dawn_edge b)
{
    return a.from != b.from ? a.from - b.from : a.to - b.to;
}

/* Position of the edge, or where it would stand. */
static int edge_place(const struct dawni_cut *cut, int cuts,
                      struct dawn_edge edge)
{
    int low = 0, high = cuts;
    while (low < high) {
        int mid = (low + high) / 2;
        if (edge_order(cut[mid].edge, edge) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool dawni_cut_add(struct dawni_cut **cut, int *cuts, struct dawn_edge edge,
                   int tensor)
{
    int at = edge_place(*cut, *cuts, edge);
    if (at == *cuts || edge_order((*cut)[at].edge, edge) != 0) {
        size_t n = (size_t)*cuts;
        struct dawni_cut *grown = realloc(*cut, (n + 1) * sizeof *grown);
        if (!grown)
            return false;
        memmove(grown + at + 1, grown + at, (n - (size_t)at) * sizeof *grown);
        grown[at] = (struct dawni_cut){.edge = edge};
        *cut = grown;
        ++*cuts;
    }
    struct dawni_cut *c = &(*cut)[at];
    int *more = realloc(c->tensor, ((size_t)c->tensors + 1) * sizeof *more);
    if (!more)
        return false;
    more[c->tensors++] = tensor;
    c->tensor = more;
    return true;
}

const struct dawni_cut *dawni_cut_find(const struct dawni_cut *cut, int cuts,
                                       int from, int to)
{
    struct dawn_edge edge = {from, to};
    int at = edge_place(cut, cuts, edge);
    return at < cuts && edge_order(cut[at].edge, edge) == 0 ? &cut[at] : NULL;
}

static int stage_at(const int *first, int stages, int node)
{
    int low = 0, high = stages - 1;
    while (low < high) {
        int mid = (low + high + 1) / 2;
        if (first[mid] <= node)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

static bool add_tensor(const struct dawn_graph *g, int stages, const int *first,
                       int tensor, struct dawni_cuts *cuts)
{
    const struct dawni_tensor *t = &g->tensor[tensor];
    if (t->producer < 0)
        return true; /* every stage feeds itself */
    int from = stage_at(first, stages, t->producer);
    int sent = from, before = from; /* stages of the newest edges */
    for (int i = 0; i < t->users; i++) {
        int to = stage_at(first, stages, t->user[i]);
        if (to != sent && !dawni_cut_add(&cuts->act, &cuts->acts,
                                         (struct dawn_edge){from, to}, tensor))
            return false;
        sent = to;
        /* a user from which no gradient comes is no part of the chain */
        if (!t->needs_grad || to == before || !g->node[t->user[i]].active)
            continue;
        if (!dawni_cut_add(&cuts->grad, &cuts->grads,
                           (struct dawn_edge){before, to}, tensor))
            return false;
        before = to;
    }
    return true;
}

enum dawn_status dawni_cuts_create(const struct dawn_graph *g, int stages,
                                   const int *first, struct dawni_cuts *cuts,
                                   struct dawn_error *err)
{
    struct dawni_cuts made = {0};
    for (int t = 0; t < g->tensors; t++) {
        if (add_tensor(g, stages, first, t, &made))
            continue;
        dawni_cuts_clear(&made);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d cuts",
                         stages - 1);
    }
    *cuts = made;
    return DAWN_OK;
}

static void clear(struct dawni_cut *cut, int cuts)
{
    for (int i = 0; i < cuts; i++)
        free(cut[i].tensor);
    free(cut);
}

void dawni_cuts_clear(struct dawni_cuts *cuts)
{
    clear(cuts->act, cuts->acts);
    clear(cuts->grad, cuts->grads);
    *cuts = (struct dawni_cuts){0};
}

uint64_t dawni_cut_bytes(const struct dawn_graph *g,
                         const struct dawni_cut *cut, int64_t microbatch)
{
    uint64_t bytes = 0;
    for (int i = 0; i < cut->tensors; i++)
        bytes += dawn_graph_tensor_bytes(g, cut->tensor[i], microbatch);
    return bytes;
}
