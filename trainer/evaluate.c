/* SPDX-License-Identifier: Apache-2.0 */
/* --evaluate: the loss of the run's newest checkpoint on a file. */
#include "train.h"

static void print(const struct trainer *t, double loss)
{
    long long samples = (long long)t->eval_samples;

    if (t->options.json)
        printf("{\"step\":%llu,\"samples\":%lld,\"eval_loss\":%.17g,"
               "\"eval_loss_hex\":\"%a\"}\n",
               (unsigned long long)t->step, samples, loss, loss);
    else
        printf("step %llu: loss %.6f on %s, %lld samples\n",
               (unsigned long long)t->step, loss, t->options.evaluate, samples);
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
