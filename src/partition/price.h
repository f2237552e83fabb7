/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline costs with the best choice of variants. */
#ifndef DAWNI_PARTITION_PRICE_H
#define DAWNI_PARTITION_PRICE_H

#include "partition/load.h"
#include "partition/search.h"

struct dawni_stage_opts { /* a stage whose nodes are given */
    const int *node;
    int nodes, y;
    const struct dawni_device_type *type;
    enum dawni_knapsack_method method;
    int64_t effort;
    int64_t enough; /* a time that is good enough where there is a tier; 0 */
};

/* The least time of a stage; sack->choice by node of it. time and bound are
 * real times: the larger of compute and transfer. Returns DAWN_OK or
 * DAWN_E_NOMEM. */
enum dawn_status dawni_stage_choose(struct dawni_sack *sack,
                                    const struct dawni_stage_opts *opts,
                                    struct dawni_sack_answer *answer,
                                    struct dawn_error *err);

/* The stage's figures, as the caller's numbers, from sack->choice. */
void dawni_stage_report(const struct dawni_sack *sack,
                        const struct dawni_stage_opts *opts,
                        struct dawni_partition_stage *stage);

/* A partition that says that nothing is feasible, with room for one that is. */
enum dawn_status dawni_partition_empty(int nodes, int stages,
                                       struct dawni_partition **p_p,
                                       struct dawn_error *err);

/* Set what follows from feasible, bottleneck_ns and bound_ns. */
void dawni_partition_judge(struct dawni_partition *p);

/* A partition of a pipeline. bound_ns and proven are about the choice of
 * variants only. like: its method, effort and enough are used. */
enum dawn_status dawni_pipeline_price(struct dawni_sack *sack,
                                      const struct dawni_pipeline *pipeline,
                                      const struct dawni_stage_opts *like,
                                      struct dawni_partition **p_p,
                                      struct dawn_error *err);

#endif
