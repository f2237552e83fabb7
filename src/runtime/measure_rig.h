/* SPDX-License-Identifier: Apache-2.0 */
/* A run of nodes set up to be timed as a pipeline stage would run them: one
 * arena with the lifetimes of one microbatch, F in node order, then W and B of
 * each node in reverse order.
 */
#ifndef DAWNI_RUNTIME_MEASURE_RIG_H
#define DAWNI_RUNTIME_MEASURE_RIG_H

#include "device/kernel.h"
#include "memory/pack.h"
#include <dawnpiper/exec.h>

/* What a buffer holds before the first microbatch. */
enum dawni_rig_fill {
    DAWNI_RIG_EMPTY,
    DAWNI_RIG_VALUE, /* a tensor made elsewhere: fed, or drawn */
    DAWNI_RIG_GRAD,  /* a gradient made elsewhere: drawn */
    DAWNI_RIG_ONE,   /* the gradient of the loss */
    DAWNI_RIG_PARAM, /* a master copy: drawn as the graph says */
};

struct dawni_rig_buffer {
    enum dawni_rig_fill fill;
    int id;   /* tensor or parameter to fill with */
    int refs; /* gradients that live in it and are still to be read */
};

/* Buffers of one node's calls, -1: none. */
struct dawni_rig_node {
    struct dawni_kernel *kernel;
    int in[DAWN_MAX_PORTS], out[DAWN_MAX_PORTS];
    int dout[DAWN_MAX_PORTS], din[DAWN_MAX_PORTS], din_add[DAWN_MAX_PORTS];
    int dparam[DAWN_MAX_PORTS];
    int prepared, scratch[DAWNI_PHASES];
    bool calls[DAWNI_PHASES]; /* which phases run at all */
};

/* Buffers of a parameter, -1: none. */
struct dawni_rig_param {
    int master;
    int adam_m, adam_v; /* where its first user is in the run */
    int extra;          /* likewise: the gradient of another use */
};

struct dawni_rig {
    const struct dawn_graph *graph;
    const struct dawni_device_ops *device;
    int first, nodes;
    int64_t microbatch;
    struct dawni_rig_node *node;   /* by node - first */
    struct dawni_rig_param *param; /* by parameter id */
    int buffers, extent_room, buffer_room;
    struct dawni_extent *extent; /* by buffer */
    struct dawni_rig_buffer *buffer;
    uint64_t bytes; /* of the arena */
    char *arena;
};

/* Make the kernels of nodes first..last (at least one) at that microbatch size
 * and lay out the arena, without allocating it.
 */
enum dawn_status dawni_rig_create(const struct dawn_graph *graph,
                                  const struct dawni_device_ops *device,
                                  const int run[2], int64_t microbatch,
                                  struct dawni_rig **rig_p,
                                  struct dawn_error *err);
void dawni_rig_destroy(struct dawni_rig *rig); /* takes NULL */

/* Allocate the arena; fill inputs and parameters; prepare all kernels. feed may
 * be NULL: zeros. */
enum dawn_status dawni_rig_fill(struct dawni_rig *rig, dawn_feed_fn feed,
                                void *user, struct dawn_error *err);

/* Run one microbatch; ns[node - first][phase]: time of each call. */
enum dawn_status dawni_rig_microbatch(struct dawni_rig *rig, uint64_t step,
                                      double (*ns)[DAWNI_PHASES],
                                      struct dawn_error *err);

/* Run one optimizer step; ns[node - first]: time of what is charged to it, its
 * prepare() and the parameters of which it is the first user. */
enum dawn_status dawni_rig_update(struct dawni_rig *rig, double *ns,
                                  struct dawn_error *err);

/* In measure_layout.c: fill in all buffers of the rig, and its bytes. */
enum dawn_status dawni_rig_lay_out(struct dawni_rig *rig,
                                   struct dawn_error *err);

#endif
