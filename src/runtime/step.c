/* SPDX-License-Identifier: Apache-2.0 */
/* A step, an evaluation, and what all ranks learn of them. */
#include "common/clock.h"
#include "runtime/exec.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CHECK_COPIES_EVERY 256 /* steps */

/* Updates of a stage in a step; one without any is as a synchronous one. */
static int updates_of(const struct dawn_exec *e)
{
    int every = e->program->update_every;
    return every && e->lr >= 0 ? dawn_plan_info(e->plan)->microbatches / every
                               : 1;
}

/* AdamW's bias correction; t: how many updates there were, with this one. */
static void set_bias(const struct dawn_exec *e, struct dawni_adamw *o, double t)
{
    o->bias1 = (float)(1 - pow(e->opts.beta1, t));
    o->bias2 = (float)(1 - pow(e->opts.beta2, t));
}

static void begin(struct dawn_exec *e, uint64_t step, double lr)
{
    e->step = step;
    e->lr = lr;
    e->eval = e->check = e->nonfinite = false;
    e->bad = -1;
    e->status = DAWN_OK;
    e->loss = 0;
    e->live_bytes = e->peak_bytes = e->kept_bytes;
    e->kernel_ns = e->wait_ns = e->stall_ns = 0;
    e->done = -1;
    dawni_exec_begin_passes(e);
    e->adamw = (struct dawni_adamw){
        .lr = (float)lr,
        .beta1 = (float)e->opts.beta1,
        .beta2 = (float)e->opts.beta2,
        .eps = (float)e->opts.eps,
        .weight_decay = (float)e->opts.weight_decay,
        .grad_scale = 1,
    };
    set_bias(e, &e->adamw, (double)step + 1);
    e->bad_update = INT64_MAX;
    for (int i = 0; i < e->graph->params; i++)
        e->squares[i] = 0;
}

static float clipped(const struct dawn_exec *e, double norm)
{
    return e->opts.clip > 0 && norm > e->opts.clip
               ? (float)(e->opts.clip / norm)
               : 1.0f;
}

/* The first UPDATE that is bad, in the order in which a microbatch's backward
 * comes to the stages, with the parameter. */
static void note_bad(struct dawn_exec *e, const struct dawni_instr *i,
                     int param)
{
    int stages = dawn_plan_info(e->plan)->stages;
    int64_t order = (int64_t)i->microbatch * stages + (stages - 1 - i->id);
    order = order * e->graph->params + param;
    if (order < e->bad_update)
        e->bad_update = order;
}

void dawni_exec_stage_norm(struct dawn_exec *e, const struct dawni_instr *i)
{
    double sum = 0;
    uint64_t nth = (uint64_t)(i->microbatch / e->program->update_every);
    for (int k = 0; k < e->owned; k++) {
        const struct dawn_exec_param *p = &e->param[k];
        if (e->only_stage[p->param] != i->id ||
            e->graph->param[p->param].desc.average > 0)
            continue;
        double squares = e->device->sum_squares(p->grad, p->elements);
        if (!isfinite(squares))
            note_bad(e, i, p->param);
        e->squares[p->param] += squares;
        sum += squares;
    }
    e->leave_out = e->lr < 0 || !isfinite(sum);
    e->update = e->adamw;
    e->update.grad_scale = clipped(e, sqrt(sum));
    set_bias(e, &e->update,
             (double)(e->step * (uint64_t)updates_of(e) + nth + 1));
}

/* Sum of the squares of an owned parameter's gradient: the mean of all
 * UPDATEs', or of the mean over all microbatches where STEP updates it. */
static double squares_of(const struct dawn_exec *e,
                         const struct dawn_exec_param *p)
{
    double updates = updates_of(e);
    if (e->graph->param[p->param].desc.average > 0)
        return 0;
    if (e->observes_each)
        return e->observed[p - e->param];
    if (e->only_stage[p->param] >= 0)
        return e->squares[p->param] / updates;
    return e->device->sum_squares(p->grad, p->elements) / (updates * updates);
}

/* What STEP multiplies gradients by: they are sums of means of UPDATEs, and
 * clipped by the norm of what it updates. */
static void set_scale(struct dawn_exec *e)
{
    double sum = 0;
    for (int i = 0; i < e->graph->params; i++)
        if (e->only_stage[i] < 0)
            sum += e->sums[i];
    e->adamw.grad_scale = clipped(e, sqrt(sum));
    if (e->program->update_every)
        e->adamw.grad_scale /= (float)updates_of(e);
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
        e->sums[e->param[i].param] = squares_of(e, &e->param[i]);
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
    set_scale(e);
    return DAWN_OK;
}

static void name_node(const struct dawn_exec *e, int64_t order, char *name,
                      size_t bytes)
{
    int64_t nodes = e->graph->nodes, place = order % (2 * nodes);
    int node = (int)(place < nodes ? place : 2 * nodes - 1 - place);
    const char *text = e->graph->node[node].desc.name;
    if (e->program->update_every)
        snprintf(name, bytes, "%s (microbatch %lld, stage %d)", text,
                 (long long)(order / (2 * nodes)),
                 dawn_plan_stage_of(e->plan, node));
    else
        snprintf(name, bytes, "%s", text);
}

static void name_param(const struct dawn_exec *e, int64_t order, char *name,
                       size_t bytes)
{
    int64_t params = e->graph->params, at = order / params;
    int stages = dawn_plan_info(e->plan)->stages;
    snprintf(name, bytes, "%s (gradient, microbatch %lld, stage %lld)",
             e->graph->param[order % params].desc.name,
             (long long)(at / stages), (long long)(stages - 1 - at % stages));
}

/* The step again, up to STEP, and without UPDATEs. */
static enum dawn_status look_again(struct dawn_exec *e, struct dawn_error *err)
{
    double loss = e->loss, norm = e->grad_norm, lr = e->lr;
    int64_t bad_update = e->bad_update;
    e->check = true;
    e->loss = 0;
    e->lr = e->program->update_every ? -1 : lr;
    enum dawn_status st = dawni_exec_run(e, 0, e->program->sync_instr, err);
    e->check = false;
    e->loss = loss;
    e->grad_norm = norm;
    e->lr = lr;
    e->bad_update = bad_update;
    return st;
}

enum dawn_status dawni_exec_find_bad(struct dawn_exec *e, char *name,
                                     size_t bytes, struct dawn_error *err)
{
    enum dawn_status st = look_again(e, err);
    int64_t order[2] = {e->bad < 0 ? INT64_MAX : e->bad, e->bad_update};
    if (!st)
        st = e->comm->ops->allreduce_min(e->comm, order, 2, err);
    if (st)
        return st;
    if (order[0] != INT64_MAX)
        name_node(e, order[0], name, bytes);
    else if (order[1] != INT64_MAX)
        name_param(e, order[1], name, bytes);
    else
        snprintf(name, bytes, "the sum over uses or microbatches");
    return DAWN_OK;
}

static enum dawn_status share_stats(struct dawn_exec *e, uint64_t wall_ns,
                                    struct dawn_error *err)
{
    struct dawni_rank_stats mine = {
        .status = e->status,
        .step = e->step,
        .lr = e->lr,
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
    r->updates = e->program->update_every && e->lr >= 0 ? updates_of(e) : 0;
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
    r->figures = e->figures;
    r->figure = e->figure;
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

/* The caller must have given all ranks the same; a NaN is the same as a NaN. */
static enum dawn_status check_arguments(const struct dawn_exec *e,
                                        struct dawn_error *err)
{
    const struct dawni_rank_stats *first = &e->stats[0];
    for (int i = 1; i < e->comm->size; i++) {
        const struct dawni_rank_stats *s = &e->stats[i];
        if (s->step != first->step ||
            memcmp(&s->lr, &first->lr, sizeof s->lr) != 0)
            return dawn_fail(err, DAWN_E_INVAL,
                             "rank %d was given step %llu and lr %.17g, rank 0 "
                             "step %llu and lr %.17g",
                             i, (unsigned long long)s->step, s->lr,
                             (unsigned long long)first->step, first->lr);
    }
    return DAWN_OK;
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
        st = check_arguments(e, err);
    if (!st)
        st = work_status(e, err);
    if (!st)
        st = dawni_exec_share_figures(e, err);
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

bool dawni_exec_knows_losses(const struct dawn_exec *e)
{
    int node = dawn_graph_producer(e->graph, e->graph->loss);
    return strcmp(e->graph->node[node].desc.op, "cross_entropy") == 0;
}

/* Samples of a microbatch that count when so many are left. Where only the mean
 * over all its rows is known, each of the last ones takes all rows. */
static int64_t next_samples(const struct dawn_exec *e, int64_t left)
{
    int64_t microbatch = dawn_plan_info(e->plan)->microbatch;
    if (left >= microbatch)
        return microbatch;
    return dawni_exec_knows_losses(e) ? left : 1;
}

enum dawn_status dawn_exec_eval(struct dawn_exec *e, int64_t samples,
                                double *loss, struct dawn_error *err)
{
    if (samples < 1)
        return dawn_fail(err, DAWN_E_INVAL, "evaluation of %lld samples",
                         (long long)samples);
    begin(e, 0, -1);
    e->eval = true;
    for (int64_t done = 0; done < samples; done += e->counted) {
        e->sample = (uint64_t)done;
        e->counted = next_samples(e, samples - done);
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
        *loss = sum[0] / (double)samples;
    return st;
}
