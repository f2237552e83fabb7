/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring the machine over MPI: every rank gets the same. */
#include "comm/comm.h"
#include "tap.h"

#include <dawnpiper/measure.h>
#include <math.h>
#include <string.h>

struct summary {
    struct dawn_machine_device device;
    struct dawn_machine_link link;
    struct dawn_machine_tier tier;
};

static void check(const struct dawn_comm *comm, struct dawn_machine *machine)
{
    is_int(dawn_machine_devices(machine), comm->size, "a device a rank");
    for (int a = 0; a < comm->size; a++) {
        const struct dawn_machine_device *device =
            dawn_machine_device(machine, a);
        ok(device->cores >= 1 && device->memory_bytes > 0 && *device->name,
           "rank %d: %s, %d cores", a, device->name, device->cores);
        for (int b = 0; b < comm->size; b++) {
            const struct dawn_machine_link *link =
                dawn_machine_link(machine, a, b);
            ok((a == b || link->latency_ns > 10) &&
                   (link->latency_ns < 1e9 && link->bytes_per_s > 1e6 &&
                    link->bytes_per_s < 1e12),
               "link %d to %d: %.2f us, %.2f GB/s", a, b,
               link->latency_ns / 1e3, link->bytes_per_s / 1e9);
        }
    }
    is_int(dawn_machine_tiers(machine), 1, "a disk");
    ok(strstr(dawn_machine_notes(machine), "Machine"), "the tree is noted");
}

/* Whether all ranks have what rank 0 has. */
static bool same(struct dawn_comm *comm, struct dawn_machine *machine)
{
    struct summary mine, all[8];
    bool is_same = true;

    memset(&mine, 0, sizeof mine);
    mine.device = *dawn_machine_device(machine, comm->size - 1);
    mine.link = *dawn_machine_link(machine, 0, comm->size - 1);
    mine.tier = *dawn_machine_tier(machine, 0);
    if (dawn_comm_allgather(comm, &mine, sizeof mine, all, NULL))
        return false;
    for (int rank = 0; rank < comm->size; rank++)
        is_same = is_same && !memcmp(&all[rank], &all[0], sizeof mine);
    return is_same;
}

int main(void)
{
    struct dawn_machine *machine = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    struct dawn_comm *comm;

    if (dawn_comm_create_mpi(30, &comm, &err)) {
        plan_lazy();
        ok(false, "%s", err.text);
        return done_testing();
    }
    if (comm->rank)
        plan_quiet();
    else
        plan_lazy();
    is_int(dawn_machine_measure(comm, "/nonexistent", &machine, NULL, &err),
           DAWN_E_IO, "no folder: %s", err.text);
    err.text[0] = '\0';
    double spread = 0;
    if (ok(!dawn_machine_measure(comm, ".", &machine, &spread, &err),
           "the machine is measured %s", err.text)) {
        ok(comm->size > 1 ? spread > 1 && isfinite(spread) : spread == 1,
           "rounds differ by a factor of %.2f", spread);
        check(comm, machine);
        ok(same(comm, machine), "all ranks have the same");
    }
    dawn_machine_destroy(machine);
    dawn_comm_destroy(comm);
    return done_testing();
}
