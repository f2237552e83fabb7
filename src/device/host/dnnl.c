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

enum dawn_status dawni_matmul_run(struct dawni_matmul *m,
                                  const struct dawni_matmul_args *args,
                                  struct dawn_error *err)
{
    const struct {
        int arg;
        dnnl_memory_t memory;
        void *handle;
    } part[] = {
        {DNNL_ARG_SRC, m->a, unconst(args->a)},
        {DNNL_ARG_WEIGHTS, m->b, unconst(args->b)},
        {DNNL_ARG_DST, m->c, args->c},
        {DNNL_ARG_SCRATCHPAD, m->scratch, args->scratch},
        {DNNL_ARG_BIAS, m->bias, unconst(args->bias)},
    };
    dnnl_exec_arg_t exec[sizeof part / sizeof part[0]];
    int n = m->bias ? 5 : 4;
    enum dawn_status st;

    for (int i = 0; i < n; i++) {
        if ((st = dawni_dnnl(
                 err,
                 dnnl_memory_set_data_handle(part[i].memory, part[i].handle),
                 m->what)))
            return st;
        exec[i].arg = part[i].arg;
        exec[i].memory = part[i].memory;
    }
    if ((st = dawni_dnnl(err,
                         dnnl_primitive_execute(m->primitive, stream, n, exec),
                         m->what)))
        return st;
    return dawni_dnnl(err, dnnl_stream_wait(stream), m->what);
}
