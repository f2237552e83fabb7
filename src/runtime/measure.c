/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring the nodes of a graph. The ranks share them out as contiguous runs
 * of about the same work, like stages, and time their runs at the same moment,
 * so that each number is what a node costs while all ranks load the memory.
 */
#include "comm/comm.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/ranges.h"
#include "common/text.h"
#include "common/threads.h"
#include "graph/graph.h"
#include "runtime/exec.h"
#include "runtime/measure_rig.h"
#include "runtime/measure_room.h"
#include "runtime/measure_time.h"
#include <dawnpiper/measure.h>
#include <stdio.h>

struct measuring {
    const struct dawn_graph *graph;
    const struct dawn_measure_opts *opts;
    const struct dawni_device_ops *device;
    struct dawn_comm *comm;
    struct dawn_node_cost
        *cost;     /* [size * nodes + node] of this rank's nodes */
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

static void report(struct measuring *m, int timings)
{
    m->done += timings;
    if (m->opts->progress)
        m->opts->progress(m->opts->user, m->done, m->all);
}

/* Nodes, and microbatch sizes to measure them at. */
struct part {
    int first, last; /* last < first: no node */
    int size, sizes; /* index of the first size; how many */
};

static int nodes_of(const struct part *p)
{
    return p->last - p->first + 1;
}

static void rigs_destroy(struct dawni_rig **rig, int sizes)
{
    for (int k = 0; rig && k < sizes; k++)
        dawni_rig_destroy(rig[k]);
    free(rig);
}

/* One rig a size, not yet filled; none where there is no node. */
static enum dawn_status rigs_create(struct measuring *m, const struct part *p,
                                    struct dawni_rig ***rig_p,
                                    struct dawn_error *err)
{
    struct dawni_rig **rig = dawni_calloc(p->sizes, sizeof *rig);
    enum dawn_status st = DAWN_OK;

    if (!rig)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to measure nodes");
    for (int k = 0; !st && nodes_of(p) > 0 && k < p->sizes; k++)
        st = dawni_rig_create(m->graph, m->device, (int[2]){p->first, p->last},
                              m->opts->size[p->size + k], &rig[k], err);
    if (st) {
        rigs_destroy(rig, p->sizes);
        return st;
    }
    *rig_p = rig;
    return DAWN_OK;
}

static uint64_t bytes_of(struct dawni_rig *const *rig, int sizes)
{
    uint64_t bytes = 0;

    for (int k = 0; k < sizes && rig[k]; k++)
        bytes += rig[k]->bytes;
    return bytes;
}

static enum dawn_status time_part(struct measuring *m, const struct part *p,
                                  struct dawni_rig **rig,
                                  struct dawn_error *err)
{
    struct dawni_rig_set set = {
        .comm = m->comm,
        .sizes = p->sizes,
        .rig = rig,
        .repeats = m->opts->repeats,
    };
    int64_t nodes = m->graph->nodes, at = p->size * nodes + p->first;
    enum dawn_status st = DAWN_OK;

    for (int k = 0; !st && k < p->sizes && rig[k]; k++)
        st = dawni_rig_fill(rig[k], m->opts->feed, m->opts->user, err);
    if ((st = dawni_agree(m->comm, st, err)))
        return st;
    return dawni_time_rigs(&set, m->cost + at, nodes, err);
}

/* Measure this rank's part, while the others measure theirs. Where one of them
 * lacks the memory, all of them halve their nodes, then their sizes. */
static enum dawn_status measure_part(struct measuring *m, const struct part *p,
                                     struct dawn_error *err)
{
    struct dawni_rig **rig = NULL;
    int nodes = nodes_of(p);
    int64_t verdict[2]; /* least of: all fit; minus the longest run of nodes */
    uint64_t bytes = 0;
    enum dawn_status st = rigs_create(m, p, &rig, err);

    if ((st = dawni_agree(m->comm, st, err)))
        goto done;
    bytes = bytes_of(rig, p->sizes);
    verdict[0] = !m->room || bytes <= m->room;
    verdict[1] = -nodes;
    if ((st = m->comm->ops->allreduce_min(m->comm, verdict, 2, err)))
        goto done;
    if (!verdict[0] && verdict[1] >= -1 && p->sizes == 1) {
        if (m->room && bytes > m->room)
            st = dawni_measure_no_room(m->graph, p->first,
                                       m->opts->size[p->size], bytes, m->room,
                                       err);
        st = dawni_agree(m->comm, st, err);
        goto done;
    }
    if (verdict[0]) {
        st = time_part(m, p, rig, err);
        if (!st && nodes > 0)
            report(m, nodes * p->sizes);
        goto done;
    }
    rigs_destroy(rig, p->sizes);
    struct part half[2] = {*p, *p};
    if (verdict[1] < -1) {
        half[0].last = p->first + (nodes + 1) / 2 - 1; /* no nodes: stays so */
        half[1].first = half[0].last + 1;
    } else {
        half[0].sizes = p->sizes / 2;
        half[1].size += half[0].sizes;
        half[1].sizes -= half[0].sizes;
    }
    st = measure_part(m, &half[0], err);
    return st ? st : measure_part(m, &half[1], err);
done:
    rigs_destroy(rig, p->sizes);
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
    if (opts->threads > DAWNI_MOST_THREADS)
        return dawn_fail(err, DAWN_E_INVAL, "%d threads, must be 0 to %d",
                         opts->threads, DAWNI_MOST_THREADS);
    for (int k = 0; k < opts->sizes; k++)
        if (opts->size[k] < 1 || (k && opts->size[k] <= opts->size[k - 1]))
            return dawn_fail(err, DAWN_E_INVAL,
                             "microbatch sizes must ascend from 1 on: %lld",
                             (long long)opts->size[k]);
    return DAWN_OK;
}

/* Ranks that measure other nodes or sizes would wait for each other. */
static enum dawn_status compare_ranks(const struct measuring *m,
                                      struct dawn_error *err)
{
    const struct dawn_measure_opts *o = m->opts;
    struct dawni_text sizes = {0};
    char graph[32], repeats[16];
    enum dawn_status st = DAWN_OK;

    for (int k = 0; k < o->sizes; k++)
        dawni_text_addf(&sizes, "%s%lld", k ? "," : "", (long long)o->size[k]);
    if (sizes.error.status)
        st = dawn_fail(err, sizes.error.status, "%s", sizes.error.text);
    snprintf(graph, sizeof graph, "xxh3:%016llx",
             (unsigned long long)dawn_graph_digest(m->graph));
    snprintf(repeats, sizeof repeats, "%d", o->repeats);
    const struct dawn_comm_fact fact[] = {
        {"the graph", graph, NULL},
        {"device", m->device->name, NULL},
        {"microbatch sizes", sizes.data, NULL},
        {"repeats", repeats, NULL}};
    if (!(st = dawni_agree(m->comm, st, err)))
        st = dawn_comm_same(m->comm, fact, 4, err);
    dawni_text_clear(&sizes);
    return st;
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
    m->room = dawni_measure_room(m->comm);
    if (!st)
        st = dawni_measure_check_room(m->graph, m->opts, m->room, err);
    int64_t most = m->opts->size[m->opts->sizes - 1];
    if (!st && most > DAWNI_MOST_SAMPLES)
        st = dawn_fail(err, DAWN_E_INVAL,
                       "microbatch %lld, at most %d samples can be profiled",
                       (long long)most, DAWNI_MOST_SAMPLES);
    if ((st = dawni_agree(m->comm, st, err)))
        return st;
    for (int i = 0; i < nodes; i++)
        m->work[i + 1] = m->work[i] + work_of(m->graph, i);
    struct part mine = {share_start(m, rank, size),
                        share_start(m, rank + 1, size) - 1, 0, m->opts->sizes};
    m->all = nodes_of(&mine) * m->opts->sizes;
    st = measure_part(m, &mine, err);
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

    if (opts->comm)
        st = dawni_agree(opts->comm, st, err);
    if (!st)
        st = compare_ranks(&m, err);
    if (!st)
        st = measure_all(&m, err);
    if (!st)
        st = make_profile(&m, graph, profile_p, err);
    free(m.cost);
    free(m.work);
    return st;
}
