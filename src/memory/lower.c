/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering: buffers, F, messages, and the walk over a rank's actions. */
#include "memory/lower.h"
#include "common/array.h"
#include "common/padded.h"
#include "memory/moments.h"
#include "memory/offload.h"
#include "memory/versions.h"

int dawni_lower_buffer(struct dawni_lowering *l, uint64_t bytes,
                       enum dawn_category category)
{
    struct dawni_program *p = l->program;
    if (l->failed ||
        !dawni_array_reserve(&p->buffer, &p->buffer_room, p->buffers + 1)) {
        l->failed = true;
        return -1;
    }
    p->buffer[p->buffers] = (struct dawni_buffer){
        .bytes = dawni_padded(bytes),
        .begin = -1,
        .end = -1,
        .category = (uint8_t)category,
    };
    return p->buffers++;
}

int dawni_lower_tensor(struct dawni_lowering *l, int tensor,
                       enum dawn_category category)
{
    return dawni_lower_buffer(
        l, dawn_graph_tensor_bytes(l->graph, tensor, l->sizes->microbatch),
        category);
}

struct dawni_instr *dawni_lower_instr(struct dawni_lowering *l,
                                      enum dawni_instr_kind kind,
                                      int microbatch, int id)
{
    struct dawni_program *p = l->program;
    if (l->failed ||
        !dawni_array_reserve(&p->instr, &p->instr_room, p->instrs + 1)) {
        l->failed = true;
        return NULL;
    }
    struct dawni_instr *i = &p->instr[p->instrs++];
    *i = (struct dawni_instr){.kind = (uint8_t)kind,
                              .microbatch = microbatch,
                              .id = id,
                              .peer = -1,
                              .operand = p->operands};
    return i;
}

void dawni_lower_operand(struct dawni_lowering *l, int buffer)
{
    struct dawni_program *p = l->program;
    if (l->failed ||
        !dawni_array_reserve(&p->operand, &p->operand_room, p->operands + 1)) {
        l->failed = true;
        return;
    }
    p->operand[p->operands++] = buffer;
    p->instr[p->instrs - 1].operands++;
    if (buffer < 0)
        return;
    struct dawni_buffer *b = &p->buffer[buffer];
    if (b->begin < 0)
        b->begin = p->instrs - 1;
    b->end = p->instrs - 1;
}

void dawni_lower_one(struct dawni_lowering *l, enum dawni_instr_kind kind,
                     int microbatch, int id, int buffer)
{
    if (dawni_lower_instr(l, kind, microbatch, id))
        dawni_lower_operand(l, buffer);
}

void dawni_lower_message(struct dawni_lowering *l,
                         const struct dawni_message *m, int buffer)
{
    struct dawni_instr *i = dawni_lower_instr(l, m->kind, m->microbatch, m->id);
    if (!i)
        return;
    i->peer = m->peer;
    i->tag = m->tag;
    dawni_lower_operand(l, buffer);
}

/* Does a backward of the stage need the tensor? */
static bool saved_in_stage(const struct dawni_lowering *l, int stage,
                           int tensor)
{
    return dawni_tensor_saved(l->graph, tensor, l->first[stage],
                              l->first[stage + 1] - 1);
}

bool dawni_lower_keeps(const struct dawni_lowering *l, int stage, int tensor)
{
    return !l->forward_only && dawni_decision(l, stage, tensor) == DAWN_KEEP &&
           saved_in_stage(l, stage, tensor);
}

/* Is the tensor needed after F, wherever it is meanwhile? */
static bool holds(const struct dawni_lowering *l, int stage, int tensor)
{
    return !l->forward_only &&
           dawni_decision(l, stage, tensor) != DAWN_RECOMPUTE &&
           saved_in_stage(l, stage, tensor);
}

int dawni_lower_made(struct dawni_lowering *l, int stage, int tensor,
                     enum dawn_category other)
{
    if (dawni_offload_find(l, stage, tensor) >= 0)
        return dawni_offload_buffer(l, tensor,
                                    dawni_decision(l, stage, tensor));
    return dawni_lower_tensor(
        l, tensor,
        dawni_lower_keeps(l, stage, tensor) ? DAWN_CATEGORY_SAVED : other);
}

/* May output 0 of the node overwrite its last input? Nobody may need that
 * tensor any more, here or elsewhere. */
static bool may_overwrite(const struct dawni_lowering *l, int stage, int node)
{
    const struct dawni_node *n = &l->graph->node[node];
    if (!(n->desc.flags & DAWN_NODE_INPLACE) || n->desc.inputs == 0)
        return false;
    int t = n->desc.input[n->desc.inputs - 1];
    const struct dawni_tensor *in = &l->graph->tensor[t];
    for (int i = 0; i < n->desc.inputs - 1; i++)
        if (n->desc.input[i] == t)
            return false;
    return in->producer >= l->first[stage] && in->user[in->users - 1] == node &&
           t != l->graph->loss && !holds(l, stage, t) &&
           dawni_offload_find(l, stage, n->output[0]) < 0 &&
           dawni_graph_padded_bytes(l->graph, t, l->sizes->microbatch) ==
               dawni_graph_padded_bytes(l->graph, n->output[0],
                                        l->sizes->microbatch);
}

/* Buffers of the outputs, where they have none yet. */
static void make_outputs(struct dawni_lowering *l, int stage, int node,
                         int *slot, bool again)
{
    const struct dawni_node *n = &l->graph->node[node];
    for (int k = 0; k < n->desc.outputs; k++) {
        int t = n->output[k];
        bool keep = !again && dawni_lower_keeps(l, stage, t);
        if (slot[t] >= 0)
            continue;
        if (k == 0 && !again && may_overwrite(l, stage, node)) {
            slot[t] = slot[n->desc.input[n->desc.inputs - 1]];
            if (keep && slot[t] >= 0)
                l->program->buffer[slot[t]].category = DAWN_CATEGORY_SAVED;
            continue;
        }
        slot[t] = again
                      ? dawni_lower_tensor(l, t, DAWN_CATEGORY_TRANSIENT)
                      : dawni_lower_made(l, stage, t, DAWN_CATEGORY_TRANSIENT);
    }
}

static void feed(struct dawni_lowering *l, int stage, int microbatch,
                 int tensor, int *slot)
{
    slot[tensor] = dawni_lower_made(l, stage, tensor, DAWN_CATEGORY_TRANSIENT);
    dawni_lower_one(l, DAWNI_I_FEED, microbatch, tensor, slot[tensor]);
    dawni_offload_made(l, stage, microbatch, tensor, slot[tensor]);
}

void dawni_lower_scratch(struct dawni_lowering *l, int node, int phase)
{
    uint64_t bytes = l->sizes->scratch[node][phase];
    dawni_lower_operand(
        l, bytes ? dawni_lower_buffer(l, bytes, DAWN_CATEGORY_SCRATCH) : -1);
}

void dawni_lower_node(struct dawni_lowering *l, int stage, int microbatch,
                      int node, int *slot, bool again)
{
    const struct dawni_node *n = &l->graph->node[node];
    for (int i = 0; i < n->desc.inputs; i++) {
        int t = n->desc.input[i];
        if (slot[t] < 0 && l->graph->tensor[t].producer < 0)
            feed(l, stage, microbatch, t, slot);
    }
    make_outputs(l, stage, node, slot, again);
    struct dawni_instr *f = dawni_lower_instr(l, DAWNI_I_F, microbatch, node);
    if (!f)
        return;
    f->again = again;
    f->adds = dawni_versions_adds(l, node, microbatch);
    for (int i = 0; i < n->desc.inputs; i++)
        dawni_lower_operand(l, slot[n->desc.input[i]]);
    for (int k = 0; k < n->desc.outputs; k++)
        dawni_lower_operand(l, slot[n->output[k]]);
    dawni_lower_scratch(l, node, 0);
    dawni_versions_read(l, stage, microbatch, node);
    for (int k = 0; k < n->desc.outputs && !again; k++)
        dawni_offload_made(l, stage, microbatch, n->output[k],
                           slot[n->output[k]]);
}

void dawni_lower_f(struct dawni_lowering *l, int stage, int microbatch)
{
    int *slot = dawni_slots(l, l->act, stage, microbatch);
    for (int c = 0; c < l->cuts->acts; c++) {
        const struct dawni_cut *cut = &l->cuts->act[c];
        for (int i = 0; cut->edge.to == stage && i < cut->tensors; i++) {
            int t = cut->tensor[i];
            dawni_lower_one(l, DAWNI_I_RECV_WAIT, microbatch, t, slot[t]);
            dawni_offload_made(l, stage, microbatch, t, slot[t]);
        }
    }
    for (int n = l->first[stage]; n < l->first[stage + 1]; n++)
        dawni_lower_node(l, stage, microbatch, n, slot, false);
    int loss = l->graph->loss;
    int maker = dawn_graph_producer(l->graph, loss);
    if (maker >= l->first[stage] && maker < l->first[stage + 1])
        dawni_lower_one(l, DAWNI_I_LOSS, microbatch, loss, slot[loss]);
}

static const struct {
    enum dawni_instr_kind kind;
    bool activation, from_here; /* this stage is edge.from */
} transfers[] = {
    [DAWN_ACTION_RECV_ACT] = {DAWNI_I_RECV, true, false},
    [DAWN_ACTION_SEND_ACT] = {DAWNI_I_SEND, true, true},
    [DAWN_ACTION_WAIT_ACT] = {DAWNI_I_SEND_WAIT, true, true},
    [DAWN_ACTION_RECV_GRAD] = {DAWNI_I_RECV, false, true},
    [DAWN_ACTION_SEND_GRAD] = {DAWNI_I_SEND, false, false},
    [DAWN_ACTION_WAIT_GRAD] = {DAWNI_I_SEND_WAIT, false, false},
};

int dawni_lower_chunks(const struct dawni_lowering *l)
{
    return (l->stages + l->ranks - 1) / l->ranks;
}

/* Tells edges between the same two ranks apart: by their chunks. */
static int transfer_tag(const struct dawni_lowering *l, int from, int to,
                        bool activation)
{
    int chunks = dawni_lower_chunks(l);
    return 2 * (from / l->ranks * chunks + to / l->ranks) + !activation;
}

void dawni_lower_transfer(struct dawni_lowering *l, const struct dawn_action *a)
{
    bool activation = transfers[a->kind].activation;
    enum dawni_instr_kind kind = transfers[a->kind].kind;
    bool from_here = transfers[a->kind].from_here;
    int from = from_here ? a->stage : a->peer;
    int to = from_here ? a->peer : a->stage;
    const struct dawni_cut *cut =
        activation ? dawni_cut_find(l->cuts->act, l->cuts->acts, from, to)
                   : dawni_cut_find(l->cuts->grad, l->cuts->grads, from, to);
    int *slot =
        dawni_slots(l, activation ? l->act : l->cross, a->stage, a->microbatch);
    struct dawni_message m = {
        .kind = kind,
        .microbatch = a->microbatch,
        .peer = a->peer % l->ranks,
        .tag = transfer_tag(l, from, to, activation),
    };
    for (int i = 0; cut && i < cut->tensors; i++) {
        int t = cut->tensor[i];
        if (kind == DAWNI_I_RECV)
            slot[t] = activation
                          ? dawni_lower_made(l, a->stage, t, DAWN_CATEGORY_COMM)
                          : dawni_lower_tensor(l, t, DAWN_CATEGORY_COMM);
        m.id = t;
        dawni_lower_message(l, &m, slot[t]);
    }
}

static void lower_action(struct dawni_lowering *l, const struct dawn_action *a,
                         const struct dawn_action *next)
{
    switch (a->kind) {
    case DAWN_ACTION_F:
        dawni_offload_begin(l, a, next);
        dawni_lower_f(l, a->stage, a->microbatch);
        dawni_offload_end(l);
        break;
    case DAWN_ACTION_BW:
        dawni_lower_observe_ready(l, a->microbatch);
        dawni_offload_begin(l, a, next);
        dawni_lower_bw(l, a->stage, a->microbatch);
        dawni_offload_end(l);
        dawni_lower_observe(l, a->microbatch);
        break;
    case DAWN_ACTION_UPDATE:
        dawni_lower_update(l, a->stage, a->microbatch);
        break;
    case DAWN_ACTION_REDUCE:
        dawni_lower_reduce(l);
        break;
    case DAWN_ACTION_STEP:
        dawni_lower_step(l);
        break;
    default:
        dawni_lower_transfer(l, a);
    }
}

static void evaluation_transfers(struct dawni_lowering *l,
                                 enum dawn_action_kind kind, int stage)
{
    struct dawn_action a = {.kind = kind, .stage = stage};
    for (a.peer = 0; a.peer < l->stages; a.peer++)
        dawni_lower_transfer(l, &a);
}

/* One forward pass of one microbatch over the rank's stages: all receives are
 * posted first, each stage sends as soon as it is through. */
static void lower_evaluation(struct dawni_lowering *l)
{
    l->forward_only = true;
    for (int s = l->rank; s < l->stages; s += l->ranks)
        dawni_slots_clear(l, s, dawni_slots(l, l->act, s, 0));
    for (int s = l->rank; s < l->stages; s += l->ranks)
        evaluation_transfers(l, DAWN_ACTION_RECV_ACT, s);
    for (int s = l->rank; s < l->stages; s += l->ranks) {
        dawni_lower_f(l, s, 0);
        evaluation_transfers(l, DAWN_ACTION_SEND_ACT, s);
    }
    for (int s = l->rank; s < l->stages; s += l->ranks)
        evaluation_transfers(l, DAWN_ACTION_WAIT_ACT, s);
}

/* Kept buffers live as long as the program. */
static void stretch_kept(struct dawni_program *p)
{
    for (int i = 0; i < p->buffers; i++) {
        if (p->buffer[i].category > DAWN_CATEGORY_PASSES)
            continue;
        p->buffer[i].begin = 0;
        p->buffer[i].end = p->instrs - 1;
    }
}

void dawni_lower_all(struct dawni_lowering *l, const struct dawn_action *action,
                     int actions)
{
    dawni_lower_kept(l);
    dawni_lower_observe_begin(l);
    for (int i = 0; i < actions && !l->failed; i++) {
        l->program->action_at[i] = l->program->instrs;
        lower_action(l, &action[i], dawni_staging_next(action, actions, i));
    }
    l->program->action_at[actions] = l->program->instrs;
    l->program->step_instrs = l->program->instrs;
    if (!l->failed)
        lower_evaluation(l);
    stretch_kept(l->program);
}

static int *slots(int64_t n)
{
    int *slot = dawni_calloc(n, sizeof *slot);
    for (int64_t i = 0; slot && i < n; i++)
        slot[i] = -1;
    return slot;
}

void dawni_slots_clear(const struct dawni_lowering *l, int stage, int *slot)
{
    for (int n = l->first[stage]; n < l->first[stage + 1]; n++) {
        const struct dawni_node *node = &l->graph->node[n];
        for (int i = 0; i < node->desc.inputs; i++)
            slot[node->desc.input[i]] = -1;
        for (int k = 0; k < node->desc.outputs; k++)
            slot[node->output[k]] = -1;
    }
}

/* Slots of all microbatches. There are many, of which a rank uses few: only
 * those are touched. */
static int *microbatch_slots(const struct dawni_lowering *l)
{
    size_t rows = (size_t)dawni_lower_chunks(l) * (size_t)l->microbatches;
    size_t slots = rows * (size_t)l->graph->tensors;
    int *array = malloc((slots + 1) * sizeof *array);
    for (int s = l->rank; array && s < l->stages; s += l->ranks)
        for (int m = 0; m < l->microbatches; m++)
            dawni_slots_clear(l, s, dawni_slots(l, array, s, m));
    return array;
}

enum dawn_status dawni_lowering_begin(struct dawni_lowering *l,
                                      struct dawn_error *err)
{
    int64_t tensors = l->graph->tensors;
    struct dawni_program *p = l->program;
    l->act = microbatch_slots(l);
    l->cross = microbatch_slots(l);
    l->grad = slots(tensors);
    l->back = slots(tensors);
    l->item = slots(tensors * dawni_lower_chunks(l));
    p->master = slots(l->graph->params);
    p->adam_m = slots(l->graph->params);
    p->adam_v = slots(l->graph->params);
    p->owned = dawni_calloc(l->graph->params, sizeof *p->owned);
    p->arrays = dawni_passes_arrays(&l->sizes->passes);
    p->pass = slots((int64_t)l->graph->params * p->arrays);
    p->use_at = slots((int64_t)l->graph->nodes + 1);
    p->prepared = slots(l->graph->nodes);
    if (!l->act || !l->cross || !l->grad || !l->back || !l->item ||
        !p->master || !p->adam_m || !p->adam_v || !p->owned || !p->pass ||
        !p->use_at || !p->prepared)
        return dawn_fail(err, DAWN_E_NOMEM,
                         "no memory to lower %d nodes, %d microbatches",
                         l->graph->nodes, l->microbatches);
    int uses = 0;
    for (int i = 0; i < l->graph->nodes; i++) {
        p->use_at[i] = uses;
        uses += l->graph->node[i].desc.params;
    }
    p->use_at[l->graph->nodes] = uses;
    p->use = slots(uses);
    bool each =
        dawni_passes_observe(&l->sizes->passes, DAWNI_OBSERVES_MICROBATCHES);
    l->ring = slots(each ? (int64_t)uses * l->stages : 0);
    return p->use && l->ring
               ? DAWN_OK
               : dawn_fail(err, DAWN_E_NOMEM, "no memory for %d uses", uses);
}

void dawni_lowering_end(struct dawni_lowering *l)
{
    dawni_offload_destroy(l);
    dawni_moments_destroy(l);
    dawni_versions_destroy(l);
    free(l->act);
    free(l->cross);
    free(l->grad);
    free(l->back);
    free(l->item);
    free(l->ring);
    l->act = l->cross = l->grad = l->back = l->item = l->ring = NULL;
}
