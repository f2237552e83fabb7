/* SPDX-License-Identifier: Apache-2.0 */
/* gather: out row m of a sample is row index[m] of x. A row's gradient is the
 * sum of those of the places that it went to, in their order.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#define ROWS 16 /* rows a thread does at a time */
#define CHUNK 64

struct gather {
    struct dawni_kernel base;
    const struct dawn_node_desc *desc;
    int64_t samples, from, to, width; /* rows of a sample: of x, of out */
    enum dawn_dtype dtype;
};

struct gather_task {
    const struct gather *k;
    const struct dawn_op_args *args;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *x = dawni_host_input(graph, node, 0);
    const struct dawn_tensor_desc *index = dawni_host_input(graph, node, 1);
    struct gather *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_gather, &k, err);
    if (st)
        return st;
    k->desc = dawn_graph_node(graph, node);
    k->samples = microbatch;
    k->from = x->shape[0];
    k->to = index->shape[0];
    k->width = x->shape[1];
    k->dtype = x->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

static void copy(const void *task, int64_t first, int64_t last)
{
    const struct gather_task *t = task;
    const struct gather *k = t->k;
    const int32_t *index = t->args->in[1];
    bool bf16 = k->dtype == DAWN_BF16;
    size_t bytes = (size_t)k->width * (bf16 ? 2 : 4);
    for (int64_t row = first; row < last; row++)
        memcpy(dawni_at_mut(t->args->out[0], row * k->width, bf16),
               dawni_at(t->args->in[0],
                        (row / k->to * k->from + index[row]) * k->width, bf16),
               bytes);
}

/* Columns [at, at + n) of the gradient of a row of x. */
DAWNI_INLINE void sum_chunk(const struct gather_task *t, int64_t row,
                            int64_t at, int64_t n, bool bf16)
{
    const struct gather *k = t->k;
    const int64_t sample = row / k->from, place = row % k->from;
    const int32_t *index = (const int32_t *)t->args->in[1] + sample * k->to;
    const void *add = t->args->din_add[0];
    float sum[CHUNK] = {0};
    if (add)
        for (int64_t i = 0; i < n; i++)
            sum[i] = dawni_get(add, row * k->width + at + i, bf16);
    for (int64_t m = 0; m < k->to; m++) {
        if (index[m] != place)
            continue;
        const void *from = dawni_at(t->args->dout[0],
                                    (sample * k->to + m) * k->width + at, bf16);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += dawni_get(from, i, bf16);
    }
    void *din = dawni_at_mut(t->args->din[0], row * k->width + at, bf16);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dawni_put(din, i, sum[i], bf16);
}

DAWNI_INLINE void backward_body(const struct gather_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    const int64_t width = t->k->width;
    for (int64_t row = first; row < last; row++)
        for (int64_t at = 0; at < width; at += CHUNK)
            sum_chunk(t, row, at, width - at < CHUNK ? width - at : CHUNK,
                      bf16);
}

DAWNI_RANGE(backward, gather_task, t->k->dtype)

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    const struct gather *k = (const struct gather *)kernel;
    const int32_t *index = args->in[1];
    const int64_t rows = k->samples * k->to;
    for (int64_t i = 0; i < rows; i++)
        if (index[i] < 0 || index[i] >= k->from)
            return dawn_fail(err, DAWN_E_INVAL,
                             "node %s: row %d at %lld, must be 0 to %lld",
                             k->desc->name, (int)index[i], (long long)i,
                             (long long)k->from - 1);
    dawni_host_parallel(copy, &(struct gather_task){k, args}, rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    (void)err;
    const struct gather *k = (const struct gather *)kernel;
    dawni_host_parallel(backward, &(struct gather_task){k, args},
                        k->samples * k->from, ROWS);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_gather = {
    .op = "gather",
    .create = create,
    .forward = forward,
    .backward_input = backward_input,
    .destroy = dawni_host_kernel_free,
};
