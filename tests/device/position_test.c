/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define POSITION(samples, places, width, rows)                                 \
    {                                                                          \
        .op = "position", .b = samples, .inputs = 1,                           \
        .in = {{.dims = 2, .shape = {places, width}}}, .params = 1, .param = { \
            {.dims = 2, .shape = {rows, width}}                                \
        }                                                                      \
    }

static const struct op_case cases[] = {
    POSITION(1, 1, 1, 1),
    POSITION(2, 3, 17, 3),
    POSITION(3, 16, 64, 40),
    POSITION(7, 61, 97, 100),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-6, .bf16 = 0.004, .f32_of_bf16 = 1e-6},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_position, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
