/* SPDX-License-Identifier: Apache-2.0 */
/* Where AdamW's moments lie between updates, and with them what passes keep: by
 * parameter, and written by the stage that owns it.
 */
#include "common/text.h"
#include "common/yaml.h"
#include "graph/graph.h"
#include "passes/passes.h"
#include "plan/plan.h"

/* What may stand in a file, and the decisions of those names. */
static const char *const place_names[] = {"keep", "host", "ssd", NULL};
static const enum dawn_decision place_decision[] = {DAWN_KEEP, DAWN_TO_HOST,
                                                    DAWN_TO_SSD};

int dawn_plan_owner(const struct dawn_plan *plan, int param)
{
    if (param < 0 || param >= plan->graph->params)
        return -1;
    return dawn_plan_stage_of(plan, plan->graph->param[param].user[0]);
}

static bool has_moments(const struct dawn_plan *plan, int param)
{
    return plan->graph->param[param].desc.average == 0;
}

/* The plan's passes, if they may concern the parameter. */
static bool find_passes(const struct dawn_plan *plan, int param,
                        struct dawni_passes *passes)
{
    return param >= 0 && param < plan->graph->params &&
           has_moments(plan, param) &&
           !dawni_passes_parse(plan->info.passes, passes, NULL);
}

uint64_t dawn_plan_moment_bytes(const struct dawn_plan *plan, int param)
{
    struct dawni_passes passes;

    if (!find_passes(plan, param, &passes) || !dawni_passes_train(&passes))
        return 0;
    return 2 * sizeof(float) * (uint64_t)plan->graph->param[param].elements;
}

uint64_t dawn_plan_pass_bytes(const struct dawn_plan *plan, int param)
{
    struct dawni_passes passes;
    uint64_t each = 0;

    if (!find_passes(plan, param, &passes))
        return 0;
    for (int i = 0; i < dawni_passes_arrays(&passes); i++)
        each += (uint64_t)dawni_passes_element_bytes(&passes, i);
    return each * (uint64_t)plan->graph->param[param].elements;
}

/* Does the stage update moments of the parameter? */
static bool updates(const struct dawn_plan *plan, int stage, int param)
{
    return has_moments(plan, param) && dawn_plan_owner(plan, param) == stage;
}

enum dawn_decision dawn_plan_optimizer(const struct dawn_plan *plan, int param)
{
    if (param < 0 || param >= plan->graph->params)
        return DAWN_KEEP;
    return (enum dawn_decision)plan->optimizer[param];
}

enum dawn_status dawn_plan_decide_optimizer(struct dawn_plan *plan, int param,
                                            enum dawn_decision decision,
                                            struct dawn_error *err)
{
    const struct dawn_graph *g = plan->graph;

    if (param < 0 || param >= g->params)
        return dawn_fail(err, DAWN_E_INVAL, "parameter %d, must be 0 to %d",
                         param, g->params - 1);
    if (decision != DAWN_KEEP && decision != DAWN_TO_HOST &&
        decision != DAWN_TO_SSD)
        return dawn_fail(err, DAWN_E_INVAL,
                         "parameter '%s': its moments can be kept or "
                         "offloaded, decision %d is neither",
                         g->param[param].desc.name, (int)decision);
    if (decision != DAWN_KEEP && !has_moments(plan, param))
        return dawn_fail(err, DAWN_E_INVAL,
                         "parameter '%s' is an average: it has no moments",
                         g->param[param].desc.name);
    plan->optimizer[param] = (uint8_t)decision;
    return DAWN_OK;
}

/* The one decision about all that the stage owns; -1: there are several. */
static int common_decision(const struct dawn_plan *plan, int stage)
{
    int common = -1;

    for (int i = 0; i < plan->graph->params; i++) {
        if (!updates(plan, stage, i))
            continue;
        if (common >= 0 && common != plan->optimizer[i])
            return -1;
        common = plan->optimizer[i];
    }
    return common < 0 ? DAWN_KEEP : common;
}

void dawni_optimizer_write(struct dawni_text *t, const struct dawn_plan *plan,
                           int stage)
{
    int common = common_decision(plan, stage);
    bool first = true;

    if (common == DAWN_KEEP)
        return;
    if (common > DAWN_KEEP) {
        dawni_text_addf(t, "  optimizer: %s\n", dawni_decision_names[common]);
        return;
    }
    for (int i = 0; i < plan->graph->params; i++) {
        if (plan->optimizer[i] == DAWN_KEEP ||
            dawn_plan_owner(plan, i) != stage)
            continue;
        dawni_text_add(t, first ? "  optimizer:\n    " : "    ");
        dawni_text_add_scalar(t, plan->graph->param[i].desc.name);
        dawni_text_addf(t, ": %s\n", dawni_decision_names[plan->optimizer[i]]);
        first = false;
    }
}

static enum dawn_status read_place(const struct dawni_yaml *node,
                                   enum dawn_decision *decision_p,
                                   struct dawn_error *err)
{
    int place;
    enum dawn_status st = dawni_yaml_choice(node, place_names, &place, err);

    if (!st)
        *decision_p = place_decision[place];
    return st;
}

static enum dawn_status read_all(const struct dawni_yaml *node, int stage,
                                 struct dawn_plan *plan, struct dawn_error *err)
{
    enum dawn_decision decision;
    enum dawn_status st = read_place(node, &decision, err);

    for (int i = 0; i < plan->graph->params && !st; i++)
        if (updates(plan, stage, i))
            plan->optimizer[i] = (uint8_t)decision;
    return st;
}

static enum dawn_status read_one(const struct dawni_yaml *node, int stage,
                                 struct dawn_plan *plan, struct dawn_error *err)
{
    int param = dawn_graph_find_param(plan->graph, node->key);
    enum dawn_decision decision;
    struct dawn_error why;
    enum dawn_status st;

    if (param < 0)
        return dawni_yaml_fail(node, DAWN_E_FORMAT, err,
                               "the graph has no parameter '%.100s'",
                               node->key);
    if (dawn_plan_owner(plan, param) != stage)
        return dawni_yaml_fail(node, DAWN_E_FORMAT, err,
                               "parameter '%.100s' is updated by stage %d, "
                               "the first to use it, not by stage %d",
                               node->key, dawn_plan_owner(plan, param), stage);
    st = read_place(node, &decision, err);
    if (!st && dawn_plan_decide_optimizer(plan, param, decision, &why))
        st = dawni_yaml_fail(node, DAWN_E_FORMAT, err, "%s", why.text);
    return st;
}

enum dawn_status dawni_optimizer_read(const struct dawni_yaml *node, int stage,
                                      struct dawn_plan *plan,
                                      struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    if (!node)
        return DAWN_OK;
    if (node->kind == DAWNI_YAML_SCALAR)
        return read_all(node, stage, plan, err);
    if (node->kind != DAWNI_YAML_MAP)
        return dawni_yaml_expected(
            node, "keep, host, ssd, or a mapping of parameters to them", err);
    for (const struct dawni_yaml *at = node->first; at && !st; at = at->next)
        st = read_one(at, stage, plan, err);
    return st;
}
