/* SPDX-License-Identifier: Apache-2.0 */
/* max_pool, avg_pool: a line of output, or of the input's gradient, at a time,
 * so that each element is written once, by one thread. The first of equal
 * pixels is the largest, a NaN is larger than all numbers. mean_pool: over an
 * image.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define CHANNELS 256 /* at a time */

struct pool {
    struct dawni_kernel base;
    int64_t b, h, w, c, out_h, out_w; /* images, channels last */
    int64_t size, stride, pad;
    enum dawn_dtype dtype;
};

struct pool_task {
    const struct pool *k;
    const void *x, *dout, *add;
    void *out, *din;
    uint8_t *which;
};

/* The part of [at, at + size) that lies in [0, extent). */
struct span {
    int64_t begin, end;
};

DAWNI_INLINE struct span clip(int64_t at, int64_t size, int64_t extent)
{
    struct span s = {at < 0 ? 0 : at, at + size < extent ? at + size : extent};
    return s;
}

/* Windows, of `extent`, that have pixel `at`. */
DAWNI_INLINE struct span windows(const struct pool *k, int64_t at,
                                 int64_t extent)
{
    int64_t end = (at + k->pad) / k->stride + 1;
    int64_t begin = at + k->pad - k->size + k->stride;
    begin = begin < 0 ? 0 : begin / k->stride;
    return clip(begin, (end > begin ? end : begin) - begin, extent);
}

static enum dawn_status create(const struct dawni_kernel_ops *ops,
                               const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *x = dawni_host_input(graph, node, 0);
    const struct dawn_tensor_desc *y = dawni_host_output(graph, node, 0);
    struct pool *k = NULL;
    enum dawn_status st = dawni_host_kernel_alloc(sizeof *k, ops, &k, err);
    if (st)
        return st;
    k->b = microbatch;
    k->h = x->shape[0];
    k->w = x->shape[1];
    k->c = x->shape[2];
    k->out_h = y->shape[0];
    k->out_w = y->shape[1];
    k->size = (int64_t)dawn_graph_attr(graph, node, "size", 1);
    k->stride = (int64_t)dawn_graph_attr(graph, node, "stride", 1);
    k->pad = (int64_t)dawn_graph_attr(graph, node, "pad", 0);
    k->dtype = x->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

/* ---- max_pool ---- */

DAWNI_INLINE void max_tap(const void *x, int64_t n, int32_t tap, float *best,
                          int32_t *which, bool bf16)
{
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float v = dawni_get(x, c, bf16), b = best[c];
        bool keep = (v <= b) | (b != b);
        best[c] = keep ? b : v;
        which[c] = keep ? which[c] : tap;
    }
}

/* Channels [from, from + n), n <= CHANNELS, of the output at (line, column). */
DAWNI_INLINE void max_pixel(const struct pool_task *t, int64_t line,
                            int64_t column, int64_t from, int64_t n, bool bf16)
{
    const struct pool *k = t->k;
    const int64_t top = line % k->out_h * k->stride - k->pad;
    const int64_t left = column * k->stride - k->pad;
    const struct span h = clip(top, k->size, k->h);
    const struct span w = clip(left, k->size, k->w);
    const int64_t image = line / k->out_h * k->h;
    const int64_t to = (line * k->out_w + column) * k->c + from;
    const int32_t first = (int32_t)((h.begin - top) * k->size + w.begin - left);
    float best[CHANNELS];
    int32_t which[CHANNELS];
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        best[c] = -INFINITY;
        which[c] = first;
    }
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t j = w.begin; j < w.end; j++)
            max_tap(
                dawni_at(t->x, ((image + i) * k->w + j) * k->c + from, bf16), n,
                (int32_t)((i - top) * k->size + j - left), best, which, bf16);
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        dawni_put(t->out, to + c, best[c], bf16);
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        t->which[to + c] = (uint8_t)which[c];
}

DAWNI_INLINE int64_t fewer(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

DAWNI_INLINE void max_body(const struct pool_task *t, int64_t first,
                           int64_t last, bool bf16)
{
    const struct pool *k = t->k;
    for (int64_t line = first; line < last; line++)
        for (int64_t x = 0; x < k->out_w; x++)
            for (int64_t c = 0; c < k->c; c += CHANNELS)
                max_pixel(t, line, x, c, fewer(CHANNELS, k->c - c), bf16);
}

DAWNI_RANGE(max, pool_task, t->k->dtype)

/* sum[c] = what pixel (line, column) gets from all windows that have it */
DAWNI_INLINE void max_gradient(const struct pool_task *t, int64_t line,
                               int64_t column, int64_t from, int64_t n,
                               float *sum, bool bf16)
{
    const struct pool *k = t->k;
    const struct span h = windows(k, line % k->h, k->out_h);
    const struct span w = windows(k, column, k->out_w);
    const int64_t image = line / k->h * k->out_h;
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t j = w.begin; j < w.end; j++) {
            int64_t at = ((image + i) * k->out_w + j) * k->c + from;
            int64_t r = line % k->h - (i * k->stride - k->pad);
            int64_t s = column - (j * k->stride - k->pad);
            const int32_t tap = (int32_t)(r * k->size + s);
            const void *dout = dawni_at(t->dout, at, bf16);
            const uint8_t *which = t->which + at;
#pragma omp simd
            for (int64_t c = 0; c < n; c++)
                sum[c] += which[c] == tap ? dawni_get(dout, c, bf16) : 0;
        }
}

/* ---- avg_pool ---- */

DAWNI_INLINE void add_pixel(const void *x, int64_t n, float weight, float *sum,
                            bool bf16)
{
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        sum[c] += dawni_get(x, c, bf16) * weight;
}

DAWNI_INLINE void avg_pixel(const struct pool_task *t, int64_t line,
                            int64_t column, int64_t from, int64_t n, bool bf16)
{
    const struct pool *k = t->k;
    const struct span h =
        clip(line % k->out_h * k->stride - k->pad, k->size, k->h);
    const struct span w = clip(column * k->stride - k->pad, k->size, k->w);
    const int64_t image = line / k->out_h * k->h;
    const int64_t to = (line * k->out_w + column) * k->c + from;
    const float count = (float)((h.end - h.begin) * (w.end - w.begin));
    float sum[CHANNELS] = {0};
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t j = w.begin; j < w.end; j++)
            add_pixel(
                dawni_at(t->x, ((image + i) * k->w + j) * k->c + from, bf16), n,
                1, sum, bf16);
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        dawni_put(t->out, to + c, sum[c] / count, bf16);
}

DAWNI_INLINE void avg_body(const struct pool_task *t, int64_t first,
                           int64_t last, bool bf16)
{
    const struct pool *k = t->k;
    for (int64_t line = first; line < last; line++)
        for (int64_t x = 0; x < k->out_w; x++)
            for (int64_t c = 0; c < k->c; c += CHANNELS)
                avg_pixel(t, line, x, c, fewer(CHANNELS, k->c - c), bf16);
}

DAWNI_RANGE(avg, pool_task, t->k->dtype)

DAWNI_INLINE void avg_gradient(const struct pool_task *t, int64_t line,
                               int64_t column, int64_t from, int64_t n,
                               float *sum, bool bf16)
{
    const struct pool *k = t->k;
    const struct span h = windows(k, line % k->h, k->out_h);
    const struct span w = windows(k, column, k->out_w);
    const int64_t image = line / k->h * k->out_h;
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t j = w.begin; j < w.end; j++) {
            int64_t at = ((image + i) * k->out_w + j) * k->c + from;
            struct span y = clip(i * k->stride - k->pad, k->size, k->h);
            struct span x = clip(j * k->stride - k->pad, k->size, k->w);
            int64_t count = (y.end - y.begin) * (x.end - x.begin);
            add_pixel(dawni_at(t->dout, at, bf16), n, 1 / (float)count, sum,
                      bf16);
        }
}

/* ---- both: lines of the input's gradient, which may be add's ---- */

DAWNI_INLINE void gradient_pixel(const struct pool_task *t, int64_t line,
                                 int64_t column, int64_t from, bool bf16)
{
    const struct pool *k = t->k;
    const int64_t n = fewer(CHANNELS, k->c - from);
    const int64_t at = (line * k->w + column) * k->c + from;
    float sum[CHANNELS] = {0};
    if (t->which)
        max_gradient(t, line, column, from, n, sum, bf16);
    else
        avg_gradient(t, line, column, from, n, sum, bf16);
    if (!t->add) {
#pragma omp simd
        for (int64_t c = 0; c < n; c++)
            dawni_put(t->din, at + c, sum[c], bf16);
        return;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        dawni_put(t->din, at + c, sum[c] + dawni_get(t->add, at + c, bf16),
                  bf16);
}

DAWNI_INLINE void gradient_body(const struct pool_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    for (int64_t line = first; line < last; line++)
        for (int64_t x = 0; x < t->k->w; x++)
            for (int64_t c = 0; c < t->k->c; c += CHANNELS)
                gradient_pixel(t, line, x, c, bf16);
}

DAWNI_RANGE(gradient, pool_task, t->k->dtype)

static enum dawn_status pool_backward(struct dawni_kernel *kernel,
                                      const struct dawn_op_args *args,
                                      struct dawn_error *err)
{
    (void)err;
    const struct pool *k = (const struct pool *)kernel;
    bool max = kernel->ops == &dawni_host_max_pool;
    const struct pool_task task = {.k = k,
                                   .dout = args->dout[0],
                                   .add = args->din_add[0],
                                   .din = args->din[0],
                                   .which = max ? args->out[1] : NULL};
    dawni_host_parallel(gradient, &task, k->b * k->h, 1);
    return DAWN_OK;
}

static enum dawn_status max_create(const struct dawn_graph *graph, int node,
                                   int64_t microbatch,
                                   struct dawni_kernel **kernel_p,
                                   struct dawn_error *err)
{
    return create(&dawni_host_max_pool, graph, node, microbatch, kernel_p, err);
}

static enum dawn_status max_forward(struct dawni_kernel *kernel,
                                    const struct dawn_op_args *args,
                                    struct dawn_error *err)
{
    (void)err;
    const struct pool *k = (const struct pool *)kernel;
    const struct pool_task task = {
        .k = k, .x = args->in[0], .out = args->out[0], .which = args->out[1]};
    dawni_host_parallel(max, &task, k->b * k->out_h, 1);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_max_pool = {
    .op = "max_pool",
    .create = max_create,
    .forward = max_forward,
    .backward_input = pool_backward,
    .destroy = dawni_host_kernel_free,
};

static enum dawn_status avg_create(const struct dawn_graph *graph, int node,
                                   int64_t microbatch,
                                   struct dawni_kernel **kernel_p,
                                   struct dawn_error *err)
{
    return create(&dawni_host_avg_pool, graph, node, microbatch, kernel_p, err);
}

static enum dawn_status avg_forward(struct dawni_kernel *kernel,
                                    const struct dawn_op_args *args,
                                    struct dawn_error *err)
{
    (void)err;
    const struct pool *k = (const struct pool *)kernel;
    const struct pool_task task = {
        .k = k, .x = args->in[0], .out = args->out[0]};
    dawni_host_parallel(avg, &task, k->b * k->out_h, 1);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_avg_pool = {
    .op = "avg_pool",
    .create = avg_create,
    .forward = avg_forward,
    .backward_input = pool_backward,
    .destroy = dawni_host_kernel_free,
};

/* ---- mean_pool: one window, all of the image ---- */

static enum dawn_status mean_create(const struct dawn_graph *graph, int node,
                                    int64_t microbatch,
                                    struct dawni_kernel **kernel_p,
                                    struct dawn_error *err)
{
    return create(&dawni_host_mean_pool, graph, node, microbatch, kernel_p,
                  err);
}

/* Images [first, last). */
DAWNI_INLINE void mean_body(const struct pool_task *t, int64_t first,
                            int64_t last, bool bf16)
{
    const struct pool *k = t->k;
    const int64_t pixels = k->h * k->w;
    for (int64_t image = first; image < last; image++)
        for (int64_t from = 0; from < k->c; from += CHANNELS) {
            int64_t n = fewer(CHANNELS, k->c - from);
            float sum[CHANNELS] = {0};
            for (int64_t i = 0; i < pixels; i++)
                add_pixel(
                    dawni_at(t->x, (image * pixels + i) * k->c + from, bf16), n,
                    1, sum, bf16);
            for (int64_t c = 0; c < n; c++)
                dawni_put(t->out, image * k->c + from + c,
                          sum[c] / (float)pixels, bf16);
        }
}

DAWNI_RANGE(mean, pool_task, t->k->dtype)

/* Pixels [first, last) of all images. */
DAWNI_INLINE void spread_body(const struct pool_task *t, int64_t first,
                              int64_t last, bool bf16)
{
    const struct pool *k = t->k;
    const int64_t pixels = k->h * k->w;
    for (int64_t i = first; i < last; i++)
        for (int64_t c = 0; c < k->c; c++) {
            float d =
                dawni_get(t->dout, i / pixels * k->c + c, bf16) / (float)pixels;
            if (t->add)
                d += dawni_get(t->add, i * k->c + c, bf16);
            dawni_put(t->din, i * k->c + c, d, bf16);
        }
}

DAWNI_RANGE(spread, pool_task, t->k->dtype)

static enum dawn_status mean_forward(struct dawni_kernel *kernel,
                                     const struct dawn_op_args *args,
                                     struct dawn_error *err)
{
    (void)err;
    const struct pool *k = (const struct pool *)kernel;
    const struct pool_task task = {
        .k = k, .x = args->in[0], .out = args->out[0]};
    dawni_host_parallel(mean, &task, k->b, 1);
    return DAWN_OK;
}

static enum dawn_status mean_backward(struct dawni_kernel *kernel,
                                      const struct dawn_op_args *args,
                                      struct dawn_error *err)
{
    (void)err;
    const struct pool *k = (const struct pool *)kernel;
    const struct pool_task task = {.k = k,
                                   .dout = args->dout[0],
                                   .add = args->din_add[0],
                                   .din = args->din[0]};
    dawni_host_parallel(spread, &task, k->b * k->h * k->w, 64);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_mean_pool = {
    .op = "mean_pool",
    .create = mean_create,
    .forward = mean_forward,
    .backward_input = mean_backward,
    .destroy = dawni_host_kernel_free,
};
