/* SPDX-License-Identifier: Apache-2.0 */
/* The policies that others published: what each is known to do, and what it is
 * known not to do.
 */
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLLOWED 40 /* profiles */

static struct dawn_plan *run(const struct dawn_profile *profile,
                             const char *policy, int stages, uint64_t cap,
                             struct dawn_error *err)
{
    struct dawn_planner_opts opts = {.policy = policy,
                                     .stages = stages,
                                     .microbatches = 2 * stages,
                                     .microbatch = 1,
                                     .cap_bytes = cap};
    struct dawn_plan *plan = NULL;

    dawn_planner_run(profile, NULL, &opts, &plan, err);
    return plan;
}

static uint64_t largest_arena(struct dawn_plan *plan)
{
    uint64_t most = 0;

    for (int x = 0; x < dawn_plan_info(plan)->stages; x++) {
        uint64_t arena = dawn_plan_stage(plan, x)->predicted.arena_bytes;
        most = arena > most ? arena : most;
    }
    return most;
}

static double recomputed(struct dawn_plan *plan)
{
    double ns = 0;

    for (int x = 0; x < dawn_plan_info(plan)->stages; x++)
        ns += dawn_plan_stage(plan, x)->predicted.recompute_ns;
    return ns;
}

/* pipedream */

static double worst(const struct dawni_planner *pl, const int *cut)
{
    double ns = 0;

    for (int x = 0; x < pl->l; x++) {
        ns = fmax(ns, dawni_base_time(pl, cut[x], cut[x + 1] - 1, x));
        if (x > 0)
            ns = fmax(ns, dawni_cut_ns(pl, x, cut[x]));
    }
    return ns;
}

static void test_balance(bool slow_links)
{
    int cases = 0, off = 0;

    for (uint64_t seed = 0; seed < 12; seed++) {
        struct rig_opts o = {.nodes = 11, .seed = seed, .branchy = seed % 2};
        struct dawn_profile *profile = rig_profile(&o);
        for (int stages = 1; stages <= 4; stages++) {
            struct dawni_planner *pl = rig_planner(profile, NULL, stages, 4, 0);
            int cut[5] = {[0] = 0}, found[5] = {[0] = 0};
            double best = INFINITY;
            if (slow_links) /* a message takes as long as some nodes */
                for (int p = 0; p <= pl->n; p++)
                    pl->cut_bytes[p] *= 300;
            while (rig_next_cut(cut, pl->n, pl->l))
                best = fmin(best, worst(pl, cut));
            found[pl->l] = pl->n;
            cases++;
            off += !dawni_balance(pl, found) ||
                   fabs(worst(pl, found) / best - 1) > 1e-9;
            dawni_planner_destroy(pl);
        }
        dawn_profile_destroy(profile);
    }
    is_int(off, 0, "pipedream has the least bottleneck of all cuts, %d times%s",
           cases, slow_links ? ", links too" : "");
}

static void test_pipedream_memory(void)
{
    struct rig_opts o = {.nodes = 40, .seed = 5, .params = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_error err = {0};
    struct dawn_plan *plan = run(profile, "pipedream", 4, 0, &err);
    uint64_t arena = largest_arena(plan);
    int first = dawn_plan_stage(plan, 1)->first;

    is_near(recomputed(plan), 0, 0, "pipedream keeps everything");
    dawn_plan_destroy(plan);
    plan = run(profile, "pipedream", 4, arena, &err);
    ok(plan && dawn_plan_stage(plan, 1)->first == first,
       "pipedream: a cap that is enough changes nothing");
    dawn_plan_destroy(plan);
    ok(!run(profile, "pipedream", 4, arena - 1, &err) &&
           err.status == DAWN_E_NOFIT,
       "pipedream: a cap that is not is refused: %s", err.text);
    plan = run(profile, "dawnpiper", 4, arena - 1, &err);
    ok(plan, "where dawnpiper has a plan");
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
}

/* vpipe */

/* Largest T; INFINITY: some stage does not fit. */
static double slowest(struct dawni_planner *pl, const int *cut)
{
    double ns = 0;

    for (int x = 0; x < pl->l; x++) {
        struct dawni_stage_cost c =
            dawni_stage_cost_of(pl, cut[x], cut[x + 1] - 1, x);
        ns = c.fits ? fmax(ns, c.time_ns) : INFINITY;
    }
    return ns;
}

/* Does handing one node over help two stages? */
static bool can_move(struct dawni_planner *pl, int *cut, int x, int d)
{
    int was = cut[x];
    struct dawni_stage_cost c[2][2];
    bool fits = true;

    if (was + d <= cut[x - 1] || was + d >= cut[x + 1])
        return false;
    for (int i = 0; i < 2; i++) {
        cut[x] = was + i * d;
        for (int k = 0; k < 2; k++)
            c[i][k] = dawni_stage_cost_of(pl, cut[x - 1 + k], cut[x + k] - 1,
                                          x - 1 + k);
        fits = fits && c[i][0].fits && c[i][1].fits;
    }
    cut[x] = was;
    return fits && fmax(c[1][0].time_ns, c[1][1].time_ns) <
                       fmax(c[0][0].time_ns, c[0][1].time_ns) * (1 - 1e-6);
}

static void test_vpipe(void)
{
    int cases = 0, worse = 0, left = 0;

    for (uint64_t seed = 0; seed < 8; seed++) {
        struct rig_opts o = {.nodes = 40, .seed = seed, .branchy = seed % 2};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawn_plan *plan = run(profile, "pipedream", 4, 0, NULL);
        uint64_t cap = largest_arena(plan) * 8 / 10;
        struct dawni_planner *pl = rig_planner(profile, NULL, 4, 8, cap);
        int start[5] = {[4] = 40}, cut[5] = {[4] = 40};
        dawni_balance(pl, start);
        if (dawni_policy_vpipe.partition(pl, cut)) {
            cases++;
            worse += slowest(pl, cut) > slowest(pl, start) * (1 + 1e-9);
            for (int x = 1; x < 4; x++)
                left += can_move(pl, cut, x, 1) || can_move(pl, cut, x, -1);
        }
        dawni_planner_destroy(pl);
        dawn_plan_destroy(plan);
        dawn_profile_destroy(profile);
    }
    ok(cases >= 4, "vpipe has plans under a cap: %d of 8", cases);
    is_int(worse, 0, "vpipe is not slower than the balanced start");
    is_int(left, 0, "vpipe leaves no single move that helps");
}

static bool find_nothing(struct dawni_planner *pl, int *cut)
{
    (void)pl;
    (void)cut;
    return false;
}

/* A policy whose own search fails. */
static void test_follows(void)
{
    static const struct dawni_policy_ops hopeless = {
        .name = "hopeless",
        .partition = find_nothing,
        .follows = &dawni_policy_vpipe,
    };
    struct rig_opts o = {.nodes = 40, .seed = 3};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_plan *all = run(profile, "pipedream", 4, 0, NULL);
    uint64_t cap = largest_arena(all) * 8 / 10;
    struct dawn_plan *theirs = run(profile, "vpipe", 4, cap, NULL);

    for (int make = 0; make < 2; make++) {
        struct dawni_planner *pl = rig_planner(profile, NULL, 4, 8, cap);
        struct dawn_plan *plan = NULL;
        struct dawn_error err = {0};
        pl->policy = &hopeless;
        pl->standard = false;
        enum dawn_status st = make ? dawni_plan_make(pl, &plan, &err)
                                   : dawni_plan_best(pl, &plan, &err);
        ok(!st, "a plan of the policy that it follows: %s", err.text);
        is_str(st ? "" : dawn_plan_info(plan)->policy, "hopeless",
               "under its own name");
        ok(make || (!st && theirs &&
                    dawn_plan_info(plan)->step_ns ==
                        dawn_plan_info(theirs)->step_ns),
           "as fast as that one's");
        dawn_plan_destroy(plan);
        dawni_planner_destroy(pl);
    }
    dawn_plan_destroy(theirs);
    dawn_plan_destroy(all);
    dawn_profile_destroy(profile);
}

/* Under caps that vpipe can do, tight ones too. */
static void test_dawnpiper_follows(void)
{
    int cases = 0, unfit = 0, slower = 0;

    for (uint64_t seed = 0; seed < FOLLOWED; seed++) {
        struct rig_opts o = {.nodes = 30, .seed = seed, .branchy = seed % 2};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawn_plan *plan = run(profile, "pipedream", 4, 0, NULL);
        uint64_t cap = largest_arena(plan) * (5 + seed % 4) / 10;
        struct dawn_plan *theirs = run(profile, "vpipe", 4, cap, NULL);
        struct dawn_plan *ours =
            theirs ? run(profile, "dawnpiper", 4, cap, NULL) : NULL;
        cases += theirs != NULL;
        unfit += theirs && !ours;
        slower += ours && dawn_plan_info(ours)->step_ns >
                              dawn_plan_info(theirs)->step_ns * (1 + 1e-9);
        if (ours)
            is_str(dawn_plan_info(ours)->policy, "dawnpiper", "seed %d: name",
                   (int)seed);
        dawn_plan_destroy(ours);
        dawn_plan_destroy(theirs);
        dawn_plan_destroy(plan);
        dawn_profile_destroy(profile);
    }
    ok(cases >= FOLLOWED / 4, "vpipe has plans: %d of %d", cases, FOLLOWED);
    is_int(unfit, 0, "dawnpiper has one wherever vpipe has");
    is_int(slower, 0, "none is slower than that of vpipe");
}

/* Tensors that are neither dropped as a layer nor kept for another one. */
static int split_layers(const struct dawni_planner *pl, int first, int last,
                        const uint8_t *decision, int layer)
{
    const struct dawn_graph *g = pl->graph;
    int wrong = 0;

    for (int i = first; i <= last; i++) {
        int end = i - i % layer + layer, dropped = 0, kept = 0;
        end = end <= last ? end : last + 1;
        for (int k = i - i % layer; k < end; k++) {
            int t = k >= first ? g->node[k].output[0] : -1;
            if (t < 0 || !dawni_tensor_saved(g, t, first, last))
                continue;
            const struct dawni_tensor *made = &g->tensor[t];
            bool inner = !made->users || made->user[made->users - 1] < end;
            kept += inner && decision[t] == DAWN_KEEP;
            dropped += decision[t] == DAWN_RECOMPUTE;
            wrong += !inner && decision[t] == DAWN_RECOMPUTE;
        }
        wrong += kept && dropped;
    }
    return wrong;
}

static void test_by_layer(bool stacked)
{
    int wrong = 0, fit = 0, cheaper = 0, over = 0;

    for (uint64_t seed = 0; seed < 24; seed++) {
        struct rig_opts o = {.nodes = 32,
                             .seed = seed,
                             .layer = 4,
                             .stacked = stacked,
                             .branchy = seed % 2};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawni_planner *pl = rig_planner(profile, NULL, 2, 8, 0);
        int first = 1 + (int)(seed % 5), last = 31 - (int)(seed % 3);
        uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);
        uint64_t all = dawni_price_decisions(pl, first, last, 0, decision).peak;
        pl->stage[0].budget = all * (60 + seed) / 100;
        struct dawni_decided fine =
            dawni_decide(pl, first, last, 0, true, NULL);
        struct dawni_decided d =
            dawni_decide_by_layer(pl, first, last, 0, decision);
        wrong += split_layers(pl, first, last, decision, 4);
        fit += d.fits;
        over += d.fits && (d.peak > pl->stage[0].budget || d.recompute_ns <= 0);
        cheaper += d.fits && d.recompute_ns < fine.recompute_ns * 0.999;
        free(decision);
        dawni_planner_destroy(pl);
        dawn_profile_destroy(profile);
    }
    ok(fit >= 12, "deciding by layers fits %d of 24 stages", fit);
    is_int(wrong, 0, "layers are recomputed as a whole%s",
           stacked ? ", those of a stack one by one" : "");
    is_int(over, 0, "what is said to fit is within its budget");
    ok(cheaper <= 2, "deciding by tensors is dearer in %d", cheaper);
}

/* dawnpiper */

/* A stage that begins among large tensors does not fit, as it has to keep what
 * it receives; a longer one, which begins before them, does. */
static void test_wide(void)
{
    struct rig_opts o = {.nodes = 70, .even = true, .wide = {16, 34}};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_error err = {0};
    struct dawn_plan *plan =
        run(profile, "dawnpiper", 2, 8 * RIG_WIDE * sizeof(float), &err);

    ok(plan, "a longer stage that receives less is found %s", err.text);
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
}

/* adapipe */

static struct tally {
    int stages, over;
    double sum;
} tally;

/* Least recompute with which the stage fits, of all sets of nodes that are
 * saved: what a perfect knapsack on the exact price would find. */
static double least_recompute(struct dawni_planner *pl, int first, int last,
                              int x)
{
    const struct dawn_graph *g = pl->graph;
    uint8_t *decision = calloc((size_t)g->tensors, 1);
    double least = INFINITY;

    for (unsigned mask = 0; mask < 1u << (last - first + 1); mask++) {
        for (int i = first; i <= last; i++)
            for (int k = 0; k < g->node[i].desc.outputs; k++) {
                int t = g->node[i].output[k];
                bool drop = mask >> (i - first) & 1;
                decision[t] = drop && dawni_tensor_saved(g, t, first, last);
            }
        struct dawni_decided d =
            dawni_price_decisions(pl, first, last, x, decision);
        if (d.fits)
            least = fmin(least, d.recompute_ns);
    }
    free(decision);
    return least;
}

static void try_knapsack(struct dawni_planner *pl, int first, int last)
{
    uint8_t *decision = calloc((size_t)pl->graph->tensors, 1);
    double least = least_recompute(pl, first, last, 0);

    dawni_policy_adapipe.decide(pl, first, last, 0, decision);
    struct dawni_decided d =
        dawni_price_decisions(pl, first, last, 0, decision);
    free(decision);
    if (isinf(least) || least == 0)
        return;
    tally.stages++;
    tally.over += !d.fits;
    tally.sum += d.fits ? d.recompute_ns / least : 0;
}

static void test_knapsack(void)
{
    tally = (struct tally){0};
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct rig_opts o = {.nodes = 24, .seed = seed, .params = true};
        struct dawn_profile *profile = rig_profile(&o);
        for (int percent = 50; percent < 100; percent += 10) {
            struct dawni_planner *pl = rig_planner(profile, NULL, 4, 8, 0);
            uint64_t peak = dawni_stage_cost_of(pl, 4, 11, 0).peak;
            dawni_planner_set_cap(pl, peak * (unsigned)percent / 100);
            try_knapsack(pl, 4, 11);
            dawni_planner_destroy(pl);
        }
        dawn_profile_destroy(profile);
    }
    int fit = tally.stages - tally.over;
    diag("adapipe: %d stages must recompute; it makes %d fit, with %.2f times "
         "the least recompute",
         tally.stages, fit, tally.sum / fit);
    ok(fit > 20 && tally.over <= tally.stages / 10,
       "adapipe makes stages fit that can");
    /* its knapsack does not see that what is rebuilt needs other nodes again */
    ok(tally.sum < 1.5 * fit, "with not much more recompute than is needed");
}

/* All of them */

static void test_caps(void)
{
    const char *policy;
    struct rig_opts o = {.nodes = 60, .seed = 3, .branchy = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_plan *plan = run(profile, "pipedream", 4, 0, NULL);
    uint64_t cap = largest_arena(plan) * 85 / 100;
    int plans = 0;

    dawn_plan_destroy(plan);
    for (int i = 0; (policy = dawn_planner_policy(i)); i++) {
        struct dawn_error err = {0};
        plan = run(profile, policy, 4, cap, &err);
        if (!plan) {
            is_int(err.status, DAWN_E_NOFIT, "%s: %s", policy, err.text);
            continue;
        }
        plans++;
        ok(largest_arena(plan) <= cap, "%s is within the cap", policy);
        ok(strcmp(dawn_plan_info(plan)->policy, policy) == 0,
           "%s: the plan says who made it", policy);
        dawn_plan_destroy(plan);
    }
    ok(plans >= 4, "%d policies have a plan", plans);
    dawn_profile_destroy(profile);
}

int main(void)
{
    plan_lazy();
    test_balance(false);
    test_balance(true);
    test_pipedream_memory();
    test_vpipe();
    test_follows();
    test_dawnpiper_follows();
    test_by_layer(false);
    test_by_layer(true);
    test_wide();
    test_knapsack();
    test_caps();
    return done_testing();
}
