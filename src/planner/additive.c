/* SPDX-License-Identifier: Apache-2.0 */
/* The additive rule: what a stage costs, and what it recomputes. */
#include "planner/additive.h"
#include "common/array.h"
#include "memory/additive.h"
#include "partition/partition.h"
#include "planner/additive_rule.h"
#include "profile/profile.h"
#include <assert.h>
#include <math.h>

static_assert(DAWNI_ADDITIVE_STAGING == DAWNI_PARTITION_STAGING,
              "the solver plans for the memory that is counted");

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
    if (pl->update_every)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "schedule %s: the profile does not say what a version "
                         "of the weights takes",
                         pl->schedule);
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
                .offloadable = v == 0, /* one decision a tensor */
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
    a->tier_share = 1;
    a->folded = pl->m > 1 && all_in_flight(pl);
    a->variant_at = dawni_calloc((int64_t)pl->n + 1, sizeof *a->variant_at);
    a->variant =
        dawni_calloc((int64_t)pl->n * DAWN_MAX_VARIANTS, sizeof *a->variant);
    a->edge = dawni_calloc(count_inputs(pl->graph), sizeof *a->edge);
    a->device = dawni_calloc(pl->l, sizeof *a->device);
    a->node = dawni_calloc(pl->n, sizeof *a->node);
    a->choice = dawni_calloc(pl->n, sizeof *a->choice);
    a->offloaded = dawni_calloc(pl->n, sizeof *a->offloaded);
    a->decision = dawni_calloc(pl->graph->tensors, sizeof *a->decision);
    if (!a->variant_at || !a->variant || !a->edge || !a->device || !a->node ||
        !a->choice || !a->offloaded || !a->decision)
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
    free(a->offloaded);
    free(a->decision);
    dawni_transfers_clear(&a->transfers);
    free(a);
}

static double bytes_of_cap(uint64_t cap)
{
    return cap == UINT64_MAX ? INFINITY : (double)cap;
}

enum dawn_decision dawni_additive_tier(const struct dawni_planner *pl)
{
    if (pl->additive->folded)
        return DAWN_KEEP; /* what is saved does not leave before all is made */
    return pl->may_offload[DAWN_TO_HOST]  ? DAWN_TO_HOST
           : pl->may_offload[DAWN_TO_SSD] ? DAWN_TO_SSD
                                          : DAWN_KEEP;
}

/* Bytes a second, both ways together, that a stage has of a tier; 0: there is
 * none. What goes out and what comes back take turns on a disk only. */
static double tier_rate(const struct dawni_planner *pl,
                        enum dawn_decision decision)
{
    int tier = pl->tier_of[decision];

    if (decision == DAWN_KEEP || tier < 0)
        return 0;
    struct dawn_sim_tier t = dawni_tier_share(pl, tier, pl->sharers[tier]);
    double r = t.read_bytes_per_s, w = t.write_bytes_per_s;
    return t.one_queue ? 2 / (1 / r + 1 / w) : 2 * fmin(r, w);
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
        .tier_bytes_per_s =
            a->tier_share * tier_rate(pl, dawni_additive_tier(pl)),
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

bool dawni_additive_allows(const struct dawni_planner *pl, int tensor,
                           enum dawn_decision decision)
{
    const struct dawni_additive *a = pl->additive;
    int node = pl->graph->tensor[tensor].producer;

    if (decision == DAWN_KEEP)
        return true;
    if (node < 0 || pl->graph->node[node].output[0] != tensor)
        return false;
    return decision != DAWN_RECOMPUTE ||
           a->variant_at[node + 1] - a->variant_at[node] > 1;
}

/* The variant that a decision means. */
static int chosen(const struct dawni_planner *pl, int node,
                  enum dawn_decision decision)
{
    const struct dawni_additive *a = pl->additive;
    int variants = a->variant_at[node + 1] - a->variant_at[node];

    return a->variant_at[node] + (decision == DAWN_RECOMPUTE && variants > 1);
}

/* Times from the beginning of F, and of BW, which goes through the nodes from
 * the last one to the first. */
bool dawni_additive_transfers(struct dawni_planner *pl, int first, int last,
                              int x, const uint8_t *decision,
                              struct dawni_transfers *t)
{
    const struct dawni_additive *a = pl->additive;
    double speed = pl->stage[x].speed, f = 0, b = 0;
    int k = t->n;

    for (int i = first; i <= last; i++) {
        enum dawn_decision d = decision[pl->graph->node[i].output[0]];
        f += (pl->sum_f[i + 1] - pl->sum_f[i]) / speed;
        if (d < DAWN_TO_HOST)
            continue;
        if (!dawni_array_reserve(&t->transfer, &t->room, t->n + 1))
            return dawni_planner_fail(pl, DAWN_E_NOMEM,
                                      "no memory for transfers");
        double bytes = a->variant[a->variant_at[i]].saved_bytes;
        t->transfer[t->n++] = (struct dawn_sim_transfer){
            .tier = pl->tier_of[d],
            .bytes = (uint64_t)ceil(bytes),
            .write_ns = f,
        };
    }
    for (int i = last, at = t->n; i >= first && at > k; i--) {
        enum dawn_decision d = decision[pl->graph->node[i].output[0]];
        const struct dawni_variant *v = &a->variant[chosen(pl, i, d)];
        if (d >= DAWN_TO_HOST)
            t->transfer[--at].read_ns = b;
        b += (v->ns - (pl->sum_f[i + 1] - pl->sum_f[i])) / speed;
    }
    return true;
}

/* What the transfers of a stage stall that computes for so long. */
static double stall_of(struct dawni_planner *pl, int first, int last, int x,
                       const uint8_t *decision, double compute_ns)
{
    struct dawni_transfers *t = &pl->additive->transfers;
    double f = (pl->sum_f[last + 1] - pl->sum_f[first]) / pl->stage[x].speed;
    double ns[] = {f, compute_ns - f}, stall = 0;

    t->n = 0;
    if (dawni_additive_transfers(pl, first, last, x, decision, t))
        dawni_rehearse(pl, x, t, ns, &stall);
    return stall;
}

struct dawni_decided dawni_additive_price(struct dawni_planner *pl, int first,
                                          int last, int x,
                                          const uint8_t *decision)
{
    const struct dawni_additive *a = pl->additive;
    const struct dawni_stage_spec *spec = &pl->stage[x];
    double bytes = 0, fixed = 0, ns = 0, largest = 0;
    struct dawni_decided d = {0};

    for (int i = first; i <= last; i++) {
        int t = pl->graph->node[i].output[0];
        enum dawn_decision what = decision ? decision[t] : DAWN_KEEP;
        const struct dawni_variant *v = &a->variant[chosen(pl, i, what)];
        fixed += v->fixed_bytes;
        ns += v->ns;
        d.recompute_ns += v->ns - a->variant[a->variant_at[i]].ns;
        if (what < DAWN_TO_HOST)
            bytes += v->saved_bytes * spec->in_flight;
        else
            largest = fmax(largest, v->saved_bytes);
    }
    d.peak =
        dawni_additive_bytes(fixed + bytes + DAWNI_ADDITIVE_STAGING * largest);
    d.kept = dawni_additive_bytes(fixed);
    d.fits = d.peak <= spec->budget;
    if (largest > 0)
        d.stall_ns = stall_of(pl, first, last, x, decision, ns / spec->speed);
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

/* What the knapsack makes of it with a part of the tier's rate; `none` if
 * nothing. */
static struct dawni_decided try_knapsack(struct dawni_planner *pl,
                                         const struct dawni_knapsack_opts *opts,
                                         int x, double share, uint8_t *decision)
{
    struct dawni_partition_problem problem = dawni_additive_problem(pl);
    struct dawni_additive *a = pl->additive;
    int first = opts->node[0], last = opts->node[opts->nodes - 1];
    struct dawni_knapsack result;
    enum dawn_status st;

    problem.tier_bytes_per_s *= share;
    st = dawni_knapsack_solve(&problem, opts, a->choice, a->offloaded, &result,
                              &pl->error);
    if (st)
        dawni_planner_fail(pl, st, NULL);
    if (st || !result.feasible)
        return (struct dawni_decided){0};
    for (int i = first; i <= last; i++) {
        int t = pl->graph->node[i].output[0], k = i - first;
        decision[t] = a->offloaded[k] ? (uint8_t)dawni_additive_tier(pl)
                      : a->choice[k]  ? DAWN_RECOMPUTE
                                      : DAWN_KEEP;
    }
    return dawni_additive_price(pl, first, last, x, decision);
}

static double cost_of(const struct dawni_planner *pl, int x,
                      const struct dawni_decided *d)
{
    return d->recompute_ns / pl->stage[x].speed + d->stall_ns;
}

struct dawni_decided dawni_additive_decide(struct dawni_planner *pl, int first,
                                           int last, int x, bool thorough,
                                           uint8_t *decision)
{
    static const double share[] = {1, 0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2, 0.1};
    struct dawni_decided d = dawni_additive_price(pl, first, last, x, NULL);
    bool tier = dawni_additive_tier(pl) != DAWN_KEEP;
    int shares = thorough ? (int)(sizeof share / sizeof share[0]) : 2;
    struct dawni_additive *a = pl->additive;
    struct dawni_knapsack_opts opts = {
        .node = a->node,
        .nodes = last - first + 1,
        .in_flight = pl->stage[x].in_flight,
        .device = {pl->stage[x].speed, bytes_of_cap(pl->stage[x].budget)},
        .method = thorough ? DAWNI_KNAPSACK_EXACT : DAWNI_KNAPSACK_GREEDY,
    };

    if (d.fits)
        return d;
    d.peak = least_bytes(pl, first, last, x);
    if (d.peak > pl->stage[x].budget && !tier)
        return d;
    for (int i = first; i <= last; i++)
        a->node[i - first] = i;
    for (int k = tier ? 0 : 1; k < (tier ? shares : 2); k++) {
        if (k == 2)
            opts.method = DAWNI_KNAPSACK_GREEDY; /* it is a guess anyway */
        struct dawni_decided now =
            try_knapsack(pl, &opts, x, share[k], a->decision);
        if (!now.fits || (d.fits && cost_of(pl, x, &d) <= cost_of(pl, x, &now)))
            continue;
        d = now;
        for (int i = first; decision && i <= last; i++) {
            int t = pl->graph->node[i].output[0];
            decision[t] = a->decision[t];
        }
        if (k == 0 && now.stall_ns <= 0)
            break; /* less of the tier gains nothing */
    }
    return d;
}

void dawni_additive_mend(struct dawni_planner *pl, int first, int last, int x,
                         uint8_t *decision)
{
    struct dawni_decided d = dawni_additive_price(pl, first, last, x, decision);
    struct dawni_decided other;
    uint8_t *mended;

    if (d.stall_ns <= 0)
        return;
    mended = dawni_calloc(pl->graph->tensors, sizeof *mended);
    if (!mended) {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for decisions");
        return;
    }
    other = dawni_additive_decide(pl, first, last, x, true, mended);
    if (other.fits && cost_of(pl, x, &other) < cost_of(pl, x, &d))
        memcpy(decision, mended, (size_t)pl->graph->tensors);
    free(mended);
}
