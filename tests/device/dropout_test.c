/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define DROPOUT(samples, rows, width, p)                                       \
    {                                                                          \
        .op = "dropout", .b = samples, .inputs = 1,                            \
        .in = {{.dims = 2, .shape = {rows, width}}}, .attrs = 1, .attr = {     \
            {"p", p}                                                           \
        }                                                                      \
    }

static const struct op_case cases[] = {
    DROPOUT(1, 1, 1, 0.5),     DROPOUT(2, 3, 17, 0.1),  DROPOUT(3, 16, 64, 0.0),
    DROPOUT(2, 61, 397, 0.25), DROPOUT(2, 8, 8, 0.999),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-6, .bf16 = 0.004},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_dropout, cases, sizeof cases / sizeof cases[0],
              &opts);
    return done_testing();
}
