/* SPDX-License-Identifier: Apache-2.0 */
/* Fused attention by AMX tiles, bf16: one (sample, head) at a time.
 *
 * Forward takes 32 queries at a time: their scores with all keys (32 x T f32),
 * softmax, the product with v. Backward takes 32 keys at a time, with scores
 * transposed, so that dk and dv of those keys stay in tiles; dq is summed in
 * f32, in order of keys. Scores are computed again from lse.
 * Blocks and packed operands are those of amx_tile.h.
 */
#include "device/host/attention.h"

#ifdef __x86_64__

#include "device/host/amx_tile.h"

#include <math.h>
#include <omp.h>

#define LOG2E 1.44269504088896341f
#define LN2 0.693147180559945309f

/* e^(x ln 2); 0 for very negative x. */
AMX_INLINE __m512 exp2_ps(__m512 x)
{
    x = _mm512_max_ps(x, _mm512_set1_ps(-1000.0f));
    __m512 n = _mm512_roundscale_ps(x, 8); /* to nearest, no exception */
    __m512 r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.535336188319500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.339887440266574e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.618437357674640e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.550332471162809e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.402264791363012e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.931472028550421e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* One (sample, head): where its parts lie, and the thread's scratch. */
struct head {
    const struct dawni_attention *a;
    struct dawni_amx_source q, k, v, out, dout;
    int64_t row;    /* elements between rows of qkv */
    int64_t blocks; /* of 32 queries or keys */
    int64_t steps;  /* of 32 in the head size */
    const uint16_t *add[3];
    uint16_t *grad[3];
    uint16_t *o;
    float *lse;
};

static int64_t blocks_of(int64_t n)
{
    return (n + 31) / 32;
}

static struct head head_of(const struct dawni_attention *a,
                           const struct dawni_attention_io *io, int64_t index)
{
    int64_t sample = index / a->heads, h = index % a->heads;
    int64_t width = a->heads * a->size, row = 3 * width;
    int64_t at = sample * a->t * row + h * a->size;
    int64_t out = sample * a->t * width + h * a->size;
    struct head head = {
        .a = a,
        .q = {io->qkv + at, row, a->t, a->size},
        .k = {io->qkv + at + width, row, a->t, a->size},
        .v = {io->qkv + at + 2 * width, row, a->t, a->size},
        .out = {io->out + out, width, a->t, a->size},
        .row = row,
        .blocks = blocks_of(a->t),
        .steps = blocks_of(a->size),
        .o = io->out + out,
        .lse = io->lse + index * a->t,
    };

    if (!io->dout)
        return head;
    head.dout = (struct dawni_amx_source){io->dout + out, width, a->t, a->size};
    for (int i = 0; i < 3; i++) {
        head.grad[i] = io->dqkv + at + i * width;
        head.add[i] = io->add ? io->add + at + i * width : NULL;
    }
    return head;
}

/* A block of bf16 results: 32 rows from `row` on, columns from 32 * panel on.
 */
struct store {
    uint16_t *to;
    const uint16_t *add; /* NULL: none */
    int64_t stride, rows, columns;
};

/* Write a block of C, its row i times scale[i]. */
AMX_TARGET static void store_block(const float *sums, const struct store *s,
                                   int64_t row, int64_t panel,
                                   const float *scale)
{
    __mmask32 mask = amx_mask(s->columns - panel * 32);
    int64_t rows = s->rows - row < 32 ? s->rows - row : 32;

    for (int64_t i = 0; i < rows; i++) {
        const float *from = amx_c_row(sums, i);
        int64_t at = (row + i) * s->stride + panel * 32;
        __m512 by = _mm512_set1_ps(scale[i]);
        __m512 x = _mm512_mul_ps(_mm512_load_ps(from), by);
        __m512 y = _mm512_mul_ps(_mm512_load_ps(from + 256), by);
        if (s->add) {
            __m512i add = _mm512_maskz_loadu_epi16(mask, s->add + at);
            x = _mm512_add_ps(x, amx_widen(add, 0));
            y = _mm512_add_ps(y, amx_widen(add, 1));
        }
        _mm512_mask_storeu_epi16(s->to + at, mask,
                                 (__m512i)_mm512_cvtne2ps_pbh(y, x));
    }
}

/* sums = A blocks * B blocks over `steps` steps. */
AMX_INLINE void multiply(const uint16_t *a, const uint16_t *b, int64_t steps,
                         float *sums)
{
    amx_c_zero();
    for (int64_t i = 0; i < steps; i++)
        amx_step(a + i * AMX_BLOCK, b + i * AMX_BLOCK);
    amx_c_store(sums);
}

/* ---- forward ---- */

struct forward_room { /* elements */
    int64_t operand;  /* q, k or v of one head, packed */
    int64_t strip;    /* 32 rows of one of them */
    int64_t scores;   /* 32 x T */
};

static struct forward_room forward_room(const struct dawni_attention *a)
{
    int64_t blocks = blocks_of(a->t), steps = blocks_of(a->size);
    struct forward_room r = {.operand = blocks * steps * AMX_BLOCK,
                             .strip = steps * AMX_BLOCK,
                             .scores = blocks * AMX_BLOCK};
    return r;
}

static uint64_t forward_bytes(const struct dawni_attention *a)
{
    struct forward_room r = forward_room(a);
    int64_t words = 2 * r.operand + r.strip + r.scores;
    return (uint64_t)words * 2 + (uint64_t)(r.scores + AMX_BLOCK + 32) * 4;
}

struct forward_work {
    uint16_t *keys, *values, *queries, *probs;
    float *scores, *sums, *scale;
};

static struct forward_work forward_work(const struct dawni_attention *a,
                                        void *scratch)
{
    struct forward_room r = forward_room(a);
    struct forward_work w = {.keys = scratch};

    w.values = w.keys + r.operand;
    w.queries = w.values + r.operand;
    w.probs = w.queries + r.strip;
    w.scores = (float *)(w.probs + r.scores);
    w.sums = w.scores + r.scores;
    w.scale = w.sums + AMX_BLOCK;
    return w;
}

/* Keys of the last of `n` blocks that query i of strip s sees. */
AMX_INLINE __mmask32 seen(const struct dawni_attention *a, int64_t s, int64_t n,
                          int64_t i)
{
    int64_t keys = a->t - (n - 1) * 32;
    if (a->causal && s * 32 + i + 1 - (n - 1) * 32 < keys)
        keys = s * 32 + i + 1 - (n - 1) * 32;
    return amx_mask(keys);
}

/* Softmax of row i of the scores; probs unnormalised. Returns the sum, and the
 * greatest score in *max_p. */
AMX_INLINE float soften_row(const float *scores, uint16_t *probs, int64_t i,
                            int64_t n, __mmask32 mask, float scale,
                            float *max_p)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    const float *last = amx_c_row(scores + (n - 1) * AMX_BLOCK, i);
    __m512 x = _mm512_mask_loadu_ps(none, (__mmask16)mask, last);
    __m512 y = _mm512_mask_loadu_ps(none, (__mmask16)(mask >> 16), last + 256);
    __m512 most = _mm512_max_ps(x, y), sum0, sum1;

    for (int64_t j = 0; j < n - 1; j++) {
        const float *s = amx_c_row(scores + j * AMX_BLOCK, i);
        most = _mm512_max_ps(
            most, _mm512_max_ps(_mm512_load_ps(s), _mm512_load_ps(s + 256)));
    }
    *max_p = _mm512_reduce_max_ps(most);
    const __m512 by = _mm512_set1_ps(scale * LOG2E);
    const __m512 shift = _mm512_set1_ps(*max_p * scale * LOG2E);
    sum0 = exp2_ps(_mm512_fmsub_ps(x, by, shift));
    sum1 = exp2_ps(_mm512_fmsub_ps(y, by, shift));
    _mm512_store_si512(probs + (n - 1) * AMX_BLOCK + i * 32,
                       (__m512i)_mm512_cvtne2ps_pbh(sum1, sum0));
    for (int64_t j = 0; j < n - 1; j++) {
        const float *s = amx_c_row(scores + j * AMX_BLOCK, i);
        x = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s), by, shift));
        y = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s + 256), by, shift));
        sum0 = _mm512_add_ps(sum0, x);
        sum1 = _mm512_add_ps(sum1, y);
        _mm512_store_si512(probs + j * AMX_BLOCK + i * 32,
                           (__m512i)_mm512_cvtne2ps_pbh(y, x));
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1));
}

AMX_TARGET static void soften(const struct head *h,
                              const struct forward_work *w, int64_t strip,
                              int64_t n)
{
    const struct dawni_attention *a = h->a;

    for (int64_t i = 0; i < 32; i++) {
        __mmask32 mask = seen(a, strip, n, i);
        float most, sum;
        sum = soften_row(w->scores, w->probs, i, n, mask, a->scale, &most);
        w->scale[i] = 1.0f / sum;
        if (strip * 32 + i < a->t)
            h->lse[strip * 32 + i] = most * a->scale + logf(sum);
    }
}

AMX_TARGET static void forward_strip(const struct head *h,
                                     const struct forward_work *w,
                                     int64_t strip)
{
    int64_t n = h->a->causal ? strip + 1 : h->blocks;
    const struct store store = {.to = h->o,
                                .stride = h->out.stride,
                                .rows = h->a->t,
                                .columns = h->a->size};

    dawni_amx_pack_strip(&h->q, strip * 32, 0, h->steps, w->queries);
    for (int64_t j = 0; j < n; j++)
        multiply(w->queries, w->keys + j * h->steps * AMX_BLOCK, h->steps,
                 w->scores + j * AMX_BLOCK);
    soften(h, w, strip, n);
    for (int64_t p = 0; p < h->steps; p++) {
        multiply(w->probs, w->values + p * h->blocks * AMX_BLOCK, n, w->sums);
        store_block(w->sums, &store, strip * 32, p, w->scale);
    }
}

static void forward_head(const struct head *h, const struct forward_work *w)
{
    dawni_amx_pack_panels_transposed(&h->k, 0, h->steps, 0, h->blocks, w->keys);
    dawni_amx_pack_panels(&h->v, 0, h->blocks, 0, h->steps, w->values);
    for (int64_t s = 0; s < h->blocks; s++)
        forward_strip(h, w, s);
}

void dawni_attention_amx_forward(const struct dawni_attention *a,
                                 const struct dawni_attention_io *io)
{
    uint64_t each = forward_bytes(a);

#pragma omp parallel num_threads(a->threads)
    {
        struct forward_work w = forward_work(
            a, (char *)io->scratch + (uint64_t)omp_get_thread_num() * each);
        amx_begin();
#pragma omp for schedule(static)
        for (int64_t i = 0; i < a->samples * a->heads; i++) {
            struct head h = head_of(a, io, i);
            forward_head(&h, &w);
        }
        amx_end();
    }
}

/* ---- backward ---- */

static uint64_t backward_bytes(const struct dawni_attention *a)
{
    struct forward_room r = forward_room(a);
    int64_t words = 4 * r.operand + 3 * r.strip + 2 * r.scores + AMX_BLOCK;
    int64_t floats = r.operand + 2 * AMX_BLOCK + 32 + 2 * blocks_of(a->t) * 32;
    return (uint64_t)words * 2 + (uint64_t)floats * 4;
}

/* Transposed operands end in _t: those that a product takes by columns. */
struct backward_work {
    uint16_t *queries_t, *douts_t, *queries, *douts; /* the whole head */
    uint16_t *key_strip, *value_strip, *key_panel;   /* 32 keys */
    uint16_t *probs, *dscores;                       /* 32 keys x T queries */
    uint16_t *turned;       /* a block of dscores, by query */
    float *dq;              /* blocks of C: query strip, panel */
    float *scores, *dprobs; /* a block */
    float *scale;           /* 32 times the scores' */
    float *lse, *delta;     /* by query, padded */
};

static struct backward_work backward_work(const struct dawni_attention *a,
                                          void *scratch)
{
    struct forward_room r = forward_room(a);
    struct backward_work w = {.queries_t = scratch};

    w.douts_t = w.queries_t + r.operand;
    w.queries = w.douts_t + r.operand;
    w.douts = w.queries + r.operand;
    w.key_strip = w.douts + r.operand;
    w.value_strip = w.key_strip + r.strip;
    w.key_panel = w.value_strip + r.strip;
    w.probs = w.key_panel + r.strip;
    w.dscores = w.probs + r.scores;
    w.turned = w.dscores + r.scores;
    w.dq = (float *)(w.turned + AMX_BLOCK);
    w.scores = w.dq + r.operand;
    w.dprobs = w.scores + AMX_BLOCK;
    w.scale = w.dprobs + AMX_BLOCK;
    w.lse = w.scale + 32;
    w.delta = w.lse + blocks_of(a->t) * 32;
    return w;
}

/* Sum over the head of dout * out, for each query. */
AMX_TARGET static void find_delta(const struct head *h, float *delta)
{
    for (int64_t i = 0; i < h->a->t; i++) {
        const uint16_t *o = h->out.p + i * h->out.stride;
        const uint16_t *d = h->dout.p + i * h->dout.stride;
        __m512 sum = _mm512_setzero_ps();
        for (int64_t j = 0; j < h->a->size; j += 32) {
            __mmask32 mask = amx_mask(h->a->size - j);
            __m512i x = _mm512_maskz_loadu_epi16(mask, o + j);
            __m512i y = _mm512_maskz_loadu_epi16(mask, d + j);
            sum = _mm512_fmadd_ps(amx_widen(x, 0), amx_widen(y, 0), sum);
            sum = _mm512_fmadd_ps(amx_widen(x, 1), amx_widen(y, 1), sum);
        }
        delta[i] = _mm512_reduce_add_ps(sum);
    }
}

/* Statistics of the queries, in units of log 2; those past the last query make
 * every probability 0. */
static void find_statistics(const struct head *h, const struct backward_work *w)
{
    find_delta(h, w->delta);
    for (int64_t i = 0; i < h->a->t; i++)
        w->lse[i] = h->lse[i] * LOG2E;
    for (int64_t i = h->a->t; i < h->blocks * 32; i++) {
        w->lse[i] = INFINITY;
        w->delta[i] = 0;
    }
    for (int i = 0; i < 32; i++)
        w->scale[i] = h->a->scale;
}

/* From scores and dprobs of key strip j and query strip i: probs and dscores,
 * without the factor that the scores have. */
AMX_TARGET static void differentiate(const struct head *h,
                                     const struct backward_work *w, int64_t j,
                                     int64_t i)
{
    const __m512 by = _mm512_set1_ps(h->a->scale * LOG2E);
    __m512 lse0 = _mm512_load_ps(w->lse + i * 32);
    __m512 lse1 = _mm512_load_ps(w->lse + i * 32 + 16);
    __m512 delta0 = _mm512_load_ps(w->delta + i * 32);
    __m512 delta1 = _mm512_load_ps(w->delta + i * 32 + 16);
    bool diagonal = h->a->causal && i == j;

    for (int64_t r = 0; r < 32; r++) {
        const float *s = amx_c_row(w->scores, r), *d = amx_c_row(w->dprobs, r);
        /* queries before the key do not see it; no one sees key >= t */
        __mmask32 mask = j * 32 + r >= h->a->t ? 0
                         : diagonal            ? ~amx_mask(r)
                                               : 0xffffffffu;
        __m512 p0 = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s), by, lse0));
        __m512 p1 = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s + 256), by, lse1));
        p0 = _mm512_maskz_mov_ps((__mmask16)mask, p0);
        p1 = _mm512_maskz_mov_ps((__mmask16)(mask >> 16), p1);
        __m512 d0 = _mm512_sub_ps(_mm512_load_ps(d), delta0);
        __m512 d1 = _mm512_sub_ps(_mm512_load_ps(d + 256), delta1);
        int64_t at = i * AMX_BLOCK + r * 32;
        _mm512_store_si512(w->probs + at, (__m512i)_mm512_cvtne2ps_pbh(p1, p0));
        _mm512_store_si512(w->dscores + at,
                           (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(p1, d1),
                                                        _mm512_mul_ps(p0, d0)));
    }
}

/* dq of query strip i += dscores * keys of this strip. */
AMX_TARGET static void add_dq(const struct head *h,
                              const struct backward_work *w, int64_t i,
                              bool first)
{
    amx_transpose_block(w->dscores + i * AMX_BLOCK, w->turned);
    for (int64_t p = 0; p < h->steps; p++) {
        float *dq = w->dq + (i * h->steps + p) * AMX_BLOCK;
        if (first)
            amx_c_zero();
        else
            amx_c_load(dq);
        amx_step(w->turned, w->key_panel + p * AMX_BLOCK);
        amx_c_store(dq);
    }
}

static struct store store_grad(const struct head *h, int which)
{
    struct store s = {.to = h->grad[which],
                      .add = h->add[which],
                      .stride = h->row,
                      .rows = h->a->t,
                      .columns = h->a->size};
    return s;
}

/* Key strip j, with the queries that see it: those from strip `first` on. */
AMX_TARGET static void backward_strip(const struct head *h,
                                      const struct backward_work *w, int64_t j)
{
    static const float one[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                  1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const struct store dk = store_grad(h, 1), dv = store_grad(h, 2);
    int64_t first = h->a->causal ? j : 0, panel = h->blocks * AMX_BLOCK;
    int64_t size = h->steps * AMX_BLOCK, n = h->blocks - first;

    dawni_amx_pack_strip(&h->k, j * 32, 0, h->steps, w->key_strip);
    dawni_amx_pack_strip(&h->v, j * 32, 0, h->steps, w->value_strip);
    dawni_amx_pack_panels(&h->k, j * 32, 1, 0, h->steps, w->key_panel);
    for (int64_t i = first; i < h->blocks; i++) {
        multiply(w->key_strip, w->queries_t + i * size, h->steps, w->scores);
        multiply(w->value_strip, w->douts_t + i * size, h->steps, w->dprobs);
        differentiate(h, w, j, i);
        add_dq(h, w, i, j == 0);
    }
    for (int64_t p = 0; p < h->steps; p++) {
        int64_t at = p * panel + first * AMX_BLOCK;
        multiply(w->probs + first * AMX_BLOCK, w->douts + at, n, w->scores);
        store_block(w->scores, &dv, j * 32, p, one);
        multiply(w->dscores + first * AMX_BLOCK, w->queries + at, n, w->scores);
        store_block(w->scores, &dk, j * 32, p, w->scale);
    }
}

static void backward_head(const struct head *h, const struct backward_work *w)
{
    const struct store dq = store_grad(h, 0);

    find_statistics(h, w);
    dawni_amx_pack_panels_transposed(&h->q, 0, h->steps, 0, h->blocks,
                                     w->queries_t);
    dawni_amx_pack_panels_transposed(&h->dout, 0, h->steps, 0, h->blocks,
                                     w->douts_t);
    dawni_amx_pack_panels(&h->q, 0, h->blocks, 0, h->steps, w->queries);
    dawni_amx_pack_panels(&h->dout, 0, h->blocks, 0, h->steps, w->douts);
    for (int64_t j = 0; j < h->blocks; j++)
        backward_strip(h, w, j);
    for (int64_t i = 0; i < h->blocks; i++) {
        for (int64_t p = 0; p < h->steps; p++)
            store_block(w->dq + (i * h->steps + p) * AMX_BLOCK, &dq, i * 32, p,
                        w->scale);
    }
}

void dawni_attention_amx_backward(const struct dawni_attention *a,
                                  const struct dawni_attention_io *io)
{
    uint64_t each = backward_bytes(a);

#pragma omp parallel num_threads(a->threads)
    {
        struct backward_work w = backward_work(
            a, (char *)io->scratch + (uint64_t)omp_get_thread_num() * each);
        amx_begin();
#pragma omp for schedule(static)
        for (int64_t i = 0; i < a->samples * a->heads; i++) {
            struct head h = head_of(a, io, i);
            backward_head(&h, &w);
        }
        amx_end();
    }
}

uint64_t dawni_attention_amx_scratch(const struct dawni_attention *a,
                                     bool backward)
{
    return (backward ? backward_bytes(a) : forward_bytes(a)) *
           (uint64_t)a->threads;
}

#else /* never called where AMX is not usable */

uint64_t dawni_attention_amx_scratch(const struct dawni_attention *a,
                                     bool backward)
{
    (void)a;
    (void)backward;
    return 0;
}

void dawni_attention_amx_forward(const struct dawni_attention *a,
                                 const struct dawni_attention_io *io)
{
    (void)a;
    (void)io;
}

void dawni_attention_amx_backward(const struct dawni_attention *a,
                                  const struct dawni_attention_io *io)
{
    (void)a;
    (void)io;
}

#endif
