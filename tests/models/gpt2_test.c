/* SPDX-License-Identifier: Apache-2.0 */
/* GPT-2: nodes, parameters, sizes. */
#include "tap.h"

#include <dawnpiper/job.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct dawn_model_opts small = {.preset = "gpt2",
                                             .layers = 2,
                                             .hidden = 16,
                                             .heads = 2,
                                             .context = 8,
                                             .vocab = 32,
                                             .fused_attention = true,
                                             .dtype = DAWN_BF16};

/* Names of all nodes, each followed by a space. */
static void join_nodes(const struct dawn_graph *g, char *out, size_t room)
{
    size_t at = 0;

    out[0] = '\0';
    for (int i = 0; i < dawn_graph_nodes(g); i++)
        at += (size_t)snprintf(out + at, room - at, "%s ",
                               dawn_graph_node(g, i)->name);
}

#define BLOCK(i, core)                                                         \
    "block" i ".ln1 block" i ".attn.qkv " core "block" i ".attn.out block" i   \
    ".attn.add block" i ".ln2 block" i ".mlp.up block" i ".mlp.gelu block" i   \
    ".mlp.down block" i ".mlp.add "

static void test_nodes(void)
{
    struct dawn_model_opts opts = small;
    struct dawn_graph *g = NULL;
    char names[4096];

    is_int(dawn_model_build(&opts, &g, NULL), DAWN_OK, "gpt2 is built");
    join_nodes(g, names, sizeof names);
    is_str(names,
           "tok_embed pos_embed " BLOCK("0", "block0.attn.core ")
               BLOCK("1", "block1.attn.core ") "final_ln head loss ",
           "with these nodes in this order");
    dawn_graph_destroy(g);

    opts.layers = 1;
    opts.fused_attention = false;
    dawn_model_build(&opts, &g, NULL);
    join_nodes(g, names, sizeof names);
    is_str(names,
           "tok_embed pos_embed " BLOCK(
               "0", "block0.attn.scores block0.attn.softmax "
                    "block0.attn.values ") "final_ln head loss ",
           "unfused attention is three nodes");
    dawn_graph_destroy(g);

    opts.fused_attention = true;
    opts.dropout = 0.1;
    dawn_model_build(&opts, &g, NULL);
    join_nodes(g, names, sizeof names);
    is_str(names,
           "tok_embed pos_embed embed_drop block0.ln1 block0.attn.qkv "
           "block0.attn.core block0.attn.out block0.attn.drop block0.attn.add "
           "block0.ln2 block0.mlp.up block0.mlp.gelu block0.mlp.down "
           "block0.mlp.drop block0.mlp.add final_ln head loss ",
           "dropout stands after the embedding and both projections");
    ok(dawn_graph_attr(g, dawn_graph_find_node(g, "embed_drop"), "p", 0) == 0.1,
       "with its probability");
    dawn_graph_destroy(g);
}

static void test_params(void)
{
    const struct {
        const char *name;
        int dims;
        int64_t rows, columns;
        enum dawn_init init;
        double std;
    } row[] = {{"wte", 2, 32, 16, DAWN_INIT_NORMAL, 0.02},
               {"wpe", 2, 8, 16, DAWN_INIT_NORMAL, 0.02},
               {"h.0.ln_1.weight", 1, 16, 0, DAWN_INIT_ONE, 0},
               {"h.0.ln_1.bias", 1, 16, 0, DAWN_INIT_ZERO, 0},
               {"h.0.attn.c_attn.weight", 2, 48, 16, DAWN_INIT_NORMAL, 0.02},
               {"h.0.attn.c_attn.bias", 1, 48, 0, DAWN_INIT_ZERO, 0},
               {"h.1.attn.c_proj.weight", 2, 16, 16, DAWN_INIT_NORMAL, 0.01},
               {"h.1.mlp.c_fc.weight", 2, 64, 16, DAWN_INIT_NORMAL, 0.02},
               {"h.1.mlp.c_proj.weight", 2, 16, 64, DAWN_INIT_NORMAL, 0.01},
               {"ln_f.weight", 1, 16, 0, DAWN_INIT_ONE, 0}};
    struct dawn_graph *g = NULL;

    dawn_model_build(&small, &g, NULL);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const struct dawn_param_desc *p =
            dawn_graph_param(g, dawn_graph_find_param(g, row[i].name));
        ok(p && p->dims == row[i].dims && p->shape[0] == row[i].rows &&
               (p->dims == 1 || p->shape[1] == row[i].columns) &&
               p->init == row[i].init && fabs(p->std - row[i].std) < 1e-12 &&
               p->decay == (p->dims == 2),
           "parameter %s: shape, initial values, decay", row[i].name);
    }
    const struct dawn_node_desc *head =
        dawn_graph_node(g, dawn_graph_find_node(g, "head"));
    is_int(head->param[0], dawn_graph_find_param(g, "wte"),
           "the head is tied to the embedding");
    is_int(head->params, 1, "and has no bias");
    is_str(dawn_graph_tensor(g, dawn_graph_loss(g))->name, "loss",
           "the loss is the loss");
    ok(dawn_graph_tensor(g, dawn_graph_find_tensor(g, "tokens"))->dtype ==
               DAWN_I32 &&
           dawn_graph_find_tensor(g, "targets") >= 0,
       "inputs are tokens and targets");
    is_int(dawn_graph_tensor(g, dawn_graph_find_tensor(g, "head"))->dtype,
           DAWN_BF16, "activations have the dtype asked for");
    dawn_graph_destroy(g);
}

static void test_gpt2_124m(void)
{
    struct dawn_model_opts opts;
    struct dawn_error err;
    struct dawn_graph *g = NULL;
    int64_t elements = 0;

    is_int(dawn_model_preset("gpt2-124m", &opts, &err), DAWN_OK,
           "a preset has sizes");
    is_int(opts.dtype, DAWN_BF16, "and a dtype");
    is_int(dawn_model_preset("gpt2-125m", &opts, &err), DAWN_E_INVAL,
           "one that there is not is refused");
    is_str(err.text, "no model 'gpt2-125m'", "by its name");
    dawn_model_build(&opts, &g, NULL);
    for (int i = 0; i < dawn_graph_params(g); i++)
        elements += dawn_graph_param_elements(g, i);
    is_int(elements, 124439808, "GPT-2 has its 124,439,808 parameters");
    is_int(dawn_graph_nodes(g), 2 + 12 * 10 + 3, "and 125 nodes");
    dawn_graph_destroy(g);
}

static void test_digest(void)
{
    struct dawn_model_opts opts = small;
    struct dawn_graph *a = NULL, *b = NULL;

    dawn_model_build(&small, &a, NULL);
    dawn_model_build(&small, &b, NULL);
    ok(dawn_graph_digest(a) == dawn_graph_digest(b),
       "the same sizes give the same digest");
    dawn_graph_destroy(b);
    opts.heads = 4;
    dawn_model_build(&opts, &b, NULL);
    ok(dawn_graph_digest(a) != dawn_graph_digest(b),
       "another number of heads gives another one");
    dawn_graph_destroy(a);
    dawn_graph_destroy(b);
}

#define BAD(name, blocks, width, h, places, words, drop, type, fills)          \
    {                                                                          \
        .preset = name, .layers = blocks, .hidden = width, .heads = h,         \
        .context = places, .vocab = words, .dropout = drop,                    \
        .fused_attention = true, .dtype = type, .masked = fills                \
    }

static void test_bad(void)
{
    const struct {
        struct dawn_model_opts opts;
        const char *wanted;
    } row[] = {
        {BAD("gpt9", 1, 16, 2, 8, 32, 0, DAWN_F32, 0), "no model 'gpt9'"},
        {BAD("gpt2", 0, 16, 2, 8, 32, 0, DAWN_F32, 0), "layers 0, must be"},
        {BAD("gpt2", 1, 0, 2, 8, 32, 0, DAWN_F32, 0), "hidden 0, must be"},
        {BAD("gpt2", 1, 16, -1, 8, 32, 0, DAWN_F32, 0), "heads -1, must be"},
        {BAD("gpt2", 1, 16, 3, 8, 32, 0, DAWN_F32, 0),
         "hidden 16 is no multiple of heads 3"},
        {BAD("gpt2", 1, 16, 2, 8, 32, 1, DAWN_F32, 0), "dropout must be"},
        {BAD("gpt2", 1, 16, 2, 8, 32, NAN, DAWN_F32, 0), "dropout must be"},
        {BAD("gpt2", 1, 16, 2, 8, 32, 0, DAWN_U8, 0), "dtype must be"},
        {BAD("gpt2", 1, 16, 2, 8, 32, 0, DAWN_F32, 2), "no masked tokens"},
    };
    struct dawn_graph *g = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ok(dawn_model_build(&row[i].opts, &g, &err) == DAWN_E_INVAL && !g &&
               strstr(err.text, row[i].wanted),
           "refused: %s", err.text);
}

int main(void)
{
    plan_lazy();
    test_nodes();
    test_params();
    test_gpt2_124m();
    test_digest();
    test_bad();
    return done_testing();
}
