/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of nodes that are known not to fit a stage, so that longer ones around
 * them need not be priced: to find out that nothing makes a stage fit takes
 * longest of all. What a stage receives it must keep, so a longer run needs
 * less at times: it counts where no less comes in, and some nodes longer, since
 * what comes back in at its end may be less too.
 */
#include "common/array.h"
#include "planner/planner.h"
#include <limits.h>

#define FEW_NODES 64 /* of a graph: all of it is priced */
#define LONGER 6     /* nodes, on both sides together */

enum dawn_status dawni_unfit_create(struct dawni_planner *pl,
                                    struct dawn_error *err)
{
    if (pl->n <= FEW_NODES || pl->additive)
        return DAWN_OK;
    pl->unfit = dawni_calloc((int64_t)pl->l * pl->n, sizeof *pl->unfit);
    if (!pl->unfit)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to plan %d nodes",
                         pl->n);
    for (int x = 0; x < pl->l; x++)
        dawni_unfit_forget(pl, x);
    return DAWN_OK;
}

/* By first node: the least last node with which no run fits. */
static int *row(const struct dawni_planner *pl, int x)
{
    return pl->unfit + (size_t)x * (size_t)pl->n;
}

void dawni_unfit_forget(struct dawni_planner *pl, int x)
{
    for (int i = 0; i < pl->n && pl->unfit; i++)
        row(pl, x)[i] = INT_MAX;
}

void dawni_unfit_note(struct dawni_planner *pl, int first, int last, int x)
{
    if (!pl->unfit)
        return;
    for (int i = first; i >= 0; i--) {
        int more = LONGER - (first - i);
        int end = last + (more > 0 ? more : 0);
        if (pl->cut_bytes[i] >= pl->cut_bytes[first] && row(pl, x)[i] > end)
            row(pl, x)[i] = end;
    }
}

bool dawni_unfit(const struct dawni_planner *pl, int first, int last, int x)
{
    return pl->unfit && row(pl, x)[first] <= last;
}
