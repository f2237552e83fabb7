/* SPDX-License-Identifier: Apache-2.0 */
/* Chrome trace JSON (chrome://tracing, Perfetto): a process a rank, with a row
 * of boxes, one each for what is written to tiers and read back, and a counter
 * of live bytes. Times are microseconds.
 */
#include "simulator.h"
#include <inttypes.h>

static void print_box(const struct dawn_sim_event *e, int row, FILE *out)
{
    char text[64];

    fprintf(out,
            ",\n{\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"name\":\"%s\","
            "\"ts\":%.3f,\"dur\":%.3f}",
            e->rank, row, event_text(e, text, sizeof text), e->start_ns / 1e3,
            (e->end_ns - e->start_ns) / 1e3);
}

static void print_event(const struct dawn_sim_event *e, uint64_t bytes,
                        FILE *out)
{
    if (e->end_ns > e->start_ns)
        print_box(e, 0, out);
    fprintf(out,
            ",\n{\"ph\":\"C\",\"pid\":%d,\"name\":\"memory\",\"ts\":%.3f,"
            "\"args\":{\"bytes\":%" PRIu64 "}}",
            e->rank, e->start_ns / 1e3, bytes);
}

void print_trace(const struct simulation *s, FILE *out)
{
    fprintf(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
                 "{\"ph\":\"M\",\"pid\":0,\"name\":\"process_labels\","
                 "\"args\":{\"labels\":\"simulated\"}}");
    for (int rank = 0; rank < s->result.ranks; rank++) {
        fprintf(out,
                ",\n{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\","
                "\"args\":{\"name\":\"rank %d\"}}",
                rank, rank);
        for (int i = s->first[rank]; i < s->first[rank + 1]; i++)
            print_event(&s->result.event[i], s->curve[rank][i - s->first[rank]],
                        out);
    }
    for (int i = 0; i < s->result.moves; i++) {
        const struct dawn_sim_event *e = &s->result.move[i];
        print_box(e, e->action.kind == DAWN_ACTION_OFFLOAD ? 1 : 2, out);
    }
    fprintf(out, "\n]}\n");
}
