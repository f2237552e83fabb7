/* SPDX-License-Identifier: Apache-2.0 */
/* Small random problems, and their optimum by trying everything. */
#ifndef TESTS_PARTITION_BRUTE_H
#define TESTS_PARTITION_BRUTE_H

#include "partition/partition.h"

#define BRUTE_NODES 14
#define BRUTE_STAGES 4
#define BRUTE_VARIANTS 4

struct brute_problem {
    struct dawni_partition_problem p; /* points into the rest */
    int variant_at[BRUTE_NODES + 1];
    struct dawni_variant variant[BRUTE_NODES * BRUTE_VARIANTS];
    struct dawni_partition_edge edge[BRUTE_NODES * BRUTE_NODES];
    struct dawni_partition_device device[BRUTE_STAGES];
};

enum brute_shape { BRUTE_CHAIN, BRUTE_BRANCHY, BRUTE_SHAPES };

struct brute_opts {
    enum brute_shape shape;
    int most_nodes;
    bool uneven; /* devices of different speed and memory */
    bool tier;
};

/* Random numbers: the same for the same seed. */
uint32_t brute_random(uint64_t *seed);
int brute_below(uint64_t *seed, int n); /* 0..n - 1 */

/* Whole numbers everywhere, so that sums are exact. */
void brute_make(struct brute_problem *b, const struct brute_opts *opts,
                uint64_t *seed);

/* The least time of nodes (a bit mask) as one stage: INFINITY if none fits. */
double brute_stage(const struct dawni_partition_problem *p, uint32_t nodes,
                   int y, const struct dawni_partition_device *device);

/* The least bottleneck over all chains of downsets, devices and variants:
 * INFINITY if there is none, -1 without memory. */
double brute_solve(const struct dawni_partition_problem *p);

/* NULL, or what is wrong with the figures of a partition: they are reckoned
 * again from its choices. */
const char *brute_check(const struct dawni_partition_problem *p,
                        const struct dawni_partition *got);

#endif
