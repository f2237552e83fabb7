/* SPDX-License-Identifier: Apache-2.0 */
/* What crosses the cuts of a partition. A tensor goes straight from the stage
 * that makes it to each stage that needs it. Its gradient comes back as a
 * chain, from the last stage that needs it over the ones before to the maker,
 * each adding its own part: so the sum is the one of a single stage, bit for
 * bit.
 */
#ifndef DAWNI_PLAN_CUTS_H
#define DAWNI_PLAN_CUTS_H

#include <dawnpiper/graph.h>
#include <dawnpiper/schedule.h>

struct dawni_cut { /* all tensors of one edge */
    struct dawn_edge edge;
    int tensors;
    int *tensor; /* ids, ascending */
};

struct dawni_cuts {
    int acts, grads;
    struct dawni_cut *act;  /* ordered by (from, to) */
    struct dawni_cut *grad; /* edge.to sends up to edge.from */
};

/* first: first node of each stage, ascending, first[0] = 0. */
enum dawn_status dawni_cuts_create(const struct dawn_graph *graph, int stages,
                                   const int *first, struct dawni_cuts *cuts,
                                   struct dawn_error *err);
void dawni_cuts_clear(struct dawni_cuts *cuts);

/* Add a tensor to the edge, which is made if it is new. Returns false without
 * memory. */
bool dawni_cut_add(struct dawni_cut **cut, int *cuts, struct dawn_edge edge,
                   int tensor);

/* NULL when nothing crosses there. */
const struct dawni_cut *dawni_cut_find(const struct dawni_cut *cut, int cuts,
                                       int from, int to);

/* Bytes of one microbatch over the edge. */
uint64_t dawni_cut_bytes(const struct dawn_graph *graph,
                         const struct dawni_cut *cut, int64_t microbatch);

#endif
