/* SPDX-License-Identifier: Apache-2.0 */
/* cross_entropy: the mean over all rows of -log softmax(logits)[target]. */
#include "op/op.h"

static bool infer(struct dawni_op *c)
{
    const struct dawn_tensor_desc *logits = c->in[0], *targets = c->in[1];
    char tl[DAWNI_OP_TEXT], tt[DAWNI_OP_TEXT];
    if (!dawni_op_want_float(c, 0, 2) || !dawni_op_want_index(c, 1))
        return false;
    bool match = targets->dims == logits->dims - 1;
    for (int i = 0; match && i < targets->dims; i++)
        match = targets->shape[i] == logits->shape[i];
    if (!match)
        return dawni_op_fail(c,
                             "logits %s are %s, targets %s are %s: every"
                             " row needs one target",
                             logits->name, dawni_op_tensor_text(logits, tl),
                             targets->name, dawni_op_tensor_text(targets, tt));
    dawni_op_output(c, "", DAWN_F32)->batched = false;
    struct dawn_tensor_desc *lse = dawni_op_output(c, ".lse", DAWN_F32);
    dawni_op_copy_shape(lse, targets, targets->dims);
    c->save_inputs = 1 << 0 | 1 << 1;
    c->save_outputs = 1 << 1;
    c->flags = DAWN_NODE_GRAD_INPLACE;
    c->flops[0] = c->flops[1] = 20 * dawni_op_elements(logits);
    return true;
}

const struct dawni_op_def dawni_op_cross_entropy = {
    .op = "cross_entropy",
    .inputs = 2,
    .infer = infer,
};
