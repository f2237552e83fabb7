/* SPDX-License-Identifier: Apache-2.0 */
/* batch_norm: (x - mean) / sqrt(var + eps) * gain + bias, for each channel, the
 * last extent, over all else of the microbatch. Evaluations take mean and
 * variance from the last two parameters, which are averages of those of the
 * microbatches (the variance that of a sample: divided by one less).
 * (Ioffe and Szegedy, 2015)
 */
#include "op/op.h"

static bool infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    if (!dawni_op_want_float(c, 0, 1))
        return false;
    int64_t channels = dawni_op_last(x);
    for (int i = 0; i < 4; i++) {
        const struct dawn_param_desc *p = c->param[i];
        if (!dawni_op_want_param(c, i, 1, channels, 0))
            return false;
        if (i < 2 && p->average > 0)
            return dawni_op_fail(c, "parameter %s must be no average", p->name);
        if (i >= 2 && !(p->average > 0))
            return dawni_op_fail(c, "parameter %s must be an average", p->name);
    }
    dawni_op_copy_shape(dawni_op_output(c, "", x->dtype), x, x->dims);
    for (int i = 0; i < 2; i++) {
        struct dawn_tensor_desc *out =
            dawni_op_output(c, i ? ".rstd" : ".mean", DAWN_F32);
        out->batched = false;
        out->dims = 1;
        out->shape[0] = channels;
    }
    c->save_inputs = 1;
    c->save_outputs = 1 << 1 | 1 << 2;
    c->flops[0] = 8 * dawni_op_elements(x);
    c->flops[1] = 11 * dawni_op_elements(x);
    c->flops[2] = 5 * dawni_op_elements(x);
    return true;
}

const struct dawni_op_def dawni_op_batch_norm = {
    .op = "batch_norm",
    .inputs = 1,
    .params_min = 4,
    .params_max = 4,
    .attr = {{"eps", DAWNI_ATTR_POSITIVE, false, 1e-5}},
    .infer = infer,
};
