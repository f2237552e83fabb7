/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of additive profiles by the solver: its stages are sets of nodes, so
 * the plan's nodes stand in an order that makes runs of them. Where the step
 * counts, not the slowest stage, the policies go on from there, and from the
 * profile's own order.
 */
#include "common/array.h"
#include "partition/partition.h"
#include "planner/additive_rule.h"
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

double dawni_additive_bound(struct dawni_planner *pl)
{
    struct dawni_partition *part;
    double bound = 0;
    enum dawn_status st = solve(pl, 0, &part, &pl->error);

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
    const struct dawni_partition *part;
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

static enum dawn_status lay_out(struct layout *o,
                                const struct dawni_planner *pl,
                                struct dawn_error *err)
{
    int l = o->part->stages, n = 0;
    enum dawn_status st;

    o->order = dawni_calloc(pl->n, sizeof *o->order);
    o->cut = dawni_calloc((int64_t)l + 1, sizeof *o->cut);
    if (!o->order || !o->cut)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                         pl->n);
    for (int x = 0; x < l; x++) {
        for (int i = 0; i < pl->n; i++)
            if (o->part->stage_of[i] == x)
                o->order[n++] = i;
        o->cut[x + 1] = n;
    }
    struct dawn_planner_opts opts = {
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
    if (!st)
        o->pl->bound = pl->bound;
    return st;
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

/* The solver's plan. */
static enum dawn_status write_plan(const struct layout *o,
                                   struct dawn_plan **plan_p,
                                   struct dawn_error *err)
{
    struct dawni_planner *pl = o->pl;
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawni_plan_create(pl, o->cut, &plan, err);

    for (int i = 0; i < pl->n && !st; i++)
        if (o->part->variant[o->order[i]])
            st = dawn_plan_decide(plan, dawn_plan_stage_of(plan, i),
                                  pl->graph->node[i].output[0], DAWN_RECOMPUTE,
                                  err);
    if (!st)
        st = dawni_price_plan(pl, plan, NULL, err);
    if (!st)
        st = own_graph(o, plan, err);
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

static enum dawn_status use(struct dawni_planner *pl,
                            const struct dawni_partition *part,
                            struct dawn_plan **best, struct dawn_error *err)
{
    struct layout o = {.part = part};
    enum dawn_status st = lay_out(&o, pl, err);

    if (!st)
        st = write_plan(&o, best, err);
    if (!st && pl->objective == DAWN_OBJECTIVE_STEP)
        st = try_policies(o.pl, &o, best, err);
    clear(&o);
    return st;
}

enum dawn_status dawni_additive_best(struct dawni_planner *pl,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err)
{
    struct dawn_plan *best = NULL;
    struct dawni_partition *part;
    enum dawn_status st = solve(pl, 0, &part, err);

    if (st)
        return st;
    pl->bound = bound_of(pl, part->bound_ns);
    if (part->feasible)
        st = use(pl, part, &best, err);
    if (!st &&
        !(part->feasible && pl->objective == DAWN_OBJECTIVE_BOTTLENECK) &&
        !(part->proven && !part->feasible))
        st = try_policies(pl, NULL, &best, err);
    dawni_partition_destroy(part);
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

enum dawn_status dawni_additive_nofit(struct dawni_planner *pl,
                                      struct dawn_planner_nofit *nofit,
                                      struct dawn_error *err)
{
    struct dawn_planner_nofit need = {0};
    char asked[32], works[32];
    uint64_t cap = UINT64_MAX;
    enum dawn_status st;

    for (int x = 0; x < pl->l; x++)
        if (pl->stage[x].cap < cap)
            cap = pl->stage[x].cap;
    uint64_t low = cap;
    st = try_cap(pl, UINT64_MAX, &need, err);
    for (int i = 0; i < MOST_HALVINGS && !st && need.works_bytes > low; i++) {
        uint64_t before = need.works_bytes;
        uint64_t middle = low + (before - low) / 2;
        st = try_cap(pl, middle, &need, err);
        if (need.works_bytes == before)
            low = middle;
    }
    if (st)
        return st;
    if (nofit)
        *nofit = need;
    return dawn_fail(
        err, DAWN_E_NOFIT,
        "no plan of %d stages fits %s%s; the smallest cap found to "
        "work is %s, which stage %d takes",
        pl->l, dawni_size_text(cap, asked, sizeof asked),
        pl->no_recompute ? " without recompute" : "",
        dawni_size_text(need.works_bytes, works, sizeof works), need.stage);
}
