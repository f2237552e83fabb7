/* SPDX-License-Identifier: Apache-2.0 */
/* conv2d. By one pixel without stride it is a linear and nothing else. Others
 * are made of products too: the pixels under the filter are laid side by side,
 * (pixel, h, w, C), for as many lines of the image as stay in the cache:
 *
 *   F  y = patches(x) w^T
 *   W  dw += dy^T patches(x)
 *   B  dx = patches(dy) v, v (h,w,N,C) the filter mirrored: what a pixel of dx
 *      gets comes from the pixels of dy whose patches had it. By one pixel with
 *      a stride: dy w, spread over the pixels that were read.
 *
 * But F and B of bf16 by larger filters are oneDNN's direct convolutions where
 * the processor has tiles: they need no patches, and are up to three times as
 * fast. Its W is not. Filters that are smaller than the stride stay with
 * patches: of theirs oneDNN 2.6.3 gets some wrong on more than one thread.
 */
#include "device/host/amx.h"
#include "device/host/dnnl.h"
#include "device/host/host.h"
#include "device/host/simd.h"

#define CACHED (1 << 20) /* bytes of patches at a time, about */

struct extent { /* of images, channels last */
    int64_t h, w, c;
};

/* How patches are taken: line y, row r of the filter reads line (y * up + r +
 * first) / down of `from`, where there is such a line; columns likewise. */
struct patches {
    struct extent from, filter; /* filter.c: unused */
    int64_t lines, columns;     /* pixels of an image that have a patch */
    int64_t up, down, first_h, first_w;
    size_t pixel;  /* bytes */
    int64_t block; /* lines at a time; divides all samples' lines */
};

struct conv {
    struct dawni_kernel base;
    int64_t b, n;
    struct extent x, y, filter;
    bool scatter; /* one pixel and a stride */
    enum dawn_dtype dtype;
    struct patches forward, backward;
    struct dawni_kernel *product; /* linear of a block of patches of x */
    struct dawni_kernel *mirror;  /* of dy; NULL where scatter */
    uint64_t mirror_at, pack_at;  /* in prepared */
    struct dawni_conv *direct[2]; /* F, B; NULL: by patches */
};

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static int64_t patch_elements(const struct patches *p)
{
    return p->filter.h * p->filter.w * p->from.c;
}

static uint64_t patch_bytes(const struct patches *p)
{
    return round_up(
        (uint64_t)(p->block * p->columns * p->filter.h * p->filter.w) *
        p->pixel);
}

static void choose_block(struct patches *p, int64_t b)
{
    uint64_t line =
        (uint64_t)(p->columns * p->filter.h * p->filter.w) * p->pixel;
    int64_t all = b * p->lines;

    p->block = 1;
    for (int64_t d = 2; d <= all && (uint64_t)d * line <= CACHED; d++)
        if (all % d == 0)
            p->block = d;
}

static void describe(struct conv *k, const struct dawn_graph *graph, int node)
{
    int64_t stride = (int64_t)dawn_graph_attr(graph, node, "stride", 1);
    int64_t shift = (int64_t)dawn_graph_attr(graph, node, "shift", 0);
    int64_t pad_h = (int64_t)dawn_graph_attr(graph, node, "pad_h", 0);
    int64_t pad_w = (int64_t)dawn_graph_attr(graph, node, "pad_w", 0);

    k->forward = (struct patches){.from = k->x,
                                  .filter = k->filter,
                                  .lines = k->y.h,
                                  .columns = k->y.w,
                                  .up = stride,
                                  .down = 1,
                                  .first_h = shift - pad_h,
                                  .first_w = shift - pad_w};
    k->backward = (struct patches){.from = k->y,
                                   .filter = k->filter,
                                   .lines = k->x.h,
                                   .columns = k->x.w,
                                   .up = 1,
                                   .down = stride,
                                   .first_h = pad_h - shift - k->filter.h + 1,
                                   .first_w = pad_w - shift - k->filter.w + 1};
    struct patches *both[2] = {&k->forward, &k->backward};
    for (int i = 0; i < 2; i++) {
        both[i]->pixel = (size_t)both[i]->from.c * dawn_dtype_bytes(k->dtype);
        choose_block(both[i], k->b);
    }
    k->scatter = k->filter.h == 1 && k->filter.w == 1;
}

/* ---- patches ---- */

struct patch_task {
    const struct patches *p;
    const char *from;
    char *to;      /* of line `start` */
    int64_t start; /* lines of all samples */
};

/* Where position y * up + r + first is in `from`, or -1. */
static int64_t source(int64_t position, int64_t down, int64_t extent)
{
    if (position < 0 || position % down || position / down >= extent)
        return -1;
    return position / down;
}

/* One row of the filter at one pixel. line: of `from`, NULL outside. */
static void copy_row(const struct patches *p, const char *line, int64_t first,
                     char *to)
{
    int64_t wide = p->filter.w;

    if (line && p->down == 1 && first >= 0 && first + wide <= p->from.w) {
        memcpy(to, line + (size_t)first * p->pixel, (size_t)wide * p->pixel);
        return;
    }
    for (int64_t s = 0; s < wide; s++, to += p->pixel) {
        int64_t at = line ? source(first + s, p->down, p->from.w) : -1;
        if (at < 0)
            memset(to, 0, p->pixel);
        else
            memcpy(to, line + (size_t)at * p->pixel, p->pixel);
    }
}

static void copy_line(const struct patch_task *t, int64_t line)
{
    const struct patches *p = t->p;
    int64_t y = (t->start + line) % p->lines;
    size_t row = (size_t)p->filter.w * p->pixel;
    size_t patch = (size_t)p->filter.h * row;
    const char *image = t->from + (size_t)((t->start + line) / p->lines *
                                           p->from.h * p->from.w) *
                                      p->pixel;
    char *to = t->to + (size_t)(line * p->columns) * patch;

    for (int64_t r = 0; r < p->filter.h; r++) {
        int64_t at = source(y * p->up + r + p->first_h, p->down, p->from.h);
        const char *from =
            at < 0 ? NULL : image + (size_t)(at * p->from.w) * p->pixel;
        for (int64_t x = 0; x < p->columns; x++)
            copy_row(p, from, x * p->up + p->first_w,
                     to + (size_t)x * patch + (size_t)r * row);
    }
}

static void copy_lines(const void *task, int64_t first, int64_t last)
{
    for (int64_t line = first; line < last; line++)
        copy_line(task, line);
}

static void take_patches(const struct patches *p, const void *from, void *to,
                         int64_t start)
{
    const struct patch_task task = {p, from, to, start};

    dawni_host_parallel(copy_lines, &task, p->block, 1);
}

struct spread_task {
    const struct patches *p;
    const void *from; /* of line `start` */
    void *to;
    int64_t start;
    enum dawn_dtype dtype;
};

/* Add lines of products, one for each patch of one pixel, to those pixels. */
DAWNI_INLINE void spread_body(const struct spread_task *t, int64_t first,
                              int64_t last, bool bf16)
{
    const struct patches *p = t->p;
    const int64_t c = p->from.c;

    for (int64_t i = first; i < last; i++) {
        int64_t line = t->start + i / p->columns, x = i % p->columns;
        int64_t h = line % p->lines * p->up + p->first_h;
        int64_t w = x * p->up + p->first_w;
        if (h < 0 || h >= p->from.h || w < 0 || w >= p->from.w)
            continue;
        h += line / p->lines * p->from.h;
        const void *from = dawni_at(t->from, i * c, bf16);
        void *to = dawni_at_mut(t->to, (h * p->from.w + w) * c, bf16);
#pragma omp simd
        for (int64_t j = 0; j < c; j++)
            dawni_put(to, j, dawni_get(to, j, bf16) + dawni_get(from, j, bf16),
                      bf16);
    }
}

DAWNI_RANGE(spread, spread_task, t->dtype)

/* ---- the filter mirrored ---- */

struct mirror_task {
    const struct conv *k;
    const float *w;
    float *to;
};

/* v (h,w,N,C) from w (N,h,w,C) */
static void mirror(const void *task, int64_t first, int64_t last)
{
    const struct mirror_task *t = task;
    int64_t taps = t->k->filter.h * t->k->filter.w, n = t->k->n, c = t->k->x.c;

    for (int64_t i = first; i < last; i++) {
        int64_t tap = taps - 1 - i / n, filter = i % n;
        memcpy(t->to + i * c, t->w + (filter * taps + tap) * c,
               (size_t)c * sizeof *t->w);
    }
}

/* ---- the operator ---- */

static void destroy(struct dawni_kernel *kernel)
{
    struct conv *k = (struct conv *)kernel;

    dawni_kernel_destroy(k->product);
    dawni_kernel_destroy(k->mirror);
    dawni_conv_destroy(k->direct[0]);
    dawni_conv_destroy(k->direct[1]);
    dawni_host_kernel_free(kernel);
}

static enum dawn_status make_products(struct conv *k, struct dawn_error *err)
{
    const struct patches *f = &k->forward, *b = &k->backward;
    const struct dawni_host_linear_opts product = {.m = f->block * f->columns,
                                                   .n = k->n,
                                                   .k = patch_elements(f),
                                                   .dtype = k->dtype};
    const struct dawni_host_linear_opts back = {.m = b->block * b->columns,
                                                .n = patch_elements(b),
                                                .k = k->x.c,
                                                .dtype = k->dtype};
    enum dawn_status st = dawni_host_linear_create(&product, &k->product, err);

    if (st || k->scatter || k->direct[1])
        return st;
    return dawni_host_linear_create(&back, &k->mirror, err);
}

static size_t image_bytes(const struct conv *k)
{
    return (size_t)(k->b * k->x.h * k->x.w * k->x.c) *
           dawn_dtype_bytes(k->dtype);
}

static enum dawn_status make_direct(struct conv *k, const struct dawn_graph *g,
                                    int node, struct dawn_error *err)
{
    struct dawni_conv_desc desc = {
        .b = k->b,
        .h = k->x.h,
        .w = k->x.w,
        .c = k->x.c,
        .out_h = k->y.h,
        .out_w = k->y.w,
        .n = k->n,
        .filter_h = k->filter.h,
        .filter_w = k->filter.w,
        .stride = (int64_t)dawn_graph_attr(g, node, "stride", 1),
        .pad_h = (int64_t)dawn_graph_attr(g, node, "pad_h", 0),
        .pad_w = (int64_t)dawn_graph_attr(g, node, "pad_w", 0)};
    enum dawn_status st = DAWN_OK;

    if (k->scatter || k->dtype != DAWN_BF16 || !dawni_amx_usable() ||
        dawn_graph_attr(g, node, "shift", 0) != 0 ||
        k->filter.h < desc.stride || k->filter.w < desc.stride)
        return DAWN_OK;
    for (int i = 0; i < 2 && !st; i++) {
        desc.backward = i;
        st = dawni_conv_create(&desc, "conv2d", &k->direct[i], err);
    }
    return st;
}

/* B adds to a gradient that lies where it would write: through scratch. */
static void set_direct_bytes(struct conv *k)
{
    k->pack_at = round_up(dawni_conv_filter_bytes(k->direct[0]));
    k->base.prepared_bytes = k->pack_at + dawni_conv_filter_bytes(k->direct[1]);
    k->base.scratch_bytes[DAWNI_F] = dawni_conv_scratch_bytes(k->direct[0]);
    k->base.scratch_bytes[DAWNI_B] =
        round_up(image_bytes(k)) + dawni_conv_scratch_bytes(k->direct[1]);
}

static void set_bytes(struct conv *k)
{
    const struct dawni_kernel *p = k->product, *m = k->mirror;
    uint64_t patches = patch_bytes(&k->forward);

    k->base.scratch_bytes[DAWNI_F] = patches + p->scratch_bytes[DAWNI_F];
    k->base.scratch_bytes[DAWNI_W] = patches + p->scratch_bytes[DAWNI_W];
    k->base.prepared_bytes = p->prepared_bytes;
    if (k->direct[1]) {
        set_direct_bytes(k);
        return;
    }
    if (k->scatter) {
        k->base.scratch_bytes[DAWNI_B] = patches + p->scratch_bytes[DAWNI_B];
        return;
    }
    k->base.scratch_bytes[DAWNI_B] =
        patch_bytes(&k->backward) + m->scratch_bytes[DAWNI_B];
    k->mirror_at = round_up(p->prepared_bytes);
    k->pack_at = k->mirror_at +
                 round_up((uint64_t)(patch_elements(&k->backward) * k->x.c) *
                          sizeof(float));
    k->base.prepared_bytes = k->pack_at + m->prepared_bytes;
}

static bool is_linear(const struct dawn_graph *graph, int node,
                      const struct dawn_param_desc *w)
{
    return w->shape[1] == 1 && w->shape[2] == 1 &&
           dawn_graph_attr(graph, node, "stride", 1) == 1 &&
           dawn_graph_attr(graph, node, "shift", 0) == 0 &&
           dawn_graph_attr(graph, node, "pad_h", 0) == 0 &&
           dawn_graph_attr(graph, node, "pad_w", 0) == 0;
}

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *x = dawni_host_input(graph, node, 0);
    const struct dawn_tensor_desc *y = dawni_host_output(graph, node, 0);
    const struct dawn_param_desc *w =
        dawn_graph_param(graph, dawn_graph_node(graph, node)->param[0]);
    const struct dawni_host_linear_opts linear = {
        .m = microbatch * y->shape[0] * y->shape[1],
        .n = w->shape[0],
        .k = w->shape[3],
        .dtype = y->dtype};
    struct conv *k = NULL;
    enum dawn_status st;

    if (is_linear(graph, node, w))
        return dawni_host_linear_create(&linear, kernel_p, err);
    if ((st = dawni_host_kernel_alloc(sizeof *k, &dawni_host_conv2d, &k, err)))
        return st;
    k->b = microbatch;
    k->n = w->shape[0];
    k->dtype = y->dtype;
    k->x = (struct extent){x->shape[0], x->shape[1], x->shape[2]};
    k->y = (struct extent){y->shape[0], y->shape[1], y->shape[2]};
    k->filter = (struct extent){w->shape[1], w->shape[2], w->shape[3]};
    describe(k, graph, node);
    if ((st = make_direct(k, graph, node, err)) ||
        (st = make_products(k, err))) {
        destroy(&k->base);
        return st;
    }
    set_bytes(k);
    *kernel_p = &k->base;
    return DAWN_OK;
}

static enum dawn_status prepare(struct dawni_kernel *kernel,
                                const float *const *param, void *prepared,
                                struct dawn_error *err)
{
    struct conv *k = (struct conv *)kernel;
    enum dawn_status st = DAWN_OK;

    if (k->direct[1]) {
        st = dawni_conv_pack(k->direct[0], param[0], prepared, err);
        return st ? st
                  : dawni_conv_pack(k->direct[1], param[0],
                                    (char *)prepared + k->pack_at, err);
    }
    if (k->product->prepared_bytes)
        st = k->product->ops->prepare(k->product, param, prepared, err);
    if (st || k->scatter)
        return st;
    float *v = (float *)((char *)prepared + k->mirror_at);
    const struct mirror_task task = {k, param[0], v};
    dawni_host_parallel(mirror, &task, patch_elements(&k->backward), 64);
    if (!k->mirror->prepared_bytes)
        return DAWN_OK;
    return k->mirror->ops->prepare(k->mirror, (const float *const[]){v},
                                   (char *)prepared + k->pack_at, err);
}

/* Address of a line of all samples' images in `image`. */
static void *line_of(const struct conv *k, const void *image,
                     const struct extent *e, int64_t line)
{
    return dawni_at_mut((void *)(uintptr_t)image, line * e->w * e->c,
                        k->dtype == DAWN_BF16);
}

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    struct conv *k = (struct conv *)kernel;
    const struct patches *p = &k->forward;
    void *patches = args->scratch;
    struct dawn_op_args a = *args;
    enum dawn_status st = DAWN_OK;

    if (k->direct[0])
        return dawni_conv_run(
            k->direct[0],
            &(struct dawni_conv_args){args->in[0], args->prepared, args->out[0],
                                      args->scratch},
            err);
    a.in = (const void *const[]){patches};
    a.prepared = k->product->prepared_bytes ? args->prepared : NULL;
    a.scratch = (char *)patches + patch_bytes(p);
    for (int64_t i = 0; !st && i < k->b * p->lines; i += p->block) {
        take_patches(p, args->in[0], patches, i);
        a.out = (void *const[]){line_of(k, args->out[0], &k->y, i)};
        st = k->product->ops->forward(k->product, &a, err);
    }
    return st;
}

static enum dawn_status backward_param(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    struct conv *k = (struct conv *)kernel;
    const struct patches *p = &k->forward;
    void *patches = args->scratch;
    struct dawn_op_args a = *args;
    enum dawn_status st = DAWN_OK;

    a.in = (const void *const[]){patches};
    a.scratch = (char *)patches + patch_bytes(p);
    for (int64_t i = 0; !st && i < k->b * p->lines; i += p->block) {
        take_patches(p, args->in[0], patches, i);
        a.dout = (const void *const[]){line_of(k, args->dout[0], &k->y, i)};
        a.dparam_add = args->dparam_add || i > 0;
        st = k->product->ops->backward_param(k->product, &a, err);
    }
    return st;
}

/* Of one pixel with a stride. */
static enum dawn_status scatter(struct conv *k, const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    const struct patches *p = &k->forward;
    size_t bytes = (size_t)(k->b * k->x.h * k->x.w) * p->pixel;
    void *din = args->din[0], *products = args->scratch;
    struct dawn_op_args a = *args;
    enum dawn_status st = DAWN_OK;

    if (!args->din_add[0])
        memset(din, 0, bytes);
    else if (args->din_add[0] != din)
        memcpy(din, args->din_add[0], bytes);
    a.din = (void *const[]){products};
    a.din_add = (const void *const[]){NULL};
    a.scratch = (char *)products + patch_bytes(p);
    for (int64_t i = 0; !st && i < k->b * p->lines; i += p->block) {
        const struct spread_task task = {p, products, din, i, k->dtype};
        a.dout = (const void *const[]){line_of(k, args->dout[0], &k->y, i)};
        st = k->product->ops->backward_input(k->product, &a, err);
        if (!st)
            dawni_host_parallel(spread, &task, p->block * p->columns, 64);
    }
    return st;
}

static enum dawn_status direct_input(const struct conv *k,
                                     const struct dawn_op_args *args,
                                     struct dawn_error *err)
{
    size_t bytes = image_bytes(k);
    const void *add = args->din_add[0];
    const struct dawni_conv_args run = {
        .from = args->dout[0],
        .filter = (const char *)args->prepared + k->pack_at,
        .to = add ? args->scratch : args->din[0],
        .scratch = (char *)args->scratch + round_up(bytes)};
    enum dawn_status st = dawni_conv_run(k->direct[1], &run, err);

    if (!st && add)
        dawni_host_sum(args->din[0], add, args->scratch, k->dtype,
                       (int64_t)(bytes / dawn_dtype_bytes(k->dtype)));
    return st;
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    struct conv *k = (struct conv *)kernel;
    const struct patches *p = &k->backward;
    const char *prepared = args->prepared;
    const void *add = args->din_add[0];
    struct dawn_op_args a = *args;
    enum dawn_status st = DAWN_OK;

    if (k->scatter)
        return scatter(k, args, err);
    if (k->direct[1])
        return direct_input(k, args, err);
    a.param = (const float *const[]){(const float *)(prepared + k->mirror_at)};
    a.prepared = k->mirror->prepared_bytes ? prepared + k->pack_at : NULL;
    a.dout = (const void *const[]){args->scratch};
    a.scratch = (char *)args->scratch + patch_bytes(p);
    for (int64_t i = 0; !st && i < k->b * p->lines; i += p->block) {
        take_patches(p, args->dout[0], args->scratch, i);
        a.din = (void *const[]){line_of(k, args->din[0], &k->x, i)};
        a.din_add =
            (const void *const[]){add ? line_of(k, add, &k->x, i) : NULL};
        st = k->mirror->ops->backward_input(k->mirror, &a, err);
    }
    return st;
}

const struct dawni_kernel_ops dawni_host_conv2d = {
    .op = "conv2d",
    .create = create,
    .prepare = prepare,
    .forward = forward,
    .backward_input = backward_input,
    .backward_param = backward_param,
    .destroy = destroy,
};
