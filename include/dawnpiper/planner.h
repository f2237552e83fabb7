/* SPDX-License-Identifier: Apache-2.0 */
/* The planner: from a profile and a machine to a plan under a memory cap. */
#ifndef DAWNPIPER_PLANNER_H
#define DAWNPIPER_PLANNER_H

#include <dawnpiper/machine.h>
#include <dawnpiper/plan.h>
#include <dawnpiper/profile.h>
#include <dawnpiper/schedule.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where saved tensors may go between their F and their B. */
enum dawn_offload {
    DAWN_OFFLOAD_AUTO, /* to any tier that the machine has */
    DAWN_OFFLOAD_NONE,
    DAWN_OFFLOAD_HOST, /* to host memory only */
    DAWN_OFFLOAD_SSD,  /* to disk only */
};

/* Which cap would do where nothing fits. */
struct dawn_planner_nofit {
    uint64_t works_bytes; /* smallest cap that was found to work; 0: none was */
    uint64_t fails_bytes; /* largest cap that is known not to */
    bool cut_off;         /* the search ended at its limit of work */
    int stage;            /* that needs the most under works_bytes ... */
    uint64_t stage_bytes; /* ... and how much that is */
    int versions;         /* of its weights; 1 but for asynchronous schedules */
    /* names of its first and last node, which are the profile's; NULL: not said
     */
    const char *first, *last;
};

/* Told by dawn_planner_find_cap what it knows after each cap that it tried. */
struct dawn_planner_watch {
    void (*tell)(void *user, const struct dawn_planner_nofit *now);
    void *user;
};

struct dawn_planner_opts {
    const char *policy;   /* NULL: the better plan of "dawnpiper" and "exact" */
    const char *schedule; /* NULL: "1f1b" */
    int stages;           /* >= 1; with devices: 0 is any number */
    int devices;          /* above 0: spend so many, on stages and on replicas
                             of stages. Such plans cannot be run yet */
    int replicas;         /* with devices: of every stage; 0: what is best */
    int microbatches;     /* >= 1 */
    int update_every;     /* of asynchronous schedules; 0: as the kind says */
    int64_t microbatch;   /* 0: the largest one that was profiled */
    bool max_batch;       /* the largest microbatch that fits, of any size;
                             microbatch is 0 then */
    uint64_t cap_bytes;   /* of every rank; 0: the machine's memory, if known */
    bool as_given;        /* rank r on device r, where devices differ too; else
                             the plan says which rank is meant for which */
    enum dawn_objective objective;
    enum dawn_offload offload;
    bool no_recompute;
    int64_t tokens_per_sample; /* for tokens_per_s; 0: not said */
};

/* Make a plan. Deterministic: same input, same plan. No MPI, no device.
 *
 *   machine   NULL: equal devices, default links
 *   plan_p    out; refers to the profile's graph, which must outlive it
 *
 * Returns DAWN_OK; DAWN_E_NOFIT: no plan of this policy fits the cap, which is
 * found out about as soon as a plan (dawn_planner_find_cap: which one would
 * do); DAWN_E_INVAL: an unknown policy, more stages than nodes, a microbatch of
 * another size than the only one profiled, a machine with a figure out of the
 * ranges of machine.yaml(5), ...; DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_planner_run(const struct dawn_profile *profile,
                                           const struct dawn_machine *machine,
                                           const struct dawn_planner_opts *opts,
                                           struct dawn_plan **plan_p,
                                           struct dawn_error *err);

/* Look for the smallest cap on every rank that works, after dawn_planner_run
 * returned DAWN_E_NOFIT. Deterministic, as is its end: it is cut off after as
 * much work as to price 100 million nodes, 10 to 30 s. A plan under the cap
 * that is named was really made.
 *
 *   opts     those of dawn_planner_run; not with devices
 *   watch    NULL: nobody is told how far it is
 *   nofit_p  out
 *
 * Returns DAWN_OK, also where no cap was found to work; DAWN_E_INVAL;
 * DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_planner_find_cap(
    const struct dawn_profile *profile, const struct dawn_machine *machine,
    const struct dawn_planner_opts *opts,
    const struct dawn_planner_watch *watch, struct dawn_planner_nofit *nofit_p,
    struct dawn_error *err);

/* Fill in all that is predicted of a plan: times, memory, simulated step. */
DAWN_API enum dawn_status dawn_planner_price(struct dawn_plan *plan,
                                             const struct dawn_profile *profile,
                                             const struct dawn_machine *machine,
                                             struct dawn_error *err);

/* The same, and the predicted timeline.
 *
 *   result   out, freed by dawn_sim_result_clear; its events stand in the order
 *            of dawn_memory_curve for each rank. NULL: not wanted
 */
DAWN_API enum dawn_status dawn_planner_simulate(
    struct dawn_plan *plan, const struct dawn_profile *profile,
    const struct dawn_machine *machine, struct dawn_sim_result *result,
    struct dawn_error *err);

/* Number of the machine's device that a rank of the plan is meant for; -1: the
 * machine has none of that name. */
DAWN_API int dawn_planner_device(const struct dawn_plan *plan,
                                 const struct dawn_machine *machine, int rank);

/* Policies, in a fixed order; NULL past the last. */
DAWN_API const char *dawn_planner_policy(int i);
/* One line about it. */
DAWN_API const char *dawn_planner_policy_text(int i);

#ifdef __cplusplus
}
#endif

#endif
