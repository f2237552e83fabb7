/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline costs with the best choice of variants. */
#include "partition/price.h"
#include "common/array.h"
#include "partition/tier.h"
#include <math.h>

enum dawn_status dawni_stage_choose(struct dawni_sack *sack,
                                    const struct dawni_stage_opts *opts,
                                    struct dawni_sack_answer *answer,
                                    struct dawn_error *err)
{
    const struct dawni_device_type *type = opts->type;
    struct dawni_sack_limits limits = {
        .cap = type->cap, .limit = DAWNI_NO_LIMIT, .effort = opts->effort};
    const struct dawni_level *level = dawni_level_of(sack->in, opts->y);
    bool done =
        level && dawni_sack_fill(sack, opts->node, opts->nodes, opts->y);

    if (done && sack->in->tier > 0 && opts->y > 1)
        done = dawni_tier_choose(sack, opts, answer);
    else if (done && dawni_sack_price(sack, opts->node, opts->nodes, level,
                                      type->cap, &limits.lambda)) {
        if (opts->method == DAWNI_KNAPSACK_GREEDY)
            dawni_sack_greedy(sack, &limits, 0, answer);
        else
            done = dawni_sack_search(sack, &limits, 0, answer);
        answer->time = dawni_real_time(type, answer->time);
        answer->bound = dawni_real_time(type, answer->bound);
    } else {
        done = false;
    }
    if (!done)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to choose variants");
    return DAWN_OK;
}

void dawni_stage_report(const struct dawni_sack *sack,
                        const struct dawni_stage_opts *opts,
                        struct dawni_partition_stage *stage)
{
    const struct dawni_partition_problem *p = sack->in->problem;
    double ns = 0, bytes = 0, sent = 0, largest = 0;

    for (int i = 0; i < opts->nodes; i++) {
        const struct dawni_option *o = &sack->option[sack->choice[i]];
        const struct dawni_variant *v =
            &p->variant[p->variant_at[opts->node[i]] + o->variant];
        ns += v->ns;
        bytes += v->fixed_bytes;
        if (o->r) {
            sent += v->saved_bytes;
            largest = fmax(largest, v->saved_bytes);
        } else {
            bytes += v->saved_bytes * opts->y;
        }
    }
    stage->in_flight = opts->y;
    stage->nodes = opts->nodes;
    stage->compute_ns = ns / opts->type->speed;
    stage->transfer_ns = sent > 0 ? 2 * sent / p->tier_bytes_per_s * 1e9 : 0;
    stage->time_ns = fmax(stage->compute_ns, stage->transfer_ns);
    stage->peak_bytes = bytes + DAWNI_PARTITION_STAGING * largest;
}

void dawni_partition_destroy(struct dawni_partition *p)
{
    if (!p)
        return;
    free(p->stage);
    free(p->stage_of);
    free(p->variant);
    free(p->offloaded);
    free(p);
}

enum dawn_status dawni_partition_empty(int nodes, int stages,
                                       struct dawni_partition **p_p,
                                       struct dawn_error *err)
{
    struct dawni_partition *p = calloc(1, sizeof *p);

    if (!p)
        goto no_memory;
    p->stage = dawni_calloc(stages, sizeof *p->stage);
    p->stage_of = dawni_calloc(nodes, sizeof *p->stage_of);
    p->variant = dawni_calloc(nodes, sizeof *p->variant);
    p->offloaded = dawni_calloc(nodes, sizeof *p->offloaded);
    if (!p->stage || !p->stage_of || !p->variant || !p->offloaded)
        goto no_memory;
    p->bottleneck_ns = INFINITY;
    *p_p = p;
    return DAWN_OK;
no_memory:
    dawni_partition_destroy(p);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d nodes", nodes);
}

/* Choose for one stage, and write down what was chosen. */
static enum dawn_status price_stage(struct dawni_sack *sack,
                                    const struct dawni_stage_opts *opts,
                                    struct dawni_partition_stage *stage,
                                    struct dawni_partition *p,
                                    struct dawn_error *err)
{
    struct dawni_sack_answer answer;
    enum dawn_status st = dawni_stage_choose(sack, opts, &answer, err);
    double bound = (double)answer.bound / sack->in->time_tick;

    if (st)
        return st;
    if (answer.bound >= DAWNI_NO_LIMIT)
        bound = INFINITY;
    p->bound_ns = fmax(p->bound_ns, bound);
    if (!answer.found) {
        p->feasible = false;
        return DAWN_OK;
    }
    dawni_stage_report(sack, opts, stage);
    for (int i = 0; i < opts->nodes; i++) {
        const struct dawni_option *o = &sack->option[sack->choice[i]];
        p->variant[opts->node[i]] = o->variant;
        p->offloaded[opts->node[i]] = o->r > 0;
    }
    p->bottleneck_ns = fmax(p->bottleneck_ns, stage->time_ns);
    return DAWN_OK;
}

void dawni_partition_judge(struct dawni_partition *p)
{
    if (!p->feasible) {
        p->bottleneck_ns = INFINITY;
        p->stages = 0;
    }
    p->proven = p->feasible ? p->bottleneck_ns <= p->bound_ns * (1 + 1e-9)
                            : isinf(p->bound_ns);
    p->bound_ns = fmin(p->bound_ns, p->bottleneck_ns);
}

enum dawn_status dawni_pipeline_price(struct dawni_sack *sack,
                                      const struct dawni_pipeline *pipeline,
                                      const struct dawni_stage_opts *like,
                                      struct dawni_partition **p_p,
                                      struct dawn_error *err)
{
    struct dawni_instance *in = sack->in;
    int *at = dawni_calloc((int64_t)pipeline->stages + 2, sizeof *at);
    int *node = dawni_calloc(in->n, sizeof *node);
    struct dawni_partition *p = NULL;
    enum dawn_status st = DAWN_OK;

    if (!at || !node)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d nodes", in->n);
    else
        st = dawni_partition_empty(in->n, pipeline->stages, &p, err);
    if (st)
        goto fail;
    p->feasible = true;
    p->bottleneck_ns = 0;
    p->stages = pipeline->stages;
    for (int v = 0; v < in->n; v++)
        at[pipeline->stage_of[v] + 2]++;
    for (int x = 2; x <= p->stages; x++)
        at[x] += at[x - 1];
    for (int v = 0; v < in->n; v++) {
        p->stage_of[v] = pipeline->stage_of[v];
        node[at[p->stage_of[v] + 1]++] = v;
    }
    for (int x = 0; x < pipeline->stages && !st; x++) {
        int device = pipeline->device[x];
        struct dawni_stage_opts opts = {
            .node = &node[at[x]],
            .nodes = at[x + 1] - at[x],
            .y = dawni_in_flight(in, pipeline->stages - x),
            .type = &in->type[in->type_of[device]],
            .method = like->method,
            .effort = like->effort,
            .enough = like->enough,
        };
        p->stage[x].device = device;
        st = price_stage(sack, &opts, &p->stage[x], p, err);
    }
    if (st)
        goto fail;
    dawni_partition_judge(p);
    p->work = in->work;
    free(at);
    free(node);
    *p_p = p;
    return DAWN_OK;
fail:
    free(at);
    free(node);
    dawni_partition_destroy(p);
    return st;
}
