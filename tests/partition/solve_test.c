/* SPDX-License-Identifier: Apache-2.0 */
/* The solver against trying everything. */
#include "partition/brute.h"
#include "tap.h"
#include <math.h>
#include <stdio.h>

struct tally {
    int problems, feasible, proven, wrong;
    char first[1200]; /* what is wrong with the first wrong one */
};

static void complain(struct tally *t, int number, const char *what, double got,
                     double wanted)
{
    if (!t->wrong++)
        snprintf(t->first, sizeof t->first, "problem %d: %s (%.12g, %.12g)",
                 number, what, got, wanted);
}

static void compare(struct tally *t, const struct brute_problem *b)
{
    struct dawni_partition *got = NULL;
    struct dawn_error err;
    double wanted = brute_solve(&b->p);
    int number = t->problems++;
    const char *wrong;

    if (dawni_partition_solve(&b->p, &got, &err)) {
        complain(t, number, err.text, 0, 0);
        return;
    }
    wrong = brute_check(&b->p, got);
    if (wrong)
        complain(t, number, wrong, got->bottleneck_ns, wanted);
    if (got->bound_ns > wanted * (1 + 1e-9))
        complain(t, number, "bound above the optimum", got->bound_ns, wanted);
    if (got->feasible != !isinf(wanted))
        complain(t, number, "feasible or not", got->feasible, wanted);
    if (got->proven && got->bottleneck_ns > wanted * (1 + 2e-9))
        complain(t, number, "proven, not optimal", got->bottleneck_ns, wanted);
    t->feasible += got->feasible;
    t->proven += got->proven;
    dawni_partition_destroy(got);
}

static void test_kind(const char *name, const struct brute_opts *opts,
                      int problems)
{
    struct tally t = {0};
    uint64_t seed = 1 + (uint64_t)opts->shape;

    for (int i = 0; i < problems; i++) {
        struct brute_problem b;
        brute_make(&b, opts, &seed);
        compare(&t, &b);
    }
    ok(!t.wrong, "%s: %d problems, %d feasible: as good as trying everything",
       name, t.problems, t.feasible);
    if (t.wrong)
        diag("%d wrong; %s", t.wrong, t.first);
    is_int(t.proven, t.problems, "%s: all of it is proven", name);
}

int main(void)
{
    static const struct {
        const char *name;
        struct brute_opts opts;
        int problems;
    } kind[] = {
        {"chains", {BRUTE_CHAIN, 10, false, false}, 2000},
        {"branchy graphs", {BRUTE_BRANCHY, 8, false, false}, 2000},
        {"larger branchy graphs", {BRUTE_BRANCHY, 12, false, false}, 40},
        {"chains on uneven devices", {BRUTE_CHAIN, 9, true, false}, 1000},
        {"branchy graphs on uneven devices",
         {BRUTE_BRANCHY, 8, true, false},
         1000},
        {"chains with a tier", {BRUTE_CHAIN, 6, false, true}, 600},
        {"branchy graphs with a tier", {BRUTE_BRANCHY, 6, true, true}, 600},
    };

    plan_lazy();
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        test_kind(kind[i].name, &kind[i].opts, kind[i].problems);
    return done_testing();
}
