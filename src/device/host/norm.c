/* SPDX-License-Identifier: Apache-2.0 */
/* layer_norm and rms_norm over the last extent. layer_norm is centred:
 *     h = (x - mean) * rstd, out = h * gain + bias
 *     with g = dout * gain: din = rstd * (g - mean(g) - h * mean(g * h))
 *     dgain = sum over rows of dout * h, dbias = sum over rows of dout
 * rms_norm is the same without the means of x and of g and without the bias:
 *     h = x * rstd, out = h * gain
 *     din = rstd * (g - h * mean(g * h)), dgain = sum over rows of dout * h
 * Each function is built for both, by a constant. Row sums are taken over
 * blocks of rows in scratch, then added in block order.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define ROWS 8      /* rows a thread takes at a time */
#define PARTS 64    /* at most so many partial sums of rows */
#define MIN_PART 16 /* rows */
#define COLUMNS 128 /* columns a thread adds up at a time */

struct norm {
    struct dawni_kernel base;
    int64_t rows, width;
    enum dawn_dtype dtype;
    float eps;
    bool centred;             /* layer_norm */
    int64_t part_rows, parts; /* of the row sums, */
    int64_t part_width;       /* each dgain and, if centred, dbias */
};

struct task {
    const struct norm *k;
    const struct dawn_op_args *args;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    bool centred = strcmp(dawn_graph_node(graph, node)->op, "layer_norm") == 0;
    struct norm *k = NULL;
    enum dawn_status st = dawni_host_kernel_alloc(
        sizeof *k, centred ? &dawni_host_layer_norm : &dawni_host_rms_norm, &k,
        err);
    if (st)
        return st;
    k->width = dawni_host_last_extent(out);
    k->rows = microbatch * dawni_host_elements(out) / k->width;
    k->dtype = out->dtype;
    k->eps = (float)dawn_graph_attr(graph, node, "eps", centred ? 1e-5 : 1e-6);
    k->centred = centred;
    k->part_rows = (k->rows + PARTS - 1) / PARTS;
    if (k->part_rows < MIN_PART)
        k->part_rows = MIN_PART;
    k->parts = (k->rows + k->part_rows - 1) / k->part_rows;
    k->part_width = centred ? 2 * k->width : k->width;
    k->base.scratch_bytes[DAWNI_W] =
        (uint64_t)(k->parts * k->part_width) * sizeof(float);
    *kernel_p = &k->base;
    return DAWN_OK;
}

/* Defines the dawni_range_fn NAME: NAME_one(t, i, bf16, centred) for each i. */
#define NORM_RANGE(name)                                                       \
    DAWNI_INLINE void name##_body(const struct task *t, int64_t first,         \
                                  int64_t last, bool bf16)                     \
    {                                                                          \
        if (t->k->centred)                                                     \
            for (int64_t i = first; i < last; i++)                             \
                name##_one(t, i, bf16, true);                                  \
        else                                                                   \
            for (int64_t i = first; i < last; i++)                             \
                name##_one(t, i, bf16, false);                                 \
    }                                                                          \
    DAWNI_RANGE(name, task, t->k->dtype)

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

/* One row of out, and of what is kept of it. */
DAWNI_INLINE void forward_one(const struct task *t, int64_t row, bool bf16,
                              bool centred)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0];
    const float *bias = centred ? t->args->param[1] : NULL;
    float *means = t->args->out[1], *rstds = t->args->out[centred ? 2 : 1];
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    void *out = dawni_at_mut(t->args->out[0], row * n, bf16);
    const float mean = centred ? row_mean(x, n, bf16) : 0;
    const float rstd = row_rstd(x, n, mean, t->k->eps, bf16);
    if (centred)
        means[row] = mean;
    rstds[row] = rstd;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float h = (dawni_get(x, i, bf16) - mean) * rstd;
        dawni_put(out, i, centred ? h * gain[i] + bias[i] : h * gain[i], bf16);
    }
}

NORM_RANGE(forward)

/* One row of din, which may be dout's or add's row. */
DAWNI_INLINE void backward_row(const struct task *t, int64_t row, bool bf16,
                               bool centred, bool adding)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0];
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const void *add =
        adding ? dawni_at(t->args->din_add[0], row * n, bf16) : NULL;
    void *din = dawni_at_mut(t->args->din[0], row * n, bf16);
    const float *means = t->args->out[1];
    const float *rstds = t->args->out[centred ? 2 : 1];
    const float mean = centred ? means[row] : 0, rstd = rstds[row];
    float sum_g = 0, sum_gh = 0;
#pragma omp simd reduction(+ : sum_g, sum_gh)
    for (int64_t i = 0; i < n; i++) {
        float g = dawni_get(dout, i, bf16) * gain[i];
        float h = (dawni_get(x, i, bf16) - mean) * rstd;
        if (centred)
            sum_g += g;
        sum_gh += g * h;
    }
    const float mean_g = centred ? sum_g / (float)n : 0;
    const float mean_gh = sum_gh / (float)n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = dawni_get(dout, i, bf16) * gain[i];
        float h = (dawni_get(x, i, bf16) - mean) * rstd;
        float d = rstd * (g - mean_g - h * mean_gh);
        dawni_put(din, i, adding ? d + dawni_get(add, i, bf16) : d, bf16);
    }
}

DAWNI_INLINE void backward_one(const struct task *t, int64_t row, bool bf16,
                               bool centred)
{
    if (t->args->din_add[0])
        backward_row(t, row, bf16, centred, true);
    else
        backward_row(t, row, bf16, centred, false);
}

NORM_RANGE(backward)

/* sums of `rows` <= 4 rows from `row`, added to dgain and dbias behind it */
DAWNI_INLINE void sum_rows(const struct task *t, int64_t row, int rows,
                           float *dgain, bool bf16, bool centred)
{
    const int64_t n = t->k->width;
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const float *mean = (const float *)t->args->out[1] + row;
    const float *rstd = (const float *)t->args->out[centred ? 2 : 1] + row;
    float *dbias = dgain + n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = dgain[i], b = centred ? dbias[i] : 0;
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            float d = dawni_get(dout, r * n + i, bf16);
            float shift = centred ? mean[r] : 0;
            float h = (dawni_get(x, r * n + i, bf16) - shift) * rstd[r];
            g += d * h;
            b += d;
        }
        dgain[i] = g;
        if (centred)
            dbias[i] = b;
    }
}

/* One partial sum: dgain and dbias of one block of rows. */
DAWNI_INLINE void parts_one(const struct task *t, int64_t part, bool bf16,
                            bool centred)
{
    const struct norm *k = t->k;
    float *dgain = (float *)t->args->scratch + part * k->part_width;
    int64_t row = part * k->part_rows, end = row + k->part_rows;
    if (end > k->rows)
        end = k->rows;
    memset(dgain, 0, (size_t)k->part_width * sizeof *dgain);
    for (; row + 4 <= end; row += 4)
        sum_rows(t, row, 4, dgain, bf16, centred);
    for (; row < end; row++)
        sum_rows(t, row, 1, dgain, bf16, centred);
}

NORM_RANGE(parts)

/* Columns [first, last), at most COLUMNS, of dgain and dbias side by side.
 * Either may be unwanted (NULL). */
DAWNI_INLINE void columns_body(const struct task *t, int64_t first,
                               int64_t last, bool bf16)
{
    (void)bf16;
    const int64_t width = t->k->width, n = last - first;
    const float *part = (const float *)t->args->scratch + first;
    float sum[COLUMNS] = {0};
    for (int64_t p = 0; p < t->k->parts; p++, part += t->k->part_width)
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

DAWNI_RANGE(columns, task, DAWN_F32)

static enum dawn_status run_forward(struct dawni_kernel *kernel,
                                    const struct dawn_op_args *args,
                                    struct dawn_error *err)
{
    (void)err;
    const struct norm *k = (const struct norm *)kernel;
    dawni_host_parallel(forward, &(struct task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status run_backward_input(struct dawni_kernel *kernel,
                                           const struct dawn_op_args *args,
                                           struct dawn_error *err)
{
    (void)err;
    const struct norm *k = (const struct norm *)kernel;
    dawni_host_parallel(backward, &(struct task){k, args}, k->rows, ROWS);
    return DAWN_OK;
}

static enum dawn_status run_backward_param(struct dawni_kernel *kernel,
                                           const struct dawn_op_args *args,
                                           struct dawn_error *err)
{
    (void)err;
    const struct norm *k = (const struct norm *)kernel;
    const struct task task = {k, args};
    dawni_host_parallel(parts, &task, k->parts, 1);
    dawni_host_parallel(columns, &task, k->part_width, COLUMNS);
    return DAWN_OK;
}

#define NORM(name)                                                             \
    {                                                                          \
        .op = name, .create = create, .forward = run_forward,                  \
        .backward_input = run_backward_input,                                  \
        .backward_param = run_backward_param,                                  \
        .destroy = dawni_host_kernel_free                                      \
    }

const struct dawni_kernel_ops dawni_host_layer_norm = NORM("layer_norm");
const struct dawni_kernel_ops dawni_host_rms_norm = NORM("rms_norm");
