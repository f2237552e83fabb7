/* SPDX-License-Identifier: Apache-2.0 */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#define CONV(samples, height, width, from, to, kh, kw, step, ph, pw, off)      \
    {                                                                          \
        .op = "conv2d", .b = samples, .inputs = 1,                             \
        .in = {{.dims = 3, .shape = {height, width, from}}}, .params = 1,      \
        .param = {{.dims = 4, .shape = {to, kh, kw, from}}}, .attrs = 4,       \
        .attr = {                                                              \
            {"stride", step},                                                  \
            {"pad_h", ph},                                                     \
            {"pad_w", pw},                                                     \
            {"shift", off}                                                     \
        }                                                                      \
    }

static const struct op_case cases[] = {
    /* a linear */
    CONV(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0),
    CONV(2, 5, 3, 17, 33, 1, 1, 1, 0, 0, 0),
    /* the two of a factorized reduction, even and odd extents */
    CONV(2, 8, 6, 16, 24, 1, 1, 2, 0, 0, 0),
    CONV(2, 8, 6, 16, 24, 1, 1, 2, 0, 0, 1),
    CONV(3, 7, 5, 5, 9, 1, 1, 2, 0, 0, 1),
    CONV(1, 5, 5, 3, 4, 1, 1, 1, 1, 1, 0),
    /* the stem, cells */
    CONV(2, 9, 11, 3, 16, 3, 3, 2, 1, 1, 0),
    CONV(2, 8, 8, 16, 16, 3, 3, 1, 1, 1, 0),
    CONV(3, 7, 9, 8, 8, 1, 7, 1, 0, 3, 0),
    CONV(3, 9, 7, 8, 8, 7, 1, 1, 3, 0, 0),
    CONV(1, 14, 14, 64, 64, 7, 1, 1, 3, 0, 0),
    /* a filter larger than the image, an uneven one, many blocks of lines */
    CONV(2, 2, 3, 4, 5, 7, 1, 1, 3, 0, 0),
    CONV(2, 6, 7, 5, 6, 2, 4, 3, 1, 2, 1),
    CONV(3, 28, 61, 32, 12, 3, 3, 1, 1, 1, 0),
};

/* What goes wrong between threads does not do so each time. */
#define TIMES 12
static const struct op_case skips_lines =
    CONV(2, 9, 12, 64, 64, 1, 2, 3, 0, 0, 0);

int main(void)
{
    /* a bf16 result is rounded once, by at most 2^-8, or twice, where products
     * are added to a gradient by one pixel and a stride; sums are f32 */
    const struct trial_opts opts = {
        .tolerance = {.f32 = 2e-5, .bf16 = 0.008, .f32_of_bf16 = 2e-5},
    };
    plan_lazy();
    try_cases(&dawni_host_conv2d, cases, sizeof cases / sizeof cases[0], &opts);
    for (int i = 0; i < TIMES; i++)
        try_case(&dawni_host_conv2d, &skips_lines, DAWN_BF16, &opts);
    return done_testing();
}
