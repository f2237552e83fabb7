/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of one policy, in rounds: the policy chooses cuts by what stages are
 * thought to cost, decisions are made, and the exact memory of each rank is the
 * judge.
 *
 * Where dawni_decide decides, thoughts are kind at first: a stage is priced
 * without the receives posted ahead, and packing costs nothing. When a stage is
 * judged, it gets decisions that really fit, or none; from then on that run of
 * nodes costs what it does, and all others of the stage are thought to take as
 * much more as the one that took least more. When a round learns nothing, or
 * nothing is thought to fit, that prejudice is dropped, where stages are small
 * enough; the next time it is over: then no other cuts are thought to be
 * better. The best plan of all rounds is taken.
 *
 * A policy that decides for itself plans again with less room where a stage was
 * over its cap, until none is.
 */
#include "common/array.h"
#include "planner/planner.h"
#include <math.h>

/* Graphs up to so many nodes are quick to judge. */
#define FEW_NODES 40
/* What a rank takes on top of its price may be for messages up to so many times
 * what it receives ahead. */
#define MOST_MESSAGES 4

static const struct effort {
    int rounds;     /* at most */
    int unlucky;    /* rounds in a row that found no better plan */
    int tries;      /* decisions to make a stage fit */
    double near;    /* to keep everything is tried where its price is above the
                       cap by no more than this share of it */
    bool estimates; /* stages are judged by the memory of a shorter step */
    int packings;   /* of sets of tensors, to find the best that fits a stage */
} quick = {60, 10, 8, 0.25, false, 200}, slow = {16, 2, 4, 0, true, 0};

struct rounds {
    struct dawni_planner *pl;
    const struct effort *effort;
    int *cut;
    struct dawni_decided *priced; /* by stage */
    struct dawn_plan *best;       /* NULL: none yet */
    bool worthless;               /* what was thought best would be of no use */
    bool news;                    /* something was learnt in this round */
    bool unprejudiced; /* only runs that were judged cost more than thought */
};

/* Judging a stage */

struct trial { /* decisions with a budget, and what budgets did */
    int x;
    uint64_t budget;           /* to try next */
    uint64_t made;             /* with which the plan's decisions were made */
    struct dawni_decided now;  /* them */
    uint64_t fits, fails;      /* budgets; 0: none did */
    struct dawni_decided best; /* with the budget `fits` */
    bool hopeless;             /* nothing fits, by its price */
    bool by_set;               /* `best` is of this set, not of a budget: */
    unsigned set;
};

/* What decisions cost a microbatch. */
static double lost_ns(const struct rounds *r, int x,
                      const struct dawni_decided *d)
{
    return d->recompute_ns / r->pl->stage[x].speed + d->stall_ns +
           d->update_ns / r->pl->m;
}

static bool fits_at_no_cost(const struct rounds *r, const struct trial *t)
{
    return t->fits && lost_ns(r, t->x, &t->best) == 0;
}

/* Put down what a run took on top of its price: for messages if that makes
 * sense, else for packing. */
static void learn(struct rounds *r, int x, const struct dawni_decided *d,
                  uint64_t arena)
{
    struct dawni_stage_spec *s = &r->pl->stage[x];
    double comm = (double)d->comm;
    double more = (double)arena - ((double)d->peak - (1 + s->messages) * comm);

    if (comm > 0 && more <= MOST_MESSAGES * comm)
        s->least_messages = fmin(s->least_messages, more / comm);
    else
        s->least_packing = fmin(s->least_packing, more);
}

static enum dawn_status decide(struct rounds *r, struct dawn_plan *plan,
                               struct trial *t, struct dawn_error *err)
{
    struct dawni_stage_spec *s = &r->pl->stage[t->x];
    uint64_t budget = s->budget;
    enum dawn_status st;

    s->budget = t->made = t->budget;
    st = dawni_decide_stage(r->pl, plan, t->x, &t->now, err);
    s->budget = budget;
    return st;
}

/* How decisions turn out; the next budget to try where they do not fit. */
static enum dawn_status judge(struct rounds *r, struct dawn_plan *plan,
                              struct trial *t, struct dawn_error *err)
{
    struct dawni_planner *pl = r->pl;
    uint64_t cap = pl->stage[t->x].cap;
    struct dawn_memory memory;
    enum dawn_status st;

    if (!t->now.fits) {
        t->hopeless = !t->fits;
        t->fails = t->made;
        return DAWN_OK;
    }
    if (r->effort->estimates && !pl->stage[t->x].whole)
        st = dawni_rank_estimate(pl, plan, t->x % pl->ranks, cap, &memory, err);
    else
        st = dawni_rank_memory(pl, plan, t->x % pl->ranks, cap, &memory, err);
    if (st)
        return st;
    learn(r, t->x, &t->now, memory.arena_bytes);
    if (memory.arena_bytes > cap) {
        uint64_t over = memory.arena_bytes - cap;
        t->fails = t->now.peak;
        t->hopeless = !t->fits && t->now.peak <= over;
        t->budget = t->now.peak > over ? t->now.peak - over - 1 : 0;
    } else if (!t->fits ||
               lost_ns(r, t->x, &t->now) <= lost_ns(r, t->x, &t->best)) {
        t->fits = t->made;
        t->best = t->now;
    }
    return DAWN_OK;
}

/* Lower the budget until decisions fit, then see how much of it was needed.
 * The plan has the decisions of the first try. */
static enum dawn_status lower_budget(struct rounds *r, struct dawn_plan *plan,
                                     struct trial *t, struct dawn_error *err)
{
    enum dawn_status st = judge(r, plan, t, err);

    for (int i = 1; i < r->effort->tries && !st && !t->hopeless; i++) {
        if (t->fits && (!t->fails || lost_ns(r, t->x, &t->best) == 0 ||
                        t->fails - t->fits < t->fails / 256))
            break;
        if (t->fits)
            t->budget = t->fits + (t->fails - t->fits) / 2;
        st = decide(r, plan, t, err);
        if (!st)
            st = judge(r, plan, t, err);
    }
    return st;
}

/* Prices can be too high: see if everything can be kept. */
static enum dawn_status try_all(struct rounds *r, struct dawn_plan *plan,
                                struct trial *t, struct dawn_error *err)
{
    struct dawni_planner *pl = r->pl;
    int first = r->cut[t->x], last = r->cut[t->x + 1] - 1;
    struct dawni_decided d = dawni_price_decisions(pl, first, last, t->x, NULL);
    struct trial all = {.x = t->x, .budget = UINT64_MAX};
    enum dawn_status st;

    if (fits_at_no_cost(r, t) ||
        (double)d.peak > (double)pl->stage[t->x].cap * (1 + r->effort->near))
        return DAWN_OK;
    st = decide(r, plan, &all, err);
    if (!st)
        st = judge(r, plan, &all, err);
    if (!st && all.fits)
        *t = all;
    else
        t->made = all.made;
    return st;
}

static enum dawn_status fit_stage(struct rounds *r, struct dawn_plan *plan,
                                  struct trial *t, struct dawn_error *err)
{
    enum dawn_status st = lower_budget(r, plan, t, err);

    if (!st)
        st = try_all(r, plan, t, err);
    if (st || !t->fits || t->made == t->fits)
        return st;
    t->budget = t->fits; /* make those decisions again */
    return decide(r, plan, t, err);
}

/* Go through the sets until one fits, or costs no less than what does. */
static enum dawn_status go_through_sets(struct rounds *r,
                                        struct dawn_plan *plan,
                                        const struct dawni_sets *s,
                                        struct trial *t, struct dawn_error *err)
{
    struct dawni_planner *pl = r->pl;
    uint64_t cap = pl->stage[t->x].cap;
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < s->sets && i < r->effort->packings && !st; i++) {
        const struct dawni_set *set = &s->set[i];
        struct dawn_memory memory;
        if (t->fits &&
            lost_ns(r, t->x, &set->priced) >= lost_ns(r, t->x, &t->best))
            break;
        st = dawni_set_decide(pl, plan, t->x, set->set, err);
        if (!st)
            st = dawni_rank_memory(pl, plan, t->x % pl->ranks, cap, &memory,
                                   err);
        if (st || memory.arena_bytes > cap)
            continue;
        t->by_set = true;
        t->set = set->set;
        t->best = set->priced;
        break;
    }
    return st;
}

/* See if some other decisions fit at less cost; else make again those that do.
 */
static enum dawn_status try_sets(struct rounds *r, struct dawn_plan *plan,
                                 struct trial *t, struct dawn_error *err)
{
    struct dawni_planner *pl = r->pl;
    struct dawni_sets sets;
    enum dawn_status st;

    if (!r->effort->packings || fits_at_no_cost(r, t) || pl->additive ||
        pl->no_recompute || dawni_may_offload(pl))
        return DAWN_OK;
    st = dawni_sets_create(pl, r->cut[t->x], r->cut[t->x + 1] - 1, t->x, &sets,
                           err);
    if (st)
        return st;
    st = go_through_sets(r, plan, &sets, t, err);
    dawni_sets_clear(&sets);
    if (st || t->by_set || !t->fits)
        return st;
    t->budget = t->fits;
    return decide(r, plan, t, err);
}

/* Decide about stage x as is thought best, or as was judged. */
static enum dawn_status decide_as_thought(struct rounds *r,
                                          struct dawn_plan *plan, int x,
                                          struct dawn_error *err)
{
    struct dawni_stage_cost c =
        dawni_stage_cost_of(r->pl, r->cut[x], r->cut[x + 1] - 1, x);
    struct dawni_stage_spec *s = &r->pl->stage[x], now = *s;
    enum dawn_status st;

    if (c.judged && c.way.by_set)
        return dawni_set_decide(r->pl, plan, x, c.way.set, err);
    if (c.judged) {
        s->budget = c.way.budget;
        s->messages = c.way.messages;
    }
    st = dawni_decide_stage(r->pl, plan, x, &r->priced[x], err);
    *s = now;
    return st;
}

/* Give stage x of the plan decisions that fit. *fits_p: there are some. */
static enum dawn_status judge_stage(struct rounds *r, struct dawn_plan *plan,
                                    int x, bool *fits_p, struct dawn_error *err)
{
    struct dawni_planner *pl = r->pl;
    int first = r->cut[x], last = r->cut[x + 1] - 1;
    struct dawni_stage_cost c = dawni_stage_cost_of(pl, first, last, x);
    struct trial t = {.x = x, .made = pl->stage[x].budget, .now = r->priced[x]};
    enum dawn_status st;

    if (c.judged || pl->stage[x].cap == UINT64_MAX) {
        *fits_p &= c.fits;
        return DAWN_OK;
    }
    st = fit_stage(r, plan, &t, err);
    if (!st)
        st = try_sets(r, plan, &t, err);
    if (st)
        return st;
    t.best.fits = t.fits > 0 || t.by_set;
    r->news |=
        !t.best.fits ||
        lost_ns(r, x, &t.best) >
            (c.recompute_ns + c.stall_ns + c.update_ns / pl->m) * (1 + 1e-9);
    if (!t.best.fits)
        t.best.peak = t.fails;
    *fits_p &= t.best.fits;
    struct dawni_way way = {t.fits, pl->stage[x].messages, t.by_set, t.set};
    dawni_cost_judged(pl, first, last, x, &t.best, &way);
    return DAWN_OK;
}

/* Set what all runs of a stage are thought to take on top of their prices. */
static void think(struct rounds *r, int x, double messages, double packing)
{
    struct dawni_stage_spec *s = &r->pl->stage[x];
    uint64_t budget = s->cap;

    if (s->cap == UINT64_MAX)
        return;
    if (packing > 0)
        budget = packing < (double)s->cap ? s->cap - (uint64_t)packing : 0;
    if (messages == s->messages && budget == s->budget)
        return;
    s->messages = messages;
    s->budget = budget;
    dawni_cost_forget(r->pl, x, false);
    r->news = true;
}

/* As much as the best of those that were judged; or, without prejudice,
 * nothing. */
static void think_again(struct rounds *r)
{
    for (int x = 0; x < r->pl->l; x++) {
        const struct dawni_stage_spec *s = &r->pl->stage[x];
        bool none = r->unprejudiced;
        think(r, x,
              none || isinf(s->least_messages) ? -1 : s->least_messages - 1,
              none || isinf(s->least_packing) ? 0 : s->least_packing);
    }
}

static enum dawn_status price_times(struct rounds *r, struct dawn_plan *plan,
                                    struct dawn_error *err)
{
    struct dawn_sim_result result = {0};
    enum dawn_status st = dawni_price_times(r->pl, plan, &result, err);

    dawn_sim_result_clear(&result);
    return st;
}

/* Is the plan below all that is known? */
static bool is_news(const struct rounds *r, struct dawn_plan *plan)
{
    double value = dawni_objective_of(plan);

    return (r->pl->worth <= 0 || value < r->pl->worth) &&
           (!r->best || value < dawni_objective_of(r->best));
}

/* Is it worth the trouble to judge the plan? Not if it would be no better even
 * if all turned out as thought. */
static enum dawn_status is_worth_it(struct rounds *r, struct dawn_plan *plan,
                                    bool *worth_p, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    *worth_p = true;
    if (r->pl->worth > 0 || r->best) {
        st = price_times(r, plan, err);
        *worth_p = !st && is_news(r, plan);
    }
    return st;
}

/* Keep the plan, which fits, if it is the best so far. */
static enum dawn_status keep_better(struct rounds *r, struct dawn_plan *plan,
                                    bool *better_p, struct dawn_error *err)
{
    enum dawn_status st = price_times(r, plan, err);

    *better_p = !st && is_news(r, plan);
    if (!*better_p) {
        dawn_plan_destroy(plan);
        return st;
    }
    dawn_plan_destroy(r->best);
    r->best = plan;
    return DAWN_OK;
}

static bool choose_cuts(struct rounds *r)
{
    struct dawni_planner *pl = r->pl;

    r->cut[0] = 0;
    r->cut[pl->l] = pl->n;
    if (!pl->policy->partition(pl, r->cut))
        return false;
    if (pl->policy->refine && pl->objective == DAWN_OBJECTIVE_STEP)
        dawni_refine(pl, r->cut);
    return !pl->status;
}

/* *better_p: the best plan so far was made. */
static enum dawn_status judge_cuts(struct rounds *r, bool *better_p,
                                   struct dawn_error *err)
{
    struct dawn_plan *plan = NULL;
    bool worth = true, fits = true;
    enum dawn_status st = dawni_plan_create(r->pl, r->cut, &plan, err);

    for (int x = 0; x < r->pl->l && !st; x++)
        st = decide_as_thought(r, plan, x, err);
    if (!st)
        st = is_worth_it(r, plan, &worth, err);
    r->worthless = !worth;
    for (int x = 0; x < r->pl->l && !st && worth; x++)
        st = judge_stage(r, plan, x, &fits, err);
    if (!st && r->pl->status)
        st = dawn_fail(err, r->pl->status, "%s", r->pl->error.text);
    if (!st && worth && fits)
        return keep_better(r, plan, better_p, err);
    dawn_plan_destroy(plan);
    return st;
}

/* One round. *better_p: the best plan so far was made. *found_p: there are
 * cuts under which all is thought to fit. */
static enum dawn_status try_round(struct rounds *r, bool *found_p,
                                  bool *better_p, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    *better_p = r->worthless = false;
    *found_p = choose_cuts(r);
    r->pl->no_cuts &= !*found_p;
    r->news = false;
    if (*found_p)
        st = judge_cuts(r, better_p, err);
    think_again(r);
    return st;
}

static enum dawn_status learn_costs(struct rounds *r, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    bool found, better;
    int unlucky = 0;

    for (int i = 0; i < r->effort->rounds && !st && !r->pl->status; i++) {
        st = try_round(r, &found, &better, err);
        if (r->best && r->pl->any_plan)
            break;
        unlucky = !r->best || better ? 0 : unlucky + 1;
        if (found && r->news && unlucky < r->effort->unlucky)
            continue;
        if (r->unprejudiced ||
            ((r->best || r->worthless) && r->effort == &slow))
            break;
        r->unprejudiced = true;
        unlucky = 0;
        think_again(r);
    }
    return st;
}

/* Does some stage of the best plan lose time to its memory? */
static bool loses(const struct rounds *r)
{
    for (int x = 0; x < r->pl->l && r->best; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(r->best, x);
        if (s->predicted.recompute_ns > 0 || s->predicted.stall_ns > 0 ||
            s->predicted.transfer_ns > 0)
            return true;
    }
    return !r->best;
}

/* A poor plan with moments on a tier is soon found, and would end the search
 * for a better one without: so that comes first. */
static enum dawn_status learn_moments(struct rounds *r, struct dawn_error *err)
{
    struct dawni_planner *pl = r->pl;
    bool both = dawni_may_move_moments(pl) && dawni_may_offload(pl);
    enum dawn_status st;

    if (both)
        dawni_planner_forget(pl);
    pl->keep_moments = both;
    st = learn_costs(r, err);
    pl->keep_moments = false;
    if (st || pl->status || !both || !loses(r))
        return st;
    dawni_planner_forget(pl);
    r->unprejudiced = false;
    return learn_costs(r, err);
}

/* Policies that decide for themselves */

static enum dawn_status learn_budgets(struct rounds *r, struct dawn_error *err)
{
    struct dawni_planner *pl = r->pl;
    enum dawn_status st = DAWN_E_NOFIT;

    for (int i = 0; i < slow.rounds && st == DAWN_E_NOFIT; i++) {
        struct dawn_plan *plan = NULL;
        if (!choose_cuts(r))
            return DAWN_OK;
        st = dawni_plan_create(pl, r->cut, &plan, err);
        for (int x = 0; x < pl->l && !st; x++)
            st = dawni_decide_stage(pl, plan, x, &r->priced[x], err);
        if (!st)
            st = dawni_judge(pl, plan, r->priced, err);
        if (st)
            dawn_plan_destroy(plan);
        else
            r->best = plan;
        if (pl->policy->blind)
            break;
    }
    if (r->best)
        st = price_times(r, r->best, err);
    return st == DAWN_E_NOFIT ? DAWN_OK : st;
}

enum dawn_status dawni_plan_by_rounds(struct dawni_planner *pl,
                                      struct dawn_plan **plan_p,
                                      struct dawn_error *err)
{
    struct rounds r = {
        .pl = pl,
        .effort = pl->n <= FEW_NODES ? &quick : &slow,
        .cut = dawni_calloc((int64_t)pl->l + 1, sizeof *r.cut),
        .priced = dawni_calloc(pl->l, sizeof *r.priced),
    };
    enum dawn_status st;

    pl->no_cuts = !pl->policy->decide;
    if (!r.cut || !r.priced)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    else
        st = pl->policy->decide ? learn_budgets(&r, err)
                                : learn_moments(&r, err);
    if (!st && pl->status)
        st = dawn_fail(err, pl->status, "%s", pl->error.text);
    free(r.cut);
    free(r.priced);
    if (!st && !r.best)
        return DAWN_E_NOFIT;
    if (st)
        dawn_plan_destroy(r.best);
    else
        *plan_p = r.best;
    return st;
}
