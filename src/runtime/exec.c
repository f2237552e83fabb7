/* SPDX-License-Identifier: Apache-2.0 */
/* The executor as an object: made, filled with parameters, destroyed. */
#include "runtime/exec.h"
#include "common/array.h"
#include "common/hash.h"
#include "common/random.h"
#include "common/text.h"
#include "common/threads.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct dawni_device_ops *const devices[] = {&dawni_host_device};

const struct dawni_device_ops *dawni_device_find(const char *name)
{
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (strcmp(devices[i]->name, name ? name : "host") == 0)
            return devices[i];
    return NULL;
}

/* Betas are floats in the optimizer, where a number just below 1 may be 1. */
static bool is_beta(double beta)
{
    return beta >= 0 && (float)beta < 1;
}

/* The optimizer counts in float. */
static bool is_amount(double x)
{
    return x >= 0 && isfinite((float)x);
}

static enum dawn_status check_numbers(const struct dawn_exec_opts *o,
                                      struct dawn_error *err)
{
    if (o->threads < 0 || o->threads > DAWNI_MOST_THREADS)
        return dawn_fail(err, DAWN_E_INVAL, "%d threads, must be 0 to %d",
                         o->threads, DAWNI_MOST_THREADS);
    if (!is_beta(o->beta1) || !is_beta(o->beta2))
        return dawn_fail(err, DAWN_E_INVAL,
                         "beta1 %g, beta2 %g: must be at least 0 and below 1",
                         o->beta1, o->beta2);
    if (!is_amount(o->eps) || !is_amount(o->weight_decay))
        return dawn_fail(err, DAWN_E_INVAL,
                         "eps %g, weight_decay %g: must be finite and at "
                         "least 0",
                         o->eps, o->weight_decay);
    if (o->eps > 0 && (float)o->eps < FLT_MIN)
        return dawn_fail(err, DAWN_E_INVAL, "eps %g: is too small for f32",
                         o->eps);
    if (!(o->clip >= 0))
        return dawn_fail(err, DAWN_E_INVAL, "clip %g, must be at least 0",
                         o->clip);
    return DAWN_OK;
}

static enum dawn_status check_opts(const struct dawn_exec_opts *o,
                                   struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(o->plan);
    uint64_t graph = dawn_graph_digest(o->graph);
    enum dawn_status st = check_numbers(o, err);
    if (st)
        return st;
    if (info->graph_digest != graph)
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "plan for graph xxh3:%016llx, this is graph "
                         "xxh3:%016llx",
                         (unsigned long long)info->graph_digest,
                         (unsigned long long)graph);
    for (int x = 0; x < info->stages; x++)
        if (dawn_plan_stage(o->plan, x)->replicas > 1)
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "stage %d of the plan has %d replicas: plans with "
                             "replicas cannot be run",
                             x, dawn_plan_stage(o->plan, x)->replicas);
    if (info->ranks != o->comm->size)
        return dawn_fail(err, DAWN_E_INVAL,
                         "the plan is for %d ranks, the job has %d",
                         info->ranks, o->comm->size);
    if (dawn_graph_loss(o->graph) < 0)
        return dawn_fail(err, DAWN_E_INVAL, "graph '%s' has no loss",
                         dawn_graph_name(o->graph));
    if (!o->feed)
        return dawn_fail(err, DAWN_E_INVAL, "no feed");
    if (!dawni_device_find(o->device))
        return dawn_fail(err, DAWN_E_NOTSUP, "device '%s' is not known here",
                         o->device);
    return dawni_exec_check_passes(o, err);
}

static enum dawn_status set_graph(struct dawn_exec *e,
                                  const struct dawn_exec_opts *o,
                                  struct dawn_error *err)
{
    const struct dawn_graph *planned = dawn_plan_graph(o->plan);
    enum dawn_status st = DAWN_OK;

    e->graph = o->graph;
    if (dawni_graph_same_order(o->graph, planned))
        return DAWN_OK;
    st = dawni_graph_reorder_like(o->graph, planned, &e->own_graph, err);
    if (!st)
        e->graph = e->own_graph;
    return st;
}

static void set_opts(struct dawn_exec *e, const struct dawn_exec_opts *o)
{
    e->plan = o->plan;
    e->comm = o->comm;
    e->device = dawni_device_find(o->device);
    e->opts = *o;
    if (o->threads == 0)
        e->opts.threads = 1;
    if (o->beta1 == 0)
        e->opts.beta1 = 0.9;
    if (o->beta2 == 0)
        e->opts.beta2 = 0.95;
    if (o->eps == 0)
        e->opts.eps = 1e-8;
    if (o->timeout_s <= 0)
        e->opts.timeout_s = 300;
}

static enum dawn_status make_tables(struct dawn_exec *e, struct dawn_error *err)
{
    int ranks = e->comm->size;
    e->memory = dawni_calloc(ranks, sizeof *e->memory);
    e->stats = dawni_calloc(ranks, sizeof *e->stats);
    e->kernel_ns_of = dawni_calloc(ranks, sizeof *e->kernel_ns_of);
    e->wait_ns_of = dawni_calloc(ranks, sizeof *e->wait_ns_of);
    e->stall_ns_of = dawni_calloc(ranks, sizeof *e->stall_ns_of);
    e->peak_of = dawni_calloc(ranks, sizeof *e->peak_of);
    e->arena_of = dawni_calloc(ranks, sizeof *e->arena_of);
    if (!e->memory || !e->stats || !e->kernel_ns_of || !e->wait_ns_of ||
        !e->stall_ns_of || !e->peak_of || !e->arena_of)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d ranks", ranks);
    return DAWN_OK;
}

/* Ranks with other numbers would train one model by two rules, and with another
 * plan wait for messages that nobody sends. */
static enum dawn_status compare_ranks(const struct dawn_exec *e,
                                      struct dawn_error *err)
{
    const struct dawn_exec_opts *o = &e->opts;
    const struct {
        const char *name;
        double value;
    } number[] = {{"beta1", o->beta1}, {"beta2", o->beta2},
                  {"eps", o->eps},     {"weight_decay", o->weight_decay},
                  {"clip", o->clip},   {"trace", o->trace}};
    enum { NUMBERS = sizeof number / sizeof *number };
    char text[NUMBERS][DAWNI_DOUBLE_ROOM], seed[32], graph[32], plan[32];
    struct dawn_comm_fact fact[NUMBERS + 4] = {
        {"the graph", graph, NULL},
        {"the plan", plan, NULL},
        {"seed", seed, NULL},
        {"passes", o->passes ? o->passes : "", NULL}};

    snprintf(graph, sizeof graph, "xxh3:%016" PRIx64,
             dawn_graph_digest(o->graph));
    snprintf(plan, sizeof plan, "xxh3:%016" PRIx64, dawn_plan_digest(o->plan));
    snprintf(seed, sizeof seed, "%" PRIu64, o->seed);
    for (int i = 0; i < NUMBERS; i++)
        fact[4 + i] = (struct dawn_comm_fact){
            number[i].name, dawni_double_text(number[i].value, text[i]), NULL};
    return dawn_comm_same(e->comm, fact, NUMBERS + 4, err);
}

enum dawn_status dawn_exec_create(const struct dawn_exec_opts *opts,
                                  struct dawn_exec **exec_p,
                                  struct dawn_error *err)
{
    enum dawn_status st = check_opts(opts, err);
    struct dawn_exec *e = calloc(1, sizeof *e);
    if (!e)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for an executor");
    if (!(st = dawni_agree(opts->comm, st, err))) {
        set_opts(e, opts);
        st = compare_ranks(e, err);
    }
    if (!st) {
        if (!(st = set_graph(e, opts, err)) && !(st = make_tables(e, err)))
            st = dawni_exec_bind(e, err);
        st = dawni_agree(opts->comm, st, err);
    }
    if (!st)
        st = opts->comm->ops->allgather(opts->comm, &e->program->memory,
                                        sizeof *e->memory, e->memory, err);
    if (st) {
        dawn_exec_destroy(e);
        return st;
    }
    *exec_p = e;
    return DAWN_OK;
}

void dawn_exec_destroy(struct dawn_exec *e)
{
    if (!e)
        return;
    dawni_exec_unbind(e);
    free(e->memory);
    free(e->stats);
    free(e->kernel_ns_of);
    free(e->wait_ns_of);
    free(e->stall_ns_of);
    free(e->peak_of);
    free(e->arena_of);
    dawn_graph_destroy(e->own_graph);
    free(e);
}

void dawni_param_init(const struct dawn_param_desc *d, int64_t elements,
                      uint64_t seed, float *value)
{
    uint64_t key = dawni_hash_of(d->name, strlen(d->name));
    if (d->init != DAWN_INIT_NORMAL) {
        for (int64_t i = 0; i < elements; i++)
            value[i] = d->init == DAWN_INIT_ONE ? 1.0f : 0.0f;
        return;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < elements; i += 4) {
        double x[4];
        dawni_normal(dawni_philox(seed, key, (uint64_t)i), x);
        for (int64_t k = i; k < i + 4 && k < elements; k++)
            value[k] = (float)(d->std * x[k - i]);
    }
}

enum dawn_status dawn_exec_init(struct dawn_exec *e, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    for (int i = 0; i < e->owned && !st; i++) {
        struct dawn_exec_param *p = &e->param[i];
        dawni_param_init(&e->graph->param[p->param].desc, p->elements,
                         e->opts.seed, p->value);
        st = dawni_exec_zero_moments(e, i, err);
    }
    if ((st = dawni_agree(e->comm, st, err)))
        return st;
    return dawn_exec_params_changed(e, err);
}

enum dawn_status dawn_exec_params_changed(struct dawn_exec *e,
                                          struct dawn_error *err)
{
    e->status = DAWN_OK;
    e->lr = 0;
    e->done = -1;
    e->loading = true;
    enum dawn_status st =
        dawni_exec_run(e, e->program->sync_instr, e->program->step_instrs, err);
    e->loading = false;
    if (st)
        return st;
    st = dawni_agree(e->comm, e->status, &e->error);
    return st ? dawn_fail(err, st, "%s", e->error.text) : DAWN_OK;
}

/* Ranks that do not hold the parameter say the neutral element. */
enum dawn_status dawni_exec_check_copies(struct dawn_exec *e,
                                         struct dawn_error *err)
{
    const struct dawni_program *p = e->program;
    for (int i = 0; i < e->graph->params; i++) {
        if (e->graph->param[i].users < 2)
            continue;
        int64_t least[2] = {INT64_MAX, INT64_MAX};
        if (p->master[i] >= 0) {
            uint64_t bytes =
                (uint64_t)e->graph->param[i].elements * sizeof(float);
            least[0] = (int64_t)(dawni_hash_of(
                                     e->arena + p->buffer[p->master[i]].offset,
                                     bytes) >>
                                 2);
            least[1] = -least[0];
        }
        enum dawn_status st =
            e->comm->ops->allreduce_min(e->comm, least, 2, err);
        if (st)
            return st;
        if (least[0] != -least[1])
            return dawn_fail(err, DAWN_E_MISMATCH,
                             "tied parameter '%s' differs between ranks after "
                             "step %llu",
                             e->graph->param[i].desc.name,
                             (unsigned long long)e->step);
    }
    return DAWN_OK;
}

int dawn_exec_params(const struct dawn_exec *e)
{
    return e->owned;
}

const struct dawn_exec_param *dawn_exec_param(const struct dawn_exec *e, int i)
{
    return i >= 0 && i < e->owned ? &e->param[i] : NULL;
}

const struct dawn_memory *dawn_exec_memory(const struct dawn_exec *e, int rank)
{
    return rank >= 0 && rank < e->comm->size ? &e->memory[rank] : NULL;
}
