/* SPDX-License-Identifier: Apache-2.0 */
/* Which vector instructions this processor has. */
#include "device/host/simd.h"

static enum dawni_simd limit = DAWNI_SIMD_AVX512;

static enum dawni_simd detect(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return DAWNI_SIMD_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return DAWNI_SIMD_AVX2;
#endif
    return DAWNI_SIMD_BASE;
}

enum dawni_simd dawni_simd_level(void)
{
    enum dawni_simd level = detect();
    return level < limit ? level : limit;
}

void dawni_simd_limit(enum dawni_simd level)
{
    limit = level;
}
