/* SPDX-License-Identifier: Apache-2.0 */
/* Other orders of a graph with branches: those that list scheduling makes, and
 * those that come of moving nodes between the stages of the best plan so far.
 * Each is planned for like the first one, and the best plan is kept.
 */
#include "planner/orders.h"
#include "common/array.h"
#include "plan/plan.h"
#include "profile/profile.h"

/* Times that nodes are moved, each on top of what came of the time before */
#define MOST_MOVES 4

/* Runs of nodes priced, times the nodes of a stage: once what the first order
 * took and for all others together this much is spent, it is enough. */
#define MOST_WORK 4000000

struct search {
    const struct dawn_profile *profile;
    const struct dawn_machine *machine;
    struct dawn_planner_opts opts;
    struct dawni_planner *pl; /* of the order as given */
    struct dawni_dag dag;     /* likewise; so are node ids here */
    struct dawn_plan *best;   /* NULL: nothing fits so far */
    int *order;               /* [n]: to be tried */
    int *cut;                 /* [l + 1] */
    int *tried;               /* [n] for each order */
    int tries;
    int64_t work;
};

static bool partition_as_given(struct dawni_planner *pl, int *cut)
{
    memcpy(cut, pl->given_cut, (size_t)(pl->l + 1) * sizeof *cut);
    return true;
}

/* Plan under a profile in another order. */
static enum dawn_status plan_for(struct search *s,
                                 const struct dawn_profile *profile,
                                 const int *cut, struct dawn_plan **plan_p,
                                 struct dawn_error *err)
{
    struct dawni_policy_ops given;
    struct dawni_planner *pl = NULL;
    enum dawn_status st = dawni_planner_create(profile, s->machine, &s->opts,
                                               s->pl->ranks, &pl, err);

    if (st)
        return st;
    if (s->best)
        pl->worth = dawni_objective_of(s->best);
    if (cut) {
        given = *pl->policy;
        given.partition = partition_as_given;
        pl->policy = &given;
        pl->given_cut = cut;
    }
    st = dawni_plan_best(pl, plan_p, err);
    s->work += (int64_t)pl->cost_count * pl->n / pl->l + pl->n;
    dawni_planner_destroy(pl);
    return st;
}

/* Plan for s->order, with its cuts or cuts of the policy's choice. Keeps what
 * is better. *better_p may be NULL. */
static enum dawn_status try_order(struct search *s, const int *cut,
                                  bool *better_p, struct dawn_error *err)
{
    struct dawn_profile *profile = NULL;
    struct dawn_graph *graph = NULL;
    struct dawn_plan *plan = NULL;
    bool better = false;
    enum dawn_status st =
        dawn_profile_reorder(s->profile, s->order, s->pl->n, &profile, err);

    if (!st)
        st = plan_for(s, profile, cut, &plan, err);
    if (!st)
        better =
            !s->best || dawni_objective_of(plan) < dawni_objective_of(s->best);
    if (better)
        st = dawn_graph_reorder(s->pl->graph, s->order, s->pl->n, &graph, err);
    if (better && !st) {
        dawni_plan_own_graph(plan, graph);
        dawn_plan_destroy(s->best);
        s->best = plan;
        plan = NULL;
    }
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
    if (better_p)
        *better_p = better;
    return st == DAWN_E_NOFIT ? DAWN_OK : st;
}

static bool is_new(const struct search *s)
{
    size_t n = (size_t)s->pl->n;

    for (int i = 0; i < s->tries; i++)
        if (!memcmp(s->order, s->tried + (size_t)i * n, n * sizeof *s->order))
            return false;
    return true;
}

static void remember(struct search *s)
{
    size_t n = (size_t)s->pl->n;

    memcpy(s->tried + (size_t)s->tries++ * n, s->order, n * sizeof *s->order);
}

/* Orders made by list scheduling. */
static enum dawn_status try_lists(struct search *s, struct dawn_error *err)
{
    const struct dawni_planner *pl = s->pl;
    double *ns = dawni_calloc(pl->n, sizeof *ns);
    enum dawn_status st = DAWN_OK;

    if (!ns)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                         pl->n);
    for (int v = 0; v < pl->n; v++)
        ns[v] = dawni_sum_t(pl, v + 1) - dawni_sum_t(pl, v);
    for (int k = 0; k < DAWNI_ORDER_KINDS && !st && s->work < MOST_WORK; k++) {
        if (!dawni_list_nodes(pl->graph, &s->dag, ns, (enum dawni_order_kind)k,
                              s->order) ||
            !is_new(s))
            continue;
        remember(s);
        st = try_order(s, NULL, NULL, err);
    }
    free(ns);
    return st;
}

/* The best plan's stages, by node as given, and what they recompute. */
static void read_best(const struct search *s, int *stage_of,
                      double *recompute_ns)
{
    const struct dawn_graph *g = dawn_plan_graph(s->best);

    for (int x = 0; x < s->pl->l; x++) {
        const struct dawn_plan_stage *stage = dawn_plan_stage(s->best, x);
        recompute_ns[x] = stage->predicted.recompute_ns;
        for (int i = stage->first; i <= stage->last; i++)
            stage_of[s->pl->graph->place[g->node[i].number]] = x;
    }
}

/* The nodes stage by stage, each in the order as given. */
static void order_by_stage(struct search *s, const int *stage_of)
{
    int at = 0;

    for (int x = 0; x < s->pl->l; x++) {
        s->cut[x] = at;
        for (int v = 0; v < s->pl->n; v++)
            if (stage_of[v] == x)
                s->order[at++] = v;
    }
    s->cut[s->pl->l] = at;
}

/* Move nodes as long as that makes a better plan. */
static enum dawn_status try_moves(struct search *s, struct dawn_error *err)
{
    int *stage_of = dawni_calloc(s->pl->n, sizeof *stage_of);
    double *recompute_ns = dawni_calloc(s->pl->l, sizeof *recompute_ns);
    enum dawn_status st = DAWN_OK;
    bool better = s->best != NULL;

    if (!stage_of || !recompute_ns)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to move %d nodes",
                       s->pl->n);
    for (int i = 0; i < MOST_MOVES && better && !st && s->work < MOST_WORK;
         i++) {
        read_best(s, stage_of, recompute_ns);
        better = dawni_move_nodes(s->pl, &s->dag, recompute_ns, stage_of);
        if (s->pl->status)
            st = dawn_fail(err, s->pl->status, "%s", s->pl->error.text);
        if (!better || st)
            break;
        order_by_stage(s, stage_of);
        st = try_order(s, s->cut, &better, err);
    }
    free(stage_of);
    free(recompute_ns);
    return st;
}

static enum dawn_status go_through(struct search *s, struct dawn_error *err)
{
    struct dawn_plan *before = s->best;
    enum dawn_status st;

    s->work = 0;
    for (int v = 0; v < s->pl->n; v++)
        s->order[v] = v;
    remember(s);
    if ((st = try_moves(s, err)))
        return st;
    before = s->best;
    if ((st = try_lists(s, err)))
        return st;
    return s->best == before ? DAWN_OK : try_moves(s, err);
}

enum dawn_status dawni_orders_search(struct dawni_planner *pl,
                                     const struct dawn_machine *machine,
                                     const struct dawn_planner_opts *opts,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err)
{
    size_t n = (size_t)pl->n, row = sizeof(int);
    struct search s = {
        .profile = pl->profile,
        .machine = machine,
        .opts = *opts,
        .pl = pl,
        .best = *plan_p,
        .order = dawni_calloc(pl->n, row),
        .cut = dawni_calloc((int64_t)pl->l + 1, row),
        .tried = calloc(n * (DAWNI_ORDER_KINDS + 1), row),
    };
    enum dawn_status st = DAWN_OK;

    s.opts.policy = pl->policy->name; /* the names in plans do not last */
    if (s.best)
        s.opts.policy = dawni_policy_find(dawn_plan_info(s.best)->policy)->name;
    if (!s.order || !s.cut || !s.tried || !dawni_dag_create(pl->graph, &s.dag))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes", pl->n);
    if (!st)
        st = go_through(&s, err);
    *plan_p = s.best;
    dawni_dag_clear(&s.dag);
    free(s.order);
    free(s.cut);
    free(s.tried);
    return st;
}
