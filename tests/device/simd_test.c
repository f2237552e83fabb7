/* SPDX-License-Identifier: Apache-2.0 */
/* The vector helpers, with each instruction set that this processor has. */
#include "device/host/host.h"
#include "device/host/simd.h"
#include "tap.h"

#include <math.h>

#define POINTS 2000003

struct map_task {
    const float *x;
    float *out;
};

DAWNI_INLINE void exps_body(const struct map_task *t, int64_t first,
                            int64_t last, bool bf16)
{
    (void)bf16;
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        t->out[i] = dawni_exp(t->x[i]);
}

DAWNI_RANGE(exps, map_task, DAWN_F32)

DAWNI_INLINE void reciprocals_body(const struct map_task *t, int64_t first,
                                   int64_t last, bool bf16)
{
    (void)bf16;
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        t->out[i] = dawni_reciprocal(t->x[i]);
}

DAWNI_RANGE(reciprocals, map_task, DAWN_F32)

DAWNI_INLINE void clamps_body(const struct map_task *t, int64_t first,
                              int64_t last, bool bf16)
{
    (void)bf16;
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        t->out[i] = dawni_clamp(t->x[i], -9, 7);
}

DAWNI_RANGE(clamps, map_task, DAWN_F32)

static double ulps(float got, double wanted)
{
    double unit = nextafterf((float)wanted, INFINITY) - (float)wanted;
    return fabs((double)got - wanted) / unit;
}

static float x[POINTS], out[POINTS];

static void test_exp(int level)
{
    double worst = 0;
    for (int i = 0; i < POINTS; i++)
        x[i] = -87 + 175.0f * (float)i / (POINTS - 1);
    exps(&(struct map_task){x, out}, 0, POINTS);
    for (int i = 0; i < POINTS; i++)
        worst = fmax(worst, ulps(out[i], exp((double)x[i])));
    ok(worst <= 2, "level %d: e^x is within 2 ulp (%.2f)", level, worst);
}

static void test_exp_ends(int level)
{
    const float ends[] = {-87.5f, -1e30f, -INFINITY, 0, NAN, INFINITY};
    exps(&(struct map_task){ends, out}, 0, 6);
    ok(out[0] == 0 && out[1] == 0 && out[2] == 0,
       "level %d: below -87 e^x is 0", level);
    ok(out[3] == 1, "level %d: e^0 is exact", level);
    ok(!isfinite(out[4]) && !isfinite(out[5]),
       "level %d: e^NaN and e^inf are not finite", level);
}

static void test_reciprocal(int level)
{
    double worst = 0;
    for (int i = 0; i < POINTS; i++)
        x[i] = (float)exp2(-60 + 160.0 * i / (POINTS - 1));
    reciprocals(&(struct map_task){x, out}, 0, POINTS);
    for (int i = 0; i < POINTS; i++)
        worst = fmax(worst, ulps(out[i], 1 / (double)x[i]));
    ok(worst <= 2, "level %d: 1/x is within 2 ulp (%.2f)", level, worst);
}

static void test_clamp(int level)
{
    const float in[] = {-INFINITY, -9.5f, -9, -8, -0.0f, 0, 6, 7, 7.5f, 1e38f};
    const float wanted[] = {-9, -9, -9, -8, 0, 0, 6, 7, 7, 7};
    bool right = true;
    clamps(&(struct map_task){in, out}, 0, 10);
    for (int i = 0; i < 10; i++)
        right = right && out[i] == wanted[i];
    ok(right, "level %d: numbers are kept between -9 and 7", level);
}

/* bf16 by the definition: the nearer neighbour, the even one of two */
static bool is_nearest(float y, uint16_t got)
{
    double below = dawni_from_bf16((uint16_t)(dawni_float_bits(y) >> 16));
    double above = dawni_from_bf16((uint16_t)((dawni_float_bits(y) >> 16) + 1));
    double value = dawni_from_bf16(got);
    if (fabs(y - below) != fabs(above - y))
        return value == (fabs(y - below) < fabs(above - y) ? below : above);
    return (value == below || value == above) && got % 2 == 0;
}

static void test_bf16(void)
{
    uint32_t wrong = 0, moved = 0;
    for (uint64_t u = 0; u < 0x7f7f0000u; u += 4093) {
        float y = dawni_bits_float((uint32_t)u);
        wrong += !is_nearest(y, dawni_to_bf16(y));
        wrong += !is_nearest(-y, dawni_to_bf16(-y));
    }
    for (uint32_t u = 0; u < 0x10000; u++) {
        float y = dawni_from_bf16((uint16_t)u);
        moved += !isnan(y) && dawni_to_bf16(y) != u;
    }
    is_int(wrong, 0, "rounding to bf16 is to nearest, ties to even");
    is_int(moved, 0, "every bf16 number is kept as it is");
    is_int(dawni_to_bf16(0x1.01p0f), 0x3f80, "a tie goes down to even");
    is_int(dawni_to_bf16(0x1.03p0f), 0x3f82, "a tie goes up to even");
    is_int(dawni_to_bf16(0x1.fffffep127f), 0x7f80, "the largest f32 is inf");
    ok(isnan(dawni_from_bf16(dawni_to_bf16(NAN))), "NaN stays NaN");
    ok(isnan(dawni_from_bf16(dawni_to_bf16(dawni_bits_float(0x7f800001)))),
       "a NaN of low bits only stays NaN");
}

int main(void)
{
    enum dawni_simd most = dawni_simd_level();
    plan_lazy();
    for (int level = DAWNI_SIMD_BASE; level <= (int)most; level++) {
        dawni_simd_limit((enum dawni_simd)level);
        is_int(dawni_simd_level(), level, "level %d can be chosen", level);
        test_exp(level);
        test_exp_ends(level);
        test_reciprocal(level);
        test_clamp(level);
    }
    test_bf16();
    return done_testing();
}
