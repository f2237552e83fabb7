/* SPDX-License-Identifier: Apache-2.0 */
/* Where OpenMP gives fewer threads than are asked for, products are right:
 * oneDNN divides its work by the number that it is told, and what nobody does
 * stays undone.
 */
#include "device/harness.h"
#include "device/host/host.h"
#include "device/host/threads.h"
#include "tap.h"

#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

static const struct op_case linear = {
    .op = "linear",
    .b = 2,
    .inputs = 1,
    .in = {{.dims = 2, .shape = {61, 97}}},
    .params = 2,
    .param = {{.dims = 2, .shape = {131, 97}}, {.dims = 1, .shape = {131}}},
};

int main(int argc, char **argv)
{
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004, .f32_of_bf16 = 2e-5},
    };

    (void)argc;
    if (!getenv("OMP_THREAD_LIMIT")) { /* is read before main */
        setenv("OMP_THREAD_LIMIT", "1", 1);
        execv("/proc/self/exe", argv);
    }
    plan_lazy();
    is_int(omp_get_thread_limit(), 1, "OpenMP gives one thread");
    is_int(dawni_host_setup(2, 0, 1, NULL), DAWN_OK, "two are asked for");
    is_int(omp_get_max_threads(), 1, "one is used");
    try_cases(&dawni_host_linear, &linear, 1, &opts);
    return done_testing();
}
