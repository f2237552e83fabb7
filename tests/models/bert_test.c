/* SPDX-License-Identifier: Apache-2.0 */
/* BERT: nodes, parameters, sizes, how many tokens are masked. */
#include "tap.h"

#include <dawnpiper/job.h>
#include <stdio.h>
#include <limits.h>
#include <string.h>

static const struct dawn_model_opts small = {.preset = "bert",
                                             .layers = 1,
                                             .hidden = 16,
                                             .heads = 2,
                                             .context = 20,
                                             .vocab = 32,
                                             .dropout = 0.1,
                                             .fused_attention = true,
                                             .dtype = DAWN_BF16};

static void test_nodes(void)
{
    struct dawn_graph *g = NULL;
    char names[4096];
    size_t at = 0;

    is_int(dawn_model_build(&small, &g, NULL), DAWN_OK, "bert is built");
    for (int i = 0; i < dawn_graph_nodes(g); i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s ",
                               dawn_graph_node(g, i)->name);
    is_str(names,
           "tok_embed pos_embed embed_ln embed_drop block0.attn.qkv "
           "block0.attn.core block0.attn.out block0.attn.drop block0.attn.add "
           "block0.ln1 block0.mlp.up block0.mlp.gelu block0.mlp.down "
           "block0.mlp.drop block0.mlp.add block0.ln2 masked head.dense "
           "head.gelu head.ln head loss ",
           "with these nodes in this order");
    ok(dawn_graph_attr(g, dawn_graph_find_node(g, "block0.attn.core"), "causal",
                       1) == 0,
       "attention sees both sides");
    const struct dawn_node_desc *head =
        dawn_graph_node(g, dawn_graph_find_node(g, "head"));
    is_int(head->param[0],
           dawn_graph_find_param(g, "embeddings.word_embeddings.weight"),
           "the head is tied to the embedding");
    is_int(head->params, 2, "and has a bias");
    const struct dawn_tensor_desc *logits =
        dawn_graph_tensor(g, dawn_graph_find_tensor(g, "head"));
    is_int(logits->shape[0], 3, "only the masked tokens have logits");
    is_int(dawn_graph_tensor(g, dawn_graph_find_tensor(g, "places"))->shape[0],
           3, "an input says where they are");
    dawn_graph_destroy(g);
}

/* Published BERT has 334 M parameters with the head of masked tokens; less here
 * are two rows of segments and the pooler. */
static void test_large(void)
{
    struct dawn_model_opts opts = {.preset = "bert-large",
                                   .layers = 24,
                                   .hidden = 1024,
                                   .heads = 16,
                                   .context = 512,
                                   .vocab = 30522,
                                   .fused_attention = true,
                                   .dtype = DAWN_F32};
    struct dawn_graph *g = NULL;
    int64_t elements = 0;

    dawn_model_build(&opts, &g, NULL);
    for (int i = 0; i < dawn_graph_params(g); i++)
        elements += dawn_graph_param_elements(g, i);
    /* transformers' BertForMaskedLM of this size has 335,174,458; segments
     * are 2048 of them */
    is_int(elements, 335174458 - 2048, "BERT-large has its parameters");
    is_int(dawn_graph_nodes(g), 3 + 24 * 10 + 6, "and 249 nodes");
    is_int(dawn_model_masked(&opts), 77, "77 of 512 tokens are masked");
    dawn_graph_destroy(g);
}

static void test_masked(void)
{
    struct dawn_model_opts opts = small;
    struct dawn_graph *g = NULL;
    struct dawn_error err;

    opts.context = INT_MAX;
    is_int(dawn_model_masked(&opts), 322122547, "15%% of very many");
    opts.context = 3;
    is_int(dawn_model_masked(&opts), 1, "one of 3 tokens is masked");
    opts.masked = 2;
    is_int(dawn_model_masked(&opts), 2, "unless two are asked for");
    opts.masked = 4;
    ok(dawn_model_build(&opts, &g, &err) == DAWN_E_INVAL && !g &&
           strstr(err.text, "masked 4, must be 1 to 3"),
       "refused: %s", err.text);
    strcpy(opts.preset, "gpt2");
    is_int(dawn_model_masked(&opts), 0, "GPT-2 masks none");
}

int main(void)
{
    plan_lazy();
    test_nodes();
    test_large();
    test_masked();
    return done_testing();
}
