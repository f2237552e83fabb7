/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as threads of one process.
 *
 * A message is copied when both its send and its receive have been started, by
 * whichever thread comes second, and neither is done before: nothing is ever
 * buffered, so a schedule that needs buffering hangs here in a test and not
 * first on a cluster. The same holds for a message from a rank to itself.
 *
 * hub->lock guards everything in the hub. Message bodies are copied outside it;
 * a request's state then tells its owner when it is done.
 */
#include "comm/comm.h"
#include "common/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum req_state { REQ_IDLE, REQ_POSTED, REQ_MATCHED, REQ_DONE };

struct loop_comm;

struct loop_req {
    struct loop_comm *comm;
    void *buffer; /* of a send: only read */
    uint64_t bytes;
    int peer, tag;
    bool is_send;
    uint64_t peer_bytes; /* what the other side brought; valid when done */
    atomic_int state;
    struct loop_req *next; /* in hub->posted */
};

enum coll_kind { COLL_SUM, COLL_MIN, COLL_BCAST, COLL_GATHER };

static const char *const coll_name[] = {
    [COLL_SUM] = "allreduce_sum",
    [COLL_MIN] = "allreduce_min",
    [COLL_BCAST] = "bcast",
    [COLL_GATHER] = "allgather",
};

/* What one rank brings to a collective. */
struct coll_call {
    enum coll_kind kind;
    uint64_t bytes;
    int root;
    const void *in;
    void *out;
};

struct hub {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* a collective is done, or broken */
    int size, users;
    struct loop_req *posted, **posted_end; /* in the order of their start */

    /* the collective under way */
    uint64_t turn; /* number of finished ones */
    int arrived;
    struct coll_call *call; /* by rank */
    bool *here;             /* by rank: has arrived */
    double *sum;            /* scratch, sum_count doubles */
    uint64_t sum_count;
    bool broken; /* nothing works any more */
    struct dawn_error why;
};

struct loop_comm {
    struct dawn_comm base;
    struct hub *hub;
};

/* Messages */

static enum dawn_status add_req(const struct loop_req *like,
                                struct dawni_req **req_p,
                                struct dawn_error *err)
{
    const struct dawn_comm *comm = &like->comm->base;
    struct loop_req *req;

    if (like->peer < 0 || like->peer >= comm->size)
        return dawn_fail(err, DAWN_E_INVAL, "peer %d, must be 0 to %d",
                         like->peer, comm->size - 1);
    if (like->tag < 0)
        return dawn_fail(err, DAWN_E_INVAL, "tag %d, must be >= 0", like->tag);
    req = malloc(sizeof *req);
    if (!req)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a request");
    *req = *like;
    atomic_init(&req->state, REQ_IDLE);
    *req_p = (struct dawni_req *)req;
    return DAWN_OK;
}

static enum dawn_status send_init(struct dawn_comm *comm, const void *buffer,
                                  uint64_t bytes, struct dawni_peer peer,
                                  struct dawni_req **req_p,
                                  struct dawn_error *err)
{
    struct loop_req like = {
        .comm = (struct loop_comm *)comm,
        .buffer = (void *)(uintptr_t)buffer,
        .bytes = bytes,
        .peer = peer.rank,
        .tag = peer.tag,
        .is_send = true,
    };

    return add_req(&like, req_p, err);
}

static enum dawn_status recv_init(struct dawn_comm *comm, void *buffer,
                                  uint64_t bytes, struct dawni_peer peer,
                                  struct dawni_req **req_p,
                                  struct dawn_error *err)
{
    struct loop_req like = {
        .comm = (struct loop_comm *)comm,
        .buffer = buffer,
        .bytes = bytes,
        .peer = peer.rank,
        .tag = peer.tag,
    };

    return add_req(&like, req_p, err);
}

static bool meets(const struct loop_req *a, const struct loop_req *b)
{
    return a->is_send != b->is_send && a->tag == b->tag &&
           a->peer == b->comm->base.rank && b->peer == a->comm->base.rank;
}

/* Take the first posted request that `wanted` accepts out of the list. */
static struct loop_req *take_posted(struct hub *hub, const struct loop_req *req,
                                    bool (*wanted)(const struct loop_req *,
                                                   const struct loop_req *))
{
    struct loop_req **at = &hub->posted;

    while (*at && !wanted(req, *at))
        at = &(*at)->next;
    struct loop_req *found = *at;
    if (!found)
        return NULL;
    *at = found->next;
    if (!found->next)
        hub->posted_end = at;
    found->next = NULL;
    return found;
}

static void deliver(struct loop_req *a, struct loop_req *b)
{
    struct loop_req *from = a->is_send ? a : b;
    struct loop_req *to = a->is_send ? b : a;

    if (from->bytes && from->bytes == to->bytes)
        memcpy(to->buffer, from->buffer, from->bytes);
    from->peer_bytes = to->bytes;
    to->peer_bytes = from->bytes;
    /* whoever sees done may reuse or destroy the request at once */
    atomic_store_explicit(&from->state, REQ_DONE, memory_order_release);
    atomic_store_explicit(&to->state, REQ_DONE, memory_order_release);
}

static enum dawn_status broken(struct hub *hub, struct dawn_error *err)
{
    return dawn_fail(err, hub->why.status, "%s", hub->why.text);
}

static enum dawn_status start(struct dawni_req *base, struct dawn_error *err)
{
    struct loop_req *req = (struct loop_req *)base;
    struct hub *hub = req->comm->hub;
    struct loop_req *other = NULL;
    enum dawn_status st = DAWN_OK;

    if (atomic_load_explicit(&req->state, memory_order_acquire) != REQ_IDLE)
        return dawn_fail(err, DAWN_E_INVAL,
                         "request with rank %d, tag %d started twice",
                         req->peer, req->tag);
    pthread_mutex_lock(&hub->lock);
    if (hub->broken) {
        st = broken(hub, err);
    } else if ((other = take_posted(hub, req, meets))) {
        atomic_store(&req->state, REQ_MATCHED);
        atomic_store(&other->state, REQ_MATCHED);
    } else {
        atomic_store(&req->state, REQ_POSTED);
        *hub->posted_end = req;
        hub->posted_end = &req->next;
    }
    pthread_mutex_unlock(&hub->lock);
    if (other)
        deliver(req, other);
    return st;
}

static enum dawn_status test(struct dawni_req *base, bool *done_p,
                             struct dawn_error *err)
{
    struct loop_req *req = (struct loop_req *)base;
    int state = atomic_load_explicit(&req->state, memory_order_acquire);

    *done_p = state == REQ_IDLE || state == REQ_DONE;
    if (state != REQ_DONE)
        return DAWN_OK;
    atomic_store_explicit(&req->state, REQ_IDLE, memory_order_relaxed);
    if (!req->is_send && req->peer_bytes != req->bytes)
        return dawn_fail(err, DAWN_E_COMM,
                         "message from rank %d, tag %d: %llu bytes came, "
                         "%llu bytes wanted",
                         req->peer, req->tag,
                         (unsigned long long)req->peer_bytes,
                         (unsigned long long)req->bytes);
    return DAWN_OK;
}

static bool is_same(const struct loop_req *a, const struct loop_req *b)
{
    return a == b;
}

static void req_destroy(struct dawni_req *base)
{
    struct loop_req *req = (struct loop_req *)base;

    if (!req)
        return;
    struct hub *hub = req->comm->hub;
    pthread_mutex_lock(&hub->lock);
    take_posted(hub, req, is_same);
    pthread_mutex_unlock(&hub->lock);
    /* the other thread may be copying */
    while (atomic_load_explicit(&req->state, memory_order_acquire) ==
           REQ_MATCHED)
        sched_yield();
    free(req);
}

static void progress(struct dawn_comm *comm)
{
    /* messages move when they are started */
}

/* Collectives */

static enum dawn_status reserve_sum(struct hub *hub, uint64_t count,
                                    struct dawn_error *err)
{
    if (count <= hub->sum_count)
        return DAWN_OK;
    double *sum = realloc(hub->sum, count * sizeof *sum);
    if (!sum)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %llu doubles",
                         (unsigned long long)count);
    hub->sum = sum;
    hub->sum_count = count;
    return DAWN_OK;
}

/* In rank order, so that every rank and every run gets the same bits. */
static enum dawn_status combine_sum(struct hub *hub, struct dawn_error *err)
{
    uint64_t bytes = hub->call[0].bytes, count = bytes / sizeof(double);
    enum dawn_status st;

    if ((st = reserve_sum(hub, count, err)))
        return st;
    if (count)
        memcpy(hub->sum, hub->call[0].in, bytes);
    for (int rank = 1; rank < hub->size; rank++) {
        const double *x = hub->call[rank].in;
        for (uint64_t i = 0; i < count; i++)
            hub->sum[i] += x[i];
    }
    for (int rank = 0; count && rank < hub->size; rank++)
        memcpy(hub->call[rank].out, hub->sum, bytes);
    return DAWN_OK;
}

static void combine_min(struct hub *hub)
{
    uint64_t count = hub->call[0].bytes / sizeof(int64_t);

    for (uint64_t i = 0; i < count; i++) {
        int64_t least = INT64_MAX;
        for (int rank = 0; rank < hub->size; rank++) {
            const int64_t *x = hub->call[rank].in;
            least = x[i] < least ? x[i] : least;
        }
        for (int rank = 0; rank < hub->size; rank++)
            ((int64_t *)hub->call[rank].out)[i] = least;
    }
}

static void combine_bcast(struct hub *hub)
{
    const struct coll_call *root = &hub->call[hub->call[0].root];

    for (int rank = 0; root->bytes && rank < hub->size; rank++)
        if (&hub->call[rank] != root)
            memcpy(hub->call[rank].out, root->in, root->bytes);
}

static void combine_gather(struct hub *hub)
{
    uint64_t bytes = hub->call[0].bytes;

    for (int to = 0; bytes && to < hub->size; to++)
        for (int from = 0; from < hub->size; from++)
            memcpy((char *)hub->call[to].out + (size_t)from * bytes,
                   hub->call[from].in, bytes);
}

static enum dawn_status combine(struct hub *hub, struct dawn_error *err)
{
    const struct coll_call *first = &hub->call[0];

    for (int rank = 1; rank < hub->size; rank++) {
        const struct coll_call *call = &hub->call[rank];
        if (call->kind == first->kind && call->bytes == first->bytes &&
            call->root == first->root)
            continue;
        return dawn_fail(err, DAWN_E_COMM,
                         "rank 0 calls %s of %llu bytes, root %d, rank %d %s "
                         "of %llu bytes, root %d",
                         coll_name[first->kind],
                         (unsigned long long)first->bytes, first->root, rank,
                         coll_name[call->kind], (unsigned long long)call->bytes,
                         call->root);
    }
    switch (first->kind) {
    case COLL_SUM:
        return combine_sum(hub, err);
    case COLL_MIN:
        combine_min(hub);
        break;
    case COLL_BCAST:
        combine_bcast(hub);
        break;
    case COLL_GATHER:
        combine_gather(hub);
        break;
    }
    return DAWN_OK;
}

static void break_hub(struct hub *hub, const struct dawn_error *why)
{
    hub->broken = true;
    hub->why = *why;
    pthread_cond_broadcast(&hub->wake);
}

/* When to look again: soon enough for all the time to count, and not later than
 * the wait may last. */
static struct timespec next_look(const struct dawni_wait *wait,
                                 double timeout_s)
{
    double left = timeout_s * 1e9 - (double)wait->ns + 1;
    uint64_t most = DAWNI_MOST_BETWEEN_LOOKS_NS / 2;
    uint64_t at =
        wait->looked_ns + (left < (double)most ? (uint64_t)left : most);

    return (struct timespec){.tv_sec = (time_t)(at / 1000000000u),
                             .tv_nsec = (long)(at % 1000000000u)};
}

static void time_out(struct loop_comm *comm)
{
    struct hub *hub = comm->hub;
    const struct coll_call *call = &hub->call[comm->base.rank];
    struct dawn_error why;
    int missing = 0;

    while (hub->here[missing])
        missing++;
    dawn_fail(&why, DAWN_E_TIMEOUT,
              "%s of %llu bytes (collective %llu): rank %d waited %.1f s for "
              "rank %d; %d of %d ranks came",
              coll_name[call->kind], (unsigned long long)call->bytes,
              (unsigned long long)hub->turn + 1, comm->base.rank,
              comm->base.timeout_s, missing, hub->arrived, hub->size);
    break_hub(hub, &why);
}

/* Called with the lock held: wait until turn is over. */
static void wait_turn(struct loop_comm *comm)
{
    struct hub *hub = comm->hub;
    struct dawni_wait wait = dawni_wait_begin();
    double most_ns = comm->base.timeout_s * 1e9;
    uint64_t turn = hub->turn;

    while (hub->turn == turn && !hub->broken) {
        struct timespec until = next_look(&wait, comm->base.timeout_s);
        pthread_cond_timedwait(&hub->wake, &hub->lock, &until);
        if (dawni_wait_look(&wait, dawni_now_ns()) > most_ns &&
            hub->turn == turn && !hub->broken)
            time_out(comm);
    }
}

/* The last rank to come does the work for all. */
static void finish_turn(struct hub *hub)
{
    struct dawn_error why;

    if (combine(hub, &why))
        break_hub(hub, &why);
    memset(hub->here, 0, (size_t)hub->size * sizeof *hub->here);
    hub->arrived = 0;
    hub->turn++;
    pthread_cond_broadcast(&hub->wake);
}

static enum dawn_status collective(struct dawn_comm *base,
                                   const struct coll_call *call,
                                   struct dawn_error *err)
{
    struct loop_comm *comm = (struct loop_comm *)base;
    struct hub *hub = comm->hub;
    enum dawn_status st = DAWN_OK;

    pthread_mutex_lock(&hub->lock);
    if (!hub->broken) {
        hub->call[base->rank] = *call;
        hub->here[base->rank] = true;
        if (++hub->arrived == hub->size)
            finish_turn(hub);
        else
            wait_turn(comm);
    }
    if (hub->broken)
        st = broken(hub, err);
    pthread_mutex_unlock(&hub->lock);
    return st;
}

static enum dawn_status allreduce_sum(struct dawn_comm *comm, double *x, int n,
                                      struct dawn_error *err)
{
    struct coll_call call = {COLL_SUM, (uint64_t)n * sizeof *x, 0, x, x};

    return collective(comm, &call, err);
}

static enum dawn_status allreduce_min(struct dawn_comm *comm, int64_t *x, int n,
                                      struct dawn_error *err)
{
    struct coll_call call = {COLL_MIN, (uint64_t)n * sizeof *x, 0, x, x};

    return collective(comm, &call, err);
}

static enum dawn_status bcast(struct dawn_comm *comm, void *x, uint64_t bytes,
                              int root, struct dawn_error *err)
{
    struct coll_call call = {COLL_BCAST, bytes, root, x, x};

    return collective(comm, &call, err);
}

static enum dawn_status allgather(struct dawn_comm *comm, const void *mine,
                                  uint64_t bytes, void *all,
                                  struct dawn_error *err)
{
    struct coll_call call = {COLL_GATHER, bytes, 0, mine, all};

    return collective(comm, &call, err);
}

/* Life */

/* The job is this process. */
static void abort_job(struct dawn_comm *comm, int code)
{
    fflush(stdout);
    fflush(stderr);
    _exit(code);
}

static void hub_destroy(struct hub *hub)
{
    if (!hub)
        return;
    pthread_cond_destroy(&hub->wake);
    pthread_mutex_destroy(&hub->lock);
    free(hub->sum);
    free(hub->here);
    free(hub->call);
    free(hub);
}

static void destroy(struct dawn_comm *base)
{
    struct loop_comm *comm = (struct loop_comm *)base;
    struct hub *hub = comm->hub;

    pthread_mutex_lock(&hub->lock);
    bool last = --hub->users == 0;
    pthread_mutex_unlock(&hub->lock);
    if (last)
        hub_destroy(hub);
    free(comm);
}

static const struct dawni_comm_ops loopback_ops = {
    .name = "loopback",
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

static enum dawn_status hub_create(int size, struct hub **hub_p,
                                   struct dawn_error *err)
{
    struct hub *hub = calloc(1, sizeof *hub);
    pthread_condattr_t attr;

    if (!hub)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d ranks", size);
    pthread_mutex_init(&hub->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&hub->wake, &attr);
    pthread_condattr_destroy(&attr);
    hub->size = size;
    hub->posted_end = &hub->posted;
    hub->call = calloc((size_t)size, sizeof *hub->call);
    hub->here = calloc((size_t)size, sizeof *hub->here);
    if (!hub->call || !hub->here) {
        hub_destroy(hub);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d ranks", size);
    }
    *hub_p = hub;
    return DAWN_OK;
}

static struct dawn_comm *rank_create(struct hub *hub, int rank,
                                     double timeout_s)
{
    struct loop_comm *comm = calloc(1, sizeof *comm);

    if (!comm)
        return NULL;
    comm->base = (struct dawn_comm){
        .ops = &loopback_ops,
        .rank = rank,
        .size = hub->size,
        .local_rank = rank,
        .local_size = hub->size,
        .crowded = dawni_comm_crowded(hub->size),
        .timeout_s = timeout_s,
    };
    comm->hub = hub;
    hub->users++;
    return &comm->base;
}

enum dawn_status dawn_comm_create_loopback(int size, double timeout_s,
                                           struct dawn_comm **comms,
                                           struct dawn_error *err)
{
    struct hub *hub = NULL;
    enum dawn_status st;

    if (size < 1)
        return dawn_fail(err, DAWN_E_INVAL, "ranks %d, must be >= 1", size);
    if (!(timeout_s > 0))
        return dawn_fail(err, DAWN_E_INVAL, "timeout %g s, must be > 0",
                         timeout_s);
    if ((st = hub_create(size, &hub, err)))
        return st;
    for (int rank = 0; rank < size; rank++) {
        comms[rank] = rank_create(hub, rank, timeout_s);
        if (comms[rank])
            continue;
        if (!rank)
            hub_destroy(hub);
        while (--rank >= 0)
            destroy(comms[rank]);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d ranks", size);
    }
    return DAWN_OK;
}
