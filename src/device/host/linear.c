/* SPDX-License-Identifier: Apache-2.0 */
/* linear: y (M,N) = x (M,K) w (N,K)^T + bias, M rows of all samples.
 *
 * bf16 tensors use a bf16 copy of w, made once per optimizer step: packed for
 * AMX tiles where the processor has them (amx.c), else row-major for oneDNN.
 * f32 tensors use the master itself, by oneDNN.
 */
#include "device/host/amx.h"
#include "device/host/dnnl.h"
#include "device/host/host.h"
#include "device/host/simd.h"

#include <omp.h>

#define CONVERT_BLOCK 65536 /* elements */
#define COLUMNS_BLOCK 128

enum product { FORWARD, INPUT, INPUT_ADD, PARAM, PARAM_ADD, PRODUCTS };

struct linear {
    struct dawni_kernel base;
    int64_t m, n, k;
    enum dawn_dtype dtype;
    bool bias, amx;
    int threads;
    struct dawni_matmul *product[PRODUCTS]; /* without AMX */
};

/* ---- by oneDNN ---- */

static enum dawn_status make_products(struct linear *l, struct dawn_error *err)
{
    int64_t m = l->m, n = l->n, k = l->k;
    enum dawn_dtype t = l->dtype;
    struct dawni_matmul_desc desc[PRODUCTS] = {
        [FORWARD] = {.m = m,
                     .n = n,
                     .k = k,
                     .bias = l->bias,
                     .a = {t, {0}, k, 1},
                     .b = {t, {0}, 1, k},
                     .c = {t, {0}, n, 1}},
        [INPUT] = {.m = m,
                   .n = k,
                   .k = n,
                   .a = {t, {0}, n, 1},
                   .b = {t, {0}, k, 1},
                   .c = {t, {0}, k, 1}},
        [PARAM] = {.m = n,
                   .n = k,
                   .k = m,
                   .a = {t, {0}, 1, n},
                   .b = {t, {0}, k, 1},
                   .c = {DAWN_F32, {0}, k, 1}},
    };
    enum dawn_status st;

    if (t == DAWN_BF16)
        l->base.prepared_bytes = (uint64_t)(n * k) * sizeof(uint16_t);
    desc[INPUT_ADD] = desc[INPUT];
    desc[INPUT_ADD].accumulate = true;
    desc[PARAM_ADD] = desc[PARAM];
    desc[PARAM_ADD].accumulate = true;
    for (int i = 0; i < PRODUCTS; i++) {
        if ((st = dawni_matmul_create(&desc[i], "linear", &l->product[i], err)))
            return st;
        uint64_t bytes = dawni_matmul_scratch_bytes(l->product[i]);
        enum dawni_phase phase = i == FORWARD     ? DAWNI_F
                                 : i <= INPUT_ADD ? DAWNI_B
                                                  : DAWNI_W;
        if (l->base.scratch_bytes[phase] < bytes)
            l->base.scratch_bytes[phase] = bytes;
    }
    return DAWN_OK;
}

struct columns_task { /* sums of the columns of dy (m,n) */
    const void *dy;
    float *sum;
    int64_t m, n;
    bool add;
    enum dawn_dtype dtype;
};

/* In the order of rows, so the same whatever the blocks. */
DAWNI_INLINE void sum_columns_body(const struct columns_task *t, int64_t first,
                                   int64_t last, bool bf16)
{
    float sum[COLUMNS_BLOCK] = {0};
    const void *dy = t->dy;

    for (int64_t i = 0; i < t->m; i++) {
        const void *row = dawni_at(dy, i * t->n + first, bf16);
#pragma omp simd
        for (int64_t j = 0; j < last - first; j++)
            sum[j] += dawni_get(row, j, bf16);
    }
    for (int64_t j = first; j < last; j++)
        t->sum[j] = t->add ? t->sum[j] + sum[j - first] : sum[j - first];
}

DAWNI_RANGE(sum_columns, columns_task, t->dtype)

static enum dawn_status forward_dnnl(struct linear *l,
                                     const struct dawn_op_args *args,
                                     struct dawn_error *err)
{
    const struct dawni_matmul_args run = {
        .a = args->in[0],
        .b = args->prepared ? args->prepared : args->param[0],
        .bias = l->bias ? args->param[1] : NULL,
        .c = args->out[0],
        .scratch = args->scratch,
    };
    return dawni_matmul_run(l->product[FORWARD], &run, err);
}

static enum dawn_status input_dnnl(struct linear *l,
                                   const struct dawn_op_args *args,
                                   struct dawn_error *err)
{
    const void *add = args->din_add[0];
    const struct dawni_matmul_args run = {
        .a = args->dout[0],
        .b = args->prepared ? args->prepared : args->param[0],
        .c = args->din[0],
        .scratch = args->scratch,
    };

    if (add && add != args->din[0])
        memcpy(args->din[0], add,
               (size_t)(l->m * l->k) * dawn_dtype_bytes(l->dtype));
    return dawni_matmul_run(l->product[add ? INPUT_ADD : INPUT], &run, err);
}

static enum dawn_status param_dnnl(struct linear *l,
                                   const struct dawn_op_args *args,
                                   struct dawn_error *err)
{
    const struct dawni_matmul_args run = {
        .a = args->dout[0],
        .b = args->in[0],
        .c = args->dparam[0],
        .scratch = args->scratch,
    };
    const struct columns_task task = {
        .dy = args->dout[0],
        .sum = l->bias ? args->dparam[1] : NULL,
        .m = l->m,
        .n = l->n,
        .add = args->dparam_add,
        .dtype = l->dtype,
    };

    if (l->bias)
        dawni_host_parallel(sum_columns, &task, l->n, COLUMNS_BLOCK);
    return dawni_matmul_run(l->product[args->dparam_add ? PARAM_ADD : PARAM],
                            &run, err);
}

/* ---- by AMX ---- */

static struct dawni_amx_product forward_product(const struct linear *l)
{
    return (struct dawni_amx_product){
        .m = l->m, .n = l->n, .k = l->k, .threads = l->threads};
}

static struct dawni_amx_product input_product(const struct linear *l)
{
    return (struct dawni_amx_product){
        .m = l->m, .n = l->k, .k = l->n, .turned = true, .threads = l->threads};
}

static struct dawni_amx_gradient param_gradient(const struct linear *l)
{
    return (struct dawni_amx_gradient){
        .m = l->n, .n = l->k, .k = l->m, .threads = l->threads};
}

static void forward_amx(const struct linear *l, const struct dawn_op_args *args)
{
    struct dawni_amx_product p = forward_product(l);

    p.a = args->in[0];
    p.b = args->prepared;
    p.bias = l->bias ? args->param[1] : NULL;
    p.c = args->out[0];
    p.scratch = args->scratch;
    dawni_amx_multiply(&p);
}

static void input_amx(const struct linear *l, const struct dawn_op_args *args)
{
    struct dawni_amx_product p = input_product(l);

    p.a = args->dout[0];
    p.b = args->prepared;
    p.add = args->din_add[0];
    p.c = args->din[0];
    p.scratch = args->scratch;
    dawni_amx_multiply(&p);
}

static void param_amx(const struct linear *l, const struct dawn_op_args *args)
{
    struct dawni_amx_gradient p = param_gradient(l);

    p.a = args->dout[0];
    p.b = args->in[0];
    p.c = args->dparam[0];
    p.sums = l->bias ? args->dparam[1] : NULL;
    p.accumulate = args->dparam_add;
    p.scratch = args->scratch;
    dawni_amx_gradient(&p);
}

static void set_amx_bytes(struct linear *l)
{
    struct dawni_amx_product f = forward_product(l), b = input_product(l);
    struct dawni_amx_gradient w = param_gradient(l);

    l->base.prepared_bytes = dawni_amx_weight_bytes(l->n, l->k);
    l->base.scratch_bytes[DAWNI_F] = dawni_amx_scratch_bytes(&f);
    l->base.scratch_bytes[DAWNI_B] = dawni_amx_scratch_bytes(&b);
    l->base.scratch_bytes[DAWNI_W] = dawni_amx_gradient_scratch_bytes(&w);
}

/* ---- the operator ---- */

static void destroy(struct dawni_kernel *kernel)
{
    struct linear *l = (struct linear *)kernel;

    for (int i = 0; i < PRODUCTS; i++)
        dawni_matmul_destroy(l->product[i]);
    dawni_host_kernel_free(kernel);
}

enum dawn_status dawni_host_linear_create(
    const struct dawni_host_linear_opts *opts, struct dawni_kernel **kernel_p,
    struct dawn_error *err)
{
    struct linear *l = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *l, &dawni_host_linear, &l, err);

    if (st)
        return st;
    l->m = opts->m;
    l->n = opts->n;
    l->k = opts->k;
    l->dtype = opts->dtype;
    l->bias = opts->bias;
    l->threads = omp_get_max_threads();
    l->amx = l->dtype == DAWN_BF16 && dawni_amx_usable();
    if (l->amx)
        set_amx_bytes(l);
    else if ((st = make_products(l, err))) {
        destroy(&l->base);
        return st;
    }
    *kernel_p = &l->base;
    return DAWN_OK;
}

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_node_desc *desc = dawn_graph_node(graph, node);
    const struct dawn_tensor_desc *y = dawni_host_output(graph, node, 0);
    const struct dawn_param_desc *w = dawn_graph_param(graph, desc->param[0]);
    int64_t samples = y->batched ? microbatch : 1;

    return dawni_host_linear_create(
        &(struct dawni_host_linear_opts){.m = samples * dawni_host_elements(y) /
                                              w->shape[0],
                                         .n = w->shape[0],
                                         .k = w->shape[1],
                                         .dtype = y->dtype,
                                         .bias = desc->params > 1},
        kernel_p, err);
}

struct convert_task {
    const float *from;
    uint16_t *to;
};

DAWNI_INLINE void convert_body(const struct convert_task *t, int64_t first,
                               int64_t last, bool bf16)
{
    const float *from = t->from;
    uint16_t *to = t->to;

#pragma omp simd
    for (int64_t i = first; i < last; i++)
        dawni_put(to, i, from[i], bf16);
}

DAWNI_RANGE(convert, convert_task, DAWN_BF16)

static enum dawn_status prepare(struct dawni_kernel *kernel,
                                const float *const *param, void *prepared,
                                struct dawn_error *err)
{
    const struct linear *l = (const struct linear *)kernel;
    const struct convert_task task = {.from = param[0], .to = prepared};

    (void)err;
    if (l->amx)
        dawni_amx_pack_weight(param[0], l->n, l->k, prepared, l->threads);
    else
        dawni_host_parallel(convert, &task, l->n * l->k, CONVERT_BLOCK);
    return DAWN_OK;
}

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    struct linear *l = (struct linear *)kernel;

    if (!l->amx)
        return forward_dnnl(l, args, err);
    forward_amx(l, args);
    return DAWN_OK;
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    struct linear *l = (struct linear *)kernel;

    if (!l->amx)
        return input_dnnl(l, args, err);
    input_amx(l, args);
    return DAWN_OK;
}

static enum dawn_status backward_param(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    struct linear *l = (struct linear *)kernel;

    if (!l->amx)
        return param_dnnl(l, args, err);
    param_amx(l, args);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_linear = {
    .op = "linear",
    .create = create,
    .prepare = prepare,
    .forward = forward,
    .backward_input = backward_input,
    .backward_param = backward_param,
    .destroy = destroy,
};
