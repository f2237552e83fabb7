/* SPDX-License-Identifier: Apache-2.0 */
/* The host's tree, of made-up hosts and of this one. */
#include "tap.h"
#include "topology/host.h"

#include <stdlib.h>
#include <string.h>

static void is_tree(const char *description, int cores, const char *tree)
{
    struct dawni_host host = {.tree = NULL};

    is_int(dawni_host_read_synthetic(description, &host, NULL), DAWN_OK, "%s",
           description);
    is_int(host.cores, cores, "%d cores", cores);
    is_str(host.tree, tree, "its tree");
    free(host.tree);
}

static void test_made_up(void)
{
    is_tree("pack:2 [numa(memory=8589934592)] l3:1(size=33554432) core:4 pu:2",
            8,
            "Machine 16 GiB\n"
            "  2 x Package\n"
            "    NUMANode 8192 MiB\n"
            "    L3 32 MiB\n"
            "      4 x Core\n");
    is_tree("numa:1(memory=1048576) pu:3", 3,
            "Machine 1024 KiB\n"
            "  NUMANode 1024 KiB\n"
            "  3 x PU\n");
}

static void test_malformed(void)
{
    struct dawni_host host;
    struct dawn_error err;

    is_int(dawni_host_read_synthetic("core:x", &host, &err), DAWN_E_NOTSUP,
           "no topology: %s", err.text);
}

static void test_this_host(void)
{
    struct dawni_host host = {.tree = NULL};

    if (!ok(!dawni_host_read(&host, NULL), "this host is read"))
        return;
    ok(*host.name, "it has a name: %s", host.name);
    ok(host.cores >= 1, "it has %d cores", host.cores);
    ok(host.memory_bytes > 1 << 20, "it has memory");
    ok(strncmp(host.tree, "Machine", 7) == 0, "it has a tree");
    free(host.tree);
}

int main(void)
{
    plan_lazy();
    test_made_up();
    test_malformed();
    test_this_host();
    return done_testing();
}
