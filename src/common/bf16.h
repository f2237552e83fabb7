/* SPDX-License-Identifier: Apache-2.0 */
/* f32 and bf16, its upper half. */
#ifndef DAWNI_COMMON_BF16_H
#define DAWNI_COMMON_BF16_H

#include <stdint.h>
#include <string.h>

/* Always, so that kernels built for an instruction set stay so. */
#define DAWNI_INLINE static inline __attribute__((always_inline))

DAWNI_INLINE uint32_t dawni_float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

DAWNI_INLINE float dawni_bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

DAWNI_INLINE float dawni_from_bf16(uint16_t x)
{
    return dawni_bits_float((uint32_t)x << 16);
}

/* Round to nearest, ties to even; a NaN stays a NaN. */
DAWNI_INLINE uint16_t dawni_to_bf16(float x)
{
    uint32_t u = dawni_float_bits(x);
    uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (uint16_t)(x != x ? 0x7fc0 : rounded);
}

#endif
