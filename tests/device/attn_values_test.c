/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define VALUES(samples, places, heads_, d)                                     \
    {                                                                          \
        .op = "attn_values", .b = samples, .inputs = 2,                        \
        .in = {{.dims = 3, .shape = {heads_, places, places}},                 \
               {.dims = 2, .shape = {places, 3 * (heads_) * (d)}}},            \
        .attrs = 1, .attr = {                                                  \
            {"heads", heads_}                                                  \
        }                                                                      \
    }

static const struct op_case cases[] = {
    VALUES(1, 1, 1, 8),   VALUES(2, 5, 2, 8),   VALUES(2, 17, 3, 24),
    VALUES(1, 64, 4, 64), VALUES(2, 61, 2, 16),
};

int main(void)
{
    /* oneDNN multiplies bf16 exactly and adds in f32; results are rounded once
     */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004},
    };
    plan_lazy();
    try_cases(&dawni_host_attn_values, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
