/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define ATTENTION(samples, places, heads_, d, causal_)                         \
    {                                                                          \
        .op = "attention", .b = samples, .inputs = 1,                          \
        .in = {{.dims = 2, .shape = {places, 3 * (heads_) * (d)}}},            \
        .attrs = 2, .attr = {{"heads", heads_}, {"causal", causal_}},          \
        .spread = 2                                                            \
    }

static const struct op_case cases[] = {
    ATTENTION(1, 1, 1, 8, 1),    ATTENTION(2, 5, 2, 8, 1),
    ATTENTION(2, 17, 3, 24, 1),  ATTENTION(1, 64, 4, 64, 1),
    ATTENTION(2, 61, 2, 16, 0),  ATTENTION(1, 150, 2, 32, 1),
    ATTENTION(1, 256, 1, 64, 1), ATTENTION(2, 33, 1, 7, 1),
    ATTENTION(1, 97, 3, 24, 1),  ATTENTION(2, 33, 2, 80, 0),
    ATTENTION(1, 45, 1, 256, 1), ATTENTION(1, 200, 2, 40, 1),
};

int main(void)
{
    /* probabilities and their gradients are rounded to bf16 on the way */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 2e-5, .bf16 = 0.02, .f32_of_bf16 = 1e-3},
    };
    plan_lazy();
    try_cases(&dawni_host_attention, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
