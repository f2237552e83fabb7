/* SPDX-License-Identifier: Apache-2.0 */
/* A table with one place for a hash. What stands there is compared in full. */
#include "planner/prices.h"
#include "common/array.h"
#include "planner/planner.h"

#define MOST_BYTES ((size_t)16 << 20) /* of the table */
#define MOST_ENTRIES ((size_t)1 << 17)
#define PER_BYTE 4 /* decisions */

_Static_assert(DAWN_DECISIONS <= 1 << 8 / PER_BYTE, "two bits hold one");

bool dawni_prices_create(struct dawni_prices *p, int candidates)
{
    p->most_bytes = (size_t)candidates / PER_BYTE + 1;
    p->room = MOST_ENTRIES;
    while (p->room > 1 &&
           p->room * (sizeof *p->entry + p->most_bytes) > MOST_BYTES)
        p->room /= 2;
    p->now.generation = 1;
    p->entry = calloc(p->room, sizeof *p->entry);
    p->decisions = calloc(p->room, p->most_bytes);
    p->decision = calloc(1, p->most_bytes);
    return p->entry && p->decisions && p->decision;
}

void dawni_prices_destroy(struct dawni_prices *p)
{
    free(p->entry);
    free(p->decisions);
    free(p->decision);
    *p = (struct dawni_prices){0};
}

void dawni_prices_forget(struct dawni_prices *p)
{
    if (p->now.generation++ < UINT_MAX)
        return;
    memset(p->entry, 0, p->room * sizeof *p->entry);
    p->now.generation = 1;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* What a decision does to the hash: XORed, again to undo it. */
static uint64_t mark(int candidate, int decision)
{
    uint64_t what = (uint64_t)candidate * DAWN_DECISIONS + (uint64_t)decision;

    return decision == DAWN_KEEP ? 0 : mix(what + 0x9e3779b97f4a7c15u);
}

void dawni_prices_ask(struct dawni_prices *p,
                      const struct dawni_priced_run *run, int candidates)
{
    uint64_t nodes = (uint64_t)run->first << 32 | (uint64_t)run->last;
    uint64_t place = (uint64_t)run->x << 32 | (uint64_t)run->in_flight;

    p->now.run = *run;
    p->now.hash = mix(mix(nodes + 1) + place);
    p->bytes = ((size_t)candidates + PER_BYTE - 1) / PER_BYTE;
    memset(p->decision, 0, p->bytes);
}

void dawni_prices_ask_with(struct dawni_prices *p, int candidate, int decision)
{
    uint8_t *byte = &p->decision[candidate / PER_BYTE];
    int shift = candidate % PER_BYTE * 2;
    int was = *byte >> shift & 3;

    p->now.hash ^= mark(candidate, was) ^ mark(candidate, decision);
    *byte = (uint8_t)(*byte ^ (was ^ decision) << shift);
}

static size_t place(const struct dawni_prices *p)
{
    return (size_t)p->now.hash & (p->room - 1);
}

static bool same_run(const struct dawni_priced_run *a,
                     const struct dawni_priced_run *b)
{
    return a->first == b->first && a->last == b->last && a->x == b->x &&
           a->in_flight == b->in_flight;
}

const struct dawni_known_price *dawni_prices_find(const struct dawni_prices *p)
{
    const struct dawni_price_entry *e = &p->entry[place(p)];
    const uint8_t *decision = p->decisions + place(p) * p->most_bytes;
    bool same = e->of.hash == p->now.hash &&
                e->of.generation == p->now.generation &&
                same_run(&e->of.run, &p->now.run);

    return same && !memcmp(decision, p->decision, p->bytes) ? &e->price : NULL;
}

void dawni_prices_add(struct dawni_prices *p,
                      const struct dawni_known_price *price)
{
    p->entry[place(p)] = (struct dawni_price_entry){p->now, *price};
    memcpy(p->decisions + place(p) * p->most_bytes, p->decision, p->bytes);
}
