/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to each element alone and leaves nothing behind:
 *     gelu, tanh form: x/2 (1 + tanh u) = x / (1 + e^-2u), u = k (x + c x^3)
 *     relu: max(x, 0); its gradient goes where the output, which is kept, is
 *     above 0, and a NaN stays one
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#define BLOCK 8192            /* elements */
#define K 0.7978845608028654f /* sqrt(2 / pi) */
#define C 0.044715f

struct activation {
    struct dawni_kernel base;
    int64_t elements;
    enum dawn_dtype dtype;
    bool relu;
};

struct task {
    const void *x, *dout, *add; /* x: of relu's backward, the output */
    void *out;
    enum dawn_dtype dtype;
    bool relu;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    bool relu = strcmp(dawn_graph_node(graph, node)->op, "relu") == 0;
    struct activation *k = NULL;
    enum dawn_status st = dawni_host_kernel_alloc(
        sizeof *k, relu ? &dawni_host_relu : &dawni_host_gelu, &k, err);
    if (st)
        return st;
    k->elements = microbatch * dawni_host_elements(out);
    k->dtype = out->dtype;
    k->relu = relu;
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

DAWNI_INLINE float value(float x, bool relu)
{
    if (relu)
        return x < 0 ? 0 : x;
    return x * weight(dawni_clamp(x, -FAR, FAR));
}

/* g times the slope at x */
DAWNI_INLINE float gradient(float g, float unclamped, bool relu)
{
    if (relu)
        return unclamped > 0 ? g : 0;
    float x = dawni_clamp(unclamped, -FAR, FAR);
    float s = weight(x);
    float du2 = 2 * K * (1 + 3 * C * x * x);
    return g * (s + x * s * (1 - s) * du2);
}

DAWNI_INLINE void forward_all(const struct task *t, int64_t first, int64_t last,
                              bool bf16, bool relu)
{
    const void *x = t->x;
    void *out = t->out;
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        dawni_put(out, i, value(dawni_get(x, i, bf16), relu), bf16);
}

DAWNI_INLINE void forward_body(const struct task *t, int64_t first,
                               int64_t last, bool bf16)
{
    if (t->relu)
        forward_all(t, first, last, bf16, true);
    else
        forward_all(t, first, last, bf16, false);
}

DAWNI_RANGE(forward, task, t->dtype)

/* din may be dout, add or gelu's x */
DAWNI_INLINE void backward_all(const struct task *t, int64_t first,
                               int64_t last, bool bf16, bool relu)
{
    const void *x = t->x, *dout = t->dout, *add = t->add;
    void *din = t->out;
    if (add) {
#pragma omp simd
        for (int64_t i = first; i < last; i++) {
            float g = dawni_get(dout, i, bf16);
            float d = gradient(g, dawni_get(x, i, bf16), relu);
            dawni_put(din, i, d + dawni_get(add, i, bf16), bf16);
        }
        return;
    }
#pragma omp simd
    for (int64_t i = first; i < last; i++) {
        float g = dawni_get(dout, i, bf16);
        dawni_put(din, i, gradient(g, dawni_get(x, i, bf16), relu), bf16);
    }
}

DAWNI_INLINE void backward_body(const struct task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->relu)
        backward_all(t, first, last, bf16, true);
    else
        backward_all(t, first, last, bf16, false);
}

DAWNI_RANGE(backward, task, t->dtype)

static enum dawn_status run_forward(struct dawni_kernel *kernel,
                                    const struct dawn_op_args *args,
                                    struct dawn_error *err)
{
    (void)err;
    const struct activation *k = (const struct activation *)kernel;
    const struct task task = {.x = args->in[0],
                              .out = args->out[0],
                              .dtype = k->dtype,
                              .relu = k->relu};
    dawni_host_parallel(forward, &task, k->elements, BLOCK);
    return DAWN_OK;
}

static enum dawn_status run_backward(struct dawni_kernel *kernel,
                                     const struct dawn_op_args *args,
                                     struct dawn_error *err)
{
    (void)err;
    const struct activation *k = (const struct activation *)kernel;
    const struct task task = {.x = k->relu ? args->out[0] : args->in[0],
                              .dout = args->dout[0],
                              .add = args->din_add[0],
                              .out = args->din[0],
                              .dtype = k->dtype,
                              .relu = k->relu};
    dawni_host_parallel(backward, &task, k->elements, BLOCK);
    return DAWN_OK;
}

#define ACTIVATION(name)                                                       \
    {                                                                          \
        .op = name, .create = create, .forward = run_forward,                  \
        .backward_input = run_backward, .destroy = dawni_host_kernel_free      \
    }

const struct dawni_kernel_ops dawni_host_gelu = ACTIVATION("gelu");
const struct dawni_kernel_ops dawni_host_relu = ACTIVATION("relu");
