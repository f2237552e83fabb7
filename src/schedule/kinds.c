/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of schedule. A new one is a file that fills the order of
 * computation, and a line here.
 */
#include "schedule/schedule.h"

#include <string.h>

static const struct dawni_schedule_kind_ops *const kind[] = {
    &dawni_schedule_gpipe,
    &dawni_schedule_1f1b,
    &dawni_schedule_async_1f1b,
    &dawni_schedule_async_2bw,
};

#define KINDS ((int)(sizeof kind / sizeof kind[0]))

const char *dawn_schedule_kind(int i)
{
    return i >= 0 && i < KINDS ? kind[i]->name : NULL;
}

const struct dawni_schedule_kind_ops *dawni_schedule_kind_find(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kind[i]->name, name) == 0)
            return kind[i];
    return NULL;
}
