/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/moments.h"
#include "common/array.h"
#include "memory/offload.h"

uint64_t dawni_moments_written(int64_t count, enum dawn_decision decision)
{
    return dawni_offload_bytes(2 * dawni_moments_v_at(count), decision);
}

uint64_t dawni_moments_array_at(const struct dawni_moments_size *size,
                                int array)
{
    uint64_t at = dawni_moments_written(size->count, size->decision);

    for (int i = 0; i < array; i++) {
        int bytes = dawni_passes_element_bytes(size->passes, i);
        at += dawni_padded((uint64_t)size->count * (uint64_t)bytes);
    }
    return at;
}

uint64_t dawni_moments_bytes(const struct dawni_moments_size *size)
{
    int arrays = dawni_passes_arrays(size->passes);

    return dawni_offload_bytes(dawni_moments_array_at(size, arrays),
                               size->decision);
}

/* The walk */

static uint64_t window_of(struct dawni_moments_walk *w)
{
    for (int i = 0; i < w->pieces && !w->next_read; i++)
        if (2 * w->bytes[i] > w->window)
            w->window = 2 * w->bytes[i];
    return w->window;
}

void dawni_moments_ahead(struct dawni_moments_walk *w)
{
    uint64_t window = window_of(w);

    while (w->next_read < w->pieces &&
           w->reading + w->bytes[w->next_read] <= window) {
        w->reading += w->bytes[w->next_read];
        w->move(w->arg, DAWNI_READ, w->next_read++);
    }
}

int dawni_moments_need(struct dawni_moments_walk *w)
{
    dawni_moments_ahead(w);
    w->move(w->arg, DAWNI_ARRIVED, w->updated);
    return w->updated;
}

static void wait_for_oldest(struct dawni_moments_walk *w)
{
    w->writing -= w->bytes[w->next_written];
    w->move(w->arg, DAWNI_WRITTEN, w->next_written++);
}

void dawni_moments_updated(struct dawni_moments_walk *w)
{
    uint64_t bytes = w->bytes[w->updated];

    w->reading -= bytes;
    while (w->writing + bytes > w->window)
        wait_for_oldest(w);
    w->writing += bytes;
    w->move(w->arg, DAWNI_WRITE, w->updated++);
    dawni_moments_ahead(w);
}

void dawni_moments_end(struct dawni_moments_walk *w)
{
    while (w->next_written < w->updated)
        wait_for_oldest(w);
}

/* What is away */

static enum dawn_decision moments_of(const struct dawni_lowering *l, int param)
{
    if (!l->optimizer || !dawni_lower_updates(l, param) ||
        l->graph->param[param].desc.average > 0 ||
        !dawni_passes_train(&l->sizes->passes))
        return DAWN_KEEP;
    return (enum dawn_decision)l->optimizer[param];
}

/* How many pieces; false: more than can be counted. */
static bool count(const struct dawni_lowering *l, int *pieces_p)
{
    int64_t n = 0;

    for (int i = 0; i < l->graph->params; i++)
        if (moments_of(l, i) != DAWN_KEEP)
            n += dawni_moments_pieces(l->graph->param[i].elements);
    *pieces_p = (int)n;
    return n <= INT32_MAX / 4;
}

static void add_param(struct dawni_lowering *l, int param)
{
    struct dawni_moments *a = l->away;
    struct dawn_memory *m = &l->program->memory;
    enum dawn_decision decision = moments_of(l, param);
    int64_t elements = l->graph->param[param].elements;
    uint64_t *used = decision == DAWN_TO_SSD ? &m->ssd_bytes : &m->host_bytes;

    for (int k = 0; k < dawni_moments_pieces(elements); k++) {
        struct dawni_moments_size size = {.passes = &l->sizes->passes,
                                          .count =
                                              dawni_moments_count(elements, k),
                                          .decision = decision};
        a->bytes[a->pieces] = dawni_moments_bytes(&size);
        a->piece[a->pieces] = (struct dawni_moments_piece){
            .param = param,
            .number = k,
            .decision = decision,
            .place = *used,
            .buffer = -1,
        };
        *used += a->bytes[a->pieces++];
    }
}

static const enum dawni_instr_kind instr_of[] = {
    [DAWNI_WRITE] = DAWNI_I_OFFLOAD,
    [DAWNI_WRITTEN] = DAWNI_I_OFFLOAD_WAIT,
    [DAWNI_READ] = DAWNI_I_PREFETCH,
    [DAWNI_ARRIVED] = DAWNI_I_PREFETCH_WAIT,
};

static void move(void *arg, enum dawni_move what, int piece)
{
    struct dawni_lowering *l = arg;
    struct dawni_moments_piece *p = &l->away->piece[piece];
    struct dawni_instr *i;

    if (what == DAWNI_READ)
        p->buffer = dawni_lower_staging(l, l->away->bytes[piece], p->decision);
    i = dawni_lower_instr(l, instr_of[what], -1, p->param);
    if (!i)
        return;
    i->tag = p->number;
    i->peer = (int)p->decision;
    i->place = p->place;
    dawni_lower_operand(l, p->buffer);
}

enum dawn_status dawni_moments_create(struct dawni_lowering *l,
                                      struct dawn_error *err)
{
    struct dawni_moments *a;
    int pieces;

    if (!count(l, &pieces))
        return dawn_fail(err, DAWN_E_INVAL, "too many pieces of moments");
    if (!pieces)
        return DAWN_OK;
    l->away = a = calloc(1, sizeof *a);
    if (a) {
        a->piece = dawni_calloc(pieces, sizeof *a->piece);
        a->bytes = dawni_calloc(pieces, sizeof *a->bytes);
    }
    if (!a || !a->piece || !a->bytes) {
        dawni_moments_destroy(l);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d pieces", pieces);
    }
    for (int i = 0; i < l->graph->params; i++)
        if (moments_of(l, i) != DAWN_KEEP)
            add_param(l, i);
    a->walk = (struct dawni_moments_walk){
        .pieces = a->pieces, .bytes = a->bytes, .move = move, .arg = l};
    return DAWN_OK;
}

void dawni_moments_destroy(struct dawni_lowering *l)
{
    if (!l->away)
        return;
    free(l->away->piece);
    free(l->away->bytes);
    free(l->away);
    l->away = NULL;
}

/* Lowering */

void dawni_moments_lower_ahead(struct dawni_lowering *l)
{
    if (l->away)
        dawni_moments_ahead(&l->away->walk);
}

void dawni_moments_lower_update(struct dawni_lowering *l, int param)
{
    int pieces = dawni_moments_pieces(l->graph->param[param].elements);

    for (int k = 0; k < pieces && !l->failed; k++) {
        int piece = dawni_moments_need(&l->away->walk);
        struct dawni_instr *i = dawni_lower_instr(l, DAWNI_I_ADAMW, -1, param);
        if (!i)
            return;
        i->tag = k;
        dawni_lower_operand(l, l->away->piece[piece].buffer);
        dawni_moments_updated(&l->away->walk);
    }
}

void dawni_moments_lower_end(struct dawni_lowering *l)
{
    if (l->away)
        dawni_moments_end(&l->away->walk);
}
