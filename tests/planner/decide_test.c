/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions of one stage against all subsets of its saved tensors. */
#include "rig.h"
#include "tap.h"
#include <dawnpiper/job.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_TENSORS 12

static struct tally {
    int cases, infeasible, missed, missed_tightest, optimal, over;
    double worst, sum;
} tally;

struct subset {
    uint64_t least_peak; /* of all subsets */
    double least_ns;     /* of those that fit; INFINITY: none does */
};

/* Saved tensors that first..last makes itself; -1: too many. */
static int list_saved(const struct dawni_planner *pl, int first, int last,
                      int *tensor)
{
    const struct dawn_graph *g = pl->graph;
    int n = 0;

    for (int t = 0; t < g->tensors; t++) {
        if (g->tensor[t].producer < first || g->tensor[t].producer > last ||
            !dawni_tensor_saved(g, t, first, last))
            continue;
        if (n == MOST_TENSORS)
            return -1;
        tensor[n++] = t;
    }
    return n;
}

static struct subset enumerate(struct dawni_planner *pl, int first, int last,
                               int x, const int *tensor, int n)
{
    struct subset s = {UINT64_MAX, INFINITY};
    uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);

    for (unsigned mask = 0; mask < 1u << n; mask++) {
        for (int i = 0; i < n; i++)
            decision[tensor[i]] = mask >> i & 1;
        struct dawni_decided d =
            dawni_price_decisions(pl, first, last, x, decision);
        if (d.peak < s.least_peak)
            s.least_peak = d.peak;
        if (d.fits && d.recompute_ns < s.least_ns)
            s.least_ns = d.recompute_ns;
    }
    free(decision);
    return s;
}

static void compare(struct dawni_planner *pl, int first, int last, int x,
                    const int *tensor, int n)
{
    uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);
    struct subset best = enumerate(pl, first, last, x, tensor, n);
    struct dawni_decided d = dawni_decide(pl, first, last, x, true, decision);
    struct dawni_decided again =
        dawni_price_decisions(pl, first, last, x, decision);
    double gap = 0;

    tally.cases++;
    tally.over += d.fits && again.peak > pl->stage[x].budget;
    tally.over += d.fits && again.recompute_ns > d.recompute_ns;
    if (isinf(best.least_ns)) {
        tally.infeasible++;
        tally.over += d.fits;
    } else if (!d.fits) {
        if (pl->stage[x].budget == best.least_peak)
            tally.missed_tightest++;
        else
            tally.missed++;
    } else {
        gap = best.least_ns > 0 ? d.recompute_ns / best.least_ns - 1 : 0;
        tally.optimal += gap == 0;
        tally.sum += gap;
        tally.worst = fmax(tally.worst, gap);
    }
    free(decision);
}

/* Caps from what is always there to what keeping everything takes. */
static void try_stage(struct dawni_planner *pl, int first, int last, int x)
{
    int tensor[MOST_TENSORS];
    int n = list_saved(pl, first, last, tensor);

    if (n < 1)
        return;
    pl->stage[x].budget = UINT64_MAX;
    uint64_t most = dawni_decide(pl, first, last, x, true, NULL).peak;
    uint64_t least = enumerate(pl, first, last, x, tensor, n).least_peak;
    for (int i = 0; i <= 5; i++) {
        pl->stage[x].budget = least + (most - least) * (uint64_t)i / 5;
        compare(pl, first, last, x, tensor, n);
    }
    pl->stage[x].budget = least - 1;
    compare(pl, first, last, x, tensor, n);
}

static void test_random(void)
{
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct rig_opts o = {.nodes = 12,
                             .seed = seed,
                             .branchy = seed % 2,
                             .even = seed % 6 == 4,
                             .params = seed % 3 > 0};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawni_planner *pl = rig_planner(profile, NULL, 3, 4, 0);
        for (int x = 0; x < 3; x++) {
            try_stage(pl, 0, 11, x);
            try_stage(pl, 4, 11, x);
        }
        dawni_planner_destroy(pl);
        dawn_profile_destroy(profile);
    }
    diag("%d cases: %d optimal, on average %.3f%% above, at worst %.1f%%",
         tally.cases, tally.optimal,
         100 * tally.sum / (tally.cases - tally.infeasible), 100 * tally.worst);
    diag("%d cannot fit; %d could but were not made to, and %d more where one "
         "subset alone fits",
         tally.infeasible, tally.missed, tally.missed_tightest);
    ok(tally.cases > 800, "%d stages were tried", tally.cases);
    is_int(tally.over, 0, "a stage that is said to fit does, at that price");
    ok(tally.optimal >= (tally.cases - tally.infeasible) * 9 / 10,
       "nine in ten decisions are optimal");
    ok(tally.sum <= 0.01 * tally.cases,
       "on average a decision costs at most 1%% more than the best");
    ok(tally.missed * 100 <= tally.cases,
       "at most one stage in a hundred that could fit is given up");
}

static void test_chain(void)
{
    struct rig_opts o = {.nodes = 40, .even = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawni_planner *pl = rig_planner(profile, NULL, 4, 8, 0);
    struct dawni_decided all, some = {0};

    all = dawni_decide(pl, 0, 39, 0, false, NULL);
    pl->stage[0].budget = all.peak / 3;
    some = dawni_decide(pl, 0, 39, 0, false, NULL);
    ok(all.fits && all.recompute_ns == 0, "without a cap all is kept");
    ok(some.fits && some.peak <= all.peak / 3,
       "an even chain fits a third of its memory");
    ok(some.recompute_ns < pl->sum_f[40], "without running all again");
    pl->no_recompute = true;
    ok(!dawni_decide(pl, 0, 39, 0, false, NULL).fits,
       "recompute off: it does not");
    dawni_planner_destroy(pl);
    dawn_profile_destroy(profile);
}

/* Nodes that each save 16 outputs: more candidates than pairs fit an int. */
static struct dawn_profile *wide_profile(int nodes)
{
    struct dawn_tensor_desc x = {
        .name = "x", .batched = true, .dims = 1, .shape = {16}};
    struct dawn_param_desc p = {
        .name = "p", .dims = 1, .shape = {16}, .init = DAWN_INIT_ZERO};
    struct dawn_tensor_desc t[DAWN_MAX_PORTS];
    char name[DAWN_MAX_PORTS][32], node[32];
    struct dawn_profile *profile = NULL;
    struct dawn_graph *g = NULL;
    int64_t size = 1;

    dawn_graph_create("wide", &g, NULL);
    int at = dawn_graph_add_input(g, &x), param = dawn_graph_add_param(g, &p);
    for (int i = 0; i < nodes; i++) {
        struct dawn_node_desc d = {.name = node,
                                   .op = "test",
                                   .inputs = 1,
                                   .input = &at,
                                   .params = i == 0,
                                   .param = &param,
                                   .outputs = DAWN_MAX_PORTS,
                                   .output = t,
                                   .save_outputs = 0xffff};
        snprintf(node, sizeof node, "n%d", i);
        for (int k = 0; k < DAWN_MAX_PORTS; k++) {
            snprintf(name[k], sizeof name[k], "t%d.%d", i, k);
            t[k] = x;
            t[k].name = name[k];
        }
        dawn_graph_add_node(g, &d);
        at = dawn_graph_output(g, i, 0);
    }
    dawn_graph_finish(g, NULL);
    dawn_profile_create(g, &(struct dawn_profile_desc){"host", "", 1, &size},
                        &profile, NULL);
    for (int i = 0; i < nodes; i++)
        dawn_profile_cost(profile, i, 0)->ns[0] = 1000;
    return profile;
}

static void test_wide(void)
{
    const int nodes = 2900;
    struct dawn_profile *profile = wide_profile(nodes);
    struct dawni_planner *pl = rig_planner(profile, NULL, 2, 4, 0);
    struct dawni_decided all, some;

    all = dawni_decide(pl, 0, nodes - 1, 0, false, NULL);
    pl->stage[0].budget = all.peak / 2;
    some = dawni_decide(pl, 0, nodes - 1, 0, true, NULL);
    ok(some.fits && some.recompute_ns > 0,
       "%d candidates: half the memory will do", nodes * DAWN_MAX_PORTS);
    dawni_planner_destroy(pl);
    dawn_profile_destroy(profile);
}

int main(void)
{
    plan_lazy();
    test_random();
    test_chain();
    test_wide();
    return done_testing();
}
