/* SPDX-License-Identifier: Apache-2.0 */
/* The exact memory of a rank, which packs a whole step: the last answer for
 * each rank is remembered, since rounds of planning often change few of them.
 */
#include "common/hash.h"
#include "planner/planner.h"

/* Digest of all that the memory of a rank depends on. */
static uint64_t digest(const struct dawni_planner *pl, struct dawn_plan *plan,
                       int rank)
{
    struct dawni_hash hash;

    dawni_hash_init(&hash);
    for (int x = 0; x < pl->l; x++)
        dawni_hash_add_u64(&hash, (uint64_t)dawn_plan_stage(plan, x)->first);
    for (int x = rank; x < pl->l; x += pl->ranks)
        for (int t = 0; t < pl->graph->tensors; t++)
            if (dawn_plan_decision(plan, x, t) != DAWN_KEEP) {
                dawni_hash_add_u64(&hash, (uint64_t)x);
                dawni_hash_add_u64(&hash, (uint64_t)t);
                dawni_hash_add_u64(&hash,
                                   (uint64_t)dawn_plan_decision(plan, x, t));
            }
    return dawni_hash_end(&hash);
}

enum dawn_status dawni_rank_memory(struct dawni_planner *pl,
                                   struct dawn_plan *plan, int rank,
                                   struct dawn_memory *memory,
                                   struct dawn_error *err)
{
    struct dawni_known_memory *known = &pl->known[rank];
    uint64_t key = digest(pl, plan, rank);
    enum dawn_status st = DAWN_OK;

    if (!known->valid || known->key != key)
        st = dawn_memory_of(plan, pl->profile, rank, &known->memory, err);
    known->valid = !st;
    known->key = key;
    if (!st)
        *memory = known->memory;
    return st;
}
