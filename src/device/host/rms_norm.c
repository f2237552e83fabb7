/* SPDX-License-Identifier: Apache-2.0 */
/* rms_norm over the last extent. With h = x * rstd and g = dout * gain:
 *     out = h * gain, din = rstd * (g - h * mean(g * h))
 *     dgain = sum over rows of dout * h
 * Row sums are taken over blocks of rows in scratch, then added in block order.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define ROWS 8      /* rows a thread takes at a time */
#define PARTS 64    /* at most so many partial sums of rows */
#define MIN_PART 16 /* rows */
#define COLUMNS 128 /* columns a thread adds up at a time */

struct rms_norm {
    struct dawni_kernel base;
    int64_t rows, width;
    enum dawn_dtype dtype;
    float eps;
    int64_t part_rows, parts; /* of the row sums */
};

struct rms_task {
    const struct rms_norm *k;
    const struct dawn_op_args *args;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct rms_norm *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_rms_norm, &k, err);
    if (st)
        return st;
    k->width = dawni_host_last_extent(out);
    k->rows = microbatch * dawni_host_elements(out) / k->width;
    k->dtype = out->dtype;
    k->eps = (float)dawn_graph_attr(graph, node, "eps", 1e-6);
    k->part_rows = (k->rows + PARTS - 1) / PARTS;
    if (k->part_rows < MIN_PART)
        k->part_rows = MIN_PART;
    k->parts = (k->rows + k->part_rows - 1) / k->part_rows;
    k->base.scratch_bytes[DAWNI_W] =
        (uint64_t)(k->parts * k->width) * sizeof(float);
    *kernel_p = &k->base;
    return DAWN_OK;
}

DAWNI_INLINE void forward_body(const struct rms_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0];
    float *rstds = t->args->out[1];
    for (int64_t row = first; row < last; row++) {
        const void *x = dawni_at(t->args->in[0], row * n, bf16);
        void *out = dawni_at_mut(t->args->out[0], row * n, bf16);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; i++)
            sum += dawni_get(x, i, bf16) * dawni_get(x, i, bf16);
        const float rstd = 1 / sqrtf(sum / (float)n + t->k->eps);
        rstds[row] = rstd;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dawni_put(out, i, dawni_get(x, i, bf16) * rstd * gain[i], bf16);
    }
}

DAWNI_RANGE(forward, rms_task, t->k->dtype)

/* One row of din, which may be dout's or add's row. */
DAWNI_INLINE void backward_row(const struct rms_task *t, int64_t row, bool bf16,
                               bool adding)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0];
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const void *add =
        adding ? dawni_at(t->args->din_add[0], row * n, bf16) : NULL;
    void *din = dawni_at_mut(t->args->din[0], row * n, bf16);
    const float rstd = ((const float *)t->args->out[1])[row];
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum +=
            dawni_get(dout, i, bf16) * gain[i] * (dawni_get(x, i, bf16) * rstd);
    const float mean = sum / (float)n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = dawni_get(dout, i, bf16) * gain[i];
        float d = rstd * (g - dawni_get(x, i, bf16) * rstd * mean);
        dawni_put(din, i, adding ? d + dawni_get(add, i, bf16) : d, bf16);
    }
}

DAWNI_INLINE void backward_body(const struct rms_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->args->din_add[0])
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, true);
    else
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, false);
}

DAWNI_RANGE(backward, rms_task, t->k->dtype)

/* sums of `rows` <= 4 rows from `row`, added to dgain */
DAWNI_INLINE void sum_rows(const struct rms_task *t, int64_t row, int rows,
                           float *dgain, bool bf16)
{
    const int64_t n = t->k->width;
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const float *rstd = (const float *)t->args->out[1] + row;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = dgain[i];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            g += dawni_get(dout, r * n + i, bf16) *
                 (dawni_get(x, r * n + i, bf16) * rstd[r]);
        dgain[i] = g;
    }
}

/* partial sums [first, last): dgain of one block of rows each */
DAWNI_INLINE void parts_body(const struct rms_task *t, int64_t first,
                             int64_t last, bool bf16)
{
    const struct rms_norm *k = t->k;
    for (int64_t part = first; part < last; part++) {
        float *dgain = (float *)t->args->scratch + part * k->width;
        int64_t row = part * k->part_rows, end = row + k->part_rows;
        if (end > k->rows)
            end = k->rows;
        memset(dgain, 0, (size_t)k->width * sizeof *dgain);
        for (; row + 4 <= end; row += 4)
            sum_rows(t, row, 4, dgain, bf16);
        for (; row < end; row++)
            sum_rows(t, row, 1, dgain, bf16);
    }
}

DAWNI_RANGE(parts, rms_task, t->k->dtype)

/* Columns [first, last), at most COLUMNS, of dgain. */
DAWNI_INLINE void columns_body(const struct rms_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    (void)bf16;
    const int64_t n = last - first;
    const float *part = (const float *)t->args->scratch + first;
    float *to = t->args->dparam[0] + first;
    float sum[COLUMNS] = {0};
    for (int64_t p = 0; p < t->k->parts; p++, part += t->k->width)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += part[i];
    for (int64_t i = 0; i < n; i++)
        to[i] = t->args->dparam_add ? to[i] + sum[i] : sum[i];
}

DAWNI_RANGE(columns, rms_task, DAWN_F32)

static enum dawn_status rms_forward(struct dawni_kernel *kernel,
                                    const struct dawn_op_args *args,
                                    struct dawn_error *err)
{
    (void)err;
    const struct rms_norm *k = (const struct rms_norm *)kernel;
    dawni_host_parallel(forward, &(struct rms_task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status rms_backward_input(struct dawni_kernel *kernel,
                                           const struct dawn_op_args *args,
                                           struct dawn_error *err)
{
    (void)err;
    const struct rms_norm *k = (const struct rms_norm *)kernel;
    dawni_host_parallel(backward, &(struct rms_task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status rms_backward_param(struct dawni_kernel *kernel,
                                           const struct dawn_op_args *args,
                                           struct dawn_error *err)
{
    (void)err;
    const struct rms_norm *k = (const struct rms_norm *)kernel;
    const struct rms_task task = {k, args};
    dawni_host_parallel(parts, &task, k->parts, 1);
    dawni_host_parallel(columns, &task, k->width, COLUMNS);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_rms_norm = {
    .op = "rms_norm",
    .create = create,
    .forward = rms_forward,
    .backward_input = rms_backward_input,
    .backward_param = rms_backward_param,
    .destroy = dawni_host_kernel_free,
};
