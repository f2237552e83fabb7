/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a plan for an additive profile (see dawnpiper/profile.h): what a
 * node saves is there from the F of a microbatch to the end of its backward.
 * What is offloaded takes room in staging only.
 */
#include "common/array.h"
#include "memory/additive.h"
#include "memory/program.h"
#include <math.h>

struct held { /* bytes of a stage */
    double saved, fixed, staging;
    double moved[DAWN_DECISIONS]; /* of each microbatch, to each tier */
};

/* Sums of doubles may be above a cap by rounding. */
uint64_t dawni_additive_bytes(double bytes)
{
    return (uint64_t)ceil(bytes * (1 - 1e-12));
}

const struct dawn_node_variant *dawni_additive_variant(
    const struct dawn_profile *profile, int node, enum dawn_decision decision)
{
    const struct dawn_node_variant *v =
        dawn_profile_variant(profile, node, decision == DAWN_RECOMPUTE);

    return v ? v : dawn_profile_variant(profile, node, 0);
}

static struct held held_by(const struct dawn_plan *plan,
                           const struct dawn_profile *profile, int x)
{
    const struct dawn_graph *g = dawn_plan_graph(plan);
    const struct dawn_graph *from = dawn_profile_graph(profile);
    const struct dawn_plan_stage *s =
        dawn_plan_stage((struct dawn_plan *)plan, x); /* only read */
    struct held held = {0};
    double largest = 0;

    for (int i = s->first; i <= s->last; i++) {
        enum dawn_decision d =
            dawn_plan_decision(plan, x, g->node[i].output[0]);
        const struct dawn_node_variant *v =
            dawni_additive_variant(profile, from->place[g->node[i].number], d);
        held.fixed += v->fixed_bytes;
        if (d == DAWN_TO_HOST || d == DAWN_TO_SSD) {
            largest = fmax(largest, v->saved_bytes);
            held.moved[d] += v->saved_bytes;
        } else {
            held.saved += v->saved_bytes;
        }
    }
    held.staging = DAWNI_ADDITIVE_STAGING * largest;
    return held;
}

struct live { /* bytes of a rank that come and go */
    double saved, moved[DAWN_DECISIONS];
};

/* What a microbatch of a stage holds comes, or goes. */
static void count(struct live *live, const struct held *held, bool comes)
{
    int sign = comes ? 1 : -1;

    live->saved = fmax(0, live->saved + sign * held->saved);
    for (int d = 0; d < DAWN_DECISIONS; d++)
        live->moved[d] = fmax(0, live->moved[d] + sign * held->moved[d]);
}

static void keep_most(struct live *most, const struct live *live)
{
    most->saved = fmax(most->saved, live->saved);
    for (int d = 0; d < DAWN_DECISIONS; d++)
        most->moved[d] = fmax(most->moved[d], live->moved[d]);
}

/* Go through the actions of a rank. curve: out, by action; NULL: not wanted. */
static struct dawn_memory walk(const struct dawn_schedule *schedule, int rank,
                               const struct held *held, uint64_t *curve)
{
    int stages = dawn_schedule_stages(schedule), actions;
    int ranks = dawn_schedule_ranks(schedule);
    const struct dawn_action *action =
        dawn_schedule_actions(schedule, rank, &actions);
    double fixed = 0, staging = 0;
    struct live live = {0}, most = {0};
    struct dawn_memory m = {0};

    for (int x = rank; x < stages; x += ranks) {
        fixed += held[x].fixed;
        staging = fmax(staging, held[x].staging); /* windows are the rank's */
    }
    for (int i = 0; i < actions; i++) {
        enum dawn_action_kind kind = action[i].kind;
        if (kind == DAWN_ACTION_F)
            count(&live, &held[action[i].stage], true);
        keep_most(&most, &live);
        if (curve)
            curve[i] = dawni_additive_bytes(fixed + staging + live.saved);
        if (kind == DAWN_ACTION_BW || kind == DAWN_ACTION_W)
            count(&live, &held[action[i].stage], false);
    }
    uint64_t always = dawni_additive_bytes(fixed + staging);
    m.peak_bytes = m.arena_bytes =
        dawni_additive_bytes(fixed + staging + most.saved);
    m.kept_bytes = dawni_additive_bytes(fixed);
    m.host_bytes = dawni_additive_bytes(most.moved[DAWN_TO_HOST]);
    m.ssd_bytes = dawni_additive_bytes(most.moved[DAWN_TO_SSD]);
    m.by[DAWN_CATEGORY_PARAMS] = m.kept_bytes;
    m.by[DAWN_CATEGORY_STAGING] = always - m.kept_bytes;
    m.by[DAWN_CATEGORY_SAVED] = m.peak_bytes - always;
    return m;
}

enum dawn_status dawni_additive_memory_of(struct dawn_plan *plan,
                                          const struct dawn_profile *profile,
                                          int rank, struct dawn_memory *memory,
                                          struct dawni_curve *curve,
                                          struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    struct held *held = dawni_calloc(info->stages, sizeof *held);
    struct dawn_schedule *schedule = NULL;
    struct dawni_cuts cuts = {0};
    struct dawni_curve made = {0};
    enum dawn_status st = dawni_schedule_of_plan(plan, &cuts, &schedule, err);

    if (!st && dawn_schedule_update_every(schedule))
        st =
            dawn_fail(err, DAWN_E_NOTSUP,
                      "schedule %s: the profile does not say what a version of "
                      "the weights takes",
                      info->schedule);
    if (!st && !dawn_schedule_actions(schedule, rank, &made.actions))
        st = dawn_fail(err, DAWN_E_INVAL, "rank %d, must be 0 to %d", rank,
                       info->ranks - 1);
    if (!st && curve)
        made.bytes = dawni_calloc(made.actions, sizeof *made.bytes);
    if (!st && (!held || (curve && !made.bytes)))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages",
                       info->stages);
    for (int x = 0; x < info->stages && !st; x++)
        held[x] = held_by(plan, profile, x);
    if (!st)
        *memory = walk(schedule, rank, held, made.bytes);
    if (!st && curve)
        *curve = made;
    free(held);
    dawni_cuts_clear(&cuts);
    dawn_schedule_destroy(schedule);
    return st;
}
