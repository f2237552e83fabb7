/* SPDX-License-Identifier: Apache-2.0 */
/* What offloading gains over recompute alone: planned steps under the same
 * caps, down to where nothing fits.
 *
 *     offload_plan [PROFILE [MACHINE]]
 *
 * Exits 1 if a stage whose transfers are priced as hidden takes longer in the
 * simulated step.
 *
 * Without arguments: GPT-2 124M on made-up costs, 4 x 1024 tokens a microbatch,
 * with a disk of 2.5 GB/s read and 3.7 GB/s written that all ranks share.
 */
#include "profiles.h"
#include <dawnpiper/graph.h>
#include <dawnpiper/planner.h>
#include <math.h>
#include <stdio.h>

static const struct way {
    const char *name;
    enum dawn_offload offload;
    bool no_recompute;
} ways[] = {
    {"recompute", DAWN_OFFLOAD_NONE, false},
    {"offload", DAWN_OFFLOAD_AUTO, true},
    {"both", DAWN_OFFLOAD_AUTO, false},
};

#define WAYS ((int)(sizeof ways / sizeof ways[0]))

static struct {
    int plans, hidden, wrong; /* that offload; priced as hidden; but are not */
    double off;               /* simulated beyond the price, at most */
} tally;

static enum dawn_status make_machine(int devices,
                                     struct dawn_machine **machine_p,
                                     struct dawn_error *err)
{
    static const struct dawn_machine_tier ssd = {.kind = "ssd",
                                                 .path = "/tmp",
                                                 .read_bytes_per_s = 2.5e9,
                                                 .write_bytes_per_s = 3.7e9,
                                                 .latency_ns = 1e5};
    enum dawn_status st = dawn_machine_create(devices, machine_p, err);

    return st ? st : dawn_machine_add_tier(*machine_p, &ssd, err);
}

static enum dawn_status load(int argc, char **argv,
                             struct dawn_profile **profile_p,
                             struct dawn_machine **machine_p,
                             struct dawn_error *err)
{
    static const struct dawn_model_opts gpt2 = {.preset = "gpt2-124m",
                                                .layers = 12,
                                                .hidden = 768,
                                                .heads = 12,
                                                .context = 1024,
                                                .vocab = 50257,
                                                .fused_attention = true,
                                                .dtype = DAWN_BF16};
    enum dawn_status st = argc > 1 ? dawn_profile_load(argv[1], profile_p, err)
                                   : bench_model_profile(&gpt2, profile_p, err);

    if (st)
        return st;
    return argc > 2 ? dawn_machine_load(argv[2], machine_p, err)
                    : make_machine(16, machine_p, err);
}

/* The largest arena of a plan. */
static uint64_t arena_of(struct dawn_plan *plan)
{
    uint64_t most = 0;

    for (int x = 0; x < dawn_plan_info(plan)->stages; x++)
        if (dawn_plan_stage(plan, x)->predicted.arena_bytes > most)
            most = dawn_plan_stage(plan, x)->predicted.arena_bytes;
    return most;
}

static bool offloads(const struct dawn_profile *profile, struct dawn_plan *plan)
{
    for (int x = 0; x < dawn_plan_info(plan)->stages; x++)
        for (int t = 0; t < dawn_graph_tensors(dawn_profile_graph(profile));
             t++)
            if (dawn_plan_decision(plan, x, t) >= DAWN_TO_HOST)
                return true;
    return false;
}

/* The slowest stage as it is priced beside the simulated ones. */
static void compare(struct dawn_plan *plan)
{
    double priced = dawn_plan_info(plan)->bottleneck_ns, computes = 0, took = 0;

    for (int x = 0; x < dawn_plan_info(plan)->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        double ns = s->predicted.f_ns + s->predicted.b_ns + s->predicted.w_ns;
        computes = fmax(computes, ns);
        took =
            fmax(took, ns + s->predicted.stall_ns + s->predicted.transfer_ns);
    }
    bool hidden = priced <= computes * (1 + 1e-6);
    tally.plans++;
    tally.hidden += hidden;
    tally.wrong += hidden && took > priced * (1 + 1e-6);
    tally.off = fmax(tally.off, took / priced - 1);
}

/* One cell: how much longer the step is than without a cap. */
static enum dawn_status print_cell(const struct dawn_profile *profile,
                                   const struct dawn_machine *machine,
                                   const struct dawn_planner_opts *opts,
                                   double kept_ns, bool *fits,
                                   struct dawn_error *err)
{
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawn_planner_run(profile, machine, opts, &plan, err);
    double stall = 0;

    if (st == DAWN_E_NOFIT)
        printf(" %18s |", "does not fit");
    if (st)
        return st == DAWN_E_NOFIT ? DAWN_OK : st;
    *fits = true;
    for (int x = 0; x < opts->stages; x++)
        stall += dawn_plan_stage(plan, x)->predicted.stall_ns;
    printf(" %+8.2f%% %8s |",
           100 * (dawn_plan_info(plan)->step_ns / kept_ns - 1),
           stall > 0 ? "stalls" : "");
    if (offloads(profile, plan))
        compare(plan);
    dawn_plan_destroy(plan);
    return DAWN_OK;
}

static enum dawn_status sweep(const struct dawn_profile *profile,
                              const struct dawn_machine *machine, int stages,
                              struct dawn_error *err)
{
    struct dawn_planner_opts opts = {.stages = stages,
                                     .microbatches = 4 * stages,
                                     .offload = DAWN_OFFLOAD_NONE};
    struct dawn_plan *plan = NULL;
    enum dawn_status st = dawn_planner_run(profile, machine, &opts, &plan, err);
    bool fits = true;

    if (st)
        return st;
    double kept_ns = dawn_plan_info(plan)->step_ns;
    uint64_t most = arena_of(plan);
    dawn_plan_destroy(plan);
    for (int percent = 90; percent >= 20 && fits && !st; percent -= 10) {
        fits = false;
        opts.cap_bytes = most / 100 * (uint64_t)percent;
        printf("| %6d | %7.0f MiB (%d%%) |", stages,
               (double)opts.cap_bytes / 0x1p20, percent);
        for (int i = 0; i < WAYS && !st; i++) {
            opts.offload = ways[i].offload;
            opts.no_recompute = ways[i].no_recompute;
            st = print_cell(profile, machine, &opts, kept_ns, &fits, err);
        }
        printf("\n");
        fflush(stdout);
    }
    return st;
}

int main(int argc, char **argv)
{
    struct dawn_profile *profile = NULL;
    struct dawn_machine *machine = NULL;
    struct dawn_error err = {0};
    enum dawn_status st = load(argc, argv, &profile, &machine, &err);

    printf("| stages | cap a rank         |");
    for (int i = 0; i < WAYS; i++)
        printf(" %-18s |", ways[i].name);
    printf("\n|---|---|---|---|---|\n");
    for (int stages = 1; stages <= 8 && !st; stages *= 2)
        if (stages <= dawn_machine_devices(machine))
            st = sweep(profile, machine, stages, &err);
    dawn_machine_destroy(machine);
    dawn_profile_destroy(profile);
    if (st)
        fprintf(stderr, "offload_plan: %s\n", err.text);
    printf("%d plans offload, %d are priced as if all were hidden, %d of them "
           "take longer in the simulator; the others do by %.1f%% at most\n",
           tally.plans, tally.hidden, tally.wrong, 100 * tally.off);
    return st || tally.wrong ? 1 : 0;
}
