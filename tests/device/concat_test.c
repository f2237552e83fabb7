/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

static const struct op_case cases[] = {
    {.op = "concat", .b = 2, .inputs = 2, .in = {{1, {1}, 0}, {1, {1}, 0}}},
    {.op = "concat",
     .b = 3,
     .inputs = 3,
     .in = {{3, {4, 5, 17}, 0}, {3, {4, 5, 1}, 0}, {3, {4, 5, 40}, 0}}},
    {.op = "concat",
     .b = 2,
     .inputs = 4,
     .in = {{3, {7, 7, 64}, 0},
            {3, {7, 7, 64}, 0},
            {3, {7, 7, 64}, 0},
            {3, {7, 7, 64}, 0}}},
};

int main(void)
{
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-7, .bf16 = 0.004, .f32_of_bf16 = 0},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_concat, cases, sizeof cases / sizeof cases[0], &opts);
    return done_testing();
}
