/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define BIAS(context_, buckets, heads, most, causal_)                          \
    {                                                                          \
        .op = "relative_bias", .b = 2, .params = 1,                            \
        .param = {{.dims = 2, .shape = {buckets, heads}}}, .attrs = 3,         \
        .attr = {                                                              \
            {"context", context_},                                             \
            {"max_distance", most},                                            \
            {"causal", causal_}                                                \
        }                                                                      \
    }

static const struct op_case cases[] = {
    BIAS(1, 4, 1, 128, 0),    BIAS(1, 2, 1, 128, 1),  BIAS(300, 32, 3, 128, 0),
    BIAS(300, 32, 3, 128, 1), BIAS(50, 12, 2, 20, 0), BIAS(50, 12, 2, 7, 1),
};

/* Buckets of distances as T5's own function gives them. */
static void test_buckets(void)
{
    static const struct {
        int causal, behind, bucket;
    } row[] = {
        {0, 0, 0},    {0, 1, 1},    {0, 7, 7},    {0, 8, 8},   {0, 11, 8},
        {0, 12, 9},   {0, 16, 10},  {0, 32, 12},  {0, 64, 14}, {0, 90, 14},
        {0, 91, 15},  {0, 127, 15}, {0, 299, 15}, {0, -1, 17}, {0, -16, 26},
        {0, -90, 30}, {0, -91, 31}, {1, 0, 0},    {1, -5, 0},  {1, 15, 15},
        {1, 16, 16},  {1, 21, 18},  {1, 32, 21},  {1, 64, 26}, {1, 113, 31},
        {1, 112, 30}, {1, 299, 31},
    };
    static float table[32], out[599];
    for (int i = 0; i < 32; i++)
        table[i] = (float)i;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        const struct op_case c = BIAS(300, 32, 1, 128, row[i].causal);
        struct dawn_graph *graph = case_graph(&c, DAWN_F32);
        struct dawni_kernel *k = NULL;
        const float *params[] = {table};
        void *outs[] = {out};
        const struct dawn_op_args args = {.param = params, .out = outs};
        dawni_host_relative_bias.create(graph, 0, 1, &k, NULL);
        k->ops->forward(k, &args, NULL);
        is_int((int)out[299 + row[i].behind], row[i].bucket,
               "%s: a key %d places before its query",
               row[i].causal ? "causal" : "both ways", row[i].behind);
        dawni_kernel_destroy(k);
        dawn_graph_destroy(graph);
    }
}

int main(void)
{
    const struct trial_opts opts = {
        .tolerance = {.f32 = 2e-5, .bf16 = 0, .f32_of_bf16 = 2e-5},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_relative_bias, cases, sizeof cases / sizeof cases[0],
              &opts);
    test_buckets();
    return done_testing();
}
