/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define ROWS(t, width)                                                         \
    {                                                                          \
        .dims = 2, .shape = { t, width }                                       \
    }
#define APART(samples, queries, keys, heads_, d, ...)                          \
    {                                                                          \
        .op = "attend", .b = samples, .inputs = 3,                             \
        .in = {ROWS(queries, (heads_) * (d)), ROWS(keys, (heads_) * (d)),      \
               ROWS(keys, (heads_) * (d))},                                    \
        .attrs = 3, .attr = {{"heads", heads_}, __VA_ARGS__}, .spread = 0.8    \
    }
#define BIASED(samples, queries, keys, heads_, d, ...)                         \
    {                                                                          \
        .op = "attend", .b = samples, .inputs = 4,                             \
        .in = {ROWS(queries, (heads_) * (d)),                                  \
               ROWS(keys, (heads_) * (d)),                                     \
               ROWS(keys, (heads_) * (d)),                                     \
               {.dims = 2,                                                     \
                .shape = {heads_, (queries) + (keys)-1},                       \
                .fixed = true}},                                               \
        .attrs = 3, .attr = {{"heads", heads_}, __VA_ARGS__}, .spread = 0.8    \
    }
#define CAUSAL                                                                 \
    {                                                                          \
        "causal", 1                                                            \
    }
#define ALL                                                                    \
    {                                                                          \
        "causal", 0                                                            \
    }
#define SCALED                                                                 \
    {                                                                          \
        "scaled", 1                                                            \
    }
#define BARE                                                                   \
    {                                                                          \
        "scaled", 0                                                            \
    }

static const struct op_case cases[] = {
    APART(2, 2, 3, 1, 8, ALL, SCALED),
    APART(2, 5, 9, 2, 8, ALL, SCALED),
    APART(1, 70, 33, 2, 64, ALL, BARE),
    APART(2, 31, 130, 3, 24, ALL, SCALED),
    APART(1, 50, 50, 2, 16, CAUSAL, SCALED),
    BIASED(2, 2, 3, 1, 8, ALL, BARE),
    BIASED(2, 5, 9, 2, 8, ALL, SCALED),
    BIASED(2, 33, 33, 3, 16, CAUSAL, BARE),
    BIASED(1, 64, 64, 4, 64, ALL, SCALED),
    BIASED(3, 97, 97, 2, 40, CAUSAL, SCALED),
    BIASED(1, 45, 100, 2, 32, ALL, BARE),
    BIASED(1, 100, 45, 1, 32, ALL, BARE),
};

int main(void)
{
    /* probabilities and their gradients are rounded to bf16 on the way */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 2e-5, .bf16 = 0.02, .f32_of_bf16 = 0.015},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_attend, cases, sizeof cases / sizeof cases[0], &opts);
    return done_testing();
}
