/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering offloaded tensors: where they are written, read back and waited for,
 * as staging says (schedule/staging.h).
 */
#ifndef DAWNI_MEMORY_OFFLOAD_H
#define DAWNI_MEMORY_OFFLOAD_H

#include "memory/lower.h"
#include "schedule/staging.h"

/* Disks are written and read in whole pages, to and from such addresses. */
#define DAWNI_PAGE 4096

/* In back[]: offloaded, and not yet fetched for this BW */
#define DAWNI_AWAY (-2)

struct dawni_offload_item { /* a tensor that a stage offloads */
    int tensor;
    enum dawn_decision decision;
    uint64_t bytes; /* as it is moved */
    uint64_t place; /* on the tier: of its first microbatch in flight */
    /* of the newest microbatch that was lowered: the instruction before which
     * it had been made, and that before which BW first needed it */
    int made_at, need_at;
};

struct dawni_offload { /* of a rank */
    int *first;        /* by stage: first of its items; all at [stages] */
    struct dawni_offload_item *item;
    uint64_t *bytes; /* the same, for staging */
    int *order;
    struct dawni_staging_set *set; /* by stage */
    int *in_flight;                /* by stage */
    struct dawni_staging *staging;
    int *buffer; /* by index in staging: written from, then read to */
    int item_room;
};

/* Find out what the rank offloads; l->offload is NULL if that is nothing.
 * microbatches: how many staging counts. */
enum dawn_status dawni_offload_create(struct dawni_lowering *l,
                                      int microbatches, struct dawn_error *err);
void dawni_offload_destroy(struct dawni_lowering *l);

/* Item of a stage's tensor; -1: it is not offloaded, or nothing is now. */
int dawni_offload_find(const struct dawni_lowering *l, int stage, int tensor);

/* Bytes as they are moved. */
uint64_t dawni_offload_bytes(uint64_t bytes, enum dawn_decision decision);

/* A buffer that so many bytes can be moved from or to; and a tensor. */
int dawni_lower_staging(struct dawni_lowering *l, uint64_t bytes,
                        enum dawn_decision decision);
int dawni_offload_buffer(struct dawni_lowering *l, int tensor,
                         enum dawn_decision decision);

/* A computation begins, and ends. */
void dawni_offload_begin(struct dawni_lowering *l,
                         const struct dawn_action *now,
                         const struct dawn_action *next);
void dawni_offload_end(struct dawni_lowering *l);

/* In F: the tensor is in its buffer. */
void dawni_offload_made(struct dawni_lowering *l, int stage, int microbatch,
                        int tensor, int buffer);
/* In BW: fetch the tensor into back[] if it is away. */
bool dawni_offload_fetch(struct dawni_lowering *l, int stage, int microbatch,
                         int tensor);

#endif
