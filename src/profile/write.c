/* SPDX-License-Identifier: Apache-2.0 */
/* profile.yaml out: the graph, node by node in a few lines each, with costs. */
#include "common/text.h"
#include "graph/graph.h"
#include "profile/profile.h"

static const char *const inits[] = {"zero", "one", "normal"};

static void write_shape(struct dawni_text *t, int dims, const int64_t *shape)
{
    dawni_text_add(t, "[");
    for (int i = 0; i < dims; i++)
        dawni_text_addf(t, "%s%lld", i ? ", " : "", (long long)shape[i]);
    dawni_text_add(t, "]");
}

static void write_doubles(struct dawni_text *t, const char *key,
                          const double x[3])
{
    dawni_text_addf(t, "%s: [", key);
    for (int i = 0; i < 3; i++) {
        dawni_text_add(t, i ? ", " : "");
        dawni_text_add_double(t, x[i]);
    }
    dawni_text_add(t, "]");
}

/* The graph */

static void write_tensor(struct dawni_text *t, const struct dawn_tensor_desc *d)
{
    dawni_text_add(t, "{name: ");
    dawni_text_add_scalar(t, d->name);
    dawni_text_addf(t, ", dtype: %s, shape: ", dawn_dtype_name(d->dtype));
    write_shape(t, d->dims, d->shape);
    if (!d->batched)
        dawni_text_add(t, ", batched: false");
    if (d->no_grad)
        dawni_text_add(t, ", no_grad: true");
}

/* Tensors are numbered in the order in which they were added: an input that
 * came after some nodes says after how many. */
static void write_inputs(struct dawni_text *t, const struct dawn_graph *g)
{
    bool first = true;
    int nodes = 0;

    for (int i = 0; i < g->tensors; i++) {
        if (g->tensor[i].producer >= 0) {
            nodes = g->tensor[i].producer + 1;
            continue;
        }
        dawni_text_add(t, first ? "  inputs:\n  - " : "  - ");
        first = false;
        write_tensor(t, &g->tensor[i].desc);
        if (nodes)
            dawni_text_addf(t, ", after_nodes: %d", nodes);
        dawni_text_add(t, "}\n");
    }
}

static void write_params(struct dawni_text *t, const struct dawn_graph *g)
{
    dawni_text_add(t, g->params ? "  params:\n" : "");
    for (int i = 0; i < g->params; i++) {
        const struct dawn_param_desc *d = &g->param[i].desc;
        dawni_text_add(t, "  - {name: ");
        dawni_text_add_scalar(t, d->name);
        dawni_text_add(t, ", shape: ");
        write_shape(t, d->dims, d->shape);
        dawni_text_addf(t, ", init: %s", inits[d->init]);
        if (d->std != 0) {
            dawni_text_add(t, ", std: ");
            dawni_text_add_double(t, d->std);
        }
        if (d->average != 0) {
            dawni_text_add(t, ", average: ");
            dawni_text_add_double(t, d->average);
        }
        dawni_text_add(t, d->decay ? ", decay: true}\n" : "}\n");
    }
}

static void write_graph(struct dawni_text *t, const struct dawn_graph *g)
{
    dawni_text_add(t, "graph:\n  name: ");
    dawni_text_add_scalar(t, g->name);
    dawni_text_addf(t, "\n  digest: xxh3:%016llx\n",
                    (unsigned long long)g->digest);
    if (g->loss >= 0) {
        dawni_text_add(t, "  loss: ");
        dawni_text_add_scalar(t, g->tensor[g->loss].desc.name);
        dawni_text_add(t, "\n");
    }
    write_inputs(t, g);
    write_params(t, g);
}

/* Nodes */

/* Names of tensors or parameters by id. */
static void write_names(struct dawni_text *t, const char *key, int n,
                        const struct dawn_graph *g, const int *id, bool params)
{
    if (!n)
        return;
    dawni_text_addf(t, "  %s: [", key);
    for (int i = 0; i < n; i++) {
        dawni_text_add(t, i ? ", " : "");
        dawni_text_add_scalar(t, params ? g->param[id[i]].desc.name
                                        : g->tensor[id[i]].desc.name);
    }
    dawni_text_add(t, "]\n");
}

static void write_bits(struct dawni_text *t, const char *key, uint32_t bits)
{
    const char *comma = "";

    if (!bits)
        return;
    dawni_text_addf(t, "  %s: [", key);
    for (int i = 0; i < 32; i++)
        if (bits >> i & 1) {
            dawni_text_addf(t, "%s%d", comma, i);
            comma = ", ";
        }
    dawni_text_add(t, "]\n");
}

static void write_attrs(struct dawni_text *t, const struct dawn_node_desc *d)
{
    if (!d->attrs)
        return;
    dawni_text_add(t, "  attrs: {");
    for (int i = 0; i < d->attrs; i++) {
        dawni_text_add(t, i ? ", " : "");
        dawni_text_add_scalar(t, d->attr[i].key);
        dawni_text_add(t, ": ");
        dawni_text_add_double(t, d->attr[i].value);
    }
    dawni_text_add(t, "}\n");
}

static void write_flags(struct dawni_text *t, uint32_t flags)
{
    if (flags & DAWN_NODE_INPLACE)
        dawni_text_add(t, "  inplace: true\n");
    if (flags & DAWN_NODE_GRAD_PASS)
        dawni_text_add(t, "  grad_pass: true\n");
    if (flags & DAWN_NODE_GRAD_INPLACE)
        dawni_text_add(t, "  grad_inplace: true\n");
    if (flags & DAWN_NODE_ABSTRACT)
        dawni_text_add(t, "  abstract: true\n");
}

static void write_cost(struct dawni_text *t, const struct dawn_node_cost *c)
{
    const uint64_t *s = c->scratch_bytes;

    dawni_text_add(t, "  - {");
    write_doubles(t, "ns", c->ns);
    if (c->spread_ns[0] != 0 || c->spread_ns[1] != 0 || c->spread_ns[2] != 0) {
        dawni_text_add(t, ", ");
        write_doubles(t, "spread_ns", c->spread_ns);
    }
    if (s[0] || s[1] || s[2])
        dawni_text_addf(t, ", scratch_bytes: [%llu, %llu, %llu]",
                        (unsigned long long)s[0], (unsigned long long)s[1],
                        (unsigned long long)s[2]);
    if (c->update_ns != 0) {
        dawni_text_add(t, ", update_ns: ");
        dawni_text_add_double(t, c->update_ns);
    }
    if (c->prepared_bytes)
        dawni_text_addf(t, ", prepared_bytes: %llu",
                        (unsigned long long)c->prepared_bytes);
    dawni_text_add(t, "}\n");
}

static void write_variants(struct dawni_text *t,
                           const struct dawni_profile_node *n)
{
    dawni_text_add(t, n->variants ? "  variants:\n" : "");
    for (int i = 0; i < n->variants; i++) {
        const struct dawn_node_variant *v = &n->variant[i];
        dawni_text_add(t, "  - {name: ");
        dawni_text_add_scalar(t, v->name);
        dawni_text_add(t, ", ns: ");
        dawni_text_add_double(t, v->ns);
        dawni_text_add(t, ", saved_bytes: ");
        dawni_text_add_double(t, v->saved_bytes);
        dawni_text_add(t, ", fixed_bytes: ");
        dawni_text_add_double(t, v->fixed_bytes);
        dawni_text_add(t, "}\n");
    }
}

static void write_node(struct dawni_text *t, const struct dawn_profile *p,
                       int node)
{
    const struct dawn_graph *g = p->graph;
    const struct dawni_node *n = &g->node[node];
    const struct dawn_node_desc *d = &n->desc;

    dawni_text_add(t, "- name: ");
    dawni_text_add_scalar(t, d->name);
    dawni_text_add(t, "\n  op: ");
    dawni_text_add_scalar(t, d->op);
    if (p->node[node].label) {
        dawni_text_add(t, "\n  label: ");
        dawni_text_add_scalar(t, p->node[node].label);
    }
    dawni_text_add(t, "\n");
    write_names(t, "in", d->inputs, g, d->input, false);
    write_names(t, "params", d->params, g, d->param, true);
    dawni_text_add(t, "  out:\n");
    for (int i = 0; i < d->outputs; i++) {
        dawni_text_add(t, "  - ");
        write_tensor(t, &g->tensor[n->output[i]].desc);
        dawni_text_add(t, "}\n");
    }
    write_bits(t, "save_in", d->save_inputs);
    write_bits(t, "save_out", d->save_outputs);
    write_flags(t, d->flags);
    write_attrs(t, d);
    if (d->flops[0] != 0 || d->flops[1] != 0 || d->flops[2] != 0) {
        dawni_text_add(t, "  ");
        write_doubles(t, "flops", d->flops);
        dawni_text_add(t, "\n");
    }
    dawni_text_add(t, "  cost:\n");
    for (int i = 0; i < p->sizes; i++)
        write_cost(t, dawn_profile_cost_of(p, node, i));
    write_variants(t, &p->node[node]);
}

/* The profile of a graph in the order in which it was built. */
static enum dawn_status save(const struct dawn_profile *p, const char *path,
                             struct dawn_error *err)
{
    enum dawn_status st = dawni_profile_check_variants(p, err);
    struct dawni_text t = {0};

    if (st)
        return st;
    dawni_text_add(&t, "dawn: profile/1\ndevice: ");
    dawni_text_add_scalar(&t, p->device);
    dawni_text_add(&t, "\ndescription: ");
    dawni_text_add_scalar(&t, p->description);
    dawni_text_add(&t, "\nmicrobatches: ");
    write_shape(&t, p->sizes, p->size);
    dawni_text_add(&t, "\n");
    dawni_passes_write(&t, p->passes);
    write_graph(&t, p->graph);
    dawni_text_add(&t, "# cost: one row a microbatch size; lists are F, B, W\n"
                       "nodes:\n");
    for (int i = 0; i < p->graph->nodes; i++)
        write_node(&t, p, i);
    st = dawni_text_save(&t, path, err);
    dawni_text_clear(&t);
    return st;
}

enum dawn_status dawn_profile_save(const struct dawn_profile *p,
                                   const char *path, struct dawn_error *err)
{
    const struct dawn_graph *g = p->graph;
    struct dawn_profile *built;
    enum dawn_status st;

    if (dawni_graph_is_built_order(g))
        return save(p, path, err);
    st = dawn_profile_reorder(p, g->place, g->nodes, &built, err);
    if (st)
        return st;
    st = save(built, path, err);
    dawn_profile_destroy(built);
    return st;
}
