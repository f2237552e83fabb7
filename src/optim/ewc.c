/* SPDX-License-Identifier: Apache-2.0 */
/* Elastic weight consolidation: the update with a penalty for leaving the
 * anchor, weighted by the Fisher information. Arrays: that, and the anchor.
 */
#include "common/array.h"
#include "common/bf16.h"
#include "optim/pass.h"

#include <math.h>

struct ewc {
    struct dawni_pass pass;
    double lambda;
    bool proximal;
    float *scale; /* by weight, of bf16 */
};

static enum dawn_status create(const struct dawni_pass_ops *ops, int weights,
                               struct dawni_pass **pass_p,
                               struct dawn_error *err)
{
    struct ewc *e = calloc(1, sizeof *e);

    if (e)
        e->scale = dawni_calloc(weights, sizeof *e->scale);
    if (!e || !e->scale) {
        free(e);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d weights",
                         weights);
    }
    e->pass.ops = ops;
    *pass_p = &e->pass;
    return DAWN_OK;
}

static bool is_bf16(const struct dawni_pass *pass)
{
    return pass->ops == &dawni_pass_ewc_bf16;
}

void dawni_ewc_set(struct dawni_pass *pass, double lambda, bool proximal)
{
    struct ewc *e = (struct ewc *)pass;

    e->lambda = lambda;
    e->proximal = proximal;
}

void dawni_ewc_scale(struct dawni_pass *pass, int number, const float *fisher,
                     int64_t elements)
{
    struct ewc *e = (struct ewc *)pass;
    float most = 0;

    for (int64_t i = 0; i < elements; i++)
        most = fisher[i] > most ? fisher[i] : most;
    e->scale[number] = most;
}

void dawni_ewc_store(struct dawni_pass *pass, const struct dawni_pass_weight *w,
                     const float *fisher)
{
    const struct ewc *e = (const struct ewc *)pass;
    const float most = e->scale[w->number];
    uint16_t *to = w->array[0];

    if (!is_bf16(pass)) {
        memmove(w->array[0], fisher, (size_t)w->elements * sizeof *fisher);
        return;
    }
    for (int64_t i = 0; i < w->elements; i++)
        to[i] = most > 0 ? dawni_to_bf16(fisher[i] / most) : 0;
}

static void update(struct dawni_pass *pass,
                   const struct dawni_device_ops *device,
                   const struct dawni_adamw *o,
                   const struct dawni_pass_weight *w, double *sums)
{
    const struct ewc *e = (const struct ewc *)pass;
    const struct dawni_ewc about = {
        .fisher = w->array[0],
        .dtype = is_bf16(pass) ? DAWN_BF16 : DAWN_F32,
        .scale = e->scale[w->number],
        .anchor = w->array[1],
        .lambda = (float)e->lambda,
        .proximal = e->proximal,
    };
    device->adamw_ewc(o, &about, &w->at, w->elements, sums);
}

/* sums: F (p - anchor)^2, (F (p - anchor))^2 */
static void finish(const struct dawni_pass *pass, const double *sums,
                   double *figure)
{
    const struct ewc *e = (const struct ewc *)pass;

    figure[0] = e->lambda / 2 * sums[0];
    figure[1] = e->lambda * sqrt(sums[1]);
}

static void destroy(struct dawni_pass *pass)
{
    struct ewc *e = (struct ewc *)pass;

    free(e->scale);
    free(e);
}

const struct dawni_pass_ops dawni_pass_ewc = {
    .name = "ewc",
    .create = create,
    .update = update,
    .figures = 2,
    .figure = {"penalty", "penalty_grad_norm"},
    .finish = finish,
    .destroy = destroy,
};

const struct dawni_pass_ops dawni_pass_ewc_bf16 = {
    .name = "ewc-bf16",
    .create = create,
    .update = update,
    .figures = 2,
    .figure = {"penalty", "penalty_grad_norm"},
    .finish = finish,
    .destroy = destroy,
};
