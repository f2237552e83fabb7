/* SPDX-License-Identifier: Apache-2.0 */
#include "topology/numa.h"
#include "common/clock.h"
#include "common/sort.h"

#include <hwloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PASSES 5

/* The node with most memory that has none of these cores; NULL: none. */
static hwloc_obj_t far_node(hwloc_topology_t topology,
                            hwloc_const_cpuset_t cores)
{
    hwloc_obj_t node = NULL, best = NULL;

    while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE,
                                              node))) {
        uint64_t bytes = node->attr->numanode.local_memory;
        if (bytes && !hwloc_bitmap_intersects(node->cpuset, cores) &&
            (!best || bytes > best->attr->numanode.local_memory))
            best = node;
    }
    return best;
}

bool dawni_numa_bind_far(void *area, size_t bytes)
{
    hwloc_bitmap_t cores = hwloc_bitmap_alloc();
    hwloc_topology_t topology = NULL;
    hwloc_obj_t node = NULL;
    bool bound = false;

    if (cores && !hwloc_topology_init(&topology) &&
        !hwloc_topology_load(topology) &&
        !hwloc_get_cpubind(topology, cores, HWLOC_CPUBIND_PROCESS))
        node = far_node(topology, cores);
    if (node)
        bound = !hwloc_set_area_membind(
            topology, area, bytes, node->nodeset, HWLOC_MEMBIND_BIND,
            HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_STRICT);
    if (topology)
        hwloc_topology_destroy(topology);
    hwloc_bitmap_free(cores);
    return bound;
}

int dawni_numa_far_synthetic(const char *description, const char *cores)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    hwloc_topology_t topology = NULL;
    hwloc_obj_t node = NULL;
    int number = -1;

    if (set && !hwloc_topology_init(&topology) &&
        !hwloc_topology_set_synthetic(topology, description) &&
        !hwloc_topology_load(topology) && !hwloc_bitmap_list_sscanf(set, cores))
        node = far_node(topology, set);
    if (node)
        number = (int)node->os_index;
    if (topology)
        hwloc_topology_destroy(topology);
    hwloc_bitmap_free(set);
    return number;
}

/* Measuring */

/* Bytes per second, the median. *spread: at least that of the passes. */
static double copy_speed(char *to, const char *from, size_t bytes,
                         double *spread)
{
    double speed[PASSES];

    memcpy(to, from, bytes); /* touch all pages */
    for (int i = 0; i < PASSES; i++) {
        uint64_t begin = dawni_now_ns();
        memcpy(to, from, bytes);
        double ns = (double)(dawni_now_ns() - begin);
        speed[i] = (double)bytes / (ns > 1 ? ns : 1) * 1e9;
    }
    struct dawni_quartiles q = dawni_quartiles(speed, PASSES);
    if (*spread < q.high / q.low)
        *spread = q.high / q.low;
    return dawni_median(speed, PASSES);
}

enum dawn_status dawni_numa_measure(size_t bytes,
                                    struct dawn_machine_tier *tier,
                                    bool *found_p, struct dawn_error *err)
{
    char *far = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *near = malloc(bytes);
    bool whole = far != MAP_FAILED && near;

    *found_p = whole && dawni_numa_bind_far(far, bytes);
    if (*found_p) {
        memset(near, 1, bytes);
        *tier = (struct dawn_machine_tier){.kind = "host"};
        tier->write_bytes_per_s = copy_speed(far, near, bytes, &tier->spread);
        tier->read_bytes_per_s = copy_speed(near, far, bytes, &tier->spread);
        /* a core copies, and does not compute meanwhile */
        tier->compute_ns_per_byte =
            (1 / tier->write_bytes_per_s + 1 / tier->read_bytes_per_s) * 1e9 /
            2;
    }
    if (far != MAP_FAILED)
        munmap(far, bytes);
    free(near);
    return whole ? DAWN_OK : dawn_fail(err, DAWN_E_NOMEM, "no memory to copy");
}
