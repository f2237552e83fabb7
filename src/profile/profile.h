/* SPDX-License-Identifier: Apache-2.0 */
/* A profile's inside. */
#ifndef DAWNI_PROFILE_PROFILE_H
#define DAWNI_PROFILE_PROFILE_H

#include "passes/passes.h"
#include <dawnpiper/profile.h>

#define DAWNI_PROFILE_SIZES 64 /* microbatch sizes of one profile */

struct dawni_profile_node { /* what was not measured */
    char *label;
    int variants;
    struct dawn_node_variant *variant; /* names are owned */
};

struct dawn_profile {
    struct dawn_graph *graph;
    char *device, *description;
    int sizes;
    int64_t *size;               /* ascending */
    struct dawn_node_cost *cost; /* [node * sizes + i] */
    struct dawni_profile_node *node;
    int additive; /* nodes that have variants */
    char passes[DAWNI_PASS_NAMES];
    char unused[256]; /* of an imported file */
};

void dawni_profile_node_clear(struct dawni_profile_node *node);

/* All nodes have variants that agree with their costs, and there is one
 * microbatch size; or none has. The text names a node that is wrong. */
enum dawn_status dawni_profile_check_variants(const struct dawn_profile *p,
                                              struct dawn_error *err);

/* A copy in the order of `graph`, which is the profile's but for its order. */
enum dawn_status dawni_profile_reorder_like(const struct dawn_profile *profile,
                                            const struct dawn_graph *graph,
                                            struct dawn_profile **profile_p,
                                            struct dawn_error *err);

/* Callbacks of the "layer" nodes of a graph that came from a file: whoever
 * calls them gets a failure. */
extern const struct dawn_layer_fns dawni_profile_layer_fns;

#endif
