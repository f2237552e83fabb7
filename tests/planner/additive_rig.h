/* SPDX-License-Identifier: Apache-2.0 */
/* Small additive profiles for the tests of the planner. */
#ifndef TESTS_PLANNER_ADDITIVE_RIG_H
#define TESTS_PLANNER_ADDITIVE_RIG_H

#include <dawnpiper/profile.h>
#include <stdbool.h>
#include <stdint.h>

#define ADDITIVE_NODES 8

struct additive_model {
    int n;
    bool edge[ADDITIVE_NODES][ADDITIVE_NODES]; /* from, to */
    struct dawn_node_variant v[ADDITIVE_NODES][2];
    struct dawn_profile *profile;
};

struct additive_opts {
    int least, most; /* nodes; most: up to ADDITIVE_NODES */
    bool chain;
    bool even; /* all save about as much, and hold little else */
};

/* Nodes with made-up prices; most can be recomputed. Destroy the profile. */
void additive_make(struct additive_model *m, const struct additive_opts *opts,
                   int seed);

/* The next number below `below`; additive_make begins a new row. */
int additive_draw(int below);

#endif
