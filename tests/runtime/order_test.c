/* SPDX-License-Identifier: Apache-2.0 */
/* A model with branches gives the same bits in every order of its nodes. */
#include "branchy.h"
#include "rig.h"
#include "tap.h"
#include <stdlib.h>

#define ORDERS 4

/* Nodes that stand elsewhere than in the graph. */
static int moved(int seed)
{
    struct dawn_graph *g = branchy_graph(DAWN_F32);
    int nodes = dawn_graph_nodes(g), n = 0;
    int *order = calloc((size_t)nodes, sizeof *order);

    branchy_order(g, seed, order);
    for (int i = 0; i < nodes; i++)
        n += order[i] != i;
    free(order);
    dawn_graph_destroy(g);
    return n;
}

static void test_same_bits(enum dawn_dtype dtype)
{
    struct rig_case base = {.model = {.dtype = dtype},
                            .build = branchy_graph,
                            .schedule = "1f1b",
                            .stages = 1,
                            .microbatches = 4,
                            .clip = 1};
    struct rig_result one, r;

    rig_run(&base, &one);
    if (!is_int(one.status[0], DAWN_OK, "%s: the model runs",
                dawn_dtype_name(dtype)))
        diag("%s", one.error[0].text);
    ok(one.loss[RIG_STEPS - 1] < one.loss[0], "the loss falls, %g to %g",
       one.loss[0], one.loss[RIG_STEPS - 1]);
    for (int seed = 0; seed < ORDERS; seed++)
        for (int stages = 1; stages <= 5; stages++)
            for (int re = 0; re < 3; re++) {
                struct rig_case c = base;
                c.arrange = branchy_order;
                c.order_seed = seed;
                c.stages = stages;
                c.recompute = re;
                rig_run(&c, &r);
                if (!ok(rig_same(&one, &r),
                        "%s, order %d, %d stages, recompute %d: same bits",
                        dawn_dtype_name(dtype), seed, stages, re))
                    diag("status %d %s, loss %a, not %a", r.status[0],
                         r.error[0].text, r.loss[1], one.loss[1]);
                for (int i = 0; i < stages; i++)
                    is_u64(r.peak[i], r.predicted[i],
                           "rank %d: peak as predicted", i);
            }
}

int main(void)
{
    plan_lazy();
    for (int seed = 1; seed < ORDERS; seed++)
        ok(moved(seed) > 5, "order %d is another: %d nodes moved", seed,
           moved(seed));
    test_same_bits(DAWN_F32);
    test_same_bits(DAWN_BF16);
    return done_testing();
}
