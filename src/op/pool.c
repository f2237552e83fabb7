/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling of x (H,W,C) over windows of size x size pixels: max_pool, avg_pool
 * (the mean over the pixels that lie in x), and mean_pool over all of them.
 */
#include "op/op.h"

static bool want_image(struct dawni_op *c)
{
    const struct dawn_tensor_desc *x = c->in[0];
    char text[DAWNI_OP_TEXT];
    if (!dawni_op_want_float(c, 0, 3))
        return false;
    if (x->dims == 3)
        return true;
    return dawni_op_fail(c, "input %s is %s, must be (b,H,W,C)", x->name,
                         dawni_op_tensor_text(x, text));
}

/* The output's extents. Every window has a pixel of x where pad < size. */
static bool set_extents(struct dawni_op *c, struct dawn_tensor_desc *out)
{
    const struct dawn_tensor_desc *x = c->in[0];
    int64_t size = (int64_t)dawni_op_attr(c, "size");
    int64_t stride = (int64_t)dawni_op_attr(c, "stride");
    int64_t pad = (int64_t)dawni_op_attr(c, "pad");
    if (2 * pad > size)
        return dawni_op_fail(c, "pad %lld, more than half of size %lld",
                             (long long)pad, (long long)size);
    out->dims = 3;
    for (int i = 0; i < 2; i++) {
        int64_t room = x->shape[i] + 2 * pad - size;
        if (room < 0)
            return dawni_op_fail(c, "size %lld, %s has extent %lld",
                                 (long long)size, x->name,
                                 (long long)x->shape[i]);
        out->shape[i] = room / stride + 1;
    }
    out->shape[2] = x->shape[2];
    return true;
}

static void set_flops(struct dawni_op *c, const struct dawn_tensor_desc *out)
{
    double size = dawni_op_attr(c, "size");
    c->flops[0] = c->flops[1] = size * size * dawni_op_elements(out);
}

/* The gradient needs to know which pixel of its window was largest, a byte. */
static bool max_infer(struct dawni_op *c)
{
    if (!want_image(c))
        return false;
    struct dawn_tensor_desc *out = dawni_op_output(c, "", c->in[0]->dtype);
    struct dawn_tensor_desc *which = dawni_op_output(c, ".which", DAWN_U8);
    if (dawni_op_attr(c, "size") > 15)
        return dawni_op_fail(c, "size %g, must be at most 15",
                             dawni_op_attr(c, "size"));
    if (!set_extents(c, out))
        return false;
    dawni_op_copy_shape(which, out, 3);
    c->save_outputs = 1 << 1;
    set_flops(c, out);
    return true;
}

static bool avg_infer(struct dawni_op *c)
{
    if (!want_image(c))
        return false;
    struct dawn_tensor_desc *out = dawni_op_output(c, "", c->in[0]->dtype);
    if (!set_extents(c, out))
        return false;
    set_flops(c, out);
    return true;
}

/* One row of channels, as heads want it. */
static bool mean_infer(struct dawni_op *c)
{
    if (!want_image(c))
        return false;
    struct dawn_tensor_desc *out = dawni_op_output(c, "", c->in[0]->dtype);
    out->dims = 2;
    out->shape[0] = 1;
    out->shape[1] = c->in[0]->shape[2];
    c->flops[0] = c->flops[1] = dawni_op_elements(c->in[0]);
    return true;
}

#define WINDOW                                                                 \
    {                                                                          \
        {"size", DAWNI_ATTR_COUNT, true, 0},                                   \
            {"stride", DAWNI_ATTR_COUNT, false, 1},                            \
            {"pad", DAWNI_ATTR_NATURAL, false, 0},                             \
    }

const struct dawni_op_def dawni_op_max_pool = {
    .op = "max_pool",
    .inputs = 1,
    .attr = WINDOW,
    .infer = max_infer,
};

const struct dawni_op_def dawni_op_avg_pool = {
    .op = "avg_pool",
    .inputs = 1,
    .attr = WINDOW,
    .infer = avg_infer,
};

const struct dawni_op_def dawni_op_mean_pool = {
    .op = "mean_pool",
    .inputs = 1,
    .infer = mean_infer,
};
