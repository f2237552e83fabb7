/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring: a graph's nodes on this device, and the machine.
 * (libdawnpiper-run)
 */
#ifndef DAWNPIPER_MEASURE_H
#define DAWNPIPER_MEASURE_H

#include <dawnpiper/comm.h>
#include <dawnpiper/exec.h>
#include <dawnpiper/machine.h>
#include <dawnpiper/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_measure_opts {
    struct dawn_comm
        *comm;          /* ranks share the nodes out and measure at the same
                           time, so that they load the memory as a run does */
    const char *device; /* NULL: "host" */
    int threads;        /* of each rank, at most 4096; 0: 1 */
    int sizes;
    const int64_t *size; /* microbatch sizes, ascending, 1 to 2^20 */
    int repeats;         /* rounds of timed runs; 0: at least 7, for seconds,
                            until the medians are steady */
    dawn_feed_fn feed;   /* fills graph inputs with real data; NULL: zeros */
    /* NULL, or: told now and then how many of this rank's nodes are measured,
     * counting each microbatch size, and how many that will be */
    void (*progress)(void *user, int done, int all);
    void *user; /* of feed and progress */
};

/* Measure F, B, W, update, scratch of every node of a finished graph. Takes the
 * graph over: it belongs to the profile afterwards (not on failure).
 * Collective, with the same graph, device, sizes and repeats; every rank gets
 * the whole profile.
 *
 * Returns DAWN_OK, DAWN_E_INVAL, DAWN_E_NOTSUP (no such device),
 * DAWN_E_MISMATCH (a rank has other options, which the text names),
 * DAWN_E_NOMEM, or how measuring failed.
 */
DAWN_API enum dawn_status dawn_profile_measure(
    struct dawn_graph *graph, const struct dawn_measure_opts *opts,
    struct dawn_profile **profile_p, struct dawn_error *err);

/* Measure this machine: hwloc's tree, memory, links between the ranks, the disk
 * behind `dir` (NULL: no disk). Collective; every rank gets the result.
 *
 * Links and tiers are measured several times; the lower quartile of a link's
 * times and the median of a tier's count, and their spread is noted.
 *
 *   spread_p  out, may be NULL: the most of all links' spreads
 */
DAWN_API enum dawn_status dawn_machine_measure(struct dawn_comm *comm,
                                               const char *dir,
                                               struct dawn_machine **machine_p,
                                               double *spread_p,
                                               struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
