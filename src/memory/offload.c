/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/offload.h"
#include "common/array.h"

/* Walking */

int dawni_offload_find(const struct dawni_lowering *l, int stage, int tensor)
{
    size_t chunk = (size_t)(stage / l->ranks);

    if (!l->offload || l->forward_only)
        return -1;
    return l->item[chunk * (size_t)l->graph->tensors + (size_t)tensor];
}

void dawni_offload_begin(struct dawni_lowering *l,
                         const struct dawn_action *now,
                         const struct dawn_action *next)
{
    if (l->offload)
        dawni_staging_begin(l->offload->staging, now, next);
}

void dawni_offload_end(struct dawni_lowering *l)
{
    if (l->offload)
        dawni_staging_end(l->offload->staging);
}

static struct dawni_offload_item *item_of(const struct dawni_lowering *l,
                                          int stage, int item)
{
    return &l->offload->item[l->offload->first[stage] + item];
}

static int index_of(const struct dawni_lowering *l, int stage, int microbatch,
                    int item)
{
    return dawni_staging_index(l->offload->staging, stage, microbatch, item);
}

void dawni_offload_made(struct dawni_lowering *l, int stage, int microbatch,
                        int tensor, int buffer)
{
    int item = dawni_offload_find(l, stage, tensor);

    if (item < 0)
        return;
    item_of(l, stage, item)->made_at = l->program->instrs;
    l->offload->buffer[index_of(l, stage, microbatch, item)] = buffer;
    dawni_staging_made(l->offload->staging, item);
}

bool dawni_offload_fetch(struct dawni_lowering *l, int stage, int microbatch,
                         int tensor)
{
    int item;

    if (l->back[tensor] != DAWNI_AWAY)
        return false;
    item = dawni_offload_find(l, stage, tensor);
    item_of(l, stage, item)->need_at = l->program->instrs;
    dawni_staging_need(l->offload->staging, item);
    l->back[tensor] = l->offload->buffer[index_of(l, stage, microbatch, item)];
    return true;
}

uint64_t dawni_offload_bytes(uint64_t bytes, enum dawn_decision decision)
{
    uint64_t unit = decision == DAWN_TO_SSD ? DAWNI_PAGE : 64;

    return (bytes + unit - 1) / unit * unit;
}

int dawni_lower_staging(struct dawni_lowering *l, uint64_t bytes,
                        enum dawn_decision decision)
{
    bool paged = decision == DAWN_TO_SSD;
    int buffer;

    if (paged) /* whole pages, with room to begin at one */
        bytes = dawni_offload_bytes(bytes, decision) + DAWNI_PAGE - 64;
    buffer = dawni_lower_buffer(l, bytes, DAWN_CATEGORY_STAGING);
    if (buffer >= 0)
        l->program->buffer[buffer].paged = paged;
    return buffer;
}

int dawni_offload_buffer(struct dawni_lowering *l, int tensor,
                         enum dawn_decision decision)
{
    return dawni_lower_staging(
        l, dawn_graph_tensor_bytes(l->graph, tensor, l->sizes->microbatch),
        decision);
}

static const enum dawni_instr_kind instr_of[] = {
    [DAWNI_WRITE] = DAWNI_I_OFFLOAD,
    [DAWNI_WRITTEN] = DAWNI_I_OFFLOAD_WAIT,
    [DAWNI_READ] = DAWNI_I_PREFETCH,
    [DAWNI_ARRIVED] = DAWNI_I_PREFETCH_WAIT,
};

static void move(void *arg, enum dawni_move what,
                 const struct dawni_moved *moved)
{
    struct dawni_lowering *l = arg;
    struct dawni_offload_item *item = item_of(l, moved->stage, moved->item);
    int *buffer = &l->offload->buffer[moved->index];
    int copy = moved->microbatch % l->offload->in_flight[moved->stage];
    struct dawni_instr *i;

    if (what == DAWNI_READ)
        *buffer = dawni_offload_buffer(l, item->tensor, item->decision);
    i = dawni_lower_instr(l, instr_of[what], moved->microbatch, item->tensor);
    if (!i)
        return;
    i->peer = (int)item->decision;
    i->place = item->place + (uint64_t)copy * item->bytes;
    dawni_lower_operand(l, *buffer);
}

/* What the rank offloads */

static uint64_t moved_bytes(const struct dawni_lowering *l, int tensor,
                            enum dawn_decision decision)
{
    return dawni_offload_bytes(
        dawn_graph_tensor_bytes(l->graph, tensor, l->sizes->microbatch),
        decision);
}

static bool add_item(struct dawni_lowering *l, int stage, int tensor)
{
    struct dawni_offload *o = l->offload;
    enum dawn_decision decision = dawni_decision(l, stage, tensor);
    int *found =
        &l->item[(size_t)(stage / l->ranks) * (size_t)l->graph->tensors +
                 (size_t)tensor];
    int n = o->first[stage + 1];

    if (decision < DAWN_TO_HOST || *found >= 0 ||
        !dawni_tensor_saved(l->graph, tensor, l->first[stage],
                            l->first[stage + 1] - 1))
        return true;
    if (!dawni_array_reserve(&o->item, &o->item_room, n + 1))
        return false;
    *found = n - o->first[stage];
    o->item[n] = (struct dawni_offload_item){
        .tensor = tensor,
        .decision = decision,
        .bytes = moved_bytes(l, tensor, decision),
    };
    o->first[stage + 1]++;
    return true;
}

static bool find_items(struct dawni_lowering *l)
{
    for (int s = 0; s < l->stages; s++) {
        bool mine = s % l->ranks == l->rank;
        l->offload->first[s + 1] = l->offload->first[s];
        for (int n = l->first[s]; mine && n < l->first[s + 1]; n++) {
            const struct dawni_node *node = &l->graph->node[n];
            for (int i = 0; i < node->desc.inputs; i++)
                if (!add_item(l, s, node->desc.input[i]))
                    return false;
            for (int k = 0; k < node->desc.outputs; k++)
                if (!add_item(l, s, node->output[k]))
                    return false;
        }
    }
    return true;
}

/* Order of first use in BW: the walk of dawni_lower_bw without its
 * instructions. back[] marks what was met; BW sets it anew. */

struct walk {
    struct dawni_lowering *l;
    int stage;
    int *order, n;
};

static void forget(struct dawni_lowering *l, int stage)
{
    for (int n = l->first[stage]; n < l->first[stage + 1]; n++) {
        const struct dawni_node *node = &l->graph->node[n];
        for (int i = 0; i < node->desc.inputs; i++)
            l->back[node->desc.input[i]] = -1;
        for (int k = 0; k < node->desc.outputs; k++)
            l->back[node->output[k]] = -1;
    }
}

static void meet(struct walk *w, int tensor)
{
    struct dawni_lowering *l = w->l;
    int node = l->graph->tensor[tensor].producer;
    int item = dawni_offload_find(l, w->stage, tensor);

    if (l->back[tensor] >= 0)
        return;
    l->back[tensor] = 0;
    if (item >= 0)
        w->order[w->n++] = item;
    if (item >= 0 || node < l->first[w->stage] ||
        dawni_lower_keeps(l, w->stage, tensor))
        return;
    const struct dawni_node *n = &l->graph->node[node];
    for (int k = 0; k < n->desc.outputs; k++)
        if (dawni_offload_find(l, w->stage, n->output[k]) >= 0)
            meet(w, n->output[k]);
    for (int i = 0; i < n->desc.inputs; i++)
        meet(w, n->desc.input[i]);
    for (int k = 0; k < n->desc.outputs; k++)
        l->back[n->output[k]] = 0;
}

static void order_items(struct dawni_lowering *l, int stage)
{
    struct walk w = {l, stage, l->offload->order + l->offload->first[stage], 0};

    forget(l, stage);
    for (int n = l->first[stage + 1] - 1; n >= l->first[stage]; n--) {
        const struct dawni_node *node = &l->graph->node[n];
        for (int i = 0; node->active && i < node->desc.inputs; i++)
            if (dawni_node_saves_input(&node->desc, i))
                meet(&w, node->desc.input[i]);
        for (int k = 0; node->active && k < node->desc.outputs; k++)
            if (node->desc.save_outputs >> k & 1)
                meet(&w, node->output[k]);
    }
}

/* Each copy in flight has a place of its own. */
static void place_items(struct dawni_lowering *l, int stage)
{
    struct dawni_offload *o = l->offload;
    struct dawn_memory *m = &l->program->memory;

    for (int i = o->first[stage]; i < o->first[stage + 1]; i++) {
        struct dawni_offload_item *item = &o->item[i];
        uint64_t *used =
            item->decision == DAWN_TO_SSD ? &m->ssd_bytes : &m->host_bytes;
        item->place = *used;
        *used += item->bytes * (uint64_t)o->in_flight[stage];
        o->bytes[i] = item->bytes;
    }
    o->set[stage] = (struct dawni_staging_set){
        .n = o->first[stage + 1] - o->first[stage],
        .bytes = o->bytes + o->first[stage],
        .order = o->order + o->first[stage],
    };
}

static enum dawn_status make_staging(struct dawni_lowering *l, int microbatches,
                                     struct dawn_error *err)
{
    struct dawni_offload *o = l->offload;
    struct dawni_staging_opts opts = {
        .stages = l->stages,
        .ranks = l->ranks,
        .rank = l->rank,
        .microbatches = microbatches,
        .set = o->set,
        .move = move,
        .arg = l,
    };
    enum dawn_status st = dawni_staging_create(&opts, &o->staging, err);

    if (st)
        return st;
    o->buffer =
        dawni_calloc(dawni_staging_indices(o->staging), sizeof *o->buffer);
    return o->buffer ? DAWN_OK
                     : dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
}

static bool decides(const struct dawni_lowering *l, int stage, int tensor)
{
    return dawni_decision(l, stage, tensor) >= DAWN_TO_HOST;
}

static bool any(const struct dawni_lowering *l)
{
    for (int s = l->rank; l->decision && s < l->stages; s += l->ranks)
        for (int n = l->first[s]; l->decision[s] && n < l->first[s + 1]; n++) {
            const struct dawni_node *node = &l->graph->node[n];
            for (int i = 0; i < node->desc.inputs; i++)
                if (decides(l, s, node->desc.input[i]))
                    return true;
            for (int k = 0; k < node->desc.outputs; k++)
                if (decides(l, s, node->output[k]))
                    return true;
        }
    return false;
}

static enum dawn_status create(struct dawni_lowering *l, int microbatches,
                               struct dawn_error *err)
{
    struct dawni_offload *o = l->offload;
    bool whole;

    o->first = dawni_calloc((int64_t)l->stages + 1, sizeof *o->first);
    o->set = dawni_calloc(l->stages, sizeof *o->set);
    o->in_flight = dawni_calloc(l->stages, sizeof *o->in_flight);
    whole = o->first && o->set && o->in_flight && find_items(l);
    if (whole) {
        o->bytes = dawni_calloc(o->first[l->stages], sizeof *o->bytes);
        o->order = dawni_calloc(o->first[l->stages], sizeof *o->order);
    }
    if (!whole || !o->bytes || !o->order)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    for (int s = l->rank; s < l->stages; s += l->ranks) {
        o->in_flight[s] = l->in_flight ? l->in_flight[s] : 1;
        order_items(l, s);
        place_items(l, s);
    }
    return make_staging(l, microbatches, err);
}

enum dawn_status dawni_offload_create(struct dawni_lowering *l,
                                      int microbatches, struct dawn_error *err)
{
    enum dawn_status st;

    if (!any(l))
        return DAWN_OK;
    l->offload = calloc(1, sizeof *l->offload);
    if (!l->offload)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    st = create(l, microbatches, err);
    if (st)
        dawni_offload_destroy(l);
    return st;
}

/* The map of items is the lowering's, and as it was. */
static void forget_items(struct dawni_lowering *l)
{
    const struct dawni_offload *o = l->offload;

    for (int s = l->rank; o->first && s < l->stages; s += l->ranks)
        for (int i = o->first[s]; i < o->first[s + 1]; i++)
            l->item[(size_t)(s / l->ranks) * (size_t)l->graph->tensors +
                    (size_t)o->item[i].tensor] = -1;
}

void dawni_offload_destroy(struct dawni_lowering *l)
{
    struct dawni_offload *o = l->offload;

    if (!o)
        return;
    forget_items(l);
    dawni_staging_destroy(o->staging);
    free(o->first);
    free(o->item);
    free(o->bytes);
    free(o->order);
    free(o->set);
    free(o->in_flight);
    free(o->buffer);
    free(o);
    l->offload = NULL;
}
