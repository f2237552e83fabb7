/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define NORM(samples, rows, width)                                             \
    {                                                                          \
        .op = "rms_norm", .b = samples, .inputs = 1,                           \
        .in = {{.dims = 2, .shape = {rows, width}}}, .params = 1,              \
        .param = {{.dims = 1, .shape = {width}}}, .spread = 3                  \
    }

static const struct op_case cases[] = {
    NORM(1, 1, 2),  NORM(2, 3, 17),    NORM(1, 130, 64),
    NORM(3, 7, 33), NORM(2, 128, 768), NORM(1, 5, 1000),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8; plus another one, twice
     */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 2e-5, .bf16 = 0.006, .f32_of_bf16 = 2e-5},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_rms_norm, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
