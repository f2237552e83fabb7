/* SPDX-License-Identifier: Apache-2.0 */
/* A rank comes late to a collective: the other one gives up in time. This
 * program owns MPI, so that it ends in an orderly way all the same. */
#include "comm/comm.h"
#include "tap.h"

#include <mpi.h>
#include <string.h>
#include <unistd.h>

static void wait_in_vain(struct dawn_comm *comm)
{
    struct dawn_error err = {DAWN_OK, ""};
    struct dawni_req *req = NULL;
    double from = MPI_Wtime(), x[3] = {0};

    is_int(comm->ops->allreduce_sum(comm, x, 3, &err), DAWN_E_TIMEOUT,
           "a collective without rank 1 times out");
    double s = MPI_Wtime() - from;
    ok(s > 0.39 && s < 20, "after 0.4 s (%.2f s)", s);
    ok(strstr(err.text, "allreduce_sum of 24 bytes (collective 1): rank 0 of 2 "
                        "waited 0.4 s"),
       "it says which one: %s", err.text);
    is_int(comm->ops->allreduce_sum(comm, x, 3, &err), DAWN_E_TIMEOUT,
           "after that every collective fails");
    is_int(
        comm->ops->send_init(comm, x, 8, (struct dawni_peer){1, 0}, &req, &err),
        DAWN_E_TIMEOUT, "and every message");
}

int main(void)
{
    struct dawn_comm *comm;
    int rank;

    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank)
        plan_quiet();
    else
        plan_lazy();
    if (!ok(!dawn_comm_create_mpi(rank ? 5 : 0.4, &comm, NULL),
            "a communicator is made of an MPI that runs already"))
        return done_testing();
    if (rank) {
        double x[3] = {0};
        MPI_Recv(NULL, 0, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        comm->ops->allreduce_sum(comm, x, 3, NULL);
    } else {
        wait_in_vain(comm);
        MPI_Send(NULL, 0, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
    }
    dawn_comm_destroy(comm);
    ok(MPI_Finalize() == MPI_SUCCESS, "MPI is left to its owner");
    /* no leak check: what a collective left open may write to is never freed */
    _exit(done_testing());
}
