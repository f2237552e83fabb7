/* SPDX-License-Identifier: Apache-2.0 */
/* Moments on a tier, with what passes keep: what an update takes longer, and
 * which stages pay that. All of a stage's moments go, or none: what is saved
 * does not depend on which parameter it is of.
 */
#include "common/array.h"
#include "memory/moments.h"
#include "planner/additive.h"
#include <math.h>

/* Moments wait for their update, and to be away, in windows of so many pieces.
 */
#define WINDOWS 4

struct update { /* of a stage */
    const struct dawni_planner *pl;
    const uint8_t *optimizer;
    int pieces;
    int *param; /* by piece */
    uint64_t *bytes, *written;
    double *done_ns; /* by piece: of its newest transfer */
    struct dawn_sim_tier tier[DAWN_DECISIONS];
    double free_ns[DAWN_DECISIONS][2]; /* by tier: queues of writes, reads */
    double now_ns;
};

static bool is_of(const struct dawn_graph *g, int first, int last, int param)
{
    const struct dawni_param *p = &g->param[param];

    return p->user[0] >= first && p->user[0] <= last && p->desc.average == 0;
}

static bool has_moments(const struct dawni_planner *pl)
{
    return dawni_passes_train(&pl->sizes.passes);
}

static int pieces_of(const struct update *u, int param)
{
    int64_t elements = u->pl->graph->param[param].elements;

    return u->optimizer[param] == DAWN_KEEP ? 0
                                            : dawni_moments_pieces(elements);
}

static void move(void *arg, enum dawni_move what, int piece)
{
    struct update *u = arg;
    int tier = u->pl->tier_of[u->optimizer[u->param[piece]]];
    const struct dawn_sim_tier *t = &u->tier[tier];
    bool is_read = what == DAWNI_READ;

    if (what == DAWNI_WRITTEN || what == DAWNI_ARRIVED) {
        u->now_ns = fmax(u->now_ns, u->done_ns[piece]);
        return;
    }
    double speed = is_read ? t->read_bytes_per_s : t->write_bytes_per_s;
    double bytes = (double)(is_read ? u->bytes : u->written)[piece];
    double *free_ns = &u->free_ns[tier][is_read && !t->one_queue];
    *free_ns = fmax(*free_ns, u->now_ns) + bytes / speed * 1e9;
    u->done_ns[piece] = *free_ns + t->latency_ns;
    u->now_ns += bytes * t->compute_ns_per_byte;
}

static struct dawni_moments_size size_of(const struct dawni_planner *pl,
                                         const uint8_t *optimizer, int param,
                                         int piece)
{
    int64_t elements = pl->graph->param[param].elements;

    return (struct dawni_moments_size){
        .passes = &pl->sizes.passes,
        .count = dawni_moments_count(elements, piece),
        .decision = (enum dawn_decision)optimizer[param],
    };
}

static void list_pieces(struct update *u, int first, int last)
{
    const struct dawn_graph *g = u->pl->graph;

    for (int i = 0; i < g->params; i++) {
        if (!is_of(g, first, last, i))
            continue;
        for (int k = 0; k < pieces_of(u, i); k++) {
            struct dawni_moments_size size = size_of(u->pl, u->optimizer, i, k);
            u->param[u->pieces] = i;
            u->written[u->pieces] =
                dawni_moments_written(size.count, size.decision);
            u->bytes[u->pieces++] = dawni_moments_bytes(&size);
        }
    }
}

/* Go through the update as the lowering does; each element takes its share of
 * the time. */
static void rehearse(struct update *u, int first, int last, double ns)
{
    const struct dawn_graph *g = u->pl->graph;
    struct dawni_moments_walk walk = {
        .pieces = u->pieces, .bytes = u->bytes, .move = move, .arg = u};
    double elements = 0;

    for (int i = 0; i < g->params; i++)
        elements += is_of(g, first, last, i) ? (double)g->param[i].elements : 0;
    for (int i = 0; i < g->params; i++) {
        if (!is_of(g, first, last, i))
            continue;
        double share = ns * (double)g->param[i].elements / elements;
        int pieces = pieces_of(u, i);
        for (int k = 0; k < pieces; k++) {
            dawni_moments_need(&walk);
            u->now_ns += share / pieces;
            dawni_moments_updated(&walk);
        }
        u->now_ns += pieces ? 0 : share;
    }
    dawni_moments_end(&walk);
}

bool dawni_update_wait(struct dawni_planner *pl, const struct dawni_run *run,
                       const uint8_t *optimizer, double *wait_ns)
{
    const struct dawn_graph *g = pl->graph;
    struct update u = {.pl = pl, .optimizer = optimizer};
    int64_t pieces = 0;
    double ns = (pl->sum_update[run->last + 1] - pl->sum_update[run->first]) /
                pl->stage[run->x].speed;

    *wait_ns = 0;
    for (int i = 0; i < g->params && optimizer && has_moments(pl); i++)
        pieces += is_of(g, run->first, run->last, i) ? pieces_of(&u, i) : 0;
    if (!pieces)
        return true;
    u.param = dawni_calloc(pieces, sizeof *u.param);
    u.bytes = dawni_calloc(pieces, sizeof *u.bytes);
    u.written = dawni_calloc(pieces, sizeof *u.written);
    u.done_ns = dawni_calloc(pieces, sizeof *u.done_ns);
    for (int i = 0; i < pl->tiers; i++)
        u.tier[i] = dawni_tier_share(pl, i, pl->updaters[i]);
    bool whole = u.param && u.bytes && u.written && u.done_ns;
    if (whole) {
        list_pieces(&u, run->first, run->last);
        rehearse(&u, run->first, run->last, ns);
        *wait_ns = fmax(0, u.now_ns - ns);
    } else {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for an update");
    }
    free(u.param);
    free(u.bytes);
    free(u.written);
    free(u.done_ns);
    return whole;
}

uint64_t dawni_update_staging(const struct dawni_planner *pl,
                              const struct dawni_run *run,
                              const uint8_t *optimizer)
{
    const struct dawn_graph *g = pl->graph;
    uint64_t largest = 0;

    for (int i = 0; i < g->params && optimizer && has_moments(pl); i++) {
        if (!is_of(g, run->first, run->last, i) || optimizer[i] == DAWN_KEEP ||
            !g->param[i].elements)
            continue;
        struct dawni_moments_size size = size_of(pl, optimizer, i, 0);
        uint64_t bytes = dawni_moments_bytes(&size);
        largest = bytes > largest ? bytes : largest;
    }
    return WINDOWS * largest;
}

/* Deciding */

/* What a step loses by decisions, on this device. */
static double lost_ns(const struct dawni_planner *pl, int x,
                      const struct dawni_decided *d)
{
    return pl->m * (d->recompute_ns / pl->stage[x].speed + d->stall_ns) +
           d->update_ns;
}

static bool is_better(const struct dawni_planner *pl, int x,
                      const struct dawni_decided *a,
                      const struct dawni_decided *b)
{
    if (a->fits != b->fits)
        return a->fits;
    return a->fits ? lost_ns(pl, x, a) < lost_ns(pl, x, b) : a->peak < b->peak;
}

bool dawni_may_move_moments(const struct dawni_planner *pl)
{
    return pl->policy->moments && has_moments(pl) && !pl->additive &&
           !pl->update_every;
}

static bool may_move(const struct dawni_planner *pl, int decision)
{
    return pl->may_offload[decision] && dawni_may_move_moments(pl) &&
           !pl->keep_moments;
}

/* The same run with its moments on a tier, if that is better. */
static bool try_tier(struct dawni_planner *pl, const struct dawni_run *run,
                     enum dawn_decision tier, uint8_t *decision,
                     struct dawni_decided *best)
{
    size_t tensors = (size_t)pl->graph->tensors;
    struct dawni_decided d;
    double wait_ns;

    if (!dawni_update_wait(pl, run, pl->all_to[tier], &wait_ns))
        return false;
    if (best->fits && lost_ns(pl, run->x, best) <= wait_ns)
        return true;
    memset(pl->decision, DAWN_KEEP, tensors);
    d = dawni_decide_tensors(pl, run, pl->all_to[tier], pl->decision);
    d.optimizer = tier;
    d.update_ns = wait_ns;
    if (!is_better(pl, run->x, &d, best))
        return true;
    *best = d;
    if (decision)
        memcpy(decision, pl->decision, tensors);
    return true;
}

/* With its moments: not worth a try where it does not even fit without. */
static void try_kept(struct dawni_planner *pl, const struct dawni_run *run,
                     uint8_t *decision, struct dawni_decided *best)
{
    size_t tensors = (size_t)pl->graph->tensors;
    struct dawni_decided d;

    if (!best->fits)
        return;
    memset(pl->decision, DAWN_KEEP, tensors);
    d = dawni_decide_tensors(pl, run, NULL, pl->decision);
    if (!d.fits || lost_ns(pl, run->x, &d) > lost_ns(pl, run->x, best))
        return;
    *best = d;
    if (decision)
        memcpy(decision, pl->decision, tensors);
}

struct dawni_decided dawni_decide(struct dawni_planner *pl, int first, int last,
                                  int x, bool thorough, uint8_t *decision)
{
    struct dawni_run run = {first, last, x, thorough};
    struct dawni_decided best;

    if (pl->additive)
        return dawni_additive_decide(pl, first, last, x, thorough, decision);
    if (!may_move(pl, DAWN_TO_HOST) && !may_move(pl, DAWN_TO_SSD))
        return dawni_decide_tensors(pl, &run, NULL, decision);
    best = dawni_price_tensors(pl, &run, NULL, NULL); /* all is kept */
    if (best.fits || pl->status)
        return best;
    for (int d = DAWN_TO_HOST; d <= DAWN_TO_SSD && !pl->status; d++)
        if (may_move(pl, d))
            try_tier(pl, &run, (enum dawn_decision)d, decision, &best);
    if (!pl->status)
        try_kept(pl, &run, decision, &best);
    return best;
}

struct dawni_decided dawni_price_stage(struct dawni_planner *pl,
                                       const struct dawni_run *run,
                                       const uint8_t *optimizer,
                                       const uint8_t *decision)
{
    struct dawni_decided d;

    if (pl->additive)
        return dawni_additive_price(pl, run->first, run->last, run->x,
                                    decision);
    d = dawni_price_tensors(pl, run, optimizer, decision);
    dawni_update_wait(pl, run, optimizer, &d.update_ns);
    return d;
}

struct dawni_decided dawni_price_decisions(struct dawni_planner *pl, int first,
                                           int last, int x,
                                           const uint8_t *decision)
{
    struct dawni_run run = {first, last, x, false};

    return dawni_price_stage(pl, &run, NULL, decision);
}

enum dawn_status dawni_update_note(const struct dawni_planner *pl,
                                   struct dawn_plan *plan, int x,
                                   enum dawn_decision tier,
                                   struct dawn_error *err)
{
    const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < pl->graph->params && !st; i++)
        if (is_of(pl->graph, s->first, s->last, i))
            st = dawn_plan_decide_optimizer(plan, i, tier, err);
    return st;
}

/* What they need */

enum dawn_status dawni_update_create(struct dawni_planner *pl,
                                     struct dawn_error *err)
{
    int params = pl->graph->params;
    bool whole = true;

    for (int d = DAWN_TO_HOST; d <= DAWN_TO_SSD; d++) {
        pl->all_to[d] = dawni_calloc(params, sizeof *pl->all_to[d]);
        whole &= pl->all_to[d] != NULL;
        if (pl->all_to[d])
            memset(pl->all_to[d], d, (size_t)params);
    }
    pl->decision = dawni_calloc(pl->graph->tensors, sizeof *pl->decision);
    for (int i = 0; i < DAWN_DECISIONS; i++)
        pl->updaters[i] = pl->ranks;
    return whole && pl->decision
               ? DAWN_OK
               : dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
}

void dawni_update_destroy(struct dawni_planner *pl)
{
    for (int d = 0; d < DAWN_DECISIONS; d++)
        free(pl->all_to[d]);
    free(pl->decision);
}
