/* SPDX-License-Identifier: Apache-2.0 */
/* cross_entropy: one pass over the logits of a row keeps their maximum and the
 * sum of exponentials below it, chunk by chunk while the chunk is in the cache.
 *     loss = mean over rows of lse - logit[target]
 *     dlogit = (e^(logit - lse) - [target]) * dloss / rows
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define CHUNK 2048 /* logits */

struct cross_entropy {
    struct dawni_kernel base;
    const struct dawn_node_desc *desc;
    int64_t rows, vocab;
    enum dawn_dtype dtype;
};

struct ce_task {
    const struct cross_entropy *k;
    const struct dawn_op_args *args;
    float scale; /* of the gradient */
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_node_desc *desc = dawn_graph_node(graph, node);
    const struct dawn_tensor_desc *logits = dawni_host_input(graph, node, 0);
    struct cross_entropy *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_cross_entropy, &k, err);
    if (st)
        return st;
    k->desc = desc;
    k->vocab = dawni_host_last_extent(logits);
    k->rows = microbatch * dawni_host_elements(logits) / k->vocab;
    k->dtype = logits->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

DAWNI_INLINE float chunk_max(const void *x, int64_t n, bool bf16)
{
    float top = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < n; i++) {
        float xi = dawni_get(x, i, bf16);
        top = xi > top ? xi : top;
    }
    return top;
}

DAWNI_INLINE float chunk_sum(const void *x, int64_t n, float top, bool bf16)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += dawni_exp(dawni_get(x, i, bf16) - top);
    return sum;
}

DAWNI_INLINE float row_lse(const void *x, int64_t n, bool bf16)
{
    float top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t left = n - i < CHUNK ? n - i : CHUNK;
        const void *chunk = dawni_at(x, i, bf16);
        float high = chunk_max(chunk, left, bf16);
        if (high > top) {
            sum *= expf(top - high);
            top = high;
        }
        sum += chunk_sum(chunk, left, top, bf16);
    }
    return top + logf(sum);
}

DAWNI_INLINE void lse_body(const struct ce_task *t, int64_t first, int64_t last,
                           bool bf16)
{
    const int64_t v = t->k->vocab;
    float *lse = t->args->out[1];
    for (int64_t row = first; row < last; row++)
        lse[row] = row_lse(dawni_at(t->args->in[0], row * v, bf16), v, bf16);
}

DAWNI_RANGE(lse, ce_task, t->k->dtype)

/* One row of din, which may be the logits' or add's row. */
DAWNI_INLINE void backward_row(const struct ce_task *t, int64_t row, bool bf16,
                               bool adding)
{
    const int64_t v = t->k->vocab;
    const void *x = dawni_at(t->args->in[0], row * v, bf16);
    const void *add =
        adding ? dawni_at(t->args->din_add[0], row * v, bf16) : NULL;
    void *din = dawni_at_mut(t->args->din[0], row * v, bf16);
    const float lse = ((const float *)t->args->out[1])[row];
    const float scale = t->scale;
    const int64_t hit = ((const int32_t *)t->args->in[1])[row];
    float at_hit = (dawni_exp(dawni_get(x, hit, bf16) - lse) - 1) * scale;
    if (adding)
        at_hit += dawni_get(add, hit, bf16);
#pragma omp simd
    for (int64_t i = 0; i < v; i++) {
        float d = dawni_exp(dawni_get(x, i, bf16) - lse) * scale;
        dawni_put(din, i, adding ? d + dawni_get(add, i, bf16) : d, bf16);
    }
    dawni_put(din, hit, at_hit, bf16);
}

DAWNI_INLINE void backward_body(const struct ce_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    if (t->args->din_add[0])
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, true);
    else
        for (int64_t row = first; row < last; row++)
            backward_row(t, row, bf16, false);
}

DAWNI_RANGE(backward, ce_task, t->k->dtype)

/* Loss of a row, whose lse is known. */
static double row_loss(const struct cross_entropy *k,
                       const struct dawn_op_args *args, int64_t row)
{
    const int32_t *target = args->in[1];
    const float *lse = args->out[1];
    return lse[row] - dawni_get(args->in[0], row * k->vocab + target[row],
                                k->dtype == DAWN_BF16);
}

static enum dawn_status ce_forward(struct dawni_kernel *kernel,
                                   const struct dawn_op_args *args,
                                   struct dawn_error *err)
{
    const struct cross_entropy *k = (const struct cross_entropy *)kernel;
    const int32_t *target = args->in[1];
    for (int64_t i = 0; i < k->rows; i++)
        if (target[i] < 0 || target[i] >= k->vocab)
            return dawn_fail(err, DAWN_E_INVAL,
                             "node %s: target %d at %lld, must be 0 to %lld",
                             k->desc->name, (int)target[i], (long long)i,
                             (long long)k->vocab - 1);
    dawni_host_parallel(lse, &(struct ce_task){k, args, 0}, k->rows, 1);
    double sum = 0;
    for (int64_t i = 0; i < k->rows; i++)
        sum += row_loss(k, args, i);
    *(float *)args->out[0] = (float)(sum / (double)k->rows);
    return DAWN_OK;
}

static void ce_add_losses(const struct dawni_kernel *kernel,
                          const struct dawn_op_args *args, int64_t samples,
                          double *sum)
{
    const struct cross_entropy *k = (const struct cross_entropy *)kernel;
    const int64_t rows = k->rows / args->microbatch; /* of a sample */
    for (int64_t sample = 0; sample < samples; sample++) {
        double loss = 0;
        for (int64_t i = 0; i < rows; i++)
            loss += row_loss(k, args, sample * rows + i);
        *sum += loss / (double)rows;
    }
}

static enum dawn_status ce_backward(struct dawni_kernel *kernel,
                                    const struct dawn_op_args *args,
                                    struct dawn_error *err)
{
    (void)err;
    const struct cross_entropy *k = (const struct cross_entropy *)kernel;
    const struct ce_task task = {
        .k = k,
        .args = args,
        .scale = *(const float *)args->dout[0] / (float)k->rows,
    };
    dawni_host_parallel(backward, &task, k->rows, 1);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_cross_entropy = {
    .op = "cross_entropy",
    .create = create,
    .forward = ce_forward,
    .backward_input = ce_backward,
    .add_losses = ce_add_losses,
    .destroy = dawni_host_kernel_free,
};
