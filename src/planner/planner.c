/* SPDX-License-Identifier: Apache-2.0 */
/* Making a plan: the policy chooses cuts under the stages' budgets, decisions
 * are made, and the exact memory of each rank is the judge. A rank over its cap
 * gets less room, and all is done again.
 */
#include "common/array.h"
#include "planner/additive.h"
#include "planner/planner.h"
#include <stdio.h>

/* Packing costs little: a budget is rarely lowered more than twice. */
#define MOST_ROUNDS 16

static const struct dawni_policy_ops *const policy[] = {
    &dawni_policy_dawnpiper, &dawni_policy_exact,   &dawni_policy_pipedream,
    &dawni_policy_vpipe,     &dawni_policy_adapipe, &dawni_policy_gpipe_uniform,
};

#define POLICIES ((int)(sizeof policy / sizeof policy[0]))

/* What plans where no policy is asked for: the better one of both. */
static const struct dawni_policy_ops *const standard[] = {
    &dawni_policy_dawnpiper,
    &dawni_policy_exact,
};

#define STANDARDS ((int)(sizeof standard / sizeof standard[0]))

const char *dawn_planner_policy(int i)
{
    return i >= 0 && i < POLICIES ? policy[i]->name : NULL;
}

const char *dawn_planner_policy_text(int i)
{
    return i >= 0 && i < POLICIES ? policy[i]->text : NULL;
}

const struct dawni_policy_ops *dawni_policy_find(const char *name)
{
    for (int i = 0; i < POLICIES; i++)
        if (strcmp(policy[i]->name, name) == 0)
            return policy[i];
    return NULL;
}

/* The largest cap; 0: none */
static uint64_t largest_cap(const struct dawni_planner *pl)
{
    uint64_t cap = 0;

    for (int x = 0; x < pl->l; x++)
        if (pl->stage[x].cap > cap)
            cap = pl->stage[x].cap;
    return cap == UINT64_MAX ? 0 : cap;
}

enum dawn_status dawni_plan_create(const struct dawni_planner *pl,
                                   const int *cut, struct dawn_plan **plan_p,
                                   struct dawn_error *err)
{
    struct dawn_plan_stage *stage = dawni_calloc(pl->l, sizeof *stage);
    struct dawn_plan_info info = {
        .stages = pl->l,
        .ranks = pl->ranks,
        .microbatches = pl->m,
        .microbatch = pl->b,
        .profile_digest = dawn_profile_digest(pl->profile),
        .cap_bytes = largest_cap(pl),
        .objective = pl->objective,
    };
    enum dawn_status st;

    if (!stage)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    snprintf(info.policy, sizeof info.policy, "%s", pl->policy->name);
    snprintf(info.schedule, sizeof info.schedule, "%s", pl->schedule);
    for (int x = 0; x < pl->l; x++) {
        stage[x].rank = x % pl->ranks;
        stage[x].first = cut[x];
        stage[x].last = cut[x + 1] - 1;
    }
    st = dawn_plan_create(pl->graph, &info, stage, plan_p, err);
    free(stage);
    return st;
}

enum dawn_status dawni_decide_stage(struct dawni_planner *pl,
                                    struct dawn_plan *plan, int x,
                                    struct dawni_decided *priced,
                                    struct dawn_error *err)
{
    const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
    int tensors = pl->graph->tensors;
    uint8_t *decision = dawni_calloc(tensors, sizeof *decision);
    enum dawn_status st = DAWN_OK;

    if (!decision)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    if (pl->policy->decide)
        pl->policy->decide(pl, s->first, s->last, x, decision);
    else
        dawni_decide(pl, s->first, s->last, x, true, decision);
    *priced = dawni_price_decisions(pl, s->first, s->last, x, decision);
    for (int t = 0; t < tensors && pl->additive; t++)
        if (!dawni_additive_recomputes(pl, t))
            decision[t] = DAWN_KEEP;
    for (int t = 0; t < tensors && !st; t++)
        if (decision[t] != (uint8_t)dawn_plan_decision(plan, x, t))
            st = dawn_plan_decide(plan, x, t, decision[t], err);
    free(decision);
    if (!st && pl->status)
        st = dawn_fail(err, pl->status, "%s", pl->error.text);
    return st;
}

/* DAWN_E_NOFIT for a plan that is not below pl->worth, to which packing would
 * add nothing good. */
static enum dawn_status check_worth(struct dawni_planner *pl,
                                    struct dawn_plan *plan,
                                    struct dawn_error *err)
{
    struct dawn_sim_result result = {0};
    enum dawn_status st = DAWN_OK;

    if (pl->worth > 0)
        st = dawni_price_times(pl, plan, &result, err);
    dawn_sim_result_clear(&result);
    if (!st && pl->worth > 0 && !(dawni_objective_of(plan) < pl->worth))
        st = DAWN_E_NOFIT;
    return st;
}

/* One round. DAWN_E_NOFIT: no partition (*again_p false), or a stage got less
 * room (true). */
static enum dawn_status try_plan(struct dawni_planner *pl, int *cut,
                                 struct dawni_decided *priced,
                                 struct dawn_plan **plan_p, bool *again_p,
                                 struct dawn_error *err)
{
    struct dawn_plan *plan = NULL;
    bool found = pl->policy->partition(pl, cut);
    enum dawn_status st;

    *again_p = false;
    if (found && pl->policy->refine && pl->objective == DAWN_OBJECTIVE_STEP)
        dawni_refine(pl, cut);
    if (pl->status)
        return dawn_fail(err, pl->status, "%s", pl->error.text);
    if (!found)
        return DAWN_E_NOFIT;
    st = dawni_plan_create(pl, cut, &plan, err);
    for (int x = 0; x < pl->l && !st; x++)
        st = dawni_decide_stage(pl, plan, x, &priced[x], err);
    if (!st)
        st = check_worth(pl, plan, err);
    if (!st) {
        st = dawni_judge(pl, plan, priced, err);
        *again_p = st == DAWN_E_NOFIT && !pl->policy->blind;
    }
    for (int x = 0; x < pl->l && !st; x++)
        st = dawni_loosen(pl, plan, x, &priced[x], err);
    if (st)
        dawn_plan_destroy(plan);
    else
        *plan_p = plan;
    return st;
}

/* The plan of the policy at work. */
static enum dawn_status make(struct dawni_planner *pl,
                             struct dawn_plan **plan_p, struct dawn_error *err)
{
    int *cut = dawni_calloc(pl->l + 1, sizeof *cut);
    struct dawni_decided *priced = dawni_calloc(pl->l, sizeof *priced);
    enum dawn_status st = DAWN_E_NOFIT;
    bool again = true;

    if (!cut || !priced) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
        again = false;
    }
    for (int i = 0; i < MOST_ROUNDS && again; i++) {
        cut[0] = 0;
        cut[pl->l] = pl->n;
        st = try_plan(pl, cut, priced, plan_p, &again, err);
    }
    free(cut);
    free(priced);
    return st;
}

/* Put the i-th policy to work, with nothing learnt; false: there is none. */
static bool put_to_work(struct dawni_planner *pl, int i)
{
    if (i >= (pl->standard ? STANDARDS : 1))
        return false;
    if (pl->standard)
        pl->policy = standard[i];
    for (int x = 0; x < pl->l; x++) {
        struct dawni_stage_spec *s = &pl->stage[x];
        if (s->budget == s->cap && s->messages == 0)
            continue;
        s->budget = s->cap;
        s->messages = 0;
        dawni_cost_forget(pl, x);
    }
    return true;
}

enum dawn_status dawni_plan_make(struct dawni_planner *pl,
                                 struct dawn_plan **plan_p,
                                 struct dawn_error *err)
{
    enum dawn_status st = DAWN_E_NOFIT;

    for (int i = 0; st == DAWN_E_NOFIT && put_to_work(pl, i); i++)
        st = make(pl, plan_p, err);
    return st;
}

double dawni_objective_of(struct dawn_plan *plan)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);

    return info->objective == DAWN_OBJECTIVE_BOTTLENECK ? info->bottleneck_ns
                                                        : info->step_ns;
}

enum dawn_status dawni_plan_best(struct dawni_planner *pl,
                                 struct dawn_plan **plan_p,
                                 struct dawn_error *err)
{
    struct dawn_plan *best = NULL;
    double worth = pl->worth;

    for (int i = 0; put_to_work(pl, i); i++) {
        struct dawn_plan *plan = NULL;
        pl->worth = best ? dawni_objective_of(best) : worth;
        enum dawn_status st = make(pl, &plan, err);
        pl->worth = worth;
        if (st == DAWN_E_NOFIT)
            continue;
        if (!st)
            st = dawni_price_plan(pl, plan, NULL, err);
        if (st) {
            dawn_plan_destroy(plan);
            dawn_plan_destroy(best);
            return st;
        }
        bool better =
            !best || dawni_objective_of(plan) < dawni_objective_of(best);
        dawn_plan_destroy(better ? best : plan);
        best = better ? plan : best;
    }
    if (best)
        *plan_p = best;
    return best ? DAWN_OK : DAWN_E_NOFIT;
}

/* The best plan with the devices that the planner has. */
static enum dawn_status plan_placed(struct dawni_planner *pl,
                                    const struct dawn_machine *machine,
                                    const struct dawn_planner_opts *opts,
                                    struct dawn_plan **plan_p,
                                    struct dawn_error *err)
{
    bool solves = dawni_additive_solves(pl);
    enum dawn_status st = solves ? dawni_additive_best(pl, plan_p, err)
                                 : dawni_plan_best(pl, plan_p, err);

    if ((!st || st == DAWN_E_NOFIT) && !solves && pl->policy->orders &&
        !dawni_graph_is_chain(pl->graph)) {
        st = dawni_orders_search(pl, machine, opts, plan_p, err);
        if (!st && !*plan_p)
            st = DAWN_E_NOFIT;
    }
    if (st == DAWN_E_NOFIT)
        st = solves ? dawni_additive_nofit(pl, opts->nofit, err)
                    : dawni_plan_nofit(pl, opts->nofit, err);
    return st;
}

enum dawn_status dawn_planner_run(const struct dawn_profile *profile,
                                  const struct dawn_machine *machine,
                                  const struct dawn_planner_opts *opts,
                                  struct dawn_plan **plan_p,
                                  struct dawn_error *err)
{
    struct dawn_planner_opts sized = *opts;
    struct dawni_placed placed = {0};
    struct dawni_planner *pl = NULL;
    struct dawn_plan *plan = NULL;
    enum dawn_status st = DAWN_OK;

    if (opts->max_batch)
        st =
            dawni_largest_batch(profile, machine, opts, &sized.microbatch, err);
    if (!st)
        st = dawni_planner_create(profile, machine, &sized, opts->stages, &pl,
                                  err);
    if (!st && machine && !opts->as_given)
        st = dawni_place(pl, machine, opts->cap_bytes, &placed, err);
    if (!st)
        st = plan_placed(pl, placed.machine ? placed.machine : machine, &sized,
                         &plan, err);
    if (!st)
        st = dawni_placed_name(&placed, machine, plan, err);
    dawni_planner_destroy(pl);
    dawni_placed_clear(&placed);
    if (st) {
        dawn_plan_destroy(plan);
        return st;
    }
    struct dawn_plan_info *info = dawn_plan_info(plan);
    double tokens = (double)opts->tokens_per_sample * (double)info->microbatch *
                    info->microbatches;
    if (info->step_ns > 0)
        info->tokens_per_s = tokens / info->step_ns * 1e9;
    *plan_p = plan;
    return DAWN_OK;
}
