/* SPDX-License-Identifier: Apache-2.0 */
/* Variants for stages that are given. */
#include "common/array.h"
#include "partition/price.h"
#include <math.h>

/* Effort for one knapsack of a caller who names none. */
#define USUAL_EFFORT 20000000

static int64_t effort_of(const struct dawni_partition_problem *p)
{
    return p->most_work ? p->most_work : USUAL_EFFORT;
}

static enum dawn_status check_stages(const struct dawni_partition_problem *p,
                                     int stages, const int *stage_of,
                                     const int *device, struct dawn_error *err)
{
    if (stages < 1 || stages > p->stages || stages > p->nodes)
        return dawn_fail(err, DAWN_E_INVAL, "%d stages of %d, %d nodes", stages,
                         p->stages, p->nodes);
    for (int v = 0; v < p->nodes; v++)
        if (stage_of[v] < 0 || stage_of[v] >= stages)
            return dawn_fail(err, DAWN_E_INVAL, "node %d in stage %d of %d", v,
                             stage_of[v], stages);
    for (int i = 0; i < p->edges; i++)
        if (stage_of[p->edge[i].from] > stage_of[p->edge[i].to])
            return dawn_fail(err, DAWN_E_INVAL,
                             "edge %d from node %d to %d goes back a stage", i,
                             p->edge[i].from, p->edge[i].to);
    for (int x = 0; device && x < stages; x++)
        if (device[x] < 0 || device[x] >= p->stages)
            return dawn_fail(err, DAWN_E_INVAL, "stage %d on device %d of %d",
                             x, device[x], p->stages);
    return DAWN_OK;
}

/* Each stage must have a node. */
static enum dawn_status check_all_used(const struct dawni_pipeline *pipeline,
                                       int n, struct dawn_error *err)
{
    bool *used = dawni_calloc(pipeline->stages, sizeof *used);
    int x = 0;

    if (!used)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages",
                         pipeline->stages);
    for (int v = 0; v < n; v++)
        used[pipeline->stage_of[v]] = true;
    while (x < pipeline->stages && used[x])
        x++;
    free(used);
    if (x < pipeline->stages)
        return dawn_fail(err, DAWN_E_INVAL, "stage %d has no node", x);
    return DAWN_OK;
}

enum dawn_status dawni_partition_choose(
    const struct dawni_partition_problem *problem, int stages,
    const int *stage_of, const int *device, enum dawni_knapsack_method method,
    struct dawni_partition **partition_p, struct dawn_error *err)
{
    struct dawni_instance *in = NULL;
    struct dawni_sack *sack = NULL;
    struct dawni_pipeline pipeline = {.stages = stages};
    struct dawni_stage_opts like = {.method = method,
                                    .effort = effort_of(problem)};
    enum dawn_status st = dawni_instance_create(problem, &in, err);

    if (!st)
        st = check_stages(problem, stages, stage_of, device, err);
    if (!st)
        st = dawni_sack_create(in, &sack, err);
    if (st)
        goto done;
    pipeline.stage_of = dawni_calloc(in->n, sizeof *pipeline.stage_of);
    pipeline.device = dawni_calloc(stages, sizeof *pipeline.device);
    if (!pipeline.stage_of || !pipeline.device) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d nodes", in->n);
        goto done;
    }
    memcpy(pipeline.stage_of, stage_of,
           (size_t)in->n * sizeof *pipeline.stage_of);
    for (int x = 0; x < stages; x++)
        pipeline.device[x] = device ? device[x] : x;
    st = check_all_used(&pipeline, in->n, err);
    if (!st)
        st = dawni_pipeline_price(sack, &pipeline, &like, partition_p, err);
done:
    free(pipeline.stage_of);
    free(pipeline.device);
    dawni_sack_destroy(sack);
    dawni_instance_destroy(in);
    return st;
}

static enum dawn_status check_opts(const struct dawni_partition_problem *p,
                                   const struct dawni_knapsack_opts *opts,
                                   struct dawn_error *err)
{
    if (opts->in_flight < 1 || opts->nodes < 0 || opts->nodes > p->nodes ||
        !(opts->device.speed >= 1e-9 && opts->device.speed <= 1e9 &&
          opts->device.cap_bytes >= 0))
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d nodes with %d in flight, speed %g, %g bytes",
                         opts->nodes, opts->in_flight, opts->device.speed,
                         opts->device.cap_bytes);
    for (int i = 0; i < opts->nodes; i++)
        if (opts->node[i] < 0 || opts->node[i] >= p->nodes)
            return dawn_fail(err, DAWN_E_INVAL, "node %d of %d", opts->node[i],
                             p->nodes);
    return DAWN_OK;
}

enum dawn_status dawni_knapsack_solve(
    const struct dawni_partition_problem *problem,
    const struct dawni_knapsack_opts *opts, int *variant, bool *offloaded,
    struct dawni_knapsack *result, struct dawn_error *err)
{
    struct dawni_partition_problem p = *problem;
    struct dawni_instance *in = NULL;
    struct dawni_sack *sack = NULL;
    struct dawni_sack_answer answer;
    struct dawni_stage_opts stage = {.node = opts->node,
                                     .nodes = opts->nodes,
                                     .y = opts->in_flight,
                                     .method = opts->method,
                                     .effort = effort_of(problem)};
    enum dawn_status st = check_opts(problem, opts, err);

    if (st)
        return st;
    p.edges = 0; /* one stage, alone */
    p.stages = 1;
    p.all_stages = false;
    p.device = &opts->device;
    st = dawni_instance_create_for(&p, opts->in_flight, &in, err);
    if (!st)
        st = dawni_sack_create(in, &sack, err);
    if (!st) {
        stage.type = &in->type[0];
        st = dawni_stage_choose(sack, &stage, &answer, err);
    }
    if (st)
        goto done;
    *result =
        (struct dawni_knapsack){.feasible = answer.found, .work = in->work};
    result->bound_ns = answer.bound >= DAWNI_NO_LIMIT
                           ? INFINITY
                           : (double)answer.bound / in->time_tick;
    result->proven = isinf(result->bound_ns);
    if (answer.found) {
        dawni_stage_report(sack, &stage, &result->stage);
        result->proven = result->stage.time_ns <= result->bound_ns * (1 + 1e-9);
        result->bound_ns = fmin(result->bound_ns, result->stage.time_ns);
    }
    for (int i = 0; i < opts->nodes && answer.found; i++) {
        const struct dawni_option *o = &sack->option[sack->choice[i]];
        variant[i] = o->variant;
        if (offloaded)
            offloaded[i] = o->r > 0;
    }
done:
    dawni_sack_destroy(sack);
    dawni_instance_destroy(in);
    return st;
}
