/* SPDX-License-Identifier: Apache-2.0 */
/* Were all ranks told the same? Digests are exchanged; only where these differ
 * rank 0's facts go to all, and each rank compares its own with them. */
#include "comm/comm.h"
#include "common/hash.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SHOWN 160   /* bytes of a value in the text of a failure */
#define ROOM_FOR_MORE 32 /* "; and 1234 more" at its end */

/* Facts as they are sent: of each three texts with a zero byte behind them. */
struct sent {
    const char *name;
    const char *value; /* "+" and the value, or "-": there is none */
    const char *shown; /* what people are told of the value */
};

static enum dawn_status pack(const struct dawn_comm_fact *fact, int facts,
                             struct dawni_text *text, struct dawn_error *err)
{
    for (int i = 0; i < facts; i++) {
        const char *value = fact[i].value;
        const char *shown = fact[i].shown ? fact[i].shown : value;
        dawni_text_addf(text, "%s%c%c%s%c%s%c", fact[i].name, 0,
                        value ? '+' : '-', value ? value : "", 0,
                        value ? shown : "not given", 0);
    }
    if (text->error.status)
        return dawn_fail(err, text->error.status, "%s", text->error.text);
    return DAWN_OK;
}

/* The fact at *at, which is moved behind it. False: there is none. */
static bool unpack(const char **at, const char *end, struct sent *sent)
{
    const char **text[] = {&sent->name, &sent->value, &sent->shown};

    if (*at == end)
        return false;
    for (int i = 0; i < 3; i++) {
        *text[i] = *at;
        *at += strlen(*at) + 1;
    }
    return true;
}

static bool find(const struct dawni_text *facts, const char *name,
                 struct sent *sent)
{
    const char *at = facts->data, *end = at + facts->bytes;

    while (unpack(&at, end, sent))
        if (strcmp(sent->name, name) == 0)
            return true;
    return false;
}

static uint64_t digest_of(const struct dawni_text *facts)
{
    const char *at = facts->data, *end = at + facts->bytes;
    struct dawni_hash hash;
    struct sent sent;

    dawni_hash_init(&hash);
    while (unpack(&at, end, &sent)) {
        dawni_hash_add_str(&hash, sent.name);
        dawni_hash_add_str(&hash, sent.value);
    }
    return dawni_hash_end(&hash);
}

struct differences {
    char text[900]; /* an error holds it and who differs */
    size_t bytes;
    int all, told; /* how many there are, and are in the text */
};

static void note(struct differences *d, const char *name, const char *here,
                 const char *there)
{
    size_t room = sizeof d->text - ROOM_FOR_MORE - d->bytes;
    int n = snprintf(d->text + d->bytes, room, "%s %s is %.*s, there %.*s",
                     d->told ? ";" : ":", name, MOST_SHOWN, here, MOST_SHOWN,
                     there);

    d->all++;
    if (n < 0 || (size_t)n >= room || d->told < d->all - 1) {
        d->text[d->bytes] = '\0';
        return;
    }
    d->bytes += (size_t)n;
    d->told++;
}

static enum dawn_status compare(int rank, const struct dawni_text *mine,
                                const struct dawni_text *first,
                                struct dawn_error *err)
{
    struct differences d = {.text = ""};
    const char *at = mine->data, *end = at + mine->bytes;
    struct sent here, there;

    while (unpack(&at, end, &here))
        if (!find(first, here.name, &there))
            note(&d, here.name, here.shown, "not known");
        else if (strcmp(here.value, there.value) != 0)
            note(&d, here.name, here.shown, there.shown);
    at = first->data;
    end = at + first->bytes;
    while (unpack(&at, end, &there))
        if (!find(mine, there.name, &here))
            note(&d, there.name, "not known", there.shown);
    if (!d.all)
        return DAWN_OK;
    if (d.told < d.all)
        snprintf(d.text + d.bytes, sizeof d.text - d.bytes, "; and %d more",
                 d.all - d.told);
    return dawn_fail(err, DAWN_E_MISMATCH, "rank %d differs from rank 0%s",
                     rank, d.text);
}

/* What ranks exchange first. */
struct summary {
    uint64_t digest, bytes;
};

/* Are the facts of all ranks the same? Rank 0's are `first_bytes` long. */
static enum dawn_status summarize(struct dawn_comm *comm,
                                  const struct dawni_text *mine, bool *same_p,
                                  uint64_t *first_bytes_p,
                                  struct dawn_error *err)
{
    struct summary own = {digest_of(mine), mine->bytes};
    struct summary *all = calloc((size_t)comm->size, sizeof *all);
    enum dawn_status st = DAWN_OK;

    if (!all)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to compare ranks");
    if (!(st = dawni_agree(comm, st, err)))
        st = comm->ops->allgather(comm, &own, sizeof own, all, err);
    if (!st) {
        *same_p = true;
        for (int rank = 1; rank < comm->size; rank++)
            *same_p = *same_p && all[rank].digest == all[0].digest;
        *first_bytes_p = all[0].bytes;
    }
    free(all);
    return st;
}

/* Copy rank 0's facts to all ranks. */
static enum dawn_status share(struct dawn_comm *comm,
                              const struct dawni_text *mine,
                              struct dawni_text *first, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    first->data = malloc(first->bytes + 1);
    if (!first->data)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to compare ranks");
    else if (!comm->rank && first->bytes)
        memcpy(first->data, mine->data, first->bytes);
    st = dawni_agree(comm, st, err);
    return st ? st : comm->ops->bcast(comm, first->data, first->bytes, 0, err);
}

enum dawn_status dawn_comm_same(struct dawn_comm *comm,
                                const struct dawn_comm_fact *fact, int facts,
                                struct dawn_error *err)
{
    struct dawni_text mine = {0}, first = {0};
    enum dawn_status st = dawni_agree(comm, pack(fact, facts, &mine, err), err);
    uint64_t bytes = 0;
    bool same = true;

    if (!st)
        st = summarize(comm, &mine, &same, &bytes, err);
    if (!st && !same) {
        first.bytes = bytes;
        if (!(st = share(comm, &mine, &first, err)))
            st =
                dawni_agree(comm, compare(comm->rank, &mine, &first, err), err);
    }
    dawni_text_clear(&mine);
    dawni_text_clear(&first);
    return st;
}
