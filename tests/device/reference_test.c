/* SPDX-License-Identifier: Apache-2.0 */
/* The reference's gradients are those of its forward: central differences of
 * sum(out * dout) by each element of each input and parameter.
 */
#include "device/harness.h"
#include "device/reference.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP 1e-5
#define CLOSE 1e-7 /* error of the differences, values around 1 */

#define QKV                                                                    \
    {                                                                          \
        .dims = 2, .shape = { 5, 3 * 2 * 3 }                                   \
    }

static const struct op_case cases[] = {
    {.op = "embedding",
     .b = 2,
     .inputs = 1,
     .in = {{1, {4}, 5}},
     .params = 1,
     .param = {{2, {5, 3}, 0}}},
    {.op = "position",
     .b = 3,
     .inputs = 1,
     .in = {{2, {4, 3}, 0}},
     .params = 1,
     .param = {{2, {6, 3}, 0}}},
    {.op = "layer_norm",
     .b = 2,
     .inputs = 1,
     .in = {{2, {3, 7}, 0}},
     .params = 2,
     .param = {{1, {7}, 0}, {1, {7}, 0}}},
    {.op = "linear",
     .b = 2,
     .inputs = 1,
     .in = {{2, {3, 4}, 0}},
     .params = 2,
     .param = {{2, {5, 4}, 0}, {1, {5}, 0}}},
    {.op = "linear",
     .b = 2,
     .inputs = 1,
     .in = {{2, {3, 4}, 0}},
     .params = 1,
     .param = {{2, {5, 4}, 0}}},
    {.op = "rms_norm",
     .b = 2,
     .inputs = 1,
     .in = {{2, {3, 7}, 0}},
     .params = 1,
     .param = {{1, {7}, 0}}},
    {.op = "gelu", .b = 2, .inputs = 1, .in = {{1, {9}, 0}}, .spread = 3},
    {.op = "relu", .b = 2, .inputs = 1, .in = {{1, {9}, 0}}},
    {.op = "scale",
     .b = 2,
     .inputs = 1,
     .in = {{1, {9}, 0}},
     .attrs = 1,
     .attr = {{"by", 0.3}}},
    {.op = "relative_bias",
     .b = 2,
     .params = 1,
     .param = {{2, {8, 3}, 0}},
     .attrs = 3,
     .attr = {{"context", 9}, {"max_distance", 7}, {"causal", 0}}},
    {.op = "relative_bias",
     .b = 2,
     .params = 1,
     .param = {{2, {4, 3}, 0}},
     .attrs = 2,
     .attr = {{"context", 9}, {"max_distance", 7}}},
    {.op = "attend",
     .b = 2,
     .inputs = 3,
     .in = {{2, {3, 6}, 0}, {2, {5, 6}, 0}, {2, {5, 6}, 0}},
     .attrs = 2,
     .attr = {{"heads", 2}, {"causal", 0}}},
    {.op = "attend",
     .b = 2,
     .inputs = 4,
     .in = {{2, {5, 6}, 0}, {2, {5, 6}, 0}, {2, {5, 6}, 0}, {2, {2, 9}, 0, 1}},
     .attrs = 2,
     .attr = {{"heads", 2}, {"scaled", 0}}},
    {.op = "attend",
     .b = 2,
     .inputs = 4,
     .in = {{2, {3, 6}, 0}, {2, {5, 6}, 0}, {2, {5, 6}, 0}, {2, {2, 7}, 0, 1}},
     .attrs = 2,
     .attr = {{"heads", 2}, {"causal", 0}}},
    {.op = "attention",
     .b = 2,
     .inputs = 1,
     .in = {QKV},
     .attrs = 1,
     .attr = {{"heads", 2}}},
    {.op = "attention",
     .b = 2,
     .inputs = 1,
     .in = {QKV},
     .attrs = 2,
     .attr = {{"heads", 2}, {"causal", 0}}},
    {.op = "attn_scores",
     .b = 2,
     .inputs = 1,
     .in = {QKV},
     .attrs = 1,
     .attr = {{"heads", 2}}},
    {.op = "softmax",
     .b = 2,
     .inputs = 1,
     .in = {{3, {2, 5, 5}, 0}},
     .spread = 2},
    {.op = "softmax",
     .b = 2,
     .inputs = 1,
     .in = {{3, {2, 5, 5}, 0}},
     .attrs = 1,
     .attr = {{"causal", 0}}},
    {.op = "attn_values",
     .b = 2,
     .inputs = 2,
     .in = {{3, {2, 5, 5}, 0}, QKV},
     .attrs = 1,
     .attr = {{"heads", 2}}},
    {.op = "dropout",
     .b = 2,
     .inputs = 1,
     .in = {{2, {3, 41}, 0}},
     .attrs = 1,
     .attr = {{"p", 0.3}}},
    {.op = "add", .b = 2, .inputs = 2, .in = {{1, {5}, 0}, {1, {5}, 0}}},
    {.op = "gather", .b = 2, .inputs = 2, .in = {{2, {5, 3}, 0}, {1, {4}, 5}}},
    {.op = "conv2d",
     .b = 2,
     .inputs = 1,
     .in = {{3, {5, 6, 3}, 0}},
     .params = 1,
     .param = {{4, {4, 3, 2, 3}, 0}},
     .attrs = 4,
     .attr = {{"stride", 2}, {"pad_h", 1}, {"pad_w", 1}, {"shift", 1}}},
    {.op = "conv2d",
     .b = 2,
     .inputs = 1,
     .in = {{3, {5, 6, 3}, 0}},
     .params = 1,
     .param = {{4, {4, 1, 1, 3}, 0}}},
    {.op = "batch_norm",
     .b = 2,
     .inputs = 1,
     .in = {{3, {3, 2, 4}, 0}},
     .params = 4,
     .param = {{1, {4}, 0}, {1, {4}, 0}, {1, {4}, 0}, {1, {4}, 0}}},
    {.op = "max_pool",
     .b = 2,
     .inputs = 1,
     .in = {{3, {5, 6, 3}, 0}},
     .attrs = 3,
     .attr = {{"size", 3}, {"stride", 2}, {"pad", 1}}},
    {.op = "avg_pool",
     .b = 2,
     .inputs = 1,
     .in = {{3, {5, 6, 3}, 0}},
     .attrs = 3,
     .attr = {{"size", 3}, {"stride", 2}, {"pad", 1}}},
    {.op = "mean_pool", .b = 2, .inputs = 1, .in = {{3, {5, 6, 3}, 0}}},
    {.op = "concat",
     .b = 2,
     .inputs = 3,
     .in = {{2, {5, 3}, 0}, {2, {5, 1}, 0}, {2, {5, 4}, 0}}},
    {.op = "cross_entropy",
     .b = 2,
     .inputs = 2,
     .in = {{2, {3, 7}, 0}, {1, {3}, 7}},
     .spread = 3},
};

static double *numbers(int64_t n, int64_t below, double spread, uint64_t stream)
{
    double *x = calloc((size_t)n, sizeof *x);
    if (!x)
        exit(1);
    for (int64_t i = 0; i < n; i++) {
        double u = case_number(stream, (uint64_t)i);
        x[i] = below ? floor((u + 1) / 2 * (double)below) : u * spread;
    }
    return x;
}

/* the extents of output i as the operator infers them */
static int64_t output_elements(const struct op_case *c, int i)
{
    struct dawn_graph *graph = case_graph(c, DAWN_F32);
    const struct dawn_tensor_desc *out =
        dawn_graph_tensor(graph, dawn_graph_output(graph, 0, i));
    int64_t n = out ? (out->batched ? c->b : 1) : 0;
    for (int j = 0; out && j < out->dims; j++)
        n *= out->shape[j];
    dawn_graph_destroy(graph);
    return n;
}

static double objective(const struct ref_io *io, const struct reference *r,
                        int64_t n)
{
    double sum = 0;
    r->forward(io);
    for (int64_t i = 0; i < n; i++)
        sum += io->out[0][i] * io->dout[i];
    return sum;
}

/* largest distance of grad from the differences by x[0..n) */
static double distance(const struct ref_io *io, const struct reference *r,
                       int64_t outs, double *x, const double *grad, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double kept = x[i];
        x[i] = kept + STEP;
        double up = objective(io, r, outs);
        x[i] = kept - STEP;
        double down = objective(io, r, outs);
        x[i] = kept;
        worst = fmax(worst, fabs((up - down) / (2 * STEP) - grad[i]));
    }
    return worst;
}

/* The last parameters that have statistics where others have gradients. */
static int averages(const struct op_case *c)
{
    return strcmp(c->op, "batch_norm") == 0 ? 2 : 0;
}

static void try_reference(const struct op_case *c)
{
    const struct reference *r = find_reference(c->op);
    struct ref_io io = {.c = c, .seed = 3, .step = 1, .sample = 2, .node = 0};
    double spread = c->spread ? c->spread : 1;
    int64_t outs = output_elements(c, 0);
    double *dout = numbers(outs, 0, 1, 30);
    io.dout = dout;
    for (int i = 0; i < CASE_OUTPUTS; i++)
        io.out[i] = numbers(output_elements(c, i) + 1, 0, 1, 40);
    for (int i = 0; i < c->inputs; i++) {
        int64_t n = case_input_elements(c, i);
        io.in[i] = numbers(n, c->in[i].below, spread, (uint64_t)i);
        io.din[i] = numbers(n, 0, 1, 50);
    }
    for (int i = 0; i < c->params; i++) {
        int64_t n = case_elements(&c->param[i]);
        io.param[i] = numbers(n, 0, 1, 10 + (uint64_t)i);
        io.dparam[i] = numbers(n, 0, 1, 60);
    }
    r->backward(&io);
    for (int i = 0; i < c->inputs; i++)
        if (!c->in[i].below)
            is_near(distance(&io, r, outs, io.in[i], io.din[i],
                             case_input_elements(c, i)),
                    0, CLOSE, "%s: gradient of input %d", c->op, i);
    for (int i = 0; i < c->params - averages(c); i++)
        is_near(distance(&io, r, outs, io.param[i], io.dparam[i],
                         case_elements(&c->param[i])),
                0, CLOSE, "%s: gradient of parameter %d", c->op, i);
    for (int i = 0; i < CASE_PORTS; i++) {
        free(io.in[i]);
        free(io.din[i]);
        free(io.param[i]);
        free(io.dparam[i]);
    }
    for (int i = 0; i < CASE_OUTPUTS; i++)
        free(io.out[i]);
    free(dout);
}

int main(void)
{
    plan_lazy();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        try_reference(&cases[i]);
    return done_testing();
}
