/* SPDX-License-Identifier: Apache-2.0 */
/* An open-addressed table, at most half full. */
#include "planner/memo.h"

#include <stdlib.h>

/* Where the key is, or would be. */
static int place(const struct dawni_memo *memo, uint64_t key)
{
    uint64_t mask = (uint64_t)memo->room - 1;
    uint64_t i = (key * 0x9e3779b97f4a7c15u >> 32) & mask;

    while (memo->entry[i].key && memo->entry[i].key != key)
        i = (i + 1) & mask;
    return (int)i;
}

int dawni_memo_find(const struct dawni_memo *memo, uint64_t key)
{
    if (!memo->room)
        return -1;
    const struct dawni_memo_entry *e = &memo->entry[place(memo, key)];
    return e->key ? e->value : -1;
}

static bool grow(struct dawni_memo *memo)
{
    struct dawni_memo grown = {.room = memo->room ? memo->room * 2 : 1024};

    grown.entry = calloc((size_t)grown.room, sizeof *grown.entry);
    if (!grown.entry)
        return false;
    for (int i = 0; i < memo->room; i++)
        if (memo->entry[i].key)
            grown.entry[place(&grown, memo->entry[i].key)] = memo->entry[i];
    grown.entries = memo->entries;
    free(memo->entry);
    *memo = grown;
    return true;
}

bool dawni_memo_set(struct dawni_memo *memo, uint64_t key, int value)
{
    if (2 * (memo->entries + 1) > memo->room && !grow(memo))
        return false;
    struct dawni_memo_entry *e = &memo->entry[place(memo, key)];
    memo->entries += !e->key;
    *e = (struct dawni_memo_entry){key, value};
    return true;
}

void dawni_memo_clear(struct dawni_memo *memo)
{
    free(memo->entry);
    *memo = (struct dawni_memo){0};
}
