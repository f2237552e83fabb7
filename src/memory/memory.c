/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a plan: its programs, without a device. */
#include "common/array.h"
#include "graph/graph.h"
#include "memory/additive.h"
#include "memory/program.h"
#include "plan/plan.h"
#include <stdlib.h>

enum dawn_status dawni_sizes_create(const struct dawn_graph *graph,
                                    int64_t microbatch,
                                    struct dawni_sizes *sizes,
                                    struct dawn_error *err)
{
    struct dawni_sizes made = {.microbatch = microbatch};
    made.scratch = dawni_calloc(graph->nodes, sizeof *made.scratch);
    made.prepared = dawni_calloc(graph->nodes, sizeof *made.prepared);
    if (!made.scratch || !made.prepared) {
        dawni_sizes_clear(&made);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d nodes",
                         graph->nodes);
    }
    *sizes = made;
    return DAWN_OK;
}

enum dawn_status dawni_sizes_of_profile(const struct dawn_profile *profile,
                                        const struct dawn_graph *g,
                                        int64_t microbatch,
                                        struct dawni_sizes *sizes,
                                        struct dawn_error *err)
{
    const struct dawn_graph *from = dawn_profile_graph(profile);
    int64_t near[2];
    if (!dawn_profile_near(profile, microbatch, near))
        return dawn_fail(err, DAWN_E_INVAL, "microbatch %lld was not profiled",
                         (long long)microbatch);
    enum dawn_status st = dawni_sizes_create(g, microbatch, sizes, err);
    if (!st) /* it was checked when it was set */
        dawni_passes_parse(dawn_profile_passes(profile), &sizes->passes, NULL);
    for (int n = 0; !st && n < g->nodes; n++) {
        struct dawn_node_cost c = {0};
        dawn_profile_cost_at(profile, from->place[g->node[n].number],
                             microbatch, &c);
        for (int phase = 0; phase < 3; phase++)
            sizes->scratch[n][phase] = c.scratch_bytes[phase];
        sizes->prepared[n] = c.prepared_bytes;
    }
    return st;
}

void dawni_sizes_clear(struct dawni_sizes *sizes)
{
    free(sizes->scratch);
    free(sizes->prepared);
    *sizes = (struct dawni_sizes){0};
}

/* What lowering wants of a plan, by stage. */
struct shape {
    int *first;
    uint8_t **decision; /* one block behind the pointers */
};

static void shape_clear(struct shape *s)
{
    free(s->first);
    free(s->decision);
}

/* With the decisions of a rank's own stages. */
static bool shape_of(struct dawn_plan *plan, int rank, struct shape *s)
{
    const struct dawn_graph *g = dawn_plan_graph(plan);
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    int64_t stages = info->stages, tensors = g->tensors;
    int64_t chunks = (stages + info->ranks - 1) / info->ranks;
    s->first = dawni_calloc(stages + 1, sizeof *s->first);
    s->decision = calloc(1, (size_t)stages * sizeof *s->decision +
                                (size_t)(chunks * tensors));
    if (!s->first || !s->decision)
        return false;
    uint8_t *at = (uint8_t *)(s->decision + stages);
    for (int i = 0; i < stages; i++)
        s->first[i] = dawn_plan_stage(plan, i)->first;
    s->first[stages] = g->nodes;
    for (int i = rank; i < stages; i += info->ranks, at += tensors) {
        s->decision[i] = at;
        for (int t = 0; t < tensors; t++)
            at[t] = (uint8_t)dawn_plan_decision(plan, i, t);
    }
    return true;
}

static struct dawn_edge *edges(const struct dawni_cut *cut, int cuts)
{
    struct dawn_edge *edge = dawni_calloc(cuts, sizeof *edge);
    for (int i = 0; edge && i < cuts; i++)
        edge[i] = cut[i].edge;
    return edge;
}

static enum dawn_status make_schedule(const struct dawn_plan_info *info,
                                      const struct dawni_cuts *cuts,
                                      struct dawn_schedule **schedule_p,
                                      struct dawn_error *err)
{
    struct dawn_edge *act = edges(cuts->act, cuts->acts);
    struct dawn_edge *grad = edges(cuts->grad, cuts->grads);
    struct dawn_schedule_opts opts = {
        .kind = info->schedule,
        .stages = info->stages,
        .ranks = info->ranks,
        .microbatches = info->microbatches,
        .update_every = info->update_every,
        .act_edge = act,
        .act_edges = cuts->acts,
        .grad_edge = grad,
        .grad_edges = cuts->grads,
    };
    enum dawn_status st =
        act && grad ? dawn_schedule_create(&opts, schedule_p, err)
                    : dawn_fail(err, DAWN_E_NOMEM, "no memory for edges");
    free(act);
    free(grad);
    return st;
}

enum dawn_status dawni_schedule_of_plan(struct dawn_plan *plan,
                                        struct dawni_cuts *cuts,
                                        struct dawn_schedule **schedule_p,
                                        struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    struct dawni_cuts made = {0};
    int *first = dawni_calloc(info->stages, sizeof *first);
    if (!first)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages",
                         info->stages);
    for (int i = 0; i < info->stages; i++)
        first[i] = dawn_plan_stage(plan, i)->first;
    enum dawn_status st = dawni_cuts_create(dawn_plan_graph(plan), info->stages,
                                            first, &made, err);
    free(first);
    if (!st)
        st = make_schedule(info, &made, schedule_p, err);
    if (st)
        dawni_cuts_clear(&made);
    else
        *cuts = made;
    return st;
}

enum dawn_status dawni_program_of_rank(struct dawn_plan *plan,
                                       const struct dawni_lower_opts *common,
                                       struct dawni_program **program_p,
                                       struct dawn_error *err)
{
    struct dawni_lower_opts opts = *common;
    struct dawni_sizes sizes = *common->sizes;
    struct shape shape = {0};
    enum dawn_status st =
        dawni_passes_parse(dawn_plan_info(plan)->passes, &sizes.passes, err);
    if (st)
        return st;
    opts.sizes = &sizes;
    if (opts.rank < 0 || opts.rank >= dawn_plan_info(plan)->ranks)
        return dawn_fail(err, DAWN_E_INVAL, "rank %d, of %d", opts.rank,
                         dawn_plan_info(plan)->ranks);
    if (shape_of(plan, opts.rank, &shape)) {
        opts.graph = dawn_plan_graph(plan);
        opts.first = shape.first;
        opts.decision = (const uint8_t *const *)shape.decision;
        opts.optimizer = plan->optimizer;
        st = dawni_program_create(&opts, program_p, err);
    } else {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a plan's stages");
    }
    shape_clear(&shape);
    return st;
}

enum dawn_status dawni_program_of_plan(struct dawn_plan *plan,
                                       const struct dawni_sizes *sizes,
                                       int rank,
                                       struct dawni_program **program_p,
                                       struct dawn_error *err)
{
    struct dawn_schedule *schedule = NULL;
    struct dawni_cuts cuts = {0};
    enum dawn_status st = dawni_schedule_of_plan(plan, &cuts, &schedule, err);
    if (st)
        return st;
    struct dawni_lower_opts opts = {
        .sizes = sizes, .cuts = &cuts, .schedule = schedule, .rank = rank};
    st = dawni_program_of_rank(plan, &opts, program_p, err);
    dawni_cuts_clear(&cuts);
    dawn_schedule_destroy(schedule);
    return st;
}

/* Is the plan for this profile, and has each rank a program? */
static enum dawn_status check_profile(struct dawn_plan *plan,
                                      const struct dawn_profile *profile,
                                      struct dawn_error *err)
{
    uint64_t wanted = dawn_plan_info(plan)->graph_digest;
    uint64_t found = dawn_graph_digest(dawn_profile_graph(profile));
    if (wanted != found)
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "plan for graph xxh3:%016llx, profile of graph "
                         "xxh3:%016llx",
                         (unsigned long long)wanted, (unsigned long long)found);
    if (dawni_plan_replicated(plan))
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "the plan has replicas: its memory is what the "
                         "planner priced, no program of it is made");
    return DAWN_OK;
}

/* The program of a rank, with the sizes that the profile has. */
static enum dawn_status program_of(struct dawn_plan *plan,
                                   const struct dawn_profile *profile, int rank,
                                   struct dawni_program **program_p,
                                   struct dawn_error *err)
{
    struct dawni_sizes sizes;
    enum dawn_status st =
        dawni_sizes_of_profile(profile, dawn_plan_graph(plan),
                               dawn_plan_info(plan)->microbatch, &sizes, err);
    if (st)
        return st;
    st = dawni_program_of_plan(plan, &sizes, rank, program_p, err);
    dawni_sizes_clear(&sizes);
    return st;
}

enum dawn_status dawn_memory_of(const struct dawn_plan *plan,
                                const struct dawn_profile *profile, int rank,
                                struct dawn_memory *memory,
                                struct dawn_error *err)
{
    struct dawn_plan *p = (struct dawn_plan *)plan; /* only read */
    struct dawni_program *program = NULL;
    enum dawn_status st = check_profile(p, profile, err);
    if (!st && dawn_profile_additive(profile))
        return dawni_additive_memory_of(p, profile, rank, memory, NULL, err);
    if (!st)
        st = program_of(p, profile, rank, &program, err);
    if (!st)
        *memory = program->memory;
    dawni_program_destroy(program);
    return st;
}

/* Largest of live[begin..end-1]; an action without instructions changes
 * nothing: live[begin]. */
static uint64_t largest(const int64_t *live, int begin, int end)
{
    int64_t most = live[begin];
    for (int i = begin + 1; i < end; i++)
        if (live[i] > most)
            most = live[i];
    return (uint64_t)most;
}

static uint64_t *curve_of(const struct dawni_program *p, int actions)
{
    uint64_t *bytes = dawni_calloc(actions, sizeof *bytes);
    int64_t *live = dawni_program_live(p);
    for (int i = 0; bytes && live && i < actions; i++)
        bytes[i] = largest(live, p->action_at[i], p->action_at[i + 1]);
    if (!live) {
        free(bytes);
        bytes = NULL;
    }
    free(live);
    return bytes;
}

static enum dawn_status additive_curve(struct dawn_plan *plan,
                                       const struct dawn_profile *profile,
                                       int rank, uint64_t **bytes_p,
                                       int *actions_p, struct dawn_error *err)
{
    struct dawn_memory memory;
    struct dawni_curve curve;
    enum dawn_status st =
        dawni_additive_memory_of(plan, profile, rank, &memory, &curve, err);
    if (st)
        return st;
    *bytes_p = curve.bytes;
    *actions_p = curve.actions;
    return DAWN_OK;
}

enum dawn_status dawn_memory_curve(const struct dawn_plan *plan,
                                   const struct dawn_profile *profile, int rank,
                                   uint64_t **bytes_p, int *actions_p,
                                   struct dawn_error *err)
{
    struct dawn_plan *p = (struct dawn_plan *)plan; /* only read */
    struct dawni_program *program = NULL;
    enum dawn_status st = check_profile(p, profile, err);
    if (!st && dawn_profile_additive(profile))
        return additive_curve(p, profile, rank, bytes_p, actions_p, err);
    if (!st)
        st = program_of(p, profile, rank, &program, err);
    if (st)
        return st;
    uint64_t *bytes = curve_of(program, program->actions);
    if (bytes) {
        *bytes_p = bytes;
        *actions_p = program->actions;
    } else {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a memory curve");
    }
    dawni_program_destroy(program);
    return st;
}

enum dawn_status dawn_memory_program(const struct dawn_plan *plan,
                                     const struct dawn_profile *profile,
                                     int rank, char **text_p,
                                     struct dawn_error *err)
{
    struct dawn_plan *p = (struct dawn_plan *)plan; /* only read */
    struct dawni_program *program = NULL;
    enum dawn_status st = check_profile(p, profile, err);

    if (!st && dawn_profile_additive(profile))
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "the profile is additive: nothing runs it, so its "
                         "ranks have no program");
    if (!st)
        st = program_of(p, profile, rank, &program, err);
    if (st)
        return st;
    char *text = dawni_program_text(program, dawn_plan_graph(p));
    dawni_program_destroy(program);
    if (!text)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a program's text");
    *text_p = text;
    return DAWN_OK;
}
