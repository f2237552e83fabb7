/* SPDX-License-Identifier: Apache-2.0 */
/* T5: nodes, parameters, sizes, how long its decoder is. */
#include "tap.h"

#include <dawnpiper/job.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct dawn_model_opts small = {.preset = "t5",
                                             .layers = 1,
                                             .hidden = 16,
                                             .heads = 2,
                                             .context = 20,
                                             .vocab = 32,
                                             .dropout = 0.1,
                                             .fused_attention = true,
                                             .dtype = DAWN_BF16,
                                             .target_context = 7,
                                             .buckets = 32,
                                             .max_distance = 128};

static const struct dawn_node_desc *node_of(const struct dawn_graph *g,
                                            const char *name)
{
    return dawn_graph_node(g, dawn_graph_find_node(g, name));
}

static void test_nodes(void)
{
    struct dawn_graph *g = NULL;
    char names[4096];
    size_t at = 0;

    is_int(dawn_model_build(&small, &g, NULL), DAWN_OK, "t5 is built");
    for (int i = 0; i < dawn_graph_nodes(g); i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s ",
                               dawn_graph_node(g, i)->name);
    is_str(names,
           "enc.tok_embed enc.embed_drop enc.bias enc.block0.attn.norm "
           "enc.block0.attn.q enc.block0.attn.k enc.block0.attn.v "
           "enc.block0.attn.core enc.block0.attn.o enc.block0.attn.drop "
           "enc.block0.attn.add enc.block0.mlp.norm enc.block0.mlp.up "
           "enc.block0.mlp.relu enc.block0.mlp.relu_drop enc.block0.mlp.down "
           "enc.block0.mlp.drop enc.block0.mlp.add enc.norm enc.drop "
           "dec.tok_embed dec.embed_drop dec.bias dec.block0.attn.norm "
           "dec.block0.attn.q dec.block0.attn.k dec.block0.attn.v "
           "dec.block0.attn.core dec.block0.attn.o dec.block0.attn.drop "
           "dec.block0.attn.add dec.block0.cross.norm dec.block0.cross.q "
           "dec.block0.cross.k dec.block0.cross.v dec.block0.cross.core "
           "dec.block0.cross.o dec.block0.cross.drop dec.block0.cross.add "
           "dec.block0.mlp.norm dec.block0.mlp.up dec.block0.mlp.relu "
           "dec.block0.mlp.relu_drop dec.block0.mlp.down dec.block0.mlp.drop "
           "dec.block0.mlp.add dec.norm dec.drop head.scale head loss ",
           "with these nodes in this order");
    dawn_graph_destroy(g);
}

static void test_attention(void)
{
    struct dawn_graph *g = NULL;
    dawn_model_build(&small, &g, NULL);
    const struct dawn_node_desc *self = node_of(g, "dec.block0.attn.core");
    const struct dawn_node_desc *cross = node_of(g, "dec.block0.cross.core");
    const struct dawn_node_desc *keys = node_of(g, "dec.block0.cross.k");
    int encoder = dawn_graph_find_node(g, "enc.block0.attn.core");
    int decoder = dawn_graph_find_node(g, "dec.block0.attn.core");
    int across = dawn_graph_find_node(g, "dec.block0.cross.core");

    ok(dawn_graph_attr(g, encoder, "causal", 1) == 0,
       "the encoder sees both sides");
    ok(dawn_graph_attr(g, decoder, "causal", 0) == 1,
       "the decoder sees what was before");
    ok(dawn_graph_attr(g, across, "causal", 1) == 0,
       "and all of what the encoder made");
    ok(dawn_graph_attr(g, across, "scaled", 1) == 0 &&
           dawn_graph_attr(g, encoder, "scaled", 1) == 0,
       "scores are not scaled");
    is_int(self->inputs, 4, "attention to itself is biased");
    is_int(self->input[3], dawn_graph_find_tensor(g, "dec.bias"),
           "by the stack's table");
    is_int(cross->inputs, 3, "attention to the encoder is not");
    is_int(keys->input[0], dawn_graph_find_tensor(g, "enc.drop"),
           "its keys come from the encoder's end");
    is_int(dawn_graph_tensor(g, cross->input[1])->shape[0], 20,
           "as many as the encoder has places");
    is_int(dawn_graph_tensor(g, cross->input[0])->shape[0], 7,
           "and as many queries as the decoder has");
    dawn_graph_destroy(g);
}

static void test_params(void)
{
    struct dawn_graph *g = NULL;
    dawn_model_build(&small, &g, NULL);
    int words = dawn_graph_find_param(g, "shared.weight");
    const char *const q = "decoder.block.0.layer.1.EncDecAttention.q.weight";
    const struct dawn_param_desc *query =
        dawn_graph_param(g, dawn_graph_find_param(g, q));
    const struct dawn_param_desc *table = dawn_graph_param(
        g, dawn_graph_find_param(g, "encoder.block.0.layer.0.SelfAttention."
                                    "relative_attention_bias.weight"));

    ok(node_of(g, "enc.tok_embed")->param[0] == words &&
           node_of(g, "dec.tok_embed")->param[0] == words &&
           node_of(g, "head")->param[0] == words,
       "one embedding for encoder, decoder and head");
    ok(query && fabs(query->std - 1 / sqrt(16 * 8)) < 1e-12,
       "queries begin small, for scores that are not scaled");
    ok(table && table->shape[0] == 32 && table->shape[1] == 2,
       "a bias for each bucket and head");
    is_near(dawn_graph_attr(g, dawn_graph_find_node(g, "head.scale"), "by", 0),
            0.25, 1e-12, "the head's input is scaled by width^-0.5");
    dawn_graph_destroy(g);
}

/* Parameters of transformers' T5ForConditionalGeneration of these sizes. */
static void test_sizes(void)
{
    static const struct {
        const char *preset;
        int layers, hidden, heads;
        int64_t elements;
    } row[] = {{"t5-base", 12, 768, 12, 222903552},
               {"t5-large", 24, 1024, 16, 737668096}};

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct dawn_model_opts opts = small;
        struct dawn_graph *g = NULL;
        int64_t elements = 0;
        strcpy(opts.preset, row[i].preset);
        opts.layers = row[i].layers;
        opts.hidden = row[i].hidden;
        opts.heads = row[i].heads;
        opts.vocab = 32128;
        dawn_model_build(&opts, &g, NULL);
        for (int p = 0; p < dawn_graph_params(g); p++)
            elements += dawn_graph_param_elements(g, p);
        is_int(elements, row[i].elements, "%s has its parameters",
               row[i].preset);
        dawn_graph_destroy(g);
    }
}

static void test_lengths(void)
{
    static const struct {
        int context, target;
    } row[] = {{512, 114}, {256, 58}, {32, 8}, {64, 14}, {1024, 229}, {3, 3}};
    struct dawn_model_opts opts = small;

    opts.target_context = 0;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        opts.context = row[i].context;
        is_int(dawn_model_target_context(&opts), row[i].target,
               "context %d: 15%% of the text fill %d places", row[i].context,
               row[i].target);
    }
    opts.target_context = 40;
    is_int(dawn_model_target_context(&opts), 40, "or as many as were asked");
    strcpy(opts.preset, "bert");
    is_int(dawn_model_target_context(&opts), 0, "BERT has no decoder");
}

static void refused(const struct dawn_model_opts *opts, const char *text)
{
    struct dawn_graph *g = NULL;
    struct dawn_error err = {0};

    ok(dawn_model_build(opts, &g, &err) == DAWN_E_INVAL && !g &&
           strstr(err.text, text),
       "refused: %s", err.text);
}

static void test_refused(void)
{
    struct dawn_model_opts opts = small;

    opts.fused_attention = false;
    refused(&opts, "fused attention only");
    opts = small;
    opts.buckets = 6;
    refused(&opts, "buckets 6, must be a multiple of 4");
    opts = small;
    opts.max_distance = 16;
    refused(&opts, "max_distance 16, must be above 16");
    opts = small;
    opts.target_context = -1;
    refused(&opts, "target_context -1");
    opts = small;
    strcpy(opts.preset, "gpt2");
    refused(&opts, "'gpt2' has no decoder");
}

int main(void)
{
    plan_lazy();
    test_nodes();
    test_attention();
    test_params();
    test_sizes();
    test_lengths();
    test_refused();
    return done_testing();
}
