/* SPDX-License-Identifier: Apache-2.0 */
/* The solver against trying everything. */
#include "partition/brute.h"
#include "partition/solver.h"
#include "tap.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    int problems, feasible, found, proven, near, wrong;
    char first[1200]; /* what is wrong with the first wrong one */
};

static void complain(struct tally *t, int number, const char *what, double got,
                     double wanted)
{
    if (!t->wrong++)
        snprintf(t->first, sizeof t->first, "problem %d: %s (%.12g, %.12g)",
                 number, what, got, wanted);
}

static void compare(struct tally *t, const struct brute_problem *b,
                    const struct dawni_solver_limits *limits)
{
    struct dawni_partition *got = NULL;
    struct dawn_error err;
    double wanted = brute_solve(&b->p);
    int number = t->problems++;
    const char *wrong;

    if (dawni_partition_solve_within(&b->p, limits, &got, &err)) {
        complain(t, number, err.text, 0, 0);
        return;
    }
    wrong = brute_check(&b->p, got);
    if (wrong)
        complain(t, number, wrong, got->bottleneck_ns, wanted);
    if (got->bound_ns > wanted * (1 + 1e-9))
        complain(t, number, "bound above the optimum", got->bound_ns, wanted);
    if (got->bottleneck_ns < wanted * (1 - 1e-9))
        complain(t, number, "below the optimum", got->bottleneck_ns, wanted);
    if (got->proven && got->bottleneck_ns > wanted * (1 + 2e-9))
        complain(t, number, "proven, not optimal", got->bottleneck_ns, wanted);
    t->feasible += !isinf(wanted);
    t->found += got->feasible;
    t->near += got->feasible && got->bottleneck_ns <= wanted * 1.01;
    t->proven += got->proven;
    dawni_partition_destroy(got);
}

static struct tally run(const struct brute_opts *opts, int problems,
                        const struct dawni_solver_limits *limits)
{
    struct tally t = {0};
    uint64_t seed = 1 + (uint64_t)opts->shape;

    for (int i = 0; i < problems; i++) {
        struct brute_problem b;
        brute_make(&b, opts, &seed);
        compare(&t, &b, limits);
    }
    return t;
}

static void test_exact(void)
{
    static const struct {
        const char *name;
        struct brute_opts opts;
        int problems;
    } kind[] = {
        {"chains", {BRUTE_CHAIN, 10, false, false}, 2000},
        {"long chains", {BRUTE_CHAIN, 14, false, false}, 60},
        {"branchy graphs", {BRUTE_BRANCHY, 8, false, false}, 2000},
        {"larger branchy graphs", {BRUTE_BRANCHY, 12, false, false}, 40},
        {"chains on uneven devices", {BRUTE_CHAIN, 9, true, false}, 1000},
        {"branchy graphs on uneven devices",
         {BRUTE_BRANCHY, 8, true, false},
         1000},
        {"chains with a tier", {BRUTE_CHAIN, 6, false, true}, 600},
        {"branchy graphs with a tier", {BRUTE_BRANCHY, 6, true, true}, 600},
    };

    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        struct tally t =
            run(&kind[i].opts, kind[i].problems, &dawni_usual_limits);
        ok(!t.wrong, "%s: %d problems agree with trying everything",
           kind[i].name, t.problems);
        if (t.wrong)
            diag("%d wrong; %s", t.wrong, t.first);
        is_int(t.found, t.feasible, "%s: feasible when anything is",
               kind[i].name);
        is_int(t.proven, t.problems, "%s: all of it is proven", kind[i].name);
    }
}

/* As if all graphs had too many downsets. */
static void test_wide(void)
{
    static const struct dawni_solver_limits limits = {
        .most_sets = 1, .few_sets = 10, .most_entries = 4, .few_entries = 3};
    static const struct brute_opts opts[] = {
        {BRUTE_BRANCHY, 9, false, false},
        {BRUTE_BRANCHY, 9, true, false},
        {BRUTE_BRANCHY, 6, false, true},
    };

    for (size_t i = 0; i < sizeof opts / sizeof *opts; i++) {
        struct tally t = run(&opts[i], 500, &limits);
        ok(!t.wrong, "sets near some orders: %d problems are no contradiction",
           t.problems);
        if (t.wrong)
            diag("%d wrong; %s", t.wrong, t.first);
        ok(t.found >= t.feasible * 98 / 100 && t.near >= t.found * 95 / 100,
           "of %d feasible %d are found, %d of them within 1%%", t.feasible,
           t.found, t.near);
    }
}

/* A chain that has prices drawn by lot, with recompute. */
static enum dawn_status solve_chain(int nodes, int stages, double cap,
                                    struct dawni_partition **p_p,
                                    struct dawn_error *err)
{
    size_t n = (size_t)nodes;
    struct dawni_variant *variant = calloc(2 * n, sizeof *variant);
    struct dawni_partition_edge *edge = calloc(n, sizeof *edge);
    struct dawni_partition_device *device =
        calloc((size_t)stages, sizeof *device);
    int *at = calloc(n + 1, sizeof *at);
    struct dawni_partition_problem p = {.nodes = nodes,
                                        .variant_at = at,
                                        .variant = variant,
                                        .edges = nodes - 1,
                                        .edge = edge,
                                        .stages = stages,
                                        .device = device};
    enum dawn_status st = DAWN_E_NOMEM;
    uint64_t seed = 7;

    for (int v = 0; variant && edge && device && at && v < nodes; v++) {
        struct dawni_variant *w = &variant[2 * v];
        w->ns = exp(brute_below(&seed, 3000) * 1e-3) * 1e5;
        w->saved_bytes = exp(brute_below(&seed, 3000) * 1e-3) * 1e6;
        w->fixed_bytes = brute_below(&seed, 500000);
        w[1].ns = w->ns * (1.2 + brute_below(&seed, 250) * 1e-3);
        w[1].saved_bytes = w->saved_bytes * 0.09;
        w[1].fixed_bytes = w->fixed_bytes + w->saved_bytes * 0.91;
        at[v + 1] = 2 * (v + 1);
        edge[v] = (struct dawni_partition_edge){v, v + 1};
    }
    for (int x = 0; device && x < stages; x++)
        device[x] = (struct dawni_partition_device){1, cap};
    if (variant && edge && device && at)
        st = dawni_partition_solve(&p, p_p, err);
    free(variant);
    free(edge);
    free(device);
    free(at);
    return st;
}

static void test_large(void)
{
    struct dawni_partition *p = NULL, *again = NULL;
    struct dawn_error err = {.text = ""};
    double loose = 0;

    for (double cap = INFINITY; cap > 1e9; cap = isinf(cap) ? 12e9 : cap / 2) {
        dawni_partition_destroy(p);
        p = NULL;
        if (!ok(!solve_chain(10000, 64, cap, &p, &err),
                "10,000 nodes, 64 stages of %g bytes: %s", cap, err.text))
            return;
        ok(p->proven && p->work < 40000000,
           "proven the best with %lld units of work", (long long)p->work);
        ok(!p->feasible || p->bottleneck_ns >= loose,
           "no faster with less memory");
        loose = p->feasible ? p->bottleneck_ns : loose;
    }
    dawni_partition_destroy(p);
    p = NULL;
    ok(!solve_chain(2000, 16, 8e9, &p, &err) &&
           !solve_chain(2000, 16, 8e9, &again, &err) && p->feasible &&
           p->bottleneck_ns == again->bottleneck_ns && p->work == again->work &&
           !memcmp(p->stage_of, again->stage_of, 2000 * sizeof *p->stage_of) &&
           !memcmp(p->variant, again->variant, 2000 * sizeof *p->variant),
       "the same twice");
    dawni_partition_destroy(p);
    dawni_partition_destroy(again);
}

static void test_bad(void)
{
    static const int at[] = {0, 1, 2}, none[] = {0, 0, 1};
    static const struct dawni_variant fine[] = {{1, 1, 1, false},
                                                {1, 1, 1, false}};
    static const struct dawni_variant below[] = {{1, 1, 1, false},
                                                 {1, -1, 1, false}};
    static const struct dawni_partition_edge back = {1, 0}, far = {0, 2};
    static const struct dawni_partition_device dead = {0, 1};
    static const struct {
        const char *what;
        struct dawni_partition_problem p;
    } bad[] = {
        {"no nodes", {.variant_at = at, .variant = fine, .stages = 1}},
        {"no stages", {.nodes = 2, .variant_at = at, .variant = fine}},
        {"a node without a variant",
         {.nodes = 2, .variant_at = none, .variant = fine, .stages = 1}},
        {"memory below 0",
         {.nodes = 2, .variant_at = at, .variant = below, .stages = 1}},
        {"an edge that goes back",
         {2, at, fine, 1, &back, 1, false, 0, NULL, false, 0, 0}},
        {"an edge out of range",
         {2, at, fine, 1, &far, 1, false, 0, NULL, false, 0, 0}},
        {"a device that stands still",
         {2, at, fine, 0, NULL, 1, false, 0, &dead, false, 0, 0}},
        {"more stages than nodes, all to be used",
         {2, at, fine, 0, NULL, 3, true, 0, NULL, false, 0, 0}},
        {"a tier below 0",
         {2, at, fine, 0, NULL, 1, false, 0, NULL, false, -1, 0}},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dawni_partition *p = NULL;
        struct dawn_error err = {.text = ""};
        ok(dawni_partition_solve(&bad[i].p, &p, &err) == DAWN_E_INVAL && !p &&
               err.text[0],
           "%s is refused: %s", bad[i].what, err.text);
    }
}

int main(void)
{
    plan_lazy();
    test_exact();
    test_wide();
    test_large();
    test_bad();
    return done_testing();
}
