/* SPDX-License-Identifier: Apache-2.0 */
/* Offloaded tensors in the simulator: transfers beside computations. */
#ifndef DAWNI_SCHEDULE_TIERS_H
#define DAWNI_SCHEDULE_TIERS_H

#include <dawnpiper/schedule.h>

struct dawni_tiers; /* of all ranks */

/* Sorts and checks what costs say. *tiers_p is NULL if nothing is offloaded. */
enum dawn_status dawni_tiers_create(const struct dawn_schedule *schedule,
                                    const struct dawn_sim_costs *costs,
                                    struct dawni_tiers **tiers_p,
                                    struct dawn_error *err);
void dawni_tiers_destroy(struct dawni_tiers *t); /* takes NULL */

/* Action number i of a rank, a computation, begins at start_ns and takes ns if
 * it never waits for a transfer. Returns when it ends. */
double dawni_tiers_compute(struct dawni_tiers *t, int rank, int i,
                           double start_ns, double ns);

/* What transfers have cost the rank so far: waiting and computing time. */
double dawni_tiers_lost(const struct dawni_tiers *t, int rank);

/* result->stall_ns, transfer_ns, moves and move; adds to busy_ns. */
enum dawn_status dawni_tiers_result(const struct dawni_tiers *t,
                                    struct dawn_sim_result *result,
                                    struct dawn_error *err);

#endif
