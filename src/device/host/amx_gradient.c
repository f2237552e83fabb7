/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of weights: see amx.h.
 *
 * B is packed once for all threads, a part of k at a time; each thread takes
 * groups of rows of A^T, packs them so that they stay in its L2 cache, and goes
 * through B by panels of 32 columns.
 */
#include "device/host/amx.h"

#ifdef __x86_64__

#include "device/host/amx_block.h"

#include <omp.h>
#include <stddef.h>

#define A_ELEMENTS 393216 /* of packed A that stay in L2 */
#define K_GRADIENT 1024   /* rows of X and dY taken at a time */

AMX_TARGET static void gradient_block(const uint16_t *a, const uint16_t *b,
                                      int64_t steps, float *sums,
                                      const struct amx_finish *f)
{
    amx_block(a, b, steps, sums, true, f, AMX_TO_F32);
}

AMX_TARGET static void finish_now(const struct amx_finish *f)
{
    amx_finish_rows(f, amx_finish_bias(f), 0, f->rows, AMX_TO_F32);
}

struct gradient_room {
    uint64_t panels;             /* of all threads */
    uint64_t strips, sums, bias; /* of one */
    int64_t rows;                /* of A in a group, a multiple of 128 */
};

static struct gradient_room gradient_room(const struct dawni_amx_gradient *p)
{
    int64_t k = amx_ceil(amx_min(p->k, K_GRADIENT), AMX_STEP) * AMX_STEP;
    int64_t rows = A_ELEMENTS / k / 128 * 128;
    int64_t share = amx_ceil(p->m, p->threads * 128) * 128;
    struct gradient_room r = {.rows = amx_min(rows, share)};

    r.panels = (uint64_t)(amx_ceil(p->n, 32) * 32 * k) * sizeof(uint16_t);
    r.strips = (uint64_t)(r.rows * k) * sizeof(uint16_t);
    r.sums = 2 * AMX_BLOCK * sizeof(float);
    r.bias = (uint64_t)r.rows * sizeof(float);
    return r;
}

uint64_t dawni_amx_gradient_scratch_bytes(const struct dawni_amx_gradient *p)
{
    struct gradient_room r = gradient_room(p);
    return r.panels + (r.strips + r.sums + r.bias) * (uint64_t)p->threads;
}

struct gradient_work { /* of one thread */
    const struct dawni_amx_gradient *p;
    struct dawni_amx_source a, b;
    uint16_t *panels, *strips;
    float *sums, *bias;
    int64_t k, steps; /* the part of k */
    bool accumulate;  /* this part is added */
};

static struct amx_finish gradient_finish(const struct gradient_work *w,
                                         const float *sums, int64_t row,
                                         int64_t column)
{
    const struct dawni_amx_gradient *p = w->p;
    struct amx_finish f = {
        .sums = sums,
        .rows = (int)amx_min(32, p->m - row),
        .columns = amx_mask(p->n - column),
        .c_row = p->n,
        .c = p->c + row * p->n + column,
        .accumulate = w->accumulate,
    };
    f.stream = !w->accumulate && p->n % 16 == 0 && column + 32 <= p->n &&
               (uintptr_t)p->c % 64 == 0;
    return f;
}

static void store_bias(const struct gradient_work *w, int64_t row, int64_t rows)
{
    if (!w->p->sums)
        return;
    for (int64_t i = 0; i < rows; i++) {
        float *to = w->p->sums + row + i;
        *to = w->accumulate ? *to + w->bias[i] : w->bias[i];
    }
}

/* Rows [row, row + rows) of C: pack them, then all panels of B. */
static void gradient_group(struct gradient_work *w, int64_t row, int64_t rows)
{
    int64_t strips = amx_ceil(rows, 32), panels = amx_ceil(w->p->n, 32);
    int64_t size = w->steps * AMX_BLOCK;
    struct amx_finish pending = {.rows = 0};

    memset(w->bias, 0, (size_t)strips * 32 * sizeof *w->bias);
    dawni_amx_pack_strips_transposed(&w->a, w->k, w->steps, row, strips,
                                     w->strips, w->bias);
    store_bias(w, row, rows);
    for (int64_t j = 0; j < panels; j++) {
        for (int64_t s = 0; s < strips; s++) {
            float *sums = w->sums + (j * strips + s) % 2 * AMX_BLOCK;
            gradient_block(w->strips + s * size, w->panels + j * size, w->steps,
                           sums, &pending);
            pending = gradient_finish(w, sums, row + s * 32, j * 32);
        }
    }
    finish_now(&pending);
}

/* One part of k. Every thread packs its share of B's panels for all. */
static void gradient_part(struct gradient_work *w, int64_t group_rows)
{
    int64_t panels = amx_ceil(w->p->n, 32);
    int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t first = panels * thread / threads;
    int64_t last = panels * (thread + 1) / threads;
    int64_t rows = w->p->m;

    dawni_amx_pack_panels(&w->b, w->k, w->steps, first * 32, last - first,
                          w->panels + first * w->steps * AMX_BLOCK);
#pragma omp barrier
    for (int64_t row = thread * group_rows; row < rows;
         row += threads * group_rows)
        gradient_group(w, row, amx_min(group_rows, rows - row));
#pragma omp barrier
}

void dawni_amx_gradient(const struct dawni_amx_gradient *p)
{
    struct gradient_room room = gradient_room(p);
    uint64_t each = room.strips + room.sums + room.bias;

#pragma omp parallel num_threads(p->threads)
    {
        int thread = omp_get_thread_num();
        char *own = (char *)p->scratch + room.panels + (uint64_t)thread * each;
        struct gradient_work w = {
            .p = p,
            .a = {p->a, p->m, p->k, p->m},
            .b = {p->b, p->n, p->k, p->n},
            .panels = p->scratch,
            .strips = (uint16_t *)own,
            .sums = (float *)(own + room.strips),
            .bias = (float *)(own + room.strips + room.sums),
        };
        amx_begin();
        for (w.k = 0; w.k < p->k; w.k += K_GRADIENT) {
            w.steps = amx_ceil(amx_min(K_GRADIENT, p->k - w.k), AMX_STEP);
            w.accumulate = p->accumulate || w.k > 0;
            gradient_part(&w, room.rows);
        }
        _mm_sfence(); /* the streamed stores are seen after the region */
        amx_end();
    }
}

#else /* never called where not usable */

uint64_t dawni_amx_gradient_scratch_bytes(const struct dawni_amx_gradient *p)
{
    (void)p;
    return 0;
}

void dawni_amx_gradient(const struct dawni_amx_gradient *p)
{
    (void)p;
}

#endif
