/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's inside. What all its files share: the run under way, what a run
 * of nodes costs as a stage, and the table of policies.
 *
 * Symbols, after the paper; stages count from 0 here.
 *   n        nodes; a run of them is first..last
 *   l        stages, one of them x; cut[x] is the first node of x, cut[l] = n
 *   m, b     microbatches in a step, samples in one
 *   k_x      microbatches in flight on stage x
 *   t_i      F + B + W of node i; P_i the sum of t before node i
 *   T_x      what a microbatch costs stage x: its t, recompute, stalls,
 * messages U_x      what the optimizer costs stage x, once a step D_x      the
 * sum of t behind the last node of stage x S_x      what stage x alone makes of
 * the objective; min max S_x is what is looked for. A longer run of nodes never
 * has a smaller S_x. Objective `bottleneck`: T_x, where messages take no time.
 *            Objective `step`: no step is faster than S_x. The first
 *            microbatch must get to x and the last one back from it: P with the
 *            P of its first node. All m pass through: m T_x. While the first
 *            one is further down, x can do k_x - 1 more forwards, and then
 *            idles: D_x - (k_x - 1) F_x if that is positive. While the last one
 *            is, k_x - 1 backwards are left to do: D_x - (k_x - 1) (T_x - F_x).
 *            Both happen if k_x < m; if not, the longer one counts. Where the
 *            last stage holds all m at once, x has nothing to do between its
 *            last forward and its first backward: D_x. And U_x. With equal
 *            stages this is (m + l - 1) T_x + U_x, the step of 1F1B and GPipe.
 *            With updates within the step, of U_x each, all but the last of
 *            them count, and those after its last forward keep x busy while it
 *            would idle.
 *   C_x      memory that stage x may use, M_x what it does use
 *   p        a cut between two groups of stages; p_c balances their times, p_m
 *            what they are over their memory
 */
#ifndef DAWNI_PLANNER_PLANNER_H
#define DAWNI_PLANNER_PLANNER_H

#include "graph/graph.h"
#include "memory/memory.h"
#include "plan/cuts.h"
#include "planner/memo.h"
#include "planner/transfers.h"
#include <dawnpiper/planner.h>
#include <dawnpiper/schedule.h>

struct dawni_stage_spec { /* what stage x has to live with */
    int in_flight;        /* k_x */
    int versions;         /* of its weights, while k_x are in flight */
    uint64_t cap;         /* C_x; UINT64_MAX: none */
    uint64_t budget;      /* C_x less what was learnt */
    double messages;      /* what messages take on top of a stage's price, as a
                             share of its `comm` bytes; -1: none is counted */
    /* learnt: least that runs took for messages, as a share of their `comm`
     * bytes, or for packing; INFINITY: nothing yet */
    double least_messages, least_packing;
    bool whole;   /* an estimate of its memory was too low: no more of them */
    double speed; /* of its device */
};

struct dawni_way {   /* to make decisions once more */
    uint64_t budget; /* dawni_decide's, with this budget ... */
    double messages; /* ... and this share for messages; */
    bool by_set;     /* or dawni_set_decide's ... */
    unsigned set;    /* ... of this set */
};

struct dawni_stage_cost { /* of a run of nodes as stage x */
    bool fits;
    uint64_t peak; /* M_x; the least that was found where it does not fit */
    double recompute_ns;  /* part of T_x */
    double stall_ns;      /* part of T_x: what offloaded tensors cost */
    double update_ns;     /* part of U_x: waiting for moments */
    double comm_ns;       /* part of T_x: messages that its processor moves */
    double time_ns;       /* T_x */
    double step_ns;       /* S_x; INFINITY where it does not fit */
    bool judged;          /* by its exact memory, with decisions ... */
    struct dawni_way way; /* ... that were made in this way */
};

struct dawni_decided {
    bool fits;
    uint64_t peak;
    uint64_t kept;       /* part of the peak that is there from step to step */
    uint64_t comm;       /* part of the peak: receives posted ahead */
    double recompute_ns; /* of one microbatch, on the profiled device */
    double stall_ns;  /* of one microbatch: waiting for what is offloaded, and
                         computing time that its transfers take */
    double update_ns; /* of a step: the same for moments */
    enum dawn_decision optimizer; /* where all its moments lie */
};

struct dawni_run { /* of nodes, as stage x */
    int first, last, x;
    bool thorough; /* spend more time on it to save a little more */
};

#define DAWNI_KNOWN 4 /* of each rank */

struct dawni_known_memory { /* of a rank */
    bool valid, packed;
    uint64_t key;
    struct dawn_memory memory;
};

struct dawni_additive;
struct dawni_schedules;
struct dawni_policy_ops;
struct dawni_decider;

struct dawni_planner {
    const struct dawn_profile *profile;
    const struct dawn_graph *graph;
    const struct dawn_machine *machine;
    struct dawn_machine *own_machine;      /* where the caller has none */
    const struct dawni_policy_ops *policy; /* at work */
    bool standard; /* no policy was asked for: see dawni_plan_best */
    const char *schedule;
    enum dawn_objective objective;
    bool no_recompute;
    /* tiers of the machine, and by enum dawn_decision: which one, -1: none; and
     * whether dawni_decide may use it */
    struct dawn_sim_tier tier[DAWN_DECISIONS];
    int tiers, tier_of[DAWN_DECISIONS];
    int sharers[DAWN_DECISIONS]; /* by tier: stages taken to use it */
    bool may_offload[DAWN_DECISIONS];
    bool keep_moments;            /* for now, whatever the policy may */
    int updaters[DAWN_DECISIONS]; /* by tier: ranks taken to update from it at
                                     one time */
    uint8_t *all_to[DAWN_DECISIONS]; /* by parameter: all the same */
    uint8_t *decision;               /* by tensor: scratch of dawni_decide */
    struct dawni_rehearsal *rehearsal;
    int n, l, ranks, m;
    int update_every; /* g, of asynchronous schedules; else 0 */
    int64_t b;
    struct dawni_stage_spec *stage;
    double max_speed;
    bool host_copies; /* processors move messages: they are part of T */
    /* by node: sums over all nodes before it, [n + 1] */
    double *sum_f, *sum_b, *sum_w, *sum_update;
    /* the same of nodes whose parameters no other node has */
    double *sum_own_update;
    /* the same of memory, to aim with: kept, and saved by the first to need it
     */
    double *sum_kept, *sum_saved;
    double *sum_version; /* bytes of a version of the weights; else all 0 */
    double *cut_bytes; /* by node: what crosses the cut before it, both ways */
    struct dawni_sizes sizes;
    struct dawni_stage_pricer *pricer;
    struct dawni_decider *decider;
    struct dawni_additive *additive; /* NULL: the profile is no additive one */
    struct dawni_memo costs;         /* of dawni_stage_cost_of */
    int *unfit; /* unfit.c: by stage and first node; NULL: not noted */
    struct dawni_stage_cost *cost;
    int cost_count, cost_room;
    int *stamp, stamps; /* by tensor: seen in scan number `stamps` */
    struct dawni_known_memory *known; /* [ranks * DAWNI_KNOWN] */
    struct dawni_schedules *schedules;
    double bound;         /* of dawni_bound; below 0: not known yet */
    const int *given_cut; /* orders.c: instead of a policy's; else NULL */
    double worth;         /* likewise: plans that are not below are of no use;
                             0: all are */
    bool any_plan;        /* that fits is wanted, not the best */
    /* nodes priced so far; from limit_work on the search ends, with pl->status
     * DAWN_E_NOFIT. 0: no limit */
    uint64_t work, limit_work;
    bool drop_all;        /* gpipe-uniform: recompute on every stage */
    bool no_cuts; /* the last rounds found no cuts that are thought to fit */
    int splits, widened;  /* dawnpiper: cuts looked for, and how often the
                             interval of the theorem did not hold the best */
    /* a failure inside a search, which goes on with INFINITY; the first one */
    enum dawn_status status;
    struct dawn_error error;
};

struct dawni_policy_ops {
    const char *name;
    const char *text; /* one line for people */
    bool refine;      /* move cuts by what the simulator says, afterwards */
    bool blind;       /* to memory: another cap changes nothing */
    bool moments;     /* may offload AdamW's moments */
    bool orders;      /* may put the nodes into another order */
    /* Choose cut[1] to cut[l - 1] (cut[0] = 0 and cut[l] = n are set) under the
     * budgets. False: found none, or pl->status is set. */
    bool (*partition)(struct dawni_planner *pl, int *cut);
    /* Decide what becomes of the saved tensors of a stage: decision[tensor],
     * all DAWN_KEEP before. NULL: dawni_decide. */
    bool (*decide)(struct dawni_planner *pl, int first, int last, int x,
                   uint8_t *decision);
    bool priced_so; /* dawni_stage_cost_of prices what `decide` decides */
    /* Under a cap, its plan is taken where it is better than what this policy
     * finds, or the only one. May be NULL. */
    const struct dawni_policy_ops *follows;
};

extern const struct dawni_policy_ops dawni_policy_dawnpiper;
extern const struct dawni_policy_ops dawni_policy_exact;
extern const struct dawni_policy_ops dawni_policy_pipedream;
extern const struct dawni_policy_ops dawni_policy_vpipe;
extern const struct dawni_policy_ops dawni_policy_adapipe;
extern const struct dawni_policy_ops dawni_policy_gpipe_uniform;

/* NULL: no such policy. */
const struct dawni_policy_ops *dawni_policy_find(const char *name);

/* create.c */

/* Begin to plan, or to price a plan. opts: policy may be NULL; microbatch and
 * cap_bytes may be 0. */
enum dawn_status dawni_planner_create(const struct dawn_profile *profile,
                                      const struct dawn_machine *machine,
                                      const struct dawn_planner_opts *opts,
                                      int ranks, struct dawni_planner **pl_p,
                                      struct dawn_error *err);
void dawni_planner_destroy(struct dawni_planner *pl); /* takes NULL */

/* figures.c: every speed, link and tier is within common/ranges.h. */
enum dawn_status dawni_check_machine(const struct dawn_machine *machine,
                                     struct dawn_error *err);

/* Plan for another machine of as many devices from now on; it must outlive the
 * planner. */
enum dawn_status dawni_planner_set_machine(struct dawni_planner *pl,
                                           const struct dawn_machine *machine,
                                           struct dawn_error *err);

/* Give every stage the same cap, and forget what was known under another. */
void dawni_planner_set_cap(struct dawni_planner *pl, uint64_t cap);

/* Forget what was learnt of stages, but for those that must not be estimated,
 * and all that was priced. */
void dawni_planner_forget(struct dawni_planner *pl);

/* Remember the first failure of a search; returns false. text NULL: it is in
 * pl->error already. */
bool dawni_planner_fail(struct dawni_planner *pl, enum dawn_status status,
                        const char *text);

/* planner.c */

/* Make the policy's plan under the caps, of the standard policies the first's
 * that has one. DAWN_E_NOFIT: there is none; no text.
 */
enum dawn_status dawni_plan_make(struct dawni_planner *pl,
                                 struct dawn_plan **plan_p,
                                 struct dawn_error *err);

/* The same, priced; of the standard policies the best plan. */
enum dawn_status dawni_plan_best(struct dawni_planner *pl,
                                 struct dawn_plan **plan_p,
                                 struct dawn_error *err);

/* A plan with these cuts, everything kept. */
enum dawn_status dawni_plan_create(const struct dawni_planner *pl,
                                   const int *cut, struct dawn_plan **plan_p,
                                   struct dawn_error *err);

/* What the plan is to be the least in. */
double dawni_objective_of(struct dawn_plan *plan);

/* rounds.c: the plan of the policy at work, of which times are priced. That all
 * stages fit may be estimated. */
enum dawn_status dawni_plan_by_rounds(struct dawni_planner *pl,
                                      struct dawn_plan **plan_p,
                                      struct dawn_error *err);

/* Decide about stage x and write it into the plan. priced: out. */
enum dawn_status dawni_decide_stage(struct dawni_planner *pl,
                                    struct dawn_plan *plan, int x,
                                    struct dawni_decided *priced,
                                    struct dawn_error *err);

/* batch.c: the largest microbatch with a plan, or the least if there is none.
 */
enum dawn_status dawni_largest_batch(const struct dawn_profile *profile,
                                     const struct dawn_machine *machine,
                                     const struct dawn_planner_opts *opts,
                                     int64_t *most_p, struct dawn_error *err);

/* Samples that it tries last, where no more fit. */
int64_t dawni_least_batch(const struct dawn_profile *profile);

/* What the plan is judged by: its step or its bottleneck. */
double dawni_objective_of(struct dawn_plan *plan);

/* dag.c: have the nodes one order only? */
bool dawni_graph_is_chain(const struct dawn_graph *graph);

/* place.c */

#define DAWNI_DEVICE_NAME 80

struct dawni_placed {
    struct dawn_machine *machine; /* device r is that of rank r; NULL: there was
                                     nothing to choose */
    int *device;                  /* by rank, of the machine as given */
};

/* Choose devices for the ranks, and plan for them from now on, where devices
 * differ. cap: of every rank; 0: the devices' own. The caller clears `placed`,
 * also after a failure, and not before the planner. */
enum dawn_status dawni_place(struct dawni_planner *pl,
                             const struct dawn_machine *machine, uint64_t cap,
                             struct dawni_placed *placed,
                             struct dawn_error *err);
void dawni_placed_clear(struct dawni_placed *placed);

/* Write the choice into a plan. */
enum dawn_status dawni_placed_name(const struct dawni_placed *placed,
                                   const struct dawn_machine *machine,
                                   struct dawn_plan *plan,
                                   struct dawn_error *err);

/* The machine with its devices in the order of the plan's ranks, to be
 * destroyed; NULL where the plan does not say. */
enum dawn_status dawni_machine_of_plan(struct dawn_plan *plan,
                                       const struct dawn_machine *machine,
                                       struct dawn_machine **own_p,
                                       struct dawn_error *err);

/* orders.c: plan for other orders of the nodes.
 *
 *   pl       of the order as given, for which dawni_plan_best was called
 *   plan_p   in: what that found, or NULL; out: the best plan, which has a
 *            graph of its own if it has another order
 */
enum dawn_status dawni_orders_search(struct dawni_planner *pl,
                                     const struct dawn_machine *machine,
                                     const struct dawn_planner_opts *opts,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err);

static inline bool dawni_may_offload(const struct dawni_planner *pl)
{
    return pl->may_offload[DAWN_TO_HOST] || pl->may_offload[DAWN_TO_SSD];
}

/* schedules.c: the schedules of partitions, some of them remembered */

enum dawn_status dawni_schedules_create(struct dawni_schedules **s_p,
                                        struct dawn_error *err);
void dawni_schedules_destroy(struct dawni_schedules *s); /* takes NULL */

/* The schedule of a partition with these cuts; good until this is called again.
 */
enum dawn_status dawni_schedule_with(const struct dawni_planner *pl,
                                     const struct dawni_cuts *cuts,
                                     const struct dawn_schedule **schedule_p,
                                     struct dawn_error *err);

/* judge.c */

/* dawn_memory_of, remembered. A rank whose peak is above the cap, which is 0 if
 * there is none, is not packed, and its arena_bytes is the peak. */
enum dawn_status dawni_rank_memory(struct dawni_planner *pl,
                                   struct dawn_plan *plan, int rank,
                                   uint64_t cap, struct dawn_memory *memory,
                                   struct dawn_error *err);

/* The same of a shorter step, which has all that is in flight at one time: most
 * often as much, and sooner known. */
enum dawn_status dawni_rank_estimate(struct dawni_planner *pl,
                                     struct dawn_plan *plan, int rank,
                                     uint64_t cap, struct dawn_memory *memory,
                                     struct dawn_error *err);

/* Is it really? If not, the stages that are above their caps are not judged by
 * estimates from now on, and what they cost is forgotten. */
enum dawn_status dawni_verify(struct dawni_planner *pl, struct dawn_plan *plan,
                              bool *fits_p, struct dawn_error *err);

/* Is every rank within its cap? DAWN_E_NOFIT: no, and its stage has less room
 * from now on. priced: by stage. */
enum dawn_status dawni_judge(struct dawni_planner *pl, struct dawn_plan *plan,
                             const struct dawni_decided *priced,
                             struct dawn_error *err);

/* Count nodes that are priced, or work that takes as long. False: pl->status is
 * set, it was too much. */
bool dawni_planner_work(struct dawni_planner *pl, uint64_t nodes);

/* nofit.c: fail with DAWN_E_NOFIT, and say under which cap. */
enum dawn_status dawni_plan_nofit(const struct dawni_planner *pl,
                                  struct dawn_error *err);

/* nofit.c: dawn_planner_find_cap with a planner, whose caps change, and with so
 * much work; additive profiles have a limit of their own. */
enum dawn_status dawni_plan_find_cap(struct dawni_planner *pl,
                                     uint64_t most_work,
                                     const struct dawn_planner_watch *watch,
                                     struct dawn_planner_nofit *nofit,
                                     struct dawn_error *err);

/* bound.c: is what stays in memory from step to step too much already, whatever
 * is recomputed or offloaded? False: not known, or pl->status is set. */
bool dawni_surely_unfit(struct dawni_planner *pl);

/* "600MiB", or "629145601 bytes"; returns buf. */
const char *dawni_size_text(uint64_t bytes, char *buf, size_t room);

/* cost.c */

enum dawn_status dawni_cost_init(struct dawni_planner *pl,
                                 struct dawn_error *err);

static inline double dawni_sum_t(const struct dawni_planner *pl, int before)
{
    return pl->sum_f[before] + pl->sum_b[before] + pl->sum_w[before];
}

/* Times of an update within the step and of STEP, on stage x. */
void dawni_update_times(const struct dawni_planner *pl, int first, int last,
                        int x, double *update_ns, double *step_ns);

/* Bytes that are there from step to step on stage x, and versions of the
 * weights, to aim with: sums over nodes. */
double dawni_sum_of_kept(const struct dawni_planner *pl, int first, int last,
                         int x);

/* S of a stage whose microbatch takes time_ns. */
double dawni_step_of(const struct dawni_planner *pl, int first, int last, int x,
                     double time_ns);

/* T of a run of nodes where everything is kept and messages are free. */
double dawni_base_time(const struct dawni_planner *pl, int first, int last,
                       int x);

/* Time of a microbatch's messages between stages x - 1 and x, both ways, if x
 * begins at node p. */
double dawni_cut_ns(const struct dawni_planner *pl, int x, int p);

/* Bytes that cross the run's first and last cut, both ways. A tensor that
 * several later stages need is counted once. */
void dawni_traffic(struct dawni_planner *pl, int first, int last, double *in,
                   double *out);

/* Cost of a run of nodes as stage x, with the decisions of dawni_decide. */
struct dawni_stage_cost dawni_stage_cost_of(struct dawni_planner *pl, int first,
                                            int last, int x);

/* From now on the run costs what was decided that way, and judged. */
void dawni_cost_judged(struct dawni_planner *pl, int first, int last, int x,
                       const struct dawni_decided *d,
                       const struct dawni_way *way);

/* Forget the costs of stage x, whose budget has changed; those that were judged
 * only if `all`. */
void dawni_cost_forget(struct dawni_planner *pl, int x, bool all);

/* unfit.c: runs that do not fit, under the budgets as they are */

enum dawn_status dawni_unfit_create(struct dawni_planner *pl,
                                    struct dawn_error *err);
void dawni_unfit_note(struct dawni_planner *pl, int first, int last, int x);
void dawni_unfit_forget(struct dawni_planner *pl, int x);
/* Has the run one in it that does not fit, and is it longer by enough? */
bool dawni_unfit(const struct dawni_planner *pl, int first, int last, int x);

/* decide.c */

enum dawn_status dawni_decider_create(struct dawni_planner *pl,
                                      struct dawn_error *err);
void dawni_decider_destroy(struct dawni_decider *d); /* takes NULL */
/* Prices are others from now on. Takes NULL. */
void dawni_decider_forget(struct dawni_decider *d);

/* Decide what a run recomputes and offloads so that it fits its budget at least
 * cost.
 *
 *   optimizer  by parameter: where moments lie; NULL: all are kept
 *   decision   out, by tensor, all DAWN_KEEP before; NULL: only the cost
 */
struct dawni_decided dawni_decide_tensors(struct dawni_planner *pl,
                                          const struct dawni_run *run,
                                          const uint8_t *optimizer,
                                          uint8_t *decision);

/* Price given decisions, without the update. */
struct dawni_decided dawni_price_tensors(struct dawni_planner *pl,
                                         const struct dawni_run *run,
                                         const uint8_t *optimizer,
                                         const uint8_t *decision);

/* update.c */

enum dawn_status dawni_update_create(struct dawni_planner *pl,
                                     struct dawn_error *err);
void dawni_update_destroy(struct dawni_planner *pl);

/* May moments go to a tier, if there is one and keep_moments is not set? */
bool dawni_may_move_moments(const struct dawni_planner *pl);

/* What an update takes longer by moments, which are where `optimizer` says:
 * waiting, and computing time of their transfers. False: pl->status is set. */
bool dawni_update_wait(struct dawni_planner *pl, const struct dawni_run *run,
                       const uint8_t *optimizer, double *wait_ns);

/* Bytes of them that are there at one time in an update, at most. */
uint64_t dawni_update_staging(const struct dawni_planner *pl,
                              const struct dawni_run *run,
                              const uint8_t *optimizer);

/* The same as dawni_decide_tensors, and decide where moments lie: away only
 * where a step then loses less. */
struct dawni_decided dawni_decide(struct dawni_planner *pl, int first, int last,
                                  int x, bool thorough, uint8_t *decision);

/* Price given decisions, and the update; and those of a stage that keeps its
 * moments. */
struct dawni_decided dawni_price_stage(struct dawni_planner *pl,
                                       const struct dawni_run *run,
                                       const uint8_t *optimizer,
                                       const uint8_t *decision);
struct dawni_decided dawni_price_decisions(struct dawni_planner *pl, int first,
                                           int last, int x,
                                           const uint8_t *decision);

/* Write into the plan where the moments of stage x lie. */
enum dawn_status dawni_update_note(const struct dawni_planner *pl,
                                   struct dawn_plan *plan, int x,
                                   enum dawn_decision tier,
                                   struct dawn_error *err);

/* by_layer.c: the same for whole layers; what could be hidden is offloaded, the
 * rest recomputed. decision: of all tensors, DAWN_KEEP before. */
struct dawni_decided dawni_decide_by_layer(struct dawni_planner *pl, int first,
                                           int last, int x, uint8_t *decision);

/* sets.c: all sets of tensors that a small stage may recompute */

#define DAWNI_SET_TENSORS 10

struct dawni_sets {
    int tensors; /* that can be in a set; too many: -1, and no sets */
    int tensor[DAWNI_SET_TENSORS];
    int sets; /* that may fit, least time first */
    struct dawni_set {
        unsigned set; /* bit i: of tensor[i] */
        struct dawni_decided priced;
    } * set;
};

enum dawn_status dawni_sets_create(struct dawni_planner *pl, int first,
                                   int last, int x, struct dawni_sets *s,
                                   struct dawn_error *err);
void dawni_sets_clear(struct dawni_sets *s);

/* Recompute the tensors of a set on stage x, and keep the rest. */
enum dawn_status dawni_set_decide(const struct dawni_planner *pl,
                                  struct dawn_plan *plan, int x, unsigned set,
                                  struct dawn_error *err);

/* bottleneck.c */

/* S of first..last as stage x, or any number above `limit` that the true one
 * does not go below. Never less where the run is longer. */
typedef double (*dawni_step_fn)(void *arg, int first, int last, int x,
                                double limit);

/* Least max S over all cuts; INFINITY: none fits. cut may be NULL. */
double dawni_bottleneck(struct dawni_planner *pl, dawni_step_fn step, void *arg,
                        int *cut);

/* S of dawni_stage_cost_of, for a search of which `arg` is the planner. */
double dawni_step_within(void *arg, int first, int last, int x, double limit);

/* binary.c: max S of binary partitioning; INFINITY: none fits. cut is written
 * if that is below `bound`. */
double dawni_halves(struct dawni_planner *pl, double bound, int *cut);

/* pipedream.c: cuts with the least largest time of a stage or of the messages
 * between two, nothing recomputed. False: pl->status is set. */
bool dawni_balance(struct dawni_planner *pl, int *cut);

/* window.c */

struct dawni_window {
    int low, high; /* where a cut may be */
};

/* Least max S over all cuts within the windows window[0] to window[l], if it is
 * below *step_p; else cut and *step_p are left as they are. False: they are too
 * many to go through, or pl->status is set. */
bool dawni_window_search(struct dawni_planner *pl,
                         const struct dawni_window *window, double *step_p,
                         int *cut);

/* At most `reach` nodes from the cuts; the caller frees it. NULL: no memory. */
struct dawni_window *dawni_windows_around(const struct dawni_planner *pl,
                                          const int *cut, int reach);

/* All that may lead to a max S below the bound; likewise. */
struct dawni_window *dawni_windows_below(const struct dawni_planner *pl,
                                         double bound);

/* bottleneck.c: where cuts must be for a max S that is not above the bound, if
 * a longer run never costs less; all empty where no cuts do it, and for the
 * first cut. Likewise; without memory pl->status is set. */
struct dawni_window *dawni_windows_within(struct dawni_planner *pl,
                                          double bound);

/* bound.c: no plan has a faster step, whatever its cuts and decisions; 0: not
 * known, or pl->status is set. */
double dawni_bound(struct dawni_planner *pl);

/* order_bound.c: the same for all orders of the nodes. */
double dawni_bound_any_order(struct dawni_planner *pl);

/* bound.c: least time that is run again to drop so many bytes of a microbatch,
 * wherever they are; INFINITY: they are more than can be dropped. */
double dawni_least_drop(struct dawni_planner *pl, double excess);

/* simulate.c */

struct dawni_stage_times { /* by stage */
    double *f_ns, *b_ns, *w_ns, *step_ns, *update_ns;
    /* what is offloaded, and where each stage's begins; NULL: nothing */
    const struct dawni_transfers *transfers;
    const int *transfer_first;
    bool totals_only; /* see dawn_sim_costs */
};

enum dawn_status dawni_stage_times_create(int stages,
                                          struct dawni_stage_times *times,
                                          struct dawn_error *err);
void dawni_stage_times_clear(struct dawni_stage_times *times);

/* A simulated step; the caller clears the result. */
enum dawn_status dawni_simulate_cuts(const struct dawni_planner *pl,
                                     const int *cut,
                                     const struct dawni_stage_times *times,
                                     struct dawn_sim_result *result,
                                     struct dawn_error *err);

/* price.c: what of it takes no look at memory; likewise. */
enum dawn_status dawni_price_times(struct dawni_planner *pl,
                                   struct dawn_plan *plan,
                                   struct dawn_sim_result *result,
                                   struct dawn_error *err);

/* price.c: dawn_planner_price with what is known already. result: out, of the
 * simulated step, which the caller clears; NULL: not wanted. */
enum dawn_status dawni_price_plan(struct dawni_planner *pl,
                                  struct dawn_plan *plan,
                                  struct dawn_sim_result *result,
                                  struct dawn_error *err);

/* price.c: the sizes that times are read off between, if b was not profiled. */
void dawni_note_sizes(const struct dawni_planner *pl,
                      struct dawn_plan_info *info);

/* refine.c: move cuts a little where the simulator says that it pays. */
bool dawni_refine(struct dawni_planner *pl, int *cut);

#endif
