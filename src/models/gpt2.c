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
    struct dawn_param_desc d = {.name = param,
                                .dims = 2,
                                .shape = {rows, columns},
                                .init = DAWN_INIT_NORMAL,
                                .std = std,
                                .decay = true};

    return dawn_graph_add_param(m->graph, &d);
}

static int vector(struct gpt2 *m, const char *param, int64_t elements,
                  enum dawn_init init)
{
    struct dawn_param_desc d = {
        .name = param, .dims = 1, .shape = {elements}, .init = init};

    return dawn_graph_add_param(m->graph, &d);
}

/* Nodes: each returns the tensor that it makes. */

static int unary(struct gpt2 *m, const char *node, const char *op, int x)
{
    struct dawn_op_desc d = {.name = node, .op = op, .inputs = 1, .input = {x}};

    return dawn_op_add(m->graph, &d);
}

static int binary(struct gpt2 *m, const char *node, const char *op, int a,
                  int b)
{
    struct dawn_op_desc d = {
        .name = node, .op = op, .inputs = 2, .input = {a, b}};

    return dawn_op_add(m->graph, &d);
}

static int layer_norm(struct gpt2 *m, const char *node, const char *param,
                      int x)
{
    int width = m->opts->hidden;
    int gain = vector(m, name("%s.weight", param).text, width, DAWN_INIT_ONE);
    int bias = vector(m, name("%s.bias", param).text, width, DAWN_INIT_ZERO);
    struct dawn_op_desc d = {.name = node,
                             .op = "layer_norm",
                             .inputs = 1,
                             .input = {x},
                             .params = 2,
                             .param = {gain, bias},
                             .attrs = 1,
                             .attr = {{"eps", EPSILON}}};

    return dawn_op_add(m->graph, &d);
}

struct linear {
    const char *node, *param;
    int64_t from, to; /* widths */
    double std;
};

static int linear(struct gpt2 *m, const struct linear *l, int x)
{
    int weight =
        matrix(m, name("%s.weight", l->param).text, l->to, l->from, l->std);
    int bias = vector(m, name("%s.bias", l->param).text, l->to, DAWN_INIT_ZERO);
    struct dawn_op_desc d = {.name = l->node,
                             .op = "linear",
                             .inputs = 1,
                             .input = {x},
                             .params = 2,
                             .param = {weight, bias}};

    return dawn_op_add(m->graph, &d);
}

static int dropout(struct gpt2 *m, const char *node, int x)
{
    struct dawn_op_desc d = {.name = node,
                             .op = "dropout",
                             .inputs = 1,
                             .input = {x},
                             .attrs = 1,
                             .attr = {{"p", m->opts->dropout}}};

    return m->opts->dropout > 0 ? dawn_op_add(m->graph, &d) : x;
}

/* The fused node, or one of the three of unfused attention. */
static int attention_node(struct gpt2 *m, const char *node, const char *op,
                          struct dawn_op_desc d)
{
    d.name = node;
    d.op = op;
    return dawn_op_add(m->graph, &d);
}

static int attention(struct gpt2 *m, int block, int qkv)
{
    struct dawn_attr heads = {"heads", m->opts->heads}, causal = {"causal", 1};

    if (m->opts->fused_attention)
        return attention_node(m, name("block%d.attn.core", block).text,
                              "attention",
                              (struct dawn_op_desc){.inputs = 1,
                                                    .input = {qkv},
                                                    .attrs = 2,
                                                    .attr = {heads, causal}});
    int scores = attention_node(
        m, name("block%d.attn.scores", block).text, "attn_scores",
        (struct dawn_op_desc){
            .inputs = 1, .input = {qkv}, .attrs = 1, .attr = {heads}});
    int probs = attention_node(
        m, name("block%d.attn.softmax", block).text, "softmax",
        (struct dawn_op_desc){
            .inputs = 1, .input = {scores}, .attrs = 1, .attr = {causal}});
    return attention_node(
        m, name("block%d.attn.values", block).text, "attn_values",
        (struct dawn_op_desc){
            .inputs = 2, .input = {probs, qkv}, .attrs = 1, .attr = {heads}});
}

/* One block; x is the residual stream, added to last so that it may be
 * overwritten. */
static int block(struct gpt2 *m, int i, int x)
{
    int64_t width = m->opts->hidden;
    int y = layer_norm(m, name("block%d.ln1", i).text,
                       name("h.%d.ln_1", i).text, x);

    y = linear(m,
               &(struct linear){name("block%d.attn.qkv", i).text,
                                name("h.%d.attn.c_attn", i).text, width,
                                3 * width, STD},
               y);
    y = attention(m, i, y);
    y = linear(m,
               &(struct linear){name("block%d.attn.out", i).text,
                                name("h.%d.attn.c_proj", i).text, width, width,
                                m->residual_std},
               y);
    y = dropout(m, name("block%d.attn.drop", i).text, y);
    x = binary(m, name("block%d.attn.add", i).text, "add", x, y);

    y = layer_norm(m, name("block%d.ln2", i).text, name("h.%d.ln_2", i).text,
                   x);
    y = linear(m,
               &(struct linear){name("block%d.mlp.up", i).text,
                                name("h.%d.mlp.c_fc", i).text, width, 4 * width,
                                STD},
               y);
    y = unary(m, name("block%d.mlp.gelu", i).text, "gelu", y);
    y = linear(m,
               &(struct linear){name("block%d.mlp.down", i).text,
                                name("h.%d.mlp.c_proj", i).text, 4 * width,
                                width, m->residual_std},
               y);
    y = dropout(m, name("block%d.mlp.drop", i).text, y);
    return binary(m, name("block%d.mlp.add", i).text, "add", x, y);
}

static int token_input(struct gpt2 *m, const char *input)
{
    struct dawn_tensor_desc d = {.name = input,
                                 .dtype = DAWN_I32,
                                 .batched = true,
                                 .dims = 1,
                                 .shape = {m->opts->context}};

    return dawn_graph_add_input(m->graph, &d);
}

/* Token and position embedding. */
static int embed(struct gpt2 *m, int tokens, int wte)
{
    int wpe = matrix(m, "wpe", m->opts->context, m->opts->hidden, STD);
    struct dawn_op_desc token = {
        .name = "tok_embed",
        .op = "embedding",
        .inputs = 1,
        .input = {tokens},
        .params = 1,
        .param = {wte},
        .attrs = 1,
        .attr = {{"bf16", m->opts->dtype == DAWN_BF16}}};
    struct dawn_op_desc position = {.name = "pos_embed",
                                    .op = "position",
                                    .inputs = 1,
                                    .params = 1,
                                    .param = {wpe}};

    position.input[0] = dawn_op_add(m->graph, &token);
    return dropout(m, "embed_drop", dawn_op_add(m->graph, &position));
}

/* The head shares the embedding's matrix and has no bias. */
static int head(struct gpt2 *m, int x, int wte)
{
    struct dawn_op_desc d = {.name = "head",
                             .op = "linear",
                             .inputs = 1,
                             .input = {x},
                             .params = 1,
                             .param = {wte}};

    return dawn_op_add(m->graph, &d);
}

void dawni_gpt2_build(struct dawn_graph *graph,
                      const struct dawn_model_opts *opts)
{
    struct gpt2 m = {graph, opts, STD / sqrt(2.0 * opts->layers)};
    int tokens = token_input(&m, "tokens");
    int targets = token_input(&m, "targets");
    int wte = matrix(&m, "wte", opts->vocab, opts->hidden, STD);
    int x = embed(&m, tokens, wte);

    for (int i = 0; i < opts->layers; i++)
        x = block(&m, i, x);
    x = layer_norm(&m, "final_ln", "ln_f", x);
    x = head(&m, x, wte);
    dawn_graph_set_loss(graph, binary(&m, "loss", "cross_entropy", x, targets));
}
