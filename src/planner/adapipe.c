/* SPDX-License-Identifier: Apache-2.0 */
/* Policy `adapipe`, to compare with: AdaPipe (Sun et al., "AdaPipe: optimizing
 * pipeline parallelism with adaptive recomputation and partitioning", ASPLOS
 * 2024), as far as public text tells. Two dynamic programs:
 *
 * Recomputation of a stage is a knapsack. A unit, here a node, is saved or run
 * again: saving takes its bytes of each microbatch in flight, and spares its
 * forward. What the stage keeps at all times and what it needs for a moment
 * comes off its memory first; the rest is the room. Bytes are counted in
 * shares of it, rounded to the nearest.
 *
 * Partitioning goes over (stage x, its first node i), the last stage first, and
 * takes the end of the stage with the shortest step by the paper's model of
 * 1F1B, of which it remembers one best for each (x, i):
 *   warmup  W_x = F_x + max(W_{x+1} + B_{x+1}, (k_x - 1) F_x)
 *   ending  E_x = B_x + max(E_{x+1} + F_{x+1}, (k_x - 1) B_x)
 *   steady  M_x = max(M_{x+1}, F_x + B_x)
 *   step    W_x + E_x + (m - (l - x)) M_x
 * k_x: microbatches in flight; B_x holds what is recomputed. Stages much longer
 * than their share are looked at only if nothing fits without them.
 *
 * The partition prices memory by sums over nodes; once it is made, the knapsack
 * of each stage is solved anew, with the most room that the exact price allows.
 */
#include "common/array.h"
#include "planner/additive.h"
#include <math.h>

/* Shares of the room of a stage with one microbatch in flight */
#define ROUGH 512 /* while partitioning */
#define FINE 2048 /* when the partition is made */
/* Shares that are gone through in the time in which a node is priced */
#define A_PRICE 256
/* Rooms that are tried until a stage fits by its exact price */
#define TRIES 12

struct unit {
    double bytes;   /* of one microbatch */
    float spare_ns; /* its forward */
};

struct choice {  /* for stages x..l-1 on the nodes from i */
    double step; /* INFINITY: nothing fits */
    double warmup, ending, steady;
    double f, b; /* of stage x */
    int end;     /* the first node behind it */
};

struct adapipe {
    struct dawni_planner *pl;
    struct unit *unit;   /* by node */
    double *moment;      /* by node: bytes that it needs for a moment */
    float *spared;       /* [ROUGH + 1]: most that a room of so many shares
                            spares, of the units so far */
    double share;        /* bytes */
    struct choice *best; /* [x * (n + 1) + i] */
};

/* Units */

/* Of one microbatch: outputs of node i that some backward needs. */
static double saved_bytes(const struct dawni_planner *pl, int i)
{
    const struct dawn_graph *g = pl->graph;
    double bytes = 0;

    for (int k = 0; k < g->node[i].desc.outputs; k++) {
        int t = g->node[i].output[k];
        if (dawni_tensor_saved(g, t, 0, g->nodes - 1))
            bytes += (double)dawni_graph_padded_bytes(g, t, pl->b);
    }
    return bytes;
}

static struct unit unit_of(const struct dawni_planner *pl, int i)
{
    if (pl->additive)
        return (struct unit){dawni_additive_saved(pl, i),
                             (float)dawni_additive_again_ns(pl, i)};
    return (struct unit){saved_bytes(pl, i),
                         (float)(pl->sum_f[i + 1] - pl->sum_f[i])};
}

static bool measure_units(struct adapipe *s)
{
    struct dawni_planner *pl = s->pl;

    for (int i = 0; i < pl->n; i++) {
        struct dawni_stage_memory m;
        s->unit[i] = unit_of(pl, i);
        if (pl->additive)
            continue; /* nothing for a moment only */
        enum dawn_status st =
            dawni_stage_price(pl->pricer, i, i, NULL, &m, NULL, &pl->error);
        if (st)
            return dawni_planner_fail(pl, st, NULL);
        uint64_t most = m.f_peak > m.b_peak ? m.f_peak : m.b_peak;
        s->moment[i] = (double)(most > m.saved ? most - m.saved : 0);
    }
    return true;
}

static int shares_of(double bytes, double share)
{
    return (int)fmin(floor(bytes / share + 0.5), 1 << 20);
}

/* The knapsack while partitioning: `spared` of one more unit. */
static void add_unit(struct adapipe *s, const struct unit *u)
{
    int weight = shares_of(u->bytes, s->share);
    float *spared = s->spared;

    for (int q = ROUGH; q >= weight; q--) {
        float with = spared[q - weight] + u->spare_ns;
        spared[q] = with > spared[q] ? with : spared[q];
    }
}

/* Partitioning */

/* Bytes of a stage that hold saved tensors of a microbatch; negative: none. */
static double room_of(const struct dawni_planner *pl, int first, int last,
                      int x, double moment)
{
    const struct dawni_stage_spec *spec = &pl->stage[x];
    double kept = dawni_sum_of_kept(pl, first, last, x);
    double received = pl->cut_bytes[first] / 2;

    return ((double)spec->budget - kept - moment) / spec->in_flight - received;
}

/* Forward time that first..last run again as stage x, of `all` they have if
 * nothing is saved; INFINITY: does not fit. */
static double again_ns(const struct adapipe *s, int first, int last, int x,
                       double moment, double bytes)
{
    const struct dawni_planner *pl = s->pl;

    if (pl->stage[x].budget == UINT64_MAX)
        return 0;
    double room = room_of(pl, first, last, x, moment);
    if (room >= bytes)
        return 0;
    if (room < 0 || pl->no_recompute)
        return INFINITY;
    double all = pl->sum_f[last + 1] - pl->sum_f[first];
    return fmax(0, all - (double)s->spared[(int)fmin(room / s->share, ROUGH)]);
}

/* Stage x with F and B before what was chosen behind it, NULL for the last. */
static struct choice put_before(const struct dawni_planner *pl, int x,
                                const struct choice *next, double f, double b)
{
    struct choice none = {0};
    const struct choice *behind = next ? next : &none;
    int others = pl->stage[x].in_flight - 1;
    struct choice c = {
        .warmup = f + fmax(behind->warmup + behind->b, others * f),
        .ending = b + fmax(behind->ending + behind->f, others * b),
        .steady = fmax(behind->steady, f + b),
        .f = f,
        .b = b,
    };

    c.step = c.warmup + c.ending + fmax(0, pl->m - (pl->l - x)) * c.steady;
    return c;
}

static struct choice *at(const struct adapipe *s, int x, int i)
{
    return &s->best[(size_t)x * ((size_t)s->pl->n + 1) + (size_t)i];
}

/* May first..last be stage x? Keep it if it is the best so far. */
static void consider(struct adapipe *s, int first, int last, int x,
                     double again)
{
    const struct dawni_planner *pl = s->pl;
    const struct choice *next = NULL;
    struct choice *best = at(s, x, first);
    double speed = pl->stage[x].speed;

    if (x < pl->l - 1)
        next = at(s, x + 1, last + 1);
    if (isinf(again) || (next && isinf(next->step)))
        return;
    double f = pl->sum_f[last + 1] - pl->sum_f[first];
    double t = dawni_sum_t(pl, last + 1) - dawni_sum_t(pl, first);
    struct choice c =
        put_before(pl, x, next, f / speed, (t - f + again) / speed);
    c.end = last + 1;
    if (c.step < best->step)
        *best = c;
}

/* All stages that begin at `first` and take up to `limit`. */
static void begin_at(struct adapipe *s, int first, double limit)
{
    struct dawni_planner *pl = s->pl;
    double bytes = 0, moment = 0;
    int units = 0;

    memset(s->spared, 0, (ROUGH + 1) * sizeof *s->spared);
    for (int last = first; last < pl->n; last++) {
        if (last > first &&
            dawni_sum_t(pl, last + 1) - dawni_sum_t(pl, first) > limit)
            break;
        bytes += s->unit[last].bytes;
        moment = fmax(moment, s->moment[last]);
        add_unit(s, &s->unit[last]);
        units++;
        for (int x = 0; x < pl->l; x++)
            if ((x == 0) == (first == 0) &&
                (x == pl->l - 1) == (last == pl->n - 1))
                consider(s, first, last, x,
                         again_ns(s, first, last, x, moment, bytes));
    }
    dawni_planner_work(pl, (uint64_t)units * ROUGH / A_PRICE);
}

static void choose(struct adapipe *s, double limit)
{
    struct dawni_planner *pl = s->pl;

    for (int x = 0; x < pl->l; x++)
        for (int i = 0; i <= pl->n; i++)
            at(s, x, i)->step = INFINITY;
    for (int i = pl->n - 1; i >= 0 && !pl->status; i--)
        begin_at(s, i, limit);
}

/* The room that a stage could have at most is cut in shares. */
static double share_of(const struct dawni_planner *pl)
{
    double most = 0;

    for (int x = 0; x < pl->l; x++)
        if (pl->stage[x].budget != UINT64_MAX)
            most = fmax(most,
                        (double)pl->stage[x].budget / pl->stage[x].in_flight);
    return fmax(most / ROUGH, 1);
}

static bool search(struct adapipe *s, int *cut)
{
    struct dawni_planner *pl = s->pl;
    double total = dawni_sum_t(pl, pl->n);
    double limit = 2 * total / pl->l;

    for (choose(s, limit);
         isinf(at(s, 0, 0)->step) && limit < total && !pl->status;) {
        limit *= 2;
        choose(s, limit);
    }
    if (isinf(at(s, 0, 0)->step) || pl->status)
        return false;
    for (int x = 0; x < pl->l - 1; x++)
        cut[x + 1] = at(s, x, cut[x])->end;
    return true;
}

static bool partition(struct dawni_planner *pl, int *cut)
{
    struct adapipe s = {.pl = pl, .share = share_of(pl)};
    bool found = false;

    s.unit = dawni_calloc(pl->n, sizeof *s.unit);
    s.moment = dawni_calloc(pl->n, sizeof *s.moment);
    s.spared = dawni_calloc(ROUGH + 1, sizeof *s.spared);
    s.best = dawni_calloc((int64_t)pl->l * (pl->n + 1), sizeof *s.best);
    if (!s.unit || !s.moment || !s.spared || !s.best)
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for the search");
    else
        found = measure_units(&s) && search(&s, cut);
    free(s.unit);
    free(s.moment);
    free(s.spared);
    free(s.best);
    return found;
}

/* Recomputation of a stage */

struct knapsack {
    int first, units;
    struct unit *unit;
    double *spared; /* [FINE + 1] */
    uint8_t *save;  /* [unit * (FINE + 1) + shares]: save it then? */
    bool *saved;    /* [units]: the answer */
};

/* What to save within so many bytes of a microbatch. */
static void solve(struct knapsack *k, double room)
{
    double share = fmax(room / FINE, 1e-9);

    memset(k->spared, 0, (FINE + 1) * sizeof *k->spared);
    for (int i = 0; i < k->units; i++) {
        int weight = shares_of(k->unit[i].bytes, share);
        uint8_t *save = k->save + (size_t)i * (FINE + 1);
        for (int q = FINE; q >= 0; q--) {
            save[q] = q >= weight &&
                      k->spared[q - weight] + (double)k->unit[i].spare_ns >=
                          k->spared[q];
            if (save[q])
                k->spared[q] =
                    k->spared[q - weight] + (double)k->unit[i].spare_ns;
        }
    }
    for (int i = k->units - 1, q = FINE; i >= 0; i--) {
        k->saved[i] = k->save[(size_t)i * (FINE + 1) + (size_t)q];
        if (k->saved[i])
            q -= shares_of(k->unit[i].bytes, share);
    }
}

static void write_decisions(const struct dawni_planner *pl,
                            const struct knapsack *k, uint8_t *decision)
{
    const struct dawn_graph *g = pl->graph;
    int first = k->first, last = first + k->units - 1;

    for (int i = first; i <= last; i++)
        for (int o = 0; o < g->node[i].desc.outputs; o++) {
            int t = g->node[i].output[o];
            bool drop =
                !k->saved[i - first] && dawni_tensor_saved(g, t, first, last);
            decision[t] = drop ? DAWN_RECOMPUTE : DAWN_KEEP;
        }
}

/* Save what the knapsack says. The exact price is the judge. */
static struct dawni_decided try_room(struct dawni_planner *pl,
                                     struct knapsack *k, int x, double room,
                                     uint8_t *decision)
{
    dawni_planner_work(pl, (uint64_t)k->units * FINE / A_PRICE);
    solve(k, room);
    write_decisions(pl, k, decision);
    return dawni_price_decisions(pl, k->first, k->first + k->units - 1, x,
                                 decision);
}

/* Halve the distance between a room that fits and one that does not. */
static void fit(struct dawni_planner *pl, struct knapsack *k, int x,
                uint8_t *decision)
{
    int last = k->first + k->units - 1;
    struct dawni_decided d =
        dawni_price_decisions(pl, k->first, last, x, decision);
    double low = 0, high = 0;

    if (d.fits)
        return;
    for (int i = 0; i < k->units; i++)
        high += k->unit[i].bytes;
    double room = high - ((double)d.peak - (double)pl->stage[x].budget) /
                             pl->stage[x].in_flight;
    for (int i = 0; i < TRIES && !pl->status; i++) {
        if (room > low && room < high) {
            d = try_room(pl, k, x, room, decision);
            low = d.fits ? room : low;
            high = d.fits ? high : room;
        }
        room = low + (high - low) / 2;
    }
    try_room(pl, k, x, low, decision);
}

static bool decide(struct dawni_planner *pl, int first, int last, int x,
                   uint8_t *decision)
{
    struct knapsack k = {.first = first, .units = last - first + 1};

    if (pl->no_recompute)
        return true;
    k.unit = dawni_calloc(k.units, sizeof *k.unit);
    k.spared = dawni_calloc(FINE + 1, sizeof *k.spared);
    k.save = dawni_calloc((int64_t)k.units * (FINE + 1), sizeof *k.save);
    k.saved = dawni_calloc(k.units, sizeof *k.saved);
    if (!k.unit || !k.spared || !k.save || !k.saved) {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for decisions");
    } else {
        for (int i = 0; i < k.units; i++)
            k.unit[i] = unit_of(pl, first + i);
        fit(pl, &k, x, decision);
    }
    free(k.unit);
    free(k.spared);
    free(k.save);
    free(k.saved);
    return !pl->status;
}

const struct dawni_policy_ops dawni_policy_adapipe = {
    .name = "adapipe",
    .text = "a knapsack of what each stage saves, cuts by dynamic programming",
    .partition = partition,
    .decide = decide,
};
