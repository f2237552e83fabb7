/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring a disk. */
#include "tap.h"
#include "topology/disk.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void is_measured(const char *dir)
{
    struct dawn_machine_tier tier;
    struct dawn_error err = {DAWN_OK, ""};

    if (!ok(!dawni_disk_measure(dir, 9 << 20, &tier, &err), "%s is measured %s",
            dir, err.text))
        return;
    is_str(tier.kind, "ssd", "it is a tier");
    char *full = realpath(dir, NULL);
    is_str(tier.path, full, "it knows its folder, from wherever");
    free(full);
    ok(tier.write_bytes_per_s > 1e6 && tier.read_bytes_per_s > 1e6,
       "write %.2g GB/s, read %.2g GB/s", tier.write_bytes_per_s / 1e9,
       tier.read_bytes_per_s / 1e9);
    ok(tier.latency_ns > 0 && tier.latency_ns < 1e9, "latency %.0f us",
       tier.latency_ns / 1e3);
    ok(tier.compute_ns_per_byte >= 0 && tier.compute_ns_per_byte < 1e4,
       "a byte takes %.2f ns of computing", tier.compute_ns_per_byte);
    ok(tier.capacity_bytes > 0, "it has space");
}

static void test_failures(void)
{
    struct dawn_machine_tier tier = {.kind = "none"};
    struct rlimit before, small = {1 << 20, RLIM_INFINITY};
    struct dawn_error err;
    char folder[200], path[401];

    is_int(dawni_disk_measure("/nonexistent", 1, &tier, &err), DAWN_E_IO,
           "no folder: %s", err.text);
    memset(folder, 'x', sizeof folder - 1);
    folder[sizeof folder - 1] = '\0';
    snprintf(path, sizeof path, "%s/%s", folder, folder);
    ok(!mkdir(folder, 0700) && !mkdir(path, 0700), "a deep folder");
    is_int(dawni_disk_measure(path, 1, &tier, &err), DAWN_E_INVAL,
           "a path too long for machine.yaml");
    ok(!rmdir(path) && !rmdir(folder), "nothing is left in it");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    is_int(dawni_disk_measure(".", 1 << 24, &tier, &err), DAWN_E_IO,
           "a full disk: %s", err.text);
    setrlimit(RLIMIT_FSIZE, &before);
    is_str(tier.kind, "none", "a failure leaves the tier alone");
}

int main(void)
{
    char dir[] = "disk-XXXXXX";

    plan_lazy();
    ok(mkdtemp(dir) != NULL, "a folder for the test");
    is_measured(dir);
    ok(!rmdir(dir), "nothing is left in the folder");
    if (access("/dev/shm", W_OK) == 0)
        is_measured("/dev/shm"); /* perhaps without O_DIRECT */
    else
        skip("no /dev/shm to write to");
    test_failures();
    return done_testing();
}
