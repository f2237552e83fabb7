/* SPDX-License-Identifier: Apache-2.0 */
/* Pinning the threads of a rank with hwloc. */
#include "device/host/threads.h"

#include <hwloc.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>

int dawni_host_core(int cores, int threads, int local_rank, int local_ranks,
                    int thread)
{
    int share = cores / local_ranks > threads ? cores / local_ranks : threads;
    return (int)(((int64_t)local_rank * share + thread) % cores);
}

/* One processing unit of each core in `set`, in the order of the machine.
 * Returns their number. */
static int list_cores(hwloc_topology_t topology, hwloc_const_bitmap_t set,
                      hwloc_bitmap_t *pu, int room)
{
    int n = 0, depth = hwloc_get_type_or_below_depth(topology, HWLOC_OBJ_CORE);
    int all = (int)hwloc_get_nbobjs_by_depth(topology, depth);
    for (int i = 0; i < all && n < room; i++) {
        hwloc_obj_t core = hwloc_get_obj_by_depth(topology, depth, (unsigned)i);
        hwloc_bitmap_t one = hwloc_bitmap_alloc();
        if (one && hwloc_bitmap_and(one, core->cpuset, set) == 0 &&
            !hwloc_bitmap_iszero(one) && hwloc_bitmap_singlify(one) == 0)
            pu[n++] = one;
        else
            hwloc_bitmap_free(one);
    }
    return n;
}

/* The cores that this process may use; where the launcher left fewer than there
 * are threads, all that the machine allows. */
static int find_cores(hwloc_topology_t topology, int threads,
                      hwloc_bitmap_t *pu, int room)
{
    int n = 0;
    hwloc_bitmap_t mine = hwloc_bitmap_alloc();
    if (mine && hwloc_get_cpubind(topology, mine, HWLOC_CPUBIND_PROCESS) == 0)
        n = list_cores(topology, mine, pu, room);
    hwloc_bitmap_free(mine);
    if (n >= threads)
        return n;
    for (int i = 0; i < n; i++)
        hwloc_bitmap_free(pu[i]);
    return list_cores(topology, hwloc_topology_get_allowed_cpuset(topology), pu,
                      room);
}

/* OpenMP's own variable says no. */
static bool unwanted(void)
{
    const char *bind = getenv("OMP_PROC_BIND");
    return bind && strcasecmp(bind, "false") == 0;
}

static void pin(hwloc_topology_t topology, int threads, int local_rank,
                int local_ranks)
{
    int room = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    hwloc_bitmap_t *pu = room > 0 ? calloc((size_t)room, sizeof *pu) : NULL;
    int cores = pu ? find_cores(topology, threads, pu, room) : 0;
    int all = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    /* more threads than cores: the system knows better who is idle */
    if (cores > 0 && (int64_t)threads * local_ranks <= all) {
#pragma omp parallel num_threads(threads)
        {
            int core = dawni_host_core(cores, threads, local_rank, local_ranks,
                                       omp_get_thread_num());
            hwloc_set_cpubind(topology, pu[core], HWLOC_CPUBIND_THREAD);
        }
    }
    for (int i = 0; i < cores; i++)
        hwloc_bitmap_free(pu[i]);
    free(pu);
}

/* How many threads OpenMP gives when asked for so many: OMP_THREAD_LIMIT, for
 * one, may allow fewer. */
static int given(int threads)
{
    int n = 1;
#pragma omp parallel num_threads(threads)
#pragma omp single
    n = omp_get_num_threads();
    return n;
}

enum dawn_status dawni_host_setup(int threads, int local_rank, int local_ranks,
                                  struct dawn_error *err)
{
    if (threads < 1)
        return dawn_fail(err, DAWN_E_INVAL, "threads %d, must be >= 1",
                         threads);
    if (local_rank < 0 || local_rank >= local_ranks)
        return dawn_fail(err, DAWN_E_INVAL, "local rank %d of %d", local_rank,
                         local_ranks);
    omp_set_dynamic(0);
    threads = given(threads);
    omp_set_num_threads(threads); /* what oneDNN divides its work by */
    hwloc_topology_t topology;
    if (unwanted() || hwloc_topology_init(&topology) != 0)
        return DAWN_OK; /* unpinned */
    if (hwloc_topology_load(topology) == 0)
        pin(topology, threads, local_rank, local_ranks);
    hwloc_topology_destroy(topology);
    return DAWN_OK;
}
