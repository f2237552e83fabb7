/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that keep the shape: gelu (tanh form), relu, scale, dropout, add.
 */
#include "op/op.h"

/* The output is like the one input; flops: of an element. */
static bool infer_like(struct dawni_op *c, uint32_t flags, int forward_flops,
                       int backward_flops)
{
    const struct dawn_tensor_desc *x = c->in[0];
    if (!dawni_op_want_float(c, 0, 0))
        return false;
    dawni_op_copy_shape(dawni_op_output(c, "", x->dtype), x, x->dims);
    c->flags = flags;
    c->flops[0] = forward_flops * dawni_op_elements(x);
    c->flops[1] = backward_flops * dawni_op_elements(x);
    return true;
}

static bool gelu_infer(struct dawni_op *c)
{
    c->save_inputs = 1;
    return infer_like(c, DAWN_NODE_GRAD_INPLACE, 20, 30);
}

const struct dawni_op_def dawni_op_gelu = {
    .op = "gelu",
    .inputs = 1,
    .infer = gelu_infer,
};

/* Its sign can be read off the output, which the next node may keep anyway. */
static bool relu_infer(struct dawni_op *c)
{
    c->save_outputs = 1;
    return infer_like(c, DAWN_NODE_INPLACE, 1, 1);
}

const struct dawni_op_def dawni_op_relu = {
    .op = "relu",
    .inputs = 1,
    .infer = relu_infer,
};

static bool multiple_infer(struct dawni_op *c)
{
    return infer_like(c, DAWN_NODE_INPLACE, 1, 1);
}

const struct dawni_op_def dawni_op_scale = {
    .op = "scale",
    .inputs = 1,
    .attr = {{"by", DAWNI_ATTR_POSITIVE, true, 0}},
    .infer = multiple_infer,
};

const struct dawni_op_def dawni_op_dropout = {
    .op = "dropout",
    .inputs = 1,
    .attr = {{"p", DAWNI_ATTR_FRACTION, true, 0}},
    .infer = multiple_infer,
};

static bool add_infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *a = c->in[0];
    if (!dawni_op_want_float(c, 0, 0) || !dawni_op_want_same(c, 0, 1))
        return false;
    if (c->desc->input[0] == c->desc->input[1])
        return dawni_op_fail(c, "both inputs are %s", a->name);
    dawni_op_copy_shape(dawni_op_output(c, "", a->dtype), a, a->dims);
    c->flags = DAWN_NODE_INPLACE | DAWN_NODE_GRAD_PASS;
    c->flops[0] = dawni_op_elements(a);
    return true;
}

const struct dawni_op_def dawni_op_add = {
    .op = "add",
    .inputs = 2,
    .infer = add_infer,
};
