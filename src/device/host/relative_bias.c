/* SPDX-License-Identifier: Apache-2.0 */
/* relative_bias: for each head the table's entry of each distance, query minus
 * key, from 1 - T to T - 1 (Raffel et al., 2020, section 2.1). Near distances
 * have a bucket each, further ones share: bucket e + floor(log(n / e) /
 * log(max_distance / e) * e) for n >= e, e of 2 e being exact. The gradient of
 * an entry is the sum over its distances, in their order.
 */
#include "device/host/host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct relative_bias {
    struct dawni_kernel base;
    int64_t heads, distances, buckets;
    int *bucket; /* by distance */
};

static int64_t bucket_of(int64_t n, int64_t buckets, int64_t most)
{
    int64_t exact = buckets / 2;
    if (n < exact)
        return n;
    double share =
        log((double)n / (double)exact) / log((double)most / (double)exact);
    /* what is whole must not be rounded to a little less */
    int64_t bucket = exact + (int64_t)(share * (double)exact + 1e-9);
    return bucket < buckets ? bucket : buckets - 1;
}

static void destroy(struct dawni_kernel *kernel)
{
    struct relative_bias *k = (struct relative_bias *)kernel;
    free(k->bucket);
    free(k);
}

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_node_desc *desc = dawn_graph_node(graph, node);
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    int64_t most = (int64_t)dawn_graph_attr(graph, node, "max_distance", 128);
    bool causal = dawn_graph_attr(graph, node, "causal", 1) != 0;
    struct relative_bias *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_relative_bias, &k, err);
    (void)microbatch;
    if (st)
        return st;
    k->heads = out->shape[0];
    k->distances = out->shape[1];
    k->buckets = dawn_graph_param(graph, desc->param[0])->shape[0];
    k->bucket = calloc((size_t)k->distances, sizeof *k->bucket);
    if (!k->bucket) {
        destroy(&k->base);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %lld distances",
                         (long long)out->shape[1]);
    }
    int64_t sided = causal ? k->buckets : k->buckets / 2;
    for (int64_t i = 0; i < k->distances; i++) {
        int64_t behind = i - k->distances / 2; /* the key is, if positive */
        int64_t n = behind < 0 && causal ? 0 : llabs(behind);
        int64_t half = behind < 0 && !causal ? sided : 0;
        k->bucket[i] = (int)(half + bucket_of(n, sided, most));
    }
    *kernel_p = &k->base;
    return DAWN_OK;
}

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    const struct relative_bias *k = (const struct relative_bias *)kernel;
    const float *table = args->param[0];
    float *out = args->out[0];
    (void)err;
    for (int64_t h = 0; h < k->heads; h++)
        for (int64_t i = 0; i < k->distances; i++)
            *out++ = table[k->bucket[i] * k->heads + h];
    return DAWN_OK;
}

static enum dawn_status backward_param(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    const struct relative_bias *k = (const struct relative_bias *)kernel;
    const float *dout = args->dout[0];
    float *dtable = args->dparam[0];
    (void)err;
    if (!args->dparam_add)
        memset(dtable, 0, (size_t)(k->buckets * k->heads) * sizeof *dtable);
    for (int64_t h = 0; h < k->heads; h++)
        for (int64_t i = 0; i < k->distances; i++)
            dtable[k->bucket[i] * k->heads + h] += *dout++;
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_relative_bias = {
    .op = "relative_bias",
    .create = create,
    .forward = forward,
    .backward_param = backward_param,
    .destroy = destroy,
};
