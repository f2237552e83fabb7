/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same for all transports. */
#include "comm/comm.h"
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void dawn_comm_destroy(struct dawn_comm *comm)
{
    if (comm)
        comm->ops->destroy(comm);
}

int dawn_comm_rank(const struct dawn_comm *comm)
{
    return comm->rank;
}

int dawn_comm_size(const struct dawn_comm *comm)
{
    return comm->size;
}

/* One small reduction when all is well, one more broadcast when not. The key
 * orders by status, then by rank. */
enum dawn_status dawni_agree(struct dawn_comm *comm, enum dawn_status status,
                             struct dawn_error *err)
{
    int64_t key = (int64_t)status * comm->size + (status ? comm->rank : 0);
    struct dawn_error mine = {DAWN_OK, ""}, text;
    enum dawn_status st;

    if (status && err && err->status == status)
        mine = *err;
    else if (status)
        dawn_fail(&mine, status, "%s on rank %d", dawn_status_text(status),
                  comm->rank);
    if ((st = comm->ops->allreduce_min(comm, &key, 1, err)))
        goto lost;
    if (!key)
        return DAWN_OK;
    /* key = status * size + rank, rank >= 0 */
    int root = (int)(((key % comm->size) + comm->size) % comm->size);
    text = mine;
    if ((st = comm->ops->bcast(comm, &text, sizeof text, root, err)))
        goto lost;
    return dawn_fail(err, text.status, "%s", text.text);
lost: /* our own reason is the better one */
    return status ? dawn_fail(err, status, "%s", mine.text) : st;
}

enum dawn_status dawn_comm_agree(struct dawn_comm *comm,
                                 enum dawn_status status,
                                 struct dawn_error *err)
{
    return dawni_agree(comm, status, err);
}

static enum dawn_status check_root(const struct dawn_comm *comm, int root,
                                   struct dawn_error *err)
{
    if (root >= 0 && root < comm->size)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_INVAL, "root %d, must be 0 to %d", root,
                     comm->size - 1);
}

enum dawn_status dawn_comm_bcast(struct dawn_comm *comm, void *data,
                                 uint64_t bytes, int root,
                                 struct dawn_error *err)
{
    enum dawn_status st = check_root(comm, root, err);

    return st ? st : comm->ops->bcast(comm, data, bytes, root, err);
}

enum dawn_status dawn_comm_allgather(struct dawn_comm *comm, const void *mine,
                                     uint64_t bytes, void *all,
                                     struct dawn_error *err)
{
    return comm->ops->allgather(comm, mine, bytes, all, err);
}

void dawn_comm_abort(struct dawn_comm *comm, int code)
{
    comm->ops->abort(comm, code);
}

bool dawni_comm_crowded(int local_size)
{
    return local_size > sysconf(_SC_NPROCESSORS_ONLN);
}

void dawni_comm_idle(const struct dawn_comm *comm)
{
    static const struct timespec moment = {.tv_nsec = 20000};
    if (comm->crowded)
        nanosleep(&moment, NULL);
    else
        sched_yield();
}
