/* SPDX-License-Identifier: Apache-2.0 */
/* A schedule: for each rank the ordered list of actions of one training step.
 * Plain data; no MPI, no device. Stage s runs on rank s % ranks (its chunk is
 * s / ranks).
 *
 * Synchronous kinds (gpipe, 1f1b) update the weights once, at the end of the
 * step. In asynchronous ones a step of m microbatches has m / g updates: each
 * stage updates its weights as soon as it is through with the backward of every
 * g-th microbatch, with the mean gradient of those g, while others are in
 * flight. A microbatch's backward reads the weights that its forward read, so a
 * stage keeps versions of them; version v has had v updates in this step:
 *
 *   async-1f1b  PipeDream's weight stashing: a forward reads the newest version
 *               of its stage. Any g that divides m; 1 if none is given
 *   async-2bw   PipeDream-2BW: microbatches g k to g k + g - 1 read version
 *               max(0, k - 1) on every stage, so that a stage keeps two. Any g
 *               that divides m and is not below the number of stages; the least
 *               such g if none is given
 *
 * The pipeline is filled at the beginning of a step and drained at its end, so
 * between steps there is one version. What is trained depends on the cuts, and
 * on nothing else of a plan.
 */
#ifndef DAWNPIPER_SCHEDULE_H
#define DAWNPIPER_SCHEDULE_H

#include <dawnpiper/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_schedule;

/* OFFLOAD and PREFETCH stand in timelines only: where they happen follows from
 * the order of computation, so that a table serves any decisions.
 * BW is B and W of each node together, what schedules that do not split the
 * backward use. RECV posts the receive and does not wait: the F or B that needs
 * it does. SEND starts a send of what the last F or B of (microbatch, stage)
 * made; WAIT ends it, and its buffers may be reused.
 * _ACT moves activations from stage to peer (down), _GRAD gradients (up).
 * UPDATE is of asynchronous kinds: weights that only this stage has. STEP
 * updates what is left: all weights, or those that several stages share.
 */
#define DAWN_ACTION_MAP(X)                                                     \
    X(F)                                                                       \
    X(B)                                                                       \
    X(W)                                                                       \
    X(BW)                                                                      \
    X(RECV_ACT)                                                                \
    X(SEND_ACT) X(WAIT_ACT) X(RECV_GRAD) X(SEND_GRAD) X(WAIT_GRAD) X(UPDATE)   \
        X(REDUCE) X(STEP) X(OFFLOAD) X(PREFETCH)

enum dawn_action_kind {
#define DAWN_ACTION_ENUM(name) DAWN_ACTION_##name,
    DAWN_ACTION_MAP(DAWN_ACTION_ENUM)
#undef DAWN_ACTION_ENUM
};

struct dawn_action {
    enum dawn_action_kind kind;
    int microbatch; /* of UPDATE: the last one whose gradient is in it; -1 for
                       REDUCE and STEP */
    int stage;      /* the stage of this rank that acts; the rank's first one
                       for REDUCE and STEP, which are for all its stages */
    int peer;       /* the other stage of a SEND, RECV or WAIT; else -1 */
};

/* Tensors flow from stage `from` down to stage `to` in forward. Gradients take
 * the edges of their own list upwards: see dawn_schedule_opts. */
struct dawn_edge {
    int from, to; /* from < to */
};

struct dawn_schedule_opts {
    const char *kind; /* "gpipe", "1f1b", "async-1f1b", "async-2bw" */
    int stages;       /* >= 1 */
    int ranks;        /* 1..stages; 0 means stages */
    int microbatches; /* >= 1 */
    int update_every; /* g, of asynchronous kinds; 0: as the kind says */
    /* activations: who sends to whom; NULL: s -> s+1 for all s */
    const struct dawn_edge *act_edge;
    int act_edges;
    /* gradients: stage `to` sends to stage `from`; NULL: the same as act_edge
     */
    const struct dawn_edge *grad_edge;
    int grad_edges;
};

/* Build the table of one training step.
 *
 *   opts        see above; the caller keeps it
 *   schedule_p  out: the schedule; the caller destroys it
 *
 * Fewer microbatches than stages works for gpipe and 1f1b: some stages just
 * wait. Local to the rank. Memory: O(stages * microbatches).
 * Returns DAWN_OK, DAWN_E_INVAL (an unknown kind, a count below 1, an edge out
 * of range, an update_every that the kind cannot have) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_schedule_create(
    const struct dawn_schedule_opts *opts, struct dawn_schedule **schedule_p,
    struct dawn_error *err);

/* Takes NULL. */
DAWN_API void dawn_schedule_destroy(struct dawn_schedule *schedule);

/* Kinds, in a fixed order; NULL past the last. */
DAWN_API const char *dawn_schedule_kind(int i);

DAWN_API int dawn_schedule_stages(const struct dawn_schedule *schedule);
DAWN_API int dawn_schedule_ranks(const struct dawn_schedule *schedule);
DAWN_API int dawn_schedule_microbatches(const struct dawn_schedule *schedule);
/* Microbatches between two UPDATEs of a stage; 0: it has none. */
DAWN_API int dawn_schedule_update_every(const struct dawn_schedule *schedule);
/* The version of its weights that a stage's F and backward of a microbatch
 * read. */
DAWN_API int dawn_schedule_version(const struct dawn_schedule *schedule,
                                   int stage, int microbatch);
/* Most versions that a stage has at any time, the newest included. */
DAWN_API int dawn_schedule_versions(const struct dawn_schedule *schedule,
                                    int stage);

/* The actions of one rank, in order; *actions_p: how many. Lives as long as the
 * schedule. NULL for a rank out of range.
 */
DAWN_API const struct dawn_action *dawn_schedule_actions(
    const struct dawn_schedule *schedule, int rank, int *actions_p);

/* Most microbatches in flight (F done, BW or B not) on a stage at any time. */
DAWN_API int dawn_schedule_in_flight(const struct dawn_schedule *schedule,
                                     int stage);

/* Prove that the table can run: each F, B, W exactly once, each dependency
 * earlier or received, every SEND met by its RECV in the same order per edge,
 * every SEND waited for, no deadlock even when no message is buffered (a WAIT
 * ends only after the peer has posted the RECV), backward in microbatch order,
 * each UPDATE once, behind the last backward that is in it and before the next
 * one, no forward before the version that it reads.
 *
 * Returns DAWN_OK, or DAWN_E_INVAL with text that names rank, action and
 * reason.
 */
DAWN_API enum dawn_status dawn_schedule_check(
    const struct dawn_schedule *schedule, struct dawn_error *err);

/* Where tensors are offloaded to, as one rank has it: its share, if several
 * ranks use one disk. */
struct dawn_sim_tier {
    double read_bytes_per_s, write_bytes_per_s; /* > 0 */
    double latency_ns;
    bool one_queue; /* reads and writes wait for each other, as on a disk */
    /* by so much the computation in which a transfer begins takes longer, >= 0 */
    double compute_ns_per_byte;
};

/* A tensor that a stage offloads. */
struct dawn_sim_transfer {
    int tier;
    uint64_t bytes;  /* of one microbatch */
    double write_ns; /* of F: after so long it is made and may be written */
    double read_ns;  /* of B or BW: after so long it is needed */
};

/* What the simulator is told. All arrays belong to the caller. */
struct dawn_sim_costs {
    const double *f_ns, *b_ns, *w_ns; /* by stage; recompute is part of b_ns */
    const double *step_ns;            /* by stage: REDUCE and optimizer */
    const double *update_ns;  /* by stage: an UPDATE; NULL: they take no time */
    const double *act_bytes;  /* by act edge, of one microbatch */
    const double *grad_bytes; /* by grad edge */
    /* link from rank i to rank j at [i * ranks + j]; with i == j bytes_per_s
     * may be 0: free */
    const double *latency_ns;
    const double *bytes_per_s;
    /* true: the rank's own processor moves the message (host MPI) and so it
     * takes compute time on both sides; false: links run beside compute */
    bool host_copies;
    bool totals_only; /* no timeline is wanted: no events are made */
    /* offloaded tensors: those of stage s are transfer[transfer_first[s]] to
     * transfer[transfer_first[s + 1] - 1]; NULL: nothing is offloaded */
    const int *transfer_first;
    const struct dawn_sim_transfer *transfer;
    const struct dawn_sim_tier *tier; /* every rank has the same */
    int tiers;
};

struct dawn_sim_event { /* one box of the timeline */
    int rank;
    struct dawn_action action;
    double start_ns, end_ns;
};

struct dawn_sim_result {
    double step_ns;
    int ranks;
    double *busy_ns;     /* by rank: F, B, W, UPDATE, STEP, transfer_ns */
    double *transfer_ns; /* by rank: computing time that transfers of offloaded
                            tensors take; part of busy_ns */
    double *wait_ns;  /* by rank: waiting for a dependency, without `comm`, and
                         for the slowest rank; busy + wait + comm + stall ==
                         step_ns */
    double *comm_ns;  /* by rank: exposed communication */
    double *stall_ns; /* by rank: waiting for offloaded tensors */
    int events;
    struct dawn_sim_event *event; /* by rank, then time */
    uint64_t *live_bytes; /* by event: memory in use at most, of plans with
                             replicas; else NULL, and dawn_memory_curve says it
                           */
    int moves;
    struct dawn_sim_event *move; /* OFFLOAD and PREFETCH: from the first to the
                                    last byte of a microbatch; likewise */
};

/* Run a table in simulation. REDUCE ends on all ranks at one time. result:
 * filled; freed by dawn_sim_result_clear. Returns DAWN_OK, DAWN_E_INVAL (a
 * table that deadlocks, a cost that is negative or not finite) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_simulate(const struct dawn_schedule *schedule,
                                        const struct dawn_sim_costs *costs,
                                        struct dawn_sim_result *result,
                                        struct dawn_error *err);
DAWN_API void dawn_sim_result_clear(struct dawn_sim_result *result);

/* Print the table as a picture: a row a clock tick, a column a rank. */
DAWN_API void dawn_schedule_print(const struct dawn_schedule *schedule,
                                  FILE *out);

#ifdef __cplusplus
}
#endif

#endif
