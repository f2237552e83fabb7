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

/* How long somebody has waited who looks again and again. Time in which the
 * process did not run is none of it: a batch system may have stopped it
 * (SIGSTOP), or a machine was suspended, and then the others were too, as a
 * rule. Who looks often and was not stopped finds little time between two
 * looks, so more than DAWNI_MOST_BETWEEN_LOOKS_NS of it is not counted.
 *
 *     struct dawni_wait wait = dawni_wait_begin();
 *     while (!done())
 *         if (dawni_wait_look(&wait, dawni_now_ns()) > timeout_s * 1e9)
 *             return too_long();
 */
struct dawni_wait {
    uint64_t looked_ns; /* the clock at the last look */
    uint64_t ns;        /* waited until then */
};

#define DAWNI_MOST_BETWEEN_LOOKS_NS 100000000u

static inline struct dawni_wait dawni_wait_begin(void)
{
    return (struct dawni_wait){dawni_now_ns(), 0};
}

/* Look at the clock, which says `now_ns`. Returns how long the wait lasted. */
static inline double dawni_wait_look(struct dawni_wait *wait, uint64_t now_ns)
{
    uint64_t passed = now_ns - wait->looked_ns;

    wait->ns += passed < DAWNI_MOST_BETWEEN_LOOKS_NS
                    ? passed
                    : DAWNI_MOST_BETWEEN_LOOKS_NS;
    wait->looked_ns = now_ns;
    return (double)wait->ns;
}

#endif
