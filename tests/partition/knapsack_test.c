/* SPDX-License-Identifier: Apache-2.0 */
/* Variants for nodes that are given: against trying all, and for many nodes
 * against a table over all sizes of memory.
 */
#include "partition/brute.h"
#include "tap.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    int problems, feasible, greedy_found, wrong;
    double greedy_over; /* its time above the least, at most, as a part */
    char first[1200];
};

static void complain(struct tally *t, const char *what, double got,
                     double wanted)
{
    if (!t->wrong++)
        snprintf(t->first, sizeof t->first, "problem %d: %s (%.12g, %.12g)",
                 t->problems, what, got, wanted);
}

/* Are the stage's figures those of the choice? */
static bool adds_up(const struct dawni_partition_problem *p,
                    const struct dawni_knapsack_opts *opts, const int *variant,
                    const bool *offloaded, const struct dawni_knapsack *got)
{
    double ns = 0, bytes = 0, sent = 0, largest = 0;

    for (int i = 0; i < opts->nodes; i++) {
        const struct dawni_variant *w =
            &p->variant[p->variant_at[opts->node[i]] + variant[i]];
        ns += w->ns;
        bytes += w->fixed_bytes +
                 (offloaded[i] ? 0 : w->saved_bytes * opts->in_flight);
        sent += offloaded[i] ? w->saved_bytes : 0;
        largest = fmax(largest, offloaded[i] ? w->saved_bytes : 0);
    }
    sent = sent > 0 ? 2e9 * sent / p->tier_bytes_per_s : 0;
    ns = fmax(ns / opts->device.speed, sent);
    bytes += DAWNI_PARTITION_STAGING * largest;
    return fabs(ns - got->stage.time_ns) <= 1e-9 * ns &&
           fabs(bytes - got->stage.peak_bytes) <= 1e-9 * bytes &&
           bytes <= opts->device.cap_bytes * (1 + 2e-12);
}

static void compare(struct tally *t, const struct dawni_partition_problem *p,
                    struct dawni_knapsack_opts *opts, double wanted)
{
    int variant[BRUTE_NODES];
    bool offloaded[BRUTE_NODES];
    struct dawni_knapsack got;
    struct dawn_error err;

    for (int greedy = 0; greedy < 2; greedy++) {
        opts->method = greedy ? DAWNI_KNAPSACK_GREEDY : DAWNI_KNAPSACK_EXACT;
        if (dawni_knapsack_solve(p, opts, variant, offloaded, &got, &err)) {
            complain(t, err.text, 0, 0);
            continue;
        }
        if (got.feasible && !adds_up(p, opts, variant, offloaded, &got))
            complain(t, "the figures", got.stage.time_ns, wanted);
        if (got.bound_ns > wanted * (1 + 1e-9))
            complain(t, "bound above the optimum", got.bound_ns, wanted);
        if (got.feasible && got.stage.time_ns < wanted * (1 - 1e-9))
            complain(t, "below the optimum", got.stage.time_ns, wanted);
        if (got.feasible && isinf(wanted))
            complain(t, "feasible", got.stage.time_ns, wanted);
        if (greedy) {
            t->greedy_found += got.feasible;
            if (got.feasible)
                t->greedy_over =
                    fmax(t->greedy_over, got.stage.time_ns / wanted - 1);
            continue;
        }
        t->feasible += !isinf(wanted);
        if (got.feasible != !isinf(wanted) || !got.proven)
            complain(t, "feasible or proven", got.feasible, wanted);
        if (got.feasible && got.stage.time_ns > wanted * (1 + 1e-9))
            complain(t, "above the optimum", got.stage.time_ns, wanted);
    }
    t->problems++;
}

static void test_small(bool tier)
{
    struct brute_opts opts = {BRUTE_CHAIN, tier ? 7 : 9, true, tier};
    struct tally t = {0};
    uint64_t seed = 3;

    for (int i = 0; i < (tier ? 600 : 1500); i++) {
        struct brute_problem b;
        int node[BRUTE_NODES], nodes = 0;
        uint32_t set = 0;
        brute_make(&b, &opts, &seed);
        for (int v = 0; v < b.p.nodes; v++)
            if (brute_below(&seed, 4)) {
                node[nodes++] = v;
                set |= 1u << v;
            }
        struct dawni_knapsack_opts k = {.node = node,
                                        .nodes = nodes,
                                        .in_flight = 1 + brute_below(&seed, 6),
                                        .device = b.device[0]};
        compare(&t, &b.p, &k, brute_stage(&b.p, set, k.in_flight, &k.device));
    }
    ok(!t.wrong, "%d sets %s: as good as trying everything, %d feasible",
       t.problems, tier ? "with a tier" : "without a tier", t.feasible);
    if (t.wrong)
        diag("%d wrong; %s", t.wrong, t.first);
    is_int(t.greedy_found, t.feasible, "greedy finds something where it can");
    diag("greedy: at most %.1f%% above the least", 100 * t.greedy_over);
}

#define MANY 120
#define CAP 3000

/* The least time by a table: for each node and each size of memory. */
static double by_table(const struct dawni_variant *variant, int nodes,
                       int variants, int y)
{
    static double least[CAP + 1];

    for (int m = 0; m <= CAP; m++)
        least[m] = 0;
    for (int v = 0; v < nodes; v++)
        for (int m = CAP; m >= 0; m--) {
            double best = INFINITY;
            for (int i = 0; i < variants; i++) {
                const struct dawni_variant *w = &variant[v * variants + i];
                int bytes = (int)(w->saved_bytes * y + w->fixed_bytes);
                if (bytes <= m)
                    best = fmin(best, least[m - bytes] + w->ns);
            }
            least[m] = best;
        }
    return least[CAP];
}

/* alike: a few kinds of nodes, each many times. */
static void test_many(int variants, bool alike)
{
    struct dawni_variant variant[MANY * 3];
    int at[MANY + 1] = {0}, node[MANY], choice[MANY], wrong = 0, feasible = 0;
    double over = 0;
    uint64_t seed = (uint64_t)(variants * 2 + alike);

    for (int i = 0; i < 25; i++) {
        struct dawni_partition_problem p = {
            .nodes = MANY, .variant_at = at, .variant = variant, .stages = 1};
        struct dawni_knapsack_opts k = {
            .node = node, .nodes = MANY, .in_flight = 2, .device = {1, CAP}};
        struct dawni_knapsack got, quick;
        for (int v = 0; v < MANY; v++) {
            struct dawni_variant *w = &variant[v * variants];
            node[v] = v;
            at[v + 1] = (v + 1) * variants;
            w[0] = (struct dawni_variant){1 + brute_below(&seed, 1000),
                                          5 + brute_below(&seed, 20), 0, false};
            for (int j = 1; j < variants; j++)
                w[j] = (struct dawni_variant){w[j - 1].ns + 1 +
                                                  brute_below(&seed, 300),
                                              floor(w[j - 1].saved_bytes / 3),
                                              brute_below(&seed, 3), false};
            if (alike && v > 3)
                memcpy(w, &w[-4 * variants], (size_t)variants * sizeof *w);
        }
        double wanted = by_table(variant, MANY, variants, 2);
        k.method = DAWNI_KNAPSACK_GREEDY;
        wrong += dawni_knapsack_solve(&p, &k, choice, NULL, &quick, NULL) != 0;
        k.method = DAWNI_KNAPSACK_EXACT;
        wrong += dawni_knapsack_solve(&p, &k, choice, NULL, &got, NULL) != 0;
        wrong += got.feasible == isinf(wanted) || !got.proven;
        if (!got.feasible)
            continue;
        feasible++;
        wrong += got.stage.time_ns != wanted || got.work > 1000000;
        over = fmax(over, quick.stage.time_ns / wanted - 1);
    }
    ok(!wrong && feasible, "%d nodes of %d variants%s: the least time, fast",
       MANY, variants, alike ? ", many of them alike" : "");
    ok(over < 0.01, "greedy is at most %.3f%% above it", 100 * over);
}

static void test_choose(void)
{
    struct brute_opts opts = {BRUTE_BRANCHY, 8, true, true};
    uint64_t seed = 11;
    int wrong = 0, feasible = 0;

    for (int i = 0; i < 300; i++) {
        struct brute_problem b;
        struct dawni_partition *got = NULL;
        int stage_of[BRUTE_NODES], device[BRUTE_STAGES], stages;
        double wanted = 0;
        brute_make(&b, &opts, &seed);
        b.p.microbatches = 0;
        stages = b.p.stages < b.p.nodes ? b.p.stages : b.p.nodes;
        for (int v = 0; v < b.p.nodes; v++)
            stage_of[v] = v * stages / b.p.nodes;
        for (int x = 0; x < stages; x++) {
            uint32_t set = 0;
            device[x] = b.p.stages - 1 - x;
            for (int v = 0; v < b.p.nodes; v++)
                set |= (uint32_t)(stage_of[v] == x) << v;
            wanted = fmax(wanted, brute_stage(&b.p, set, stages - x,
                                              &b.device[device[x]]));
        }
        if (dawni_partition_choose(&b.p, stages, stage_of, device,
                                   DAWNI_KNAPSACK_EXACT, &got, NULL)) {
            wrong++;
            continue;
        }
        feasible += got->feasible;
        wrong += got->feasible == isinf(wanted) || !got->proven;
        wrong +=
            got->feasible && fabs(got->bottleneck_ns - wanted) > 1e-9 * wanted;
        dawni_partition_destroy(got);
    }
    ok(!wrong && feasible > 50, "stages that are given: the best variants");
}

static void test_bad(void)
{
    static const int at[] = {0, 1, 2};
    static const struct dawni_variant fine[] = {{1, 1, 1, false},
                                                {1, 1, 1, false}};
    static const struct dawni_partition_edge edge = {0, 1};
    struct dawni_partition_problem p = {.nodes = 2,
                                        .variant_at = at,
                                        .variant = fine,
                                        .edges = 1,
                                        .edge = &edge,
                                        .stages = 2};
    static const struct {
        const char *what;
        int stages, stage_of[2];
    } bad[] = {
        {"no stage", 0, {0, 0}},
        {"three stages of two", 3, {0, 1}},
        {"a stage out of range", 2, {0, 2}},
        {"an edge that goes back", 2, {1, 0}},
        {"a stage without a node", 2, {0, 0}},
    };
    struct dawni_partition *got = NULL;
    struct dawn_error err = {.text = ""};
    int node[] = {0, 2}, choice[2];
    struct dawni_knapsack_opts k = {
        .node = node, .nodes = 2, .in_flight = 1, .device = {1, INFINITY}};
    struct dawni_knapsack result;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(dawni_partition_choose(&p, bad[i].stages, bad[i].stage_of, NULL,
                                  DAWNI_KNAPSACK_EXACT, &got,
                                  &err) == DAWN_E_INVAL &&
               !got,
           "%s is refused: %s", bad[i].what, err.text);
    ok(dawni_knapsack_solve(&p, &k, choice, NULL, &result, &err) ==
           DAWN_E_INVAL,
       "a node out of range is refused: %s", err.text);
    k.nodes = 1;
    k.in_flight = 0;
    ok(dawni_knapsack_solve(&p, &k, choice, NULL, &result, &err) ==
           DAWN_E_INVAL,
       "nothing in flight is refused: %s", err.text);
}

int main(void)
{
    plan_lazy();
    test_small(false);
    test_small(true);
    test_many(2, false);
    test_many(2, true);
    test_many(3, false);
    test_many(3, true);
    test_choose();
    test_bad();
    return done_testing();
}
