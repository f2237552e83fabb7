/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of additive profiles: priced by the rule, against all partitions of
 * small graphs, with every policy, schedule and kind of device.
 */
#include "additive_rig.h"
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/planner.h>
#include <math.h>

#define GRAPHS 60

static const struct additive_opts small = {.least = 2, .most = 6};

/* Brute force */

struct brute {
    const struct additive_model *m;
    int stages, microbatches;
    bool all_in_flight;
    double cap;
    int at[ADDITIVE_NODES];
    double best;
};

/* Least time of a stage; INFINITY: does not fit. */
static double stage_time(const struct brute *b, int x, int y)
{
    double best = INFINITY;

    for (int mask = 0; mask < 1 << b->m->n; mask++) {
        double time = 0, bytes = 0;
        bool valid = true;
        for (int i = 0; i < b->m->n; i++) {
            int v = mask >> i & 1;
            valid &= !v || b->at[i] == x;
            if (b->at[i] != x)
                continue;
            time += b->m->v[i][v].ns;
            bytes += b->m->v[i][v].saved_bytes * y + b->m->v[i][v].fixed_bytes;
        }
        if (valid && bytes <= b->cap + 1e-9)
            best = fmin(best, time);
    }
    return best;
}

static void judge(struct brute *b, int used)
{
    double slowest = 0;

    for (int i = 0; i < b->m->n; i++)
        for (int k = 0; k < i; k++)
            if (b->m->edge[k][i] && b->at[k] > b->at[i])
                return;
    for (int x = 0; x < used; x++) {
        int y = used - x < b->microbatches ? used - x : b->microbatches;
        y = b->all_in_flight ? b->microbatches : y;
        slowest = fmax(slowest, stage_time(b, x, y));
    }
    b->best = fmin(b->best, slowest);
}

static void assign(struct brute *b, int i, int used)
{
    if (i == b->m->n) {
        judge(b, used);
        return;
    }
    for (int x = 0; x < used; x++) {
        b->at[i] = x;
        assign(b, i + 1, used);
    }
}

/* Least bottleneck of at most `stages` stages. */
static double brute_force(struct brute *b)
{
    b->best = INFINITY;
    for (int used = 1; used <= b->stages; used++)
        assign(b, 0, used);
    return b->best;
}

/* Plans */

static struct dawn_planner_opts opts_of(const struct brute *b)
{
    return (struct dawn_planner_opts){
        .schedule = b->all_in_flight ? "gpipe" : "1f1b",
        .stages = b->stages < b->m->n ? b->stages : b->m->n,
        .microbatches = b->microbatches,
        .cap_bytes = (uint64_t)b->cap,
        .objective = DAWN_OBJECTIVE_BOTTLENECK,
        .offload = DAWN_OFFLOAD_NONE,
    };
}

/* Is what the plan predicts what the rule says of its stages and decisions? */
static bool by_the_rule(const struct brute *b, struct dawn_plan *plan)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    const struct dawn_graph *g = dawn_plan_graph(plan);
    double slowest = 0;

    for (int x = 0; x < info->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        int left = info->stages - x, m = b->microbatches;
        int y = b->all_in_flight || m < left ? m : left;
        double time = 0, bytes = 0;
        for (int i = s->first; i <= s->last; i++) {
            int node = dawn_graph_number(g, i), t = dawn_graph_output(g, i, 0);
            int v = dawn_plan_decision(plan, x, t) == DAWN_RECOMPUTE;
            time += b->m->v[node][v].ns;
            bytes +=
                b->m->v[node][v].saved_bytes * y + b->m->v[node][v].fixed_bytes;
        }
        double said = s->predicted.f_ns + s->predicted.b_ns + s->predicted.w_ns;
        if (fabs(said - time) > 1e-9 * time ||
            s->predicted.peak_bytes != (uint64_t)ceil(bytes - 1e-9) ||
            (b->cap > 0 && (double)s->predicted.peak_bytes > b->cap))
            return false;
        slowest = fmax(slowest, time);
    }
    return fabs(slowest - info->bottleneck_ns) <= 1e-9 * slowest;
}

struct tally {
    int plans, optimal, bounded, ruled, below, agreed;
};

/* One plan, by a policy; NULL: the planner's choice. */
static void count(struct brute *b, const char *policy, struct tally *t)
{
    struct dawn_planner_opts opts = opts_of(b);
    struct dawn_plan *plan = NULL;
    struct dawn_error err;

    opts.policy = policy;
    enum dawn_status st =
        dawn_planner_run(b->m->profile, NULL, &opts, &plan, &err);
    if (st) {
        t->agreed += st == DAWN_E_NOFIT && isinf(b->best);
        t->plans++;
        return;
    }
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    t->plans++;
    t->agreed += !isinf(b->best);
    t->optimal += info->bottleneck_ns <= b->best * (1 + 1e-9);
    t->below += info->bottleneck_ns < b->best * (1 - 1e-9);
    t->bounded += info->bound_ns <= b->best * (1 + 1e-9);
    t->ruled += by_the_rule(b, plan);
    dawn_plan_destroy(plan);
}

static void test_brute(bool all_in_flight)
{
    struct tally best = {0}, exact = {0};
    struct additive_model m;
    int fits = 0;

    for (int i = 0; i < GRAPHS; i++) {
        additive_make(&m, &small, i + 1);
        struct brute b = {.m = &m,
                          .stages = 1 + i % 3,
                          .microbatches = 1 + additive_draw(4),
                          .all_in_flight = all_in_flight,
                          .cap = 100 + additive_draw(500)};
        if (b.stages > m.n)
            b.stages = m.n;
        fits += !isinf(brute_force(&b));
        count(&b, NULL, &best);
        count(&b, "exact", &exact);
        dawn_profile_destroy(m.profile);
    }
    const char *how = all_in_flight ? "gpipe" : "1f1b";
    diag("%s: %d of %d fit", how, fits, GRAPHS);
    ok(fits > GRAPHS / 2 && fits < GRAPHS, "%s: some fit, some do not", how);
    is_int(best.agreed, GRAPHS, "what fits by brute force has a plan");
    is_int(best.optimal, fits, "which is the best there is");
    is_int(exact.optimal, fits, "and so is that of policy exact");
    is_int(best.below + exact.below, 0, "none is better than that");
    is_int(best.bounded, fits, "the bound is not above it");
    is_int(best.ruled, fits, "times and memory are those of the rule");
}

/* Policies that follow one order are no better, and fit where they say so. */
static void test_policies(void)
{
    struct additive_model m;

    for (int p = 0; dawn_planner_policy(p); p++) {
        struct tally t = {0};
        int fits = 0, bounded = 0;
        for (int i = 0; i < GRAPHS / 2; i++) {
            additive_make(&m, &small, i + 100);
            struct brute b = {.m = &m,
                              .stages = 2,
                              .microbatches = 3,
                              .cap = i % 2 ? 300 + additive_draw(400) : 1e6};
            brute_force(&b);
            struct dawn_planner_opts opts = opts_of(&b);
            struct dawn_plan *plan = NULL;
            opts.policy = dawn_planner_policy(p);
            if (!dawn_planner_run(m.profile, NULL, &opts, &plan, NULL)) {
                fits++;
                t.ruled += by_the_rule(&b, plan);
                t.below +=
                    dawn_plan_info(plan)->bottleneck_ns < b.best * (1 - 1e-9);
                bounded +=
                    dawn_plan_info(plan)->bound_ns > b.best / 3 &&
                    dawn_plan_info(plan)->bound_ns <= b.best * (1 + 1e-9);
            }
            dawn_plan_destroy(plan);
            dawn_profile_destroy(m.profile);
        }
        ok(fits > GRAPHS / 6, "%s has plans", dawn_planner_policy(p));
        is_int(t.ruled, fits, "of the rule, under the cap");
        is_int(t.below, 0, "and none that is better than the best");
        is_int(bounded, fits, "whose bound is one of all plans");
    }
}

/* Files */

static void test_files(void)
{
    struct dawn_plan *plan = NULL, *back = NULL;
    struct dawn_planner_opts opts = {.stages = 3,
                                     .microbatches = 4,
                                     .cap_bytes = 420,
                                     .objective = DAWN_OBJECTIVE_BOTTLENECK};
    struct dawn_error err = {0};
    struct additive_model m;
    int own = 0;

    for (int i = 0; i < GRAPHS; i++) {
        additive_make(&m, &small, i + 1);
        opts.stages = m.n < 3 ? m.n : 3;
        if (dawn_planner_run(m.profile, NULL, &opts, &plan, NULL)) {
            dawn_profile_destroy(m.profile);
            continue;
        }
        double before = dawn_plan_info(plan)->bottleneck_ns;
        uint64_t digest = dawn_plan_digest(plan);
        enum dawn_status st =
            dawn_plan_save(plan, scratch_path("plan.yaml"), &err);
        if (!st)
            st = dawn_plan_load(scratch_path("plan.yaml"),
                                dawn_profile_graph(m.profile), &back, &err);
        if (!st)
            st = dawn_planner_price(back, m.profile, NULL, &err);
        own += !st && dawn_plan_digest(back) == digest &&
               dawn_plan_info(back)->bottleneck_ns == before &&
               !dawn_plan_edited(back);
        if (st)
            diag("%s", err.text);
        own -= GRAPHS * (st != DAWN_OK);
        dawn_plan_destroy(back);
        dawn_plan_destroy(plan);
        dawn_profile_destroy(m.profile);
        back = plan = NULL;
    }
    ok(own > GRAPHS / 2, "%d plans come back from their files as they were",
       own);
}

/* A device of its own speed and memory for each stage. */
static void test_devices(void)
{
    struct dawn_planner_opts opts = {
        .stages = 2, .microbatches = 4, .objective = DAWN_OBJECTIVE_BOTTLENECK};
    struct dawn_machine *machine = NULL;
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};
    struct additive_model m;

    additive_make(&m, &small, 4);
    dawn_machine_create(2, &machine, NULL);
    dawn_machine_device(machine, 0)->speed = 4;
    dawn_machine_device(machine, 0)->memory_bytes = 10000;
    dawn_machine_device(machine, 1)->memory_bytes = 9000;
    is_int(dawn_planner_run(m.profile, machine, &opts, &plan, &err), DAWN_OK,
           "two devices that differ %s", err.text);
    if (plan) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, 0);
        double one = 0;
        for (int i = s->first; i <= s->last; i++)
            one += m.v[dawn_graph_number(dawn_plan_graph(plan), i)][0].ns;
        is_int(dawn_plan_info(plan)->stages, 2, "both are used");
        is_near(s->predicted.f_ns + s->predicted.b_ns, one / 4, 1e-9,
                "the fast one takes a quarter of the time");
    }
    dawn_plan_destroy(plan);
    dawn_machine_destroy(machine);
    dawn_profile_destroy(m.profile);
}

static void test_refused(void)
{
    struct dawn_planner_opts opts = {.stages = 2,
                                     .microbatches = 4,
                                     .cap_bytes = 1,
                                     .objective = DAWN_OBJECTIVE_BOTTLENECK};
    struct dawn_planner_nofit nofit = {0};
    struct dawn_plan *plan = NULL;
    struct dawn_error err;
    struct additive_model m;

    additive_make(&m, &small, 4);
    is_int(dawn_planner_run(m.profile, NULL, &opts, &plan, &err), DAWN_E_NOFIT,
           "one byte is too little: %s", err.text);
    is_int(dawn_planner_find_cap(m.profile, NULL, &opts, NULL, &nofit, &err),
           DAWN_OK, "a cap that would do is looked for");
    opts.cap_bytes = nofit.works_bytes;
    is_int(dawn_planner_run(m.profile, NULL, &opts, &plan, &err), DAWN_OK,
           "the cap that it names works");
    dawn_plan_destroy(plan);
    plan = NULL;
    opts.no_recompute = true;
    opts.cap_bytes = 100000;
    dawn_planner_run(m.profile, NULL, &opts, &plan, &err);
    double kept = plan ? dawn_plan_stage(plan, 0)->predicted.recompute_ns : 1;
    ok(kept == 0, "nothing is recomputed where that is forbidden");
    dawn_plan_destroy(plan);
    plan = NULL;
    dawn_profile_cost(m.profile, 1, 0)->ns[0] += 1;
    is_int(dawn_planner_run(m.profile, NULL, &opts, &plan, &err), DAWN_E_INVAL,
           "refused: %s", err.text);
    dawn_profile_destroy(m.profile);
}

/* The step is what the simulator says, and never below the bound. */
static void test_step(void)
{
    struct dawn_planner_opts opts = {.microbatches = 6};
    struct dawn_plan *plan = NULL;
    int bounded = 0, better = 0;
    struct additive_model m;

    for (int i = 0; i < GRAPHS / 2; i++) {
        double step[2];
        additive_make(&m, &small, i + 40);
        opts.stages = m.n < 3 ? m.n : 3;
        for (int k = 0; k < 2; k++) {
            opts.policy = k ? "gpipe-uniform" : NULL;
            if (dawn_planner_run(m.profile, NULL, &opts, &plan, NULL))
                abort();
            step[k] = dawn_plan_info(plan)->step_ns;
            bounded += step[k] >= dawn_plan_info(plan)->bound_ns &&
                       dawn_plan_info(plan)->bound_ns > 0;
            dawn_plan_destroy(plan);
            plan = NULL;
        }
        better += step[0] <= step[1];
        dawn_profile_destroy(m.profile);
    }
    is_int(bounded, GRAPHS, "no step is below its bound");
    is_int(better, GRAPHS / 2, "the default is never slower than equal counts");
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_brute(false);
    test_brute(true);
    test_policies();
    test_files();
    test_devices();
    test_refused();
    test_step();
    return done_testing();
}
