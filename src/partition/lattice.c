/* SPDX-License-Identifier: Apache-2.0 */
/* List the downsets of a graph, by rising size. */
#include "partition/lattice.h"
#include "common/array.h"

/* Sets of one size, all together, at most. */
#define MOST_LAYER_BYTES (16 << 20)

struct layer {        /* sets of one size */
    int sets, first;  /* numbered from `first` on */
    uint64_t *member; /* [sets][words] */
    uint64_t *hash;   /* [sets] */
    int *ready_at;    /* [sets + 1]: nodes that can be added, by rising place */
    int *ready;
    int member_room, hash_room, ready_at_room, ready_room;
};

struct listing {
    const struct dawni_instance *in;
    struct dawni_lattice *lattice;
    const int *place; /* by node */
    int words, window, most_sets;
    bool too_many, left_out;
    struct layer now, next;
    int *slot; /* hash table of the next layer: set - first, or -1 */
    int slots;
    int set_room, size_room, smaller_room, added_room, larger_at_room;
    int links, larger_room, more_room;
};

static uint64_t mix(uint64_t x) /* of splitmix64 */
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static bool is_member(const uint64_t *member, int place)
{
    return member[place / 64] >> (place % 64) & 1;
}

static bool new_slots(struct listing *li, int slots)
{
    free(li->slot);
    li->slots = slots;
    li->slot = dawni_calloc(slots, sizeof *li->slot);
    if (!li->slot)
        return false;
    memset(li->slot, -1, (size_t)slots * sizeof *li->slot);
    for (int i = 0; i < li->next.sets; i++) {
        size_t at = li->next.hash[i] & (size_t)(slots - 1);
        while (li->slot[at] >= 0)
            at = (at + 1) & (size_t)(slots - 1);
        li->slot[at] = i;
    }
    return true;
}

/* Where `member` with this hash stands in the table, or could. */
static int *find_slot(const struct listing *li, const uint64_t *member,
                      uint64_t hash)
{
    size_t bytes = (size_t)li->words * sizeof *member;
    size_t at = hash & (size_t)(li->slots - 1);

    for (; li->slot[at] >= 0; at = (at + 1) & (size_t)(li->slots - 1)) {
        int i = li->slot[at];
        if (li->next.hash[i] == hash &&
            !memcmp(&li->next.member[(size_t)i * (size_t)li->words], member,
                    bytes))
            break;
    }
    return &li->slot[at];
}

/* A new set in the lattice's own tables. */
static bool append_set(struct listing *li, int size, int smaller, int added,
                       int gap)
{
    struct dawni_lattice *la = li->lattice;
    int wanted = la->sets + 1;

    if (!dawni_array_reserve(&la->size, &li->size_room, wanted) ||
        !dawni_array_reserve(&la->gap, &li->set_room, wanted) ||
        !dawni_array_reserve(&la->smaller, &li->smaller_room, wanted) ||
        !dawni_array_reserve(&la->added, &li->added_room, wanted) ||
        !dawni_array_reserve(&la->larger_at, &li->larger_at_room, wanted + 1))
        return false;
    la->size[la->sets] = size;
    la->smaller[la->sets] = smaller;
    la->added[la->sets] = added;
    la->gap[la->sets] = gap;
    la->sets++;
    return true;
}

/* Are all nodes that must come before the one at this place in the set? (Those
 * after it in the graph.) */
static bool is_ready(const struct listing *li, const uint64_t *member,
                     int place)
{
    const struct dawni_instance *in = li->in;
    int v = li->lattice->order[place];

    for (int i = in->after_at[v]; i < in->after_at[v + 1]; i++)
        if (!is_member(member, li->place[in->after[i]]))
            return false;
    return true;
}

static void insert_sorted(int *list, int count, int x)
{
    for (; count && list[count - 1] > x; count--)
        list[count] = list[count - 1];
    list[count] = x;
}

/* What can be added to the newest set of the next layer, made of set i of this
 * one by adding a place. */
static bool list_ready(struct listing *li, int i, int place)
{
    const struct dawni_instance *in = li->in;
    struct layer *now = &li->now, *next = &li->next;
    const uint64_t *member =
        &next->member[(size_t)(next->sets - 1) * (size_t)li->words];
    int v = li->lattice->order[place];
    int begin = next->ready_at[next->sets - 1], count = 0;
    int most = now->ready_at[i + 1] - now->ready_at[i] + in->before_at[v + 1] -
               in->before_at[v];
    int *list;

    if (!dawni_array_reserve(&next->ready, &next->ready_room, begin + most))
        return false;
    list = &next->ready[begin];
    for (int j = now->ready_at[i]; j < now->ready_at[i + 1]; j++)
        if (now->ready[j] != place)
            list[count++] = now->ready[j];
    for (int j = in->before_at[v]; j < in->before_at[v + 1]; j++) {
        int p = li->place[in->before[j]];
        if (is_ready(li, member, p))
            insert_sorted(list, count++, p);
    }
    next->ready_at[next->sets] = begin + count;
    return true;
}

/* The set i of this layer and a place: a new set of the next one. */
static bool append_to_layer(struct listing *li, int i, int place,
                            const uint64_t *member, uint64_t hash)
{
    struct dawni_lattice *la = li->lattice;
    struct layer *next = &li->next;
    size_t words = (size_t)li->words;
    int wanted = next->sets + 1, gap = la->gap[li->now.first + i];

    if ((size_t)wanted * words * sizeof *member > MOST_LAYER_BYTES ||
        la->sets >= li->most_sets) {
        li->too_many = true;
        return false;
    }
    if (!dawni_array_reserve(&next->member, &next->member_room,
                             wanted * li->words) ||
        !dawni_array_reserve(&next->hash, &next->hash_room, wanted) ||
        !dawni_array_reserve(&next->ready_at, &next->ready_at_room, wanted + 1))
        return false;
    memcpy(&next->member[(size_t)next->sets * words], member,
           words * sizeof *member);
    next->hash[next->sets] = hash;
    next->ready_at[0] = 0;
    next->sets++;
    while (gap < la->n && is_member(member, gap))
        gap++;
    return list_ready(li, i, place) &&
           append_set(li, la->size[li->now.first + i] + 1, li->now.first + i,
                      place, gap);
}

/* Link set i of this layer with the one that has a place more. */
static bool link_larger(struct listing *li, int i, int place, uint64_t *member)
{
    struct dawni_lattice *la = li->lattice;
    uint64_t hash = li->now.hash[i] ^ mix((uint64_t)place);
    int *slot;

    if (2 * (li->next.sets + 1) > li->slots && !new_slots(li, 2 * li->slots))
        return false;
    member[place / 64] |= UINT64_C(1) << (place % 64);
    slot = find_slot(li, member, hash);
    if (*slot < 0) {
        if (!append_to_layer(li, i, place, member, hash))
            return false;
        *slot = li->next.sets - 1;
    }
    member[place / 64] &= ~(UINT64_C(1) << (place % 64));
    if (!dawni_array_reserve(&la->larger, &li->larger_room, li->links + 1) ||
        !dawni_array_reserve(&la->more, &li->more_room, li->links + 1))
        return false;
    la->larger[li->links] = li->next.first + *slot;
    la->more[li->links++] = place;
    return true;
}

/* Make the layer of the next size from this one. */
static bool next_layer(struct listing *li)
{
    struct dawni_lattice *la = li->lattice;
    struct layer *now = &li->now;

    li->next.sets = 0;
    li->next.first = la->sets;
    if (!new_slots(li, 64))
        return false;
    for (int i = 0; i < now->sets; i++) {
        uint64_t *member = &now->member[(size_t)i * (size_t)li->words];
        int gap = la->gap[now->first + i];
        la->larger_at[now->first + i] = li->links;
        for (int j = now->ready_at[i]; j < now->ready_at[i + 1]; j++) {
            int place = now->ready[j];
            if (li->window && place - gap > li->window) {
                li->left_out = true;
                break;
            }
            if (place - gap > la->window)
                la->window = place - gap;
            if (!link_larger(li, i, place, member))
                return false;
        }
    }
    return true;
}

/* The empty set, alone. */
static bool first_layer(struct listing *li)
{
    struct layer *now = &li->now;
    int count = 0;

    if (!dawni_array_reserve(&now->member, &now->member_room, li->words) ||
        !dawni_array_reserve(&now->hash, &now->hash_room, 1) ||
        !dawni_array_reserve(&now->ready_at, &now->ready_at_room, 2) ||
        !dawni_array_reserve(&now->ready, &now->ready_room, li->in->n) ||
        !append_set(li, 0, -1, -1, 0))
        return false;
    memset(now->member, 0, (size_t)li->words * sizeof *now->member);
    for (int p = 0; p < li->in->n; p++)
        if (is_ready(li, now->member, p))
            now->ready[count++] = p;
    now->ready_at[0] = 0;
    now->ready_at[1] = count;
    now->hash[0] = 0;
    now->sets = 1;
    return true;
}

static void layer_clear(struct layer *layer)
{
    free(layer->member);
    free(layer->hash);
    free(layer->ready_at);
    free(layer->ready);
}

enum dawn_status dawni_lattice_create(struct dawni_instance *in,
                                      const int *order, int window,
                                      int most_sets,
                                      struct dawni_lattice **lattice_p,
                                      struct dawn_error *err)
{
    struct listing li = {.in = in,
                         .words = (in->n + 63) / 64,
                         .window = window,
                         .most_sets = most_sets};
    struct dawni_lattice *la = calloc(1, sizeof *la);
    int *place = dawni_calloc(in->n, sizeof *place);
    bool made = la && place;

    li.lattice = la;
    li.place = place;
    if (made) {
        la->n = in->n;
        la->order = dawni_calloc(in->n, sizeof *la->order);
        made = la->order != NULL;
    }
    for (int p = 0; made && p < in->n; p++) {
        la->order[p] = order[p];
        place[order[p]] = p;
    }
    made = made && first_layer(&li);
    for (int size = 0; made && size < in->n; size++) {
        struct layer swap = li.now;
        made = next_layer(&li);
        li.now = li.next;
        li.next = swap;
    }
    if (made) {
        la->larger_at[la->sets - 1] = la->larger_at[la->sets] = li.links;
        la->whole = !li.left_out;
        in->work += 20 * (int64_t)la->sets;
    }
    free(place);
    free(li.slot);
    layer_clear(&li.now);
    layer_clear(&li.next);
    if (made || li.too_many) {
        if (!made) {
            dawni_lattice_destroy(la);
            la = NULL;
        }
        *lattice_p = la;
        return DAWN_OK;
    }
    dawni_lattice_destroy(la);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for the sets of %d nodes",
                     in->n);
}

void dawni_lattice_destroy(struct dawni_lattice *lattice)
{
    if (!lattice)
        return;
    free(lattice->size);
    free(lattice->gap);
    free(lattice->smaller);
    free(lattice->added);
    free(lattice->larger_at);
    free(lattice->larger);
    free(lattice->more);
    free(lattice->order);
    free(lattice);
}

void dawni_lattice_mark(const struct dawni_lattice *lattice, int set,
                        uint8_t *member, uint8_t value)
{
    for (; set; set = lattice->smaller[set])
        member[lattice->added[set]] = value;
}
