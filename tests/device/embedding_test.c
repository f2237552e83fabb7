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

/* A token outside the table is an error that names it. */
static void test_bad_token(void)
{
    struct dawn_graph *graph = case_graph(&cases[1], DAWN_F32);
    struct dawni_kernel *k = NULL;
    struct dawn_error err = {0};
    int32_t token[18] = {0};
    float table[5 * 17] = {0}, out[18 * 17];
    const void *in[] = {token};
    void *outs[] = {out};
    const float *params[] = {table};
    const struct dawn_op_args args = {.in = in, .out = outs, .param = params};
    is_int(dawni_host_embedding.create(graph, 0, 2, &k, &err), DAWN_OK,
           "a kernel is made");
    token[11] = 5;
    is_int(k->ops->forward(k, &args, &err), DAWN_E_INVAL,
           "token 5 of 5 is refused");
    is_str(err.text, "node node: token 5 at 11, must be 0 to 4",
           "and named with its place");
    token[11] = -1;
    is_int(k->ops->forward(k, &args, &err), DAWN_E_INVAL,
           "token -1 is refused");
    dawni_kernel_destroy(k);
    dawn_graph_destroy(graph);
}

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
    test_bad_token();
    return done_testing();
}
