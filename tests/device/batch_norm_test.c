/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#include <math.h>

#define BATCH_NORM(samples, height, width, channels)                           \
    {                                                                          \
        .op = "batch_norm", .b = samples, .inputs = 1,                         \
        .in = {{.dims = 3, .shape = {height, width, channels}}}, .params = 4,  \
        .param = {{.dims = 1, .shape = {channels}},                            \
                  {.dims = 1, .shape = {channels}},                            \
                  {.dims = 1, .shape = {channels}},                            \
                  {.dims = 1, .shape = {channels}}},                           \
        .attrs = 1, .attr = {{"eps", 1e-3}}, .spread = 3                       \
    }

static const struct op_case cases[] = {
    BATCH_NORM(2, 1, 1, 3),   BATCH_NORM(1, 3, 5, 17),
    BATCH_NORM(3, 7, 7, 64),  BATCH_NORM(2, 28, 14, 130),
    BATCH_NORM(5, 31, 9, 40),
};

enum { CHANNELS = 5 };

/* An evaluation takes the averages, and says so in its statistics. */
static void try_evaluation(void)
{
    static const struct op_case c = BATCH_NORM(2, 1, 2, CHANNELS);
    static const float gain[CHANNELS] = {1, 2, 3, 4, 5},
                       bias[CHANNELS] = {5, 4, 3, 2, 1},
                       mean[CHANNELS] = {0, 1, -1, 2, -2},
                       var[CHANNELS] = {1, 4, 9, 0, 0.25f};
    _Alignas(64) float x[4 * CHANNELS], y[4 * CHANNELS], m[CHANNELS],
        r[CHANNELS], scratch[1024];
    const float *const param[] = {gain, bias, mean, var};
    const void *const in[] = {x};
    void *const out[] = {y, m, r};
    const struct dawn_op_args args = {.microbatch = 2,
                                      .in = in,
                                      .out = out,
                                      .param = param,
                                      .scratch = scratch,
                                      .eval = true};
    struct dawn_graph *graph = case_graph(&c, DAWN_F32);
    struct dawni_kernel *kernel = NULL;
    double worst = 0;

    for (int i = 0; i < 4 * CHANNELS; i++)
        x[i] = (float)case_number(3, (uint64_t)i);
    if (!ok(dawni_host_batch_norm.create(graph, 0, 2, &kernel, NULL) == 0 &&
                kernel->scratch_bytes[DAWNI_F] <= sizeof scratch,
            "a kernel for an evaluation"))
        return;
    kernel->ops->forward(kernel, &args, NULL);
    for (int i = 0; i < 4 * CHANNELS; i++) {
        int k = i % CHANNELS;
        double wanted = ((double)x[i] - (double)mean[k]) /
                            sqrt((double)var[k] + 1e-3) * (double)gain[k] +
                        (double)bias[k];
        worst = fmax(worst, fabs((double)y[i] - wanted) / (1 + fabs(wanted)));
    }
    is_near(worst, 0, 1e-6, "an evaluation normalizes by the averages");
    dawni_kernel_destroy(kernel);
    dawn_graph_destroy(graph);
}

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8; statistics and parameters
     * are f32 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 2e-5, .bf16 = 0.004, .f32_of_bf16 = 2e-5},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_batch_norm, cases, sizeof cases / sizeof cases[0],
              &opts);
    try_evaluation();
    return done_testing();
}
