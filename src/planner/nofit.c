/* SPDX-License-Identifier: Apache-2.0 */
/* When no plan fits: which cap would do. It is looked for by bisection with the
 * whole planner, so a plan under the cap that is named was really made.
 */
#include "planner/planner.h"
#include <inttypes.h>
#include <stdio.h>

#define MOST_TRIES 6 /* to find a cap that works at all */
#define MOST_HALVINGS 8

struct need { /* of a plan under a cap that works */
    uint64_t cap;
    uint64_t arena; /* of its fullest stage */
    int x, first, last;
};

static enum dawn_status measure(struct dawni_planner *pl,
                                struct dawn_plan *plan, struct need *need,
                                struct dawn_error *err)
{
    need->arena = 0;
    for (int x = 0; x < pl->l; x++) {
        struct dawn_memory memory;
        enum dawn_status st =
            dawni_rank_memory(pl, plan, x % pl->ranks, 0, &memory, err);
        if (st)
            return st;
        if (memory.arena_bytes <= need->arena)
            continue;
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        need->arena = memory.arena_bytes;
        need->x = x;
        need->first = s->first;
        need->last = s->last;
    }
    return DAWN_OK;
}

/* Plan under another cap. DAWN_E_NOFIT: nothing fits that one either. */
static enum dawn_status try_cap(struct dawni_planner *pl, uint64_t cap,
                                struct need *need, struct dawn_error *err)
{
    struct dawn_plan *plan = NULL;
    enum dawn_status st;

    dawni_planner_set_cap(pl, cap);
    st = dawni_plan_make(pl, &plan, err);
    if (!st)
        st = measure(pl, plan, need, err);
    if (!st)
        need->cap = cap;
    dawn_plan_destroy(plan);
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
static enum dawn_status find_some(struct dawni_planner *pl, struct need *need,
                                  struct dawn_error *err)
{
    enum dawn_status st = try_cap(pl, UINT64_MAX, need, err);
    uint64_t cap = need->arena;

    need->cap = 0;
    if (st)
        return st;
    st = DAWN_E_NOFIT;
    for (int i = 0; i < MOST_TRIES && st == DAWN_E_NOFIT; i++) {
        uint64_t unit = unit_of(cap);
        cap = (cap + unit - 1) / unit * unit;
        st = try_cap(pl, cap, need, err);
        cap += cap / 16;
    }
    return st;
}

/* Halve the distance to the caps that fail. */
static enum dawn_status find_least(struct dawni_planner *pl, uint64_t fails,
                                   struct need *need, struct dawn_error *err)
{
    uint64_t unit = unit_of(need->cap), low = fails / unit;

    for (int i = 0; i < MOST_HALVINGS; i++) {
        uint64_t high = need->cap / unit;
        if (high <= low + 1)
            break;
        uint64_t mid = low + (high - low) / 2;
        enum dawn_status st = try_cap(pl, mid * unit, need, err);
        if (st == DAWN_E_NOFIT)
            low = mid;
        else if (st)
            return st;
    }
    return DAWN_OK;
}

/* Which policies. */
static const char *who(const struct dawni_planner *pl, char text[64])
{
    snprintf(text, 64, "policy %s", pl->policy->name);
    return pl->standard ? "policies dawnpiper and exact" : text;
}

enum dawn_status dawni_plan_nofit(struct dawni_planner *pl,
                                  struct dawn_planner_nofit *nofit,
                                  struct dawn_error *err)
{
    const char *how = pl->no_recompute ? " without recompute" : "";
    const char *plural = pl->l == 1 ? "" : "s";
    char asked[32], works[32], policy[64], versions[48] = "";
    uint64_t cap = UINT64_MAX;
    struct need need = {0};
    enum dawn_status st;

    for (int x = 0; x < pl->l; x++)
        if (pl->stage[x].cap < cap)
            cap = pl->stage[x].cap;
    if (cap == UINT64_MAX)
        return dawn_fail(err, DAWN_E_INVAL,
                         "no plan of %d stage%s has a step of finite time",
                         pl->l, plural);
    dawni_size_text(cap, asked, sizeof asked);
    st = find_some(pl, &need, err);
    if (st == DAWN_OK && !pl->policy->blind)
        st = find_least(pl, cap, &need, err);
    if (st && st != DAWN_E_NOFIT)
        return st;
    if (nofit)
        *nofit = (struct dawn_planner_nofit){need.cap, need.x, need.arena};
    if (st == DAWN_E_NOFIT)
        return dawn_fail(err, st, "%s: no plan of %d stage%s fits %s%s",
                         who(pl, policy), pl->l, plural, asked, how);
    if (pl->stage[need.x].versions > 1)
        snprintf(versions, sizeof versions, " with %d versions of its weights",
                 pl->stage[need.x].versions);
    return dawn_fail(err, DAWN_E_NOFIT,
                     "%s: no plan of %d stage%s fits %s%s; the smallest cap "
                     "found to work is about %s, where stage %d (%s to %s) "
                     "takes %" PRIu64 " bytes%s",
                     who(pl, policy), pl->l, plural, asked, how,
                     dawni_size_text(need.cap, works, sizeof works), need.x,
                     pl->graph->node[need.first].desc.name,
                     pl->graph->node[need.last].desc.name, need.arena,
                     versions);
}
