/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW with elastic weight consolidation against the formulas in f64, in both
 * forms; sums of squares of gradients.
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
#define LR 1e-2

static float p[N], m[N], v[N], g[N], anchor[N], fisher[N], kept[N];
static uint16_t half[N]; /* fisher as bf16 */
static double rp[N], rm[N], rv[N];

static double number(uint64_t which, int i)
{
    return case_number(which, (uint64_t)i);
}

static void fill(void)
{
    for (int i = 0; i < N; i++) {
        rp[i] = p[i] = (float)number(1, i);
        anchor[i] = (float)number(2, i);
        fisher[i] = (float)fabs(number(3, i)) * (i % 3 ? 1 : 1e-4f);
        half[i] = dawni_to_bf16(fisher[i]);
        rm[i] = rv[i] = m[i] = v[i] = 0;
    }
}

static struct dawni_adamw options(int t)
{
    return (struct dawni_adamw){.lr = (float)LR,
                                .beta1 = 0.9f,
                                .beta2 = 0.95f,
                                .eps = 1e-8f,
                                .weight_decay = 0.1f,
                                .grad_scale = 0.5f,
                                .bias1 = (float)(1 - pow(0.9, t)),
                                .bias2 = (float)(1 - pow(0.95, t))};
}

static double fisher_of(const struct dawni_ewc *w, int i)
{
    return w->dtype == DAWN_BF16
               ? (double)dawni_from_bf16(half[i]) * (double)w->scale
               : (double)fisher[i];
}

/* Moves rp; adds to sums. */
static void reference_step(int t, const struct dawni_ewc *w, double sums[2])
{
    for (int i = 0; i < N; i++) {
        double f = fisher_of(w, i), away = rp[i] - (double)anchor[i];
        double grad = (double)g[i] * 0.5;
        sums[0] += f * away * away;
        sums[1] += f * away * f * away;
        if (!w->proximal)
            grad += (double)w->lambda * f * away;
        rm[i] = 0.9 * rm[i] + 0.1 * grad;
        rv[i] = 0.95 * rv[i] + 0.05 * grad * grad;
        double mean = rm[i] / (1 - pow(0.9, t));
        double root = sqrt(rv[i] / (1 - pow(0.95, t))) + 1e-8;
        rp[i] = rp[i] * (1 - LR * 0.1) - LR * mean / root;
        double x = LR * (double)w->lambda * f;
        if (w->proximal)
            rp[i] = (rp[i] + x * (double)anchor[i]) / (1 + x);
    }
}

static void gradients(int t)
{
    for (int i = 0; i < N; i++)
        g[i] = (float)number(4 + (uint64_t)t, i);
}

static struct dawni_update all(void)
{
    return (struct dawni_update){p, m, v, g};
}

static double worst_of(const float *got, const double *wanted)
{
    double worst = 0;
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)got[i] - wanted[i]));
    return worst;
}

static void try_form(int level, bool proximal, enum dawn_dtype dtype)
{
    const struct dawni_ewc w = {
        .fisher = dtype == DAWN_BF16 ? (const void *)half : fisher,
        .dtype = dtype,
        .scale = 0.75f,
        .anchor = anchor,
        .lambda = 3,
        .proximal = proximal,
    };
    const char *form = proximal ? "proximal" : "gradient";
    double sums[2] = {0, 0}, wanted[2] = {0, 0};

    fill();
    for (int t = 1; t <= STEPS; t++) {
        struct dawni_adamw o = options(t);
        struct dawni_update at = all();
        gradients(t);
        dawni_host_adamw_ewc(&o, &w, &at, N, sums);
        reference_step(t, &w, wanted);
    }
    is_near(worst_of(p, rp), 0, 2e-6, "level %d %s %s: parameters", level, form,
            dawn_dtype_name(dtype));
    is_near(worst_of(m, rm), 0, 2e-6, "level %d %s %s: first moments", level,
            form, dawn_dtype_name(dtype));
    for (int k = 0; k < 2; k++)
        is_near(sums[k] / wanted[k], 1, 1e-6, "level %d %s %s: sum %d", level,
                form, dawn_dtype_name(dtype), k);
}

/* lambda 0: AdamW's own bits; the anchor holds a lambda beyond measure. */
static void try_extremes(bool proximal)
{
    struct dawni_ewc w = {.fisher = fisher,
                          .dtype = DAWN_F32,
                          .anchor = anchor,
                          .proximal = proximal};
    struct dawni_adamw o = options(1);
    struct dawni_update at = all();
    const char *form = proximal ? "proximal" : "gradient";
    double sums[2] = {0, 0};

    gradients(1);
    fill();
    dawni_host_adamw(&o, p, m, v, g, N);
    memcpy(kept, p, sizeof p);
    fill();
    dawni_host_adamw_ewc(&o, &w, &at, N, sums);
    ok(memcmp(kept, p, sizeof p) == 0, "%s: lambda 0 is AdamW, bit for bit",
       form);
    fill();
    memcpy(p, anchor, sizeof p);
    sums[0] = sums[1] = 0;
    w.lambda = 1e30f;
    dawni_host_adamw_ewc(&o, &w, &at, N, sums);
    ok(sums[0] == 0 && sums[1] == 0, "%s: at the anchor there is no penalty",
       form);
    fill();
    dawni_host_adamw_ewc(&o, &w, &at, N, sums);
    ok(sums[0] > 0 && sums[1] > 0, "%s: off it there is", form);
    double worst = 0;
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)p[i] - (double)anchor[i]));
    if (proximal)
        is_near(worst, 0, 1e-6, "a lambda of 1e30 puts parameters there");
    else
        ok(isfinite(worst), "a lambda of 1e30 leaves parameters finite");
}

/* The same update in two parts, by two threads. */
static void try_parts(void)
{
    const struct dawni_ewc whole = {
        .fisher = fisher, .dtype = DAWN_F32, .anchor = anchor, .lambda = 3};
    const int first = 8192; /* as the executor cuts: whole blocks */
    struct dawni_adamw o = options(1);
    struct dawni_update at = all();
    struct dawni_ewc w = whole;
    double one[2] = {0, 0}, two[2] = {0, 0};

    gradients(1);
    fill();
    dawni_host_setup(1, 0, 1, NULL);
    dawni_host_adamw_ewc(&o, &w, &at, N, one);
    memcpy(kept, p, sizeof p);
    fill();
    dawni_host_setup(2, 0, 1, NULL);
    dawni_host_adamw_ewc(&o, &w, &at, first, two);
    at = (struct dawni_update){p + first, m + first, v + first, g + first};
    w.fisher = fisher + first;
    w.anchor += first;
    dawni_host_adamw_ewc(&o, &w, &at, N - first, two);
    ok(memcmp(kept, p, sizeof p) == 0 && memcmp(one, two, sizeof one) == 0,
       "parts and threads do not change a bit, of the sums neither");
}

static void try_squares(int level)
{
    double wanted = 0, worst = 0;

    gradients(1);
    fill();
    for (int i = 0; i < N; i++) {
        kept[i] = fisher[i] + g[i] * g[i];
        wanted += (double)g[i] * (double)g[i];
    }
    double got = dawni_host_add_squares(fisher, g, N);
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)fisher[i] - (double)kept[i]));
    is_near(worst, 0, 1e-6, "level %d: squares are added", level);
    is_near(got / wanted, 1, 1e-12, "level %d: and summed", level);
}

int main(void)
{
    enum dawni_simd most = dawni_simd_level();
    plan_lazy();
    for (int level = DAWNI_SIMD_BASE; level <= (int)most; level++) {
        dawni_simd_limit((enum dawni_simd)level);
        for (int k = 0; k < 4; k++)
            try_form(level, k % 2, k < 2 ? DAWN_F32 : DAWN_BF16);
        try_extremes(false);
        try_extremes(true);
        try_squares(level);
    }
    try_parts();
    return done_testing();
}
