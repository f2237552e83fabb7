/* SPDX-License-Identifier: Apache-2.0 */
/* profile.yaml in: builds the graph again, then takes the costs. */
#include "common/yaml.h"
#include "profile/profile.h"

#include <dawnpiper/op.h>
#include <float.h>
#include <inttypes.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define MAX_EXTENT ((int64_t)1 << 50)
#define MAX_ATTRS 64
#define MOST_FLOPS 1e27 /* of a sample */

static int no_callback(void *user, const struct dawn_op_args *args)
{
    return -1;
}

const struct dawn_layer_fns dawni_profile_layer_fns = {
    .forward = no_callback,
    .backward_input = no_callback,
    .backward_param = no_callback,
};

/* Tables */

#define DTYPE_NAME(name, text, bytes) text,
static const char *const dtypes[] = {DAWN_DTYPE_MAP(DTYPE_NAME) NULL};
#undef DTYPE_NAME
static const char *const inits[] = {"zero", "one", "normal", NULL};

struct top {
    const char *kind, *device, *description;
    const struct dawni_yaml *sizes, *passes, *graph, *nodes;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct top, __VA_ARGS__)
static const struct dawni_yaml_field top_fields[] = {
    FIELD("dawn", TEXT, kind),
    FIELD("device", TEXT, device, .required = true),
    FIELD("description", TEXT, description),
    FIELD("microbatches", A_LIST, sizes, .required = true),
    FIELD("passes", A_LIST, passes),
    FIELD("graph", A_MAP, graph, .required = true),
    FIELD("nodes", A_LIST, nodes, .required = true),
};
#undef FIELD

struct graph_in {
    const char *name, *loss;
    uint64_t digest;
    const struct dawni_yaml *inputs, *params;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct graph_in, __VA_ARGS__)
static const struct dawni_yaml_field graph_fields[] = {
    FIELD("name", TEXT, name, .required = true),
    FIELD("digest", DIGEST, digest, .required = true),
    FIELD("loss", TEXT, loss),
    FIELD("inputs", A_LIST, inputs),
    FIELD("params", A_LIST, params),
};
#undef FIELD

struct tensor_in {
    struct dawn_tensor_desc desc;
    int dtype, after_nodes;
    const struct dawni_yaml *shape;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct tensor_in, __VA_ARGS__)
static const struct dawni_yaml_field tensor_fields[] = {
    FIELD("name", TEXT, desc.name, .required = true),
    FIELD("dtype", CHOICE, dtype, .required = true, .choices = dtypes),
    FIELD("shape", A_LIST, shape, .required = true),
    FIELD("batched", BOOL, desc.batched),
    FIELD("no_grad", BOOL, desc.no_grad),
    FIELD("after_nodes", INT, after_nodes, .ihi = INT32_MAX), /* inputs only */
};
#undef FIELD

struct param_in {
    struct dawn_param_desc desc;
    int init;
    const struct dawni_yaml *shape;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct param_in, __VA_ARGS__)
static const struct dawni_yaml_field param_fields[] = {
    FIELD("name", TEXT, desc.name, .required = true),
    FIELD("shape", A_LIST, shape, .required = true),
    FIELD("init", CHOICE, init, .required = true, .choices = inits),
    FIELD("std", DOUBLE, desc.std, .hi = 1e6),
    FIELD("decay", BOOL, desc.decay),
    FIELD("average", DOUBLE, desc.average, .lo = 0, .hi = 0.9999999),
};
#undef FIELD

struct node_in {
    const char *name, *op, *label;
    const struct dawni_yaml *in, *params, *out, *save_in, *save_out, *attrs,
        *flops, *cost, *variants;
    bool inplace, grad_pass, grad_inplace, abstract;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct node_in, __VA_ARGS__)
static const struct dawni_yaml_field node_fields[] = {
    FIELD("name", TEXT, name, .required = true),
    FIELD("op", TEXT, op, .required = true),
    FIELD("label", TEXT, label),
    FIELD("in", A_LIST, in),
    FIELD("params", A_LIST, params),
    FIELD("out", A_LIST, out, .required = true),
    FIELD("save_in", A_LIST, save_in),
    FIELD("save_out", A_LIST, save_out),
    FIELD("inplace", BOOL, inplace),
    FIELD("grad_pass", BOOL, grad_pass),
    FIELD("grad_inplace", BOOL, grad_inplace),
    FIELD("abstract", BOOL, abstract),
    FIELD("attrs", A_MAP, attrs),
    FIELD("flops", A_LIST, flops),
    FIELD("cost", A_LIST, cost, .required = true),
    FIELD("variants", A_LIST, variants),
};
#undef FIELD

#define FIELD(name, kind, ...)                                                 \
    DAWNI_YAML_FIELD(struct dawn_node_variant, #name, kind, name,              \
                     .required = true, __VA_ARGS__)
static const struct dawni_yaml_field variant_fields[] = {
    FIELD(name, TEXT, ),
    FIELD(ns, DOUBLE, .hi = DAWNI_MOST_NS),
    FIELD(saved_bytes, DOUBLE, .hi = DAWNI_MOST_NODE_BYTES),
    FIELD(fixed_bytes, DOUBLE, .hi = DAWNI_MOST_NODE_BYTES),
};
#undef FIELD

struct cost_in {
    struct dawn_node_cost cost;
    const struct dawni_yaml *ns, *spread_ns, *scratch_bytes;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct cost_in, __VA_ARGS__)
static const struct dawni_yaml_field cost_fields[] = {
    FIELD("ns", A_LIST, ns, .required = true),
    FIELD("spread_ns", A_LIST, spread_ns),
    FIELD("scratch_bytes", A_LIST, scratch_bytes),
    FIELD("update_ns", DOUBLE, cost.update_ns, .hi = DAWNI_MOST_NS),
    FIELD("prepared_bytes", SIZE, cost.prepared_bytes,
          .ihi = DAWNI_MOST_NODE_BYTES),
};
#undef FIELD

/* Lists of numbers */

static enum dawn_status read_shape(const struct dawni_yaml *list, int *dims,
                                   int64_t *shape, struct dawn_error *err)
{
    enum dawn_status st;

    if (list->items > DAWN_MAX_DIMS)
        return dawni_yaml_fail(list, DAWN_E_FORMAT, err,
                               "key 'shape': %d extents, at most %d work",
                               list->items, DAWN_MAX_DIMS);
    for (const struct dawni_yaml *at = list->first; at; at = at->next)
        if ((st = dawni_yaml_int(at, 1, MAX_EXTENT, &shape[(*dims)++], err)))
            return st;
    return DAWN_OK;
}

static enum dawn_status check_three(const struct dawni_yaml *list,
                                    struct dawn_error *err)
{
    if (list->items == 3)
        return DAWN_OK;
    return dawni_yaml_fail(list, DAWN_E_FORMAT, err,
                           "key '%s': expected 3 numbers (F, B, W), found %d",
                           list->key, list->items);
}

static enum dawn_status read_three(const struct dawni_yaml *list, double most,
                                   double x[3], struct dawn_error *err)
{
    enum dawn_status st = list ? check_three(list, err) : DAWN_OK;
    const struct dawni_yaml *at = list ? list->first : NULL;

    for (; at && !st; at = at->next)
        st = dawni_yaml_double(at, 0, most, x++, err);
    return st;
}

static enum dawn_status read_three_sizes(const struct dawni_yaml *list,
                                         uint64_t x[3], struct dawn_error *err)
{
    enum dawn_status st = list ? check_three(list, err) : DAWN_OK;
    const struct dawni_yaml *at = list ? list->first : NULL;

    for (; at && !st; at = at->next)
        st = dawni_yaml_size(at, 0, DAWNI_MOST_NODE_BYTES, x++, err);
    return st;
}

/* Port numbers to a mask. */
static enum dawn_status read_bits(const struct dawni_yaml *list, int ports,
                                  uint32_t *bits, struct dawn_error *err)
{
    const struct dawni_yaml *at = list ? list->first : NULL;
    enum dawn_status st;
    int64_t bit;

    for (; at; at = at->next) {
        if ((st = dawni_yaml_int(at, 0, ports - 1, &bit, err)))
            return st;
        *bits |= (uint32_t)1 << bit;
    }
    return DAWN_OK;
}

/* The graph */

/* What the graph did not like, with the line of `at`. */
static enum dawn_status fail_graph(const struct dawni_yaml *at,
                                   struct dawn_graph *graph,
                                   struct dawn_error *err)
{
    struct dawn_error why;
    enum dawn_status st = dawn_graph_finish(graph, &why);

    return dawni_yaml_fail(at, st == DAWN_E_NOMEM ? st : DAWN_E_FORMAT, err,
                           "%s", why.text);
}

static enum dawn_status read_tensor(const struct dawni_yaml *map, bool is_input,
                                    struct tensor_in *t, struct dawn_error *err)
{
    int fields = COUNT(tensor_fields) - !is_input;
    enum dawn_status st;

    *t = (struct tensor_in){.desc.batched = true};
    if ((st = dawni_yaml_read(map, tensor_fields, fields, t, err)))
        return st;
    t->desc.dtype = (enum dawn_dtype)t->dtype;
    return read_shape(t->shape, &t->desc.dims, t->desc.shape, err);
}

static enum dawn_status read_params(const struct dawni_yaml *list,
                                    struct dawn_graph *graph,
                                    struct dawn_error *err)
{
    const struct dawni_yaml *at = list ? list->first : NULL;
    enum dawn_status st;

    for (; at; at = at->next) {
        struct param_in p = {0};
        if ((st = dawni_yaml_read(at, param_fields, COUNT(param_fields), &p,
                                  err)))
            return st;
        p.desc.init = (enum dawn_init)p.init;
        if ((st = read_shape(p.shape, &p.desc.dims, p.desc.shape, err)))
            return st;
        if (dawn_graph_add_param(graph, &p.desc) < 0)
            return fail_graph(at, graph, err);
    }
    return DAWN_OK;
}

/* Add the inputs from *at on that come before node number `nodes`. */
static enum dawn_status read_inputs(const struct dawni_yaml **at, int nodes,
                                    struct dawn_graph *graph,
                                    struct dawn_error *err)
{
    struct tensor_in t;
    enum dawn_status st;

    for (; *at; *at = (*at)->next) {
        if ((st = read_tensor(*at, true, &t, err)))
            return st;
        if (t.after_nodes > nodes)
            return DAWN_OK;
        if (dawn_graph_add_input(graph, &t.desc) < 0)
            return fail_graph(*at, graph, err);
    }
    return DAWN_OK;
}

/* Names to ids. */
static enum dawn_status read_ids(const struct dawni_yaml *list, bool params,
                                 const struct dawn_graph *graph, int *id,
                                 struct dawn_error *err)
{
    const struct dawni_yaml *at = list ? list->first : NULL;
    int most = params ? DAWN_MAX_PORTS : DAWN_MAX_INPUTS;

    if (list && list->items > most)
        return dawni_yaml_fail(list, DAWN_E_FORMAT, err,
                               "key '%s': %d names, at most %d work", list->key,
                               list->items, most);
    for (; at; at = at->next, id++) {
        if (at->kind != DAWNI_YAML_SCALAR)
            return dawni_yaml_expected(at, "a name", err);
        *id = params ? dawn_graph_find_param(graph, at->text)
                     : dawn_graph_find_tensor(graph, at->text);
        if (*id < 0)
            return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                                   params ? "no parameter '%.100s'"
                                          : "no tensor '%.100s' before here",
                                   at->text);
    }
    return DAWN_OK;
}

static enum dawn_status read_outputs(const struct dawni_yaml *list,
                                     struct dawn_tensor_desc *output,
                                     struct dawn_error *err)
{
    struct tensor_in t;
    enum dawn_status st;

    if (list->items > DAWN_MAX_PORTS)
        return dawni_yaml_fail(list, DAWN_E_FORMAT, err,
                               "key 'out': %d tensors, at most %d work",
                               list->items, DAWN_MAX_PORTS);
    for (const struct dawni_yaml *at = list->first; at; at = at->next) {
        if ((st = read_tensor(at, false, &t, err)))
            return st;
        *output++ = t.desc;
    }
    return DAWN_OK;
}

static enum dawn_status read_attrs(const struct dawni_yaml *map,
                                   struct dawn_attr *attr,
                                   struct dawn_error *err)
{
    const struct dawni_yaml *at = map ? map->first : NULL;
    enum dawn_status st;

    if (map && map->items > MAX_ATTRS)
        return dawni_yaml_fail(map, DAWN_E_FORMAT, err,
                               "key 'attrs': %d of them, at most %d work",
                               map->items, MAX_ATTRS);
    for (; at; at = at->next, attr++) {
        attr->key = at->key;
        if ((st = dawni_yaml_double(at, -DBL_MAX, DBL_MAX, &attr->value, err)))
            return st;
    }
    return DAWN_OK;
}

static enum dawn_status read_node(const struct dawni_yaml *map,
                                  struct dawn_graph *graph,
                                  struct dawn_error *err)
{
    struct dawn_tensor_desc output[DAWN_MAX_PORTS];
    int input[DAWN_MAX_INPUTS], param[DAWN_MAX_PORTS];
    struct dawn_attr attr[MAX_ATTRS];
    struct node_in in = {0};
    enum dawn_status st;

    if ((st = dawni_yaml_read(map, node_fields, COUNT(node_fields), &in, err)))
        return st;
    if ((st = read_ids(in.in, false, graph, input, err)) ||
        (st = read_ids(in.params, true, graph, param, err)) ||
        (st = read_outputs(in.out, output, err)) ||
        (st = read_attrs(in.attrs, attr, err)))
        return st;
    struct dawn_node_desc d = {
        .name = in.name,
        .op = in.op,
        .inputs = in.in ? in.in->items : 0,
        .input = input,
        .params = in.params ? in.params->items : 0,
        .param = param,
        .outputs = in.out->items,
        .output = output,
        .flags = (in.inplace ? DAWN_NODE_INPLACE : 0u) |
                 (in.grad_pass ? DAWN_NODE_GRAD_PASS : 0u) |
                 (in.grad_inplace ? DAWN_NODE_GRAD_INPLACE : 0u) |
                 (in.abstract ? DAWN_NODE_ABSTRACT : 0u),
        .attrs = in.attrs ? in.attrs->items : 0,
        .attr = attr,
        .fns = !strcmp(in.op, "layer") ? &dawni_profile_layer_fns : NULL,
    };
    if ((st = read_bits(in.save_in, d.inputs < 32 ? d.inputs : 32,
                        &d.save_inputs, err)) ||
        (st = read_bits(in.save_out, d.outputs, &d.save_outputs, err)) ||
        (st = read_three(in.flops, MOST_FLOPS, d.flops, err)))
        return st;
    return dawn_graph_add_node(graph, &d) < 0 ? fail_graph(map, graph, err)
                                              : DAWN_OK;
}

static enum dawn_status fill_graph(const struct top *top,
                                   const struct graph_in *in,
                                   struct dawn_graph *graph,
                                   struct dawn_error *err)
{
    const struct dawni_yaml *input = in->inputs ? in->inputs->first : NULL;
    const struct dawni_yaml *at = top->nodes->first;
    enum dawn_status st;

    if ((st = read_params(in->params, graph, err)))
        return st;
    for (int i = 0; at; at = at->next, i++)
        if ((st = read_inputs(&input, i, graph, err)) ||
            (st = read_node(at, graph, err)))
            return st;
    if ((st = read_inputs(&input, top->nodes->items, graph, err)))
        return st;
    if (input)
        return dawni_yaml_fail(input, DAWN_E_FORMAT, err,
                               "after more nodes than the graph has, %d",
                               top->nodes->items);
    if (in->loss) {
        int loss = dawn_graph_find_tensor(graph, in->loss);
        if (loss < 0)
            return dawni_yaml_fail(dawni_yaml_get(top->graph, "loss"),
                                   DAWN_E_FORMAT, err, "no tensor '%.100s'",
                                   in->loss);
        dawn_graph_set_loss(graph, loss);
    }
    if (dawn_graph_finish(graph, NULL))
        return fail_graph(top->graph, graph, err);
    if (dawn_graph_digest(graph) == in->digest)
        return DAWN_OK;
    return dawni_yaml_fail(dawni_yaml_get(top->graph, "digest"),
                           DAWN_E_MISMATCH, err,
                           "the graph in this file has digest xxh3:%016" PRIx64
                           ", it says xxh3:%016" PRIx64,
                           dawn_graph_digest(graph), in->digest);
}

/* Costs */

static enum dawn_status read_cost(const struct dawni_yaml *map,
                                  struct dawn_node_cost *cost,
                                  struct dawn_error *err)
{
    struct cost_in in = {0};
    enum dawn_status st;

    if ((st =
             dawni_yaml_read(map, cost_fields, COUNT(cost_fields), &in, err)) ||
        (st = read_three(in.ns, DAWNI_MOST_NS, in.cost.ns, err)) ||
        (st =
             read_three(in.spread_ns, DAWNI_MOST_NS, in.cost.spread_ns, err)) ||
        (st = read_three_sizes(in.scratch_bytes, in.cost.scratch_bytes, err)))
        return st;
    *cost = in.cost;
    return DAWN_OK;
}

static enum dawn_status read_costs(const struct dawni_yaml *nodes,
                                   struct dawn_profile *p,
                                   struct dawn_error *err)
{
    struct dawn_node_cost *cost = p->cost;
    enum dawn_status st;

    for (const struct dawni_yaml *at = nodes->first; at; at = at->next) {
        const struct dawni_yaml *list = dawni_yaml_get(at, "cost");
        const struct dawni_yaml *row = list->first;
        if (list->items != p->sizes)
            return dawni_yaml_fail(list, DAWN_E_FORMAT, err,
                                   "key 'cost': %d rows, one for each of the "
                                   "%d microbatch sizes is wanted",
                                   list->items, p->sizes);
        for (; row; row = row->next)
            if ((st = read_cost(row, cost++, err)))
                return st;
    }
    return DAWN_OK;
}

static enum dawn_status read_variants(const struct dawni_yaml *list,
                                      struct dawn_profile *p, int node,
                                      struct dawn_error *err)
{
    struct dawn_node_variant variant[DAWN_MAX_VARIANTS] = {{0}};
    const struct dawni_yaml *at = list ? list->first : NULL;
    enum dawn_status st;

    if (!list)
        return DAWN_OK;
    if (list->items < 1 || list->items > DAWN_MAX_VARIANTS)
        return dawni_yaml_fail(list, DAWN_E_FORMAT, err,
                               "key 'variants': %d of them, 1 to %d work",
                               list->items, DAWN_MAX_VARIANTS);
    for (int i = 0; at; at = at->next, i++)
        if ((st = dawni_yaml_read(at, variant_fields, COUNT(variant_fields),
                                  &variant[i], err)))
            return st;
    return dawn_profile_set_variants(p, node, list->items, variant, err);
}

/* What stands beside the costs. */
static enum dawn_status read_rest(const struct dawni_yaml *nodes,
                                  struct dawn_profile *p,
                                  struct dawn_error *err)
{
    struct dawn_error why;
    enum dawn_status st;
    int node = 0;

    for (const struct dawni_yaml *at = nodes->first; at; at = at->next) {
        const struct dawni_yaml *label = dawni_yaml_get(at, "label");
        st = read_variants(dawni_yaml_get(at, "variants"), p, node, err);
        if (!st && label)
            st = dawn_profile_set_label(p, node, label->text, err);
        if (st)
            return st;
        node++;
    }
    if ((st = dawni_profile_check_variants(p, &why)))
        return dawni_yaml_fail(nodes, DAWN_E_FORMAT, err, "%s", why.text);
    return DAWN_OK;
}

static enum dawn_status read_passes(const struct dawni_yaml *list,
                                    struct dawn_profile *p,
                                    struct dawn_error *err)
{
    char names[DAWNI_PASS_NAMES] = "";
    struct dawn_error why;
    enum dawn_status st = list ? dawni_passes_read(list, names, err) : DAWN_OK;

    if (st || !dawn_profile_set_passes(p, names, &why))
        return st;
    return dawni_yaml_fail(list, DAWN_E_FORMAT, err, "key 'passes': %s",
                           why.text);
}

/* Takes the graph, also when it fails. */
static enum dawn_status read_profile(const struct top *top,
                                     struct dawn_graph *graph,
                                     struct dawn_profile **profile_p,
                                     struct dawn_error *err)
{
    int64_t size[DAWNI_PROFILE_SIZES];
    struct dawn_profile *p = NULL;
    enum dawn_status st = DAWN_OK;
    struct dawn_error why;
    int sizes = 0;

    const struct dawni_yaml *at = top->sizes->first;
    for (; at && !st && sizes < DAWNI_PROFILE_SIZES; at = at->next)
        st = dawni_yaml_int(at, 1, DAWNI_MOST_SAMPLES, &size[sizes++], err);
    if (!st && (st = dawn_profile_create(
                    graph,
                    &(struct dawn_profile_desc){top->device, top->description,
                                                top->sizes->items, size},
                    &p, &why)))
        dawni_yaml_fail(top->sizes, st == DAWN_E_INVAL ? DAWN_E_FORMAT : st,
                        err, "%s", why.text);
    if (st) {
        dawn_graph_destroy(graph);
        return st == DAWN_E_INVAL ? DAWN_E_FORMAT : st;
    }
    if ((st = read_costs(top->nodes, p, err)) ||
        (st = read_rest(top->nodes, p, err)) ||
        (st = read_passes(top->passes, p, err))) {
        dawn_profile_destroy(p);
        return st;
    }
    *profile_p = p;
    return DAWN_OK;
}

static enum dawn_status read_doc(const struct dawni_yaml_doc *doc,
                                 struct dawn_profile **profile_p,
                                 struct dawn_error *err)
{
    struct graph_in in = {0};
    struct dawn_graph *graph;
    struct top top = {0};
    enum dawn_status st;

    if ((st = dawni_yaml_check_kind(doc, "profile/1", err)))
        return st;
    if ((st = dawni_yaml_read(dawni_yaml_root(doc), top_fields,
                              COUNT(top_fields), &top, err)))
        return st;
    if ((st = dawni_yaml_read(top.graph, graph_fields, COUNT(graph_fields), &in,
                              err)))
        return st;
    if ((st = dawn_graph_create(in.name, &graph, err)))
        return st;
    if ((st = fill_graph(&top, &in, graph, err))) {
        dawn_graph_destroy(graph);
        return st;
    }
    return read_profile(&top, graph, profile_p, err);
}

enum dawn_status dawn_profile_load(const char *path,
                                   struct dawn_profile **profile_p,
                                   struct dawn_error *err)
{
    struct dawni_yaml_doc *doc;
    enum dawn_status st;

    if ((st = dawni_yaml_load(path, &doc, err)))
        return st;
    st = read_doc(doc, profile_p, err);
    dawni_yaml_destroy(doc);
    return st;
}
