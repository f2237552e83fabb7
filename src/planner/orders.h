/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for a better order of a branchy graph's nodes. */
#ifndef DAWNI_PLANNER_ORDERS_H
#define DAWNI_PLANNER_ORDERS_H

#include "planner/planner.h"

/* Which node must stand before which: by what they make and take, and by the
 * order of users that gradients are added in (see dawn_graph_reorder). */
struct dawni_dag {
    int nodes;
    int *after_at, *after; /* of node v: after[after_at[v]..after_at[v+1]-1] */
    int *before_at, *before; /* likewise; an edge may stand there twice */
};

/* False: no memory. */
bool dawni_dag_create(const struct dawn_graph *graph, struct dawni_dag *dag);
void dawni_dag_clear(struct dawni_dag *dag);

/* Ways to choose among nodes that may come next. */
enum dawni_order_kind {
    DAWNI_ORDER_DEPTH,    /* go on with the newest: finish a branch first */
    DAWNI_ORDER_MEMORY,   /* what leaves the fewest bytes of tensors alive */
    DAWNI_ORDER_CRITICAL, /* where the longest way to the end is left */
    DAWNI_ORDER_SHORT,    /* where the shortest is */
    DAWNI_ORDER_KINDS
};

/* Fill order[nodes]. ns: of each node. False: no memory, or too much work. */
bool dawni_list_nodes(const struct dawn_graph *graph,
                      const struct dawni_dag *dag, const double *ns,
                      enum dawni_order_kind kind, int *order);

/* moves.c: move nodes, with all that must go along, between stages while their
 * estimated times get more even.
 *
 *   pl            of the graph that `dag` is of, for costs
 *   recompute_ns  by stage, of the plan
 *   stage_of      by node; in: of the plan, out: moved
 *
 * False: nothing was moved, or no memory (pl->status is set). */
bool dawni_move_nodes(struct dawni_planner *pl, const struct dawni_dag *dag,
                      const double *recompute_ns, int *stage_of);

#endif
