/* SPDX-License-Identifier: Apache-2.0 */
/* The training loop: step, evaluate, write metrics, begin and end checkpoints,
 * and stop in order when told to.
 */
#include "train.h"
#include <stdlib.h>
#include <string.h>

#define NONFINITE_LIMIT 5 /* consecutive steps */
#define LONG_RUN_NS 600e9

static bool due(uint64_t every, const struct trainer *t)
{
    return t->step == t->steps || (every && t->step % every == 0);
}

static enum dawn_status evaluate(struct trainer *t, struct step_record *record,
                                 struct dawn_error *err)
{
    if (!t->eval_samples || !due(t->job.train.eval_every, t))
        return DAWN_OK;
    record->has_eval = true;
    return dawn_exec_eval(t->exec, t->eval_samples, &record->eval_loss, err);
}

/* Rank 0 writes; all fail if it does. */
static enum dawn_status record_step(struct trainer *t,
                                    const struct step_record *record,
                                    struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    if (t->metrics)
        st = metrics_write(t->metrics, t, record, err);
    if (t->progress)
        progress_step(t->progress, record);
    return dawn_comm_agree(t->cli.comm, st, err);
}

/* Too many steps in a row whose numbers were not finite is a failure. */
static enum dawn_status check_finite(const struct trainer *t,
                                     const struct dawn_step_result *r,
                                     int *in_a_row, struct dawn_error *err)
{
    *in_a_row = r->nonfinite ? *in_a_row + 1 : 0;
    if (r->nonfinite && t->progress)
        progress_say(t->progress,
                     "step %llu: %s is the first node with a number that is "
                     "not finite; %s",
                     (unsigned long long)t->step + 1, r->bad_node,
                     r->updates ? "updates that it went into are left out"
                                : "nothing was updated");
    if (*in_a_row < NONFINITE_LIMIT)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_NUMERIC,
                     "%d steps in a row were not finite, first in node %s: "
                     "stopped after step %llu",
                     *in_a_row, r->bad_node, (unsigned long long)t->step + 1);
}

static enum dawn_status one_step(struct trainer *t, int *in_a_row,
                                 struct dawn_error *err)
{
    struct dawn_step_result result;
    struct step_record record = {.step = t->step,
                                 .lr = dawn_job_lr(&t->job, t->step),
                                 .result = &result};
    enum dawn_status st, numeric;

    st = dawn_exec_step(t->exec, t->step, record.lr, &result, err);
    if (st)
        return st;
    numeric = check_finite(t, &result, in_a_row, err);
    t->step++;
    if (!numeric && (st = evaluate(t, &record, err)))
        return st;
    struct dawn_error other = {0};
    if ((st = record_step(t, &record, &other))) {
        if (err)
            *err = other;
        return st;
    }
    return numeric;
}

/* A long run that keeps nothing until it ends. */
static void say_unprotected(const struct trainer *t)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);
    bool predicted = info->step_ns > 0 && !dawn_plan_edited(t->plan);

    if (!t->progress || t->job.train.checkpoint_every || t->step >= t->steps ||
        (predicted &&
         info->step_ns * (double)(t->steps - t->step) < LONG_RUN_NS))
        return;
    progress_say(t->progress,
                 "no checkpoint before step %llu, checkpoint_every is 0; "
                 "SIGUSR1 to mpirun stops the run with one, ^C may lose it",
                 (unsigned long long)t->steps);
}

/* begin: the step that the run went on from. */
static void say_end(const struct trainer *t, uint64_t begin, int signal_number)
{
    if (!t->progress)
        return;
    if (begin >= t->steps)
        progress_say(t->progress,
                     "nothing to do up to step %llu: the checkpoint in %s is "
                     "of step %llu",
                     (unsigned long long)t->steps, t->job.out,
                     (unsigned long long)begin);
    else if (signal_number)
        progress_say(t->progress,
                     "stopped by %s after step %llu of %llu: go on with "
                     "--resume",
                     train_signal_name(signal_number),
                     (unsigned long long)t->step, (unsigned long long)t->steps);
    else
        progress_say(t->progress, "%llu steps done, checkpoint in %s",
                     (unsigned long long)t->step, t->job.out);
}

enum dawn_status train_explain(const struct trainer *t, enum dawn_status st,
                               struct dawn_error *err)
{
    struct dawn_error why = {0};

    if (st != DAWN_E_USER)
        return st;
    enum dawn_status because = feed_error(t->feed, &why);
    because = dawn_comm_agree(t->cli.comm, because, &why);
    if (!because)
        return st;
    *err = why;
    return because;
}

/* A checkpoint that could not be written ends no run that goes on: older ones
 * are whole, and the next one may find room. */
static enum dawn_status bear(struct trainer *t, enum dawn_status st,
                             const struct dawn_error *why)
{
    if (st != DAWN_E_IO)
        return st;
    if (t->progress)
        progress_say(t->progress,
                     "warning: %s: that checkpoint is lost, older ones stay, "
                     "and the run goes on",
                     why->text);
    return DAWN_OK;
}

/* After a step: end the checkpoint that is being written, where it is; begin
 * one where it is due. Only the last one of a run must succeed. */
static enum dawn_status keep_state(struct trainer *t,
                                   const struct train_note *sum,
                                   struct dawn_error *err)
{
    bool last = sum->signal || t->step == t->steps;
    enum dawn_status st = sum->written ? state_finish(t, err) : DAWN_OK;

    st = bear(t, st, err);
    if (st || !(last || due(t->job.train.checkpoint_every, t)))
        return st;
    t->kept = t->step;
    if (!last)
        return bear(t, state_begin(t, err), err);
    if (t->save && (st = bear(t, state_finish(t, err), err)))
        return st;
    return state_begin(t, err);
}

/* Data that cannot be read any more end the run, but no step that is done shall
 * be lost. A step that failed has changed nothing, unless weights are updated
 * within it. */
static enum dawn_status keep_done(struct trainer *t, struct dawn_error *err)
{
    if (t->kept == t->step || dawn_plan_info(t->plan)->update_every)
        return DAWN_OK;
    enum dawn_status st = state_begin(t, err);
    if (!st && t->progress)
        progress_say(t->progress,
                     "ends after step %llu, with a checkpoint of it: go on "
                     "with --resume once the data are there",
                     (unsigned long long)t->step);
    return st;
}

/* The last checkpoint, also of a run that failed, unless the ranks have lost
 * each other. */
static enum dawn_status finish(struct trainer *t, enum dawn_status st,
                               struct dawn_error *err)
{
    struct dawn_error other = {0};

    if (st == DAWN_E_COMM || st == DAWN_E_TIMEOUT)
        return st;
    enum dawn_status last = st == DAWN_E_USER ? keep_done(t, &other) : DAWN_OK;
    if (!last)
        last = state_finish(t, &other);
    if (st || !last)
        return st;
    *err = other;
    return last;
}

int train_loop(struct trainer *t)
{
    struct dawn_error err = {0};
    struct train_note sum = {0};
    uint64_t begin = t->kept = t->step;
    int in_a_row = 0;
    struct train_note *all =
        calloc((size_t)dawn_comm_size(t->cli.comm), sizeof *all);
    enum dawn_status st = DAWN_OK;

    if (!all)
        st = dawn_fail(&err, DAWN_E_NOMEM, "no memory to train");
    st = dawn_comm_agree(t->cli.comm, st, &err);
    train_catch_signals(
        t, "dawn-train: told to stop: this step is finished, then a checkpoint "
           "is written\n");
    if (!st)
        say_unprotected(t);
    while (!st && !sum.signal && t->step < t->steps) {
        st = one_step(t, &in_a_row, &err);
        if (!st)
            st = train_exchange(t, all, &sum, &err);
        if (!st)
            st = keep_state(t, &sum, &err);
    }
    train_answer_no_signals();
    st = finish(t, st, &err);
    if (!st)
        say_end(t, begin, sum.signal);
    free(all);
    st = train_explain(t, st, &err);
    return cli_report(&t->cli, st, &err);
}
