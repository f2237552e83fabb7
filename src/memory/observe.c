/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering what passes observe: the gradient of each microbatch alone.
 *
 * W begins each microbatch's gradients anew. Behind the BW of the owner's stage
 * the uses of a tied parameter are added, in their order, and what comes of it
 * is observed. A use on another rank sends its gradient behind its own BW,
 * which is earlier, and has it taken before its next one. The owner posts so
 * many receives ahead that nobody waits for the stages between. All go through
 * microbatches, parameters and uses in one order, and a rank runs one stage.
 */
#include "common/array.h"
#include "memory/lower.h"

struct use {
    int param, at; /* in program->use */
    int stage, owner;
};

typedef void (*use_fn)(struct dawni_lowering *l, const struct use *use,
                       int microbatch);

static bool observes(const struct dawni_lowering *l)
{
    return !l->failed &&
           dawni_passes_observe(&l->sizes->passes, DAWNI_OBSERVES_MICROBATCHES);
}

/* All uses of a parameter but the first, which holds the sum. */
static void each_use(struct dawni_lowering *l, int param, int microbatch,
                     use_fn fn)
{
    const struct dawni_param *p = &l->graph->param[param];
    bool is_first = true;
    for (int u = 0; u < p->users; u++) {
        const struct dawn_node_desc *d = &l->graph->node[p->user[u]].desc;
        for (int i = 0; i < d->params; i++) {
            if (d->param[i] != param)
                continue;
            struct use use = {
                .param = param,
                .at = l->program->use_at[p->user[u]] + i,
                .stage = dawni_stage_of_node(l->first, l->stages, p->user[u]),
                .owner = dawni_stage_of_node(l->first, l->stages, p->user[0]),
            };
            if (!is_first)
                fn(l, &use, microbatch);
            is_first = false;
        }
    }
}

/* Those of all weights that nodes here use. */
static void all_uses(struct dawni_lowering *l, int microbatch, use_fn fn)
{
    for (int i = 0; i < l->graph->params && !l->failed; i++)
        if (l->program->master[i] >= 0 && l->graph->param[i].desc.average <= 0)
            each_use(l, i, microbatch, fn);
}

static bool comes(const struct dawni_lowering *l, const struct use *use)
{
    return use->owner % l->ranks == l->rank && use->stage % l->ranks != l->rank;
}

static bool goes(const struct dawni_lowering *l, const struct use *use)
{
    return use->owner % l->ranks != l->rank && use->stage % l->ranks == l->rank;
}

static void message(struct dawni_lowering *l, enum dawni_instr_kind kind,
                    const struct use *use, int buffer)
{
    bool here = use->owner % l->ranks == l->rank;
    struct dawni_message m = {
        .kind = kind,
        .microbatch = -1,
        .id = use->param,
        .peer = (here ? use->stage : use->owner) % l->ranks,
        .tag = dawni_lower_param_tag(l, false),
    };
    dawni_lower_message(l, &m, buffer);
}

/* Receives */

/* How many are posted ahead: the use's stage is that far ahead. */
static int ahead(const struct use *use)
{
    int between = use->stage - use->owner - 1;
    return between > 1 ? between : 1;
}

/* The buffer that a microbatch's gradient of a use comes in. */
static int *ring(const struct dawni_lowering *l, const struct use *use,
                 int microbatch)
{
    return &l->ring[use->at * l->stages + microbatch % ahead(use)];
}

static void post(struct dawni_lowering *l, const struct use *use,
                 int microbatch)
{
    if (!comes(l, use) || microbatch >= l->microbatches)
        return;
    int *buffer = ring(l, use, microbatch);
    if (*buffer < 0)
        *buffer = dawni_lower_buffer(l, dawni_lower_param_bytes(l, use->param),
                                     DAWN_CATEGORY_COMM);
    message(l, DAWNI_I_RECV, use, *buffer);
}

static void post_first(struct dawni_lowering *l, const struct use *use,
                       int microbatch)
{
    if (microbatch < ahead(use))
        post(l, use, microbatch);
}

void dawni_lower_observe_begin(struct dawni_lowering *l)
{
    if (!observes(l))
        return;
    for (int m = 0; m < l->microbatches && m < l->stages; m++)
        all_uses(l, m, post_first);
}

/* Sends */

static void taken(struct dawni_lowering *l, const struct use *use,
                  int microbatch)
{
    (void)microbatch;
    if (goes(l, use))
        message(l, DAWNI_I_SEND_WAIT, use, l->program->use[use->at]);
}

static void hand_over(struct dawni_lowering *l, const struct use *use,
                      int microbatch)
{
    (void)microbatch;
    if (goes(l, use))
        message(l, DAWNI_I_SEND, use, l->program->use[use->at]);
}

void dawni_lower_observe_ready(struct dawni_lowering *l, int microbatch)
{
    if (observes(l) && microbatch > 0)
        all_uses(l, microbatch, taken);
}

void dawni_lower_observe_end(struct dawni_lowering *l)
{
    if (observes(l))
        all_uses(l, -1, taken);
}

/* Observing */

static void add(struct dawni_lowering *l, const struct use *use, int microbatch)
{
    int part = l->program->use[use->at];
    if (comes(l, use)) {
        part = *ring(l, use, microbatch);
        message(l, DAWNI_I_RECV_WAIT, use, part);
    }
    if (dawni_lower_instr(l, DAWNI_I_SUM_USES, -1, use->param)) {
        dawni_lower_operand(l,
                            dawni_param_grad(l->graph, l->program, use->param));
        dawni_lower_operand(l, part);
    }
    post(l, use, microbatch + ahead(use));
}

void dawni_lower_observe(struct dawni_lowering *l, int microbatch)
{
    const struct dawni_program *p = l->program;
    if (!observes(l))
        return;
    all_uses(l, microbatch, hand_over);
    for (int i = 0; i < l->graph->params && !l->failed; i++) {
        if (!p->owned[i] || l->graph->param[i].desc.average > 0)
            continue;
        each_use(l, i, microbatch, add);
        dawni_lower_one(l, DAWNI_I_OBSERVE, microbatch, i,
                        dawni_param_grad(l->graph, p, i));
    }
}
