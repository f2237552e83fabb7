/* SPDX-License-Identifier: Apache-2.0 */
/* concat: rows of the inputs side by side; their gradients are pieces of the
 * output's rows.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#define ROWS 64 /* at a time */

struct concat {
    struct dawni_kernel base;
    int inputs;
    int64_t rows, width, part[DAWN_MAX_PORTS]; /* elements of a row */
    enum dawn_dtype dtype;
};

struct concat_task {
    const struct concat *k;
    const struct dawn_op_args *args;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct concat *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_concat, &k, err);
    if (st)
        return st;
    k->inputs = dawn_graph_node(graph, node)->inputs;
    for (int i = 0; i < k->inputs; i++)
        k->part[i] = dawni_host_last_extent(dawni_host_input(graph, node, i));
    k->width = dawni_host_last_extent(out);
    k->rows = microbatch * dawni_host_elements(out) / k->width;
    k->dtype = out->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

static void join(const void *task, int64_t first, int64_t last)
{
    const struct concat_task *t = task;
    const struct concat *k = t->k;
    const size_t element = dawn_dtype_bytes(k->dtype);
    char *to = (char *)t->args->out[0] + (size_t)(first * k->width) * element;
    for (int64_t row = first; row < last; row++)
        for (int i = 0; i < k->inputs; i++) {
            size_t bytes = (size_t)k->part[i] * element;
            memcpy(to, (const char *)t->args->in[i] + (size_t)row * bytes,
                   bytes);
            to += bytes;
        }
}

/* Row of an input's gradient, which may be add's. */
DAWNI_INLINE void part_row(const struct concat_task *t, int i, int64_t row,
                           int64_t at, bool bf16)
{
    const int64_t n = t->k->part[i];
    const void *dout = dawni_at(t->args->dout[0], row * t->k->width + at, bf16);
    const void *add = t->args->din_add[i];
    void *din = dawni_at_mut(t->args->din[i], row * n, bf16);
    if (!add) {
        memcpy(din, dout, (size_t)n * (bf16 ? 2 : 4));
        return;
    }
    add = dawni_at(add, row * n, bf16);
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        dawni_put(din, c, dawni_get(dout, c, bf16) + dawni_get(add, c, bf16),
                  bf16);
}

DAWNI_INLINE void part_body(const struct concat_task *t, int64_t first,
                            int64_t last, bool bf16)
{
    for (int64_t row = first; row < last; row++)
        for (int64_t i = 0, at = 0; i < t->k->inputs; at += t->k->part[i++])
            if (t->args->din[i])
                part_row(t, (int)i, row, at, bf16);
}

DAWNI_RANGE(part, concat_task, t->k->dtype)

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    (void)err;
    const struct concat *k = (const struct concat *)kernel;
    dawni_host_parallel(join, &(struct concat_task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status backward(struct dawni_kernel *kernel,
                                 const struct dawn_op_args *args,
                                 struct dawn_error *err)
{
    (void)err;
    const struct concat *k = (const struct concat *)kernel;
    dawni_host_parallel(part, &(struct concat_task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_concat = {
    .op = "concat",
    .create = create,
    .forward = forward,
    .backward_input = backward,
    .destroy = dawni_host_kernel_free,
};
