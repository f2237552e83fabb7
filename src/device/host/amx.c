/* SPDX-License-Identifier: Apache-2.0 */
/* Whether AMX can be used, and the packing of operands: see amx.h, amx_tile.h.
 */
#include "device/host/amx.h"

#ifdef __x86_64__

#include "device/host/amx_tile.h"

#include <cpuid.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WIDE 4 /* blocks packed together: 256 bytes of a row */

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
        int64_t last = amx_min(first + WIDE, steps);
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
        amx_put_pairs(x, y, out + i * 16);
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
        int64_t last = amx_min(first + WIDE, strips);
        for (int64_t j = 0; j < steps; j++) {
            for (int64_t p = first * 2; p < last * 2; p++)
                pack_tile_transposed(s, k + j * AMX_STEP, row + p * 16,
                                     out + (p / 2 * steps + j) * AMX_BLOCK +
                                         p % 2 * 512,
                                     sums ? sums + p * 16 : NULL);
        }
    }
}

/* ---- weights ---- */

uint64_t dawni_amx_weight_bytes(int64_t n, int64_t k)
{
    return (uint64_t)(amx_ceil(n, 32) * amx_steps(k) * AMX_BLOCK) *
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
    for (int64_t j = 0; j < amx_steps(k); j++) {
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
    int64_t size = amx_steps(k) * AMX_BLOCK;

#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t p = 0; p < amx_ceil(n, 32); p++)
            pack_weight_panel(w, n, k, p, (uint16_t *)packed + p * size);
        _mm_sfence();
    }
}

#else

bool dawni_amx_usable(void)
{
    return false;
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
