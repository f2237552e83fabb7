/* SPDX-License-Identifier: Apache-2.0 */
/* gather: the rows of x that index names, of the same sample; to predict some
 * tokens only.
 */
#include "op/op.h"

static bool infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0], *index = c->in[1];
    if (!dawni_op_want_float(c, 0, 2) || !dawni_op_want_index(c, 1))
        return false;
    if (x->dims != 2 || index->dims != 1)
        return dawni_op_fail(c,
                             "inputs %s and %s have %d and %d extents after "
                             "b, must be (b,T,C) and (b,M)",
                             x->name, index->name, x->dims, index->dims);
    struct dawn_tensor_desc *out = dawni_op_output(c, "", x->dtype);
    out->dims = 2;
    out->shape[0] = index->shape[0];
    out->shape[1] = x->shape[1];
    c->save_inputs = 1 << 1;
    c->flops[1] = dawni_op_elements(out);
    return true;
}

const struct dawni_op_def dawni_op_gather = {
    .op = "gather",
    .inputs = 2,
    .infer = infer,
};
