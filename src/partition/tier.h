/* SPDX-License-Identifier: Apache-2.0 */
/* The knapsack of a stage that may offload.
 *
 * Under a limit T what is offloaded must pass within T, so there is a second
 * resource: room = T * the tier's speed. The staging memory depends on the
 * largest that is offloaded; every size is tried as that. At any prices
 *   T >= (sum of min(t + lambda m + nu r) - lambda cap) / (speed + nu tier)
 */
#ifndef DAWNI_PARTITION_TIER_H
#define DAWNI_PARTITION_TIER_H

#include "partition/price.h"

/* Is there a choice for the nodes in the sack within T on a device? answer:
 * found: s->choice is one; bound: else no T below it will do, all in real
 * time; complete: one of the two is certain. False without memory. */
bool dawni_tier_decide(struct dawni_sack *s,
                       const struct dawni_device_type *type, int64_t limit,
                       int64_t effort, struct dawni_sack_answer *answer);

/* The least T, or one that is enough: s->choice has it if found. opts: its
 * type, method, effort and enough are used. */
bool dawni_tier_choose(struct dawni_sack *s,
                       const struct dawni_stage_opts *opts,
                       struct dawni_sack_answer *answer);

#endif
