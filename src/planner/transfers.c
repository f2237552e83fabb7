/* SPDX-License-Identifier: Apache-2.0 */
/* The stall of a stage is rehearsed: its own computations in the order of 1F1B,
 * one behind the other, with the simulator's tiers beside them. A few of each
 * kind of computation tell what all the others stall. Waiting for other stages
 * only gives transfers more time, so a stage that does not stall here does not
 * in the simulated step.
 */
#include "planner/transfers.h"
#include "common/array.h"
#include "memory/offload.h"
#include "planner/planner.h"
#include "schedule/schedule.h"
#include "schedule/tiers.h"

/* In a rehearsal: most microbatches in flight, most pairs of F and BW behind
 * the first */
#define MOST_IN_FLIGHT 4
#define MOST_PAIRS 3

struct dawni_rehearsal { /* of a stage with k_x in flight */
    int in_flight, microbatches;
    struct dawn_schedule *schedule;
    struct dawni_transfers transfers;
    double *time; /* by instruction: of all before it */
    int time_room;
};

/* Tiers */

static void add_tier(struct dawni_planner *pl, enum dawn_decision decision,
                     const struct dawn_machine_tier *tier)
{
    int i = pl->tiers++;

    pl->tier_of[decision] = i;
    /* by the additive rule the last stage does not offload */
    pl->sharers[i] = pl->additive && pl->l > 1 ? pl->l - 1 : pl->l;
    pl->tier[i] = (struct dawn_sim_tier){
        .read_bytes_per_s = tier->read_bytes_per_s,
        .write_bytes_per_s = tier->write_bytes_per_s,
        .latency_ns = tier->latency_ns,
        .compute_ns_per_byte = tier->compute_ns_per_byte,
        .one_queue = decision == DAWN_TO_SSD,
    };
}

enum dawn_status dawni_tiers_find(struct dawni_planner *pl,
                                  enum dawn_offload offload,
                                  struct dawn_error *err)
{
    static const struct {
        const char *kind;
        enum dawn_decision decision;
        enum dawn_offload only;
    } known[] = {
        {"host", DAWN_TO_HOST, DAWN_OFFLOAD_HOST},
        {"ssd", DAWN_TO_SSD, DAWN_OFFLOAD_SSD},
    };

    for (int i = 0; i < DAWN_DECISIONS; i++)
        pl->tier_of[i] = -1;
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < dawn_machine_tiers(pl->machine); i++) {
            const struct dawn_machine_tier *t =
                dawn_machine_tier(pl->machine, i);
            if (pl->tier_of[known[k].decision] < 0 &&
                strcmp(t->kind, known[k].kind) == 0)
                add_tier(pl, known[k].decision, t);
        }
        bool there = pl->tier_of[known[k].decision] >= 0;
        bool wanted = offload == known[k].only;
        if (wanted && !there)
            return dawn_fail(err, DAWN_E_INVAL,
                             "offload to %s: the machine has no such tier",
                             known[k].kind);
        pl->may_offload[known[k].decision] =
            there && (wanted || offload == DAWN_OFFLOAD_AUTO);
    }
    return DAWN_OK;
}

struct dawn_sim_tier dawni_tier_share(const struct dawni_planner *pl, int tier,
                                      int sharers)
{
    struct dawn_sim_tier t = pl->tier[tier];

    t.read_bytes_per_s /= sharers;
    t.write_bytes_per_s /= sharers;
    return t;
}

/* Transfers */

void dawni_transfers_clear(struct dawni_transfers *t)
{
    free(t->transfer);
    *t = (struct dawni_transfers){0};
}

static double instr_ns(const struct dawni_planner *pl,
                       const struct dawni_instr *i)
{
    const double *sum = i->kind == DAWNI_I_F   ? pl->sum_f
                        : i->kind == DAWNI_I_B ? pl->sum_b
                        : i->kind == DAWNI_I_W ? pl->sum_w
                                               : NULL;

    return sum ? sum[i->id + 1] - sum[i->id] : 0;
}

/* Running time of the instructions of the newest price; false: no memory. */
static bool add_times(struct dawni_planner *pl,
                      const struct dawni_stage_moves *m, double speed)
{
    struct dawni_rehearsal *r = pl->rehearsal;
    int n = m->program->instrs;

    if (!dawni_array_reserve(&r->time, &r->time_room, n + 1))
        return dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for transfers");
    r->time[0] = 0;
    for (int i = 0; i < n; i++)
        r->time[i + 1] =
            r->time[i] + instr_ns(pl, &m->program->instr[i]) / speed;
    return true;
}

bool dawni_transfers_add(struct dawni_planner *pl, int x,
                         struct dawni_transfers *t)
{
    const struct dawni_stage_moves *m = dawni_stage_moves(pl->pricer);
    const double *time;

    if (!m->items)
        return true;
    if (!add_times(pl, m, pl->stage[x].speed))
        return false;
    if (!dawni_array_reserve(&t->transfer, &t->room, t->n + m->items))
        return dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for transfers");
    time = pl->rehearsal->time;
    for (int i = 0; i < m->items; i++) {
        const struct dawni_offload_item *item = &m->item[i];
        t->transfer[t->n++] = (struct dawn_sim_transfer){
            .tier = pl->tier_of[item->decision],
            .bytes = item->bytes,
            .write_ns = time[item->made_at] - time[m->f_begin],
            .read_ns = time[item->need_at] - time[m->b_begin],
        };
    }
    return true;
}

/* Rehearsing */

/* F of all but the last in flight, pairs of F and BW, and the BW that are left.
 */
static enum dawn_status make_order(struct dawni_rehearsal *r,
                                   struct dawn_error *err)
{
    int k = r->in_flight, m = r->microbatches, n = 2 * m;
    struct dawn_schedule_opts opts = {.stages = 1, .microbatches = m};
    struct dawn_action *action = dawni_calloc(n, sizeof *action);
    const struct dawn_action *all[] = {action};
    enum dawn_status st;
    int at = 0;

    if (!action)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    for (int f = 0, b = 0; b < m;) {
        bool forward = f < m && f - b < k;
        action[at++] = (struct dawn_action){
            forward ? DAWN_ACTION_F : DAWN_ACTION_BW, forward ? f : b, 0, -1};
        f += forward;
        b += !forward;
    }
    st = dawni_schedule_from_actions(&opts, all, &n, &r->schedule, err);
    free(action);
    return st;
}

static bool prepare(struct dawni_planner *pl, int x)
{
    struct dawni_rehearsal *r = pl->rehearsal;
    int k = pl->stage[x].in_flight, pairs = pl->m - k, m;
    enum dawn_status st;

    k = k < MOST_IN_FLIGHT ? k : MOST_IN_FLIGHT;
    m = k + (pairs < MOST_PAIRS ? pairs : MOST_PAIRS);
    if (r->schedule && r->in_flight == k && r->microbatches == m)
        return true;
    dawn_schedule_destroy(r->schedule);
    r->schedule = NULL;
    r->in_flight = k;
    r->microbatches = m;
    st = make_order(r, &pl->error);
    return !st || dawni_planner_fail(pl, st, NULL);
}

/* How many computations of the real order stand for number i of the
 * rehearsal's. Second ones of each kind do for what is left out: the first may
 * find empty queues. */
static int weight(const struct dawni_planner *pl, int x, int i)
{
    const struct dawni_rehearsal *r = pl->rehearsal;
    int k = r->in_flight, m = r->microbatches;
    int cut_flight = pl->stage[x].in_flight - k;
    int cut_pairs = pl->m - pl->stage[x].in_flight - (m - k);
    int last_pair = k - 1 + 2 * (m - k);

    if (i == 1 || i == last_pair + 3) /* the second F, the second BW alone */
        return 1 + (k == MOST_IN_FLIGHT ? cut_flight : 0);
    if (i == last_pair || i == last_pair + 1)
        return 1 + cut_pairs;
    return 1;
}

bool dawni_rehearse(struct dawni_planner *pl, int x,
                    const struct dawni_transfers *t, const double ns[2],
                    double *stall_ns)
{
    struct dawni_rehearsal *r = pl->rehearsal;
    struct dawn_sim_tier tier[DAWN_DECISIONS];
    struct dawni_tiers *tiers = NULL;
    enum dawn_status st;
    double now = 0, stall = 0, before = 0;

    *stall_ns = 0;
    if (!t->n)
        return true;
    if (!prepare(pl, x))
        return false;
    for (int i = 0; i < pl->tiers; i++)
        tier[i] = dawni_tier_share(pl, i, pl->sharers[i]);
    struct dawn_sim_costs costs = {
        .transfer_first = (const int[]){0, t->n},
        .transfer = t->transfer,
        .tier = tier,
        .tiers = pl->tiers,
    };
    st = dawni_tiers_create(r->schedule, &costs, &tiers, &pl->error);
    if (st)
        return dawni_planner_fail(pl, st, NULL);
    for (int i = 0; i < r->schedule->rank[0].n; i++) {
        bool forward = r->schedule->rank[0].action[i].kind == DAWN_ACTION_F;
        now = dawni_tiers_compute(tiers, 0, i, now, ns[!forward]);
        double sum = dawni_tiers_lost(tiers, 0);
        stall += weight(pl, x, i) * (sum - before);
        before = sum;
    }
    dawni_tiers_destroy(tiers);
    *stall_ns = stall / pl->m;
    return true;
}

bool dawni_stall(struct dawni_planner *pl, int x, double *stall_ns)
{
    const struct dawni_stage_moves *m = dawni_stage_moves(pl->pricer);
    struct dawni_rehearsal *r = pl->rehearsal;

    r->transfers.n = 0;
    *stall_ns = 0;
    if (!m->items)
        return true;
    if (!dawni_transfers_add(pl, x, &r->transfers))
        return false;
    const double ns[] = {r->time[m->f_end] - r->time[m->f_begin],
                         r->time[m->b_end] - r->time[m->b_begin]};
    return dawni_rehearse(pl, x, &r->transfers, ns, stall_ns);
}

/* The object */

enum dawn_status dawni_rehearsal_create(struct dawni_planner *pl,
                                        struct dawn_error *err)
{
    pl->rehearsal = calloc(1, sizeof *pl->rehearsal);
    return pl->rehearsal
               ? DAWN_OK
               : dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
}

void dawni_rehearsal_destroy(struct dawni_rehearsal *r)
{
    if (!r)
        return;
    dawn_schedule_destroy(r->schedule);
    dawni_transfers_clear(&r->transfers);
    free(r->time);
    free(r);
}
