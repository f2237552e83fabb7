/* SPDX-License-Identifier: Apache-2.0 */
/* T5 (Raffel et al., 2020), version 1.0: pre-norm blocks without biases, RMS
 * norms, ReLU, attention that is not scaled but biased by distance, one table
 * of biases a stack, one embedding for both stacks and the head, whose input is
 * scaled by width^-0.5. Probabilities are not dropped out, all else is as
 * there. Parameters are named as in the published checkpoints; matrices are
 * stored (outputs, inputs).
 *
 * The encoder's output is an input of every layer of the decoder, so it lives
 * across all cuts from the end of the encoder on, as do the biases.
 */
#include "models/layers.h"
#include "models/models.h"

#include <dawnpiper/op.h>
#include <math.h>

#define EPSILON 1e-6

#define NAME(...) dawni_name(__VA_ARGS__).text

/* A stack: what its names begin with, and what all its layers see. */
struct stack {
    struct dawni_model *m;
    const char *node, *param; /* "enc", "encoder" */
    bool causal;
    int context;
    int words;   /* the embedding, a parameter */
    int bias;    /* of attention by distance, a tensor */
    int encoded; /* the encoder's output; -1 in the encoder */
};

static int norm(struct dawni_model *m, const char *node, const char *param,
                int x)
{
    int gain = dawni_vector(m, param, m->opts->hidden, DAWN_INIT_ONE);
    struct dawn_op_desc d = {.name = node,
                             .op = "rms_norm",
                             .inputs = 1,
                             .input = {x},
                             .params = 1,
                             .param = {gain},
                             .attrs = 1,
                             .attr = {{"eps", m->eps}}};

    return dawn_op_add(m->graph, &d);
}

static int linear(struct dawni_model *m, const struct dawni_linear *l, int x)
{
    int weight = dawni_matrix(m, l->param.text, l->to, l->from, l->std);
    struct dawn_op_desc d = {.name = l->node.text,
                             .op = "linear",
                             .inputs = 1,
                             .input = {x},
                             .params = 1,
                             .param = {weight}};

    return dawn_op_add(m->graph, &d);
}

/* The matrix NODE.`part`, PARAM.`part`.weight of an attention, width to width.
 */
static int project(struct stack *s, const char *node, const char *param,
                   const char *part, int x)
{
    int64_t width = s->m->opts->hidden, heads = s->m->opts->heads;
    double std = 1 / sqrt((double)width);
    bool query = part[0] == 'q';
    const struct dawni_linear l = {
        dawni_name("%s.%s", node, part),
        dawni_name("%s.%s.weight", param, part), width, width,
        query ? std / sqrt((double)(width / heads)) : std};

    return linear(s->m, &l, x);
}

/* Attention to `from`, or to x itself where that is -1, with what is around it:
 * x + dropout(attention(norm(x))). */
static int attend(struct stack *s, int i, int layer, int from, int x)
{
    struct dawni_model *m = s->m;
    bool cross = from >= 0;
    const struct dawni_name node =
        dawni_name("%s.block%d.%s", s->node, i, cross ? "cross" : "attn");
    const struct dawni_name block =
        dawni_name("%s.block.%d.layer.%d", s->param, i, layer);
    const struct dawni_name param = dawni_name(
        "%s.%s", block.text, cross ? "EncDecAttention" : "SelfAttention");
    int y = norm(m, NAME("%s.norm", node.text),
                 NAME("%s.layer_norm.weight", block.text), x);
    int source = cross ? from : y;
    int q = project(s, node.text, param.text, "q", y);
    int k = project(s, node.text, param.text, "k", source);
    int v = project(s, node.text, param.text, "v", source);
    const struct dawni_name core = dawni_name("%s.core", node.text);
    struct dawn_op_desc d = {.name = core.text,
                             .op = "attend",
                             .inputs = cross ? 3 : 4,
                             .input = {q, k, v, s->bias},
                             .attrs = 3,
                             .attr = {{"heads", m->opts->heads},
                                      {"causal", s->causal && !cross},
                                      {"scaled", 0}}};

    y = dawn_op_add(m->graph, &d);
    y = project(s, node.text, param.text, "o", y);
    y = dawni_dropout(m, NAME("%s.drop", node.text), y);
    return dawni_binary(m, NAME("%s.add", node.text), "add", x, y);
}

static int feed_forward(struct stack *s, int i, int layer, int x)
{
    struct dawni_model *m = s->m;
    int64_t width = m->opts->hidden;
    const struct dawni_name node = dawni_name("%s.block%d.mlp", s->node, i);
    const struct dawni_name block =
        dawni_name("%s.block.%d.layer.%d", s->param, i, layer);
    const struct dawni_linear up = {
        dawni_name("%s.up", node.text),
        dawni_name("%s.DenseReluDense.wi.weight", block.text), width, 4 * width,
        1 / sqrt((double)width)};
    const struct dawni_linear down = {
        dawni_name("%s.down", node.text),
        dawni_name("%s.DenseReluDense.wo.weight", block.text), 4 * width, width,
        1 / sqrt((double)(4 * width))};
    int y = norm(m, NAME("%s.norm", node.text),
                 NAME("%s.layer_norm.weight", block.text), x);

    y = linear(m, &up, y);
    y = dawni_unary(m, NAME("%s.relu", node.text), "relu", y);
    y = dawni_dropout(m, NAME("%s.relu_drop", node.text), y);
    y = linear(m, &down, y);
    y = dawni_dropout(m, NAME("%s.drop", node.text), y);
    return dawni_binary(m, NAME("%s.add", node.text), "add", x, y);
}

static int embed(struct stack *s, int tokens)
{
    struct dawni_model *m = s->m;
    const struct dawni_name node = dawni_name("%s.tok_embed", s->node);
    struct dawn_op_desc d = {.name = node.text,
                             .op = "embedding",
                             .inputs = 1,
                             .input = {tokens},
                             .params = 1,
                             .param = {s->words},
                             .attrs = 1,
                             .attr = {{"bf16", m->opts->dtype == DAWN_BF16}}};
    int x = dawn_op_add(m->graph, &d);

    return dawni_dropout(m, NAME("%s.embed_drop", s->node), x);
}

static int relative_bias(struct stack *s)
{
    struct dawni_model *m = s->m;
    const struct dawn_model_opts *o = m->opts;
    const struct dawni_name node = dawni_name("%s.bias", s->node);
    int table = dawni_matrix(
        m,
        NAME("%s.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
             s->param),
        o->buckets, o->heads, 1 / sqrt((double)o->hidden));
    struct dawn_op_desc d = {.name = node.text,
                             .op = "relative_bias",
                             .params = 1,
                             .param = {table},
                             .attrs = 3,
                             .attr = {{"context", s->context},
                                      {"max_distance", o->max_distance},
                                      {"causal", s->causal}}};

    return dawn_op_add(m->graph, &d);
}

/* All of a stack, from tokens to its last norm. */
static int stack(struct stack *s, int tokens)
{
    struct dawni_model *m = s->m;
    int x = embed(s, tokens), layer;

    s->bias = relative_bias(s);
    for (int i = 0; i < m->opts->layers; i++) {
        layer = 0;
        x = attend(s, i, layer++, -1, x);
        if (s->encoded >= 0)
            x = attend(s, i, layer++, s->encoded, x);
        x = feed_forward(s, i, layer, x);
    }
    x = norm(m, NAME("%s.norm", s->node),
             NAME("%s.final_layer_norm.weight", s->param), x);
    return dawni_dropout(m, NAME("%s.drop", s->node), x);
}

static int head(struct dawni_model *m, int x, int words)
{
    struct dawn_op_desc scale = {
        .name = "head.scale",
        .op = "scale",
        .inputs = 1,
        .input = {x},
        .attrs = 1,
        .attr = {{"by", 1 / sqrt((double)m->opts->hidden)}}};
    struct dawn_op_desc d = {.name = "head",
                             .op = "linear",
                             .inputs = 1,
                             .params = 1,
                             .param = {words}};

    d.input[0] = dawn_op_add(m->graph, &scale);
    return dawn_op_add(m->graph, &d);
}

void dawni_t5_build(struct dawn_graph *graph,
                    const struct dawn_model_opts *opts)
{
    struct dawni_model m = {graph, opts, EPSILON};
    int length = dawn_model_target_context(opts);
    int tokens = dawni_index_input(&m, "tokens", opts->context);
    int decoder_tokens = dawni_index_input(&m, "decoder_tokens", length);
    int targets = dawni_index_input(&m, "targets", length);
    int words = dawni_matrix(&m, "shared.weight", opts->vocab, opts->hidden, 1);
    struct stack encoder = {.m = &m,
                            .node = "enc",
                            .param = "encoder",
                            .context = opts->context,
                            .words = words,
                            .encoded = -1};
    struct stack decoder = {.m = &m,
                            .node = "dec",
                            .param = "decoder",
                            .causal = true,
                            .context = length,
                            .words = words};

    decoder.encoded = stack(&encoder, tokens);
    int x = stack(&decoder, decoder_tokens);
    x = head(&m, x, words);
    dawn_graph_set_loss(graph,
                        dawni_binary(&m, "loss", "cross_entropy", x, targets));
}
