/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of the weights in asynchronous schedules: how often they are
 * updated, which one each microbatch reads, how many there are at a time.
 */
#include "schedule/schedule.h"

#include <stdlib.h>

/* The smallest divisor of m that is not below `least`; 0: none */
static int default_every(int m, int least)
{
    for (int g = least; g <= m; g++)
        if (m % g == 0)
            return g;
    return 0;
}

enum dawn_status dawni_schedule_set_updates(
    struct dawn_schedule *schedule, const struct dawni_schedule_kind_ops *kind,
    int opts_every, struct dawn_error *err)
{
    int m = schedule->microbatches, least, every = opts_every;

    if (!kind->least_every) {
        if (!opts_every)
            return DAWN_OK;
        return dawn_fail(err, DAWN_E_INVAL,
                         "update_every %d, but %s updates once a step",
                         opts_every, kind->name);
    }
    least = kind->least_every(schedule);
    if (!every)
        every = default_every(m, least);
    if (!every)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%s on %d stages updates after %d microbatches or "
                         "more, a step has %d",
                         kind->name, schedule->stages, least, m);
    if (every < least || m % every)
        return dawn_fail(err, DAWN_E_INVAL,
                         "update_every %d, must be %d or more with %s on %d "
                         "stages, and divide the %d microbatches",
                         every, least, kind->name, schedule->stages, m);
    schedule->update_every = every;
    schedule->delay = kind->delay;
    return DAWN_OK;
}

/* Which version a forward reads when its stage has made so many updates. */
static int version_of(const struct dawn_schedule *s, int microbatch,
                      int updates)
{
    int batch = microbatch / s->update_every;

    if (s->delay == DAWNI_NEWEST)
        return updates;
    return batch > s->delay ? batch - s->delay : 0;
}

enum dawn_status dawni_schedule_find_versions(struct dawn_schedule *schedule,
                                              struct dawn_error *err)
{
    size_t stages = (size_t)schedule->stages;
    size_t m = (size_t)schedule->microbatches;
    int *updates;

    if (!schedule->update_every)
        return DAWN_OK;
    schedule->version = calloc(stages * m, sizeof *schedule->version);
    updates = calloc(stages, sizeof *updates);
    if (!schedule->version || !updates) {
        free(updates);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %zu microbatches",
                         stages * m);
    }
    for (int rank = 0; rank < schedule->ranks; rank++)
        for (int i = 0; i < schedule->rank[rank].n; i++) {
            const struct dawn_action *a = &schedule->rank[rank].action[i];
            if (a->kind == DAWN_ACTION_UPDATE)
                updates[a->stage]++;
            else if (a->kind == DAWN_ACTION_F)
                schedule
                    ->version[(size_t)a->stage * m + (size_t)a->microbatch] =
                    version_of(schedule, a->microbatch, updates[a->stage]);
        }
    free(updates);
    return DAWN_OK;
}

int dawn_schedule_update_every(const struct dawn_schedule *schedule)
{
    return schedule->update_every;
}

int dawn_schedule_version(const struct dawn_schedule *schedule, int stage,
                          int microbatch)
{
    size_t m = (size_t)schedule->microbatches;

    if (!schedule->version || stage < 0 || stage >= schedule->stages ||
        microbatch < 0 || microbatch >= schedule->microbatches)
        return 0;
    return schedule->version[(size_t)stage * m + (size_t)microbatch];
}

/* A stage on its way through a step. */
struct walk {
    const struct dawn_schedule *schedule;
    int stage;
    int updates; /* made */
    int next;    /* microbatch of the next backward */
    int made;    /* first microbatch that reads a version not made yet */
    int steps;   /* changes of version among `next` to `made` - 1 */
    int in_flight;
};

static int read_by(const struct walk *w, int microbatch)
{
    return dawn_schedule_version(w->schedule, w->stage, microbatch);
}

static void advance(struct walk *w, const struct dawn_action *a)
{
    int m = w->schedule->microbatches;

    if (a->kind == DAWN_ACTION_F)
        w->in_flight++;
    if (a->kind == DAWN_ACTION_B || a->kind == DAWN_ACTION_BW)
        w->in_flight--;
    if (a->kind == DAWN_ACTION_UPDATE)
        w->updates++;
    for (; w->made < m && read_by(w, w->made) <= w->updates; w->made++)
        w->steps +=
            w->made > w->next && read_by(w, w->made) != read_by(w, w->made - 1);
    if (a->kind != DAWN_ACTION_W && a->kind != DAWN_ACTION_BW)
        return;
    w->next++;
    w->steps -=
        w->next < w->made && read_by(w, w->next) != read_by(w, w->next - 1);
}

/* Versions that are yet to be read, and the newest. */
static int count_versions(const struct walk *w)
{
    if (w->next >= w->made)
        return 1;
    return w->steps + 1 + (read_by(w, w->made - 1) != w->updates);
}

/* full: only while `full` microbatches are in flight; 0: at any time */
static int most_versions(const struct dawn_schedule *s, int stage, int full)
{
    const struct dawni_actions *actions = &s->rank[stage % s->ranks];
    struct walk w = {.schedule = s, .stage = stage};
    int most = 1;

    if (!s->update_every)
        return 1;
    for (int i = 0; i < actions->n; i++) {
        const struct dawn_action *a = &actions->action[i];
        bool counts =
            dawni_is_compute(a->kind) || a->kind == DAWN_ACTION_UPDATE;

        if (a->stage != stage || !counts)
            continue;
        advance(&w, a);
        if ((!full || w.in_flight == full) && count_versions(&w) > most)
            most = count_versions(&w);
    }
    return most;
}

int dawn_schedule_versions(const struct dawn_schedule *schedule, int stage)
{
    if (stage < 0 || stage >= schedule->stages)
        return 0;
    return most_versions(schedule, stage, 0);
}

int dawni_schedule_versions_full(const struct dawn_schedule *schedule,
                                 int stage)
{
    return most_versions(schedule, stage,
                         dawn_schedule_in_flight(schedule, stage));
}
