/* SPDX-License-Identifier: Apache-2.0 */
/* The MPI transport; rank 0 prints after all ranks' verdicts are reduced. */
#include "cases.h"
#include "tap.h"

#include <stdio.h>

static bool all_held(struct dawn_comm *comm, bool held)
{
    int64_t verdict = held;

    return !comm->ops->allreduce_min(comm, &verdict, 1, NULL) && verdict;
}

int main(void)
{
    struct dawn_comm *comm;
    struct dawn_error err = {DAWN_OK, ""};

    if (dawn_comm_create_mpi(30, &comm, &err)) {
        plan_lazy();
        ok(false, "%s", err.text);
        return done_testing();
    }
    if (comm->rank)
        plan_quiet();
    else
        plan_lazy();
    for (int i = 0; i < comm_cases_count; i++) {
        bool held = comm_cases[i].run(comm, &err);
        if (!held)
            diag("rank %d: %s", comm->rank, err.text);
        ok(all_held(comm, held), "%s", comm_cases[i].claim);
    }
    dawn_comm_destroy(comm);
    return done_testing();
}
