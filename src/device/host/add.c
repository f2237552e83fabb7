/* SPDX-License-Identifier: Apache-2.0 */
/* add: a + b; the sum may stand where b stood. Both gradients are the output's,
 * so there is no backward.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#define BLOCK 16384 /* elements */

struct add {
    struct dawni_kernel base;
    int64_t elements;
    enum dawn_dtype dtype;
};

struct add_task {
    const void *a, *b;
    void *out;
    enum dawn_dtype dtype;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct add *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_add, &k, err);
    if (st)
        return st;
    k->elements = microbatch * dawni_host_elements(out);
    k->dtype = out->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

DAWNI_INLINE void sum_body(const struct add_task *t, int64_t first,
                           int64_t last, bool bf16)
{
    const void *a = t->a, *b = t->b;
    void *out = t->out;
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        dawni_put(out, i, dawni_get(a, i, bf16) + dawni_get(b, i, bf16), bf16);
}

DAWNI_RANGE(sum, add_task, t->dtype)

void dawni_host_sum(void *out, const void *a, const void *b,
                    enum dawn_dtype dtype, int64_t n)
{
    dawni_host_parallel(sum, &(struct add_task){a, b, out, dtype}, n, BLOCK);
}

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    (void)err;
    const struct add *k = (const struct add *)kernel;
    dawni_host_sum(args->out[0], args->in[0], args->in[1], k->dtype,
                   k->elements);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_add = {
    .op = "add",
    .create = create,
    .forward = forward,
    .destroy = dawni_host_kernel_free,
};
