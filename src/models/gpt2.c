/* SPDX-License-Identifier: Apache-2.0 */
/* GPT-2 (Radford et al., 2019): pre-norm blocks, learned positions, the head
 * tied to the token embedding. Parameters are named as in the published
 * checkpoints; matrices are stored (outputs, inputs).
 */
#include "models/models.h"

#include <dawnpiper/op.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define EPSILON 1e-5
#define STD 0.02

struct name {
    char text[64];
};

static struct name name(const char *format, ...) DAWN_PRINTF(1, 2);

static struct name name(const char *format, ...)
{
    struct name n;
    va_list args;

    va_start(args, format);
    vsnprintf(n.text, sizeof n.text, format, args);
    va_end(args);
    return n;
}

struct gpt2 {
    struct dawn_graph *graph;
    const struct dawn_model_opts *opts;
    double residual_std; /* of what adds to the residual stream */
};

/* Parameters */

static int matrix(struct gpt2 *m, const char *param, int64_t rows,
                  int64_t columns, double std)
{
    return dawn_graph_add_param(
        m->graph,
        &(struct dawn_param_desc){.name = param, .dims = 2,
                                  .shape = {rows, columns},
                                  .init = DAWN_INIT_NORMAL, .std = std,
                                  .decay = true});
}

static int vector(struct gpt2 *m, const char *param, int64_t elements,
                  enum dawn_init init)
{
    return dawn_graph_add_param(
        m->graph, &(struct dawn_param_desc){.name = param, .dims = 1,
                                            .shape = {elements}, .init = init});
}

/* Nodes: each returns the tensor that it makes. */

static int layer_norm(struct gpt2 *m, const char *node, const char *param,
                      int x)
{
    int width = m->opts->hidden;

    return dawn_op_add(
        m->graph,
        &(struct dawn_op_desc){
            .name = node, .op = "layer_norm", .inputs = 1, .input = {x},
            .params = 2,
            .param = {vector(m, name("%s.weight", param).text, width,
                             DAWN_INIT_ONE),
                      vector(m, name("%s.bias", param).text, width,
                             DAWN_INIT_ZERO)},
            .attrs = 1, .attr = {{"eps", EPSILON}}});
}

struct linear {
    const char *node, *param;
    int64_t from, to; /* widths */
    double std;
};

static int linear(struct gpt2 *m, const struct linear *l, int x)
{
    return dawn_op_add(
        m->graph,
        &(struct dawn_op_desc){
            .name = l->node, .op = "linear", .inputs = 1, .input = {x},
            .params = 2,
            .param = {matrix(m, name("%s.weight", l->param).text, l->to,
                             l->from, l->std),
                      vector(m, name("%s.bias", l->param).text, l->to,
                             DAWN_INIT_ZERO)}});
}

static int unary(struct gpt2 *m, const char *node, const char *op, int x)
{
    return dawn_op_add(m->graph,
                       &(struct dawn_op_desc){.name = node, .op = op,
                                              .inputs = 1, .input = {x}});
}

static int binary(struct gpt2 *m, const char *node, const char *op, int a,
                  int b)
{
    return dawn_op_add(m->graph,
                       &(struct dawn_op_desc){.name = node, .op = op,
                                              .inputs = 2, .input = {a, b}});
}

static int dropout(struct gpt2 *m, const char *node, int x)
{
    if (m->opts->dropout == 0)
        return x;
    return dawn_op_add(
        m->graph,
        &(struct dawn_op_desc){.name = node, .op = "dropout", .inputs = 1,
                               .input = {x}, .attrs = 1,
                               .attr = {{"p", m->opts->dropout}}});
}

static int attention(struct gpt2 *m, int block, int qkv)
{
    struct dawn_attr heads = {"heads", m->opts->heads};

    if (m->opts->fused_attention)
        return dawn_op_add(
            m->graph, &(struct dawn_op_desc){
                          .name = name("block%d.attn.core", block).text,
                          .op = "attention", .inputs = 1, .input = {qkv},
                          .attrs = 2, .attr = {heads, {"causal", 1}}});
    int scores = dawn_op_add(
        m->graph, &(struct dawn_op_desc){
                      .name = name("block%d.attn.scores", block).text,
                      .op = "attn_scores", .inputs = 1, .input = {qkv},
                      .attrs = 1, .attr = {heads}});
    int probs = dawn_op_add(
        m->graph, &(struct dawn_op_desc){
                      .name = name("block%d.attn.softmax", block).text,
                      .op = "softmax", .inputs = 1, .input = {scores},
                      .attrs = 1, .attr = {{"causal", 1}}});
    return dawn_op_add(
        m->graph, &(struct dawn_op_desc){
                      .name = name("block%d.attn.values", block).text,
                      .op = "attn_values", .inputs = 2, .input = {probs, qkv},
                      .attrs = 1, .attr = {heads}});
}

/* One block; x is the residual stream, added to last so that it may be
 * overwritten. */
static int block(struct gpt2 *m, int i, int x)
{
    int64_t width = m->opts->hidden;
    int y = layer_norm(m, name("block%d.ln1", i).text,
                       name("h.%d.ln_1", i).text, x);

    y = linear(m, &(struct linear){name("block%d.attn.qkv", i).text,
                                   name("h.%d.attn.c_attn", i).text, width,
                                   3 * width, STD}, y);
    y = attention(m, i, y);
    y = linear(m, &(struct linear){name("block%d.attn.out", i).text,
                                   name("h.%d.attn.c_proj", i).text, width,
                                   width, m->residual_std}, y);
    y = dropout(m, name("block%d.attn.drop", i).text, y);
    x = binary(m, name("block%d.attn.add", i).text, "add", x, y);

    y = layer_norm(m, name("block%d.ln2", i).text, name("h.%d.ln_2", i).text,
                   x);
    y = linear(m, &(struct linear){name("block%d.mlp.up", i).text,
                                   name("h.%d.mlp.c_fc", i).text, width,
                                   4 * width, STD}, y);
    y = unary(m, name("block%d.mlp.gelu", i).text, "gelu", y);
    y = linear(m, &(struct linear){name("block%d.mlp.down", i).text,
                                   name("h.%d.mlp.c_proj", i).text, 4 * width,
                                   width, m->residual_std}, y);
    y = dropout(m, name("block%d.mlp.drop", i).text, y);
    return binary(m, name("block%d.mlp.add", i).text, "add", x, y);
}

static int token_input(struct gpt2 *m, const char *input)
{
    return dawn_graph_add_input(
        m->graph,
        &(struct dawn_tensor_desc){.name = input, .dtype = DAWN_I32,
                                   .batched = true, .dims = 1,
                                   .shape = {m->opts->context}});
}

void dawni_gpt2_build(struct dawn_graph *graph,
                      const struct dawn_model_opts *opts)
{
    struct gpt2 m = {graph, opts, STD / sqrt(2.0 * opts->layers)};
    int tokens = token_input(&m, "tokens");
    int targets = token_input(&m, "targets");
    int wte = matrix(&m, "wte", opts->vocab, opts->hidden, STD);
    int wpe = matrix(&m, "wpe", opts->context, opts->hidden, STD);

    int x = dawn_op_add(
        graph, &(struct dawn_op_desc){
                   .name = "tok_embed", .op = "embedding", .inputs = 1,
                   .input = {tokens}, .params = 1, .param = {wte}, .attrs = 1,
                   .attr = {{"bf16", opts->dtype == DAWN_BF16}}});
    x = dawn_op_add(graph, &(struct dawn_op_desc){
                               .name = "pos_embed", .op = "position",
                               .inputs = 1, .input = {x}, .params = 1,
                               .param = {wpe}});
    x = dropout(&m, "embed_drop", x);
    for (int i = 0; i < opts->layers; i++)
        x = block(&m, i, x);
    x = layer_norm(&m, "final_ln", "ln_f", x);
    x = dawn_op_add(graph, &(struct dawn_op_desc){
                               .name = "head", .op = "linear", .inputs = 1,
                               .input = {x}, .params = 1, .param = {wte}});
    dawn_graph_set_loss(graph, binary(&m, "loss", "cross_entropy", x, targets));
}
