/* SPDX-License-Identifier: Apache-2.0 */
/* Memory to measure nodes with. What a node holds while it runs forward is
 * known from the graph, so a model that is too large is refused at once. */
#include "runtime/measure_room.h"
#include <stdio.h>

uint64_t dawni_measure_room(const struct dawn_comm *comm)
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

/* Bytes that a node holds in its forward; doubles, since a size that nobody can
 * have may be more than 64 bits hold. */
struct held {
    double fixed, sample; /* whatever the microbatch; of each sample */
    int largest;          /* tensor with most bytes; -1: none */
    double largest_bytes; /* of a sample, or in all */
};

static void hold(const struct dawn_graph *g, int tensor, int times,
                 struct held *h)
{
    double bytes = (double)dawn_graph_tensor_bytes(g, tensor, 1);

    if (bytes > h->largest_bytes) {
        h->largest = tensor;
        h->largest_bytes = bytes;
    }
    *(g->tensor[tensor].desc.batched ? &h->sample : &h->fixed) += times * bytes;
}

/* A value, and the gradient that comes from another node. */
static void hold_output(const struct dawn_graph *g, int tensor, struct held *h)
{
    const struct dawni_tensor *t = &g->tensor[tensor];

    hold(g, tensor, t->needs_grad && (t->users || tensor == g->loss) ? 2 : 1,
         h);
}

/* Master copy and gradient, and with its first user the moments. */
static void hold_param(const struct dawn_graph *g, int param, int node,
                       struct held *h)
{
    const struct dawni_param *p = &g->param[param];
    bool updates = p->user[0] == node && !(p->desc.average > 0);

    h->fixed += (updates ? 4 : 2) * (double)p->elements * sizeof(float);
}

static bool stands_before(const int *id, int k)
{
    for (int i = 0; i < k; i++)
        if (id[i] == id[k])
            return true;
    return false;
}

static struct held held_by(const struct dawn_graph *g, int node)
{
    const struct dawni_node *n = &g->node[node];
    struct held h = {.largest = -1};

    for (int k = 0; k < n->desc.inputs; k++)
        if (!stands_before(n->desc.input, k))
            hold(g, n->desc.input[k], 1, &h);
    for (int k = 0; k < n->desc.outputs; k++)
        hold_output(g, n->output[k], &h);
    for (int k = 0; k < n->desc.params; k++)
        if (!stands_before(n->desc.param, k))
            hold_param(g, n->desc.param[k], node, &h);
    return h;
}

static enum dawn_status no_room(const struct dawn_graph *g, int node,
                                int64_t microbatch, double bytes, uint64_t room,
                                struct dawn_error *err)
{
    const double mib = 1 << 20;
    struct held h = held_by(g, node);
    double most = h.sample > 0 ? ((double)room - h.fixed) / h.sample : 0;
    char tensor[160] = "", fits[96] = "";

    if (h.largest >= 0)
        snprintf(
            tensor, sizeof tensor, ", tensor '%.80s' alone %.1f MiB",
            g->tensor[h.largest].desc.name,
            (double)dawn_graph_tensor_bytes(g, h.largest, 1) / mib *
                (g->tensor[h.largest].desc.batched ? (double)microbatch : 1));
    if (most >= 1 && most < (double)microbatch)
        snprintf(fits, sizeof fits, "; microbatch %.0f may fit", most);
    else if (most < 1)
        snprintf(fits, sizeof fits, "; no microbatch fits");
    return dawn_fail(err, DAWN_E_NOFIT,
                     "node '%s' takes at least %.1f MiB to be measured at "
                     "microbatch %lld%s, this rank may use %.1f MiB%s",
                     g->node[node].desc.name, bytes / mib,
                     (long long)microbatch, tensor, (double)room / mib, fits);
}

enum dawn_status dawni_measure_no_room(const struct dawn_graph *graph, int node,
                                       int64_t microbatch, uint64_t bytes,
                                       uint64_t room, struct dawn_error *err)
{
    return no_room(graph, node, microbatch, (double)bytes, room, err);
}

enum dawn_status dawni_measure_check_room(const struct dawn_graph *graph,
                                          const struct dawn_measure_opts *opts,
                                          uint64_t room, struct dawn_error *err)
{
    int64_t most = opts->size[opts->sizes - 1];
    double worst = 0;
    int node = 0;

    for (int i = 0; i < graph->nodes; i++) {
        struct held h = held_by(graph, i);
        double bytes = h.fixed + (double)most * h.sample;
        if (bytes > worst) {
            worst = bytes;
            node = i;
        }
    }
    if (!room || worst <= (double)room)
        return DAWN_OK;
    return no_room(graph, node, most, worst, room, err);
}
