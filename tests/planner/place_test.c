/* SPDX-License-Identifier: Apache-2.0 */
/* Which device runs which stage: the best sequence, found by trying all, is
 * what the planner chooses.
 */
#include "common/scratch.h"
#include "planner/planner.h"
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct dawn_profile *chain(uint64_t seed)
{
    return rig_profile(
        &(struct rig_opts){.nodes = 24, .seed = seed, .params = true});
}

struct device {
    double speed;
    uint64_t kib; /* of memory; 0: any */
};

/* Devices a, b, c, ...; slow: links of device 0 to and from others. */
static struct dawn_machine *machine(const struct device *device, int devices,
                                    double slow)
{
    struct dawn_machine *m;

    if (dawn_machine_create(devices, &m, NULL))
        abort();
    for (int i = 0; i < devices; i++) {
        struct dawn_machine_device *d = dawn_machine_device(m, i);
        *d = (struct dawn_machine_device){.kind = "host",
                                          .speed = device[i].speed,
                                          .memory_bytes = device[i].kib << 10};
        d->name[0] = (char)('a' + i);
        for (int k = 1; slow > 0 && i == 0 && k < devices; k++)
            dawn_machine_link(m, 0, k)->bytes_per_s =
                dawn_machine_link(m, k, 0)->bytes_per_s = slow;
    }
    return m;
}

/* Objective with devices as given; INFINITY: does not fit. */
static double value_of(const struct dawn_profile *p,
                       const struct dawn_machine *m,
                       const struct dawn_planner_opts *opts)
{
    struct dawn_planner_opts given = *opts;
    struct dawn_plan *plan = NULL;
    double value = INFINITY;

    given.as_given = true;
    if (!dawn_planner_run(p, m, &given, &plan, NULL))
        value = dawni_objective_of(plan);
    dawn_plan_destroy(plan);
    return value;
}

/* The least over all sequences of devices from place `at` on. */
static double brute(const struct dawn_profile *p, const struct dawn_machine *m,
                    const struct dawn_planner_opts *opts, int *device, int at)
{
    double best = INFINITY;

    if (at == opts->stages) {
        struct dawn_machine *s;
        if (dawn_machine_select(m, device, at, &s, NULL))
            abort();
        best = value_of(p, s, opts);
        dawn_machine_destroy(s);
        return best;
    }
    for (int d = 0; d < dawn_machine_devices(m); d++) {
        bool used = false;
        for (int k = 0; k < at; k++)
            used = used || device[k] == d;
        if (used)
            continue;
        device[at] = d;
        best = fmin(best, brute(p, m, opts, device, at + 1));
    }
    return best;
}

/* Read again and priced on the machine as given, the plan is the same. */
static bool is_sound(struct dawn_plan *plan, const struct dawn_profile *p,
                     const struct dawn_machine *m)
{
    struct dawn_plan *again = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    bool sound = !dawn_plan_save(plan, scratch_path("plan.yaml"), &err) &&
                 !dawn_plan_load(scratch_path("plan.yaml"),
                                 dawn_profile_graph(p), &again, &err) &&
                 !dawn_planner_price(again, p, m, &err) &&
                 dawni_objective_of(again) == dawni_objective_of(plan);

    for (int r = 0; sound && r < dawn_plan_info(plan)->ranks; r++) {
        int d = dawn_planner_device(again, m, r);
        uint64_t cap = dawn_machine_device(m, d)->memory_bytes;
        sound = !cap || dawn_plan_stage(again, r)->predicted.arena_bytes <= cap;
    }
    if (!sound)
        diag("%s", err.text);
    dawn_plan_destroy(again);
    return sound;
}

struct place_case {
    const char *text;
    enum dawn_objective objective;
    int stages, devices;
    struct device device[5];
    double slow;
};

static const struct place_case cases[] = {
    {"a slow device in front",
     DAWN_OBJECTIVE_STEP,
     3,
     3,
     {{0.5, 0}, {1, 0}, {1, 0}},
     0},
    {"four speeds",
     DAWN_OBJECTIVE_BOTTLENECK,
     4,
     4,
     {{1, 0}, {0.5, 0}, {2, 0}, {1.5, 0}},
     0},
    {"little memory where much is in flight",
     DAWN_OBJECTIVE_STEP,
     3,
     3,
     {{1, 60}, {1, 400}, {1, 400}},
     0},
    {"fast devices with little memory",
     DAWN_OBJECTIVE_BOTTLENECK,
     4,
     4,
     {{2, 50}, {2, 50}, {1, 300}, {1, 300}},
     0},
    {"a device more than stages",
     DAWN_OBJECTIVE_STEP,
     3,
     4,
     {{0.4, 0}, {1, 0}, {0.8, 0}, {1, 0}},
     0},
    {"a device behind a slow link",
     DAWN_OBJECTIVE_STEP,
     4,
     4,
     {{1, 0}, {1, 0}, {1, 0}, {1, 0}},
     1e7},
};

#define CASES ((int)(sizeof cases / sizeof *cases))

static void test_brute(const struct place_case *c, uint64_t seed)
{
    struct dawn_profile *p = chain(seed);
    struct dawn_machine *m = machine(c->device, c->devices, c->slow);
    struct dawn_planner_opts opts = {.stages = c->stages,
                                     .microbatches = 6,
                                     .microbatch = 1,
                                     .policy = "dawnpiper",
                                     .objective = c->objective};
    struct dawn_error err = {DAWN_OK, ""};
    struct dawn_plan *plan = NULL;
    int device[5];
    double best = brute(p, m, &opts, device, 0), given = value_of(p, m, &opts);
    enum dawn_status st = dawn_planner_run(p, m, &opts, &plan, &err);
    double value = plan ? dawni_objective_of(plan) : INFINITY;

    /* devices as given are kept where others gain little */
    ok(value <= best * (1 + 1e-9) || (value <= given && given < best * 1.011),
       "%s, %d: %g is the best of all sequences, %g as given", c->text,
       (int)seed, value, given);
    if (st && st != DAWN_E_NOFIT)
        diag("%s", err.text);
    ok(!plan || is_sound(plan, p, m), "its plan holds what it says");
    dawn_plan_destroy(plan);
    dawn_machine_destroy(m);
    dawn_profile_destroy(p);
}

static void test_known(void)
{
    static const struct device device[] = {{0.25, 0}, {1, 0}, {1, 0}};
    struct dawn_profile *p = chain(1);
    struct dawn_machine *m = machine(device, 3, 0);
    struct dawn_planner_opts opts = {.stages = 2, .microbatches = 4};
    struct dawn_plan *plan = NULL;

    dawn_planner_run(p, m, &opts, &plan, NULL);
    is_str(dawn_plan_device(plan, 0), "b", "the slow device is left out");
    is_str(dawn_plan_device(plan, 1), "c", "both fast ones are used");
    is_int(dawn_planner_device(plan, m, 0), 1, "the machine knows them");
    dawn_machine_device(m, 1)->name[0] = 'x';
    struct dawn_error err;
    is_int(dawn_planner_price(plan, p, m, &err), DAWN_E_MISMATCH,
           "a machine without them is refused: %s", err.text);
    dawn_machine_device(m, 1)->name[0] = 'c';
    dawn_plan_destroy(plan);
    plan = NULL;
    dawn_planner_run(p, m, &opts, &plan, NULL);
    is_str(dawn_plan_device(plan, 0), "#1", "equal names are told apart");
    ok(is_sound(plan, p, m), "by number");
    dawn_plan_destroy(plan);
    plan = NULL;
    opts.as_given = true;
    dawn_planner_run(p, m, &opts, &plan, NULL);
    ok(!dawn_plan_device(plan, 0), "as given, a plan names none");
    dawn_plan_destroy(plan);
    plan = NULL;
    opts.as_given = false;
    dawn_machine_device(m, 0)->speed = 1.01;
    dawn_planner_run(p, m, &opts, &plan, NULL);
    ok(!dawn_plan_device(plan, 0), "nor where devices hardly differ");
    dawn_plan_destroy(plan);
    dawn_machine_destroy(m);
    dawn_profile_destroy(p);
}

/* Too many sequences to try: still better than as given. */
static void test_many(void)
{
    struct device device[12];
    struct dawn_profile *p = chain(3);
    struct dawn_planner_opts opts = {.stages = 12, .microbatches = 12};

    for (int i = 0; i < 12; i++)
        device[i] = (struct device){0.5 + 0.25 * i, 40 + 80 * (11 - i)};
    struct dawn_machine *m = machine(device, 12, 0);
    struct dawn_plan *plan = NULL;
    double given = value_of(p, m, &opts);
    dawn_planner_run(p, m, &opts, &plan, NULL);
    double value = plan ? dawni_objective_of(plan) : INFINITY;
    ok(value < given, "12 different devices: %g instead of %g", value, given);
    ok(plan && is_sound(plan, p, m), "its plan holds what it says");
    dawn_plan_destroy(plan);
    dawn_machine_destroy(m);
    dawn_profile_destroy(p);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_known();
    for (int i = 0; i < CASES; i++)
        for (uint64_t seed = 1; seed <= 2; seed++)
            test_brute(&cases[i], seed);
    test_many();
    return done_testing();
}
