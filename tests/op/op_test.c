/* SPDX-License-Identifier: Apache-2.0 */
/* What each operator infers, and what it refuses with which words. */
#include "op/op.h"
#include "tap.h"

#include <stdio.h>
#include <string.h>

/* What the cases choose their inputs and parameters from. */
static const struct dawn_tensor_desc tensors[] = {
    {"x", DAWN_F32, true, false, 2, {16, 32}},
    {"y", DAWN_F32, true, false, 2, {16, 32}},
    {"xb", DAWN_BF16, true, false, 2, {16, 32}},
    {"x8", DAWN_U8, true, false, 2, {16, 32}},
    {"whole", DAWN_F32, false, false, 2, {16, 32}},
    {"flat", DAWN_F32, true, false, 0, {0}},
    {"tok", DAWN_I32, true, false, 1, {16}},
    {"tok15", DAWN_I32, true, false, 1, {15}},
    {"qkv", DAWN_F32, true, false, 2, {16, 96}},
    {"qkvb", DAWN_BF16, true, false, 2, {16, 96}},
    {"scores", DAWN_F32, true, false, 3, {4, 16, 16}},
    {"oblong", DAWN_F32, true, false, 3, {4, 16, 17}},
    {"logits", DAWN_BF16, true, false, 2, {16, 61}},
    {"k", DAWN_BF16, true, false, 2, {20, 32}},
    {"v", DAWN_BF16, true, false, 2, {20, 32}},
    {"v16", DAWN_BF16, true, false, 2, {16, 32}},
    {"kb", DAWN_BF16, true, false, 2, {16, 32}},
    {"b31", DAWN_F32, false, false, 2, {4, 31}},
    {"b35", DAWN_F32, false, false, 2, {4, 35}},
    {"image", DAWN_BF16, true, false, 3, {8, 6, 32}},
    {"image2", DAWN_BF16, true, false, 3, {8, 6, 16}},
    {"deep", DAWN_I32, true, false, 6, {1, 1, 1, 1, 1, 1}},
};

static const struct dawn_param_desc params[] = {
    {.name = "gain", .dims = 1, .shape = {32}},
    {.name = "bias", .dims = 1, .shape = {32}},
    {.name = "b61", .dims = 1, .shape = {61}},
    {.name = "w", .dims = 2, .shape = {61, 32}},
    {.name = "w31", .dims = 2, .shape = {61, 31}},
    {.name = "table", .dims = 2, .shape = {32, 4}},
    {.name = "places", .dims = 2, .shape = {20, 32}},
    {.name = "mean", .dims = 1, .shape = {32}, .average = 0.1},
    {.name = "var", .dims = 1, .shape = {32}, .average = 0.1},
    {.name = "f33", .dims = 4, .shape = {10, 3, 3, 32}},
    {.name = "f91", .dims = 4, .shape = {10, 9, 1, 32}},
    {.name = "f16", .dims = 4, .shape = {10, 1, 1, 16}},
    {.name = "few", .dims = 2, .shape = {15, 32}},
};

struct wish {
    const char *op, *in[4], *param[4];
    struct dawn_attr attr[3];
};

static struct dawn_graph *make_graph(void)
{
    struct dawn_graph *graph = NULL;
    struct dawn_error err;
    if (dawn_graph_create("test", &graph, &err))
        return NULL;
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        dawn_graph_add_input(graph, &tensors[i]);
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        dawn_graph_add_param(graph, &params[i]);
    return graph;
}

static int add_wish(struct dawn_graph *graph, const struct wish *w)
{
    struct dawn_op_desc desc = {.name = "n", .op = w->op};
    for (int i = 0; i < 4 && w->in[i]; i++)
        desc.input[desc.inputs++] = dawn_graph_find_tensor(graph, w->in[i]);
    for (int i = 0; i < 4 && w->param[i]; i++)
        desc.param[desc.params++] = dawn_graph_find_param(graph, w->param[i]);
    for (int i = 0; i < 3 && w->attr[i].key; i++)
        desc.attr[desc.attrs++] = w->attr[i];
    return dawn_op_add(graph, &desc);
}

enum {
    INPLACE = DAWN_NODE_INPLACE,
    PASS = DAWN_NODE_GRAD_PASS,
    OVER = DAWN_NODE_GRAD_INPLACE,
};

static const struct {
    struct wish wish;
    const char *outputs; /* "NAME SHAPE DTYPE[ no_grad]; ..." */
    uint32_t save_inputs, save_outputs, flags;
    double flops[3];
} good[] = {
    {{"embedding", {"tok"}, {"w"}, {{0}}},
     "n (b,16,32) f32",
     1,
     0,
     0,
     {0, 0, 512}},
    {{"embedding", {"tok"}, {"w"}, {{"bf16", 1}}},
     "n (b,16,32) bf16",
     1,
     0,
     0,
     {0, 0, 512}},
    {{"position", {"xb"}, {"places"}, {{0}}},
     "n (b,16,32) bf16",
     0,
     0,
     INPLACE | PASS,
     {512, 0, 512}},
    {{"layer_norm", {"xb"}, {"gain", "bias"}, {{0}}},
     "n (b,16,32) bf16; n.mean (b,16) f32 no_grad; n.rstd (b,16) f32 no_grad",
     1,
     6,
     0,
     {4096, 5632, 2560}},
    {{"linear", {"x"}, {"w"}, {{0}}},
     "n (b,16,61) f32",
     1,
     0,
     0,
     {62464, 62464, 62464}},
    {{"linear", {"xb"}, {"w", "b61"}, {{0}}},
     "n (b,16,61) bf16",
     1,
     0,
     0,
     {62464, 62464, 62464}},
    {{"gelu", {"x"}, {0}, {{0}}},
     "n (b,16,32) f32",
     1,
     0,
     OVER,
     {10240, 15360, 0}},
    {{"gelu", {"flat"}, {0}, {{0}}}, "n (b) f32", 1, 0, OVER, {20, 30, 0}},
    {{"rms_norm", {"xb"}, {"gain"}, {{0}}},
     "n (b,16,32) bf16; n.rstd (b,16) f32 no_grad",
     1,
     2,
     0,
     {2048, 4096, 1536}},
    {{"relu", {"xb"}, {0}, {{0}}},
     "n (b,16,32) bf16",
     0,
     1,
     INPLACE,
     {512, 512, 0}},
    {{"scale", {"x"}, {0}, {{"by", 0.5}}},
     "n (b,16,32) f32",
     0,
     0,
     INPLACE,
     {512, 512, 0}},
    {{"attend", {"xb", "k", "v"}, {0}, {{"heads", 4}, {"causal", 0}}},
     "n (b,16,32) bf16; n.lse (b,4,16) f32 no_grad",
     7,
     3,
     0,
     {40960, 102400, 0}},
    {{"attend", {"xb", "kb", "v16", "b31"}, {0}, {{"heads", 4}, {"scaled", 0}}},
     "n (b,16,32) bf16; n.lse (b,4,16) f32 no_grad",
     15,
     3,
     0,
     {17408, 43520, 0}},
    {{"relative_bias", {0}, {"table"}, {{"context", 16}, {"causal", 0}}},
     "n (4,31) f32",
     0,
     0,
     0,
     {0, 0, 0}},
    {{"dropout", {"xb"}, {0}, {{"p", 0.1}}},
     "n (b,16,32) bf16",
     0,
     0,
     INPLACE,
     {512, 512, 0}},
    {{"add", {"x", "y"}, {0}, {{0}}},
     "n (b,16,32) f32",
     0,
     0,
     INPLACE | PASS,
     {512, 0, 0}},
    {{"attention", {"qkvb"}, {0}, {{"heads", 4}}},
     "n (b,16,32) bf16; n.lse (b,4,16) f32 no_grad",
     1,
     3,
     0,
     {17408, 43520, 0}},
    {{"attention", {"qkv"}, {0}, {{"heads", 4}, {"causal", 0}}},
     "n (b,16,32) f32; n.lse (b,4,16) f32 no_grad",
     1,
     3,
     0,
     {32768, 81920, 0}},
    {{"attn_scores", {"qkv"}, {0}, {{"heads", 4}}},
     "n (b,4,16,16) f32",
     1,
     0,
     0,
     {16384, 32768, 0}},
    {{"softmax", {"scores"}, {0}, {{"causal", 0}}},
     "n (b,4,16,16) f32",
     0,
     1,
     0,
     {20480, 4096, 0}},
    {{"attn_values", {"scores", "qkv"}, {0}, {{"heads", 4}}},
     "n (b,16,32) f32",
     3,
     0,
     0,
     {16384, 32768, 0}},
    {{"gather", {"xb", "tok15"}, {0}, {{0}}},
     "n (b,15,32) bf16",
     2,
     0,
     0,
     {0, 480, 0}},
    {{"conv2d", {"image"}, {"f33"}, {{"stride", 2}, {"pad_h", 1}}},
     "n (b,4,2,10) bf16",
     1,
     0,
     0,
     {46080, 46080, 46080}},
    {{"batch_norm", {"image"}, {"gain", "bias", "mean", "var"}, {{0}}},
     "n (b,8,6,32) bf16; n.mean (32) f32 no_grad; n.rstd (32) f32 no_grad",
     1,
     6,
     0,
     {12288, 16896, 7680}},
    {{"max_pool", {"image"}, {0}, {{"size", 3}, {"stride", 2}, {"pad", 1}}},
     "n (b,4,3,32) bf16; n.which (b,4,3,32) u8 no_grad",
     0,
     2,
     0,
     {3456, 3456, 0}},
    {{"avg_pool", {"image"}, {0}, {{"size", 2}}},
     "n (b,7,5,32) bf16",
     0,
     0,
     0,
     {4480, 4480, 0}},
    {{"mean_pool", {"image"}, {0}, {{0}}},
     "n (b,1,32) bf16",
     0,
     0,
     0,
     {1536, 1536, 0}},
    {{"concat", {"image", "image2"}, {0}, {{0}}},
     "n (b,8,6,48) bf16",
     0,
     0,
     0,
     {0, 0, 0}},
    {{"cross_entropy", {"logits", "tok"}, {0}, {{0}}},
     "n () f32; n.lse (b,16) f32 no_grad",
     3,
     2,
     OVER,
     {19520, 19520, 0}},
};

static void describe(const struct dawn_graph *graph, int node, char *text,
                     size_t room)
{
    int outputs = dawn_graph_node(graph, node)->outputs;
    size_t used = 0;
    for (int k = 0; k < outputs && used < room; k++) {
        char shape[DAWNI_OP_TEXT];
        const struct dawn_tensor_desc *t =
            dawn_graph_tensor(graph, dawn_graph_output(graph, node, k));
        used += (size_t)snprintf(
            text + used, room - used, "%s%s %s%s", k ? "; " : "", t->name,
            dawni_op_tensor_text(t, shape), t->no_grad ? " no_grad" : "");
    }
}

static void test_good(void)
{
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct dawn_graph *graph = make_graph();
        const char *op = good[i].wish.op;
        char text[400] = "";
        int tensor = add_wish(graph, &good[i].wish);
        const struct dawn_node_desc *node = dawn_graph_node(graph, 0);
        is_int(tensor, dawn_graph_output(graph, 0, 0),
               "%s (%zu) gives its first output", op, i);
        if (node) {
            describe(graph, 0, text, sizeof text);
            is_str(text, good[i].outputs, "%s (%zu) has its outputs", op, i);
            is_int(node->save_inputs, good[i].save_inputs,
                   "%s (%zu) saves its inputs", op, i);
            is_int(node->save_outputs, good[i].save_outputs,
                   "%s (%zu) saves its outputs", op, i);
            is_int(node->flags, good[i].flags, "%s (%zu) has its flags", op, i);
            for (int k = 0; k < 3; k++)
                is_near(node->flops[k], good[i].flops[k], 1e-6,
                        "%s (%zu) knows its work in phase %d", op, i, k);
        }
        dawn_graph_destroy(graph);
    }
}

static const struct {
    struct wish wish;
    const char *text; /* in the error */
} bad[] = {
    {{"convolve", {"x"}, {0}, {{0}}}, "no operator \"convolve\""},
    {{"gelu", {0}, {0}, {{0}}}, "0 inputs, must be 1"},
    {{"gelu", {"x", "y"}, {0}, {{0}}}, "2 inputs, must be 1"},
    {{"gelu", {"x"}, {"w"}, {{0}}}, "1 parameters, must be 0 to 0"},
    {{"gelu", {"absent"}, {0}, {{0}}}, "input 0 is tensor -1"},
    {{"linear", {"x"}, {"absent"}, {{0}}}, "parameter 0 is number -1"},
    {{"gelu", {"x"}, {0}, {{"p", 1}}}, "1 attributes, 0 of them known"},
    {{"gelu", {"x8"}, {0}, {{0}}}, "input x8 is (b,16,32) u8"},
    {{"gelu", {"whole"}, {0}, {{0}}}, "input whole is (16,32) f32"},
    {{"layer_norm", {"flat"}, {"gain", "bias"}, {{0}}},
     "input flat is (b) f32"},
    {{"layer_norm", {"x"}, {"gain"}, {{0}}}, "1 parameters, must be 2 to 2"},
    {{"layer_norm", {"x"}, {"gain", "b61"}, {{0}}},
     "parameter b61 is (61), must be (32)"},
    {{"layer_norm", {"x"}, {"gain", "bias"}, {{"eps", 0}}},
     "eps 0, must be > 0"},
    {{"linear", {"x"}, {"w31"}, {{0}}},
     "parameter w31 is (61,31), must be (61,32)"},
    {{"linear", {"x"}, {"gain"}, {{0}}}, "parameter gain has 1 extents"},
    {{"linear", {"x"}, {"w", "gain"}, {{0}}},
     "parameter gain is (32), must be (61)"},
    {{"embedding", {"x"}, {"w"}, {{0}}}, "input x is (b,16,32) f32"},
    {{"embedding", {"tok"}, {"gain"}, {{0}}}, "must be (V,C)"},
    {{"embedding", {"tok"}, {"w"}, {{"bf16", 2}}}, "bf16 2, must be 0 or 1"},
    {{"embedding", {"deep"}, {"w"}, {{0}}}, "input deep has 6 extents"},
    {{"position", {"x"}, {"few"}, {{0}}},
     "parameter few must be (at least 16,32)"},
    {{"position", {"scores"}, {"places"}, {{0}}}, "3 extents after b"},
    {{"rms_norm", {"x"}, {"b61"}, {{0}}},
     "parameter b61 is (61), must be (32)"},
    {{"scale", {"x"}, {0}, {{"by", -1}}}, "by -1, must be > 0"},
    {{"attend", {"xb", "k"}, {0}, {{"heads", 4}}}, "2 inputs, must be 3 to 4"},
    {{"attend", {"xb", "k", "v"}, {0}, {{"heads", 4}}},
     "causal, with 16 queries and 20 keys"},
    {{"attend", {"xb", "k", "v"}, {0}, {{"heads", 5}}},
     "a multiple of 5 heads"},
    {{"attend", {"x", "k", "v"}, {0}, {{"heads", 4}, {"causal", 0}}},
     "inputs x and k differ in dtype or width"},
    {{"attend", {"xb", "k", "kb"}, {0}, {{"heads", 4}}}, "must be alike"},
    {{"attend", {"xb", "kb", "xb"}, {0}, {{"heads", 4}}}, "two inputs are xb"},
    {{"attend", {"xb", "kb", "v16", "b35"}, {0}, {{"heads", 4}}},
     "input b35 is (4,35) f32, must be (4,31) f32"},
    {{"relative_bias", {0}, {"table"}, {{0}}}, "needs the attribute context"},
    {{"relative_bias", {0}, {"gain"}, {{"context", 9}}}, "must be (N,H)"},
    {{"relative_bias", {0}, {"few"}, {{"context", 9}}},
     "15 buckets, must be a multiple of 2"},
    {{"relative_bias",
      {0},
      {"places"},
      {{"context", 9}, {"causal", 0}, {"max_distance", 5}}},
     "max_distance 5, must be above 5"},
    {{"dropout", {"x"}, {0}, {{0}}}, "needs the attribute p"},
    {{"dropout", {"x"}, {0}, {{"p", 1}}}, "p 1, must be >= 0 and < 1"},
    {{"dropout", {"x"}, {0}, {{"p", 0.1}, {"p", 0.2}}}, "2 attributes, 1"},
    {{"add", {"x", "x"}, {0}, {{0}}}, "both inputs are x"},
    {{"add", {"x", "xb"}, {0}, {{0}}},
     "inputs x (b,16,32) f32 and xb (b,16,32) bf16 must be alike"},
    {{"add", {"x", "qkv"}, {0}, {{0}}}, "must be alike"},
    {{"attention", {"qkv"}, {0}, {{0}}}, "needs the attribute heads"},
    {{"attention", {"qkv"}, {0}, {{"heads", 5}}}, "a multiple of 5 heads"},
    {{"attention", {"qkv"}, {0}, {{"heads", 1.5}}}, "must be a count >= 1"},
    {{"attention", {"scores"}, {0}, {{"heads", 4}}}, "must be (b,T,3C)"},
    {{"attn_scores", {"x"}, {0}, {{"heads", 4}}}, "a multiple of 4 heads"},
    {{"softmax", {"oblong"}, {0}, {{0}}}, "must be (b,H,T,T)"},
    {{"attn_values", {"scores", "qkvb"}, {0}, {{"heads", 4}}},
     "do not go together"},
    {{"attn_values", {"scores", "qkv"}, {0}, {{"heads", 8}}},
     "do not go together with 8 heads"},
    {{"gather", {"x", "x"}, {0}, {{0}}}, "must be (b,T) i32"},
    {{"gather", {"scores", "tok"}, {0}, {{0}}}, "must be (b,T,C) and (b,M)"},
    {{"gather", {"x", "deep"}, {0}, {{0}}}, "must be (b,T,C) and (b,M)"},
    {{"conv2d", {"x"}, {"f33"}, {{0}}}, "at least 3 more extents"},
    {{"conv2d", {"image"}, {"w"}, {{0}}}, "parameter w has 2 extents"},
    {{"conv2d", {"image"}, {"f16"}, {{0}}}, "is for 16 channels, image has 32"},
    {{"conv2d", {"image"}, {"f91"}, {{0}}}, "f91 has extent 9, image 8"},
    {{"conv2d", {"image"}, {"f33"}, {{"pad_h", -1}}}, "pad_h -1, must be a"},
    {{"batch_norm", {"image"}, {"gain", "bias", "mean", "b61"}, {{0}}},
     "parameter b61 is (61), must be (32)"},
    {{"batch_norm", {"image"}, {"gain", "bias", "gain", "var"}, {{0}}},
     "parameter gain must be an average"},
    {{"batch_norm", {"image"}, {"gain", "mean", "bias", "var"}, {{0}}},
     "parameter mean must be no average"},
    {{"max_pool", {"x"}, {0}, {{"size", 3}}}, "at least 3 more extents"},
    {{"max_pool", {"image"}, {0}, {{0}}}, "needs the attribute size"},
    {{"max_pool", {"image"}, {0}, {{"size", 16}}}, "size 16, must be at most"},
    {{"max_pool", {"image"}, {0}, {{"size", 7}}}, "image has extent 6"},
    {{"avg_pool", {"image"}, {0}, {{"size", 3}, {"pad", 2}}},
     "pad 2, more than half of size 3"},
    {{"avg_pool", {"image"}, {0}, {{"size", 2}, {"stride", 0}}}, "stride 0"},
    {{"mean_pool", {"logits"}, {0}, {{0}}}, "at least 3 more extents"},
    {{"concat", {"image"}, {0}, {{0}}}, "1 inputs, must be 2 to 16"},
    {{"concat", {"image", "image"}, {0}, {{0}}}, "two inputs are image"},
    {{"concat", {"x", "xb"}, {0}, {{0}}}, "may differ in the last extent only"},
    {{"cross_entropy", {"logits", "tok15"}, {0}, {{0}}},
     "targets tok15 are (b,15) i32: every row needs one target"},
    {{"cross_entropy", {"logits", "x"}, {0}, {{0}}}, "must be (b,T) i32"},
};

static void test_bad(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dawn_graph *graph = make_graph();
        struct dawn_error err = {0};
        is_int(add_wish(graph, &bad[i].wish), -1, "%s (%zu) is refused",
               bad[i].wish.op, i);
        is_int(dawn_graph_finish(graph, &err), DAWN_E_INVAL,
               "%s (%zu): the graph remembers", bad[i].wish.op, i);
        if (!ok(strstr(err.text, bad[i].text) && strstr(err.text, "node n"),
                "%s (%zu): \"%s\" is said", bad[i].wish.op, i, bad[i].text))
            diag("%s", err.text);
        dawn_graph_destroy(graph);
    }
}

/* "fused" 0 makes three nodes that end in the same name and shape. */
static void test_unfused(void)
{
    struct dawn_graph *graph = make_graph();
    const struct wish wish = {
        "attention", {"qkv"}, {0}, {{"heads", 4}, {"causal", 0}, {"fused", 0}}};
    int tensor = add_wish(graph, &wish);
    is_int(dawn_graph_nodes(graph), 3, "unfused attention is three nodes");
    is_int(tensor, dawn_graph_find_tensor(graph, "n"), "the last is named n");
    is_str(dawn_graph_node(graph, 0)->op, "attn_scores", "first the scores");
    is_str(dawn_graph_node(graph, 1)->op, "softmax", "then the softmax");
    is_near(dawn_graph_attr(graph, 1, "causal", 1), 0, 0,
            "which is not causal either");
    is_str(dawn_graph_node(graph, 2)->op, "attn_values", "then the values");
    is_str(dawn_graph_node(graph, 0)->name, "n.scores", "scores has a name");
    is_str(dawn_graph_node(graph, 1)->name, "n.probs", "softmax has a name");
    dawn_graph_destroy(graph);
}

static void test_names(void)
{
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    const char *const names[] = {"", name, NULL};
    for (int i = 0; i < 3; i++) {
        struct dawn_graph *graph = make_graph();
        struct dawn_op_desc desc = {
            .name = names[i], .op = "gelu", .inputs = 1};
        is_int(dawn_op_add(graph, &desc), -1, "bad name %d is refused", i);
        dawn_graph_destroy(graph);
    }
}

/* Every attribute is in the node, so that the digest sees defaults too. */
static void test_defaults(void)
{
    struct dawn_graph *graph = make_graph();
    add_wish(graph, &(struct wish){"attention", {"qkv"}, {0}, {{"heads", 4}}});
    is_near(dawn_graph_attr(graph, 0, "heads", -1), 4, 0, "heads is kept");
    is_near(dawn_graph_attr(graph, 0, "causal", -1), 1, 0, "causal is 1");
    is_near(dawn_graph_attr(graph, 0, "fused", -1), 1, 0, "fused is 1");
    dawn_graph_destroy(graph);
}

int main(void)
{
    plan_lazy();
    test_good();
    test_bad();
    test_unfused();
    test_names();
    test_defaults();
    return done_testing();
}
