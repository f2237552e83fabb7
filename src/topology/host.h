/* SPDX-License-Identifier: Apache-2.0 */
/* This host, as hwloc sees it. (libdawnpiper-run) */
#ifndef DAWNI_TOPOLOGY_HOST_H
#define DAWNI_TOPOLOGY_HOST_H

#include <dawnpiper/status.h>
#include <stdbool.h>
#include <stdint.h>

struct dawni_host {
    char name[64];
    int cores;             /* that this process may use */
    uint64_t memory_bytes; /* of the host, or of its control group */
    bool all_nodes;        /* it may use all NUMA nodes */
    char *tree; /* text: packages, caches, NUMA nodes, cores; alike ones once */
};

/* Fill *host; the caller frees host->tree. Returns DAWN_OK, DAWN_E_NOTSUP
 * (hwloc failed) or DAWN_E_NOMEM. */
enum dawn_status dawni_host_read(struct dawni_host *host,
                                 struct dawn_error *err);

/* What a host has, by those who can be asked.
 *
 *   nodes    bytes of all NUMA nodes that this process may use; some virtual
 *            machines tell of a part of their memory only
 *   all      it may use all nodes
 *   meminfo  bytes in all, by /proc/meminfo; 0: not known
 *   limit    of the control group; UINT64_MAX: none
 */
uint64_t dawni_host_memory(uint64_t nodes, bool all, uint64_t meminfo,
                           uint64_t limit);

/* dawni_host_read of a description of hwloc's ("pack:2 l3:1 core:4 pu:2"), for
 * tests.
 */
enum dawn_status dawni_host_read_synthetic(const char *description,
                                           struct dawni_host *host,
                                           struct dawn_error *err);

#endif
