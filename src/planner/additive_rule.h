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
    bool *offloaded;    /* likewise */
    uint8_t *decision;  /* [tensors]: to try */
    double tier_share;  /* part of the tier's rate that is planned with */
    struct dawni_transfers transfers; /* of the stage priced */
};

/* Where offloaded tensors go; DAWN_KEEP: nowhere. */
enum dawn_decision dawni_additive_tier(const struct dawni_planner *pl);

/* The whole problem, under the caps as they are. */
struct dawni_partition_problem dawni_additive_problem(struct dawni_planner *pl);

#endif
