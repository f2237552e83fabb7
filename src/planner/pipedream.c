/* SPDX-License-Identifier: Apache-2.0 */
/* Policy `pipedream`, to compare with: the optimizer of PipeDream (Narayanan et
 * al., "PipeDream: generalized pipeline parallelism for DNN training", SOSP
 * 2019, section 3.1), one device a stage.
 *
 * Dynamic programming over the linear order: the best bottleneck of stages 0..x
 * on the nodes before j is the least, over the place i where stage x begins, of
 * the largest of: the best of stages 0..x-1 before i; the messages across the
 * cut at i, activations down and gradients up; the time of the nodes i..j-1.
 * Ties go to the shortest last stage. All saved tensors are kept, and memory is
 * not looked at: a cap is met or missed. What the paper does beyond that is
 * left out: replicated stages, and the versions of the weights that its
 * asynchronous schedule stashes. The schedule is the one asked for, and those
 * that exist are synchronous.
 */
#include "common/array.h"
#include "planner/planner.h"
#include <math.h>

struct balance {
    struct dawni_planner *pl;
    double *before, *best; /* by node j: of stages 0..x-1, and of 0..x */
    int *from;             /* [x * (n + 1) + j]: where stage x begins */
};

/* Stage x of the nodes before j. */
static void find_begin(struct balance *s, int x, int j)
{
    struct dawni_planner *pl = s->pl;
    double best = INFINITY;

    for (int i = j - 1; i >= x; i--) {
        double time = dawni_base_time(pl, i, j - 1, x);
        if (time >= best)
            break; /* and longer ones take no less */
        double worst = fmax(fmax(time, s->before[i]), dawni_cut_ns(pl, x, i));
        if (worst >= best)
            continue;
        best = worst;
        s->from[(size_t)x * ((size_t)pl->n + 1) + (size_t)j] = i;
    }
    s->best[j] = best;
}

static void solve(struct balance *s, int *cut)
{
    struct dawni_planner *pl = s->pl;
    int n = pl->n, l = pl->l;

    for (int j = 1; j <= n; j++)
        s->best[j] = dawni_base_time(pl, 0, j - 1, 0);
    for (int x = 1; x < l; x++) {
        double *done = s->before;
        s->before = s->best;
        s->best = done;
        for (int j = x + 1; j <= n - (l - 1 - x); j++)
            find_begin(s, x, j);
    }
    for (int x = l - 1; x > 0; x--)
        cut[x] = s->from[(size_t)x * ((size_t)n + 1) + (size_t)cut[x + 1]];
}

bool dawni_balance(struct dawni_planner *pl, int *cut)
{
    int64_t width = (int64_t)pl->n + 1;
    struct balance s = {.pl = pl};

    s.before = dawni_calloc(width, sizeof *s.before);
    s.best = dawni_calloc(width, sizeof *s.best);
    s.from = dawni_calloc(width * pl->l, sizeof *s.from);
    if (s.before && s.best && s.from)
        solve(&s, cut);
    else
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for the search");
    free(s.before);
    free(s.best);
    free(s.from);
    return !pl->status;
}

static bool keep(struct dawni_planner *pl, int first, int last, int x,
                 uint8_t *decision)
{
    (void)pl, (void)first, (void)last, (void)x, (void)decision;
    return true;
}

const struct dawni_policy_ops dawni_policy_pipedream = {
    .name = "pipedream",
    .text = "balance compute, keep everything, look at no memory",
    .blind = true,
    .partition = dawni_balance,
    .decide = keep,
};
