/* SPDX-License-Identifier: Apache-2.0 */
/* Stages with replicas: the least bottleneck against brute force, steps against
 * formulas and the simulator of plain schedules, what a plan says.
 */
#include "planner/replicas.h"
#include "common/scratch.h"
#include "plan/plan.h"
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct dawn_profile *chain(int nodes, uint64_t seed)
{
    return rig_profile(
        &(struct rig_opts){.nodes = nodes, .seed = seed, .params = true});
}

struct brute {
    struct dawni_replicas *s;
    double best;
};

/* All ways with several devices on a stage to give the nodes before `end` to
 * `left` devices, with `behind` devices on the rest, whose slowest stage takes
 * `slowest`. */
static void go_through(struct brute *b, int end, int left, int behind,
                       double slowest, bool several)
{
    if (end == 0 && several)
        b->best = fmin(b->best, slowest);
    for (int first = 0; first < end; first++)
        for (int r = 1; r <= left && r <= b->s->pl->m; r++) {
            int k = dawni_replicas_in_flight(b->s, r, behind + r);
            struct dawni_decided d =
                dawni_replicas_decide(b->s, first, end - 1, k);
            double time =
                dawni_replicas_time(b->s, first, end - 1, d.recompute_ns) / r;
            bool fits = dawni_replicas_peak(b->s, first, end - 1, r, &d) <=
                        b->s->pl->stage[0].cap;
            if (d.fits && fits && fmax(slowest, time) < b->best)
                go_through(b, first, left - r, behind + r, fmax(slowest, time),
                           several || r > 1);
        }
}

/* No cap, then shares of what one device would need. */
static uint64_t cap_of(const struct dawn_profile *p, int percent)
{
    struct dawn_planner_opts opts = {.stages = 1, .microbatches = 4};
    struct dawn_plan *plan = NULL;
    uint64_t bytes;

    if (!percent || dawn_planner_run(p, NULL, &opts, &plan, NULL))
        return 0;
    bytes = dawn_plan_stage(plan, 0)->predicted.arena_bytes;
    dawn_plan_destroy(plan);
    return bytes * (uint64_t)percent / 100;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * b;
}

/* INFINITY: no stages, or one does not fit. */
static double slowest_of(struct dawni_replicas *s,
                         const struct dawn_plan_stage *stage, int stages)
{
    double slowest = stages ? 0 : INFINITY;

    for (int x = stages - 1, devices = 0; x >= 0; x--) {
        int r = stage[x].replicas, first = stage[x].first;
        devices += r;
        int k = dawni_replicas_in_flight(s, r, devices);
        struct dawni_decided d =
            dawni_replicas_decide(s, first, stage[x].last, k);
        bool fits = d.fits && dawni_replicas_peak(s, first, stage[x].last, r,
                                                  &d) <= s->pl->stage[0].cap;
        double time =
            dawni_replicas_time(s, first, stage[x].last, d.recompute_ns) / r;
        slowest = fits ? fmax(slowest, time) : INFINITY;
    }
    return slowest;
}

/* Dividing by looking at all, or only at the longest. */
static void test_divide(void)
{
    int cases = 0, unfit = 0, uneven = 0, wrong = 0, missed = 0;
    double worst = 1;

    for (uint64_t seed = 0; seed < 300; seed++) {
        struct dawn_profile *p = chain(4 + (int)seed % 6, seed);
        int devices = 2 + (int)seed % 4;
        struct dawn_planner_opts opts = {
            .microbatches = 6,
            .microbatch = 2,
            .objective = DAWN_OBJECTIVE_BOTTLENECK,
            .cap_bytes = cap_of(p, seed % 9 ? 70 + (int)seed % 9 * 5 : 0)};
        struct dawni_replica_shape shape = {.stages = 0};
        struct dawn_plan_stage stage[5];
        struct dawni_replicas s;
        int stages;
        if (dawni_replicas_create(p, NULL, &opts, devices, &s, NULL))
            abort();
        struct brute b = {.s = &s, .best = INFINITY};
        go_through(&b, s.pl->n, devices, 0, 0, false);
        for (int all = 0; all < 2; all++) {
            s.few_looks *= all;
            wrong +=
                dawni_replicas_divide(&s, shape, stage, &stages, NULL) != 0;
            double got = slowest_of(&s, stage, stages);
            s.few_looks = 1 << 20;
            wrong += all && got != b.best && !near(got, b.best);
            wrong += !all && got < b.best && !near(got, b.best);
            missed += !all && got > b.best && !near(got, b.best);
            if (!all && got / b.best > worst && !isinf(got))
                worst = got / b.best;
            for (int x = 1; x < stages && all; x++)
                uneven += stage[x].replicas != stage[0].replicas;
        }
        cases++;
        unfit += isinf(b.best);
        dawni_replicas_clear(&s);
        dawn_profile_destroy(p);
    }
    is_int(wrong, 0, "all looked at: brute force finds nothing better");
    diag("%d cases, %d fit nothing, %d stages of other counts than the first",
         cases, unfit, uneven);
    ok(unfit < cases / 2 && uneven > 10, "unequal counts are used");
    ok(missed <= cases / 20 && worst < 1.6,
       "only the longest: %d missed, by %.1f%% at worst", missed,
       100 * (worst - 1));
}

/* Steps: all partitions of a small graph, where everything is kept. */
struct all_steps {
    struct dawni_replicas *s;
    struct dawn_plan_stage stage[5];
    double best;
};

static void price_all(struct all_steps *a, int l, int first, int left)
{
    int n = a->s->pl->n;
    struct dawn_plan_info info = {.schedule = "1f1b",
                                  .stages = l,
                                  .ranks = l,
                                  .microbatches = a->s->pl->m,
                                  .microbatch = a->s->pl->b};
    struct dawn_plan *plan = NULL;

    if (first == n) {
        if (dawn_plan_create(a->s->pl->graph, &info, a->stage, &plan, NULL) ||
            dawni_replicas_price(a->s, plan, NULL, NULL))
            abort();
        a->best = fmin(a->best, dawn_plan_info(plan)->step_ns);
        dawn_plan_destroy(plan);
        return;
    }
    for (int last = first; last < n; last++)
        for (int r = 1; r <= left; r++) {
            a->stage[l] = (struct dawn_plan_stage){
                .rank = l, .first = first, .last = last, .replicas = r};
            price_all(a, l + 1, last + 1, left - r);
        }
}

static void test_steps(void)
{
    double gap[40], worst = 0;
    int cases = 0, better = 0;
    struct dawn_machine *m;

    dawn_machine_create(4, &m, NULL);
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct dawn_profile *p = chain(4 + (int)seed % 3, seed + 1000);
        struct dawn_planner_opts opts = {
            .devices = 4, .microbatches = 2 + (int)seed % 7, .microbatch = 2};
        struct dawni_replicas s;
        struct dawn_plan *plan = NULL;
        for (int i = 0; i < 16; i++) /* from good links to very bad ones */
            dawn_machine_link(m, i / 4, i % 4)->bytes_per_s =
                pow(10, 6 + (int)seed % 5);
        if (dawni_replicas_create(p, m, &opts, 4, &s, NULL) ||
            dawn_planner_run(p, m, &opts, &plan, NULL))
            abort();
        struct all_steps a = {.s = &s, .best = INFINITY};
        price_all(&a, 0, 0, 4);
        gap[cases] = dawn_plan_info(plan)->step_ns / a.best - 1;
        better += gap[cases] < -1e-9;
        worst = fmax(worst, gap[cases++]);
        dawn_plan_destroy(plan);
        dawni_replicas_clear(&s);
        dawn_profile_destroy(p);
    }
    dawn_machine_destroy(m);
    int exact = 0;
    for (int i = 0; i < cases; i++)
        exact += gap[i] < 1e-9;
    ok(exact >= cases * 3 / 4 && worst < 0.1 && !better,
       "steps: %d of %d the best there is, the worst %.2f%% above", exact,
       cases, 100 * worst);
}

static double step_of(const struct dawni_replica_times *s, int stages, int m)
{
    double step = -1;

    dawni_replicas_simulate(s, stages, m, &step, NULL, NULL);
    return step;
}

/* Equal stages, messages free: the textbook's figures. */
static void test_formulas(void)
{
    struct dawni_replica_times s[4] = {0};

    for (int x = 0; x < 4; x++)
        s[x] = (struct dawni_replica_times){
            .replicas = 1, .in_flight = 4 - x, .f_ns = 10, .b_ns = 20};
    is_near(step_of(s, 4, 8), (8 + 3) * 30, 1e-9,
            "one device each: (m + l - 1) microbatches");
    for (int x = 0; x < 4; x++)
        s[x].replicas = 2;
    is_near(step_of(s, 4, 8), (4 + 3) * 30, 1e-9, "two each: (m / 2 + l - 1)");
    s[0] = (struct dawni_replica_times){.replicas = 3,
                                        .in_flight = 2,
                                        .f_ns = 10,
                                        .b_ns = 20,
                                        .reduce_ns = 7,
                                        .step_ns = 2};
    is_near(step_of(s, 1, 6), 2 * 30 + 9, 1e-9,
            "one stage: a share of the microbatches, the sum, the update");
    is_near(step_of(s, 1, 7), 3 * 30 + 9, 1e-9, "a share is rounded up");
    is_near(step_of(s, 1, 2), 30 + 9, 1e-9, "a replica without a share waits");
    /* 1 + 2 devices: both stages take 30 ns a microbatch */
    s[0] = (struct dawni_replica_times){
        .replicas = 1, .in_flight = 3, .f_ns = 10, .b_ns = 20};
    s[1] = (struct dawni_replica_times){
        .replicas = 2, .in_flight = 1, .f_ns = 20, .b_ns = 40, .reduce_ns = 5};
    is_near(step_of(s, 2, 20), 20 * 30 + 60, 1e-9,
            "uneven stages: no bubble but filling and draining, and stage 1 "
            "sums while stage 0 drains");
    s[1].message_ns = 4;
    is_near(step_of(s, 2, 1), 30 + 60 + 2 * 4, 1e-9, "a message each way");
    s[1].move_ns = 3;
    is_near(step_of(s, 2, 1), 30 + 60 + 2 * 4 + 2 * 3, 1e-9,
            "and what the device moves itself");
}

/* The timeline adds up, and the memory curve says what is in flight. */
static void test_timeline(void)
{
    struct dawni_replica_times s[2] = {{.replicas = 1,
                                        .in_flight = 3,
                                        .f_ns = 10,
                                        .b_ns = 20,
                                        .step_ns = 3,
                                        .peak_bytes = 1000,
                                        .saved_bytes = 200,
                                        .kept_bytes = 300,
                                        .reduce_bytes = 350},
                                       {.replicas = 2,
                                        .in_flight = 1,
                                        .f_ns = 20,
                                        .b_ns = 40,
                                        .move_ns = 1,
                                        .reduce_ns = 5,
                                        .peak_bytes = 700}};
    struct dawn_sim_result r;
    int wrong = 0, rank = 0, in_flight = 0;
    uint64_t most = 0;
    double step, now = 0;

    dawni_replicas_simulate(s, 2, 5, &step, &r, NULL);
    is_int(r.ranks, 3, "a row for each device");
    is_int(r.events, 2 * 5 * 2 + 2 * 3, "F and B of each, the sum, the update");
    for (int i = 0; i < r.events; i++) {
        const struct dawn_sim_event *e = &r.event[i];
        now = e->rank == rank ? now : 0;
        rank = e->rank;
        wrong += e->start_ns < now || e->end_ns < e->start_ns;
        now = e->end_ns;
        if (rank == 0 && e->action.kind == DAWN_ACTION_F)
            wrong +=
                r.live_bytes[i] != 1000u - 200u * (unsigned)(2 - in_flight++);
        if (rank == 0 && e->action.kind == DAWN_ACTION_BW)
            wrong +=
                r.live_bytes[i] != 1000u - 200u * (unsigned)(3 - in_flight--);
        most = r.live_bytes[i] > most ? r.live_bytes[i] : most;
    }
    is_int(wrong, 0, "events follow each other, and the curve them");
    is_int((long)most, 1000, "up to the peak");
    for (int d = 0; d < r.ranks; d++)
        is_near(r.busy_ns[d] + r.wait_ns[d] + r.comm_ns[d] + r.stall_ns[d],
                step, 1e-9, "device %d: the parts make up the step", d);
    is_near(r.busy_ns[0], 5 * 30 + 3, 1e-9, "busy with all microbatches");
    is_near(r.busy_ns[1], 3 * 60, 1e-9, "or with its share");
    is_near(r.comm_ns[2], 2 * 2 * 1 + 5, 1e-9, "messages and the sum");
    dawn_sim_result_clear(&r);
}

/* With one device a stage it is the plan and the step of plain planning. */
static void test_plain(void)
{
    struct dawn_profile *p = chain(20, 5);
    struct dawn_plan *plan = NULL, *plain = NULL;
    struct dawn_machine *m;
    struct dawn_planner_opts opts = {.devices = 4,
                                     .replicas = 1,
                                     .stages = 4,
                                     .microbatches = 8,
                                     .microbatch = 2};

    dawn_machine_create(4, &m, NULL);
    for (int i = 0; i < 16; i++) {
        dawn_machine_link(m, i / 4, i % 4)->bytes_per_s = 1e18;
        dawn_machine_link(m, i / 4, i % 4)->latency_ns = 0;
    }
    dawn_planner_run(p, m, &opts, &plan, NULL);
    ok(plan && !dawni_plan_replicated(plan), "one device each: no replicas");
    double step = dawn_plan_info(plan)->step_ns;
    dawn_planner_price(plan, p, m, NULL);
    is_near(dawn_plan_info(plan)->step_ns, step, step * 1e-6,
            "the simulator of schedules says the same step");
    opts.devices = opts.replicas = 0;
    dawn_planner_run(p, m, &opts, &plain, NULL);
    ok(step < dawn_plan_info(plain)->step_ns * 1.02,
       "it is within 2%% of the plain plan's, %g and %g", step,
       dawn_plan_info(plain)->step_ns);
    dawn_plan_destroy(plan);
    dawn_plan_destroy(plain);
    dawn_machine_destroy(m);
    dawn_profile_destroy(p);
}

/* Left to choose, it is not worse than any shape that may be asked for. */
static void test_auto(void)
{
    struct dawn_profile *p = chain(16, 9);
    struct dawn_planner_opts opts = {
        .devices = 6, .microbatches = 12, .microbatch = 2};
    struct dawn_plan *plan = NULL;

    dawn_planner_run(p, NULL, &opts, &plan, NULL);
    double best = dawn_plan_info(plan)->step_ns;
    ok(best >= dawn_plan_info(plan)->bound_ns, "a step is above its bound");
    dawn_plan_destroy(plan);
    for (opts.replicas = 1; opts.replicas <= 6; opts.replicas++) {
        plan = NULL;
        if (dawn_planner_run(p, NULL, &opts, &plan, NULL))
            continue;
        ok(best <= dawn_plan_info(plan)->step_ns,
           "%d replicas of each stage are not better: %g and %g", opts.replicas,
           best, dawn_plan_info(plan)->step_ns);
        for (int x = 0; x < dawn_plan_info(plan)->stages; x++)
            is_int(dawni_replicas_of(dawn_plan_stage(plan, x)), opts.replicas,
                   "stage %d has as many", x);
        dawn_plan_destroy(plan);
    }
    opts.replicas = 0;
    opts.stages = 2;
    plan = NULL;
    dawn_planner_run(p, NULL, &opts, &plan, NULL);
    is_int(dawn_plan_info(plan)->stages, 2, "stages may be said");
    ok(dawni_plan_devices(plan) <= 6 && dawni_plan_devices(plan) > 2,
       "devices are shared among them");
    dawn_plan_destroy(plan);
    dawn_profile_destroy(p);
}

static uint64_t most_peak(struct dawn_plan *plan)
{
    uint64_t most = 0;

    for (int x = 0; x < dawn_plan_info(plan)->stages; x++)
        if (dawn_plan_stage(plan, x)->predicted.peak_bytes > most)
            most = dawn_plan_stage(plan, x)->predicted.peak_bytes;
    return most;
}

/* How many microbatches a stage holds depends on its replicas, and so does what
 * fits. */
static void test_caps(void)
{
    int plans = 0, above = 0;

    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct dawn_profile *p = chain(16, seed);
        struct dawn_planner_opts opts = {.microbatches = 16, .microbatch = 2};
        for (opts.devices = 4; opts.devices <= 6; opts.devices++) {
            struct dawn_plan *plan = NULL;
            opts.cap_bytes = 0;
            dawn_planner_run(p, NULL, &opts, &plan, NULL);
            uint64_t most = most_peak(plan);
            dawn_plan_destroy(plan);
            for (int percent = 85; percent >= 40; percent -= 15) {
                opts.cap_bytes = most * (uint64_t)percent / 100;
                if (dawn_planner_run(p, NULL, &opts, &plan, NULL))
                    break;
                plans++;
                above += most_peak(plan) > opts.cap_bytes;
                dawn_plan_destroy(plan);
            }
        }
        dawn_profile_destroy(p);
    }
    ok(plans > 20, "%d plans under caps", plans);
    is_int(above, 0, "each stage of them keeps its cap");
}

/* 1 MB of gradients over 1 GB/s: 2 (r - 1) / r ms and 2 (r - 1) latencies. */
static void test_reduce(void)
{
    struct dawn_profile *p = chain(6, 1);
    struct dawn_machine *m;
    struct dawn_planner_opts opts = {.microbatches = 4, .microbatch = 2};
    struct dawni_replicas s;

    dawn_machine_create(4, &m, NULL);
    dawn_machine_link(m, 2, 3)->bytes_per_s = 1e9;
    dawn_machine_link(m, 1, 0)->latency_ns = 5000;
    if (dawni_replicas_create(p, m, &opts, 4, &s, NULL))
        abort();
    double bytes = 0;
    for (int i = 0; i < dawn_graph_params(dawn_profile_graph(p)); i++)
        bytes +=
            4.0 * (double)dawn_graph_param_elements(dawn_profile_graph(p), i);
    is_near(dawni_replicas_reduce(&s, 0, 5, 4), 1.5 * bytes + 6 * 5000, 1e-6,
            "a ring over the slowest link");
    is_near(dawni_replicas_reduce(&s, 0, 5, 1), 0, 0, "one device sums none");
    is_int(dawni_replicas_in_flight(&s, 2, 7), 2, "a share of microbatches");
    is_int(dawni_replicas_in_flight(&s, 2, 3), 2, "or of devices, rounded up");
    dawni_replicas_clear(&s);
    dawn_machine_destroy(m);
    dawn_profile_destroy(p);
}

static void test_file(void)
{
    struct dawn_profile *p = chain(12, 3);
    struct dawn_planner_opts opts = {
        .devices = 4, .replicas = 2, .microbatches = 8, .microbatch = 2};
    struct dawn_plan *plan = NULL, *again = NULL;
    struct dawn_memory memory;
    struct dawn_error err = {DAWN_OK, ""};
    struct dawn_sim_result result;

    dawn_planner_run(p, NULL, &opts, &plan, NULL);
    dawn_plan_save(plan, scratch_path("a.yaml"), NULL);
    is_int(dawn_plan_load(scratch_path("a.yaml"), dawn_profile_graph(p), &again,
                          &err),
           DAWN_OK, "a plan with replicas is read %s", err.text);
    dawn_plan_save(again, scratch_path("b.yaml"), NULL);
    char *a = scratch_read("a.yaml"), *b = scratch_read("b.yaml");
    ok(a && b && strstr(a, "  replicas: 2\n") && strstr(a, "reduce_ns: ") &&
           !strcmp(a, b),
       "and written as the same bytes");
    free(a);
    free(b);
    double step = dawn_plan_info(again)->step_ns;
    dawn_planner_price(again, p, NULL, &err);
    ok(dawn_plan_info(again)->step_ns == step, "and priced the same: %g", step);
    is_int(dawn_memory_of(again, p, 0, &memory, &err), DAWN_E_NOTSUP,
           "no program of it: %s", err.text);
    is_int(dawn_planner_simulate(again, p, NULL, &result, &err), DAWN_OK,
           "a timeline of it");
    uint64_t most = 0;
    for (int i = 0; i < result.events; i++)
        most = result.live_bytes[i] > most ? result.live_bytes[i] : most;
    ok(result.ranks == 4 && result.step_ns == step, "of all devices");
    uint64_t peak = 0;
    for (int x = 0; x < dawn_plan_info(again)->stages; x++)
        peak = dawn_plan_stage(again, x)->predicted.peak_bytes > peak
                   ? dawn_plan_stage(again, x)->predicted.peak_bytes
                   : peak;
    ok(most == peak, "whose curve goes up to the peak that is priced");
    dawn_sim_result_clear(&result);
    dawn_plan_destroy(plan);
    dawn_plan_destroy(again);
    dawn_profile_destroy(p);
}

static void test_refusals(void)
{
    static const struct {
        struct dawn_planner_opts opts;
        const char *wanted;
    } row[] = {
        {{.devices = 4, .microbatches = 4, .policy = "vpipe"}, "policy vpipe"},
        {{.devices = 4, .microbatches = 4, .schedule = "gpipe"},
         "schedule gpipe"},
        {{.devices = 4, .microbatches = 4, .stages = 5}, "stages 5, must be"},
        {{.devices = 4, .microbatches = 4, .replicas = 5}, "replicas 5, must"},
        {{.devices = 4, .microbatches = 4, .replicas = 3, .stages = 2},
         "2 stages of 3 replicas, but only 4 devices"},
        {{.devices = 4, .microbatches = 4, .max_batch = true}, "largest"},
        {{.devices = 4, .microbatches = 4, .cap_bytes = 64},
         "no plan for 4 devices"},
    };
    struct dawn_profile *p = chain(8, 2);
    struct dawn_error err;
    struct dawn_plan *plan = NULL;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ok(dawn_planner_run(p, NULL, &row[i].opts, &plan, &err) && !plan &&
               strstr(err.text, row[i].wanted),
           "refused: %s", err.text);
    dawn_profile_destroy(p);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_formulas();
    test_timeline();
    test_reduce();
    test_divide();
    test_steps();
    test_plain();
    test_auto();
    test_caps();
    test_file();
    test_refusals();
    return done_testing();
}
