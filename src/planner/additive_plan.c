/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of additive profiles by the solver: its stages are sets of nodes, so
 * the plan's nodes stand in an order that makes runs of them. Where the step
 * counts, not the slowest stage, the policies go on from there, and from the
 * profile's own order.
 */
#include "common/array.h"
#include "partition/partition.h"
#include "planner/additive_rule.h"
#include "planner/orders.h"
#include "plan/plan.h"
#include <math.h>
#include <string.h>

/* Halvings to find a cap that works, and effort for each */
#define MOST_HALVINGS 8
#define HALVING_WORK 40000000

bool dawni_additive_solves(const struct dawni_planner *pl)
{
    return pl->additive && (pl->standard || pl->policy == &dawni_policy_exact ||
                            pl->policy == &dawni_policy_dawnpiper);
}

/* Ranks are those of the stages, so no device is left out where they differ. */
static bool devices_differ(const struct dawni_planner *pl)
{
    for (int x = 1; x < pl->l; x++)
        if (pl->stage[x].speed != pl->stage[0].speed ||
            pl->stage[x].cap != pl->stage[0].cap)
            return true;
    return false;
}

static enum dawn_status solve(struct dawni_planner *pl, int64_t most_work,
                              struct dawni_partition **part_p,
                              struct dawn_error *err)
{
    struct dawni_partition_problem problem = dawni_additive_problem(pl);

    problem.all_stages = devices_differ(pl);
    problem.most_work = most_work;
    return dawni_partition_solve(&problem, part_p, err);
}

/* Of the objective. A step has m microbatches to pass the slowest stage. */
static double bound_of(const struct dawni_planner *pl, double bottleneck_ns)
{
    if (isinf(bottleneck_ns))
        return 0;
    return pl->objective == DAWN_OBJECTIVE_BOTTLENECK ? bottleneck_ns
                                                      : pl->m * bottleneck_ns;
}

/* Transfers cannot be hidden in more than all of a stage's time; but what is in
 * flight in the end is not moved. */
static double most_share(const struct dawni_planner *pl)
{
    if (dawni_additive_tier(pl) == DAWN_KEEP)
        return 0;
    return pl->m > pl->l ? pl->m / (double)(pl->m - pl->l) : 1e6;
}

/* Solve with a part of the tier's rate. */
static enum dawn_status solve_share(struct dawni_planner *pl, double share,
                                    struct dawni_partition **part_p,
                                    struct dawn_error *err)
{
    enum dawn_status st;

    pl->additive->tier_share = share;
    st = solve(pl, 0, part_p, err);
    pl->additive->tier_share = 1;
    return st;
}

double dawni_additive_bound(struct dawni_planner *pl)
{
    struct dawni_partition *part;
    double bound = 0;
    enum dawn_status st = solve_share(pl, most_share(pl), &part, &pl->error);

    if (st) {
        dawni_planner_fail(pl, st, NULL);
        return 0;
    }
    bound = bound_of(pl, part->bound_ns);
    dawni_partition_destroy(part);
    return bound;
}

/* A partition, and a planner in whose order its stages are runs of nodes */

struct layout {
    const struct dawni_partition *part; /* NULL: none, but ... */
    int stages;                         /* ... so many stages ... */
    bool thin; /* ... in an order with small messages, not the profile's */
    int *order, *cut;
    struct dawn_profile *profile;
    struct dawni_planner *pl;
};

static void clear(struct layout *o)
{
    dawni_planner_destroy(o->pl);
    dawn_profile_destroy(o->profile);
    free(o->order);
    free(o->cut);
}

static enum dawn_status list_thin(struct layout *o,
                                  const struct dawni_planner *pl,
                                  struct dawn_error *err)
{
    double *ns = dawni_calloc(pl->n, sizeof *ns);
    struct dawni_dag dag = {0};
    bool listed = ns && dawni_dag_create(pl->graph, &dag);

    if (listed &&
        !dawni_list_nodes(pl->graph, &dag, ns, DAWNI_ORDER_MEMORY, o->order))
        for (int i = 0; i < pl->n; i++)
            o->order[i] = i;
    dawni_dag_clear(&dag);
    free(ns);
    return listed ? DAWN_OK
                  : dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                              pl->n);
}

static void order_nodes(struct layout *o, const struct dawni_planner *pl)
{
    int n = 0;

    for (int i = 0; i < pl->n && !o->part; i++)
        o->order[i] = i;
    for (int x = 0; o->part && x < o->part->stages; x++) {
        for (int i = 0; i < pl->n; i++)
            if (o->part->stage_of[i] == x)
                o->order[n++] = i;
        o->cut[x + 1] = n;
    }
}

static enum dawn_status lay_out(struct layout *o,
                                const struct dawni_planner *pl,
                                struct dawn_error *err)
{
    int l = o->part ? o->part->stages : o->stages;
    enum dawn_status st;

    o->order = dawni_calloc(pl->n, sizeof *o->order);
    o->cut = dawni_calloc((int64_t)l + 1, sizeof *o->cut);
    if (!o->order || !o->cut)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                         pl->n);
    order_nodes(o, pl);
    if (o->thin && (st = list_thin(o, pl, err)))
        return st;
    bool host = pl->may_offload[DAWN_TO_HOST];
    bool ssd = pl->may_offload[DAWN_TO_SSD];
    struct dawn_planner_opts opts = {
        .offload = host && ssd ? DAWN_OFFLOAD_AUTO
                   : host      ? DAWN_OFFLOAD_HOST
                   : ssd       ? DAWN_OFFLOAD_SSD
                               : DAWN_OFFLOAD_NONE,
        .policy = pl->standard ? NULL : pl->policy->name,
        .schedule = pl->schedule,
        .stages = l,
        .microbatches = pl->m,
        .microbatch = pl->b,
        .objective = pl->objective,
        .no_recompute = pl->no_recompute,
    };
    st = dawn_profile_reorder(pl->profile, o->order, pl->n, &o->profile, err);
    if (!st)
        st = dawni_planner_create(o->profile, pl->machine, &opts, l, &o->pl,
                                  err);
    for (int x = 0; x < l && !st; x++)
        o->pl->stage[x].cap = o->pl->stage[x].budget = pl->stage[x].cap;
    if (st)
        return st;
    if (l == pl->l || o->part)
        memcpy(o->pl->sharers, pl->sharers, sizeof pl->sharers);
    o->pl->bound = pl->bound;
    return DAWN_OK;
}

/* The plan's graph must outlive the layout. */
static enum dawn_status own_graph(const struct layout *o,
                                  struct dawn_plan *plan,
                                  struct dawn_error *err)
{
    struct dawn_graph *graph;
    enum dawn_status st =
        dawni_graph_reorder_like(o->pl->graph, o->pl->graph, &graph, err);

    if (!st)
        dawni_plan_own_graph(plan, graph);
    return st;
}

/* Decide as the solver does about stage x, or, if that stalls, better. */
static enum dawn_status decide_stage(const struct layout *o, int x,
                                     uint8_t *decision, struct dawn_plan *plan,
                                     struct dawn_error *err)
{
    struct dawni_planner *pl = o->pl;
    int first = o->cut[x], last = o->cut[x + 1] - 1;
    const struct dawni_partition *part = o->part;
    enum dawn_status st = DAWN_OK;

    for (int i = first; i <= last; i++)
        decision[pl->graph->node[i].output[0]] =
            part->offloaded[o->order[i]] ? (uint8_t)dawni_additive_tier(pl)
            : part->variant[o->order[i]] ? DAWN_RECOMPUTE
                                         : DAWN_KEEP;
    dawni_additive_mend(pl, first, last, x, decision);
    for (int i = first; i <= last && !st; i++) {
        int t = pl->graph->node[i].output[0];
        if (decision[t] != DAWN_KEEP)
            st = dawn_plan_decide(plan, x, t, decision[t], err);
    }
    return st;
}

/* The solver's plan. */
static enum dawn_status write_plan(const struct layout *o,
                                   struct dawn_plan **plan_p,
                                   struct dawn_error *err)
{
    struct dawni_planner *pl = o->pl;
    uint8_t *decision = dawni_calloc(pl->graph->tensors, sizeof *decision);
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawni_plan_create(pl, o->cut, &plan, err);

    if (!st && !decision)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    for (int x = 0; x < pl->l && !st; x++)
        st = decide_stage(o, x, decision, plan, err);
    if (!st)
        st = dawni_price_plan(pl, plan, NULL, err);
    if (!st)
        st = own_graph(o, plan, err);
    free(decision);
    if (st)
        dawn_plan_destroy(plan);
    else
        *plan_p = plan;
    return st;
}

/* The better one of two; takes both. Either may be NULL. */
static struct dawn_plan *better(struct dawn_plan *a, struct dawn_plan *b)
{
    bool first = a && (!b || dawni_objective_of(a) <= dawni_objective_of(b));

    dawn_plan_destroy(first ? b : a);
    return first ? a : b;
}

/* What the policy makes of an order. *best: replaced if that is better. */
static enum dawn_status try_policy(struct dawni_planner *pl,
                                   const struct layout *o,
                                   struct dawn_plan **best,
                                   struct dawn_error *err)
{
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawni_plan_best(pl, &plan, err);

    if (st == DAWN_E_NOFIT)
        return DAWN_OK;
    if (!st && o)
        st = own_graph(o, plan, err);
    if (st)
        dawn_plan_destroy(plan);
    else
        *best = better(*best, plan);
    return st;
}

/* The policy that was asked for, or all of them: they cost little here. */
static enum dawn_status try_policies(struct dawni_planner *pl,
                                     const struct layout *o,
                                     struct dawn_plan **best,
                                     struct dawn_error *err)
{
    const struct dawni_policy_ops *asked = pl->policy;
    bool standard = pl->standard;
    enum dawn_status st = DAWN_OK;

    if (!standard)
        return try_policy(pl, o, best, err);
    pl->standard = false;
    for (int i = 0; dawn_planner_policy(i) && !st; i++) {
        pl->policy = dawni_policy_find(dawn_planner_policy(i));
        st = try_policy(pl, o, best, err);
    }
    pl->standard = true;
    pl->policy = asked;
    return st;
}

/* Search */

struct found {
    struct dawn_plan *plan;       /* the best so far; NULL: none */
    struct dawni_partition *part; /* that it was made from */
    double least_ns; /* no plan with as much of the tier as was tried last, or
                        less, has a shorter bottleneck; INFINITY: none fits */
};

/* Make a plan of a partition, keep both if it is the best. Takes `part`. */
static enum dawn_status use(struct dawni_planner *pl,
                            struct dawni_partition *part, struct found *f,
                            struct dawn_error *err)
{
    struct layout o = {.part = part};
    struct dawn_plan *plan = NULL;
    enum dawn_status st = lay_out(&o, pl, err);

    if (!st)
        st = write_plan(&o, &plan, err);
    clear(&o);
    if (st) {
        dawni_partition_destroy(part);
        return st;
    }
    bool gain =
        !f->plan || dawni_objective_of(plan) < dawni_objective_of(f->plan);
    f->plan = better(f->plan, plan);
    dawni_partition_destroy(gain ? f->part : part);
    f->part = gain ? part : f->part;
    return DAWN_OK;
}

/* Plan with a part of the tier's rate. */
static enum dawn_status try_share(struct dawni_planner *pl, double share,
                                  struct found *f, struct dawn_error *err)
{
    struct dawni_partition *part;
    enum dawn_status st = solve_share(pl, share, &part, err);

    if (st)
        return st;
    if (pl->bound < 0)
        pl->bound = bound_of(pl, part->bound_ns);
    f->least_ns = part->bound_ns;
    if (part->feasible)
        return use(pl, part, f, err);
    dawni_partition_destroy(part);
    return DAWN_OK;
}

/* Can plans with less of the tier be better? */
static bool may_gain(const struct dawni_planner *pl, const struct found *f)
{
    if (isinf(f->least_ns))
        return false;
    return !f->plan || pl->objective == DAWN_OBJECTIVE_STEP ||
           dawni_objective_of(f->plan) > f->least_ns * (1 + 1e-9);
}

/* The solver takes it that what a stage moves hides if the tier can move it in
 * the stage's time. Often it does not: what comes back must come in the time of
 * backward, and big tensors come late. So plans are priced by a rehearsal, and
 * plans that move less are tried too, first of all nothing. */
static enum dawn_status try_shares(struct dawni_planner *pl, struct found *f,
                                   struct dawn_error *err)
{
    static const double less[] = {0.9,  0.8,  0.7, 0.6,  0.5, 0.4,
                                  0.32, 0.25, 0.2, 0.15, 0.1, 0.05};
    const int shares = sizeof less / sizeof less[0];
    double most = most_share(pl);
    enum dawn_status st = try_share(pl, most, f, err);
    double least_ns = f->least_ns;

    if (st || most <= 0 || !may_gain(pl, f))
        return st;
    st = try_share(pl, 0, f, err);
    f->least_ns = least_ns;
    for (int i = 0; i < shares && !st && may_gain(pl, f); i++)
        st = try_share(pl, less[i], f, err);
    return st;
}

/* Cuts for a short step (additive_cuts.c) */

static bool cut_as_given(struct dawni_planner *pl, int *cut)
{
    memcpy(cut, pl->given_cut, (size_t)(pl->l + 1) * sizeof *cut);
    return true;
}

/* Plan with cuts that are given, moved a little where that gains. */
static enum dawn_status plan_cuts(struct dawni_planner *pl, const int *cut,
                                  const struct layout *o,
                                  struct dawn_plan **best,
                                  struct dawn_error *err)
{
    const struct dawni_policy_ops *asked = pl->policy;
    struct dawni_policy_ops given =
        pl->standard ? dawni_policy_exact : *pl->policy;
    bool standard = pl->standard;
    enum dawn_status st;

    given.partition = cut_as_given;
    pl->standard = false;
    pl->policy = &given;
    pl->given_cut = cut;
    pl->worth = *best ? dawni_objective_of(*best) : 0;
    st = try_policy(pl, o, best, err);
    pl->worth = 0;
    pl->given_cut = NULL;
    pl->policy = asked;
    pl->standard = standard;
    return st;
}

/* Rungs of the ladder of caps in each doubling, and in all */
#define RUNGS 2
#define MOST_RUNGS 8
#define MOST_PARTS 4
#define MOST_PART_NODES 500 /* of a profile: each takes a solution */

/* A step takes at least so much of its microbatches times their period. */
#define HOPE 0.9

/* The next smaller cap of a ladder that is the same for all caps. */
static double rung_below(double bytes)
{
    double rung = exp2(floor(log2(bytes) * RUNGS) / RUNGS);

    return rung < bytes ? rung : rung / exp2(1.0 / RUNGS);
}

/* Give each stage its own cap or, if that is less, so many bytes. */
static void lower_caps(struct dawni_planner *pl, const uint64_t *cap,
                       double bytes)
{
    for (int x = 0; x < pl->l; x++)
        pl->stage[x].cap = bytes < (double)cap[x] ? (uint64_t)bytes : cap[x];
    dawni_planner_forget(pl);
}

/* What the fullest stage takes */
static double peak_of(const struct dawn_plan *plan)
{
    uint64_t most = 0;

    for (int x = 0; x < dawn_plan_info((struct dawn_plan *)plan)->stages; x++) {
        uint64_t bytes =
            dawn_plan_stage((struct dawn_plan *)plan, x)->predicted.arena_bytes;
        most = bytes > most ? bytes : most;
    }
    return (double)most;
}

/* A plan under a cap is one under any larger cap: cut under smaller caps too,
 * from a ladder that does not depend on the cap. */
static enum dawn_status try_ladder(struct dawni_planner *pl,
                                   const struct layout *o,
                                   struct dawn_plan **best,
                                   struct dawn_error *err)
{
    size_t size = ((size_t)pl->l + 1) * sizeof(int);
    int *cut = dawni_calloc(2 * ((int64_t)pl->l + 1), sizeof *cut);
    int *last = cut ? cut + pl->l + 1 : NULL;
    uint64_t *cap = dawni_calloc(pl->l, sizeof *cap);
    uint64_t cap_bytes = 0;
    enum dawn_status st = DAWN_OK;
    double rung = INFINITY;

    if (!cut || !cap)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d cuts", pl->l);
    for (int x = 0; x < pl->l && !st; x++)
        cap[x] = pl->stage[x].cap;
    for (int i = 0; i <= MOST_RUNGS && !st; i++) {
        double period_ns = dawni_additive_cut(pl, cut);
        if (pl->status)
            st = dawn_fail(err, pl->status, "%s", pl->error.text);
        if (st || isinf(period_ns) ||
            (*best && HOPE * pl->m * period_ns > dawni_objective_of(*best)))
            break;
        if (memcmp(cut, last, size))
            st = plan_cuts(pl, cut, o, best, err);
        if (st || !*best)
            break;
        memcpy(last, cut, size);
        if (i == 0) {
            cap_bytes = dawn_plan_info(*best)->cap_bytes;
            rung = peak_of(*best);
        }
        rung = rung_below(rung);
        lower_caps(pl, cap, rung);
    }
    if (cap && isfinite(rung))
        lower_caps(pl, cap, INFINITY);
    if (*best && isfinite(rung))
        dawn_plan_info(*best)->cap_bytes = cap_bytes;
    free(cut);
    free(cap);
    return st;
}

/* Solve under a smaller cap, and start from those cuts under the true one. */
static enum dawn_status try_part(struct dawni_planner *pl, const uint64_t *cap,
                                 double rung, struct found *f,
                                 struct dawn_error *err)
{
    struct dawni_partition *part = NULL;
    struct layout o = {0};
    enum dawn_status st;

    lower_caps(pl, cap, rung);
    st = solve_share(pl, 0, &part, err);
    lower_caps(pl, cap, INFINITY);
    o.part = part;
    if (!st && part->feasible) {
        st = lay_out(&o, pl, err);
        if (!st)
            st = plan_cuts(o.pl, o.cut, &o, &f->plan, err);
    }
    clear(&o);
    dawni_partition_destroy(part);
    return st;
}

/* The solver's orders under smaller caps: some have smaller messages. */
static enum dawn_status try_parts(struct dawni_planner *pl, struct found *f,
                                  struct dawn_error *err)
{
    uint64_t *cap = dawni_calloc(pl->l, sizeof *cap);
    double rung = peak_of(f->plan);
    enum dawn_status st = DAWN_OK;

    if (!cap)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d caps", pl->l);
    for (int x = 0; x < pl->l; x++)
        cap[x] = pl->stage[x].cap;
    for (int i = 0; i < MOST_PARTS && pl->n <= MOST_PART_NODES && !st; i++) {
        rung = rung_below(rung);
        st = try_part(pl, cap, rung, f, err);
    }
    free(cap);
    return st;
}

/* Is the profile in its own order? */
static bool same_order(const struct layout *o, int nodes)
{
    int i = 0;

    while (i < nodes && o->order[i] == i)
        i++;
    return i == nodes;
}

/* Cut the profile as it is, and in an order with small messages. */
static enum dawn_status try_orders(struct dawni_planner *pl,
                                   struct dawn_plan **best,
                                   struct dawn_error *err)
{
    struct layout o = {.stages = pl->l, .thin = true};
    enum dawn_status st = try_ladder(pl, NULL, best, err);

    if (!st)
        st = lay_out(&o, pl, err);
    if (!st && !same_order(&o, pl->n))
        st = try_ladder(o.pl, &o, best, err);
    clear(&o);
    return st;
}

/* Where the step counts: from the best plan's order on. */
static enum dawn_status improve(struct dawni_planner *pl, struct found *f,
                                struct dawn_error *err)
{
    struct layout o = {.part = f->part};
    enum dawn_status st = lay_out(&o, pl, err);

    if (!st)
        st = try_policies(o.pl, &o, &f->plan, err);
    if (!st)
        st = try_ladder(o.pl, &o, &f->plan, err);
    clear(&o);
    return st;
}

/* The best plan that is found by all searches for pl->l stages; *plan_p: NULL
 * where there is none. */
static enum dawn_status search_count(struct dawni_planner *pl,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err)
{
    bool step = pl->objective == DAWN_OBJECTIVE_STEP;
    struct found f = {NULL};
    enum dawn_status st = try_shares(pl, &f, err);

    if (!st && step && f.part)
        st = improve(pl, &f, err);
    if (!st && (step || !f.plan) && (f.plan || !isinf(f.least_ns)))
        st = try_policies(pl, NULL, &f.plan, err);
    if (!st && step)
        st = try_orders(pl, &f.plan, err);
    if (!st && step && f.plan)
        st = try_parts(pl, &f, err);
    dawni_partition_destroy(f.part);
    if (st)
        dawn_plan_destroy(f.plan);
    else
        *plan_p = f.plan;
    return st;
}

/* Can a plan with so many stages be better? */
static bool may_be_better(const struct dawni_planner *pl, int stages,
                          struct dawn_plan *best)
{
    double ns = pl->sum_f[pl->n] + pl->sum_b[pl->n] + pl->sum_w[pl->n];

    return !best || pl->m * (ns / pl->max_speed / stages) <
                        dawni_objective_of(best) * (1 - 1e-9);
}

/* Plans with fewer stages, where messages take long. Each count is searched as
 * if no more had been asked for, so that more stages are never worse. */
static enum dawn_status try_fewer(struct dawni_planner *pl,
                                  struct dawn_plan **best,
                                  struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int l = pl->l - 1; l > 0 && may_be_better(pl, l, *best) && !st; l--) {
        struct layout o = {.stages = l};
        struct dawn_plan *plan = NULL;
        st = lay_out(&o, pl, err);
        if (!st)
            st = search_count(o.pl, &plan, err);
        if (!st && plan)
            st = own_graph(&o, plan, err);
        clear(&o);
        if (st)
            dawn_plan_destroy(plan);
        else
            *best = better(*best, plan);
    }
    return st;
}

enum dawn_status dawni_additive_best(struct dawni_planner *pl,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err)
{
    struct dawn_plan *best = NULL;
    enum dawn_status st = search_count(pl, &best, err);

    if (!st && pl->objective == DAWN_OBJECTIVE_STEP && !devices_differ(pl))
        st = try_fewer(pl, &best, err);
    if (st) {
        dawn_plan_destroy(best);
        return st;
    }
    *plan_p = best;
    return best ? DAWN_OK : DAWN_E_NOFIT;
}

/* Nothing fits */

/* Plan under a cap. *need: what the fullest stage takes; stays as it is where
 * nothing fits. */
static enum dawn_status try_cap(struct dawni_planner *pl, uint64_t cap,
                                struct dawn_planner_nofit *need,
                                struct dawn_error *err)
{
    struct dawni_partition *part;
    double most = -1;

    dawni_planner_set_cap(pl, cap);
    enum dawn_status st = solve(pl, HALVING_WORK, &part, err);
    if (st)
        return st;
    for (int x = 0; part->feasible && x < part->stages; x++)
        if (part->stage[x].peak_bytes > most) {
            most = part->stage[x].peak_bytes;
            need->stage = x;
            need->stage_bytes = need->works_bytes = (uint64_t)ceil(most);
        }
    dawni_partition_destroy(part);
    return DAWN_OK;
}

enum dawn_status dawni_additive_find_cap(struct dawni_planner *pl,
                                         const struct dawn_planner_watch *watch,
                                         struct dawn_planner_nofit *need,
                                         struct dawn_error *err)
{
    enum dawn_status st = try_cap(pl, UINT64_MAX, need, err);

    for (int i = 0; i < MOST_HALVINGS && !st; i++) {
        uint64_t before = need->works_bytes;
        if (before <= need->fails_bytes + 1)
            break;
        uint64_t middle = need->fails_bytes + (before - need->fails_bytes) / 2;
        st = try_cap(pl, middle, need, err);
        if (need->works_bytes == before)
            need->fails_bytes = middle;
        if (!st && watch)
            watch->tell(watch->user, need);
    }
    return st;
}
