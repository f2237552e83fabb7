/* SPDX-License-Identifier: Apache-2.0 */
/* Policy `exact`: least max S by the bottleneck search, with the decisions of
 * dawni_decide. That is optimal for this order of nodes where a longer run
 * never costs less. Then all cuts that could still be better are gone through,
 * if they are not too many: that is optimal without conditions.
 */
#include "planner/planner.h"
#include <math.h>
#include <stdlib.h>

/* What the halves of binary partitioning find is a start like any other, and
 * the only one where memory makes the bottleneck search give up too early. */
static bool partition(struct dawni_planner *pl, int *cut)
{
    double step = dawni_bottleneck(pl, dawni_step_within, pl, cut);
    double halves = dawni_halves(pl, step, cut);
    struct dawni_window *window;

    if (pl->status)
        return false;
    step = fmin(step, halves);
    window = dawni_windows_below(pl, step);
    if (window)
        dawni_window_search(pl, window, &step, cut);
    else
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for the search");
    free(window);
    return !isinf(step) && !pl->status;
}

const struct dawni_policy_ops dawni_policy_exact = {
    .name = "exact",
    .text = "bottleneck search over all cuts, refined by simulation",
    .refine = true,
    .moments = true,
    .orders = true,
    .partition = partition,
};
