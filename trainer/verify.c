/* SPDX-License-Identifier: Apache-2.0 */
/* --verify: one step of the plan and the same step on one stage that keeps
 * everything, compared bit by bit: loss, gradient norm, every gradient.
 */
#include "train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a step gave; gradients on rank 0 only. */
struct outcome {
    double loss, grad_norm;
    float **grad; /* by parameter id */
};

static void outcome_clear(struct outcome *o, int params)
{
    for (int i = 0; o->grad && i < params; i++)
        free(o->grad[i]);
    free(o->grad);
}

/* A step from the seed, without an update. */
static enum dawn_status step_once(struct dawn_exec *exec, struct outcome *o,
                                  struct dawn_error *err)
{
    struct dawn_step_result result;
    enum dawn_status st = dawn_exec_init(exec, err);

    if (!st)
        st = dawn_exec_step(exec, 0, -1, &result, err);
    if (st)
        return st;
    o->loss = result.loss;
    o->grad_norm = result.grad_norm;
    return DAWN_OK;
}

static const struct dawn_exec_param *owned(const struct dawn_exec *exec,
                                           int param)
{
    for (int i = 0; i < dawn_exec_params(exec); i++)
        if (dawn_exec_param(exec, i)->param == param)
            return dawn_exec_param(exec, i);
    return NULL;
}

/* Which rank owns a parameter: the same answer on all. */
static enum dawn_status owner_of(struct dawn_comm *comm, bool mine, int *owner,
                                 struct dawn_error *err)
{
    int size = dawn_comm_size(comm);
    char *all = calloc((size_t)size, 1), flag = mine;
    enum dawn_status st = DAWN_OK;

    if (!all)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d ranks", size);
    if (!(st = dawn_comm_agree(comm, st, err)))
        st = dawn_comm_allgather(comm, &flag, 1, all, err);
    *owner = -1;
    for (int i = 0; !st && i < size; i++)
        if (all[i])
            *owner = i;
    free(all);
    return st;
}

/* Bring one gradient to rank 0; the others get it on the way. */
static enum dawn_status fetch(struct dawn_comm *comm, struct dawn_exec *exec,
                              int param, int64_t elements, float **grad_p,
                              struct dawn_error *err)
{
    const struct dawn_exec_param *p = owned(exec, param);
    size_t bytes = (size_t)elements * sizeof(float);
    float *grad = malloc(bytes);
    int owner;
    enum dawn_status st = DAWN_OK;

    if (!grad)
        st = dawn_fail(err, DAWN_E_NOMEM,
                       "no memory for a gradient of %zu "
                       "bytes",
                       bytes);
    if ((st = dawn_comm_agree(comm, st, err)) ||
        (st = owner_of(comm, p != NULL, &owner, err)))
        goto done;
    if (owner < 0) { /* no node uses it */
        memset(grad, 0, bytes);
    } else {
        if (p)
            memcpy(grad, p->grad, bytes);
        st = dawn_comm_bcast(comm, grad, bytes, owner, err);
    }
done:
    if (st || dawn_comm_rank(comm)) {
        free(grad);
        grad = NULL;
    }
    *grad_p = grad;
    return st;
}

static enum dawn_status run(struct trainer *t, struct dawn_comm *comm,
                            struct dawn_exec *exec, struct outcome *o,
                            struct dawn_error *err)
{
    int params = dawn_graph_params(t->graph);
    enum dawn_status st;

    o->grad = calloc((size_t)params + 1, sizeof *o->grad);
    st = o->grad ? DAWN_OK
                 : dawn_fail(err, DAWN_E_NOMEM, "no memory for %d gradients",
                             params);
    if ((st = dawn_comm_agree(comm, st, err)) || (st = step_once(exec, o, err)))
        return st;
    for (int i = 0; !st && i < params; i++)
        st = fetch(comm, exec, i, dawn_graph_param_elements(t->graph, i),
                   &o->grad[i], err);
    return st;
}

/* The whole graph as one stage, with the plan's microbatches. */
static enum dawn_status one_stage_plan(const struct trainer *t,
                                       struct dawn_plan **plan_p,
                                       struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);
    struct dawn_plan_info one = {.policy = "hand",
                                 .stages = 1,
                                 .ranks = 1,
                                 .microbatches = info->microbatches,
                                 .microbatch = info->microbatch};
    struct dawn_plan_stage stage = {
        .rank = 0, .first = 0, .last = dawn_graph_nodes(t->graph) - 1};

    strcpy(one.passes, info->passes);
    strcpy(one.schedule, "1f1b"); /* feeds, and so beats, all along */
    return dawn_plan_create(t->graph, &one, &stage, plan_p, err);
}

/* While rank 0 runs the reference alone, the others wait for its beats, so that
 * they wait as long as it moves and no longer. */
static enum dawn_status beat(const struct trainer *t, bool *going,
                             struct dawn_error *err)
{
    return dawn_comm_bcast(t->cli.comm, going, sizeof *going, 0, err);
}

static enum dawn_status attend(const struct trainer *t, struct dawn_error *err)
{
    bool going = true;
    enum dawn_status st = DAWN_OK;

    while (!st && going)
        st = beat(t, &going, err);
    return st;
}

static int beat_and_fill(void *user, const struct dawn_feed *what, void *data)
{
    const struct trainer *t = user;
    struct dawn_error err = {0};
    bool going = true;

    return beat(t, &going, &err) || feed_fill(t->feed, what, data);
}

/* The reference, on rank 0 alone; beats in each microbatch. */
static enum dawn_status run_reference(struct trainer *t, struct outcome *o,
                                      struct dawn_error *err)
{
    struct dawn_comm *alone = NULL;
    struct dawn_plan *plan = NULL;
    struct dawn_exec *exec = NULL;
    enum dawn_status st =
        dawn_comm_create_loopback(1, t->options.timeout_s, &alone, err);

    if (!st)
        st = one_stage_plan(t, &plan, err);
    if (!st) {
        struct dawn_exec_opts opts = train_exec_opts(t, plan, alone);
        opts.feed = beat_and_fill;
        st = dawn_exec_create(&opts, &exec, err);
    }
    if (!st) {
        printf("verify: the plan's step is done, now the same on one stage\n");
        fflush(stdout);
        st = run(t, alone, exec, o, err);
    }
    dawn_exec_destroy(exec);
    dawn_plan_destroy(plan);
    dawn_comm_destroy(alone);
    return st;
}

/* Rank 0: the reference, and the end of the beats. Beats that fail mean that
 * the ranks have lost each other, which is then the reason. */
static enum dawn_status lead(struct trainer *t, struct outcome *o,
                             struct dawn_error *err)
{
    struct dawn_error lost = {0};
    bool going = false;

    enum dawn_status st = run_reference(t, o, err);
    enum dawn_status told = beat(t, &going, &lost);
    if (!told)
        return st;
    *err = lost;
    return told;
}

static enum dawn_status compare_number(const char *what, double plan,
                                       double one, struct dawn_error *err)
{
    if (memcmp(&plan, &one, sizeof plan) == 0)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_MISMATCH,
                     "verify: %s is %a under the plan, %a on one stage", what,
                     plan, one);
}

static enum dawn_status compare_grad(const struct trainer *t, int param,
                                     const float *plan, const float *one,
                                     struct dawn_error *err)
{
    int64_t n = dawn_graph_param_elements(t->graph, param);

    for (int64_t i = 0; i < n; i++)
        if (memcmp(&plan[i], &one[i], sizeof *plan))
            return dawn_fail(
                err, DAWN_E_MISMATCH,
                "verify: gradient of %s differs from element %lld on: %a under "
                "the plan, %a on one stage",
                dawn_graph_param(t->graph, param)->name, (long long)i,
                (double)plan[i], (double)one[i]);
    return DAWN_OK;
}

static enum dawn_status compare(const struct trainer *t,
                                const struct outcome *plan,
                                const struct outcome *one,
                                struct dawn_error *err)
{
    int params = dawn_graph_params(t->graph);
    enum dawn_status st = compare_number("loss", plan->loss, one->loss, err);

    for (int i = 0; !st && i < params; i++)
        st = compare_grad(t, i, plan->grad[i], one->grad[i], err);
    if (!st)
        st = compare_number("gradient norm", plan->grad_norm, one->grad_norm,
                            err);
    if (!st && !isfinite(one->loss))
        st = dawn_fail(err, DAWN_E_NUMERIC, "verify: the loss is not finite");
    if (!st)
        printf("verify: %d parameters, loss and all gradients identical\n",
               params);
    return st;
}

int train_verify(struct trainer *t)
{
    struct outcome plan = {0}, one = {0};
    struct dawn_error err = {0};
    int params = dawn_graph_params(t->graph);
    enum dawn_status st = run(t, t->cli.comm, t->exec, &plan, &err);

    st = dawn_comm_agree(t->cli.comm, st, &err);
    dawn_exec_destroy(t->exec); /* makes room for the whole model */
    t->exec = NULL;
    if (!st)
        st = cli_first(&t->cli) ? lead(t, &one, &err) : attend(t, &err);
    if (!st && cli_first(&t->cli))
        st = compare(t, &plan, &one, &err);
    st = dawn_comm_agree(t->cli.comm, st, &err);
    outcome_clear(&plan, params);
    outcome_clear(&one, params);
    return cli_report(&t->cli, st, &err);
}
