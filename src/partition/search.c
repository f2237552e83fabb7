/* SPDX-License-Identifier: Apache-2.0 */
/* Sets that j stages can hold, j = 1, 2, ... */
#include "partition/search.h"
#include "common/array.h"
#include "partition/devices.h"

/* Choices of devices left to go on with, for a number of stages. */
#define MOST_STATES 256

/* Sets that one more stage can make, before those that matter are chosen. */
#define MOST_ENTRIES 1000000

struct entry { /* a set that some stages can hold */
    int set;
    int from;   /* entry that it extends; -1: the empty set */
    int device; /* of its last stage, and what is left: see devices.h */
    uint64_t left;
    double worth;
};

struct frame { /* of the walk through larger sets */
    int set, link;
    int place;   /* what was added to come here; -1: the walk began here */
    bool larger; /* some larger one fits */
};

struct dawni_search {
    struct dawni_instance *in;
    const struct dawni_lattice *lattice;
    struct dawni_load *load;
    const struct dawni_search_opts *opts;
    struct dawni_search_result *result;
    struct dawni_devices devices;
    struct entry *entry; /* of all levels, one behind the other */
    int entries, entry_room;
    int *seen; /* by set: 2 * walk, + 1 if it fits */
    int walk;
    uint8_t *reach;      /* by place: it fits to fill gaps up to here */
    struct frame *frame; /* [n + 1] */
    int *path;           /* [n + 1]: sets, by nodes in the load */
    int *place;          /* by node */
    struct dawni_device_choice *choice; /* [types] */
    uint64_t *member;                   /* of entries that are compared */
    int member_room;
    int stage; /* the one at hand, 0 is the last one */
    bool stop, out_of_memory;
};

enum dawn_status dawni_search_create(struct dawni_instance *in,
                                     const struct dawni_lattice *lattice,
                                     struct dawni_load *load,
                                     struct dawni_search **q_p,
                                     struct dawn_error *err)
{
    struct dawni_search *q = calloc(1, sizeof *q);

    if (!q)
        goto no_memory;
    q->in = in;
    q->lattice = lattice;
    q->load = load;
    q->seen = dawni_calloc(lattice->sets, sizeof *q->seen);
    q->choice = dawni_calloc(in->types, sizeof *q->choice);
    q->reach = dawni_calloc(in->n, sizeof *q->reach);
    q->frame = dawni_calloc((int64_t)in->n + 1, sizeof *q->frame);
    q->path = dawni_calloc((int64_t)in->n + 1, sizeof *q->path);
    q->place = dawni_calloc(in->n, sizeof *q->place);
    if (!q->path || !q->place || !q->seen || !q->choice || !q->reach ||
        !q->frame || !dawni_devices_init(&q->devices, in))
        goto no_memory;
    for (int i = 0; i < in->n; i++)
        q->place[lattice->order[i]] = i;
    *q_p = q;
    return DAWN_OK;
no_memory:
    dawni_search_destroy(q);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory to search %d nodes", in->n);
}

void dawni_search_destroy(struct dawni_search *q)
{
    if (!q)
        return;
    dawni_devices_clear(&q->devices);
    free(q->entry);
    free(q->seen);
    free(q->choice);
    free(q->reach);
    free(q->frame);
    free(q->path);
    free(q->place);
    free(q->member);
    free(q);
}

static bool fits(struct dawni_search *q)
{
    int64_t bound = 0;

    switch (dawni_load_test(q->load, &bound)) {
    case DAWNI_FITS:
        return true;
    case DAWNI_FITS_NOT:
        if (bound < q->result->refused)
            q->result->refused = bound;
        return false;
    default:
        q->result->complete = false;
        return false;
    }
}

static void add_entry(struct dawni_search *q, const struct entry *like, int set)
{
    if (!dawni_array_reserve(&q->entry, &q->entry_room, q->entries + 1)) {
        q->out_of_memory = true;
        return;
    }
    q->entry[q->entries] = *like;
    q->entry[q->entries++].set = set;
}

/* Fill gaps until the load, empty at q->path[0], holds `count` nodes, or drop
 * some. *set: the set at hand. Returns how many there are: less where no more
 * can be. */
static int fill_to(struct dawni_search *q, int *set, int count, int most)
{
    const struct dawni_lattice *la = q->lattice;

    while (q->load->n < count && la->size[*set] < most) {
        int link = la->larger_at[*set];
        dawni_load_add(q->load, la->order[la->more[link]]);
        q->path[q->load->n] = *set = la->larger[link];
    }
    if (q->load->n > count)
        dawni_load_drop(q->load, q->load->n - count);
    *set = q->path[q->load->n];
    return q->load->n;
}

/* Fill gaps while it fits; the set that is reached. Where tests are dear, by
 * leaps: what holds less always fits. */
static int fill_gaps(struct dawni_search *q, int set, int most)
{
    int good = 0, bad = INT_MAX, leap = 1;

    q->path[0] = set;
    while (bad - good > 1) {
        int wanted = bad < INT_MAX ? good + (bad - good) / 2 : good + leap;
        int count = fill_to(q, &set, wanted, most);
        if (count == good)
            break;
        if (!fits(q)) {
            bad = count;
            continue;
        }
        good = count;
        if (q->in->tier > 0)
            leap *= 2;
    }
    fill_to(q, &set, good, most);
    for (int i = 0; i < good; i++)
        q->reach[q->place[q->load->node[i]]] = 1;
    return set;
}

/* Go on from the set at the top of the walk by one node, or back. */
static void walk_on(struct dawni_search *q, struct frame **top, int most,
                    int *outside)
{
    const struct dawni_lattice *la = q->lattice;
    struct frame *f = *top;
    int link = f->link++, larger = la->larger[link], place = la->more[link];

    if (q->seen[larger] / 2 == q->walk) {
        f->larger = f->larger || q->seen[larger] % 2;
        return;
    }
    dawni_load_add(q->load, la->order[place]);
    *outside += !q->reach[place];
    q->seen[larger] = 2 * q->walk;
    if (*outside && !fits(q)) {
        *outside -= !q->reach[place];
        dawni_load_drop(q->load, 1);
        return;
    }
    q->seen[larger]++;
    f->larger = true;
    *++*top = (struct frame){larger, la->larger_at[larger], place, false};
    if (la->size[larger] == most)
        (*top)->link = la->larger_at[larger + 1];
    q->stop = q->in->work > q->opts->end_work;
}

/* All sets larger than `set` and of at most `most` nodes that fit, depth first.
 * The load holds what `set` adds; sets within the reach are known to fit. */
static void walk_larger(struct dawni_search *q, int set, int most,
                        const struct entry *like)
{
    const struct dawni_lattice *la = q->lattice;
    bool all = q->opts->kind == DAWNI_SEARCH_FULL;
    int outside = 0, empty = q->entry[like->from].set;
    struct frame *f = q->frame;

    *f = (struct frame){set, la->larger_at[set + (la->size[set] == most)], -1,
                        false};
    q->walk++;
    while (!q->stop && !q->out_of_memory) {
        if (f->link < la->larger_at[f->set + 1]) {
            walk_on(q, &f, most, &outside);
            continue;
        }
        if ((all || !f->larger) && f->set != empty)
            add_entry(q, like, f->set);
        if (f->place < 0)
            break;
        outside -= !q->reach[f->place];
        dawni_load_drop(q->load, 1);
        f--;
    }
}

/* Extend an entry by a stage on a device, in all ways that cannot go further.
 * `most`: nodes that later stages leave. */
static void extend(struct dawni_search *q, int from, int y, int most,
                   const struct dawni_device_choice *choice)
{
    const struct dawni_lattice *la = q->lattice;
    struct entry like = {
        .from = from, .device = choice->device, .left = choice->left};
    int set = q->entry[from].set, gap;

    dawni_load_begin(q->load, &q->in->type[choice->type], y, q->opts->limit);
    gap = la->gap[fill_gaps(q, set, most)];
    dawni_load_drop(q->load, q->load->n);
    if (q->opts->kind != DAWNI_SEARCH_FULL)
        while (la->gap[set] < gap - la->window) {
            int link = la->larger_at[set];
            dawni_load_add(q->load, la->order[la->more[link]]);
            set = la->larger[link];
        }
    walk_larger(q, set, most, &like);
    dawni_load_drop(q->load, q->load->n);
    memset(q->reach, 0, (size_t)q->in->n);
}

/* Most devices left first, then the largest sets. */
static int compare_entries(const void *a, const void *b, void *arg)
{
    const struct entry *x = a, *y = b;
    const int *size = ((const struct dawni_search *)arg)->lattice->size;

    if (x->left != y->left)
        return x->left > y->left ? -1 : 1;
    if (size[x->set] != size[y->set])
        return size[x->set] > size[y->set] ? -1 : 1;
    if (x->set != y->set)
        return x->set < y->set ? -1 : 1;
    return (x->from > y->from) - (x->from < y->from);
}

static int compare_worths(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->worth != y->worth)
        return x->worth > y->worth ? -1 : 1;
    return (x->set > y->set) - (x->set < y->set);
}

/* Is a set in one of the `kept` before it? Adds its members if not. */
static bool is_within(struct dawni_search *q, int set, int kept)
{
    const struct dawni_lattice *la = q->lattice;
    int words = (q->in->n + 63) / 64;
    uint64_t *mine;

    if (!dawni_array_reserve(&q->member, &q->member_room, (kept + 1) * words)) {
        q->out_of_memory = true;
        return true;
    }
    mine = &q->member[(size_t)kept * (size_t)words];
    memset(mine, 0, (size_t)words * sizeof *mine);
    for (int s = set; s; s = la->smaller[s])
        mine[la->added[s] / 64] |= UINT64_C(1) << (la->added[s] % 64);
    for (int i = 0; i < kept; i++) {
        const uint64_t *other = &q->member[(size_t)i * (size_t)words];
        int w = 0;
        while (w < words && !(mine[w] & ~other[w]))
            w++;
        q->in->work++;
        if (w == words)
            return true;
    }
    q->in->work += la->size[set] / 2;
    return false;
}

static double worth_of(const struct dawni_search *q, int set)
{
    const struct dawni_lattice *la = q->lattice;
    const double *of = &q->opts->worth[(size_t)q->stage * (size_t)la->n];
    double worth = 0;

    for (; set; set = la->smaller[set])
        worth += of[la->order[la->added[set]]];
    return worth;
}

/* Of entries with the same devices left, keep those that matter; they are moved
 * to `to`. Returns the end of what is kept. */
static int choose_entries(struct dawni_search *q, int begin, int end, int to)
{
    int first = to, kept;

    for (int i = begin; i < end; i++) {
        int set = q->entry[i].set;
        if (i > begin && set == q->entry[i - 1].set)
            continue;
        if (q->opts->kind == DAWNI_SEARCH_FULL ||
            !is_within(q, set, to - first))
            q->entry[to++] = q->entry[i];
    }
    kept = to - first;
    if (kept <= q->opts->most_entries)
        return to;
    q->result->complete = false;
    for (int i = first; i < to; i++)
        q->entry[i].worth = worth_of(q, q->entry[i].set);
    qsort(&q->entry[first], (size_t)kept, sizeof *q->entry, compare_worths);
    return first + q->opts->most_entries;
}

/* Keep what matters of the entries from `begin` on. */
static void choose_level(struct dawni_search *q, int begin)
{
    int to = begin, states = 0;

    if (q->entries - begin > 1)
        qsort_r(&q->entry[begin], (size_t)(q->entries - begin),
                sizeof *q->entry, compare_entries, q);
    for (int i = begin, end; i < q->entries; i = end) {
        for (end = i; end < q->entries; end++)
            if (q->entry[end].left != q->entry[i].left)
                break;
        if (states++ < MOST_STATES)
            to = choose_entries(q, i, end, to);
        else
            q->result->complete = false;
    }
    q->entries = to;
}

/* Extend all entries of a level by the stage that is `last`-th from the end.
 * Returns an entry that holds all nodes, or -1. */
static int next_level(struct dawni_search *q, int begin, int last)
{
    bool all = q->opts->kind != DAWNI_SEARCH_ANY;
    int most = all ? q->in->n - (q->in->l - last) : q->in->n;
    int end = q->entries, y = dawni_in_flight(q->in, last);

    q->stage = last - 1;
    for (int i = begin; i < end && !q->stop; i++) {
        int choices = dawni_devices_choices(&q->devices, q->entry[i].left, all,
                                            q->choice);
        for (int j = 0; j < choices && !q->stop; j++) {
            int before = q->entries;
            extend(q, i, y, most, &q->choice[j]);
            for (int k = before; k < q->entries; k++)
                if (q->entry[k].set == q->lattice->sets - 1)
                    return k;
        }
        if (q->out_of_memory || q->entries - end > MOST_ENTRIES)
            q->stop = true;
    }
    choose_level(q, end);
    return -1;
}

/* The pipeline of the entries that lead to this one. */
static void lay_out(const struct dawni_search *q, int entry,
                    struct dawni_pipeline *pipeline)
{
    const struct dawni_lattice *la = q->lattice;

    pipeline->stages = 0;
    for (int e = entry; q->entry[e].from >= 0; e = q->entry[e].from) {
        int x = pipeline->stages++;
        pipeline->device[x] = q->entry[e].device;
        for (int s = q->entry[e].set; s; s = la->smaller[s])
            pipeline->stage_of[la->order[la->added[s]]] = x;
    }
    dawni_devices_assign(&q->devices, pipeline->stages, pipeline->device);
}

enum dawn_status dawni_search_run(struct dawni_search *q,
                                  const struct dawni_search_opts *opts,
                                  struct dawni_pipeline *pipeline,
                                  struct dawni_search_result *result,
                                  struct dawn_error *err)
{
    int begin = 0, most_stages = q->in->l < q->in->n ? q->in->l : q->in->n;
    struct entry start = {
        .from = -1, .device = -1, .left = dawni_devices_all(&q->devices)};

    *result = (struct dawni_search_result){
        .complete = q->lattice->whole && q->devices.complete &&
                    opts->kind != DAWNI_SEARCH_ALL,
        .refused = DAWNI_NO_LIMIT};
    q->opts = opts;
    q->result = result;
    q->entries = 0;
    q->stop = false;
    add_entry(q, &start, 0);
    for (int last = 1; last <= most_stages && !q->stop; last++) {
        int level = q->entries;
        int whole = next_level(q, begin, last);
        begin = level;
        if (whole < 0)
            continue;
        result->found = true;
        lay_out(q, whole, pipeline);
        break;
    }
    if (q->stop)
        result->complete = false;
    if (q->out_of_memory || q->load->out_of_memory)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to search %d nodes",
                         q->in->n);
    return DAWN_OK;
}
