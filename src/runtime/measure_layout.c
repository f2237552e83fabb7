/* SPDX-License-Identifier: Apache-2.0 */
/* The arena of a run of nodes to be timed. With n nodes, F of node i happens at
 * time i and its backward at 2n - 1 - i; every buffer has a lifetime in these
 * times, as in a stage that has one microbatch in flight. Values and gradients
 * share buffers where the nodes' flags allow it, as they do in a run.
 */
#include "common/array.h"
#include "graph/graph.h"
#include "runtime/measure_rig.h"

struct layout {
    struct dawni_rig *rig;
    const struct dawn_graph *graph;
    int first, last, end; /* node ids; the last time */
    int *value, *grad;    /* by tensor: its buffer now, -1: none */
    bool failed;          /* no memory */
};

static int time_of_backward(const struct layout *l, int node)
{
    return l->end - (node - l->first);
}

static bool inside(const struct layout *l, int node)
{
    return node >= l->first && node <= l->last;
}

/* A buffer that lives from `begin` to `end`; -1 for 0 bytes. */
static int add(struct layout *l, uint64_t bytes, int begin, int end)
{
    struct dawni_rig *r = l->rig;
    int i = r->buffers;

    if (!bytes || l->failed)
        return -1;
    if (!dawni_array_reserve(&r->extent, &r->extent_room, i + 1) ||
        !dawni_array_reserve(&r->buffer, &r->buffer_room, i + 1)) {
        l->failed = true;
        return -1;
    }
    bytes = (bytes + 63) / 64 * 64;
    r->extent[i] = (struct dawni_extent){bytes, begin, end, 0};
    r->buffer[i] = (struct dawni_rig_buffer){DAWNI_RIG_EMPTY, -1, 1};
    r->buffers++;
    return i;
}

/* A buffer that lives all the time and is filled at the start. */
static int add_filled(struct layout *l, uint64_t bytes,
                      enum dawni_rig_fill fill, int id)
{
    int i = add(l, bytes, 0, l->end);

    if (i >= 0)
        l->rig->buffer[i] = (struct dawni_rig_buffer){fill, id, 1};
    return i;
}

static void keep_until(struct layout *l, int buffer, int time)
{
    if (buffer >= 0 && l->rig->extent[buffer].end < time)
        l->rig->extent[buffer].end = time;
}

static uint64_t tensor_bytes(const struct layout *l, int tensor)
{
    return dawn_graph_tensor_bytes(l->graph, tensor, l->rig->microbatch);
}

static bool node_saves_input(const struct dawni_node *n, int tensor)
{
    for (int k = 0; k < n->desc.inputs; k++)
        if (n->desc.input[k] == tensor && dawni_node_saves_input(&n->desc, k))
            return true;
    return false;
}

/* The last time at which something in the run needs the tensor's value. */
static int value_end(const struct layout *l, int tensor)
{
    const struct dawni_tensor *t = &l->graph->tensor[tensor];
    int p = t->producer, end = 0;

    if (inside(l, p)) {
        end = p - l->first;
        if (l->graph->node[p].desc.save_outputs >> t->port & 1)
            end = time_of_backward(l, p);
    }
    for (int i = 0; i < t->users; i++) {
        int u = t->user[i];
        int needed = inside(l, u) ? u - l->first : l->last - l->first;
        if (inside(l, u) && node_saves_input(&l->graph->node[u], tensor))
            needed = time_of_backward(l, u);
        if (end < needed)
            end = needed;
    }
    return end;
}

/* May output 0 of the node take over the buffer of its last input? */
static bool takes_over(const struct layout *l, int node)
{
    const struct dawni_node *n = &l->graph->node[node];

    if (!(n->desc.flags & DAWN_NODE_INPLACE) || n->desc.inputs == 0)
        return false;
    int t = n->desc.input[n->desc.inputs - 1];
    return inside(l, l->graph->tensor[t].producer) &&
           value_end(l, t) == node - l->first &&
           tensor_bytes(l, t) == tensor_bytes(l, n->output[0]);
}

static void lay_out_forward(struct layout *l, int node)
{
    const struct dawni_node *n = &l->graph->node[node];
    struct dawni_rig_node *c = &l->rig->node[node - l->first];
    int now = node - l->first;

    for (int k = 0; k < n->desc.inputs; k++) {
        int t = n->desc.input[k];
        if (l->value[t] < 0)
            l->value[t] = add_filled(l, tensor_bytes(l, t), DAWNI_RIG_VALUE, t);
        c->in[k] = l->value[t];
    }
    for (int k = 0; k < n->desc.outputs; k++) {
        int t = n->output[k];
        if (k == 0 && takes_over(l, node)) {
            l->value[t] = c->in[n->desc.inputs - 1];
            keep_until(l, l->value[t], value_end(l, t));
        } else {
            l->value[t] = add(l, tensor_bytes(l, t), now, value_end(l, t));
        }
        c->out[k] = l->value[t];
    }
    c->calls[DAWNI_F] = true;
    c->scratch[DAWNI_F] = add(l, c->kernel->scratch_bytes[DAWNI_F], now, now);
}

/* Gradients that come from outside of the run. */
static void add_outside_gradients(struct layout *l)
{
    for (int t = 0; t < l->graph->tensors; t++) {
        const struct dawni_tensor *d = &l->graph->tensor[t];
        if (!inside(l, d->producer) || !d->needs_grad)
            continue;
        if (t == l->graph->loss)
            l->grad[t] = add_filled(l, tensor_bytes(l, t), DAWNI_RIG_ONE, t);
        else if (d->users && d->user[d->users - 1] > l->last)
            l->grad[t] = add_filled(l, tensor_bytes(l, t), DAWNI_RIG_GRAD, t);
    }
}

/* Where the node writes the gradient of input k, and what it adds to it. */
static void lay_out_gradient(struct layout *l, int node, int k)
{
    const struct dawni_node *n = &l->graph->node[node];
    struct dawni_rig_node *c = &l->rig->node[node - l->first];
    struct dawni_rig_buffer *buffer = l->rig->buffer;
    int t = n->desc.input[k], old = l->grad[t];
    int now = time_of_backward(l, node);

    if (old < 0 && k == 0 && (n->desc.flags & DAWN_NODE_GRAD_INPLACE) &&
        inside(l, l->graph->tensor[t].producer) && value_end(l, t) == now) {
        c->din[k] = l->value[t];
        keep_until(l, c->din[k], now);
    } else if (old >= 0 && buffer[old].refs == 1 &&
               buffer[old].fill == DAWNI_RIG_EMPTY) {
        c->din[k] = c->din_add[k] = old;
        keep_until(l, old, now);
        return;
    } else {
        c->din[k] = add(l, tensor_bytes(l, t), now, now);
        c->din_add[k] = old;
    }
    if (old >= 0) {
        l->rig->buffer[old].refs--;
        keep_until(l, old, now);
    }
    if (c->din[k] >= 0)
        l->rig->buffer[c->din[k]].refs = 1;
    l->grad[t] = c->din[k];
}

static void lay_out_backward(struct layout *l, int node)
{
    const struct dawni_node *n = &l->graph->node[node];
    struct dawni_rig_node *c = &l->rig->node[node - l->first];
    int now = time_of_backward(l, node);
    bool any = false, pass = n->desc.flags & DAWN_NODE_GRAD_PASS;

    for (int k = 0; k < n->desc.outputs; k++) {
        c->dout[k] = l->grad[n->output[k]];
        keep_until(l, c->dout[k], now);
        any |= c->dout[k] >= 0;
    }
    for (int k = 0; any && k < n->desc.inputs; k++) {
        int t = n->desc.input[k];
        if (!l->graph->tensor[t].needs_grad)
            continue;
        if (pass && l->grad[t] < 0) {
            l->grad[t] = c->dout[0];
            l->rig->buffer[c->dout[0]].refs++;
            continue;
        }
        lay_out_gradient(l, node, k);
        c->calls[DAWNI_B] |= c->din[k] >= 0;
    }
    c->calls[DAWNI_B] &= c->kernel->ops->backward_input != NULL;
    c->calls[DAWNI_W] = any && n->desc.params && c->kernel->ops->backward_param;
    for (int phase = DAWNI_B; phase < DAWNI_PHASES; phase++)
        if (c->calls[phase])
            c->scratch[phase] =
                add(l, c->kernel->scratch_bytes[phase], now, now);
    for (int k = 0; k < n->desc.outputs; k++)
        if (c->dout[k] >= 0)
            l->rig->buffer[c->dout[k]].refs--;
}

static void lay_out_params(struct layout *l, int node)
{
    const struct dawni_node *n = &l->graph->node[node];
    struct dawni_rig_node *c = &l->rig->node[node - l->first];

    for (int k = 0; k < n->desc.params; k++) {
        int p = n->desc.param[k];
        const struct dawni_param *d = &l->graph->param[p];
        struct dawni_rig_param *b = &l->rig->param[p];
        uint64_t bytes = (uint64_t)d->elements * sizeof(float);

        c->dparam[k] = add_filled(l, bytes, DAWNI_RIG_EMPTY, -1);
        if (b->master < 0)
            b->master = add_filled(l, bytes, DAWNI_RIG_PARAM, p);
        if (d->user[0] != node || b->adam_m >= 0 || d->desc.average > 0)
            continue;
        b->adam_m = add_filled(l, bytes, DAWNI_RIG_EMPTY, -1);
        b->adam_v = add_filled(l, bytes, DAWNI_RIG_EMPTY, -1);
        if (d->users > 1)
            b->extra = add_filled(l, bytes, DAWNI_RIG_EMPTY, -1);
    }
    c->prepared = add_filled(l, c->kernel->prepared_bytes, DAWNI_RIG_EMPTY, -1);
}

static void no_buffers(struct dawni_rig *r)
{
    for (int i = 0; i < r->nodes; i++) {
        struct dawni_rig_node *c = &r->node[i];
        for (int k = 0; k < DAWN_MAX_PORTS; k++)
            c->in[k] = c->out[k] = c->dout[k] = c->din[k] = c->din_add[k] =
                c->dparam[k] = -1;
        for (int phase = 0; phase < DAWNI_PHASES; phase++)
            c->scratch[phase] = -1;
        c->prepared = -1;
    }
    for (int p = 0; p < r->graph->params; p++)
        r->param[p] = (struct dawni_rig_param){-1, -1, -1, -1};
}

static void no_tensors(struct layout *l)
{
    for (int t = 0; t < l->graph->tensors; t++)
        l->value[t] = l->grad[t] = -1;
}

enum dawn_status dawni_rig_lay_out(struct dawni_rig *r, struct dawn_error *err)
{
    struct layout l = {.rig = r,
                       .graph = r->graph,
                       .first = r->first,
                       .last = r->first + r->nodes - 1,
                       .end = 2 * r->nodes - 1};

    l.value = dawni_calloc(r->graph->tensors, sizeof *l.value);
    l.grad = dawni_calloc(r->graph->tensors, sizeof *l.grad);
    l.failed = !l.value || !l.grad;
    if (!l.failed) {
        no_buffers(r);
        no_tensors(&l);
        for (int i = l.first; i <= l.last; i++) {
            lay_out_params(&l, i);
            lay_out_forward(&l, i);
        }
        add_outside_gradients(&l);
        for (int i = l.last; i >= l.first && !l.failed; i--)
            lay_out_backward(&l, i);
    }
    free(l.value);
    free(l.grad);
    if (l.failed)
        return dawn_fail(err, DAWN_E_NOMEM,
                         "no memory to lay out %d nodes to be measured",
                         r->nodes);
    return dawni_pack(r->extent, r->buffers, &r->bytes, err);
}
