/* SPDX-License-Identifier: Apache-2.0 */
/* Which core each thread of each rank gets, and what setup refuses. */
#include "device/host/threads.h"
#include "tap.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

static const struct {
    int cores, threads, ranks;
    int core[4][4]; /* by rank, thread */
    const char *why;
} cases[] = {
    {2, 1, 2, {{0}, {1}}, "two ranks on two cores"},
    {2, 2, 1, {{0, 1}}, "two threads on two cores"},
    {8, 2, 2, {{0, 1}, {4, 5}}, "ranks spread over the cores"},
    {8, 1, 4, {{0}, {2}, {4}, {6}}, "one thread a rank, evenly spread"},
    {2, 1, 4, {{0}, {1}, {0}, {1}}, "more ranks than cores wrap around"},
    {2, 2, 2, {{0, 1}, {0, 1}}, "more threads than cores wrap around"},
    {3, 2, 2, {{0, 1}, {2, 0}}, "an odd number of cores"},
    {1, 1, 3, {{0}, {0}, {0}}, "a launcher that left one core"},
};

/* Processing units that this thread may run on. */
static int allowed(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? -1 : CPU_COUNT(&set);
}

static void test_pinning(void)
{
    int all = allowed();
    setenv("OMP_PROC_BIND", "FALSE", 1);
    dawni_host_setup(1, 0, 1, NULL);
    is_int(allowed(), all, "OMP_PROC_BIND=FALSE: the thread is not pinned");
    unsetenv("OMP_PROC_BIND");
    dawni_host_setup(1, 0, 1, NULL);
    is_int(allowed(), 1, "without it the thread is pinned to one core");
}

int main(void)
{
    struct dawn_error err;
    plan_lazy();
    test_pinning();
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool right = true;
        for (int r = 0; r < cases[i].ranks; r++)
            for (int t = 0; t < cases[i].threads; t++)
                right = right && dawni_host_core(
                                     cases[i].cores, cases[i].threads, r,
                                     cases[i].ranks, t) == cases[i].core[r][t];
        ok(right, "%s", cases[i].why);
    }
    is_int(dawni_host_setup(0, 0, 1, &err), DAWN_E_INVAL, "no threads");
    is_str(err.text, "threads 0, must be >= 1", "and the reason is said");
    is_int(dawni_host_setup(1, 1, 1, &err), DAWN_E_INVAL, "rank 1 of 1");
    is_int(dawni_host_setup(1, -1, 1, &err), DAWN_E_INVAL, "rank -1");
    is_int(dawni_host_setup(2, 0, 1, &err), DAWN_OK, "two threads are set up");
    is_int(dawni_host_setup(1, 5, 6, &err), DAWN_OK, "a sixth rank too");
    return done_testing();
}
