/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a plan for an additive profile (see dawnpiper/profile.h): what a
 * node saves is there from the F of a microbatch to the end of its backward.
 * What is offloaded takes no room but two of the largest, to send from and to
 * receive into.
 */
#include "common/array.h"
#include "memory/additive.h"
#include "memory/program.h"
#include <math.h>

struct held { /* bytes of a stage */
    double saved, fixed;
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
        if (d == DAWN_TO_HOST || d == DAWN_TO_SSD)
            largest = fmax(largest, v->saved_bytes);
        else
            held.saved += v->saved_bytes;
    }
    held.fixed += 2 * largest;
    return held;
}

/* Go through the actions of a rank. curve: out, by action; NULL: not wanted. */
static struct dawn_memory walk(const struct dawn_schedule *schedule, int rank,
                               const struct held *held, uint64_t *curve)
{
    int stages = dawn_schedule_stages(schedule), actions;
    int ranks = dawn_schedule_ranks(schedule);
    const struct dawn_action *action =
        dawn_schedule_actions(schedule, rank, &actions);
    double fixed = 0, saved = 0, most = 0;
    struct dawn_memory m = {0};

    for (int x = rank; x < stages; x += ranks)
        fixed += held[x].fixed;
    for (int i = 0; i < actions; i++) {
        enum dawn_action_kind kind = action[i].kind;
        if (kind == DAWN_ACTION_F)
            saved += held[action[i].stage].saved;
        most = fmax(most, saved);
        if (curve)
            curve[i] = dawni_additive_bytes(fixed + saved);
        if (kind == DAWN_ACTION_BW || kind == DAWN_ACTION_W)
            saved = fmax(0, saved - held[action[i].stage].saved);
    }
    m.peak_bytes = m.arena_bytes = dawni_additive_bytes(fixed + most);
    m.kept_bytes = dawni_additive_bytes(fixed);
    m.by[DAWN_CATEGORY_PARAMS] = m.kept_bytes;
    m.by[DAWN_CATEGORY_SAVED] = m.peak_bytes - m.kept_bytes;
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
