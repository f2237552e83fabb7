/* SPDX-License-Identifier: Apache-2.0 */
/* A network of images with batch norms under the executor: the same bits for
 * every plan, and running statistics that are what their rule says.
 */
#include "common/hash.h"
#include "rig.h"
#include "tap.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, CLASSES = 5, MICROBATCHES = 3 };

static const char *const keeps[] = {
    "keep",        "recompute all",      "recompute some",
    "all to disk", "all to host memory", "something of everything"};

static int feed(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    bool pixels = strcmp(what->name, "images") == 0;
    int64_t n = pixels ? SIDE * SIDE : 1;
    for (int64_t i = 0; i < what->samples * n; i++) {
        uint64_t at = what->sample * (uint64_t)n + (uint64_t)i;
        uint64_t x = (at + what->step * 1000003) * 0x9e3779b97f4a7c15u >> 40;
        if (pixels)
            ((float *)data)[i] = (float)(x % 512) / 256 - 1;
        else
            ((int32_t *)data)[i] = (int32_t)(x % CLASSES);
    }
    return 0;
}

static struct rig_case images_case(void)
{
    return (struct rig_case){.model = {.preset = "amoebanet",
                                       .layers = 3,
                                       .filters = 8,
                                       .classes = CLASSES,
                                       .image = SIDE,
                                       .channels = 1,
                                       .dtype = DAWN_F32},
                             .schedule = "1f1b",
                             .stages = 1,
                             .microbatches = MICROBATCHES,
                             .clip = 1,
                             .feed = feed};
}

static void test_same_bits(void)
{
    static const struct {
        const char *schedule;
        int stages, ranks, recompute;
    } row[] = {
        {"1f1b", 1, 1, 1},  {"1f1b", 1, 1, 5},  {"1f1b", 2, 2, 0},
        {"1f1b", 3, 3, 1},  {"1f1b", 3, 3, 2},  {"1f1b", 4, 4, 3},
        {"gpipe", 3, 3, 0}, {"gpipe", 2, 2, 4}, {"gpipe", 4, 4, 5},
        {"1f1b", 5, 2, 2},
    };
    struct rig_case c = images_case();
    struct rig_result one, r;

    rig_run(&c, &one);
    if (!is_int(one.status[0], DAWN_OK, "one stage runs"))
        diag("%s", one.error[0].text);
    ok(isfinite(one.eval), "an evaluation gives %g", one.eval);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        c.schedule = row[i].schedule;
        c.stages = row[i].stages;
        c.ranks = row[i].ranks;
        c.recompute = row[i].recompute;
        rig_run(&c, &r);
        if (!ok(rig_same(&one, &r) && one.eval == r.eval,
                "%s, %d stages on %d ranks, %s: same bits, evaluation too",
                c.schedule, c.stages, c.ranks, keeps[c.recompute]))
            diag("status %d %s, loss %a, not %a", r.status[0], r.error[0].text,
                 r.loss[0], one.loss[0]);
        for (int k = 0; k < c.ranks; k++)
            is_u64(r.peak[k], r.predicted[k], "rank %d: peak as predicted", k);
    }
}

/* ---- running statistics ---- */

#define NAMED 256

static struct {
    float kept[NAMED][2]; /* by parameter: first and last value before a step */
    bool follows;         /* all went a tenth of the way to the mean */
    int averages;
    double norm; /* of the other gradients */
} seen;

static bool is_near_to(float value, float before, float sum)
{
    double wanted = 0.9 * (double)before + 0.1 * (double)sum / MICROBATCHES;
    return fabs((double)value - wanted) <= 1e-6 * (fabs(wanted) + 1e-3);
}

/* The gradients are those of the step before. */
static void compare(struct dawn_exec *exec, int step)
{
    double squares = 0;

    seen.averages = 0;
    for (int i = 0; i < dawn_exec_params(exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(exec, i);
        if (!strstr(p->name, ".running_")) {
            for (int64_t k = 0; k < p->elements; k++)
                squares += (double)p->grad[k] * (double)p->grad[k];
            continue;
        }
        if (seen.averages == NAMED)
            abort();
        float *kept = seen.kept[seen.averages++];
        int64_t last = p->elements - 1;
        if (step > 0 && (!is_near_to(p->value[0], kept[0], p->grad[0]) ||
                         !is_near_to(p->value[last], kept[1], p->grad[last])))
            seen.follows = false;
        kept[0] = p->value[0];
        kept[1] = p->value[last];
    }
    seen.norm = sqrt(squares);
}

static void compare_last(struct dawn_exec *exec)
{
    compare(exec, RIG_STEPS);
}

static void test_averages(void)
{
    struct rig_case c = images_case();
    struct rig_result r;

    c.before = compare;
    c.after = compare_last;
    seen.follows = true;
    rig_run(&c, &r);
    is_int(r.status[0], DAWN_OK, "steps run");
    is_int(seen.averages, 2 * 80, "80 batch norms have two averages each");
    ok(seen.follows, "which each step moves towards the microbatches' mean");
    is_near(r.norm[RIG_STEPS - 1] / seen.norm, 1, 1e-9,
            "the norm is that of all other gradients");
}

/* ---- Fisher information ---- */

static struct {
    int64_t weights, zeros; /* all; those of which F is 0 */
    int compared, apart;
} fisher;

static double evaluate(struct dawn_exec *exec, int samples)
{
    double loss;

    if (dawn_exec_params_changed(exec, NULL) ||
        dawn_exec_eval(exec, samples, &loss, NULL))
        abort();
    return loss * samples;
}

/* The sum over samples of squared derivatives of the evaluated loss, from
 * central differences. */
static double squared_differences(struct dawn_exec *exec, float *value)
{
    const float at = *value, away = 2e-3f;
    double up[MICROBATCHES + 1] = {0}, down[MICROBATCHES + 1] = {0}, sum = 0;

    *value = at + away;
    for (int n = 1; n <= MICROBATCHES; n++)
        up[n] = evaluate(exec, n);
    *value = at - away;
    for (int n = 1; n <= MICROBATCHES; n++)
        down[n] = evaluate(exec, n);
    *value = at;
    for (int n = 1; n <= MICROBATCHES; n++) {
        double d = up[n] - up[n - 1] - (down[n] - down[n - 1]);
        sum += d * d / (4 * (double)away * (double)away);
    }
    return sum;
}

static void compare_fisher(struct dawn_exec *exec)
{
    struct dawn_step_result result;

    for (int i = 0; i < dawn_exec_params(exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(exec, i);
        for (int64_t k = 0; k < p->elements; k++)
            if (strstr(p->name, ".running_mean"))
                p->value[k] = 0.1f * (float)((i + k) % 5 - 2);
            else if (strstr(p->name, ".running_var"))
                p->value[k] = 0.5f + 0.25f * (float)((i + k) % 4);
    }
    if (dawn_exec_params_changed(exec, NULL) ||
        dawn_exec_observe_step(exec, 0, MICROBATCHES, &result, NULL))
        abort();
    for (int i = 0; i < dawn_exec_params(exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(exec, i);
        const float *f = dawn_exec_pass_array(exec, i, 0);
        int64_t most = 0;
        for (int64_t k = 0; f && k < p->elements; k++) {
            most = f[k] > f[most] ? k : most;
            fisher.zeros += f[k] == 0;
            fisher.weights++;
        }
        if (!f || i % 4)
            continue;
        double wanted = squared_differences(exec, &p->value[most]);
        fisher.compared++;
        if (fabs((double)f[most] / wanted - 1) < 0.15)
            continue;
        fisher.apart++;
        diag("%s: %g, not %g", p->name, (double)f[most], wanted);
    }
}

static void test_fisher(void)
{
    struct rig_case c = images_case();
    struct rig_result r;

    c.passes = "fisher";
    c.microbatch = 1;
    c.no_steps = true;
    c.after = compare_fisher;
    rig_run(&c, &r);
    is_int(r.status[0], DAWN_OK, "samples are observed");
    ok(fisher.compared > 50 && fisher.apart == 0,
       "F of %d weights is that of the evaluated loss", fisher.compared);
    /* where an image is one pixel, most of a filter meets padding only */
    double zeros = (double)fisher.zeros / (double)fisher.weights;
    ok(zeros < 0.7, "%.1f%% of the weights have none", 100 * zeros);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t fisher_hash; /* of all ranks */

static void hash_fisher(struct dawn_exec *exec)
{
    struct dawn_step_result result;

    if (dawn_exec_observe_step(exec, 0, MICROBATCHES, &result, NULL))
        abort();
    pthread_mutex_lock(&lock);
    for (int i = 0; i < dawn_exec_params(exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(exec, i);
        const void *f = dawn_exec_pass_array(exec, i, 0);
        uint64_t hash[2] = {(uint64_t)p->param, 0};
        if (f)
            hash[1] = dawni_hash_of(f, (size_t)p->elements * sizeof(float));
        fisher_hash ^= dawni_hash_of(hash, sizeof hash);
    }
    pthread_mutex_unlock(&lock);
}

static void test_fisher_bits(void)
{
    static const struct {
        int stages, recompute;
    } row[] = {{1, 0}, {1, 1}, {2, 5}, {3, 2}, {4, 0}};
    struct rig_case c = images_case();
    struct rig_result r;
    uint64_t wanted = 0;

    c.passes = "fisher";
    c.microbatch = 1;
    c.no_steps = true;
    c.after = hash_fisher;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        fisher_hash = 0;
        c.stages = row[i].stages;
        c.recompute = row[i].recompute;
        rig_run(&c, &r);
        wanted = i ? wanted : fisher_hash;
        ok(fisher_hash && fisher_hash == wanted,
           "F on %d stages, %s: the same bits", c.stages, keeps[c.recompute]);
    }
}

int main(void)
{
    plan_lazy();
    test_same_bits();
    test_averages();
    test_fisher();
    test_fisher_bits();
    return done_testing();
}
