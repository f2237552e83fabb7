/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define SOFTMAX(samples, heads, places, causal_)                               \
    {                                                                          \
        .op = "softmax", .b = samples, .inputs = 1,                            \
        .in = {{.dims = 3, .shape = {heads, places, places}}}, .attrs = 1,     \
        .attr = {{"causal", causal_}}, .spread = 4                             \
    }

static const struct op_case cases[] = {
    SOFTMAX(1, 1, 1, 1),  SOFTMAX(2, 2, 5, 1),   SOFTMAX(2, 3, 17, 0),
    SOFTMAX(1, 4, 64, 1), SOFTMAX(1, 2, 131, 1),
};

int main(void)
{
    /* backward starts from probabilities already rounded to bf16 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.01},
    };
    plan_lazy();
    try_cases(&dawni_host_softmax, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
