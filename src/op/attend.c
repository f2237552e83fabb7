/* SPDX-License-Identifier: Apache-2.0 */
/* attend: fused attention with q, k and v apart, so that keys and values may
 * come from elsewhere and be of another number, and a bias by distance added to
 * the scores. relative_bias makes that bias from a table (Raffel et al., 2020,
 * "T5"): one for all layers, small enough to be sent along.
 */
#include "op/op.h"

/* Input i is (b,T,C) with C a multiple of the heads. */
static bool want_rows(struct dawni_op *c, int i, int64_t heads)
{
    const struct dawn_tensor_desc *x = c->in[i];
    char text[DAWNI_OP_TEXT];
    if (!dawni_op_want_float(c, i, 2))
        return false;
    if (x->dims != 2 || x->shape[1] % heads != 0)
        return dawni_op_fail(c,
                             "input %s is %s, must be (b,T,C) with C a "
                             "multiple of %lld heads",
                             x->name, dawni_op_tensor_text(x, text),
                             (long long)heads);
    return true;
}

static bool check_rows(struct dawni_op *c, int64_t heads)
{
    const struct dawn_tensor_desc *q = c->in[0], *k = c->in[1];
    for (int i = 0; i < 3; i++)
        if (!want_rows(c, i, heads))
            return false;
    if (!dawni_op_want_same(c, 1, 2))
        return false;
    for (int i = 0; i < 3; i++)
        if (c->desc->input[i] == c->desc->input[(i + 1) % 3])
            return dawni_op_fail(c, "two inputs are %s", c->in[i]->name);
    if (q->dtype != k->dtype || q->shape[1] != k->shape[1])
        return dawni_op_fail(c, "inputs %s and %s differ in dtype or width",
                             q->name, k->name);
    if (dawni_op_attr(c, "causal") != 0 && q->shape[0] != k->shape[0])
        return dawni_op_fail(c, "causal, with %lld queries and %lld keys",
                             (long long)q->shape[0], (long long)k->shape[0]);
    return true;
}

static bool check_bias(struct dawni_op *c, int64_t heads)
{
    const struct dawn_tensor_desc *bias = c->in[3];
    int64_t distances = c->in[0]->shape[0] + c->in[1]->shape[0] - 1;
    char text[DAWNI_OP_TEXT];
    if (bias->dtype == DAWN_F32 && !bias->batched && bias->dims == 2 &&
        bias->shape[0] == heads && bias->shape[1] == distances)
        return true;
    return dawni_op_fail(c, "input %s is %s, must be (%lld,%lld) f32",
                         bias->name, dawni_op_tensor_text(bias, text),
                         (long long)heads, (long long)distances);
}

static bool attend_infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *q = c->in[0];
    int64_t heads = (int64_t)dawni_op_attr(c, "heads");
    bool biased = c->desc->inputs > 3;
    if (!check_rows(c, heads) || (biased && !check_bias(c, heads)))
        return false;
    dawni_op_copy_shape(dawni_op_output(c, "", q->dtype), q, 2);
    struct dawn_tensor_desc *lse = dawni_op_output(c, ".lse", DAWN_F32);
    lse->dims = 2;
    lse->shape[0] = heads;
    lse->shape[1] = q->shape[0];
    c->save_inputs = biased ? 15 : 7;
    c->save_outputs = 1 << 0 | 1 << 1;
    double keys = (double)c->in[1]->shape[0];
    if (dawni_op_attr(c, "causal") != 0)
        keys = keys / 2 + 0.5;
    c->flops[0] = 4 * dawni_op_elements(q) * keys;
    c->flops[1] = 10 * dawni_op_elements(q) * keys; /* scores once more */
    return true;
}

const struct dawni_op_def dawni_op_attend = {
    .op = "attend",
    .inputs = 3,
    .optional_inputs = 1,
    .attr = {{"heads", DAWNI_ATTR_COUNT, true, 0},
             {"causal", DAWNI_ATTR_BOOL, false, 1},
             {"scaled", DAWNI_ATTR_BOOL, false, 1}},
    .infer = attend_infer,
};

static bool bias_infer(struct dawni_op *c)
{
    const struct dawn_param_desc *table = c->param[0];
    int64_t context = (int64_t)dawni_op_attr(c, "context");
    int64_t most = (int64_t)dawni_op_attr(c, "max_distance");
    bool causal = dawni_op_attr(c, "causal") != 0;
    if (table->dims != 2)
        return dawni_op_fail(c, "parameter %s has %d extents, must be (N,H)",
                             table->name, table->dims);
    int64_t sided = causal ? table->shape[0] : table->shape[0] / 2;
    if (sided < 2 || sided % 2 || (!causal && table->shape[0] % 4))
        return dawni_op_fail(c, "%lld buckets, must be a multiple of %d",
                             (long long)table->shape[0], causal ? 2 : 4);
    if (most <= sided / 2)
        return dawni_op_fail(c, "max_distance %lld, must be above %lld",
                             (long long)most, (long long)sided / 2);
    struct dawn_tensor_desc *out = dawni_op_output(c, "", DAWN_F32);
    out->batched = false;
    out->dims = 2;
    out->shape[0] = table->shape[1];
    out->shape[1] = 2 * context - 1;
    return true;
}

const struct dawni_op_def dawni_op_relative_bias = {
    .op = "relative_bias",
    .params_min = 1,
    .params_max = 1,
    .attr = {{"context", DAWNI_ATTR_COUNT, true, 0},
             {"max_distance", DAWNI_ATTR_COUNT, false, 128},
             {"causal", DAWNI_ATTR_BOOL, false, 1}},
    .infer = bias_infer,
};
