/* SPDX-License-Identifier: Apache-2.0 */
/* Offline packing. What lives all the time goes to the bottom. The rest is
 * placed by tracks, which is quick and good where microbatches repeat, and then
 * by a skyline with one rule after the other of which box goes first. If no
 * rule will do, boxes of a shape that stick out are preferred a little more,
 * again and again. It ends when a packing is close to the bound; the more work
 * was done, the less close that must be.
 */
#include "memory/pack.h"
#include "common/array.h"
#include "memory/packing.h"
#include <limits.h>
#include <math.h>

/* Arena / bound at which nothing more is tried, at first and after all work */
#define GOOD 1.002
#define GOOD_ENOUGH 1.03
#define MOST_WORK 150000 /* boxes placed before giving up */
#define LEAST_TRIES 4
#define MOST_RAISES 40
/* Into how many spans tracks part a step, if it has more than a few boxes */
#define SPANS 8
#define FEW 16
#define MANY 2000 /* boxes of which each may look at all the others */

/* From extents to boxes */

struct at { /* an extent, to be sorted */
    uint32_t begin;
    int extent;
};

static bool is_live(const struct dawni_extent *e)
{
    return e->bytes > 0 && e->begin <= e->end;
}

/* By begin, extents with the same one in their order. */
static void sort_by_begin(struct at *at, struct at *scratch, int n)
{
    for (int shift = 0; shift < 32; shift += 8) {
        int count[257] = {0};
        for (int i = 0; i < n; i++)
            count[(at[i].begin >> shift & 255) + 1]++;
        for (int i = 0; i < 256; i++)
            count[i + 1] += count[i];
        for (int i = 0; i < n; i++)
            scratch[count[at[i].begin >> shift & 255]++] = at[i];
        memcpy(at, scratch, (size_t)n * sizeof *at);
    }
}

/* Number of the last time that is not after `event`; it is not before `time`.
 */
static int time_at(const int64_t *event, int times, int time, int64_t at)
{
    int step = 1, high;

    while (time + step < times && event[time + step] <= at) {
        time += step;
        step *= 2;
    }
    high = times - time < step ? times : time + step;
    while (high - time > 1) {
        int mid = time + (high - time) / 2;
        if (event[mid] <= at)
            time = mid;
        else
            high = mid;
    }
    return time;
}

static bool make_boxes(const struct dawni_extent *extent, const struct at *at,
                       struct dawni_boxes *b)
{
    int64_t *event = dawni_calloc(b->n, sizeof *event);

    b->box = dawni_calloc(b->n, sizeof *b->box);
    for (int i = 0; i < b->n && b->box && event; i++) {
        const struct dawni_extent *e = &extent[at[i].extent];
        if (i == 0 || at[i].begin > at[i - 1].begin)
            event[b->times++] = e->begin;
        b->box[i] = (struct dawni_box){
            .bytes = e->bytes, .begin = b->times - 1, .extent = at[i].extent};
    }
    for (int i = 0; i < b->n && b->box && event; i++)
        b->box[i].end = time_at(event, b->times, b->box[i].begin,
                                extent[b->box[i].extent].end);
    free(event);
    return b->box && event;
}

/* Number the shapes, by way of a table that is at most half full. */
static bool find_shapes(const struct dawni_extent *extent,
                        struct dawni_boxes *b)
{
    uint64_t mask = 63;
    int *table;

    while (mask < 2 * (uint64_t)b->n)
        mask = 2 * mask + 1;
    table = calloc(mask + 1, sizeof *table); /* 1 + shape */
    b->shape = dawni_calloc(b->n, sizeof *b->shape);
    for (int i = 0; i < b->n && table && b->shape; i++) {
        const struct dawni_extent *e = &extent[b->box[i].extent];
        struct dawni_shape s = {e->bytes, (int64_t)e->end - e->begin + 1};
        uint64_t hash = (s.bytes + (uint64_t)s.life * 0x9e3779b97f4a7c15u) *
                        0xbf58476d1ce4e5b9u;
        uint64_t k = (hash >> 32) & mask;
        while (table[k] && (b->shape[table[k] - 1].bytes != s.bytes ||
                            b->shape[table[k] - 1].life != s.life))
            k = (k + 1) & mask;
        if (!table[k]) {
            b->shape[b->shapes++] = s;
            table[k] = b->shapes;
        }
        b->box[i].shape = table[k] - 1;
    }
    free(table);
    return table && b->shape;
}

/* The largest sum of bytes at one time. */
static bool find_bound(struct dawni_boxes *b)
{
    uint64_t *change = dawni_calloc((int64_t)b->times + 1, sizeof *change);
    uint64_t load = 0;

    if (!change)
        return false;
    for (int i = 0; i < b->n; i++) {
        change[b->box[i].begin] += b->box[i].bytes;
        change[b->box[i].end + 1] -= b->box[i].bytes; /* wraps, and back */
    }
    for (int t = 0; t < b->times; t++) {
        load += change[t];
        b->bound = load > b->bound ? load : b->bound;
    }
    free(change);
    return true;
}

static void boxes_clear(struct dawni_boxes *b)
{
    free(b->box);
    free(b->shape);
    *b = (struct dawni_boxes){0};
}

/* First and last event at which something lives; false: nothing does. */
static bool find_ends(const struct dawni_extent *extent, int n, int *first,
                      int *last)
{
    *first = INT_MAX;
    *last = INT_MIN;
    for (int i = 0; i < n; i++) {
        if (!is_live(&extent[i]))
            continue;
        *first = extent[i].begin < *first ? extent[i].begin : *first;
        *last = extent[i].end > *last ? extent[i].end : *last;
    }
    return *first <= *last;
}

/* Boxes of all extents but those that live all the time, whose bytes are summed
 * up in *lasting. */
static bool boxes_of(const struct dawni_extent *extent, int n,
                     struct dawni_boxes *b, uint64_t *lasting)
{
    struct at *at = dawni_calloc((int64_t)2 * n, sizeof *at);
    int first, last;
    bool whole = at;

    *b = (struct dawni_boxes){0};
    *lasting = 0;
    if (whole && find_ends(extent, n, &first, &last)) {
        for (int i = 0; i < n; i++) {
            const struct dawni_extent *e = &extent[i];
            if (!is_live(e))
                continue;
            if (e->begin == first && e->end == last)
                *lasting += e->bytes;
            else
                at[b->n++] =
                    (struct at){(uint32_t)((int64_t)e->begin - first), i};
        }
        sort_by_begin(at, at + n, b->n);
        whole = make_boxes(extent, at, b) && find_shapes(extent, b) &&
                find_bound(b);
    }
    free(at);
    if (!whole)
        boxes_clear(b);
    return whole;
}

uint64_t dawni_pack_bound(const struct dawni_extent *extent, int n)
{
    struct dawni_boxes b;
    uint64_t lasting, bound;

    if (!boxes_of(extent, n, &b, &lasting))
        return 0;
    bound = lasting + b.bound;
    boxes_clear(&b);
    return bound;
}

/* Searching */

struct search {
    const struct dawni_boxes *boxes;
    uint64_t lasting;
    struct dawni_skyline *skyline;
    uint64_t *offset, *best_offset; /* by box */
    uint64_t top, best_top;
    double *key;      /* by shape: largest goes first */
    double *best_key; /* the best of the rules */
    uint64_t best_key_top;
    int *order;       /* of shapes */
    uint32_t *rank;   /* by shape: place in that order */
    bool *sticks_out; /* by shape */
    int64_t work;
    int tries;
};

/* A top that will do. */
static uint64_t good(const struct search *s)
{
    double arena = (double)(s->lasting + s->boxes->bound);
    double share = fmin(1, (double)s->work / MOST_WORK);

    arena *= GOOD + (GOOD_ENOUGH - GOOD) * share;
    return (uint64_t)arena - s->lasting;
}

static bool goes_on(const struct search *s)
{
    return s->best_top > good(s) &&
           (s->work < MOST_WORK || s->tries < LEAST_TRIES);
}

/* Count a packing, and keep it if it is the best so far. */
static void keep(struct search *s)
{
    s->work += s->boxes->n;
    s->tries++;
    if (s->top >= s->best_top)
        return;
    s->best_top = s->top;
    memcpy(s->best_offset, s->offset,
           (size_t)s->boxes->n * sizeof *s->best_offset);
}

static int by_key(const void *one, const void *two, void *arg)
{
    const double *key = arg;
    int a = *(const int *)one, b = *(const int *)two;

    return key[a] > key[b] ? -1 : key[a] < key[b] ? 1 : a - b;
}

static void try_keys(struct search *s)
{
    size_t n = (size_t)s->boxes->shapes;

    for (size_t i = 0; i < n; i++)
        s->order[i] = (int)i;
    qsort_r(s->order, n, sizeof *s->order, by_key, s->key);
    for (size_t i = 0; i < n; i++)
        s->rank[s->order[i]] = (uint32_t)i;
    s->top = dawni_skyline_place(s->skyline, s->rank, s->offset);
    keep(s);
}

/* Rules, products of powers. Only roots are taken and products: they are the
 * same to the last bit on all machines, and so is the packing. */

enum power { POW_0, POW_1, POW_1_2, POW_1_4, POW_3_4, POW_2 };

static double power(double x, enum power p)
{
    switch (p) {
    case POW_0:
        return 1;
    case POW_1_2:
        return sqrt(x);
    case POW_1_4:
        return sqrt(sqrt(x));
    case POW_3_4:
        return sqrt(x) * sqrt(sqrt(x));
    case POW_2:
        return x * x;
    default:
        return x;
    }
}

static void try_rules(struct search *s)
{
    static const struct {
        enum power bytes, life;
    } rule[] = {
        {POW_1, POW_1},   {POW_1_2, POW_1}, {POW_2, POW_1},
        {POW_1_4, POW_1}, {POW_0, POW_1},   {POW_1, POW_0},
        {POW_3_4, POW_1}, {POW_1, POW_1_4}, {POW_1, POW_3_4},
    };

    for (size_t r = 0; r < sizeof rule / sizeof *rule && goes_on(s); r++) {
        for (int i = 0; i < s->boxes->shapes; i++) {
            const struct dawni_shape *shape = &s->boxes->shape[i];
            s->key[i] = power((double)shape->bytes, rule[r].bytes) *
                        power((double)shape->life, rule[r].life);
        }
        try_keys(s);
        if (s->top >= s->best_key_top)
            continue;
        s->best_key_top = s->top;
        memcpy(s->best_key, s->key, (size_t)s->boxes->shapes * sizeof *s->key);
    }
}

/* Prefer the shapes of which some box sticks out, from the best keys on. */
static void try_raises(struct search *s)
{
    const struct dawni_boxes *boxes = s->boxes;
    size_t shapes = (size_t)boxes->shapes;

    if (!goes_on(s))
        return;
    memcpy(s->key, s->best_key, shapes * sizeof *s->key);
    try_keys(s); /* again, to see what sticks out */
    for (int round = 0; round < MOST_RAISES && goes_on(s); round++) {
        uint64_t limit = good(s);
        memset(s->sticks_out, 0, shapes * sizeof *s->sticks_out);
        for (int i = 0; i < boxes->n; i++)
            if (s->offset[i] + boxes->box[i].bytes > limit)
                s->sticks_out[boxes->box[i].shape] = true;
        for (size_t i = 0; i < shapes; i++)
            if (s->sticks_out[i])
                s->key[i] *= 2;
        try_keys(s);
    }
}

static bool make_room(struct search *s)
{
    int n = s->boxes->n, shapes = s->boxes->shapes;

    s->offset = dawni_calloc(n, sizeof *s->offset);
    s->best_offset = dawni_calloc(n, sizeof *s->best_offset);
    s->key = dawni_calloc(shapes, sizeof *s->key);
    s->best_key = dawni_calloc(shapes, sizeof *s->best_key);
    s->order = dawni_calloc(shapes, sizeof *s->order);
    s->rank = dawni_calloc(shapes, sizeof *s->rank);
    s->sticks_out = dawni_calloc(shapes, sizeof *s->sticks_out);
    return s->offset && s->best_offset && s->key && s->best_key && s->order &&
           s->rank && s->sticks_out;
}

static void release(struct search *s)
{
    dawni_skyline_destroy(s->skyline);
    free(s->offset);
    free(s->best_offset);
    free(s->key);
    free(s->best_key);
    free(s->order);
    free(s->rank);
    free(s->sticks_out);
}

static enum dawn_status try_tracks(struct search *s, int most,
                                   struct dawn_error *err)
{
    enum dawn_status st =
        dawni_tracks_place(s->boxes, most, good(s), s->offset, &s->top, err);

    if (!st)
        keep(s);
    return st;
}

static enum dawn_status find_packing(struct search *s, struct dawn_error *err)
{
    int n = s->boxes->n;
    enum dawn_status st;

    if (!make_room(s))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to pack %d extents",
                         s->boxes->n);
    s->best_top = s->best_key_top = UINT64_MAX;
    st = try_tracks(s, n > SPANS * FEW ? n / SPANS : FEW, err);
    if (!st && n <= MANY && goes_on(s))
        st = try_tracks(s, n, err);
    if (st || !goes_on(s))
        return st;
    st = dawni_skyline_create(s->boxes, &s->skyline, err);
    if (st)
        return st;
    try_rules(s);
    try_raises(s);
    return DAWN_OK;
}

/* Offsets of what lives all the time, and of the boxes above. */
static void write_offsets(const struct search *s, struct dawni_extent *extent,
                          int n)
{
    uint64_t base = 0;
    int first, last;

    if (!find_ends(extent, n, &first, &last))
        return;
    for (int i = 0; i < n; i++) {
        if (!is_live(&extent[i]) || extent[i].begin != first ||
            extent[i].end != last)
            continue;
        extent[i].offset = base;
        base += extent[i].bytes;
    }
    for (int i = 0; i < s->boxes->n; i++)
        extent[s->boxes->box[i].extent].offset = base + s->best_offset[i];
}

enum dawn_status dawni_pack(struct dawni_extent *extent, int n,
                            uint64_t *arena_bytes, struct dawn_error *err)
{
    struct dawni_boxes boxes;
    struct search s = {.boxes = &boxes};
    enum dawn_status st = DAWN_OK;

    if (!boxes_of(extent, n, &boxes, &s.lasting))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to pack %d extents", n);
    if (boxes.n)
        st = find_packing(&s, err);
    if (!st) {
        write_offsets(&s, extent, n);
        *arena_bytes = s.lasting + s.best_top;
    }
    release(&s);
    boxes_clear(&boxes);
    return st;
}
