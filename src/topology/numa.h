/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a NUMA node that this process has no core on: where tensors are
 * offloaded to on a host device. (libdawnpiper-run)
 */
#ifndef DAWNI_TOPOLOGY_NUMA_H
#define DAWNI_TOPOLOGY_NUMA_H

#include <dawnpiper/machine.h>
#include <stdbool.h>
#include <stddef.h>

/* Have the pages of an area that was not touched yet come from such a node, the
 * one with most memory. False: there is none, or it may not be used; the area
 * is as it was. */
bool dawni_numa_bind_far(void *area, size_t bytes);

/* How fast memory is copied there and back, by one thread; the medians of five
 * passes. *found_p: there is such a node, and *tier is filled; its
 * compute_ns_per_byte is the time of one core. Returns DAWN_OK or
 * DAWN_E_NOMEM. */
enum dawn_status dawni_numa_measure(size_t bytes,
                                    struct dawn_machine_tier *tier,
                                    bool *found_p, struct dawn_error *err);

/* The node, by number, that a process on these cores ("0-3,8") would use in a
 * machine of hwloc's description ("numa:2 core:2 pu:1"), for tests. -1: none.
 */
int dawni_numa_far_synthetic(const char *description, const char *cores);

#endif
