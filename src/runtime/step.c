/* SPDX-License-Identifier: Apache-2.0 */
/* A step, an evaluation, and what all ranks learn of them. */
#include "common/clock.h"
#include "runtime/exec.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CHECK_COPIES_EVERY 256 /* steps */

static void begin(struct dawn_exec *e, uint64_t step, double lr)
{
    double t = (double)step + 1;
    e->step = step;
    e->lr = lr;
    e->eval = e->check = e->nonfinite = false;
    e->bad = -1;
    e->status = DAWN_OK;
    e->loss = 0;
    e->live_bytes = e->peak_bytes = e->kept_bytes;
    e->kernel_ns = e->wait_ns = e->stall_ns = 0;
    e->done = -1;
    e->adamw = (struct dawni_adamw){
        .lr = (float)lr,
        .beta1 = (float)e->opts.beta1,
        .beta2 = (float)e->opts.beta2,
        .eps = (float)e->opts.eps,
        .weight_decay = (float)e->opts.weight_decay,
        .grad_scale = 1,
        .bias1 = (float)(1 - pow(e->opts.beta1, t)),
        .bias2 = (float)(1 - pow(e->opts.beta2, t)),
    };
}

/* Every rank adds zero where another one owns the parameter, which is exact;
 * then the sums are added in the order of the parameters. So the norm does not
 * depend on where the stages are cut. */
enum dawn_status dawni_exec_norm(struct dawn_exec *e, struct dawn_error *err)
{
    int n = e->graph->params;
    uint64_t start = dawni_now_ns();
    memset(e->sums, 0, ((size_t)n + 2) * sizeof *e->sums);
    for (int i = 0; !e->status && i < e->owned; i++)
        if (e->graph->param[e->param[i].param].desc.average == 0)
            e->sums[e->param[i].param] =
                e->device->sum_squares(e->param[i].grad, e->param[i].elements);
    e->sums[n] = e->status ? 0 : e->loss;
    e->sums[n + 1] = e->status ? 1 : 0;
    uint64_t computed = dawni_now_ns();
    e->kernel_ns += computed - start;
    enum dawn_status st =
        e->comm->ops->allreduce_sum(e->comm, e->sums, n + 2, err);
    e->wait_ns += dawni_now_ns() - computed;
    if (st)
        return st;
    if (e->sums[n + 1] > 0) {
        st = dawni_agree(e->comm, e->status, &e->error);
        e->status = st;
        return DAWN_OK;
    }
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += e->sums[i];
    e->grad_norm = sqrt(sum);
    e->loss = e->sums[n] / dawn_plan_info(e->plan)->microbatches;
    e->nonfinite = !isfinite(e->grad_norm) || !isfinite(e->loss);
    if (e->opts.clip > 0 && e->grad_norm > e->opts.clip)
        e->adamw.grad_scale = (float)(e->opts.clip / e->grad_norm);
    return DAWN_OK;
}

enum dawn_status dawni_exec_find_bad(struct dawn_exec *e, char *name,
                                     size_t bytes, struct dawn_error *err)
{
    int64_t order;
    double loss = e->loss, norm = e->grad_norm;
    e->check = true;
    e->loss = 0;
    enum dawn_status st = dawni_exec_run(e, 0, e->program->sync_instr, err);
    e->check = false;
    e->loss = loss;
    e->grad_norm = norm;
    order = e->bad < 0 ? INT64_MAX : e->bad;
    if (!st)
        st = e->comm->ops->allreduce_min(e->comm, &order, 1, err);
    if (st)
        return st;
    int64_t nodes = e->graph->nodes, place = order % (2 * nodes);
    if (order == INT64_MAX) {
        snprintf(name, bytes, "the sum over uses or microbatches");
        return DAWN_OK;
    }
    int64_t node = place < nodes ? place : 2 * nodes - 1 - place;
    snprintf(name, bytes, "%s", e->graph->node[node].desc.name);
    return DAWN_OK;
}

static enum dawn_status share_stats(struct dawn_exec *e, uint64_t wall_ns,
                                    struct dawn_error *err)
{
    struct dawni_rank_stats mine = {
        .status = e->status,
        .wall_ns = (double)wall_ns,
        .kernel_ns = (double)e->kernel_ns,
        .wait_ns = (double)e->wait_ns,
        .stall_ns = (double)e->stall_ns,
        .peak_bytes = e->peak_bytes,
        .arena_bytes = e->program->memory.arena_bytes,
    };
    return e->comm->ops->allgather(e->comm, &mine, sizeof mine, e->stats, err);
}

static void fill_result(struct dawn_exec *e, struct dawn_step_result *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(e->plan);
    int ranks = e->comm->size;
    double kernel = 0;
    r->loss = e->loss;
    r->grad_norm = e->grad_norm;
    r->nonfinite = e->nonfinite;
    r->samples = info->microbatch * info->microbatches;
    r->ranks = ranks;
    for (int i = 0; i < ranks; i++) {
        const struct dawni_rank_stats *s = &e->stats[i];
        double rest = s->wall_ns - s->kernel_ns - s->wait_ns - s->stall_ns;
        r->step_ns = fmax(r->step_ns, s->wall_ns);
        r->exposed_comm_ns = fmax(r->exposed_comm_ns, s->wait_ns);
        r->stall_ns = fmax(r->stall_ns, s->stall_ns);
        r->overhead_ns = fmax(r->overhead_ns, rest);
        kernel += s->kernel_ns;
        e->kernel_ns_of[i] = s->kernel_ns;
        e->wait_ns_of[i] = s->wait_ns;
        e->stall_ns_of[i] = s->stall_ns;
        e->peak_of[i] = s->peak_bytes;
        e->arena_of[i] = s->arena_bytes;
    }
    r->bubble = 1 - kernel / (r->step_ns * ranks);
    r->kernel_ns = e->kernel_ns_of;
    r->wait_ns = e->wait_ns_of;
    r->stalled_ns = e->stall_ns_of;
    r->peak_bytes = e->peak_of;
    r->arena_bytes = e->arena_of;
}

/* Whoever failed in the step's work: the lowest rank's text, on all. */
static enum dawn_status work_status(struct dawn_exec *e, struct dawn_error *err)
{
    bool any = false;
    for (int i = 0; i < e->comm->size; i++)
        any |= e->stats[i].status != 0;
    if (!any)
        return DAWN_OK;
    enum dawn_status st = dawni_agree(e->comm, e->status, &e->error);
    return dawn_fail(err, st, "%s", e->error.text);
}

enum dawn_status dawn_exec_step(struct dawn_exec *e, uint64_t step, double lr,
                                struct dawn_step_result *result,
                                struct dawn_error *err)
{
    struct dawn_step_result r = {0};
    begin(e, step, lr);
    uint64_t start = dawni_now_ns();
    enum dawn_status st = dawni_exec_run(e, 0, e->program->step_instrs, err);
    if (!st)
        st = share_stats(e, dawni_now_ns() - start, err);
    if (!st)
        st = work_status(e, err);
    if (st)
        return st;
    fill_result(e, &r);
    if (e->nonfinite)
        st = dawni_exec_find_bad(e, r.bad_node, sizeof r.bad_node, err);
    if (!st && (step + 1) % CHECK_COPIES_EVERY == 0)
        st = dawni_exec_check_copies(e, err);
    if (!st)
        *result = r;
    return st;
}

enum dawn_status dawn_exec_eval(struct dawn_exec *e, int microbatches,
                                double *loss, struct dawn_error *err)
{
    if (microbatches < 1)
        return dawn_fail(err, DAWN_E_INVAL, "evaluation of %d microbatches",
                         microbatches);
    begin(e, 0, -1);
    e->eval = true;
    for (int i = 0; i < microbatches; i++) {
        e->sample = (uint64_t)(i * dawn_plan_info(e->plan)->microbatch);
        enum dawn_status st =
            dawni_exec_run(e, e->program->step_instrs, e->program->instrs, err);
        if (st)
            return st;
    }
    double sum[2] = {e->status ? 0 : e->loss, e->status ? 1 : 0};
    enum dawn_status st = e->comm->ops->allreduce_sum(e->comm, sum, 2, err);
    if (!st && sum[1] > 0) {
        st = dawni_agree(e->comm, e->status, &e->error);
        return dawn_fail(err, st, "%s", e->error.text);
    }
    if (!st)
        *loss = sum[0] / microbatches;
    return st;
}
