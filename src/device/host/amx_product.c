/* SPDX-License-Identifier: Apache-2.0 */
/* Products with a packed weight: see amx.h.
 *
 * A product is cut into groups of columns; each thread takes whole groups,
 * whose part of B stays in its L2 cache, and goes through A in strips of 32
 * rows. A long k is cut into parts; sums are then kept in f32 between them.
 */
#include "device/host/amx.h"

#ifdef __x86_64__

#include "device/host/amx_block.h"

#include <omp.h>
#include <stddef.h>

#define B_ELEMENTS 589824 /* of packed B that stay in L2 */
#define K_PART 1024       /* a longer k is cut into equal parts */

AMX_TARGET static void multiply_block(const uint16_t *a, const uint16_t *b,
                                      int64_t steps, float *sums, bool first,
                                      const struct amx_finish *f)
{
    amx_block(a, b, steps, sums, first, f, AMX_TO_BF16);
}

AMX_TARGET static void finish_now(const struct amx_finish *f)
{
    amx_finish_rows(f, amx_finish_bias(f), 0, f->rows, AMX_TO_BF16);
}

/* A block of w^T as a block of w. */
AMX_TARGET static void turn_block(const uint16_t *in, uint16_t *out)
{
    for (int half = 0; half < 2; half++, in += 512, out += 256) {
        __m512i r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = _mm512_load_si512(in + i * 32);
        amx_transpose(r);
#pragma GCC unroll 8
        for (int i = 0; i < 16; i += 2)
            amx_put_pairs(r[i], r[i + 1], out + i * 16);
    }
}

/* How a product is cut; the same for the same shape and threads. */
struct cut {
    int64_t strips; /* of 32 rows of A */
    int64_t panels; /* of 32 columns, in all */
    int64_t groups; /* of panels */
    int64_t k_part; /* multiple of AMX_STEP */
    int64_t k_parts;
    bool shared; /* A is packed once, for all groups of all threads */
};

static struct cut cut_product(const struct dawni_amx_product *p)
{
    struct cut c = {.strips = amx_ceil(p->m, 32), .panels = amx_ceil(p->n, 32)};
    int64_t steps = amx_ceil(p->k, AMX_STEP), room;

    c.k_parts = amx_ceil(p->k, K_PART);
    c.k_part = amx_ceil(steps, c.k_parts) * AMX_STEP;
    c.k_parts = amx_ceil(p->k, c.k_part);
    room = B_ELEMENTS / (c.k_part * 32);
    c.groups = amx_ceil(c.panels, room);
    c.groups = amx_min(amx_ceil(c.groups, p->threads) * p->threads, c.panels);
    c.shared = c.groups > p->threads;
    return c;
}

/* Scratch, for all threads: A, one part of k, or a strip of it for each thread;
 * sums of all of C where k is in parts. Then for each thread its group of B,
 * and sums of two blocks. */
struct room {
    uint64_t strips, all_sums, panels, sums;
};

static struct room room_of(const struct cut *c,
                           const struct dawni_amx_product *p)
{
    int64_t most = amx_ceil(c->panels, c->groups);
    int64_t strips = c->shared ? c->strips : p->threads;
    int64_t blocks = c->k_parts > 1 ? c->strips * c->panels : 0;
    struct room r = {
        .strips = (uint64_t)(strips * 32 * c->k_part) * sizeof(uint16_t),
        .all_sums = (uint64_t)(blocks * AMX_BLOCK) * sizeof(float),
        .sums = 2 * AMX_BLOCK * sizeof(float),
    };
    if (p->turned)
        r.panels = (uint64_t)(most * 32 * c->k_part) * sizeof(uint16_t);
    return r;
}

uint64_t dawni_amx_scratch_bytes(const struct dawni_amx_product *p)
{
    struct cut c = cut_product(p);
    struct room r = room_of(&c, p);
    return r.strips + r.all_sums + (r.panels + r.sums) * (uint64_t)p->threads;
}

struct product_work { /* of one thread */
    const struct dawni_amx_product *p;
    const struct cut *cut;
    struct dawni_amx_source a;
    int thread, threads;
    uint16_t *panels, *strips;
    float *sums;      /* of C where k is in parts, else two blocks */
    int64_t k, steps; /* the part of k */
    bool first, last; /* is it that of k */
    struct amx_finish pending;
};

/* Panels [first, last) of B from a weight that must be turned. */
static void turn_group(const struct product_work *w, int64_t first,
                       int64_t last)
{
    const uint16_t *b = w->p->b;

    for (int64_t i = 0; i < w->steps; i++) {
        const uint16_t *row =
            b + (w->k / AMX_STEP + i) * amx_steps(w->p->n) * AMX_BLOCK;
        for (int64_t p = first; p < last; p++)
            turn_block(row + p * AMX_BLOCK,
                       w->panels + ((p - first) * w->steps + i) * AMX_BLOCK);
    }
}

/* Panel `panel` of B, one of the group that starts with `first`. */
static const uint16_t *panel_of(const struct product_work *w, int64_t first,
                                int64_t panel)
{
    const uint16_t *b = w->p->b;

    if (w->p->turned)
        return w->panels + (panel - first) * w->steps * AMX_BLOCK;
    return b + (panel * amx_steps(w->p->k) + w->k / AMX_STEP) * AMX_BLOCK;
}

static struct amx_finish finish_of(const struct dawni_amx_product *p,
                                   const float *sums, int64_t row,
                                   int64_t column)
{
    int64_t at = row * p->n + column;
    struct amx_finish f = {
        .sums = sums,
        .rows = (int)amx_min(32, p->m - row),
        .columns = amx_mask(p->n - column),
        .c_row = p->n,
        .c = p->c + at,
        .bias = p->bias ? p->bias + column : NULL,
        .add = p->add ? p->add + at : NULL,
    };
    return f;
}

/* Panels [first, last) of C. A strip that only this group needs is packed here,
 * and so still is in L1. */
static void multiply_group(struct product_work *w, int64_t first, int64_t last)
{
    int64_t size = w->steps * AMX_BLOCK, strips = w->cut->strips;

    if (w->p->turned)
        turn_group(w, first, last);
    for (int64_t s = 0; s < strips; s++) {
        const uint16_t *strip = w->strips + (w->cut->shared ? s * size : 0);
        if (!w->cut->shared)
            dawni_amx_pack_strip(&w->a, s * 32, w->k, w->steps, w->strips);
        for (int64_t j = first; j < last; j++) {
            int64_t slot = w->first && w->last ? j % 2 : j * strips + s;
            float *c = w->sums + slot * AMX_BLOCK;
            /* the pending block is finished before c is written */
            multiply_block(strip, panel_of(w, first, j), w->steps, c, w->first,
                           &w->pending);
            w->pending.rows = 0;
            if (w->last)
                w->pending = finish_of(w->p, c, s * 32, j * 32);
        }
    }
}

/* Each thread packs some strips for all, once all are done with the last part.
 */
static void share_strips(const struct product_work *w)
{
    int64_t strips = w->cut->strips;

#pragma omp barrier
    for (int64_t s = strips * w->thread / w->threads;
         s < strips * (w->thread + 1) / w->threads; s++)
        dawni_amx_pack_strip(&w->a, s * 32, w->k, w->steps,
                             w->strips + s * w->steps * AMX_BLOCK);
#pragma omp barrier
}

static void multiply_parts(struct product_work *w)
{
    const struct cut *c = w->cut;

    for (; w->k < w->p->k; w->k += c->k_part) {
        w->steps = amx_ceil(amx_min(c->k_part, w->p->k - w->k), AMX_STEP);
        w->first = w->k == 0;
        w->last = w->k + c->k_part >= w->p->k;
        if (c->shared)
            share_strips(w);
        for (int64_t g = w->thread; g < c->groups; g += w->threads)
            multiply_group(w, g * c->panels / c->groups,
                           (g + 1) * c->panels / c->groups);
    }
    finish_now(&w->pending);
}

void dawni_amx_multiply(const struct dawni_amx_product *p)
{
    struct cut cut = cut_product(p);
    struct room room = room_of(&cut, p);

#pragma omp parallel num_threads(p->threads)
    {
        int64_t thread = omp_get_thread_num();
        char *strips = p->scratch, *sums = strips + room.strips;
        char *own =
            sums + room.all_sums + (uint64_t)thread * (room.panels + room.sums);
        struct product_work w = {
            .p = p,
            .cut = &cut,
            .a = {p->a, p->k, p->m, p->k},
            .thread = (int)thread,
            .threads = omp_get_num_threads(),
            .panels = (uint16_t *)own,
            .strips = (uint16_t *)strips,
            .sums = (float *)(cut.k_parts > 1 ? sums : own + room.panels),
        };
        if (!cut.shared)
            w.strips += thread * 32 * cut.k_part;
        amx_begin();
        multiply_parts(&w);
        amx_end();
    }
}

#else /* never called where not usable */

uint64_t dawni_amx_scratch_bytes(const struct dawni_amx_product *p)
{
    (void)p;
    return 0;
}

void dawni_amx_multiply(const struct dawni_amx_product *p)
{
    (void)p;
}

#endif
