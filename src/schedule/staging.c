/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/staging.h"
#include "schedule/schedule.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum place { NOT_MADE, WRITING, AWAY, READING, HERE };

struct pending { /* a write under way */
    struct dawni_moved moved;
    int since; /* number of the computation that began it */
};

/* A BW whose items are read in order. */
struct stream {
    struct dawn_action action; /* stage -1: none */
    int next;                  /* position in the order */
};

struct dawni_staging {
    struct dawni_staging_opts opts;
    int *first;     /* by chunk: index of its first item; all at the end */
    uint8_t *place; /* by index */
    uint64_t window_bytes;
    struct pending *pending; /* a ring */
    int room, oldest, pendings;
    uint64_t write_bytes, read_bytes; /* in the windows */
    int computation;
    struct dawn_action now;
    struct stream stream[2]; /* of this computation and the next one */
};

static const struct dawni_staging_set *set_of(const struct dawni_staging *s,
                                              int stage)
{
    return &s->opts.set[stage];
}

int dawni_staging_index(const struct dawni_staging *s, int stage,
                        int microbatch, int item)
{
    return s->first[stage / s->opts.ranks] + microbatch * set_of(s, stage)->n +
           item;
}

static struct dawni_moved moved_of(const struct dawni_staging *s,
                                   const struct dawn_action *a, int item)
{
    return (struct dawni_moved){
        .stage = a->stage,
        .microbatch = a->microbatch,
        .item = item,
        .index = dawni_staging_index(s, a->stage, a->microbatch, item),
    };
}

static uint64_t bytes_of(const struct dawni_staging *s,
                         const struct dawni_moved *m)
{
    return set_of(s, m->stage)->bytes[m->item];
}

static bool is_backward(const struct dawn_action *a)
{
    return a->kind == DAWN_ACTION_BW || a->kind == DAWN_ACTION_B;
}

/* Writes */

static void wait_for_oldest(struct dawni_staging *s)
{
    struct dawni_moved m = s->pending[s->oldest].moved;

    s->oldest = (s->oldest + 1) % s->room;
    s->pendings--;
    s->write_bytes -= bytes_of(s, &m);
    if (s->place[m.index] == WRITING)
        s->place[m.index] = AWAY;
    s->opts.move(s->opts.arg, DAWNI_WRITTEN, &m);
}

void dawni_staging_made(struct dawni_staging *s, int item)
{
    struct dawni_moved m = moved_of(s, &s->now, item);
    uint64_t bytes = bytes_of(s, &m);

    assert(s->place[m.index] == NOT_MADE);
    while (s->pendings && s->write_bytes + bytes > s->window_bytes)
        wait_for_oldest(s);
    s->pending[(s->oldest + s->pendings++) % s->room] =
        (struct pending){m, s->computation};
    s->write_bytes += bytes;
    s->place[m.index] = WRITING;
    s->opts.move(s->opts.arg, DAWNI_WRITE, &m);
}

/* Reads */

static void start(struct dawni_staging *s, const struct dawni_moved *m)
{
    uint8_t *place = &s->place[m->index];

    if (*place == WRITING)
        *place = HERE;
    if (*place != AWAY)
        return;
    *place = READING;
    s->read_bytes += bytes_of(s, m);
    s->opts.move(s->opts.arg, DAWNI_READ, m);
}

/* Begin all reads for which there is room. */
static void read_ahead(struct dawni_staging *s)
{
    for (int k = 0; k < 2; k++) {
        struct stream *stream = &s->stream[k];
        const struct dawni_staging_set *set;

        if (stream->action.stage < 0)
            continue;
        set = set_of(s, stream->action.stage);
        for (; stream->next < set->n; stream->next++) {
            int item = set->order[stream->next];
            struct dawni_moved m = moved_of(s, &stream->action, item);

            if (s->read_bytes &&
                s->read_bytes + bytes_of(s, &m) > s->window_bytes)
                return;
            start(s, &m);
        }
    }
}

void dawni_staging_need(struct dawni_staging *s, int item)
{
    struct dawni_moved m = moved_of(s, &s->now, item);

    start(s, &m);
    if (s->place[m.index] == READING) {
        s->place[m.index] = HERE;
        s->read_bytes -= bytes_of(s, &m);
        s->opts.move(s->opts.arg, DAWNI_ARRIVED, &m);
    }
    read_ahead(s);
}

/* Computations */

static struct stream stream_of(const struct dawn_action *a)
{
    struct stream none = {.action.stage = -1};

    return a && is_backward(a) ? (struct stream){*a, 0} : none;
}

static bool same_piece(const struct dawn_action *a, const struct dawn_action *b)
{
    return a->stage == b->stage && a->microbatch == b->microbatch;
}

void dawni_staging_begin(struct dawni_staging *s, const struct dawn_action *now,
                         const struct dawn_action *next)
{
    struct stream ahead = s->stream[1];

    s->now = *now;
    s->stream[0] = stream_of(now);
    if (is_backward(now) && ahead.action.stage >= 0)
        s->stream[0] = ahead;
    /* what is being made now is not there to be read */
    s->stream[1] = stream_of(next && same_piece(now, next) ? NULL : next);
    read_ahead(s);
}

void dawni_staging_end(struct dawni_staging *s)
{
    while (s->pendings && s->pending[s->oldest].since < s->computation)
        wait_for_oldest(s);
    s->computation++;
}

const struct dawn_action *dawni_staging_next(const struct dawn_action *action,
                                             int n, int i)
{
    while (++i < n)
        if (dawni_is_compute(action[i].kind))
            return &action[i];
    return NULL;
}

/* The object */

/* Count items; the window and the ring follow from them. False: too many. */
static bool measure(struct dawni_staging *s)
{
    uint64_t largest = 0;
    int64_t items = 0;
    int most = 0, chunk = 0;

    for (int x = s->opts.rank; x < s->opts.stages; x += s->opts.ranks) {
        const struct dawni_staging_set *set = set_of(s, x);

        for (int i = 0; i < set->n; i++)
            if (set->bytes[i] > largest)
                largest = set->bytes[i];
        most = set->n > most ? set->n : most;
        items += (int64_t)set->n * s->opts.microbatches;
        if (items > INT_MAX / 2)
            return false;
        s->first[++chunk] = (int)items;
    }
    s->window_bytes = 2 * largest;
    s->room = 2 * most + 1; /* of two computations in a row */
    return true;
}

enum dawn_status dawni_staging_create(const struct dawni_staging_opts *opts,
                                      struct dawni_staging **staging_p,
                                      struct dawn_error *err)
{
    struct dawni_staging *s = calloc(1, sizeof *s);
    int chunks = (opts->stages + opts->ranks - 1) / opts->ranks;

    if (!s)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    s->opts = *opts;
    s->stream[0] = s->stream[1] = stream_of(NULL);
    s->first = calloc((size_t)chunks + 1, sizeof *s->first);
    if (s->first && measure(s)) {
        s->pending = calloc((size_t)s->room, sizeof *s->pending);
        s->place = calloc((size_t)dawni_staging_indices(s) + 1, 1);
    }
    if (!s->pending || !s->place) {
        dawni_staging_destroy(s);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    }
    *staging_p = s;
    return DAWN_OK;
}

void dawni_staging_reset(struct dawni_staging *s)
{
    memset(s->place, NOT_MADE, (size_t)dawni_staging_indices(s));
    s->oldest = s->pendings = s->computation = 0;
    s->write_bytes = s->read_bytes = 0;
    s->stream[0] = s->stream[1] = stream_of(NULL);
}

int dawni_staging_indices(const struct dawni_staging *s)
{
    int chunks =
        (s->opts.stages - s->opts.rank + s->opts.ranks - 1) / s->opts.ranks;

    return s->first[chunks];
}

void dawni_staging_destroy(struct dawni_staging *s)
{
    if (!s)
        return;
    free(s->first);
    free(s->place);
    free(s->pending);
    free(s);
}
