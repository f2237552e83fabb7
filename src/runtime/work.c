/* SPDX-License-Identifier: Apache-2.0 */
/* What instructions do that are no messages. */
#include "memory/moments.h"
#include "runtime/exec.h"
#include <string.h>

static void failed(struct dawn_exec *e, enum dawn_status st)
{
    if (st && !e->status)
        e->status = st;
}

static void feed(struct dawn_exec *e, const struct dawni_instr *i, void *data)
{
    const struct dawn_plan_info *info = dawn_plan_info(e->plan);
    struct dawn_feed what = {
        .tensor = i->id,
        .name = e->graph->tensor[i->id].desc.name,
        .eval = e->eval,
        .step = e->step,
        .sample =
            e->eval ? e->sample : (uint64_t)(i->microbatch * info->microbatch),
        .samples = info->microbatch,
        .of_step = info->microbatch * info->microbatches,
    };
    if (e->opts.feed(e->opts.user, &what, data))
        failed(e, dawn_fail(&e->error, DAWN_E_USER,
                            "feed of '%s', step %llu, sample %llu, failed",
                            what.name, (unsigned long long)what.step,
                            (unsigned long long)what.sample));
}

static struct dawn_op_args args_of(const struct dawn_exec *e,
                                   const struct dawni_instr *i)
{
    const struct dawni_program *p = e->program;
    const struct dawn_node_desc *d = &e->graph->node[i->id].desc;
    int64_t b = dawn_plan_info(e->plan)->microbatch;
    void *const *at = &e->address[i->operand];
    struct dawn_op_args a = {
        .microbatch = b,
        .in = (const void *const *)at,
        .out = at + d->inputs,
        .param = (const float *const *)&e->value[p->use_at[i->id]],
        .dparam = &e->use_grad[p->use_at[i->id]],
        .dparam_add = i->microbatch > 0,
        .seed = e->opts.seed,
        .step = e->step,
        .sample = e->eval ? e->sample : (uint64_t)(i->microbatch * b),
        .node = e->graph->node[i->id].number,
        .eval = e->eval,
    };
    if (p->prepared[i->id] >= 0)
        a.prepared = e->arena + p->buffer[p->prepared[i->id]].offset;
    at += d->inputs + d->outputs;
    if (i->kind != DAWNI_I_F) {
        a.dout = (const void *const *)at;
        a.din = at + d->outputs;
        a.din_add = (const void *const *)(a.din + d->inputs);
        at = a.din + 2 * d->inputs;
    }
    a.scratch = *at;
    return a;
}

/* Elements of a tensor at the plan's microbatch. */
static int64_t elements(const struct dawn_exec *e, int tensor)
{
    return (
        int64_t)(dawn_graph_tensor_bytes(e->graph, tensor,
                                         dawn_plan_info(e->plan)->microbatch) /
                 dawn_dtype_bytes(e->graph->tensor[tensor].desc.dtype));
}

static void look(struct dawn_exec *e, const struct dawni_instr *i,
                 const void *x, enum dawn_dtype dtype, int64_t n)
{
    if (!x || (dtype != DAWN_F32 && dtype != DAWN_BF16) ||
        e->device->find_nonfinite(x, dtype, n) < 0)
        return;
    /* first of all by microbatch, then F, then backward from the last node */
    int64_t nodes = e->graph->nodes;
    int64_t order = (int64_t)i->microbatch * 2 * nodes;
    order += i->kind == DAWNI_I_F ? i->id : 2 * nodes - 1 - i->id;
    if (e->bad < 0 || order < e->bad)
        e->bad = order;
}

static void check(struct dawn_exec *e, const struct dawni_instr *i,
                  const struct dawn_op_args *a)
{
    const struct dawni_node *n = &e->graph->node[i->id];
    for (int k = 0; i->kind == DAWNI_I_F && k < n->desc.outputs; k++)
        look(e, i, a->out[k], e->graph->tensor[n->output[k]].desc.dtype,
             elements(e, n->output[k]));
    for (int k = 0; i->kind == DAWNI_I_B && k < n->desc.inputs; k++)
        look(e, i, a->din[k], e->graph->tensor[n->desc.input[k]].desc.dtype,
             elements(e, n->desc.input[k]));
    for (int k = 0; i->kind == DAWNI_I_W && k < n->desc.params; k++)
        look(e, i, a->dparam[k], DAWN_F32,
             e->graph->param[n->desc.param[k]].elements);
}

static void kernel(struct dawn_exec *e, const struct dawni_instr *i)
{
    struct dawni_kernel *k = e->kernel[i->id];
    struct dawn_op_args a = args_of(e, i);
    enum dawn_status st;
    if (i->kind == DAWNI_I_F)
        st = k->ops->forward(k, &a, &e->error);
    else if (i->kind == DAWNI_I_B)
        st = k->ops->backward_input(k, &a, &e->error);
    else
        st = k->ops->backward_param(k, &a, &e->error);
    failed(e, st);
    if (e->check && !st)
        check(e, i, &a);
}

static float *kept(const struct dawn_exec *e, int buffer)
{
    return (float *)(e->arena + e->program->buffer[buffer].offset);
}

/* All of a parameter, or the piece of which the moments are in *moments. */
static void update(struct dawn_exec *e, const struct dawni_instr *i,
                   char *const *moments)
{
    const struct dawni_program *p = e->program;
    const struct dawni_param *d = &e->graph->param[i->id];
    struct dawni_adamw o = e->adamw;
    float *value = kept(e, p->master[i->id]);
    float *grad = kept(e, dawni_param_grad(e->graph, p, i->id));
    if (!d->desc.decay)
        o.weight_decay = 0;
    if (!i->operands) {
        e->device->adamw(&o, value, kept(e, p->adam_m[i->id]),
                         kept(e, p->adam_v[i->id]), grad, d->elements);
        return;
    }
    int64_t first = i->tag * DAWNI_MOMENTS_MOST;
    int64_t count = dawni_moments_count(d->elements, i->tag);
    float *m = (float *)*moments;
    float *v = (float *)(*moments + dawni_moments_v_at(count));
    e->device->adamw(&o, value + first, m, v, grad + first, count);
}

static void average(struct dawn_exec *e, int param)
{
    const struct dawni_program *p = e->program;
    const struct dawni_param *d = &e->graph->param[param];
    int sum = dawni_param_grad(e->graph, p, param);
    e->device->average((float *)(e->arena + p->buffer[p->master[param]].offset),
                       (const float *)(e->arena + p->buffer[sum].offset),
                       d->elements, d->desc.average,
                       dawn_plan_info(e->plan)->microbatches);
}

static void prepare(struct dawn_exec *e, int node)
{
    struct dawni_kernel *k = e->kernel[node];
    int use = e->program->use_at[node];
    void *prepared =
        e->arena + e->program->buffer[e->program->prepared[node]].offset;
    failed(e, k->ops->prepare(k, (const float *const *)&e->value[use], prepared,
                              &e->error));
}

void dawni_exec_work(struct dawn_exec *e, int instr)
{
    const struct dawni_instr *i = &e->program->instr[instr];
    void **at = &e->address[i->operand];
    float seed = 1.0f / (float)dawn_plan_info(e->plan)->microbatches;
    switch (i->kind) {
    case DAWNI_I_FEED:
        feed(e, i, at[0]);
        break;
    case DAWNI_I_F:
    case DAWNI_I_B:
    case DAWNI_I_W:
        kernel(e, i);
        break;
    case DAWNI_I_LOSS:
        e->loss += (double)*(const float *)at[0];
        break;
    case DAWNI_I_SEED:
        memcpy(at[0], &seed, sizeof seed);
        break;
    case DAWNI_I_ADD:
        e->device->add(at[0], at[1], at[2], e->graph->tensor[i->id].desc.dtype,
                       elements(e, i->id));
        break;
    case DAWNI_I_SUM_USES:
        e->device->add(at[0], at[0], at[1], DAWN_F32,
                       e->graph->param[i->id].elements);
        break;
    case DAWNI_I_ADAMW:
        update(e, i, (char *const *)at);
        break;
    case DAWNI_I_AVERAGE:
        average(e, i->id);
        break;
    case DAWNI_I_PREPARE:
        prepare(e, i->id);
        break;
    default:
        break;
    }
}
