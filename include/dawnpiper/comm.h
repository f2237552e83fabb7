/* SPDX-License-Identifier: Apache-2.0 */
/* Transports: the ranks of a job and how they talk. (libdawnpiper-run)
 *
 * A communicator belongs to one thread.
 */
#ifndef DAWNPIPER_COMM_H
#define DAWNPIPER_COMM_H

#include <dawnpiper/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_comm;

/* Join the MPI job. Initialises MPI if nobody has, and then finalises it when
 * the communicator is destroyed; otherwise duplicates MPI_COMM_WORLD.
 * Collective.
 *
 *   timeout_s  a wait without progress for so long is DAWN_E_TIMEOUT; > 0. Time
 *              in which the process was stopped does not count
 *
 * Returns DAWN_OK, DAWN_E_COMM, or DAWN_E_INVAL when the launch is broken (one
 * rank although the job scheduler says several).
 */
DAWN_API enum dawn_status dawn_comm_create_mpi(double timeout_s,
                                               struct dawn_comm **comm_p,
                                               struct dawn_error *err);

/* Make `size` ranks inside this process, one for each of `size` threads; size 1
 * is a job without MPI. comms: out, `size` pointers, each destroyed by its
 * thread. Returns DAWN_OK, DAWN_E_INVAL or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_comm_create_loopback(int size, double timeout_s,
                                                    struct dawn_comm **comms,
                                                    struct dawn_error *err);

/* Takes NULL. After DAWN_E_TIMEOUT MPI is not finalised, and must not be called
 * again: it may still write to the buffers of the call that timed out.
 */
DAWN_API void dawn_comm_destroy(struct dawn_comm *comm);

DAWN_API int dawn_comm_rank(const struct dawn_comm *comm);
DAWN_API int dawn_comm_size(const struct dawn_comm *comm);

/* Make all ranks fail if one does: returns the lowest status of all, and its
 * text on every rank. Collective.
 */
DAWN_API enum dawn_status dawn_comm_agree(struct dawn_comm *comm,
                                          enum dawn_status status,
                                          struct dawn_error *err);

/* Copy `bytes` bytes from rank `root` to all; gather `bytes` from each rank
 * into `all` (size * bytes, by rank) on all. Collective, blocking until done or
 * DAWN_E_TIMEOUT.
 */
DAWN_API enum dawn_status dawn_comm_bcast(struct dawn_comm *comm, void *data,
                                          uint64_t bytes, int root,
                                          struct dawn_error *err);
DAWN_API enum dawn_status dawn_comm_allgather(struct dawn_comm *comm,
                                              const void *mine, uint64_t bytes,
                                              void *all,
                                              struct dawn_error *err);

/* Something that all ranks must have been told alike. */
struct dawn_comm_fact {
    const char *name;  /* as people know it: "train.lr" */
    const char *value; /* what is compared; NULL: none was given */
    const char *shown; /* what is told of the value; NULL: itself */
};

/* Compare each rank's facts with those of rank 0 of the same names. Collective;
 * ranks may even have other facts, or other numbers of them. Names stand once.
 *
 * Returns DAWN_OK; DAWN_E_MISMATCH on all ranks where some rank differs: the
 * text names the first such rank and all that it was told otherwise; or
 * DAWN_E_NOMEM, DAWN_E_COMM, DAWN_E_TIMEOUT.
 */
DAWN_API enum dawn_status dawn_comm_same(struct dawn_comm *comm,
                                         const struct dawn_comm_fact *fact,
                                         int facts, struct dawn_error *err);

/* End the whole job at once with that exit code. */
DAWN_API void dawn_comm_abort(struct dawn_comm *comm, int code);

#ifdef __cplusplus
}
#endif

#endif
