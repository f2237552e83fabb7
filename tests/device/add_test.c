/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define ADD(samples, rows, width)                                              \
    {                                                                          \
        .op = "add", .b = samples, .inputs = 2, .in = {                        \
            {.dims = 2, .shape = {rows, width}},                               \
            {.dims = 2, .shape = {rows, width}}                                \
        }                                                                      \
    }

static const struct op_case cases[] = {
    ADD(1, 1, 1),
    ADD(2, 3, 17),
    ADD(3, 5, 64),
    ADD(2, 61, 397),
};

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-6, .bf16 = 0.004},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_add, cases, sizeof cases / sizeof cases[0], &opts);
    return done_testing();
}
