/* SPDX-License-Identifier: Apache-2.0 */
#include "topology/busy.h"
#include "common/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* What a thread goes through: too much for a core's caches, as activations are,
 * so that it also feels transfers in the memory's bandwidth. */
#define FLOATS ((size_t)4 << 20)
#define PIECE ((size_t)16384) /* work that is counted as one */

struct worker {
    alignas(64) atomic_uint_fast64_t work; /* pieces of x */
    const atomic_bool *stop;
    pthread_t thread;
    float *x;
};

struct dawni_busy {
    atomic_bool stop;
    int threads;
    struct worker *worker;
};

static void *compute(void *arg)
{
    struct worker *w = arg;

    for (size_t at = 0; !atomic_load_explicit(w->stop, memory_order_relaxed);
         at = (at + PIECE) % FLOATS) {
        for (size_t i = at; i < at + PIECE; i++)
            w->x[i] = w->x[i] * 0.999F + 0.001F;
        atomic_fetch_add_explicit(&w->work, 1, memory_order_relaxed);
    }
    return NULL;
}

static int cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

enum dawn_status dawni_busy_create(struct dawni_busy **busy_p,
                                   struct dawn_error *err)
{
    struct dawni_busy *busy = calloc(1, sizeof *busy);
    int n = cores();
    void *worker = NULL;

    if (!busy || posix_memalign(&worker, alignof(struct worker),
                                (size_t)n * sizeof(struct worker)))
        goto fail;
    busy->worker = worker;
    for (int i = 0; i < n; i++, busy->threads++) {
        struct worker *w = &busy->worker[i];
        w->stop = &busy->stop;
        atomic_init(&w->work, 0);
        w->x = malloc(FLOATS * sizeof *w->x);
        for (size_t k = 0; w->x && k < FLOATS; k++)
            w->x[k] = 1;
        if (!w->x || pthread_create(&w->thread, NULL, compute, w)) {
            free(w->x);
            goto fail;
        }
    }
    *busy_p = busy;
    return DAWN_OK;
fail:
    dawni_busy_destroy(busy);
    return dawn_fail(err, DAWN_E_NOMEM, "cannot start %d threads", n);
}

void dawni_busy_destroy(struct dawni_busy *busy)
{
    if (!busy)
        return;
    atomic_store(&busy->stop, true);
    for (int i = 0; i < busy->threads; i++) {
        pthread_join(busy->worker[i].thread, NULL);
        free(busy->worker[i].x);
    }
    free(busy->worker);
    free(busy);
}

struct dawni_busy_mark dawni_busy_now(const struct dawni_busy *busy)
{
    struct dawni_busy_mark mark = {dawni_now_ns(), 0};

    for (int i = 0; i < busy->threads; i++)
        mark.work +=
            atomic_load_explicit(&busy->worker[i].work, memory_order_relaxed);
    return mark;
}

double dawni_busy_rate(const struct dawni_busy_mark *from,
                       const struct dawni_busy_mark *to)
{
    uint64_t ns = to->at_ns - from->at_ns;

    return (double)(to->work - from->work) / (ns ? (double)ns : 1);
}

int dawni_busy_threads(const struct dawni_busy *busy)
{
    return busy->threads;
}
