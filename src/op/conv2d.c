/* SPDX-License-Identifier: Apache-2.0 */
/* conv2d: x (H,W,C), channels last, by w (N,h,w,C), without a bias. Output row
 * i, filter row r reads row i * stride + r - pad_h + shift of x, columns
 * likewise; what lies outside x is zero. With shift 1 and stride 2 it sees the
 * pixels that stride 2 alone leaves out.
 */
#include "op/op.h"

static bool check_filter(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    const struct dawn_param_desc *w = c->param[0];
    char text[DAWNI_OP_TEXT];
    if (!dawni_op_want_float(c, 0, 3))
        return false;
    if (x->dims != 3)
        return dawni_op_fail(c, "input %s is %s, must be (b,H,W,C)", x->name,
                             dawni_op_tensor_text(x, text));
    if (w->dims != 4)
        return dawni_op_fail(c,
                             "parameter %s has %d extents, must be (N,h,w,C)",
                             w->name, w->dims);
    if (w->shape[3] != x->shape[2])
        return dawni_op_fail(
            c, "parameter %s is for %lld channels, %s has %lld", w->name,
            (long long)w->shape[3], x->name, (long long)x->shape[2]);
    return true;
}

static bool infer(struct dawni_op *c)
{
    static const char *const pads[2] = {"pad_h", "pad_w"};
    const struct dawn_tensor_desc *x = c->in[0];
    const struct dawn_param_desc *w = c->param[0];
    if (!check_filter(c))
        return false;
    int64_t stride = (int64_t)dawni_op_attr(c, "stride");
    struct dawn_tensor_desc *out = dawni_op_output(c, "", x->dtype);
    out->dims = 3;
    for (int i = 0; i < 2; i++) {
        int64_t pad = (int64_t)dawni_op_attr(c, pads[i]);
        int64_t room = x->shape[i] + 2 * pad - w->shape[i + 1];
        if (room < 0)
            return dawni_op_fail(c, "parameter %s has extent %lld, %s %lld",
                                 w->name, (long long)w->shape[i + 1], x->name,
                                 (long long)x->shape[i]);
        out->shape[i] = room / stride + 1;
    }
    out->shape[2] = w->shape[0];
    c->save_inputs = 1;
    for (int phase = 0; phase < 3; phase++)
        c->flops[phase] = 2 * dawni_op_elements(out) *
                          (double)(w->shape[1] * w->shape[2] * w->shape[3]);
    return true;
}

const struct dawni_op_def dawni_op_conv2d = {
    .op = "conv2d",
    .inputs = 1,
    .params_min = 1,
    .params_max = 1,
    .attr = {{"stride", DAWNI_ATTR_COUNT, false, 1},
             {"pad_h", DAWNI_ATTR_NATURAL, false, 0},
             {"pad_w", DAWNI_ATTR_NATURAL, false, 0},
             {"shift", DAWNI_ATTR_NATURAL, false, 0}},
    .infer = infer,
};
