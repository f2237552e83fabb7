/* SPDX-License-Identifier: Apache-2.0 */
/* Pricing a candidate stage: one microbatch's F and BW lowered as the middle of
 * three stages, all before it being the first and all behind it the last.
 *
 * What is offloaded also takes memory in the computations of other
 * microbatches: they are there as ghosts, of which the transfers are lowered
 * and nothing else. Before the priced computation stands the F of OUT, and
 * behind it the BW of IN. With two in flight these are one and the same.
 */
#include "common/array.h"
#include "memory/offload.h"
#include "memory/versions.h"

enum microbatch { PRICED, OUT, IN, MICROBATCHES };

struct dawni_stage_pricer {
    struct dawni_lowering l;
    struct dawni_program p;
    struct dawni_cuts cuts;
    int act_room[2], grad_room[2];
    int first[4];
    const uint8_t *decision[3];
    int in_flight, versions;
    struct dawni_stage_moves moves;
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
    p->in_flight = MICROBATCHES;
    p->versions = 1;
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

/* Does a node behind `last` send the tensor's gradient back? */
static bool grad_from_behind(const struct dawn_graph *g, int tensor, int last)
{
    const struct dawni_tensor *t = &g->tensor[tensor];
    for (int i = t->users - 1; i >= 0 && t->user[i] > last; i--)
        if (t->needs_grad && g->node[t->user[i]].active)
            return true;
    return false;
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
            if (!in->needs_grad || !node->active)
                continue;
            cross(p, &p->cuts.grad[0], &p->grad_room[0], t);
            if (grad_from_behind(g, t, last))
                cross(p, &p->cuts.grad[1], &p->grad_room[1], t);
        }
        for (int k = 0; k < node->desc.outputs; k++) {
            int t = node->output[k];
            const struct dawni_tensor *out = &g->tensor[t];
            if (out->users == 0 || out->user[out->users - 1] <= last)
                continue;
            cross(p, &p->cuts.act[1], &p->act_room[1], t);
            if (grad_from_behind(g, t, last))
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
    dawni_slots_clear(&p->l, 1, p->l.act);
    dawni_slots_clear(&p->l, 1, p->l.cross);
    for (int n = first; n <= last; n++) {
        const struct dawni_node *node = &g->node[n];
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

static bool measure(struct dawni_stage_pricer *p, struct dawni_stage_memory *m)
{
    const struct dawni_stage_moves *at = &p->moves;
    int n = p->p.instrs;
    int64_t *live = dawni_calloc((int64_t)n + 1, sizeof *live);
    if (!live)
        return false;
    *m = (struct dawni_stage_memory){0};
    for (int i = 0; i < p->p.buffers; i++) {
        const struct dawni_buffer *b = &p->p.buffer[i];
        if (b->category <= DAWN_CATEGORY_PASSES)
            m->kept += b->bytes;
        if (b->begin < 0)
            continue;
        live[b->begin] += (int64_t)b->bytes;
        live[b->end + 1] -= (int64_t)b->bytes;
        if (b->begin < at->f_end && b->end >= at->f_end &&
            b->category != DAWN_CATEGORY_STAGING)
            m->saved += b->bytes;
    }
    for (int i = 1; i < n; i++)
        live[i] += live[i - 1];
    m->f_peak = peak(live, at->f_begin, at->f_end);
    m->b_peak = peak(live, at->b_begin, at->b_end);
    free(live);
    return true;
}

static void transfer(struct dawni_stage_pricer *p, enum dawn_action_kind kind,
                     int peer)
{
    struct dawn_action a = {.kind = kind, .stage = 1, .peer = peer};
    dawni_lower_transfer(&p->l, &a);
}

/* Ghosts */

/* The computation of a microbatch begins; behind it comes the BW of `next`,
 * which is itself if it has none. */
static void begin(struct dawni_stage_pricer *p, enum dawn_action_kind kind,
                  enum microbatch mb, enum microbatch next)
{
    struct dawn_action now = {kind, (int)mb, 1, -1};
    struct dawn_action then = {DAWN_ACTION_BW, (int)next, 1, -1};
    dawni_offload_begin(&p->l, &now, &then);
}

/* What the F of a microbatch writes. */
static void ghost_f(struct dawni_stage_pricer *p, enum microbatch mb,
                    enum microbatch next)
{
    const struct dawni_offload *o = p->l.offload;
    begin(p, DAWN_ACTION_F, mb, next);
    for (int i = 0; i < o->set[1].n; i++) {
        int t = o->item[o->first[1] + i].tensor;
        int b = dawni_lower_made(&p->l, 1, t, DAWN_CATEGORY_STAGING);
        o->buffer[dawni_staging_index(o->staging, 1, (int)mb, i)] = b;
        dawni_staging_made(o->staging, i);
    }
    dawni_offload_end(&p->l);
}

/* What the BW of a microbatch reads. */
static void ghost_bw(struct dawni_stage_pricer *p, enum microbatch mb)
{
    const struct dawni_offload *o = p->l.offload;
    begin(p, DAWN_ACTION_BW, mb, mb);
    for (int i = 0; i < o->set[1].n; i++)
        dawni_staging_need(o->staging, o->set[1].order[i]);
    dawni_offload_end(&p->l);
}

/* Are there other microbatches, whose transfers matter? */
static bool has_ghosts(const struct dawni_stage_pricer *p)
{
    return p->l.offload && p->in_flight > 1;
}

/* The microbatch whose BW is next. */
static enum microbatch in(const struct dawni_stage_pricer *p)
{
    if (!has_ghosts(p))
        return PRICED;
    return p->in_flight == 2 ? OUT : IN;
}

static void ghosts_before_f(struct dawni_stage_pricer *p)
{
    if (!has_ghosts(p))
        return;
    if (p->in_flight > 2)
        ghost_f(p, IN, IN);
    ghost_f(p, OUT, OUT); /* its last writes are still under way */
}

/* From the beginning: the F of the priced one is a ghost now. */
static void ghosts_before_bw(struct dawni_stage_pricer *p)
{
    if (!has_ghosts(p))
        return;
    dawni_staging_reset(p->l.offload->staging);
    ghost_f(p, PRICED, PRICED);
    if (p->in_flight > 2)
        ghost_f(p, IN, IN);
    ghost_f(p, OUT, PRICED);
}

static void ghosts_behind(struct dawni_stage_pricer *p)
{
    if (has_ghosts(p))
        ghost_bw(p, in(p));
}

/* Pricing */

static void price_f(struct dawni_stage_pricer *p)
{
    ghosts_before_f(p);
    p->moves.f_begin = p->p.instrs;
    transfer(p, DAWN_ACTION_RECV_ACT, 0);
    begin(p, DAWN_ACTION_F, PRICED, in(p));
    dawni_lower_f(&p->l, 1, 0);
    dawni_offload_end(&p->l);
    transfer(p, DAWN_ACTION_SEND_ACT, 2);
    transfer(p, DAWN_ACTION_WAIT_ACT, 2);
    p->moves.f_end = p->p.instrs;
    ghosts_behind(p);
}

static void price_bw(struct dawni_stage_pricer *p)
{
    ghosts_before_bw(p);
    p->moves.b_begin = p->p.instrs;
    transfer(p, DAWN_ACTION_RECV_GRAD, 2);
    begin(p, DAWN_ACTION_BW, PRICED, in(p));
    dawni_lower_bw(&p->l, 1, 0);
    dawni_offload_end(&p->l);
    transfer(p, DAWN_ACTION_SEND_GRAD, 0);
    transfer(p, DAWN_ACTION_WAIT_GRAD, 0);
    p->moves.b_end = p->p.instrs;
    ghosts_behind(p);
}

void dawni_stage_pricer_expect(struct dawni_stage_pricer *p, int in_flight)
{
    p->in_flight = in_flight;
}

void dawni_stage_pricer_optimizer(struct dawni_stage_pricer *p,
                                  const uint8_t *optimizer)
{
    p->l.optimizer = optimizer;
}

void dawni_stage_pricer_versions(struct dawni_stage_pricer *p, int versions)
{
    p->versions = versions;
}

const struct dawni_stage_moves *dawni_stage_moves(
    const struct dawni_stage_pricer *p)
{
    return &p->moves;
}

enum dawn_status dawni_stage_price(struct dawni_stage_pricer *p, int first,
                                   int last, const uint8_t *decision,
                                   struct dawni_stage_memory *memory,
                                   uint8_t *recompute_node,
                                   struct dawn_error *err)
{
    const struct dawn_graph *g = p->l.graph;
    enum dawn_status st;
    if (first < 0 || last < first || last >= g->nodes)
        return dawn_fail(err, DAWN_E_INVAL, "stage of nodes %d to %d, of %d",
                         first, last, g->nodes);
    dawni_offload_destroy(&p->l);
    p->first[1] = first;
    p->first[2] = last + 1;
    p->decision[1] = decision;
    p->l.runs_again = recompute_node;
    reset(p, first, last);
    find_cuts(p, first, last);
    if ((st = dawni_offload_create(&p->l, MICROBATCHES, err)))
        return st;
    dawni_lower_kept(&p->l);
    price_f(p);
    price_bw(p);
    p->moves.program = &p->p;
    p->moves.items = p->l.offload ? p->l.offload->first[2] : 0;
    p->moves.item = p->l.offload ? p->l.offload->item : NULL;
    if (p->l.failed || !measure(p, memory))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to price %d nodes",
                         last - first + 1);
    if (p->versions > 1)
        memory->kept += (uint64_t)(p->versions - 1) *
                        dawni_version_bytes(g, p->l.sizes, first, last);
    memory->comm = dawni_cut_bytes(g, &p->cuts.act[0], p->l.sizes->microbatch) +
                   dawni_cut_bytes(g, &p->cuts.grad[1], p->l.sizes->microbatch);
    return DAWN_OK;
}
