/* SPDX-License-Identifier: Apache-2.0 */
/* relu: max(x, 0). Its gradient goes where the output, which is kept, is above
 * 0. A NaN stays one.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#define BLOCK 8192 /* elements */

struct relu {
    struct dawni_kernel base;
    int64_t elements;
    enum dawn_dtype dtype;
};

struct relu_task {
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
    struct relu *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_relu, &k, err);
    if (st)
        return st;
    k->elements = microbatch * dawni_host_elements(out);
    k->dtype = out->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

DAWNI_INLINE void forward_body(const struct relu_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    const void *x = t->x;
    void *out = t->out;
#pragma omp simd
    for (int64_t i = first; i < last; i++) {
        float v = dawni_get(x, i, bf16);
        dawni_put(out, i, v < 0 ? 0 : v, bf16);
    }
}

DAWNI_RANGE(forward, relu_task, t->dtype)

/* x is the output of forward; the gradient may stand where dout or add does */
DAWNI_INLINE void backward_all(const struct relu_task *t, int64_t first,
                               int64_t last, bool bf16, bool adding)
{
    const void *x = t->x, *dout = t->dout, *add = t->add;
    void *din = t->out;
#pragma omp simd
    for (int64_t i = first; i < last; i++) {
        float g = dawni_get(dout, i, bf16);
        float d = dawni_get(x, i, bf16) > 0 ? g : 0;
        dawni_put(din, i, adding ? d + dawni_get(add, i, bf16) : d, bf16);
    }
}

DAWNI_INLINE void backward_body(const struct relu_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->add)
        backward_all(t, first, last, bf16, true);
    else
        backward_all(t, first, last, bf16, false);
}

DAWNI_RANGE(backward, relu_task, t->dtype)

static enum dawn_status relu_forward(struct dawni_kernel *kernel,
                                     const struct dawn_op_args *args,
                                     struct dawn_error *err)
{
    (void)err;
    const struct relu *k = (const struct relu *)kernel;
    const struct relu_task task = {
        .x = args->in[0], .out = args->out[0], .dtype = k->dtype};
    dawni_host_parallel(forward, &task, k->elements, BLOCK);
    return DAWN_OK;
}

static enum dawn_status relu_backward(struct dawni_kernel *kernel,
                                      const struct dawn_op_args *args,
                                      struct dawn_error *err)
{
    (void)err;
    const struct relu *k = (const struct relu *)kernel;
    const struct relu_task task = {.x = args->out[0],
                                   .dout = args->dout[0],
                                   .add = args->din_add[0],
                                   .out = args->din[0],
                                   .dtype = k->dtype};
    dawni_host_parallel(backward, &task, k->elements, BLOCK);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_relu = {
    .op = "relu",
    .create = create,
    .forward = relu_forward,
    .backward_input = relu_backward,
    .destroy = dawni_host_kernel_free,
};
