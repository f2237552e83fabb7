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

/* The rows behind those that a feed filled become copies of the last one. */
static void repeat_last(const struct dawn_exec *e, const struct dawn_feed *what,
                        char *data)
{
    int64_t b = dawn_plan_info(e->plan)->microbatch;
    size_t row = (size_t)dawn_graph_tensor_bytes(e->graph, what->tensor, 1);
    if (!e->graph->tensor[what->tensor].desc.batched)
        return;
    for (int64_t i = what->samples; i < b; i++)
        memcpy(data + (size_t)i * row, data + (size_t)(i - 1) * row, row);
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
        .samples = e->eval ? e->counted : info->microbatch,
        .of_step = info->microbatch * info->microbatches,
    };
    if (!e->opts.feed(e->opts.user, &what, data))
        repeat_last(e, &what, data);
    else
        failed(e, dawn_fail(&e->error, DAWN_E_USER,
                            "feed of '%s', step %llu, sample %llu, failed",
                            what.name, (unsigned long long)what.step,
                            (unsigned long long)what.sample));
}

/* Is this a step of an asynchronous schedule without updates? Then it is as a
 * synchronous one: its gradients are of all microbatches. */
static bool frozen(const struct dawn_exec *e)
{
    return e->lr < 0 && e->program->update_every;
}

/* Does the UPDATE that the instruction is of do nothing? */
static bool is_frozen(const struct dawn_exec *e, const struct dawni_instr *i)
{
    return frozen(e) && i->microbatch >= 0 &&
           i->microbatch + 1 < dawn_plan_info(e->plan)->microbatches;
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
        .dparam_add = frozen(e) ? i->microbatch > 0 : i->adds,
        .seed = e->opts.seed,
        .step = e->step,
        .sample = e->eval ? e->sample : (uint64_t)(i->microbatch * b),
        .node = e->graph->node[i->id].number,
        /* gradients that passes look at are those of the evaluated loss */
        .eval = e->eval || e->observes,
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
    a.scratch = *at++;
    if (i->versioned) {
        a.param = (const float *const *)at;
        a.prepared = at[d->params];
    }
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
    if (e->eval && !st && k->ops->add_losses &&
        e->graph->node[i->id].output[0] == e->graph->loss)
        k->ops->add_losses(k, &a, e->counted, &e->loss);
}

static float *kept(const struct dawn_exec *e, int buffer)
{
    return (float *)(e->arena + e->program->buffer[buffer].offset);
}

/* Values of a parameter before and after an update. */
struct moved {
    float *from, *to;
    bool within; /* the step: it is an UPDATE's */
};

static struct moved moved_by(const struct dawn_exec *e,
                             const struct dawni_instr *i)
{
    void *const *at = &e->address[i->operand];
    float *value = kept(e, e->program->master[i->id]);
    if (i->microbatch < 0)
        return (struct moved){value, value, false};
    return (struct moved){.to = at[0], .from = at[1], .within = true};
}

/* The new version is the old one. */
static bool left_out(const struct dawn_exec *e, const struct moved *m,
                     int64_t elements)
{
    if (!m->within || !e->leave_out)
        return false;
    if (m->to != m->from)
        memcpy(m->to, m->from, (size_t)elements * sizeof(float));
    return true;
}

/* All of a parameter, or the piece of which the moments are in *moments. */
static void update(struct dawn_exec *e, const struct dawni_instr *i,
                   char *const *moments)
{
    const struct dawni_program *p = e->program;
    const struct dawni_param *d = &e->graph->param[i->id];
    struct moved moved = moved_by(e, i);
    struct dawni_adamw o = moved.within ? e->update : e->adamw;
    float *grad = kept(e, dawni_param_grad(e->graph, p, i->id));
    if (left_out(e, &moved, d->elements))
        return;
    if (!d->desc.decay)
        o.weight_decay = 0;
    struct dawni_exec_part part = {
        .param = i->id,
        .elements = d->elements,
        .at = {.p = moved.from, .g = grad},
    };
    if (moved.within || !i->operands) {
        o.to = moved.to;
        part.at.m = kept(e, p->adam_m[i->id]);
        part.at.v = kept(e, p->adam_v[i->id]);
    } else {
        part.first = i->tag * DAWNI_MOMENTS_MOST;
        part.elements = dawni_moments_count(d->elements, i->tag);
        part.at.p += part.first;
        part.at.g += part.first;
        part.at.m = (float *)*moments;
        part.at.v = (float *)(*moments + dawni_moments_v_at(part.elements));
        part.piece = *moments;
    }
    if (!dawni_exec_update_by_pass(e, &o, &part))
        e->device->adamw(&o, part.at.p, part.at.m, part.at.v, part.at.g,
                         part.elements);
}

static void average(struct dawn_exec *e, const struct dawni_instr *i)
{
    const struct dawni_program *p = e->program;
    const struct dawni_param *d = &e->graph->param[i->id];
    int sum = dawni_param_grad(e->graph, p, i->id);
    struct moved moved = moved_by(e, i);
    if (left_out(e, &moved, d->elements))
        return;
    if (moved.to != moved.from)
        memcpy(moved.to, moved.from, (size_t)d->elements * sizeof(float));
    e->device->average(
        moved.to, (const float *)(e->arena + p->buffer[sum].offset),
        d->elements, d->desc.average,
        moved.within ? p->update_every : dawn_plan_info(e->plan)->microbatches);
}

static void prepare(struct dawn_exec *e, const struct dawni_instr *i)
{
    struct dawni_kernel *k = e->kernel[i->id];
    void **at = &e->address[i->operand];
    const float *const *value =
        (const float *const *)&e->value[e->program->use_at[i->id]];
    void *prepared =
        e->arena + e->program->buffer[e->program->prepared[i->id]].offset;
    if (i->again && !e->loading)
        return;
    if (i->operands) {
        prepared = at[0];
        value = (const float *const *)&at[1];
    }
    failed(e, k->ops->prepare(k, value, prepared, &e->error));
}

/* Microbatches whose mean gradient an update takes. */
static int mean_of(const struct dawn_exec *e)
{
    return e->program->update_every && !frozen(e)
               ? e->program->update_every
               : dawn_plan_info(e->plan)->microbatches;
}

void dawni_exec_work(struct dawn_exec *e, int instr)
{
    const struct dawni_instr *i = &e->program->instr[instr];
    void **at = &e->address[i->operand];
    float seed = e->observes_each ? 1.0f : 1.0f / (float)mean_of(e);
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
        if (!e->eval)
            e->loss += (double)*(const float *)at[0];
        else if (!dawni_exec_knows_losses(e))
            e->loss += (double)*(const float *)at[0] * (double)e->counted;
        break;
    case DAWNI_I_SEED:
        memcpy(at[0], &seed, sizeof seed);
        break;
    case DAWNI_I_ADD:
        e->device->add(at[0], at[1], at[2], e->graph->tensor[i->id].desc.dtype,
                       elements(e, i->id));
        break;
    case DAWNI_I_SUM_USES:
        if (is_frozen(e, i))
            break;
        e->device->add(at[0], at[0], at[1], DAWN_F32,
                       e->graph->param[i->id].elements);
        break;
    case DAWNI_I_OBSERVE:
        dawni_exec_observe(e, i);
        break;
    case DAWNI_I_ADAMW:
        update(e, i, (char *const *)at);
        break;
    case DAWNI_I_AVERAGE:
        average(e, i);
        break;
    case DAWNI_I_PREPARE:
        prepare(e, i);
        break;
    case DAWNI_I_STAGE_NORM:
        e->leave_out = true;
        if (!is_frozen(e, i))
            dawni_exec_stage_norm(e, i);
        break;
    case DAWNI_I_ZERO:
        if (frozen(e))
            break;
        memset(at[0], 0,
               (size_t)e->graph->param[i->id].elements * sizeof(float));
        break;
    default:
        break;
    }
}
