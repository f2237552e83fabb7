/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: Philox4x32-10 (Salmon et al., 2011). A number
 * is a function of its key and counter only, so whoever needs it again, in any
 * order and on any stage, draws the same.
 */
#ifndef DAWNI_COMMON_RANDOM_H
#define DAWNI_COMMON_RANDOM_H

#include <Random123/philox.h>
#include <math.h>
#include <stdint.h>

struct dawni_u32x4 {
    uint32_t v[4];
};

/* key: the seed; hi and lo: the counter, what the numbers are for. */
static inline struct dawni_u32x4 dawni_philox(uint64_t key, uint64_t hi,
                                              uint64_t lo)
{
    philox4x32_key_t k = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    philox4x32_ctr_t c = {{(uint32_t)lo, (uint32_t)(lo >> 32), (uint32_t)hi,
                           (uint32_t)(hi >> 32)}};
    philox4x32_ctr_t r = philox4x32(c, k);

    return (struct dawni_u32x4){{r.v[0], r.v[1], r.v[2], r.v[3]}};
}

/* In (0, 1), exact. */
static inline double dawni_uniform(uint32_t bits)
{
    return ((double)bits + 0.5) * 0x1p-32;
}

/* In [0, 1), a multiple of 2^-24, exact. */
static inline float dawni_uniform_f32(uint32_t bits)
{
    return (float)(bits >> 8) * 0x1p-24f;
}

/* Four independent normal numbers, mean 0 and deviation 1 (Box-Muller). */
static inline void dawni_normal(struct dawni_u32x4 bits, double out[4])
{
    for (int i = 0; i < 4; i += 2) {
        double r = sqrt(-2.0 * log(dawni_uniform(bits.v[i])));
        double a = 6.283185307179586476925 * dawni_uniform(bits.v[i + 1]);
        out[i] = r * cos(a);
        out[i + 1] = r * sin(a);
    }
}

#endif
