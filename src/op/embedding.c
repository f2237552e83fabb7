/* SPDX-License-Identifier: Apache-2.0 */
/* embedding: a row of the table for each token; position: a row for each place,
 * added to x.
 */
#include "op/op.h"

static bool embedding_infer(struct dawni_op *c)
{
    const struct dawn_param_desc *table = c->param[0];
    if (!dawni_op_want_index(c, 0))
        return false;
    const struct dawn_tensor_desc *tokens = c->in[0];
    if (tokens->dims >= DAWN_MAX_DIMS)
        return dawni_op_fail(c, "input %s has %d extents, at most %d",
                             tokens->name, tokens->dims, DAWN_MAX_DIMS - 1);
    if (table->dims != 2)
        return dawni_op_fail(c, "parameter %s has %d extents, must be (V,C)",
                             table->name, table->dims);
    bool bf16 = dawni_op_attr(c, "bf16") != 0;
    struct dawn_tensor_desc *out =
        dawni_op_output(c, "", bf16 ? DAWN_BF16 : DAWN_F32);
    dawni_op_copy_shape(out, tokens, tokens->dims);
    out->shape[out->dims++] = table->shape[1];
    c->save_inputs = 1;
    c->flops[2] = dawni_op_elements(out);
    return true;
}

const struct dawni_op_def dawni_op_embedding = {
    .op = "embedding",
    .inputs = 1,
    .params_min = 1,
    .params_max = 1,
    .attr = {{"bf16", DAWNI_ATTR_BOOL, false, 0}},
    .infer = embedding_infer,
};

static bool position_infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    const struct dawn_param_desc *table = c->param[0];
    if (!dawni_op_want_float(c, 0, 2))
        return false;
    if (x->dims != 2)
        return dawni_op_fail(c,
                             "input %s has %d extents after b, must be"
                             " (b,T,C)",
                             x->name, x->dims);
    if (table->dims != 2 || table->shape[0] < x->shape[0] ||
        table->shape[1] != x->shape[1])
        return dawni_op_fail(c, "parameter %s must be (at least %lld,%lld)",
                             table->name, (long long)x->shape[0],
                             (long long)x->shape[1]);
    dawni_op_copy_shape(dawni_op_output(c, "", x->dtype), x, 2);
    c->flags = DAWN_NODE_INPLACE | DAWN_NODE_GRAD_PASS;
    c->flops[0] = c->flops[2] = dawni_op_elements(x);
    return true;
}

const struct dawni_op_def dawni_op_position = {
    .op = "position",
    .inputs = 1,
    .params_min = 1,
    .params_max = 1,
    .infer = position_infer,
};
