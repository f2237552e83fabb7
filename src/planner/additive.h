/* SPDX-License-Identifier: Apache-2.0 */
/* Planning of additive profiles (see dawnpiper/profile.h): what a stage takes
 * is a sum over its nodes, what to recompute is a multiple-choice knapsack, and
 * the whole is what src/partition solves.
 */
#ifndef DAWNI_PLANNER_ADDITIVE_H
#define DAWNI_PLANNER_ADDITIVE_H

#include "planner/planner.h"

/* The profile as the solver wants it. Leaves pl->additive NULL where the
 * profile is not additive. */
enum dawn_status dawni_additive_create(struct dawni_planner *pl,
                                       struct dawn_error *err);
void dawni_additive_destroy(struct dawni_additive *a); /* takes NULL */

/* By node: bytes of each microbatch in flight, bytes held once, as it is. */
double dawni_additive_saved(const struct dawni_planner *pl, int node);
double dawni_additive_fixed(const struct dawni_planner *pl, int node);

/* Time that recompute of a node adds. */
double dawni_additive_again_ns(const struct dawni_planner *pl, int node);

/* Can a plan decide so about the tensor? */
bool dawni_additive_allows(const struct dawni_planner *pl, int tensor,
                           enum dawn_decision decision);

/* dawni_decide, dawni_price_decisions by the rule. */
struct dawni_decided dawni_additive_decide(struct dawni_planner *pl, int first,
                                           int last, int x, bool thorough,
                                           uint8_t *decision);
struct dawni_decided dawni_additive_price(struct dawni_planner *pl, int first,
                                          int last, int x,
                                          const uint8_t *decision);

/* Where decisions stall, decide anew if that costs less. Failures: pl->status.
 */
void dawni_additive_mend(struct dawni_planner *pl, int first, int last, int x,
                         uint8_t *decision);

/* dawni_transfers_add, of these decisions. */
bool dawni_additive_transfers(struct dawni_planner *pl, int first, int last,
                              int x, const uint8_t *decision,
                              struct dawni_transfers *t);

/* additive_cuts.c: cuts into l stages for a short step under the caps, messages
 * counted; what stages recompute is estimated. Returns the time between two
 * microbatches; INFINITY: there are no cuts, or pl->status is set. */
double dawni_additive_cut(struct dawni_planner *pl, int *cut);

/* dawni_bound: of the objective, for any cuts in any order. */
double dawni_additive_bound(struct dawni_planner *pl);

/* dawni_plan_best and dawni_plan_find_cap by the solver, for the policies whose
 * aim is the best plan: `dawnpiper`, `exact`, both. The plan may use fewer
 * stages, and its nodes may stand in an order of their own. */
bool dawni_additive_solves(const struct dawni_planner *pl);
enum dawn_status dawni_additive_best(struct dawni_planner *pl,
                                     struct dawn_plan **plan_p,
                                     struct dawn_error *err);
/* need: in: fails_bytes */
enum dawn_status dawni_additive_find_cap(struct dawni_planner *pl,
                                         const struct dawn_planner_watch *watch,
                                         struct dawn_planner_nofit *need,
                                         struct dawn_error *err);

#endif
