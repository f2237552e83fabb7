/* SPDX-License-Identifier: Apache-2.0 */
/* gelu, tanh form: x/2 (1 + tanh u) = x / (1 + e^-2u), u = k (x + c x^3). */
#include "device/host/host.h"
#include "device/host/simd.h"

#define BLOCK 8192            /* elements */
#define K 0.7978845608028654f /* sqrt(2 / pi) */
#define C 0.044715f

struct gelu {
    struct dawni_kernel base;
    int64_t elements;
    enum dawn_dtype dtype;
};

struct gelu_task {
    const void *x, *dout, *add;
    void *out;
    enum dawn_dtype dtype;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct gelu *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_gelu, &k, err);
    if (st)
        return st;
    k->elements = microbatch * dawni_host_elements(out);
    k->dtype = out->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

/* Beyond it the weight is 1 in f32, or below 1e-28. */
#define FAR 9

/* 1 / (1 + e^-2u) for |x| <= FAR */
DAWNI_INLINE float weight(float x)
{
    float u2 = x * (-2 * K) * (1 + C * x * x);
    return dawni_reciprocal(1 + dawni_exp_within(u2));
}

DAWNI_INLINE float gelu(float x)
{
    return x * weight(dawni_clamp(x, -FAR, FAR));
}

DAWNI_INLINE float slope(float unclamped)
{
    float x = dawni_clamp(unclamped, -FAR, FAR);
    float s = weight(x);
    float du2 = 2 * K * (1 + 3 * C * x * x);
    return s + x * s * (1 - s) * du2;
}

DAWNI_INLINE void forward_body(const struct gelu_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    const void *x = t->x;
    void *out = t->out;
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        dawni_put(out, i, gelu(dawni_get(x, i, bf16)), bf16);
}

DAWNI_RANGE(forward, gelu_task, t->dtype)

/* din may be x, dout or add */
DAWNI_INLINE void backward_all(const struct gelu_task *t, int64_t first,
                               int64_t last, bool bf16, bool adding)
{
    const void *x = t->x, *dout = t->dout, *add = t->add;
    void *din = t->out;
#pragma omp simd
    for (int64_t i = first; i < last; i++) {
        float d = dawni_get(dout, i, bf16) * slope(dawni_get(x, i, bf16));
        dawni_put(din, i, adding ? d + dawni_get(add, i, bf16) : d, bf16);
    }
}

DAWNI_INLINE void backward_body(const struct gelu_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->add)
        backward_all(t, first, last, bf16, true);
    else
        backward_all(t, first, last, bf16, false);
}

DAWNI_RANGE(backward, gelu_task, t->dtype)

static enum dawn_status gelu_forward(struct dawni_kernel *kernel,
                                     const struct dawn_op_args *args,
                                     struct dawn_error *err)
{
    (void)err;
    const struct gelu *k = (const struct gelu *)kernel;
    const struct gelu_task task = {
        .x = args->in[0], .out = args->out[0], .dtype = k->dtype};
    dawni_host_parallel(forward, &task, k->elements, BLOCK);
    return DAWN_OK;
}

static enum dawn_status gelu_backward(struct dawni_kernel *kernel,
                                      const struct dawn_op_args *args,
                                      struct dawn_error *err)
{
    (void)err;
    const struct gelu *k = (const struct gelu *)kernel;
    const struct gelu_task task = {.x = args->in[0],
                                   .dout = args->dout[0],
                                   .add = args->din_add[0],
                                   .out = args->din[0],
                                   .dtype = k->dtype};
    dawni_host_parallel(backward, &task, k->elements, BLOCK);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_gelu = {
    .op = "gelu",
    .create = create,
    .forward = gelu_forward,
    .backward_input = gelu_backward,
    .destroy = dawni_host_kernel_free,
};
