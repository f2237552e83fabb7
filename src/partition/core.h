/* SPDX-License-Identifier: Apache-2.0 */
/* The exact search of a knapsack over its core; see knapsack.h. */
#ifndef DAWNI_PARTITION_CORE_H
#define DAWNI_PARTITION_CORE_H

#include "partition/knapsack.h"
#include <math.h>

struct dawni_core_item { /* a node of the core */
    int item, first, options;
    /* Time won by a byte more, at most; lost by a byte less, at least: by any
     * of its options against its base. */
    double undo, redo;
    double key;
};

struct dawni_core_option { /* against the base of its node */
    int64_t dt, dm, dr;
    int index;
};

struct dawni_core_state { /* a partial choice: bases for all nodes to come */
    int64_t t, m, r;
    int trace;
};

struct dawni_core_trace { /* what a choice has besides bases */
    int before, item, index;
};

struct dawni_core_stair { /* states so far: least r for this t */
    int64_t t, r;
};

struct dawni_core {
    struct dawni_core_item *item;
    struct dawni_core_option *option;
    struct dawni_core_state *list, *next, *merged;
    struct dawni_core_trace *trace;
    struct dawni_core_stair *stair;
    double *bound;
    int items, options, states, next_states, merged_states, traces, stairs;
    int item_room, option_room, list_room, next_room, merged_room, trace_room,
        stair_room, bound_room;
};

void dawni_core_destroy(struct dawni_core *c); /* takes NULL */

#endif
