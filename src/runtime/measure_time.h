/* SPDX-License-Identifier: Apache-2.0 */
/* Timing one run of nodes at several microbatch sizes. */
#ifndef DAWNI_RUNTIME_MEASURE_TIME_H
#define DAWNI_RUNTIME_MEASURE_TIME_H

#include "comm/comm.h"
#include "runtime/measure_rig.h"
#include <dawnpiper/profile.h>

/* The same nodes at several sizes, filled. */
struct dawni_rig_set {
    struct dawn_comm *comm;
    int sizes;
    struct dawni_rig **rig; /* by size, ascending; all NULL on a rank that has
                               nothing to run */
    int repeats;            /* rounds; 0: until the medians are steady */
};

/* Time them on all ranks at once, in rounds that go through all sizes, so that
 * what disturbs the machine for a while disturbs all alike.
 *
 *   cost    out: of the first node at the first size; the median over the
 *           rounds, and half the distance between the quartiles. The optimizer
 *           is timed with the last size and set there only
 *   stride  from one size to the next
 *
 * Collective. Returns DAWN_OK or whatever stopped one of the ranks.
 */
enum dawn_status dawni_time_rigs(const struct dawni_rig_set *set,
                                 struct dawn_node_cost *cost, int64_t stride,
                                 struct dawn_error *err);

#endif
