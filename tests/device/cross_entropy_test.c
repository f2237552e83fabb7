/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#include <math.h>

#define CROSS_ENTROPY(samples, rows, vocab, spread_)                           \
    {                                                                          \
        .op = "cross_entropy", .b = samples, .inputs = 2,                      \
        .in = {{.dims = 2, .shape = {rows, vocab}},                            \
               {.dims = 1, .shape = {rows}, .below = vocab}},                  \
        .spread = spread_                                                      \
    }

static const struct op_case cases[] = {
    CROSS_ENTROPY(1, 1, 2, 1),     CROSS_ENTROPY(2, 3, 17, 5),
    CROSS_ENTROPY(3, 8, 256, 30),  CROSS_ENTROPY(2, 5, 2049, 3),
    CROSS_ENTROPY(1, 3, 50257, 8),
};

/* A target outside the vocabulary is an error that names it. */
static void test_bad_target(void)
{
    struct dawn_graph *graph = case_graph(&cases[1], DAWN_F32);
    struct dawni_kernel *k = NULL;
    struct dawn_error err = {0};
    int32_t target[6] = {0, 1, 2, 3, 4, 17};
    float logits[6 * 17] = {0}, loss, lse[6];
    const void *in[] = {logits, target};
    void *outs[] = {&loss, lse};
    const struct dawn_op_args args = {.in = in, .out = outs};
    is_int(dawni_host_cross_entropy.create(graph, 0, 2, &k, &err), DAWN_OK,
           "a kernel is made");
    is_int(k->ops->forward(k, &args, &err), DAWN_E_INVAL,
           "target 17 of 17 is refused");
    is_str(err.text, "node node: target 17 at 5, must be 0 to 16",
           "and named with its place");
    target[5] = -1;
    is_int(k->ops->forward(k, &args, &err), DAWN_E_INVAL,
           "target -1 is refused");
    dawni_kernel_destroy(k);
    dawn_graph_destroy(graph);
}

/* What overflowed shows in the loss. */
static void test_not_finite(void)
{
    struct dawn_graph *graph = case_graph(&cases[1], DAWN_F32);
    struct dawni_kernel *k = NULL;
    int32_t target[6] = {0};
    float logits[6 * 17] = {0}, loss = 0, lse[6];
    const void *in[] = {logits, target};
    void *outs[] = {&loss, lse};
    const struct dawn_op_args args = {.in = in, .out = outs};
    const float evil[] = {NAN, INFINITY};
    is_int(dawni_host_cross_entropy.create(graph, 0, 2, &k, NULL), DAWN_OK,
           "a kernel is made");
    for (int i = 0; i < 2; i++) {
        logits[40] = evil[i];
        k->ops->forward(k, &args, NULL);
        ok(!isfinite(loss), "a logit %g spoils the loss", (double)evil[i]);
    }
    logits[40] = -INFINITY;
    k->ops->forward(k, &args, NULL);
    ok(isfinite(loss), "a logit -inf does not");
    dawni_kernel_destroy(k);
    dawn_graph_destroy(graph);
}

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8; loss and log-sum-exp are
     * f32 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 1e-5, .bf16 = 0.004, .f32_of_bf16 = 1e-5},
        .any_threads = true,
    };
    plan_lazy();
    try_cases(&dawni_host_cross_entropy, cases, sizeof cases / sizeof cases[0],
              &opts);
    test_bad_target();
    test_not_finite();
    return done_testing();
}
