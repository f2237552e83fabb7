/* SPDX-License-Identifier: Apache-2.0 */
/* Time. */
#ifndef DAWNI_COMMON_CLOCK_H
#define DAWNI_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of a clock that never goes back. */
static inline uint64_t dawni_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
