/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/profile.h"
#include "common/array.h"
#include "common/hash.h"
#include "common/ranges.h"
#include "graph/graph.h"

enum dawn_status dawn_profile_create(struct dawn_graph *graph,
                                     const struct dawn_profile_desc *desc,
                                     struct dawn_profile **profile_p,
                                     struct dawn_error *err)
{
    int microbatches = desc->sizes;
    const int64_t *microbatch = desc->size;
    struct dawn_profile *p;

    if (microbatches < 1 || microbatches > DAWNI_PROFILE_SIZES)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d microbatch sizes, must be 1 to %d", microbatches,
                         DAWNI_PROFILE_SIZES);
    for (int i = 0; i < microbatches; i++)
        if (microbatch[i] < 1 || microbatch[i] > DAWNI_MOST_SAMPLES ||
            (i && microbatch[i] <= microbatch[i - 1]))
            return dawn_fail(err, DAWN_E_INVAL,
                             "microbatch sizes must be >= 1 and ascend, up to "
                             "%d; size %d is %lld",
                             DAWNI_MOST_SAMPLES, i, (long long)microbatch[i]);
    if (!(p = calloc(1, sizeof *p)))
        goto nomem;
    p->sizes = microbatches;
    p->device = strdup(desc->device);
    p->description = strdup(desc->description ? desc->description : "");
    p->size = dawni_calloc(microbatches, sizeof *p->size);
    p->cost = dawni_calloc((int64_t)dawn_graph_nodes(graph) * microbatches,
                           sizeof *p->cost);
    p->node = dawni_calloc(dawn_graph_nodes(graph), sizeof *p->node);
    if (!p->device || !p->description || !p->size || !p->cost || !p->node)
        goto nomem;
    memcpy(p->size, microbatch, (size_t)microbatches * sizeof *microbatch);
    p->graph = graph;
    *profile_p = p;
    return DAWN_OK;
nomem:
    dawn_profile_destroy(p);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for a profile of %d nodes",
                     dawn_graph_nodes(graph));
}

void dawn_profile_destroy(struct dawn_profile *p)
{
    if (!p)
        return;
    for (int i = 0; p->graph && i < p->graph->nodes; i++)
        dawni_profile_node_clear(&p->node[i]);
    free(p->node);
    dawn_graph_destroy(p->graph);
    free(p->device);
    free(p->description);
    free(p->size);
    free(p->cost);
    free(p);
}

const struct dawn_graph *dawn_profile_graph(const struct dawn_profile *p)
{
    return p->graph;
}

const char *dawn_profile_device(const struct dawn_profile *p)
{
    return p->device;
}

const char *dawn_profile_description(const struct dawn_profile *p)
{
    return p->description;
}

const char *dawn_profile_unused(const struct dawn_profile *p)
{
    return p->unused;
}

int dawn_profile_sizes(const struct dawn_profile *p)
{
    return p->sizes;
}

int64_t dawn_profile_size(const struct dawn_profile *p, int i)
{
    return i >= 0 && i < p->sizes ? p->size[i] : 0;
}

int dawn_profile_find_size(const struct dawn_profile *p, int64_t microbatch)
{
    for (int i = 0; i < p->sizes; i++)
        if (p->size[i] == microbatch)
            return i;
    return -1;
}

struct dawn_node_cost *dawn_profile_cost(struct dawn_profile *p, int node,
                                         int i)
{
    if (node < 0 || node >= dawn_graph_nodes(p->graph) || i < 0 ||
        i >= p->sizes)
        return NULL;
    return &p->cost[(size_t)node * (size_t)p->sizes + (size_t)i];
}

const struct dawn_node_cost *dawn_profile_cost_of(const struct dawn_profile *p,
                                                  int node, int i)
{
    if (node < 0 || node >= dawn_graph_nodes(p->graph) || i < 0 ||
        i >= p->sizes)
        return NULL;
    return &p->cost[(size_t)node * (size_t)p->sizes + (size_t)i];
}

enum dawn_status dawn_profile_set_passes(struct dawn_profile *p,
                                         const char *passes,
                                         struct dawn_error *err)
{
    struct dawni_passes found;
    enum dawn_status st = dawni_passes_parse(passes, &found, err);

    if (!st && found.n && dawn_profile_additive(p))
        st = dawn_fail(err, DAWN_E_INVAL,
                       "a profile by the additive rule knows no parameters, "
                       "which passes need");
    if (!st)
        strcpy(p->passes, passes);
    return st;
}

const char *dawn_profile_passes(const struct dawn_profile *p)
{
    return p->passes;
}

static void hash_cost(struct dawni_hash *h, const struct dawn_node_cost *c)
{
    for (int phase = 0; phase < 3; phase++) {
        dawni_hash_add_double(h, c->ns[phase]);
        dawni_hash_add_double(h, c->spread_ns[phase]);
        dawni_hash_add_u64(h, c->scratch_bytes[phase]);
    }
    dawni_hash_add_double(h, c->update_ns);
    dawni_hash_add_u64(h, c->prepared_bytes);
}

static void hash_node(struct dawni_hash *h, const struct dawni_profile_node *n)
{
    dawni_hash_add_str(h, n->label ? n->label : "");
    dawni_hash_add_u64(h, (uint64_t)n->variants);
    for (int i = 0; i < n->variants; i++) {
        dawni_hash_add_str(h, n->variant[i].name);
        dawni_hash_add_double(h, n->variant[i].ns);
        dawni_hash_add_double(h, n->variant[i].saved_bytes);
        dawni_hash_add_double(h, n->variant[i].fixed_bytes);
    }
}

uint64_t dawn_profile_digest(const struct dawn_profile *p)
{
    const struct dawn_graph *g = p->graph;
    struct dawni_hash h;

    dawni_hash_init(&h);
    dawni_hash_add_u64(&h, dawn_graph_digest(p->graph));
    dawni_hash_add_str(&h, p->device);
    dawni_hash_add_str(&h, p->description);
    for (int i = 0; i < p->sizes; i++)
        dawni_hash_add_u64(&h, (uint64_t)p->size[i]);
    for (int n = 0; n < g->nodes; n++)
        for (int i = 0; i < p->sizes; i++)
            hash_cost(&h, dawn_profile_cost_of(p, g->place[n], i));
    for (int n = 0; n < g->nodes; n++) {
        const struct dawni_profile_node *node = &p->node[g->place[n]];
        if (node->label || node->variants)
            hash_node(&h, node);
    }
    return dawni_hash_end(&h);
}
