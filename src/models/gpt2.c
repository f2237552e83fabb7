/* SPDX-License-Identifier: Apache-2.0 */
/* GPT-2 (Radford et al., 2019): pre-norm blocks, learned positions, the head
 * tied to the token embedding. Parameters are named as in the published
 * checkpoints; matrices are stored (outputs, inputs).
 */
#include "models/layers.h"
#include "models/models.h"

#include <dawnpiper/op.h>
#include <math.h>

#define EPSILON 1e-5
#define STD 0.02

#define NAME(...) dawni_name(__VA_ARGS__).text

/* One block; x is the residual stream, added to last so that it may be
 * overwritten. */
static int block(struct dawni_model *m, int i, int x)
{
    int64_t width = m->opts->hidden;
    double std = STD / sqrt(2.0 * m->opts->layers); /* of what adds to x */
    const struct dawni_linear qkv = {dawni_name("block%d.attn.qkv", i),
                                     dawni_name("h.%d.attn.c_attn", i), width,
                                     3 * width, STD};
    const struct dawni_linear out = {dawni_name("block%d.attn.out", i),
                                     dawni_name("h.%d.attn.c_proj", i), width,
                                     width, std};
    const struct dawni_linear up = {dawni_name("block%d.mlp.up", i),
                                    dawni_name("h.%d.mlp.c_fc", i), width,
                                    4 * width, STD};
    const struct dawni_linear down = {dawni_name("block%d.mlp.down", i),
                                      dawni_name("h.%d.mlp.c_proj", i),
                                      4 * width, width, std};
    int y =
        dawni_layer_norm(m, NAME("block%d.ln1", i), NAME("h.%d.ln_1", i), x);

    y = dawni_linear(m, &qkv, y);
    y = dawni_attention(m, NAME("block%d.attn", i), y, true);
    y = dawni_linear(m, &out, y);
    y = dawni_dropout(m, NAME("block%d.attn.drop", i), y);
    x = dawni_binary(m, NAME("block%d.attn.add", i), "add", x, y);

    y = dawni_layer_norm(m, NAME("block%d.ln2", i), NAME("h.%d.ln_2", i), x);
    y = dawni_linear(m, &up, y);
    y = dawni_unary(m, NAME("block%d.mlp.gelu", i), "gelu", y);
    y = dawni_linear(m, &down, y);
    y = dawni_dropout(m, NAME("block%d.mlp.drop", i), y);
    return dawni_binary(m, NAME("block%d.mlp.add", i), "add", x, y);
}

/* Token and position embedding. */
static int embed(struct dawni_model *m, int tokens, int wte)
{
    int wpe = dawni_matrix(m, "wpe", m->opts->context, m->opts->hidden, STD);

    return dawni_dropout(m, "embed_drop", dawni_embed(m, tokens, wte, wpe));
}

/* The head shares the embedding's matrix and has no bias. */
static int head(struct dawni_model *m, int x, int wte)
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
    struct dawni_model m = {graph, opts, EPSILON};
    int tokens = dawni_index_input(&m, "tokens", opts->context);
    int targets = dawni_index_input(&m, "targets", opts->context);
    int wte = dawni_matrix(&m, "wte", opts->vocab, opts->hidden, STD);
    int x = embed(&m, tokens, wte);

    for (int i = 0; i < opts->layers; i++)
        x = block(&m, i, x);
    x = dawni_layer_norm(&m, "final_ln", "ln_f", x);
    x = head(&m, x, wte);
    dawn_graph_set_loss(graph,
                        dawni_binary(&m, "loss", "cross_entropy", x, targets));
}
