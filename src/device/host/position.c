/* SPDX-License-Identifier: Apache-2.0 */
/* position: x plus row t of the table at place t; the sum may stand where x
 * stood. The input's gradient is the output's; the table's is its sum over the
 * samples, in their order.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#define ROWS 16 /* rows a thread takes at a time */

struct position {
    struct dawni_kernel base;
    int64_t samples, places, width;
    int64_t table_rows; /* >= places; rows beyond get gradient 0 */
    enum dawn_dtype dtype;
};

struct position_task {
    const struct position *k;
    const struct dawn_op_args *args;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_node_desc *desc = dawn_graph_node(graph, node);
    const struct dawn_tensor_desc *out = dawni_host_output(graph, node, 0);
    struct position *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_position, &k, err);
    if (st)
        return st;
    k->samples = microbatch;
    k->places = out->shape[0];
    k->width = out->shape[1];
    k->table_rows = dawn_graph_param(graph, desc->param[0])->shape[0];
    k->dtype = out->dtype;
    *kernel_p = &k->base;
    return DAWN_OK;
}

DAWNI_INLINE void sum_body(const struct position_task *t, int64_t first,
                           int64_t last, bool bf16)
{
    const int64_t n = t->k->width;
    for (int64_t row = first; row < last; row++) {
        const float *place = t->args->param[0] + row % t->k->places * n;
        const void *x = dawni_at(t->args->in[0], row * n, bf16);
        void *out = dawni_at_mut(t->args->out[0], row * n, bf16);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dawni_put(out, i, dawni_get(x, i, bf16) + place[i], bf16);
    }
}

DAWNI_RANGE(sum, position_task, t->k->dtype)

/* rows [first, last) of the table */
DAWNI_INLINE void gather_body(const struct position_task *t, int64_t first,
                              int64_t last, bool bf16)
{
    const struct position *k = t->k;
    const int64_t n = k->width;
    float *dtable = t->args->dparam[0];
    if (!t->args->dparam_add)
        memset(dtable + first * n, 0,
               (size_t)((last - first) * n) * sizeof *dtable);
    if (last > k->places)
        last = k->places;
    for (int64_t row = first; row < last; row++) {
        float *to = dtable + row * n;
        for (int64_t sample = 0; sample < k->samples; sample++) {
            const void *from = dawni_at(t->args->dout[0],
                                        (sample * k->places + row) * n, bf16);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                to[i] += dawni_get(from, i, bf16);
        }
    }
}

DAWNI_RANGE(gather, position_task, t->k->dtype)

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    (void)err;
    const struct position *k = (const struct position *)kernel;
    dawni_host_parallel(sum, &(struct position_task){k, args},
                        k->samples * k->places, ROWS);
    return DAWN_OK;
}

static enum dawn_status backward_param(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    (void)err;
    const struct position *k = (const struct position *)kernel;
    dawni_host_parallel(gather, &(struct position_task){k, args}, k->table_rows,
                        ROWS);
    return DAWN_OK;
}

const struct dawni_kernel_ops dawni_host_position = {
    .op = "position",
    .create = create,
    .forward = forward,
    .backward_param = backward_param,
    .destroy = dawni_host_kernel_free,
};
