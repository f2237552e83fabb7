/* SPDX-License-Identifier: Apache-2.0 */
/* A profile's inside. */
#ifndef DAWNI_PROFILE_PROFILE_H
#define DAWNI_PROFILE_PROFILE_H

#include <dawnpiper/profile.h>

#define DAWNI_PROFILE_SIZES 64 /* microbatch sizes of one profile */

struct dawn_profile {
    struct dawn_graph *graph;
    char *device, *description;
    int sizes;
    int64_t *size;               /* ascending */
    struct dawn_node_cost *cost; /* [node * sizes + i] */
};

/* Callbacks of the "layer" nodes of a graph that came from a file: whoever
 * calls them gets a failure. */
extern const struct dawn_layer_fns dawni_profile_layer_fns;

#endif
