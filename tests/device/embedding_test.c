/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define EMBEDDING(samples, tokens, vocab, width)                               \
    {                                                                          \
        .op = "embedding", .b = samples, .inputs = 1,                          \
        .in = {{.dims = 1, .shape = {tokens}, .below = vocab}}, .params = 1,   \
        .param = {                                                             \
            {.dims = 2, .shape = {vocab, width}}                               \
        }                                                                      \
    }

static const struct op_case cases[] = {
    EMBEDDING(1, 1, 1, 1),
    EMBEDDING(2, 9, 5, 17),
    EMBEDDING(3, 40, 61, 64),
    EMBEDDING(2, 61, 5003, 31),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-6, .bf16 = 0.004, .f32_of_bf16 = 1e-6},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_embedding, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
