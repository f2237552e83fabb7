/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over q, k and v side by side in qkv (b,T,3C): fused, which keeps
 * one number a row and head for backward, or as three nodes (attn_scores,
 * softmax, attn_values) whose (b,H,T,T) tensors can be seen.
 */
#include "op/op.h"

#include <stdio.h>
#include <string.h>

/* Input i is (b,T,3C) with C a multiple of the heads. */
static bool want_qkv(struct dawni_op *c, int i, int64_t heads)
{
    const struct dawn_tensor_desc *qkv = c->in[i];
    char text[DAWNI_OP_TEXT];
    if (!dawni_op_want_float(c, i, 2))
        return false;
    if (qkv->dims != 2 || qkv->shape[1] % (3 * heads) != 0)
        return dawni_op_fail(c,
                             "input %s is %s, must be (b,T,3C) with C a"
                             " multiple of %lld heads",
                             qkv->name, dawni_op_tensor_text(qkv, text),
                             (long long)heads);
    return true;
}

/* Input i is (b,H,T,T). */
static bool want_scores(struct dawni_op *c, int i)
{
    const struct dawn_tensor_desc *x = c->in[i];
    char text[DAWNI_OP_TEXT];
    if (!dawni_op_want_float(c, i, 3))
        return false;
    if (x->dims != 3 || x->shape[1] != x->shape[2])
        return dawni_op_fail(c, "input %s is %s, must be (b,H,T,T)", x->name,
                             dawni_op_tensor_text(x, text));
    return true;
}

static void set_shape(struct dawn_tensor_desc *t, int dims, int64_t first,
                      int64_t second, int64_t third)
{
    const int64_t shape[3] = {first, second, third};
    t->dims = dims;
    memcpy(t->shape, shape, (size_t)dims * sizeof shape[0]);
}

static bool attention_infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *qkv = c->in[0];
    int64_t heads = (int64_t)dawni_op_attr(c, "heads");
    if (!want_qkv(c, 0, heads))
        return false;
    int64_t t = qkv->shape[0], width = qkv->shape[1] / 3;
    set_shape(dawni_op_output(c, "", qkv->dtype), 2, t, width, 0);
    set_shape(dawni_op_output(c, ".lse", DAWN_F32), 2, heads, t, 0);
    c->save_inputs = 1;
    c->save_outputs = 1 << 0 | 1 << 1;
    double pairs = (double)t * (double)t;
    if (dawni_op_attr(c, "causal") != 0)
        pairs = pairs / 2 + (double)t / 2;
    c->flops[0] = 4 * pairs * (double)width;
    c->flops[1] = 10 * pairs * (double)width; /* the scores once more */
    return true;
}

/* "fused" 0: the same as three nodes. */
static int attention_expand(struct dawni_op *c)
{
    if (dawni_op_attr(c, "fused") != 0)
        return -2;
    char name[2][DAWNI_OP_NAME];
    snprintf(name[0], sizeof name[0], "%s.scores", c->desc->name);
    snprintf(name[1], sizeof name[1], "%s.probs", c->desc->name);
    const struct dawn_attr heads = {"heads", dawni_op_attr(c, "heads")};
    int qkv = c->desc->input[0];
    int scores =
        dawn_op_add(c->graph, &(struct dawn_op_desc){.name = name[0],
                                                     .op = "attn_scores",
                                                     .inputs = 1,
                                                     .input = {qkv},
                                                     .attrs = 1,
                                                     .attr = {heads}});
    if (scores < 0)
        return -1;
    int probs = dawn_op_add(
        c->graph, &(struct dawn_op_desc){
                      .name = name[1],
                      .op = "softmax",
                      .inputs = 1,
                      .input = {scores},
                      .attrs = 1,
                      .attr = {{"causal", dawni_op_attr(c, "causal")}}});
    if (probs < 0)
        return -1;
    return dawn_op_add(c->graph, &(struct dawn_op_desc){.name = c->desc->name,
                                                        .op = "attn_values",
                                                        .inputs = 2,
                                                        .input = {probs, qkv},
                                                        .attrs = 1,
                                                        .attr = {heads}});
}

const struct dawni_op_def dawni_op_attention = {
    .op = "attention",
    .inputs = 1,
    .attr = {{"heads", DAWNI_ATTR_COUNT, true, 0},
             {"causal", DAWNI_ATTR_BOOL, false, 1},
             {"fused", DAWNI_ATTR_BOOL, false, 1}},
    .infer = attention_infer,
    .expand = attention_expand,
};

static bool scores_infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *qkv = c->in[0];
    int64_t heads = (int64_t)dawni_op_attr(c, "heads");
    if (!want_qkv(c, 0, heads))
        return false;
    int64_t t = qkv->shape[0];
    set_shape(dawni_op_output(c, "", qkv->dtype), 3, heads, t, t);
    c->save_inputs = 1;
    c->flops[0] = 2.0 / 3 * (double)t * dawni_op_elements(qkv);
    c->flops[1] = 2 * c->flops[0];
    return true;
}

const struct dawni_op_def dawni_op_attn_scores = {
    .op = "attn_scores",
    .inputs = 1,
    .attr = {{"heads", DAWNI_ATTR_COUNT, true, 0}},
    .infer = scores_infer,
};

static bool softmax_infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    if (!want_scores(c, 0))
        return false;
    dawni_op_copy_shape(dawni_op_output(c, "", x->dtype), x, x->dims);
    c->save_outputs = 1;
    c->flops[0] = 20 * dawni_op_elements(x);
    c->flops[1] = 4 * dawni_op_elements(x);
    return true;
}

const struct dawni_op_def dawni_op_softmax = {
    .op = "softmax",
    .inputs = 1,
    .attr = {{"causal", DAWNI_ATTR_BOOL, false, 1}},
    .infer = softmax_infer,
};

static bool values_infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *probs = c->in[0], *qkv = c->in[1];
    int64_t heads = (int64_t)dawni_op_attr(c, "heads");
    char tp[DAWNI_OP_TEXT], tq[DAWNI_OP_TEXT];
    if (!want_scores(c, 0) || !want_qkv(c, 1, heads))
        return false;
    if (probs->dtype != qkv->dtype || probs->shape[0] != heads ||
        probs->shape[1] != qkv->shape[0])
        return dawni_op_fail(c,
                             "inputs %s %s and %s %s do not go together"
                             " with %lld heads",
                             probs->name, dawni_op_tensor_text(probs, tp),
                             qkv->name, dawni_op_tensor_text(qkv, tq),
                             (long long)heads);
    int64_t t = qkv->shape[0];
    set_shape(dawni_op_output(c, "", qkv->dtype), 2, t, qkv->shape[1] / 3, 0);
    c->save_inputs = 1 << 0 | 1 << 1;
    c->flops[0] = 2.0 / 3 * (double)t * dawni_op_elements(qkv);
    c->flops[1] = 2 * c->flops[0];
    return true;
}

const struct dawni_op_def dawni_op_attn_values = {
    .op = "attn_values",
    .inputs = 2,
    .attr = {{"heads", DAWNI_ATTR_COUNT, true, 0}},
    .infer = values_infer,
};
