/* SPDX-License-Identifier: Apache-2.0 */
/* What a search has found out already: (first, last, stage) to a number. */
#ifndef DAWNI_PLANNER_MEMO_H
#define DAWNI_PLANNER_MEMO_H

#include <stdbool.h>
#include <stdint.h>

struct dawni_memo {    /* {0}: empty */
    int entries, room; /* room: a power of two */
    struct dawni_memo_entry {
        uint64_t key; /* 0: free */
        int value;
    } * entry;
};

/* first and last < 2^24, stage < 2^15 */
static inline uint64_t dawni_memo_key(int first, int last, int stage)
{
    return (uint64_t)first << 40 | (uint64_t)last << 16 | (uint64_t)stage << 1 |
           1;
}

/* -1: absent. */
int dawni_memo_find(const struct dawni_memo *memo, uint64_t key);

/* Set the value of a key. False without memory. */
bool dawni_memo_set(struct dawni_memo *memo, uint64_t key, int value);

void dawni_memo_clear(struct dawni_memo *memo);

#endif
