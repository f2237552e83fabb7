/* SPDX-License-Identifier: Apache-2.0 */
/* A lower bound for graphs that have more than one order, whatever the order.
 *
 * The nodes become a fluid: a stage is a stretch of an axis as long as the time
 * of all nodes. What is left of their order are the nodes that every other one
 * stands before or behind, the passages: a set of nodes that takes longer than
 * all that stands before a passage contains it. So a stage that begins further
 * on waits, for its first microbatch and at the end of the step, for the
 * longest way to that passage and through it (P), and one that ends before a
 * passage gets its first microbatch back after the longest way from there to
 * the end and back (D). Both are bent so that they change no faster than the
 * axis; then what a stage makes of the objective grows with its length, and the
 * least bound that stages as long as they can be under it reach the end with
 * is below every plan.
 *
 * The memory of all stages together must hold what is saved, each byte as often
 * as the stage has microbatches in flight; what is over must be run again, and
 * makes the axis longer.
 */
#include "common/array.h"
#include "planner/orders.h"
#include <math.h>

#define ROUNDS 60        /* of halving an interval */
#define MOST_NODES 16384 /* for reachability: n * n bits */

struct passage {
    double before; /* time of all that stands before it */
    double behind; /* ... and of it */
    double to;     /* longest way to it and through it */
    double from;   /* longest way from it, it included, to the end */
};

struct fluid {
    const struct dawni_planner *pl;
    struct passage *passage;
    int passages;
    double total; /* time of all nodes */
    double again; /* least time that is run again */
};

/* Passages */

/* Count of nodes that v leads to, for each v; with `before`, that lead to v. */
static bool count_reached(const struct dawni_dag *d, bool before, int *count)
{
    const int *at = before ? d->before_at : d->after_at;
    const int *edge = before ? d->before : d->after;
    size_t n = (size_t)d->nodes, words = n / 64 + 1;
    uint64_t *bits = calloc(n * words, sizeof *bits);

    for (size_t i = 0; bits && i < n; i++) {
        size_t v = before ? i : n - 1 - i;
        uint64_t *mine = bits + v * words;
        for (int k = at[v]; k < at[v + 1]; k++) {
            const uint64_t *its = bits + (size_t)edge[k] * words;
            for (size_t w = 0; w < words; w++)
                mine[w] |= its[w];
            mine[edge[k] / 64] |= (uint64_t)1 << edge[k] % 64;
        }
        for (size_t w = 0; w < words; w++)
            count[v] += __builtin_popcountll(mine[w]);
    }
    free(bits);
    return bits;
}

static double node_ns(const struct dawni_planner *pl, int v)
{
    return dawni_sum_t(pl, v + 1) - dawni_sum_t(pl, v);
}

/* Longest ways, each node's own time included. */
static void find_ways(const struct dawni_planner *pl, const struct dawni_dag *d,
                      double *to, double *from)
{
    for (int v = 0; v < d->nodes; v++) {
        for (int k = d->before_at[v]; k < d->before_at[v + 1]; k++)
            to[v] = fmax(to[v], to[d->before[k]]);
        to[v] += node_ns(pl, v);
    }
    for (int v = d->nodes - 1; v >= 0; v--) {
        for (int k = d->after_at[v]; k < d->after_at[v + 1]; k++)
            from[v] = fmax(from[v], from[d->after[k]]);
        from[v] += node_ns(pl, v);
    }
}

/* All nodes before a passage stand before it in every order. */
static bool find_passages(struct fluid *f, const struct dawni_dag *d)
{
    const struct dawni_planner *pl = f->pl;
    int *count = dawni_calloc(pl->n, sizeof *count);
    double *to = dawni_calloc(pl->n, sizeof *to);
    double *from = dawni_calloc(pl->n, sizeof *from);
    bool whole = count && to && from && count_reached(d, false, count) &&
                 count_reached(d, true, count);

    if (whole)
        find_ways(pl, d, to, from);
    for (int v = 0; v < pl->n && whole; v++)
        if (count[v] == pl->n - 1)
            f->passage[f->passages++] =
                (struct passage){.before = dawni_sum_t(pl, v),
                                 .behind = dawni_sum_t(pl, v + 1),
                                 .to = to[v],
                                 .from = from[v]};
    free(count);
    free(to);
    free(from);
    return whole;
}

/* What a stretch makes of the objective */

/* P of a stage that begins at `at`. */
static double way_to(const struct fluid *f, double at)
{
    double way = 0, least = INFINITY, p = 0;

    for (int i = 0; i < f->passages && f->passage[i].before < at; i++) {
        least = fmin(least, p - f->passage[i].before);
        p = f->passage[i].to;
        way = fmin(p, least + at);
    }
    return way / f->pl->max_speed;
}

/* D of a stage that ends at `at`. */
static double way_from(const struct fluid *f, double at)
{
    double way = 0, least = INFINITY, d = 0;

    for (int i = f->passages - 1; i >= 0 && f->passage[i].behind > at; i--) {
        least = fmin(least, d + f->passage[i].behind);
        d = f->passage[i].from;
        way = fmin(d, least - at);
    }
    return way / f->pl->max_speed;
}

static double step_of(const struct fluid *f, int x, double begin, double end)
{
    const struct dawni_planner *pl = f->pl;
    const struct dawni_stage_spec *spec = &pl->stage[x];
    double t = (end - begin) / spec->speed;
    double d = way_from(f, end), busy = (spec->in_flight - 1) * t;
    double idle = fmax(0, d - busy / 2);

    if (pl->objective == DAWN_OBJECTIVE_BOTTLENECK)
        return t;
    if (pl->stage[pl->l - 1].in_flight == pl->m)
        idle = d;
    else if (spec->in_flight < pl->m)
        idle = fmax(0, 2 * d - busy);
    return way_to(f, fmax(0, begin - f->again)) + pl->m * t + idle;
}

/* Can the stages, each within the bound, take everything? */
static bool reaches(const struct fluid *f, double bound)
{
    double whole = f->total + f->again, begin = 0;

    for (int x = 0; x < f->pl->l && begin < whole; x++) {
        double low = begin, high = whole;
        if (step_of(f, x, begin, high) <= bound)
            return true;
        for (int i = 0; i < ROUNDS; i++) {
            double middle = low + (high - low) / 2;
            if (step_of(f, x, begin, middle) <= bound)
                low = middle;
            else
                high = middle;
        }
        begin = high;
    }
    return begin >= whole;
}

/* Memory */

/* Bytes that are kept of parameters, wherever they are. */
static double kept_bytes(const struct dawni_planner *pl)
{
    double bytes = 0;

    for (int i = 0; i < pl->graph->params; i++)
        bytes += 4.0 * sizeof(float) * (double)pl->graph->param[i].elements;
    return bytes;
}

static double least_again(struct dawni_planner *pl)
{
    double room = 0;
    int most = 1;

    if (dawni_may_offload(pl))
        return 0;
    for (int x = 0; x < pl->l; x++) {
        const struct dawni_stage_spec *spec = &pl->stage[x];
        if (spec->cap == UINT64_MAX)
            return 0;
        room += (double)spec->cap / spec->in_flight;
        most = spec->in_flight > most ? spec->in_flight : most;
    }
    room -= kept_bytes(pl) / most;
    return dawni_least_drop(pl, pl->sum_saved[pl->n] - fmax(0, room));
}

static double search(const struct fluid *f)
{
    const struct dawni_planner *pl = f->pl;
    double low = 0, high = f->total + f->again, slowest = INFINITY;

    for (int x = 0; x < pl->l; x++)
        slowest = fmin(slowest, pl->stage[x].speed);
    high *= 3.0 * (pl->m + 1) / slowest;
    for (int i = 0; i < ROUNDS; i++) {
        double middle = low + (high - low) / 2;
        if (reaches(f, middle))
            high = middle;
        else
            low = middle;
    }
    for (int v = 0; v < pl->n; v++) /* a node is on one stage */
        low = fmax(low, node_ns(pl, v) / pl->max_speed *
                            (pl->objective == DAWN_OBJECTIVE_STEP ? pl->m : 1));
    return low;
}

double dawni_bound_any_order(struct dawni_planner *pl)
{
    struct fluid f = {.pl = pl, .total = dawni_sum_t(pl, pl->n)};
    struct dawni_dag dag = {0};
    double bound = 0;

    f.passage = dawni_calloc(pl->n, sizeof *f.passage);
    if (!f.passage || !dawni_dag_create(pl->graph, &dag) ||
        (pl->n <= MOST_NODES && !find_passages(&f, &dag)))
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for a bound");
    if (!pl->status)
        f.again = least_again(pl);
    if (!pl->status && isfinite(f.again))
        bound = search(&f);
    dawni_dag_clear(&dag);
    free(f.passage);
    return bound;
}
