/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering what parameters need: kept buffers, sums over the uses of tied ones,
 * the update, copies on other ranks.
 */
#include "memory/moments.h"
#include "memory/versions.h"

int dawni_stage_of_node(const int *first, int stages, int node)
{
    int low = 0, high = stages - 1;
    while (low < high) {
        int mid = low + (high - low + 1) / 2;
        if (first[mid] <= node)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

static int stage_of(const struct dawni_lowering *l, int node)
{
    return dawni_stage_of_node(l->first, l->stages, node);
}

static int rank_of_user(const struct dawni_lowering *l, int param, int user)
{
    const struct dawni_param *p = &l->graph->param[param];
    return stage_of(l, p->user[user]) % l->ranks;
}

int dawni_param_owner(const struct dawn_graph *g, const int *first, int stages,
                      int param)
{
    struct dawni_lowering l = {.graph = g, .first = first, .stages = stages};
    return stage_of(&l, g->param[param].user[0]);
}

uint64_t dawni_lower_param_bytes(const struct dawni_lowering *l, int param)
{
    return (uint64_t)l->graph->param[param].elements * sizeof(float);
}

bool dawni_lower_updates(const struct dawni_lowering *l, int param)
{
    return rank_of_user(l, param, 0) == l->rank;
}

static void keep_param(struct dawni_lowering *l, int param)
{
    struct dawni_program *p = l->program;
    if (p->master[param] >= 0)
        return;
    uint64_t bytes = dawni_lower_param_bytes(l, param);
    p->master[param] = dawni_lower_buffer(l, bytes, DAWN_CATEGORY_PARAMS);
    p->owned[param] = dawni_lower_updates(l, param);
    bool trains = dawni_passes_train(&l->sizes->passes);
    if (!p->owned[param] || l->graph->param[param].desc.average > 0 ||
        (trains && l->optimizer && l->optimizer[param] != DAWN_KEEP))
        return;
    for (int i = 0; i < p->arrays; i++)
        p->pass[param * p->arrays + i] = dawni_lower_buffer(
            l,
            bytes / sizeof(float) *
                (uint64_t)dawni_passes_element_bytes(&l->sizes->passes, i),
            DAWN_CATEGORY_PASSES);
    if (!trains)
        return;
    p->adam_m[param] = dawni_lower_buffer(l, bytes, DAWN_CATEGORY_OPTIMIZER);
    p->adam_v[param] = dawni_lower_buffer(l, bytes, DAWN_CATEGORY_OPTIMIZER);
}

static void keep_node(struct dawni_lowering *l, int node)
{
    struct dawni_program *p = l->program;
    const struct dawn_node_desc *d = &l->graph->node[node].desc;
    for (int i = 0; i < d->params; i++) {
        keep_param(l, d->param[i]);
        p->use[p->use_at[node] + i] = dawni_lower_buffer(
            l, dawni_lower_param_bytes(l, d->param[i]), DAWN_CATEGORY_GRADS);
    }
    uint64_t bytes = l->sizes->prepared[node];
    if (bytes)
        p->prepared[node] = dawni_lower_buffer(l, bytes, DAWN_CATEGORY_PARAMS);
}

void dawni_lower_kept(struct dawni_lowering *l)
{
    for (int s = l->rank; s < l->stages; s += l->ranks)
        for (int n = l->first[s]; n < l->first[s + 1]; n++)
            keep_node(l, n);
}

/* All ranks go through parameters and uses in
 * one order, so one tag does for all gradients and one for all values. */
int dawni_lower_param_tag(const struct dawni_lowering *l, bool value)
{
    int chunks = dawni_lower_chunks(l);
    return 2 * chunks * chunks + value;
}

/* The buffer that the sum over the uses ends up in: the first use's. */
int dawni_param_grad(const struct dawn_graph *g, const struct dawni_program *p,
                     int param)
{
    int node = g->param[param].user[0], i = 0;
    while (g->node[node].desc.param[i] != param)
        i++;
    return p->use[p->use_at[node] + i];
}

/* One use's gradient goes into the sum on the owner. All ranks go through all
 * uses in the same order, so the messages cannot block each other. */
static void reduce_use(struct dawni_lowering *l, int param, int node, int use)
{
    struct dawni_program *p = l->program;
    int owner = rank_of_user(l, param, 0);
    int rank = stage_of(l, node) % l->ranks;
    struct dawni_message m = {
        .microbatch = -1, .id = param, .tag = dawni_lower_param_tag(l, false)};
    int part = use;

    if (owner != l->rank && rank != l->rank)
        return;
    if (owner != l->rank) {
        m.peer = owner;
        m.kind = DAWNI_I_SEND;
        dawni_lower_message(l, &m, use);
        m.kind = DAWNI_I_SEND_WAIT;
        dawni_lower_message(l, &m, use);
        return;
    }
    if (rank != l->rank) {
        m.peer = rank;
        part = dawni_lower_buffer(l, dawni_lower_param_bytes(l, param),
                                  DAWN_CATEGORY_COMM);
        m.kind = DAWNI_I_RECV;
        dawni_lower_message(l, &m, part);
        m.kind = DAWNI_I_RECV_WAIT;
        dawni_lower_message(l, &m, part);
    }
    if (dawni_lower_instr(l, DAWNI_I_SUM_USES, -1, param)) {
        dawni_lower_operand(l, dawni_param_grad(l->graph, p, param));
        dawni_lower_operand(l, part);
    }
}

/* The first use of the first user holds the sum; the others are added. */
void dawni_lower_reduce_param(struct dawni_lowering *l, int param)
{
    const struct dawni_param *p = &l->graph->param[param];
    bool is_first = true;
    if (l->program->master[param] < 0)
        return; /* no node here uses it */
    for (int u = 0; u < p->users; u++) {
        const struct dawn_node_desc *d = &l->graph->node[p->user[u]].desc;
        for (int i = 0; i < d->params; i++) {
            if (d->param[i] != param)
                continue;
            int at = l->program->use_at[p->user[u]] + i;
            if (!is_first)
                reduce_use(l, param, p->user[u], l->program->use[at]);
            is_first = false;
        }
    }
}

static void observe_owned(struct dawni_lowering *l)
{
    for (int i = 0; i < l->graph->params; i++)
        if (l->program->owned[i] && l->graph->param[i].desc.average <= 0)
            dawni_lower_one(l, DAWNI_I_OBSERVE, -1, i,
                            dawni_param_grad(l->graph, l->program, i));
}

void dawni_lower_reduce(struct dawni_lowering *l)
{
    const struct dawni_passes *passes = &l->sizes->passes;
    bool each = dawni_passes_observe(passes, DAWNI_OBSERVES_MICROBATCHES);
    dawni_moments_lower_ahead(l); /* while others are waited for */
    if (each)
        dawni_lower_observe_end(l);
    for (int i = 0; !each && i < l->graph->params && !l->failed; i++)
        if (!dawni_versions_has(l, i))
            dawni_lower_reduce_param(l, i);
    if (dawni_passes_observe(passes, DAWNI_OBSERVES_STEPS))
        observe_owned(l);
    dawni_lower_instr(l, DAWNI_I_NORM, -1, -1);
}

/* The owner's new value goes to every other rank that uses the parameter. */
static void copy_param(struct dawni_lowering *l, int param)
{
    struct dawni_program *p = l->program;
    int owner = rank_of_user(l, param, 0);
    if (p->master[param] < 0)
        return; /* no node here uses it */
    for (int r = 0; r < l->ranks; r++) {
        bool uses = false;
        for (int u = 0; u < l->graph->param[param].users; u++)
            uses |= rank_of_user(l, param, u) == r;
        if (!uses || r == owner || (l->rank != owner && l->rank != r))
            continue;
        bool from_me = l->rank == owner;
        struct dawni_message m = {
            .kind = from_me ? DAWNI_I_SEND : DAWNI_I_RECV,
            .microbatch = -1,
            .id = param,
            .peer = from_me ? r : owner,
            .tag = dawni_lower_param_tag(l, true),
        };
        dawni_lower_message(l, &m, p->master[param]);
        m.kind = from_me ? DAWNI_I_SEND_WAIT : DAWNI_I_RECV_WAIT;
        dawni_lower_message(l, &m, p->master[param]);
    }
}

void dawni_lower_step(struct dawni_lowering *l)
{
    struct dawni_program *p = l->program;
    bool trains = dawni_passes_train(&l->sizes->passes);
    for (int i = 0; i < l->graph->params && trains && !l->failed; i++) {
        if (!p->owned[i] || dawni_versions_has(l, i))
            continue;
        if (l->graph->param[i].desc.average > 0 || p->adam_m[i] >= 0)
            dawni_lower_instr(l, dawni_update_instr(l->graph, i), -1, i);
        else
            dawni_moments_lower_update(l, i);
    }
    dawni_moments_lower_end(l);
    p->sync_instr = p->instrs;
    for (int i = 0; i < l->graph->params && !l->failed; i++)
        copy_param(l, i);
    for (int n = 0; n < l->graph->nodes && !l->failed; n++) {
        if (p->prepared[n] < 0)
            continue;
        struct dawni_instr *i = dawni_lower_instr(l, DAWNI_I_PREPARE, -1, n);
        if (i)
            i->again = dawni_versions_has_all(l, n);
    }
}
