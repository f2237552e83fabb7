/* SPDX-License-Identifier: Apache-2.0 */
/* concat: inputs side by side along the last extent. */
#include "op/op.h"

static bool infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *first = c->in[0];
    char a[DAWNI_OP_TEXT], b[DAWNI_OP_TEXT];
    int64_t width = 0;
    for (int i = 0; i < c->desc->inputs; i++) {
        const struct dawn_tensor_desc *x = c->in[i];
        if (!dawni_op_want_float(c, i, 1))
            return false;
        bool match = x->dtype == first->dtype && x->dims == first->dims;
        for (int k = 0; match && k + 1 < x->dims; k++)
            match = x->shape[k] == first->shape[k];
        if (!match)
            return dawni_op_fail(
                c, "inputs %s %s and %s %s may differ in the last extent only",
                first->name, dawni_op_tensor_text(first, a), x->name,
                dawni_op_tensor_text(x, b));
        for (int k = 0; k < i; k++)
            if (c->desc->input[k] == c->desc->input[i])
                return dawni_op_fail(c, "two inputs are %s", x->name);
        width += dawni_op_last(x);
    }
    struct dawn_tensor_desc *out = dawni_op_output(c, "", first->dtype);
    dawni_op_copy_shape(out, first, first->dims);
    out->shape[out->dims - 1] = width;
    return true;
}

const struct dawni_op_def dawni_op_concat = {
    .op = "concat",
    .inputs = 2,
    .optional_inputs = DAWN_MAX_PORTS - 2,
    .infer = infer,
};
