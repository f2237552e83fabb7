/* SPDX-License-Identifier: Apache-2.0 */
/* layer: a node whose work is done by the caller's own functions. */
#include "device/host/host.h"

struct layer {
    struct dawni_kernel base;
    const struct dawn_node_desc *desc;
};

static enum dawn_status create(const struct dawn_graph *graph, int node,
                               int64_t microbatch,
                               struct dawni_kernel **kernel_p,
                               struct dawn_error *err)
{
    const struct dawn_node_desc *desc = dawn_graph_node(graph, node);
    const struct dawn_layer_fns *fns = desc->fns;
    if (!fns || !fns->forward)
        return dawn_fail(err, DAWN_E_INVAL,
                         "node %s: a layer needs a forward function",
                         desc->name);
    if (desc->params > 0 && !fns->backward_param)
        return dawn_fail(err, DAWN_E_INVAL,
                         "node %s: a layer with parameters needs a"
                         " backward_param function",
                         desc->name);
    struct layer *k = NULL;
    enum dawn_status st =
        dawni_host_kernel_alloc(sizeof *k, &dawni_host_layer, &k, err);
    if (st)
        return st;
    k->desc = desc;
    for (int phase = 0; fns->scratch_bytes && phase < DAWNI_PHASES; phase++)
        k->base.scratch_bytes[phase] =
            fns->scratch_bytes(desc->user, phase, microbatch);
    *kernel_p = &k->base;
    return DAWN_OK;
}

static enum dawn_status call(const struct dawn_node_desc *desc,
                             const char *phase,
                             int (*fn)(void *, const struct dawn_op_args *),
                             const struct dawn_op_args *args,
                             struct dawn_error *err)
{
    if (!fn)
        return dawn_fail(err, DAWN_E_USER, "node %s: no %s function",
                         desc->name, phase);
    int code = fn(desc->user, args);
    if (code)
        return dawn_fail(err, DAWN_E_USER, "node %s: its %s function gave %d",
                         desc->name, phase, code);
    return DAWN_OK;
}

static enum dawn_status forward(struct dawni_kernel *kernel,
                                const struct dawn_op_args *args,
                                struct dawn_error *err)
{
    const struct dawn_node_desc *desc = ((struct layer *)kernel)->desc;
    return call(desc, "forward", desc->fns->forward, args, err);
}

static enum dawn_status backward_input(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    const struct dawn_node_desc *desc = ((struct layer *)kernel)->desc;
    return call(desc, "backward_input", desc->fns->backward_input, args, err);
}

static enum dawn_status backward_param(struct dawni_kernel *kernel,
                                       const struct dawn_op_args *args,
                                       struct dawn_error *err)
{
    const struct dawn_node_desc *desc = ((struct layer *)kernel)->desc;
    return call(desc, "backward_param", desc->fns->backward_param, args, err);
}

const struct dawni_kernel_ops dawni_host_layer = {
    .op = "layer",
    .create = create,
    .forward = forward,
    .backward_input = backward_input,
    .backward_param = backward_param,
    .destroy = dawni_host_kernel_free,
};
