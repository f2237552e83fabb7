/* SPDX-License-Identifier: Apache-2.0 */
/* Pricing a candidate stage: one microbatch's F and BW lowered as the middle of
 * three stages, all before it being the first and all behind it the last.
 */
#include "common/array.h"
#include "memory/lower.h"

struct dawni_stage_pricer {
    struct dawni_lowering l;
    struct dawni_program p;
    struct dawni_cuts cuts;
    int act_room[2], grad_room[2];
    int first[4];
    const uint8_t *decision[3];
};

enum dawn_status dawni_stage_pricer_create(const struct dawn_graph *graph,
                                           const struct dawni_sizes *sizes,
                                           struct dawni_stage_pricer **p_p,
                                           struct dawn_error *err)
{
    struct dawni_stage_pricer *p = calloc(1, sizeof *p);
    if (!p)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a pricer");
    p->l = (struct dawni_lowering){
        .graph = graph,
        .sizes = sizes,
        .cuts = &p->cuts,
        .first = p->first,
        .stages = 3,
        .ranks = 3,
        .rank = 1,
        .microbatches = 1,
        .decision = p->decision,
        .program = &p->p,
    };
    p->first[3] = graph->nodes;
    p->cuts.acts = p->cuts.grads = 2;
    p->cuts.act = calloc(2, sizeof *p->cuts.act);
    p->cuts.grad = calloc(2, sizeof *p->cuts.grad);
    enum dawn_status st = DAWN_OK;
    if (!p->cuts.act || !p->cuts.grad)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a pricer");
    for (int i = 0; !st && i < 2; i++) {
        p->cuts.act[i].edge = (struct dawn_edge){i, i + 1};
        p->cuts.grad[i].edge = (struct dawn_edge){i, i + 1};
    }
    if (!st)
        st = dawni_lowering_begin(&p->l, err);
    if (st) {
        dawni_stage_pricer_destroy(p);
        return st;
    }
    *p_p = p;
    return DAWN_OK;
}

void dawni_stage_pricer_destroy(struct dawni_stage_pricer *p)
{
    if (!p)
        return;
    dawni_lowering_end(&p->l);
    dawni_cuts_clear(&p->cuts);
    dawni_program_clear(&p->p);
    free(p);
}

static void cross(struct dawni_stage_pricer *p, struct dawni_cut *cut,
                  int *room, int tensor)
{
    for (int i = 0; i < cut->tensors; i++)
        if (cut->tensor[i] == tensor)
            return;
    if (!dawni_array_reserve(&cut->tensor, room, cut->tensors + 1))
        p->l.failed = true;
    else
        cut->tensor[cut->tensors++] = tensor;
}

/* What comes in and goes out of the stage. */
static void find_cuts(struct dawni_stage_pricer *p, int first, int last)
{
    const struct dawn_graph *g = p->l.graph;
    for (int i = 0; i < 2; i++)
        p->cuts.act[i].tensors = p->cuts.grad[i].tensors = 0;
    for (int n = first; n <= last; n++) {
        const struct dawni_node *node = &g->node[n];
        for (int i = 0; i < node->desc.inputs; i++) {
            int t = node->desc.input[i];
            const struct dawni_tensor *in = &g->tensor[t];
            if (in->producer < 0 || in->producer >= first)
                continue;
            cross(p, &p->cuts.act[0], &p->act_room[0], t);
            if (in->needs_grad)
                cross(p, &p->cuts.grad[0], &p->grad_room[0], t);
            if (in->needs_grad && in->user[in->users - 1] > last)
                cross(p, &p->cuts.grad[1], &p->grad_room[1], t);
        }
        for (int k = 0; k < node->desc.outputs; k++) {
            int t = node->output[k];
            const struct dawni_tensor *out = &g->tensor[t];
            if (out->users == 0 || out->user[out->users - 1] <= last)
                continue;
            cross(p, &p->cuts.act[1], &p->act_room[1], t);
            if (out->needs_grad)
                cross(p, &p->cuts.grad[1], &p->grad_room[1], t);
        }
    }
}

/* Forget what the candidate before left behind. */
static void reset(struct dawni_stage_pricer *p, int first, int last)
{
    const struct dawn_graph *g = p->l.graph;
    p->p.instrs = p->p.operands = p->p.buffers = 0;
    p->l.failed = false;
    for (int n = first; n <= last; n++) {
        const struct dawni_node *node = &g->node[n];
        for (int i = 0; i < node->desc.inputs; i++) {
            int t = node->desc.input[i];
            p->l.act[t] = p->l.cross[t] = -1;
        }
        for (int k = 0; k < node->desc.outputs; k++) {
            int t = node->output[k];
            p->l.act[t] = p->l.cross[t] = -1;
        }
        for (int i = 0; i < node->desc.params; i++) {
            int id = node->desc.param[i];
            p->p.master[id] = p->p.adam_m[id] = p->p.adam_v[id] = -1;
        }
    }
}

/* Largest sum of live bytes among instructions begin..end-1, without what is
 * kept. */
static uint64_t peak(const int64_t *live, int begin, int end)
{
    uint64_t top = 0;
    for (int i = begin; i < end; i++)
        if (live[i] > (int64_t)top)
            top = (uint64_t)live[i];
    return top;
}

static bool measure(struct dawni_stage_pricer *p, int f_end,
                    struct dawni_stage_memory *m)
{
    int n = p->p.instrs;
    int64_t *live = dawni_calloc((int64_t)n + 1, sizeof *live);
    if (!live)
        return false;
    *m = (struct dawni_stage_memory){0};
    for (int i = 0; i < p->p.buffers; i++) {
        const struct dawni_buffer *b = &p->p.buffer[i];
        if (b->category <= DAWN_CATEGORY_OPTIMIZER)
            m->kept += b->bytes;
        if (b->begin < 0)
            continue;
        live[b->begin] += (int64_t)b->bytes;
        live[b->end + 1] -= (int64_t)b->bytes;
        if (b->begin < f_end && b->end >= f_end)
            m->saved += b->bytes;
    }
    for (int i = 1; i < n; i++)
        live[i] += live[i - 1];
    m->f_peak = peak(live, 0, f_end);
    m->b_peak = peak(live, f_end, n);
    free(live);
    return true;
}

static void transfer(struct dawni_stage_pricer *p, enum dawn_action_kind kind,
                     int peer)
{
    struct dawn_action a = {.kind = kind, .stage = 1, .peer = peer};
    dawni_lower_transfer(&p->l, &a);
}

enum dawn_status dawni_stage_price(struct dawni_stage_pricer *p, int first,
                                   int last, const uint8_t *decision,
                                   struct dawni_stage_memory *memory,
                                   uint8_t *recompute_node,
                                   struct dawn_error *err)
{
    const struct dawn_graph *g = p->l.graph;
    if (first < 0 || last < first || last >= g->nodes)
        return dawn_fail(err, DAWN_E_INVAL, "stage of nodes %d to %d, of %d",
                         first, last, g->nodes);
    p->first[1] = first;
    p->first[2] = last + 1;
    p->decision[1] = decision;
    p->l.runs_again = recompute_node;
    reset(p, first, last);
    find_cuts(p, first, last);
    dawni_lower_kept(&p->l);
    transfer(p, DAWN_ACTION_RECV_ACT, 0);
    dawni_lower_f(&p->l, 1, 0);
    transfer(p, DAWN_ACTION_SEND_ACT, 2);
    transfer(p, DAWN_ACTION_WAIT_ACT, 2);
    int f_end = p->p.instrs;
    transfer(p, DAWN_ACTION_RECV_GRAD, 2);
    dawni_lower_bw(&p->l, 1, 0);
    transfer(p, DAWN_ACTION_SEND_GRAD, 0);
    transfer(p, DAWN_ACTION_WAIT_GRAD, 0);
    if (p->l.failed || !measure(p, f_end, memory))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to price %d nodes",
                         last - first + 1);
    memory->comm = dawni_cut_bytes(g, &p->cuts.act[0], p->l.sizes->microbatch) +
                   dawni_cut_bytes(g, &p->cuts.grad[1], p->l.sizes->microbatch);
    return DAWN_OK;
}
