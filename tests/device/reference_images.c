/* SPDX-License-Identifier: Apache-2.0 */
/* Reference operators of images, (b,H,W,C). */
#include "device/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct image {
    int64_t h, w, c;
};

static struct image image_of(const struct case_tensor *t)
{
    return (struct image){t->shape[0], t->shape[1], t->shape[2]};
}

static int64_t attr(const struct ref_io *io, const char *key, int64_t otherwise)
{
    return (int64_t)case_attr(io->c, key, (double)otherwise);
}

static int64_t input_elements(const struct ref_io *io, int i)
{
    return io->c->b * case_elements(&io->c->in[i]);
}

/* -1: outside */
static int64_t pixel(const struct image *x, int64_t sample, int64_t i,
                     int64_t j)
{
    if (i < 0 || i >= x->h || j < 0 || j >= x->w)
        return -1;
    return ((sample * x->h + i) * x->w + j) * x->c;
}

/* ---- conv2d ---- */

/* Called for each product: output, input and weight elements. NULL: the output
 * becomes zero. */
typedef void (*tap_fn)(const struct ref_io *io, int64_t y, int64_t x,
                       int64_t w);

static void each_tap(const struct ref_io *io, tap_fn fn)
{
    const struct image x = image_of(&io->c->in[0]);
    const int64_t *w = io->c->param[0].shape;
    int64_t stride = attr(io, "stride", 1), shift = attr(io, "shift", 0);
    int64_t pad_h = attr(io, "pad_h", 0), pad_w = attr(io, "pad_w", 0);
    int64_t out_h = (x.h + 2 * pad_h - w[1]) / stride + 1;
    int64_t out_w = (x.w + 2 * pad_w - w[2]) / stride + 1;
    int64_t outs = io->c->b * out_h * out_w * w[0], taps = w[1] * w[2];
    for (int64_t at = 0; at < outs * taps; at++) {
        int64_t y = at / taps, n = y % w[0], place = y / w[0];
        if (!fn)
            io->out[0][y] = 0;
        int64_t i = place / out_w % out_h * stride, j = place % out_w * stride;
        int64_t r = at % taps / w[2], s = at % taps % w[2];
        int64_t from = pixel(&x, place / out_w / out_h, i + r - pad_h + shift,
                             j + s - pad_w + shift);
        for (int64_t c = 0; fn && from >= 0 && c < x.c; c++)
            fn(io, y, from + c, ((n * w[1] + r) * w[2] + s) * x.c + c);
    }
}

static void multiply(const struct ref_io *io, int64_t y, int64_t x, int64_t w)
{
    io->out[0][y] += io->in[0][x] * io->param[0][w];
}

static void multiply_back(const struct ref_io *io, int64_t y, int64_t x,
                          int64_t w)
{
    io->din[0][x] += io->dout[y] * io->param[0][w];
    io->dparam[0][w] += io->dout[y] * io->in[0][x];
}

static void conv_forward(const struct ref_io *io)
{
    each_tap(io, NULL);
    each_tap(io, multiply);
}

static void conv_backward(const struct ref_io *io)
{
    memset(io->din[0], 0, (size_t)input_elements(io, 0) * sizeof(double));
    memset(io->dparam[0], 0,
           (size_t)case_elements(&io->c->param[0]) * sizeof(double));
    each_tap(io, multiply_back);
}

/* ---- batch_norm ---- */

static int64_t channels(const struct ref_io *io)
{
    const struct case_tensor *x = &io->c->in[0];
    return x->shape[x->dims - 1];
}

static double variance(const struct ref_io *io, int64_t c, double *mean_p)
{
    int64_t n = channels(io), rows = input_elements(io, 0) / n;
    double mean = 0, var = 0;
    for (int64_t i = 0; i < rows; i++)
        mean += io->in[0][i * n + c] / (double)rows;
    for (int64_t i = 0; i < rows; i++)
        var += pow(io->in[0][i * n + c] - mean, 2) / (double)rows;
    *mean_p = mean;
    return var;
}

static void batch_forward(const struct ref_io *io)
{
    int64_t n = channels(io), rows = input_elements(io, 0) / n;
    for (int64_t c = 0; c < n; c++) {
        double mean, var = variance(io, c, &mean);
        double rstd = 1 / sqrt(var + case_attr(io->c, "eps", 1e-5));
        io->out[1][c] = mean;
        io->out[2][c] = rstd;
        for (int64_t i = c; i < rows * n; i += n)
            io->out[0][i] = (io->in[0][i] - mean) * rstd * io->param[0][c] +
                            io->param[1][c];
    }
}

static void batch_backward(const struct ref_io *io)
{
    int64_t n = channels(io), rows = input_elements(io, 0) / n;
    for (int64_t c = 0; c < n; c++) {
        double mean, var = variance(io, c, &mean), sum = 0, products = 0;
        double rstd = 1 / sqrt(var + case_attr(io->c, "eps", 1e-5));
        for (int64_t i = c; i < rows * n; i += n) {
            sum += io->dout[i];
            products += io->dout[i] * (io->in[0][i] - mean) * rstd;
        }
        for (int64_t i = c; i < rows * n; i += n) {
            double h = (io->in[0][i] - mean) * rstd;
            io->din[0][i] = rstd * io->param[0][c] *
                            (io->dout[i] - (sum + h * products) / (double)rows);
        }
        io->dparam[0][c] = products;
        io->dparam[1][c] = sum;
        io->dparam[2][c] = mean;
        io->dparam[3][c] = var * (double)rows / (double)(rows - 1);
    }
}

/* ---- pooling ---- */

struct window {
    struct image x;
    int64_t size, stride, pad, out_h, out_w, outs;
};

static struct window window_of(const struct ref_io *io)
{
    struct window w = {.x = image_of(&io->c->in[0]),
                       .size = attr(io, "size", 1),
                       .stride = attr(io, "stride", 1),
                       .pad = attr(io, "pad", 0)};
    w.out_h = (w.x.h + 2 * w.pad - w.size) / w.stride + 1;
    w.out_w = (w.x.w + 2 * w.pad - w.size) / w.stride + 1;
    w.outs = io->c->b * w.out_h * w.out_w * w.x.c;
    return w;
}

/* Element of x at tap t of the window of output y, or -1. */
static int64_t tap(const struct window *w, int64_t y, int64_t t)
{
    int64_t c = y % w->x.c, at = y / w->x.c;
    int64_t i = at / w->out_w % w->out_h * w->stride - w->pad + t / w->size;
    int64_t j = at % w->out_w * w->stride - w->pad + t % w->size;
    int64_t from = pixel(&w->x, at / w->out_w / w->out_h, i, j);
    return from < 0 ? -1 : from + c;
}

static void max_forward(const struct ref_io *io)
{
    const struct window w = window_of(io);
    for (int64_t y = 0; y < w.outs; y++) {
        io->out[0][y] = -INFINITY;
        for (int64_t t = 0; t < w.size * w.size; t++) {
            int64_t x = tap(&w, y, t);
            if (x < 0 || io->in[0][x] <= io->out[0][y])
                continue;
            io->out[0][y] = io->in[0][x];
            io->out[1][y] = (double)t;
        }
    }
}

static void max_backward(const struct ref_io *io)
{
    const struct window w = window_of(io);
    max_forward(io);
    memset(io->din[0], 0, (size_t)input_elements(io, 0) * sizeof(double));
    for (int64_t y = 0; y < w.outs; y++)
        io->din[0][tap(&w, y, (int64_t)io->out[1][y])] += io->dout[y];
}

static int64_t count(const struct window *w, int64_t y)
{
    int64_t n = 0;
    for (int64_t t = 0; t < w->size * w->size; t++)
        n += tap(w, y, t) >= 0;
    return n;
}

static void avg_forward(const struct ref_io *io)
{
    const struct window w = window_of(io);
    for (int64_t y = 0; y < w.outs; y++) {
        io->out[0][y] = 0;
        for (int64_t t = 0; t < w.size * w.size; t++) {
            int64_t x = tap(&w, y, t);
            if (x >= 0)
                io->out[0][y] += io->in[0][x] / (double)count(&w, y);
        }
    }
}

static void avg_backward(const struct ref_io *io)
{
    const struct window w = window_of(io);
    memset(io->din[0], 0, (size_t)input_elements(io, 0) * sizeof(double));
    for (int64_t y = 0; y < w.outs; y++)
        for (int64_t t = 0; t < w.size * w.size; t++) {
            int64_t x = tap(&w, y, t);
            if (x >= 0)
                io->din[0][x] += io->dout[y] / (double)count(&w, y);
        }
}

static void mean_forward(const struct ref_io *io)
{
    const struct image x = image_of(&io->c->in[0]);
    memset(io->out[0], 0, (size_t)(io->c->b * x.c) * sizeof(double));
    for (int64_t i = 0; i < input_elements(io, 0); i++)
        io->out[0][i / (x.h * x.w * x.c) * x.c + i % x.c] +=
            io->in[0][i] / (double)(x.h * x.w);
}

static void mean_backward(const struct ref_io *io)
{
    const struct image x = image_of(&io->c->in[0]);
    for (int64_t i = 0; i < input_elements(io, 0); i++)
        io->din[0][i] = io->dout[i / (x.h * x.w * x.c) * x.c + i % x.c] /
                        (double)(x.h * x.w);
}

/* ---- concat ---- */

/* Walk over the output: to or from the inputs. */
static void walk(const struct ref_io *io, double *out, const double *dout)
{
    int64_t at = 0, rows = input_elements(io, 0) / channels(io);
    for (int64_t row = 0; row < rows; row++)
        for (int i = 0; i < io->c->inputs; i++) {
            const struct case_tensor *x = &io->c->in[i];
            int64_t n = x->shape[x->dims - 1];
            for (int64_t c = 0; c < n; c++, at++) {
                if (out)
                    out[at] = io->in[i][row * n + c];
                else
                    io->din[i][row * n + c] = dout[at];
            }
        }
}

static void concat_forward(const struct ref_io *io)
{
    walk(io, io->out[0], NULL);
}

static void concat_backward(const struct ref_io *io)
{
    walk(io, NULL, io->dout);
}

static const struct reference references[] = {
    {"conv2d", conv_forward, conv_backward},
    {"batch_norm", batch_forward, batch_backward},
    {"max_pool", max_forward, max_backward},
    {"avg_pool", avg_forward, avg_backward},
    {"mean_pool", mean_forward, mean_backward},
    {"concat", concat_forward, concat_backward},
};

const struct reference *find_image_reference(const char *op)
{
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++)
        if (strcmp(references[i].op, op) == 0)
            return &references[i];
    return NULL;
}
