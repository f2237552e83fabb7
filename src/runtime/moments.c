/* SPDX-License-Identifier: Apache-2.0 */
/* Moments, and what passes keep, between steps: read and written where they
 * are. The buffers that the update moves pieces through are free then, and so
 * is its transfers' state.
 */
#include "memory/moments.h"
#include "common/array.h"
#include "runtime/exec.h"
#include "tier/tier.h"
#include <string.h>

_Static_assert(DAWN_EXEC_MOMENTS == DAWNI_MOMENTS_MOST, "pieces as announced");

static bool has_moments(const struct dawn_exec *e, int i)
{
    return e->graph->param[e->param[i].param].desc.average == 0 &&
           dawni_passes_train(&e->passes);
}

static bool is_away(const struct dawn_exec *e, int i)
{
    return has_moments(e, i) &&
           dawn_plan_optimizer(e->plan, e->param[i].param) != DAWN_KEEP;
}

/* Binding */

/* With what passes keep, which is zero at first. */
static enum dawn_status zero_all(struct dawn_exec *e, int i,
                                 struct dawn_error *err)
{
    int pieces = dawni_moments_pieces(e->param[i].elements);
    enum dawn_status st = DAWN_OK;
    for (int k = 0; !st && k < pieces; k++) {
        int read = e->piece[e->piece_at[i] + k].read;
        memset(e->io[read].data, 0, e->io[read].bytes);
        st = dawni_exec_write_behind(e, read, err);
    }
    return st ? st : dawni_exec_zero_moments(e, i, err);
}

static void find_pieces(struct dawn_exec *e, const int *number)
{
    const struct dawni_program *p = e->program;
    for (int k = 0; k < p->step_instrs; k++) {
        const struct dawni_instr *i = &p->instr[k];
        if (i->microbatch >= 0 ||
            (i->kind != DAWNI_I_PREFETCH && i->kind != DAWNI_I_OFFLOAD))
            continue;
        struct dawni_exec_piece *piece =
            &e->piece[e->piece_at[number[i->id]] + i->tag];
        if (i->kind == DAWNI_I_PREFETCH)
            piece->read = k;
        else
            piece->write = k;
    }
}

enum dawn_status dawni_exec_bind_moments(struct dawn_exec *e,
                                         struct dawn_error *err)
{
    int *number = dawni_calloc(e->graph->params, sizeof *number);
    int pieces = 0;
    enum dawn_status st = DAWN_OK;
    e->piece_at = dawni_calloc(e->owned, sizeof *e->piece_at);
    for (int i = 0; number && e->piece_at && i < e->owned; i++) {
        number[e->param[i].param] = i;
        e->piece_at[i] = pieces;
        if (is_away(e, i))
            pieces += dawni_moments_pieces(e->param[i].elements);
    }
    e->piece = dawni_calloc(pieces, sizeof *e->piece);
    if (!number || !e->piece_at || !e->piece)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d pieces", pieces);
    else
        find_pieces(e, number);
    free(number);
    /* so that each piece has a checksum before it is read */
    for (int i = 0; !st && e->checksum && i < e->owned; i++)
        if (is_away(e, i))
            st = zero_all(e, i, err);
    return st;
}

/* Pieces */

static enum dawn_status check(const struct dawn_exec *e, int i, int64_t first,
                              int64_t count, struct dawn_error *err)
{
    if (i < 0 || i >= e->owned)
        return dawn_fail(err, DAWN_E_INVAL, "parameter number %d, of %d", i,
                         e->owned);
    if (!has_moments(e, i))
        return dawn_fail(err, DAWN_E_INVAL, "'%s' has no moments",
                         e->param[i].name);
    if (first < 0 || count < 0 || first > e->param[i].elements - count)
        return dawn_fail(err, DAWN_E_INVAL,
                         "'%s': %lld elements from %lld on, it has %lld",
                         e->param[i].name, (long long)count, (long long)first,
                         (long long)e->param[i].elements);
    return DAWN_OK;
}

struct part { /* of a parameter, in one piece */
    const struct dawni_exec_piece *piece;
    float *m, *v;  /* of the whole piece, in the arena */
    int64_t at;    /* first element, in the piece */
    int64_t count; /* elements */
    bool whole;
};

/* The part of first..end-1 that lies in the piece of `first`. */
static struct part part_of(const struct dawn_exec *e, int i, int64_t first,
                           int64_t end)
{
    int number = (int)(first / DAWNI_MOMENTS_MOST);
    int64_t begin = number * DAWNI_MOMENTS_MOST;
    int64_t all = dawni_moments_count(e->param[i].elements, number);
    const struct dawni_exec_piece *piece = &e->piece[e->piece_at[i] + number];
    const struct dawni_instr *read = &e->program->instr[piece->read];
    char *data = e->address[read->operand];
    struct part p = {
        .piece = piece,
        .m = (float *)data,
        .v = (float *)(data + dawni_moments_v_at(all)),
        .at = first - begin,
        .count = end - first,
    };
    if (p.at + p.count > all)
        p.count = all - p.at;
    p.whole = p.count == all;
    return p;
}

static void copy(float *to, const float *from, int64_t count)
{
    if (to && count)
        memcpy(to, from, (size_t)count * sizeof *to);
}

static float *behind(float *x, int64_t elements)
{
    return x ? x + elements : NULL;
}

enum dawn_status dawn_exec_moments_get(struct dawn_exec *e, int i,
                                       int64_t first, int64_t count, float *m,
                                       float *v, struct dawn_error *err)
{
    enum dawn_status st = check(e, i, first, count, err);
    if (!st && !is_away(e, i)) {
        copy(m, e->param[i].adam_m + first, count);
        copy(v, e->param[i].adam_v + first, count);
        return DAWN_OK;
    }
    for (int64_t at = first; !st && at < first + count;) {
        struct part p = part_of(e, i, at, first + count);
        st = dawni_exec_transfer_now(e, p.piece->read, err);
        if (st)
            return st;
        copy(behind(m, at - first), p.m + p.at, p.count);
        copy(behind(v, at - first), p.v + p.at, p.count);
        at += p.count;
    }
    return st;
}

enum dawn_status dawn_exec_moments_set(struct dawn_exec *e, int i,
                                       int64_t first, int64_t count,
                                       const float *m, const float *v,
                                       struct dawn_error *err)
{
    enum dawn_status st = check(e, i, first, count, err);
    if (!st && !is_away(e, i)) {
        copy(e->param[i].adam_m + first, m, count);
        copy(e->param[i].adam_v + first, v, count);
        return DAWN_OK;
    }
    for (int64_t at = first; !st && at < first + count;) {
        struct part p = part_of(e, i, at, first + count);
        if (!p.whole)
            st = dawni_exec_transfer_now(e, p.piece->read, err);
        if (st)
            return st;
        copy(p.m + p.at, m + (at - first), p.count);
        copy(p.v + p.at, v + (at - first), p.count);
        st = dawni_exec_transfer_now(e, p.piece->write, err);
        at += p.count;
    }
    return st;
}

enum dawn_status dawni_exec_zero_moments(struct dawn_exec *e, int i,
                                         struct dawn_error *err)
{
    const struct dawn_exec_param *q = &e->param[i];
    enum dawn_status st = DAWN_OK;
    if (!has_moments(e, i))
        return DAWN_OK;
    if (!is_away(e, i)) {
        memset(q->adam_m, 0, (size_t)q->elements * sizeof *q->adam_m);
        memset(q->adam_v, 0, (size_t)q->elements * sizeof *q->adam_v);
        return DAWN_OK;
    }
    for (int64_t at = 0; !st && at < q->elements;) {
        struct part p = part_of(e, i, at, q->elements);
        memset(p.m, 0, e->io[p.piece->write].bytes);
        st = dawni_exec_transfer_now(e, p.piece->write, err);
        at += p.count;
    }
    return st;
}

/* What passes keep */

void dawni_exec_piece_arrays(const struct dawn_exec *e, int pass,
                             const struct dawni_exec_part *part, void **array)
{
    struct dawni_moments_size size = {
        .passes = &e->passes,
        .count = part->elements,
        .decision = dawn_plan_optimizer(e->plan, part->param),
    };
    int first = dawni_passes_first(&e->passes, pass);
    for (int a = 0; a < e->passes.kind[pass]->arrays; a++)
        array[a] = part->piece + dawni_moments_array_at(&size, first + a);
}

struct dawni_pass_weight dawni_exec_fill_weight(const struct dawn_exec *e,
                                                int i, int pass, int64_t first)
{
    struct dawni_pass_weight w = dawni_exec_weight(e, i, pass);
    struct dawni_exec_part part = {.param = e->param[i].param};
    if (!is_away(e, i))
        return w;
    struct part p = part_of(e, i, first, w.elements);
    w.elements = part.elements = p.count;
    w.at = (struct dawni_update){w.at.p + first, p.m, p.v, w.at.g + first};
    part.piece = (char *)p.m;
    dawni_exec_piece_arrays(e, pass, &part, w.array);
    return w;
}

enum dawn_status dawni_exec_store_weight(struct dawn_exec *e, int i,
                                         int64_t first, struct dawn_error *err)
{
    struct part p;
    if (!is_away(e, i))
        return DAWN_OK;
    p = part_of(e, i, first, e->param[i].elements);
    return dawni_exec_write_behind(e, p.piece->read, err);
}
