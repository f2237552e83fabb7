/* SPDX-License-Identifier: Apache-2.0 */
/* A lower bound for graphs with too many downsets to go through.
 *
 * To refute a limit T: stages j = 0, 1, ... count from the last one. With
 * weights w_j, nu_j >= 0 that sum to 1 and prices mu_j >= 0 of memory, T is too
 * small if it is less than
 *   min sum over nodes of c(v, j(v)) - sum of mu_j cap, where
 *   c(v, j) = min over options of w_j t / speed + nu_j r / tier + mu_j m(y_j)
 * Of the edges only one from each node is kept, to the one after it that is
 * farthest from the end: that leaves a forest, where the minimum is found by
 * going from its leaves to its roots. A node is tried only in stages where what
 * comes before it, and what comes after it, can be within T on its own side.
 * Weights and prices climb along subgradients. T is bisected.
 */
#ifndef DAWNI_PARTITION_RELAX_H
#define DAWNI_PARTITION_RELAX_H

#include "partition/knapsack.h"

struct dawni_relax_opts {
    int64_t low, high; /* T is not below; T of the best pipeline known */
    int stages;        /* that pipeline */
    const int *stage_of;
    int64_t most_work; /* effort */
};

/* A bound, as far as the effort goes.
 *
 *   cost     [stages][n]: out: what each node costs at the last prices if it
 *            is before the stages 0..j from the end; of the first stage: 0
 *   bound_p  out: T is not below
 *
 * Returns DAWN_OK or DAWN_E_NOMEM.
 */
enum dawn_status dawni_relax(struct dawni_sack *sack,
                             const struct dawni_relax_opts *opts, double *cost,
                             int64_t *bound_p, struct dawn_error *err);

#endif
