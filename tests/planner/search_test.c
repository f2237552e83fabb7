/* SPDX-License-Identifier: Apache-2.0 */
/* The searches against all cuts, in what they look for: least max S. */
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>

static struct tally {
    int cases, infeasible;
    int monotone; /* no longer run of nodes costs less */
    int exact_off, bound_off;
    int binary_best, binary_lost;
    int splits, widened;
    double worst, sum, bound_sum;
} tally;

/* Least max S over all cuts; INFINITY: nothing fits. */
static double brute_force(struct dawni_planner *pl)
{
    int *cut = calloc((size_t)pl->l + 1, sizeof *cut);
    double best = INFINITY;

    while (rig_next_cut(cut, pl->n, pl->l)) {
        double step = 0;
        for (int x = 0; x < pl->l; x++)
            step = fmax(
                step,
                dawni_stage_cost_of(pl, cut[x], cut[x + 1] - 1, x).step_ns);
        best = fmin(best, step);
    }
    free(cut);
    return best;
}

static double step_of_cuts(struct dawni_planner *pl, const int *cut)
{
    double step = 0;

    for (int x = 0; x < pl->l; x++)
        step = fmax(step,
                    dawni_stage_cost_of(pl, cut[x], cut[x + 1] - 1, x).step_ns);
    return step;
}

static double search(struct dawni_planner *pl,
                     const struct dawni_policy_ops *policy)
{
    int *cut = calloc((size_t)pl->l + 1, sizeof *cut);
    double step = INFINITY;

    cut[pl->l] = pl->n;
    if (policy->partition(pl, cut))
        step = step_of_cuts(pl, cut);
    free(cut);
    return step;
}

/* Does a longer run of nodes never cost less, on either side? */
static bool is_monotone(struct dawni_planner *pl)
{
    for (int x = 0; x < pl->l; x++)
        for (int i = 0; i < pl->n; i++)
            for (int j = i; j < pl->n - 1; j++) {
                double step = dawni_stage_cost_of(pl, i, j, x).step_ns;
                if (dawni_stage_cost_of(pl, i, j + 1, x).step_ns < step)
                    return false;
                if (i > 0 &&
                    dawni_stage_cost_of(pl, i - 1, j, x).step_ns < step)
                    return false;
            }
    return true;
}

static enum dawn_objective objective;

static void try_case(const struct dawn_profile *profile, int stages, int m,
                     uint64_t cap)
{
    struct dawni_planner *pl = rig_planner(profile, NULL, stages, m, cap);
    pl->objective = objective;
    bool monotone = is_monotone(pl);
    double best = brute_force(pl);
    double exact = search(pl, &dawni_policy_exact);
    int splits = pl->splits, widened = pl->widened;
    double binary = search(pl, &dawni_policy_dawnpiper);
    double bound = dawni_bound(pl);

    tally.cases++;
    tally.monotone += monotone;
    tally.splits += pl->splits - splits;
    tally.widened += pl->widened - widened;
    if (isinf(best)) {
        tally.infeasible++;
        tally.exact_off += !isinf(exact) || !isinf(binary);
    } else {
        double gap = binary / best - 1;
        tally.exact_off += fabs(exact / best - 1) > 1e-9;
        tally.bound_off += bound > best * (1 + 1e-9);
        tally.bound_sum += bound / best;
        tally.binary_best += gap < 1e-9;
        tally.binary_lost += isinf(binary);
        tally.sum += isinf(gap) ? 0 : gap;
        tally.worst = fmax(tally.worst, isinf(gap) ? 0 : gap);
    }
    dawni_planner_destroy(pl);
}

/* Peak of the fullest stage where cuts are even and everything is kept. */
static uint64_t even_peak(const struct dawn_profile *profile, int stages, int m)
{
    struct dawni_planner *pl = rig_planner(profile, NULL, stages, m, 0);
    uint64_t most = 0;

    for (int x = 0; x < stages; x++) {
        struct dawni_stage_cost c = dawni_stage_cost_of(
            pl, pl->n * x / stages, pl->n * (x + 1) / stages - 1, x);
        most = c.peak > most ? c.peak : most;
    }
    dawni_planner_destroy(pl);
    return most;
}

static void try_profile(const struct dawn_profile *profile)
{
    for (int stages = 1; stages <= 4; stages++)
        for (int m = 1; m <= 8; m *= 2) {
            uint64_t peak = even_peak(profile, stages, m);
            try_case(profile, stages, m, 0);
            try_case(profile, stages, m, peak * 9 / 10);
            try_case(profile, stages, m, peak * 75 / 100);
        }
}

static void test_models(const char *what, bool branchy, bool even)
{
    tally = (struct tally){0};
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct rig_opts o = {.nodes = 10,
                             .seed = seed,
                             .branchy = branchy,
                             .even = even,
                             .params = seed % 2};
        struct dawn_profile *profile = rig_profile(&o);
        try_profile(profile);
        dawn_profile_destroy(profile);
    }
    int fit = tally.cases - tally.infeasible;
    diag("%s: %d cases, %d of them monotone, %d cannot fit", what, tally.cases,
         tally.monotone, tally.infeasible);
    diag("dawnpiper: %d optimal, on average %.2f%% above, at worst %.1f%%",
         tally.binary_best, 100 * tally.sum / fit, 100 * tally.worst);
    diag("the interval missed %d of %d cuts; the bound is on average %.1f%% of "
         "the best",
         tally.widened, tally.splits, 100 * tally.bound_sum / fit);
    is_int(tally.exact_off, 0, "%s: exact is optimal, monotone or not", what);
    is_int(tally.bound_off, 0, "%s: no cuts are below the bound", what);
    is_int(tally.binary_lost, 0,
           "%s: dawnpiper finds a partition wherever there is one", what);
    ok(tally.sum <= 0.02 * fit, "%s: dawnpiper is within 2%% on average", what);
}

int main(void)
{
    plan_lazy();
    test_models("even chains", false, true);
    test_models("chains", false, false);
    test_models("branchy graphs", true, false);
    objective = DAWN_OBJECTIVE_BOTTLENECK;
    test_models("bottleneck of chains", false, false);
    test_models("bottleneck of branchy graphs", true, false);
    return done_testing();
}
