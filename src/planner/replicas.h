/* SPDX-License-Identifier: Apache-2.0 */
/* Stages on several devices each: pipeline and data parallel.
 *
 * Stage x runs on r_x devices, which take turns: replica j has microbatches j,
 * j + r_x, ... So that all devices behind it have work, a replica keeps k_x =
 * min(ceil(m / r_x), ceil((r_x + ... + r_l) / r_x)) microbatches in flight:
 * what PipeDream (SOSP 2019, section 3.2) calls NOAM, and with one replica each
 * 1F1B's l - x + 1. Once a step, when a stage's last backward is done, its G
 * gradient bytes (f32) are summed over its replicas in a ring (Patarasuk and
 * Yuan, 2009), which takes 2 (r - 1) / r G / bandwidth + 2 (r - 1) latency on
 * links of both directions, and a buffer of G / r. PipeDream's 4 (r - 1) / r G
 * counts bytes sent and received; DAPPLE (PPoPP 2021) likewise adds one such
 * sum a step to the time of its pipeline. Devices are taken to be alike: as
 * slow and small as the worst of them, with the slowest of their links.
 */
#ifndef DAWNI_PLANNER_REPLICAS_H
#define DAWNI_PLANNER_REPLICAS_H

#include "planner/planner.h"

/* So much of it, and the search does with what it has. */
#define DAWNI_REPLICAS_WORK 5000000

struct dawni_replicas {
    struct dawni_planner *pl; /* of one stage, which stands for any */
    int devices;
    double bytes_per_s, latency_ns; /* of the slowest link */
    double *sum_gradients;          /* [n + 1]: G of the nodes before each */
    struct dawni_memo known;
    struct dawni_decided *decided; /* of (first, last, in flight) */
    int decideds, room;
    int64_t work;      /* stages looked at, and nodes decided about */
    int64_t few_looks; /* so many are looked at one by one */
};

static inline int dawni_replicas_of(const struct dawn_plan_stage *stage)
{
    return stage->replicas > 1 ? stage->replicas : 1;
}

/* replica_price.c */

enum dawn_status dawni_replicas_create(const struct dawn_profile *profile,
                                       const struct dawn_machine *machine,
                                       const struct dawn_planner_opts *opts,
                                       int devices, struct dawni_replicas *s,
                                       struct dawn_error *err);
void dawni_replicas_clear(struct dawni_replicas *s);

/* k_x with so many devices on this stage and all behind it. */
int dawni_replicas_in_flight(const struct dawni_replicas *s, int replicas,
                             int devices);

/* Decisions for a run of nodes with k microbatches in flight, remembered. */
struct dawni_decided dawni_replicas_decide(struct dawni_replicas *s, int first,
                                           int last, int k);

/* Memory of a stage with these decisions: the larger of what a microbatch and
 * what the sum of gradients takes. */
uint64_t dawni_replicas_peak(const struct dawni_replicas *s, int first,
                             int last, int replicas,
                             const struct dawni_decided *d);

/* Time of a microbatch on one device, messages included that it moves itself,
 * where that much is recomputed. */
double dawni_replicas_time(const struct dawni_replicas *s, int first, int last,
                           double recompute_ns);

/* Time of summing the gradients of a run of nodes over replicas. */
double dawni_replicas_reduce(const struct dawni_replicas *s, int first,
                             int last, int replicas);

/* Fill in all that is predicted of a plan with replicas. result: out, the
 * timeline, cleared by the caller; NULL: not wanted. */
enum dawn_status dawni_replicas_price(struct dawni_replicas *s,
                                      struct dawn_plan *plan,
                                      struct dawn_sim_result *result,
                                      struct dawn_error *err);

/* dawn_planner_simulate for a plan with replicas. */
enum dawn_status dawni_replicas_price_plan(struct dawn_plan *plan,
                                           const struct dawn_profile *profile,
                                           const struct dawn_machine *machine,
                                           struct dawn_sim_result *result,
                                           struct dawn_error *err);

/* replica_step.c */

struct dawni_replica_times { /* of a stage */
    int replicas, in_flight;
    double f_ns, b_ns; /* a microbatch; W and recompute are in b_ns */
    double move_ns;    /* of each F and each B: messages that it moves itself */
    double message_ns; /* from the stage before, and to it; 0 for the first */
    double reduce_ns, step_ns; /* once a step: gradients summed, optimizer */
    /* memory with in_flight of them, of each one, without any, and while
     * gradients are summed */
    uint64_t peak_bytes, saved_bytes, kept_bytes, reduce_bytes;
};

/* A step of m microbatches, simulated: all devices of stage 0, those of stage
 * 1, ... Stages update when all have summed. result: out, cleared by the
 * caller; NULL: not wanted. */
enum dawn_status dawni_replicas_simulate(
    const struct dawni_replica_times *stage, int stages, int m, double *step_ns,
    struct dawn_sim_result *result, struct dawn_error *err);

/* replica_divide.c */

struct dawni_replica_shape { /* what is asked for */
    int stages;              /* 0: any number */
    int each;                /* replicas of every stage; 0: any */
    bool even; /* by the time of a microbatch only, not by the step's end */
};

/* Divide the nodes among stages and devices, of which a stage has several, so
 * that the slowest stage is as fast as can be: as T_x / r_x, or by its part of
 * the step.
 *
 *   stage     out: at most `devices`
 *   stages_p  out: how many; 0: nothing fits
 */
enum dawn_status dawni_replicas_divide(struct dawni_replicas *s,
                                       struct dawni_replica_shape shape,
                                       struct dawn_plan_stage *stage,
                                       int *stages_p, struct dawn_error *err);

/* replicas.c: a plan for opts->devices devices. */
enum dawn_status dawni_replicas_plan(const struct dawn_profile *profile,
                                     const struct dawn_machine *machine,
                                     const struct dawn_planner_opts *opts,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err);

#endif
