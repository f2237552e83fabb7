/* SPDX-License-Identifier: Apache-2.0 */
/* Offloading by the additive rule: plans of chains against all cuts and all
 * decisions, memory by the rule, and prices against the simulator.
 */
#include "additive_rig.h"
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>

#define CHAINS tap_cases(600)
#define STAGES 4
#define WAYS 3 /* keep, recompute, offload to host memory */

static const uint8_t way[WAYS] = {DAWN_KEEP, DAWN_RECOMPUTE, DAWN_TO_HOST};

static const struct additive_opts chains = {
    .least = 4, .most = ADDITIVE_NODES, .chain = true, .even = true};

struct problem {
    struct additive_model m;
    struct dawn_machine *machine;
    struct dawn_planner_opts opts;
};

static void begin(struct problem *p, int seed)
{
    static const double rate[] = {5e8, 1e9, 2e9, 4e9, 1e10, 1e11};
    struct dawn_machine_tier host = {.kind = "host"};

    *p = (struct problem){.machine = NULL};
    additive_make(&p->m, &chains, seed);
    int stages = 2 + additive_draw(STAGES - 1);
    p->opts = (struct dawn_planner_opts){
        .stages = stages < p->m.n ? stages : p->m.n,
        .microbatches = 2 + additive_draw(7),
        .cap_bytes = (uint64_t)(100 + additive_draw(400)),
        .objective = DAWN_OBJECTIVE_BOTTLENECK,
        .offload = DAWN_OFFLOAD_HOST,
    };
    host.read_bytes_per_s = rate[additive_draw(6)];
    host.write_bytes_per_s = host.read_bytes_per_s * (1 + additive_draw(3));
    if (dawn_machine_create(STAGES, &p->machine, NULL) ||
        dawn_machine_add_tier(p->machine, &host, NULL))
        abort();
}

static void end(struct problem *p)
{
    dawn_machine_destroy(p->machine);
    dawn_profile_destroy(p->m.profile);
}

/* The i-th way to decide about the nodes; false: one cannot be recomputed. */
static bool decide(const struct problem *p, const struct dawni_planner *pl,
                   int first, int last, int i, uint8_t *decision)
{
    for (int k = first; k <= last; k++, i /= WAYS) {
        decision[pl->graph->node[k].output[0]] = way[i % WAYS];
        if (way[i % WAYS] == DAWN_RECOMPUTE &&
            dawn_profile_variants(p->m.profile, k) == 1)
            return false;
    }
    return true;
}

/* Bytes by the rule. */
static double bytes_of(const struct problem *p, int in_flight, int first,
                       int last, const uint8_t *decision)
{
    double bytes = 0, largest = 0;

    for (int i = first; i <= last; i++) {
        const struct dawn_node_variant *v =
            &p->m.v[i][decision[i] == DAWN_RECOMPUTE];
        bytes += v->fixed_bytes;
        if (decision[i] == DAWN_TO_HOST)
            largest = fmax(largest, v->saved_bytes);
        else
            bytes += v->saved_bytes * in_flight;
    }
    return bytes + 4 * largest;
}

/* The least time of a stage, of all decisions. */
static double best_stage(const struct problem *p, struct dawni_planner *pl,
                         int first, int last, int x)
{
    uint8_t decision[ADDITIVE_NODES] = {0};
    double best = INFINITY, ns = 0;
    int all = (int)pow(WAYS, last - first + 1);

    for (int i = first; i <= last; i++)
        ns += p->m.v[i][0].ns;
    for (int i = 0; i < all; i++) {
        if (!decide(p, pl, first, last, i, decision))
            continue;
        int k = pl->stage[x].in_flight;
        if (bytes_of(p, k, first, last, decision) > (double)p->opts.cap_bytes)
            continue;
        struct dawni_decided d =
            dawni_price_decisions(pl, first, last, x, decision);
        best = fmin(best, ns + d.recompute_ns + d.stall_ns);
    }
    return best;
}

/* The least bottleneck of up to so many stages. */
static double brute_force(const struct problem *p)
{
    struct dawn_planner_opts opts = p->opts;
    double best = INFINITY;

    for (opts.stages = p->opts.stages; opts.stages > 0; opts.stages--) {
        struct dawni_planner *pl;
        int cut[ADDITIVE_NODES + 1] = {0};
        opts.microbatch = 1;
        if (dawni_planner_create(p->m.profile, p->machine, &opts, opts.stages,
                                 &pl, NULL))
            abort();
        pl->sharers[0] = p->opts.stages > 1 ? p->opts.stages - 1 : 1;
        while (rig_next_cut(cut, p->m.n, opts.stages)) {
            double slowest = 0;
            for (int x = 0; x < opts.stages; x++)
                slowest =
                    fmax(slowest, best_stage(p, pl, cut[x], cut[x + 1] - 1, x));
            best = fmin(best, slowest);
        }
        dawni_planner_destroy(pl);
    }
    return best;
}

/* Is the memory of each stage what the rule says? */
static bool by_the_rule(const struct problem *p, struct dawn_plan *plan)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);

    for (int x = 0; x < info->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        uint8_t decision[ADDITIVE_NODES] = {0};
        uint64_t staging = 0, all = 0;
        int left = info->stages - x;
        for (int i = s->first; i <= s->last; i++) {
            decision[i] = (uint8_t)dawn_plan_decision(plan, x, i);
            if (decision[i] == DAWN_TO_HOST)
                staging = s->predicted.by[DAWN_CATEGORY_STAGING];
        }
        int k = info->microbatches < left ? info->microbatches : left;
        double bytes = bytes_of(p, k, s->first, s->last, decision);
        for (int c = 0; c < DAWN_CATEGORIES; c++)
            all += s->predicted.by[c];
        if (s->predicted.peak_bytes != (uint64_t)ceil(bytes - 1e-9) ||
            s->predicted.peak_bytes > p->opts.cap_bytes ||
            all != s->predicted.peak_bytes ||
            staging != s->predicted.by[DAWN_CATEGORY_STAGING])
            return false;
    }
    return true;
}

static struct {
    int fits, found, ruled, below, unbounded, optimal, offloads, saves;
    double sum, worst;
} tally;

static void count(const struct problem *p, double best)
{
    struct dawn_planner_opts none = p->opts;
    struct dawn_plan *plan = NULL, *without = NULL;
    int tensors = 0;

    tally.fits += !isinf(best);
    if (dawn_planner_run(p->m.profile, p->machine, &p->opts, &plan, NULL))
        return;
    double got = dawn_plan_info(plan)->bottleneck_ns;
    none.offload = DAWN_OFFLOAD_NONE;
    tally.saves +=
        dawn_planner_run(p->m.profile, p->machine, &none, &without, NULL) ||
        dawn_plan_info(without)->bottleneck_ns > got * (1 + 1e-9);
    for (int i = 0; i < p->m.n; i++)
        tensors += dawn_plan_decision(plan, dawn_plan_stage_of(plan, i), i) ==
                   DAWN_TO_HOST;
    tally.found++;
    tally.offloads += tensors > 0;
    tally.ruled += by_the_rule(p, plan);
    tally.below += got < best * (1 - 1e-9);
    tally.unbounded += dawn_plan_info(plan)->bound_ns > best * (1 + 1e-9);
    tally.optimal += got <= best * (1 + 1e-9);
    tally.sum += got / best - 1;
    tally.worst = fmax(tally.worst, got / best - 1);
    dawn_plan_destroy(without);
    dawn_plan_destroy(plan);
}

static void test_brute(void)
{
    for (int i = 0; i < CHAINS; i++) {
        struct problem p;
        begin(&p, i + 1);
        count(&p, brute_force(&p));
        end(&p);
    }
    diag("%d of %d fit, %d of them have a plan, %d offload, %d gain by it; %d "
         "are the best, %.2f%% above on average, %.0f%% at worst",
         tally.fits, CHAINS, tally.found, tally.offloads, tally.saves,
         tally.optimal, 100 * tally.sum / tally.found, 100 * tally.worst);
    ok(tally.fits > CHAINS / 2 && tally.fits < CHAINS, "some fit, some do not");
    is_int(tally.found, tally.fits, "what fits has a plan");
    is_int(tally.ruled, tally.found, "memory is that of the rule");
    is_int(tally.below, 0, "none is better than the best");
    is_int(tally.unbounded, 0, "no bound is above it");
    ok(tally.optimal * 10 >= tally.found * 9, "nine in ten are the best");
    ok(tally.sum <= 0.02 * tally.found, "on average 2%% above at most");
    ok(tally.offloads > CHAINS / 20 && tally.saves > CHAINS / 20,
       "offloading gains something");
}

/* Bytes that so many nodes save, on average. */
static uint64_t nodes_worth(const struct problem *p, int nodes)
{
    double sum = 0;

    for (int i = 0; i < p->m.n; i++)
        sum += p->m.v[i][0].saved_bytes + p->m.v[i][0].fixed_bytes;
    return (uint64_t)(nodes * sum / p->m.n);
}

/* Is the step of each plan its bound at least? Also where the tier is slow and
 * fewer stages use it than may. */
static void test_steps(void)
{
    int found = 0, offloads = 0, below = 0;

    for (int i = 0; i < CHAINS; i++) {
        struct dawn_plan *plan = NULL;
        struct problem p;
        begin(&p, i + 1);
        p.opts.objective = DAWN_OBJECTIVE_STEP;
        p.opts.microbatches = 16;
        p.opts.stages = 3;
        p.opts.cap_bytes = nodes_worth(&p, 5 + i % 8);
        p.opts.no_recompute = true;
        struct dawn_machine_tier *host = dawn_machine_tier(p.machine, 0);
        host->read_bytes_per_s /= 50; /* plans that stall */
        host->write_bytes_per_s /= 50;
        if (!dawn_planner_run(p.m.profile, p.machine, &p.opts, &plan, NULL)) {
            const struct dawn_plan_info *info = dawn_plan_info(plan);
            int tensors = 0;
            for (int k = 0; k < p.m.n; k++)
                tensors += dawn_plan_decision(plan, dawn_plan_stage_of(plan, k),
                                              k) == DAWN_TO_HOST;
            found++;
            offloads += tensors > 0;
            below += info->step_ns < info->bound_ns * (1 - 1e-9);
            dawn_plan_destroy(plan);
        }
        end(&p);
    }
    diag("%d steps, %d with something offloaded", found, offloads);
    /* most have a shorter step with fewer stages and nothing offloaded */
    ok(offloads > CHAINS / 60, "steps are planned with offloading");
    is_int(below, 0, "none is shorter than its bound");
}

/* Prices */

static struct {
    int plans, hidden, stalled, wrong, slower;
} prices;

/* A plan of even cuts with random decisions. */
static struct dawn_plan *draw_plan(const struct problem *p,
                                   struct dawni_planner *pl)
{
    int cut[STAGES + 1] = {0}, tensors = additive_draw(WAYS + 1);
    struct dawn_plan *plan = NULL;

    for (int x = 1; x <= pl->l; x++)
        cut[x] = pl->n * x / pl->l;
    if (dawni_plan_create(pl, cut, &plan, NULL))
        abort();
    for (int i = 0; i < p->m.n; i++)
        if (additive_draw(WAYS) < tensors)
            dawn_plan_decide(plan, dawn_plan_stage_of(plan, i), i, DAWN_TO_HOST,
                             NULL);
    return plan;
}

/* Does the plan stall in the simulator where its price says that it does not?
 */
static void check_prices(struct dawni_planner *pl, struct dawn_plan *plan)
{
    struct dawn_sim_result simulated = {0};
    struct dawn_error err = {0};
    double stall = 0, sum = 0, slowest = 0;

    if (dawni_price_plan(pl, plan, &simulated, &err)) {
        diag("%s", err.text);
        return;
    }
    prices.plans++;
    for (int x = 0; x < pl->l; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        uint8_t decision[ADDITIVE_NODES];
        for (int i = 0; i < pl->n; i++)
            decision[i] = (uint8_t)dawn_plan_decision(plan, x, i);
        pl->sharers[0] = pl->l; /* no fewer than use it */
        double ns =
            dawni_price_decisions(pl, s->first, s->last, x, decision).stall_ns;
        stall += ns;
        slowest = fmax(slowest, s->predicted.f_ns + s->predicted.b_ns + ns);
        sum += simulated.stall_ns[x];
    }
    prices.hidden += stall == 0;
    prices.stalled += sum > 0;
    prices.wrong += stall == 0 && sum > 0;
    prices.slower += dawn_plan_info(plan)->bottleneck_ns > slowest * (1 + 1e-9);
    dawn_sim_result_clear(&simulated);
}

static void test_prices(void)
{
    for (int i = 0; i < 2 * CHAINS; i++) {
        struct problem p;
        struct dawni_planner *pl;
        begin(&p, i + 1000);
        p.opts.microbatch = 1;
        if (dawni_planner_create(p.m.profile, p.machine, &p.opts, p.opts.stages,
                                 &pl, NULL))
            abort();
        struct dawn_plan *plan = draw_plan(&p, pl);
        check_prices(pl, plan);
        dawn_plan_destroy(plan);
        dawni_planner_destroy(pl);
        end(&p);
    }
    diag("%d plans: %d are priced as hidden, %d stall in the simulator",
         prices.plans, prices.hidden, prices.stalled);
    is_int(prices.plans, 2 * CHAINS, "all plans were priced");
    is_int(prices.wrong, 0, "what is priced as hidden is hidden");
    is_int(prices.slower, 0, "a plan's bottleneck holds its stalls");
    ok(prices.hidden > CHAINS / 4 && prices.stalled > CHAINS / 4,
       "there are both kinds");
}

int main(void)
{
    plan_lazy();
    test_brute();
    test_steps();
    test_prices();
    return done_testing();
}
