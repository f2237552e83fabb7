/* SPDX-License-Identifier: Apache-2.0 */
/* Building a graph: everything up to dawn_graph_finish. */
#include "common/array.h"
#include "graph/graph.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

enum dawn_status dawn_graph_create(const char *name,
                                   struct dawn_graph **graph_p,
                                   struct dawn_error *err)
{
    struct dawn_graph *g = calloc(1, sizeof *g);
    if (!g)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a graph");
    g->loss = -1;
    g->name = strdup(name);
    g->node_names = dawni_namemap_create();
    g->tensor_names = dawni_namemap_create();
    g->param_names = dawni_namemap_create();
    if (!g->name || !g->node_names || !g->tensor_names || !g->param_names) {
        dawn_graph_destroy(g);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a graph");
    }
    *graph_p = g;
    return DAWN_OK;
}

static void free_node(struct dawni_node *n)
{
    for (int i = 0; i < n->desc.attrs; i++)
        free((char *)n->desc.attr[i].key);
    free((void *)n->desc.attr);
    free((void *)n->desc.input);
    free((void *)n->desc.param);
    free((char *)n->desc.name);
    free((char *)n->desc.op);
    free(n->output);
}

void dawn_graph_destroy(struct dawn_graph *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->nodes; i++)
        free_node(&g->node[i]);
    for (int i = 0; i < g->tensors; i++) {
        free((char *)g->tensor[i].desc.name);
        free(g->tensor[i].user);
    }
    for (int i = 0; i < g->params; i++) {
        free((char *)g->param[i].desc.name);
        free(g->param[i].user);
    }
    free(g->place);
    free(g->node);
    free(g->tensor);
    free(g->param);
    dawni_namemap_destroy(g->node_names);
    dawni_namemap_destroy(g->tensor_names);
    dawni_namemap_destroy(g->param_names);
    free(g->name);
    free(g);
}

void dawn_graph_fail(struct dawn_graph *g, enum dawn_status status,
                     const char *format, ...)
{
    if (g->sticky.status)
        return;
    char text[sizeof g->sticky.text] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dawn_fail(&g->sticky, status, "%s", text);
}

/* May something still be added? */
static bool open_for(struct dawn_graph *g, const char *what)
{
    if (g->finished)
        dawn_graph_fail(g, DAWN_E_INVAL,
                        "graph '%s' is finished, no %s fits in", g->name, what);
    return !g->sticky.status;
}

static bool nomem(struct dawn_graph *g)
{
    dawn_graph_fail(g, DAWN_E_NOMEM, "no memory for graph '%s'", g->name);
    return false;
}

/* Room for one more, and false with the reason kept when there is none. */
#define room(g, list, have)                                                    \
    (dawni_array_reserve(&(g)->list, &(g)->list##_room, (have) + 1) || nomem(g))

static bool check_name(struct dawn_graph *g, const char *what, const char *name,
                       const struct dawni_namemap *names)
{
    if (!name || !*name) {
        dawn_graph_fail(g, DAWN_E_INVAL, "a %s has no name", what);
        return false;
    }
    for (const char *c = name; *c; c++) {
        if (isalnum((unsigned char)*c) || strchr("_.-", *c))
            continue;
        dawn_graph_fail(g, DAWN_E_INVAL,
                        "%s name '%s': only letters, digits, '_', '.', '-'",
                        what, name);
        return false;
    }
    if (dawni_namemap_find(names, name) >= 0) {
        dawn_graph_fail(g, DAWN_E_INVAL, "two %ss have the name '%s'", what,
                        name);
        return false;
    }
    return true;
}

/* Extents are >= 1 and their product fits; sets *elements_p. */
static bool check_shape(struct dawn_graph *g, const char *name, int dims,
                        const int64_t *shape, int64_t *elements_p)
{
    if (dims < 0 || dims > DAWN_MAX_DIMS) {
        dawn_graph_fail(g, DAWN_E_INVAL, "'%s' has %d extents, 0 to %d work",
                        name, dims, DAWN_MAX_DIMS);
        return false;
    }
    int64_t elements = 1;
    for (int i = 0; i < dims; i++) {
        if (shape[i] < 1 || elements > ((int64_t)1 << 50) / shape[i]) {
            dawn_graph_fail(g, DAWN_E_INVAL, "'%s' has extent %lld at %d", name,
                            (long long)shape[i], i);
            return false;
        }
        elements *= shape[i];
    }
    *elements_p = elements;
    return true;
}

static int add_tensor(struct dawn_graph *g, const struct dawn_tensor_desc *desc,
                      int producer, int port)
{
    int64_t elements;
    if (!check_name(g, "tensor", desc->name, g->tensor_names) ||
        !check_shape(g, desc->name, desc->dims, desc->shape, &elements))
        return -1;
    if (!dawn_dtype_name(desc->dtype)) {
        dawn_graph_fail(g, DAWN_E_INVAL, "tensor '%s' has dtype %d", desc->name,
                        (int)desc->dtype);
        return -1;
    }
    if (!room(g, tensor, g->tensors))
        return -1;
    struct dawni_tensor *t = &g->tensor[g->tensors];
    *t = (struct dawni_tensor){
        .desc = *desc, .producer = producer, .port = port};
    t->desc.name = strdup(desc->name);
    if (!t->desc.name ||
        dawni_namemap_add(g->tensor_names, t->desc.name, g->tensors)) {
        free((char *)t->desc.name);
        nomem(g);
        return -1;
    }
    return g->tensors++;
}

int dawn_graph_add_input(struct dawn_graph *g,
                         const struct dawn_tensor_desc *desc)
{
    return open_for(g, "input") ? add_tensor(g, desc, -1, 0) : -1;
}

static bool check_average(struct dawn_graph *g, const struct dawn_param_desc *d)
{
    if (d->average >= 0 && d->average < 1 && !(d->average > 0 && d->decay))
        return true;
    dawn_graph_fail(g, DAWN_E_INVAL,
                    "parameter '%s': average %g, must be 0 or below 1, and "
                    "without decay",
                    d->name, d->average);
    return false;
}

int dawn_graph_add_param(struct dawn_graph *g,
                         const struct dawn_param_desc *desc)
{
    int64_t elements;
    if (!open_for(g, "parameter") ||
        !check_name(g, "parameter", desc->name, g->param_names) ||
        !check_shape(g, desc->name, desc->dims, desc->shape, &elements) ||
        !check_average(g, desc) || !room(g, param, g->params))
        return -1;
    struct dawni_param *p = &g->param[g->params];
    *p = (struct dawni_param){.desc = *desc, .elements = elements};
    p->desc.name = strdup(desc->name);
    if (!p->desc.name ||
        dawni_namemap_add(g->param_names, p->desc.name, g->params)) {
        free((char *)p->desc.name);
        nomem(g);
        return -1;
    }
    return g->params++;
}

static bool check_count(struct dawn_graph *g, const char *node,
                        const char *what, int n, int most)
{
    if (n >= 0 && n <= most)
        return true;
    dawn_graph_fail(g, DAWN_E_INVAL, "node '%s' has %d %ss, 0 to %d work", node,
                    n, what, most);
    return false;
}

static bool check_ids(struct dawn_graph *g, const char *node, const char *what,
                      const int *id, int ids, int below)
{
    for (int i = 0; i < ids; i++) {
        if (id[i] >= 0 && id[i] < below)
            continue;
        dawn_graph_fail(g, DAWN_E_INVAL, "node '%s': %s %d is id %d, of %d",
                        node, what, i, id[i], below);
        return false;
    }
    return true;
}

static bool check_node(struct dawn_graph *g, const struct dawn_node_desc *d)
{
    if (!check_name(g, "node", d->name, g->node_names) ||
        !check_count(g, d->name, "input", d->inputs, DAWN_MAX_INPUTS) ||
        !check_count(g, d->name, "parameter", d->params, DAWN_MAX_PORTS) ||
        !check_ids(g, d->name, "input", d->input, d->inputs, g->tensors) ||
        !check_ids(g, d->name, "parameter", d->param, d->params, g->params))
        return false;
    if (d->outputs < 1 || d->outputs > DAWN_MAX_PORTS) {
        dawn_graph_fail(g, DAWN_E_INVAL,
                        "node '%s' has %d outputs, 1 to %d work", d->name,
                        d->outputs, DAWN_MAX_PORTS);
        return false;
    }
    if (!d->op || !*d->op || (strcmp(d->op, "layer") == 0 && !d->fns)) {
        dawn_graph_fail(g, DAWN_E_INVAL, "node '%s' has no %s", d->name,
                        d->op && *d->op ? "callbacks" : "operator");
        return false;
    }
    if ((d->inputs < 32 && d->save_inputs >> d->inputs) ||
        d->save_outputs >> d->outputs) {
        dawn_graph_fail(g, DAWN_E_INVAL,
                        "node '%s' saves what it does not have", d->name);
        return false;
    }
    return true;
}

/* Copy n elements; never NULL on success. */
static void *copy(const void *from, int n, size_t each)
{
    void *to = calloc((size_t)n + 1, each);
    if (to && n)
        memcpy(to, from, (size_t)n * each);
    return to;
}

bool dawni_node_copy(struct dawni_node *n, const struct dawn_node_desc *d)
{
    *n = (struct dawni_node){.desc = *d};
    n->desc.output = NULL;
    n->desc.attrs = 0;
    n->desc.name = strdup(d->name);
    n->desc.op = strdup(d->op);
    n->desc.input = copy(d->input, d->inputs, sizeof *d->input);
    n->desc.param = copy(d->param, d->params, sizeof *d->param);
    struct dawn_attr *attr = copy(d->attr, d->attrs, sizeof *d->attr);
    n->desc.attr = attr;
    n->output = calloc((size_t)d->outputs, sizeof *n->output);
    if (!n->desc.name || !n->desc.op || !n->desc.input || !n->desc.param ||
        !attr || !n->output)
        return false;
    for (int i = 0; i < d->attrs; i++) {
        attr[i].key = strdup(d->attr[i].key);
        if (!attr[i].key)
            return false;
        n->desc.attrs++;
    }
    return true;
}

int dawn_graph_add_node(struct dawn_graph *g, const struct dawn_node_desc *d)
{
    if (!open_for(g, "node") || !check_node(g, d) || !room(g, node, g->nodes))
        return -1;
    int id = g->nodes;
    struct dawni_node *n = &g->node[id];
    g->nodes++; /* destroy takes it from here */
    if (!dawni_node_copy(n, d) ||
        dawni_namemap_add(g->node_names, n->desc.name, id)) {
        nomem(g);
        return -1;
    }
    n->number = id;
    for (int k = 0; k < d->outputs; k++) {
        n->output[k] = add_tensor(g, &d->output[k], id, k);
        if (n->output[k] < 0)
            return -1;
    }
    return id;
}

void dawn_graph_set_loss(struct dawn_graph *g, int tensor)
{
    if (tensor < 0 || tensor >= g->tensors)
        dawn_graph_fail(g, DAWN_E_INVAL, "the loss is tensor %d, of %d", tensor,
                        g->tensors);
    else if (open_for(g, "loss"))
        g->loss = tensor;
}
