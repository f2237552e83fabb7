/* SPDX-License-Identifier: Apache-2.0 */
/* What every transport must do. The ranks form a ring; with one rank, it talks
 * to itself. */
#include "cases.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Leave the case when a call fails; err has its text. */
#define TRY(call)                                                              \
    do {                                                                       \
        if (call)                                                              \
            return false;                                                      \
    } while (0)

/* Leave the case when a claim is false. */
#define HOLD(cond)                                                             \
    do {                                                                       \
        if (!(cond)) {                                                         \
            dawn_fail(err, DAWN_E_USER, "line %d: %s", __LINE__, #cond);       \
            return false;                                                      \
        }                                                                      \
    } while (0)

static int next_rank(const struct dawn_comm *comm)
{
    return (comm->rank + 1) % comm->size;
}

static int previous_rank(const struct dawn_comm *comm)
{
    return (comm->rank + comm->size - 1) % comm->size;
}

static enum dawn_status finish(struct dawn_comm *comm, struct dawni_req *req,
                               struct dawn_error *err)
{
    enum dawn_status st;
    bool done = false;

    while (!(st = comm->ops->test(req, &done, err)) && !done) {
        comm->ops->progress(comm);
        sched_yield();
    }
    return st;
}

static enum dawn_status finish_all(struct dawn_comm *comm,
                                   struct dawni_req **req, int count,
                                   struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < count && !st; i++)
        st = finish(comm, req[i], err);
    for (int i = 0; i < count; i++)
        comm->ops->req_destroy(req[i]);
    return st;
}

enum { MESSAGES = 20 };

static bool order(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    struct dawni_req *req[4 * MESSAGES];
    int out[2][MESSAGES], in[2][MESSAGES], n = 0;

    for (int i = 0; i < MESSAGES; i++)
        for (int tag = 1; tag >= 0; tag--) {
            TRY(ops->recv_init(comm, &in[tag][i], sizeof(int),
                               (struct dawni_peer){previous_rank(comm), tag},
                               &req[n], err));
            TRY(ops->start(req[n++], err));
        }
    for (int i = 0; i < MESSAGES; i++)
        for (int tag = 0; tag < 2; tag++) {
            out[tag][i] = 1000 * comm->rank + 100 * tag + i;
            TRY(ops->send_init(comm, &out[tag][i], sizeof(int),
                               (struct dawni_peer){next_rank(comm), tag},
                               &req[n], err));
            TRY(ops->start(req[n++], err));
        }
    TRY(finish_all(comm, req, n, err));
    for (int i = 0; i < MESSAGES; i++)
        for (int tag = 0; tag < 2; tag++)
            HOLD(in[tag][i] == 1000 * previous_rank(comm) + 100 * tag + i);
    return true;
}

static bool again(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    struct dawni_req *recv, *send;
    int out, in;

    TRY(ops->recv_init(comm, &in, sizeof in,
                       (struct dawni_peer){previous_rank(comm), 3}, &recv,
                       err));
    TRY(ops->send_init(comm, &out, sizeof out,
                       (struct dawni_peer){next_rank(comm), 3}, &send, err));
    for (int turn = 0; turn < 100; turn++) {
        out = turn + comm->rank;
        in = -1;
        TRY(ops->start(recv, err));
        TRY(ops->start(send, err));
        TRY(finish(comm, send, err));
        TRY(finish(comm, recv, err));
        HOLD(in == turn + previous_rank(comm));
    }
    ops->req_destroy(recv);
    ops->req_destroy(send);
    return true;
}

static bool started_twice(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    struct dawni_req *req[2];
    char out = 'a', in = 0;

    TRY(ops->recv_init(comm, &in, 1,
                       (struct dawni_peer){previous_rank(comm), 4}, &req[0],
                       err));
    TRY(ops->send_init(comm, &out, 1, (struct dawni_peer){next_rank(comm), 4},
                       &req[1], err));
    TRY(ops->start(req[0], err));
    HOLD(ops->start(req[0], err) == DAWN_E_INVAL ||
         comm->size == 1); /* a receive from oneself may be done already */
    TRY(ops->start(req[1], err));
    TRY(finish_all(comm, req, 2, err));
    HOLD(in == 'a');
    return true;
}

/* bytes: a multiple of 4 */
static void fill(void *buffer, size_t bytes, unsigned seed)
{
    uint32_t *x = buffer;

    for (size_t i = 0; i < bytes / 4; i++)
        x[i] = (uint32_t)i * 2654435761u + seed;
}

static bool filled(const void *buffer, size_t bytes, unsigned seed)
{
    const uint32_t *x = buffer;

    for (size_t i = 0; i < bytes / 4; i++)
        if (x[i] != (uint32_t)i * 2654435761u + seed)
            return false;
    return true;
}

/* Both directions at once, 16 MiB a buffer times four. */
static bool large(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    const size_t bytes = 16u << 20;
    unsigned char *out = malloc(2 * bytes), *in = calloc(2, bytes);
    int next = next_rank(comm), previous = previous_rank(comm);
    struct dawni_req *req[4];

    HOLD(out && in);
    fill(out, bytes, (unsigned)comm->rank);
    fill(out + bytes, bytes, (unsigned)comm->rank + 10);
    TRY(ops->recv_init(comm, in, bytes, (struct dawni_peer){previous, 5},
                       &req[0], err));
    TRY(ops->recv_init(comm, in + bytes, bytes, (struct dawni_peer){next, 6},
                       &req[1], err));
    TRY(ops->send_init(comm, out, bytes, (struct dawni_peer){next, 5}, &req[2],
                       err));
    TRY(ops->send_init(comm, out + bytes, bytes,
                       (struct dawni_peer){previous, 6}, &req[3], err));
    for (int i = 0; i < 4; i++)
        TRY(ops->start(req[i], err));
    TRY(finish_all(comm, req, 4, err));
    HOLD(filled(in, bytes, (unsigned)previous));
    HOLD(filled(in + bytes, bytes, (unsigned)next + 10));
    free(in);
    free(out);
    return true;
}

static bool of_64_mib(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    const size_t bytes = 64u << 20;
    int last = comm->size - 1, n = 0;
    unsigned char *in = NULL, *out = NULL;
    struct dawni_req *req[2];

    if (comm->rank == last) {
        in = malloc(bytes);
        HOLD(in);
        TRY(ops->recv_init(comm, in, bytes, (struct dawni_peer){0, 7},
                           &req[n++], err));
    }
    if (comm->rank == 0) {
        out = malloc(bytes);
        HOLD(out);
        fill(out, bytes, 64);
        TRY(ops->send_init(comm, out, bytes, (struct dawni_peer){last, 7},
                           &req[n++], err));
    }
    for (int i = 0; i < n; i++)
        TRY(ops->start(req[i], err));
    TRY(finish_all(comm, req, n, err));
    HOLD(!in || filled(in, bytes, 64));
    free(in);
    free(out);
    return true;
}

static bool empty(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    struct dawni_req *req[2];

    TRY(ops->recv_init(comm, NULL, 0,
                       (struct dawni_peer){previous_rank(comm), 8}, &req[0],
                       err));
    TRY(ops->send_init(comm, NULL, 0, (struct dawni_peer){next_rank(comm), 8},
                       &req[1], err));
    TRY(ops->start(req[0], err));
    TRY(ops->start(req[1], err));
    TRY(finish_all(comm, req, 2, err));
    return true;
}

/* What the receiver says of a message of `bytes` when it wants `wanted`. */
static bool mismatch(struct dawn_comm *comm, uint64_t bytes, uint64_t wanted,
                     struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    char *out = calloc(1, bytes), *in = calloc(1, wanted), text[100];
    struct dawni_req *recv, *send;
    struct dawn_error why;

    HOLD(out && in);
    TRY(ops->recv_init(comm, in, wanted,
                       (struct dawni_peer){previous_rank(comm), 9}, &recv,
                       err));
    TRY(ops->send_init(comm, out, bytes,
                       (struct dawni_peer){next_rank(comm), 9}, &send, err));
    TRY(ops->start(recv, err));
    TRY(ops->start(send, err));
    HOLD(finish(comm, recv, &why) == DAWN_E_COMM);
    TRY(finish(comm, send, err));
    snprintf(text, sizeof text,
             "message from rank %d, tag 9: %llu bytes came, %llu bytes wanted",
             previous_rank(comm), (unsigned long long)bytes,
             (unsigned long long)wanted);
    if (strcmp(why.text, text)) {
        dawn_fail(err, DAWN_E_USER, "wanted %s, got %s", text, why.text);
        return false;
    }
    ops->req_destroy(recv);
    ops->req_destroy(send);
    free(out);
    free(in);
    return true;
}

static bool lengths(struct dawn_comm *comm, struct dawn_error *err)
{
    return mismatch(comm, 100, 200, err) && mismatch(comm, 200, 100, err) &&
           mismatch(comm, 1u << 20, 1u << 21, err) &&
           mismatch(comm, 1u << 21, 1u << 20, err);
}

static bool open_receive(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    struct dawni_req *req[2];
    char out = 'x', never = 0, in = 0;
    int64_t all_closed = 1;

    TRY(ops->recv_init(comm, &never, 1,
                       (struct dawni_peer){previous_rank(comm), 10}, &req[0],
                       err));
    TRY(ops->start(req[0], err));
    ops->req_destroy(req[0]);
    TRY(ops->allreduce_min(comm, &all_closed, 1, err));
    TRY(ops->recv_init(comm, &in, 1,
                       (struct dawni_peer){previous_rank(comm), 10}, &req[0],
                       err));
    TRY(ops->send_init(comm, &out, 1, (struct dawni_peer){next_rank(comm), 10},
                       &req[1], err));
    TRY(ops->start(req[0], err));
    TRY(ops->start(req[1], err));
    TRY(finish_all(comm, req, 2, err));
    HOLD(in == 'x' && never == 0);
    return true;
}

static bool peers(struct dawn_comm *comm, struct dawn_error *err)
{
    struct dawni_req *req = NULL;
    char x = 0;

    HOLD(comm->ops->send_init(comm, &x, 1, (struct dawni_peer){comm->size, 0},
                              &req, err) == DAWN_E_INVAL);
    HOLD(comm->ops->recv_init(comm, &x, 1, (struct dawni_peer){-1, 0}, &req,
                              err) == DAWN_E_INVAL);
    HOLD(comm->ops->recv_init(comm, &x, 1, (struct dawni_peer){0, -1}, &req,
                              err) == DAWN_E_INVAL);
    HOLD(req == NULL);
    HOLD(dawn_comm_bcast(comm, &x, 1, comm->size, err) == DAWN_E_INVAL);
    return true;
}

static bool sums(struct dawn_comm *comm, struct dawn_error *err)
{
    const double value[] = {0.1, -1e300, 5e-324, 1.0 / 3, -0.1};
    double x[5] = {0}, y[3], wanted = 0;
    int owner = comm->size - 1;

    if (comm->rank == owner)
        memcpy(x, value, sizeof x);
    TRY(comm->ops->allreduce_sum(comm, x, 5, err));
    HOLD(memcmp(x, value, sizeof x) == 0);
    for (int i = 0; i < 3; i++)
        y[i] = 0.1 * (comm->rank + 1) + i;
    TRY(comm->ops->allreduce_sum(comm, y, 3, err));
    for (int rank = 0; rank < comm->size; rank++)
        wanted += 0.1 * (rank + 1) + 2;
    HOLD(y[2] == wanted);
    TRY(comm->ops->allreduce_sum(comm, NULL, 0, err));
    return true;
}

static bool least(struct dawn_comm *comm, struct dawn_error *err)
{
    int64_t x[2] = {INT64_MAX - comm->rank, -(INT64_C(1) << 40) * comm->rank};

    TRY(comm->ops->allreduce_min(comm, x, 2, err));
    HOLD(x[0] == INT64_MAX - (comm->size - 1));
    HOLD(x[1] == -(INT64_C(1) << 40) * (comm->size - 1));
    return true;
}

static bool copies(struct dawn_comm *comm, struct dawn_error *err)
{
    const size_t bytes = 3000000;
    unsigned char *x = malloc(bytes), *all = malloc(bytes * 8);

    HOLD(x && all && comm->size <= 8);
    for (int root = 0; root < comm->size; root++) {
        fill(x, bytes, comm->rank == root ? 77u : 1u);
        TRY(dawn_comm_bcast(comm, x, bytes, root, err));
        HOLD(filled(x, bytes, 77));
    }
    fill(x, bytes, (unsigned)comm->rank);
    TRY(dawn_comm_allgather(comm, x, bytes, all, err));
    for (int rank = 0; rank < comm->size; rank++)
        HOLD(filled(all + (size_t)rank * bytes, bytes, (unsigned)rank));
    TRY(dawn_comm_bcast(comm, NULL, 0, 0, err));
    free(x);
    free(all);
    return true;
}

static bool agree(struct dawn_comm *comm, struct dawn_error *err)
{
    struct dawn_error why = {DAWN_OK, "untouched"};
    enum dawn_status st = DAWN_OK;
    int last = comm->size - 1;

    HOLD(dawn_comm_agree(comm, DAWN_OK, &why) == DAWN_OK);
    HOLD(strcmp(why.text, "untouched") == 0);
    if (comm->rank == last)
        st = dawn_fail(&why, DAWN_E_NOMEM, "rank %d wants more", last);
    HOLD(dawn_comm_agree(comm, st, &why) == DAWN_E_NOMEM);
    char text[100];
    snprintf(text, sizeof text, "rank %d wants more", last);
    HOLD(why.status == DAWN_E_NOMEM && strcmp(why.text, text) == 0);

    st = comm->rank ? DAWN_E_IO : DAWN_E_INVAL;
    dawn_fail(&why, st, "failure of rank %d", comm->rank);
    HOLD(dawn_comm_agree(comm, st, &why) ==
         (comm->size > 1 ? DAWN_E_IO : DAWN_E_INVAL));
    snprintf(text, sizeof text, "failure of rank %d", comm->size > 1);
    HOLD(strcmp(why.text, text) == 0);
    HOLD(dawn_comm_agree(comm, comm->rank ? DAWN_OK : DAWN_E_USER, NULL) ==
         DAWN_E_USER);
    return true;
}

/* The last rank was told something else; with one rank, nobody was. */
static bool same(struct dawn_comm *comm, struct dawn_error *err)
{
    bool other = comm->rank && comm->rank == comm->size - 1;
    char path[20];
    const struct dawn_comm_fact alike[] = {{"lr", "0.001", NULL},
                                           {"data", "4 bytes", path},
                                           {"resume", NULL, NULL}};
    const struct dawn_comm_fact turned[] = {alike[2], alike[0], alike[1]};
    const struct dawn_comm_fact mixed[] = {
        {"lr", other ? "0.01" : "0.001", NULL},
        {"seed", "1", NULL},
        {"data", other ? "5 bytes" : "4 bytes", other ? "b.txt" : "a.txt"},
        {"resume", other ? "given" : NULL, NULL},
        {"steps", other ? NULL : "", "none"},
        {other ? "new" : "old", "7", NULL}};
    struct dawn_error why = {0};
    char wanted[300];

    snprintf(path, sizeof path, "of %d", comm->rank);
    TRY(dawn_comm_same(comm, alike, 3, err));
    TRY(dawn_comm_same(comm, other ? turned : alike, 3, err));
    TRY(dawn_comm_same(comm, NULL, 0, err));
    enum dawn_status st = dawn_comm_same(comm, mixed, 6, &why);
    if (comm->size == 1) {
        HOLD(st == DAWN_OK);
        return true;
    }
    snprintf(wanted, sizeof wanted,
             "rank %d differs from rank 0: lr is 0.01, there 0.001; data is "
             "b.txt, there a.txt; resume is given, there not given; steps is "
             "not given, there none; new is 7, there not known; old is not "
             "known, there 7",
             comm->size - 1);
    HOLD(st == DAWN_E_MISMATCH && !strcmp(why.text, wanted));
    HOLD(dawn_comm_same(comm, other ? alike : NULL, other ? 3 : 0, &why) ==
         DAWN_E_MISMATCH);
    return true;
}

/* More than a text holds. */
static bool many_differ(struct dawn_comm *comm, struct dawn_error *err)
{
    enum { MANY = 50 };
    char name[MANY][8], value[400], end[32];
    struct dawn_comm_fact fact[MANY];
    struct dawn_error why = {0};

    memset(value, '0' + (comm->rank > 0), sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(name[i], sizeof name[i], "n%d", i);
        fact[i] = (struct dawn_comm_fact){name[i], value, NULL};
    }
    enum dawn_status st = dawn_comm_same(comm, fact, MANY, &why);
    if (comm->size == 1) {
        HOLD(st == DAWN_OK);
        return true;
    }
    /* " nX is " 160 ", there " 160 and a separator: 2 of these in 900 bytes */
    snprintf(end, sizeof end, "0; and %d more", MANY - 2);
    HOLD(st == DAWN_E_MISMATCH && strstr(why.text, ": n0 is 1") &&
         strstr(why.text, "; n1 is 1"));
    HOLD(!strcmp(why.text + strlen(why.text) - strlen(end), end));
    return true;
}

static bool ids(struct dawn_comm *comm, struct dawn_error *err)
{
    int mine[3] = {dawn_comm_rank(comm), comm->local_rank, comm->local_size};
    int all[8][3];

    HOLD(dawn_comm_size(comm) == comm->size && comm->size <= 8);
    TRY(dawn_comm_allgather(comm, mine, sizeof mine, all, err));
    for (int rank = 0; rank < comm->size; rank++) {
        HOLD(all[rank][0] == rank && all[rank][1] == rank);
        HOLD(all[rank][2] == comm->size);
    }
    return true;
}

const struct comm_case comm_cases[] = {
    {"ranks have their number, of the job and of the node", ids},
    {"messages of one tag arrive in the order of their start", order},
    {"a request may be started again and again", again},
    {"a request that is under way is not started again", started_twice},
    {"16 MiB go four ways at once", large},
    {"64 MiB arrive whole", of_64_mib},
    {"an empty message arrives", empty},
    {"a message of another length is refused, with both lengths", lengths},
    {"an open receive may be destroyed", open_receive},
    {"peers, tags and roots out of range are refused", peers},
    {"x and zeros add to x; sums are in rank order", sums},
    {"the least is found", least},
    {"bcast from every root and allgather copy 3 MB", copies},
    {"when a rank fails all get its status and text", agree},
    {"what ranks were told otherwise is named on all, names of files are not "
     "compared",
     same},
    {"where ranks differ in more than a text holds the rest is counted",
     many_differ},
};
const int comm_cases_count = sizeof comm_cases / sizeof *comm_cases;
