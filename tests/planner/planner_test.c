/* SPDX-License-Identifier: Apache-2.0 */
/* Whole plans: what they predict, under caps, at the edges of what can be
 * asked.
 */
#include "common/clock.h"
#include "common/file.h"
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t largest_arena(struct dawn_plan *plan)
{
    uint64_t most = 0;

    for (int x = 0; x < dawn_plan_info(plan)->stages; x++) {
        uint64_t arena = dawn_plan_stage(plan, x)->predicted.arena_bytes;
        most = arena > most ? arena : most;
    }
    return most;
}

static struct dawn_plan *run(const struct dawn_profile *profile,
                             const struct dawn_planner_opts *opts)
{
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};

    if (dawn_planner_run(profile, NULL, opts, &plan, &err))
        diag("%s", err.text);
    return plan;
}

/* Predictions */

static void test_predictions(void)
{
    struct rig_opts o = {.nodes = 24, .seed = 7, .params = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_planner_opts opts = {.stages = 3,
                                     .microbatches = 6,
                                     .microbatch = 2,
                                     .tokens_per_sample = 10};
    struct dawn_plan *plan = run(profile, &opts);
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    double f = 0, wanted = 0;

    for (int i = 0; i < 24; i++)
        wanted += dawn_profile_cost_of(profile, i, 1)->ns[0];
    for (int x = 0; x < 3; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        struct dawn_memory memory;
        dawn_memory_of(plan, profile, x, &memory, NULL);
        f += s->predicted.f_ns;
        is_u64(s->predicted.peak_bytes, memory.peak_bytes,
               "stage %d: the peak predicted is that of its program", x);
        is_u64(s->predicted.by[DAWN_CATEGORY_SAVED],
               memory.by[DAWN_CATEGORY_SAVED], "stage %d: and by category", x);
        is_near(s->predicted.recompute_ns, 0, 0, "stage %d keeps everything",
                x);
    }
    is_near(f, wanted, 1e-6 * wanted, "forward times are the profile's");
    is_near(info->tokens_per_s, 120 / info->step_ns * 1e9, 1e-6,
            "tokens/s of 6 microbatches of 2 samples of 10 tokens");
    ok(info->bound_ns > 0 && info->step_ns >= info->bound_ns * (1 - 1e-9),
       "the step is not below the bound");
    double step = info->step_ns;
    dawn_plan_info(plan)->step_ns = 0;
    is_int(dawn_planner_price(plan, profile, NULL, NULL), DAWN_OK,
           "a plan can be priced again");
    is_near(info->step_ns, step, 1e-9 * step, "with the same result");
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
}

static void test_bottleneck(void)
{
    struct rig_opts o = {.nodes = 24, .seed = 7, .params = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_planner_opts opts = {.stages = 3, .microbatches = 6};
    struct dawn_plan *step = run(profile, &opts);

    opts.objective = DAWN_OBJECTIVE_BOTTLENECK;
    struct dawn_plan *plan = run(profile, &opts);
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    double most = 0;
    for (int x = 0; x < 3; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        most = fmax(most,
                    s->predicted.f_ns + s->predicted.b_ns + s->predicted.w_ns);
    }
    is_near(info->bottleneck_ns, most, 1e-6,
            "the bottleneck is the largest stage's time");
    ok(info->bottleneck_ns <= dawn_plan_info(step)->bottleneck_ns * (1 + 1e-9),
       "the objective bottleneck makes it no larger than the objective step");
    ok(info->bound_ns <= most * (1 + 1e-9) && info->bound_ns > most * 0.9,
       "its bound is one on the bottleneck");
    double bound = info->bound_ns;
    dawn_plan_info(plan)->bound_ns = 0;
    dawn_planner_price(plan, profile, NULL, NULL);
    is_near(info->bound_ns, bound, 1e-6, "also when it is priced again");
    dawn_plan_destroy(plan);
    dawn_plan_destroy(step);
    dawn_profile_destroy(profile);
}

static void test_other_graph(void)
{
    struct rig_opts o = {.nodes = 12, .seed = 1}, p = {.nodes = 12, .seed = 2};
    struct dawn_profile *profile = rig_profile(&o), *other = rig_profile(&p);
    struct dawn_planner_opts opts = {.stages = 2, .microbatches = 2};
    struct dawn_plan *plan = run(profile, &opts);

    is_int(dawn_planner_price(plan, other, NULL, NULL), DAWN_E_MISMATCH,
           "another graph's profile does not price a plan");
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
    dawn_profile_destroy(other);
}

static void test_speed_of_devices(void)
{
    struct rig_opts o = {.nodes = 60, .even = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_planner_opts opts = {.stages = 2, .microbatches = 8};
    struct dawn_machine *machine;
    struct dawn_plan *plan = NULL;

    dawn_machine_create(2, &machine, NULL);
    dawn_machine_device(machine, 1)->speed = 2;
    dawn_planner_run(profile, machine, &opts, &plan, NULL);
    int nodes =
        dawn_plan_stage(plan, 1)->last - dawn_plan_stage(plan, 1)->first;
    ok(nodes >= 38 && nodes <= 42,
       "a device twice as fast gets twice the nodes");
    dawn_plan_destroy(plan);
    dawn_machine_device(machine, 1)->memory_bytes = 64;
    is_int(dawn_planner_run(profile, machine, &opts, &plan, NULL), DAWN_E_NOFIT,
           "a device's own memory is a cap");
    dawn_machine_destroy(machine);
    dawn_profile_destroy(profile);
}

/* A machine that a caller filled in has the ranges that files have. */
static void test_figures(void)
{
    static const double absurd[] = {1e-300, 1e300, -1, NAN, INFINITY, 0};
    struct rig_opts o = {.nodes = 20};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_machine_tier tier = {.kind = "host", .latency_ns = -1};
    struct dawn_machine *machine;
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};
    double kept, *figure[2];

    dawn_machine_create(2, &machine, NULL);
    figure[0] = &dawn_machine_link(machine, 1, 0)->bytes_per_s;
    figure[1] = &dawn_machine_device(machine, 1)->speed;
    for (int devices = 0; devices <= 2; devices += 2)
        for (int k = 0; k < 12; k++) {
            struct dawn_planner_opts opts = {
                .stages = 2, .microbatches = 4, .devices = devices};
            kept = *figure[k % 2];
            *figure[k % 2] = absurd[k / 2];
            is_int(dawn_planner_run(profile, machine, &opts, &plan, &err),
                   DAWN_E_INVAL, "refused: %s", err.text);
            ok(strstr(err.text, k % 2 ? "device : speed is "
                                      : "link from 1 to 0: bytes_per_s is "),
               "by its name");
            *figure[k % 2] = kept;
        }
    tier.read_bytes_per_s = tier.write_bytes_per_s = 1e9;
    dawn_machine_add_tier(machine, &tier, NULL);
    is_int(dawn_planner_run(
               profile, machine,
               &(struct dawn_planner_opts){.stages = 2, .microbatches = 4},
               &plan, &err),
           DAWN_E_INVAL, "refused: %s", err.text);
    ok(strstr(err.text, "host: latency_ns is -1"), "a tier's too");
    dawn_machine_destroy(machine);
    dawn_profile_destroy(profile);
}

/* Sizes that were not profiled */

static bool has_plan(const struct dawn_profile *profile,
                     struct dawn_planner_opts opts, int64_t samples)
{
    struct dawn_plan *plan = NULL;

    opts.max_batch = false;
    opts.microbatch = samples;
    dawn_planner_run(profile, NULL, &opts, &plan, NULL);
    dawn_plan_destroy(plan);
    return plan;
}

static void test_max_batch(const char *policy)
{
    struct rig_opts o = {.nodes = 30, .seed = 4, .params = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_planner_opts opts = {.policy = policy,
                                     .stages = 3,
                                     .microbatches = 6,
                                     .cap_bytes = 400000,
                                     .max_batch = true};
    struct dawn_plan *plan = run(profile, &opts);
    const struct dawn_plan_info *info = dawn_plan_info(plan);

    ok(info->microbatch > 2 && largest_arena(plan) <= opts.cap_bytes,
       "%s: a microbatch of %d samples fits", policy, (int)info->microbatch);
    ok(info->size_low == 1 && info->size_high == 2,
       "the plan names the sizes that were profiled");
    ok(!has_plan(profile, opts, info->microbatch + 1), "one more does not fit");
    dawn_plan_destroy(plan);
    opts.cap_bytes = 1000;
    is_int(dawn_planner_run(profile, NULL, &opts, &plan, NULL), DAWN_E_NOFIT,
           "where not even one sample fits, that is said");
    dawn_profile_destroy(profile);
}

/* No policy: the better plan of two */

static void test_standard(void)
{
    int plans = 0, worse = 0, named = 0;

    for (uint64_t seed = 0; seed < 8; seed++) {
        struct rig_opts o = {.nodes = 20, .seed = seed, .branchy = seed % 2};
        struct dawn_profile *profile = rig_profile(&o);
        struct dawn_planner_opts opts = {
            .policy = "pipedream", .stages = 3, .microbatches = 6};
        struct dawn_plan *plan = run(profile, &opts);
        opts.cap_bytes = largest_arena(plan) * (70 + seed) / 100;
        dawn_plan_destroy(plan);
        struct dawn_plan *by[3];
        static const char *const policy[] = {"dawnpiper", "exact", NULL};
        double best = INFINITY;
        for (int i = 0; i < 3; i++) {
            opts.policy = policy[i];
            by[i] = run(profile, &opts);
            if (by[i] && i < 2)
                best = fmin(best, dawn_plan_info(by[i])->step_ns);
        }
        plans += !isinf(best);
        worse += by[2] ? dawn_plan_info(by[2])->step_ns > best : !isinf(best);
        for (int i = 0; i < 2 && by[2]; i++)
            named += by[i] && !strcmp(dawn_plan_info(by[2])->policy, policy[i]);
        for (int i = 0; i < 3; i++)
            dawn_plan_destroy(by[i]);
        dawn_profile_destroy(profile);
    }
    ok(plans > 4, "%d of 8 have a plan", plans);
    is_int(worse, 0, "without a policy no plan is worse than either's");
    is_int(named, plans, "and it names the one that made it");
}

/* Same input, same plan */

static void test_deterministic(const char *policy)
{
    struct rig_opts o = {.nodes = 60, .seed = 3, .branchy = true};
    char path[2][64], *data[2] = {NULL, NULL};
    size_t bytes[2] = {0, 1};

    for (int i = 0; i < 2; i++) {
        struct dawn_profile *profile = rig_profile(&o);
        struct dawn_planner_opts opts = {
            .policy = policy, .stages = 4, .microbatches = 8};
        struct dawn_plan *plan = run(profile, &opts);
        opts.cap_bytes = largest_arena(plan) * 9 / 10;
        dawn_plan_destroy(plan);
        plan = run(profile, &opts);
        snprintf(path[i], sizeof path[i], "planner_test-%ld-%d.yaml",
                 (long)getpid(), i);
        dawn_plan_save(plan, path[i], NULL);
        dawni_file_read(path[i], 1 << 20, &data[i], &bytes[i], NULL);
        unlink(path[i]);
        dawn_plan_destroy(plan);
        dawn_profile_destroy(profile);
    }
    ok(bytes[0] == bytes[1] && !memcmp(data[0], data[1], bytes[0]),
       "%s: the same plan twice, byte for byte", policy);
    free(data[0]);
    free(data[1]);
}

/* What cannot be done */

static void test_refusals(void)
{
    struct rig_opts o = {.nodes = 5};
    struct dawn_profile *profile = rig_profile(&o);
    static const struct {
        struct dawn_planner_opts opts;
        const char *text;
    } bad[] = {
        {{.stages = 6, .microbatches = 1},
         "stages 6, but the model has only 5"},
        {{.stages = 0, .microbatches = 1}, "stages 0"},
        {{.stages = 2, .microbatches = 1 << 18},
         "262144 microbatches on 2 stages: a step has at most 262144 pieces"},
        {{.stages = 1, .microbatches = 0}, "microbatches 0"},
        {{.stages = 1, .microbatches = 1, .policy = "best"},
         "there are dawnpiper exact pipedream vpipe"},
        {{.stages = 1, .microbatches = 1, .schedule = "magic"}, "magic"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dawn_plan *plan = NULL;
        struct dawn_error err = {0};
        is_int(dawn_planner_run(profile, NULL, &bad[i].opts, &plan, &err),
               DAWN_E_INVAL, "refused: %s", bad[i].text);
        ok(!plan && strstr(err.text, bad[i].text), "it says why: %s", err.text);
    }
    struct dawn_planner_opts opts = {.stages = 5, .microbatches = 1};
    struct dawn_plan *plan = run(profile, &opts);
    ok(plan, "a node a stage, and fewer microbatches than stages, works");
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
}

static void test_nofit(const char *policy, bool no_recompute)
{
    struct rig_opts o = {.nodes = 40, .seed = 5, .params = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_planner_opts opts = {.policy = policy,
                                     .stages = 3,
                                     .microbatches = 6,
                                     .cap_bytes = 1000,
                                     .no_recompute = no_recompute};
    struct dawn_planner_nofit nofit = {0};
    struct dawn_plan *plan = NULL;
    struct dawn_error err = {0};

    is_int(dawn_planner_run(profile, NULL, &opts, &plan, &err), DAWN_E_NOFIT,
           "%s: nothing fits 1000 bytes", policy);
    diag("%s", err.text);
    is_int(dawn_planner_find_cap(profile, NULL, &opts, NULL, &nofit, &err),
           DAWN_OK, "a cap that would do is looked for");
    opts.cap_bytes = nofit.works_bytes;
    ok(nofit.first && nofit.last && !nofit.cut_off &&
           nofit.stage_bytes <= nofit.works_bytes &&
           opts.cap_bytes > nofit.fails_bytes && nofit.fails_bytes >= 1000,
       "the smallest cap that works and its stage are named");
    plan = run(profile, &opts);
    ok(plan && largest_arena(plan) <= opts.cap_bytes,
       "that cap, %llu bytes, works", (unsigned long long)opts.cap_bytes);
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile);
}

static void test_recompute_off(void)
{
    struct rig_opts o = {.nodes = 40, .seed = 5};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawn_planner_opts opts = {.stages = 2, .microbatches = 4};
    struct dawn_plan *plan = run(profile, &opts);
    double with;

    opts.cap_bytes = largest_arena(plan) / 2;
    dawn_plan_destroy(plan);
    plan = run(profile, &opts);
    with = dawn_plan_stage(plan, 0)->predicted.recompute_ns;
    dawn_plan_destroy(plan);
    ok(with > 0, "with half of the memory something is recomputed");
    opts.no_recompute = true;
    is_int(dawn_planner_run(profile, NULL, &opts, &plan, NULL), DAWN_E_NOFIT,
           "with recompute off nothing fits");
    dawn_profile_destroy(profile);
}

/* Speed */

static void test_speed(void)
{
    struct rig_opts o = {.nodes = 1000, .even = true, .params = true};
    struct dawn_profile *profile = rig_profile(&o);
    struct dawni_planner *pl = rig_planner(profile, NULL, 8, 16, 0);
    int cut[9] = {[8] = 1000};
    uint64_t most = 0;

    for (int x = 0; x < 8; x++) {
        struct dawni_stage_cost c =
            dawni_stage_cost_of(pl, 125 * x, 125 * x + 124, x);
        most = c.peak > most ? c.peak : most;
    }
    dawni_planner_set_cap(pl, most * 6 / 10);
    uint64_t begin = dawni_now_ns();
    bool found = dawni_policy_dawnpiper.partition(pl, cut);
    bool whole = found && dawni_refine(pl, cut);
    double ms = (double)(dawni_now_ns() - begin) / 1e6;
    diag("1000 nodes, 8 stages, capped: %.0f ms; %d of %d cuts were not in "
         "the interval",
         ms, pl->widened, pl->splits);
    ok(whole, "a chain of 1000 nodes on 8 stages is partitioned under a cap");
    ok(ms < 5000, "in reasonable time, also on a busy machine");
    dawni_planner_destroy(pl);
    dawn_profile_destroy(profile);
}

int main(void)
{
    plan_lazy();
    test_predictions();
    test_bottleneck();
    test_other_graph();
    test_speed_of_devices();
    test_figures();
    test_max_batch("exact");
    test_max_batch("gpipe-uniform");
    test_standard();
    test_deterministic("dawnpiper");
    test_deterministic("exact");
    test_deterministic("gpipe-uniform");
    test_refusals();
    test_nofit("dawnpiper", false);
    test_nofit("gpipe-uniform", false);
    test_nofit("exact", true);
    test_recompute_off();
    test_speed();
    return done_testing();
}
