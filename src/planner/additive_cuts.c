/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts of an additive profile for a short step where messages take long.
 *
 * Stage x has y microbatches in flight, and each comes back to it only after
 * all stages behind it and the messages between them. So y periods of the
 * pipeline last at least
 *
 *   A_x = sum over stages k >= x of T_k + sum over cuts behind x of C
 *
 * where T_k is a microbatch's time on stage k and C is what its messages over a
 * cut take, both ways. Nor is a period below any T_k or any C / 2. For a given
 * period the least A_x of stages x.. on nodes i.. follows from those of
 * stage x + 1, and a smaller one is never worse: a dynamic program from the
 * last stage on says whether there are cuts. The least period is found by
 * halving.
 */
#include "common/array.h"
#include "planner/additive.h"
#include "planner/additive_rule.h"
#include "partition/partition.h"
#include <math.h>

/* Nodes before which a cut is considered: of each part of the profile the one
 * with the smallest messages. */
#define MOST_POINTS 96
#define HALVINGS 12
#define DOUBLINGS 24

struct cutter {
    struct dawni_planner *pl;
    int points;    /* at[points] is the end */
    int *at;       /* [points + 1]: first node behind it */
    double *full;  /* by stage and point: bytes of all nodes before it ... */
    double *least; /* ... with whatever saves most recomputed ... */
    double *again; /* ... which takes so long */
    double *rest;  /* by stage and point: A */
    int *end;      /* by stage and point: where that stage ends */
};

static void choose_points(struct cutter *c)
{
    const struct dawni_planner *pl = c->pl;
    int parts = pl->n - 1 < MOST_POINTS ? pl->n - 1 : MOST_POINTS;

    c->at[0] = 0;
    for (int k = 0; k < parts; k++) {
        int from = 1 + (int)((int64_t)(pl->n - 1) * k / parts);
        int to = 1 + (int)((int64_t)(pl->n - 1) * (k + 1) / parts);
        int best = from;
        for (int i = from + 1; i < to; i++)
            if (pl->cut_bytes[i] < pl->cut_bytes[best])
                best = i;
        c->at[k + 1] = best;
    }
    c->points = parts + 1;
    c->at[c->points] = pl->n;
}

/* Add what a node takes on stage x. */
static void add_node(const struct dawni_planner *pl, int node, int x,
                     double *full, double *least, double *again)
{
    const struct dawni_additive *a = pl->additive;
    double in_flight = pl->stage[x].in_flight;
    const struct dawni_variant *v = &a->variant[a->variant_at[node]];
    double bytes = v->saved_bytes * in_flight + v->fixed_bytes;

    *full += bytes;
    if (a->variant_at[node + 1] - a->variant_at[node] > 1) {
        double other = v[1].saved_bytes * in_flight + v[1].fixed_bytes;
        if (other < bytes) {
            bytes = other;
            *again += v[1].ns - v[0].ns;
        }
    }
    *least += bytes;
}

static void sum_memory(struct cutter *c)
{
    int row = c->points + 1;

    for (int x = 0; x < c->pl->l; x++)
        for (int k = 0; k < c->points; k++) {
            int i = x * row + k;
            c->full[i + 1] = c->full[i];
            c->least[i + 1] = c->least[i];
            c->again[i + 1] = c->again[i];
            for (int node = c->at[k]; node < c->at[k + 1]; node++)
                add_node(c->pl, node, x, &c->full[i + 1], &c->least[i + 1],
                         &c->again[i + 1]);
        }
}

/* T of stage x from point i to j: recompute takes its part of the bytes that it
 * can save. INFINITY: it does not fit. */
static double time_of(const struct cutter *c, int x, int i, int j)
{
    const struct dawni_planner *pl = c->pl;
    int row = x * (c->points + 1), first = c->at[i], end = c->at[j];
    double ns = pl->sum_f[end] - pl->sum_f[first] + pl->sum_b[end] -
                pl->sum_b[first] + pl->sum_w[end] - pl->sum_w[first];
    double full = c->full[row + j] - c->full[row + i];
    double least = c->least[row + j] - c->least[row + i];
    double cap = (double)pl->stage[x].cap;

    if (full > cap) {
        if (least > cap)
            return INFINITY;
        ns += (c->again[row + j] - c->again[row + i]) * (full - cap) /
              (full - least);
    }
    return ns / pl->stage[x].speed;
}

/* C of the cut between stages x and x + 1 at a point. */
static double messages_of(const struct cutter *c, int x, int point)
{
    const struct dawn_machine_link *link =
        dawn_machine_link(c->pl->machine, x, x + 1);
    double bytes = c->pl->cut_bytes[c->at[point]];

    return 2 * link->latency_ns + bytes / link->bytes_per_s * 1e9;
}

/* A of stage x, from point i on. */
static void price(struct cutter *c, int x, int i, double period_ns)
{
    int row = c->points + 1, behind = c->pl->l - 1 - x;
    double best = INFINITY;
    int end = 0;

    for (int j = behind ? i + 1 : c->points; j <= c->points - behind; j++) {
        double messages = behind ? messages_of(c, x, j) : 0;
        double after = behind ? c->rest[(x + 1) * row + j] + messages : 0;
        if (after >= best || messages > 2 * period_ns)
            continue;
        double ns = time_of(c, x, i, j);
        if (ns > period_ns)
            break;
        if (ns + after < best) {
            best = ns + after;
            end = j;
        }
    }
    if (best > period_ns * c->pl->stage[x].in_flight)
        best = INFINITY;
    c->rest[x * row + i] = best;
    c->end[x * row + i] = end;
}

/* Are there cuts with that period? */
static bool can(struct cutter *c, double period_ns)
{
    int l = c->pl->l;

    for (int x = l - 1; x >= 0; x--)
        for (int i = x; i <= (x ? c->points - (l - x) : 0); i++)
            price(c, x, i, period_ns);
    return !isinf(c->rest[0]);
}

static double find(struct cutter *c, int *cut)
{
    const struct dawni_planner *pl = c->pl;
    int row = c->points + 1, point = 0;
    double all = pl->sum_f[pl->n] + pl->sum_b[pl->n] + pl->sum_w[pl->n];
    double low = all / pl->max_speed / pl->l, high = low;
    int doublings = 0;

    while (!can(c, high) && doublings++ < DOUBLINGS)
        high *= 2;
    if (doublings > DOUBLINGS || all <= 0)
        return INFINITY;
    for (int i = 0; i < HALVINGS && low < high; i++) {
        double middle = (low + high) / 2;
        if (can(c, middle))
            high = middle;
        else
            low = middle;
    }
    can(c, high);
    for (int x = 0; x < pl->l; x++) {
        cut[x] = c->at[point];
        point = c->end[x * row + point];
    }
    cut[pl->l] = pl->n;
    return high;
}

double dawni_additive_cut(struct dawni_planner *pl, int *cut)
{
    int64_t most = (int64_t)pl->l * (MOST_POINTS + 2);
    struct cutter c = {
        .pl = pl,
        .at = dawni_calloc(MOST_POINTS + 2, sizeof *c.at),
        .full = dawni_calloc(4 * most, sizeof *c.full),
        .end = dawni_calloc(most, sizeof *c.end),
    };
    double period_ns = INFINITY;

    if (!c.at || !c.full || !c.end) {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory to cut");
    } else {
        c.least = c.full + most;
        c.again = c.least + most;
        c.rest = c.again + most;
        choose_points(&c);
        if (c.points >= pl->l) {
            sum_memory(&c);
            period_ns = find(&c, cut);
        }
    }
    free(c.at);
    free(c.full);
    free(c.end);
    return period_ns;
}
