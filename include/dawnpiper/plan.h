/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: the stages of a graph, what happens to each saved tensor, the
 * schedule and what is predicted. Made by a planner, or written by hand as
 * plan.yaml.
 */
#ifndef DAWNPIPER_PLAN_H
#define DAWNPIPER_PLAN_H

#include <dawnpiper/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_plan;

/* What becomes of a saved tensor between its F and its B. However many nodes
 * need it, a stage keeps or moves one copy of it.
 */
enum dawn_decision {
    DAWN_KEEP,
    DAWN_RECOMPUTE, /* made again by its node */
    DAWN_TO_HOST,   /* offloaded: written to host memory and read back */
    DAWN_TO_SSD,    /* likewise to disk */
    DAWN_DECISIONS
};

/* Bytes by what they are for. */
#define DAWN_CATEGORY_MAP(X)                                                   \
    X(PARAMS, "params")       /* f32 masters and compute copies */             \
    X(GRADS, "grads")         /* f32 accumulators, one a use */                \
    X(OPTIMIZER, "optimizer") /* AdamW moments */                              \
    X(PASSES, "passes")       /* what passes keep for each weight */           \
    X(SAVED, "saved")         /* kept for backward, of all in flight */        \
    X(TRANSIENT, "transient") /* activations, gradients of activations */      \
    X(SCRATCH, "scratch")     /* kernel workspace */                           \
    X(COMM, "comm")           /* received, or being sent */                    \
    X(STAGING, "staging")     /* offloaded: being made, moved or used */       \
    X(VERSIONS, "versions")   /* weights that microbatches in flight read,     \
                                 beside one version in params */

enum dawn_category {
#define DAWN_CATEGORY_ENUM(name, text) DAWN_CATEGORY_##name,
    DAWN_CATEGORY_MAP(DAWN_CATEGORY_ENUM)
#undef DAWN_CATEGORY_ENUM
        DAWN_CATEGORIES
};

/* What a plan is made to be the least in. */
enum dawn_objective {
    DAWN_OBJECTIVE_STEP,       /* simulated time of a step */
    DAWN_OBJECTIVE_BOTTLENECK, /* the largest stage's time of a microbatch, as
                                  if messages took none */
};

struct dawn_plan_stage {
    int rank;
    int first, last; /* node ids of the plan's graph, inclusive */
    int replicas;    /* devices that take turns; 0 is 1. More than one is for
                        planning only: nothing runs such a plan */
    struct {
        double f_ns, b_ns, w_ns; /* one microbatch; recompute is in b_ns */
        double recompute_ns;     /* the part of b_ns that is recompute */
        double stall_ns;         /* waiting for offloaded tensors, on average */
        double transfer_ns;      /* computing time that their transfers take,
                                    likewise; in none of the others */
        double step_ns;          /* optimizer, once a step */
        double update_ns;        /* optimizer, in each update within the step */
        double reduce_ns;        /* gradients of replicas summed, likewise */
        uint64_t peak_bytes;     /* largest live bytes on the rank in a step */
        uint64_t arena_bytes;    /* packed; what the rank allocates */
        uint64_t by[DAWN_CATEGORIES]; /* live bytes at the peak */
    } predicted;
};

struct dawn_plan_info {
    char policy[32];   /* who made it; "hand" */
    char schedule[32]; /* kind */
    /* folder of the disk that offloading was priced for; "": not said */
    char offload_dir[256];
    /* the job's passes that its memory was priced with, joined by commas:
       "ewc"; "": none */
    char passes[64];
    int stages, ranks;
    int microbatches;
    int64_t microbatch;
    int update_every; /* microbatches between updates of the weights within a
                         step, of asynchronous schedules; 0: as the kind says */
    uint64_t graph_digest;
    uint64_t profile_digest; /* 0: none */
    uint64_t cap_bytes;      /* memory cap it was made under; 0: none */
    /* Profiled sizes that times and scratch come from where the microbatch is
     * none of them; 0: it is, or nothing is predicted */
    int64_t size_low, size_high;
    /* dawn_plan_digest when it was priced; 0: not said */
    uint64_t priced_digest;
    enum dawn_objective objective; /* that bound_ns is about */
    double step_ns;                /* predicted; 0: not */
    double bottleneck_ns; /* largest f_ns + b_ns + w_ns of a stage, with what
                             offloading costs it if it waits for no other;
                             shared by its replicas; likewise */
    double bound_ns;     /* no plan can have less of the objective, with as many
                            stages; 0: unknown */
    double tokens_per_s; /* 0: unknown */
};

/* Make a plan for a graph; stages as given, everything kept.
 *
 *   info    stages, ranks, microbatches, microbatch, schedule must be set;
 *           graph_digest is taken from the graph
 *   stage   info->stages of them
 *
 * The graph must outlive the plan. Returns DAWN_OK, DAWN_E_NOMEM, or
 * DAWN_E_INVAL: a node in no stage or in two (named), a count below 1, a rank
 * that is not stage % ranks.
 */
DAWN_API enum dawn_status dawn_plan_create(const struct dawn_graph *graph,
                                           const struct dawn_plan_info *info,
                                           const struct dawn_plan_stage *stage,
                                           struct dawn_plan **plan_p,
                                           struct dawn_error *err);
/* Takes NULL. */
DAWN_API void dawn_plan_destroy(struct dawn_plan *plan);

/* The graph whose node ids the stages count in: that of dawn_plan_create, or,
 * where a planner or a file chose another order of the nodes, a reordered copy
 * that lives as long as the plan. Tensor ids are the same in both.
 */
DAWN_API const struct dawn_graph *dawn_plan_graph(const struct dawn_plan *plan);
/* writable: predictions are filled in after the plan is made */
DAWN_API struct dawn_plan_info *dawn_plan_info(struct dawn_plan *plan);
DAWN_API struct dawn_plan_stage *dawn_plan_stage(struct dawn_plan *plan,
                                                 int stage);
DAWN_API enum dawn_decision dawn_plan_decision(const struct dawn_plan *plan,
                                               int stage, int tensor);
/* Returns DAWN_E_INVAL, naming the tensor, for a tensor that no backward of the
 * stage needs, or for a recompute of what the stage does not make itself; what
 * it receives may be offloaded. */
DAWN_API enum dawn_status dawn_plan_decide(struct dawn_plan *plan, int stage,
                                           int tensor,
                                           enum dawn_decision decision,
                                           struct dawn_error *err);

/* Stage that updates a parameter, which is that of its first user; -1: no such
 * parameter. */
DAWN_API int dawn_plan_owner(const struct dawn_plan *plan, int param);

/* Where AdamW's moments of a parameter lie between updates: DAWN_KEEP in the
 * device's memory, DAWN_TO_HOST or DAWN_TO_SSD on that tier, from which they
 * come for the update and to which they go back. What passes keep of the
 * parameter lies with them; an update only reads it. */
DAWN_API enum dawn_decision dawn_plan_optimizer(const struct dawn_plan *plan,
                                                int param);
/* Returns DAWN_OK or DAWN_E_INVAL: no such parameter, or DAWN_RECOMPUTE. */
DAWN_API enum dawn_status dawn_plan_decide_optimizer(
    struct dawn_plan *plan, int param, enum dawn_decision decision,
    struct dawn_error *err);

/* Bytes of a parameter's moments, m and v; 0: of an average, where the plan's
 * passes do not train, or there is no such parameter. */
DAWN_API uint64_t dawn_plan_moment_bytes(const struct dawn_plan *plan,
                                         int param);

/* Bytes that the plan's passes keep of a parameter; 0: of an average, or there
 * is no such parameter. */
DAWN_API uint64_t dawn_plan_pass_bytes(const struct dawn_plan *plan, int param);

/* Say which device each rank is meant to run on: names of a machine's devices,
 * or "#3" for number 3 where names do not tell them apart. They are copied;
 * ranks is info->ranks, or 0: any. Returns DAWN_OK, DAWN_E_INVAL (another
 * count, or a device twice) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_plan_set_devices(struct dawn_plan *plan,
                                                int ranks,
                                                const char *const *device,
                                                struct dawn_error *err);
/* NULL: any, or no such rank */
DAWN_API const char *dawn_plan_device(const struct dawn_plan *plan, int rank);

/* Stage that runs a node. */
DAWN_API int dawn_plan_stage_of(const struct dawn_plan *plan, int node);

/* Digest of stages, decisions, schedule and counts: what predictions are of. */
DAWN_API uint64_t dawn_plan_digest(const struct dawn_plan *plan);
/* Were they changed since the plan was priced? Its predictions are of another
 * plan then. False where it is not said what they are of. */
DAWN_API bool dawn_plan_edited(const struct dawn_plan *plan);

/* Write plan.yaml (temporary name, renamed; same plan, same bytes). */
DAWN_API enum dawn_status dawn_plan_save(const struct dawn_plan *plan,
                                         const char *path,
                                         struct dawn_error *err);

/* Read a plan.yaml for that graph, in whatever order its nodes stand: see
 * dawn_plan_graph. The graph must outlive the plan. Every failure names file
 * and line.
 * Returns DAWN_OK, DAWN_E_IO, DAWN_E_FORMAT, DAWN_E_NOMEM, or DAWN_E_MISMATCH:
 * made for another graph; the text has the digest wanted and the one found.
 */
DAWN_API enum dawn_status dawn_plan_load(const char *path,
                                         const struct dawn_graph *graph,
                                         struct dawn_plan **plan_p,
                                         struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
