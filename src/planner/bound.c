/* SPDX-License-Identifier: Apache-2.0 */
/* A lower bound on the step of any plan with these stages and this schedule,
 * whatever its cuts and decisions: the bottleneck search on a cost that is
 * never above the true one.
 *
 * The cost leaves out messages and whatever is live for a moment only. When the
 * last of k microbatches has gone forward, what is kept and k times what is
 * saved is live; what is over the cap must have been dropped, which costs at
 * least the forward of each node whose outputs go, in parts of a node if need
 * be, and nothing for tensors that come from other stages (they cannot be
 * dropped, but so a longer run never costs less, which the search relies on).
 * Where there is a tier to offload to, dropping is taken to cost nothing, and
 * so are moments.
 */
#include "common/array.h"
#include "planner/additive.h"
#include <math.h>

struct bound {
    struct dawni_planner *pl;
    uint64_t *bytes; /* by node: its outputs that some backward needs */
    int *worth;      /* nodes by bytes per nanosecond, most first */
};

static double forward_ns(const struct dawni_planner *pl, int node)
{
    return pl->sum_f[node + 1] - pl->sum_f[node];
}

static int by_worth(const void *a, const void *b, void *arg)
{
    const struct bound *s = arg;
    int i = *(const int *)a, j = *(const int *)b;
    double x = (double)s->bytes[i] * forward_ns(s->pl, j);
    double y = (double)s->bytes[j] * forward_ns(s->pl, i);

    return x > y ? -1 : x < y ? 1 : i - j;
}

static bool begin(struct bound *s)
{
    const struct dawn_graph *g = s->pl->graph;

    s->bytes = dawni_calloc(g->nodes, sizeof *s->bytes);
    s->worth = dawni_calloc(g->nodes, sizeof *s->worth);
    if (!s->bytes || !s->worth)
        return dawni_planner_fail(s->pl, DAWN_E_NOMEM, "no memory for a bound");
    for (int i = 0; i < g->nodes; i++) {
        s->worth[i] = i;
        for (int k = 0; k < g->node[i].desc.outputs; k++) {
            int t = g->node[i].output[k];
            if (dawni_tensor_saved(g, t, 0, g->nodes - 1))
                s->bytes[i] += dawni_graph_padded_bytes(g, t, s->pl->b);
        }
    }
    qsort_r(s->worth, (size_t)g->nodes, sizeof *s->worth, by_worth, s);
    return true;
}

/* Bytes of one microbatch that the run saves of what it makes itself. */
static uint64_t own_saved(const struct bound *s, int first, int last)
{
    const struct dawn_graph *g = s->pl->graph;
    uint64_t bytes = 0;

    for (int i = first; i <= last; i++)
        for (int k = 0; k < g->node[i].desc.outputs; k++) {
            int t = g->node[i].output[k];
            if (dawni_tensor_saved(g, t, first, last))
                bytes += dawni_graph_padded_bytes(g, t, s->pl->b);
        }
    return bytes;
}

/* Least forward time that is run again to drop `excess` bytes of a microbatch.
 */
static double drop_ns(const struct bound *s, int first, int last, double excess)
{
    double ns = 0;

    for (int w = 0; w < s->pl->n && excess > 0; w++) {
        int i = s->worth[w];
        double bytes = (double)s->bytes[i];
        if (i < first || i > last || bytes == 0)
            continue;
        ns += forward_ns(s->pl, i) * fmin(1, excess / bytes);
        excess -= bytes;
    }
    return excess > 0 ? INFINITY : ns;
}

/* Memory of a run with so many versions of its weights and without its moments
 * where they can go to a tier. False: pl->status is set. */
static bool least_memory(struct dawni_planner *pl, int first, int last,
                         int versions, struct dawni_stage_memory *m)
{
    enum dawn_status st;

    dawni_stage_pricer_optimizer(pl->pricer,
                                 dawni_may_offload(pl) && !pl->update_every
                                     ? pl->all_to[DAWN_TO_SSD]
                                     : NULL);
    dawni_stage_pricer_versions(pl->pricer, versions);
    st = dawni_stage_price(pl->pricer, first, last, NULL, m, NULL, &pl->error);
    dawni_stage_pricer_optimizer(pl->pricer, NULL);
    return !st || dawni_planner_fail(pl, st, NULL);
}

static double step_of(void *arg, int first, int last, int x, double limit)
{
    const struct bound *s = arg;
    struct dawni_planner *pl = s->pl;
    const struct dawni_stage_spec *spec = &pl->stage[x];
    double time = dawni_base_time(pl, first, last, x);
    double step = dawni_step_of(pl, first, last, x, time);
    struct dawni_stage_memory m;

    if (step > limit || spec->cap == UINT64_MAX || pl->status)
        return step;
    if (!least_memory(pl, first, last, spec->versions, &m) ||
        m.kept > spec->cap)
        return INFINITY;
    uint64_t room = (spec->cap - m.kept) / (uint64_t)spec->in_flight;
    if (m.saved <= room || dawni_may_offload(pl))
        return step;
    if (pl->no_recompute)
        return INFINITY;
    uint64_t own = own_saved(s, first, last);
    double excess = fmin((double)(m.saved - room), (double)own - (double)room);
    return dawni_step_of(pl, first, last, x,
                         time + drop_ns(s, first, last, excess) / spec->speed);
}

double dawni_least_drop(struct dawni_planner *pl, double excess)
{
    struct bound s = {.pl = pl};
    double ns = begin(&s) ? drop_ns(&s, 0, pl->n - 1, excess) : 0;

    free(s.bytes);
    free(s.worth);
    return ns;
}

double dawni_bound(struct dawni_planner *pl)
{
    struct bound s = {.pl = pl};
    double bound = INFINITY;

    if (pl->additive) /* branchy or not: its memory is no other bound's */
        return dawni_additive_bound(pl);
    if (!dawni_graph_is_chain(pl->graph))
        return dawni_bound_any_order(pl);
    if (begin(&s))
        bound = dawni_bottleneck(pl, step_of, &s, NULL);
    free(s.bytes);
    free(s.worth);
    return isinf(bound) ? 0 : bound;
}

/* Nothing fits */

/* First node behind the longest run from `first` of which stage x has room for
 * what is kept. A longer run never keeps less. */
static int reach(struct dawni_planner *pl, int first, int x)
{
    const struct dawni_stage_spec *spec = &pl->stage[x];
    int low = first, high = pl->n + 1;

    while (high - low > 1) {
        int end = low + (high - low) / 2;
        struct dawni_stage_memory m;
        if (!least_memory(pl, first, end - 1, spec->versions, &m))
            return pl->n; /* nothing is proven */
        if (m.kept <= spec->cap)
            low = end;
        else
            high = end;
    }
    return low;
}

/* Stages that take all that they have room for get furthest. They may be empty
 * here: what cannot be one stage's node may be the next one's. */
static bool surely_unfit_in_order(struct dawni_planner *pl)
{
    int end = 0;

    for (int x = 0; x < pl->l; x++)
        end = reach(pl, end, x);
    return end < pl->n;
}

/* The same for nodes in any order: all of them together and each alone. */
static bool surely_unfit_in_any_order(struct dawni_planner *pl)
{
    struct dawni_stage_memory m;
    uint64_t most = 0;
    double all = 0;

    for (int x = 0; x < pl->l; x++) {
        most = pl->stage[x].cap > most ? pl->stage[x].cap : most;
        all += (double)pl->stage[x].cap;
    }
    if (!least_memory(pl, 0, pl->n - 1, 1, &m))
        return false;
    bool unfit = (double)m.kept > all;
    for (int i = 0; i < pl->n && !unfit; i++) {
        if (!least_memory(pl, i, i, 1, &m))
            return false;
        unfit = m.kept > most;
    }
    return unfit;
}

bool dawni_surely_unfit(struct dawni_planner *pl)
{
    if (pl->additive || pl->status)
        return false;
    if (pl->policy->orders && !dawni_graph_is_chain(pl->graph))
        return surely_unfit_in_any_order(pl);
    return surely_unfit_in_order(pl);
}
