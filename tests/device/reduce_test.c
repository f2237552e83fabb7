/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of squares, and the search for what is not finite. */
#include "device/harness.h"
#include "device/host/host.h"
#include "device/host/simd.h"
#include "device/host/threads.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>

static const int64_t sizes[] = {0, 1, 5, 16384, 16385, 5000003};
#define SIZES (sizeof sizes / sizeof sizes[0])
#define MOST 5000003

static float *x;

static void test_squares(void)
{
    for (size_t i = 0; i < SIZES; i++) {
        double wanted = 0;
        for (int64_t j = 0; j < sizes[i]; j++)
            wanted += (double)x[j] * (double)x[j];
        dawni_host_setup(1, 0, 1, NULL);
        double one = dawni_host_sum_squares(x, sizes[i]);
        dawni_host_setup(2, 0, 1, NULL);
        is_near(dawni_host_sum_squares(x, sizes[i]), wanted, 1e-12 * wanted,
                "the squares of %lld add up", (long long)sizes[i]);
        ok(dawni_host_sum_squares(x, sizes[i]) == one,
           "the squares of %lld have one sum for 1 and 2 threads",
           (long long)sizes[i]);
    }
}

static void test_finite(int level)
{
    const int64_t at[] = {0, 17, 16383, 16384, MOST - 1};
    const float evil[] = {NAN, INFINITY, -INFINITY, NAN, INFINITY};
    is_int(dawni_host_find_nonfinite(x, DAWN_F32, MOST), -1,
           "level %d: finite numbers only", level);
    for (int i = 4; i >= 0; i--) {
        float kept = x[at[i]];
        x[at[i]] = evil[i];
        x[MOST - 1] = NAN;
        is_int(dawni_host_find_nonfinite(x, DAWN_F32, MOST), at[i],
               "level %d: the first evil number is at %lld", level,
               (long long)at[i]);
        x[MOST - 1] = 0;
        x[at[i]] = kept;
    }
}

static void test_finite_bf16(int level)
{
    uint16_t z[100];
    for (int i = 0; i < 100; i++)
        z[i] = dawni_to_bf16(3e38f);
    is_int(dawni_host_find_nonfinite(z, DAWN_BF16, 100), -1,
           "level %d: large bf16 numbers are finite", level);
    z[61] = dawni_to_bf16(-INFINITY);
    z[62] = dawni_to_bf16(NAN);
    is_int(dawni_host_find_nonfinite(z, DAWN_BF16, 100), 61,
           "level %d: the first evil bf16 number is found", level);
    is_int(dawni_host_find_nonfinite(z, DAWN_I32, 50), -1,
           "level %d: whole numbers are finite", level);
}

int main(void)
{
    enum dawni_simd most = dawni_simd_level();
    x = malloc(MOST * sizeof *x);
    if (!x)
        return 1;
    plan_lazy();
    for (int level = DAWNI_SIMD_BASE; level <= (int)most; level++) {
        dawni_simd_limit((enum dawni_simd)level);
        for (int64_t i = 0; i < MOST; i++)
            x[i] = (float)case_number(1, (uint64_t)i);
        test_squares();
        test_finite(level);
        test_finite_bf16(level);
    }
    free(x);
    return done_testing();
}
