/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as MPI processes.
 *
 * MPI moves a large message only while somebody calls it, so progress() is one
 * cheap call that cannot match anything: a probe of a communicator on which
 * nobody sends. Collectives are non-blocking ones polled until they have taken
 * too long.
 *
 * A collective that took too long is still known to MPI, which may
 * write to its buffers whenever it is called. So the communicator is dead from
 * then on: every call fails without calling MPI, and destroy leaves MPI and the
 * buffer of the reductions as they are. A process that initialised MPI here
 * then ends without MPI_Finalize, which makes mpirun end the job.
 */
#include "comm/comm.h"
#include "common/clock.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mpi_comm {
    struct dawn_comm base;
    bool finalize; /* we initialised MPI */
    MPI_Comm comm; /* messages and collectives */
    MPI_Comm node; /* the ranks of this node; nobody sends on it */
    void *scratch; /* of the reductions */
    size_t scratch_bytes;
    uint64_t turn; /* collectives so far */
    bool dead;
    struct dawn_error why;
};

struct mpi_req {
    struct mpi_comm *comm;
    MPI_Request request;
    MPI_Datatype type;
    bool own_type;
    bool is_send, active;
    uint64_t bytes;
    int peer, tag;
};

static enum dawn_status from_mpi(struct dawn_error *err, int rc,
                                 const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;

    if (rc == MPI_SUCCESS)
        return DAWN_OK;
    MPI_Error_string(rc, text, &length);
    return dawn_fail(err, DAWN_E_COMM, "%s: %s", what, text);
}

static enum dawn_status dead(const struct mpi_comm *comm,
                             struct dawn_error *err)
{
    return dawn_fail(err, comm->why.status, "%s", comm->why.text);
}

/* Types: counts are int in MPI 3, messages may be longer. */

/* A type of `bytes` bytes, to be used once: k chunks and a rest. */
static int type_of(uint64_t bytes, MPI_Datatype *type)
{
    const uint64_t chunk = 1u << 30;
    int lengths[2] = {(int)(bytes / chunk), (int)(bytes % chunk)};
    MPI_Aint at[2] = {0, (MPI_Aint)(bytes - bytes % chunk)};
    MPI_Datatype types[2] = {MPI_DATATYPE_NULL, MPI_BYTE};
    int rc = MPI_Type_contiguous((int)chunk, MPI_BYTE, &types[0]);

    if (rc != MPI_SUCCESS)
        return rc;
    rc = MPI_Type_create_struct(2, lengths, at, types, type);
    MPI_Type_free(&types[0]);
    return rc == MPI_SUCCESS ? MPI_Type_commit(type) : rc;
}

struct extent {
    MPI_Datatype type;
    int count;
    bool own;
};

static enum dawn_status extent_of(uint64_t bytes, struct extent *extent,
                                  struct dawn_error *err)
{
    *extent = (struct extent){MPI_BYTE, (int)bytes, false};
    if (bytes <= INT_MAX)
        return DAWN_OK;
    if (bytes > (uint64_t)INT_MAX << 30)
        return dawn_fail(err, DAWN_E_INVAL, "a message of %llu bytes",
                         (unsigned long long)bytes);
    *extent = (struct extent){MPI_BYTE, 1, true};
    return from_mpi(err, type_of(bytes, &extent->type), "MPI_Type_commit");
}

/* Messages */

static void req_destroy(struct dawni_req *base);

static enum dawn_status fill_req(struct mpi_req *req, void *buffer,
                                 struct dawn_error *err)
{
    struct extent extent;
    enum dawn_status st;
    int rc;

    if ((st = extent_of(req->bytes, &extent, err)))
        return st;
    req->type = extent.type;
    req->own_type = extent.own;
    if (req->is_send)
        rc = MPI_Send_init(buffer, extent.count, extent.type, req->peer,
                           req->tag, req->comm->comm, &req->request);
    else
        rc = MPI_Recv_init(buffer, extent.count, extent.type, req->peer,
                           req->tag, req->comm->comm, &req->request);
    return from_mpi(err, rc, req->is_send ? "MPI_Send_init" : "MPI_Recv_init");
}

static enum dawn_status add_req(const struct mpi_req *like, void *buffer,
                                struct dawni_req **req_p,
                                struct dawn_error *err)
{
    const struct mpi_comm *comm = like->comm;
    enum dawn_status st;

    if (comm->dead)
        return dead(comm, err);
    if (like->peer < 0 || like->peer >= comm->base.size)
        return dawn_fail(err, DAWN_E_INVAL, "peer %d, must be 0 to %d",
                         like->peer, comm->base.size - 1);
    if (like->tag < 0 || like->tag > 32767) /* what every MPI allows */
        return dawn_fail(err, DAWN_E_INVAL, "tag %d, must be 0 to 32767",
                         like->tag);
    struct mpi_req *req = malloc(sizeof *req);
    if (!req)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a request");
    *req = *like;
    req->request = MPI_REQUEST_NULL;
    if ((st = fill_req(req, buffer, err)))
        goto fail;
    *req_p = (struct dawni_req *)req;
    return DAWN_OK;
fail:
    req_destroy((struct dawni_req *)req);
    return st;
}

static enum dawn_status send_init(struct dawn_comm *comm, const void *buffer,
                                  uint64_t bytes, struct dawni_peer peer,
                                  struct dawni_req **req_p,
                                  struct dawn_error *err)
{
    struct mpi_req like = {
        .comm = (struct mpi_comm *)comm,
        .is_send = true,
        .bytes = bytes,
        .peer = peer.rank,
        .tag = peer.tag,
    };

    return add_req(&like, (void *)(uintptr_t)buffer, req_p, err);
}

static enum dawn_status recv_init(struct dawn_comm *comm, void *buffer,
                                  uint64_t bytes, struct dawni_peer peer,
                                  struct dawni_req **req_p,
                                  struct dawn_error *err)
{
    struct mpi_req like = {
        .comm = (struct mpi_comm *)comm,
        .bytes = bytes,
        .peer = peer.rank,
        .tag = peer.tag,
    };

    return add_req(&like, buffer, req_p, err);
}

static enum dawn_status start(struct dawni_req *base, struct dawn_error *err)
{
    struct mpi_req *req = (struct mpi_req *)base;
    enum dawn_status st;

    if (req->comm->dead)
        return dead(req->comm, err);
    if (req->active)
        return dawn_fail(err, DAWN_E_INVAL,
                         "request with rank %d, tag %d started twice",
                         req->peer, req->tag);
    if ((st = from_mpi(err, MPI_Start(&req->request), "MPI_Start")))
        return st;
    req->active = true;
    return DAWN_OK;
}

/* rc: what the test of a finished receive returned */
static enum dawn_status check_length(const struct mpi_req *req, int rc,
                                     MPI_Status *status, struct dawn_error *err)
{
    MPI_Count came = 0;
    int class = MPI_SUCCESS;

    if (rc != MPI_SUCCESS)
        MPI_Error_class(rc, &class);
    if (class != MPI_SUCCESS && class != MPI_ERR_TRUNCATE)
        return from_mpi(err, rc, "MPI_Test of a receive");
    MPI_Get_elements_x(status, MPI_BYTE, &came);
    if (class == MPI_SUCCESS && (uint64_t)came == req->bytes)
        return DAWN_OK;
    if (class == MPI_ERR_TRUNCATE && (uint64_t)came <= req->bytes)
        return dawn_fail(err, DAWN_E_COMM,
                         "message from rank %d, tag %d: more than the %llu "
                         "bytes wanted came",
                         req->peer, req->tag, (unsigned long long)req->bytes);
    return dawn_fail(err, DAWN_E_COMM,
                     "message from rank %d, tag %d: %llu bytes came, %llu "
                     "bytes wanted",
                     req->peer, req->tag, (unsigned long long)came,
                     (unsigned long long)req->bytes);
}

static enum dawn_status test(struct dawni_req *base, bool *done_p,
                             struct dawn_error *err)
{
    struct mpi_req *req = (struct mpi_req *)base;
    MPI_Status status;
    int flag = 0;

    if (req->comm->dead)
        return dead(req->comm, err);
    *done_p = !req->active;
    if (!req->active)
        return DAWN_OK;
    int rc = MPI_Test(&req->request, &flag, &status);
    if (rc == MPI_SUCCESS && !flag)
        return DAWN_OK;
    *done_p = true;
    req->active = false;
    if (req->is_send)
        return from_mpi(err, rc, "MPI_Test of a send");
    return check_length(req, rc, &status, err);
}

static bool is_too_long(const struct mpi_comm *comm, struct dawni_wait *wait)
{
    return dawni_wait_look(wait, dawni_now_ns()) > comm->base.timeout_s * 1e9;
}

/* A receive still open would write into freed memory: take it back. */
static void cancel(struct mpi_req *req)
{
    struct dawni_wait wait = dawni_wait_begin();
    int flag = 0;

    MPI_Cancel(&req->request);
    while (!flag && !is_too_long(req->comm, &wait))
        if (MPI_Test(&req->request, &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return;
}

static void req_destroy(struct dawni_req *base)
{
    struct mpi_req *req = (struct mpi_req *)base;

    if (!req)
        return;
    if (!req->comm->dead) {
        if (req->active && !req->is_send)
            cancel(req);
        if (req->request != MPI_REQUEST_NULL)
            MPI_Request_free(&req->request);
        if (req->own_type)
            MPI_Type_free(&req->type);
    }
    free(req);
}

static void progress(struct dawn_comm *base)
{
    struct mpi_comm *comm = (struct mpi_comm *)base;
    int flag;

    if (!comm->dead)
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm->node, &flag,
                   MPI_STATUS_IGNORE);
}

/* Collectives */

static enum dawn_status die(struct mpi_comm *comm, const char *name,
                            uint64_t bytes, struct dawn_error *err)
{
    dawn_fail(&comm->why, DAWN_E_TIMEOUT,
              "%s of %llu bytes (collective %llu): rank %d of %d waited %.1f s "
              "for the other ranks",
              name, (unsigned long long)bytes, (unsigned long long)comm->turn,
              comm->base.rank, comm->base.size, comm->base.timeout_s);
    comm->dead = true;
    return dead(comm, err);
}

/* rc: what the call that filled `request` returned */
static enum dawn_status finish(struct mpi_comm *comm, int rc,
                               MPI_Request *request, const char *name,
                               uint64_t bytes, struct dawn_error *err)
{
    enum dawn_status st;
    struct dawni_wait wait = {0};
    int flag = 0;

    if ((st = from_mpi(err, rc, name)))
        return st;
    for (;;) {
        rc = MPI_Test(request, &flag, MPI_STATUS_IGNORE);
        if (rc != MPI_SUCCESS)
            return from_mpi(err, rc, name);
        if (flag)
            return DAWN_OK;
        if (!wait.looked_ns)
            wait = dawni_wait_begin();
        else if (is_too_long(comm, &wait))
            return die(comm, name, bytes, err);
        dawni_comm_idle(&comm->base);
    }
}

static enum dawn_status reserve(struct mpi_comm *comm, size_t bytes,
                                struct dawn_error *err)
{
    if (bytes <= comm->scratch_bytes)
        return DAWN_OK;
    void *more = realloc(comm->scratch, bytes);
    if (!more)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %zu bytes", bytes);
    comm->scratch = more;
    comm->scratch_bytes = bytes;
    return DAWN_OK;
}

/* Gathered and added in rank order: the same bits on every rank, whatever
 * algorithm MPI would have chosen. */
static enum dawn_status allreduce_sum(struct dawn_comm *base, double *x, int n,
                                      struct dawn_error *err)
{
    struct mpi_comm *comm = (struct mpi_comm *)base;
    size_t bytes = (size_t)n * sizeof *x;
    MPI_Request request;
    enum dawn_status st;

    if (comm->dead)
        return dead(comm, err);
    if ((st = reserve(comm, bytes * (size_t)base->size, err)))
        return st;
    double *all = comm->scratch;
    comm->turn++;
    int rc = MPI_Iallgather(x, n, MPI_DOUBLE, all, n, MPI_DOUBLE, comm->comm,
                            &request);
    if ((st = finish(comm, rc, &request, "allreduce_sum", bytes, err)))
        return st;
    for (int i = 0; i < n; i++) {
        x[i] = all[i];
        for (int rank = 1; rank < base->size; rank++)
            x[i] += all[(size_t)rank * (size_t)n + (size_t)i];
    }
    return DAWN_OK;
}

static enum dawn_status allreduce_min(struct dawn_comm *base, int64_t *x, int n,
                                      struct dawn_error *err)
{
    struct mpi_comm *comm = (struct mpi_comm *)base;
    size_t bytes = (size_t)n * sizeof *x;
    MPI_Request request;
    enum dawn_status st;

    if (comm->dead)
        return dead(comm, err);
    if ((st = reserve(comm, bytes, err)))
        return st;
    comm->turn++;
    int rc = MPI_Iallreduce(x, comm->scratch, n, MPI_INT64_T, MPI_MIN,
                            comm->comm, &request);
    if ((st = finish(comm, rc, &request, "allreduce_min", bytes, err)))
        return st;
    if (bytes)
        memcpy(x, comm->scratch, bytes);
    return DAWN_OK;
}

static enum dawn_status bcast(struct dawn_comm *base, void *x, uint64_t bytes,
                              int root, struct dawn_error *err)
{
    struct mpi_comm *comm = (struct mpi_comm *)base;
    MPI_Request request;
    struct extent extent;
    enum dawn_status st;

    if (comm->dead)
        return dead(comm, err);
    if ((st = extent_of(bytes, &extent, err)))
        return st;
    comm->turn++;
    int rc =
        MPI_Ibcast(x, extent.count, extent.type, root, comm->comm, &request);
    st = finish(comm, rc, &request, "bcast", bytes, err);
    if (extent.own && !comm->dead)
        MPI_Type_free(&extent.type);
    return st;
}

static enum dawn_status allgather(struct dawn_comm *base, const void *mine,
                                  uint64_t bytes, void *all,
                                  struct dawn_error *err)
{
    struct mpi_comm *comm = (struct mpi_comm *)base;
    MPI_Request request;
    struct extent extent;
    enum dawn_status st;

    if (comm->dead)
        return dead(comm, err);
    if ((st = extent_of(bytes, &extent, err)))
        return st;
    comm->turn++;
    int rc = MPI_Iallgather(mine, extent.count, extent.type, all, extent.count,
                            extent.type, comm->comm, &request);
    st = finish(comm, rc, &request, "allgather", bytes, err);
    if (extent.own && !comm->dead)
        MPI_Type_free(&extent.type);
    return st;
}

/* Life */

static void abort_job(struct dawn_comm *base, int code)
{
    struct mpi_comm *comm = (struct mpi_comm *)base;

    fflush(stdout);
    fflush(stderr);
    MPI_Abort(comm->comm, code);
}

static void destroy(struct dawn_comm *base)
{
    struct mpi_comm *comm = (struct mpi_comm *)base;

    if (!comm->dead) {
        if (comm->node != MPI_COMM_NULL)
            MPI_Comm_free(&comm->node);
        if (comm->comm != MPI_COMM_NULL)
            MPI_Comm_free(&comm->comm);
        if (comm->finalize)
            MPI_Finalize();
        free(comm->scratch);
    }
    free(comm);
}

static const struct dawni_comm_ops mpi_ops = {
    .name = "mpi",
    .send_init = send_init,
    .recv_init = recv_init,
    .start = start,
    .test = test,
    .req_destroy = req_destroy,
    .progress = progress,
    .allreduce_sum = allreduce_sum,
    .allreduce_min = allreduce_min,
    .bcast = bcast,
    .allgather = allgather,
    .abort = abort_job,
    .destroy = destroy,
};

static enum dawn_status join(struct mpi_comm *comm, struct dawn_error *err)
{
    int is_initialised = 0, is_finalised = 0, provided = MPI_THREAD_FUNNELED;
    int rc = MPI_Initialized(&is_initialised);
    enum dawn_status st;

    if (rc == MPI_SUCCESS)
        rc = MPI_Finalized(&is_finalised);
    if ((st = from_mpi(err, rc, "MPI_Initialized")))
        return st;
    if (is_finalised)
        return dawn_fail(err, DAWN_E_COMM, "MPI is finalised already");
    if (is_initialised)
        return DAWN_OK;
    rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if ((st = from_mpi(err, rc, "MPI_Init_thread")))
        return st;
    comm->finalize = true;
    if (provided < MPI_THREAD_FUNNELED)
        return dawn_fail(err, DAWN_E_COMM,
                         "this MPI cannot be used beside threads");
    return DAWN_OK;
}

/* How many ranks the launcher promised: the launcher nearest to the process is
 * the one to believe. */
static enum dawn_status check_launch(int size, struct dawn_error *err)
{
    static const char *const promise[] = {
        "OMPI_COMM_WORLD_SIZE",
        "MV2_COMM_WORLD_SIZE",
        "PMI_SIZE",
        "SLURM_NTASKS",
    };

    for (size_t i = 0; size == 1 && i < sizeof promise / sizeof *promise; i++) {
        const char *text = getenv(promise[i]);
        if (!text)
            continue;
        if (atoi(text) <= 1)
            break;
        return dawn_fail(err, DAWN_E_INVAL,
                         "broken launch: MPI sees one rank, but %s=%s; start "
                         "with the mpirun of this MPI, or srun --mpi=pmix",
                         promise[i], text);
    }
    return DAWN_OK;
}

static enum dawn_status open_comms(struct mpi_comm *comm,
                                   struct dawn_error *err)
{
    struct dawn_comm *base = &comm->base;
    enum dawn_status st;
    int rc = MPI_Comm_dup(MPI_COMM_WORLD, &comm->comm);

    if ((st = from_mpi(err, rc, "MPI_Comm_dup")))
        return st;
    MPI_Comm_set_errhandler(comm->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm->comm, &base->rank);
    MPI_Comm_size(comm->comm, &base->size);
    if ((st = check_launch(base->size, err)))
        return st;
    rc = MPI_Comm_split_type(comm->comm, MPI_COMM_TYPE_SHARED, base->rank,
                             MPI_INFO_NULL, &comm->node);
    if ((st = from_mpi(err, rc, "MPI_Comm_split_type")))
        return st;
    MPI_Comm_set_errhandler(comm->node, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm->node, &base->local_rank);
    MPI_Comm_size(comm->node, &base->local_size);
    base->crowded = dawni_comm_crowded(base->local_size);
    return DAWN_OK;
}

enum dawn_status dawn_comm_create_mpi(double timeout_s,
                                      struct dawn_comm **comm_p,
                                      struct dawn_error *err)
{
    enum dawn_status st;

    if (!(timeout_s > 0))
        return dawn_fail(err, DAWN_E_INVAL, "timeout %g s, must be > 0",
                         timeout_s);
    struct mpi_comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the communicator");
    comm->base.ops = &mpi_ops;
    comm->base.timeout_s = timeout_s;
    comm->comm = comm->node = MPI_COMM_NULL;
    if ((st = join(comm, err)) || (st = open_comms(comm, err)))
        goto fail;
    *comm_p = &comm->base;
    return DAWN_OK;
fail:
    destroy(&comm->base);
    return st;
}
