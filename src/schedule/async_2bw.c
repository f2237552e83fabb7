/* SPDX-License-Identifier: Apache-2.0 */
/* PipeDream-2BW (Narayanan et al., "Memory-efficient pipeline-parallel DNN
 * training", ICML 2021): the order of 1F1B, the gradients of as many
 * microbatches as there are stages, or more, in one update. All stages read the
 * weights before the newest update that an earlier batch of microbatches went
 * into: w(t + 1) = w(t) - lr * gradient at w(t - 1). By then no stage needs
 * older ones, so two versions do.
 */
#include "schedule/schedule.h"

static int least_every(const struct dawn_schedule *schedule)
{
    return schedule->stages;
}

const struct dawni_schedule_kind_ops dawni_schedule_async_2bw = {
    .name = "async-2bw",
    .least_every = least_every,
    .delay = 1,
    .fill = dawni_schedule_fill_1f1b,
};
