/* SPDX-License-Identifier: Apache-2.0 */
/* Offline packing. Extents are placed one after the other, each at the lowest
 * offset, or in the smallest gap, that is free during its life. What decides is
 * the order; several are tried until one comes close to the bound. If none
 * does, the extents that stick out above the bound are moved to the front of
 * the best order and it is tried again.
 *
 * To find the gaps, the extents already placed are looked through by offset.
 * Time is cut into buckets, coarse and fine, each with a list of what is placed
 * and live in it; an extent looks through the finest bucket that holds its
 * whole life.
 */
#include "memory/pack.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS 5       /* level k has 4^k buckets of equal time */
#define GOOD 1.002     /* arena / bound at which no more orders are tried */
#define WORK 100000000 /* entries looked at or moved before giving up */
#define PROMOTIONS 32

struct entry {
    uint64_t offset, top;
    int begin, end;
};

struct bucket {
    struct entry *entry; /* by offset */
    int n, room;
};

/* Load: bytes live at one time. */
struct load {
    int at; /* a time at which an extent begins */
    uint64_t bytes;
};

struct packer {
    const struct dawni_extent *extent;
    int n;
    int first, last; /* times */
    uint64_t base;   /* what lives all the time ends here */
    uint64_t bound;
    struct bucket *bucket[LEVELS];
    int *order, *best_order; /* of extents that are to be placed */
    int placed;              /* how many they are */
    uint64_t *offset, *best_offset;
    uint64_t arena, best_arena;
    uint64_t *peak; /* by extent: largest load during its life */
    int64_t work;
    struct dawn_error *err;
};

static bool is_live(const struct dawni_extent *e)
{
    return e->bytes > 0 && e->begin <= e->end;
}

/* Loads */

static int compare_begins(const void *one, const void *two)
{
    const struct dawni_extent *a = one, *b = two;

    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static int compare_ends(const void *one, const void *two)
{
    const struct dawni_extent *a = one, *b = two;

    return a->end < b->end ? -1 : a->end > b->end;
}

/* The load at each time at which an extent begins, ascending; between two of
 * them it never rises. Returns how many times, -1 without memory. */
static int find_loads(const struct dawni_extent *extent, int n,
                      struct load **load_p)
{
    size_t room = (size_t)n + 1;
    struct dawni_extent *begin = malloc(room * sizeof *begin);
    struct dawni_extent *end = malloc(room * sizeof *end);
    struct load *load = malloc(room * sizeof *load);
    int lives = 0, loads = -1;
    uint64_t now = 0;

    if (!begin || !end || !load)
        goto done;
    for (int i = 0; i < n; i++)
        if (is_live(&extent[i]))
            begin[lives++] = extent[i];
    memcpy(end, begin, (size_t)lives * sizeof *end);
    qsort(begin, (size_t)lives, sizeof *begin, compare_begins);
    qsort(end, (size_t)lives, sizeof *end, compare_ends);
    loads = 0;
    for (int i = 0, k = 0; i < lives; i++) {
        now += begin[i].bytes;
        if (i + 1 < lives && begin[i + 1].begin == begin[i].begin)
            continue;
        for (; end[k].end < begin[i].begin; k++)
            now -= end[k].bytes;
        load[loads++] = (struct load){begin[i].begin, now};
    }
    *load_p = load;
    load = NULL;
done:
    free(begin);
    free(end);
    free(load);
    return loads;
}

uint64_t dawni_pack_bound(const struct dawni_extent *extent, int n)
{
    struct load *load = NULL;
    int loads = find_loads(extent, n, &load);
    uint64_t most = 0;

    for (int i = 0; i < loads; i++)
        if (load[i].bytes > most)
            most = load[i].bytes;
    free(load);
    return most;
}

/* Index of the first load at `at` or later. */
static int load_index(const struct load *load, int loads, int64_t at)
{
    int low = 0, high = loads;

    while (low < high) {
        int mid = low + (high - low) / 2;

        if (load[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* most[k * loads + i]: the largest of loads i to i + 2^k - 1, for all k that
 * matter. NULL without memory. */
static uint64_t *run_maxima(const struct load *load, int loads)
{
    size_t row = (size_t)loads, levels = 1;
    uint64_t *most;

    while (loads >= 1 << levels)
        levels++;
    most = malloc((row * levels + 1) * sizeof *most);
    for (int i = 0; most && i < loads; i++)
        most[i] = load[i].bytes;
    for (size_t k = 1; most && k < levels; k++)
        for (size_t i = 0; i + ((size_t)1 << k) <= row; i++) {
            const uint64_t *run = &most[row * (k - 1) + i];
            uint64_t a = run[0], b = run[(size_t)1 << (k - 1)];

            most[row * k + i] = a > b ? a : b;
        }
    return most;
}

/* Largest load during each extent's life: two runs cover any life. */
static enum dawn_status find_peaks(struct packer *p)
{
    struct load *load = NULL;
    int loads = find_loads(p->extent, p->n, &load);
    uint64_t *most = loads >= 0 ? run_maxima(load, loads) : NULL;

    for (int i = 0; most && i < p->n; i++) {
        const struct dawni_extent *e = &p->extent[i];
        size_t begin, end, k = 0;
        uint64_t a, b;

        if (!is_live(e))
            continue;
        begin = (size_t)load_index(load, loads, e->begin);
        end = (size_t)load_index(load, loads, (int64_t)e->end + 1);
        while ((size_t)2 << k <= end - begin)
            k++;
        a = most[(size_t)loads * k + begin];
        b = most[(size_t)loads * k + end - ((size_t)1 << k)];
        p->peak[i] = a > b ? a : b;
        if (p->peak[i] > p->bound)
            p->bound = p->peak[i];
    }
    free(load);
    free(most);
    return most ? DAWN_OK
                : dawn_fail(p->err, DAWN_E_NOMEM,
                            "no memory to pack %d extents", p->n);
}

/* Placing */

static int bucket_of(const struct packer *p, int level, int at)
{
    int64_t span = (int64_t)p->last - p->first + 1;

    return (int)((((int64_t)at - p->first) << (2 * level)) / span);
}

/* The finest bucket in which the whole life of an extent lies. */
static const struct bucket *bucket_around(const struct packer *p,
                                          const struct dawni_extent *e)
{
    int level = LEVELS - 1;

    while (bucket_of(p, level, e->begin) != bucket_of(p, level, e->end))
        level--;
    return &p->bucket[level][bucket_of(p, level, e->begin)];
}

/* The lowest offset, or that of the smallest gap, in which `e` is free to live;
 * the smallest gap may be the open one at the top. */
static uint64_t find_offset(struct packer *p, const struct dawni_extent *e,
                            bool smallest)
{
    const struct bucket *b = bucket_around(p, e);
    uint64_t top = p->base, gap = UINT64_MAX, offset = 0;
    int i;

    for (i = 0; i < b->n; i++) {
        const struct entry *x = &b->entry[i];

        if (x->begin > e->end || x->end < e->begin)
            continue;
        if (x->offset >= top + e->bytes && x->offset - top < gap) {
            gap = x->offset - top;
            offset = top;
            if (!smallest || gap == e->bytes)
                break;
        }
        if (x->top > top)
            top = x->top;
    }
    p->work += i;
    return gap == UINT64_MAX ? top : offset;
}

static enum dawn_status bucket_insert(struct packer *p, struct bucket *b,
                                      const struct entry *entry)
{
    int low = 0, high = b->n;

    if (b->n == b->room) {
        int room = b->room ? 2 * b->room : 32;
        struct entry *grown = realloc(b->entry, (size_t)room * sizeof *grown);

        if (!grown)
            return dawn_fail(p->err, DAWN_E_NOMEM,
                             "no memory to pack %d extents", p->n);
        b->entry = grown;
        b->room = room;
    }
    while (low < high) {
        int mid = low + (high - low) / 2;

        if (b->entry[mid].offset <= entry->offset)
            low = mid + 1;
        else
            high = mid;
    }
    memmove(&b->entry[low + 1], &b->entry[low],
            (size_t)(b->n - low) * sizeof *b->entry);
    p->work += 8 + (b->n - low) / 4;
    b->entry[low] = *entry;
    b->n++;
    return DAWN_OK;
}

static enum dawn_status place(struct packer *p, int i, uint64_t offset)
{
    const struct dawni_extent *e = &p->extent[i];
    struct entry entry = {offset, offset + e->bytes, e->begin, e->end};
    enum dawn_status st;

    p->offset[i] = offset;
    if (entry.top > p->arena)
        p->arena = entry.top;
    for (int level = 0; level < LEVELS; level++) {
        int last = bucket_of(p, level, e->end);

        for (int k = bucket_of(p, level, e->begin); k <= last; k++)
            if ((st = bucket_insert(p, &p->bucket[level][k], &entry)))
                return st;
    }
    return DAWN_OK;
}

/* Place all in the present order; keep the result if it is the best so far. */
static enum dawn_status try_order(struct packer *p, bool smallest)
{
    enum dawn_status st;

    for (int level = 0; level < LEVELS; level++)
        for (int k = 0; k < 1 << (2 * level); k++)
            p->bucket[level][k].n = 0;
    p->arena = p->base;
    for (int i = 0; i < p->placed; i++) {
        const struct dawni_extent *e = &p->extent[p->order[i]];

        if ((st = place(p, p->order[i], find_offset(p, e, smallest))))
            return st;
    }
    if (p->arena < p->best_arena) {
        size_t n = (size_t)p->n, placed = (size_t)p->placed;

        p->best_arena = p->arena;
        memcpy(p->best_offset, p->offset, n * sizeof *p->offset);
        memcpy(p->best_order, p->order, placed * sizeof *p->order);
    }
    return DAWN_OK;
}

/* Orders: by two keys, largest first, then by number */

struct key {
    uint64_t major, minor;
    int i;
};

enum order {
    BY_LIFE,
    BY_SIZE,
    BY_AREA,
    BY_PEAK_AND_LIFE,
    BY_PEAK_AND_SIZE,
    BY_BEGIN
};

static struct key make_key(const struct packer *p, int i, enum order by)
{
    const struct dawni_extent *e = &p->extent[i];
    uint64_t life = (uint64_t)((int64_t)e->end - e->begin) + 1;

    switch (by) {
    case BY_LIFE:
        return (struct key){life, e->bytes, i};
    case BY_SIZE:
        return (struct key){e->bytes, life, i};
    case BY_AREA:
        return (struct key){e->bytes / 64 * life, e->bytes, i};
    case BY_PEAK_AND_LIFE:
        return (struct key){p->peak[i], life, i};
    case BY_PEAK_AND_SIZE:
        return (struct key){p->peak[i], e->bytes, i};
    default:
        return (struct key){(uint64_t)((int64_t)p->last - e->begin), e->bytes,
                            i};
    }
}

static int compare_keys(const void *one, const void *two)
{
    const struct key *a = one, *b = two;

    if (a->major != b->major)
        return a->major > b->major ? -1 : 1;
    if (a->minor != b->minor)
        return a->minor > b->minor ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

static enum dawn_status make_order(struct packer *p, enum order by)
{
    struct key *key = malloc(((size_t)p->placed + 1) * sizeof *key);

    if (!key)
        return dawn_fail(p->err, DAWN_E_NOMEM, "no memory to pack %d extents",
                         p->n);
    for (int i = 0; i < p->placed; i++)
        key[i] = make_key(p, p->order[i], by);
    qsort(key, (size_t)p->placed, sizeof *key, compare_keys);
    for (int i = 0; i < p->placed; i++)
        p->order[i] = key[i].i;
    free(key);
    return DAWN_OK;
}

static bool good_enough(const struct packer *p)
{
    return (double)p->best_arena <= GOOD * (double)p->bound || p->work > WORK;
}

static enum dawn_status try_orders(struct packer *p)
{
    static const struct {
        enum order by;
        bool smallest;
    } plan[] = {
        {BY_LIFE, false}, {BY_AREA, false},          {BY_SIZE, false},
        {BY_LIFE, true},  {BY_PEAK_AND_LIFE, false}, {BY_PEAK_AND_SIZE, false},
        {BY_SIZE, true},  {BY_BEGIN, true},          {BY_AREA, true},
    };
    enum dawn_status st;

    for (size_t i = 0; i < sizeof plan / sizeof plan[0]; i++) {
        if ((st = make_order(p, plan[i].by)) ||
            (st = try_order(p, plan[i].smallest)))
            return st;
        if (good_enough(p))
            return DAWN_OK;
    }
    return DAWN_OK;
}

/* Move the extents that end above the bound to the front, keeping the order
 * otherwise. p->offset is what p->order led to. */
static void promote(struct packer *p, int *scratch)
{
    int up = 0, rest = 0;

    for (int i = 0; i < p->placed; i++) {
        int id = p->order[i];

        if (p->offset[id] + p->extent[id].bytes > p->bound)
            p->order[up++] = id;
        else
            scratch[rest++] = id;
    }
    memmove(&p->order[up], scratch, (size_t)rest * sizeof *scratch);
}

static enum dawn_status try_promotions(struct packer *p)
{
    size_t room = (size_t)p->placed + 1;
    int *scratch = malloc(room * sizeof *scratch);
    enum dawn_status st = DAWN_OK;

    if (!scratch)
        return dawn_fail(p->err, DAWN_E_NOMEM, "no memory to pack %d extents",
                         p->n);
    memcpy(p->order, p->best_order, (size_t)p->placed * sizeof *p->order);
    memcpy(p->offset, p->best_offset, (size_t)p->n * sizeof *p->offset);
    for (int i = 0; i < PROMOTIONS && !good_enough(p) && !st; i++) {
        promote(p, scratch);
        st = try_order(p, false);
    }
    free(scratch);
    return st;
}

/* The whole */

static enum dawn_status make_room(struct packer *p)
{
    size_t n = (size_t)p->n + 1;
    bool room = true;

    for (int level = 0; level < LEVELS; level++) {
        p->bucket[level] =
            calloc((size_t)1 << (2 * level), sizeof *p->bucket[level]);
        room &= p->bucket[level] != NULL;
    }
    p->order = malloc(n * sizeof *p->order);
    p->best_order = malloc(n * sizeof *p->best_order);
    p->offset = calloc(n, sizeof *p->offset);
    p->best_offset = calloc(n, sizeof *p->best_offset);
    p->peak = calloc(n, sizeof *p->peak);
    if (!room || !p->order || !p->best_order || !p->offset || !p->best_offset ||
        !p->peak)
        return dawn_fail(p->err, DAWN_E_NOMEM, "no memory to pack %d extents",
                         p->n);
    return DAWN_OK;
}

static void release(struct packer *p)
{
    for (int level = 0; level < LEVELS; level++) {
        for (int k = 0; p->bucket[level] && k < 1 << (2 * level); k++)
            free(p->bucket[level][k].entry);
        free(p->bucket[level]);
    }
    free(p->order);
    free(p->best_order);
    free(p->offset);
    free(p->best_offset);
    free(p->peak);
}

/* What lives all the time goes to the bottom, once for all orders. */
static void place_lasting(struct packer *p)
{
    p->first = INT_MAX;
    p->last = INT_MIN;
    for (int i = 0; i < p->n; i++) {
        const struct dawni_extent *e = &p->extent[i];

        if (is_live(e) && e->begin < p->first)
            p->first = e->begin;
        if (is_live(e) && e->end > p->last)
            p->last = e->end;
    }
    for (int i = 0; i < p->n; i++) {
        const struct dawni_extent *e = &p->extent[i];

        if (!is_live(e))
            continue;
        if (e->begin > p->first || e->end < p->last) {
            p->order[p->placed++] = i;
            continue;
        }
        p->offset[i] = p->best_offset[i] = p->base;
        p->base += e->bytes;
    }
}

enum dawn_status dawni_pack(struct dawni_extent *extent, int n,
                            uint64_t *arena_bytes, struct dawn_error *err)
{
    struct packer p = {.extent = extent, .n = n, .err = err};
    enum dawn_status st;

    if ((st = make_room(&p)))
        goto fail;
    place_lasting(&p);
    p.best_arena = p.placed ? UINT64_MAX : p.base;
    if ((st = find_peaks(&p)) || (st = try_orders(&p)))
        goto fail;
    if (!good_enough(&p) && (st = try_promotions(&p)))
        goto fail;
    for (int i = 0; i < n; i++)
        extent[i].offset = p.best_offset[i];
    *arena_bytes = p.best_arena;
fail:
    release(&p);
    return st;
}
