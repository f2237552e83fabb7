/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for stages with replicas: partitions of several shapes, with as many
 * stages or replicas each, are priced, and the best is taken. For the step that
 * matters, since filling the pipeline and summing gradients pull in different
 * directions. What no replicas can do is asked of the plain planner.
 */
#include "planner/replicas.h"
#include "common/array.h"
#include "graph/graph.h"
#include "plan/plan.h"
#include <math.h>
#include <stdio.h>

#define MOST_TRIES 200 /* to improve a plan */
#define MOST_STAGES 16 /* counts of stages that are tried one by one */

/* Plans */

static enum dawn_status decide(struct dawni_replicas *s, struct dawn_plan *plan,
                               int x, int k, bool thorough,
                               struct dawn_error *err)
{
    struct dawni_planner *pl = s->pl;
    const struct dawn_plan_stage *stage = dawn_plan_stage(plan, x);
    int tensors = pl->graph->tensors;
    uint8_t *decision = dawni_calloc(tensors, sizeof *decision);
    enum dawn_status st = DAWN_OK;

    if (!decision)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    pl->stage[0].in_flight = k;
    dawni_decide(pl, stage->first, stage->last, 0, thorough, decision);
    for (int t = 0; t < tensors && !st; t++)
        if (decision[t] != DAWN_KEEP)
            st = dawn_plan_decide(plan, x, t, decision[t], err);
    free(decision);
    return st;
}

static enum dawn_status write_plan(struct dawni_replicas *s,
                                   const struct dawn_plan_stage *stage,
                                   int stages, bool thorough,
                                   struct dawn_plan **plan_p,
                                   struct dawn_error *err)
{
    const struct dawni_planner *pl = s->pl;
    uint64_t cap = pl->stage[0].cap;
    struct dawn_plan_info info = {.policy = "dawnpiper",
                                  .schedule = "1f1b",
                                  .stages = stages,
                                  .ranks = stages,
                                  .microbatches = pl->m,
                                  .microbatch = pl->b,
                                  .objective = pl->objective,
                                  .cap_bytes = cap == UINT64_MAX ? 0 : cap};
    snprintf(info.passes, sizeof info.passes, "%s",
             dawn_profile_passes(pl->profile));
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawn_plan_create(pl->graph, &info, stage, &plan, err);

    for (int x = stages - 1, devices = 0; x >= 0 && !st; x--) {
        devices += stage[x].replicas;
        int k = dawni_replicas_in_flight(s, stage[x].replicas, devices);
        st = decide(s, plan, x, k, thorough, err);
    }
    if (!st)
        st = dawni_replicas_price(s, plan, NULL, err);
    if (st)
        dawn_plan_destroy(plan);
    else
        *plan_p = plan;
    return st;
}

struct choice { /* among plans */
    struct dawni_replicas *s;
    const struct dawn_profile *profile;
    const struct dawn_machine *machine;
    const struct dawn_planner_opts *opts;
    struct dawn_plan *best;
    int tries;     /* to improve it */
    bool thorough; /* of decisions, while improving it */
};

/* Takes the plan. */
static void offer(struct choice *c, struct dawn_plan *plan)
{
    if (c->best && dawni_objective_of(plan) >= dawni_objective_of(c->best)) {
        dawn_plan_destroy(plan);
        return;
    }
    dawn_plan_destroy(c->best);
    c->best = plan;
}

/* Without replicas plans are made as ever. */
static enum dawn_status try_plain(struct choice *c, int stages,
                                  struct dawn_error *err)
{
    struct dawn_planner_opts opts = *c->opts;
    struct dawn_plan *plan = NULL;
    struct dawn_error why;
    enum dawn_status st;

    opts.devices = opts.replicas = 0;
    opts.stages = stages;
    st = dawn_planner_run(c->profile, c->machine, &opts, &plan, &why);
    if (plan)
        offer(c, plan);
    return st == DAWN_E_NOMEM ? dawn_fail(err, st, "%s", why.text) : DAWN_OK;
}

/* The partition of that shape, if it is better than what there is. */
static enum dawn_status try_shape(struct choice *c,
                                  struct dawni_replica_shape shape,
                                  struct dawn_error *err)
{
    struct dawni_replicas *s = c->s;
    struct dawn_plan_stage *stage = dawni_calloc(s->devices, sizeof *stage);
    struct dawn_plan *plan = NULL;
    int stages = 0;
    enum dawn_status st;

    if (!stage)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d devices",
                         s->devices);
    st = dawni_replicas_divide(s, shape, stage, &stages, err);
    if (!st && stages)
        st = write_plan(s, stage, stages, false, &plan, err);
    free(stage);
    if (plan)
        offer(c, plan);
    return st;
}

/* Improving the best plan */

/* The plan of these stages, if it fits and is better than the best. */
static enum dawn_status try_stages(struct choice *c,
                                   const struct dawn_plan_stage *stage,
                                   int stages, bool *better,
                                   struct dawn_error *err)
{
    struct dawn_plan *plan = NULL, *before = c->best;
    bool fits = true;
    enum dawn_status st =
        write_plan(c->s, stage, stages, c->thorough, &plan, err);

    if (st)
        return st;
    for (int x = 0; x < stages; x++)
        fits &= dawn_plan_stage(plan, x)->predicted.peak_bytes <=
                c->s->pl->stage[0].cap;
    c->tries++;
    if (fits)
        offer(c, plan);
    else
        dawn_plan_destroy(plan);
    *better |= fits && c->best != before;
    return DAWN_OK;
}

/* `nodes` more for stage x, of the stage before. */
static bool move_cut(struct dawn_plan_stage *stage, int x, int nodes)
{
    stage[x].first -= nodes;
    stage[x - 1].last -= nodes;
    return stage[x].first <= stage[x].last &&
           stage[x - 1].first <= stage[x - 1].last;
}

static bool move_device(const struct choice *c, struct dawn_plan_stage *stage,
                        int from, int to)
{
    return !c->opts->replicas && --stage[from].replicas >= 1 &&
           ++stage[to].replicas <= c->s->pl->m;
}

/* Cuts moved by `nodes`, then devices from stage to stage; 0: none. */
static enum dawn_status try_moves(struct choice *c, int nodes, bool *better,
                                  struct dawn_error *err)
{
    int l = dawn_plan_info(c->best)->stages;
    struct dawn_plan_stage *stage = dawni_calloc(l, sizeof *stage);
    enum dawn_status st = DAWN_OK;

    if (!stage)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", l);
    for (int i = 0; i < 2 * l + l * l && c->tries < MOST_TRIES && !st; i++) {
        int x = i / 2, y = i - 2 * l;
        bool moved;
        for (int k = 0; k < l; k++)
            stage[k] = *dawn_plan_stage(c->best, k);
        if (!nodes)
            moved = i == 0;
        else if (i < 2 * l)
            moved = x > 0 && move_cut(stage, x, i % 2 ? nodes : -nodes);
        else
            moved = y / l != y % l && move_device(c, stage, y / l, y % l);
        if (moved)
            st = try_stages(c, stage, l, better, err);
    }
    free(stage);
    return st;
}

static enum dawn_status improve(struct choice *c, struct dawn_error *err)
{
    bool better, step = c->opts->objective == DAWN_OBJECTIVE_STEP;
    enum dawn_status st = DAWN_OK;

    for (int nodes = c->s->pl->n / 8 + 1; nodes && !st && step; nodes /= 2)
        for (better = true; better && !st && c->tries < MOST_TRIES;) {
            better = false;
            st = try_moves(c, nodes, &better, err);
        }
    c->thorough = true;
    c->tries = 0;
    return st ? st : try_moves(c, 0, &better, err);
}

/* Choosing */

static enum dawn_status try_shapes(struct choice *c, struct dawn_error *err)
{
    struct dawni_replicas *s = c->s;
    const struct dawn_planner_opts *o = c->opts;
    int most = s->devices < s->pl->n ? s->devices : s->pl->n;
    struct dawni_replica_shape shape = {.stages = o->stages,
                                        .each = o->replicas};
    enum dawn_status st = DAWN_OK;

    for (int l = o->stages ? o->stages : most; l && !st && o->replicas < 2;
         l = o->stages || s->pl->additive ? 0 : l / 2)
        st = try_plain(c, l, err);
    if (!st && o->replicas != 1)
        st = try_shape(c, shape, err);
    if (o->replicas == 1 || o->objective == DAWN_OBJECTIVE_BOTTLENECK)
        return st;
    for (int even = 0; even < 2; even++) {
        shape = (struct dawni_replica_shape){o->stages, o->replicas, even};
        if (even && !st)
            st = try_shape(c, shape, err);
        for (int r = 2; r <= s->devices && !st && !o->replicas &&
                        s->work < DAWNI_REPLICAS_WORK;
             r++) {
            shape.each = r;
            if (s->devices % r == 0)
                st = try_shape(c, shape, err);
        }
        shape.each = o->replicas;
        for (int l = 1; l <= most && l <= MOST_STAGES && !st && !o->stages &&
                        s->work < DAWNI_REPLICAS_WORK;
             l++) {
            shape.stages = l;
            st = try_shape(c, shape, err);
        }
    }
    return st;
}

static enum dawn_status check_opts(const struct dawn_planner_opts *o, int nodes,
                                   struct dawn_error *err)
{
    if (o->policy && strcmp(o->policy, "dawnpiper") != 0 &&
        strcmp(o->policy, "exact") != 0)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "policy %s: it does not replicate stages", o->policy);
    if (o->schedule && strcmp(o->schedule, "1f1b") != 0)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "schedule %s: replicas are for 1f1b", o->schedule);
    if (o->max_batch || o->offload == DAWN_OFFLOAD_HOST ||
        o->offload == DAWN_OFFLOAD_SSD)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "replicas: neither the largest microbatch nor "
                         "offload");
    if (o->stages < 0 || o->stages > o->devices || o->stages > nodes)
        return dawn_fail(err, DAWN_E_INVAL,
                         "stages %d, must be at most %d devices and %d nodes",
                         o->stages, o->devices, nodes);
    if ((int64_t)o->stages * o->replicas > o->devices)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d stages of %d replicas, but only %d devices",
                         o->stages, o->replicas, o->devices);
    if (o->replicas < 0 || o->replicas > o->devices ||
        o->replicas > o->microbatches)
        return dawn_fail(err, DAWN_E_INVAL,
                         "replicas %d, must be at most %d devices and %d "
                         "microbatches",
                         o->replicas, o->devices, o->microbatches);
    return DAWN_OK;
}

enum dawn_status dawni_replicas_plan(const struct dawn_profile *profile,
                                     const struct dawn_machine *machine,
                                     const struct dawn_planner_opts *opts,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err)
{
    struct dawni_replicas s = {0};
    struct choice c = {
        .s = &s, .profile = profile, .machine = machine, .opts = opts};
    enum dawn_status st =
        check_opts(opts, dawn_graph_nodes(dawn_profile_graph(profile)), err);

    if (!st)
        st = dawni_replicas_create(profile, machine, opts, opts->devices, &s,
                                   err);
    if (st)
        return st;
    st = try_shapes(&c, err);
    if (!st && c.best && dawni_plan_replicated(c.best))
        st = improve(&c, err);
    dawni_replicas_clear(&s);
    if (!st && !c.best)
        st = dawn_fail(err, DAWN_E_NOFIT,
                       "no plan for %d devices fits the memory", opts->devices);
    if (st)
        dawn_plan_destroy(c.best);
    else
        *plan_p = c.best;
    return st;
}
