/* SPDX-License-Identifier: Apache-2.0 */
/* dropout: zero an element with probability p, scale the others by 1 / (1 - p).
 * The mask is a function of (seed, step, sample, node, element) and drawn again
 * for backward. Elements of a sample come in groups of 64, which take 16 Philox
 * counters (dawni_philox of common/random.h): element 16 w + i of group g gets
 * word w of counter 16 g + i.
 */
#include "device/host/host.h"
#include "device/host/simd.h"
#include <string.h>

#define LANES 16
#define GROUP (4 * LANES)
#define GROUPS 64 /* groups a thread takes at a time */

struct dropout {
    struct dawni_kernel base;
    int64_t samples, elements, groups; /* the latter two of a sample */
    enum dawn_dtype dtype;
    uint32_t below; /* draws below it are dropped */
    float scale;
};

struct dropout_task {
    const struct dropout *k;
    const struct dawn_op_args *args;
    const void *from, *add;
    void *to;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct dropout *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_dropout, &k, err);
    if (st)
        return st;
    double p = dawn_graph_attr(graph, node, "p", 0);
    k->samples = microbatch;
    k->elements = dawni_host_elements(out);
    k->groups = (k->elements + GROUP - 1) / GROUP;
    k->dtype = out->dtype;
    k->below = (uint32_t)(p * 0x1p32);
    k->scale = (float)(1 / (1 - p));
    *kernel_p = &k->base;
    return DAWN_OK;
}

/* dawni_philox for LANES counters from lo, side by side: word[w * LANES + i] is
 * word w of counter lo + i. */
DAWNI_INLINE void philox(uint64_t key, uint64_t hi, uint64_t lo,
                         uint32_t word[GROUP])
{
#pragma omp simd
    for (uint32_t i = 0; i < LANES; i++) {
        uint32_t c0 = (uint32_t)lo + i, c1 = (uint32_t)(lo >> 32);
        uint32_t c2 = (uint32_t)hi, c3 = (uint32_t)(hi >> 32);
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            uint64_t a = (uint64_t)c0 * 0xd2511f53u;
            uint64_t b = (uint64_t)c2 * 0xcd9e8d57u;
            c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)b;
            c3 = (uint32_t)a;
            k0 += 0x9e3779b9u;
            k1 += 0xbb67ae85u;
        }
        word[i] = c0;
        word[LANES + i] = c1;
        word[2 * LANES + i] = c2;
        word[3 * LANES + i] = c3;
    }
}

/* One group of a sample; to may be from or add. */
DAWNI_INLINE void mask_group(const struct dropout_task *t, int64_t g, bool bf16,
                             bool adding)
{
    const struct dropout *k = t->k;
    const int64_t sample = g / k->groups, group = g % k->groups;
    const int64_t start = sample * k->elements + group * GROUP;
    const int64_t left = k->elements - group * GROUP;
    const int64_t n = left < GROUP ? left : GROUP;
    const uint32_t below = t->args->eval ? 0 : k->below;
    const float scale = t->args->eval ? 1 : k->scale;
    uint32_t word[GROUP];
    philox(t->args->seed, t->args->step << 32 | (uint32_t)t->args->node,
           (t->args->sample + (uint64_t)sample) << 32 |
               (uint32_t)(group * LANES),
           word);
    const void *from = dawni_at(t->from, start, bf16);
    const void *add = adding ? dawni_at(t->add, start, bf16) : NULL;
    void *to = dawni_at_mut(t->to, start, bf16);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float x = dawni_get(from, i, bf16) * scale;
        float kept = word[i] < below ? 0 : x;
        dawni_put(to, i, adding ? kept + dawni_get(add, i, bf16) : kept, bf16);
    }
}

DAWNI_INLINE void mask_body(const struct dropout_task *t, int64_t first,
                            int64_t last, bool bf16)
{
    if (t->add)
        for (int64_t g = first; g < last; g++)
            mask_group(t, g, bf16, true);
    else
        for (int64_t g = first; g < last; g++)
            mask_group(t, g, bf16, false);
}

DAWNI_RANGE(mask, dropout_task, t->k->dtype)

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    (void)err;
    const struct dropout *k = (const struct dropout *)kernel;
    const struct dropout_task task = {
        .k = k, .args = args, .from = args->in[0], .to = args->out[0]};
    if (args->eval) {
        memmove(args->out[0], args->in[0],
                (size_t)(k->samples * k->elements) *
                    dawn_dtype_bytes(k->dtype));
        return DAWN_OK;
    }
    dawni_host_parallel(mask, &task, k->samples * k->groups, GROUPS);
    return DAWN_OK;
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    (void)err;
    const struct dropout *k = (const struct dropout *)kernel;
    const struct dropout_task task = {.k = k,
                                      .args = args,
                                      .from = args->dout[0],
                                      .add = args->din_add[0],
                                      .to = args->din[0]};
    dawni_host_parallel(mask, &task, k->samples * k->groups, GROUPS);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_dropout = {
    .op = "dropout",
    .create = create,
    .forward = forward,
    .backward_input = backward_input,
    .destroy = dawni_host_kernel_free,
};
