/* SPDX-License-Identifier: Apache-2.0 */
/* AMX tiles and the AVX-512 pieces around them, for the files that use them.
 *
 * A block of C is 32 x 32, four tiles: T0 T1 over T2 T3. A step of 32 in k
 * takes a block of A, two tiles of 16 rows x 32, and a block of B, two tiles of
 * 16 pairs of rows x 16 columns (a pair of rows is interleaved: the columns of
 * a tile are 32-bit). Each block is 2048 bytes, packed. C in memory is the four
 * tiles one after another, 16 x 16 f32 each.
 *
 * The tile instructions are asm with a memory clobber: the compiler's own
 * intrinsics do not say which memory they touch.
 */
#ifndef DAWNI_DEVICE_HOST_AMX_TILE_H
#define DAWNI_DEVICE_HOST_AMX_TILE_H

#include "device/host/simd.h"

#include <immintrin.h>

#define AMX_STEP 32    /* of k */
#define AMX_BLOCK 1024 /* elements of a packed block of A or B, of C too */

#define AMX_TARGET                                                             \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,"     \
                          "avx2,fma,bmi2,prefer-vector-width=512")))
#define AMX_INLINE static inline __attribute__((always_inline)) AMX_TARGET

#define AMX_ZERO(t) __asm__ volatile("tilezero %%tmm" #t ::: "memory")
#define AMX_LOAD(t, p, stride)                                                 \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p),                 \
                     "r"((int64_t)(stride))                                    \
                     : "memory")
#define AMX_STORE(t, p, stride)                                                \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p),             \
                     "r"((int64_t)(stride))                                    \
                     : "memory")
#define AMX_DOT(c, a, b)                                                       \
    __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::         \
                         : "memory")

DAWNI_INLINE int64_t amx_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

DAWNI_INLINE int64_t amx_ceil(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Steps in k, blocks in all. */
DAWNI_INLINE int64_t amx_steps(int64_t k)
{
    return amx_ceil(k, AMX_STEP);
}

/* Eight full tiles, 16 rows of 64 bytes, for this thread until amx_end. */
DAWNI_INLINE void amx_begin(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};

    for (int i = 0; i < 8; i++) {
        config.bytes[i] = 64;
        config.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(config) : "memory");
}

DAWNI_INLINE void amx_end(void)
{
    __asm__ volatile("tilerelease" ::: "memory");
}

/* One step: T0..T3 += A block * B block. The order, with the fetching of B
 * ahead between loads and products, is what measures best on a core whose other
 * hardware thread is busy, where loads and products hardly overlap. */
AMX_INLINE void amx_step(const uint16_t *a, const uint16_t *b)
{
    AMX_LOAD(6, b, 64);
    AMX_LOAD(7, b + 512, 64);
    AMX_LOAD(4, a, 64);
    for (int i = 0; i < 16; i++)
        _mm_prefetch((const char *)(b + 4 * 1024 + i * 32), _MM_HINT_T0);
    AMX_DOT(0, 4, 6);
    AMX_DOT(1, 4, 7);
    AMX_LOAD(5, a + 512, 64);
    for (int i = 16; i < 32; i++)
        _mm_prefetch((const char *)(b + 4 * 1024 + i * 32), _MM_HINT_T0);
    AMX_DOT(2, 5, 6);
    AMX_DOT(3, 5, 7);
}

AMX_INLINE void amx_c_zero(void)
{
    AMX_ZERO(0);
    AMX_ZERO(1);
    AMX_ZERO(2);
    AMX_ZERO(3);
}

AMX_INLINE void amx_c_load(const float *c)
{
    AMX_LOAD(0, c, 64);
    AMX_LOAD(1, c + 256, 64);
    AMX_LOAD(2, c + 512, 64);
    AMX_LOAD(3, c + 768, 64);
}

AMX_INLINE void amx_c_store(float *c)
{
    AMX_STORE(0, c, 64);
    AMX_STORE(1, c + 256, 64);
    AMX_STORE(2, c + 512, 64);
    AMX_STORE(3, c + 768, 64);
}

/* Row i, 0..31, of a block of C in memory: its first 16 columns; the others are
 * 256 floats further. */
AMX_INLINE const float *amx_c_row(const float *c, int64_t i)
{
    return c + (i >> 4) * 512 + (i & 15) * 16;
}

/* The lowest n of 32 bits. */
DAWNI_INLINE __mmask32 amx_mask(int64_t n)
{
    return n >= 32 ? 0xffffffffu : n <= 0 ? 0 : (1u << n) - 1;
}

/* 16 x 16 dwords, transposed in place. Unrolled, so that all stays in
 * registers. */
AMX_INLINE void amx_transpose(__m512i r[16])
{
    __m512i t[16];

#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        int i = j / 4 * 8 + j % 4;
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
    }
}

/* 16 words of x in the low halves of dwords, of y in the high ones. */
AMX_INLINE __m512i amx_pairs(__m256i x, __m256i y)
{
    return _mm512_or_si512(_mm512_cvtepu16_epi32(x),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(y), 16));
}

/* x and y as bf16, in the low and in the high halves of dwords. */
AMX_INLINE __m512i amx_narrow_pairs(__m512 x, __m512 y)
{
    const __m512i order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
        6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(y, x));
}

/* Two rows of 32 words as one of pairs in each of a block's two tiles. */
AMX_INLINE void amx_put_pairs(__m512i x, __m512i y, uint16_t *out)
{
    const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    __m512i even = _mm512_unpacklo_epi16(x, y);
    __m512i odd = _mm512_unpackhi_epi16(x, y);

    _mm512_store_si512(out, _mm512_permutex2var_epi64(even, low, odd));
    _mm512_store_si512(out + 512, _mm512_permutex2var_epi64(even, high, odd));
}

/* A block of 32 x 32 words, transposed: both as packed for A. */
AMX_INLINE void amx_transpose_block(const uint16_t *in, uint16_t *out)
{
    for (int half = 0; half < 2; half++, in += 16, out += 512) {
        __m512i r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = amx_pairs(
                _mm256_load_si256((const __m256i *)(in + i * 64)),
                _mm256_load_si256((const __m256i *)(in + i * 64 + 32)));
        amx_transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            _mm512_store_si512(out + i * 32, r[i]);
    }
}

/* bf16 words 0..15 of x (half 0) or 16..31 (half 1) as f32. */
AMX_INLINE __m512 amx_widen(__m512i x, int half)
{
    __m256i words =
        half ? _mm512_extracti64x4_epi64(x, 1) : _mm512_castsi512_si256(x);
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

/* A stored bf16 operand as a packer sees it: `rows` x `columns`, rows `stride`
 * elements apart. What is asked for outside of it is 0. */
struct dawni_amx_source {
    const uint16_t *p;
    int64_t stride, rows, columns;
};

/* A: the 32 rows from `row` on, `steps` blocks from column k on. */
void dawni_amx_pack_strip(const struct dawni_amx_source *s, int64_t row,
                          int64_t k, int64_t steps, uint16_t *out);

/* A from A^T stored as (k,m): `strips` times 32 rows of A from `row` on, each
 * `steps` blocks, from column k on. sums, where not NULL, gets the sums of the
 * rows added to it, in order of columns. */
void dawni_amx_pack_strips_transposed(const struct dawni_amx_source *s,
                                      int64_t k, int64_t steps, int64_t row,
                                      int64_t strips, uint16_t *out,
                                      float *sums);

/* B stored as (k,n): `panels` times 32 columns from `column` on, each `steps`
 * blocks, from row k on. */
void dawni_amx_pack_panels(const struct dawni_amx_source *s, int64_t k,
                           int64_t steps, int64_t column, int64_t panels,
                           uint16_t *out);

/* The same of B stored as (n,k). */
void dawni_amx_pack_panels_transposed(const struct dawni_amx_source *s,
                                      int64_t k, int64_t steps, int64_t column,
                                      int64_t panels, uint16_t *out);

#endif
