/* SPDX-License-Identifier: Apache-2.0 */
/* Attention as three operators, whose score matrices are tensors of the graph:
 * attn_scores  q k^T / sqrt(head size), no mask     qkv (b,T,3C) -> (b,H,T,T)
 * softmax      over the last extent, causal or not
 * attn_values  probs v                              -> (b,T,C)
 * The products are oneDNN's, batched over samples and heads.
 */
#include "device/host/dnnl.h"
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>
#include <omp.h>

#define COPY_BLOCK 65536 /* elements */

/* ---- what the products share ---- */

/* Each in two forms: C is overwritten, C is added to. Backward of attn_scores
 * has two, for q and k; backward of attn_values for probs and v. */
enum product { FORWARD, FIRST, SECOND, PRODUCTS };

struct unfused {
    struct dawni_kernel base;
    int64_t samples, t, heads, size;
    enum dawn_dtype dtype;
    struct dawni_matmul *product[PRODUCTS][2];
};

/* The (T, size) part of a (b,T,width) tensor that belongs to a head. */
static struct dawni_mat part_mat(const struct unfused *u, int64_t width)
{
    return (struct dawni_mat){u->dtype, {u->t * width, u->size}, width, 1};
}

/* (T,T) of (b,H,T,T) */
static struct dawni_mat square_mat(const struct unfused *u)
{
    int64_t square = u->t * u->t;
    return (struct dawni_mat){u->dtype, {u->heads * square, square}, u->t, 1};
}

static struct dawni_mat transposed(struct dawni_mat m)
{
    int64_t row = m.row;

    m.row = m.column;
    m.column = row;
    return m;
}

/* C = scale A B, where A is (m,k) */
static struct dawni_matmul_desc product_of(const struct unfused *u, int64_t n,
                                           int64_t k, struct dawni_mat a,
                                           struct dawni_mat b,
                                           struct dawni_mat c)
{
    return (struct dawni_matmul_desc){.batches = 2,
                                      .batch = {u->samples, u->heads},
                                      .m = u->t,
                                      .n = n,
                                      .k = k,
                                      .a = a,
                                      .b = b,
                                      .c = c};
}

static void unfused_destroy(struct dawni_kernel *kernel)
{
    struct unfused *u = (struct unfused *)kernel;

    for (int i = 0; i < PRODUCTS; i++) {
        dawni_matmul_destroy(u->product[i][0]);
        dawni_matmul_destroy(u->product[i][1]);
    }
    dawni_host_kernel_free(kernel);
}

static enum dawn_status make_products(struct unfused *u,
                                      const struct dawni_matmul_desc *desc,
                                      const char *what, struct dawn_error *err)
{
    enum dawn_status st;

    for (int i = 0; i < PRODUCTS; i++) {
        for (int add = 0; add < (i == FORWARD ? 1 : 2); add++) {
            struct dawni_matmul_desc d = desc[i];
            uint64_t *room =
                &u->base.scratch_bytes[i == FORWARD ? DAWNI_F : DAWNI_B];
            d.accumulate = add;
            if ((st = dawni_matmul_create(&d, what, &u->product[i][add], err)))
                return st;
            uint64_t bytes = dawni_matmul_scratch_bytes(u->product[i][add]);
            *room = bytes > *room ? bytes : *room;
        }
    }
    return DAWN_OK;
}

static enum dawn_status multiply(struct unfused *u, enum product which,
                                 bool add, struct dawni_matmul_args args,
                                 struct dawn_error *err)
{
    return dawni_matmul_run(u->product[which][add], &args, err);
}

/* A kernel with its sizes; qkv is input `port`. */
static enum dawn_status unfused_alloc(const struct dawn_graph *graph, int node,
                                      int port, int64_t microbatch,
                                      const struct dawni_kernel_ops *ops,
                                      struct unfused **u_p,
                                      struct dawn_error *err)
{
    const struct dawn_tensor_desc *qkv = dawni_host_input(graph, node, port);
    struct unfused *u = NULL;
    enum dawn_status st = dawni_host_kernel_alloc(sizeof *u, ops, &u, err);

    if (st)
        return st;
    u->samples = qkv->batched ? microbatch : 1;
    u->t = qkv->shape[0];
    u->heads = (int64_t)dawn_graph_attr(graph, node, "heads", 1);
    u->size = qkv->shape[1] / 3 / u->heads;
    u->dtype = qkv->dtype;
    *u_p = u;
    return DAWN_OK;
}

/* ---- what a product leaves alone of the gradient of qkv ---- */

struct rest_task {
    const char *add; /* NULL: zero */
    char *to;
    int64_t row, first, bytes; /* of a row: all, and the part to write */
};

static void write_rest(const void *task, int64_t first, int64_t last)
{
    const struct rest_task *t = task;

    for (int64_t i = first; i < last; i++) {
        int64_t at = i * t->row + t->first;
        if (t->add)
            memcpy(t->to + at, t->add + at, (size_t)t->bytes);
        else
            memset(t->to + at, 0, (size_t)t->bytes);
    }
}

/* Columns [first, last) in units of C of every row of dqkv become add's, or 0.
 * Nothing to do where add is dqkv itself. */
static void start_columns(const struct unfused *u, const void *add, void *dqkv,
                          int64_t first, int64_t last)
{
    int64_t width = u->heads * u->size * (int64_t)dawn_dtype_bytes(u->dtype);
    const struct rest_task task = {.add = add,
                                   .to = dqkv,
                                   .row = 3 * width,
                                   .first = first * width,
                                   .bytes = (last - first) * width};

    if (add != dqkv && first < last)
        dawni_host_parallel(write_rest, &task, u->samples * u->t, 64);
}

static const void *column(const struct unfused *u, const void *qkv, int64_t i)
{
    return dawni_at(qkv, i * u->heads * u->size, u->dtype == DAWN_BF16);
}

static void *column_mut(const struct unfused *u, void *qkv, int64_t i)
{
    return dawni_at_mut(qkv, i * u->heads * u->size, u->dtype == DAWN_BF16);
}

/* ---- attn_scores ---- */

static enum dawn_status scores_create(const struct dawn_graph *graph, int node,
                                      int64_t microbatch,
                                      struct dawni_kernel **kernel_p,
                                      struct dawn_error *err)
{
    struct unfused *u = NULL;
    enum dawn_status st = unfused_alloc(graph, node, 0, microbatch,
                                        &dawni_host_attn_scores, &u, err);

    if (st)
        return st;
    struct dawni_mat part = part_mat(u, 3 * u->heads * u->size);
    struct dawni_mat square = square_mat(u);
    struct dawni_matmul_desc desc[PRODUCTS] = {
        [FORWARD] =
            product_of(u, u->t, u->size, part, transposed(part), square),
        [FIRST] = product_of(u, u->size, u->t, square, part, part),
        [SECOND] = product_of(u, u->size, u->t, transposed(square), part, part),
    };
    for (int i = 0; i < PRODUCTS; i++) {
        desc[i].scaled = true;
        desc[i].scale = 1.0f / sqrtf((float)u->size);
    }
    if ((st = make_products(u, desc, "attn_scores", err))) {
        unfused_destroy(&u->base);
        return st;
    }
    *kernel_p = &u->base;
    return DAWN_OK;
}

static enum dawn_status scores_forward(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    struct unfused *u = (struct unfused *)kernel;
    const struct dawni_matmul_args run = {.a = args->in[0],
                                          .b = column(u, args->in[0], 1),
                                          .c = args->out[0],
                                          .scratch = args->scratch};
    return multiply(u, FORWARD, false, run, err);
}

static enum dawn_status scores_backward(struct dawni_kernel *kernel,
                                        const struct dawn_op_args *args,
                                        struct dawn_error *err)
{
    struct unfused *u = (struct unfused *)kernel;
    const void *add = args->din_add[0];
    struct dawni_matmul_args run = {.a = args->dout[0],
                                    .b = column(u, args->in[0], 1),
                                    .c = args->din[0],
                                    .scratch = args->scratch};
    enum dawn_status st;

    start_columns(u, add, args->din[0], add ? 0 : 2, 3);
    if ((st = multiply(u, FIRST, add != NULL, run, err)))
        return st;
    run.b = args->in[0];
    run.c = column_mut(u, args->din[0], 1);
    return multiply(u, SECOND, add != NULL, run, err);
}

const struct dawni_kernel_ops dawni_host_attn_scores = {
    .op = "attn_scores",
    .create = scores_create,
    .forward = scores_forward,
    .backward_input = scores_backward,
    .destroy = unfused_destroy,
};

/* ---- attn_values ---- */

static enum dawn_status values_create(const struct dawn_graph *graph, int node,
                                      int64_t microbatch,
                                      struct dawni_kernel **kernel_p,
                                      struct dawn_error *err)
{
    struct unfused *u = NULL;
    enum dawn_status st = unfused_alloc(graph, node, 1, microbatch,
                                        &dawni_host_attn_values, &u, err);

    if (st)
        return st;
    struct dawni_mat part = part_mat(u, 3 * u->heads * u->size);
    struct dawni_mat out = part_mat(u, u->heads * u->size);
    struct dawni_mat square = square_mat(u);
    const struct dawni_matmul_desc desc[PRODUCTS] = {
        [FORWARD] = product_of(u, u->size, u->t, square, part, out),
        [FIRST] = product_of(u, u->t, u->size, out, transposed(part), square),
        [SECOND] = product_of(u, u->size, u->t, transposed(square), out, part),
    };
    if ((st = make_products(u, desc, "attn_values", err))) {
        unfused_destroy(&u->base);
        return st;
    }
    *kernel_p = &u->base;
    return DAWN_OK;
}

static enum dawn_status values_forward(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    struct unfused *u = (struct unfused *)kernel;
    const struct dawni_matmul_args run = {.a = args->in[0],
                                          .b = column(u, args->in[1], 2),
                                          .c = args->out[0],
                                          .scratch = args->scratch};
    return multiply(u, FORWARD, false, run, err);
}

struct copy_task {
    const char *from;
    char *to;
};

static void copy(const void *task, int64_t first, int64_t last)
{
    const struct copy_task *t = task;
    memcpy(t->to + first, t->from + first, (size_t)(last - first));
}

static enum dawn_status values_backward_probs(struct unfused *u,
                                              const struct dawn_op_args *args,
                                              struct dawn_error *err)
{
    const void *add = args->din_add[0];
    const struct copy_task task = {.from = add, .to = args->din[0]};
    const struct dawni_matmul_args run = {.a = args->dout[0],
                                          .b = column(u, args->in[1], 2),
                                          .c = args->din[0],
                                          .scratch = args->scratch};
    int64_t elements = u->samples * u->heads * u->t * u->t;

    if (add && add != args->din[0])
        dawni_host_parallel(copy, &task,
                            elements * (int64_t)dawn_dtype_bytes(u->dtype),
                            COPY_BLOCK);
    return multiply(u, FIRST, add != NULL, run, err);
}

static enum dawn_status values_backward(struct dawni_kernel *kernel,
                                        const struct dawn_op_args *args,
                                        struct dawn_error *err)
{
    struct unfused *u = (struct unfused *)kernel;
    const void *add = args->din_add[1];
    enum dawn_status st;

    if (args->din[0] && (st = values_backward_probs(u, args, err)))
        return st;
    if (!args->din[1])
        return DAWN_OK;
    const struct dawni_matmul_args run = {.a = args->in[0],
                                          .b = args->dout[0],
                                          .c = column_mut(u, args->din[1], 2),
                                          .scratch = args->scratch};
    start_columns(u, add, args->din[1], 0, add ? 3 : 2);
    return multiply(u, SECOND, add != NULL, run, err);
}

const struct dawni_kernel_ops dawni_host_attn_values = {
    .op = "attn_values",
    .create = values_create,
    .forward = values_forward,
    .backward_input = values_backward,
    .destroy = unfused_destroy,
};

/* ---- softmax ---- */

struct softmax {
    struct dawni_kernel base;
    int64_t rows, t; /* rows of all samples and heads */
    bool causal;
    enum dawn_dtype dtype;
};

struct softmax_task {
    const void *scores, *probs, *dout, *add;
    void *out;
    float *scratch; /* a row for each thread */
    int64_t t;
    bool causal;
    enum dawn_dtype dtype;
};

/* Elements of row i that are not masked. */
DAWNI_INLINE int64_t seen(const struct softmax_task *t, int64_t i)
{
    return t->causal ? i % t->t + 1 : t->t;
}

DAWNI_INLINE void soften_body(const struct softmax_task *t, int64_t first,
                              int64_t last, bool bf16)
{
    float *e = t->scratch + omp_get_thread_num() * t->t;

    for (int64_t i = first; i < last; i++) {
        const void *s = dawni_at(t->scores, i * t->t, bf16);
        void *out = dawni_at_mut(t->out, i * t->t, bf16);
        int64_t n = seen(t, i);
        float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
        for (int64_t j = 0; j < n; j++) {
            float x = dawni_get(s, j, bf16);
            e[j] = x;
            most = x > most ? x : most;
        }
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < n; j++) {
            e[j] = dawni_exp(e[j] - most);
            sum += e[j];
        }
        float by = 1 / sum;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            dawni_put(out, j, e[j] * by, bf16);
        for (int64_t j = n; j < t->t; j++)
            dawni_put(out, j, 0, bf16);
    }
}

DAWNI_RANGE(soften, softmax_task, t->dtype)

/* din may be add. Masked elements have probability 0. Stored probabilities are
 * rounded and do not add up to 1: dividing by what they add up to keeps the sum
 * of a row's gradients 0. */
DAWNI_INLINE void harden_body(const struct softmax_task *t, int64_t first,
                              int64_t last, bool bf16)
{
    float *d = t->scratch + omp_get_thread_num() * t->t;

    for (int64_t i = first; i < last; i++) {
        const void *p = dawni_at(t->probs, i * t->t, bf16);
        const void *dout = dawni_at(t->dout, i * t->t, bf16);
        void *din = dawni_at_mut(t->out, i * t->t, bf16);
        int64_t n = seen(t, i);
        float sum = 0, all = 0;
#pragma omp simd reduction(+ : sum, all)
        for (int64_t j = 0; j < n; j++) {
            d[j] = dawni_get(dout, j, bf16);
            sum += dawni_get(p, j, bf16) * d[j];
            all += dawni_get(p, j, bf16);
        }
        float mean = sum / all;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            d[j] = dawni_get(p, j, bf16) * (d[j] - mean);
        for (int64_t j = n; j < t->t; j++)
            d[j] = 0;
        if (t->add) {
            const void *add = dawni_at(t->add, i * t->t, bf16);
#pragma omp simd
            for (int64_t j = 0; j < t->t; j++)
                d[j] += dawni_get(add, j, bf16);
        }
#pragma omp simd
        for (int64_t j = 0; j < t->t; j++)
            dawni_put(din, j, d[j], bf16);
    }
}

DAWNI_RANGE(harden, softmax_task, t->dtype)

static enum dawn_status softmax_create(const struct dawn_graph *graph, int node,
                                       int64_t microbatch,
                                       struct dawni_kernel **kernel_p,
                                       struct dawn_error *err)
{
    const struct dawn_tensor_desc *x = dawni_host_input(graph, node, 0);
    struct softmax *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_softmax, &k, err);

    if (st)
        return st;
    k->t = dawni_host_last_extent(x);
    k->rows = (x->batched ? microbatch : 1) * dawni_host_elements(x) / k->t;
    k->causal = dawn_graph_attr(graph, node, "causal", 1) != 0;
    k->dtype = x->dtype;
    k->base.scratch_bytes[DAWNI_F] =
        (uint64_t)(omp_get_max_threads() * k->t) * sizeof(float);
    k->base.scratch_bytes[DAWNI_B] = k->base.scratch_bytes[DAWNI_F];
    *kernel_p = &k->base;
    return DAWN_OK;
}

static enum dawn_status softmax_forward(struct dawni_kernel *kernel,
                                        const struct dawn_op_args *args,
                                        struct dawn_error *err)
{
    const struct softmax *k = (const struct softmax *)kernel;
    const struct softmax_task task = {.scores = args->in[0],
                                      .out = args->out[0],
                                      .scratch = args->scratch,
                                      .t = k->t,
                                      .causal = k->causal,
                                      .dtype = k->dtype};

    (void)err;
    dawni_host_parallel(soften, &task, k->rows, 16);
    return DAWN_OK;
}

static enum dawn_status softmax_backward(struct dawni_kernel *kernel,
                                         const struct dawn_op_args *args,
                                         struct dawn_error *err)
{
    const struct softmax *k = (const struct softmax *)kernel;
    const struct softmax_task task = {.probs = args->out[0],
                                      .dout = args->dout[0],
                                      .add = args->din_add[0],
                                      .out = args->din[0],
                                      .scratch = args->scratch,
                                      .t = k->t,
                                      .causal = k->causal,
                                      .dtype = k->dtype};

    (void)err;
    dawni_host_parallel(harden, &task, k->rows, 16);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_softmax = {
    .op = "softmax",
    .create = softmax_create,
    .forward = softmax_forward,
    .backward_input = softmax_backward,
    .destroy = dawni_host_kernel_free,
};
