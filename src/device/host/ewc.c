/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and elastic weight consolidation in one pass over parameter, moments,
 * gradient, Fisher information and anchor.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define BLOCK 8192 /* elements */
#define PARTS 128  /* blocks at a time */

struct ewc_task {
    struct dawni_update at;
    struct dawni_ewc w;
    float keep;       /* 1 - lr * weight_decay */
    float step;       /* lr / bias1 */
    float root_bias2; /* 1 / sqrt(bias2) */
    float beta1, beta2, eps, grad_scale;
    float pull;   /* lr * lambda */
    double *part; /* two by block */
};

DAWNI_INLINE void ewc_block(const struct ewc_task *t, int64_t first,
                            int64_t last, bool bf16, bool proximal)
{
    const struct ewc_task o = *t;
    float *p = o.at.p, *m = o.at.m, *v = o.at.v;
    const float *g = o.at.g, *anchor = o.w.anchor;
    const void *fisher = o.w.fisher;
    const float scale = bf16 ? o.w.scale : 1,
                lambda = proximal ? 0 : o.w.lambda;
    double penalty = 0, squares = 0;
#pragma omp simd reduction(+ : penalty, squares)
    for (int64_t i = first; i < last; i++) {
        float f = dawni_get(fisher, i, bf16) * scale;
        float away = p[i] - anchor[i];
        float force = f * away;
        penalty += (double)force * (double)away;
        squares += (double)force * (double)force;
        float grad = g[i] * o.grad_scale;
        grad = proximal ? grad : grad + lambda * force;
        float mean = o.beta1 * m[i] + (1 - o.beta1) * grad;
        float square = o.beta2 * v[i] + (1 - o.beta2) * grad * grad;
        m[i] = mean;
        v[i] = square;
        float root = sqrtf(square) * o.root_bias2 + o.eps;
        float moved = p[i] * o.keep - o.step * mean / root;
        /* towards the anchor by x / (1 + x): finite for any x, none for 0 */
        float x = o.pull * f;
        x = x < 0x1p100f ? x : 0x1p100f;
        p[i] = proximal ? moved - (moved - anchor[i]) * (x / (1 + x)) : moved;
    }
    t->part[first / BLOCK * 2] = penalty;
    t->part[first / BLOCK * 2 + 1] = squares;
}

DAWNI_INLINE void gradient_body(const struct ewc_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    ewc_block(t, first, last, bf16, false);
}

DAWNI_INLINE void proximal_body(const struct ewc_task *t, int64_t first,
                                int64_t last, bool bf16)
{
    ewc_block(t, first, last, bf16, true);
}

DAWNI_RANGE(gradient, ewc_task, t->w.dtype)
DAWNI_RANGE(proximal, ewc_task, t->w.dtype)

void dawni_host_adamw_ewc(const struct dawni_adamw *o,
                          const struct dawni_ewc *w,
                          const struct dawni_update *at, int64_t n,
                          double sums[2])
{
    const int64_t most = (int64_t)BLOCK * PARTS;
    double part[2 * PARTS];
    struct ewc_task task = {
        .at = *at,
        .w = *w,
        .keep = 1 - o->lr * o->weight_decay,
        .step = o->lr / o->bias1,
        .root_bias2 = 1 / sqrtf(o->bias2),
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .grad_scale = o->grad_scale,
        .pull = o->lr * w->lambda,
        .part = part,
    };
    bool bf16 = w->dtype == DAWN_BF16;
    for (int64_t done = 0; done < n; done += most) {
        int64_t now = n - done < most ? n - done : most;
        dawni_host_parallel(w->proximal ? proximal : gradient, &task, now,
                            BLOCK);
        for (int64_t i = 0; i < (now + BLOCK - 1) / BLOCK; i++) {
            sums[0] += part[2 * i];
            sums[1] += part[2 * i + 1];
        }
        task.at = (struct dawni_update){task.at.p + now, task.at.m + now,
                                        task.at.v + now, task.at.g + now};
        task.w.fisher = dawni_at(task.w.fisher, now, bf16);
        task.w.anchor += now;
    }
}
