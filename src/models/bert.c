/* SPDX-License-Identifier: Apache-2.0 */
/* BERT (Devlin et al., 2019): post-norm blocks, attention to both sides, masked
 * tokens to be filled in: only their rows reach the head, whose matrix is tied
 * to the token embedding. Samples are of one segment and there is no prediction
 * of the next sentence, as in RoBERTa (Liu et al., 2019), so that the embedding
 * of segments, one row to be added at every place, is the positions' as well.
 * Parameters are named as in the published checkpoints, but q, k and v are one
 * matrix "qkv"; matrices are stored (outputs, inputs).
 */
#include "models/layers.h"
#include "models/models.h"

#include <dawnpiper/op.h>

#define EPSILON 1e-12
#define STD 0.02

#define NAME(...) dawni_name(__VA_ARGS__).text

static int block(struct dawni_model *m, int i, int x)
{
    int64_t width = m->opts->hidden;
    const struct dawni_name layer = dawni_name("encoder.layer.%d", i);
    const struct dawni_linear qkv = {
        dawni_name("block%d.attn.qkv", i),
        dawni_name("%s.attention.self.qkv", layer.text), width, 3 * width, STD};
    const struct dawni_linear out = {
        dawni_name("block%d.attn.out", i),
        dawni_name("%s.attention.output.dense", layer.text), width, width, STD};
    const struct dawni_linear up = {
        dawni_name("block%d.mlp.up", i),
        dawni_name("%s.intermediate.dense", layer.text), width, 4 * width, STD};
    const struct dawni_linear down = {dawni_name("block%d.mlp.down", i),
                                      dawni_name("%s.output.dense", layer.text),
                                      4 * width, width, STD};
    int y = dawni_linear(m, &qkv, x);

    y = dawni_attention(m, NAME("block%d.attn", i), y, false);
    y = dawni_linear(m, &out, y);
    y = dawni_dropout(m, NAME("block%d.attn.drop", i), y);
    x = dawni_binary(m, NAME("block%d.attn.add", i), "add", x, y);
    x = dawni_layer_norm(m, NAME("block%d.ln1", i),
                         NAME("%s.attention.output.LayerNorm", layer.text), x);

    y = dawni_linear(m, &up, x);
    y = dawni_unary(m, NAME("block%d.mlp.gelu", i), "gelu", y);
    y = dawni_linear(m, &down, y);
    y = dawni_dropout(m, NAME("block%d.mlp.drop", i), y);
    x = dawni_binary(m, NAME("block%d.mlp.add", i), "add", x, y);
    return dawni_layer_norm(m, NAME("block%d.ln2", i),
                            NAME("%s.output.LayerNorm", layer.text), x);
}

static int embed(struct dawni_model *m, int tokens, int words)
{
    int places = dawni_matrix(m, "embeddings.position_embeddings.weight",
                              m->opts->context, m->opts->hidden, STD);
    int x = dawni_embed(m, tokens, words, places);

    x = dawni_layer_norm(m, "embed_ln", "embeddings.LayerNorm", x);
    return dawni_dropout(m, "embed_drop", x);
}

/* The logits of the masked tokens. */
static int head(struct dawni_model *m, int x, int words)
{
    int64_t width = m->opts->hidden;
    const struct dawni_linear dense = {
        dawni_name("head.dense"), dawni_name("cls.predictions.transform.dense"),
        width, width, STD};
    int places = dawni_index_input(m, "places", dawn_model_masked(m->opts));

    x = dawni_binary(m, "masked", "gather", x, places);
    x = dawni_linear(m, &dense, x);
    x = dawni_unary(m, "head.gelu", "gelu", x);
    x = dawni_layer_norm(m, "head.ln", "cls.predictions.transform.LayerNorm",
                         x);
    int bias =
        dawni_vector(m, "cls.predictions.bias", m->opts->vocab, DAWN_INIT_ZERO);
    struct dawn_op_desc d = {.name = "head",
                             .op = "linear",
                             .inputs = 1,
                             .input = {x},
                             .params = 2,
                             .param = {words, bias}};

    return dawn_op_add(m->graph, &d);
}

void dawni_bert_build(struct dawn_graph *graph,
                      const struct dawn_model_opts *opts)
{
    struct dawni_model m = {graph, opts, EPSILON};
    int tokens = dawni_index_input(&m, "tokens", opts->context);
    int targets = dawni_index_input(&m, "targets", dawn_model_masked(opts));
    int words = dawni_matrix(&m, "embeddings.word_embeddings.weight",
                             opts->vocab, opts->hidden, STD);
    int x = embed(&m, tokens, words);

    for (int i = 0; i < opts->layers; i++)
        x = block(&m, i, x);
    x = head(&m, x, words);
    dawn_graph_set_loss(graph,
                        dawni_binary(&m, "loss", "cross_entropy", x, targets));
}
