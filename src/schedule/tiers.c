/* SPDX-License-Identifier: Apache-2.0 */
/* Each rank has a queue per tier and direction, or one for both. A transfer
 * begins when it is asked for and those before it in its queue have moved their
 * bytes; it ends a latency after it has moved its own. The computation that
 * asks for it takes longer by the computing time that its bytes cost. What is
 * asked for when, and waited for where, is dawni_staging's business.
 */
#include "schedule/tiers.h"
#include "schedule/schedule.h"
#include "schedule/staging.h"

#include <math.h>
#include <stdlib.h>

struct stage_items { /* of a stage; positions in its transfers */
    int *by_write, *by_read;
    uint64_t *bytes;
};

struct box { /* all transfers of a microbatch in one direction */
    double start_ns, end_ns;
    bool used;
};

struct tier_rank {
    struct dawni_tiers *tiers;
    struct dawni_staging *staging;
    double *free_ns; /* by tier, write and read: when its queue is empty */
    double *done_ns; /* by index of what moved */
    double now_ns, stall_ns, taken_ns;
};

struct dawni_tiers {
    const struct dawn_schedule *schedule;
    const struct dawn_sim_costs *costs;
    struct dawni_staging_set *set; /* by stage */
    struct stage_items *items;
    struct tier_rank *rank;
    struct box *box; /* [stage][microbatch][write, read] */
};

static int items_of(const struct dawn_sim_costs *c, int stage)
{
    return c->transfer_first[stage + 1] - c->transfer_first[stage];
}

static const struct dawn_sim_transfer *transfer_of(
    const struct dawn_sim_costs *c, int stage, int item)
{
    return &c->transfer[c->transfer_first[stage] + item];
}

/* Moving */

static struct box *box_of(const struct dawni_tiers *t,
                          const struct dawni_moved *m, bool is_read)
{
    size_t piece = (size_t)m->stage * (size_t)t->schedule->microbatches +
                   (size_t)m->microbatch;

    return &t->box[2 * piece + is_read];
}

static void begin_move(struct tier_rank *r, const struct dawni_moved *m,
                       bool is_read)
{
    const struct dawn_sim_transfer *x =
        transfer_of(r->tiers->costs, m->stage, m->item);
    const struct dawn_sim_tier *tier = &r->tiers->costs->tier[x->tier];
    double speed = is_read ? tier->read_bytes_per_s : tier->write_bytes_per_s;
    double *free_ns = &r->free_ns[2 * x->tier + (is_read && !tier->one_queue)];
    double start = fmax(r->now_ns, *free_ns);
    struct box *box = box_of(r->tiers, m, is_read);

    *free_ns = start + (double)x->bytes / speed * 1e9;
    r->done_ns[m->index] = *free_ns + tier->latency_ns;
    if (!box->used)
        box->start_ns = start;
    box->used = true;
    box->end_ns = r->done_ns[m->index];
    r->taken_ns += (double)x->bytes * tier->compute_ns_per_byte;
    r->now_ns += (double)x->bytes * tier->compute_ns_per_byte;
}

static void wait_move(struct tier_rank *r, const struct dawni_moved *m)
{
    double done = r->done_ns[m->index];

    if (done <= r->now_ns)
        return;
    r->stall_ns += done - r->now_ns;
    r->now_ns = done;
}

static void move(void *arg, enum dawni_move what,
                 const struct dawni_moved *moved)
{
    if (what == DAWNI_WRITE || what == DAWNI_READ)
        begin_move(arg, moved, what == DAWNI_READ);
    else
        wait_move(arg, moved);
}

/* Go through a computation, item by item. */
static void compute(struct tier_rank *r, const struct dawn_action *a, double ns)
{
    const struct stage_items *items = &r->tiers->items[a->stage];
    const struct dawn_sim_costs *c = r->tiers->costs;
    bool forward = a->kind == DAWN_ACTION_F;
    double gone = 0; /* of ns */

    for (int i = 0; i < items_of(c, a->stage) && a->kind != DAWN_ACTION_W;
         i++) {
        int item = forward ? items->by_write[i] : items->by_read[i];
        const struct dawn_sim_transfer *x = transfer_of(c, a->stage, item);
        double at = fmin(forward ? x->write_ns : x->read_ns, ns);

        r->now_ns += at - gone;
        gone = at;
        if (forward)
            dawni_staging_made(r->staging, item);
        else
            dawni_staging_need(r->staging, item);
    }
    r->now_ns += ns - gone;
}

double dawni_tiers_compute(struct dawni_tiers *t, int rank, int i,
                           double start_ns, double ns)
{
    const struct dawni_actions *actions = &t->schedule->rank[rank];
    const struct dawn_action *now = &actions->action[i];
    struct tier_rank *r = &t->rank[rank];

    r->now_ns = start_ns;
    dawni_staging_begin(r->staging, now,
                        dawni_staging_next(actions->action, actions->n, i));
    compute(r, now, ns);
    dawni_staging_end(r->staging);
    return r->now_ns;
}

double dawni_tiers_lost(const struct dawni_tiers *t, int rank)
{
    return t->rank[rank].stall_ns + t->rank[rank].taken_ns;
}

/* Results */

static int by_rank_and_time(const void *a, const void *b)
{
    const struct dawn_sim_event *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank - y->rank;
    if (x->start_ns < y->start_ns || x->start_ns > y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    if (x->action.stage != y->action.stage)
        return x->action.stage - y->action.stage;
    return (int)x->action.kind - (int)y->action.kind;
}

enum dawn_status dawni_tiers_result(const struct dawni_tiers *t,
                                    struct dawn_sim_result *result,
                                    struct dawn_error *err)
{
    int m = t->schedule->microbatches, pieces = t->schedule->stages * m;

    result->move = calloc(2 * (size_t)pieces, sizeof *result->move);
    if (!result->move)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d transfers",
                         2 * pieces);
    for (int i = 0; i < 2 * pieces; i++) {
        const struct box *box = &t->box[i];
        int stage = i / 2 / m;
        struct dawn_action a = {i % 2 ? DAWN_ACTION_PREFETCH
                                      : DAWN_ACTION_OFFLOAD,
                                i / 2 % m, stage, -1};

        if (box->used)
            result->move[result->moves++] = (struct dawn_sim_event){
                stage % t->schedule->ranks, a, box->start_ns, box->end_ns};
    }
    qsort(result->move, (size_t)result->moves, sizeof *result->move,
          by_rank_and_time);
    for (int rank = 0; rank < t->schedule->ranks; rank++) {
        result->stall_ns[rank] = t->rank[rank].stall_ns;
        result->transfer_ns[rank] = t->rank[rank].taken_ns;
        result->busy_ns[rank] += t->rank[rank].taken_ns;
    }
    return DAWN_OK;
}

/* The object */

static enum dawn_status check_tier(const struct dawn_sim_tier *tier, int i,
                                   struct dawn_error *err)
{
    if (tier->read_bytes_per_s > 0 && tier->write_bytes_per_s > 0 &&
        tier->latency_ns >= 0 && isfinite(tier->latency_ns) &&
        tier->compute_ns_per_byte >= 0 && isfinite(tier->compute_ns_per_byte))
        return DAWN_OK;
    return dawn_fail(
        err, DAWN_E_INVAL,
        "tier %d: %g bytes/s read, %g written, %g ns, %g ns a byte "
        "cannot be",
        i, tier->read_bytes_per_s, tier->write_bytes_per_s, tier->latency_ns,
        tier->compute_ns_per_byte);
}

static enum dawn_status check(const struct dawn_schedule *s,
                              const struct dawn_sim_costs *c,
                              struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < c->tiers && !st; i++)
        st = check_tier(&c->tier[i], i, err);
    for (int stage = 0; stage < s->stages && !st; stage++)
        for (int i = 0; i < items_of(c, stage); i++) {
            const struct dawn_sim_transfer *x = transfer_of(c, stage, i);

            if (x->tier < 0 || x->tier >= c->tiers || !(x->write_ns >= 0) ||
                !(x->read_ns >= 0))
                return dawn_fail(err, DAWN_E_INVAL,
                                 "stage %d, transfer %d: tier %d, %g ns and "
                                 "%g ns cannot be",
                                 stage, i, x->tier, x->write_ns, x->read_ns);
        }
    return st;
}

struct keyed {
    double key;
    int item;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;

    if (x->key < y->key || x->key > y->key)
        return x->key < y->key ? -1 : 1;
    return x->item - y->item;
}

/* Items by time. NULL: no memory. */
static int *sorted(const struct dawn_sim_costs *c, int stage, bool by_read)
{
    int n = items_of(c, stage);
    int *order = calloc((size_t)n + 1, sizeof *order);
    struct keyed *keyed = calloc((size_t)n + 1, sizeof *keyed);

    for (int i = 0; i < n && order && keyed; i++) {
        const struct dawn_sim_transfer *x = transfer_of(c, stage, i);
        keyed[i] = (struct keyed){by_read ? x->read_ns : x->write_ns, i};
    }
    if (order && keyed) {
        qsort(keyed, (size_t)n, sizeof *keyed, by_key);
        for (int i = 0; i < n; i++)
            order[i] = keyed[i].item;
    } else {
        free(order);
        order = NULL;
    }
    free(keyed);
    return order;
}

static bool make_stage(struct dawni_tiers *t, int stage)
{
    struct stage_items *items = &t->items[stage];
    int n = items_of(t->costs, stage);

    items->by_write = sorted(t->costs, stage, false);
    items->by_read = sorted(t->costs, stage, true);
    items->bytes = calloc((size_t)n + 1, sizeof *items->bytes);
    if (!items->by_write || !items->by_read || !items->bytes)
        return false;
    for (int i = 0; i < n; i++)
        items->bytes[i] = transfer_of(t->costs, stage, i)->bytes;
    t->set[stage] = (struct dawni_staging_set){n, items->bytes, items->by_read};
    return true;
}

static enum dawn_status make_rank(struct dawni_tiers *t, int rank,
                                  struct dawn_error *err)
{
    struct tier_rank *r = &t->rank[rank];
    struct dawni_staging_opts opts = {
        .stages = t->schedule->stages,
        .ranks = t->schedule->ranks,
        .rank = rank,
        .microbatches = t->schedule->microbatches,
        .set = t->set,
        .move = move,
        .arg = r,
    };
    enum dawn_status st = dawni_staging_create(&opts, &r->staging, err);

    if (st)
        return st;
    r->tiers = t;
    r->free_ns = calloc(2 * (size_t)t->costs->tiers + 1, sizeof *r->free_ns);
    r->done_ns = calloc((size_t)dawni_staging_indices(r->staging) + 1,
                        sizeof *r->done_ns);
    return r->free_ns && r->done_ns
               ? DAWN_OK
               : dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
}

static enum dawn_status make(struct dawni_tiers *t, struct dawn_error *err)
{
    size_t stages = (size_t)t->schedule->stages;
    size_t pieces = stages * (size_t)t->schedule->microbatches;
    enum dawn_status st = DAWN_OK;
    bool whole;

    t->set = calloc(stages, sizeof *t->set);
    t->items = calloc(stages, sizeof *t->items);
    t->rank = calloc((size_t)t->schedule->ranks, sizeof *t->rank);
    t->box = calloc(2 * pieces, sizeof *t->box);
    whole = t->set && t->items && t->rank && t->box;
    for (int stage = 0; whole && stage < t->schedule->stages; stage++)
        whole = make_stage(t, stage);
    if (!whole)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    for (int rank = 0; rank < t->schedule->ranks && !st; rank++)
        st = make_rank(t, rank, err);
    return st;
}

enum dawn_status dawni_tiers_create(const struct dawn_schedule *schedule,
                                    const struct dawn_sim_costs *costs,
                                    struct dawni_tiers **tiers_p,
                                    struct dawn_error *err)
{
    struct dawni_tiers *t;
    enum dawn_status st;

    *tiers_p = NULL;
    if (!costs->transfer_first ||
        costs->transfer_first[schedule->stages] == costs->transfer_first[0])
        return DAWN_OK;
    if ((st = check(schedule, costs, err)))
        return st;
    t = calloc(1, sizeof *t);
    if (!t)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    t->schedule = schedule;
    t->costs = costs;
    if ((st = make(t, err))) {
        dawni_tiers_destroy(t);
        return st;
    }
    *tiers_p = t;
    return DAWN_OK;
}

void dawni_tiers_destroy(struct dawni_tiers *t)
{
    if (!t)
        return;
    for (int i = 0; t->items && i < t->schedule->stages; i++) {
        free(t->items[i].by_write);
        free(t->items[i].by_read);
        free(t->items[i].bytes);
    }
    for (int i = 0; t->rank && i < t->schedule->ranks; i++) {
        dawni_staging_destroy(t->rank[i].staging);
        free(t->rank[i].free_ns);
        free(t->rank[i].done_ns);
    }
    free(t->set);
    free(t->items);
    free(t->rank);
    free(t->box);
    free(t);
}
