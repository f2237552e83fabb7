/* SPDX-License-Identifier: Apache-2.0 */
/* A stage under construction: nodes come and go, last in first out, and at any
 * moment it can be asked whether they fit a device within the limit of time.
 *
 * The steps of its nodes' options stand in a Fenwick tree by rank, so that the
 * relaxed knapsack is one descent. Only when its rounding does not tell is the
 * knapsack itself searched.
 */
#ifndef DAWNI_PARTITION_LOAD_H
#define DAWNI_PARTITION_LOAD_H

#include "partition/knapsack.h"

enum dawni_fits {
    DAWNI_FITS,
    DAWNI_FITS_NOT,
    DAWNI_FITS_PERHAPS, /* gave up */
};

struct dawni_load_sum {
    int64_t t, m;
};

struct dawni_load {
    struct dawni_instance *in;
    const struct dawni_level *level;
    const struct dawni_device_type *type;
    int y;
    int64_t limit; /* T, of the device's own time */
    int64_t real_limit;
    int64_t effort; /* for one knapsack */
    int *node;      /* [n]: what is in it */
    int n;
    int64_t t, m;                /* of the fastest options */
    struct dawni_load_sum *tree; /* by rank */
    struct dawni_sack *sack;
    bool out_of_memory;
};

enum dawn_status dawni_load_create(struct dawni_instance *in,
                                   struct dawni_load **load_p,
                                   struct dawn_error *err);
void dawni_load_destroy(struct dawni_load *load); /* takes NULL */

/* Begin a stage, empty, on a device with y in flight; limit: T. What was in it
 * must have been dropped. */
void dawni_load_begin(struct dawni_load *load,
                      const struct dawni_device_type *type, int y,
                      int64_t limit);
void dawni_load_add(struct dawni_load *load, int node);
void dawni_load_drop(struct dawni_load *load, int nodes); /* the last ones */

/* Does it fit? bound_p: where it does not, no choice takes less time T; above
 * the limit, DAWNI_NO_LIMIT where there is no choice at all. */
enum dawni_fits dawni_load_test(struct dawni_load *load, int64_t *bound_p);

#endif
