/* SPDX-License-Identifier: Apache-2.0 */
/* Linear orders of a graph, turned round: each node behind all that come after
 * it. */
#ifndef DAWNI_PARTITION_ORDER_H
#define DAWNI_PARTITION_ORDER_H

#include "partition/instance.h"

enum dawni_order {
    DAWNI_ORDER_DEPTH,   /* branch after branch */
    DAWNI_ORDER_BREADTH, /* all branches side by side */
    DAWNI_ORDER_SAVED,   /* what saves most bytes for its time is taken first:
                            it comes into late stages */
    DAWNI_ORDER_GIVEN,   /* as the nodes are numbered */
    DAWNI_ORDERS,
    DAWNI_ORDER_STAGES /* stage after stage of a pipeline, within them branches
                          in an order drawn by lot */
};

/* order: out, [n]. stage_of, lot: for DAWNI_ORDER_STAGES. False without
 * memory. */
bool dawni_order_make(const struct dawni_instance *in, enum dawni_order kind,
                      const int *stage_of, uint64_t lot, int *order);

#endif
