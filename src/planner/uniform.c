/* SPDX-License-Identifier: Apache-2.0 */
/* Policy `gpipe-uniform`, to compare with: the same number of nodes on every
 * stage. Everything is kept where that fits on every stage; if not, every stage
 * recomputes all that it makes from what it received, as GPipe does.
 */
#include "common/array.h"
#include "planner/planner.h"

static bool decide(struct dawni_planner *pl, int first, int last, int x,
                   uint8_t *decision)
{
    const struct dawn_graph *g = pl->graph;

    for (int i = first; i <= last && pl->drop_all; i++)
        for (int k = 0; k < g->node[i].desc.outputs; k++) {
            int t = g->node[i].output[k];
            if (dawni_tensor_saved(g, t, first, last))
                decision[t] = DAWN_RECOMPUTE;
        }
    return true;
}

static bool all_fit(struct dawni_planner *pl, const int *cut)
{
    int tensors = pl->graph->tensors;
    uint8_t *decision = dawni_calloc(tensors, sizeof *decision);
    bool fit = true;

    if (!decision)
        return dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for decisions");
    for (int x = 0; x < pl->l && fit; x++) {
        memset(decision, DAWN_KEEP, (size_t)tensors);
        decide(pl, cut[x], cut[x + 1] - 1, x, decision);
        fit =
            dawni_price_decisions(pl, cut[x], cut[x + 1] - 1, x, decision).fits;
    }
    free(decision);
    return fit;
}

static bool partition(struct dawni_planner *pl, int *cut)
{
    for (int x = 1; x < pl->l; x++)
        cut[x] = (int)((int64_t)pl->n * x / pl->l);
    pl->drop_all = false;
    if (all_fit(pl, cut))
        return true;
    pl->drop_all = !pl->no_recompute;
    return pl->drop_all && all_fit(pl, cut);
}

const struct dawni_policy_ops dawni_policy_gpipe_uniform = {
    .name = "gpipe-uniform",
    .text = "equal node counts; recompute all of each stage if that is needed",
    .partition = partition,
    .decide = decide,
};
