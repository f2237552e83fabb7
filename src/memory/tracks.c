/* SPDX-License-Identifier: Apache-2.0 */
/* Packing by tracks: what a stage keeps from forward to backward lives long,
 * the rest but for a moment. A box that lives long takes over the place, the
 * track, of the one of its size that ended last; tracks are stacked, and have
 * gaps. Without them, time falls apart into spans: no short box lives in two.
 * In each span, the short boxes are placed by first fit, into gaps of tracks or
 * above all of them.
 *
 * What is long is not known: as little as makes the spans small.
 */
#include "common/array.h"
#include "memory/packing.h"
#include "memory/rooms.h"
#include <limits.h>

#define LEVELS 32
#define MORE_SPANS 16

struct track {
    uint64_t bytes, offset;
    int begin;  /* of its first box */
    int end;    /* of its last box so far */
    int unused; /* the next one of this size that is free; -1: none */
};

struct gap { /* times at which a track is free */
    int track, begin, end;
    int next_start, next_stop; /* of those that start or stop at one time */
};

struct tracks {
    const struct dawni_boxes *boxes;
    uint64_t good;
    int most;                /* boxes in a span */
    uint64_t *offset;        /* out */
    uint64_t stack_top, top; /* of tracks, of everything */
    int stack_end;           /* time from which on all tracks are free */
    int n, times;
    int long_level;  /* boxes of a life of 2^long_level times are long */
    int *by_level;   /* boxes, short life first */
    int *span_end;   /* by time: union-find of the last time of its span */
    int *span_begin; /* by time */
    int *span_boxes; /* by last time: how many short boxes */
    int *size;       /* by shape: number of its bytes */
    int sizes;
    int *unused; /* by size: tracks that are free, the last to end first */
    struct track *track;
    int tracks, track_room;
    int *track_of; /* by box; -1: it is short */
    int *by_end;   /* long boxes */
    int *ended;    /* by time: how many of them */
    struct gap *gap;
    int gaps, gap_room;
    int *gap_at;     /* gaps by span, lowest track first */
    int *gaps_until; /* by time: where those of spans that end by then end */
    int *first_start, *first_stop; /* by time: gaps of the present span */
    struct dawni_rooms rooms;
    int *order; /* short boxes of a span */
    int ordered;
    bool failed; /* no memory */
};

/* Spans */

static int level_of(const struct dawni_box *b)
{
    int life = b->end - b->begin + 1, level = 0;

    while (life >> (level + 1))
        level++;
    return level;
}

static void sort_by_level(struct tracks *k)
{
    int at[LEVELS + 1] = {0};

    for (int i = 0; i < k->n; i++)
        at[level_of(&k->boxes->box[i]) + 1]++;
    for (int level = 0; level < LEVELS; level++)
        at[level + 1] += at[level];
    for (int i = 0; i < k->n; i++)
        k->by_level[at[level_of(&k->boxes->box[i])]++] = i;
}

static int find_end(struct tracks *k, int t)
{
    while (k->span_end[t] != t) {
        k->span_end[t] = k->span_end[k->span_end[t]];
        t = k->span_end[t];
    }
    return t;
}

/* Join the times at which a box lives. Returns how many its span has. */
static int join(struct tracks *k, const struct dawni_box *b)
{
    int t = find_end(k, b->begin);

    while (t < b->end) {
        int next = find_end(k, t + 1);
        k->span_boxes[next] += k->span_boxes[t];
        k->span_end[t] = next;
        t = next;
    }
    return ++k->span_boxes[t];
}

/* Join what is shorter than the level; the level of the first box with which a
 * span would have too many. */
static int join_below(struct tracks *k, int level)
{
    for (int t = 0; t < k->times; t++) {
        k->span_end[t] = t;
        k->span_boxes[t] = 0;
    }
    for (int i = 0; i < k->n; i++) {
        const struct dawni_box *b = &k->boxes->box[k->by_level[i]];
        if (level_of(b) >= level)
            break;
        if (join(k, b) > k->most)
            return level_of(b);
    }
    return level;
}

static void find_spans(struct tracks *k)
{
    sort_by_level(k);
    k->long_level = join_below(k, LEVELS);
    join_below(k, k->long_level);
    for (int t = k->times - 1; t >= 0; t--)
        find_end(k, t); /* now span_end is that */
    for (int t = 0; t < k->times; t++)
        k->span_begin[t] = t && k->span_end[t] == k->span_end[t - 1]
                               ? k->span_begin[t - 1]
                               : t;
}

/* Tracks */

static int by_bytes(const void *one, const void *two)
{
    const struct dawni_shape *const *a = one, *const *b = two;

    return (*a)->bytes < (*b)->bytes ? -1 : (*a)->bytes > (*b)->bytes;
}

/* Number the sizes. */
static bool find_sizes(struct tracks *k)
{
    int n = k->boxes->shapes;
    const struct dawni_shape **shape = dawni_calloc(n, sizeof *shape);

    if (!shape)
        return false;
    for (int i = 0; i < n; i++)
        shape[i] = &k->boxes->shape[i];
    qsort(shape, (size_t)n, sizeof *shape, by_bytes);
    for (int i = 0; i < n; i++) {
        k->sizes += i == 0 || shape[i]->bytes > shape[i - 1]->bytes;
        k->size[shape[i] - k->boxes->shape] = k->sizes - 1;
    }
    free(shape);
    return true;
}

static void add_gap(struct tracks *k, int track, int begin, int end)
{
    if (begin > end)
        return;
    if (!dawni_array_reserve(&k->gap, &k->gap_room, k->gaps + 1))
        k->failed = true;
    else
        k->gap[k->gaps++] = (struct gap){track, begin, end, -1, -1};
}

/* The track on which box i can be. */
static int find_track(struct tracks *k, int i)
{
    const struct dawni_box *b = &k->boxes->box[i];
    int *unused = &k->unused[k->size[b->shape]], track = *unused;

    if (track >= 0) {
        *unused = k->track[track].unused;
        add_gap(k, track, k->track[track].end + 1, b->begin - 1);
        return track;
    }
    if (!dawni_array_reserve(&k->track, &k->track_room, k->tracks + 1)) {
        k->failed = true;
        return -1;
    }
    k->track[k->tracks] = (struct track){
        .bytes = b->bytes, .offset = k->stack_top, .begin = b->begin};
    k->stack_top += b->bytes;
    add_gap(k, k->tracks, k->span_begin[b->begin], b->begin - 1);
    return k->tracks++;
}

/* Long boxes by end. */
static int sort_by_end(struct tracks *k)
{
    int *at = k->ended, n = 0;

    for (int i = 0; i < k->n; i++)
        if (level_of(&k->boxes->box[i]) >= k->long_level)
            at[k->boxes->box[i].end]++;
    for (int t = 0; t < k->times; t++) {
        n += at[t];
        at[t] = n - at[t];
    }
    for (int i = 0; i < k->n; i++)
        if (level_of(&k->boxes->box[i]) >= k->long_level)
            k->by_end[at[k->boxes->box[i].end]++] = i;
    return n;
}

/* Boxes that have ended by `time` leave their tracks. Returns who is next. */
static int leave(struct tracks *k, int next, int ends, int time)
{
    for (; next < ends; next++) {
        int i = k->by_end[next], track = k->track_of[i];
        const struct dawni_box *b = &k->boxes->box[i];
        int *unused = &k->unused[k->size[b->shape]];
        if (b->end >= time)
            break;
        k->track[track].end = b->end;
        k->track[track].unused = *unused;
        *unused = track;
    }
    return next;
}

/* Behind its last box a track is used for a few spans; and in those where all
 * tracks are free, see make_rooms. */
static void end_track(struct tracks *k, int track)
{
    int behind = k->track[track].end + 1, until = behind;

    for (int i = 0; i < MORE_SPANS && until < k->times; i++)
        until = k->span_end[until] + 1;
    add_gap(k, track, behind, until - 1);
    if (behind > k->stack_end)
        k->stack_end = behind;
}

static void make_tracks(struct tracks *k)
{
    int ends = sort_by_end(k), next = 0;

    for (int i = 0; i < k->sizes; i++)
        k->unused[i] = -1;
    for (int i = 0; i < k->n && !k->failed; i++) {
        const struct dawni_box *b = &k->boxes->box[i];
        k->track_of[i] = -1;
        if (level_of(b) < k->long_level)
            continue;
        next = leave(k, next, ends, b->begin);
        int track = find_track(k, i);
        if (track < 0)
            return;
        k->track_of[i] = track;
        k->offset[i] = k->track[track].offset;
    }
    leave(k, next, ends, k->times);
    for (int i = 0; i < k->tracks; i++)
        end_track(k, i);
}

/* Gaps */

static int by_track(const void *one, const void *two)
{
    const struct gap *a = one, *b = two;

    return a->track != b->track ? a->track - b->track : a->begin - b->begin;
}

/* Count gaps by the last time of each span with boxes, or list them: at[t] is
 * where those of the span that ends at t begin, and afterwards where they end.
 */
static void go_through_gaps(struct tracks *k, int *at, bool list)
{
    for (int g = 0; g < k->gaps; g++)
        for (int t = k->gap[g].begin; t <= k->gap[g].end; t++) {
            t = find_end(k, t);
            if (k->span_boxes[t] && list)
                k->gap_at[at[t]++] = g;
            else if (k->span_boxes[t])
                at[t]++;
        }
}

/* Tell each span which gaps there are. */
static bool list_gaps(struct tracks *k)
{
    int *at = k->gaps_until;
    int64_t all = 0;

    if (k->gaps)
        qsort(k->gap, (size_t)k->gaps, sizeof *k->gap, by_track);
    go_through_gaps(k, at, false);
    for (int t = 0; t < k->times; t++) {
        int here = at[t];
        at[t] = (int)all;
        all += here;
        if (all > INT_MAX)
            return false;
    }
    k->gap_at = dawni_calloc(all, sizeof *k->gap_at);
    if (!k->gap_at)
        return false;
    go_through_gaps(k, at, true);
    return true;
}

/* How high the tracks are stacked by a time; they are in the order in which
 * they begin. */
static uint64_t stack_at(const struct tracks *k, int time)
{
    int low = 0, high = k->tracks;

    while (low < high) {
        int mid = low + (high - low) / 2;
        if (k->track[mid].begin <= time)
            low = mid + 1;
        else
            high = mid;
    }
    return low < k->tracks ? k->track[low].offset : k->stack_top;
}

/* Rooms */

/* Sort the gaps of a span by when they start and when they stop. */
static void sort_gaps(struct tracks *k, int begin, int end)
{
    int from = begin ? k->gaps_until[begin - 1] : 0, to = k->gaps_until[end];

    for (int i = from; i < to; i++) {
        int at = k->gap_at[i];
        struct gap *g = &k->gap[at];
        int start = g->begin > begin ? g->begin : begin;
        g->next_start = k->first_start[start];
        k->first_start[start] = at;
        if (g->end >= end)
            continue;
        g->next_stop = k->first_stop[g->end + 1];
        k->first_stop[g->end + 1] = at;
    }
}

static void move_gap(struct tracks *k, int time, const struct gap *g,
                     bool starts)
{
    const struct track *t = &k->track[g->track];

    if (starts)
        dawni_rooms_vacate(&k->rooms, time, t->offset, t->offset + t->bytes);
    else
        dawni_rooms_occupy(&k->rooms, time, t->offset, t->offset + t->bytes);
}

/* What is free in a span before its short boxes are placed. */
static void make_rooms(struct tracks *k, int begin, int end)
{
    struct dawni_rooms *rooms = &k->rooms;
    bool stacked = begin < k->stack_end;

    for (int t = begin; t <= end; t++)
        k->first_start[t] = k->first_stop[t] = -1;
    if (stacked)
        sort_gaps(k, begin, end);
    dawni_rooms_begin(rooms, begin, stacked ? stack_at(k, end) : 0);
    for (int t = begin; t <= end && !rooms->failed; t++) {
        if (t > begin)
            dawni_rooms_copy(rooms, t);
        for (int g = k->first_stop[t]; g >= 0 && !rooms->failed;
             g = k->gap[g].next_stop)
            move_gap(k, t, &k->gap[g], false);
        for (int g = k->first_start[t]; g >= 0 && !rooms->failed;
             g = k->gap[g].next_start)
            move_gap(k, t, &k->gap[g], true);
    }
}

/* Short boxes */

enum order { BY_BYTES, BY_AREA, BY_LIFE, BY_BEGIN, ORDERS };

struct sorting {
    const struct dawni_box *box;
    enum order by;
};

static uint64_t key(const struct sorting *s, const struct dawni_box *b)
{
    uint64_t life = (uint64_t)(b->end - b->begin) + 1;

    switch (s->by) {
    case BY_BYTES:
        return b->bytes;
    case BY_AREA:
        return b->bytes / 64 * life;
    case BY_LIFE:
        return life;
    default:
        return 0;
    }
}

/* Largest key first; boxes are numbered by begin. */
static int by_key(const void *one, const void *two, void *arg)
{
    const struct sorting *s = arg;
    int a = *(const int *)one, b = *(const int *)two;
    uint64_t x = key(s, &s->box[a]), y = key(s, &s->box[b]);

    return x > y ? -1 : x < y ? 1 : a - b;
}

/* Place a span's boxes in an order. Returns the top. */
static uint64_t fill_span(struct tracks *k, int begin, int end, enum order by)
{
    struct sorting s = {k->boxes->box, by};
    uint64_t top = 0;

    make_rooms(k, begin, end);
    qsort_r(k->order, (size_t)k->ordered, sizeof *k->order, by_key, &s);
    for (int i = 0; i < k->ordered && !k->rooms.failed; i++) {
        const struct dawni_box *b = &k->boxes->box[k->order[i]];
        uint64_t offset =
            dawni_rooms_take(&k->rooms, b->begin, b->end, b->bytes);
        k->offset[k->order[i]] = offset;
        if (offset + b->bytes > top)
            top = offset + b->bytes;
    }
    return top;
}

/* In the best order; it need not be better than what is good, or than what
 * cannot be helped any more. */
static void place_span(struct tracks *k, int begin, int end)
{
    uint64_t least = UINT64_MAX, top = UINT64_MAX;
    uint64_t limit = k->top > k->good ? k->top : k->good;
    enum order best = BY_BYTES;

    for (int by = 0; by < ORDERS && least > limit; by++) {
        top = fill_span(k, begin, end, by);
        if (top >= least)
            continue;
        least = top;
        best = by;
    }
    if (top > least)
        fill_span(k, begin, end, best);
    if (least > k->top)
        k->top = least;
}

static void place_short(struct tracks *k)
{
    int i = 0;

    k->top = k->stack_top;
    for (int begin = 0; begin < k->times && !k->rooms.failed;) {
        int end = find_end(k, begin);
        k->ordered = 0;
        for (; i < k->n && k->boxes->box[i].begin <= end; i++)
            if (k->track_of[i] < 0)
                k->order[k->ordered++] = i;
        if (k->ordered)
            place_span(k, begin, end);
        begin = end + 1;
    }
}

/* The whole */

static bool make_room(struct tracks *k)
{
    k->by_level = dawni_calloc(k->n, sizeof *k->by_level);
    k->span_end = dawni_calloc(k->times, sizeof *k->span_end);
    k->span_begin = dawni_calloc(k->times, sizeof *k->span_begin);
    k->span_boxes = dawni_calloc(k->times, sizeof *k->span_boxes);
    k->ended = dawni_calloc(k->times, sizeof *k->ended);
    k->gaps_until = dawni_calloc(k->times, sizeof *k->gaps_until);
    k->first_start = dawni_calloc(k->times, sizeof *k->first_start);
    k->first_stop = dawni_calloc(k->times, sizeof *k->first_stop);
    k->size = dawni_calloc(k->boxes->shapes, sizeof *k->size);
    k->unused = dawni_calloc(k->boxes->shapes, sizeof *k->unused);
    k->track_of = dawni_calloc(k->n, sizeof *k->track_of);
    k->by_end = dawni_calloc(k->n, sizeof *k->by_end);
    k->order = dawni_calloc(k->n, sizeof *k->order);
    return k->by_level && k->span_end && k->span_begin && k->span_boxes &&
           k->ended && k->gaps_until && k->first_start && k->first_stop &&
           k->size && k->unused && k->track_of && k->by_end && k->order;
}

static void release(struct tracks *k)
{
    free(k->by_level);
    free(k->span_end);
    free(k->span_begin);
    free(k->span_boxes);
    free(k->ended);
    free(k->gaps_until);
    free(k->first_start);
    free(k->first_stop);
    free(k->size);
    free(k->unused);
    free(k->track_of);
    free(k->by_end);
    free(k->order);
    free(k->track);
    free(k->gap);
    free(k->gap_at);
    dawni_rooms_clear(&k->rooms);
}

enum dawn_status dawni_tracks_place(const struct dawni_boxes *boxes, int most,
                                    uint64_t good, uint64_t *offset,
                                    uint64_t *top_p, struct dawn_error *err)
{
    struct tracks k = {.boxes = boxes,
                       .good = good,
                       .most = most,
                       .offset = offset,
                       .n = boxes->n,
                       .times = boxes->times};
    bool whole =
        make_room(&k) && find_sizes(&k) && dawni_rooms_init(&k.rooms, k.times);

    if (whole) {
        find_spans(&k);
        make_tracks(&k);
        whole = !k.failed && list_gaps(&k);
    }
    if (whole) {
        place_short(&k);
        whole = !k.rooms.failed;
    }
    release(&k);
    if (!whole)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to pack %d extents",
                         boxes->n);
    *top_p = k.top;
    return DAWN_OK;
}
