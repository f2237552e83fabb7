/* SPDX-License-Identifier: Apache-2.0 */
/* A problem made ready for the solver: checked, in whole numbers, with tables.
 *
 * Times and bytes are int64_t here, "ticks": doubles times a power of two, such
 * that the sum over all nodes stays below 2^60. So sums do not depend on the
 * order of their terms, and taking away undoes adding.
 *
 * Symbols: n nodes, l devices, y microbatches in flight; a stage's cap, T the
 * limit of its time.
 */
#ifndef DAWNI_PARTITION_INSTANCE_H
#define DAWNI_PARTITION_INSTANCE_H

#include "partition/partition.h"

#define DAWNI_NO_LIMIT (INT64_C(1) << 61) /* above every sum */

struct dawni_part_variant { /* in ticks */
    int64_t t, saved, fixed;
    bool offloadable;
};

struct dawni_option { /* what a node can be in a stage */
    int64_t t, m;     /* compute and memory */
    int64_t r;        /* bytes offloaded; 0: none */
    int variant;
};

struct dawni_device_type {
    double speed;
    int64_t cap; /* DAWNI_NO_LIMIT: none */
};

/* What nodes cost with y in flight: the fastest option, and the steps from it
 * along the lower hull of (memory, time) to the smallest one. Steps are ranked
 * by the time that a byte costs, over all nodes. Without offloading. */
struct dawni_level {
    int64_t *t0, *m0; /* by node */
    int *step_at;     /* by node, [n + 1]: where its steps begin in */
    int *rank;        /* ... 1..steps: the ranks of its steps, rising */
    int steps;
    int64_t *dt, *dm; /* by rank, [steps + 1]: time more, memory less; > 0 */
};

struct dawni_instance {
    const struct dawni_partition_problem *problem;
    int n, l;
    double time_tick, byte_tick; /* ticks of a nanosecond, of a byte */
    int *variant_at;             /* [n + 1] */
    struct dawni_part_variant *variant;
    int most_options;        /* of any node */
    int *before_at, *before; /* by node: those with an edge to it */
    int *after_at, *after;   /* by node: those it has an edge to */
    int types;
    struct dawni_device_type *type; /* [types] */
    int *type_of;                   /* by device */
    bool capped;                    /* some device has a cap that can matter */
    double tier; /* bytes offloaded, in ticks, per tick of time; 0: none */
    int most_y;  /* largest y that can occur */
    struct dawni_level **level; /* by y - 1; made when first asked for */
    int64_t work, most_work;
};

enum dawn_status dawni_instance_create(
    const struct dawni_partition_problem *problem, struct dawni_instance **in_p,
    struct dawn_error *err);
/* The same, for stages with up to most_y in flight. */
enum dawn_status dawni_instance_create_for(
    const struct dawni_partition_problem *problem, int most_y,
    struct dawni_instance **in_p, struct dawn_error *err);
void dawni_instance_destroy(struct dawni_instance *in); /* takes NULL */

/* y of the stage that is `last`-th from the end, 1 for the last one. */
static inline int dawni_in_flight(const struct dawni_instance *in, int last)
{
    int m = in->problem->microbatches;
    return m && m < last ? m : last;
}

/* The limit T of a device in ticks of its own compute, and back, both to the
 * safe side: a time of own ticks takes at least the second on the device. */
static inline int64_t dawni_own_limit(const struct dawni_device_type *type,
                                      int64_t limit)
{
    double own = (double)limit * type->speed;
    if (limit >= DAWNI_NO_LIMIT || own >= (double)DAWNI_NO_LIMIT)
        return DAWNI_NO_LIMIT;
    return type->speed == 1 ? limit : (int64_t)own;
}

static inline int64_t dawni_real_time(const struct dawni_device_type *type,
                                      int64_t own)
{
    double time = (double)own / type->speed;
    if (own >= DAWNI_NO_LIMIT || time >= (double)DAWNI_NO_LIMIT)
        return DAWNI_NO_LIMIT;
    return type->speed == 1 ? own : (int64_t)time;
}

/* Options of a node with y in flight, none of which is dominated: by rising
 * time and, at the same time, falling memory; those that offload are compared
 * only among each other and with those that do not. option: room for
 * in->most_options. Returns their number. */
int dawni_options_of(const struct dawni_instance *in, int node, int y,
                     struct dawni_option *option);

/* The table for y. NULL without memory. */
const struct dawni_level *dawni_level_of(struct dawni_instance *in, int y);
void dawni_level_destroy(struct dawni_level *level); /* takes NULL */

#endif
