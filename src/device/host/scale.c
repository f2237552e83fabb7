/* SPDX-License-Identifier: Apache-2.0 */
/* scale: x times a number; its gradient the same of the output's. */
#include "device/host/host.h"
#include "device/host/simd.h"

#define BLOCK 8192 /* elements */

struct scale {
    struct dawni_kernel base;
    int64_t elements;
    enum dawn_dtype dtype;
    float by;
};

struct scale_task {
    const void *x, *add;
    void *out;
    enum dawn_dtype dtype;
    float by;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct scale *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_scale, &k, err);
    if (st)
        return st;
    k->elements = microbatch * dawni_host_elements(out);
    k->dtype = out->dtype;
    k->by = (float)dawn_graph_attr(graph, node, "by", 1);
    *kernel_p = &k->base;
    return DAWN_OK;
}

/* out may stand where x or add does */
DAWNI_INLINE void multiply_all(const struct scale_task *t, int64_t first,
                               int64_t last, bool bf16, bool adding)
{
    const void *x = t->x, *add = t->add;
    const float by = t->by;
    void *out = t->out;
#pragma omp simd
    for (int64_t i = first; i < last; i++) {
        float y = dawni_get(x, i, bf16) * by;
        dawni_put(out, i, adding ? y + dawni_get(add, i, bf16) : y, bf16);
    }
}

DAWNI_INLINE void multiply_body(const struct scale_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->add)
        multiply_all(t, first, last, bf16, true);
    else
        multiply_all(t, first, last, bf16, false);
}

DAWNI_RANGE(multiply, scale_task, t->dtype)

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    (void)err;
    const struct scale *k = (const struct scale *)kernel;
    const struct scale_task task = {
        .x = args->in[0], .out = args->out[0], .dtype = k->dtype, .by = k->by};
    dawni_host_parallel(multiply, &task, k->elements, BLOCK);
    return DAWN_OK;
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    (void)err;
    const struct scale *k = (const struct scale *)kernel;
    const struct scale_task task = {.x = args->dout[0],
                                    .add = args->din_add[0],
                                    .out = args->din[0],
                                    .dtype = k->dtype,
                                    .by = k->by};
    dawni_host_parallel(multiply, &task, k->elements, BLOCK);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_scale = {
    .op = "scale",
    .create = create,
    .forward = forward,
    .backward_input = backward_input,
    .destroy = dawni_host_kernel_free,
};
