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

/* A virtual machine of 24 GiB whose NUMA node 0 tells of 7.8. */
static void test_memory(void)
{
    const uint64_t node = (uint64_t)7800 << 20, all = (uint64_t)24 << 30;

    is_u64(dawni_host_memory(node, true, all, UINT64_MAX), all,
           "where all nodes may be used, what the host has counts");
    is_u64(dawni_host_memory(node, false, all, UINT64_MAX), node,
           "where some may, what these have");
    is_u64(dawni_host_memory(all, true, node, UINT64_MAX), all,
           "the larger one of both");
    is_u64(dawni_host_memory(node, true, 0, UINT64_MAX), node,
           "the nodes' where nobody else can be asked");
    is_u64(dawni_host_memory(node, true, all, 1 << 30), 1 << 30,
           "and never more than the control group may have");
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
    test_memory();
    test_this_host();
    return done_testing();
}
