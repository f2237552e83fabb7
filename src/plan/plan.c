/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"
#include "common/array.h"
#include "common/ranges.h"
#include "graph/graph.h"

const char *const dawni_decision_names[] = {"keep", "recompute", "host", "ssd",
                                            NULL};

const char *const dawni_objective_names[] = {"step", "bottleneck", NULL};

#define NAME(name, text) text,
const char *const dawni_category_names[] = {DAWN_CATEGORY_MAP(NAME)};
#undef NAME

static const char *node_name(const struct dawn_graph *graph, int node)
{
    const struct dawn_node_desc *d = dawn_graph_node(graph, node);

    return d ? d->name : "?";
}

static enum dawn_status check_info(const struct dawn_plan_info *info, int nodes,
                                   struct dawn_error *err)
{
    if (info->stages < 1 || info->stages > nodes)
        return dawn_fail(err, DAWN_E_INVAL,
                         "stages %d, must be from 1 to the number of nodes, %d",
                         info->stages, nodes);
    if (info->ranks < 1 || info->ranks > info->stages)
        return dawn_fail(err, DAWN_E_INVAL,
                         "ranks %d, must be from 1 to the number of stages, %d",
                         info->ranks, info->stages);
    if (info->microbatches < 1)
        return dawn_fail(err, DAWN_E_INVAL, "microbatches %d, must be >= 1",
                         info->microbatches);
    if (info->update_every < 0 ||
        (info->update_every && info->microbatches % info->update_every))
        return dawn_fail(err, DAWN_E_INVAL,
                         "update_every %d, must divide the %d microbatches",
                         info->update_every, info->microbatches);
    if (info->microbatch < 1)
        return dawn_fail(err, DAWN_E_INVAL, "microbatch %lld, must be >= 1",
                         (long long)info->microbatch);
    if (!memchr(info->schedule, 0, sizeof info->schedule) ||
        !memchr(info->policy, 0, sizeof info->policy) || !*info->schedule)
        return dawn_fail(err, DAWN_E_INVAL, "the plan names no schedule");
    return DAWN_OK;
}

/* Stage i must begin at node `next`. */
static enum dawn_status check_stage(const struct dawn_graph *graph,
                                    const struct dawn_plan_stage *s, int i,
                                    int next, struct dawn_error *err)
{
    if (s->first < 0 || s->last >= dawn_graph_nodes(graph))
        return dawn_fail(err, DAWN_E_INVAL,
                         "stage %d is nodes %d to %d, the graph has 0 to %d", i,
                         s->first, s->last, dawn_graph_nodes(graph) - 1);
    if (s->replicas < 0 || s->replicas > DAWNI_MOST_DEVICES)
        return dawn_fail(err, DAWN_E_INVAL,
                         "stage %d has %d replicas, must be 1 to %d", i,
                         s->replicas, DAWNI_MOST_DEVICES);
    if (s->last < s->first)
        return dawn_fail(err, DAWN_E_INVAL,
                         "stage %d ends at '%s', before it begins at '%s'", i,
                         node_name(graph, s->last), node_name(graph, s->first));
    if (s->first > next)
        return dawn_fail(err, DAWN_E_INVAL,
                         "node '%s' is in no stage: stage %d begins at '%s'",
                         node_name(graph, next), i, node_name(graph, s->first));
    if (s->first < next)
        return dawn_fail(err, DAWN_E_INVAL,
                         "node '%s' is in two stages: stage %d begins there, "
                         "before stage %d ends at '%s'",
                         node_name(graph, s->first), i, i - 1,
                         node_name(graph, next - 1));
    return DAWN_OK;
}

enum dawn_status dawni_plan_check_bytes(const struct dawn_graph *graph,
                                        int64_t microbatches,
                                        int64_t microbatch,
                                        struct dawn_error *err)
{
    double samples = (double)microbatches * (double)microbatch;
    double bytes = dawni_graph_all_bytes(graph, samples);

    if (bytes <= (double)DAWNI_MOST_BYTES)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_INVAL,
                     "%lld microbatches of %lld samples have %.3g bytes of "
                     "tensors and parameters, at most %.3g can be planned",
                     (long long)microbatches, (long long)microbatch, bytes,
                     (double)DAWNI_MOST_BYTES);
}

enum dawn_status dawni_plan_check(const struct dawn_graph *graph,
                                  const struct dawn_plan_info *info,
                                  const struct dawn_plan_stage *stage, int *bad,
                                  struct dawn_error *err)
{
    int nodes = dawn_graph_nodes(graph), next = 0;
    enum dawn_status st;

    *bad = -1;
    if ((st = check_info(info, nodes, err)) ||
        (st = dawni_plan_check_bytes(graph, info->microbatches,
                                     info->microbatch, err)))
        return st;
    for (int i = 0; i < info->stages; i++) {
        *bad = i;
        if ((st = check_stage(graph, &stage[i], i, next, err)))
            return st;
        if (stage[i].rank != i % info->ranks)
            return dawn_fail(err, DAWN_E_INVAL,
                             "stage %d is on rank %d, must be on rank %d (the "
                             "stage modulo %d ranks)",
                             i, stage[i].rank, i % info->ranks, info->ranks);
        next = stage[i].last + 1;
    }
    if (next == nodes)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_INVAL,
                     "node '%s' is in no stage: the last stage ends at '%s'",
                     node_name(graph, next), node_name(graph, next - 1));
}

enum dawn_status dawn_plan_create(const struct dawn_graph *graph,
                                  const struct dawn_plan_info *info,
                                  const struct dawn_plan_stage *stage,
                                  struct dawn_plan **plan_p,
                                  struct dawn_error *err)
{
    struct dawn_plan *plan;
    enum dawn_status st;
    int bad;

    if ((st = dawni_plan_check(graph, info, stage, &bad, err)))
        return st;
    if (!(plan = calloc(1, sizeof *plan)))
        goto nomem;
    plan->graph = graph;
    plan->info = *info;
    plan->info.graph_digest = dawn_graph_digest(graph);
    if (!*plan->info.policy)
        strcpy(plan->info.policy, "hand");
    plan->stages = info->stages;
    plan->stage = dawni_calloc(info->stages, sizeof *plan->stage);
    plan->decision =
        dawni_calloc((int64_t)info->stages * dawn_graph_tensors(graph), 1);
    plan->optimizer =
        dawni_calloc(dawn_graph_params(graph), sizeof *plan->optimizer);
    if (!plan->stage || !plan->decision || !plan->optimizer)
        goto nomem;
    memcpy(plan->stage, stage, (size_t)info->stages * sizeof *stage);
    *plan_p = plan;
    return DAWN_OK;
nomem:
    dawn_plan_destroy(plan);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for a plan of %d stages",
                     info->stages);
}

static void clear_devices(char **device, int devices)
{
    for (int i = 0; i < devices; i++)
        free(device[i]);
    free(device);
}

enum dawn_status dawn_plan_set_devices(struct dawn_plan *plan, int ranks,
                                       const char *const *device,
                                       struct dawn_error *err)
{
    char **copy = dawni_calloc(ranks, sizeof *copy);
    bool whole = copy;

    if (ranks && ranks != plan->info.ranks) {
        free(copy);
        return dawn_fail(err, DAWN_E_INVAL, "%d devices for %d ranks", ranks,
                         plan->info.ranks);
    }
    for (int i = 0; i < ranks && whole; i++) {
        for (int k = 0; k < i; k++)
            if (!strcmp(device[k], device[i])) {
                clear_devices(copy, i);
                return dawn_fail(err, DAWN_E_INVAL,
                                 "device '%s' is for rank %d and for rank %d",
                                 device[i], k, i);
            }
        copy[i] = strdup(device[i]);
        whole = copy[i];
    }
    if (!whole) {
        clear_devices(copy, copy ? ranks : 0);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d devices", ranks);
    }
    clear_devices(plan->device, plan->devices);
    plan->device = copy;
    plan->devices = ranks;
    return DAWN_OK;
}

const char *dawn_plan_device(const struct dawn_plan *plan, int rank)
{
    return rank >= 0 && rank < plan->devices ? plan->device[rank] : NULL;
}

void dawn_plan_destroy(struct dawn_plan *plan)
{
    if (!plan)
        return;
    dawn_graph_destroy(plan->own_graph);
    clear_devices(plan->device, plan->devices);
    free(plan->stage);
    free(plan->decision);
    free(plan->optimizer);
    free(plan);
}

void dawni_plan_own_graph(struct dawn_plan *plan, struct dawn_graph *graph)
{
    dawn_graph_destroy(plan->own_graph);
    plan->graph = plan->own_graph = graph;
}

int64_t dawni_plan_devices(const struct dawn_plan *plan)
{
    int64_t devices = 0;

    if (!dawni_plan_replicated(plan))
        return plan->info.ranks;
    for (int x = 0; x < plan->stages; x++)
        devices += plan->stage[x].replicas > 1 ? plan->stage[x].replicas : 1;
    return devices;
}

bool dawni_plan_replicated(const struct dawn_plan *plan)
{
    for (int x = 0; x < plan->stages; x++)
        if (plan->stage[x].replicas > 1)
            return true;
    return false;
}

const struct dawn_graph *dawn_plan_graph(const struct dawn_plan *plan)
{
    return plan->graph;
}

struct dawn_plan_info *dawn_plan_info(struct dawn_plan *plan)
{
    return &plan->info;
}

struct dawn_plan_stage *dawn_plan_stage(struct dawn_plan *plan, int stage)
{
    return stage >= 0 && stage < plan->stages ? &plan->stage[stage] : NULL;
}

int dawn_plan_stage_of(const struct dawn_plan *plan, int node)
{
    int low = 0, high = plan->stages - 1;

    if (node < 0 || node >= dawn_graph_nodes(plan->graph))
        return -1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (plan->stage[middle].last < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Decisions */

enum dawn_decision dawn_plan_decision(const struct dawn_plan *plan, int stage,
                                      int tensor)
{
    int tensors = dawn_graph_tensors(plan->graph);

    if (stage < 0 || stage >= plan->stages || tensor < 0 || tensor >= tensors)
        return DAWN_KEEP;
    return (enum dawn_decision)
        plan->decision[(size_t)stage * (size_t)tensors + (size_t)tensor];
}

enum dawn_status dawn_plan_decide(struct dawn_plan *plan, int stage, int tensor,
                                  enum dawn_decision decision,
                                  struct dawn_error *err)
{
    const struct dawn_graph *g = plan->graph;
    const struct dawn_plan_stage *s = dawn_plan_stage(plan, stage);

    if (!s)
        return dawn_fail(err, DAWN_E_INVAL, "stage %d, must be 0 to %d", stage,
                         plan->stages - 1);
    if (tensor < 0 || tensor >= g->tensors)
        return dawn_fail(err, DAWN_E_INVAL, "tensor %d, must be 0 to %d",
                         tensor, g->tensors - 1);
    const struct dawni_tensor *t = &g->tensor[tensor];
    if (decision < DAWN_KEEP || decision >= DAWN_DECISIONS)
        return dawn_fail(err, DAWN_E_INVAL, "tensor '%s': decision %d",
                         t->desc.name, (int)decision);
    if (!dawni_tensor_saved(g, tensor, s->first, s->last))
        return dawn_fail(err, DAWN_E_INVAL,
                         "tensor '%s': no backward of stage %d needs it",
                         t->desc.name, stage);
    if (decision == DAWN_RECOMPUTE &&
        (t->producer < s->first || t->producer > s->last))
        return dawn_fail(err, DAWN_E_INVAL,
                         "tensor '%s': stage %d cannot recompute what it does "
                         "not make",
                         t->desc.name, stage);
    plan->decision[(size_t)stage * (size_t)g->tensors + (size_t)tensor] =
        (uint8_t)decision;
    return DAWN_OK;
}
