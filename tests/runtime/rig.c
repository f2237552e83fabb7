/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"
#include "common/hash.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define EVAL_SAMPLES 5 /* the last one fills no microbatch of 2 */

struct rank {
    const struct rig_case *c;
    struct rig_result *r;
    const struct dawn_graph *graph;
    struct dawn_comm *comm;
    pthread_mutex_t *lock;
};

struct dawn_model_opts rig_model(enum dawn_dtype dtype)
{
    return (struct dawn_model_opts){
        .preset = "gpt2",
        .layers = 2,
        .hidden = 32,
        .heads = 4,
        .context = 16,
        .vocab = 61,
        .fused_attention = true,
        .dtype = dtype,
    };
}

/* Tokens that depend on nothing but where they stand. */
static int feed(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    int shift = strcmp(what->name, "targets") == 0;
    int32_t *at = data;
    for (int64_t s = 0; s < what->samples; s++)
        for (int64_t t = 0; t < 16; t++) {
            uint64_t x = (what->sample + (uint64_t)s) * 131 +
                         (uint64_t)(t + shift) * 7 + what->step * 17;
            *at++ = (int32_t)((x * 2654435761u >> 7) % 61);
        }
    return 0;
}

static void decide(struct dawn_plan *plan, int stage, int how)
{
    const struct dawn_graph *g = dawn_plan_graph(plan);
    static const enum dawn_decision all[] = {
        DAWN_KEEP, DAWN_RECOMPUTE, DAWN_RECOMPUTE, DAWN_TO_SSD, DAWN_TO_HOST};
    for (int t = 0; how && t < dawn_graph_tensors(g); t++) {
        enum dawn_decision d =
            how == 5 ? (enum dawn_decision)(t % DAWN_DECISIONS) : all[how];
        if (how != 2 || t % 2)
            dawn_plan_decide(plan, stage, t, d, NULL);
    }
}

static void decide_moments(struct dawn_plan *plan, int how)
{
    const struct dawn_graph *g = dawn_plan_graph(plan);
    static const enum dawn_decision all[] = {DAWN_KEEP, DAWN_TO_SSD,
                                             DAWN_TO_HOST};
    for (int i = 0; how && i < dawn_graph_params(g); i++) {
        enum dawn_decision d = how < 3 ? all[how] : all[i % 3];
        if (how == 4)
            d = i % 2 ? DAWN_TO_SSD : DAWN_KEEP;
        dawn_plan_decide_optimizer(plan, i, d, NULL);
    }
}

static int ranks_of(const struct rig_case *c)
{
    return c->ranks ? c->ranks : c->stages;
}

/* The graph that the plan is made for; NULL: the one it was built as. */
static struct dawn_graph *arrange(const struct rig_case *c,
                                  const struct dawn_graph *g)
{
    int nodes = dawn_graph_nodes(g);
    int *order = calloc((size_t)nodes, sizeof *order);
    struct dawn_graph *arranged = NULL;
    if (!c->arrange) {
        free(order);
        return NULL;
    }
    c->arrange(g, c->order_seed, order);
    if (dawn_graph_reorder(g, order, nodes, &arranged, NULL))
        abort();
    free(order);
    return arranged;
}

static struct dawn_plan *make_plan(const struct rig_case *c,
                                   const struct dawn_graph *g,
                                   struct dawn_error *err)
{
    struct dawn_plan_info info = {
        .policy = "hand",
        .stages = c->stages,
        .ranks = ranks_of(c),
        .microbatches = c->microbatches,
        .update_every = c->update_every,
        .microbatch = c->microbatch ? c->microbatch : 2,
    };
    struct dawn_plan_stage stage[RIG_RANKS] = {0};
    struct dawn_plan *plan;
    int nodes = dawn_graph_nodes(g);
    strcpy(info.schedule, c->schedule);
    strcpy(info.passes, c->passes ? c->passes : "");
    for (int s = 0; s < c->stages; s++) {
        stage[s].rank = s % info.ranks;
        stage[s].first = nodes * s / c->stages;
        stage[s].last = nodes * (s + 1) / c->stages - 1;
    }
    if (dawn_plan_create(g, &info, stage, &plan, err))
        return NULL;
    for (int s = 0; s < c->stages; s++)
        decide(plan, s, c->recompute);
    decide_moments(plan, c->moments);
    return plan;
}

static enum dawn_status steps(struct rank *me, struct dawn_exec *e,
                              struct dawn_error *err)
{
    struct dawn_step_result res;
    struct rig_result *r = me->r;
    enum dawn_status st = dawn_exec_init(e, err);
    double lr = me->c->lr > 0 ? me->c->lr : 1e-2;
    uint64_t late = 0;
    int steps = me->c->steps ? me->c->steps : RIG_STEPS;
    if (dawn_comm_rank(me->comm) == 1) {
        lr = me->c->lr_of_rank_1 > 0 ? me->c->lr_of_rank_1 : lr;
        late = me->c->late_of_rank_1;
    }
    for (int i = 0; !st && !me->c->no_steps && i < steps; i++) {
        if (me->c->before)
            me->c->before(e, i);
        st = dawn_exec_step(e, (uint64_t)i + late, lr, &res, err);
        if (st || dawn_comm_rank(me->comm))
            continue;
        r->loss[i] = res.loss;
        r->norm[i] = res.grad_norm;
        r->nonfinite[i] = res.nonfinite;
        r->updates = res.updates;
        strcpy(r->bad_node[i], res.bad_node);
        memcpy(r->peak, res.peak_bytes, sizeof *r->peak * (size_t)res.ranks);
        memcpy(r->arena, res.arena_bytes, sizeof *r->arena * (size_t)res.ranks);
    }
    if (!st && me->c->after)
        me->c->after(e);
    double eval = 0;
    if (!st)
        st = dawn_exec_eval(e, EVAL_SAMPLES, &eval, err);
    if (dawn_comm_rank(me->comm) == 0)
        r->eval = eval;
    return st;
}

/* Of values and moments, read in parts that no piece begins at. */
static uint64_t hash_param(struct dawn_exec *e, int i)
{
    const struct dawn_exec_param *p = dawn_exec_param(e, i);
    uint64_t hash =
        dawni_hash_of(p->value, (size_t)p->elements * 4) + (uint64_t)p->param;
    int64_t part = p->elements / 3 + 1;
    float *m = malloc((size_t)part * sizeof *m);
    float *v = malloc((size_t)part * sizeof *v);
    for (int64_t at = 0; m && v && at < p->elements; at += part) {
        int64_t n = part < p->elements - at ? part : p->elements - at;
        if (dawn_exec_moments_get(e, i, at, n, m, v, NULL))
            continue;
        hash = hash * 31 + dawni_hash_of(m, (size_t)n * sizeof *m);
        hash = hash * 31 + dawni_hash_of(v, (size_t)n * sizeof *v);
    }
    free(m);
    free(v);
    return hash;
}

/* A hang is one before a test's time is over, but not a disk that others fill:
 * a write to it may take half a minute. */
static double timeout_of(const struct rig_case *c)
{
    return c->timeout_s > 0 ? c->timeout_s : 120;
}

static void *run_rank(void *arg)
{
    struct rank *me = arg;
    int rank = dawn_comm_rank(me->comm);
    struct dawn_error *err = &me->r->error[rank];
    struct dawn_exec *e = NULL;
    struct dawn_graph *arranged = arrange(me->c, me->graph);
    struct dawn_plan *plan =
        make_plan(me->c, arranged ? arranged : me->graph, err);
    struct dawn_exec_opts opts = {
        .passes = me->c->passes,
        .graph = me->graph,
        .plan = plan,
        .comm = me->comm,
        .seed = 7,
        .feed = me->c->feed ? me->c->feed : feed,
        .clip = me->c->clip,
        .weight_decay = 0.1,
        .timeout_s = timeout_of(me->c),
        .trace = me->c->trace,
        .offload_dir = me->c->offload_dir,
        .checked = true,
    };
    if (me->c->tell)
        me->c->tell(&opts, rank);
    enum dawn_status st = plan ? dawn_exec_create(&opts, &e, err) : err->status;
    if (!st)
        st = steps(me, e, err);
    me->r->status[rank] = st;
    pthread_mutex_lock(me->lock);
    for (int i = 0; e && i < dawn_exec_params(e); i++)
        me->r->params_hash ^= hash_param(e, i);
    if (e) {
        me->r->predicted[rank] = dawn_exec_memory(e, rank)->peak_bytes;
        me->r->kept[rank] = dawn_exec_memory(e, rank)->kept_bytes;
    }
    pthread_mutex_unlock(me->lock);
    dawn_exec_destroy(e);
    dawn_plan_destroy(plan);
    dawn_graph_destroy(arranged);
    dawn_comm_destroy(me->comm);
    return NULL;
}

void rig_run(const struct rig_case *c, struct rig_result *r)
{
    struct dawn_graph *graph;
    struct dawn_comm *comm[RIG_RANKS];
    struct rank rank[RIG_RANKS];
    pthread_t thread[RIG_RANKS];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    memset(r, 0, sizeof *r);
    if (c->build)
        graph = c->build(c->model.dtype);
    else
        r->status[0] = dawn_model_build(&c->model, &graph, &r->error[0]);
    if (r->status[0])
        return;
    r->status[0] = dawn_comm_create_loopback(ranks_of(c), timeout_of(c), comm,
                                             &r->error[0]);
    int ranks = r->status[0] ? 0 : ranks_of(c);
    for (int i = 0; i < ranks; i++) {
        rank[i] = (struct rank){c, r, graph, comm[i], &lock};
        pthread_create(&thread[i], NULL, run_rank, &rank[i]);
    }
    for (int i = 0; i < ranks; i++)
        pthread_join(thread[i], NULL);
    dawn_graph_destroy(graph);
}

bool rig_same(const struct rig_result *a, const struct rig_result *b)
{
    return memcmp(a->loss, b->loss, sizeof a->loss) == 0 &&
           memcmp(a->norm, b->norm, sizeof a->norm) == 0 &&
           memcmp(&a->eval, &b->eval, sizeof a->eval) == 0 &&
           a->params_hash == b->params_hash;
}
