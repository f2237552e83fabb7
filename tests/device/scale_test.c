/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define SCALE(samples, rows, width, by_)                                       \
    {                                                                          \
        .op = "scale", .b = samples, .inputs = 1,                              \
        .in = {{.dims = 2, .shape = {rows, width}}}, .attrs = 1, .attr = {     \
            {"by", by_}                                                        \
        }                                                                      \
    }

static const struct op_case cases[] = {
    SCALE(1, 1, 1, 3),
    SCALE(2, 3, 17, 0.25),
    SCALE(3, 50, 70, 0.0360844),
};

int main(void)
{
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-6, .bf16 = 0.004, .f32_of_bf16 = 1e-6},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_scale, cases, sizeof cases / sizeof cases[0], &opts);
    return done_testing();
}
