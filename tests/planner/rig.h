/* SPDX-License-Identifier: Apache-2.0 */
/* Models with made-up costs for the tests of the planner. */
#ifndef TESTS_PLANNER_RIG_H
#define TESTS_PLANNER_RIG_H

#include "planner/planner.h"

#define RIG_WIDE 16384 /* elements of a large tensor */

struct rig_opts {
    int nodes;
    uint64_t seed;
    bool branchy; /* nodes also take older tensors, and make two outputs */
    bool even;    /* all nodes alike, but for their size; else anything goes */
    int layer;    /* nodes of a layer, "layer0.n1"; 0: no layers */
    bool stacked; /* "stack.layer0.n1" */
    int wide[2];  /* nodes wide[0] to wide[1] - 1 make large tensors */
    bool params;  /* parameters, the first one tied to the last node's */
    int updates;  /* how much slower they are; 0: not at all */
};

/* A profile with sizes 1 and 2. Destroys what it cannot build, and says why. */
struct dawn_profile *rig_profile(const struct rig_opts *opts);

/* A number in low..high that follows from seed and place. */
uint64_t rig_number(uint64_t seed, uint64_t place, uint64_t low, uint64_t high);

/* The inside of a planner; NULL after a diagnosis. */
struct dawni_planner *rig_planner(const struct dawn_profile *profile,
                                  const char *policy, int stages,
                                  int microbatches, uint64_t cap);

/* All cuts of n nodes into l stages, in order: cut[0..l]. First: cut[l] is 0.
 */
bool rig_next_cut(int *cut, int n, int l);

#endif
