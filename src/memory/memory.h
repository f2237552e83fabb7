/* SPDX-License-Identifier: Apache-2.0 */
/* Exact memory of a stage or a rank, for the planner; see program.h for the
 * list of events behind it.
 */
#ifndef DAWNI_MEMORY_MEMORY_H
#define DAWNI_MEMORY_MEMORY_H

#include "graph/graph.h"
#include "passes/passes.h"
#include <dawnpiper/memory.h>

/* What only the device knows, by node. From a profile, or from kernels. And
 * what only the job knows: its passes. */
struct dawni_sizes {
    int64_t microbatch;
    struct dawni_passes passes;
    uint64_t (*scratch)[3]; /* [node][F, B, W] bytes */
    uint64_t *prepared;     /* [node] bytes */
};

/* By the nodes of `graph`, which is the profile's but for its order. */
enum dawn_status dawni_sizes_of_profile(const struct dawn_profile *profile,
                                        const struct dawn_graph *graph,
                                        int64_t microbatch,
                                        struct dawni_sizes *sizes,
                                        struct dawn_error *err);
/* All zero, to be filled by whoever knows. */
enum dawn_status dawni_sizes_create(const struct dawn_graph *graph,
                                    int64_t microbatch,
                                    struct dawni_sizes *sizes,
                                    struct dawn_error *err);
void dawni_sizes_clear(struct dawni_sizes *sizes);

/* A candidate stage: what its memory is with k microbatches in flight.
 *   peak(k) = kept + comm + (k - 1) * saved + max(f_peak, b_peak)
 * where the peaks are those of one microbatch's F and BW, its own saved tensors
 * included, and what of other microbatches is on its way to a tier or back at
 * that time. A whole rank's exact figure is dawn_memory_of's; this one leaves
 * out only how transfers overlap, and is within the `comm` bytes of it.
 */
struct dawni_stage_memory {
    uint64_t kept;  /* params, grads, optimizer, passes, versions of weights */
    uint64_t saved; /* of one microbatch, between its F and its BW */
    uint64_t comm;  /* receives posted ahead */
    uint64_t f_peak, b_peak;
};

/* Working space for pricing many candidates; not thread-safe. */
struct dawni_stage_pricer;

enum dawn_status dawni_stage_pricer_create(const struct dawn_graph *graph,
                                           const struct dawni_sizes *sizes,
                                           struct dawni_stage_pricer **p_p,
                                           struct dawn_error *err);
void dawni_stage_pricer_destroy(struct dawni_stage_pricer *p);

/* Price nodes first..last as one stage. decision: by tensor id, enum
 * dawn_decision, NULL: keep all. recompute_node: NULL, or out: by node id (the
 * caller's, `nodes` long, zeroed): how often the node runs again in one BW, so
 * that time can be priced. Time: O(last - first).
 */
enum dawn_status dawni_stage_price(struct dawni_stage_pricer *p, int first,
                                   int last, const uint8_t *decision,
                                   struct dawni_stage_memory *memory,
                                   uint8_t *recompute_node,
                                   struct dawn_error *err);

/* How many microbatches are in flight on the stages priced from now on: with
 * offload the peaks depend on whether it is 1, 2 or more (as at first). */
void dawni_stage_pricer_expect(struct dawni_stage_pricer *p, int in_flight);

/* Where the moments of parameters lie from now on, by parameter: enum
 * dawn_decision; NULL: they are kept, as at first. The caller's. */
void dawni_stage_pricer_optimizer(struct dawni_stage_pricer *p,
                                  const uint8_t *optimizer);

/* How many versions of its weights a stage has then; 1 at first. */
void dawni_stage_pricer_versions(struct dawni_stage_pricer *p, int versions);

struct dawni_offload_item;
struct dawni_program;

/* What the newest price was made of. Lives until the next one. */
struct dawni_stage_moves {
    const struct dawni_program *program;
    int f_begin, f_end; /* instructions of its F and BW */
    int b_begin, b_end;
    int items; /* what it offloads: memory/offload.h */
    const struct dawni_offload_item *item;
};
const struct dawni_stage_moves *dawni_stage_moves(
    const struct dawni_stage_pricer *p);

static inline uint64_t dawni_stage_peak(const struct dawni_stage_memory *m,
                                        int in_flight)
{
    uint64_t one = m->f_peak > m->b_peak ? m->f_peak : m->b_peak;
    return m->kept + m->comm + (uint64_t)(in_flight - 1) * m->saved + one;
}

#endif
