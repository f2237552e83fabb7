/* SPDX-License-Identifier: Apache-2.0 */
/* Prices of decisions about runs of nodes, by what was decided. Searches under
 * other budgets, with moments elsewhere, or that went another way come across
 * the same decisions again. There is room for some: a new price takes the place
 * of an old one.
 */
#ifndef DAWNI_PLANNER_PRICES_H
#define DAWNI_PLANNER_PRICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dawni_known_price {
    uint64_t peak, comm; /* peak: without messages, and without what is kept */
    double recompute_ns, stall_ns; /* stall_ns below 0: not known */
};

struct dawni_priced_run { /* nodes first..last as stage x */
    int first, last, x;
    int in_flight; /* microbatches: replicas of a stage change it */
};

struct dawni_price_of { /* what it is the price of */
    struct dawni_priced_run run;
    unsigned generation; /* 0: nothing */
    uint64_t hash;       /* of the run and the decisions */
};

struct dawni_prices {
    size_t room;       /* a power of two */
    size_t most_bytes; /* of decisions, two bits each */
    struct dawni_price_entry {
        struct dawni_price_of of;
        struct dawni_known_price price;
    } * entry;
    uint8_t *decisions;        /* [room * most_bytes] */
    struct dawni_price_of now; /* asked for, */
    size_t bytes;              /* with so many bytes of decisions, */
    uint8_t *decision;         /* [most_bytes] */
};

/* candidates: of a run, at most. False: no memory. */
bool dawni_prices_create(struct dawni_prices *p, int candidates);
void dawni_prices_destroy(struct dawni_prices *p); /* as created, or zero */

/* All that was priced has another price from now on. */
void dawni_prices_forget(struct dawni_prices *p);

/* Ask for a run of which all candidates are kept. */
void dawni_prices_ask(struct dawni_prices *p,
                      const struct dawni_priced_run *run, int candidates);

/* Ask for what differs from that by one decision. */
void dawni_prices_ask_with(struct dawni_prices *p, int candidate, int decision);

/* NULL: not known. Good until one is added. */
const struct dawni_known_price *dawni_prices_find(const struct dawni_prices *p);

/* The price of what is asked for. */
void dawni_prices_add(struct dawni_prices *p,
                      const struct dawni_known_price *price);

#endif
