/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of a rank and the cores that they run on. */
#ifndef DAWNI_DEVICE_HOST_THREADS_H
#define DAWNI_DEVICE_HOST_THREADS_H

#include <dawnpiper/status.h>

/* Use that many threads in this rank's parallel regions, or as many as OpenMP
 * gives where OMP_THREAD_LIMIT allows fewer. Each is pinned to a core of its
 * own while there are enough: thread t of the rank with local rank r gets the
 * r-th share's t-th core of those that the process may use. A thread that
 * cannot be pinned runs unpinned, and so do all where OMP_PROC_BIND is false.
 * Called by the thread that will step the rank. Returns DAWN_OK or
 * DAWN_E_INVAL (threads below 1, a local rank outside the ranks).
 */
enum dawn_status dawni_host_setup(int threads, int local_rank, int local_ranks,
                                  struct dawn_error *err);

/* Which of `cores` cores thread t takes. Shares are as wide as the cores allow,
 * so that ranks spread over the sockets; too few cores are used in turn. */
int dawni_host_core(int cores, int threads, int local_rank, int local_ranks,
                    int thread);

#endif
