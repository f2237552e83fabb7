/* SPDX-License-Identifier: Apache-2.0 */
/* 1F1B with a flush at the end of the step: stage s of l does min(m, l - s)
 * forwards, then one backward and one forward in turn, then the backwards that
 * are left. That many microbatches are in flight on it.
 */
#include "schedule/schedule.h"

static struct dawn_action stage_action(const struct dawn_schedule *schedule,
                                       int stage, int i)
{
    int m = schedule->microbatches;
    int warm = schedule->stages - stage < m ? schedule->stages - stage : m;
    int pairs = m - warm, j = i - warm;

    if (j < 0)
        return (struct dawn_action){DAWN_ACTION_F, i, stage, -1};
    if (j >= 2 * pairs)
        return (struct dawn_action){DAWN_ACTION_BW, j - pairs, stage, -1};
    if (j % 2 == 0)
        return (struct dawn_action){DAWN_ACTION_BW, j / 2, stage, -1};
    return (struct dawn_action){DAWN_ACTION_F, warm + j / 2, stage, -1};
}

enum dawn_status dawni_schedule_fill_1f1b(struct dawn_schedule *schedule,
                                          struct dawn_error *err)
{
    return dawni_schedule_fill_by_stage(schedule, stage_action, err);
}

const struct dawni_schedule_kind_ops dawni_schedule_1f1b = {
    .name = "1f1b",
    .fill = dawni_schedule_fill_1f1b,
};
