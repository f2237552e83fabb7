/* SPDX-License-Identifier: Apache-2.0 */
/* embedding: row token of the table. Its gradient adds up, for each row of the
 * table, the output gradients of that token in the order of the tokens.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#define ROWS 16         /* tokens a thread copies at a time */
#define TABLE_ROWS 1024 /* rows of the table a thread adds up at a time */

struct embedding {
    struct dawni_kernel base;
    const struct dawn_node_desc *desc;
    int64_t tokens, vocab, width;
    enum dawn_dtype dtype;
};

struct embedding_task {
    const struct embedding *k;
    const struct dawn_op_args *args;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_node_desc *desc = dawn_graph_node(graph, node);
    struct embedding *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_embedding, &k, err);
    if (st)
        return st;
    k->desc = desc;
    k->tokens =
        microbatch * dawni_host_elements(dawni_host_input(graph, node, 0));
    k->vocab = dawn_graph_param(graph, desc->param[0])->shape[0];
    k->width = dawn_graph_param(graph, desc->param[0])->shape[1];
    k->dtype = dawni_host_output(graph, node, 0)->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

DAWNI_INLINE void copy_body(const struct embedding_task *t, int64_t first,
                            int64_t last, bool bf16)
{
    const int64_t n = t->k->width;
    const int32_t *token = t->args->in[0];
    for (int64_t row = first; row < last; row++) {
        const float *from = t->args->param[0] + token[row] * n;
        void *to = dawni_at_mut(t->args->out[0], row * n, bf16);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dawni_put(to, i, from[i], bf16);
    }
}

DAWNI_RANGE(copy, embedding_task, t->k->dtype)

/* rows [first, last) of the table */
DAWNI_INLINE void gather_body(const struct embedding_task *t, int64_t first,
                              int64_t last, bool bf16)
{
    const int64_t n = t->k->width;
    const int32_t *token = t->args->in[0];
    float *dtable = t->args->dparam[0];
    if (!t->args->dparam_add)
        memset(dtable + first * n, 0,
               (size_t)((last - first) * n) * sizeof *dtable);
    for (int64_t row = 0; row < t->k->tokens; row++) {
        if (token[row] < first || token[row] >= last)
            continue;
        const void *from = dawni_at(t->args->dout[0], row * n, bf16);
        float *to = dtable + token[row] * n;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] += dawni_get(from, i, bf16);
    }
}

DAWNI_RANGE(gather, embedding_task, t->k->dtype)

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    const struct embedding *k = (const struct embedding *)kernel;
    const int32_t *token = args->in[0];
    for (int64_t i = 0; i < k->tokens; i++)
        if (token[i] < 0 || token[i] >= k->vocab)
            return dawn_fail(err, DAWN_E_INVAL,
                             "node %s: token %d at %lld, must be 0 to %lld",
                             k->desc->name, (int)token[i], (long long)i,
                             (long long)k->vocab - 1);
    dawni_host_parallel(copy, &(struct embedding_task){k, args}, k->tokens,
                        ROWS);
    return DAWN_OK;
}

static enum dawn_status backward_param(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    (void)err;
    const struct embedding *k = (const struct embedding *)kernel;
    dawni_host_parallel(gather, &(struct embedding_task){k, args}, k->vocab,
                        TABLE_ROWS);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_embedding = {
    .op = "embedding",
    .create = create,
    .forward = forward,
    .backward_param = backward_param,
    .destroy = dawni_host_kernel_free,
};
