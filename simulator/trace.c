/* SPDX-License-Identifier: Apache-2.0 */
/* Chrome trace JSON (chrome://tracing, Perfetto): a process a rank, with a row
 * of boxes and a counter of live bytes. Times are microseconds.
 */
#include "simulator.h"
#include <inttypes.h>

static void print_event(const struct dawn_sim_event *e, uint64_t bytes,
                        FILE *out)
{
    char text[64];

    if (e->end_ns > e->start_ns)
        fprintf(out,
                ",\n{\"ph\":\"X\",\"pid\":%d,\"tid\":0,\"name\":\"%s\","
                "\"ts\":%.3f,\"dur\":%.3f}",
                e->rank, event_text(e, text, sizeof text), e->start_ns / 1e3,
                (e->end_ns - e->start_ns) / 1e3);
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
    fprintf(out, "\n]}\n");
}
