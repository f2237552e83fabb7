/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define LAYER_NORM(samples, rows, width)                                       \
    {                                                                          \
        .op = "layer_norm", .b = samples, .inputs = 1,                         \
        .in = {{.dims = 2, .shape = {rows, width}}}, .params = 2,              \
        .param = {{.dims = 1, .shape = {width}},                               \
                  {.dims = 1, .shape = {width}}},                              \
        .attrs = 1, .attr = {{"eps", 1e-5}}, .spread = 3                       \
    }

static const struct op_case cases[] = {
    LAYER_NORM(1, 1, 8),   LAYER_NORM(2, 3, 17),    LAYER_NORM(3, 7, 64),
    LAYER_NORM(2, 61, 97), LAYER_NORM(5, 211, 130), LAYER_NORM(1, 16, 768),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8; statistics and parameters
     * are f32 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004, .f32_of_bf16 = 1e-5},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_layer_norm, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
