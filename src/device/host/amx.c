/* SPDX-License-Identifier: Apache-2.0 */
/* Products of bf16 matrices by AMX tiles: see amx.h.
 *
 * A product is cut into groups of columns; each thread takes whole groups,
 * packs the group's part of B so that it stays in its L2 cache, and goes
 * through A in strips of 32 rows. A gradient, whose A must be transposed, packs
 * B once for all threads and then groups of rows of A. What follows the product
 * (the "finish" of a block) is done while the next block is in the tiles.
 */
#include "device/host/amx.h"

#ifdef __x86_64__

#include "device/host/amx_tile.h"

#include <cpuid.h>
#include <omp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define B_ELEMENTS 589824 /* of packed B that stay in L2: product */
#define A_ELEMENTS 393216 /* of packed A that do: gradient */
#define K_PART 1024       /* a longer k is cut into equal parts */
#define K_GRADIENT 1024   /* rows of X and dY taken at a time */
#define WIDE 4            /* blocks packed together: 256 bytes of a row */

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* ---- may we use the tiles ---- */

static bool detect(void)
{
    const unsigned want = 1u << 22 | 1u << 24; /* AMX-BF16, AMX-TILE */
    unsigned a, b, c, d, low, high;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & want) != want)
        return false;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & 1u << 5))
        return false; /* AVX512-BF16 */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27))
        return false; /* OSXSAVE */
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    if ((low & 0x60000) != 0x60000) /* the kernel keeps the tiles' state */
        return false;
    /* ARCH_REQ_XCOMP_PERM of the tile data, feature 18 */
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

bool dawni_amx_usable(void)
{
    static int known; /* 1 no, 2 yes; every thread finds the same */

    if (!known)
        known = detect() ? 2 : 1;
    return known == 2 && dawni_simd_level() == DAWNI_SIMD_AVX512;
}

/* ---- packing ---- */

/* Row i from column j on, 32 words; what is outside is 0. */
AMX_INLINE __m512i load32(const struct dawni_amx_source *s, int64_t i,
                          int64_t j)
{
    __mmask32 mask = i < s->rows ? amx_mask(s->columns - j) : 0;
    return _mm512_maskz_loadu_epi16(mask, s->p + i * s->stride + j);
}

/* Rows i and i + 1 from column j on, 16 words of each, in pairs. */
AMX_INLINE __m512i load_pairs(const struct dawni_amx_source *s, int64_t i,
                              int64_t j)
{
    __mmask16 mask = (__mmask16)amx_mask(s->columns - j);
    const uint16_t *p = s->p + i * s->stride + j;
    return amx_pairs(
        _mm256_maskz_loadu_epi16(i < s->rows ? mask : 0, p),
        _mm256_maskz_loadu_epi16(i + 1 < s->rows ? mask : 0, p + s->stride));
}

/* A strip of A: rows row..row+31, `steps` steps from column k on. */
AMX_TARGET void dawni_amx_pack_strip(const struct dawni_amx_source *s,
                                     int64_t row, int64_t k, int64_t steps,
                                     uint16_t *out)
{
    for (int64_t first = 0; first < steps; first += WIDE) {
        int64_t last = min64(first + WIDE, steps);
        bool whole = row + 32 <= s->rows && k + last * AMX_STEP <= s->columns;
        for (int64_t i = 0; i < 32; i++) {
            const uint16_t *from = s->p + (row + i) * s->stride + k;
            for (int64_t j = first; j < last; j++)
                _mm512_store_si512(out + j * AMX_BLOCK + i * 32,
                                   whole
                                       ? _mm512_loadu_si512(from + j * AMX_STEP)
                                       : load32(s, row + i, k + j * AMX_STEP));
        }
    }
}

/* Two rows of 32 words as one of pairs in each of a block's two tiles. */
AMX_INLINE void put_pairs(__m512i x, __m512i y, uint16_t *out)
{
    const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    __m512i even = _mm512_unpacklo_epi16(x, y);
    __m512i odd = _mm512_unpackhi_epi16(x, y);

    _mm512_store_si512(out, _mm512_permutex2var_epi64(even, low, odd));
    _mm512_store_si512(out + 512, _mm512_permutex2var_epi64(even, high, odd));
}

/* A block of B from B stored as (k,n): 32 rows, 32 columns. */
AMX_INLINE void pack_block(const struct dawni_amx_source *s, int64_t k,
                           int64_t column, uint16_t *out)
{
    bool whole = k + 32 <= s->rows && column + 32 <= s->columns;
    const uint16_t *p = s->p + k * s->stride + column;

    for (int64_t i = 0; i < 32; i += 2, p += 2 * s->stride) {
        __m512i x = whole ? _mm512_loadu_si512(p) : load32(s, k + i, column);
        __m512i y = whole ? _mm512_loadu_si512(p + s->stride)
                          : load32(s, k + i + 1, column);
        put_pairs(x, y, out + i * 16);
    }
}

/* B stored as (k,n): `panels` panels of 32 columns from `column` on, `steps`
 * steps from row k on. A panel is `steps` blocks. */
AMX_TARGET void dawni_amx_pack_panels(const struct dawni_amx_source *s,
                                      int64_t k, int64_t steps, int64_t column,
                                      int64_t panels, uint16_t *out)
{
    for (int64_t j = 0; j < steps; j++) {
        for (int64_t p = 0; p < panels; p++)
            pack_block(s, k + j * AMX_STEP, column + p * 32,
                       out + (p * steps + j) * AMX_BLOCK);
    }
}

/* Transposed dwords of r, as a tile. */
AMX_INLINE void put_tile(__m512i r[16], uint16_t *out)
{
    amx_transpose(r);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        _mm512_store_si512(out + i * 32, r[i]);
}

/* The same of B stored as (n,k). */
AMX_TARGET void dawni_amx_pack_panels_transposed(
    const struct dawni_amx_source *s, int64_t k, int64_t steps, int64_t column,
    int64_t panels, uint16_t *out)
{
    for (int64_t half = 0; half < panels * 2; half++) {
        uint16_t *to = out + half / 2 * steps * AMX_BLOCK + half % 2 * 512;
        int64_t row = column + half * 16;
        for (int64_t j = 0; j < steps; j++) {
            int64_t at = k + j * AMX_STEP;
            bool whole = row + 16 <= s->rows && at + 32 <= s->columns;
            const uint16_t *p = s->p + row * s->stride + at;
            __m512i r[16];
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++) {
                r[i] = whole ? _mm512_loadu_si512(p + i * s->stride)
                             : load32(s, row + i, at);
            }
            put_tile(r, to + j * AMX_BLOCK);
        }
    }
}

/* One tile of A from A^T stored as (k,m): 16 rows of A from `row` on, a step
 * from k on. Adds the rows' sums to sums[16], where wanted. */
AMX_INLINE void pack_tile_transposed(const struct dawni_amx_source *s,
                                     int64_t k, int64_t row, uint16_t *out,
                                     float *sums)
{
    const __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80);
    bool whole = k + 32 <= s->rows && row + 16 <= s->columns;
    const uint16_t *p = s->p + k * s->stride + row;
    __m512 sum = sums ? _mm512_load_ps(sums) : _mm512_setzero_ps();
    __m512i r[16];

#pragma GCC unroll 16
    for (int i = 0; i < 16; i++, p += 2 * s->stride) {
        r[i] = whole ? amx_pairs(
                           _mm256_loadu_si256((const __m256i *)p),
                           _mm256_loadu_si256((const __m256i *)(p + s->stride)))
                     : load_pairs(s, k + 2 * i, row);
        sum = _mm512_dpbf16_ps(sum, (__m512bh)r[i], one);
    }
    if (sums)
        _mm512_store_ps(sums, sum);
    put_tile(r, out);
}

AMX_TARGET void dawni_amx_pack_strips_transposed(
    const struct dawni_amx_source *s, int64_t k, int64_t steps, int64_t row,
    int64_t strips, uint16_t *out, float *sums)
{
    for (int64_t first = 0; first < strips; first += WIDE) {
        int64_t last = min64(first + WIDE, strips);
        for (int64_t j = 0; j < steps; j++) {
            for (int64_t p = first * 2; p < last * 2; p++)
                pack_tile_transposed(s, k + j * AMX_STEP, row + p * 16,
                                     out + (p / 2 * steps + j) * AMX_BLOCK +
                                         p % 2 * 512,
                                     sums ? sums + p * 16 : NULL);
        }
    }
}

/* ---- a block and its finish ---- */

enum kind { TO_BF16, TO_F32 };

/* What is to be done with a block of C whose sums lie in `sums`. */
struct finish {
    const float *sums;
    int rows; /* 0: nothing to do */
    __mmask32 columns;
    int64_t c_row;
    void *c;
    const float *bias;   /* TO_BF16; NULL: none */
    const uint16_t *add; /* TO_BF16; NULL: none */
    bool accumulate;     /* TO_F32 */
    bool stream;         /* TO_F32: past the caches; whole aligned rows */
};

struct finish_bias {
    __m512 low, high;
};

AMX_INLINE struct finish_bias finish_bias(const struct finish *f)
{
    struct finish_bias b = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    if (f->bias) {
        b.low = _mm512_maskz_loadu_ps((__mmask16)f->columns, f->bias);
        b.high =
            _mm512_maskz_loadu_ps((__mmask16)(f->columns >> 16), f->bias + 16);
    }
    return b;
}

AMX_INLINE void finish_bf16(const struct finish *f, struct finish_bias b,
                            int64_t i)
{
    const float *sums = amx_c_row(f->sums, i);
    uint16_t *c = (uint16_t *)f->c + i * f->c_row;
    __m512 x = _mm512_add_ps(_mm512_load_ps(sums), b.low);
    __m512 y = _mm512_add_ps(_mm512_load_ps(sums + 256), b.high);

    if (f->add) {
        __m512i add =
            _mm512_maskz_loadu_epi16(f->columns, f->add + i * f->c_row);
        x = _mm512_add_ps(x, amx_widen(add, 0));
        y = _mm512_add_ps(y, amx_widen(add, 1));
    }
    _mm512_mask_storeu_epi16(c, f->columns, (__m512i)_mm512_cvtne2ps_pbh(y, x));
}

AMX_INLINE void finish_f32(const struct finish *f, int64_t i)
{
    const float *sums = amx_c_row(f->sums, i);
    float *c = (float *)f->c + i * f->c_row;
    __m512 x = _mm512_load_ps(sums), y = _mm512_load_ps(sums + 256);
    __mmask16 low = (__mmask16)f->columns, high = (__mmask16)(f->columns >> 16);

    if (f->stream) {
        _mm512_stream_ps(c, x);
        _mm512_stream_ps(c + 16, y);
        return;
    }
    if (f->accumulate) {
        x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(low, c));
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(high, c + 16));
    }
    _mm512_mask_storeu_ps(c, low, x);
    _mm512_mask_storeu_ps(c + 16, high, y);
}

AMX_INLINE void finish_rows(const struct finish *f, struct finish_bias b,
                            int64_t first, int64_t last, enum kind kind)
{
    for (int64_t i = first; i < last; i++) {
        if (kind == TO_BF16)
            finish_bf16(f, b, i);
        else
            finish_f32(f, i);
    }
}

/* sums (+)= A strip * B panel over `steps` steps; meanwhile, finish f. */
AMX_INLINE void block(const uint16_t *a, const uint16_t *b, int64_t steps,
                      float *sums, bool first, const struct finish *pending,
                      enum kind kind)
{
    const struct finish copy = *pending, *f = &copy; /* stays in registers */
    struct finish_bias bias = finish_bias(f);
    int64_t step = 0, row = 0;

    if (first)
        amx_c_zero();
    else
        amx_c_load(sums);
    for (; step < steps && row < f->rows; step++, row += 2) {
        amx_step(a + step * AMX_BLOCK, b + step * AMX_BLOCK);
        finish_rows(f, bias, row, min64(row + 2, f->rows), kind);
    }
    for (; step < steps; step++)
        amx_step(a + step * AMX_BLOCK, b + step * AMX_BLOCK);
    finish_rows(f, bias, row, f->rows, kind);
    amx_c_store(sums);
}

/* Not inlined: two copies of the code above, one a kind. */
AMX_TARGET static void block_bf16(const uint16_t *a, const uint16_t *b,
                                  int64_t steps, float *sums, bool first,
                                  const struct finish *f)
{
    block(a, b, steps, sums, first, f, TO_BF16);
}

AMX_TARGET static void block_f32(const uint16_t *a, const uint16_t *b,
                                 int64_t steps, float *sums,
                                 const struct finish *f)
{
    block(a, b, steps, sums, true, f, TO_F32);
}

AMX_TARGET static void finish_now(const struct finish *f, enum kind kind)
{
    finish_rows(f, finish_bias(f), 0, f->rows, kind);
}

/* ---- weights ---- */

/* Blocks of a packed weight: panel of 32 rows of w, step of 32 columns. */
static int64_t weight_steps(int64_t k)
{
    return ceil_div(k, AMX_STEP);
}

uint64_t dawni_amx_weight_bytes(int64_t n, int64_t k)
{
    return (uint64_t)(ceil_div(n, 32) * weight_steps(k) * AMX_BLOCK) *
           sizeof(uint16_t);
}

/* 32 floats of row i from column j on as bf16; what is outside is 0. */
AMX_INLINE __m512i load_weight(const float *w, int64_t n, int64_t k, int64_t i,
                               int64_t j)
{
    __mmask32 mask = i < n ? amx_mask(k - j) : 0;
    const float *p = w + i * k + j;
    __m512 x = _mm512_maskz_loadu_ps((__mmask16)mask, p);
    __m512 y = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), p + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(y, x);
}

AMX_TARGET static void pack_weight_panel(const float *w, int64_t n, int64_t k,
                                         int64_t panel, uint16_t *out)
{
    for (int64_t j = 0; j < weight_steps(k); j++) {
        for (int64_t half = 0; half < 2; half++, out += 512) {
            __m512i r[16];
            for (int64_t i = 0; i < 16; i++)
                r[i] = load_weight(w, n, k, panel * 32 + half * 16 + i,
                                   j * AMX_STEP);
            amx_transpose(r);
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                _mm512_stream_si512((__m512i *)(out + i * 32), r[i]);
        }
    }
}

void dawni_amx_pack_weight(const float *w, int64_t n, int64_t k, void *packed,
                           int threads)
{
    int64_t size = weight_steps(k) * AMX_BLOCK;

#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t p = 0; p < ceil_div(n, 32); p++)
            pack_weight_panel(w, n, k, p, (uint16_t *)packed + p * size);
        _mm_sfence();
    }
}

/* A block of w^T as a block of w. */
AMX_TARGET static void turn_block(const uint16_t *in, uint16_t *out)
{
    for (int half = 0; half < 2; half++, in += 512, out += 256) {
        __m512i r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = _mm512_load_si512(in + i * 32);
        amx_transpose(r);
#pragma GCC unroll 8
        for (int i = 0; i < 16; i += 2)
            put_pairs(r[i], r[i + 1], out + i * 16);
    }
}

/* ---- products ---- */

/* How a product is cut; the same for the same shape and threads. */
struct cut {
    int64_t strips; /* of 32 rows of A */
    int64_t panels; /* of 32 columns, in all */
    int64_t groups; /* of panels */
    int64_t k_part; /* multiple of AMX_STEP */
    int64_t k_parts;
    bool shared; /* A is packed once, for all groups of all threads */
};

static struct cut cut_product(const struct dawni_amx_product *p)
{
    struct cut c = {.strips = ceil_div(p->m, 32), .panels = ceil_div(p->n, 32)};
    int64_t steps = ceil_div(p->k, AMX_STEP), room;

    c.k_parts = ceil_div(p->k, K_PART);
    c.k_part = ceil_div(steps, c.k_parts) * AMX_STEP;
    c.k_parts = ceil_div(p->k, c.k_part);
    room = B_ELEMENTS / (c.k_part * 32);
    c.groups = ceil_div(c.panels, room);
    c.groups = min64(ceil_div(c.groups, p->threads) * p->threads, c.panels);
    c.shared = c.groups > p->threads;
    return c;
}

/* Scratch: one part of k of A, or a strip of it for each thread; then for each
 * thread its group of B, and sums: of all its columns where k is in parts, else
 * of two blocks. */
struct room {
    uint64_t strips, panels, sums;
};

static int64_t thread_groups(const struct cut *c, int threads)
{
    return ceil_div(c->groups, threads);
}

static struct room room_of(const struct cut *c,
                           const struct dawni_amx_product *p)
{
    int threads = p->threads;
    int64_t most = ceil_div(c->panels, c->groups);
    int64_t blocks =
        c->k_parts > 1 ? c->strips * most * thread_groups(c, threads) : 2;
    struct room r = {
        .strips = (uint64_t)(32 * c->k_part) * sizeof(uint16_t),
        .panels = (uint64_t)(most * 32 * c->k_part) * sizeof(uint16_t),
        .sums = (uint64_t)(blocks * AMX_BLOCK) * sizeof(float),
    };
    if (!p->turned)
        r.panels = 0;
    r.strips *= (uint64_t)(c->shared ? c->strips : threads);
    return r;
}

uint64_t dawni_amx_scratch_bytes(const struct dawni_amx_product *p)
{
    struct cut c = cut_product(p);
    struct room r = room_of(&c, p);
    return r.strips + (r.panels + r.sums) * (uint64_t)p->threads;
}

struct product_work { /* of one thread */
    const struct dawni_amx_product *p;
    const struct cut *cut;
    struct dawni_amx_source a;
    uint16_t *panels, *strips;
    float *sums;
    int64_t k, steps; /* the part of k */
    bool first, last; /* is it that of k */
    struct finish pending;
};

/* Panels [first, last) of B from a weight that must be turned. */
static void turn_group(const struct product_work *w, int64_t first,
                       int64_t last)
{
    const uint16_t *b = w->p->b;

    for (int64_t i = 0; i < w->steps; i++) {
        const uint16_t *row =
            b + (w->k / AMX_STEP + i) * weight_steps(w->p->n) * AMX_BLOCK;
        for (int64_t p = first; p < last; p++)
            turn_block(row + p * AMX_BLOCK,
                       w->panels + ((p - first) * w->steps + i) * AMX_BLOCK);
    }
}

/* Panel `panel` of B, one of the group that starts with `first`. */
static const uint16_t *panel_of(const struct product_work *w, int64_t first,
                                int64_t panel)
{
    const uint16_t *b = w->p->b;

    if (w->p->turned)
        return w->panels + (panel - first) * w->steps * AMX_BLOCK;
    return b + (panel * weight_steps(w->p->k) + w->k / AMX_STEP) * AMX_BLOCK;
}

static struct finish finish_of(const struct dawni_amx_product *p,
                               const float *sums, int64_t row, int64_t column)
{
    int64_t at = row * p->n + column;
    struct finish f = {
        .sums = sums,
        .rows = (int)min64(32, p->m - row),
        .columns = amx_mask(p->n - column),
        .c_row = p->n,
        .c = p->c + at,
        .bias = p->bias ? p->bias + column : NULL,
        .add = p->add ? p->add + at : NULL,
    };
    return f;
}

/* Panels [first, last) of C; `sums` has two blocks, or all of theirs. A strip
 * that only this group needs is packed here, and so still is in L1. */
static void multiply_group(struct product_work *w, int64_t first, int64_t last,
                           float *sums)
{
    int64_t size = w->steps * AMX_BLOCK, panels = last - first;

    if (w->p->turned)
        turn_group(w, first, last);
    for (int64_t s = 0; s < w->cut->strips; s++) {
        const uint16_t *strip = w->strips + (w->cut->shared ? s * size : 0);
        if (!w->cut->shared)
            dawni_amx_pack_strip(&w->a, s * 32, w->k, w->steps, w->strips);
        for (int64_t j = 0; j < panels; j++) {
            int64_t slot = w->first && w->last ? j % 2 : s * panels + j;
            float *c = sums + slot * AMX_BLOCK;
            /* the pending block is finished before c is written */
            block_bf16(strip, panel_of(w, first, first + j), w->steps, c,
                       w->first, &w->pending);
            w->pending.rows = 0;
            if (w->last)
                w->pending = finish_of(w->p, c, s * 32, (first + j) * 32);
        }
    }
}

/* One part of k. Where A is shared, each thread packs some strips for all. */
static void multiply_part(struct product_work *w, int thread)
{
    const struct cut *c = w->cut;
    int64_t threads = w->p->threads, done = 0;

    int64_t last_strip = c->shared ? c->strips * (thread + 1) / threads : 0;

    for (int64_t s = c->strips * thread / threads; s < last_strip; s++)
        dawni_amx_pack_strip(&w->a, s * 32, w->k, w->steps,
                             w->strips + s * w->steps * AMX_BLOCK);
#pragma omp barrier
    for (int64_t g = thread; g < c->groups; g += threads) {
        int64_t first = g * c->panels / c->groups;
        int64_t last = (g + 1) * c->panels / c->groups;
        multiply_group(w, first, last, w->sums + done * AMX_BLOCK);
        if (c->k_parts > 1)
            done += c->strips * (last - first);
    }
}

void dawni_amx_multiply(const struct dawni_amx_product *p)
{
    struct cut cut = cut_product(p);
    struct room room = room_of(&cut, p);
    uint64_t each = room.panels + room.sums;

#pragma omp parallel num_threads(p->threads)
    {
        int thread = omp_get_thread_num();
        char *own = (char *)p->scratch + room.strips + (uint64_t)thread * each;
        struct product_work w = {
            .p = p,
            .cut = &cut,
            .a = {p->a, p->k, p->m, p->k},
            .strips = (uint16_t *)p->scratch +
                      (cut.shared ? 0 : thread * 32 * cut.k_part),
            .panels = (uint16_t *)own,
            .sums = (float *)(own + room.panels),
        };
        amx_begin();
        for (; w.k < p->k; w.k += cut.k_part) {
            w.steps = ceil_div(min64(cut.k_part, p->k - w.k), AMX_STEP);
            w.first = w.k == 0;
            w.last = w.k + cut.k_part >= p->k;
#pragma omp barrier
            multiply_part(&w, thread);
        }
        finish_now(&w.pending, TO_BF16);
        amx_end();
    }
}

/* ---- gradients ---- */

struct gradient_room {
    uint64_t panels;             /* of all threads */
    uint64_t strips, sums, bias; /* of one */
    int64_t rows;                /* of A in a group, a multiple of 128 */
};

static struct gradient_room gradient_room(const struct dawni_amx_gradient *p)
{
    int64_t k = ceil_div(min64(p->k, K_GRADIENT), AMX_STEP) * AMX_STEP;
    int64_t rows = A_ELEMENTS / k / 128 * 128;
    int64_t share = ceil_div(p->m, p->threads * 128) * 128;
    struct gradient_room r = {.rows = min64(rows, share)};

    r.panels = (uint64_t)(ceil_div(p->n, 32) * 32 * k) * sizeof(uint16_t);
    r.strips = (uint64_t)(r.rows * k) * sizeof(uint16_t);
    r.sums = 2 * AMX_BLOCK * sizeof(float);
    r.bias = (uint64_t)r.rows * sizeof(float);
    return r;
}

uint64_t dawni_amx_gradient_scratch_bytes(const struct dawni_amx_gradient *p)
{
    struct gradient_room r = gradient_room(p);
    return r.panels + (r.strips + r.sums + r.bias) * (uint64_t)p->threads;
}

struct gradient_work { /* of one thread */
    const struct dawni_amx_gradient *p;
    struct dawni_amx_source a, b;
    uint16_t *panels, *strips;
    float *sums, *bias;
    int64_t k, steps; /* the part of k */
    bool accumulate;  /* this part is added */
};

static struct finish gradient_finish(const struct gradient_work *w,
                                     const float *sums, int64_t row,
                                     int64_t column)
{
    const struct dawni_amx_gradient *p = w->p;
    struct finish f = {
        .sums = sums,
        .rows = (int)min64(32, p->m - row),
        .columns = amx_mask(p->n - column),
        .c_row = p->n,
        .c = p->c + row * p->n + column,
        .accumulate = w->accumulate,
    };
    f.stream = !w->accumulate && p->n % 16 == 0 && column + 32 <= p->n &&
               (uintptr_t)p->c % 64 == 0;
    return f;
}

static void store_bias(const struct gradient_work *w, int64_t row, int64_t rows)
{
    if (!w->p->sums)
        return;
    for (int64_t i = 0; i < rows; i++) {
        float *to = w->p->sums + row + i;
        *to = w->accumulate ? *to + w->bias[i] : w->bias[i];
    }
}

/* Rows [row, row + rows) of C: pack them, then all panels of B. */
static void gradient_group(struct gradient_work *w, int64_t row, int64_t rows)
{
    int64_t strips = ceil_div(rows, 32), panels = ceil_div(w->p->n, 32);
    int64_t size = w->steps * AMX_BLOCK;
    struct finish pending = {.rows = 0};

    memset(w->bias, 0, (size_t)strips * 32 * sizeof *w->bias);
    dawni_amx_pack_strips_transposed(&w->a, w->k, w->steps, row, strips,
                                     w->strips, w->bias);
    store_bias(w, row, rows);
    for (int64_t j = 0; j < panels; j++) {
        for (int64_t s = 0; s < strips; s++) {
            float *sums = w->sums + (j * strips + s) % 2 * AMX_BLOCK;
            block_f32(w->strips + s * size, w->panels + j * size, w->steps,
                      sums, &pending);
            pending = gradient_finish(w, sums, row + s * 32, j * 32);
        }
    }
    finish_now(&pending, TO_F32);
}

/* One part of k. Every thread packs its share of B's panels for all. */
static void gradient_part(struct gradient_work *w, int thread,
                          int64_t group_rows)
{
    int64_t panels = ceil_div(w->p->n, 32), threads = w->p->threads;
    int64_t first = panels * thread / threads;
    int64_t last = panels * (thread + 1) / threads;
    int64_t rows = w->p->m;

    dawni_amx_pack_panels(&w->b, w->k, w->steps, first * 32, last - first,
                          w->panels + first * w->steps * AMX_BLOCK);
#pragma omp barrier
    for (int64_t row = thread * group_rows; row < rows;
         row += threads * group_rows)
        gradient_group(w, row, min64(group_rows, rows - row));
#pragma omp barrier
}

void dawni_amx_gradient(const struct dawni_amx_gradient *p)
{
    struct gradient_room room = gradient_room(p);
    uint64_t each = room.strips + room.sums + room.bias;

#pragma omp parallel num_threads(p->threads)
    {
        int thread = omp_get_thread_num();
        char *own = (char *)p->scratch + room.panels + (uint64_t)thread * each;
        struct gradient_work w = {
            .p = p,
            .a = {p->a, p->m, p->k, p->m},
            .b = {p->b, p->n, p->k, p->n},
            .panels = p->scratch,
            .strips = (uint16_t *)own,
            .sums = (float *)(own + room.strips),
            .bias = (float *)(own + room.strips + room.sums),
        };
        amx_begin();
        for (w.k = 0; w.k < p->k; w.k += K_GRADIENT) {
            w.steps = ceil_div(min64(K_GRADIENT, p->k - w.k), AMX_STEP);
            w.accumulate = p->accumulate || w.k > 0;
            gradient_part(&w, thread, room.rows);
        }
        _mm_sfence(); /* the streamed stores are seen after the region */
        amx_end();
    }
}

#else /* never called where not usable */

bool dawni_amx_usable(void)
{
    return false;
}

uint64_t dawni_amx_scratch_bytes(const struct dawni_amx_product *p)
{
    (void)p;
    return 0;
}

void dawni_amx_multiply(const struct dawni_amx_product *p)
{
    (void)p;
}

uint64_t dawni_amx_gradient_scratch_bytes(const struct dawni_amx_gradient *p)
{
    (void)p;
    return 0;
}

void dawni_amx_gradient(const struct dawni_amx_gradient *p)
{
    (void)p;
}

uint64_t dawni_amx_weight_bytes(int64_t n, int64_t k)
{
    (void)n;
    (void)k;
    return 0;
}

void dawni_amx_pack_weight(const float *w, int64_t n, int64_t k, void *packed,
                           int threads)
{
    (void)w;
    (void)n;
    (void)k;
    (void)packed;
    (void)threads;
}

#endif
