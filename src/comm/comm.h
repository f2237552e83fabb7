/* SPDX-License-Identifier: Apache-2.0 */
/* How bytes get from rank to rank. One table of functions a transport.
 *
 * Nothing here blocks without a deadline: collectives poll and give up with
 * DAWN_E_TIMEOUT after comm->timeout_s. Point-to-point requests are persistent:
 * made once, started many times, tested between kernels. Messages between two
 * ranks with one tag are matched in the order in which they were started.
 * A communicator belongs to one thread.
 */
#ifndef DAWNI_COMM_COMM_H
#define DAWNI_COMM_COMM_H

#include <dawnpiper/comm.h>

struct dawni_req;

struct dawni_peer { /* the other end of a message */
    int rank, tag;
};

struct dawni_comm_ops {
    const char *name; /* "mpi", "loopback" */
    enum dawn_status (*send_init)(struct dawn_comm *comm, const void *buffer,
                                  uint64_t bytes, struct dawni_peer peer,
                                  struct dawni_req **req_p,
                                  struct dawn_error *err);
    enum dawn_status (*recv_init)(struct dawn_comm *comm, void *buffer,
                                  uint64_t bytes, struct dawni_peer peer,
                                  struct dawni_req **req_p,
                                  struct dawn_error *err);
    /* Neither blocks. A message of another length than the receive's is
     * DAWN_E_COMM, naming both lengths. */
    enum dawn_status (*start)(struct dawni_req *req, struct dawn_error *err);
    enum dawn_status (*test)(struct dawni_req *req, bool *done_p,
                             struct dawn_error *err);
    void (*req_destroy)(struct dawni_req *req);
    /* Move whatever can move. */
    void (*progress)(struct dawn_comm *comm);

    /* Collectives, called by all ranks in the same order. */
    enum dawn_status (*allreduce_sum)(struct dawn_comm *comm, double *x, int n,
                                      struct dawn_error *err);
    enum dawn_status (*allreduce_min)(struct dawn_comm *comm, int64_t *x, int n,
                                      struct dawn_error *err);
    enum dawn_status (*bcast)(struct dawn_comm *comm, void *x, uint64_t bytes,
                              int root, struct dawn_error *err);
    /* all: size * bytes, by rank */
    enum dawn_status (*allgather)(struct dawn_comm *comm, const void *mine,
                                  uint64_t bytes, void *all,
                                  struct dawn_error *err);
    /* End the whole job now, with that exit code; does not return for mpi. */
    void (*abort)(struct dawn_comm *comm, int code);
    void (*destroy)(struct dawn_comm *comm);
};

struct dawn_comm { /* first member of each transport's own struct */
    const struct dawni_comm_ops *ops;
    int rank, size;
    int local_rank, local_size; /* among the ranks of this node */
    bool crowded; /* dawni_comm_crowded(local_size) */
    double timeout_s;
};

/* Are there more ranks on this node than cores? */
bool dawni_comm_crowded(int local_size);

/* Called between two looks at what has not come yet: lets others use the core.
 * Where ranks are more than cores it sleeps a moment, since a rank that spins
 * keeps the one it waits for from running. */
void dawni_comm_idle(const struct dawn_comm *comm);

/* The lowest status of all ranks: if one fails, all do. Ranks that did not fail
 * themselves get the text of the lowest failing rank. Collective. */
enum dawn_status dawni_agree(struct dawn_comm *comm, enum dawn_status status,
                             struct dawn_error *err);

#endif
