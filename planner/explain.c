/* SPDX-License-Identifier: Apache-2.0 */
/* --explain: what each stage does, takes, recomputes and offloads, and what
 * that makes of the step.
 */
#include "report.h"
#include <stdio.h>
#include <stdlib.h>

static const char *const category[] = {
#define NAME(name, text) text,
    DAWN_CATEGORY_MAP(NAME)
#undef NAME
};

static void print_memory(const struct report *r,
                         const struct dawn_plan_stage *s)
{
    uint64_t cap = report_cap(r, s->rank);

    printf("  memory  peak %s, arena %s", SIZE(s->predicted.peak_bytes),
           SIZE(s->predicted.arena_bytes));
    if (cap)
        printf(" of %s (%.1f%%)", SIZE(cap),
               100 * (double)s->predicted.arena_bytes / (double)cap);
    if (report_replicated(r)) { /* not priced by category */
        printf("\n");
        return;
    }
    printf("\n         ");
    for (int c = 0; c < DAWN_CATEGORIES; c++)
        if (s->predicted.by[c])
            printf(" %s %s", category[c], SIZE(s->predicted.by[c]));
    printf("\n");
}

/* What recompute of a tensor's node adds, if its inputs are there: its forward,
 * or what the profile says. */
static double recompute_ns(const struct report *r, int rank, int tensor)
{
    int node = dawn_graph_producer(dawn_profile_graph(r->profile), tensor);
    const struct dawn_node_variant *v =
        dawn_profile_variant(r->profile, node, 1);
    const struct dawn_machine_device *device = report_device(r, rank);
    struct dawn_node_cost c = {0};

    dawn_profile_cost_at(r->profile, node, dawn_plan_info(r->plan)->microbatch,
                         &c);
    double ns = v ? v->ns - v[-1].ns : c.ns[0];
    return ns / (device ? device->speed : 1);
}

static uint64_t recompute_bytes(const struct report *r, int tensor,
                                int in_flight)
{
    const struct dawn_graph *g = dawn_profile_graph(r->profile);
    const struct dawn_node_variant *v =
        dawn_profile_variant(r->profile, dawn_graph_producer(g, tensor), 1);
    int64_t b = dawn_plan_info(r->plan)->microbatch;

    if (!v)
        return dawn_graph_tensor_bytes(g, tensor, b) * (uint64_t)in_flight;
    double saved = in_flight * (v[-1].saved_bytes - v->saved_bytes) -
                   (v->fixed_bytes - v[-1].fixed_bytes);
    return saved > 0 ? (uint64_t)saved : 0;
}

static void print_recomputed(const struct report *r, int x, int in_flight)
{
    const struct dawn_graph *g = dawn_profile_graph(r->profile);
    const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
    uint64_t saved = 0;
    double known = 0;
    int maker = -1;

    for (int t = 0; t < dawn_graph_tensors(g); t++) {
        if (dawn_plan_decision(r->plan, x, t) != DAWN_RECOMPUTE)
            continue;
        uint64_t bytes = recompute_bytes(r, t, in_flight);
        bool again = dawn_graph_producer(g, t) == maker; /* of one node */
        double ns = again ? 0 : recompute_ns(r, s->rank, t);
        printf("  recomputes %-32s saves %10s, costs %9s\n",
               dawn_graph_tensor(g, t)->name, SIZE(bytes), TIME(ns));
        maker = dawn_graph_producer(g, t);
        saved += bytes;
        known += ns;
    }
    if (!saved)
        return;
    double more = s->predicted.recompute_ns - known;
    printf("  all of them %31s saves %10s, costs %9s a microbatch", "",
           SIZE(saved), TIME(s->predicted.recompute_ns));
    if (more > 1)
        printf(", %s of it to rebuild what they are made from", TIME(more));
    printf("\n");
}

/* The tensor, or what the profile says that its node saves. */
static uint64_t offload_bytes(const struct report *r, int tensor)
{
    const struct dawn_graph *g = dawn_profile_graph(r->profile);
    const struct dawn_node_variant *v =
        dawn_profile_variant(r->profile, dawn_graph_producer(g, tensor), 0);

    return v ? (uint64_t)v->saved_bytes
             : dawn_graph_tensor_bytes(g, tensor,
                                       dawn_plan_info(r->plan)->microbatch);
}

static void print_offloaded(const struct report *r, int x, int in_flight)
{
    const struct dawn_graph *g = dawn_profile_graph(r->profile);
    const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
    uint64_t saved = 0, moved = 0;

    for (int t = 0; t < dawn_graph_tensors(g); t++) {
        enum dawn_decision d = dawn_plan_decision(r->plan, x, t);
        if (d < DAWN_TO_HOST)
            continue;
        uint64_t bytes = offload_bytes(r, t);
        printf("  offloads   %-32s saves %10s, to %s\n",
               dawn_graph_tensor(g, t)->name, SIZE(bytes * (uint64_t)in_flight),
               d == DAWN_TO_SSD ? "ssd" : "host");
        saved += bytes * (uint64_t)in_flight;
        moved += bytes;
    }
    if (!saved)
        return;
    printf("  all of them %31s saves %10s, moves %s a microbatch each way, ",
           "", SIZE(saved), SIZE(moved));
    if (s->predicted.transfer_ns > 0)
        printf("takes %s of computing, ", TIME(s->predicted.transfer_ns));
    if (s->predicted.stall_ns > 0)
        printf("stalls %s\n", TIME(s->predicted.stall_ns));
    else
        printf(s->predicted.transfer_ns > 0 ? "the rest hidden\n" : "hidden\n");
}

/* Moments, m and v, that the stage has on each tier, and what its passes keep.
 */
static void print_optimizer(const struct report *r, int x)
{
    const struct dawn_graph *g = dawn_plan_graph(r->plan);

    for (int d = DAWN_TO_HOST; d <= DAWN_TO_SSD; d++) {
        uint64_t bytes = 0, passes = 0;
        int params = 0;
        for (int i = 0; i < dawn_graph_params(g); i++) {
            if ((int)dawn_plan_optimizer(r->plan, i) != d ||
                dawn_plan_owner(r->plan, i) != x ||
                !dawn_plan_moment_bytes(r->plan, i))
                continue;
            bytes += dawn_plan_moment_bytes(r->plan, i);
            passes += dawn_plan_pass_bytes(r->plan, i);
            params++;
        }
        if (params)
            printf("  moments of %-32d saves %10s, to %s, moved once a step "
                   "each way\n",
                   params, SIZE(bytes), d == DAWN_TO_SSD ? "ssd" : "host");
        if (passes)
            printf("  passes of %-33d saves %10s, to %s, read once a step\n",
                   params, SIZE(passes), d == DAWN_TO_SSD ? "ssd" : "host");
    }
}

static void print_times(const struct report *r, int x)
{
    const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);

    printf("  time    F %s, B %s (recompute %s), W %s, ",
           TIME(s->predicted.f_ns), TIME(s->predicted.b_ns),
           TIME(s->predicted.recompute_ns), TIME(s->predicted.w_ns));
    if (s->predicted.transfer_ns > 0)
        printf("transfers %s, ", TIME(s->predicted.transfer_ns));
    printf("stall %s; optimizer %s a step", TIME(s->predicted.stall_ns),
           TIME(s->predicted.step_ns));
    if (dawn_plan_info(r->plan)->update_every)
        printf(", %s an update", TIME(s->predicted.update_ns));
    if (report_replicas(r, x) > 1)
        printf(", gradients summed in %s", TIME(s->predicted.reduce_ns));
    printf("\n");
}

static void print_stage(const struct report *r, int x, int in_flight,
                        int versions)
{
    const struct dawn_graph *g = dawn_plan_graph(r->plan);
    const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
    const char *device = dawn_plan_device(r->plan, s->rank);

    if (report_replicated(r))
        printf("stage %d on %d devices: ", x, report_replicas(r, x));
    else
        printf("stage %d on rank %d%s%s: ", x, s->rank,
               device ? ", device " : "", device ? device : "");
    if (s->first == s->last)
        printf("node %s", dawn_graph_node(g, s->first)->name);
    else
        printf("nodes %s to %s (%d)", dawn_graph_node(g, s->first)->name,
               dawn_graph_node(g, s->last)->name, s->last - s->first + 1);
    printf(", %d in flight", in_flight);
    if (dawn_plan_info(r->plan)->update_every)
        printf(", %d version%s of the weights", versions,
               versions == 1 ? "" : "s");
    printf("\n");
    print_times(r, x);
    print_memory(r, s);
    print_recomputed(r, x, in_flight);
    print_offloaded(r, x, in_flight);
    print_optimizer(r, x);
}

static void print_step(const struct report *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    int l = info->stages, m = info->microbatches;

    printf("step    %s simulated, %s, %d microbatches of %lld",
           TIME(info->step_ns), info->schedule, m, (long long)info->microbatch);
    if (info->update_every)
        printf(", an update after every %d", info->update_every);
    if (info->tokens_per_s > 0)
        printf(", %.0f tokens/s", info->tokens_per_s);
    else if (info->step_ns > 0)
        printf(", %.3g samples/s",
               (double)info->microbatch * m * 1e9 / info->step_ns);
    printf("\nslowest %s a microbatch, messages not counted",
           TIME(info->bottleneck_ns));
    printf("\nbubble  ");
    if (!report_replicated(r))
        printf("(l-1)/(m+l-1) = %.1f%% of the step, (l-1)/m = %.1f%% over "
               "ideal; ",
               100.0 * (l - 1) / (m + l - 1), 100.0 * (l - 1) / m);
    printf("simulated: %.1f%% of the step idle\n", 100 * report_idle(r));
    if (info->bound_ns > 0)
        printf("bound   %s: no plan of %d %s has a shorter %s; this one is "
               "%.1f%% above it\n",
               TIME(info->bound_ns),
               report_replicated(r) ? report_devices(r) : l,
               report_replicated(r) ? "devices" : "stages",
               report_objective_name(r), report_above(r));
    if (info->size_low)
        printf("sizes   %lld samples were not profiled: times and scratch are "
               "worked out from %lld and %lld\n",
               (long long)info->microbatch, (long long)info->size_low,
               (long long)info->size_high);
    printf("planned by %s in %s\n", info->policy, TIME(r->plan_ns));
}

enum dawn_status report_explain(const struct report *r, struct dawn_error *err)
{
    int *in_flight, *versions;
    enum dawn_status st = report_in_flight(r, &in_flight, &versions, err);

    if (st)
        return st;
    for (int x = 0; x < dawn_plan_info(r->plan)->stages; x++)
        print_stage(r, x, in_flight[x], versions[x]);
    print_step(r);
    free(in_flight);
    free(versions);
    return DAWN_OK;
}
