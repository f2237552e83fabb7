/* SPDX-License-Identifier: Apache-2.0 */
/* Tiers: where offloaded tensors lie while they are away, host memory or a
 * disk. A rank has one object a tier, for the thread that steps; transfers move
 * beside its computation.
 */
#ifndef DAWNI_TIER_TIER_H
#define DAWNI_TIER_TIER_H

#include <dawnpiper/status.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A transfer, which may be started again when it is done. */
struct dawni_io {
    bool is_read;
    char *data;            /* of a disk: begins at a page */
    uint64_t place, bytes; /* on the tier; of a disk: whole pages */
    /* the tier's: */
    uint64_t handed; /* bytes that are under way or done */
    int pieces;      /* under way */
    int error;       /* errno; 0: none */
    atomic_bool done;
    struct dawni_io *next; /* in a queue */
};

struct dawni_tier_opts {
    const char *folder;  /* of a disk; NULL: host memory */
    uint64_t room_bytes; /* what it must hold */
    /* what data lie in: a disk's transfers are quicker if the kernel knows */
    void *arena;
    uint64_t arena_bytes;
    bool no_uring; /* of a disk: use a thread that reads and writes instead */
};

struct dawni_tier;

struct dawni_tier_ops {
    const char *name;
    void (*destroy)(struct dawni_tier *tier); /* nothing is under way */
    void (*start)(struct dawni_tier *tier, struct dawni_io *io);
    /* Take notice of what is done, begin what waits; does not block. */
    void (*progress)(struct dawni_tier *tier);
};

struct dawni_tier { /* the beginning of each kind */
    const struct dawni_tier_ops *ops;
    char text[320]; /* for messages: "disk under /tmp" */
    int under_way;  /* transfers that were started and not seen done */
};

/* Make room. A disk's is a file without a name, so that nothing is left of it
 * however the process ends, and of its full size, so that a full disk is known
 * now. Returns DAWN_OK, DAWN_E_IO or DAWN_E_NOMEM. */
enum dawn_status dawni_tier_create(const struct dawni_tier_opts *opts,
                                   struct dawni_tier **tier_p,
                                   struct dawn_error *err);
/* Waits for what is under way. Takes NULL. */
void dawni_tier_destroy(struct dawni_tier *tier);

/* Begin. The data must neither be changed nor, of a read, looked at until it is
 * done. */
void dawni_tier_start(struct dawni_tier *tier, struct dawni_io *io);
/* Is it done? *st_p: then, DAWN_OK or DAWN_E_IO. Does not block. */
bool dawni_tier_test(struct dawni_tier *tier, struct dawni_io *io,
                     enum dawn_status *st_p, struct dawn_error *err);
/* For transfers larger than what moves at one time: call it now and then. */
void dawni_tier_progress(struct dawni_tier *tier);

/* The kinds. file: its own from here on, also on failure. */
enum dawn_status dawni_tier_uring(int file, const struct dawni_tier_opts *opts,
                                  struct dawni_tier **tier_p,
                                  struct dawn_error *err);
/* memory: room_bytes of it, its own from here on; or NULL: a file. */
enum dawn_status dawni_tier_thread(int file, void *memory,
                                   const struct dawni_tier_opts *opts,
                                   struct dawni_tier **tier_p,
                                   struct dawn_error *err);

/* The file of a disk's tier, for tests that make it fail. */
int dawni_tier_uring_file(const struct dawni_tier *tier);

#endif
