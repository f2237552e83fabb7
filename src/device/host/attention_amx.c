/* SPDX-License-Identifier: Apache-2.0 */
/* Fused attention by AMX tiles, bf16: one (sample, head) at a time.
 *
 * Scores are held transposed, a row for each key, so that what belongs to a
 * query (maximum, sum, lse) is a lane of a vector. Forward takes 32 queries at
 * a time: their scores with all keys (T x 32 f32), softmax, the product with v.
 * Backward takes 32 keys at a time, so that dk and dv of those keys stay in
 * tiles; dq is summed in f32, in order of keys. Scores are computed again from
 * lse. A bias is added to scores as they are stored: a block of 32 x 32 has 63
 * differences of place. Blocks and packed operands are those of amx_tile.h.
 */
#include "device/host/attention.h"

#ifdef __x86_64__

#include "device/host/amx_tile.h"

#include <omp.h>

#define LOG2E 1.44269504088896341f
#define LN2 0.693147180559945309f

/* 2^x, within 2e-7 of it; 0 for very negative x, which must be finite. */
AMX_INLINE __m512 exp2_ps(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(x, 8); /* to nearest, no exception */
    __m512 r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.326472819e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.671513581e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.550733749e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.402224207e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.931469776e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Natural logarithm of x > 0, normal: 2 atanh((m - 1) / (m + 1)) for the
 * mantissa m in [0.75, 1.5). */
AMX_INLINE __m512 log_ps(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
    __m512 e = _mm512_sub_ps(_mm512_getexp_ps(x), _mm512_getexp_ps(m));
    __m512 z = _mm512_div_ps(_mm512_sub_ps(m, one), _mm512_add_ps(m, one));
    __m512 z2 = _mm512_mul_ps(z, z);
    __m512 p = _mm512_set1_ps(2.0f / 9);
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(2.0f / 7));
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(2.0f / 5));
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(2.0f / 3));
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(2.0f));
    return _mm512_fmadd_ps(e, _mm512_set1_ps(LN2), _mm512_mul_ps(p, z));
}

/* One (sample, head): where its parts lie, and the thread's scratch. */
struct head {
    const struct dawni_attention *a;
    struct dawni_amx_source q, k, v, out, dout;
    int64_t query_blocks, key_blocks; /* of 32 */
    int64_t steps;                    /* of 32 in the head size */
    const uint16_t *add[3];
    uint16_t *grad[3];
    uint16_t *o;
    float *lse;
    const float *bias; /* its distances; NULL: none */
    float *dbias;
};

static int64_t blocks_of(int64_t n)
{
    return (n + 31) / 32;
}

static struct head head_of(const struct dawni_attention *a,
                           const struct dawni_attention_io *io, int64_t index)
{
    int64_t sample = index / a->heads, h = index % a->heads;
    int64_t width = a->heads * a->size;
    int64_t out = sample * a->queries * width + h * a->size;
    int64_t at[3] = {sample * a->queries * a->row + h * a->size,
                     sample * a->keys * a->row + h * a->size};
    struct head head = {
        .a = a,
        .q = {(const uint16_t *)io->in[0] + at[0], a->row, a->queries, a->size},
        .k = {(const uint16_t *)io->in[1] + at[1], a->row, a->keys, a->size},
        .v = {(const uint16_t *)io->in[2] + at[1], a->row, a->keys, a->size},
        .out = {(const uint16_t *)io->out + out, width, a->queries, a->size},
        .query_blocks = blocks_of(a->queries),
        .key_blocks = blocks_of(a->keys),
        .steps = blocks_of(a->size),
        .o = (uint16_t *)io->out + out,
        .lse = io->lse + index * a->queries,
    };

    if (a->biased)
        head.bias = io->bias + h * dawni_attention_distances(a);
    if (!io->dout)
        return head;
    if (io->dbias)
        head.dbias = io->dbias + index * dawni_attention_distances(a);
    at[2] = at[1];
    head.dout = (struct dawni_amx_source){(const uint16_t *)io->dout + out,
                                          width, a->queries, a->size};
    for (int i = 0; i < 3; i++) {
        if (io->grad[i])
            head.grad[i] = (uint16_t *)io->grad[i] + at[i];
        if (io->add[i])
            head.add[i] = (const uint16_t *)io->add[i] + at[i];
    }
    return head;
}

/* A block of bf16 results: 32 rows from `row` on, columns from 32 * panel on.
 */
struct store {
    uint16_t *to;        /* NULL: nothing is wanted */
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

    for (int64_t i = 0; s->to && i < rows; i++) {
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

/* ---- bias ---- */

/* The bias of a head, spread so that that of key block j and query block i
 * begins at a multiple of 32: row r of the block, query c, at 31 - r + c. What
 * belongs to no pair is 0. */
static int64_t spread_floats(const struct dawni_attention *a)
{
    return a->biased ? (blocks_of(a->queries) + blocks_of(a->keys)) * 32 : 0;
}

static int64_t spread_at(const struct head *h, int64_t j, int64_t i)
{
    return (i - j + h->key_blocks - 1) * 32;
}

/* Where the first of the head's distances goes. */
static int64_t spread_first(const struct head *h)
{
    return h->key_blocks * 32 - h->a->keys;
}

/* Divided by the scale, by which scores are multiplied yet. */
static void spread_bias(const struct head *h, float *spread)
{
    int64_t n = dawni_attention_distances(h->a), first = spread_first(h);
    float by = 1 / h->a->scale;

    if (!h->bias)
        return;
    memset(spread, 0, (size_t)spread_floats(h->a) * sizeof *spread);
    for (int64_t i = 0; i < n; i++)
        spread[first + i] = h->bias[i] * by;
}

/* scores += bias of key block j and query block i */
AMX_INLINE void add_bias(const struct head *h, const float *spread, int64_t j,
                         int64_t i, float *scores)
{
    const float *bias = spread + spread_at(h, j, i) + 31;

    for (int64_t r = 0; r < 32; r++) {
        float *s = scores + (r >> 4) * 512 + (r & 15) * 16;
        _mm512_store_ps(
            s, _mm512_add_ps(_mm512_load_ps(s), _mm512_loadu_ps(bias - r)));
        _mm512_store_ps(s + 256, _mm512_add_ps(_mm512_load_ps(s + 256),
                                               _mm512_loadu_ps(bias - r + 16)));
    }
}

/* ---- forward ---- */

struct room {        /* elements */
    int64_t operand; /* of one head, packed: forward k or v, else q or dout */
    int64_t strip;   /* 32 rows of one of them */
    int64_t scores;  /* 32 queries x keys, or 32 keys x queries */
};

static struct room room_of(const struct dawni_attention *a, bool backward)
{
    int64_t blocks = blocks_of(backward ? a->queries : a->keys);
    int64_t steps = blocks_of(a->size);
    struct room r = {.operand = blocks * steps * AMX_BLOCK,
                     .strip = steps * AMX_BLOCK,
                     .scores = blocks * AMX_BLOCK};
    return r;
}

static uint64_t forward_bytes(const struct dawni_attention *a)
{
    struct room r = room_of(a, false);
    int64_t words = 2 * r.operand + r.strip + r.scores;
    int64_t floats = r.scores + AMX_BLOCK + spread_floats(a);
    return (uint64_t)words * 2 + (uint64_t)floats * 4;
}

struct forward_work {
    uint16_t *keys;     /* strips of A */
    uint16_t *values_t; /* strips of A: 32 columns of v, all keys */
    uint16_t *queries;  /* a panel of B: 32 queries */
    uint16_t *probs;    /* a panel of B: all keys, 32 queries */
    float *scores;      /* blocks of C: 32 keys, 32 queries */
    float *sums;
    float *bias; /* spread */
};

static struct forward_work forward_work(const struct dawni_attention *a,
                                        void *scratch)
{
    struct room r = room_of(a, false);
    struct forward_work w = {.keys = scratch};

    w.values_t = w.keys + r.operand;
    w.queries = w.values_t + r.operand;
    w.probs = w.queries + r.strip;
    w.scores = (float *)(w.probs + r.scores);
    w.sums = w.scores + r.scores;
    w.bias = w.sums + AMX_BLOCK;
    return w;
}

/* Which of the 32 queries of strip i see row r of key block j. */
AMX_INLINE __mmask32 seen_by(const struct dawni_attention *a, int64_t j,
                             int64_t r, int64_t i)
{
    if (j * 32 + r >= a->keys)
        return 0;
    return a->causal && i == j ? ~amx_mask(r) : 0xffffffffu;
}

/* Scores that are not seen become very small; only the last block has any. */
AMX_TARGET static void hide(const struct dawni_attention *a, float *scores,
                            int64_t j, int64_t i)
{
    const __m512 small = _mm512_set1_ps(-1e30f);

    for (int64_t r = 0; r < 32; r++) {
        __mmask32 mask = ~seen_by(a, j, r, i);
        float *s = scores + (r >> 4) * 512 + (r & 15) * 16;
        _mm512_mask_storeu_ps(s, (__mmask16)mask, small);
        _mm512_mask_storeu_ps(s + 256, (__mmask16)(mask >> 16), small);
    }
}

/* The greatest score of each of 16 queries, n blocks of keys. */
AMX_INLINE __m512 greatest(const float *scores, int64_t n)
{
    __m512 a = _mm512_load_ps(scores), b = a, c = a, d = a;

    for (int64_t j = 0; j < n * 2; j++, scores += 512) {
#pragma GCC unroll 4
        for (int r = 0; r < 256; r += 64) {
            a = _mm512_max_ps(a, _mm512_load_ps(scores + r));
            b = _mm512_max_ps(b, _mm512_load_ps(scores + r + 16));
            c = _mm512_max_ps(c, _mm512_load_ps(scores + r + 32));
            d = _mm512_max_ps(d, _mm512_load_ps(scores + r + 48));
        }
    }
    return _mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d));
}

/* probs = 2^(by * scores - shift) of 16 queries; returns their sums. */
AMX_INLINE __m512 soften(const float *scores, uint16_t *probs, int64_t n,
                         __m512 by, __m512 shift)
{
    __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0;

    for (int64_t j = 0; j < n; j++, probs += AMX_BLOCK) {
        for (int64_t r = 0; r < 16; r++) {
            const float *s =
                scores + j * AMX_BLOCK + (r >> 3) * 512 + (r & 7) * 32;
            __m512 x = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s), by, shift));
            __m512 y =
                exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s + 16), by, shift));
            sum0 = _mm512_add_ps(sum0, x);
            sum1 = _mm512_add_ps(sum1, y);
            _mm512_store_si512(probs + r * 32, amx_narrow_pairs(x, y));
        }
    }
    return _mm512_add_ps(sum0, sum1);
}

/* Write a block of C that holds columns of out by row, queries by column; `by`
 * is a factor for each of 16 queries, those of half `half`. */
AMX_TARGET static void store_turned(const struct head *h, const float *sums,
                                    int64_t strip, int64_t panel, int half,
                                    __m512 by)
{
    __mmask32 mask = amx_mask(h->a->size - panel * 32);
    int64_t first = strip * 32 + half * 16;
    __m512i r[16];

#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        const float *from = amx_c_row(sums, 2 * i) + half * 256;
        r[i] = amx_narrow_pairs(_mm512_mul_ps(_mm512_load_ps(from), by),
                                _mm512_mul_ps(_mm512_load_ps(from + 16), by));
    }
    amx_transpose(r);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (first + i < h->a->queries)
            _mm512_mask_storeu_epi16(
                h->o + (first + i) * h->out.stride + panel * 32, mask, r[i]);
    }
}

/* 32 queries: scores, transposed, with all keys that they see. */
AMX_TARGET static void forward_strip(const struct head *h,
                                     const struct forward_work *w,
                                     int64_t strip)
{
    int64_t n = h->a->causal ? strip + 1 : h->key_blocks;
    const __m512 by = _mm512_set1_ps(h->a->scale * LOG2E);
    __m512 inverse[2];

    dawni_amx_pack_panels_transposed(&h->q, 0, h->steps, strip * 32, 1,
                                     w->queries);
    for (int64_t j = 0; j < n; j++) {
        multiply(w->keys + j * h->steps * AMX_BLOCK, w->queries, h->steps,
                 w->scores + j * AMX_BLOCK);
        if (h->bias)
            add_bias(h, w->bias, j, strip, w->scores + j * AMX_BLOCK);
    }
    hide(h->a, w->scores + (n - 1) * AMX_BLOCK, n - 1, strip);
    for (int half = 0; half < 2; half++) {
        const float *scores = w->scores + half * 256;
        int64_t first = strip * 32 + half * 16;
        __m512 most = greatest(scores, n);
        __m512 sum = soften(scores, w->probs + half * 512, n, by,
                            _mm512_mul_ps(most, by));
        inverse[half] = _mm512_div_ps(_mm512_set1_ps(1.0f), sum);
        _mm512_mask_storeu_ps(
            h->lse + first, (__mmask16)amx_mask(h->a->queries - first),
            _mm512_fmadd_ps(most, _mm512_set1_ps(h->a->scale), log_ps(sum)));
    }
    for (int64_t p = 0; p < h->steps; p++) {
        multiply(w->values_t + p * h->key_blocks * AMX_BLOCK, w->probs, n,
                 w->sums);
        store_turned(h, w->sums, strip, p, 0, inverse[0]);
        store_turned(h, w->sums, strip, p, 1, inverse[1]);
    }
}

static void forward_head(const struct head *h, const struct forward_work *w)
{
    spread_bias(h, w->bias);
    for (int64_t j = 0; j < h->key_blocks; j++)
        dawni_amx_pack_strip(&h->k, j * 32, 0, h->steps,
                             w->keys + j * h->steps * AMX_BLOCK);
    dawni_amx_pack_strips_transposed(&h->v, 0, h->key_blocks, 0, h->steps,
                                     w->values_t, NULL);
    for (int64_t s = 0; s < h->query_blocks; s++)
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

#define SKEW (32 * 64)

static uint64_t backward_bytes(const struct dawni_attention *a)
{
    struct room r = room_of(a, true);
    int64_t words = 4 * r.operand + 3 * r.strip + 2 * r.scores + AMX_BLOCK;
    int64_t floats =
        r.operand + 2 * AMX_BLOCK + 32 + 2 * blocks_of(a->queries) * 32;
    if (a->biased)
        floats += 2 * spread_floats(a) + SKEW;
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
    float *bias, *dbias;    /* spread */
    float *skew; /* a block of dscores, row r moved by 31 - r, 0 elsewhere */
};

static struct backward_work backward_work(const struct dawni_attention *a,
                                          void *scratch)
{
    struct room r = room_of(a, true);
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
    w.delta = w.lse + blocks_of(a->queries) * 32;
    w.bias = w.delta + blocks_of(a->queries) * 32;
    w.dbias = w.bias + spread_floats(a);
    w.skew = w.dbias + spread_floats(a);
    return w;
}

/* Sum over the head of dout * out, for each query. */
AMX_TARGET static void find_delta(const struct head *h, float *delta)
{
    for (int64_t i = 0; i < h->a->queries; i++) {
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
    for (int64_t i = 0; i < h->a->queries; i++)
        w->lse[i] = h->lse[i] * LOG2E;
    for (int64_t i = h->a->queries; i < h->query_blocks * 32; i++) {
        w->lse[i] = 1e30f;
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

    for (int64_t r = 0; r < 32; r++) {
        const float *s = amx_c_row(w->scores, r), *d = amx_c_row(w->dprobs, r);
        __mmask32 mask = seen_by(h->a, j, r, i);
        __m512 p0 = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s), by, lse0));
        __m512 p1 = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(s + 256), by, lse1));
        p0 = _mm512_maskz_mov_ps((__mmask16)mask, p0);
        p1 = _mm512_maskz_mov_ps((__mmask16)(mask >> 16), p1);
        __m512 d0 = _mm512_sub_ps(_mm512_load_ps(d), delta0);
        __m512 d1 = _mm512_sub_ps(_mm512_load_ps(d + 256), delta1);
        int64_t at = i * AMX_BLOCK + r * 32;
        d0 = _mm512_mul_ps(p0, d0);
        d1 = _mm512_mul_ps(p1, d1);
        _mm512_store_si512(w->probs + at, (__m512i)_mm512_cvtne2ps_pbh(p1, p0));
        _mm512_store_si512(w->dscores + at,
                           (__m512i)_mm512_cvtne2ps_pbh(d1, d0));
        if (h->dbias) {
            _mm512_storeu_ps(w->skew + r * 64 + 31 - r, d0);
            _mm512_storeu_ps(w->skew + r * 64 + 47 - r, d1);
        }
    }
}

/* dbias += the sums over the rows of skew, block of keys j and of queries i */
AMX_TARGET static void add_dbias(const struct head *h,
                                 const struct backward_work *w, int64_t j,
                                 int64_t i)
{
    float *to = w->dbias + spread_at(h, j, i);
    __m512 sum[4];

#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        sum[c] = _mm512_load_ps(to + c * 16);
    for (int64_t r = 0; r < 32; r++) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++)
            sum[c] = _mm512_add_ps(sum[c],
                                   _mm512_load_ps(w->skew + r * 64 + c * 16));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        _mm512_store_ps(to + c * 16, sum[c]);
}

static void begin_dbias(const struct head *h, const struct backward_work *w)
{
    if (!h->dbias)
        return;
    memset(w->dbias, 0, (size_t)spread_floats(h->a) * sizeof *w->dbias);
    memset(w->skew, 0, SKEW * sizeof *w->skew);
}

static void end_dbias(const struct head *h, const struct backward_work *w)
{
    int64_t n = dawni_attention_distances(h->a);

    if (h->dbias)
        memcpy(h->dbias, w->dbias + spread_first(h),
               (size_t)n * sizeof *h->dbias);
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
                      .stride = h->a->row,
                      .rows = which ? h->a->keys : h->a->queries,
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
    int64_t first = h->a->causal ? j : 0, panel = h->query_blocks * AMX_BLOCK;
    int64_t size = h->steps * AMX_BLOCK, n = h->query_blocks - first;

    dawni_amx_pack_strip(&h->k, j * 32, 0, h->steps, w->key_strip);
    dawni_amx_pack_strip(&h->v, j * 32, 0, h->steps, w->value_strip);
    dawni_amx_pack_panels(&h->k, j * 32, 1, 0, h->steps, w->key_panel);
    for (int64_t i = first; i < h->query_blocks; i++) {
        multiply(w->key_strip, w->queries_t + i * size, h->steps, w->scores);
        if (h->bias)
            add_bias(h, w->bias, j, i, w->scores);
        multiply(w->value_strip, w->douts_t + i * size, h->steps, w->dprobs);
        differentiate(h, w, j, i);
        if (h->dbias)
            add_dbias(h, w, j, i);
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
    spread_bias(h, w->bias);
    begin_dbias(h, w);
    dawni_amx_pack_panels_transposed(&h->q, 0, h->steps, 0, h->query_blocks,
                                     w->queries_t);
    dawni_amx_pack_panels_transposed(&h->dout, 0, h->steps, 0, h->query_blocks,
                                     w->douts_t);
    dawni_amx_pack_panels(&h->q, 0, h->query_blocks, 0, h->steps, w->queries);
    dawni_amx_pack_panels(&h->dout, 0, h->query_blocks, 0, h->steps, w->douts);
    for (int64_t j = 0; j < h->key_blocks; j++)
        backward_strip(h, w, j);
    for (int64_t i = 0; i < h->query_blocks; i++) {
        for (int64_t p = 0; p < h->steps; p++)
            store_block(w->dq + (i * h->steps + p) * AMX_BLOCK, &dq, i * 32, p,
                        w->scale);
    }
    end_dbias(h, w);
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
