/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW against the formula in f64, over steps and with decay and clipping; the
 * update of averages.
 */
#include "device/harness.h"
#include "device/host/host.h"
#include "device/host/simd.h"
#include "device/host/threads.h"
#include "tap.h"

#include <math.h>
#include <string.h>

#define N 20011
#define STEPS 5

static float p[N], m[N], v[N], g[N], p1[N];
static double rp[N], rm[N], rv[N];

static void fill(void)
{
    for (int i = 0; i < N; i++) {
        rp[i] = p[i] = (float)case_number(1, (uint64_t)i);
        rm[i] = rv[i] = m[i] = v[i] = 0;
    }
}

static struct dawni_adamw options(int t, float decay, float scale)
{
    return (struct dawni_adamw){.lr = 1e-2f,
                                .beta1 = 0.9f,
                                .beta2 = 0.95f,
                                .eps = 1e-8f,
                                .weight_decay = decay,
                                .grad_scale = scale,
                                .bias1 = (float)(1 - pow(0.9, t)),
                                .bias2 = (float)(1 - pow(0.95, t))};
}

static void reference_step(int t, double decay, double scale)
{
    for (int i = 0; i < N; i++) {
        double grad = (double)g[i] * scale;
        rm[i] = 0.9 * rm[i] + 0.1 * grad;
        rv[i] = 0.95 * rv[i] + 0.05 * grad * grad;
        double mean = rm[i] / (1 - pow(0.9, t));
        double root = sqrt(rv[i] / (1 - pow(0.95, t))) + 1e-8;
        rp[i] = rp[i] * (1 - 1e-2 * decay) - 1e-2 * mean / root;
    }
}

static void steps(float decay, float scale)
{
    fill();
    for (int t = 1; t <= STEPS; t++) {
        for (int i = 0; i < N; i++)
            g[i] = (float)case_number(2 + (uint64_t)t, (uint64_t)i);
        struct dawni_adamw o = options(t, decay, scale);
        dawni_host_adamw(&o, p, m, v, g, N);
        reference_step(t, (double)decay, (double)scale);
    }
}

static double worst_of(const float *got, const double *wanted)
{
    double worst = 0;
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)got[i] - wanted[i]));
    return worst;
}

static void try_level(int level, float decay, float scale)
{
    steps(decay, scale);
    is_near(worst_of(p, rp), 0, 1e-6, "level %d decay %g: parameters", level,
            (double)decay);
    is_near(worst_of(m, rm), 0, 1e-6, "level %d decay %g: first moments", level,
            (double)decay);
    is_near(worst_of(v, rv), 0, 1e-6, "level %d decay %g: second moments",
            level, (double)decay);
}

static void try_average(void)
{
    float x[5];
    const float sum[5] = {4, -8, 0, 1e6f, 2};

    for (int i = 0; i < 5; i++)
        x[i] = (float)i;
    dawni_host_average(x, sum, 5, 0.25, 4);
    for (int i = 0; i < 5; i++)
        is_near((double)x[i], 0.75 * i + 0.25 * (double)sum[i] / 4, 1e-9,
                "average %d goes a quarter of its way", i);
}

int main(void)
{
    enum dawni_simd most = dawni_simd_level();
    plan_lazy();
    for (int level = DAWNI_SIMD_BASE; level <= (int)most; level++) {
        dawni_simd_limit((enum dawni_simd)level);
        try_level(level, 0, 1);
        try_level(level, 0.1f, 0.25f);
    }
    try_average();
    dawni_host_setup(1, 0, 1, NULL);
    steps(0.1f, 0.25f);
    memcpy(p1, p, sizeof p);
    dawni_host_setup(2, 0, 1, NULL);
    steps(0.1f, 0.25f);
    ok(memcmp(p1, p, sizeof p) == 0, "1 and 2 threads give the same bytes");
    return done_testing();
}
