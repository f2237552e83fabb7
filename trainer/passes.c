/* SPDX-License-Identifier: Apache-2.0 */
/* The job's passes: which they are, and what they need before the first step.
 */
#include "train.h"
#include <dawnpiper/passes.h>
#include <string.h>

const char *train_passes(const struct trainer *t)
{
    if (!t->options.fisher)
        return dawn_job_passes(&t->job);
    return t->options.of_batch_mean ? "fisher-of-batch-mean" : "fisher";
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

enum dawn_status passes_load(struct trainer *t, struct dawn_error *err)
{
    struct dawn_ewc_opts opts = {.fisher = t->job.ewc.fisher,
                                 .anchor = t->job.ewc.anchor,
                                 .lambda = t->job.ewc.lambda,
                                 .relative = t->job.ewc.relative,
                                 .proximal =
                                     !strcmp(t->job.ewc.form, "proximal")};
    struct dawn_ewc_info info;
    enum dawn_status st;

    if (!t->job.ewc.on || t->options.fisher)
        return DAWN_OK;
    if ((st = dawn_ewc_load(t->exec, &opts, &info, err)))
        return st;
    snprintf(t->passes, sizeof t->passes, "%s %s lambda %a xxh3:%016llx",
             dawn_job_passes(&t->job), t->job.ewc.form, info.lambda,
             (unsigned long long)info.digest);
    if (!cli_first(&t->cli))
        return DAWN_OK;
    fprintf(t->options.json ? stderr : stdout,
            "ewc: lambda %g, %s; F of %llu weights: mean %g, largest %g\n",
            info.lambda, t->job.ewc.form,
            (unsigned long long)info.fisher.weights, info.fisher.mean,
            info.fisher.max);
    warn_unstable(t, &info);
    return DAWN_OK;
}
