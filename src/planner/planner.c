/* SPDX-License-Identifier: Apache-2.0 */
/* Policies, and planning with one or with the better of two. */
#include "common/array.h"
#include "planner/additive.h"
#include "planner/planner.h"
#include "planner/replicas.h"
#include <stdio.h>

static const struct dawni_policy_ops *const policy[] = {
    &dawni_policy_dawnpiper, &dawni_policy_exact,   &dawni_policy_pipedream,
    &dawni_policy_vpipe,     &dawni_policy_adapipe, &dawni_policy_gpipe_uniform,
};

#define POLICIES ((int)(sizeof policy / sizeof policy[0]))

/* Each but the last finds out of some stage that it must not be estimated. */
#define MOST_SEARCHES 16

/* Another policy is asked too where nodes times stages are no more: it takes
 * half as long again with 10,000 nodes on 64. */
#define MOST_FOLLOWED 100000

/* Nodes that may be priced to find a cap that does. */
#define MOST_CAP_WORK 100000000

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
        .update_every = pl->update_every,
        .profile_digest = dawn_profile_digest(pl->profile),
        .cap_bytes = largest_cap(pl),
        .objective = pl->objective,
    };
    enum dawn_status st;

    if (!stage)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    snprintf(info.policy, sizeof info.policy, "%s", pl->policy->name);
    snprintf(info.schedule, sizeof info.schedule, "%s", pl->schedule);
    snprintf(info.passes, sizeof info.passes, "%s",
             dawn_profile_passes(pl->profile));
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
    const struct dawni_run run = {s->first, s->last, x, true};
    enum dawn_decision optimizer = DAWN_KEEP;
    int tensors = pl->graph->tensors;
    uint8_t *decision = dawni_calloc(tensors, sizeof *decision);
    enum dawn_status st = DAWN_OK;

    if (!decision)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    if (pl->policy->decide)
        pl->policy->decide(pl, s->first, s->last, x, decision);
    else
        optimizer =
            dawni_decide(pl, s->first, s->last, x, true, decision).optimizer;
    *priced = dawni_price_stage(pl, &run, pl->all_to[optimizer], decision);
    priced->optimizer = optimizer;
    for (int t = 0; t < tensors && pl->additive; t++)
        if (!dawni_additive_allows(pl, t, decision[t]))
            decision[t] = DAWN_KEEP;
    for (int t = 0; t < tensors && !st; t++)
        if (decision[t] != (uint8_t)dawn_plan_decision(plan, x, t))
            st = dawn_plan_decide(plan, x, t, decision[t], err);
    if (!st)
        st = dawni_update_note(pl, plan, x, optimizer, err);
    free(decision);
    if (!st && pl->status)
        st = dawn_fail(err, pl->status, "%s", pl->error.text);
    return st;
}

/* Put the i-th policy to work; false: there is none. What one learns is as true
 * for those behind it: where the first found no cuts, nor would `exact`, with
 * which it tried at last. */
static bool put_to_work(struct dawni_planner *pl, int i)
{
    if (i >= (pl->standard ? STANDARDS : 1) || (i > 0 && pl->no_cuts))
        return false;
    if (pl->standard)
        pl->policy = standard[i];
    return true;
}

double dawni_objective_of(struct dawn_plan *plan)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);

    return info->objective == DAWN_OBJECTIVE_BOTTLENECK ? info->bottleneck_ns
                                                        : info->step_ns;
}

static enum dawn_status first_plan(struct dawni_planner *pl,
                                   struct dawn_plan **plan_p,
                                   struct dawn_error *err)
{
    enum dawn_status st = DAWN_E_NOFIT;

    for (int i = 0; st == DAWN_E_NOFIT && put_to_work(pl, i); i++)
        st = dawni_plan_by_rounds(pl, plan_p, err);
    return st;
}

/* *best: NULL, or what the plan has to be better than. Takes the plan. */
static void keep_better(struct dawn_plan **best, struct dawn_plan *plan)
{
    bool better =
        !*best || dawni_objective_of(plan) < dawni_objective_of(*best);

    dawn_plan_destroy(better ? *best : plan);
    if (better)
        *best = plan;
}

static enum dawn_status best_plan(struct dawni_planner *pl,
                                  struct dawn_plan **plan_p,
                                  struct dawn_error *err)
{
    struct dawn_plan *best = NULL;
    double worth = pl->worth;
    enum dawn_status st = DAWN_E_NOFIT;

    for (int i = 0; (!st || st == DAWN_E_NOFIT) && put_to_work(pl, i); i++) {
        struct dawn_plan *plan = NULL;
        pl->worth = best ? dawni_objective_of(best) : worth;
        st = dawni_plan_by_rounds(pl, &plan, err);
        pl->worth = worth;
        if (st)
            continue;
        keep_better(&best, plan);
    }
    if (best && st == DAWN_E_NOFIT)
        st = DAWN_OK;
    if (st)
        dawn_plan_destroy(best);
    else
        *plan_p = best;
    return st;
}

typedef enum dawn_status (*search_fn)(struct dawni_planner *,
                                      struct dawn_plan **, struct dawn_error *);

/* Search until what is found fits. */
static enum dawn_status verified(struct dawni_planner *pl, search_fn search,
                                 struct dawn_plan **plan_p,
                                 struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    bool fits = false;

    put_to_work(pl, 0);
    dawni_planner_forget(pl);
    for (int x = 0; x < pl->l; x++)
        pl->stage[x].whole = false;
    for (int i = 0; i < MOST_SEARCHES && !st && !fits; i++) {
        struct dawn_plan *plan = NULL;
        st = search(pl, &plan, err);
        if (!st)
            st = dawni_verify(pl, plan, &fits, err);
        if (!st && fits)
            *plan_p = plan;
        else
            dawn_plan_destroy(plan);
    }
    return !st && !fits ? DAWN_E_NOFIT : st;
}

static bool is_capped(const struct dawni_planner *pl)
{
    for (int x = 0; x < pl->l; x++)
        if (pl->stage[x].cap != UINT64_MAX)
            return true;
    return false;
}

/* What plans, or plans first. */
static const struct dawni_policy_ops *leader(const struct dawni_planner *pl)
{
    return pl->standard ? standard[0] : pl->policy;
}

/* The policy than whose plan that of the one at work is to be no worse. NULL:
 * there is none, it takes too long, or there is nothing to gain: cuts are
 * given, a good plan is known, or there is no cap. */
static const struct dawni_policy_ops *followed(const struct dawni_planner *pl)
{
    if (pl->additive || pl->given_cut || pl->worth > 0 || !is_capped(pl))
        return NULL;
    return (int64_t)pl->n * pl->l <= MOST_FOLLOWED ? leader(pl)->follows : NULL;
}

/* Its plan, under the leader's name. What was learnt of stages stays. */
static enum dawn_status plan_of_other(struct dawni_planner *pl,
                                      struct dawn_plan **plan_p,
                                      struct dawn_error *err)
{
    const struct dawni_policy_ops *own = leader(pl);
    size_t stages = (size_t)pl->l * sizeof *pl->stage;
    struct dawni_stage_spec *learnt = dawni_calloc(pl->l, sizeof *learnt);
    bool own_standard = pl->standard;
    struct dawn_plan_info *info;
    enum dawn_status st;

    if (!learnt)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    memcpy(learnt, pl->stage, stages);
    pl->policy = followed(pl);
    pl->standard = false;
    st = verified(pl, first_plan, plan_p, err);
    pl->policy = own;
    pl->standard = own_standard;
    dawni_planner_forget(pl);
    memcpy(pl->stage, learnt, stages);
    free(learnt);
    if (!st) {
        info = dawn_plan_info(*plan_p);
        snprintf(info->policy, sizeof info->policy, "%s", own->name);
    }
    return st;
}

enum dawn_status dawni_plan_make(struct dawni_planner *pl,
                                 struct dawn_plan **plan_p,
                                 struct dawn_error *err)
{
    enum dawn_status st;

    if (dawni_surely_unfit(pl))
        return DAWN_E_NOFIT;
    st = verified(pl, first_plan, plan_p, err);
    if (st == DAWN_E_NOFIT && followed(pl))
        st = plan_of_other(pl, plan_p, err);
    return st;
}

/* Replace the plan, which may be NULL, if the other's is better. */
static enum dawn_status take_better(struct dawni_planner *pl,
                                    struct dawn_plan **plan_p,
                                    struct dawn_error *err)
{
    struct dawn_plan *other = NULL;
    enum dawn_status st = plan_of_other(pl, &other, err);

    if (!st)
        keep_better(plan_p, other);
    return st == DAWN_E_NOFIT && *plan_p ? DAWN_OK : st;
}

enum dawn_status dawni_plan_best(struct dawni_planner *pl,
                                 struct dawn_plan **plan_p,
                                 struct dawn_error *err)
{
    struct dawn_plan *plan = NULL;
    enum dawn_status st;

    if (!pl->given_cut && dawni_surely_unfit(pl))
        return DAWN_E_NOFIT;
    st = verified(pl, best_plan, &plan, err);
    if ((!st || st == DAWN_E_NOFIT) && followed(pl))
        st = take_better(pl, &plan, err);
    if (!st)
        st = dawni_price_plan(pl, plan, NULL, err);
    if (st)
        dawn_plan_destroy(plan);
    else
        *plan_p = plan;
    return st;
}

static void count_tokens(struct dawn_plan *plan, int64_t tokens_per_sample)
{
    struct dawn_plan_info *info = dawn_plan_info(plan);
    double tokens = (double)tokens_per_sample * (double)info->microbatch *
                    info->microbatches;

    if (info->step_ns > 0)
        info->tokens_per_s = tokens / info->step_ns * 1e9;
}

/* The best plan with the devices that the planner has. */
static enum dawn_status plan_placed(struct dawni_planner *pl,
                                    const struct dawn_machine *machine,
                                    const struct dawn_planner_opts *opts,
                                    struct dawn_plan **plan_p,
                                    struct dawn_error *err)
{
    bool solves = dawni_additive_solves(pl);
    enum dawn_status st;

    if (dawni_surely_unfit(pl))
        return dawni_plan_nofit(pl, err);
    st = solves ? dawni_additive_best(pl, plan_p, err)
                : dawni_plan_best(pl, plan_p, err);

    if ((!st || st == DAWN_E_NOFIT) && !solves && pl->policy->orders &&
        !dawni_graph_is_chain(pl->graph)) {
        st = dawni_orders_search(pl, machine, opts, plan_p, err);
        if (!st && !*plan_p)
            st = DAWN_E_NOFIT;
    }
    return st == DAWN_E_NOFIT ? dawni_plan_nofit(pl, err) : st;
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

    if (opts->devices) {
        st = dawni_replicas_plan(profile, machine, opts, plan_p, err);
        if (!st)
            count_tokens(*plan_p, opts->tokens_per_sample);
        return st;
    }
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
    count_tokens(plan, opts->tokens_per_sample);
    *plan_p = plan;
    return DAWN_OK;
}

enum dawn_status dawn_planner_find_cap(const struct dawn_profile *profile,
                                       const struct dawn_machine *machine,
                                       const struct dawn_planner_opts *opts,
                                       const struct dawn_planner_watch *watch,
                                       struct dawn_planner_nofit *nofit_p,
                                       struct dawn_error *err)
{
    struct dawn_planner_opts sized = *opts;
    struct dawni_planner *pl = NULL;
    enum dawn_status st;

    if (opts->devices)
        return dawn_fail(err, DAWN_E_INVAL,
                         "no cap is looked for with %d devices", opts->devices);
    if (opts->max_batch)
        sized.microbatch = dawni_least_batch(profile);
    /* no devices suited the ranks better than those given */
    st = dawni_planner_create(profile, machine, &sized, opts->stages, &pl, err);
    if (!st)
        st = dawni_plan_find_cap(pl, MOST_CAP_WORK, watch, nofit_p, err);
    dawni_planner_destroy(pl);
    return st;
}
