/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline partitioning of a graph under the additive memory rule that
 * published planners use (PipeDream, Piper): communication is free, the longest
 * stage is what counts. Plain numbers in and out: no profile, no plan.
 *
 * The rule. A node has variants, one of which is chosen: variant 0 as it is,
 * others that take longer and save less (recompute). Stage x = 0, 1, ... of l'
 * stages in use keeps y = min(m, l' - x) microbatches in flight, m the
 * microbatches of a step (0: no limit). Over the nodes of a stage:
 *   compute   sum of ns / speed of its device
 *   transfer  2 * sum of saved_bytes of what is offloaded / the tier's speed:
 *             every microbatch goes out and comes back, beside the compute
 *   time      the larger of the two: what hides costs nothing
 *   memory    sum of (saved_bytes * y + fixed_bytes), where saved_bytes of what
 *             is offloaded counts as 0, and DAWNI_PARTITION_STAGING * the
 *             largest single saved_bytes that is offloaded, to send from and to
 *             receive into, as in schedule/staging.h
 * With y = 1 nothing is offloaded: what goes out would be needed at once. (A
 * variant that recomputes rebuilds what it does not save, so its fixed_bytes
 * hold that: with y = 1 it saves nothing either.)
 *
 * An edge u -> v wants stage(u) <= stage(v), nothing else: a stage is a
 * difference of two downsets of the graph, not a run of one linear order.
 *
 * Sums in doubles: memory may be above a cap by 1e-12 of the cap, a hundredth
 * of a byte in 10 GB. Everything here is deterministic, local to the thread,
 * re-entrant, and has no clock: effort is counted in units of work, about a
 * few nanoseconds each.
 */
#ifndef DAWNI_PARTITION_PARTITION_H
#define DAWNI_PARTITION_PARTITION_H

#include <dawnpiper/status.h>
#include <stdbool.h>
#include <stdint.h>

/* Two windows of twice the largest */
#define DAWNI_PARTITION_STAGING 4

struct dawni_variant {
    double ns;          /* of a microbatch, forward and backward, >= 0 */
    double saved_bytes; /* of each microbatch in flight, >= 0 */
    double fixed_bytes; /* held once, >= 0 */
    bool offloadable;   /* its saved bytes may go to the tier */
};

struct dawni_partition_edge {
    int from, to; /* from < to */
};

struct dawni_partition_device {
    double speed;     /* > 0; 1: ns are as given */
    double cap_bytes; /* of memory; INFINITY: no cap */
};

struct dawni_partition_problem {
    int nodes; /* >= 1, in a topological order */
    /* Variants of node v: variant[variant_at[v]] to variant[variant_at[v + 1] -
     * 1], at least one; variant_at has nodes + 1. */
    const int *variant_at;
    const struct dawni_variant *variant;
    int edges; /* may repeat */
    const struct dawni_partition_edge *edge;
    int stages; /* most stages, >= 1 */
    /* All stages must be used, each with a node. Otherwise fewer may be, and a
     * device may be left out anywhere. */
    bool all_stages;
    int microbatches; /* m of the rule; 0: no limit */
    /* [stages], of each stage in turn; NULL: speed 1, no cap. */
    const struct dawni_partition_device *device;
    bool any_placement;      /* devices may be taken in any order */
    double tier_bytes_per_s; /* both directions together; 0: no tier */
    int64_t most_work;       /* effort; 0: what the solver thinks is right */
};

struct dawni_partition_stage {
    int device;    /* index in problem->device */
    int in_flight; /* y of the rule */
    int nodes;
    double compute_ns, transfer_ns;
    double time_ns; /* the larger of the two */
    double peak_bytes;
};

struct dawni_partition {
    bool feasible; /* the rest but bound_ns, proven and work is empty if not */
    /* Nothing is better: the bottleneck is the least there is, to 1e-9 of it;
     * or, where nothing is feasible, that nothing can be. */
    bool proven;
    int stages;                          /* in use */
    struct dawni_partition_stage *stage; /* [stages] */
    int *stage_of;                       /* by node */
    int *variant;                        /* by node: 0, 1, ... of its own */
    bool *offloaded;                     /* by node */
    double bottleneck_ns;                /* the largest time_ns; or INFINITY */
    /* No partition into at most `stages` stages with any choice of variants is
     * below this (INFINITY: there is none). <= bottleneck_ns. */
    double bound_ns;
    int64_t work;
};

/* Find the partition with the least bottleneck.
 *
 *   problem      see there; not kept
 *   partition_p  out: the best that was found; destroy it
 *
 * Exact where the graph has few downsets (chains, residual and dense networks:
 * up to some ten thousands); otherwise the best of several searches, with a
 * bound from relaxing the problem. That nothing fits is no error: see feasible.
 * Memory: O(nodes * stages), and some tens of MB at most beside it. Returns
 * DAWN_OK, DAWN_E_INVAL (a count, index or number out of range) or
 * DAWN_E_NOMEM.
 */
enum dawn_status dawni_partition_solve(
    const struct dawni_partition_problem *problem,
    struct dawni_partition **partition_p, struct dawn_error *err);
void dawni_partition_destroy(struct dawni_partition *p); /* takes NULL */

enum dawni_knapsack_method {
    DAWNI_KNAPSACK_EXACT,
    DAWNI_KNAPSACK_GREEDY, /* by bytes saved per time, then mended */
};

/* Choose variants for stages that are given.
 *
 *   stages    in use, 1..problem->stages
 *   stage_of  by node, 0..stages - 1; each has a node, edges are respected
 *   device    [stages]: index in problem->device; NULL: 0, 1, ...
 *
 * bound_ns and proven are about this partition: about the choice of variants
 * only. Statuses as above.
 */
enum dawn_status dawni_partition_choose(
    const struct dawni_partition_problem *problem, int stages,
    const int *stage_of, const int *device, enum dawni_knapsack_method method,
    struct dawni_partition **partition_p, struct dawn_error *err);

struct dawni_knapsack_opts {
    const int *node; /* [nodes], none twice, in any order */
    int nodes;
    int in_flight; /* y of the rule, >= 1 */
    struct dawni_partition_device device;
    enum dawni_knapsack_method method;
};

struct dawni_knapsack {
    bool feasible; /* the rest but proven and work is empty if not */
    bool proven;   /* nothing is better; nothing fits, where it does not */
    struct dawni_partition_stage stage; /* its device is 0 */
    double bound_ns;                    /* no choice has a smaller time_ns */
    int64_t work;
};

/* Choose variants for one set of nodes: the least time under the cap.
 *
 *   problem    its nodes, variants, tier and most_work are used
 *   variant    out: [opts->nodes], as in opts->node
 *   offloaded  out: the same; may be NULL where there is no tier
 *   result     out
 *
 * Statuses as above.
 */
enum dawn_status dawni_knapsack_solve(
    const struct dawni_partition_problem *problem,
    const struct dawni_knapsack_opts *opts, int *variant, bool *offloaded,
    struct dawni_knapsack *result, struct dawn_error *err);

#endif
