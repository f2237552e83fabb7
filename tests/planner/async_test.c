/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for asynchronous schedules: updates in the simulated step, versions of
 * the weights under the cap, lower bounds that hold.
 */
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"async-1f1b", "async-2bw"};

static struct dawn_profile *make_profile(uint64_t seed, int nodes, int updates)
{
    struct rig_opts o = {.nodes = nodes,
                         .seed = seed,
                         .branchy = seed % 3 == 0,
                         .params = true,
                         .updates = updates};
    struct dawn_profile *p = rig_profile(&o);
    if (!p)
        abort();
    return p;
}

/* A plan by hand, everything kept. */
static struct dawn_plan *cut_plan(const struct dawn_profile *profile,
                                  const struct dawn_planner_opts *o,
                                  const int *cut)
{
    struct dawn_plan_stage stage[4] = {{0}};
    struct dawn_plan_info info = {.stages = o->stages,
                                  .ranks = o->stages,
                                  .microbatches = o->microbatches,
                                  .update_every = o->update_every,
                                  .microbatch = 1};
    struct dawn_plan *plan = NULL;

    snprintf(info.schedule, sizeof info.schedule, "%s", o->schedule);
    for (int x = 0; x < o->stages; x++)
        stage[x] = (struct dawn_plan_stage){
            .rank = x, .first = cut[x], .last = cut[x + 1] - 1};
    if (dawn_plan_create(dawn_profile_graph(profile), &info, stage, &plan,
                         NULL))
        abort();
    return plan;
}

/* Bounds */

struct tally {
    int plans, below, misses;
    double least; /* of (step - bound) / step */
};

static void test_cuts(const struct dawn_profile *profile,
                      const struct dawn_planner_opts *o, struct tally *t)
{
    int n = dawn_graph_nodes(dawn_profile_graph(profile));
    int cut[5] = {0};
    double best = INFINITY;
    struct dawn_plan *made = NULL;

    while (rig_next_cut(cut, n, o->stages)) {
        struct dawn_plan *plan = cut_plan(profile, o, cut);
        if (dawn_planner_price(plan, profile, NULL, NULL))
            abort();
        const struct dawn_plan_info *info = dawn_plan_info(plan);
        t->plans++;
        t->below += !(info->bound_ns > 0) ||
                    info->step_ns < info->bound_ns * (1 - 1e-9);
        t->least = fmin(t->least, 1 - info->bound_ns / info->step_ns);
        best = fmin(best, info->step_ns);
        dawn_plan_destroy(plan);
    }
    if (dawn_planner_run(profile, NULL, o, &made, NULL))
        abort();
    t->misses += dawn_plan_info(made)->step_ns > best * 1.02;
    dawn_plan_destroy(made);
}

static void test_bounds(int kind, int updates)
{
    struct tally t = {.least = 1};
    int runs = 0;

    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct dawn_profile *profile =
            make_profile(seed, 6 + (int)seed % 3, updates);
        for (int l = 1; l <= 3; l++)
            for (int m = l; m <= 4 * l; m += l, runs++) {
                struct dawn_planner_opts o = {.schedule = kinds[kind],
                                              .stages = l,
                                              .microbatches = m,
                                              .microbatch = 1};
                test_cuts(profile, &o, &t);
            }
        dawn_profile_destroy(profile);
    }
    is_int(t.below, 0,
           "%s, updates %d times as slow: no bound is above the step of any of "
           "%d plans",
           kinds[kind], updates, t.plans);
    ok(t.least < 0.1, "some are near: %.3g of the step", t.least);
    ok(t.misses <= runs / 20,
       "the planner is within 2%% of the best cuts but "
       "for %d of %d",
       t.misses, runs);
}

/* One stage: nothing waits, so that times add up. */
static void test_step(void)
{
    struct dawn_profile *profile = make_profile(5, 8, 7);
    int cut[] = {0, 8};

    for (int g = 1; g <= 6; g++) {
        struct dawn_planner_opts o = {.schedule = "async-1f1b",
                                      .stages = 1,
                                      .microbatches = 6,
                                      .update_every = g};
        struct dawn_plan *plan;
        double compute, wanted;
        if (6 % g)
            continue;
        plan = cut_plan(profile, &o, cut);
        if (dawn_planner_price(plan, profile, NULL, NULL))
            abort();
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, 0);
        compute = s->predicted.f_ns + s->predicted.b_ns + s->predicted.w_ns;
        wanted =
            6 * compute + 6 / g * s->predicted.update_ns + s->predicted.step_ns;
        ok(fabs(dawn_plan_info(plan)->step_ns - wanted) < 1e-6 * wanted &&
               s->predicted.update_ns > 0,
           "an update of %d: %d in the step, %.0f ns", g, 6 / g, wanted);
        dawn_plan_destroy(plan);
    }
    dawn_profile_destroy(profile);
}

/* Caps */

static uint64_t arena_of(struct dawn_plan *plan,
                         const struct dawn_profile *profile, uint64_t *versions)
{
    uint64_t most = 0;

    *versions = 0;
    for (int r = 0; r < dawn_plan_info(plan)->ranks; r++) {
        struct dawn_memory m;
        if (dawn_memory_of(plan, profile, r, &m, NULL))
            abort();
        most = m.arena_bytes > most ? m.arena_bytes : most;
        *versions += m.by[DAWN_CATEGORY_VERSIONS];
    }
    return most;
}

static void test_caps(const char *policy, int kind)
{
    int over = 0, plans = 0, none = 0, unsaid = 0, below = 0;
    uint64_t versions = 0;

    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct dawn_profile *profile = make_profile(seed, 10, 1);
        struct dawn_planner_opts o = {.policy = policy,
                                      .schedule = kinds[kind],
                                      .stages = 3,
                                      .microbatches = 12,
                                      .microbatch = 1};
        struct dawn_plan *plan = NULL;
        if (dawn_planner_run(profile, NULL, &o, &plan, NULL))
            abort();
        uint64_t whole = arena_of(plan, profile, &versions);
        dawn_plan_destroy(plan);
        for (int percent = 100; percent >= 20; percent -= 40) {
            struct dawn_error err = {0};
            uint64_t old;
            plan = NULL;
            o.cap_bytes = whole * (uint64_t)percent / 100;
            enum dawn_status st =
                dawn_planner_run(profile, NULL, &o, &plan, &err);
            if (st == DAWN_E_NOFIT) {
                struct dawn_planner_nofit nofit = {0};
                none++;
                dawn_planner_find_cap(profile, NULL, &o, NULL, &nofit, NULL);
                unsaid += nofit.stage == 0 && nofit.versions < 2;
                continue;
            }
            plans++;
            over += st || arena_of(plan, profile, &old) > o.cap_bytes;
            below += dawn_plan_info(plan)->bound_ns >
                     dawn_plan_info(plan)->step_ns * (1 + 1e-9);
            dawn_plan_destroy(plan);
        }
        dawn_profile_destroy(profile);
    }
    is_int(below, 0, "%s, %s: no bound is above its plan's step", policy,
           kinds[kind]);
    is_int(over, 0, "%s, %s: %d plans are within their caps", policy,
           kinds[kind], plans);
    ok(plans > 0 && none > 0, "and for %d caps there is none", none);
    is_int(unsaid, 0, "which says that versions are in what is needed");
    ok(versions > 0, "plans have versions of the weights");
}

/* What fits with one version does not with several. */
static void test_versions(void)
{
    struct dawn_profile *profile = make_profile(2, 12, 1);
    struct dawn_planner_opts o = {.policy = "pipedream",
                                  .schedule = "1f1b",
                                  .stages = 3,
                                  .microbatches = 12,
                                  .microbatch = 1};
    struct dawn_planner_nofit nofit = {0};
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};
    uint64_t versions;

    if (dawn_planner_run(profile, NULL, &o, &plan, NULL))
        abort();
    o.cap_bytes = arena_of(plan, profile, &versions);
    dawn_plan_destroy(plan);
    is_u64(versions, 0, "1f1b has one version");
    o.schedule = "async-1f1b";
    is_int(dawn_planner_run(profile, NULL, &o, &plan, &err), DAWN_E_NOFIT,
           "a cap for one version is refused");
    is_int(dawn_planner_find_cap(profile, NULL, &o, NULL, &nofit, &err),
           DAWN_OK, "one that does is found");
    ok(nofit.stage == 0 && nofit.versions == 3, "stage %d has %d versions",
       nofit.stage, nofit.versions);
    dawn_profile_destroy(profile);
}

static void test_arguments(void)
{
    struct dawn_profile *profile = make_profile(2, 12, 1);
    struct dawn_planner_opts o = {.schedule = "async-2bw",
                                  .stages = 4,
                                  .microbatches = 8,
                                  .update_every = 2};
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};

    is_int(dawn_planner_run(profile, NULL, &o, &plan, &err), DAWN_E_INVAL,
           "2BW with updates of fewer microbatches than stages: refused");
    o.update_every = 0;
    o.devices = 4;
    is_int(dawn_planner_run(profile, NULL, &o, &plan, &err), DAWN_E_NOTSUP,
           "with replicas: %s", err.text);
    dawn_profile_destroy(profile);
}

int main(void)
{
    plan_lazy();
    for (int kind = 0; kind < 2; kind++) {
        test_bounds(kind, 1);
        test_bounds(kind, 30);
        for (int i = 0; dawn_planner_policy(i); i++)
            test_caps(dawn_planner_policy(i), kind);
    }
    test_step();
    test_versions();
    test_arguments();
    return done_testing();
}
