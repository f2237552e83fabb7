/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of a simulated step, for people and as JSON; names of events. */
#include "../profiler/units.h"
#include "simulator.h"
#include <inttypes.h>

const char *event_text(const struct dawn_sim_event *event, char *buf,
                       size_t room)
{
    static const char *const name[] = {
#define NAME(name) [DAWN_ACTION_##name] = #name,
        DAWN_ACTION_MAP(NAME)
#undef NAME
    };
    const struct dawn_action *a = &event->action;

    if (a->microbatch < 0)
        snprintf(buf, room, "%s", name[a->kind]);
    else if (a->peer < 0)
        snprintf(buf, room, "%s mb %d stage %d", name[a->kind], a->microbatch,
                 a->stage);
    else
        snprintf(buf, room, "%s mb %d stage %d, %d", name[a->kind],
                 a->microbatch, a->stage, a->peer);
    return buf;
}

static double percent(const struct simulation *s, double ns)
{
    return s->result.step_ns > 0 ? 100 * ns / s->result.step_ns : 0;
}

void print_table(const struct simulation *s, FILE *out)
{
    const struct dawn_plan_info *info = dawn_plan_info(s->plan);
    const struct dawn_sim_result *r = &s->result;

    fprintf(out,
            "%s, %d stages on %d ranks, %d microbatches of %lld: step %s\n",
            info->schedule, info->stages, r->ranks, info->microbatches,
            (long long)info->microbatch, TIME(r->step_ns));
    fprintf(out, "%4s %11s %7s %11s %7s %11s %7s %11s %7s %12s %12s\n", "rank",
            "busy", "", "waits", "", "messages", "", "stalls", "",
            "peak memory", "cap");
    for (int rank = 0; rank < r->ranks; rank++) {
        uint64_t cap = simulation_cap(s, rank);
        fprintf(out,
                "%4d %11s %6.1f%% %11s %6.1f%% %11s %6.1f%% %11s %6.1f%% %12s "
                "%12s\n",
                rank, TIME(r->busy_ns[rank]), percent(s, r->busy_ns[rank]),
                TIME(r->wait_ns[rank]), percent(s, r->wait_ns[rank]),
                TIME(r->comm_ns[rank]), percent(s, r->comm_ns[rank]),
                TIME(r->stall_ns[rank]), percent(s, r->stall_ns[rank]),
                SIZE(simulation_peak(s, rank)), cap ? SIZE(cap) : "none");
    }
    for (int rank = 0; rank < r->ranks; rank++)
        if (r->transfer_ns[rank] > 0)
            fprintf(out, "rank %d is busy with transfers for %s of that\n",
                    rank, TIME(r->transfer_ns[rank]));
}

void print_json(const struct simulation *s, FILE *out)
{
    const struct dawn_plan_info *info = dawn_plan_info(s->plan);
    const struct dawn_sim_result *r = &s->result;

    fprintf(out, "{\"schedule\": \"%s\", \"microbatches\": %d,\n",
            info->schedule, info->microbatches);
    fprintf(out, " \"step_ns\": %.0f, \"bound_ns\": %.0f,\n \"ranks\": [\n",
            r->step_ns, info->bound_ns);
    for (int rank = 0; rank < r->ranks; rank++)
        fprintf(out,
                "  {\"rank\": %d, \"busy_ns\": %.0f, \"transfer_ns\": %.0f, "
                "\"wait_ns\": %.0f, "
                "\"comm_ns\": %.0f, \"stall_ns\": %.0f, \"peak_bytes\": "
                "%" PRIu64 ", \"cap_bytes\": %" PRIu64 "}%s\n",
                rank, r->busy_ns[rank], r->transfer_ns[rank], r->wait_ns[rank],
                r->comm_ns[rank], r->stall_ns[rank], simulation_peak(s, rank),
                simulation_cap(s, rank), rank < r->ranks - 1 ? "," : "");
    fprintf(out, " ]}\n");
}
