/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering a backward: B and W of each node, last node first, rebuilding what
 * was not kept just before it is needed.
 */
#include "memory/offload.h"
#include "memory/versions.h"
#include <assert.h>

static struct dawni_buffer *buffer(struct dawni_lowering *l, int id)
{
    return id >= 0 && !l->failed ? &l->program->buffer[id] : NULL;
}

static void share(struct dawni_lowering *l, int id, int by)
{
    struct dawni_buffer *b = buffer(l, id);
    if (b)
        b->refs += by;
}

/* The gradient buffer of a tensor becomes `id`. */
static void set_grad(struct dawni_lowering *l, int tensor, int id)
{
    share(l, l->grad[tensor], -1);
    l->grad[tensor] = id;
    share(l, id, 1);
}

/* Where a sum with what the tensor's gradient holds may be written: in place,
 * unless another gradient shares the buffer. */
static int sum_target(struct dawni_lowering *l, int tensor)
{
    struct dawni_buffer *b = buffer(l, l->grad[tensor]);
    if (b && b->refs == 1)
        return l->grad[tensor];
    return dawni_lower_tensor(l, tensor, DAWN_CATEGORY_TRANSIENT);
}

/* The gradient of output 0 is also one of the tensor's. */
static void pass_grad(struct dawni_lowering *l, int microbatch, int tensor,
                      int from)
{
    if (l->grad[tensor] < 0) {
        set_grad(l, tensor, from);
        return;
    }
    int old = l->grad[tensor], sum = sum_target(l, tensor);
    if (!dawni_lower_instr(l, DAWNI_I_ADD, microbatch, tensor))
        return;
    dawni_lower_operand(l, sum);
    dawni_lower_operand(l, old);
    dawni_lower_operand(l, from);
    set_grad(l, tensor, sum);
}

/* Make a tensor that a backward needs be there: fetch it, or run its node again
 * and first whatever that needs. What is rebuilt stays until its last use. */
static void rebuild(struct dawni_lowering *l, int stage, int microbatch,
                    int tensor)
{
    if (l->back[tensor] >= 0 || l->failed ||
        dawni_offload_fetch(l, stage, microbatch, tensor))
        return;
    int node = l->graph->tensor[tensor].producer;
    assert(node >= l->first[stage]); /* what came from elsewhere is kept */
    const struct dawni_node *n = &l->graph->node[node];
    for (int k = 0; k < n->desc.outputs; k++) /* not while they are read to */
        dawni_offload_fetch(l, stage, microbatch, n->output[k]);
    for (int i = 0; i < n->desc.inputs; i++)
        rebuild(l, stage, microbatch, n->desc.input[i]);
    dawni_lower_node(l, stage, microbatch, node, l->back, true);
    if (l->runs_again)
        l->runs_again[node]++;
}

/* Does a node before this one, so later in backward, need the tensor? */
static bool needed_below(const struct dawni_lowering *l, int stage, int node,
                         int tensor)
{
    return dawni_tensor_saved(l->graph, tensor, l->first[stage], node - 1);
}

/* May the gradient of input 0 overwrite the saved input 0? */
static bool may_overwrite(const struct dawni_lowering *l, int stage, int node)
{
    const struct dawni_node *n = &l->graph->node[node];
    if (!(n->desc.flags & DAWN_NODE_GRAD_INPLACE) || n->desc.params ||
        !(n->desc.save_inputs & 1))
        return false;
    int t = n->desc.input[0];
    const struct dawni_tensor *in = &l->graph->tensor[t];
    return in->needs_grad && l->grad[t] < 0 &&
           in->producer >= l->first[stage] &&
           in->user[in->users - 1] < l->first[stage + 1] &&
           !needed_below(l, stage, node, t);
}

struct backward_operands {
    int in[DAWN_MAX_INPUTS], din[DAWN_MAX_INPUTS], din_add[DAWN_MAX_INPUTS];
    int out[DAWN_MAX_PORTS], dout[DAWN_MAX_PORTS];
};

static void gather(struct dawni_lowering *l, int stage, int microbatch,
                   int node, struct backward_operands *o)
{
    const struct dawni_node *n = &l->graph->node[node];
    for (int i = 0; i < n->desc.inputs; i++) {
        bool saved = dawni_node_saves_input(&n->desc, i);
        if (saved)
            rebuild(l, stage, microbatch, n->desc.input[i]);
        o->in[i] = saved ? l->back[n->desc.input[i]] : -1;
        o->din[i] = o->din_add[i] = -1;
    }
    for (int k = 0; k < n->desc.outputs; k++) {
        bool saved = n->desc.save_outputs >> k & 1;
        if (saved)
            rebuild(l, stage, microbatch, n->output[k]);
        o->out[k] = saved ? l->back[n->output[k]] : -1;
        o->dout[k] = l->grad[n->output[k]];
    }
}

/* Buffers for the gradients of the inputs. */
static void make_din(struct dawni_lowering *l, int stage, int node,
                     struct backward_operands *o)
{
    const struct dawni_node *n = &l->graph->node[node];
    for (int i = 0; i < n->desc.inputs; i++) {
        int t = n->desc.input[i];
        if (!l->graph->tensor[t].needs_grad)
            continue;
        o->din_add[i] = l->grad[t];
        if (i == 0 && may_overwrite(l, stage, node)) {
            o->din[i] = l->back[t];
            l->back[t] = -1;
        } else if (l->grad[t] >= 0) {
            o->din[i] = sum_target(l, t);
        } else {
            o->din[i] = dawni_lower_tensor(l, t, DAWN_CATEGORY_TRANSIENT);
        }
        if (o->din[i] != l->grad[t])
            set_grad(l, t, o->din[i]);
    }
}

static void operands(struct dawni_lowering *l, const int *id, int n)
{
    for (int i = 0; i < n; i++)
        dawni_lower_operand(l, id[i]);
}

/* Of stage `at` and its microbatch. */
struct pass {
    int stage, microbatch;
};

static void emit(struct dawni_lowering *l, enum dawni_instr_kind kind,
                 struct pass at, int node, const struct backward_operands *o)
{
    const struct dawn_node_desc *d = &l->graph->node[node].desc;
    struct dawni_instr *i = dawni_lower_instr(l, kind, at.microbatch, node);
    if (!i)
        return;
    i->adds = dawni_versions_adds(l, node, at.microbatch);
    operands(l, o->in, d->inputs);
    operands(l, o->out, d->outputs);
    operands(l, o->dout, d->outputs);
    operands(l, o->din, d->inputs);
    operands(l, o->din_add, d->inputs);
    dawni_lower_scratch(l, node, kind == DAWNI_I_B ? 1 : 2);
    dawni_versions_read(l, at.stage, at.microbatch, node);
}

static void lower_node(struct dawni_lowering *l, int stage, int microbatch,
                       int node)
{
    const struct dawni_node *n = &l->graph->node[node];
    struct pass at = {stage, microbatch};
    struct backward_operands o;
    gather(l, stage, microbatch, node, &o);
    if (n->desc.params) /* before there is any din: it names what it reads */
        emit(l, DAWNI_I_W, at, node, &o);
    if (n->needs_b && (n->desc.flags & DAWN_NODE_GRAD_PASS)) {
        for (int i = 0; i < n->desc.inputs; i++)
            if (l->graph->tensor[n->desc.input[i]].needs_grad)
                pass_grad(l, microbatch, n->desc.input[i], o.dout[0]);
    } else if (n->needs_b) {
        make_din(l, stage, node, &o);
        emit(l, DAWNI_I_B, at, node, &o);
    }
    for (int k = 0; k < n->desc.outputs; k++)
        set_grad(l, n->output[k], -1);
}

/* Forget the microbatch before, and take what this one kept and received. */
static void begin(struct dawni_lowering *l, int stage, const int *act,
                  const int *cross)
{
    const struct dawn_graph *g = l->graph;
    for (int n = l->first[stage]; n < l->first[stage + 1]; n++) {
        const struct dawni_node *node = &g->node[n];
        for (int i = 0; i < node->desc.inputs; i++) {
            int t = node->desc.input[i];
            if (g->tensor[t].producer >= l->first[stage])
                continue; /* an output of the stage, below */
            l->grad[t] = -1;
            l->back[t] =
                dawni_offload_find(l, stage, t) < 0 ? act[t] : DAWNI_AWAY;
        }
        for (int k = 0; k < node->desc.outputs; k++) {
            int t = node->output[k];
            l->grad[t] = -1;
            l->back[t] = dawni_lower_keeps(l, stage, t) ? act[t] : -1;
            if (dawni_offload_find(l, stage, t) >= 0)
                l->back[t] = DAWNI_AWAY;
        }
    }
    for (int c = 0; c < l->cuts->grads; c++) {
        const struct dawni_cut *cut = &l->cuts->grad[c];
        for (int i = 0; cut->edge.from == stage && i < cut->tensors; i++)
            set_grad(l, cut->tensor[i], cross[cut->tensor[i]]);
    }
}

void dawni_lower_bw(struct dawni_lowering *l, int stage, int microbatch)
{
    int *act = dawni_slots(l, l->act, stage, microbatch);
    int *cross = dawni_slots(l, l->cross, stage, microbatch);
    int loss = l->graph->loss;
    int maker = dawn_graph_producer(l->graph, loss);

    for (int c = 0; c < l->cuts->grads; c++) {
        const struct dawni_cut *cut = &l->cuts->grad[c];
        for (int i = 0; cut->edge.from == stage && i < cut->tensors; i++)
            dawni_lower_one(l, DAWNI_I_RECV_WAIT, microbatch, cut->tensor[i],
                            cross[cut->tensor[i]]);
    }
    begin(l, stage, act, cross);
    if (maker >= l->first[stage] && maker < l->first[stage + 1]) {
        set_grad(l, loss, dawni_lower_tensor(l, loss, DAWN_CATEGORY_TRANSIENT));
        dawni_lower_one(l, DAWNI_I_SEED, microbatch, loss, l->grad[loss]);
    }
    for (int n = l->first[stage + 1] - 1; n >= l->first[stage]; n--)
        if (l->graph->node[n].active)
            lower_node(l, stage, microbatch, n);
    for (int c = 0; c < l->cuts->grads; c++) {
        const struct dawni_cut *cut = &l->cuts->grad[c];
        for (int i = 0; cut->edge.to == stage && i < cut->tensors; i++)
            cross[cut->tensor[i]] = l->grad[cut->tensor[i]];
    }
}
