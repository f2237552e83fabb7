/* SPDX-License-Identifier: Apache-2.0 */
/* A network of images with batch norms under the executor: the same bits for
 * every plan, and running statistics that are what their rule says.
 */
#include "rig.h"
#include "tap.h"
#include <math.h>
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

int main(void)
{
    plan_lazy();
    test_same_bits();
    test_averages();
    return done_testing();
}
