/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#include <math.h>

#define POOL(kind, samples, height, width, channels, side, step, edge)         \
    {                                                                          \
        .op = kind, .b = samples, .inputs = 1,                                 \
        .in = {{.dims = 3, .shape = {height, width, channels}}}, .attrs = 3,   \
        .attr = {                                                              \
            {"size", side},                                                    \
            {"stride", step},                                                  \
            {"pad", edge}                                                      \
        }                                                                      \
    }

#define CASES(kind)                                                            \
    POOL(kind, 1, 1, 1, 1, 1, 1, 0), POOL(kind, 2, 6, 8, 17, 2, 2, 0),         \
        POOL(kind, 2, 7, 5, 64, 2, 2, 0), POOL(kind, 3, 6, 7, 33, 3, 2, 1),    \
        POOL(kind, 2, 6, 7, 300, 3, 1, 1), POOL(kind, 2, 2, 1, 8, 3, 1, 1),    \
        POOL(kind, 2, 9, 9, 5, 2, 3, 1), POOL(kind, 1, 5, 9, 7, 5, 3, 2)

static const struct op_case max_cases[] = {CASES("max_pool")};
static const struct op_case avg_cases[] = {CASES("avg_pool")};

#define MEAN(samples, height, width, channels)                                 \
    {                                                                          \
        .op = "mean_pool", .b = samples, .inputs = 1, .in = {                  \
            {.dims = 3, .shape = {height, width, channels}}                    \
        }                                                                      \
    }

static const struct op_case mean_cases[] = {MEAN(1, 1, 1, 1), MEAN(2, 7, 7, 65),
                                            MEAN(3, 2, 5, 300)};

/* One window of four pixels. */
static void try_max(const float x[4], float wanted, int which, const char *what)
{
    static const struct op_case c = POOL("max_pool", 1, 2, 2, 1, 2, 2, 0);
    struct dawn_graph *graph = case_graph(&c, DAWN_F32);
    struct dawni_kernel *kernel = NULL;
    float y = 0;
    uint8_t at = 99;
    const struct dawn_op_args args = {.microbatch = 1,
                                      .in = (const void *const[]){x},
                                      .out = (void *const[]){&y, &at}};

    dawni_host_max_pool.create(graph, 0, 1, &kernel, NULL);
    kernel->ops->forward(kernel, &args, NULL);
    ok((y == wanted || (isnan(y) && isnan(wanted))) && at == which,
       "the largest of %s is %g at %d: %g at %d", what, (double)wanted, which,
       (double)y, at);
    dawni_kernel_destroy(kernel);
    dawn_graph_destroy(graph);
}

#define COUNT(cases) ((int)(sizeof(cases) / sizeof *(cases)))

int main(void)
{
    const struct trial_opts opts = {
        .tolerance = {.f32 = 2e-6, .bf16 = 0.004, .f32_of_bf16 = 0},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_max_pool, max_cases, COUNT(max_cases), &opts);
    try_cases(&dawni_host_avg_pool, avg_cases, COUNT(avg_cases), &opts);
    try_cases(&dawni_host_mean_pool, mean_cases, COUNT(mean_cases), &opts);
    try_max((const float[]){2, 3, 3, 1}, 3, 1, "equal numbers");
    try_max((const float[]){-INFINITY, -INFINITY, -INFINITY, -INFINITY},
            -INFINITY, 0, "nothing but -inf");
    try_max((const float[]){1, NAN, 9, 2}, NAN, 1, "numbers and a NaN");
    return done_testing();
}
