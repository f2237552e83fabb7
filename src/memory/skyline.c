/* SPDX-License-Identifier: Apache-2.0 */
/* Packing by a skyline: for each time, how high the boxes are stacked. The
 * lowest valley gets the best box that lives only in it, on its ground; if
 * there is none, the valley is filled up to its lower neighbour. So no box ever
 * has to look for a gap.
 *
 * To find that box, boxes are kept in bins by the magnitude of their life, in
 * each bin by begin, under a tree of the best ranks. All boxes of a bin that
 * begin in a valley end in it too, but for the last few.
 */
#include "common/array.h"
#include "memory/packing.h"

#define FANOUT 16 /* of a tree; a power of two */
#define FANOUT_BITS 4
#define MOST_LEVELS 9 /* of a tree over an int of boxes */
#define MOST_BINS 16
#define GONE UINT32_MAX /* rank of a box that is placed */

struct bin { /* boxes of at least 4^k times, less than 4^(k+1) */
    int n;
    int *box;   /* by begin */
    int *end;   /* of each */
    int *first; /* [times + 1]: the first to begin then or later */
    int levels;
    int size[MOST_LEVELS];
    uint32_t *best[MOST_LEVELS]; /* ranks, and the best of FANOUT below */
};

struct valley {
    int begin, end; /* times */
    uint64_t ground;
    int before, behind; /* neighbours, -1: none */
    int place;          /* in the heap */
};

struct dawni_skyline {
    const struct dawni_boxes *boxes;
    struct bin bin[MOST_BINS];
    int bins;
    struct valley *valley;
    int valleys, unused; /* ever used; first of a list of those unused now */
    int *heap;           /* valleys, the lowest first */
    int heaped;
};

struct query { /* which box of a bin */
    const struct bin *bin;
    int low, high; /* boxes to choose from: low..high-1 */
    int end;       /* they must end by then */
    uint32_t best; /* found so far */
    int found;     /* -1: none */
};

/* Bins */

static int bin_of(const struct dawni_box *b)
{
    int life = b->end - b->begin + 1, k = 0;

    while (life >> (2 * k) >= 4)
        k++;
    return k;
}

static bool make_tree(struct bin *bin)
{
    int size = bin->n;

    while (bin->levels == 0 || bin->size[bin->levels - 1] > 1) {
        bin->best[bin->levels] =
            dawni_calloc(size, sizeof *bin->best[bin->levels]);
        if (!bin->best[bin->levels])
            return false;
        bin->size[bin->levels++] = size;
        size = (size + FANOUT - 1) / FANOUT;
    }
    return true;
}

static bool make_bin(struct bin *bin, const struct dawni_boxes *boxes, int k)
{
    int n = bin->n, at = 0;

    bin->box = dawni_calloc(n, sizeof *bin->box);
    bin->end = dawni_calloc(n, sizeof *bin->end);
    bin->first = dawni_calloc((int64_t)boxes->times + 1, sizeof *bin->first);
    if (!bin->box || !bin->end || !bin->first)
        return false;
    for (int i = 0; i < boxes->n; i++) {
        const struct dawni_box *b = &boxes->box[i];
        if (bin_of(b) != k)
            continue;
        bin->box[at] = i;
        bin->end[at++] = b->end;
        bin->first[b->begin + 1] = at;
    }
    for (int t = 1; t <= boxes->times; t++)
        if (bin->first[t] < bin->first[t - 1])
            bin->first[t] = bin->first[t - 1];
    return make_tree(bin);
}

/* The best of the children of a node. */
static uint32_t best_below(const struct bin *bin, int level, int node)
{
    const uint32_t *rank = bin->best[level - 1];
    int low = node * FANOUT, high = low + FANOUT;
    uint32_t best = GONE;

    if (high > bin->size[level - 1])
        high = bin->size[level - 1];
    for (int i = low; i < high; i++)
        best = rank[i] < best ? rank[i] : best;
    return best;
}

static void fill_bin(struct bin *bin, const struct dawni_boxes *boxes,
                     const uint32_t *rank)
{
    for (int i = 0; i < bin->n; i++)
        bin->best[0][i] = rank[boxes->box[bin->box[i]].shape];
    for (int level = 1; level < bin->levels; level++)
        for (int i = 0; i < bin->size[level]; i++)
            bin->best[level][i] = best_below(bin, level, i);
}

static void take(struct bin *bin, int i)
{
    bin->best[0][i] = GONE;
    for (int level = 1; level < bin->levels; level++) {
        i /= FANOUT;
        uint32_t best = best_below(bin, level, i);
        if (bin->best[level][i] == best)
            return;
        bin->best[level][i] = best;
    }
}

/* Look through the nodes low..high-1 of a level. */
static void search(struct query *q, int level, int low, int high)
{
    const uint32_t *best = q->bin->best[level];

    for (int i = low; i < high; i++) {
        if (best[i] >= q->best)
            continue;
        if (level == 0) {
            if (q->bin->end[i] > q->end)
                continue;
            q->best = best[i];
            q->found = i;
            continue;
        }
        int shift = FANOUT_BITS * (level - 1);
        int from = q->low >> shift, to = ((q->high - 1) >> shift) + 1;
        search(q, level - 1, i * FANOUT > from ? i * FANOUT : from,
               (i + 1) * FANOUT < to ? (i + 1) * FANOUT : to);
    }
}

/* The best box of the bin that lives within the valley. */
static void search_bin(struct query *q, int least_life, const struct valley *v)
{
    const struct bin *bin = q->bin;
    int level = 0;

    q->low = bin->first[v->begin];
    q->high = bin->first[v->end - least_life + 2];
    while (level + 1 < bin->levels &&
           q->high - q->low > (int64_t)FANOUT << (FANOUT_BITS * level))
        level++;
    if (q->low < q->high)
        search(q, level, q->low >> (FANOUT_BITS * level),
               ((q->high - 1) >> (FANOUT_BITS * level)) + 1);
}

/* The best of all boxes that live within the valley, taken out of its bin; -1:
 * there is none. */
static int take_best(struct dawni_skyline *s, const struct valley *v)
{
    struct query q = {.end = v->end, .best = GONE, .found = -1};
    int from = -1, found = -1;

    for (int k = s->bins - 1; k >= 0; k--) {
        struct bin *bin = &s->bin[k];
        if (1 << (2 * k) > v->end - v->begin + 1 || bin->n == 0 ||
            bin->best[bin->levels - 1][0] >= q.best)
            continue;
        q.bin = bin;
        q.found = -1;
        search_bin(&q, 1 << (2 * k), v);
        if (q.found < 0)
            continue;
        from = k;
        found = q.found;
    }
    if (found < 0)
        return -1;
    take(&s->bin[from], found);
    return s->bin[from].box[found];
}

/* Valleys */

static bool is_lower(const struct dawni_skyline *s, int a, int b)
{
    const struct valley *x = &s->valley[a], *y = &s->valley[b];

    return x->ground < y->ground ||
           (x->ground == y->ground && x->begin < y->begin);
}

static void heap_set(struct dawni_skyline *s, int place, int valley)
{
    s->heap[place] = valley;
    s->valley[valley].place = place;
}

/* Put a valley where it belongs in the heap, from where it is. */
static void heap_move(struct dawni_skyline *s, int valley)
{
    int at = s->valley[valley].place;

    while (at > 0 && is_lower(s, valley, s->heap[(at - 1) / 2])) {
        heap_set(s, at, s->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (int below = 2 * at + 1; below < s->heaped; below = 2 * at + 1) {
        if (below + 1 < s->heaped &&
            is_lower(s, s->heap[below + 1], s->heap[below]))
            below++;
        if (!is_lower(s, s->heap[below], valley))
            break;
        heap_set(s, at, s->heap[below]);
        at = below;
    }
    heap_set(s, at, valley);
}

static void link_valleys(struct dawni_skyline *s, int before, int behind)
{
    if (before >= 0)
        s->valley[before].behind = behind;
    if (behind >= 0)
        s->valley[behind].before = before;
}

/* Valleys never share a time, and room is for one more than there are times. */
static int add_valley(struct dawni_skyline *s, int begin, int end,
                      uint64_t ground)
{
    int v = s->unused;

    if (v >= 0)
        s->unused = s->valley[v].behind;
    else
        v = s->valleys++;
    s->valley[v] = (struct valley){begin, end, ground, -1, -1, s->heaped};
    heap_set(s, s->heaped++, v);
    heap_move(s, v);
    return v;
}

static void remove_valley(struct dawni_skyline *s, int v)
{
    int moved = s->heap[--s->heaped], place = s->valley[v].place;

    if (moved != v) {
        heap_set(s, place, moved);
        heap_move(s, moved);
    }
    link_valleys(s, s->valley[v].before, s->valley[v].behind);
    s->valley[v].behind = s->unused;
    s->unused = v;
}

/* The ground of v has risen: join neighbours that are level with it. */
static void raise_valley(struct dawni_skyline *s, int v, uint64_t ground)
{
    struct valley *valley = s->valley;
    int before = valley[v].before, behind = valley[v].behind;

    valley[v].ground = ground;
    heap_move(s, v);
    if (behind >= 0 && valley[behind].ground == ground) {
        valley[v].end = valley[behind].end;
        remove_valley(s, behind);
    }
    if (before >= 0 && valley[before].ground == ground) {
        valley[before].end = valley[v].end;
        remove_valley(s, v);
    }
}

/* Up to its lower neighbour. */
static void fill_up(struct dawni_skyline *s, int v)
{
    const struct valley *x = &s->valley[v];
    uint64_t ground = UINT64_MAX;

    if (x->before >= 0)
        ground = s->valley[x->before].ground;
    if (x->behind >= 0 && s->valley[x->behind].ground < ground)
        ground = s->valley[x->behind].ground;
    raise_valley(s, v, ground);
}

/* A box stands in v: split off what is beside it. */
static void build(struct dawni_skyline *s, int v, const struct dawni_box *b)
{
    struct valley was = s->valley[v];

    s->valley[v].begin = b->begin;
    s->valley[v].end = b->end;
    if (b->begin > was.begin) {
        int left = add_valley(s, was.begin, b->begin - 1, was.ground);
        link_valleys(s, was.before, left);
        link_valleys(s, left, v);
    }
    if (b->end < was.end) {
        int right = add_valley(s, b->end + 1, was.end, was.ground);
        link_valleys(s, right, was.behind);
        link_valleys(s, v, right);
    }
    raise_valley(s, v, was.ground + b->bytes);
}

uint64_t dawni_skyline_place(struct dawni_skyline *s, const uint32_t *rank,
                             uint64_t *offset)
{
    const struct dawni_boxes *boxes = s->boxes;
    uint64_t top = 0;

    for (int k = 0; k < s->bins; k++)
        fill_bin(&s->bin[k], boxes, rank);
    s->valleys = s->heaped = 0;
    s->unused = -1;
    add_valley(s, 0, boxes->times - 1, 0);
    for (int placed = 0; placed < boxes->n;) {
        int v = s->heap[0], b = take_best(s, &s->valley[v]);
        if (b < 0) {
            fill_up(s, v);
            continue;
        }
        offset[b] = s->valley[v].ground;
        if (offset[b] + boxes->box[b].bytes > top)
            top = offset[b] + boxes->box[b].bytes;
        build(s, v, &boxes->box[b]);
        placed++;
    }
    return top;
}

/* The object */

static bool make_room(struct dawni_skyline *s)
{
    const struct dawni_boxes *boxes = s->boxes;
    int64_t room = (int64_t)boxes->times + 2;
    bool whole;

    for (int i = 0; i < boxes->n; i++) {
        int k = bin_of(&boxes->box[i]);
        s->bin[k].n++;
        s->bins = k >= s->bins ? k + 1 : s->bins;
    }
    s->valley = dawni_calloc(room, sizeof *s->valley);
    s->heap = dawni_calloc(room, sizeof *s->heap);
    whole = s->valley && s->heap;
    for (int k = 0; k < s->bins && whole; k++)
        whole = make_bin(&s->bin[k], boxes, k);
    return whole;
}

enum dawn_status dawni_skyline_create(const struct dawni_boxes *boxes,
                                      struct dawni_skyline **skyline_p,
                                      struct dawn_error *err)
{
    struct dawni_skyline *s = calloc(1, sizeof *s);

    if (s)
        s->boxes = boxes;
    if (!s || !make_room(s)) {
        dawni_skyline_destroy(s);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to pack %d extents",
                         boxes->n);
    }
    *skyline_p = s;
    return DAWN_OK;
}

void dawni_skyline_destroy(struct dawni_skyline *s)
{
    if (!s)
        return;
    for (int k = 0; k < s->bins; k++) {
        free(s->bin[k].box);
        free(s->bin[k].end);
        free(s->bin[k].first);
        for (int level = 0; level < s->bin[k].levels; level++)
            free(s->bin[k].best[level]);
    }
    free(s->valley);
    free(s->heap);
    free(s);
}
