/* SPDX-License-Identifier: Apache-2.0 */
/* One MPI rank where the launcher promised several, and MPI used up. */
#include "tap.h"

#include <dawnpiper/comm.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    struct dawn_comm *comm = NULL;
    struct dawn_error err;

    plan_lazy();
    is_int(dawn_comm_create_mpi(-1, &comm, &err), DAWN_E_INVAL,
           "a timeout below 0 is refused");
    setenv("SLURM_NTASKS", "4", 1);
    is_int(dawn_comm_create_mpi(5, &comm, &err), DAWN_E_INVAL,
           "one rank of SLURM_NTASKS=4 is a broken launch");
    ok(strstr(err.text, "SLURM_NTASKS=4"), "it says so: %s", err.text);
    is_int(dawn_comm_create_mpi(5, &comm, &err), DAWN_E_COMM,
           "MPI does not start twice");
    ok(strstr(err.text, "finalised"), "it says so: %s", err.text);
    ok(!comm, "nothing was made");
    return done_testing();
}
