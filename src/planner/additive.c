/* SPDX-License-Identifier: Apache-2.0 */
/* The additive rule: what a stage costs, and what it recomputes. */
#include "planner/additive.h"
#include "common/array.h"
#include "memory/additive.h"
#include "partition/partition.h"
#include "planner/additive_rule.h"
#include "profile/profile.h"
#include <math.h>

/* The rule of a schedule where all microbatches are in flight everywhere: what
 * each saves is there as often. */
static bool all_in_flight(const struct dawni_planner *pl)
{
    for (int x = 0; x < pl->l; x++)
        if (pl->stage[x].in_flight != pl->m)
            return false;
    return true;
}

static enum dawn_status check_schedule(struct dawni_planner *pl,
                                       struct dawn_error *err)
{
    for (int x = 0; x < pl->l && !all_in_flight(pl); x++) {
        int behind = pl->l - x;
        if (pl->stage[x].in_flight != (pl->m < behind ? pl->m : behind))
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "schedule %s: profiles that others published are "
                             "planned for 1f1b and gpipe",
                             pl->schedule);
    }
    return DAWN_OK;
}

static int variants_of(const struct dawni_planner *pl, int node)
{
    return pl->no_recompute ? 1 : dawn_profile_variants(pl->profile, node);
}

static void fill_variants(struct dawni_planner *pl)
{
    struct dawni_additive *a = pl->additive;
    double held = a->folded ? pl->m : 0;
    int k = 0;

    for (int i = 0; i < pl->n; i++) {
        a->variant_at[i] = k;
        for (int v = 0; v < variants_of(pl, i); v++) {
            const struct dawn_node_variant *from =
                dawn_profile_variant(pl->profile, i, v);
            a->variant[k++] = (struct dawni_variant){
                .ns = from->ns,
                .saved_bytes = a->folded ? 0 : from->saved_bytes,
                .fixed_bytes = from->fixed_bytes + held * from->saved_bytes,
            };
        }
    }
    a->variant_at[pl->n] = k;
}

static void fill_edges(struct dawni_planner *pl)
{
    struct dawni_additive *a = pl->additive;
    const struct dawn_graph *g = pl->graph;

    for (int i = 0; i < pl->n; i++)
        for (int k = 0; k < g->node[i].desc.inputs; k++) {
            int from = g->tensor[g->node[i].desc.input[k]].producer;
            if (from >= 0)
                a->edge[a->edges++] = (struct dawni_partition_edge){from, i};
        }
}

static int count_inputs(const struct dawn_graph *g)
{
    int inputs = 0;

    for (int i = 0; i < g->nodes; i++)
        inputs += g->node[i].desc.inputs;
    return inputs;
}

enum dawn_status dawni_additive_create(struct dawni_planner *pl,
                                       struct dawn_error *err)
{
    enum dawn_status st = dawni_profile_check_variants(pl->profile, err);
    struct dawni_additive *a;

    if (st || !dawn_profile_additive(pl->profile))
        return st;
    if ((st = check_schedule(pl, err)))
        return st;
    if (!(a = calloc(1, sizeof *a)))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to plan");
    pl->additive = a;
    a->folded = pl->m > 1 && all_in_flight(pl);
    a->variant_at = dawni_calloc((int64_t)pl->n + 1, sizeof *a->variant_at);
    a->variant =
        dawni_calloc((int64_t)pl->n * DAWN_MAX_VARIANTS, sizeof *a->variant);
    a->edge = dawni_calloc(count_inputs(pl->graph), sizeof *a->edge);
    a->device = dawni_calloc(pl->l, sizeof *a->device);
    a->node = dawni_calloc(pl->n, sizeof *a->node);
    a->choice = dawni_calloc(pl->n, sizeof *a->choice);
    if (!a->variant_at || !a->variant || !a->edge || !a->device || !a->node ||
        !a->choice)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to plan %d nodes",
                         pl->n);
    fill_variants(pl);
    fill_edges(pl);
    return DAWN_OK;
}

void dawni_additive_destroy(struct dawni_additive *a)
{
    if (!a)
        return;
    free(a->variant_at);
    free(a->variant);
    free(a->edge);
    free(a->device);
    free(a->node);
    free(a->choice);
    free(a);
}

static double bytes_of_cap(uint64_t cap)
{
    return cap == UINT64_MAX ? INFINITY : (double)cap;
}

struct dawni_partition_problem dawni_additive_problem(struct dawni_planner *pl)
{
    struct dawni_additive *a = pl->additive;

    for (int x = 0; x < pl->l; x++) {
        a->device[x] = (struct dawni_partition_device){
            pl->stage[x].speed, bytes_of_cap(pl->stage[x].cap)};
    }
    return (struct dawni_partition_problem){
        .nodes = pl->n,
        .variant_at = a->variant_at,
        .variant = a->variant,
        .edges = a->edges,
        .edge = a->edge,
        .stages = pl->l,
        .microbatches = pl->m,
        .device = a->device,
    };
}

/* Sums */

double dawni_additive_saved(const struct dawni_planner *pl, int node)
{
    const struct dawni_additive *a = pl->additive;

    return a->variant[a->variant_at[node]].saved_bytes;
}

double dawni_additive_fixed(const struct dawni_planner *pl, int node)
{
    const struct dawni_additive *a = pl->additive;

    return a->variant[a->variant_at[node]].fixed_bytes;
}

double dawni_additive_again_ns(const struct dawni_planner *pl, int node)
{
    const struct dawni_variant *v =
        &pl->additive->variant[pl->additive->variant_at[node]];
    int variants =
        pl->additive->variant_at[node + 1] - pl->additive->variant_at[node];

    return variants > 1 ? v[1].ns - v[0].ns : 0;
}

bool dawni_additive_recomputes(const struct dawni_planner *pl, int tensor)
{
    const struct dawni_additive *a = pl->additive;
    int node = pl->graph->tensor[tensor].producer;

    return node >= 0 && a->variant_at[node + 1] - a->variant_at[node] > 1 &&
           pl->graph->node[node].output[0] == tensor;
}

/* The variant that a decision means. */
static int chosen(const struct dawni_planner *pl, int node,
                  enum dawn_decision decision)
{
    const struct dawni_additive *a = pl->additive;
    int variants = a->variant_at[node + 1] - a->variant_at[node];

    return a->variant_at[node] + (decision == DAWN_RECOMPUTE && variants > 1);
}

struct dawni_decided dawni_additive_price(struct dawni_planner *pl, int first,
                                          int last, int x,
                                          const uint8_t *decision)
{
    const struct dawni_additive *a = pl->additive;
    const struct dawni_stage_spec *spec = &pl->stage[x];
    struct dawni_decided d = {0};
    double bytes = 0;

    for (int i = first; i <= last; i++) {
        int t = pl->graph->node[i].output[0];
        const struct dawni_variant *v =
            &a->variant[chosen(pl, i, decision ? decision[t] : DAWN_KEEP)];
        bytes += v->saved_bytes * spec->in_flight + v->fixed_bytes;
        d.recompute_ns += v->ns - a->variant[a->variant_at[i]].ns;
    }
    d.peak = dawni_additive_bytes(bytes);
    d.fits = d.peak <= spec->budget;
    return d;
}

/* Decisions */

/* The least that the nodes take, whatever is recomputed. */
static uint64_t least_bytes(const struct dawni_planner *pl, int first, int last,
                            int x)
{
    const struct dawni_additive *a = pl->additive;
    double bytes = 0;

    for (int i = first; i <= last; i++) {
        double least = INFINITY;
        for (int v = a->variant_at[i]; v < a->variant_at[i + 1]; v++)
            least =
                fmin(least, a->variant[v].saved_bytes * pl->stage[x].in_flight +
                                a->variant[v].fixed_bytes);
        bytes += least;
    }
    return dawni_additive_bytes(bytes);
}

struct dawni_decided dawni_additive_decide(struct dawni_planner *pl, int first,
                                           int last, int x, bool thorough,
                                           uint8_t *decision)
{
    struct dawni_decided d = dawni_additive_price(pl, first, last, x, NULL);
    struct dawni_partition_problem problem = dawni_additive_problem(pl);
    struct dawni_additive *a = pl->additive;
    struct dawni_knapsack_opts opts = {
        .node = a->node,
        .nodes = last - first + 1,
        .in_flight = pl->stage[x].in_flight,
        .device = {pl->stage[x].speed, bytes_of_cap(pl->stage[x].budget)},
        .method = thorough ? DAWNI_KNAPSACK_EXACT : DAWNI_KNAPSACK_GREEDY,
    };
    struct dawni_knapsack result;
    enum dawn_status st;

    if (d.fits)
        return d;
    d.peak = least_bytes(pl, first, last, x);
    if (d.peak > pl->stage[x].budget)
        return d;
    for (int i = first; i <= last; i++)
        a->node[i - first] = i;
    st = dawni_knapsack_solve(&problem, &opts, a->choice, NULL, &result,
                              &pl->error);
    if (st)
        dawni_planner_fail(pl, st, NULL);
    if (st || !result.feasible)
        return d;
    d = (struct dawni_decided){
        .fits = true, .peak = dawni_additive_bytes(result.stage.peak_bytes)};
    for (int i = first; i <= last; i++) {
        int t = pl->graph->node[i].output[0], v = a->choice[i - first];
        const struct dawni_variant *node = &a->variant[a->variant_at[i]];
        d.recompute_ns += node[v].ns - node[0].ns;
        if (decision)
            decision[t] = v ? DAWN_RECOMPUTE : DAWN_KEEP;
    }
    return d;
}
