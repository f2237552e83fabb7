/* SPDX-License-Identifier: Apache-2.0 */
/* The program as an object: its parts, its memory curve, its packing. */
#include "memory/program.h"
#include "common/array.h"
#include "memory/moments.h"
#include "memory/offload.h"
#include "memory/pack.h"
#include "memory/versions.h"
#include <limits.h>

static const char *const instr_names[DAWNI_I_KINDS] = {
    [DAWNI_I_FEED] = "feed",
    [DAWNI_I_F] = "F",
    [DAWNI_I_B] = "B",
    [DAWNI_I_W] = "W",
    [DAWNI_I_LOSS] = "loss",
    [DAWNI_I_SEED] = "seed",
    [DAWNI_I_ADD] = "add",
    [DAWNI_I_RECV] = "recv",
    [DAWNI_I_RECV_WAIT] = "recv_wait",
    [DAWNI_I_SEND] = "send",
    [DAWNI_I_SEND_WAIT] = "send_wait",
    [DAWNI_I_OFFLOAD] = "offload",
    [DAWNI_I_OFFLOAD_WAIT] = "offload_wait",
    [DAWNI_I_PREFETCH] = "prefetch",
    [DAWNI_I_PREFETCH_WAIT] = "prefetch_wait",
    [DAWNI_I_SUM_USES] = "sum_uses",
    [DAWNI_I_OBSERVE] = "observe",
    [DAWNI_I_NORM] = "norm",
    [DAWNI_I_STAGE_NORM] = "stage_norm",
    [DAWNI_I_ADAMW] = "adamw",
    [DAWNI_I_AVERAGE] = "average",
    [DAWNI_I_ZERO] = "zero",
    [DAWNI_I_PREPARE] = "prepare",
};

const char *dawni_instr_name(enum dawni_instr_kind kind)
{
    return kind < DAWNI_I_KINDS ? instr_names[kind] : "?";
}

struct dawni_operands dawni_program_operands(const struct dawni_program *p,
                                             const struct dawn_node_desc *node,
                                             const struct dawni_instr *instr)
{
    const int *at = &p->operand[instr->operand];
    struct dawni_operands o = {.in = at, .out = at + node->inputs};
    at += node->inputs + node->outputs;
    if (instr->kind != DAWNI_I_F) {
        o.dout = at;
        o.din = o.dout + node->outputs;
        o.din_add = o.din + node->inputs;
        at = o.din_add + node->inputs;
    }
    o.scratch = *at;
    return o;
}

void dawni_program_clear(struct dawni_program *p)
{
    free(p->instr);
    free(p->operand);
    free(p->buffer);
    free(p->master);
    free(p->adam_m);
    free(p->adam_v);
    free(p->owned);
    free(p->pass);
    free(p->use_at);
    free(p->use);
    free(p->prepared);
    free(p->action_at);
}

void dawni_program_destroy(struct dawni_program *p)
{
    if (!p)
        return;
    dawni_program_clear(p);
    free(p);
}

int64_t *dawni_program_live(const struct dawni_program *p)
{
    int64_t *live = dawni_calloc((int64_t)p->instrs + 1, sizeof *live);
    if (!live)
        return NULL;
    for (int i = 0; i < p->buffers; i++) {
        const struct dawni_buffer *b = &p->buffer[i];
        if (b->end < 0)
            continue;
        live[b->begin] += (int64_t)b->bytes;
        live[b->end + 1] -= (int64_t)b->bytes;
    }
    for (int i = 1; i < p->instrs; i++)
        live[i] += live[i - 1];
    return live;
}

enum dawn_status dawni_program_measure(struct dawni_program *p,
                                       struct dawn_error *err)
{
    int64_t *live = dawni_program_live(p);
    if (!live)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a memory curve");
    int top = 0; /* of the step: an evaluation keeps nothing */
    for (int i = 1; i < p->step_instrs; i++)
        if (live[i] > live[top])
            top = i;
    p->memory.peak_bytes = (uint64_t)live[top];
    free(live);
    for (int i = 0; i < p->buffers; i++) {
        const struct dawni_buffer *b = &p->buffer[i];
        if (b->end >= 0 && b->begin <= top && b->end >= top)
            p->memory.by[b->category] += b->bytes;
        if (b->category <= DAWN_CATEGORY_PASSES)
            p->memory.kept_bytes += b->bytes;
    }
    return DAWN_OK;
}

static enum dawn_status pack(struct dawni_program *p, struct dawn_error *err)
{
    struct dawni_extent *x = dawni_calloc(p->buffers, sizeof *x);
    int *which = dawni_calloc(p->buffers, sizeof *which);
    enum dawn_status st;
    int n = 0;
    if (!x || !which) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to pack %d buffers",
                       p->buffers);
        goto out;
    }
    for (int i = 0; i < p->buffers; i++) {
        const struct dawni_buffer *b = &p->buffer[i];
        if (b->end < 0 || b->bytes == 0)
            continue;
        which[n] = i;
        x[n++] = (struct dawni_extent){
            .bytes = b->bytes, .begin = b->begin, .end = b->end};
    }
    st = dawni_pack(x, n, &p->memory.arena_bytes, err);
    for (int i = 0; !st && i < n; i++)
        p->buffer[which[i]].offset = x[i].offset;
out:
    free(x);
    free(which);
    return st;
}

/* By stage; NULL: no memory. */
static int *in_flight_of(const struct dawn_schedule *schedule)
{
    int stages = dawn_schedule_stages(schedule);
    int *in_flight = dawni_calloc(stages, sizeof *in_flight);
    for (int s = 0; in_flight && s < stages; s++)
        in_flight[s] = dawn_schedule_in_flight(schedule, s);
    return in_flight;
}

/* The rank's actions but for those of microbatches that are left out. NULL: no
 * memory. */
static struct dawn_action *actions_of(const struct dawni_lowering *l,
                                      const struct dawn_schedule *schedule,
                                      int *actions_p)
{
    int all, n = 0;
    const struct dawn_action *from =
        dawn_schedule_actions(schedule, l->rank, &all);
    struct dawn_action *action = dawni_calloc(all, sizeof *action);
    for (int i = 0; action && i < all; i++)
        if (from[i].microbatch < l->microbatches)
            action[n++] = from[i];
    *actions_p = n;
    return action;
}

static enum dawn_status lower(struct dawni_lowering *l,
                              const struct dawn_schedule *schedule,
                              struct dawn_error *err)
{
    int actions, *in_flight = in_flight_of(schedule);
    struct dawn_action *action = actions_of(l, schedule, &actions);
    enum dawn_status st = dawni_lowering_begin(l, err);
    l->in_flight = in_flight;
    l->program->update_every = dawn_schedule_update_every(schedule);
    l->program->action_at =
        dawni_calloc((int64_t)actions + 1, sizeof *l->program->action_at);
    l->program->actions = actions;
    if ((!l->program->action_at || !in_flight || !action) && !st)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d actions", actions);
    if (!st)
        st = dawni_offload_create(l, l->microbatches, err);
    if (!st)
        st = dawni_moments_create(l, err);
    if (!st)
        st = dawni_versions_create(l, schedule, err);
    if (!st)
        dawni_lower_all(l, action, actions);
    dawni_lowering_end(l);
    free(in_flight);
    free(action);
    if (!st && l->failed)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a program of %d nodes",
                       l->graph->nodes);
    return st;
}

enum dawn_status dawni_program_create(const struct dawni_lower_opts *opts,
                                      struct dawni_program **program_p,
                                      struct dawn_error *err)
{
    if (opts->rank < 0 || opts->rank >= dawn_schedule_ranks(opts->schedule))
        return dawn_fail(err, DAWN_E_INVAL, "rank %d, of %d", opts->rank,
                         dawn_schedule_ranks(opts->schedule));
    struct dawni_program *p = calloc(1, sizeof *p);
    if (!p)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a program");
    struct dawni_lowering l = {
        .graph = opts->graph,
        .sizes = opts->sizes,
        .cuts = opts->cuts,
        .first = opts->first,
        .stages = dawn_schedule_stages(opts->schedule),
        .ranks = dawn_schedule_ranks(opts->schedule),
        .rank = opts->rank,
        .microbatches = dawn_schedule_microbatches(opts->schedule),
        .decision = opts->decision,
        .optimizer = opts->optimizer,
        .program = p,
    };
    if (opts->microbatches && opts->microbatches < l.microbatches)
        l.microbatches = opts->microbatches;
    enum dawn_status st = lower(&l, opts->schedule, err);
    if (!st)
        st = dawni_program_measure(p, err);
    bool fits = !opts->cap_bytes || p->memory.peak_bytes <= opts->cap_bytes;
    p->memory.arena_bytes = p->memory.peak_bytes;
    if (!st && fits)
        st = pack(p, err);
    if (st) {
        dawni_program_destroy(p);
        return st;
    }
    *program_p = p;
    return DAWN_OK;
}
