/* SPDX-License-Identifier: Apache-2.0 */
/* layer_norm: (x - mean) / sqrt(var + eps) * gain + bias over the last extent.
 */
#include "op/op.h"

static bool infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    if (!dawni_op_want_float(c, 0, 1))
        return false;
    int64_t width = dawni_op_last(x);
    for (int i = 0; i < 2; i++)
        if (!dawni_op_want_param(c, i, 1, width, 0))
            return false;
    dawni_op_copy_shape(dawni_op_output(c, "", x->dtype), x, x->dims);
    dawni_op_copy_shape(dawni_op_output(c, ".mean", DAWN_F32), x, x->dims - 1);
    dawni_op_copy_shape(dawni_op_output(c, ".rstd", DAWN_F32), x, x->dims - 1);
    c->save_inputs = 1;
    c->save_outputs = 1 << 1 | 1 << 2;
    c->flops[0] = 8 * dawni_op_elements(x);
    c->flops[1] = 11 * dawni_op_elements(x);
    c->flops[2] = 5 * dawni_op_elements(x);
    return true;
}

const struct dawni_op_def dawni_op_layer_norm = {
    .op = "layer_norm",
    .inputs = 1,
    .params_min = 2,
    .params_max = 2,
    .attr = {{"eps", DAWNI_ATTR_POSITIVE, false, 1e-5}},
    .infer = infer,
};
