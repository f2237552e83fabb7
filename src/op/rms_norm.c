/* SPDX-License-Identifier: Apache-2.0 */
/* rms_norm: x / sqrt(mean of x^2 + eps) * gain over the last extent. */
#include "op/op.h"

static bool infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    if (!dawni_op_want_float(c, 0, 1))
        return false;
    if (!dawni_op_want_param(c, 0, 1, dawni_op_last(x), 0))
        return false;
    dawni_op_copy_shape(dawni_op_output(c, "", x->dtype), x, x->dims);
    dawni_op_copy_shape(dawni_op_output(c, ".rstd", DAWN_F32), x, x->dims - 1);
    c->save_inputs = 1;
    c->save_outputs = 1 << 1;
    c->flops[0] = 4 * dawni_op_elements(x);
    c->flops[1] = 8 * dawni_op_elements(x);
    c->flops[2] = 3 * dawni_op_elements(x);
    return true;
}

const struct dawni_op_def dawni_op_rms_norm = {
    .op = "rms_norm",
    .inputs = 1,
    .params_min = 1,
    .params_max = 1,
    .attr = {{"eps", DAWNI_ATTR_POSITIVE, false, 1e-6}},
    .infer = infer,
};
