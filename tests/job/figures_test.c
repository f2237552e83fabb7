/* SPDX-License-Identifier: Apache-2.0 */
/* job.yaml with absurd figures: each is refused with line and key, or the job
 * has settings that are numbers. */
#include "common/absurd.h"
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/job.h>
#include <math.h>

/* Every key that has a figure, in jobs of three kinds. */
static const char *const jobs[] = {
    "dawn: job/1\n"
    "model:\n  preset: gpt2\n  layers: 6\n  hidden: 256\n  heads: 8\n"
    "  context: 256\n  vocab: 256\n  dropout: 0.1\n  dtype: f32\n"
    "data: {train: kjv.train.txt, eval: kjv.eval.txt}\n"
    "train:\n  steps: 300\n  microbatch: 4\n  microbatches: 8\n  lr: 1.0e-3\n"
    "  warmup: 20\n  weight_decay: 0.2\n  clip: 0.5\n  seed: 1\n"
    "  eval_every: 50\n  beta1: 0.8\n  beta2: 0.9\n  eps: 1e-7\n"
    "  min_lr: 1e-5\n  eval_microbatches: 3\n  checkpoint_every: 7\n  keep: 5\n"
    "device: {kind: host, threads: 2}\n"
    "passes:\n- ewc:\n    fisher: F\n    anchor: A\n    lambda: 1\n"
    "    online: {decay: 0.5}\n",
    "dawn: job/1\n"
    "model:\n  preset: amoebanet\n  layers: 18\n  filters: 64\n"
    "  classes: 10\n  image: 32\n  channels: 3\n"
    "data: {train: t.bin}\ntrain: {steps: 3}\n",
    "dawn: job/1\n"
    "model:\n  preset: t5\n  layers: 2\n  hidden: 64\n  heads: 4\n"
    "  context: 64\n  vocab: 300\n  target_context: 16\n  buckets: 32\n"
    "  max_distance: 128\n"
    "data: {train: t.txt, sentinel: 299}\ntrain: {steps: 3}\n",
    "dawn: job/1\n"
    "model:\n  preset: bert\n  layers: 2\n  hidden: 64\n  heads: 4\n"
    "  context: 64\n  vocab: 300\n  masked: 10\n"
    "data: {train: t.txt, mask: 299}\ntrain: {steps: 3}\n",
};

static int refused;

static bool is_sane(const struct dawn_job *job, const struct absurd *a)
{
    for (int i = 0; i < dawn_job_settings(); i++) {
        struct dawn_job_setting setting;
        const char *dot;
        dawn_job_setting(job, i, &setting);
        dot = strrchr(setting.name, '.');
        if (strcmp(dot ? dot + 1 : setting.name, a->key) == 0 &&
            (strlen(setting.value) > 41 ||
             !(fabs(atof(setting.value)) <= 1e38)))
            return false;
    }
    return true;
}

static void check(const struct absurd *a)
{
    struct dawn_error err = {0};
    struct dawn_job job;
    char where[32], key[80];
    enum dawn_status st =
        dawn_job_load(scratch_write("job.yaml", a->text), &job, &err);

    snprintf(where, sizeof where, "job.yaml:%d:", a->line);
    snprintf(key, sizeof key, "'%s'", a->key);
    refused += st == DAWN_E_FORMAT;
    if (st)
        ok(st == DAWN_E_FORMAT && strstr(err.text, "job.yaml:") &&
               (strstr(err.text, where) ? strstr(err.text, a->key) != NULL
                                        : !strstr(err.text, key)),
           "%s: %.20s is refused: %s", a->key, a->value, err.text);
    else
        ok(is_sane(&job, a), "%s: %.20s is read as a number", a->key, a->value);
}

int main(void)
{
    struct dawn_error err = {0};
    struct dawn_job job;
    int figures = 0;

    plan_lazy();
    scratch_make();
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        is_int(dawn_job_load(scratch_write("job.yaml", jobs[i]), &job, &err),
               DAWN_OK, "job %zu is fine %s", i, err.text);
        figures += absurd_each(jobs[i], check);
    }
    ok(figures >= 40 && refused > 5 * figures,
       "%d of %d figures in %d keys are refused", refused,
       figures * ABSURD_VALUES, figures);
    return done_testing();
}
