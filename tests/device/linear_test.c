/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define LINEAR(samples, rows, k, n, params_)                                   \
    {                                                                          \
        .op = "linear", .b = samples, .inputs = 1,                             \
        .in = {{.dims = 2, .shape = {rows, k}}}, .params = params_, .param = { \
            {.dims = 2, .shape = {n, k}},                                      \
            {.dims = 1, .shape = {n}}                                          \
        }                                                                      \
    }

/* up to one tile, ragged edges, several groups of columns and of rows, and a
 * long sum in each of the three directions */
static const struct op_case cases[] = {
    LINEAR(1, 1, 1, 1, 2),      LINEAR(2, 3, 17, 5, 2),
    LINEAR(3, 7, 64, 96, 1),    LINEAR(2, 61, 97, 131, 2),
    LINEAR(2, 64, 256, 192, 2), LINEAR(1, 16, 64, 517, 1),
    LINEAR(3, 11, 33, 65, 2),   LINEAR(1, 130, 257, 31, 1),
    LINEAR(2, 64, 192, 576, 2), LINEAR(1, 35, 3100, 70, 2),
    LINEAR(1, 35, 70, 3100, 2), LINEAR(2, 550, 40, 130, 2),
};

int main(void)
{
    /* oneDNN multiplies bf16 exactly and adds in f32; results are rounded once
     */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004, .f32_of_bf16 = 2e-5},
    };
    plan_lazy();
    try_cases(&dawni_host_linear, cases, sizeof cases / sizeof cases[0], &opts);
    return done_testing();
}
