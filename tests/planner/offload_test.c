/* SPDX-License-Identifier: Apache-2.0 */
/* Offloading: decisions of a stage against all assignments, and prices against
 * the simulator.
 */
#include "common/random.h"
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>

#define MOST_TENSORS 7
#define WAYS 3 /* keep, recompute, offload to host memory */

/* Let the planner offload to host memory at that speed, each way. */
static void give_tier(struct dawni_planner *pl, double bytes_per_s)
{
    pl->tiers = 1;
    pl->tier_of[DAWN_TO_HOST] = 0;
    pl->sharers[0] = pl->l;
    pl->may_offload[DAWN_TO_HOST] = true;
    pl->tier[0] =
        (struct dawn_sim_tier){bytes_per_s, bytes_per_s, 1000, false, 0};
}

/* Decisions */

static struct tally {
    int cases, infeasible, missed, missed_tightest, optimal, over, offloaded,
        stalled;
    double worst, sum;
} tally;

struct best {
    double ns; /* of those that fit; INFINITY: none does */
    uint64_t least_peak;
};

static int list_saved(const struct dawni_planner *pl, int first, int last,
                      int *tensor)
{
    const struct dawn_graph *g = pl->graph;
    int n = 0;

    for (int t = 0; t < g->tensors; t++) {
        if (!dawni_tensor_saved(g, t, first, last))
            continue;
        if (n == MOST_TENSORS)
            return -1;
        tensor[n++] = t;
    }
    return n;
}

/* The i-th assignment of the tensors; false: it recomputes what it cannot. */
static bool assign(const struct dawni_planner *pl, int first, int i,
                   const int *tensor, int n, uint8_t *decision)
{
    static const uint8_t way[WAYS] = {DAWN_KEEP, DAWN_RECOMPUTE, DAWN_TO_HOST};

    for (int k = 0; k < n; k++, i /= WAYS) {
        decision[tensor[k]] = way[i % WAYS];
        if (way[i % WAYS] == DAWN_RECOMPUTE &&
            (pl->no_recompute || pl->graph->tensor[tensor[k]].producer < first))
            return false;
    }
    return true;
}

static double lost(const struct dawni_decided *d)
{
    return d->recompute_ns + d->stall_ns;
}

static struct best enumerate(struct dawni_planner *pl, int first, int last,
                             int x, const int *tensor, int n)
{
    uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);
    struct best best = {INFINITY, UINT64_MAX};
    int all = (int)pow(WAYS, n);

    for (int i = 0; i < all; i++) {
        if (!assign(pl, first, i, tensor, n, decision))
            continue;
        struct dawni_decided d =
            dawni_price_decisions(pl, first, last, x, decision);
        if (d.peak < best.least_peak)
            best.least_peak = d.peak;
        if (d.fits && lost(&d) < best.ns)
            best.ns = lost(&d);
    }
    free(decision);
    return best;
}

static void compare(struct dawni_planner *pl, int first, int last, int x,
                    const struct best *best)
{
    uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);
    const struct dawni_run run = {first, last, x, true};
    struct dawni_decided d = dawni_decide_tensors(pl, &run, NULL, decision);
    struct dawni_decided again =
        dawni_price_decisions(pl, first, last, x, decision);
    double gap;

    tally.cases++;
    tally.over += d.fits && again.peak > pl->stage[x].budget;
    tally.over += d.fits && lost(&again) > lost(&d);
    tally.infeasible += isinf(best->ns);
    tally.over += isinf(best->ns) && d.fits;
    if (pl->stage[x].budget == best->least_peak)
        tally.missed_tightest += !d.fits;
    else
        tally.missed += !isinf(best->ns) && !d.fits;
    if (d.fits) {
        gap = lost(&d) > best->ns ? lost(&d) / fmax(best->ns, 1) - 1 : 0;
        tally.optimal += gap < 1e-9;
        tally.sum += fmin(gap, 1);
        tally.worst = fmax(tally.worst, gap);
        tally.stalled += d.stall_ns > 0;
        for (int t = 0; t < pl->graph->tensors; t++)
            tally.offloaded += decision[t] == DAWN_TO_HOST;
    }
    free(decision);
}

static void try_stage(struct dawni_planner *pl, int first, int last, int x)
{
    int tensor[MOST_TENSORS];
    int n = list_saved(pl, first, last, tensor);

    if (n < 2)
        return;
    pl->stage[x].budget = UINT64_MAX;
    uint64_t most = dawni_price_decisions(pl, first, last, x, NULL).peak;
    uint64_t least = enumerate(pl, first, last, x, tensor, n).least_peak;
    for (int i = 0; i < 5; i++) {
        pl->stage[x].budget = least + (most - least) * (uint64_t)i / 5;
        struct best best = enumerate(pl, first, last, x, tensor, n);
        compare(pl, first, last, x, &best);
    }
}

/* `most`: that decisions may cost more than the best, on average */
static void test_decisions(double compute_ns_per_byte, double most)
{
    tally = (struct tally){0};
    for (uint64_t seed = 0; seed < (uint64_t)tap_cases(40); seed++) {
        struct rig_opts o = {.nodes = 9,
                             .seed = seed,
                             .branchy = seed % 2,
                             .even = seed % 6 == 4,
                             .params = seed % 3 > 0};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawni_planner *pl = rig_planner(profile, NULL, 3, 6, 0);
        give_tier(pl, 2e6 * pow(1.5, (double)rig_number(seed, 1, 0, 12)));
        pl->tier[0].compute_ns_per_byte = compute_ns_per_byte;
        pl->no_recompute = seed % 4 == 3;
        for (int x = 0; x < 3; x++)
            try_stage(pl, (int)rig_number(seed, 2 + (uint64_t)x, 0, 3), 8, x);
        dawni_planner_destroy(pl);
        dawn_profile_destroy(profile);
    }
    int feasible = tally.cases - tally.infeasible;
    diag("%d cases: %d optimal, on average %.2f%% above, at worst %.0f%%; %d "
         "tensors offloaded, %d stages stall",
         tally.cases, tally.optimal, 100 * tally.sum / feasible,
         100 * tally.worst, tally.offloaded, tally.stalled);
    diag("%d cannot fit; %d could but were not made to, and %d more where one "
         "assignment alone fits",
         tally.infeasible, tally.missed, tally.missed_tightest);
    ok(tally.cases > tap_cases(250), "%d stages were tried", tally.cases);
    is_int(tally.over, 0, "a stage that is said to fit does, at that price");
    ok(tally.optimal >= feasible * 9 / 10, "nine in ten decisions are optimal");
    ok(tally.sum <= most * feasible,
       "on average a decision costs at most %g%% more than the best where a "
       "byte takes %g ns",
       100 * most, compute_ns_per_byte);
    ok(tally.missed * 50 <= tally.cases,
       "at most one stage in fifty that could fit is given up");
    ok(tally.offloaded > tap_cases(100) && tally.stalled > tap_cases(10),
       "tensors are offloaded, sometimes at the price of a stall");
}

/* Moments */

static struct {
    int cases, moved, more_fit, wrong, dear;
} moments;

/* What a step loses. */
static double lost_in_step(const struct dawni_planner *pl, int x,
                           const struct dawni_decided *d)
{
    return pl->m * (d->recompute_ns / pl->stage[x].speed + d->stall_ns) +
           d->update_ns;
}

static void check_moments(struct dawni_planner *pl, const struct dawni_run *run)
{
    uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);
    struct dawni_decided kept = dawni_decide_tensors(pl, run, NULL, NULL);
    struct dawni_decided d = dawni_decide(pl, run->first, run->last, run->x,
                                          run->thorough, decision);
    const uint8_t *to = pl->all_to[d.optimizer];
    struct dawni_decided again = dawni_price_stage(pl, run, to, decision);

    moments.cases++;
    moments.moved += d.optimizer != DAWN_KEEP;
    moments.more_fit += d.fits && !kept.fits;
    moments.wrong += again.peak != d.peak || again.kept != d.kept ||
                     again.update_ns != d.update_ns ||
                     (d.optimizer == DAWN_KEEP && d.update_ns != 0) ||
                     (kept.fits && !d.fits);
    moments.dear += kept.fits && lost_in_step(pl, run->x, &d) >
                                     lost_in_step(pl, run->x, &kept);
    free(decision);
}

/* Budgets from what is kept with the moments away up to all. */
static void test_moments(void)
{
    for (uint64_t seed = 0; seed < (uint64_t)tap_cases(30); seed++) {
        struct rig_opts o = {
            .nodes = 12, .seed = seed, .branchy = seed % 2, .params = true};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawni_planner *pl = rig_planner(profile, NULL, 3, 6, 0);
        give_tier(pl, 2e6 * pow(1.5, (double)rig_number(seed, 1, 0, 12)));
        pl->no_recompute = seed % 4 == 3;
        for (int x = 0; x < 3; x++) {
            struct dawni_run run = {(int)(seed % 4), 11, x, seed % 2};
            pl->stage[x].budget = UINT64_MAX;
            struct dawni_decided all =
                dawni_price_decisions(pl, run.first, run.last, x, NULL);
            for (uint64_t i = 1; i <= 12; i++) {
                pl->stage[x].budget = all.peak * i / 12;
                check_moments(pl, &run);
            }
        }
        dawni_planner_destroy(pl);
        dawn_profile_destroy(profile);
    }
    diag("%d stages: the moments of %d go, %d fit only so", moments.cases,
         moments.moved, moments.more_fit);
    is_int(moments.wrong, 0, "a decision is priced as it was decided");
    is_int(moments.dear, 0, "moments go where a step then loses less");
    ok(moments.moved > tap_cases(20) && moments.moved < moments.cases,
       "%d of %d stages offload moments", moments.moved, moments.cases);
    ok(moments.more_fit > tap_cases(10), "%d fit only so", moments.more_fit);
}

/* Passes: their arrays lie with the moments, and are read. */

static const struct {
    const char *passes;
    uint64_t bytes[2]; /* of an element: F, anchor */
} with[] = {{"", {0, 0}}, {"ewc-bf16", {2, 4}}, {"ewc", {4, 4}}};

struct with { /* prices, all on one stage */
    uint64_t kept, away, staging;
    double wait_ns, update_ns;
    double computing_ns; /* instead of wait_ns where nothing is waited for */
};

#define BYTE_NS 3 /* of computing */

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static struct with price_with(struct dawn_profile *profile, const char *passes)
{
    const struct dawni_run run = {
        0, dawn_graph_nodes(dawn_profile_graph(profile)) - 1, 0, false};
    struct with w = {0};

    dawn_profile_set_passes(profile, passes, NULL);
    struct dawni_planner *pl = rig_planner(profile, NULL, 1, 6, 0);
    const uint8_t *host = pl->all_to[DAWN_TO_HOST];
    give_tier(pl, 1e6);
    struct dawni_decided away = dawni_price_stage(pl, &run, host, NULL);
    w.kept = dawni_price_stage(pl, &run, NULL, NULL).kept;
    w.away = away.kept;
    w.wait_ns = away.update_ns;
    w.staging = dawni_update_staging(pl, &run, host);
    w.update_ns = pl->sum_update[1];
    pl->tier[0] = (struct dawn_sim_tier){1e18, 1e18, 0, false, BYTE_NS};
    w.computing_ns = dawni_price_stage(pl, &run, host, NULL).update_ns;
    dawni_planner_destroy(pl);
    return w;
}

/* The first node alone uses 16 elements. An update moves 32 bytes of each, and
 * to make a compute copy 4, and the copy. */
static double first_update(const struct dawn_profile *profile, int k)
{
    const struct dawn_node_cost *c = dawn_profile_cost_of(profile, 0, 0);
    double copy = (double)c->prepared_bytes;
    double moved = 16 * 32 + (copy > 0 ? 16 * 4 + copy : 0);

    return c->update_ns *
           (1 + 16 * (double)(with[k].bytes[0] + with[k].bytes[1]) / moved);
}

static void test_passes(void)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct rig_opts o = {.nodes = 12, .seed = seed, .params = true};
        struct dawn_profile *profile = rig_profile(&o);
        const struct dawn_graph *g = dawn_profile_graph(profile);
        struct with plain = price_with(profile, ""), before = plain;
        for (int k = 0; k < 3; k++) {
            struct with w = price_with(profile, with[k].passes);
            uint64_t more = 0, most = 0, moved = 0;
            for (int i = 0; i < g->params; i++) {
                uint64_t n = (uint64_t)g->param[i].elements;
                uint64_t own =
                    padded(with[k].bytes[0] * n) + padded(with[k].bytes[1] * n);
                more += own;
                own += 2 * padded(4 * n);
                moved += own + 2 * padded(4 * n);
                most = own > most ? own : most;
            }
            is_u64(w.kept, plain.kept + more, "'%s' is kept with its weights",
                   with[k].passes);
            is_u64(w.away, plain.away, "but not where moments are away");
            is_u64(w.staging, 4 * most, "then it comes with them");
            ok(k == 0 || w.wait_ns > before.wait_ns, "and is waited for: %g ns",
               w.wait_ns);
            is_near(w.computing_ns, BYTE_NS * (double)moved, 1,
                    "a fast tier takes computing time alone");
            is_near(w.update_ns, first_update(profile, k), 1e-9 * w.update_ns,
                    "an update reads it too");
            before = w;
        }
        struct with fisher = price_with(profile, "fisher");
        is_near(fisher.update_ns, plain.update_ns, 0,
                "what observes is not read by updates");
        is_near(fisher.wait_ns + fisher.computing_ns, 0, 0,
                "and without training no moments are waited for");
        is_u64(fisher.staging, 0, "or brought");
        dawn_profile_destroy(profile);
    }
}

/* Prices */

static struct {
    int plans, hidden, stalled, wrong;
    double worst, sum;
} prices;

static int sharers_of(struct dawn_plan *plan)
{
    int n = 0;

    for (int x = 0; x < dawn_plan_info(plan)->stages; x++) {
        bool uses = false;
        for (int t = 0; t < dawn_plan_graph(plan)->tensors; t++)
            uses |= dawn_plan_decision(plan, x, t) == DAWN_TO_HOST;
        n += uses;
    }
    return n;
}

/* What stage x alone makes of the step, as it is priced. */
static double priced_step(struct dawni_planner *pl, struct dawn_plan *plan,
                          int x, double *stall_ns)
{
    const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
    uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);

    for (int t = 0; t < pl->graph->tensors; t++)
        decision[t] = (uint8_t)dawn_plan_decision(plan, x, t);
    struct dawni_decided d =
        dawni_price_decisions(pl, s->first, s->last, x, decision);
    free(decision);
    *stall_ns += d.stall_ns;
    return dawni_step_of(pl, s->first, s->last, x,
                         dawni_base_time(pl, s->first, s->last, x) +
                             d.stall_ns);
}

/* The simulated step if nothing were offloaded. */
static double step_without(struct dawni_planner *pl, struct dawn_plan *plan)
{
    struct dawn_plan *kept = NULL;
    struct dawn_sim_result result = {0};
    double step;

    dawn_plan_create(pl->graph, dawn_plan_info(plan), dawn_plan_stage(plan, 0),
                     &kept, NULL);
    dawni_price_plan(pl, kept, &result, NULL);
    step = result.step_ns;
    dawn_sim_result_clear(&result);
    dawn_plan_destroy(kept);
    return step;
}

/* Is the plan as fast in the simulator as its price says? */
static void check_prices(struct dawni_planner *pl, struct dawn_plan *plan,
                         const struct dawn_sim_result *simulated)
{
    double priced = step_without(pl, plan), stall = 0, sum = 0, gap;

    pl->sharers[0] = sharers_of(plan);
    for (int x = 0; x < pl->l; x++)
        priced = fmax(priced, priced_step(pl, plan, x, &stall));
    for (int rank = 0; rank < pl->ranks; rank++)
        sum += simulated->stall_ns[rank];
    prices.plans++;
    if (stall <= 0) {
        prices.hidden++;
        prices.wrong += sum > 0;
        return;
    }
    prices.stalled++;
    gap = fabs(simulated->step_ns / priced - 1);
    prices.sum += gap;
    prices.worst = fmax(prices.worst, gap);
}

/* A plan of even cuts with random decisions. */
static struct dawn_plan *draw_plan(struct dawni_planner *pl, uint64_t seed)
{
    struct dawn_plan_stage stage[8] = {{0}};
    struct dawn_plan_info info = {.schedule = "1f1b",
                                  .stages = pl->l,
                                  .ranks = pl->l,
                                  .microbatches = pl->m,
                                  .microbatch = pl->b};
    struct dawn_plan *plan = NULL;
    uint64_t share = rig_number(seed, 90, 0, 10);

    for (int x = 0; x < pl->l; x++) {
        stage[x].rank = x;
        stage[x].first = pl->n * x / pl->l;
        stage[x].last = pl->n * (x + 1) / pl->l - 1;
    }
    if (dawn_plan_create(pl->graph, &info, stage, &plan, NULL))
        return NULL;
    for (int x = 0; x < pl->l; x++)
        for (int t = 0; t < pl->graph->tensors; t++) {
            uint64_t place = 1000 + (uint64_t)(x * pl->graph->tensors + t);
            if (rig_number(seed, place, 1, 10) <= share)
                dawn_plan_decide(plan, x, t, DAWN_TO_HOST, NULL);
        }
    return plan;
}

static void test_prices(void)
{
    for (uint64_t seed = 0; seed < (uint64_t)tap_cases(300); seed++) {
        struct rig_opts o = {.nodes = 20 + (int)(seed % 20),
                             .seed = seed,
                             .branchy = seed % 2,
                             .even = seed % 3 == 0,
                             .params = seed % 5 > 0};
        int stages = 1 + (int)(seed % 5);
        struct dawn_profile *profile = rig_profile(&o);
        struct dawni_planner *pl =
            rig_planner(profile, NULL, stages, stages + (int)(seed % 11), 0);
        struct dawn_sim_result simulated = {0};
        struct dawn_error err = {0};

        give_tier(pl, 4e6 * pow(1.5, (double)rig_number(seed, 91, 0, 12)));
        pl->tier[0].compute_ns_per_byte = seed % 4 == 3 ? 20 : 0;
        struct dawn_plan *plan = draw_plan(pl, seed);
        if (dawni_price_plan(pl, plan, &simulated, &err))
            diag("%s", err.text);
        else
            check_prices(pl, plan, &simulated);
        dawn_sim_result_clear(&simulated);
        dawn_plan_destroy(plan);
        dawni_planner_destroy(pl);
        dawn_profile_destroy(profile);
    }
    diag("%d plans: %d hide all transfers, %d stall; their steps differ from "
         "the price by %.2f%% on average, %.1f%% at worst",
         prices.plans, prices.hidden, prices.stalled,
         100 * prices.sum / prices.stalled, 100 * prices.worst);
    is_int(prices.plans, tap_cases(300), "all plans were priced");
    is_int(prices.wrong, 0, "what is priced as hidden is hidden");
    ok(prices.hidden > tap_cases(50) && prices.stalled > tap_cases(50),
       "there are both kinds");
    ok(prices.sum <= 0.03 * prices.stalled,
       "a stall is priced within 3%% of the simulated step on average");
    ok(prices.worst <= 0.15, "and never further off than 15%%");
}

/* The plan of two stages that keeps all or, under a cap, offloads to a tier
 * that hides all and takes computing time. */
static struct dawn_plan *plan_under(struct dawn_profile *profile, uint64_t cap)
{
    struct dawni_planner *pl = rig_planner(profile, "dawnpiper", 2, 32, cap);
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};

    if (cap) {
        give_tier(pl, 1e12);
        pl->tier[0].latency_ns = 0;
        pl->tier[0].compute_ns_per_byte = BYTE_NS;
    }
    pl->no_recompute = true;
    if (dawni_plan_by_rounds(pl, &plan, &err) ||
        dawni_price_plan(pl, plan, NULL, &err))
        diag("%s", err.text);
    dawni_planner_destroy(pl);
    return plan;
}

static bool moves_moments(const struct dawn_plan *plan)
{
    bool moves = false;

    for (int i = 0; i < dawn_graph_params(dawn_plan_graph(plan)); i++)
        moves |= dawn_plan_optimizer(plan, i) != DAWN_KEEP;
    return moves;
}

/* Where transfers hide but take computing time, moments may take less. */
static void test_hidden(void)
{
    int plans = 0, moved = 0, stall = 0;

    for (uint64_t seed = 0; seed < (uint64_t)tap_cases(20); seed++) {
        struct rig_opts o = {.nodes = 24, .seed = seed, .params = true};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawn_plan *plan = plan_under(profile, 0);
        uint64_t most = 0;

        for (int x = 0; plan && x < 2; x++) {
            uint64_t own = dawn_plan_stage(plan, x)->predicted.arena_bytes;
            most = own > most ? own : most;
        }
        dawn_plan_destroy(plan);
        plan = plan_under(profile, most / 100 * 95);
        for (int x = 0; plan && x < 2; x++)
            stall += dawn_plan_stage(plan, x)->predicted.stall_ns > 0;
        plans += plan != NULL;
        moved += plan && moves_moments(plan);
        dawn_plan_destroy(plan);
        dawn_profile_destroy(profile);
    }
    is_int(plans, tap_cases(20), "all were planned");
    is_int(stall, 0, "and no plan stalls");
    ok(moved * 4 >= plans, "%d of them offload moments", moved);
}

/* That a stage must not be estimated is learnt by one search for the next. */
static void test_whole(void)
{
    struct rig_opts o = {.nodes = 48, .seed = 3, .params = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawni_planner *pl = rig_planner(profile, "dawnpiper", 2, 32, 0);
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};

    give_tier(pl, 1e9);
    pl->stage[1].whole = true;
    is_int(dawni_plan_by_rounds(pl, &plan, &err), DAWN_OK,
           "a plan that may offload moments %s", err.text);
    ok(!pl->stage[0].whole && pl->stage[1].whole,
       "the search knows which stages must not be estimated");
    dawn_plan_destroy(plan);
    dawni_planner_destroy(pl);
    dawn_profile_destroy(profile);
}

int main(void)
{
    plan_lazy();
    test_decisions(0, 0.02);
    test_decisions(140, 0.005);
    test_moments();
    test_whole();
    test_hidden();
    test_passes();
    test_prices();
    return done_testing();
}
