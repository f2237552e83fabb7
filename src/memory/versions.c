/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/versions.h"
#include "common/array.h"
#include "common/padded.h"
#include "op/op.h"

struct chunk {   /* a stage of this rank */
    int updates; /* lowered so far: the newest version */
    int kept;    /* version in the kept buffers */
    int *last;   /* by version: the last microbatch that reads it, -1: none */
};

struct dawni_versions {
    const struct dawn_schedule *schedule;
    int every, updates; /* of a step */
    int *stage;         /* by parameter: the only one to use it; -1 */
    bool *read;         /* by parameter: as f32 */
    struct chunk *chunk;
    int *last;
    int ring;  /* versions of a stage are further apart at no time */
    int *slot; /* [ring][params + nodes]: buffer of the values, of the compute
                  copies; -1: the kept one */
};

/* What is versioned */

int dawni_param_stage(const struct dawn_graph *graph, const int *first,
                      int stages, int param)
{
    const struct dawni_param *p = &graph->param[param];
    int stage = -1;
    for (int u = 0; u < p->users; u++) {
        int of = dawni_stage_of_node(first, stages, p->user[u]);
        if (u && of != stage)
            return -1;
        stage = of;
    }
    return stage;
}

/* Does a kernel of the node read the parameter's f32 values? */
static bool node_reads(const struct dawn_graph *g,
                       const struct dawni_sizes *sizes, int node, int param)
{
    const struct dawn_node_desc *d = &g->node[node].desc;
    uint32_t copies = sizes->prepared[node] ? dawni_op_prepared(d->op) : 0;
    for (int i = 0; i < d->params; i++)
        if (d->param[i] == param && !(i < 32 && copies >> i & 1))
            return true;
    return false;
}

static bool is_read(const struct dawn_graph *g, const struct dawni_sizes *sizes,
                    int param)
{
    const struct dawni_param *p = &g->param[param];
    for (int u = 0; u < p->users; u++)
        if (node_reads(g, sizes, p->user[u], param))
            return true;
    return false;
}

static bool only_within(const struct dawni_param *p, int first, int last)
{
    for (int u = 0; u < p->users; u++)
        if (p->user[u] < first || p->user[u] > last)
            return false;
    return true;
}

uint64_t dawni_version_bytes(const struct dawn_graph *g,
                             const struct dawni_sizes *sizes, int first,
                             int last)
{
    uint64_t bytes = 0;
    for (int n = first; n <= last; n++) {
        const struct dawn_node_desc *d = &g->node[n].desc;
        bool any = false;
        for (int i = 0; i < d->params; i++) {
            const struct dawni_param *p = &g->param[d->param[i]];
            bool seen = p->user[0] != n;
            if (!only_within(p, first, last))
                continue;
            any = true;
            for (int k = 0; k < i; k++)
                seen |= d->param[k] == d->param[i];
            if (!seen && is_read(g, sizes, d->param[i]))
                bytes += dawni_padded((uint64_t)p->elements * sizeof(float));
        }
        bytes += any ? dawni_padded(sizes->prepared[n]) : 0;
    }
    return bytes;
}

bool dawni_versions_has(const struct dawni_lowering *l, int param)
{
    return l->versions && l->versions->stage[param] >= 0;
}

static bool has_any(const struct dawni_lowering *l, int node)
{
    const struct dawn_node_desc *d = &l->graph->node[node].desc;
    for (int i = 0; i < d->params; i++)
        if (dawni_versions_has(l, d->param[i]))
            return true;
    return false;
}

bool dawni_versions_has_all(const struct dawni_lowering *l, int node)
{
    const struct dawn_node_desc *d = &l->graph->node[node].desc;
    for (int i = 0; i < d->params; i++)
        if (!dawni_versions_has(l, d->param[i]))
            return false;
    return l->versions;
}

/* Making */

static enum dawn_status make_room(struct dawni_lowering *l,
                                  struct dawni_versions *v,
                                  struct dawn_error *err)
{
    const struct dawn_graph *g = l->graph;
    int chunks = dawni_lower_chunks(l);
    int64_t versions = (int64_t)v->updates + 1;
    int64_t slots = (int64_t)v->ring * (g->params + g->nodes);
    v->stage = dawni_calloc(g->params, sizeof *v->stage);
    v->read = dawni_calloc(g->params, sizeof *v->read);
    v->chunk = dawni_calloc(chunks, sizeof *v->chunk);
    v->last = dawni_calloc(chunks * versions, sizeof *v->last);
    v->slot = dawni_calloc(slots, sizeof *v->slot);
    if (!v->stage || !v->read || !v->chunk || !v->last || !v->slot)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d versions",
                         v->updates);
    for (int64_t i = 0; i < slots; i++)
        v->slot[i] = -1;
    for (int64_t i = 0; i < chunks * versions; i++)
        v->last[i] = -1;
    return DAWN_OK;
}

enum dawn_status dawni_versions_create(struct dawni_lowering *l,
                                       const struct dawn_schedule *schedule,
                                       struct dawn_error *err)
{
    int every = dawn_schedule_update_every(schedule);
    if (!every)
        return DAWN_OK;
    struct dawni_versions *v = calloc(1, sizeof *v);
    if (!v)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for versions");
    l->versions = v;
    v->schedule = schedule;
    v->every = every;
    v->updates = dawn_schedule_microbatches(schedule) / every;
    for (int s = l->rank; s < l->stages; s += l->ranks)
        if (l->in_flight[s] + 2 > v->ring)
            v->ring = l->in_flight[s] + 2;
    enum dawn_status st = make_room(l, v, err);
    if (st)
        return st;
    for (int i = 0; i < l->graph->params; i++) {
        v->stage[i] = dawni_param_stage(l->graph, l->first, l->stages, i);
        if (v->stage[i] >= 0 && l->optimizer && l->optimizer[i] != DAWN_KEEP)
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "moments of parameter '%s' are offloaded, but "
                             "updated within the step: that is for synchronous "
                             "schedules",
                             l->graph->param[i].desc.name);
        v->read[i] = is_read(l->graph, l->sizes, i);
    }
    for (int s = l->rank; s < l->stages; s += l->ranks) {
        struct chunk *c = &v->chunk[s / l->ranks];
        c->last = v->last + (size_t)(s / l->ranks) * ((size_t)v->updates + 1);
        for (int mb = 0; mb < l->microbatches; mb++)
            c->last[dawn_schedule_version(schedule, s, mb)] = mb;
    }
    return DAWN_OK;
}

void dawni_versions_destroy(struct dawni_lowering *l)
{
    struct dawni_versions *v = l->versions;
    if (!v)
        return;
    free(v->stage);
    free(v->read);
    free(v->chunk);
    free(v->last);
    free(v->slot);
    free(v);
    l->versions = NULL;
}

/* Reading */

/* Place of a version's values of a parameter; of the copies of a node: at
 * params + node. */
static int *slot_of(const struct dawni_lowering *l, int version, int item)
{
    const struct dawni_versions *v = l->versions;
    size_t items = (size_t)l->graph->params + (size_t)l->graph->nodes;
    return &v->slot[(size_t)(version % v->ring) * items + (size_t)item];
}

static int value_of(const struct dawni_lowering *l, int version, int param)
{
    int own = dawni_versions_has(l, param) ? *slot_of(l, version, param) : -1;
    return own >= 0 ? own : l->program->master[param];
}

static int copies_of(const struct dawni_lowering *l, int version, int node)
{
    int own =
        has_any(l, node) ? *slot_of(l, version, l->graph->params + node) : -1;
    return own >= 0 ? own : l->program->prepared[node];
}

bool dawni_versions_adds(const struct dawni_lowering *l, int node,
                         int microbatch)
{
    if (dawni_passes_observe(&l->sizes->passes, DAWNI_OBSERVES_MICROBATCHES))
        return false; /* the gradients of each microbatch are looked at */
    if (l->versions && dawni_versions_has_all(l, node))
        return microbatch % l->versions->every > 0;
    return microbatch > 0;
}

void dawni_versions_read(struct dawni_lowering *l, int stage, int microbatch,
                         int node)
{
    const struct dawn_node_desc *d = &l->graph->node[node].desc;
    if (!l->versions || l->forward_only || l->failed || !has_any(l, node))
        return;
    int version =
        dawn_schedule_version(l->versions->schedule, stage, microbatch);
    if (version == l->versions->chunk[stage / l->ranks].kept)
        return;
    l->program->instr[l->program->instrs - 1].versioned = true;
    for (int i = 0; i < d->params; i++)
        dawni_lower_operand(l, value_of(l, version, d->param[i]));
    dawni_lower_operand(l, copies_of(l, version, node));
}

/* Updating */

struct update {
    struct chunk *chunk;
    int stage, microbatch;
    int version; /* that is replaced */
    bool to_kept;
    bool fresh; /* else: it is still read, so the new one goes elsewhere */
};

/* Where the new version of something is, which was in `from`. */
static int target(struct dawni_lowering *l, const struct update *u, int from,
                  int kept)
{
    if (u->to_kept)
        return kept;
    if (!u->fresh || from < 0)
        return from;
    return dawni_lower_buffer(l, l->program->buffer[kept].bytes,
                              DAWN_CATEGORY_VERSIONS);
}

/* Updates do not go into the next gradients: where a node also has gradients of
 * the whole step, these stay. */
static void clear_grads(struct dawni_lowering *l, const struct update *u,
                        int param)
{
    const struct dawni_param *p = &l->graph->param[param];
    if (u->version + 1 == l->versions->updates)
        return; /* they may be looked at */
    for (int k = 0; k < p->users; k++) {
        const struct dawn_node_desc *d = &l->graph->node[p->user[k]].desc;
        if (dawni_versions_has_all(l, p->user[k]))
            continue; /* its next W overwrites them */
        for (int i = 0; i < d->params; i++)
            if (d->param[i] == param)
                dawni_lower_one(
                    l, DAWNI_I_ZERO, u->microbatch, param,
                    l->program->use[l->program->use_at[p->user[k]] + i]);
    }
}

static void update_param(struct dawni_lowering *l, const struct update *u,
                         int param)
{
    int kept = l->program->master[param];
    int from = value_of(l, u->version, param), to = from;
    if (l->versions->read[param])
        to = target(l, u, from, kept);
    if (!dawni_lower_instr(l, dawni_update_instr(l->graph, param),
                           u->microbatch, param))
        return;
    dawni_lower_operand(l, to);
    dawni_lower_operand(l, from);
    *slot_of(l, u->version + 1, param) = to == kept ? -1 : to;
    clear_grads(l, u, param);
}

static void prepare(struct dawni_lowering *l, const struct update *u, int node)
{
    const struct dawn_node_desc *d = &l->graph->node[node].desc;
    int kept = l->program->prepared[node];
    if (kept < 0 || !has_any(l, node))
        return;
    int to = target(l, u, copies_of(l, u->version, node), kept);
    *slot_of(l, u->version + 1, l->graph->params + node) = to == kept ? -1 : to;
    if (!dawni_lower_instr(l, DAWNI_I_PREPARE, u->microbatch, node))
        return;
    dawni_lower_operand(l, to);
    for (int i = 0; i < d->params; i++)
        dawni_lower_operand(l, value_of(l, u->version + 1, d->param[i]));
}

/* Where the kept buffers hold what is replaced, they take what replaces it if
 * nobody reads that any more; where they hold an older version likewise. */
static struct update plan_update(const struct dawni_lowering *l, int stage,
                                 int microbatch)
{
    struct chunk *c = &l->versions->chunk[stage / l->ranks];
    return (struct update){
        .chunk = c,
        .stage = stage,
        .microbatch = microbatch,
        .version = c->updates,
        .to_kept = c->last[c->kept] <= microbatch,
        .fresh = c->last[c->updates] > microbatch,
    };
}

void dawni_lower_update(struct dawni_lowering *l, int stage, int microbatch)
{
    const struct dawni_versions *v = l->versions;
    struct update u = plan_update(l, stage, microbatch);
    int params = l->graph->params, begin = l->program->instrs;
    for (int i = 0; i < params && !l->failed; i++)
        if (v->stage[i] == stage)
            dawni_lower_reduce_param(l, i);
    for (int k = begin; k < l->program->instrs; k++)
        l->program->instr[k].microbatch = microbatch;
    dawni_lower_instr(l, DAWNI_I_STAGE_NORM, microbatch, stage);
    for (int i = 0; i < params && !l->failed; i++)
        if (v->stage[i] == stage)
            update_param(l, &u, i);
    for (int n = l->first[stage]; n < l->first[stage + 1] && !l->failed; n++)
        prepare(l, &u, n);
    u.chunk->updates++;
    if (u.to_kept)
        u.chunk->kept = u.chunk->updates;
}
