/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define GELU(samples, rows, width, spread_)                                    \
    {                                                                          \
        .op = "gelu", .b = samples, .inputs = 1,                               \
        .in = {{.dims = 2, .shape = {rows, width}}}, .spread = spread_         \
    }

static const struct op_case cases[] = {
    GELU(1, 1, 1, 1),    GELU(2, 3, 17, 4),   GELU(3, 5, 64, 12),
    GELU(2, 61, 197, 3), GELU(1, 64, 768, 1), GELU(1, 2, 33, 1000),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_gelu, cases, sizeof cases / sizeof cases[0], &opts);
    return done_testing();
}
