/* SPDX-License-Identifier: Apache-2.0 */
/* A block of a product, 32 x 32, and what follows it, for amx_product.c and
 * amx_gradient.c. What follows (the "finish": bias, addend, conversion, store)
 * is done while the next block is in the tiles, beside their work.
 */
#ifndef DAWNI_DEVICE_HOST_AMX_BLOCK_H
#define DAWNI_DEVICE_HOST_AMX_BLOCK_H

#include "device/host/amx_tile.h"

enum amx_kind { AMX_TO_BF16, AMX_TO_F32 };

/* What is to be done with a block of C whose sums lie in `sums`. */
struct amx_finish {
    const float *sums;
    int rows; /* 0: nothing to do */
    __mmask32 columns;
    int64_t c_row;
    void *c;
    const float *bias;   /* AMX_TO_BF16; NULL: none */
    const uint16_t *add; /* AMX_TO_BF16; NULL: none */
    bool accumulate;     /* AMX_TO_F32 */
    bool stream;         /* AMX_TO_F32: past the caches; whole aligned rows */
};

struct amx_finish_bias {
    __m512 low, high;
};

AMX_INLINE struct amx_finish_bias amx_finish_bias(const struct amx_finish *f)
{
    struct amx_finish_bias b = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    if (f->bias) {
        b.low = _mm512_maskz_loadu_ps((__mmask16)f->columns, f->bias);
        b.high =
            _mm512_maskz_loadu_ps((__mmask16)(f->columns >> 16), f->bias + 16);
    }
    return b;
}

AMX_INLINE void amx_finish_bf16(const struct amx_finish *f,
                                struct amx_finish_bias b, int64_t i)
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

AMX_INLINE void amx_finish_f32(const struct amx_finish *f, int64_t i)
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

AMX_INLINE void amx_finish_rows(const struct amx_finish *f,
                                struct amx_finish_bias b, int64_t first,
                                int64_t last, enum amx_kind kind)
{
    for (int64_t i = first; i < last; i++) {
        if (kind == AMX_TO_BF16)
            amx_finish_bf16(f, b, i);
        else
            amx_finish_f32(f, i);
    }
}

/* sums (+)= A strip * B panel over `steps` steps; meanwhile, finish f. */
AMX_INLINE void amx_block(const uint16_t *a, const uint16_t *b, int64_t steps,
                          float *sums, bool first,
                          const struct amx_finish *pending, enum amx_kind kind)
{
    const struct amx_finish copy = *pending,
                            *f = &copy; /* stays in registers */
    struct amx_finish_bias bias = amx_finish_bias(f);
    int64_t step = 0, row = 0;

    if (first)
        amx_c_zero();
    else
        amx_c_load(sums);
    for (; step < steps && row < f->rows; step++, row += 2) {
        amx_step(a + step * AMX_BLOCK, b + step * AMX_BLOCK);
        amx_finish_rows(f, bias, row, amx_min(row + 2, f->rows), kind);
    }
    for (; step < steps; step++)
        amx_step(a + step * AMX_BLOCK, b + step * AMX_BLOCK);
    amx_finish_rows(f, bias, row, f->rows, kind);
    amx_c_store(sums);
}

#endif
