/* SPDX-License-Identifier: Apache-2.0 */
/* Dividing nodes and devices among stages, so that the slowest stage is as fast
 * as can be. How a stage does depends on its nodes, its devices and on how many
 * devices stand behind it, so the best end of the pipeline from some node on
 * with so many devices is found from the best ends with fewer: all of them,
 * where they are few. Where they are many, under a bound only the longest end
 * that each number of devices can take is looked for, and bisection on the
 * bound finds the least. That is as good where a longer run of nodes never
 * costs less.
 */
#include "common/array.h"
#include "planner/replicas.h"
#include <math.h>

#define MOST_ROUNDS 200
#define NEAR 1e-3 /* for the step, where this is only a place to begin */

struct suffix { /* that so many devices can take */
    int first;  /* node where it begins; n + 1: there is none */
    int replicas;
    double value; /* largest of its stages */
    bool several; /* do stages behind the first have several? */
};

struct dividing {
    struct dawni_replicas *s;
    struct dawni_replica_shape shape;
    int rows;              /* counts of stages; 1 where any will do */
    struct suffix *suffix; /* [whether a stage has several][row][devices] */
    struct end *end;       /* likewise, [first node] within each */
    double next;           /* least value above the bound that was refused */
};

static struct suffix *at(const struct dividing *v, bool several, int row,
                         int devices)
{
    size_t rows = (size_t)v->rows * several + (size_t)row;

    return &v->suffix[rows * (size_t)(v->s->devices + 1) + (size_t)devices];
}

/* What is made small, of a stage that recomputes so much. */
static double value_with(const struct dividing *v, int first, int last,
                         int replicas, double recompute_ns)
{
    const struct dawni_replicas *s = v->s;
    const struct dawni_planner *pl = s->pl;
    double time = dawni_replicas_time(s, first, last, recompute_ns);
    double update = pl->sum_update[last + 1] - pl->sum_update[first];

    if (pl->objective == DAWN_OBJECTIVE_BOTTLENECK || v->shape.even)
        return time / replicas;
    return (pl->m + replicas - 1) / replicas * time +
           dawni_replicas_reduce(s, first, last, replicas) +
           update / pl->stage[0].speed;
}

/* The same of the decisions that it takes, or any number above the bound that
 * the true one does not go below. INFINITY: it does not fit. */
static double value_of(struct dividing *v, int first, int last, int replicas,
                       int devices, double bound)
{
    int k = dawni_replicas_in_flight(v->s, replicas, devices);
    double value = value_with(v, first, last, replicas, 0);

    v->s->work++;
    if (value > bound)
        return value;
    struct dawni_decided d = dawni_replicas_decide(v->s, first, last, k);
    return d.fits && dawni_replicas_peak(v->s, first, last, replicas, &d) <=
                         v->s->pl->stage[0].cap
               ? value_with(v, first, last, replicas, d.recompute_ns)
               : INFINITY;
}

/* The longest */

/* First node that a stage may have that ends before `end`; `end` if not even
 * one fits under the bound. */
static int extend(struct dividing *v, int end, int replicas, int devices,
                  double bound, double *value)
{
    int low = 0, high = end; /* low is refused, high fits */
    double got = value_of(v, 0, end - 1, replicas, devices, bound);

    if (got <= bound) { /* also where less does not: it receives nothing */
        *value = got;
        return 0;
    }
    v->next = fmin(v->next, got);
    while (high - low > 1) {
        int first = low + (high - low) / 2;
        got = value_of(v, first, end - 1, replicas, devices, bound);
        if (got <= bound) {
            high = first;
            *value = got;
        } else {
            low = first;
            v->next = fmin(v->next, got);
        }
    }
    return high;
}

/* The longest suffix for `devices`, the first `replicas` of them one stage,
 * which goes before one where a stage has several or where none has. */
static void try_stage(struct dividing *v, bool several, int row, int devices,
                      int replicas, double bound)
{
    struct suffix *mine = at(v, several || replicas > 1, row, devices);
    const struct suffix *rest =
        at(v, several, v->rows > 1 ? row - 1 : 0, devices - replicas);
    double value = 0;
    int left = v->rows > 1 ? v->rows - 1 - row : 0; /* a node for each */

    if (rest->first > v->s->pl->n || rest->first <= left)
        return;
    int first = extend(v, rest->first, replicas, devices, bound, &value);
    if (first == rest->first)
        return;
    first = first > left ? first : left;
    value = value_of(v, first, rest->first - 1, replicas, devices, bound);
    value = fmax(value, rest->value);
    if (first < mine->first || (first == mine->first && value < mine->value))
        *mine = (struct suffix){first, replicas, value, several};
}

/* Number of devices that take everything under the bound, some stage several of
 * them; 0: none does. */
static int try_bound(struct dividing *v, double bound)
{
    int n = v->s->pl->n, all = v->s->devices, last = v->rows - 1;

    v->next = INFINITY;
    for (int i = 0; i < 2 * v->rows * (all + 1); i++)
        v->suffix[i] = (struct suffix){.first = n + 1};
    *at(v, false, 0, 0) = (struct suffix){.first = n};
    for (int row = v->rows > 1; row < v->rows; row++)
        for (int d = 1; d <= all; d++)
            for (int r = 1; r <= d && r <= v->s->pl->m; r++)
                if (!v->shape.each || r == v->shape.each) {
                    try_stage(v, false, row, d, r, bound);
                    try_stage(v, true, row, d, r, bound);
                }
    for (int d = 1; d <= all; d++)
        if (at(v, true, last, d)->first == 0)
            return d;
    return 0;
}

/* Follow the suffixes from the first node on. */
static int read_stages(const struct dividing *v, int devices,
                       struct dawn_plan_stage *stage)
{
    int row = v->rows - 1, first = 0, l = 0;
    bool several = true;

    while (devices > 0) {
        const struct suffix *mine = at(v, several, row, devices);
        row -= v->rows > 1;
        devices -= mine->replicas;
        several = mine->several;
        stage[l] = (struct dawn_plan_stage){
            .rank = l,
            .first = first,
            .last = at(v, several, row, devices)->first - 1,
            .replicas = mine->replicas};
        first = stage[l++].last + 1;
    }
    return l;
}

/* The partition of the least bound that can be kept, as far as the search can
 * tell; returns its stages. */
static int divide_longest(struct dividing *v, struct dawn_plan_stage *stage)
{
    const struct dawni_planner *pl = v->s->pl;
    bool exactly = pl->objective == DAWN_OBJECTIVE_BOTTLENECK;
    double low = dawni_sum_t(pl, pl->n) / pl->stage[0].speed / v->s->devices;
    int last = v->rows - 1, devices;

    if (!exactly && !v->shape.even)
        low *= pl->m;
    double bound = low, high = INFINITY, near = exactly ? 0 : NEAR;

    while (!(devices = try_bound(v, bound))) {
        if (isinf(v->next) || pl->status)
            return 0;
        low = fmax(low, v->next);
        bound = fmax(low, bound * 1.1);
    }
    high = at(v, true, last, devices)->value;
    for (int i = 0; i < MOST_ROUNDS && low < high - near * high &&
                    v->s->work < DAWNI_REPLICAS_WORK;
         i++) {
        bound = high - low > 1e-9 * high ? low + (high - low) / 2 : low;
        devices = try_bound(v, bound);
        if (devices)
            high = at(v, true, last, devices)->value;
        else
            low = fmax(low, v->next);
    }
    return read_stages(v, try_bound(v, high), stage);
}

/* All of them */

struct end {  /* of the pipeline, from a node on */
    int next; /* first node behind its first stage */
    int replicas;
    double value; /* largest of its stages; INFINITY: there is none */
    bool several; /* do stages behind the first have several devices? */
};

static struct end *end_at(const struct dividing *v, bool several, int row,
                          int devices, int first)
{
    size_t rows = (size_t)v->rows * several + (size_t)row;
    size_t at = rows * (size_t)(v->s->devices + 1) + (size_t)devices;

    return &v->end[at * (size_t)(v->s->pl->n + 1) + (size_t)first];
}

/* The best first stage of so many replicas before an end of that kind. */
static void try_ends(struct dividing *v, bool several, int row, int devices,
                     int first, int replicas)
{
    struct end *mine = end_at(v, several || replicas > 1, row, devices, first);
    int before = v->rows > 1 ? row - 1 : 0;

    for (int next = first + 1; next <= v->s->pl->n; next++) {
        const struct end *rest =
            end_at(v, several, before, devices - replicas, next);
        if (rest->value >= mine->value)
            continue;
        double value =
            value_of(v, first, next - 1, replicas, devices, mine->value);
        value = fmax(value, rest->value);
        if (value < mine->value)
            *mine = (struct end){next, replicas, value, several};
    }
}

static int read_ends(const struct dividing *v, int devices,
                     struct dawn_plan_stage *stage)
{
    int row = v->rows - 1, first = 0, l = 0;
    bool several = true;

    while (devices > 0) {
        const struct end *mine = end_at(v, several, row, devices, first);
        stage[l] = (struct dawn_plan_stage){.rank = l,
                                            .first = first,
                                            .last = mine->next - 1,
                                            .replicas = mine->replicas};
        l++;
        row -= v->rows > 1;
        devices -= mine->replicas;
        several = mine->several;
        first = mine->next;
    }
    return l;
}

static int divide_all(struct dividing *v, struct dawn_plan_stage *stage)
{
    int n = v->s->pl->n, all = v->s->devices, last = v->rows - 1, best = 1;

    for (int i = 0; i < 2 * v->rows * (all + 1) * (n + 1); i++)
        v->end[i] = (struct end){.value = INFINITY};
    end_at(v, false, 0, 0, n)->value = 0;
    for (int row = v->rows > 1; row < v->rows; row++)
        for (int d = 1; d <= all; d++)
            for (int r = 1; r <= d && r <= v->s->pl->m; r++)
                for (int first = 0; first < n; first++)
                    if (!v->shape.each || r == v->shape.each) {
                        try_ends(v, false, row, d, first, r);
                        try_ends(v, true, row, d, first, r);
                    }
    for (int d = 2; d <= all; d++)
        if (end_at(v, true, last, d, 0)->value <
            end_at(v, true, last, best, 0)->value)
            best = d;
    return isinf(end_at(v, true, last, best, 0)->value)
               ? 0
               : read_ends(v, best, stage);
}

/* Either */

enum dawn_status dawni_replicas_divide(struct dawni_replicas *s,
                                       struct dawni_replica_shape shape,
                                       struct dawn_plan_stage *stage,
                                       int *stages_p, struct dawn_error *err)
{
    struct dividing v = {
        .s = s, .shape = shape, .rows = shape.stages ? shape.stages + 1 : 1};
    int64_t n = s->pl->n, d = s->devices, rows = 2 * (int64_t)v.rows * (d + 1);
    bool few = (double)rows * (double)d * (double)n * (double)n / 4 <=
               (double)s->few_looks;

    if (few)
        v.end = dawni_calloc(rows * (n + 1), sizeof *v.end);
    else
        v.suffix = dawni_calloc(rows, sizeof *v.suffix);
    if (!v.end && !v.suffix)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d devices",
                         s->devices);
    *stages_p = few ? divide_all(&v, stage) : divide_longest(&v, stage);
    free(v.end);
    free(v.suffix);
    return s->pl->status
               ? dawn_fail(err, s->pl->status, "%s", s->pl->error.text)
               : DAWN_OK;
}
