/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "device/host/simd.h"
#include "tap.h"

#define ADD(samples, rows, width)                                              \
    {                                                                          \
        .op = "add", .b = samples, .inputs = 2, .in = {                        \
            {.dims = 2, .shape = {rows, width}},                               \
            {.dims = 2, .shape = {rows, width}}                                \
        }                                                                      \
    }

static const struct op_case cases[] = {
    ADD(1, 1, 1),
    ADD(2, 3, 17),
    ADD(3, 5, 64),
    ADD(2, 61, 397),
};

#define N 50001

/* The device's own sum, in place of either operand. */
static void test_sum(void)
{
    static float x[N], y[N];
    static uint16_t xb[N], yb[N];
    int wrong = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (float)case_number(1, (uint64_t)i);
        y[i] = (float)case_number(2, (uint64_t)i);
        xb[i] = dawni_to_bf16(x[i]);
        yb[i] = dawni_to_bf16(y[i]);
    }
    dawni_host_sum(y, x, y, DAWN_F32, N - 1);
    dawni_host_sum(xb, xb, yb, DAWN_BF16, N - 1);
    for (int i = 0; i < N - 1; i++) {
        float b = (float)case_number(2, (uint64_t)i);
        float bb = dawni_from_bf16(yb[i]);
        wrong += y[i] != x[i] + b;
        wrong +=
            xb[i] != dawni_to_bf16(dawni_from_bf16(dawni_to_bf16(x[i])) + bb);
    }
    is_int(wrong, 0, "vectors add up, in f32 and bf16");
    ok(y[N - 1] == (float)case_number(2, N - 1) &&
           xb[N - 1] == dawni_to_bf16(x[N - 1]),
       "and nothing beyond their ends");
}

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-6, .bf16 = 0.004},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_add, cases, sizeof cases / sizeof cases[0], &opts);
    test_sum();
    return done_testing();
}
