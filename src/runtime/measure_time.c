/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds of timing; see measure_time.h. A size whose microbatch is short runs
 * several times in a round, after one that is not timed: it finds the caches as
 * in training, where microbatches follow each other, and not full of another
 * size's numbers.
 */
#include "runtime/measure_time.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/sort.h"

#define LEAST_ROUNDS 7
#define MOST_ROUNDS 200
#define ENOUGH_NS 4e9 /* at least so long, where repeats are not given, */
#define MOST_NS 10e9  /* and at most, but for the least rounds */
#define STEADY 0.005  /* of a median: the standard error that will do */
#define WARM_NS 300e6
#define LEAST_WARM_UPS 2
#define ROUND_NS 50e6 /* shared by the sizes, */
#define MOST_RUNS 32  /* with at most so many timed runs each */

struct timing {
    const struct dawni_rig_set *set;
    int nodes;
    int *runs;    /* by size: timed in a round */
    int64_t *ask; /* by size: for the ranks to agree on */
    int rounds;   /* done */
    uint64_t step;
    double (*run)[DAWNI_PHASES];   /* [run * nodes + node], of a slice */
    double (*round)[DAWNI_PHASES]; /* [(size * MOST_ROUNDS + round) * nodes +
                                      node]: medians of a slice */
    double *update;                /* [round * nodes + node] */
    double *column;
};

static int most_rounds(const struct dawni_rig_set *set)
{
    return set->repeats ? set->repeats : MOST_ROUNDS;
}

static void timing_clear(struct timing *t)
{
    free(t->runs);
    free(t->ask);
    free(t->run);
    free(t->round);
    free(t->update);
    free(t->column);
}

static enum dawn_status timing_create(struct timing *t, struct dawn_error *err)
{
    int sizes = t->set->sizes, rounds = most_rounds(t->set);
    int64_t rows = (int64_t)rounds * t->nodes;
    int column = rounds > MOST_RUNS ? rounds : MOST_RUNS;

    t->runs = dawni_calloc(sizes, sizeof *t->runs);
    t->ask = dawni_calloc(sizes, sizeof *t->ask);
    t->run = dawni_calloc((int64_t)MOST_RUNS * t->nodes, sizeof *t->run);
    t->round = dawni_calloc(sizes * rows, sizeof *t->round);
    t->update = dawni_calloc(rows, sizeof *t->update);
    t->column = dawni_calloc(column, sizeof *t->column);
    if (t->runs && t->ask && t->run && t->round && t->update && t->column)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d timings of %d nodes",
                     rounds, t->nodes);
}

struct summary {
    double median, spread; /* spread: half the distance between the quartiles */
};

/* Of n numbers, which are sorted in place. */
static struct summary summarise(double *x, int n)
{
    struct dawni_quartiles q = dawni_quartiles(x, n);

    return (struct summary){.median = dawni_median(x, n),
                            .spread = (q.high - q.low) / 2};
}

static double (*row(const struct timing *t, int size, int round))[DAWNI_PHASES]
{
    int64_t rounds = most_rounds(t->set);

    return t->round + (size * rounds + round) * t->nodes;
}

static void keep_medians(struct timing *t, int size)
{
    double(*to)[DAWNI_PHASES] = row(t, size, t->rounds);

    for (int i = 0; i < t->nodes; i++)
        for (int phase = 0; phase < DAWNI_PHASES; phase++) {
            for (int k = 0; k < t->runs[size]; k++)
                t->column[k] = t->run[(int64_t)k * t->nodes + i][phase];
            to[i][phase] = summarise(t->column, t->runs[size]).median;
        }
}

/* One size of a round. All ranks begin together, since they ended the last one
 * together. */
static enum dawn_status time_slice(struct timing *t, int size,
                                   struct dawn_error *err)
{
    struct dawni_rig *rig = t->set->rig[size];
    bool lead = !size || t->runs[size] > 1; /* size 0 follows the optimizer */
    enum dawn_status st = DAWN_OK;

    if (rig && lead)
        st = dawni_rig_microbatch(rig, t->step++, t->run, err);
    for (int k = 0; !st && rig && k < t->runs[size]; k++)
        st = dawni_rig_microbatch(rig, t->step++,
                                  t->run + (int64_t)k * t->nodes, err);
    if (!st && rig)
        keep_medians(t, size);
    return dawni_agree(t->set->comm, st, err);
}

/* The optimizer, after a microbatch, as in a step. */
static enum dawn_status time_update(struct timing *t, struct dawn_error *err)
{
    struct dawni_rig *rig = t->set->rig[t->set->sizes - 1];
    enum dawn_status st = DAWN_OK;

    if (rig)
        st = dawni_rig_microbatch(rig, t->step++, t->run, err);
    if (!st && rig)
        st = dawni_rig_update(rig, t->update + (int64_t)t->rounds * t->nodes,
                              err);
    return dawni_agree(t->set->comm, st, err);
}

static enum dawn_status time_round(struct timing *t, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int size = 0; !st && size < t->set->sizes; size++)
        st = time_slice(t, size, err);
    return st ? st : time_update(t, err);
}

static double all_phases(const double ns[DAWNI_PHASES])
{
    double sum = 0;

    for (int phase = 0; phase < DAWNI_PHASES; phase++)
        sum += ns[phase];
    return sum;
}

/* Time of the whole run of nodes at one size, in one round. */
static double whole(const struct timing *t, int size, int round)
{
    double sum = 0;

    for (int i = 0; i < t->nodes; i++)
        sum += all_phases(row(t, size, round)[i]);
    return sum;
}

/* Caches, pages and clock frequencies settle; how long each size takes on the
 * slowest rank tells how often to run it in a round. */
static enum dawn_status warm_up(struct timing *t, struct dawn_error *err)
{
    int sizes = t->set->sizes;
    const struct dawni_comm_ops *ops = t->set->comm->ops;
    uint64_t start = dawni_now_ns();
    double warm_ns = t->set->repeats ? 0 : WARM_NS;
    enum dawn_status st = DAWN_OK;
    int64_t go_on = 1;

    for (int size = 0; size < sizes; size++)
        t->runs[size] = 1;
    for (int i = 1; !st && go_on; i++) {
        if ((st = time_round(t, err)))
            break;
        go_on =
            i < LEAST_WARM_UPS || (double)(dawni_now_ns() - start) < warm_ns;
        st = ops->allreduce_min(t->set->comm, &go_on, 1, err);
    }
    for (int size = 0; size < sizes; size++) /* the least is the longest */
        t->ask[size] = -(int64_t)whole(t, size, 0);
    if (!st)
        st = ops->allreduce_min(t->set->comm, t->ask, sizes, err);
    for (int size = 0; !st && !t->set->repeats && size < sizes; size++) {
        double fit = ROUND_NS / sizes / (double)(1 - t->ask[size]);
        t->runs[size] = fit > MOST_RUNS ? MOST_RUNS : fit < 1 ? 1 : (int)fit;
    }
    return st;
}

/* Is the median of the whole run's time known well enough, at every size? The
 * standard error of a median is 1.25 times that of a mean, and a standard
 * deviation 1.48 times half the distance between the quartiles. */
static bool steady(const struct timing *t)
{
    for (int size = 0; size < t->set->sizes; size++) {
        for (int k = 0; k < t->rounds; k++)
            t->column[k] = whole(t, size, k);
        struct summary s = summarise(t->column, t->rounds);
        double error = 1.25 * 1.48 * s.spread;
        if (error * error > STEADY * STEADY * s.median * s.median * t->rounds)
            return false;
    }
    return true;
}

static bool enough(const struct timing *t, uint64_t start)
{
    double ns = (double)(dawni_now_ns() - start);

    if (t->rounds == most_rounds(t->set))
        return true;
    if (t->set->repeats || t->rounds < LEAST_ROUNDS || ns < ENOUGH_NS)
        return false;
    return ns > MOST_NS || steady(t);
}

static enum dawn_status time_rounds(struct timing *t, struct dawn_error *err)
{
    uint64_t start = dawni_now_ns();
    int64_t done = 0;
    enum dawn_status st = DAWN_OK;

    while (!st && !done) {
        if ((st = time_round(t, err)))
            break;
        t->rounds++;
        done = enough(t, start); /* on all ranks */
        st = t->set->comm->ops->allreduce_min(t->set->comm, &done, 1, err);
    }
    return st;
}

static void write_costs(const struct timing *t, int size,
                        struct dawn_node_cost *cost)
{
    const struct dawni_rig *rig = t->set->rig[size];
    bool last = size == t->set->sizes - 1;

    for (int i = 0; i < t->nodes; i++) {
        struct dawn_node_cost *c = &cost[i];
        for (int phase = 0; phase < DAWNI_PHASES; phase++) {
            for (int k = 0; k < t->rounds; k++)
                t->column[k] = row(t, size, k)[i][phase];
            struct summary s = summarise(t->column, t->rounds);
            c->ns[phase] = s.median;
            c->spread_ns[phase] = s.spread;
            c->scratch_bytes[phase] = rig->node[i].kernel->scratch_bytes[phase];
        }
        c->prepared_bytes = rig->node[i].kernel->prepared_bytes;
        for (int k = 0; last && k < t->rounds; k++)
            t->column[k] = t->update[(int64_t)k * t->nodes + i];
        if (last)
            c->update_ns = summarise(t->column, t->rounds).median;
    }
}

enum dawn_status dawni_time_rigs(const struct dawni_rig_set *set,
                                 struct dawn_node_cost *cost, int64_t stride,
                                 struct dawn_error *err)
{
    struct timing t = {.set = set,
                       .nodes = set->rig[0] ? set->rig[0]->nodes : 0};
    enum dawn_status st = timing_create(&t, err);

    if (!(st = dawni_agree(set->comm, st, err)) && !(st = warm_up(&t, err)))
        st = time_rounds(&t, err);
    for (int size = 0; !st && t.nodes && size < set->sizes; size++)
        write_costs(&t, size, cost + size * stride);
    timing_clear(&t);
    return st;
}
