/* SPDX-License-Identifier: Apache-2.0 */
/* An additive profile as src/partition wants it; for additive*.c. */
#ifndef DAWNI_PLANNER_ADDITIVE_RULE_H
#define DAWNI_PLANNER_ADDITIVE_RULE_H

#include "partition/partition.h"
#include "planner/additive.h"

struct dawni_additive {
    int *variant_at; /* [n + 1] */
    struct dawni_variant *variant;
    int edges;
    struct dawni_partition_edge *edge;
    struct dawni_partition_device *device; /* [l] */
    bool folded;        /* saved bytes of all microbatches are in fixed_bytes */
    int *node, *choice; /* [n]: of the knapsack at work */
};

/* The whole problem, under the caps as they are. */
struct dawni_partition_problem dawni_additive_problem(struct dawni_planner *pl);

#endif
