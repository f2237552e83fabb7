/* SPDX-License-Identifier: Apache-2.0 */
/* --fisher: the Fisher information of trained weights on a corpus. The plan's
 * pipeline runs over it, window by window, and updates nothing.
 */
#include "train.h"
#include <dawnpiper/checkpoint.h>
#include <dawnpiper/passes.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the training plan that is given by mistake, the advice makes no other. */
enum dawn_status fisher_check(const struct trainer *t, struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);
    const char *wanted = train_passes(t), *plan = t->options.plan;
    bool suits = strcmp(info->passes, wanted) == 0;
    int64_t microbatch = t->options.of_batch_mean ? info->microbatch : 1;
    char why[256];

    if (suits && info->microbatch == microbatch)
        return DAWN_OK;
    if (!suits)
        snprintf(why, sizeof why,
                 "was priced with passes: %s, --fisher%s "
                 "wants passes: %s",
                 *info->passes ? info->passes : "none",
                 t->options.of_batch_mean ? "-of-batch-mean" : "", wanted);
    else
        snprintf(why, sizeof why,
                 "has microbatches of %lld samples; each "
                 "sample's gradient is squared, so they must have one",
                 (long long)info->microbatch);
    return dawn_fail(err, DAWN_E_INVAL,
                     "%s %s: dawn-plan PROFILE --passes=%s --microbatch=%lld "
                     "--stages=%d --microbatches=%d -o %s",
                     plan, why, wanted, (long long)microbatch, info->stages,
                     info->microbatches, suits ? plan : "fisher-plan.yaml");
}

enum dawn_status fisher_use_corpus(struct trainer *t, struct dawn_error *err)
{
    const char *corpus = t->options.fisher;

    if (strlen(corpus) >= sizeof t->job.data.eval)
        return dawn_fail(err, DAWN_E_INVAL, "--fisher: the path is too long");
    strcpy(t->job.data.train, corpus);
    strcpy(t->job.data.eval, corpus);
    return DAWN_OK;
}

/* The corpus's windows one behind the other, as an evaluation's. Behind the
 * last one that counts: the first again, which is not observed. */
int fisher_fill(const struct trainer *t, const struct dawn_feed *what,
                void *data)
{
    struct dawn_feed window = *what;

    window.sample += what->step * (uint64_t)t->samples;
    window.eval = true;
    if (window.sample + (uint64_t)what->samples > t->fisher_samples)
        window.sample = 0;
    return feed_fill(t->feed, &window, data);
}

/* How many windows: those asked for, or all; whole steps of the batch mean. */
static enum dawn_status count(struct trainer *t, struct dawn_error *err)
{
    int64_t wanted = t->options.samples, there = feed_eval_samples(t->feed);

    if (wanted > there)
        return dawn_fail(
            err, DAWN_E_INVAL, "--samples %lld: %s has %lld samples",
            (long long)wanted, t->options.fisher, (long long)there);
    wanted = wanted ? wanted : there;
    int64_t left = t->options.of_batch_mean ? wanted % t->samples : 0;
    if (left == wanted)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%lld samples of %s, a step of the plan takes %lld",
                         (long long)wanted, t->options.fisher,
                         (long long)t->samples);
    if (left && cli_first(&t->cli))
        fprintf(stderr,
                "dawn-train: warning: the last %lld of %lld samples fill no "
                "step of the plan: they are left out\n",
                (long long)left, (long long)wanted);
    t->fisher_samples = (uint64_t)(wanted - left);
    return DAWN_OK;
}

/* Rank 0: can F be written? A pass over the corpus may take days. */
static enum dawn_status make_output(struct trainer *t, struct dawn_error *err)
{
    const char *path = t->options.output;
    enum dawn_status st = DAWN_OK;

    if (!cli_first(&t->cli))
        return DAWN_OK;
    if (!(st = train_make_folder(path, err)))
        st = train_refuse(t, err); /* again: it may not have been there */
    if (!st && access(path, W_OK | X_OK))
        st = dawn_fail(err, DAWN_E_IO, "%s: cannot write there: %s", path,
                       strerror(errno));
    return st;
}

static bool is_online(const struct trainer *t)
{
    return t->job.ewc.on && t->job.ewc.decay > 0;
}

static enum dawn_status want(const struct dawn_checkpoint *ck, const char *key,
                             const char *wanted, struct dawn_error *err)
{
    const char *there = dawn_checkpoint_string(ck, key);

    if (there && strcmp(there, wanted) == 0)
        return DAWN_OK;
    return dawn_fail(
        err, DAWN_E_MISMATCH, "%s cannot be added: its %s is %s, %s is wanted",
        dawn_checkpoint_path(ck), key, there ? there : "missing", wanted);
}

/* Is what is added in the end such information? Its numbers are looked at
 * then. */
static enum dawn_status check_previous(const struct trainer *t,
                                       struct dawn_error *err)
{
    struct dawn_checkpoint *ck;
    enum dawn_status st;

    if (!is_online(t))
        return DAWN_OK;
    if ((st = state_open(t, t->job.ewc.fisher, &ck, err)))
        return st;
    if (!(st = want(ck, "estimator", train_passes(t), err)))
        st = dawn_checkpoint_suits(ck, t->graph, ".fisher", err);
    if (!st)
        changes_warn_of_model(t, ck);
    dawn_checkpoint_close(ck);
    return st;
}

static enum dawn_status prepare(struct trainer *t, struct dawn_error *err)
{
    enum dawn_status st = dawn_comm_agree(t->cli.comm, count(t, err), err);

    if (!st)
        st = check_previous(t, err);
    return st ? st : dawn_comm_agree(t->cli.comm, make_output(t, err), err);
}

static void show(const struct trainer *t, uint64_t done)
{
    bool terminal = cli_terminal();

    if (!cli_first(&t->cli) || (!terminal && done < t->fisher_samples))
        return;
    printf("%s%llu of %llu samples%s", terminal ? "\r\033[K" : "",
           (unsigned long long)done, (unsigned long long)t->fisher_samples,
           terminal && done < t->fisher_samples ? "" : "\n");
    fflush(stdout);
}

/* What was observed until then is Fisher information of fewer samples. */
static void stop(struct trainer *t, uint64_t done, int signal_number)
{
    if (cli_first(&t->cli))
        printf("%sstopped by %s after %llu of %llu samples: only these are in "
               "what is written\n",
               cli_terminal() ? "\r\033[K" : "",
               train_signal_name(signal_number), (unsigned long long)done,
               (unsigned long long)t->fisher_samples);
    t->fisher_samples = done;
}

static enum dawn_status observe(struct trainer *t, struct train_note *all,
                                struct dawn_error *err)
{
    uint64_t each = (uint64_t)t->samples, done = 0;
    struct train_note sum = {0};
    struct dawn_step_result result;
    enum dawn_status st = DAWN_OK;

    for (uint64_t step = 0; !st && done < t->fisher_samples; step++) {
        uint64_t left = t->fisher_samples - done;
        int now = (int)(left < each ? left : each);
        st = dawn_exec_observe_step(t->exec, step, now, &result, err);
        if (st || (st = train_exchange(t, all, &sum, err)))
            return st;
        done += (uint64_t)now;
        if (sum.signal && done < t->fisher_samples)
            stop(t, done, sum.signal);
        else
            show(t, done);
    }
    return st;
}

static enum dawn_status collect(struct trainer *t, struct dawn_error *err)
{
    struct train_note *all =
        calloc((size_t)dawn_comm_size(t->cli.comm), sizeof *all);
    enum dawn_status st = DAWN_OK;

    if (!all)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to observe samples");
    st = dawn_comm_agree(t->cli.comm, st, err);
    if (!st)
        st = observe(t, all, err);
    free(all);
    return st;
}

static enum dawn_status save(struct trainer *t, struct dawn_error *err)
{
    bool online = is_online(t);
    struct dawn_fisher_save_opts opts = {
        .dir = t->options.output,
        .corpus = t->options.fisher,
        .samples = t->fisher_samples,
        .previous = online ? t->job.ewc.fisher : NULL,
        .decay = t->job.ewc.decay,
        .job = &t->job,
    };
    struct dawn_fisher_info info;

    if (t->options.of_batch_mean)
        opts.samples /= (uint64_t)t->samples;
    enum dawn_status st = dawn_fisher_save(t->exec, &opts, &info, err);
    if (st || !cli_first(&t->cli))
        return st;
    printf("%s of %llu %s, %llu weights: mean %g, largest %g; in %s\n",
           t->options.of_batch_mean
               ? "squares of batch means (no Fisher information),"
               : "Fisher information",
           (unsigned long long)info.samples,
           t->options.of_batch_mean ? "steps" : "samples",
           (unsigned long long)info.weights, info.mean, info.max, opts.dir);
    if (online)
        printf("with %g times that of %s\n", opts.decay, opts.previous);
    return DAWN_OK;
}

int train_fisher(struct trainer *t)
{
    struct dawn_error err = {0};
    enum dawn_status st;

    train_catch_signals(t, "dawn-train: told to stop: this step is finished, "
                           "then what was observed is written\n");
    st = prepare(t, &err);
    if (!st)
        st = collect(t, &err);
    train_answer_no_signals();
    if (!st)
        st = save(t, &err);
    return cli_report(&t->cli, train_explain(t, st, &err), &err);
}
