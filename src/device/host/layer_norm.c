/* SPDX-License-Identifier: Apache-2.0 */
/* layer_norm over the last extent. With h = (x - mean) * rstd and g = dout *
 * gain: out = h * gain + bias din = rstd * (g - mean(g) - h * mean(g * h))
 *     dgain = sum over rows of dout * h, dbias = sum over rows of dout
 * Row sums are taken over blocks of rows in scratch, then added in block order.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define ROWS 8      /* rows a thread takes at a time */
#define PARTS 64    /* at most so many partial sums of rows */
#define MIN_PART 16 /* rows */
#define COLUMNS 128 /* columns a thread adds up at a time */

struct layer_norm {
    struct dawni_kernel base;
    int64_t rows, width;
    enum dawn_dtype dtype;
    float eps;
    int64_t part_rows, parts; /* of the row sums */
};

struct ln_task {
    const struct layer_norm *k;
    const struct dawn_op_args *args;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct layer_norm *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_layer_norm, &k, err);
    if (st)
        return st;
    k->width = dawni_host_last_extent(out);
    k->rows = microbatch * dawni_host_elements(out) / k->width;
    k->dtype = out->dtype;
    k->eps = (float)dawn_graph_attr(graph, node, "eps", 1e-5);
    k->part_rows = (k->rows + PARTS - 1) / PARTS;
    if (k->part_rows < MIN_PART)
        k->part_rows = MIN_PART;
    k->parts = (k->rows + k->part_rows - 1) / k->part_rows;
    k->base.scratch_bytes[DAWNI_W] =
        (uint64_t)(k->parts * 2 * k->width) * sizeof(float);
    *kernel_p = &k->base;
    return DAWN_OK;
}

DAWNI_INLINE float row_mean(const void *x, int64_t n, bool bf16)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += dawni_get(x, i, bf16);
    return sum / (float)n;
}

DAWNI_INLINE float row_rstd(const void *x, int64_t n, float mean, float eps,
                            bool bf16)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        float d = dawni_get(x, i, bf16) - mean;
        sum += d * d;
    }
    return 1 / sqrtf(sum / (float)n + eps);
}

DAWNI_INLINE void forward_body(const struct ln_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0], *bias = t->args->param[1];
    float *means = t->args->out[1], *rstds = t->args->out[2];
    for (int64_t row = first; row < last; row++) {
        const void *x = dawni_at(t->args->in[0], row * n, bf16);
        void *out = dawni_at_mut(t->args->out[0], row * n, bf16);
        float mean = row_mean(x, n, bf16);
        float rstd = row_rstd(x, n, mean, t->k->eps, bf16);
        means[row] = mean;
        rstds[row] = rstd;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            float h = (dawni_get(x, i, bf16) - mean) * rstd;
            dawni_put(out, i, h * gain[i] + bias[i], bf16);
        }
    }
}

DAWNI_RANGE(forward, ln_task, t->k->dtype)

/* One row of din, which may be dout's or add's row. */
DAWNI_INLINE void backward_row(const struct ln_task *t, int64_t row, bool bf16,
                               bool adding)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0];
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const void *add =
        adding ? dawni_at(t->args->din_add[0], row * n, bf16) : NULL;
    void *din = dawni_at_mut(t->args->din[0], row * n, bf16);
    const float mean = ((const float *)t->args->out[1])[row];
    const float rstd = ((const float *)t->args->out[2])[row];
    float sum_g = 0, sum_gh = 0;
#pragma omp simd reduction(+ : sum_g, sum_gh)
    for (int64_t i = 0; i < n; i++) {
        float g = dawni_get(dout, i, bf16) * gain[i];
        float h = (dawni_get(x, i, bf16) - mean) * rstd;
        sum_g += g;
        sum_gh += g * h;
    }
    const float mean_g = sum_g / (float)n, mean_gh = sum_gh / (float)n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = dawni_get(dout, i, bf16) * gain[i];
        float h = (dawni_get(x, i, bf16) - mean) * rstd;
        float d = rstd * (g - mean_g - h * mean_gh);
        dawni_put(din, i, adding ? d + dawni_get(add, i, bf16) : d, bf16);
    }
}

DAWNI_INLINE void backward_body(const struct ln_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->args->din_add[0])
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, true);
    else
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, false);
}

DAWNI_RANGE(backward, ln_task, t->k->dtype)

/* sums of `rows` <= 4 rows from `row`, added to dgain and dbias */
DAWNI_INLINE void sum_rows(const struct ln_task *t, int64_t row, int rows,
                           float *dgain, float *dbias, bool bf16)
{
    const int64_t n = t->k->width;
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const float *mean = (const float *)t->args->out[1] + row;
    const float *rstd = (const float *)t->args->out[2] + row;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = dgain[i], b = dbias[i];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            float d = dawni_get(dout, r * n + i, bf16);
            float h = (dawni_get(x, r * n + i, bf16) - mean[r]) * rstd[r];
            g += d * h;
            b += d;
        }
        dgain[i] = g;
        dbias[i] = b;
    }
}

/* partial sums [first, last): dgain and dbias of one block of rows each */
DAWNI_INLINE void parts_body(const struct ln_task *t, int64_t first,
                             int64_t last, bool bf16)
{
    const struct layer_norm *k = t->k;
    for (int64_t part = first; part < last; part++) {
        float *dgain = (float *)t->args->scratch + part * 2 * k->width;
        float *dbias = dgain + k->width;
        int64_t row = part * k->part_rows, end = row + k->part_rows;
        if (end > k->rows)
            end = k->rows;
        memset(dgain, 0, (size_t)(2 * k->width) * sizeof *dgain);
        for (; row + 4 <= end; row += 4)
            sum_rows(t, row, 4, dgain, dbias, bf16);
        for (; row < end; row++)
            sum_rows(t, row, 1, dgain, dbias, bf16);
    }
}

DAWNI_RANGE(parts, ln_task, t->k->dtype)

/* Columns [first, last), at most COLUMNS, of dgain and dbias side by side.
 * Either may be unwanted (NULL). */
DAWNI_INLINE void columns_body(const struct ln_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    (void)bf16;
    const int64_t width = t->k->width, n = last - first;
    const float *part = (const float *)t->args->scratch + first;
    float sum[COLUMNS] = {0};
    for (int64_t p = 0; p < t->k->parts; p++, part += 2 * width)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += part[i];
    for (int64_t i = 0; i < n; i++) {
        bool is_bias = first + i >= width;
        float *to = t->args->dparam[is_bias];
        if (!to)
            continue;
        to += first + i - (is_bias ? width : 0);
        *to = t->args->dparam_add ? *to + sum[i] : sum[i];
    }
}

DAWNI_RANGE(columns, ln_task, DAWN_F32)

static enum dawn_status ln_forward(struct dawni_kernel *kernel,
                                   const struct dawn_op_args *args,
                                   struct dawn_error *err)
{
    (void)err;
    const struct layer_norm *k = (const struct layer_norm *)kernel;
    dawni_host_parallel(forward, &(struct ln_task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status ln_backward_input(struct dawni_kernel *kernel,
                                          const struct dawn_op_args *args,
                                          struct dawn_error *err)
{
    (void)err;
    const struct layer_norm *k = (const struct layer_norm *)kernel;
    dawni_host_parallel(backward, &(struct ln_task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status ln_backward_param(struct dawni_kernel *kernel,
                                          const struct dawn_op_args *args,
                                          struct dawn_error *err)
{
    (void)err;
    const struct layer_norm *k = (const struct layer_norm *)kernel;
    const struct ln_task task = {k, args};
    dawni_host_parallel(parts, &task, k->parts, 1);
    dawni_host_parallel(columns, &task, 2 * k->width, COLUMNS);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_layer_norm = {
    .op = "layer_norm",
    .create = create,
    .forward = ln_forward,
    .backward_input = ln_backward_input,
    .backward_param = ln_backward_param,
    .destroy = dawni_host_kernel_free,
};
