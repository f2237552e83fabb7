/* SPDX-License-Identifier: Apache-2.0 */
/* batch_norm over rows, a pixel each. With h = (x - mean) * rstd:
 *     out = h * gain + bias
 *     din = gain * rstd * (dout - mean(dout) - h * mean(dout * h))
 *     dgain = sum of dout * h, dbias = sum of dout
 * and the averages get mean and var * n / (n - 1). With args->eval mean and var
 * are the averages, which do not depend on x: din = gain * rstd * dout.
 *
 * Sums over rows are taken over parts of them in scratch, which depend on the
 * shape only, then in their order; the variance by parts too (Chan, Golub and
 * LeVeque, 1983).
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define ROWS 16     /* rows a thread takes at a time */
#define PARTS 64    /* at most so many partial sums of rows */
#define MIN_PART 16 /* rows */
#define COLUMNS 64  /* channels a thread adds up at a time */

enum { MEAN = 2, VARIANCE }; /* parameters */

struct batch_norm {
    struct dawni_kernel base;
    int64_t rows, width;
    enum dawn_dtype dtype;
    float eps;
    int64_t part_rows, parts;
};

struct bn_task {
    const struct batch_norm *k;
    const struct dawn_op_args *args;
    float *mean, *rstd; /* by channel */
    float *part;        /* two sums by channel, for each part */
    float *sum;         /* B: what comes of all parts, the same two */
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct batch_norm *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_batch_norm, &k, err);
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
    uint64_t pair = (uint64_t)(2 * k->width) * sizeof(float);
    k->base.scratch_bytes[DAWNI_F] = (uint64_t)k->parts * pair;
    k->base.scratch_bytes[DAWNI_B] = (uint64_t)(k->parts + 1) * pair;
    k->base.scratch_bytes[DAWNI_W] = (uint64_t)k->parts * pair;
    *kernel_p = &k->base;
    return DAWN_OK;
}

static struct bn_task make_task(const struct batch_norm *k,
                                const struct dawn_op_args *args)
{
    return (struct bn_task){.k = k,
                            .args = args,
                            .mean = args->out[1],
                            .rstd = args->out[2],
                            .part = args->scratch,
                            .sum = (float *)args->scratch +
                                   k->parts * 2 * k->width};
}

/* Rows of a part. */
DAWNI_INLINE int64_t part_end(const struct batch_norm *k, int64_t part)
{
    int64_t end = (part + 1) * k->part_rows;
    return end < k->rows ? end : k->rows;
}

/* ---- statistics ---- */

DAWNI_INLINE void add_rows(const void *x, int64_t rows, int64_t n, float *sum,
                           bool bf16)
{
    for (int64_t row = 0; row < rows; row++)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += dawni_get(x, row * n + i, bf16);
}

DAWNI_INLINE void add_squares(const void *x, int64_t rows, int64_t n,
                              const float *mean, float *sum, bool bf16)
{
    for (int64_t row = 0; row < rows; row++)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            float d = dawni_get(x, row * n + i, bf16) - mean[i];
            sum[i] += d * d;
        }
}

/* Parts [first, last): the mean of each, and the squares around it. */
DAWNI_INLINE void moments_body(const struct bn_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    const struct batch_norm *k = t->k;
    const int64_t n = k->width;
    for (int64_t part = first; part < last; part++) {
        int64_t from = part * k->part_rows, rows = part_end(k, part) - from;
        const void *x = dawni_at(t->args->in[0], from * n, bf16);
        float *mean = t->part + part * 2 * n, *squares = mean + n;
        memset(mean, 0, (size_t)(2 * n) * sizeof *mean);
        add_rows(x, rows, n, mean, bf16);
        for (int64_t i = 0; i < n; i++)
            mean[i] /= (float)rows;
        add_squares(x, rows, n, mean, squares, bf16);
    }
}

DAWNI_RANGE(moments, bn_task, t->k->dtype)

/* Channels [first, last): mean and rstd from those of the parts. */
static void statistics(const void *task, int64_t first, int64_t last)
{
    const struct bn_task *t = task;
    const struct batch_norm *k = t->k;
    for (int64_t i = first; i < last; i++) {
        double count = 0, mean = 0, squares = 0;
        for (int64_t part = 0; part < k->parts; part++) {
            const float *at = t->part + part * 2 * k->width + i;
            double rows = (double)(part_end(k, part) - part * k->part_rows);
            double away = (double)at[0] - mean;
            count += rows;
            mean += away * rows / count;
            squares += (double)at[k->width] +
                       away * away * (count - rows) * rows / count;
        }
        t->mean[i] = (float)mean;
        t->rstd[i] = (float)(1 / sqrt(squares / count + (double)k->eps));
    }
}

/* ---- forward ---- */

DAWNI_INLINE void normalize_body(const struct bn_task *t, int64_t first,
                                 int64_t last, bool bf16)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0], *bias = t->args->param[1];
    const float *mean = t->mean, *rstd = t->rstd;
    for (int64_t row = first; row < last; row++) {
        const void *x = dawni_at(t->args->in[0], row * n, bf16);
        void *out = dawni_at_mut(t->args->out[0], row * n, bf16);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            float h = (dawni_get(x, i, bf16) - mean[i]) * rstd[i];
            dawni_put(out, i, h * gain[i] + bias[i], bf16);
        }
    }
}

DAWNI_RANGE(normalize, bn_task, t->k->dtype)

static enum dawn_status bn_forward(struct dawni_kernel *kernel,
                                   const struct dawn_op_args *args,
                                   struct dawn_error *err)
{
    (void)err;
    const struct batch_norm *k = (const struct batch_norm *)kernel;
    const struct bn_task task = make_task(k, args);
    if (args->eval) {
        for (int64_t i = 0; i < k->width; i++) {
            task.mean[i] = args->param[MEAN][i];
            task.rstd[i] = 1 / sqrtf(args->param[VARIANCE][i] + k->eps);
        }
    } else {
        dawni_host_parallel(moments, &task, k->parts, 1);
        dawni_host_parallel(statistics, &task, k->width, COLUMNS);
    }
    dawni_host_parallel(normalize, &task, k->rows, ROWS);
    return DAWN_OK;
}

/* ---- backward ---- */

/* sums of `rows` <= 4 rows from `row`, added to those of dout * h and dout */
DAWNI_INLINE void sum_rows(const struct bn_task *t, int64_t row, int rows,
                           float *products, float *sums, bool bf16)
{
    const int64_t n = t->k->width;
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const float *mean = t->mean, *rstd = t->rstd;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float p = products[i], s = sums[i];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            float d = dawni_get(dout, r * n + i, bf16);
            p += d * ((dawni_get(x, r * n + i, bf16) - mean[i]) * rstd[i]);
            s += d;
        }
        products[i] = p;
        sums[i] = s;
    }
}

DAWNI_INLINE void parts_body(const struct bn_task *t, int64_t first,
                             int64_t last, bool bf16)
{
    const struct batch_norm *k = t->k;
    for (int64_t part = first; part < last; part++) {
        float *products = t->part + part * 2 * k->width;
        float *sums = products + k->width;
        int64_t row = part * k->part_rows, end = part_end(k, part);
        memset(products, 0, (size_t)(2 * k->width) * sizeof *products);
        for (; row + 4 <= end; row += 4)
            sum_rows(t, row, 4, products, sums, bf16);
        for (; row < end; row++)
            sum_rows(t, row, 1, products, sums, bf16);
    }
}

DAWNI_RANGE(parts, bn_task, t->k->dtype)

static float sum_parts(const struct bn_task *t, int64_t column)
{
    const int64_t width = 2 * t->k->width;
    float sum = 0;
    for (int64_t part = 0; part < t->k->parts; part++)
        sum += t->part[part * width + column];
    return sum;
}

/* Columns [first, last) of dgain and dbias side by side. */
static void add_params(const void *task, int64_t first, int64_t last)
{
    const struct bn_task *t = task;
    const int64_t width = t->k->width;
    for (int64_t i = first; i < last; i++) {
        float *to = t->args->dparam[i >= width], sum = sum_parts(t, i);
        if (!to)
            continue;
        to += i % width;
        *to = t->args->dparam_add ? *to + sum : sum;
    }
}

/* The same columns as means over rows. */
static void means(const void *task, int64_t first, int64_t last)
{
    const struct bn_task *t = task;
    for (int64_t i = first; i < last; i++)
        t->sum[i] = sum_parts(t, i) / (float)t->k->rows;
}

DAWNI_INLINE void backward_row(const struct bn_task *t, int64_t row, bool bf16,
                               bool adding)
{
    const int64_t n = t->k->width;
    const float *gain = t->args->param[0];
    const float *mean_gh = t->sum, *mean_g = t->sum + n;
    const float *mean = t->mean, *rstd = t->rstd;
    const void *x = dawni_at(t->args->in[0], row * n, bf16);
    const void *dout = dawni_at(t->args->dout[0], row * n, bf16);
    const void *add =
        adding ? dawni_at(t->args->din_add[0], row * n, bf16) : NULL;
    void *din = dawni_at_mut(t->args->din[0], row * n, bf16);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float h = (dawni_get(x, i, bf16) - mean[i]) * rstd[i];
        float d = dawni_get(dout, i, bf16) - mean_g[i] - h * mean_gh[i];
        d *= gain[i] * rstd[i];
        dawni_put(din, i, adding ? d + dawni_get(add, i, bf16) : d, bf16);
    }
}

DAWNI_INLINE void backward_body(const struct bn_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->args->din_add[0])
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, true);
    else
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, false);
}

DAWNI_RANGE(backward, bn_task, t->k->dtype)

static enum dawn_status bn_backward_input(struct dawni_kernel *kernel,
                                          const struct dawn_op_args *args,
                                          struct dawn_error *err)
{
    (void)err;
    const struct batch_norm *k = (const struct batch_norm *)kernel;
    const struct bn_task task = make_task(k, args);
    if (args->eval) {
        memset(task.sum, 0, (size_t)(2 * k->width) * sizeof *task.sum);
    } else {
        dawni_host_parallel(parts, &task, k->parts, 1);
        dawni_host_parallel(means, &task, 2 * k->width, COLUMNS);
    }
    dawni_host_parallel(backward, &task, k->rows, ROWS);
    return DAWN_OK;
}

static void put(float *to, int64_t i, float value, bool add)
{
    to[i] = add ? to[i] + value : value;
}

static enum dawn_status bn_backward_param(struct dawni_kernel *kernel,
                                          const struct dawn_op_args *args,
                                          struct dawn_error *err)
{
    (void)err;
    const struct batch_norm *k = (const struct batch_norm *)kernel;
    const struct bn_task task = make_task(k, args);
    double rows = (double)k->rows, of_sample = rows > 1 ? rows / (rows - 1) : 1;
    dawni_host_parallel(parts, &task, k->parts, 1);
    dawni_host_parallel(add_params, &task, 2 * k->width, COLUMNS);
    for (int64_t i = 0; i < k->width; i++) {
        double rstd = (double)task.rstd[i];
        double var = 1 / (rstd * rstd) - (double)k->eps;
        put(args->dparam[MEAN], i, task.mean[i], args->dparam_add);
        put(args->dparam[VARIANCE], i, (float)(var > 0 ? var * of_sample : 0),
            args->dparam_add);
    }
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_batch_norm = {
    .op = "batch_norm",
    .create = create,
    .forward = bn_forward,
    .backward_input = bn_backward_input,
    .backward_param = bn_backward_param,
    .destroy = dawni_host_kernel_free,
};
