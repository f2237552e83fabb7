/* SPDX-License-Identifier: Apache-2.0 */
/* Fused attention: softmax(scale q k^T + bias) v for every head, causal or not.
 * attention has q, k and v side by side in qkv (b,T,3C), attend has them apart.
 * Only the log-sum-exp of each row of scores is kept for backward. bf16 goes to
 * AMX tiles where the processor has them, all else to vectors.
 */
#include "device/host/attention.h"
#include "device/host/amx.h"
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>
#include <omp.h>

struct attention {
    struct dawni_kernel base;
    struct dawni_attention a;
    bool amx, apart;
    uint64_t parts_at; /* in scratch of B: dbias of each sample and head */
};

static uint64_t path_scratch(const struct attention *k, bool backward)
{
    return k->amx ? dawni_attention_amx_scratch(&k->a, backward)
                  : dawni_attention_plain_scratch(&k->a, backward);
}

static void finish(struct attention *k)
{
    const struct dawni_attention *a = &k->a;
    uint64_t parts = (uint64_t)(a->samples * a->heads) *
                     (uint64_t)dawni_attention_distances(a) * sizeof(float);

    k->a.threads = omp_get_max_threads();
    k->amx = a->dtype == DAWN_BF16 && dawni_amx_usable();
    k->base.scratch_bytes[DAWNI_F] = path_scratch(k, false);
    k->parts_at = (path_scratch(k, true) + 63) / 64 * 64;
    k->base.scratch_bytes[DAWNI_B] =
        a->biased ? k->parts_at + parts : path_scratch(k, true);
}

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *qkv = dawni_host_input(graph, node, 0);
    struct attention *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_attention, &k, err);

    if (st)
        return st;
    k->a.samples = qkv->batched ? microbatch : 1;
    k->a.queries = k->a.keys = qkv->shape[0];
    k->a.row = qkv->shape[1];
    k->a.heads = (int64_t)dawn_graph_attr(graph, node, "heads", 1);
    k->a.size = qkv->shape[1] / 3 / k->a.heads;
    k->a.causal = dawn_graph_attr(graph, node, "causal", 1) != 0;
    k->a.scale = 1.0f / sqrtf((float)k->a.size);
    k->a.dtype = qkv->dtype;
    finish(k);
    *kernel_p = &k->base;
    return DAWN_OK;
}

static enum dawn_status create_apart(const struct dawn_graph *graph, int node,
                                     int64_t microbatch,
                                     struct dawni_kernel **kernel_p,
                                     struct dawn_error *err)
{
    const struct dawn_tensor_desc *q = dawni_host_input(graph, node, 0);
    struct attention *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_attend, &k, err);

    if (st)
        return st;
    k->apart = true;
    k->a.samples = microbatch;
    k->a.queries = q->shape[0];
    k->a.keys = dawni_host_input(graph, node, 1)->shape[0];
    k->a.row = q->shape[1];
    k->a.heads = (int64_t)dawn_graph_attr(graph, node, "heads", 1);
    k->a.size = q->shape[1] / k->a.heads;
    k->a.causal = dawn_graph_attr(graph, node, "causal", 1) != 0;
    k->a.biased = dawn_graph_node(graph, node)->inputs > 3;
    k->a.scale = dawn_graph_attr(graph, node, "scaled", 1) != 0
                     ? 1.0f / sqrtf((float)k->a.size)
                     : 1.0f;
    k->a.dtype = q->dtype;
    finish(k);
    *kernel_p = &k->base;
    return DAWN_OK;
}

/* What a call gets, whether q, k and v are one tensor or three. */
static struct dawni_attention_io io_of(const struct attention *k,
                                       const struct dawn_op_args *args,
                                       bool backward)
{
    bool bf16 = k->a.dtype == DAWN_BF16;
    struct dawni_attention_io io = {
        .out = args->out[0], .lse = args->out[1], .scratch = args->scratch};

    for (int i = 0; i < 3; i++) {
        int port = k->apart ? i : 0;
        int64_t at = k->apart ? 0 : i * k->a.heads * k->a.size;
        io.in[i] = dawni_at(args->in[port], at, bf16);
        if (!backward || !args->din[port])
            continue;
        io.grad[i] = dawni_at_mut(args->din[port], at, bf16);
        if (args->din_add[port])
            io.add[i] = dawni_at(args->din_add[port], at, bf16);
    }
    if (k->a.biased)
        io.bias = args->in[3];
    if (backward)
        io.dout = args->dout[0];
    if (backward && k->a.biased && args->din[3])
        io.dbias = (float *)((char *)args->scratch + k->parts_at);
    return io;
}

struct sum_task {
    const struct dawni_attention *a;
    const float *parts, *add;
    float *to;
};

/* Elements [first, last) of dbias: the samples' parts, in their order. */
DAWNI_INLINE void sum_body(const struct sum_task *t, int64_t first,
                           int64_t last, bool bf16)
{
    int64_t all = t->a->heads * dawni_attention_distances(t->a);

    (void)bf16;
#pragma omp simd
    for (int64_t i = first; i < last; i++) {
        float sum = 0;
        for (int64_t s = 0; s < t->a->samples; s++)
            sum += t->parts[s * all + i];
        t->to[i] = t->add ? sum + t->add[i] : sum;
    }
}

DAWNI_RANGE(sum, sum_task, DAWN_F32)

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    const struct attention *k = (const struct attention *)kernel;
    const struct dawni_attention_io io = io_of(k, args, false);

    (void)err;
    if (k->amx)
        dawni_attention_amx_forward(&k->a, &io);
    else
        dawni_attention_plain_forward(&k->a, &io);
    return DAWN_OK;
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    const struct attention *k = (const struct attention *)kernel;
    const struct dawni_attention_io io = io_of(k, args, true);

    (void)err;
    if (k->amx)
        dawni_attention_amx_backward(&k->a, &io);
    else
        dawni_attention_plain_backward(&k->a, &io);
    if (io.dbias) {
        const struct sum_task task = {&k->a, io.dbias, args->din_add[3],
                                      args->din[3]};
        dawni_host_parallel(
            sum, &task, k->a.heads * dawni_attention_distances(&k->a), 1024);
    }
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_attention = {
    .op = "attention",
    .create = create,
    .forward = forward,
    .backward_input = backward_input,
    .destroy = dawni_host_kernel_free,
};

const struct dawni_kernel_ops dawni_host_attend = {
    .op = "attend",
    .create = create_apart,
    .forward = forward,
    .backward_input = backward_input,
    .destroy = dawni_host_kernel_free,
};
