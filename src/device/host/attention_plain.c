/* SPDX-License-Identifier: Apache-2.0 */
/* Fused attention by vectors, in f32: one query at a time, its row of scores is
 * all that exists of them. The keys are held transposed, so that inner loops
 * run over keys or over the head's columns, whichever is contiguous.
 */
#include "device/host/attention.h"
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>
#include <omp.h>

struct plain_task {
    const struct dawni_attention *a;
    const struct dawni_attention_io *io;
    int64_t scratch_floats; /* of one thread */
};

/* ---- sizes ---- */

static int64_t round16(int64_t n)
{
    return (n + 15) / 16 * 16;
}

/* Forward: k transposed, v, a row of scores, q, a row of out. */
static int64_t forward_floats(const struct dawni_attention *a)
{
    return 2 * round16(a->size) * round16(a->keys) + round16(a->keys) +
           2 * round16(a->size);
}

/* Backward: k, k and v transposed, dk, dv; rows of probs and dscores; q, dout
 * and dq of a query. */
static int64_t backward_floats(const struct dawni_attention *a)
{
    return 5 * round16(a->size) * round16(a->keys) + 2 * round16(a->keys) +
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

/* Where a head's rows lie, in elements, and its bias. */
struct place {
    int64_t in[3], out; /* of its first place */
    int64_t width;      /* between rows of out */
    int64_t last;       /* a difference of 0 is element keys - 1 */
    const float *bias;  /* or NULL */
};

static struct place place_of(const struct dawni_attention *a,
                             const struct dawni_attention_io *io, int64_t index)
{
    int64_t sample = index / a->heads, h = index % a->heads;
    struct place p = {.width = a->heads * a->size, .last = a->keys - 1};

    for (int i = 0; i < 3; i++)
        p.in[i] = sample * (i ? a->keys : a->queries) * a->row + h * a->size;
    p.out = sample * a->queries * p.width + h * a->size;
    if (a->biased)
        p.bias = io->bias + h * dawni_attention_distances(a);
    return p;
}

/* s += the bias of query i, n keys; s is still to be multiplied by scale. */
DAWNI_INLINE void add_bias(float *s, const struct place *p, int64_t i,
                           int64_t n, float scale)
{
    const float *bias = p->bias + i + p->last, by = 1 / scale;

#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        s[j] += bias[-j] * by;
}

DAWNI_INLINE void forward_head(const struct plain_task *task, int64_t index,
                               bool bf16)
{
    const struct dawni_attention *a = task->a;
    const struct dawni_attention_io *io = task->io;
    const struct place at = place_of(a, io, index);
    int64_t size = a->size, wide = round16(a->keys), narrow = round16(size);
    const void *q = dawni_at(io->in[0], at.in[0], bf16);
    float *keys =
        (float *)io->scratch + omp_get_thread_num() * task->scratch_floats;
    float *values = keys + narrow * wide, *s = values + wide * narrow;
    float *query = s + wide, *o = query + narrow;

    widen_transposed(dawni_at(io->in[1], at.in[1], bf16), a->row, a->keys, size,
                     keys, wide, bf16);
    widen(dawni_at(io->in[2], at.in[2], bf16), a->row, a->keys, size, values,
          narrow, bf16);
    for (int64_t i = 0; i < a->queries; i++) {
        int64_t n = a->causal ? i + 1 : a->keys;
        widen(dawni_at(q, i * a->row, bf16), 0, 1, size, query, 0, bf16);
        vector_matrix(query, size, keys, wide, s, n);
        if (at.bias)
            add_bias(s, &at, i, n, a->scale);
        float sum = soften(s, n, a->scale, io->lse + index * a->queries + i);
        vector_matrix(s, n, values, narrow, o, size);
        store(dawni_at_mut(io->out, at.out + i * at.width, bf16), NULL, o,
              1 / sum, size, bf16);
    }
}

/* Of one query, from its probabilities p and their gradients d: d becomes the
 * gradients of the scores before they are multiplied by scale. */
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

/* dbias += the gradients of a query's scores; `to` is that of key 0. */
DAWNI_INLINE void add_dbias(float *to, const float *d, int64_t n, float scale)
{
    const float by = 1 / scale;

#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        to[-j] += d[j] * by;
}

/* The gradient of k or v. */
DAWNI_INLINE void store_part(const struct plain_task *task, int part,
                             int64_t at, const float *from, bool bf16)
{
    const struct dawni_attention *a = task->a;
    const struct dawni_attention_io *io = task->io;

    for (int64_t j = 0; io->grad[part] && j < a->keys; j++) {
        int64_t to = at + j * a->row;
        store(dawni_at_mut(io->grad[part], to, bf16),
              io->add[part] ? dawni_at(io->add[part], to, bf16) : NULL,
              from + j * round16(a->size), 1, a->size, bf16);
    }
}

DAWNI_INLINE void backward_head(const struct plain_task *task, int64_t index,
                                bool bf16)
{
    const struct dawni_attention *a = task->a;
    const struct dawni_attention_io *io = task->io;
    const struct place at = place_of(a, io, index);
    int64_t size = a->size, wide = round16(a->keys), narrow = round16(size);
    int64_t all = wide * narrow, distances = dawni_attention_distances(a);
    const void *k = dawni_at(io->in[1], at.in[1], bf16);
    float *dbias = io->dbias ? io->dbias + index * distances : NULL;
    float *keys =
        (float *)io->scratch + omp_get_thread_num() * task->scratch_floats;
    float *keys_t = keys + all, *values_t = keys_t + all, *dk = values_t + all;
    float *dv = dk + all, *p = dv + all, *d = p + wide, *query = d + wide;
    float *dout = query + narrow, *dq = dout + narrow;

    widen(k, a->row, a->keys, size, keys, narrow, bf16);
    widen_transposed(k, a->row, a->keys, size, keys_t, wide, bf16);
    widen_transposed(dawni_at(io->in[2], at.in[2], bf16), a->row, a->keys, size,
                     values_t, wide, bf16);
    memset(dk, 0, (size_t)all * 2 * sizeof *dk);
    if (dbias)
        memset(dbias, 0, (size_t)distances * sizeof *dbias);
    for (int64_t i = 0; i < a->queries; i++) {
        int64_t n = a->causal ? i + 1 : a->keys, to = at.in[0] + i * a->row;
        widen(dawni_at(io->in[0], to, bf16), 0, 1, size, query, 0, bf16);
        widen(dawni_at(io->dout, at.out + i * at.width, bf16), 0, 1, size, dout,
              0, bf16);
        vector_matrix(query, size, keys_t, wide, p, n);
        if (at.bias)
            add_bias(p, &at, i, n, a->scale);
        probabilities(p, n, a->scale, io->lse[index * a->queries + i]);
        vector_matrix(dout, size, values_t, wide, d, n);
        add_outer(p, n, dout, size, dv, narrow);
        differentiate(p, d, n, a->scale);
        if (dbias)
            add_dbias(dbias + i + at.last, d, n, a->scale);
        vector_matrix(d, n, keys, narrow, dq, size);
        add_outer(d, n, query, size, dk, narrow);
        if (io->grad[0])
            store(dawni_at_mut(io->grad[0], to, bf16),
                  io->add[0] ? dawni_at(io->add[0], to, bf16) : NULL, dq, 1,
                  size, bf16);
    }
    store_part(task, 1, at.in[1], dk, bf16);
    store_part(task, 2, at.in[2], dv, bf16);
}

DAWNI_INLINE void forward_heads_body(const struct plain_task *t, int64_t first,
                                     int64_t last, bool bf16)
{
    for (int64_t i = first; i < last; i++)
        forward_head(t, i, bf16);
}

DAWNI_RANGE(forward_heads, plain_task, t->a->dtype)

DAWNI_INLINE void backward_heads_body(const struct plain_task *t, int64_t first,
                                      int64_t last, bool bf16)
{
    for (int64_t i = first; i < last; i++)
        backward_head(t, i, bf16);
}

DAWNI_RANGE(backward_heads, plain_task, t->a->dtype)

uint64_t dawni_attention_plain_scratch(const struct dawni_attention *a,
                                       bool backward)
{
    int64_t floats = backward ? backward_floats(a) : forward_floats(a);
    return (uint64_t)(floats * a->threads) * sizeof(float);
}

void dawni_attention_plain_forward(const struct dawni_attention *a,
                                   const struct dawni_attention_io *io)
{
    const struct plain_task task = {a, io, forward_floats(a)};
    dawni_host_parallel(forward_heads, &task, a->samples * a->heads, 1);
}

void dawni_attention_plain_backward(const struct dawni_attention *a,
                                    const struct dawni_attention_io *io)
{
    const struct plain_task task = {a, io, backward_floats(a)};
    dawni_host_parallel(backward_heads, &task, a->samples * a->heads, 1);
}
