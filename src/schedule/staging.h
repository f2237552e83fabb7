/* SPDX-License-Identifier: Apache-2.0 */
/* Staging: where the transfers of offloaded tensors begin and where they are
 * waited for. The lowering and the simulator both take a rank's computations
 * through this, so that they agree.
 *
 * A tensor is written from the moment it is made in F, and read back before BW
 * first needs it. Two windows, of writes and of reads, each twice as large as
 * the largest tensor that the rank offloads, bound what is under way:
 *
 *   - Before a write begins, the oldest ones are waited for until all fit the
 *     window. At the end of a computation, what earlier ones began is waited
 *     for.
 *   - Reads begin in the order of first use, as soon as all that is read and
 *     not yet used fits the window; at the earliest with the computation before
 *     the BW that needs it.
 *   - A tensor that is to be read while its write is under way is not read: it
 *     stays where it is.
 *
 * So a transfer has at least the computation on the tensor behind it to hide
 * in, and a whole one where a microbatch leaves or comes back.
 */
#ifndef DAWNI_SCHEDULE_STAGING_H
#define DAWNI_SCHEDULE_STAGING_H

#include <dawnpiper/schedule.h>

struct dawni_staging_set { /* what a stage offloads of a microbatch */
    int n;
    const uint64_t *bytes; /* by item */
    const int *order;      /* items in the order in which BW needs them */
};

enum dawni_move {
    DAWNI_WRITE,   /* begins */
    DAWNI_WRITTEN, /* is waited for */
    DAWNI_READ,    /* begins */
    DAWNI_ARRIVED, /* is waited for */
};

struct dawni_moved {
    int stage, microbatch, item;
    int index; /* of its own among all that the rank offloads in a step */
};

typedef void (*dawni_move_fn)(void *arg, enum dawni_move what,
                              const struct dawni_moved *moved);

struct dawni_staging;

struct dawni_staging_opts {
    int stages, ranks, rank, microbatches;
    const struct dawni_staging_set *set; /* by stage; outlives the staging */
    dawni_move_fn move; /* called where something begins or is waited for */
    void *arg;
};

enum dawn_status dawni_staging_create(const struct dawni_staging_opts *opts,
                                      struct dawni_staging **staging_p,
                                      struct dawn_error *err);
void dawni_staging_destroy(struct dawni_staging *s); /* takes NULL */

/* Forget all that was moved. */
void dawni_staging_reset(struct dawni_staging *s);

/* The index of an item of a microbatch, and how many there are. */
int dawni_staging_index(const struct dawni_staging *s, int stage,
                        int microbatch, int item);
int dawni_staging_indices(const struct dawni_staging *s);

/* A computation begins. next: the rank's next one; NULL: none. */
void dawni_staging_begin(struct dawni_staging *s, const struct dawn_action *now,
                         const struct dawn_action *next);
/* In F: the item has been made. */
void dawni_staging_made(struct dawni_staging *s, int item);
/* In BW: the item must be there from here on. */
void dawni_staging_need(struct dawni_staging *s, int item);
void dawni_staging_end(struct dawni_staging *s);

/* The computation behind action i of a rank's n; NULL: none. */
const struct dawn_action *dawni_staging_next(const struct dawn_action *action,
                                             int n, int i);

#endif
