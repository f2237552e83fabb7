/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules as text: single actions in messages, whole tables as pictures. */
#include "schedule/schedule.h"

#include <stdlib.h>

static const char *const kind_name[] = {
#define DAWN_ACTION_NAME(name) [DAWN_ACTION_##name] = #name,
    DAWN_ACTION_MAP(DAWN_ACTION_NAME)
#undef DAWN_ACTION_NAME
};

#define KINDS (sizeof kind_name / sizeof kind_name[0])

const char *dawni_action_text(const struct dawn_action *action, char *buf,
                              size_t size)
{
    const char *name =
        (size_t)action->kind < KINDS ? kind_name[action->kind] : "?";

    if (action->peer >= 0)
        snprintf(buf, size, "%s(mb %d, stage %d %s %d)", name,
                 action->microbatch, action->stage,
                 dawni_is_recv(action->kind) ? "from" : "to", action->peer);
    else if (action->microbatch >= 0)
        snprintf(buf, size, "%s(mb %d, stage %d)", name, action->microbatch,
                 action->stage);
    else
        snprintf(buf, size, "%s(stage %d)", name, action->stage);
    return buf;
}

/* "F3", or "F3.1" where ranks have several stages: microbatch and chunk */
static void cell_text(const struct dawn_schedule *s,
                      const struct dawn_action *a, char *buf, size_t size)
{
    if (s->ranks == s->stages)
        snprintf(buf, size, "%s%d", kind_name[a->kind], a->microbatch);
    else
        snprintf(buf, size, "%s%d.%d", kind_name[a->kind], a->microbatch,
                 a->stage / s->ranks);
}

static void print_head(const struct dawn_schedule *s, FILE *out)
{
    fputs("clock", out);
    for (int rank = 0; rank < s->ranks; rank++)
        fprintf(out, "  rank %-*d", rank + 1 < s->ranks ? 3 : 0, rank);
    fputc('\n', out);
}

/* One tick. at: by rank, the first action not yet printed. */
static void print_row(const struct dawn_schedule *s, int **end, int *at,
                      int tick, FILE *out)
{
    fprintf(out, "%5d", tick);
    for (int rank = 0; rank < s->ranks; rank++) {
        const struct dawni_actions *actions = &s->rank[rank];
        char cell[40] = ".";
        int *i = &at[rank];

        while (*i < actions->n && !dawni_is_compute(actions->action[*i].kind))
            ++*i;
        if (*i < actions->n && end[rank][*i] == tick + 1)
            cell_text(s, &actions->action[(*i)++], cell, sizeof cell);
        fprintf(out, "  %-*s", rank + 1 < s->ranks ? 8 : 0, cell);
    }
    fputc('\n', out);
}

void dawn_schedule_print(const struct dawn_schedule *schedule, FILE *out)
{
    int *at = calloc((size_t)schedule->ranks, sizeof *at);
    struct dawn_error err;
    int **end = NULL, last = 0;
    enum dawn_status st;

    st = dawni_schedule_clock(schedule, 1, &end, &err);
    if (!at || !end) {
        fputs("no memory to print a schedule\n", out);
        goto done;
    }
    for (int rank = 0; rank < schedule->ranks; rank++)
        for (int i = 0; i < schedule->rank[rank].n; i++)
            if (end[rank][i] > last)
                last = end[rank][i];
    print_head(schedule, out);
    for (int tick = 0; tick < last; tick++)
        print_row(schedule, end, at, tick, out);
    if (st)
        fprintf(out, "stuck: %s\n", err.text);
done:
    free(at);
    dawni_schedule_clock_free(schedule, end);
}
