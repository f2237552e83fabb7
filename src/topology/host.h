/* SPDX-License-Identifier: Apache-2.0 */
/* This host, as hwloc sees it. (libdawnpiper-run) */
#ifndef DAWNI_TOPOLOGY_HOST_H
#define DAWNI_TOPOLOGY_HOST_H

#include <dawnpiper/status.h>
#include <stdint.h>

struct dawni_host {
    char name[64];
    int cores;             /* that this process may use */
    uint64_t memory_bytes; /* of the host, or of its control group */
    char *tree; /* text: packages, caches, NUMA nodes, cores; alike ones once */
};

/* Fill *host; the caller frees host->tree. Returns DAWN_OK, DAWN_E_NOTSUP
 * (hwloc failed) or DAWN_E_NOMEM. */
enum dawn_status dawni_host_read(struct dawni_host *host,
                                 struct dawn_error *err);

/* The same of a description of hwloc's ("pack:2 l3:1 core:4 pu:2"), for tests.
 */
enum dawn_status dawni_host_read_synthetic(const char *description,
                                           struct dawni_host *host,
                                           struct dawn_error *err);

#endif
