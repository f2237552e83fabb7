/* SPDX-License-Identifier: Apache-2.0 */
/* linear: x W^T + bias over the last extent. */
#include "op/op.h"

static bool infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    const struct dawn_param_desc *w = c->param[0];
    if (!dawni_op_want_float(c, 0, 1))
        return false;
    if (w->dims != 2)
        return dawni_op_fail(c, "parameter %s has %d extents, must be (N,K)",
                             w->name, w->dims);
    if (!dawni_op_want_param(c, 0, 2, w->shape[0], dawni_op_last(x)))
        return false;
    if (c->desc->params == 2 && !dawni_op_want_param(c, 1, 1, w->shape[0], 0))
        return false;
    struct dawn_tensor_desc *out = dawni_op_output(c, "", x->dtype);
    dawni_op_copy_shape(out, x, x->dims);
    out->shape[out->dims - 1] = w->shape[0];
    c->save_inputs = 1;
    for (int phase = 0; phase < 3; phase++)
        c->flops[phase] = 2 * dawni_op_elements(x) * (double)w->shape[0];
    return true;
}

const struct dawni_op_def dawni_op_linear = {
    .op = "linear",
    .inputs = 1,
    .params_min = 1,
    .params_max = 2,
    .prepared = 1,
    .infer = infer,
};
