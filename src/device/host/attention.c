/* SPDX-License-Identifier: Apache-2.0 */
/* attention, fused: softmax(scale q k^T) v for every head, causal or not, of
 * q, k and v side by side in qkv (b,T,3C). Only the log-sum-exp of each row of
 * scores is kept for backward.
 *
 * bf16 goes to AMX tiles where the processor has them (attention_amx.c). Else
 * one query at a time, in f32: its row of scores is all that exists of them.
 * The keys are held transposed, so that inner loops run over keys or over the
 * head's columns, whichever is contiguous.
 */
#include "device/host/attention.h"
#include "device/host/amx.h"
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>
#include <omp.h>

struct attention {
    struct dawni_kernel base;
    struct dawni_attention a;
    enum dawn_dtype dtype;
    bool amx;
};

struct attention_task {
    const struct dawni_attention *a;
    const void *qkv, *dout, *add;
    void *out, *dqkv;
    float *lse;
    float *scratch;
    int64_t scratch_floats; /* of one thread */
    enum dawn_dtype dtype;
};

/* ---- sizes ---- */

static int64_t round16(int64_t n)
{
    return (n + 15) / 16 * 16;
}

/* Forward: k transposed, v, a row of scores, q, a row of out. */
static int64_t forward_floats(const struct dawni_attention *a)
{
    return 2 * round16(a->size) * round16(a->t) + round16(a->t) +
           2 * round16(a->size);
}

/* Backward: k, k and v transposed, dk, dv; rows of probs and dscores; q, dout
 * and dq of a query. */
static int64_t backward_floats(const struct dawni_attention *a)
{
    return 5 * round16(a->size) * round16(a->t) + 2 * round16(a->t) +
           3 * round16(a->size);
}

/* ---- pieces ---- */

/* to[j][c] = from (T rows, `row` apart); to has rows of `width`. */
DAWNI_INLINE void widen(const void *from, int64_t row, int64_t rows,
                        int64_t columns, float *to, int64_t width, bool bf16)
{
    for (int64_t j = 0; j < rows; j++) {
        const void *x = dawni_at(from, j * row, bf16);
        float *y = to + j * width;
#pragma omp simd
        for (int64_t c = 0; c < columns; c++)
            y[c] = dawni_get(x, c, bf16);
    }
}

DAWNI_INLINE void widen_transposed(const void *from, int64_t row, int64_t rows,
                                   int64_t columns, float *to, int64_t width,
                                   bool bf16)
{
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t j = 0; j < rows; j++)
            to[c * width + j] = dawni_get(from, j * row + c, bf16);
    }
}

/* y[j] = sum over c < m of x[c] * a[c][j], j < n */
DAWNI_INLINE void vector_matrix(const float *x, int64_t m, const float *a,
                                int64_t width, float *restrict y, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        y[j] = 0;
    for (int64_t c = 0; c < m; c++) {
        const float xc = x[c], *row = a + c * width;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] += xc * row[j];
    }
}

/* a[j][c] += x[j] * y[c], j < m, c < n */
DAWNI_INLINE void add_outer(const float *x, int64_t m, const float *y,
                            int64_t n, float *restrict a, int64_t width)
{
    for (int64_t j = 0; j < m; j++) {
        const float xj = x[j];
        float *row = a + j * width;
#pragma omp simd
        for (int64_t c = 0; c < n; c++)
            row[c] += xj * y[c];
    }
}

/* s = e^(scale s - max) in place; returns its sum, and the log of what the sum
 * of e^(scale s) is in *lse_p. */
DAWNI_INLINE float soften(float *s, int64_t n, float scale, float *lse_p)
{
    float most = s[0], sum = 0;
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < n; j++)
        most = s[j] > most ? s[j] : most;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) {
        s[j] = dawni_exp((s[j] - most) * scale);
        sum += s[j];
    }
    *lse_p = most * scale + logf(sum);
    return sum;
}

/* x = from * by (+ add), n elements */
DAWNI_INLINE void store(void *to, const void *add, const float *from, float by,
                        int64_t n, bool bf16)
{
    if (!add) {
#pragma omp simd
        for (int64_t c = 0; c < n; c++)
            dawni_put(to, c, from[c] * by, bf16);
        return;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        dawni_put(to, c, from[c] * by + dawni_get(add, c, bf16), bf16);
}

/* ---- one (sample, head) ---- */

DAWNI_INLINE void forward_head(const struct attention_task *task, int64_t index,
                               bool bf16)
{
    const struct dawni_attention *a = task->a;
    int64_t t = a->t, size = a->size, width = a->heads * size, row = 3 * width;
    int64_t first = index / a->heads * t, column = index % a->heads * size;
    int64_t wide = round16(t), narrow = round16(size);
    const void *q = dawni_at(task->qkv, first * row + column, bf16);
    const void *k = dawni_at(q, width, bf16), *v = dawni_at(k, width, bf16);
    float *keys = task->scratch + omp_get_thread_num() * task->scratch_floats;
    float *values = keys + narrow * wide, *s = values + wide * narrow;
    float *query = s + wide, *o = query + narrow;

    widen_transposed(k, row, t, size, keys, wide, bf16);
    widen(v, row, t, size, values, narrow, bf16);
    for (int64_t i = 0; i < t; i++) {
        int64_t n = a->causal ? i + 1 : t;
        widen(dawni_at(q, i * row, bf16), 0, 1, size, query, 0, bf16);
        vector_matrix(query, size, keys, wide, s, n);
        float sum = soften(s, n, a->scale, task->lse + index * t + i);
        vector_matrix(s, n, values, narrow, o, size);
        store(dawni_at_mut(task->out, (first + i) * width + column, bf16), NULL,
              o, 1 / sum, size, bf16);
    }
}

/* Of one query, from its probabilities p and their gradients d: d becomes the
 * gradients of the scores. */
DAWNI_INLINE void differentiate(const float *p, float *d, int64_t n,
                                float scale)
{
    float delta = 0;
#pragma omp simd reduction(+ : delta)
    for (int64_t j = 0; j < n; j++)
        delta += p[j] * d[j];
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        d[j] = p[j] * (d[j] - delta) * scale;
}

DAWNI_INLINE void probabilities(float *s, int64_t n, float scale, float lse)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        s[j] = dawni_exp(s[j] * scale - lse);
}

DAWNI_INLINE void backward_head(const struct attention_task *task,
                                int64_t index, bool bf16)
{
    const struct dawni_attention *a = task->a;
    int64_t t = a->t, size = a->size, width = a->heads * size, row = 3 * width;
    int64_t first = index / a->heads * t, column = index % a->heads * size;
    int64_t wide = round16(t), narrow = round16(size), all = wide * narrow;
    int64_t at = first * row + column;
    const void *q = dawni_at(task->qkv, at, bf16);
    const void *k = dawni_at(q, width, bf16), *v = dawni_at(k, width, bf16);
    const void *add = task->add ? dawni_at(task->add, at, bf16) : NULL;
    void *grad = dawni_at_mut(task->dqkv, at, bf16);
    float *keys = task->scratch + omp_get_thread_num() * task->scratch_floats;
    float *keys_t = keys + all, *values_t = keys_t + all, *dk = values_t + all;
    float *dv = dk + all, *p = dv + all, *d = p + wide, *query = d + wide;
    float *dout = query + narrow, *dq = dout + narrow;

    widen(k, row, t, size, keys, narrow, bf16);
    widen_transposed(k, row, t, size, keys_t, wide, bf16);
    widen_transposed(v, row, t, size, values_t, wide, bf16);
    memset(dk, 0, (size_t)all * 2 * sizeof *dk);
    for (int64_t i = 0; i < t; i++) {
        int64_t n = a->causal ? i + 1 : t;
        widen(dawni_at(q, i * row, bf16), 0, 1, size, query, 0, bf16);
        widen(dawni_at(task->dout, (first + i) * width + column, bf16), 0, 1,
              size, dout, 0, bf16);
        vector_matrix(query, size, keys_t, wide, p, n);
        probabilities(p, n, a->scale, task->lse[index * t + i]);
        vector_matrix(dout, size, values_t, wide, d, n);
        add_outer(p, n, dout, size, dv, narrow);
        differentiate(p, d, n, a->scale);
        vector_matrix(d, n, keys, narrow, dq, size);
        add_outer(d, n, query, size, dk, narrow);
        store(dawni_at_mut(grad, i * row, bf16),
              add ? dawni_at(add, i * row, bf16) : NULL, dq, 1, size, bf16);
    }
    for (int64_t part = 1; part < 3; part++) {
        const float *from = part == 1 ? dk : dv;
        for (int64_t j = 0; j < t; j++) {
            int64_t to = j * row + part * width;
            store(dawni_at_mut(grad, to, bf16),
                  add ? dawni_at(add, to, bf16) : NULL, from + j * narrow, 1,
                  size, bf16);
        }
    }
}

DAWNI_INLINE void forward_heads_body(const struct attention_task *t,
                                     int64_t first, int64_t last, bool bf16)
{
    for (int64_t i = first; i < last; i++)
        forward_head(t, i, bf16);
}

DAWNI_RANGE(forward_heads, attention_task, t->dtype)

DAWNI_INLINE void backward_heads_body(const struct attention_task *t,
                                      int64_t first, int64_t last, bool bf16)
{
    for (int64_t i = first; i < last; i++)
        backward_head(t, i, bf16);
}

DAWNI_RANGE(backward_heads, attention_task, t->dtype)

/* ---- the operator ---- */

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *qkv = dawni_host_input(graph, node, 0);
    struct attention *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_attention, &k, err);

    if (st)
        return st;
    k->a.samples = qkv->batched ? microbatch : 1;
    k->a.t = qkv->shape[0];
    k->a.heads = (int64_t)dawn_graph_attr(graph, node, "heads", 1);
    k->a.size = qkv->shape[1] / 3 / k->a.heads;
    k->a.causal = dawn_graph_attr(graph, node, "causal", 1) != 0;
    k->a.scale = 1.0f / sqrtf((float)k->a.size);
    k->a.threads = omp_get_max_threads();
    k->dtype = qkv->dtype;
    k->amx = k->dtype == DAWN_BF16 && dawni_amx_usable();
    for (int backward = 0; backward < 2; backward++) {
        int64_t floats =
            backward ? backward_floats(&k->a) : forward_floats(&k->a);
        k->base.scratch_bytes[backward ? DAWNI_B : DAWNI_F] =
            k->amx ? dawni_attention_amx_scratch(&k->a, backward)
                   : (uint64_t)(floats * k->a.threads) * sizeof(float);
    }
    *kernel_p = &k->base;
    return DAWN_OK;
}

static void run(const struct attention *k, dawni_range_fn fn,
                struct attention_task *task, int64_t floats)
{
    task->a = &k->a;
    task->scratch_floats = floats;
    task->dtype = k->dtype;
    dawni_host_parallel(fn, task, k->a.samples * k->a.heads, 1);
}

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    const struct attention *k = (const struct attention *)kernel;
    const struct dawni_attention_io io = {
        .qkv = args->in[0],
        .out = args->out[0],
        .lse = args->out[1],
        .scratch = args->scratch,
    };
    struct attention_task task = {
        .qkv = args->in[0],
        .out = args->out[0],
        .lse = args->out[1],
        .scratch = args->scratch,
    };

    (void)err;
    if (k->amx)
        dawni_attention_amx_forward(&k->a, &io);
    else
        run(k, forward_heads, &task, forward_floats(&k->a));
    return DAWN_OK;
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    const struct attention *k = (const struct attention *)kernel;
    const struct dawni_attention_io io = {
        .qkv = args->in[0],
        .out = args->out[0],
        .lse = args->out[1],
        .dout = args->dout[0],
        .add = args->din_add[0],
        .dqkv = args->din[0],
        .scratch = args->scratch,
    };
    struct attention_task task = {
        .qkv = args->in[0],
        .dout = args->dout[0],
        .add = args->din_add[0],
        .dqkv = args->din[0],
        .lse = args->out[1],
        .scratch = args->scratch,
    };

    (void)err;
    if (k->amx)
        dawni_attention_amx_backward(&k->a, &io);
    else
        run(k, backward_heads, &task, backward_floats(&k->a));
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_attention = {
    .op = "attention",
    .create = create,
    .forward = forward,
    .backward_input = backward_input,
    .destroy = dawni_host_kernel_free,
};
