/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring the nodes of a graph. The ranks share them out as contiguous runs
 * of about the same work, like stages, and time their runs at the same moment,
 * so that each number is what a node costs while all ranks load the memory.
 */
#include "comm/comm.h"
#include "common/array.h"
#include "common/clock.h"
#include "graph/graph.h"
#include "runtime/exec.h"
#include "runtime/measure_rig.h"
#include <dawnpiper/measure.h>
#include <stdio.h>

#define DEFAULT_REPEATS 7
#define MAX_REPEATS 60
#define ENOUGH_NS 400e6 /* time spent on repeats where none are asked for */
#define WARM_UP 2

struct measuring {
    const struct dawn_graph *graph;
    const struct dawn_measure_opts *opts;
    const struct dawni_device_ops *device;
    struct dawn_comm *comm;
    struct dawn_node_cost
        *cost;     /* [size * nodes + node] of this rank's nodes */
    int size;      /* index of the size being measured */
    uint64_t room; /* bytes that this rank may use; 0: any */
    double *work;  /* before node i; work[nodes] is all */
    int done, all; /* nodes of this rank, counting each size */
};

/* Rough work of a node, to share nodes out by: arithmetic, and bytes at the
 * rate at which they cost as much. */
static double work_of(const struct dawn_graph *g, int node)
{
    const struct dawni_node *n = &g->node[node];
    double bytes = 1;

    for (int k = 0; k < n->desc.inputs; k++)
        bytes += (double)dawn_graph_tensor_bytes(g, n->desc.input[k], 1);
    for (int k = 0; k < n->desc.outputs; k++)
        bytes += (double)dawn_graph_tensor_bytes(g, n->output[k], 1);
    return n->desc.flops[0] + n->desc.flops[1] + n->desc.flops[2] + 100 * bytes;
}

/* First node of share i of n: nodes up to i/n of the work belong to others. */
static int share_start(const struct measuring *m, int i, int n)
{
    double before = m->work[m->graph->nodes] * i / n;
    int node = 0;

    while (node < m->graph->nodes && m->work[node] < before)
        node++;
    return node;
}

/* What the ranks of this node leave each other, with a reserve. */
static uint64_t memory_room(const struct dawn_comm *comm)
{
    FILE *file = fopen("/proc/meminfo", "r");
    char line[128];
    unsigned long long kib = 0;

    while (file && !kib && fgets(line, sizeof line, file))
        sscanf(line, "MemAvailable: %llu", &kib);
    if (file)
        fclose(file);
    return kib * 1024 / 10 * 9 / (uint64_t)comm->local_size;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median, and half the distance between the quartiles, of n numbers, which are
 * sorted in place. */
static void summarise(double *x, int n, double *median, double *spread)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    *median = n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
    *spread = (x[(n - 1) - n / 4] - x[n / 4]) / 2;
}

/* Times of all repeats of a run of nodes. */
struct samples {
    int nodes, repeats;
    double (*ns)[DAWNI_PHASES]; /* [repeat * nodes + node] */
    double *update;             /* likewise */
};

static void samples_clear(struct samples *s)
{
    free(s->ns);
    free(s->update);
}

static enum dawn_status samples_create(struct samples *s, int nodes,
                                       int repeats, struct dawn_error *err)
{
    s->nodes = nodes;
    s->repeats = repeats;
    s->ns = dawni_calloc((int64_t)nodes * repeats, sizeof *s->ns);
    s->update = dawni_calloc((int64_t)nodes * repeats, sizeof *s->update);
    if (s->ns && s->update)
        return DAWN_OK;
    samples_clear(s);
    *s = (struct samples){0};
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d timings of %d nodes",
                     repeats, nodes);
}

/* All ranks run a microbatch, and with `update` an optimizer step, beginning at
 * the same time. rig: NULL on a rank that has nothing to run. */
static enum dawn_status run_round(struct measuring *m, struct dawni_rig *rig,
                                  struct samples *s, int repeat, bool update,
                                  struct dawn_error *err)
{
    enum dawn_status st = dawni_agree(m->comm, DAWN_OK, err);

    if (st)
        return st;
    if (rig) {
        int64_t row = (int64_t)repeat * s->nodes;
        st = dawni_rig_microbatch(rig, (uint64_t)repeat, s->ns + row, err);
        if (!st && update)
            st = dawni_rig_update(rig, s->update + row, err);
    }
    return dawni_agree(m->comm, st, err);
}

/* Warm up, and decide with all ranks how often to repeat. */
static enum dawn_status warm_up(struct measuring *m, struct dawni_rig *rig,
                                int *repeats, struct dawn_error *err)
{
    struct samples s;
    enum dawn_status st = samples_create(&s, rig ? rig->nodes : 0, 1, err);
    int64_t longest = 0; /* negative, so that the least is the longest */

    st = dawni_agree(m->comm, st, err);
    for (int i = 0; !st && i < WARM_UP; i++) {
        uint64_t start = dawni_now_ns();
        st = run_round(m, rig, &s, 0, true, err);
        longest = -(int64_t)(dawni_now_ns() - start);
    }
    samples_clear(&s);
    if (!st)
        st = m->comm->ops->allreduce_min(m->comm, &longest, 1, err);
    if (st || m->opts->repeats) {
        *repeats = m->opts->repeats;
        return st;
    }
    double fit = ENOUGH_NS / (double)(1 - longest);
    *repeats = fit > MAX_REPEATS ? MAX_REPEATS : (int)fit;
    if (*repeats < DEFAULT_REPEATS)
        *repeats = DEFAULT_REPEATS;
    return DAWN_OK;
}

static void write_costs(struct measuring *m, const struct dawni_rig *rig,
                        const struct samples *s, double *column)
{
    bool newest = m->size == m->opts->sizes - 1;

    for (int i = 0; i < rig->nodes; i++) {
        int64_t at = (int64_t)m->size * m->graph->nodes + rig->first + i;
        struct dawn_node_cost *c = &m->cost[at];
        for (int phase = 0; phase < DAWNI_PHASES; phase++) {
            for (int k = 0; k < s->repeats; k++)
                column[k] = s->ns[(int64_t)k * s->nodes + i][phase];
            summarise(column, s->repeats, &c->ns[phase], &c->spread_ns[phase]);
            c->scratch_bytes[phase] = rig->node[i].kernel->scratch_bytes[phase];
        }
        c->prepared_bytes = rig->node[i].kernel->prepared_bytes;
        if (!newest)
            continue;
        double spread;
        for (int k = 0; k < s->repeats; k++)
            column[k] = s->update[(int64_t)k * s->nodes + i];
        summarise(column, s->repeats, &c->update_ns, &spread);
    }
}

/* The optimizer is timed in rounds of its own, after the largest size, so that
 * it does not warm the caches for the microbatches that are timed. */
static enum dawn_status time_rounds(struct measuring *m, struct dawni_rig *rig,
                                    struct samples *s, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    struct samples other;

    for (int i = 0; !st && i < s->repeats; i++)
        st = run_round(m, rig, s, i, false, err);
    if (st || m->size != m->opts->sizes - 1)
        return st;
    st = samples_create(&other, s->nodes, s->repeats, err);
    st = dawni_agree(m->comm, st, err);
    for (int i = 0; !st && i < s->repeats; i++)
        st = run_round(m, rig, &other, i, true, err);
    if (!st) {
        double *update = s->update;
        s->update = other.update;
        other.update = update;
    }
    samples_clear(&other);
    return st;
}

static enum dawn_status measure_rig(struct measuring *m, struct dawni_rig *rig,
                                    struct dawn_error *err)
{
    struct samples s = {0};
    double *column = NULL;
    int repeats = 0;
    enum dawn_status st = DAWN_OK;

    if (rig)
        st = dawni_rig_fill(rig, m->opts->feed, m->opts->user, err);
    if ((st = dawni_agree(m->comm, st, err)) ||
        (st = warm_up(m, rig, &repeats, err)))
        return st;
    st = samples_create(&s, rig ? rig->nodes : 0, repeats, err);
    column = dawni_calloc(repeats, sizeof *column);
    if (!st && !column)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d timings", repeats);
    st = dawni_agree(m->comm, st, err);
    if (!st)
        st = time_rounds(m, rig, &s, err);
    if (!st && rig)
        write_costs(m, rig, &s, column);
    free(column);
    samples_clear(&s);
    return st;
}

static void report(struct measuring *m, int nodes)
{
    m->done += nodes;
    if (m->opts->progress)
        m->opts->progress(m->opts->user, m->done, m->all);
}

/* Measure this rank's run of nodes, while the others measure theirs. Where it
 * fits not into the memory of one of them, all of them halve their runs. */
static enum dawn_status measure_run(struct measuring *m, const int run[2],
                                    struct dawn_error *err)
{
    struct dawni_rig *rig = NULL;
    int64_t verdict[2]; /* least of: all fit; minus the longest run */
    enum dawn_status st = DAWN_OK;
    int nodes = run[1] - run[0] + 1;

    if (nodes > 0)
        st = dawni_rig_create(m->graph, m->device, run, m->opts->size[m->size],
                              &rig, err);
    if ((st = dawni_agree(m->comm, st, err)))
        goto done;
    verdict[0] = !rig || !m->room || rig->bytes <= m->room;
    verdict[1] = -nodes;
    if ((st = m->comm->ops->allreduce_min(m->comm, verdict, 2, err)))
        goto done;
    if (verdict[0] || verdict[1] >= -1) {
        st = measure_rig(m, rig, err);
        if (!st && nodes > 0)
            report(m, nodes);
        goto done;
    }
    int middle = run[0] + (nodes + 1) / 2 - 1; /* no nodes: stays so */
    dawni_rig_destroy(rig);
    st = measure_run(m, (int[2]){run[0], middle}, err);
    return st ? st : measure_run(m, (int[2]){middle + 1, run[1]}, err);
done:
    dawni_rig_destroy(rig);
    return st;
}

/* Take over a node's costs of all sizes; the optimizer's are those timed with
 * the last one. from: of the rank that measured it. */
static void pick_node(struct measuring *m, const struct dawn_node_cost *from,
                      int node)
{
    int64_t nodes = m->graph->nodes, sizes = m->opts->sizes;

    for (int k = 0; k < sizes; k++) {
        struct dawn_node_cost *to = &m->cost[k * nodes + node];
        *to = from[k * nodes + node];
        to->update_ns = from[(sizes - 1) * nodes + node].update_ns;
    }
}

/* Each node's costs from the rank that measured it, over this rank's. */
static void pick(struct measuring *m, const struct dawn_node_cost *all)
{
    int64_t row = (int64_t)m->graph->nodes * m->opts->sizes;

    for (int rank = 0; rank < m->comm->size; rank++) {
        int last = share_start(m, rank + 1, m->comm->size);
        for (int i = share_start(m, rank, m->comm->size); i < last; i++)
            pick_node(m, &all[rank * row], i);
    }
}

static enum dawn_status gather(struct measuring *m, struct dawn_error *err)
{
    uint64_t bytes = (uint64_t)m->graph->nodes * (uint64_t)m->opts->sizes *
                     sizeof(struct dawn_node_cost);
    struct dawn_node_cost *all = dawni_calloc(m->comm->size, bytes);
    enum dawn_status st = DAWN_OK;

    if (!all)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the costs of %d nodes",
                       m->graph->nodes);
    if (!(st = dawni_agree(m->comm, st, err)))
        st = m->comm->ops->allgather(m->comm, m->cost, bytes, all, err);
    if (!st)
        pick(m, all);
    free(all);
    return st;
}

static void describe(const struct dawn_measure_opts *opts, char *text,
                     size_t room)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256], model[200] = "unknown processor";
    int ranks = dawn_comm_size(opts->comm);
    int threads = opts->threads ? opts->threads : 1;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %199[^\n]", model) == 1)
            break;
    if (file)
        fclose(file);
    snprintf(text, room, "%s, %d rank%s of %d thread%s", model, ranks,
             ranks == 1 ? "" : "s", threads, threads == 1 ? "" : "s");
}

static enum dawn_status check(const struct dawn_graph *graph,
                              const struct dawn_measure_opts *opts,
                              struct dawn_error *err)
{
    if (!graph->finished)
        return dawn_fail(err, DAWN_E_INVAL, "the graph is not finished");
    if (!opts->comm)
        return dawn_fail(err, DAWN_E_INVAL, "no communicator to measure with");
    if (!dawni_device_find(opts->device))
        return dawn_fail(err, DAWN_E_NOTSUP, "no device '%s' in this build",
                         opts->device);
    if (opts->sizes < 1 || opts->repeats < 0 || opts->threads < 0)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d microbatch sizes, %d repeats, %d threads: a count "
                         "is too small",
                         opts->sizes, opts->repeats, opts->threads);
    for (int k = 0; k < opts->sizes; k++)
        if (opts->size[k] < 1 || (k && opts->size[k] <= opts->size[k - 1]))
            return dawn_fail(err, DAWN_E_INVAL,
                             "microbatch sizes must ascend from 1 on: %lld",
                             (long long)opts->size[k]);
    return DAWN_OK;
}

static enum dawn_status measure_all(struct measuring *m, struct dawn_error *err)
{
    int nodes = m->graph->nodes, rank = m->comm->rank, size = m->comm->size;
    enum dawn_status st =
        m->device->setup(m->opts->threads ? m->opts->threads : 1,
                         m->comm->local_rank, m->comm->local_size, err);

    m->cost = dawni_calloc((int64_t)nodes * m->opts->sizes, sizeof *m->cost);
    m->work = dawni_calloc((int64_t)nodes + 1, sizeof *m->work);
    if (!st && (!m->cost || !m->work))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to measure %d nodes",
                       nodes);
    if ((st = dawni_agree(m->comm, st, err)))
        return st;
    for (int i = 0; i < nodes; i++)
        m->work[i + 1] = m->work[i] + work_of(m->graph, i);
    m->room = memory_room(m->comm);
    int run[2] = {share_start(m, rank, size),
                  share_start(m, rank + 1, size) - 1};
    m->all = (run[1] - run[0] + 1) * m->opts->sizes;
    for (m->size = 0; !st && m->size < m->opts->sizes; m->size++)
        st = measure_run(m, run, err);
    return st ? st : gather(m, err);
}

/* Last of all, since a profile that is destroyed takes the graph along. */
static enum dawn_status make_profile(const struct measuring *m,
                                     struct dawn_graph *graph,
                                     struct dawn_profile **profile_p,
                                     struct dawn_error *err)
{
    char text[256];

    describe(m->opts, text, sizeof text);
    enum dawn_status st = dawn_profile_create(
        graph,
        &(struct dawn_profile_desc){m->device->name, text, m->opts->sizes,
                                    m->opts->size},
        profile_p, err);
    for (int k = 0; !st && k < m->opts->sizes; k++)
        for (int i = 0; i < graph->nodes; i++)
            *dawn_profile_cost(*profile_p, i, k) =
                m->cost[(int64_t)k * graph->nodes + i];
    return st;
}

enum dawn_status dawn_profile_measure(struct dawn_graph *graph,
                                      const struct dawn_measure_opts *opts,
                                      struct dawn_profile **profile_p,
                                      struct dawn_error *err)
{
    struct measuring m = {.graph = graph,
                          .opts = opts,
                          .device = dawni_device_find(opts->device),
                          .comm = opts->comm};
    enum dawn_status st = check(graph, opts, err);

    if (st)
        return st;
    st = measure_all(&m, err);
    if (!st)
        st = make_profile(&m, graph, profile_p, err);
    free(m.cost);
    free(m.work);
    return st;
}
