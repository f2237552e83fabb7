/* SPDX-License-Identifier: Apache-2.0 */
/* When no plan fits: saying so, and which cap would do. That is looked for by
 * bisection with the whole planner, so a plan under the cap that is named was
 * really made. Planning in vain takes as long as planning, so there is a limit:
 * of work, not of time, since the same question gets the same answer.
 */
#include "planner/additive.h"
#include "planner/planner.h"
#include <inttypes.h>
#include <stdio.h>

#define MOST_TRIES 6 /* to find a cap that works at all */
#define MOST_HALVINGS 8

struct search {
    struct dawni_planner *pl;
    const struct dawn_planner_watch *watch;
    struct dawn_planner_nofit *need;
};

static enum dawn_status measure(struct search *s, struct dawn_plan *plan,
                                struct dawn_error *err)
{
    struct dawni_planner *pl = s->pl;
    struct dawn_planner_nofit *need = s->need;

    need->stage_bytes = 0;
    for (int x = 0; x < pl->l; x++) {
        struct dawn_memory memory;
        enum dawn_status st =
            dawni_rank_memory(pl, plan, x % pl->ranks, 0, &memory, err);
        if (st)
            return st;
        if (memory.arena_bytes <= need->stage_bytes)
            continue;
        const struct dawn_plan_stage *stage = dawn_plan_stage(plan, x);
        need->stage_bytes = memory.arena_bytes;
        need->stage = x;
        need->versions = pl->stage[x].versions;
        need->first = pl->graph->node[stage->first].desc.name;
        need->last = pl->graph->node[stage->last].desc.name;
    }
    return DAWN_OK;
}

/* Plan under another cap. DAWN_E_NOFIT: nothing fits that one either, or it is
 * not known, and need->cut_off is set. */
static enum dawn_status try_cap(struct search *s, uint64_t cap,
                                struct dawn_error *err)
{
    struct dawni_planner *pl = s->pl;
    struct dawn_plan *plan = NULL;
    enum dawn_status st;

    dawni_planner_set_cap(pl, cap);
    st = dawni_plan_make(pl, &plan, err);
    if (!st)
        st = measure(s, plan, err);
    dawn_plan_destroy(plan);
    if (!st && cap != UINT64_MAX)
        s->need->works_bytes = cap;
    s->need->cut_off = pl->status == DAWN_E_NOFIT;
    if (st == DAWN_E_NOFIT && !s->need->cut_off && cap > s->need->fails_bytes)
        s->need->fails_bytes = cap;
    if ((!st || st == DAWN_E_NOFIT) && s->watch)
        s->watch->tell(s->watch->user, s->need);
    return st;
}

/* Caps are named in round numbers. */
static uint64_t unit_of(uint64_t cap)
{
    return cap >= 32 << 20 ? 1 << 20 : cap >= 32 << 10 ? 1 << 10 : 64;
}

const char *dawni_size_text(uint64_t bytes, char *buf, size_t room)
{
    if (bytes % (1 << 20) == 0)
        snprintf(buf, room, "%" PRIu64 "MiB", bytes >> 20);
    else if (bytes % (1 << 10) == 0)
        snprintf(buf, room, "%" PRIu64 "KiB", bytes >> 10);
    else
        snprintf(buf, room, "%" PRIu64 " bytes", bytes);
    return buf;
}

/* A first cap that works: what a plan without a cap takes, or a little more. */
static enum dawn_status find_some(struct search *s, struct dawn_error *err)
{
    enum dawn_status st = try_cap(s, UINT64_MAX, err);
    uint64_t cap = s->need->stage_bytes;

    if (st)
        return st;
    st = DAWN_E_NOFIT;
    for (int i = 0; i < MOST_TRIES && st == DAWN_E_NOFIT; i++) {
        uint64_t unit = unit_of(cap);
        if (s->need->cut_off)
            break;
        cap = (cap + unit - 1) / unit * unit;
        st = try_cap(s, cap, err);
        cap += cap / 16;
    }
    return st;
}

/* Raise the cap that fails to the largest that is seen to fail at once. */
static void raise_fails(struct search *s, uint64_t unit)
{
    uint64_t low = s->need->fails_bytes / unit;
    uint64_t high = s->need->works_bytes / unit;

    while (high > low + 1 && !s->pl->status) {
        uint64_t mid = low + (high - low) / 2;
        dawni_planner_set_cap(s->pl, mid * unit);
        if (dawni_surely_unfit(s->pl))
            s->need->fails_bytes = (low = mid) * unit;
        else
            high = mid;
    }
}

/* Halve the distance to the caps that fail. */
static enum dawn_status find_least(struct search *s, struct dawn_error *err)
{
    struct dawn_planner_nofit *need = s->need;
    uint64_t unit = unit_of(need->works_bytes);

    raise_fails(s, unit);
    for (int i = 0; i < MOST_HALVINGS && !need->cut_off; i++) {
        uint64_t low = need->fails_bytes / unit;
        uint64_t high = need->works_bytes / unit;
        if (high <= low + 1)
            break;
        enum dawn_status st = try_cap(s, (low + (high - low) / 2) * unit, err);
        if (st && st != DAWN_E_NOFIT)
            return st;
    }
    return DAWN_OK;
}

static uint64_t least_cap(const struct dawni_planner *pl)
{
    uint64_t cap = UINT64_MAX;

    for (int x = 0; x < pl->l; x++)
        if (pl->stage[x].cap < cap)
            cap = pl->stage[x].cap;
    return cap;
}

enum dawn_status dawni_plan_find_cap(struct dawni_planner *pl,
                                     uint64_t most_work,
                                     const struct dawn_planner_watch *watch,
                                     struct dawn_planner_nofit *nofit,
                                     struct dawn_error *err)
{
    struct dawn_planner_nofit need = {.fails_bytes = least_cap(pl),
                                      .versions = 1};
    struct search s = {pl, watch, &need};
    enum dawn_status st;

    if (need.fails_bytes == UINT64_MAX)
        return dawn_fail(err, DAWN_E_INVAL, "no cap on memory is known");
    if (dawni_additive_solves(pl)) {
        st = dawni_additive_find_cap(pl, watch, &need, err);
    } else {
        pl->any_plan = true;
        pl->limit_work = pl->work + most_work;
        st = find_some(&s, err);
        if (st == DAWN_OK && !pl->policy->blind)
            st = find_least(&s, err);
    }
    if (st && st != DAWN_E_NOFIT)
        return st;
    *nofit = need;
    return DAWN_OK;
}

/* Which policies; the solver of additive profiles is that of several. */
static const char *who(const struct dawni_planner *pl, char text[64])
{
    snprintf(text, 64, "policy %s: ", pl->policy->name);
    if (dawni_additive_solves(pl))
        return "";
    return pl->standard ? "policies dawnpiper and exact: " : text;
}

enum dawn_status dawni_plan_nofit(const struct dawni_planner *pl,
                                  struct dawn_error *err)
{
    const char *plural = pl->l == 1 ? "" : "s";
    char asked[32], policy[64];
    uint64_t cap = least_cap(pl);

    if (cap == UINT64_MAX)
        return dawn_fail(err, DAWN_E_INVAL,
                         "no plan of %d stage%s has a step of finite time",
                         pl->l, plural);
    return dawn_fail(err, DAWN_E_NOFIT, "%sno plan of %d stage%s fits %s%s",
                     who(pl, policy), pl->l, plural,
                     dawni_size_text(cap, asked, sizeof asked),
                     pl->no_recompute ? " without recompute" : "");
}
