/* SPDX-License-Identifier: Apache-2.0 */
/* Memory by the additive rule. */
#ifndef DAWNI_MEMORY_ADDITIVE_H
#define DAWNI_MEMORY_ADDITIVE_H

#include <dawnpiper/memory.h>

/* What is offloaded needs so many times the largest: two windows of twice as
 * much, see schedule/staging.h. */
#define DAWNI_ADDITIVE_STAGING 4

/* Whole bytes of a sum. */
uint64_t dawni_additive_bytes(double bytes);

/* The variant of a node that the decision about its output means. */
const struct dawn_node_variant *dawni_additive_variant(
    const struct dawn_profile *profile, int node, enum dawn_decision decision);

struct dawni_curve { /* of dawn_memory_curve */
    uint64_t *bytes;
    int actions;
};

/* What a rank of the plan needs. curve: out, the caller frees its bytes; NULL:
 * not wanted. */
enum dawn_status dawni_additive_memory_of(struct dawn_plan *plan,
                                          const struct dawn_profile *profile,
                                          int rank, struct dawn_memory *memory,
                                          struct dawni_curve *curve,
                                          struct dawn_error *err);

#endif
