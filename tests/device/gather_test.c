/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define GATHER(samples, rows, width, taken)                                    \
    {                                                                          \
        .op = "gather", .b = samples, .inputs = 2, .in = {                     \
            {.dims = 2, .shape = {rows, width}},                               \
            {.dims = 1, .shape = {taken}, .below = rows}                       \
        }                                                                      \
    }

static const struct op_case cases[] = {
    GATHER(1, 1, 1, 1),
    GATHER(2, 9, 17, 4),
    GATHER(3, 40, 64, 60), /* some rows several times */
    GATHER(2, 33, 131, 5),
};

/* A row outside x is an error that names it. */
static void test_bad_row(void)
{
    struct dawn_graph *graph = case_graph(&cases[1], DAWN_F32);
    struct dawni_kernel *k = NULL;
    struct dawn_error err = {0};
    int32_t row[8] = {0};
    float x[2 * 9 * 17] = {0}, out[8 * 17];
    const void *in[] = {x, row};
    void *outs[] = {out};
    const struct dawn_op_args args = {.in = in, .out = outs};
    is_int(dawni_host_gather.create(graph, 0, 2, &k, &err), DAWN_OK,
           "a kernel is made");
    row[6] = 9;
    is_int(k->ops->forward(k, &args, &err), DAWN_E_INVAL,
           "row 9 of 9 is refused");
    is_str(err.text, "node node: row 9 at 6, must be 0 to 8",
           "and named with its place");
    row[6] = -1;
    is_int(k->ops->forward(k, &args, &err), DAWN_E_INVAL, "row -1 is refused");
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
    try_cases(&dawni_host_gather, cases, sizeof cases / sizeof cases[0], &opts);
    test_bad_row();
    return done_testing();
}
