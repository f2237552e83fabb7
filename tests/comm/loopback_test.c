/* SPDX-License-Identifier: Apache-2.0 */
/* The loopback transport, a thread a rank. */
#include "cases.h"
#include "tap.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RANKS = 4 };

struct worker {
    pthread_t thread;
    struct dawn_comm *comm;
    bool (*run)(struct dawn_comm *comm, struct dawn_error *err);
    bool held;
    struct dawn_error err;
};

static void *work(void *arg)
{
    struct worker *worker = arg;

    worker->held = worker->run(worker->comm, &worker->err);
    return NULL;
}

static bool run_all(struct dawn_comm **comms, int size,
                    bool (*run)(struct dawn_comm *, struct dawn_error *))
{
    struct worker worker[MAX_RANKS] = {0};
    bool held = true;

    for (int rank = 0; rank < size; rank++) {
        worker[rank].comm = comms[rank];
        worker[rank].run = run;
        pthread_create(&worker[rank].thread, NULL, work, &worker[rank]);
    }
    for (int rank = 0; rank < size; rank++) {
        pthread_join(worker[rank].thread, NULL);
        held = held && worker[rank].held;
        if (!worker[rank].held)
            diag("rank %d: %s", rank, worker[rank].err.text);
    }
    return held;
}

static void test_cases(int size)
{
    struct dawn_comm *comms[MAX_RANKS];

    is_int(dawn_comm_create_loopback(size, 30, comms, NULL), DAWN_OK,
           "%d ranks are made", size);
    for (int i = 0; i < comm_cases_count; i++)
        ok(run_all(comms, size, comm_cases[i].run), "%d ranks: %s", size,
           comm_cases[i].claim);
    for (int rank = 0; rank < size; rank++)
        dawn_comm_destroy(comms[rank]);
}

/* A send is not done before its receive is there, however small. */
static bool rendezvous(struct dawn_comm *comm, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = comm->ops;
    struct dawni_req *send = NULL, *recv = NULL;
    char out = 'r', in = 0;
    bool is_early = true, is_done = false, is_received = false;
    enum dawn_status st;

    if ((st = ops->send_init(comm, &out, 1, (struct dawni_peer){0, 0}, &send,
                             err)) ||
        (st = ops->recv_init(comm, &in, 1, (struct dawni_peer){0, 0}, &recv,
                             err)) ||
        (st = ops->start(send, err)) ||
        (st = ops->test(send, &is_early, err)) ||
        (st = ops->start(recv, err)) || (st = ops->test(send, &is_done, err)))
        return false;
    st = ops->test(recv, &is_received, err);
    ops->req_destroy(send);
    ops->req_destroy(recv);
    return !st && !is_early && is_done && is_received && in == 'r';
}

static void test_rendezvous(void)
{
    struct dawn_comm *comm;

    dawn_comm_create_loopback(1, 1, &comm, NULL);
    ok(run_all(&comm, 1, rendezvous),
       "a send of one byte waits for its receive");
    dawn_comm_destroy(comm);
}

static bool one_stays_away(struct dawn_comm *comm, struct dawn_error *err)
{
    struct dawn_error why = {DAWN_OK, ""};
    struct timespec from, to;
    double x = 1;

    if (comm->rank == 1)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (comm->ops->allreduce_sum(comm, &x, 1, &why) != DAWN_E_TIMEOUT) {
        dawn_fail(err, DAWN_E_USER, "no timeout: %s", why.text);
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double s = (double)(to.tv_sec - from.tv_sec) +
               1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    dawn_fail(err, DAWN_E_USER, "after %g s: %s", s, why.text);
    return s > 0.15 && s < 20 && strstr(why.text, "allreduce_sum of 8 bytes") &&
           strstr(why.text, "for rank 1; 2 of 3 ranks came");
}

static bool fails_at_once(struct dawn_comm *comm, struct dawn_error *err)
{
    int64_t x = 1;

    return comm->ops->allreduce_min(comm, &x, 1, err) == DAWN_E_TIMEOUT;
}

static void test_timeout(void)
{
    struct dawn_comm *comms[3];

    dawn_comm_create_loopback(3, 0.2, comms, NULL);
    ok(run_all(comms, 3, one_stays_away),
       "a rank that stays away: the others time out after 0.2 s and say "
       "which collective and which rank");
    ok(run_all(comms, 3, fails_at_once),
       "after that all ranks' collectives fail");
    for (int rank = 0; rank < 3; rank++)
        dawn_comm_destroy(comms[rank]);
}

static bool differ(struct dawn_comm *comm, struct dawn_error *err)
{
    struct dawn_error why;
    double x[2] = {0};

    if (comm->ops->allreduce_sum(comm, x, 1 + comm->rank, &why) != DAWN_E_COMM)
        return false;
    dawn_fail(err, why.status, "%s", why.text);
    return strstr(why.text, "8 bytes") && strstr(why.text, "16 bytes");
}

static void test_differ(void)
{
    struct dawn_comm *comms[2];

    dawn_comm_create_loopback(2, 5, comms, NULL);
    ok(run_all(comms, 2, differ),
       "ranks that call different collectives are told which");
    for (int rank = 0; rank < 2; rank++)
        dawn_comm_destroy(comms[rank]);
}

static void test_abort(void)
{
    struct dawn_comm *comm;
    int status = 0;
    pid_t pid;

    dawn_comm_create_loopback(1, 5, &comm, NULL);
    pid = fork();
    if (!pid) {
        dawn_comm_abort(comm, 7);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 7,
       "abort ends the process with its code");
    dawn_comm_destroy(comm);
}

static void test_create(void)
{
    struct dawn_comm *comms[1] = {NULL};

    is_int(dawn_comm_create_loopback(0, 1, comms, NULL), DAWN_E_INVAL,
           "no rank is refused");
    is_int(dawn_comm_create_loopback(1, 0, comms, NULL), DAWN_E_INVAL,
           "no timeout is refused");
    ok(!comms[0], "nothing was made");
    dawn_comm_destroy(NULL);
}

/* Rank 1 comes after 40 naps of 10 ms, however long it was stopped between. */
static bool one_is_late(struct dawn_comm *comm, struct dawn_error *err)
{
    double x = 1;

    for (int i = 0; i < 40 && comm->rank == 1; i++)
        usleep(10000);
    return !comm->ops->allreduce_sum(comm, &x, 1, err) && x == 2;
}

/* A process whose ranks wait for 2 s at most is stopped for 2.5. */
static void test_stopped(void)
{
    struct dawn_comm *comms[2];
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        dawn_comm_create_loopback(2, 2, comms, NULL);
        _exit(!run_all(comms, 2, one_is_late));
    }
    usleep(100000);
    kill(child, SIGSTOP);
    usleep(2500000);
    kill(child, SIGCONT);
    ok(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0,
       "time in which a process was stopped is no waiting");
}

int main(void)
{
    plan_lazy();
    test_create();
    for (int size = 1; size <= MAX_RANKS; size++)
        test_cases(size);
    test_rendezvous();
    test_timeout();
    test_stopped();
    test_differ();
    test_abort();
    return done_testing();
}
