/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define CROSS_ENTROPY(samples, rows, vocab, spread_)                           \
    {                                                                          \
        .op = "cross_entropy", .b = samples, .inputs = 2,                      \
        .in = {{.dims = 2, .shape = {rows, vocab}},                            \
               {.dims = 1, .shape = {rows}, .below = vocab}},                  \
        .spread = spread_                                                      \
    }

static const struct op_case cases[] = {
    CROSS_ENTROPY(1, 1, 2, 1),     CROSS_ENTROPY(2, 3, 17, 5),
    CROSS_ENTROPY(3, 8, 256, 30),  CROSS_ENTROPY(2, 5, 2049, 3),
    CROSS_ENTROPY(1, 3, 50257, 8),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8; loss and log-sum-exp are
     * f32 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004, .f32_of_bf16 = 1e-5},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_cross_entropy, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
