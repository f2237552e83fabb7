/* SPDX-License-Identifier: Apache-2.0 */
/* Vector code without intrinsics: loops that the compiler vectorises, built for
 * three instruction sets and chosen when the program runs.
 *
 * A kernel's inner part is a function with the signature
 *     DAWNI_INLINE void NAME_body(const struct TASK *t, int64_t first,
 *                                 int64_t last, bool bf16)
 * that works on indices [first, last) of a task and reads and writes tensors
 * with dawni_get and dawni_put, to which it hands `bf16` on.
 * DAWNI_RANGE(NAME, TASK, DTYPE) then defines the dawni_range_fn NAME. DTYPE is
 * an expression in t, the tensors' enum dawn_dtype. Loops that
 * should become vector code carry `#pragma omp simd`.
 */
#ifndef DAWNI_DEVICE_HOST_SIMD_H
#define DAWNI_DEVICE_HOST_SIMD_H

#include "common/bf16.h"

#include <dawnpiper/graph.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum dawni_simd { DAWNI_SIMD_BASE, DAWNI_SIMD_AVX2, DAWNI_SIMD_AVX512 };

/* The widest set that this processor has. */
enum dawni_simd dawni_simd_level(void);

/* Use at most that set from now on; for tests. */
void dawni_simd_limit(enum dawni_simd level);

#ifdef __x86_64__
#define DAWNI_AVX2 __attribute__((target("avx2,fma,bmi2,f16c")))
#ifdef __clang__
#define DAWNI_WIDE
#else
#define DAWNI_WIDE ",prefer-vector-width=512"
#endif
#define DAWNI_AVX512                                                           \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi2,"  \
                          "f16c" DAWNI_WIDE)))
#else
#define DAWNI_AVX2
#define DAWNI_AVX512
#endif

#define DAWNI_RANGE_FOR(name, task_type, set, attribute)                       \
    attribute static void name##_##set(const struct task_type *t,              \
                                       int64_t first, int64_t last, bool bf16) \
    {                                                                          \
        if (bf16)                                                              \
            name##_body(t, first, last, true);                                 \
        else                                                                   \
            name##_body(t, first, last, false);                                \
    }

#define DAWNI_RANGE(name, task_type, dtype)                                    \
    DAWNI_RANGE_FOR(name, task_type, base, )                                   \
    DAWNI_RANGE_FOR(name, task_type, avx2, DAWNI_AVX2)                         \
    DAWNI_RANGE_FOR(name, task_type, avx512, DAWNI_AVX512)                     \
    static void name(const void *task, int64_t first, int64_t last)            \
    {                                                                          \
        const struct task_type *t = task;                                      \
        switch (dawni_simd_level()) {                                          \
        case DAWNI_SIMD_AVX512:                                                \
            name##_avx512(t, first, last, (dtype) == DAWN_BF16);               \
            return;                                                            \
        case DAWNI_SIMD_AVX2:                                                  \
            name##_avx2(t, first, last, (dtype) == DAWN_BF16);                 \
            return;                                                            \
        case DAWNI_SIMD_BASE:                                                  \
            name##_base(t, first, last, (dtype) == DAWN_BF16);                 \
            return;                                                            \
        }                                                                      \
    }

/* Element i of a tensor, bf16 or f32, as f32. */
DAWNI_INLINE float dawni_get(const void *x, int64_t i, bool bf16)
{
    return bf16 ? dawni_from_bf16(((const uint16_t *)x)[i])
                : ((const float *)x)[i];
}

DAWNI_INLINE void dawni_put(void *x, int64_t i, float value, bool bf16)
{
    if (bf16)
        ((uint16_t *)x)[i] = dawni_to_bf16(value);
    else
        ((float *)x)[i] = value;
}

/* Address of element i. */
DAWNI_INLINE const void *dawni_at(const void *x, int64_t i, bool bf16)
{
    return (const char *)x + i * (bf16 ? 2 : 4);
}

DAWNI_INLINE void *dawni_at_mut(void *x, int64_t i, bool bf16)
{
    return (char *)x + i * (bf16 ? 2 : 4);
}

/* e^x, within 2 ulp for -87 <= x <= 88. Nothing useful beyond. */
DAWNI_INLINE float dawni_exp_within(float x)
{
    const float magic = 0x1.8p+23f;             /* rounds to an integer */
    float shifted = x * 0x1.715476p+0f + magic; /* log2(e) */
    float n = shifted - magic;
    float r = x - n * 0x1.62e4p-1f; /* ln 2 in two parts */
    r = r - n * 0x1.7f7d1cp-20f;
    float q = 0x1.6a215ap-10f;
    q = q * r + 0x1.123b9ap-7f;
    q = q * r + 0x1.5558fcp-5f;
    q = q * r + 0x1.55549p-3f;
    q = q * r + 0x1.fffffcp-2f;
    float p = q * (r * r) + r + 1.0f;
    /* the low bits of `shifted` hold n */
    return p * dawni_bits_float((dawni_float_bits(shifted) + 127) << 23);
}

/* The same for all x <= 88: 0 below -87, NaN for NaN. */
DAWNI_INLINE float dawni_exp(float x)
{
    float e = dawni_exp_within(x);
    return x < -87.0f ? 0.0f : e;
}

/* 1 / x for x in [2^-60, 2^100], within 2 ulp: a guess from the bits and
 * Newton's steps take a quarter of the time of a division. */
DAWNI_INLINE float dawni_reciprocal(float x)
{
    float y = dawni_bits_float(0x7ef311c7 - dawni_float_bits(x));
    y = y + y * (1 - x * y);
    y = y + y * (1 - x * y);
    return y + y * (1 - x * y);
}

/* x between low < 0 and high > 0; a NaN becomes one of them. Compares bits,
 * which is one instruction where comparing numbers is three. */
DAWNI_INLINE float dawni_clamp(float x, float low, float high)
{
    uint32_t u = dawni_float_bits(x), least = dawni_float_bits(low);
    u = u < least ? u : least;
    int32_t s = (int32_t)u, most = (int32_t)dawni_float_bits(high);
    return dawni_bits_float((uint32_t)(s < most ? s : most));
}

#endif
