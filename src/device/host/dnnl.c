/* SPDX-License-Identifier: Apache-2.0 */
/* oneDNN 2.x behind our own interface: see dnnl.h. */
#include "device/host/dnnl.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>

/* One CPU engine and one stream serve the whole process; made on first use,
 * by the one thread that creates kernels, and kept. */
static dnnl_engine_t engine;
static dnnl_stream_t stream;

struct dawni_matmul {
    const char *what;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, bias, scratch;
    uint64_t scratch_bytes;
};

struct build { /* what lives only while a product is made */
    dnnl_memory_desc_t a, b, c, bias;
    dnnl_matmul_desc_t desc;
    dnnl_post_ops_t post_ops;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
};

static enum dawn_status dawni_dnnl(struct dawn_error *err, dnnl_status_t status,
                                   const char *what)
{
    switch (status) {
    case dnnl_success:
        return DAWN_OK;
    case dnnl_out_of_memory:
        return dawn_fail(err, DAWN_E_NOMEM, "%s: oneDNN is out of memory",
                         what);
    case dnnl_unimplemented:
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "%s: oneDNN cannot do it on this processor", what);
    default:
        return dawn_fail(err, DAWN_E_DEVICE, "%s: oneDNN failed, status %d",
                         what, (int)status);
    }
}

static enum dawn_status start(struct dawn_error *err)
{
    enum dawn_status st;

    if (!engine &&
        (st = dawni_dnnl(err, dnnl_engine_create(&engine, dnnl_cpu, 0),
                         "CPU engine")))
        return st;
    if (!stream &&
        (st = dawni_dnnl(
             err,
             dnnl_stream_create(&stream, engine, dnnl_stream_default_flags),
             "CPU stream")))
        return st;
    return DAWN_OK;
}

static enum dawn_status describe(const struct dawni_matmul_desc *desc,
                                 const struct dawni_mat *mat, int64_t rows,
                                 int64_t columns, dnnl_memory_desc_t *md,
                                 const char *what, struct dawn_error *err)
{
    dnnl_dims_t dims, strides;
    int n = desc->batches;

    for (int i = 0; i < n; i++) {
        dims[i] = desc->batch[i];
        strides[i] = mat->batch_stride[i];
    }
    dims[n] = rows;
    dims[n + 1] = columns;
    strides[n] = mat->row;
    strides[n + 1] = mat->column;
    return dawni_dnnl(err,
                      dnnl_memory_desc_init_by_strides(
                          md, n + 2, dims,
                          mat->dtype == DAWN_BF16 ? dnnl_bf16 : dnnl_f32,
                          strides),
                      what);
}

static enum dawn_status set_attr(const struct dawni_matmul_desc *desc,
                                 struct build *b, const char *what,
                                 struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = dawni_dnnl(err, dnnl_primitive_attr_create(&b->attr), what)) ||
        (st = dawni_dnnl(err, dnnl_post_ops_create(&b->post_ops), what)) ||
        (st = dawni_dnnl(err,
                         dnnl_primitive_attr_set_scratchpad_mode(
                             b->attr, dnnl_scratchpad_mode_user),
                         what)))
        return st;
    if (desc->scaled && (st = dawni_dnnl(err,
                                         dnnl_primitive_attr_set_output_scales(
                                             b->attr, 1, 0, &desc->scale),
                                         what)))
        return st;
    if (!desc->accumulate)
        return DAWN_OK;
    if ((st = dawni_dnnl(err, dnnl_post_ops_append_sum(b->post_ops, 1.0f),
                         what)))
        return st;
    return dawni_dnnl(
        err, dnnl_primitive_attr_set_post_ops(b->attr, b->post_ops), what);
}

static enum dawn_status describe_all(const struct dawni_matmul_desc *d,
                                     struct build *b, const char *what,
                                     struct dawn_error *err)
{
    dnnl_dims_t bias_dims = {1, d->n};
    enum dawn_status st;

    if ((st = describe(d, &d->a, d->m, d->k, &b->a, what, err)) ||
        (st = describe(d, &d->b, d->k, d->n, &b->b, what, err)) ||
        (st = describe(d, &d->c, d->m, d->n, &b->c, what, err)) ||
        (st = dawni_dnnl(err,
                         dnnl_memory_desc_init_by_tag(&b->bias, 2, bias_dims,
                                                      dnnl_f32, dnnl_ab),
                         what)))
        return st;
    return dawni_dnnl(err,
                      dnnl_matmul_desc_init(&b->desc, &b->a, &b->b,
                                            d->bias ? &b->bias : NULL, &b->c),
                      what);
}

static enum dawn_status make_memory(struct dawni_matmul *m,
                                    const struct build *b, bool bias,
                                    struct dawn_error *err)
{
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(b->pd, dnnl_query_scratchpad_md, 0);
    enum dawn_status st;

    m->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    if ((st = dawni_dnnl(
             err, dnnl_memory_create(&m->a, &b->a, engine, DNNL_MEMORY_NONE),
             m->what)) ||
        (st = dawni_dnnl(
             err, dnnl_memory_create(&m->b, &b->b, engine, DNNL_MEMORY_NONE),
             m->what)) ||
        (st = dawni_dnnl(
             err, dnnl_memory_create(&m->c, &b->c, engine, DNNL_MEMORY_NONE),
             m->what)) ||
        (st = dawni_dnnl(
             err,
             dnnl_memory_create(&m->scratch, scratch, engine, DNNL_MEMORY_NONE),
             m->what)))
        return st;
    if (!bias)
        return DAWN_OK;
    return dawni_dnnl(
        err, dnnl_memory_create(&m->bias, &b->bias, engine, DNNL_MEMORY_NONE),
        m->what);
}

static enum dawn_status build(struct dawni_matmul *m,
                              const struct dawni_matmul_desc *desc,
                              struct build *b, struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = start(err)) || (st = describe_all(desc, b, m->what, err)) ||
        (st = set_attr(desc, b, m->what, err)) ||
        (st = dawni_dnnl(err,
                         dnnl_primitive_desc_create(&b->pd, &b->desc, b->attr,
                                                    engine, NULL),
                         m->what)) ||
        (st = dawni_dnnl(err, dnnl_primitive_create(&m->primitive, b->pd),
                         m->what)))
        return st;
    return make_memory(m, b, desc->bias, err);
}

enum dawn_status dawni_matmul_create(const struct dawni_matmul_desc *desc,
                                     const char *what,
                                     struct dawni_matmul **matmul_p,
                                     struct dawn_error *err)
{
    struct dawni_matmul *m = calloc(1, sizeof *m);
    struct build b = {0};
    enum dawn_status st;

    if (!m)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %s", what);
    m->what = what;
    st = build(m, desc, &b, err);
    if (b.pd)
        dnnl_primitive_desc_destroy(b.pd);
    if (b.attr)
        dnnl_primitive_attr_destroy(b.attr);
    if (b.post_ops)
        dnnl_post_ops_destroy(b.post_ops);
    if (st) {
        dawni_matmul_destroy(m);
        return st;
    }
    *matmul_p = m;
    return DAWN_OK;
}

void dawni_matmul_destroy(struct dawni_matmul *m)
{
    if (!m)
        return;
    dnnl_memory_t memory[] = {m->a, m->b, m->c, m->bias, m->scratch};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        if (memory[i])
            dnnl_memory_destroy(memory[i]);
    }
    if (m->primitive)
        dnnl_primitive_destroy(m->primitive);
    free(m);
}

uint64_t dawni_matmul_scratch_bytes(const struct dawni_matmul *m)
{
    return m->scratch_bytes;
}

/* oneDNN's interface has no const for what a primitive only reads. */
static void *unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {p};
    return u.out;
}

#define MOST_ARGUMENTS 5

struct argument {
    int arg;
    dnnl_memory_t memory;
    void *handle;
};

static enum dawn_status execute(const struct argument *part, int n,
                                dnnl_primitive_t primitive, const char *what,
                                struct dawn_error *err)
{
    dnnl_exec_arg_t exec[MOST_ARGUMENTS];
    enum dawn_status st;

    for (int i = 0; i < n; i++) {
        if ((st = dawni_dnnl(
                 err,
                 dnnl_memory_set_data_handle(part[i].memory, part[i].handle),
                 what)))
            return st;
        exec[i].arg = part[i].arg;
        exec[i].memory = part[i].memory;
    }
    if ((st = dawni_dnnl(
             err, dnnl_primitive_execute(primitive, stream, n, exec), what)))
        return st;
    return dawni_dnnl(err, dnnl_stream_wait(stream), what);
}

enum dawn_status dawni_matmul_run(struct dawni_matmul *m,
                                  const struct dawni_matmul_args *args,
                                  struct dawn_error *err)
{
    const struct argument part[] = {
        {DNNL_ARG_SRC, m->a, unconst(args->a)},
        {DNNL_ARG_WEIGHTS, m->b, unconst(args->b)},
        {DNNL_ARG_DST, m->c, args->c},
        {DNNL_ARG_SCRATCHPAD, m->scratch, args->scratch},
        {DNNL_ARG_BIAS, m->bias, unconst(args->bias)},
    };

    return execute(part, m->bias ? 5 : 4, m->primitive, m->what, err);
}

/* ---- convolutions ---- */

struct dawni_conv {
    const char *what;
    bool backward;
    dnnl_primitive_t primitive, reorder;
    dnnl_memory_t from, filter, to, scratch, master;
    uint64_t filter_bytes, scratch_bytes;
};

struct conv_build { /* what lives only while a convolution is made */
    dnnl_memory_desc_t x, y, filter, master;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t forward, backward, reorder;
};

static enum dawn_status describe_images(const struct dawni_conv_desc *d,
                                        struct conv_build *b, const char *what,
                                        struct dawn_error *err)
{
    dnnl_dims_t x = {d->b, d->c, d->h, d->w};
    dnnl_dims_t y = {d->b, d->n, d->out_h, d->out_w};
    dnnl_dims_t filter = {d->n, d->c, d->filter_h, d->filter_w};
    const struct {
        dnnl_memory_desc_t *md;
        const int64_t *dims;
        dnnl_data_type_t type;
        dnnl_format_tag_t tag;
    } part[] = {
        {&b->x, x, dnnl_bf16, dnnl_nhwc},
        {&b->y, y, dnnl_bf16, dnnl_nhwc},
        {&b->filter, filter, dnnl_bf16, dnnl_format_tag_any},
        {&b->master, filter, dnnl_f32, dnnl_ohwi},
    };
    enum dawn_status st = DAWN_OK;

    for (size_t i = 0; !st && i < sizeof part / sizeof part[0]; i++)
        st =
            dawni_dnnl(err,
                       dnnl_memory_desc_init_by_tag(part[i].md, 4, part[i].dims,
                                                    part[i].type, part[i].tag),
                       what);
    return st;
}

/* The forward one is wanted either way: the other takes hints from it. */
static enum dawn_status choose_code(const struct dawni_conv_desc *d,
                                    struct conv_build *b, const char *what,
                                    struct dawn_error *err)
{
    dnnl_dims_t stride = {d->stride, d->stride}, pad = {d->pad_h, d->pad_w};
    dnnl_convolution_desc_t desc;
    enum dawn_status st;

    if ((st = dawni_dnnl(err,
                         dnnl_convolution_forward_desc_init(
                             &desc, dnnl_forward_training,
                             dnnl_convolution_direct, &b->x, &b->filter, NULL,
                             &b->y, stride, pad, pad),
                         what)) ||
        (st = dawni_dnnl(err,
                         dnnl_primitive_desc_create(&b->forward, &desc, b->attr,
                                                    engine, NULL),
                         what)) ||
        !d->backward)
        return st;
    if ((st = dawni_dnnl(err,
                         dnnl_convolution_backward_data_desc_init(
                             &desc, dnnl_convolution_direct, &b->x, &b->filter,
                             &b->y, stride, pad, pad),
                         what)))
        return st;
    return dawni_dnnl(err,
                      dnnl_primitive_desc_create(&b->backward, &desc, b->attr,
                                                 engine, b->forward),
                      what);
}

static enum dawn_status make_conv_memory(struct dawni_conv *c,
                                         const struct conv_build *b,
                                         const dnnl_memory_desc_t *filter,
                                         const dnnl_memory_desc_t *scratch,
                                         struct dawn_error *err)
{
    const struct {
        dnnl_memory_t *memory;
        const dnnl_memory_desc_t *md;
    } part[] = {
        {&c->from, c->backward ? &b->y : &b->x},
        {&c->to, c->backward ? &b->x : &b->y},
        {&c->filter, filter},
        {&c->scratch, scratch},
        {&c->master, &b->master},
    };
    enum dawn_status st = DAWN_OK;

    for (size_t i = 0; !st && i < sizeof part / sizeof part[0]; i++)
        st = dawni_dnnl(err,
                        dnnl_memory_create(part[i].memory, part[i].md, engine,
                                           DNNL_MEMORY_NONE),
                        c->what);
    return st;
}

static enum dawn_status build_conv(struct dawni_conv *c,
                                   const struct dawni_conv_desc *desc,
                                   struct conv_build *b, struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = start(err)) || (st = describe_images(desc, b, c->what, err)) ||
        (st = dawni_dnnl(err, dnnl_primitive_attr_create(&b->attr), c->what)) ||
        (st = dawni_dnnl(err,
                         dnnl_primitive_attr_set_scratchpad_mode(
                             b->attr, dnnl_scratchpad_mode_user),
                         c->what)) ||
        (st = choose_code(desc, b, c->what, err)))
        return st;
    dnnl_primitive_desc_t pd = desc->backward ? b->backward : b->forward;
    const dnnl_memory_desc_t *filter =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    c->filter_bytes = dnnl_memory_desc_get_size(filter);
    c->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    if ((st = dawni_dnnl(err, dnnl_primitive_create(&c->primitive, pd),
                         c->what)) ||
        (st = dawni_dnnl(
             err,
             dnnl_reorder_primitive_desc_create(&b->reorder, &b->master, engine,
                                                filter, engine, NULL),
             c->what)) ||
        (st = dawni_dnnl(err, dnnl_primitive_create(&c->reorder, b->reorder),
                         c->what)))
        return st;
    return make_conv_memory(c, b, filter, scratch, err);
}

enum dawn_status dawni_conv_create(const struct dawni_conv_desc *desc,
                                   const char *what, struct dawni_conv **conv_p,
                                   struct dawn_error *err)
{
    struct dawni_conv *c = calloc(1, sizeof *c);
    struct conv_build b = {0};
    enum dawn_status st;

    if (!c)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %s", what);
    c->what = what;
    c->backward = desc->backward;
    st = build_conv(c, desc, &b, err);
    dnnl_primitive_desc_t made[] = {b.forward, b.backward, b.reorder};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        if (made[i])
            dnnl_primitive_desc_destroy(made[i]);
    if (b.attr)
        dnnl_primitive_attr_destroy(b.attr);
    if (st) {
        dawni_conv_destroy(c);
        return st;
    }
    *conv_p = c;
    return DAWN_OK;
}

void dawni_conv_destroy(struct dawni_conv *c)
{
    if (!c)
        return;
    dnnl_memory_t memory[] = {c->from, c->filter, c->to, c->scratch, c->master};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        if (memory[i])
            dnnl_memory_destroy(memory[i]);
    if (c->primitive)
        dnnl_primitive_destroy(c->primitive);
    if (c->reorder)
        dnnl_primitive_destroy(c->reorder);
    free(c);
}

uint64_t dawni_conv_filter_bytes(const struct dawni_conv *c)
{
    return c->filter_bytes;
}

uint64_t dawni_conv_scratch_bytes(const struct dawni_conv *c)
{
    return c->scratch_bytes;
}

enum dawn_status dawni_conv_pack(struct dawni_conv *c, const float *filter,
                                 void *packed, struct dawn_error *err)
{
    const struct argument part[] = {
        {DNNL_ARG_FROM, c->master, unconst(filter)},
        {DNNL_ARG_TO, c->filter, packed},
    };

    return execute(part, 2, c->reorder, c->what, err);
}

enum dawn_status dawni_conv_run(struct dawni_conv *c,
                                const struct dawni_conv_args *args,
                                struct dawn_error *err)
{
    const struct argument part[] = {
        {c->backward ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, c->from,
         unconst(args->from)},
        {DNNL_ARG_WEIGHTS, c->filter, unconst(args->filter)},
        {c->backward ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, c->to, args->to},
        {DNNL_ARG_SCRATCHPAD, c->scratch, args->scratch},
    };

    return execute(part, 4, c->primitive, c->what, err);
}
