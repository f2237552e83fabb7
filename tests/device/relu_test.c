/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define RELU(samples, rows, width)                                             \
    {                                                                          \
        .op = "relu", .b = samples, .inputs = 1, .in = {                       \
            {.dims = 2, .shape = {rows, width}}                                \
        }                                                                      \
    }

static const struct op_case cases[] = {
    RELU(1, 1, 1),
    RELU(2, 3, 17),
    RELU(3, 50, 70),
};

int main(void)
{
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-7, .bf16 = 0.004, .f32_of_bf16 = 1e-7},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_relu, cases, sizeof cases / sizeof cases[0], &opts);
    return done_testing();
}
