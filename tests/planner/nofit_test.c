/* SPDX-License-Identifier: Apache-2.0 */
/* Where nothing fits: that is soon known, and so is a cap that would do. */
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <time.h>

#define DEEP 80 /* nodes */

static const char *const policy[] = {NULL, "vpipe", "adapipe", "gpipe-uniform"};
#define POLICIES ((int)(sizeof policy / sizeof policy[0]))

/* The quick proof against all cuts */

static uint64_t kept_bytes(struct dawni_planner *pl, int first, int last, int x)
{
    struct dawni_stage_memory m;

    dawni_stage_pricer_versions(pl->pricer, pl->stage[x].versions);
    dawni_stage_price(pl->pricer, first, last, NULL, &m, NULL, NULL);
    return m.kept;
}

/* What the fullest stage keeps from step to step, of the cuts where that is
 * least. */
static uint64_t least_kept(struct dawni_planner *pl)
{
    int *cut = calloc((size_t)pl->l + 1, sizeof *cut);
    uint64_t least = UINT64_MAX;

    while (rig_next_cut(cut, pl->n, pl->l)) {
        uint64_t most = 0;
        for (int x = 0; x < pl->l; x++) {
            uint64_t kept = kept_bytes(pl, cut[x], cut[x + 1] - 1, x);
            most = kept > most ? kept : most;
        }
        least = most < least ? most : least;
    }
    free(cut);
    return least;
}

static bool unfit_under(struct dawni_planner *pl, uint64_t cap)
{
    dawni_planner_set_cap(pl, cap);
    return dawni_surely_unfit(pl);
}

/* A plan that is not looked for by way of the proof. */
static bool fits_by_search(struct dawni_planner *pl, uint64_t cap)
{
    struct dawn_plan *plan = NULL;

    dawni_planner_set_cap(pl, cap);
    dawni_plan_by_rounds(pl, &plan, NULL);
    dawn_plan_destroy(plan);
    return plan;
}

static struct proofs {
    int cases, late, early, wrong;
} proofs;

static void try_proof(const struct dawn_profile *profile, int stages,
                      const char *schedule, bool tight)
{
    struct dawn_planner_opts opts = {.schedule = schedule,
                                     .stages = stages,
                                     .microbatches = 8,
                                     .microbatch = 1,
                                     .cap_bytes = 1};
    struct dawni_planner *pl = NULL;

    dawni_planner_create(profile, NULL, &opts, stages, &pl, NULL);
    uint64_t least = least_kept(pl), low = 0, high = least + 1;
    proofs.cases++;
    proofs.late += tight && !unfit_under(pl, least - 1);
    proofs.early += unfit_under(pl, least);
    while (high - low > 1) { /* largest cap that is proven not to do */
        uint64_t mid = low + (high - low) / 2;
        if (unfit_under(pl, mid))
            low = mid;
        else
            high = mid;
    }
    proofs.wrong += fits_by_search(pl, low);
    dawni_planner_destroy(pl);
}

static void test_proof(const char *what, bool branchy)
{
    proofs = (struct proofs){0};
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct rig_opts o = {
            .nodes = 10, .seed = seed, .branchy = branchy, .params = true};
        struct dawn_profile *profile = rig_profile(&o);
        for (int stages = 1; stages <= 4; stages++) {
            try_proof(profile, stages, "1f1b", !branchy);
            try_proof(profile, stages, "async-1f1b", false);
        }
        dawn_profile_destroy(profile);
    }
    is_int(proofs.late, 0,
           "%s: one byte less than all cuts keep is known not to do, %d cases",
           what, proofs.cases);
    is_int(proofs.early, 0, "%s: what some cuts keep is not", what);
    is_int(proofs.wrong, 0, "%s: nor does a search find a plan then", what);
}

/* How soon */

static double run_ns(const struct dawn_profile *profile,
                     struct dawn_planner_opts opts, uint64_t cap,
                     enum dawn_status wanted)
{
    struct dawn_plan *plan = NULL;
    struct timespec begin, end;

    opts.cap_bytes = cap;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    enum dawn_status st = dawn_planner_run(profile, NULL, &opts, &plan, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    is_int(st, wanted, "under %llu bytes", (unsigned long long)cap);
    dawn_plan_destroy(plan);
    return (double)(end.tv_sec - begin.tv_sec) * 1e9 +
           (double)(end.tv_nsec - begin.tv_nsec);
}

/* The largest peak of a plan without a cap. */
static uint64_t whole_peak(const struct dawn_profile *profile,
                           const struct dawn_planner_opts *opts)
{
    struct dawn_plan *plan = NULL;
    uint64_t most = 0;

    dawn_planner_run(profile, NULL, opts, &plan, NULL);
    for (int x = 0; x < opts->stages; x++) {
        uint64_t arena = dawn_plan_stage(plan, x)->predicted.arena_bytes;
        most = arena > most ? arena : most;
    }
    dawn_plan_destroy(plan);
    return most;
}

static void test_verdict(const struct dawn_profile *profile)
{
    const struct dawn_planner_opts opts = {.stages = 8, .microbatches = 16};
    uint64_t most = whole_peak(profile, &opts);
    double fits = run_ns(profile, opts, most * 60 / 100, DAWN_OK);
    double never = run_ns(profile, opts, most * 5 / 100, DAWN_E_NOFIT);
    double hardly = run_ns(profile, opts, most * 15 / 100, DAWN_E_NOFIT);

    diag("a plan in %.0f ms; that there is none in %.0f and %.0f", fits / 1e6,
         never / 1e6, hardly / 1e6);
    ok(never <= fits / 4, "far too small a cap is known much sooner");
    ok(hardly <= 2 * fits, "no plan is known in at most twice a plan's time");
}

/* The cap that would do */

static void test_caps(const struct dawn_profile *profile)
{
    for (int i = 0; i < POLICIES; i++) {
        struct dawn_planner_opts opts = {.policy = policy[i],
                                         .stages = 3,
                                         .microbatches = 6,
                                         .cap_bytes = 1000};
        struct dawn_planner_nofit nofit = {0};
        struct dawn_plan *plan = NULL;
        const char *name = policy[i] ? policy[i] : "standard";

        dawn_planner_find_cap(profile, NULL, &opts, NULL, &nofit, NULL);
        opts.cap_bytes = nofit.works_bytes;
        is_int(dawn_planner_run(profile, NULL, &opts, &plan, NULL), DAWN_OK,
               "%s: the cap that is named does", name);
        dawn_plan_destroy(plan);
        opts.cap_bytes = nofit.fails_bytes;
        is_int(dawn_planner_run(profile, NULL, &opts, &plan, NULL),
               DAWN_E_NOFIT, "%s: the one that fails does not", name);
        ok(!nofit.cut_off, "%s: a small model's search is not cut off", name);
    }
}

static int told;

static void tell(void *user, const struct dawn_planner_nofit *now)
{
    struct dawn_planner_nofit *before = user;

    told += !before->works_bytes || now->works_bytes <= before->works_bytes;
    *before = *now;
}

static struct dawn_planner_nofit search(const struct dawn_profile *profile,
                                        uint64_t most_work, uint64_t *work_p)
{
    struct dawni_planner *pl = rig_planner(profile, NULL, 8, 16, 1000);
    struct dawn_planner_nofit nofit = {0}, last = {0};
    const struct dawn_planner_watch watch = {tell, &last};

    is_int(dawni_plan_find_cap(pl, most_work, &watch, &nofit, NULL), DAWN_OK,
           "a search of at most %.1f million nodes", (double)most_work / 1e6);
    diag("works %llu, fails %llu, work %.1f million",
         (unsigned long long)nofit.works_bytes,
         (unsigned long long)nofit.fails_bytes, (double)pl->work / 1e6);
    *work_p = pl->work;
    dawni_planner_destroy(pl);
    return nofit;
}

static void test_limit(const struct dawn_profile *profile)
{
    uint64_t work, all;
    struct dawn_planner_nofit whole = search(profile, UINT64_MAX / 2, &all);
    struct dawn_planner_nofit part = search(profile, all / 3, &work);
    struct dawn_planner_nofit again = search(profile, all / 3, &work);

    ok(told >= 6, "%d times it was told what is known", told);
    ok(!whole.cut_off && part.cut_off,
       "with a third of the work it is cut off");
    ok(work >= all / 3 && work <= all / 2, "after as much work as it may do");
    ok(part.fails_bytes <= whole.fails_bytes &&
           part.works_bytes >= whole.works_bytes &&
           part.fails_bytes < part.works_bytes,
       "what it names then holds what the whole search finds");
    ok(again.works_bytes == part.works_bytes &&
           again.fails_bytes == part.fails_bytes,
       "and is the same each time");
}

int main(void)
{
    struct rig_opts o = {.nodes = 40, .seed = 5, .params = true};
    struct rig_opts many = {.nodes = DEEP, .seed = 3, .params = true};
    struct dawn_profile *small = rig_profile(&o), *deep = rig_profile(&many);

    plan_lazy();
    test_proof("chains", false);
    test_proof("branchy graphs", true);
    test_verdict(deep);
    test_caps(small);
    test_limit(deep);
    dawn_profile_destroy(small);
    dawn_profile_destroy(deep);
    return done_testing();
}
