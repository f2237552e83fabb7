/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW in one pass over parameter, moments and gradient; and the update of
 * parameters that are averages.
 */
#include "device/host/host.h"
#include "device/host/simd.h"

#include <math.h>

#define BLOCK 8192 /* elements */

struct adamw_task {
    const float *p, *g;
    float *to, *m, *v;
    float keep;       /* 1 - lr * weight_decay */
    float step;       /* lr / bias1 */
    float root_bias2; /* 1 / sqrt(bias2) */
    float beta1, beta2, eps, grad_scale;
};

DAWNI_INLINE void adamw_body(const struct adamw_task *t, int64_t first,
                             int64_t last, bool bf16)
{
    (void)bf16;
    const struct adamw_task o = *t;
    float *to = o.to, *m = o.m, *v = o.v;
    const float *p = o.p, *g = o.g;
#pragma omp simd
    for (int64_t i = first; i < last; i++) {
        float grad = g[i] * o.grad_scale;
        float mean = o.beta1 * m[i] + (1 - o.beta1) * grad;
        float square = o.beta2 * v[i] + (1 - o.beta2) * grad * grad;
        m[i] = mean;
        v[i] = square;
        float root = sqrtf(square) * o.root_bias2 + o.eps;
        to[i] = p[i] * o.keep - o.step * mean / root;
    }
}

DAWNI_RANGE(adamw, adamw_task, DAWN_F32)

void dawni_host_adamw(const struct dawni_adamw *o, float *p, float *m, float *v,
                      const float *g, int64_t n)
{
    const struct adamw_task task = {
        .p = p,
        .to = o->to ? o->to : p,
        .m = m,
        .v = v,
        .g = g,
        .keep = 1 - o->lr * o->weight_decay,
        .step = o->lr / o->bias1,
        .root_bias2 = 1 / sqrtf(o->bias2),
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .grad_scale = o->grad_scale,
    };
    dawni_host_parallel(adamw, &task, n, BLOCK);
}

/* There are as many as channels: too few for threads. */
void dawni_host_average(float *p, const float *sum, int64_t n, double share,
                        int count)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)((1 - share) * (double)p[i] +
                       share * ((double)sum[i] / count));
}
