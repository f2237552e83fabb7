/* SPDX-License-Identifier: Apache-2.0 */
/* Moments of parameters that lie on a tier between updates, and with them what
 * passes keep, which an update only reads. They come in pieces, each of which
 * has a place of its own on the tier: first the m of so many elements, then
 * their v, then their part of each of the passes' arrays. Only m and v go back.
 * The moves of an update are worked out here, for the lowering and for who
 * prices it.
 *
 * Two windows, of reads and of writes, each twice as large as the largest
 * piece, bound what is in memory. Reads begin in the order of the updates, as
 * soon as all that is read and not yet updated fits; before a write begins, the
 * oldest ones are waited for until all fit.
 */
#ifndef DAWNI_MEMORY_MOMENTS_H
#define DAWNI_MEMORY_MOMENTS_H

#include "common/padded.h"
#include "passes/passes.h"
#include "schedule/staging.h"
#include <dawnpiper/plan.h>

/* Most elements of a piece */
#define DAWNI_MOMENTS_MOST ((int64_t)1 << 19)

static inline int dawni_moments_pieces(int64_t elements)
{
    return (int)((elements + DAWNI_MOMENTS_MOST - 1) / DAWNI_MOMENTS_MOST);
}

/* Elements of piece number k of a parameter; they begin at k *
 * DAWNI_MOMENTS_MOST. */
static inline int64_t dawni_moments_count(int64_t elements, int k)
{
    int64_t left = elements - k * DAWNI_MOMENTS_MOST;
    return left < DAWNI_MOMENTS_MOST ? left : DAWNI_MOMENTS_MOST;
}

/* Where in a piece of so many elements the v begin. */
static inline uint64_t dawni_moments_v_at(int64_t count)
{
    return dawni_padded((uint64_t)count * sizeof(float));
}

/* Bytes of m and v: as they are written, which on a disk is whole pages. */
uint64_t dawni_moments_written(int64_t count, enum dawn_decision decision);

struct dawni_moments_size { /* of a piece */
    const struct dawni_passes *passes;
    int64_t count; /* elements */
    enum dawn_decision decision;
};

/* Where in a piece an array of the passes begins, counted over all; the one
 * behind the last: where they end. And bytes of all of it, as it is read. */
uint64_t dawni_moments_array_at(const struct dawni_moments_size *size,
                                int array);
uint64_t dawni_moments_bytes(const struct dawni_moments_size *size);

/* what: piece number `piece` begins to be read or written, or is waited for */
typedef void (*dawni_moments_move_fn)(void *arg, enum dawni_move what,
                                      int piece);

struct dawni_moments_walk { /* over the pieces of an update, in order */
    int pieces;
    const uint64_t *bytes; /* by piece */
    dawni_moments_move_fn move;
    void *arg;
    /* the walk's; zero at first */
    uint64_t window, reading, writing;
    int next_read, updated, next_written;
};

/* Begin the reads that fit. */
void dawni_moments_ahead(struct dawni_moments_walk *w);
/* The next piece must be there. Returns its number. */
int dawni_moments_need(struct dawni_moments_walk *w);
/* It has been updated. */
void dawni_moments_updated(struct dawni_moments_walk *w);
/* All have been: wait for what is still written. */
void dawni_moments_end(struct dawni_moments_walk *w);

struct dawni_lowering;

struct dawni_moments_piece {
    int param, number;
    enum dawn_decision decision;
    uint64_t place; /* on the tier */
    int buffer;
};

struct dawni_moments { /* of a rank */
    int pieces;
    struct dawni_moments_piece *piece;
    uint64_t *bytes; /* by piece, for the walk */
    struct dawni_moments_walk walk;
};

/* Find out what of the rank's moments is offloaded, and give it places behind
 * those of tensors; l->away is NULL if that is nothing. */
enum dawn_status dawni_moments_create(struct dawni_lowering *l,
                                      struct dawn_error *err);
void dawni_moments_destroy(struct dawni_lowering *l);

/* Lower: begin to read before the update; update a parameter of which the
 * moments are away; all are updated. */
void dawni_moments_lower_ahead(struct dawni_lowering *l);
void dawni_moments_lower_update(struct dawni_lowering *l, int param);
void dawni_moments_lower_end(struct dawni_lowering *l);

#endif
