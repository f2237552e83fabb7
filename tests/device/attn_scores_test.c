/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define SCORES(samples, places, heads_, d)                                     \
    {                                                                          \
        .op = "attn_scores", .b = samples, .inputs = 1,                        \
        .in = {{.dims = 2, .shape = {places, 3 * (heads_) * (d)}}},            \
        .attrs = 1, .attr = {                                                  \
            {"heads", heads_}                                                  \
        }                                                                      \
    }

static const struct op_case cases[] = {
    SCORES(1, 1, 1, 8),   SCORES(2, 5, 2, 8),   SCORES(2, 17, 3, 24),
    SCORES(1, 64, 4, 64), SCORES(2, 61, 2, 16),
};

int main(void)
{
    /* oneDNN multiplies bf16 exactly and adds in f32; results are rounded once
     */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004},
    };
    plan_lazy();
    try_cases(&dawni_host_attn_scores, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
