/* SPDX-License-Identifier: Apache-2.0 */
/* --evaluate: the loss of the run's newest checkpoint on a file. */
#include "train.h"
#include <math.h>

static void print(const struct trainer *t, double loss)
{
    long long samples = (long long)t->eval_samples;

    if (t->options.json && isfinite(loss))
        printf("{\"step\":%llu,\"samples\":%lld,\"eval_loss\":%.17g,"
               "\"eval_loss_hex\":\"%a\"}\n",
               (unsigned long long)t->step, samples, loss, loss);
    else if (t->options.json) /* as in metrics.jsonl: JSON has no such number */
        printf("{\"step\":%llu,\"samples\":%lld,\"eval_loss\":null,"
               "\"eval_loss_hex\":\"%a\"}\n",
               (unsigned long long)t->step, samples, isnan(loss) ? NAN : loss);
    else
        printf("step %llu: loss %.6f on %s, %lld samples\n",
               (unsigned long long)t->step, isnan(loss) ? NAN : loss,
               t->options.evaluate, samples);
}

int train_evaluate(struct trainer *t)
{
    struct dawn_error err = {0};
    double loss = 0;
    enum dawn_status st = dawn_exec_eval(t->exec, t->eval_samples, &loss, &err);

    if (!st && cli_first(&t->cli))
        print(t, loss);
    return cli_report(&t->cli, train_explain(t, st, &err), &err);
}
