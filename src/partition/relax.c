/* SPDX-License-Identifier: Apache-2.0 */
/* A bound from a forest of the graph and prices of time and memory. */
#include "partition/relax.h"
#include "common/array.h"
#include <math.h>

/* Steps aim at this bound, relative to T: more than 1 refutes it. */
#define TARGET 1.02

/* Steps without gain before they are made shorter, and how short at last. */
#define PATIENCE 20
#define SHORTEST 0.01

struct stage_price {
    double w, nu, mu; /* relative: of T, of T, of cap / T */
};

struct stage_load {
    double t, r, m; /* as a part of T, of T times the tier, and of the cap */
};

struct relax {
    struct dawni_instance *in;
    struct dawni_sack *sack;
    int levels;                          /* stages, from the last one */
    double limit;                        /* T */
    double speed, cap;                   /* of the best device */
    double per_time, per_byte, per_sent; /* see set_units */
    int *option_at; /* [n][levels] + 1: options of a node in a stage */
    struct dawni_option *option;
    int option_room;
    int *parent;  /* by node: the one after it in the forest; -1 */
    double *cost; /* [levels][n]: at the prices; then with all its tree */
    int *pick;    /* [levels][n]: option */
    int *level;   /* by node */
    /* by node: the stages that it can be in; the time of it and all after it;
     * [n][levels]: the cost, at lambda[j], of it and all before it if none is
     * in a later stage than j */
    int *first, *last;
    double *after, *before, *lambda;
    struct stage_price *price, *best;
    struct stage_load *load; /* of the minimum */
};

static void relax_clear(struct relax *q)
{
    free(q->option_at);
    free(q->option);
    free(q->parent);
    free(q->cost);
    free(q->pick);
    free(q->level);
    free(q->first);
    free(q->last);
    free(q->after);
    free(q->before);
    free(q->lambda);
    free(q->price);
    free(q->best);
    free(q->load);
}

/* Of the nodes after it, a node hangs on the one with the longest way to the
 * end. */
static bool make_forest(struct relax *q)
{
    const struct dawni_instance *in = q->in;
    double *way = dawni_calloc(in->n, sizeof *way);

    if (!way)
        return false;
    for (int v = in->n - 1; v >= 0; v--) {
        q->parent[v] = -1;
        for (int i = in->after_at[v]; i < in->after_at[v + 1]; i++) {
            int u = in->after[i];
            if (q->parent[v] < 0 || way[u] > way[q->parent[v]])
                q->parent[v] = u;
        }
        way[v] = (double)in->variant[in->variant_at[v]].t +
                 (q->parent[v] < 0 ? 0 : way[q->parent[v]]) + 1;
    }
    free(way);
    return true;
}

static bool list_options(struct relax *q)
{
    const struct dawni_instance *in = q->in;
    int count = 0, at = 0;

    for (int v = 0; v < in->n; v++)
        for (int j = 0; j < q->levels; j++) {
            q->option_at[at++] = count;
            if (!dawni_array_reserve(&q->option, &q->option_room,
                                     count + in->most_options))
                return false;
            count += dawni_options_of(in, v, dawni_in_flight(in, j + 1),
                                      &q->option[count]);
        }
    q->option_at[at] = count;
    return true;
}

/* A price of memory for each j: where the nodes that the pipeline at hand has
 * in the stages from j on just meet their caps, all with the y of j. */
static bool set_lambdas(struct relax *q, const struct dawni_relax_opts *opts)
{
    struct dawni_instance *in = q->in;
    int *node = dawni_calloc(in->n, sizeof *node);
    bool done = node != NULL;

    for (int j = 0; j < q->levels && done; j++) {
        const struct dawni_level *level =
            dawni_level_of(in, dawni_in_flight(in, j + 1));
        double cap = q->cap * (q->levels - j);
        int count = 0;
        for (int v = 0; v < in->n; v++)
            if (opts->stages - 1 - opts->stage_of[v] >= j)
                node[count++] = v;
        done = level &&
               dawni_sack_price(q->sack, node, count, level,
                                cap < (double)DAWNI_NO_LIMIT ? (int64_t)cap
                                                             : DAWNI_NO_LIMIT,
                                &q->lambda[j]);
    }
    free(node);
    return done;
}

/* Sums over all that is after some nodes, 64 of them at a time. */
static void sum_after(struct relax *q, uint64_t *reach, int first)
{
    const struct dawni_instance *in = q->in;

    for (int u = first; u < in->n; u++) {
        reach[u] = u < first + 64 ? UINT64_C(1) << (u - first) : 0;
        for (int i = in->before_at[u]; i < in->before_at[u + 1]; i++)
            if (in->before[i] >= first)
                reach[u] |= reach[in->before[i]];
        for (uint64_t bits = reach[u]; bits; bits &= bits - 1)
            q->after[first + __builtin_ctzll(bits)] +=
                (double)in->variant[in->variant_at[u]].t;
    }
}

/* The same before them, for each j; cost: [n][levels]. */
static void sum_before(struct relax *q, uint64_t *reach, int first,
                       const double *cost)
{
    const struct dawni_instance *in = q->in;
    int end = first + 64 < in->n ? first + 64 : in->n;

    for (int u = end - 1; u >= 0; u--) {
        reach[u] = u >= first ? UINT64_C(1) << (u - first) : 0;
        for (int i = in->after_at[u]; i < in->after_at[u + 1]; i++)
            if (in->after[i] < end)
                reach[u] |= reach[in->after[i]];
        for (uint64_t bits = reach[u]; bits; bits &= bits - 1) {
            size_t v = (size_t)(first + __builtin_ctzll(bits));
            for (int j = 0; j < q->levels; j++)
                q->before[v * (size_t)q->levels + (size_t)j] +=
                    cost[(size_t)u * (size_t)q->levels + (size_t)j];
        }
    }
}

static bool sum_sides(struct relax *q)
{
    const struct dawni_instance *in = q->in;
    uint64_t *reach = dawni_calloc(in->n, sizeof *reach);
    double *cost = dawni_calloc((int64_t)in->n * q->levels, sizeof *cost);

    for (int v = 0, at = 0; v < in->n && cost; v++)
        for (int j = 0; j < q->levels; j++, at++) {
            double least = INFINITY;
            for (int i = q->option_at[at]; i < q->option_at[at + 1]; i++) {
                const struct dawni_option *o = &q->option[i];
                least = fmin(least, (double)o->t + q->lambda[j] * (double)o->m);
            }
            cost[at] = least;
        }
    for (int v = 0; v < in->n && reach && cost; v += 64) {
        sum_after(q, reach, v);
        sum_before(q, reach, v, cost);
    }
    free(reach);
    free(cost);
    return reach && cost;
}

static bool relax_init(struct relax *q, const struct dawni_relax_opts *opts)
{
    const struct dawni_instance *in = q->in;
    int64_t cells = (int64_t)q->levels * in->n;

    q->option_at = dawni_calloc(cells + 1, sizeof *q->option_at);
    q->parent = dawni_calloc(in->n, sizeof *q->parent);
    q->cost = dawni_calloc(cells, sizeof *q->cost);
    q->pick = dawni_calloc(cells, sizeof *q->pick);
    q->level = dawni_calloc(in->n, sizeof *q->level);
    q->first = dawni_calloc(in->n, sizeof *q->first);
    q->last = dawni_calloc(in->n, sizeof *q->last);
    q->after = dawni_calloc(in->n, sizeof *q->after);
    q->before = dawni_calloc(cells, sizeof *q->before);
    q->lambda = dawni_calloc(q->levels, sizeof *q->lambda);
    q->price = dawni_calloc(q->levels, sizeof *q->price);
    q->best = dawni_calloc(q->levels, sizeof *q->best);
    q->load = dawni_calloc(q->levels, sizeof *q->load);
    for (int i = 0; i < in->types; i++) {
        q->speed = fmax(q->speed, in->type[i].speed);
        q->cap = fmax(q->cap, (double)in->type[i].cap);
    }
    return q->option_at && q->parent && q->cost && q->pick && q->level &&
           q->first && q->last && q->after && q->before && q->lambda &&
           q->price && q->best && q->load && make_forest(q) &&
           list_options(q) && set_lambdas(q, opts) && sum_sides(q);
}

/* The stages that each node can be in within T. False: there is a node with
 * none. */
static bool set_windows(struct relax *q)
{
    double own = q->limit * q->speed * (1 + 1e-12);

    for (int v = 0; v < q->in->n; v++) {
        const double *before = &q->before[(size_t)v * (size_t)q->levels];
        int last = q->levels - 1;
        q->first[v] = (int)ceil(q->after[v] / own) - 1;
        while (last >= 0 && before[last] > (q->levels - last) *
                                               (own + q->lambda[last] * q->cap))
            last--;
        q->first[v] = q->first[v] < 0 ? 0 : q->first[v];
        q->last[v] = last;
        if (q->first[v] > last)
            return false;
    }
    return true;
}

/* What it costs in a stage, alone. Relative to T. */
static void price_node(struct relax *q, int v, int j)
{
    size_t at = (size_t)v * (size_t)q->levels + (size_t)j;
    const struct stage_price *p = &q->price[j];
    double per_t = p->w * q->per_time, per_m = p->mu * q->per_byte;
    double per_r = p->nu * q->per_sent, least = INFINITY;

    for (int i = q->option_at[at]; i < q->option_at[at + 1]; i++) {
        const struct dawni_option *o = &q->option[i];
        double cost =
            per_t * (double)o->t + per_m * (double)o->m + per_r * (double)o->r;
        if (cost >= least)
            continue;
        least = cost;
        q->pick[at] = i;
    }
    q->cost[at] = least;
}

/* The least cost of the forest. A node is no later than what it hangs on, which
 * has a higher number and whose window neither begins nor ends behind its own.
 */
static double cost_of_forest(struct relax *q)
{
    double total = 0;

    for (int v = 0; v < q->in->n; v++)
        for (int j = q->first[v]; j <= q->last[v]; j++)
            price_node(q, v, j);
    for (int v = 0; v < q->in->n; v++) {
        const double *own = &q->cost[(size_t)v * (size_t)q->levels];
        int parent = q->parent[v], j = q->last[v];
        int from = parent < 0 ? q->first[v] : q->first[parent];
        double *up =
            &q->cost[(size_t)(parent < 0 ? v : parent) * (size_t)q->levels];
        double least = INFINITY;
        for (; j >= from; j--) {
            if (j >= q->first[v])
                least = fmin(least, own[j]);
            if (parent >= 0 && j <= q->last[parent])
                up[j] += least;
        }
        if (parent < 0)
            total += least;
    }
    return total;
}

/* The stages that nodes have at the least cost, and what they load. */
static void place_nodes(struct relax *q)
{
    const struct dawni_instance *in = q->in;

    memset(q->load, 0, (size_t)q->levels * sizeof *q->load);
    for (int v = in->n - 1; v >= 0; v--) {
        size_t at = (size_t)v * (size_t)q->levels;
        int parent = q->parent[v], j = q->first[v], best;
        const struct dawni_option *o;
        if (parent >= 0 && q->level[parent] > j)
            j = q->level[parent];
        for (best = j; j <= q->last[v]; j++)
            if (q->cost[at + (size_t)j] < q->cost[at + (size_t)best])
                best = j;
        q->level[v] = best;
        o = &q->option[q->pick[at + (size_t)best]];
        q->load[best].t += (double)o->t * q->per_time;
        q->load[best].m += (double)o->m * q->per_byte;
        q->load[best].r += (double)o->r * q->per_sent;
        q->in->work += 2 * (q->last[v] - q->first[v] + 1) + 4;
    }
}

/* The bound at the prices, relative to T. */
static double bound_at(struct relax *q)
{
    double bound = cost_of_forest(q);

    place_nodes(q);
    for (int j = 0; j < q->levels; j++)
        bound -= q->price[j].mu;
    return bound;
}

/* What a tick is as a part of T, the cap, and what passes in T. */
static void set_units(struct relax *q)
{
    q->per_time = 1 / q->speed / q->limit;
    q->per_byte = 1 / q->cap;
    q->per_sent = q->in->tier > 0 ? 1 / q->in->tier / q->limit : 0;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The nearest weights that sum to 1 and are not below 0. */
static void project(struct relax *q, double *x)
{
    int count = 0, tiers = q->in->tier > 0 ? 2 : 1;
    double sum = 0, shift = 0;

    for (int j = 0; j < q->levels; j++) {
        x[count++] = q->price[j].w;
        if (tiers == 2)
            x[count++] = q->price[j].nu;
    }
    qsort(x, (size_t)count, sizeof *x, compare_doubles);
    for (int i = 0; i < count; i++) {
        sum += x[i];
        if (x[i] - (sum - 1) / (i + 1) > 0)
            shift = (sum - 1) / (i + 1);
    }
    for (int j = 0; j < q->levels; j++) {
        struct stage_price *p = &q->price[j];
        p->w = fmax(0, p->w - shift);
        p->nu = tiers == 2 ? fmax(0, p->nu - shift) : 0;
        p->mu = fmax(0, p->mu);
    }
}

/* A step from the best prices along what the last minimum loads. */
static void climb(struct relax *q, double length, double bound, double *x)
{
    double square = 0, step;

    for (int j = 0; j < q->levels; j++) {
        const struct stage_load *l = &q->load[j];
        square += l->t * l->t + l->r * l->r + (l->m - 1) * (l->m - 1);
    }
    step = length * (TARGET - bound) / fmax(square, 1e-12);
    for (int j = 0; j < q->levels; j++) {
        q->price[j].w += step * q->load[j].t;
        q->price[j].nu += step * q->load[j].r;
        q->price[j].mu += step * (q->load[j].m - 1);
    }
    project(q, x);
}

/* Is T refuted? Goes on from the prices at hand. */
static bool refute(struct relax *q, double *x)
{
    size_t bytes = (size_t)q->levels * sizeof *q->price;
    double best = -INFINITY, length = 1;

    if (!set_windows(q))
        return true;
    for (int waits = 0; length > SHORTEST;) {
        double bound = bound_at(q);
        if (bound > 1 + 1e-12)
            return true;
        if (bound > best) {
            waits = bound > best + 1e-5 ? 0 : waits + 1;
            best = bound;
            memcpy(q->best, q->price, bytes);
        } else {
            waits++;
        }
        if (waits >= PATIENCE) {
            memcpy(q->price, q->best, bytes);
            length /= 2;
            waits = 0;
            bound = bound_at(q);
        }
        climb(q, length, bound, x);
    }
    memcpy(q->price, q->best, bytes);
    return false;
}

/* Raise T while it is refuted: by more each time, by less after it is not. */
static int64_t raise_limit(struct relax *q, const struct dawni_relax_opts *opts,
                           double *x)
{
    int64_t low = opts->low, high = opts->high, step = (high - low) / 8;
    int64_t end = q->in->work + opts->most_work;

    for (int j = 0; j < q->levels; j++)
        q->price[j].w = 1.0 / q->levels;
    while (step > opts->high / 4000 && q->in->work < end) {
        int64_t limit = low + step;
        q->limit = (double)limit;
        set_units(q);
        if (refute(q, x)) {
            low = limit;
            step *= 2;
        } else {
            high = limit;
            step /= 4;
        }
        if (step > (high - low) / 2)
            step = (high - low) / 2;
    }
    return low;
}

/* The cost of each node in the stages before each stage. */
static void report_costs(struct relax *q, double *cost)
{
    size_t n = (size_t)q->in->n, levels = (size_t)q->levels;

    for (int v = 0; v < q->in->n; v++) {
        double least = INFINITY;
        for (int j = q->levels - 1; j > 0; j--) {
            price_node(q, v, j);
            least = fmin(least, q->cost[(size_t)v * levels + (size_t)j]);
            cost[(size_t)(j - 1) * n + (size_t)v] = least;
        }
        cost[(levels - 1) * n + (size_t)v] = 0;
    }
}

enum dawn_status dawni_relax(struct dawni_sack *sack,
                             const struct dawni_relax_opts *opts, double *cost,
                             int64_t *bound_p, struct dawn_error *err)
{
    struct dawni_instance *in = sack->in;
    struct relax q = {.in = in,
                      .sack = sack,
                      .levels = in->l < in->n ? in->l : in->n,
                      .limit = (double)opts->high};
    double *x = dawni_calloc(2 * (int64_t)q.levels, sizeof *x);

    if (!x || !relax_init(&q, opts)) {
        free(x);
        relax_clear(&q);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a bound of %d nodes",
                         in->n);
    }
    set_units(&q);
    *bound_p = raise_limit(&q, opts, x);
    report_costs(&q, cost);
    free(x);
    relax_clear(&q);
    return DAWN_OK;
}
