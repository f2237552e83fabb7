/* SPDX-License-Identifier: Apache-2.0 */
/* Figures that several reports show, and the shortest report. */
#include "report.h"
#include <dawnpiper/schedule.h>
#include <stdio.h>
#include <stdlib.h>

const struct dawn_machine_device *report_device(const struct report *r,
                                                int rank)
{
    if (!r->machine)
        return NULL;
    return dawn_machine_device(r->machine,
                               dawn_planner_device(r->plan, r->machine, rank));
}

int report_replicas(const struct report *r, int x)
{
    int replicas = dawn_plan_stage(r->plan, x)->replicas;

    return replicas > 1 ? replicas : 1;
}

int report_devices(const struct report *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    int devices = 0;

    for (int x = 0; x < info->stages; x++)
        devices += report_replicas(r, x);
    return devices > info->stages ? devices : info->ranks;
}

bool report_replicated(const struct report *r)
{
    return report_devices(r) > dawn_plan_info(r->plan)->stages;
}

/* Of the devices that replicas may run on. */
static uint64_t least_memory(const struct report *r)
{
    uint64_t least = UINT64_MAX;

    for (int d = 0; r->machine && d < report_devices(r); d++) {
        uint64_t own = dawn_machine_device(r->machine, d)->memory_bytes;
        least = own && own < least ? own : least;
    }
    return least < UINT64_MAX ? least : 0;
}

uint64_t report_cap(const struct report *r, int rank)
{
    uint64_t cap = dawn_plan_info(r->plan)->cap_bytes, own = 0;

    if (r->options->plan.cap_bytes)
        return r->options->plan.cap_bytes;
    if (report_replicated(r))
        own = least_memory(r);
    else if (report_device(r, rank))
        own = report_device(r, rank)->memory_bytes;
    return cap && (!own || cap < own) ? cap : own; /* cap: of the largest */
}

double report_stage_ns(const struct dawn_plan_stage *stage)
{
    return stage->predicted.f_ns + stage->predicted.b_ns +
           stage->predicted.w_ns + stage->predicted.stall_ns +
           stage->predicted.transfer_ns;
}

double report_idle(const struct report *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    double busy = 0;

    for (int x = 0; x < info->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
        busy += info->microbatches *
                    (s->predicted.f_ns + s->predicted.b_ns + s->predicted.w_ns +
                     s->predicted.transfer_ns) +
                report_replicas(r, x) * s->predicted.step_ns;
        if (info->update_every)
            busy += info->microbatches / info->update_every *
                    s->predicted.update_ns;
    }
    return info->step_ns > 0 ? 1 - busy / (report_devices(r) * info->step_ns)
                             : 0;
}

double report_objective(const struct report *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);

    return info->objective == DAWN_OBJECTIVE_BOTTLENECK ? info->bottleneck_ns
                                                        : info->step_ns;
}

const char *report_objective_name(const struct report *r)
{
    return dawn_plan_info(r->plan)->objective == DAWN_OBJECTIVE_BOTTLENECK
               ? "bottleneck"
               : "step";
}

double report_above(const struct report *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    if (!(info->bound_ns > 0))
        return -1;
    double above = 100 * (report_objective(r) / info->bound_ns - 1);
    return above > 0 ? above : 0;
}

/* A replica has its share of the microbatches, and so many of them in flight
 * that all devices from its stage on have one. */
static void replicas_in_flight(const struct report *r, int *in_flight)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);

    for (int x = info->stages - 1, devices = 0; x >= 0; x--) {
        int own = report_replicas(r, x);
        devices += own;
        int wanted = (devices - 1) / own + 1;
        int share = (info->microbatches - 1) / own + 1;
        in_flight[x] = wanted < share ? wanted : share;
    }
}

static enum dawn_status schedule_of(const struct report *r,
                                    struct dawn_schedule **schedule_p,
                                    struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    struct dawn_schedule_opts opts = {
        .kind = info->schedule,
        .stages = info->stages,
        .ranks = info->ranks,
        .microbatches = info->microbatches,
        .update_every = info->update_every,
    };

    return dawn_schedule_create(&opts, schedule_p, err);
}

enum dawn_status report_in_flight(const struct report *r, int **in_flight_p,
                                  int **versions_p, struct dawn_error *err)
{
    int stages = dawn_plan_info(r->plan)->stages;
    struct dawn_schedule *schedule = NULL;
    int *versions = calloc((size_t)stages, sizeof *versions);
    int *in_flight = calloc((size_t)stages, sizeof *in_flight);
    enum dawn_status st = DAWN_OK;

    if (!versions || !in_flight)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", stages);
    else if (report_replicated(r))
        replicas_in_flight(r, in_flight);
    else
        st = schedule_of(r, &schedule, err);
    for (int x = 0; x < stages && schedule; x++) {
        in_flight[x] = dawn_schedule_in_flight(schedule, x);
        versions[x] = dawn_schedule_versions(schedule, x);
    }
    dawn_schedule_destroy(schedule);
    if (st) {
        free(versions);
        free(in_flight);
        return st;
    }
    *in_flight_p = in_flight;
    *versions_p = versions;
    return DAWN_OK;
}

void report_summary(const struct report *r, const char *path)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    uint64_t arena = 0, cap = 0;

    for (int x = 0; x < info->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
        if (s->predicted.arena_bytes < arena)
            continue;
        arena = s->predicted.arena_bytes;
        cap = report_cap(r, s->rank);
    }
    printf("%s: %d stage%s", path ? path : "the plan", info->stages,
           info->stages == 1 ? "" : "s");
    if (report_replicated(r))
        printf(" on %d devices", report_devices(r));
    printf(", %d x %lld samples, step %s, ", info->microbatches,
           (long long)info->microbatch, TIME(info->step_ns));
    if (info->objective == DAWN_OBJECTIVE_BOTTLENECK)
        printf("bottleneck %s, ", TIME(info->bottleneck_ns));
    if (report_above(r) >= 0)
        printf("%.1f%% above the bound, ", report_above(r));
    printf("arenas of at most %s%s%s a rank%s\n", SIZE(arena),
           cap ? " of " : "", cap ? SIZE(cap) : "",
           info->size_low ? "; that many samples were not profiled" : "");
}
