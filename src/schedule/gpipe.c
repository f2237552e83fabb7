/* SPDX-License-Identifier: Apache-2.0 */
/* GPipe: all forwards, then all backwards. A stage holds all microbatches. */
#include "schedule/schedule.h"

static struct dawn_action stage_action(const struct dawn_schedule *schedule,
                                       int stage, int i)
{
    int m = schedule->microbatches;

    if (i < m)
        return (struct dawn_action){DAWN_ACTION_F, i, stage, -1};
    return (struct dawn_action){DAWN_ACTION_BW, i - m, stage, -1};
}

static enum dawn_status fill(struct dawn_schedule *schedule,
                             struct dawn_error *err)
{
    return dawni_schedule_fill_by_stage(schedule, stage_action, err);
}

const struct dawni_schedule_kind_ops dawni_schedule_gpipe = {
    .name = "gpipe",
    .fill = fill,
};
