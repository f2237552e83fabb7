/* SPDX-License-Identifier: Apache-2.0 */
/* The knapsack of one stage: an option for each of its nodes, the least time
 * within the cap and, where there is a tier, within what can be offloaded.
 *
 * Prices: lambda is the time that a byte of memory is worth, nu that of a byte
 * offloaded. At any prices >= 0 the sum of min(t + lambda m + nu r) - lambda
 * cap - nu room is a lower bound; an option's penalty is what it is above its
 * node's minimum. Only nodes with another option of small penalty matter (the
 * core); they are tried in full, keeping partial choices that are not
 * dominated and whose bound is within the limit (after Pisinger, MCKNAP, 1995).
 */
#ifndef DAWNI_PARTITION_KNAPSACK_H
#define DAWNI_PARTITION_KNAPSACK_H

#include "partition/instance.h"

struct dawni_sack_limits {
    int64_t cap;   /* of memory */
    int64_t room;  /* of bytes offloaded */
    int64_t limit; /* of time: slower choices are of no interest */
    double lambda, nu;
    int64_t effort; /* give up after so much work */
    bool any;       /* take the first choice within the limit */
};

struct dawni_sack_answer {
    bool found;    /* a choice within cap, room and limit */
    bool complete; /* the search was not cut short */
    int64_t time;  /* of the best choice found; DAWNI_NO_LIMIT */
    int64_t bound; /* no choice within cap and room takes less */
};

struct dawni_core; /* working space of the exact search */

struct dawni_move {   /* another option for an item */
    int item, option; /* item -1: none */
    double worth;     /* the least is best */
};

/* A set of nodes with their options, and a choice. One per solver, used again
 * and again. */
struct dawni_sack {
    struct dawni_instance *in;
    int n;   /* nodes in it */
    int *at; /* [n + 1]: options of each in */
    struct dawni_option *option;
    int *choice;  /* [n]: index in option; of the answer */
    int *base;    /* [n]: of least penalty at the prices */
    double bound; /* at the prices: below 0 if they are far off */
    int *rank;    /* working space */
    struct dawni_move *move;
    int room, options_room, rank_room;
    struct dawni_core *core;
    /* of tier.c: sizes that can be offloaded, falling; the prices, and the
     * largest size, that were good last time */
    int64_t *size, last_size;
    int sizes, size_room;
    double lambda, nu;
};

enum dawn_status dawni_sack_create(struct dawni_instance *in,
                                   struct dawni_sack **s_p,
                                   struct dawn_error *err);
void dawni_sack_destroy(struct dawni_sack *s); /* takes NULL */

/* Put nodes in, with their options at y. False without memory. */
bool dawni_sack_fill(struct dawni_sack *s, const int *node, int n, int y);

/* The least time of the whole choice, where the staging memory of what is
 * offloaded is in the cap already: options that offload more than `largest`
 * bytes are not used. s->choice is the best found, if any was. False without
 * memory. */
bool dawni_sack_search(struct dawni_sack *s,
                       const struct dawni_sack_limits *limits, int64_t largest,
                       struct dawni_sack_answer *answer);

/* Quickly: s->base of least penalty, s->choice mended to be within cap and
 * room where that was found. *bound: the lower bound at the prices; time:
 * DAWNI_NO_LIMIT where no choice was found. */
void dawni_sack_greedy(struct dawni_sack *s,
                       const struct dawni_sack_limits *limits, int64_t largest,
                       struct dawni_sack_answer *answer);

/* The price lambda at which the memory of these nodes just meets the cap,
 * nothing being offloaded. 0 where all fits. False without memory. */
bool dawni_sack_price(struct dawni_sack *s, const int *node, int n,
                      const struct dawni_level *level, int64_t cap,
                      double *lambda_p);

struct dawni_sack_sums {
    int64_t t, m, r, largest; /* largest r of one node */
};
struct dawni_sack_sums dawni_sack_sum(const struct dawni_sack *s,
                                      const int *choice);

/* What an option costs at the prices. */
static inline double dawni_priced(const struct dawni_sack_limits *limits,
                                  const struct dawni_option *o)
{
    double cost = (double)o->t + limits->lambda * (double)o->m;
    return limits->nu > 0 ? cost + limits->nu * (double)o->r : cost;
}

#endif
