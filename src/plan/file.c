/* SPDX-License-Identifier: Apache-2.0 */
/* plan.yaml. */
#include "common/array.h"
#include "common/text.h"
#include "common/yaml.h"
#include "graph/graph.h"
#include "passes/passes.h"
#include "plan/order.h"
#include "plan/plan.h"

#include <inttypes.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
/* Of times and rates that a plan predicts: more than profile, machine and
 * numbers of microbatches can add up to, see common/yaml.h. */
#define MOST_PREDICTED 1e40

/* Writing */

static void write_double(struct dawni_text *t, const char *before, double x)
{
    dawni_text_add(t, before);
    dawni_text_add_double(t, x);
}

static void write_u64(struct dawni_text *t, const char *before, uint64_t x)
{
    dawni_text_addf(t, "%s%llu", before, (unsigned long long)x);
}

static void write_info(struct dawni_text *t, const struct dawn_plan *plan)
{
    const struct dawn_plan_info *info = &plan->info;

    dawni_text_add(t, "dawn: plan/1\n");
    if (*info->policy) {
        dawni_text_add(t, "policy: ");
        dawni_text_add_scalar(t, info->policy);
        dawni_text_add(t, "\n");
    }
    dawni_text_addf(t, "graph: xxh3:%016" PRIx64 "\n", info->graph_digest);
    if (info->profile_digest)
        dawni_text_addf(t, "profile: xxh3:%016" PRIx64 "\n",
                        info->profile_digest);
    if (info->cap_bytes)
        dawni_text_addf(t, "memory: %" PRIu64 "\n", info->cap_bytes);
    if (info->objective != DAWN_OBJECTIVE_STEP)
        dawni_text_addf(t, "objective: %s\n",
                        dawni_objective_names[info->objective]);
    if (*info->offload_dir) {
        dawni_text_add(t, "offload_dir: ");
        dawni_text_add_scalar(t, info->offload_dir);
        dawni_text_add(t, "\n");
    }
    dawni_passes_write(t, info->passes);
    dawni_text_add(t, "schedule: {kind: ");
    dawni_text_add_scalar(t, info->schedule);
    dawni_text_addf(t,
                    ", stages: %d, ranks: %d, microbatches: %d, microbatch: "
                    "%" PRId64,
                    plan->stages, info->ranks, info->microbatches,
                    info->microbatch);
    if (info->update_every)
        dawni_text_addf(t, ", update_every: %d", info->update_every);
    dawni_text_add(t, "}\n");
}

static void write_devices(struct dawni_text *t, const struct dawn_plan *plan)
{
    for (int i = 0; i < plan->devices; i++) {
        dawni_text_add(t, i ? ", " : "devices: [");
        dawni_text_add_scalar(t, plan->device[i]);
    }
    dawni_text_add(t, plan->devices ? "]\n" : "");
}

static void write_decisions(struct dawni_text *t, const struct dawn_plan *plan,
                            int stage)
{
    const struct dawn_graph *g = plan->graph;
    bool first = true;

    for (int i = 0; i < g->tensors; i++) {
        enum dawn_decision d = dawn_plan_decision(plan, stage, i);
        if (d == DAWN_KEEP)
            continue;
        dawni_text_add(t, first ? "  tensors:\n    " : "    ");
        dawni_text_add_scalar(t, g->tensor[i].desc.name);
        dawni_text_addf(t, ": %s\n", dawni_decision_names[d]);
        first = false;
    }
}

static void write_stage(struct dawni_text *t, const struct dawn_plan *plan,
                        int stage)
{
    const struct dawn_plan_stage *s = &plan->stage[stage];

    dawni_text_addf(t, "- rank: %d\n  nodes: [", s->rank);
    dawni_text_add_scalar(t, plan->graph->node[s->first].desc.name);
    dawni_text_add(t, ", ");
    dawni_text_add_scalar(t, plan->graph->node[s->last].desc.name);
    dawni_text_add(t, "]\n");
    if (s->replicas > 1)
        dawni_text_addf(t, "  replicas: %d\n", s->replicas);
    write_decisions(t, plan, stage);
    dawni_optimizer_write(t, plan, stage);
    if (s->predicted.f_ns == 0 && !s->predicted.peak_bytes)
        return;
    write_double(t, "  predicted:\n    f_ns: ", s->predicted.f_ns);
    write_double(t, "\n    b_ns: ", s->predicted.b_ns);
    write_double(t, "\n    w_ns: ", s->predicted.w_ns);
    write_double(t, "\n    recompute_ns: ", s->predicted.recompute_ns);
    write_double(t, "\n    stall_ns: ", s->predicted.stall_ns);
    if (s->predicted.transfer_ns > 0)
        write_double(t, "\n    transfer_ns: ", s->predicted.transfer_ns);
    write_double(t, "\n    step_ns: ", s->predicted.step_ns);
    if (s->predicted.update_ns > 0)
        write_double(t, "\n    update_ns: ", s->predicted.update_ns);
    if (s->predicted.reduce_ns > 0)
        write_double(t, "\n    reduce_ns: ", s->predicted.reduce_ns);
    write_u64(t, "\n    peak_bytes: ", s->predicted.peak_bytes);
    write_u64(t, "\n    arena_bytes: ", s->predicted.arena_bytes);
    if (s->replicas > 1) { /* not priced by category */
        dawni_text_add(t, "\n");
        return;
    }
    dawni_text_add(t, "\n    by: {");
    for (int i = 0; i < DAWN_CATEGORIES; i++)
        if ((i != DAWN_CATEGORY_VERSIONS && i != DAWN_CATEGORY_PASSES) ||
            s->predicted.by[i])
            dawni_text_addf(t, "%s%s: %" PRIu64, i ? ", " : "",
                            dawni_category_names[i], s->predicted.by[i]);
    dawni_text_add(t, "}\n");
}

enum dawn_status dawn_plan_save(const struct dawn_plan *plan, const char *path,
                                struct dawn_error *err)
{
    const struct dawn_plan_info *info = &plan->info;
    struct dawni_text t = {0};
    enum dawn_status st;

    write_info(&t, plan);
    write_devices(&t, plan);
    dawni_order_write(&t, plan->graph);
    dawni_text_add(&t, "stages:\n");
    for (int i = 0; i < plan->stages; i++)
        write_stage(&t, plan, i);
    if (info->step_ns != 0 || info->bound_ns != 0) {
        dawni_text_add(&t, "predicted: {");
        if (info->priced_digest)
            dawni_text_addf(&t, "of: xxh3:%016" PRIx64 ", ",
                            info->priced_digest);
        write_double(&t, "step_ns: ", info->step_ns);
        write_double(&t, ", bottleneck_ns: ", info->bottleneck_ns);
        write_double(&t, ", bound_ns: ", info->bound_ns);
        write_double(&t, ", tokens_per_s: ", info->tokens_per_s);
        if (info->size_low)
            dawni_text_addf(&t, ", size_low: %" PRId64 ", size_high: %" PRId64,
                            info->size_low, info->size_high);
        dawni_text_add(&t, "}\n");
    }
    st = dawni_text_save(&t, path, err);
    dawni_text_clear(&t);
    return st;
}

/* Reading */

struct top {
    const char *kind;
    struct dawn_plan_info info;
    const struct dawni_yaml *passes, *schedule, *devices, *order, *stages,
        *predicted;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct top, __VA_ARGS__)
static const struct dawni_yaml_field top_fields[] = {
    FIELD("dawn", TEXT, kind),
    FIELD("policy", STRING, info.policy),
    FIELD("graph", DIGEST, info.graph_digest, .required = true),
    FIELD("profile", DIGEST, info.profile_digest),
    FIELD("memory", SIZE, info.cap_bytes, .ihi = INT64_MAX),
    FIELD("objective", CHOICE, info.objective,
          .choices = dawni_objective_names),
    FIELD("offload_dir", STRING, info.offload_dir),
    FIELD("passes", A_LIST, passes),
    FIELD("schedule", A_MAP, schedule, .required = true),
    FIELD("devices", A_LIST, devices),
    FIELD("order", A_LIST, order),
    FIELD("stages", A_LIST, stages, .required = true),
    FIELD("predicted", A_MAP, predicted),
};
#undef FIELD

#define FIELD(...) DAWNI_YAML_FIELD(struct dawn_plan_info, __VA_ARGS__)
static const struct dawni_yaml_field schedule_fields[] = {
    FIELD("kind", STRING, schedule, .required = true),
    FIELD("stages", INT, stages, .ilo = 1, .ihi = 1 << 20),
    FIELD("ranks", INT, ranks, .ilo = 1, .ihi = 1 << 20),
    FIELD("microbatches", INT, microbatches, .ilo = 1, .ihi = 1 << 20,
          .required = true),
    FIELD("microbatch", I64, microbatch, .ilo = 1, .ihi = DAWNI_MOST_SAMPLES,
          .required = true),
    FIELD("update_every", INT, update_every, .ilo = 1, .ihi = 1 << 20),
};

static const struct dawni_yaml_field predicted_fields[] = {
    FIELD("step_ns", DOUBLE, step_ns, .hi = MOST_PREDICTED),
    FIELD("bottleneck_ns", DOUBLE, bottleneck_ns, .hi = MOST_PREDICTED),
    FIELD("bound_ns", DOUBLE, bound_ns, .hi = MOST_PREDICTED),
    FIELD("tokens_per_s", DOUBLE, tokens_per_s, .hi = MOST_PREDICTED),
    FIELD("of", DIGEST, priced_digest),
    FIELD("size_low", I64, size_low, .ilo = 1, .ihi = 1 << 20),
    FIELD("size_high", I64, size_high, .ilo = 1, .ihi = 1 << 20),
};
#undef FIELD

struct stage_in {
    int rank;
    const struct dawni_yaml *nodes, *tensors, *optimizer, *predicted, *by;
    struct dawn_plan_stage stage;
};

#define FIELD(...) DAWNI_YAML_FIELD(struct stage_in, __VA_ARGS__)
static const struct dawni_yaml_field stage_fields[] = {
    FIELD("rank", INT, rank, .ihi = 1 << 20),
    FIELD("nodes", A_LIST, nodes, .required = true),
    FIELD("replicas", INT, stage.replicas, .ilo = 1, .ihi = DAWNI_MOST_DEVICES),
    FIELD("tensors", A_MAP, tensors),
    FIELD("optimizer", A_NODE, optimizer),
    FIELD("predicted", A_MAP, predicted),
};

static const struct dawni_yaml_field cost_fields[] = {
    FIELD("f_ns", DOUBLE, stage.predicted.f_ns, .hi = MOST_PREDICTED),
    FIELD("b_ns", DOUBLE, stage.predicted.b_ns, .hi = MOST_PREDICTED),
    FIELD("w_ns", DOUBLE, stage.predicted.w_ns, .hi = MOST_PREDICTED),
    FIELD("recompute_ns", DOUBLE, stage.predicted.recompute_ns,
          .hi = MOST_PREDICTED),
    FIELD("stall_ns", DOUBLE, stage.predicted.stall_ns, .hi = MOST_PREDICTED),
    FIELD("transfer_ns", DOUBLE, stage.predicted.transfer_ns,
          .hi = MOST_PREDICTED),
    FIELD("step_ns", DOUBLE, stage.predicted.step_ns, .hi = MOST_PREDICTED),
    FIELD("update_ns", DOUBLE, stage.predicted.update_ns, .hi = MOST_PREDICTED),
    FIELD("reduce_ns", DOUBLE, stage.predicted.reduce_ns, .hi = MOST_PREDICTED),
    FIELD("peak_bytes", SIZE, stage.predicted.peak_bytes, .ihi = INT64_MAX),
    FIELD("arena_bytes", SIZE, stage.predicted.arena_bytes, .ihi = INT64_MAX),
    FIELD("by", A_MAP, by),
};
#undef FIELD

#define CATEGORY(name, text)                                                   \
    DAWNI_YAML_FIELD(struct dawn_plan_stage, text, SIZE,                       \
                     predicted.by[DAWN_CATEGORY_##name], .ihi = INT64_MAX),
static const struct dawni_yaml_field by_fields[] = {
    DAWN_CATEGORY_MAP(CATEGORY)};
#undef CATEGORY

static enum dawn_status read_info(const struct dawni_yaml *root,
                                  const struct dawn_graph *graph,
                                  struct top *top, struct dawn_error *err)
{
    struct dawn_plan_info *info = &top->info;
    enum dawn_status st;

    if ((st = dawni_yaml_read(root, top_fields, COUNT(top_fields), top, err)))
        return st;
    if (info->graph_digest != dawn_graph_digest(graph))
        return dawni_yaml_fail(dawni_yaml_get(root, "graph"), DAWN_E_MISMATCH,
                               err,
                               "the plan is for the graph xxh3:%016" PRIx64
                               ", the graph here is '%s', xxh3:%016" PRIx64,
                               info->graph_digest, dawn_graph_name(graph),
                               dawn_graph_digest(graph));
    if (top->passes && (st = dawni_passes_read(top->passes, info->passes, err)))
        return st;
    if ((st = dawni_yaml_read(top->schedule, schedule_fields,
                              COUNT(schedule_fields), info, err)))
        return st;
    if (!*info->schedule)
        return dawni_yaml_expected(dawni_yaml_get(top->schedule, "kind"),
                                   "a kind of schedule", err);
    if (info->stages && info->stages != top->stages->items)
        return dawni_yaml_fail(dawni_yaml_get(top->schedule, "stages"),
                               DAWN_E_FORMAT, err,
                               "key 'stages': %d, but %d stages are listed",
                               info->stages, top->stages->items);
    info->stages = top->stages->items;
    if (!info->ranks)
        info->ranks = info->stages;
    return top->predicted ? dawni_yaml_read(top->predicted, predicted_fields,
                                            COUNT(predicted_fields), info, err)
                          : DAWN_OK;
}

static enum dawn_status read_stage(const struct dawni_yaml *map,
                                   const struct dawn_graph *graph,
                                   struct stage_in *in, struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = dawni_yaml_read(map, stage_fields, COUNT(stage_fields), in, err)))
        return st;
    if (in->nodes->items != 2)
        return dawni_yaml_fail(in->nodes, DAWN_E_FORMAT, err,
                               "key 'nodes': expected the first node and the "
                               "last, found %d names",
                               in->nodes->items);
    if ((st = dawni_order_read_node(in->nodes->first, graph, &in->stage.first,
                                    err)) ||
        (st = dawni_order_read_node(in->nodes->first->next, graph,
                                    &in->stage.last, err)))
        return st;
    in->stage.rank = in->rank;
    if (!in->predicted)
        return DAWN_OK;
    if ((st = dawni_yaml_read(in->predicted, cost_fields, COUNT(cost_fields),
                              in, err)))
        return st;
    return in->by ? dawni_yaml_read(in->by, by_fields, COUNT(by_fields),
                                    &in->stage, err)
                  : DAWN_OK;
}

static enum dawn_status read_stages(const struct top *top,
                                    const struct dawn_graph *graph,
                                    struct dawn_plan_stage *stage,
                                    struct dawn_error *err)
{
    const struct dawni_yaml *at = top->stages->first;
    enum dawn_status st;

    for (int i = 0; at; at = at->next, i++) {
        struct stage_in in = {.rank = i % top->info.ranks};
        if ((st = read_stage(at, graph, &in, err)))
            return st;
        stage[i] = in.stage;
    }
    return DAWN_OK;
}

/* dawn_plan_create, with the line of what is wrong. */
static enum dawn_status create(const struct top *top,
                               const struct dawn_graph *graph,
                               const struct dawn_plan_stage *stage,
                               struct dawn_plan **plan_p,
                               struct dawn_error *err)
{
    const struct dawni_yaml *at = top->stages->first;
    struct dawn_error why;
    int bad;

    if (!dawni_plan_check(graph, &top->info, stage, &bad, &why))
        return dawn_plan_create(graph, &top->info, stage, plan_p, err);
    for (int i = 0; i < bad; i++)
        at = at->next;
    return dawni_yaml_fail(bad < 0 ? top->schedule : at, DAWN_E_FORMAT, err,
                           "%s", why.text);
}

static enum dawn_status read_decisions(const struct dawni_yaml *stage, int i,
                                       struct dawn_plan *plan,
                                       struct dawn_error *err)
{
    const struct dawni_yaml *map = dawni_yaml_get(stage, "tensors");
    const struct dawni_yaml *at = map ? map->first : NULL;
    struct dawn_error why;
    enum dawn_status st;
    int decision;

    for (; at; at = at->next) {
        int tensor = dawn_graph_find_tensor(plan->graph, at->key);
        if (tensor < 0)
            return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                                   "the graph has no tensor '%.100s'", at->key);
        if ((st = dawni_yaml_choice(at, dawni_decision_names, &decision, err)))
            return st;
        if (dawn_plan_decide(plan, i, tensor, (enum dawn_decision)decision,
                             &why))
            return dawni_yaml_fail(at, DAWN_E_FORMAT, err, "%s", why.text);
    }
    return DAWN_OK;
}

static enum dawn_status read_devices(const struct dawni_yaml *list,
                                     struct dawn_plan *plan,
                                     struct dawn_error *err)
{
    const char **name = dawni_calloc(list->items, sizeof *name);
    const struct dawni_yaml *at = list->first;
    enum dawn_status st = DAWN_OK;
    struct dawn_error why;

    if (!name)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d devices",
                         list->items);
    for (int i = 0; at && !st; at = at->next, i++) {
        if (at->kind != DAWNI_YAML_SCALAR || !*at->text)
            st = dawni_yaml_expected(at, "a device's name", err);
        name[i] = at->text;
    }
    if (!st && (st = dawn_plan_set_devices(plan, list->items, name, &why)))
        st = dawni_yaml_fail(list, st == DAWN_E_INVAL ? DAWN_E_FORMAT : st, err,
                             "%s", why.text);
    free(name);
    return st;
}

/* The plan for a graph that has its order. */
static enum dawn_status read_body(const struct top *top,
                                  const struct dawn_graph *graph,
                                  struct dawn_plan **plan_p,
                                  struct dawn_error *err)
{
    struct dawn_plan_stage *stage =
        dawni_calloc(top->stages->items, sizeof *stage);
    struct dawn_plan *plan = NULL;
    enum dawn_status st;

    if (!stage)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages",
                         top->stages->items);
    if ((st = read_stages(top, graph, stage, err)))
        goto fail;
    if ((st = create(top, graph, stage, &plan, err)))
        goto fail;
    const struct dawni_yaml *at = top->stages->first;
    for (int i = 0; at; at = at->next, i++)
        if ((st = read_decisions(at, i, plan, err)) ||
            (st = dawni_optimizer_read(dawni_yaml_get(at, "optimizer"), i, plan,
                                       err)))
            goto fail;
    if (top->devices && (st = read_devices(top->devices, plan, err)))
        goto fail;
    free(stage);
    *plan_p = plan;
    return DAWN_OK;
fail:
    dawn_plan_destroy(plan);
    free(stage);
    return st;
}

static enum dawn_status read_plan(const struct dawni_yaml_doc *doc,
                                  const struct dawn_graph *graph,
                                  struct dawn_plan **plan_p,
                                  struct dawn_error *err)
{
    struct top top = {.info.policy = "hand"};
    struct dawn_graph *own;
    enum dawn_status st;

    if ((st = dawni_yaml_check_kind(doc, "plan/1", err)) ||
        (st = read_info(dawni_yaml_root(doc), graph, &top, err)) ||
        (st = dawni_order_read(top.order, graph, &own, err)))
        return st;
    st = read_body(&top, own ? own : graph, plan_p, err);
    if (st)
        dawn_graph_destroy(own);
    else if (own)
        dawni_plan_own_graph(*plan_p, own);
    return st;
}

enum dawn_status dawn_plan_load(const char *path,
                                const struct dawn_graph *graph,
                                struct dawn_plan **plan_p,
                                struct dawn_error *err)
{
    struct dawni_yaml_doc *doc;
    enum dawn_status st;

    if ((st = dawni_yaml_load(path, &doc, err)))
        return st;
    st = read_plan(doc, graph, plan_p, err);
    dawni_yaml_destroy(doc);
    return st;
}
