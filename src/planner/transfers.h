/* SPDX-License-Identifier: Apache-2.0 */
/* What stages offload, for the simulator, and what that costs. */
#ifndef DAWNI_PLANNER_TRANSFERS_H
#define DAWNI_PLANNER_TRANSFERS_H

#include <dawnpiper/planner.h>

struct dawni_planner;
struct dawni_rehearsal;

struct dawni_transfers { /* of one stage after the other */
    int n, room;
    struct dawn_sim_transfer *transfer;
};

void dawni_transfers_clear(struct dawni_transfers *t);

/* The machine's tiers, and which of them may be used. */
enum dawn_status dawni_tiers_find(struct dawni_planner *pl,
                                  enum dawn_offload offload,
                                  struct dawn_error *err);

/* The tier as each of `sharers` stages or ranks has it that use it at one time.
 */
struct dawn_sim_tier dawni_tier_share(const struct dawni_planner *pl, int tier,
                                      int sharers);

enum dawn_status dawni_rehearsal_create(struct dawni_planner *pl,
                                        struct dawn_error *err);
void dawni_rehearsal_destroy(struct dawni_rehearsal *r); /* takes NULL */

/* Append what the stage that was priced last offloads; stage x runs it. */
bool dawni_transfers_add(struct dawni_planner *pl, int x,
                         struct dawni_transfers *t);

/* What transfers cost stage x, of a microbatch on average, by stalls and by the
 * computing time that they take, if F and BW take
 * ns[0] and ns[1] and nobody else is waited for. False: pl->status is set. */
bool dawni_rehearse(struct dawni_planner *pl, int x,
                    const struct dawni_transfers *t, const double ns[2],
                    double *stall_ns);

/* The same of what was priced last, of a microbatch on average, if nobody else
 * is waited for. False: pl->status is set. */
bool dawni_stall(struct dawni_planner *pl, int x, double *stall_ns);

#endif
