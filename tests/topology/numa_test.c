/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of another NUMA node: which one, of made-up machines, and this one's,
 * where it has one.
 */
#include "tap.h"
#include "topology/numa.h"

#include <sys/mman.h>

#define TWO "numa:2(memory=1048576) core:2 pu:1"
#define BYTES ((size_t)1 << 20)

static void test_made_up(void)
{
    is_int(dawni_numa_far_synthetic(TWO, "0-1"), 1, "the other one of two");
    is_int(dawni_numa_far_synthetic(TWO, "2"), 0, "and the other way round");
    is_int(dawni_numa_far_synthetic(TWO, "1-2"), -1,
           "none where there are cores on both");
    is_int(dawni_numa_far_synthetic("numa:1(memory=1048576) core:4 pu:1", "0"),
           -1, "none where there is one only");
    is_int(dawni_numa_far_synthetic("numa:3(memory=1048576) pu:1", "0"), 1,
           "the first of several that are alike");
    is_int(dawni_numa_far_synthetic("numa:x", "0"), -1,
           "none of what hwloc cannot read");
}

static void test_here(void)
{
    struct dawn_machine_tier tier = {.kind = "?"};
    bool found = false;
    char *area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    is_int(dawni_numa_measure(BYTES, &tier, &found, NULL), DAWN_OK,
           "measured: %s", found ? "there is another node" : "none");
    if (found)
        ok(tier.read_bytes_per_s > 0 && tier.write_bytes_per_s > 0,
           "copies took time");
    else
        is_str(tier.kind, "?", "the tier is left alone");
    ok(dawni_numa_bind_far(area, BYTES) == found, "an area is bound if so");
    area[0] = area[BYTES - 1] = 1;
    ok(area[0] == 1, "and can be used");
    munmap(area, BYTES);
}

int main(void)
{
    plan_lazy();
    test_made_up();
    test_here();
    return done_testing();
}
