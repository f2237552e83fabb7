/* SPDX-License-Identifier: Apache-2.0 */
#include "models/layers.h"

#include <dawnpiper/op.h>
#include <stdarg.h>
#include <stdio.h>

struct dawni_name dawni_name(const char *format, ...)
{
    struct dawni_name n;
    va_list args;

    va_start(args, format);
    vsnprintf(n.text, sizeof n.text, format, args);
    va_end(args);
    return n;
}

int dawni_matrix(struct dawni_model *m, const char *param, int64_t rows,
                 int64_t columns, double std)
{
    struct dawn_param_desc d = {.name = param,
                                .dims = 2,
                                .shape = {rows, columns},
                                .init = DAWN_INIT_NORMAL,
                                .std = std,
                                .decay = true};

    return dawn_graph_add_param(m->graph, &d);
}

int dawni_vector(struct dawni_model *m, const char *param, int64_t elements,
                 enum dawn_init init)
{
    struct dawn_param_desc d = {
        .name = param, .dims = 1, .shape = {elements}, .init = init};

    return dawn_graph_add_param(m->graph, &d);
}

int dawni_index_input(struct dawni_model *m, const char *input, int64_t count)
{
    struct dawn_tensor_desc d = {.name = input,
                                 .dtype = DAWN_I32,
                                 .batched = true,
                                 .dims = 1,
                                 .shape = {count}};

    return dawn_graph_add_input(m->graph, &d);
}

int dawni_unary(struct dawni_model *m, const char *node, const char *op, int x)
{
    struct dawn_op_desc d = {.name = node, .op = op, .inputs = 1, .input = {x}};

    return dawn_op_add(m->graph, &d);
}

int dawni_binary(struct dawni_model *m, const char *node, const char *op, int a,
                 int b)
{
    struct dawn_op_desc d = {
        .name = node, .op = op, .inputs = 2, .input = {a, b}};

    return dawn_op_add(m->graph, &d);
}

int dawni_dropout(struct dawni_model *m, const char *node, int x)
{
    struct dawn_op_desc d = {.name = node,
                             .op = "dropout",
                             .inputs = 1,
                             .input = {x},
                             .attrs = 1,
                             .attr = {{"p", m->opts->dropout}}};

    return m->opts->dropout > 0 ? dawn_op_add(m->graph, &d) : x;
}

int dawni_layer_norm(struct dawni_model *m, const char *node, const char *param,
                     int x)
{
    int64_t width = m->opts->hidden;
    int gain = dawni_vector(m, dawni_name("%s.weight", param).text, width,
                            DAWN_INIT_ONE);
    int bias = dawni_vector(m, dawni_name("%s.bias", param).text, width,
                            DAWN_INIT_ZERO);
    struct dawn_op_desc d = {.name = node,
                             .op = "layer_norm",
                             .inputs = 1,
                             .input = {x},
                             .params = 2,
                             .param = {gain, bias},
                             .attrs = 1,
                             .attr = {{"eps", m->eps}}};

    return dawn_op_add(m->graph, &d);
}

int dawni_linear(struct dawni_model *m, const struct dawni_linear *l, int x)
{
    int weight = dawni_matrix(m, dawni_name("%s.weight", l->param.text).text,
                              l->to, l->from, l->std);
    int bias = dawni_vector(m, dawni_name("%s.bias", l->param.text).text, l->to,
                            DAWN_INIT_ZERO);
    struct dawn_op_desc d = {.name = l->node.text,
                             .op = "linear",
                             .inputs = 1,
                             .input = {x},
                             .params = 2,
                             .param = {weight, bias}};

    return dawn_op_add(m->graph, &d);
}

int dawni_embed(struct dawni_model *m, int tokens, int table, int places)
{
    struct dawn_op_desc token = {
        .name = "tok_embed",
        .op = "embedding",
        .inputs = 1,
        .input = {tokens},
        .params = 1,
        .param = {table},
        .attrs = 1,
        .attr = {{"bf16", m->opts->dtype == DAWN_BF16}}};
    struct dawn_op_desc place = {.name = "pos_embed",
                                 .op = "position",
                                 .inputs = 1,
                                 .params = 1,
                                 .param = {places}};

    place.input[0] = dawn_op_add(m->graph, &token);
    return dawn_op_add(m->graph, &place);
}

static int attention_node(struct dawni_model *m, const char *node,
                          const char *op, struct dawn_op_desc d)
{
    d.name = node;
    d.op = op;
    return dawn_op_add(m->graph, &d);
}

int dawni_attention(struct dawni_model *m, const char *prefix, int qkv,
                    bool causal)
{
    struct dawn_attr heads = {"heads", m->opts->heads};
    struct dawn_attr is_causal = {"causal", causal};

    if (m->opts->fused_attention)
        return attention_node(
            m, dawni_name("%s.core", prefix).text, "attention",
            (struct dawn_op_desc){.inputs = 1,
                                  .input = {qkv},
                                  .attrs = 2,
                                  .attr = {heads, is_causal}});
    int scores = attention_node(
        m, dawni_name("%s.scores", prefix).text, "attn_scores",
        (struct dawn_op_desc){
            .inputs = 1, .input = {qkv}, .attrs = 1, .attr = {heads}});
    int probs = attention_node(
        m, dawni_name("%s.softmax", prefix).text, "softmax",
        (struct dawn_op_desc){
            .inputs = 1, .input = {scores}, .attrs = 1, .attr = {is_causal}});
    return attention_node(
        m, dawni_name("%s.values", prefix).text, "attn_values",
        (struct dawn_op_desc){
            .inputs = 2, .input = {probs, qkv}, .attrs = 1, .attr = {heads}});
}
