/* SPDX-License-Identifier: Apache-2.0 */
/* PipeDream's schedule with weight stashing (Narayanan et al., "PipeDream:
 * generalized pipeline parallelism for DNN training", SOSP 2019, section 3.3):
 * the order of 1F1B, each stage updating its weights behind every backward. A
 * forward reads the newest weights, and its backward the same ones, so stage x
 * of l, counted from 1, has l - x + 1 versions where a step is long enough. The
 * stages' versions differ: what the paper calls vertical sync is left out, as
 * it is there by default.
 */
#include "schedule/schedule.h"

static int least_every(const struct dawn_schedule *schedule)
{
    (void)schedule;
    return 1;
}

const struct dawni_schedule_kind_ops dawni_schedule_async_1f1b = {
    .name = "async-1f1b",
    .least_every = least_every,
    .delay = DAWNI_NEWEST,
    .fill = dawni_schedule_fill_1f1b,
};
