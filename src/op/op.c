/* SPDX-License-Identifier: Apache-2.0 */
/* dawn_op_add: the table of operators, and what is checked for all of them. */
#include "op/op.h"

#include <math.h>
#include <string.h>

static const struct dawni_op_def *const defs[] = {
    &dawni_op_embedding,  &dawni_op_position,      &dawni_op_layer_norm,
    &dawni_op_rms_norm,   &dawni_op_linear,        &dawni_op_gelu,
    &dawni_op_relu,       &dawni_op_scale,         &dawni_op_attention,
    &dawni_op_attend,     &dawni_op_relative_bias, &dawni_op_attn_scores,
    &dawni_op_softmax,    &dawni_op_attn_values,   &dawni_op_dropout,
    &dawni_op_add,        &dawni_op_gather,        &dawni_op_conv2d,
    &dawni_op_batch_norm, &dawni_op_max_pool,      &dawni_op_avg_pool,
    &dawni_op_mean_pool,  &dawni_op_concat,        &dawni_op_cross_entropy,
};

#define DEFS (sizeof defs / sizeof defs[0])

static const struct dawni_op_def *find_def(const char *op)
{
    for (size_t i = 0; op && i < DEFS; i++)
        if (strcmp(defs[i]->op, op) == 0)
            return defs[i];
    return NULL;
}

uint32_t dawni_op_prepared(const char *op)
{
    const struct dawni_op_def *def = find_def(op);
    return def ? def->prepared : 0;
}

static bool check_value(struct dawni_op *c, const struct dawni_op_attr *known,
                        double x)
{
    switch (known->kind) {
    case DAWNI_ATTR_BOOL:
        if (x == 0 || x == 1)
            return true;
        return dawni_op_fail(c, "%s %g, must be 0 or 1", known->key, x);
    case DAWNI_ATTR_COUNT:
        if (x >= 1 && x <= 1 << 30 && x == floor(x))
            return true;
        return dawni_op_fail(c, "%s %g, must be a count >= 1", known->key, x);
    case DAWNI_ATTR_NATURAL:
        if (x >= 0 && x <= 1 << 30 && x == floor(x))
            return true;
        return dawni_op_fail(c, "%s %g, must be a count", known->key, x);
    case DAWNI_ATTR_POSITIVE:
        if (x > 0 && isfinite(x))
            return true;
        return dawni_op_fail(c, "%s %g, must be > 0", known->key, x);
    case DAWNI_ATTR_FRACTION:
        if (x >= 0 && x < 1)
            return true;
        return dawni_op_fail(c, "%s %g, must be >= 0 and < 1", known->key, x);
    }
    return dawni_op_fail(c, "%s has no kind", known->key);
}

static const struct dawn_attr *given_attr(const struct dawn_op_desc *desc,
                                          const char *key)
{
    for (int i = 0; i < desc->attrs; i++)
        if (strcmp(desc->attr[i].key, key) == 0)
            return &desc->attr[i];
    return NULL;
}

/* Every known attribute once, given or by default. */
static bool fill_attrs(struct dawni_op *c, const struct dawni_op_def *def)
{
    const struct dawni_op_attr *known = def->attr;
    int used = 0;
    for (; known->key; known++) {
        const struct dawn_attr *given = given_attr(c->desc, known->key);
        if (!given && known->required)
            return dawni_op_fail(c, "needs the attribute %s", known->key);
        double value = given ? given->value : known->otherwise;
        if (!check_value(c, known, value))
            return false;
        c->attr[c->attrs].key = known->key;
        c->attr[c->attrs++].value = value;
        used += given != NULL;
    }
    if (used != c->desc->attrs)
        return dawni_op_fail(c,
                             "has %d attributes, %d of them known and"
                             " named once",
                             c->desc->attrs, used);
    return true;
}

static bool check_counts(struct dawni_op *c, const struct dawni_op_def *def)
{
    const struct dawn_op_desc *desc = c->desc;
    int most = def->inputs + def->optional_inputs;
    if (def->inputs == most && desc->inputs != most)
        return dawni_op_fail(c, "%d inputs, must be %d", desc->inputs, most);
    if (desc->inputs < def->inputs || desc->inputs > most)
        return dawni_op_fail(c, "%d inputs, must be %d to %d", desc->inputs,
                             def->inputs, most);
    if (desc->params < def->params_min || desc->params > def->params_max)
        return dawni_op_fail(c, "%d parameters, must be %d to %d", desc->params,
                             def->params_min, def->params_max);
    if (desc->attrs < 0 ||
        desc->attrs > (int)(sizeof desc->attr / sizeof desc->attr[0]))
        return dawni_op_fail(c, "%d attributes", desc->attrs);
    for (int i = 0; i < desc->attrs; i++)
        if (!desc->attr[i].key)
            return dawni_op_fail(c, "attribute %d has no key", i);
    return true;
}

static bool find_ports(struct dawni_op *c)
{
    const struct dawn_op_desc *desc = c->desc;
    for (int i = 0; i < desc->inputs; i++) {
        c->in[i] = dawn_graph_tensor(c->graph, desc->input[i]);
        if (!c->in[i])
            return dawni_op_fail(c, "input %d is tensor %d, which is not there",
                                 i, desc->input[i]);
    }
    for (int i = 0; i < desc->params; i++) {
        c->param[i] = dawn_graph_param(c->graph, desc->param[i]);
        if (!c->param[i])
            return dawni_op_fail(c,
                                 "parameter %d is number %d, which is not"
                                 " there",
                                 i, desc->param[i]);
    }
    return true;
}

static int add_node(const struct dawni_op *c)
{
    const struct dawn_op_desc *desc = c->desc;
    struct dawn_node_desc node = {
        .name = desc->name,
        .op = desc->op,
        .inputs = desc->inputs,
        .input = desc->input,
        .params = desc->params,
        .param = desc->param,
        .outputs = c->outputs,
        .output = c->out,
        .save_inputs = c->save_inputs,
        .save_outputs = c->save_outputs,
        .flags = c->flags,
        .attrs = c->attrs,
        .attr = c->attr,
    };
    memcpy(node.flops, c->flops, sizeof node.flops);
    int id = dawn_graph_add_node(c->graph, &node);
    return id < 0 ? -1 : dawn_graph_output(c->graph, id, 0);
}

int dawn_op_add(struct dawn_graph *graph, const struct dawn_op_desc *desc)
{
    struct dawni_op c = {.graph = graph, .desc = desc};
    const struct dawni_op_def *def = find_def(desc->op);
    if (!desc->name || !desc->name[0] ||
        strlen(desc->name) > DAWNI_OP_NAME - 10) {
        dawn_graph_fail(graph, DAWN_E_INVAL,
                        "a node's name must have 1 to %d letters",
                        DAWNI_OP_NAME - 10);
        return -1;
    }
    if (!def) {
        dawn_graph_fail(graph, DAWN_E_INVAL, "node %s: no operator \"%s\"",
                        desc->name, desc->op ? desc->op : "");
        return -1;
    }
    if (!check_counts(&c, def) || !fill_attrs(&c, def) || !find_ports(&c))
        return -1;
    if (def->expand) {
        int tensor = def->expand(&c);
        if (tensor != -2)
            return tensor;
    }
    return def->infer(&c) ? add_node(&c) : -1;
}
