/* SPDX-License-Identifier: Apache-2.0 */
/* The job's passes: which they are, and what they need before the first step.
 */
#include "train.h"
#include <dawnpiper/passes.h>
#include <stdlib.h>
#include <string.h>

#define LAMBDA " lambda "

const char *train_passes(const struct trainer *t)
{
    if (!t->options.fisher)
        return dawn_job_passes(&t->job);
    return t->options.of_batch_mean ? "fisher-of-batch-mean" : "fisher";
}

enum dawn_status passes_check(const struct trainer *t, struct dawn_error *err)
{
    const char *wanted = train_passes(t);
    const char *there = dawn_plan_info(t->plan)->passes;

    if (strcmp(wanted, there) == 0)
        return DAWN_OK;
    if (!*wanted)
        wanted = "none";
    return dawn_fail(err, DAWN_E_MISMATCH,
                     "%s was priced with passes: %s, %s has passes: %s: plan "
                     "it with dawn-plan --passes=%s",
                     t->options.plan, *there ? there : "none", t->options.job,
                     wanted, wanted);
}

/* The fewest digits that read back as the same number. */
static void decimal(double x, char text[32])
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            return;
    }
}

const char *passes_text(const char *passes, char text[PASSES_ROOM])
{
    const char *lambda = passes ? strstr(passes, LAMBDA) : NULL;
    char number[32], *end;

    if (!passes || !*passes)
        return "none";
    if (!lambda)
        return passes;
    lambda += strlen(LAMBDA);
    decimal(strtod(lambda, &end), number);
    snprintf(text, PASSES_ROOM, "%.*s%s%s", (int)(lambda - passes), passes,
             number, end);
    return text;
}

/* An explicit step of gradient descent on F (w - anchor)^2 diverges where lr *
 * lambda * F is 2 or more. AdamW bounds what one step does, so it oscillates
 * around the anchor instead of going away: a warning does. */
static void warn_unstable(const struct trainer *t,
                          const struct dawn_ewc_info *info)
{
    double product = t->job.train.lr * info->lambda * info->fisher.max;

    if (product < 2 || strcmp(t->job.ewc.form, "gradient") != 0)
        return;
    fprintf(stderr,
            "dawn-train: warning: ewc: lr %g * lambda %g * largest F %g is %g, "
            "2 or more: steps overshoot the anchor; form: proximal does not, "
            "lambda below %g would not\n",
            t->job.train.lr, info->lambda, info->fisher.max, product,
            2 / (t->job.train.lr * info->fisher.max));
}

/* Of F, which is another quantity, or of other weights. */
static void warn_fisher(const struct trainer *t,
                        const struct dawn_ewc_info *info)
{
    if (info->fisher.of_batch_mean)
        fprintf(stderr,
                "dawn-train: warning: ewc: %s is of batch means, smaller than "
                "Fisher information by about the samples of a step%s\n",
                t->job.ewc.fisher,
                t->job.ewc.relative
                    ? ""
                    : ": lambda does not carry over from one to the other");
    if (info->other_anchor)
        fprintf(stderr,
                "dawn-train: warning: ewc: %s was taken at other weights than "
                "those of anchor: %s\n",
                t->job.ewc.fisher, t->job.ewc.anchor);
}

enum dawn_status passes_load(struct trainer *t, struct dawn_error *err)
{
    struct dawn_ewc_opts opts = {.fisher = t->job.ewc.fisher,
                                 .anchor = t->job.ewc.anchor,
                                 .lambda = t->job.ewc.lambda,
                                 .relative = t->job.ewc.relative,
                                 .proximal =
                                     !strcmp(t->job.ewc.form, "proximal"),
                                 .job = &t->job};
    struct dawn_ewc_info info;
    struct dawn_error why = {0};
    enum dawn_status st;

    if (!t->job.ewc.on || t->options.fisher)
        return DAWN_OK;
    if ((st = dawn_ewc_load(t->exec, &opts, &info, &why)))
        return dawn_fail(err, st, "%s: ewc: %s", t->options.job, why.text);
    snprintf(t->passes, sizeof t->passes, "%s %s" LAMBDA "%a xxh3:%016llx",
             dawn_job_passes(&t->job), t->job.ewc.form, info.lambda,
             (unsigned long long)info.digest);
    if (!cli_first(&t->cli))
        return DAWN_OK;
    fprintf(t->options.json ? stderr : stdout,
            "ewc: lambda %g, %s; F%s of %llu weights: mean %g, largest %g\n",
            info.lambda, t->job.ewc.form,
            info.fisher.of_batch_mean ? ", of batch means," : "",
            (unsigned long long)info.fisher.weights, info.fisher.mean,
            info.fisher.max);
    if (*info.skipped)
        fprintf(stderr, "dawn-train: warning: ewc: %s\n", info.skipped);
    if (*info.differs)
        fprintf(stderr, "dawn-train: warning: ewc: %s\n", info.differs);
    warn_fisher(t, &info);
    warn_unstable(t, &info);
    return DAWN_OK;
}
