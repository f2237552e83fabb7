/* SPDX-License-Identifier: Apache-2.0 */
/* All that is predicted of a plan, whoever made it. */
#include "common/array.h"
#include "plan/plan.h"
#include "planner/additive.h"
#include "planner/replicas.h"
#include "profile/profile.h"
#include <math.h>

struct pricing { /* of a plan */
    struct dawni_planner *pl;
    struct dawn_plan *plan;
    struct dawni_transfers transfers;
    int *first; /* by stage: of its transfers */
};

/* Can what the plan offloads go where it should? */
static enum dawn_status check_tiers(const struct dawni_planner *pl,
                                    const uint8_t *decision,
                                    const uint8_t *optimizer, int x,
                                    struct dawn_error *err)
{
    for (int i = 0; i < pl->graph->params; i++)
        if (optimizer[i] >= DAWN_TO_HOST && pl->tier_of[optimizer[i]] < 0)
            return dawn_fail(
                err, DAWN_E_INVAL,
                "moments of '%s' are offloaded to %s, but the machine has no "
                "such tier",
                pl->graph->param[i].desc.name,
                optimizer[i] == DAWN_TO_SSD ? "ssd" : "host");
    for (int t = 0; t < pl->graph->tensors; t++)
        if (decision[t] >= DAWN_TO_HOST && pl->tier_of[decision[t]] < 0)
            return dawn_fail(
                err, DAWN_E_INVAL,
                "stage %d offloads '%s' to %s, but the machine has "
                "no such tier",
                x, pl->graph->tensor[t].desc.name,
                decision[t] == DAWN_TO_SSD ? "ssd" : "host");
    return DAWN_OK;
}

/* Times of stage x, with its decisions, and its transfers. */
static enum dawn_status price_stage(struct pricing *p, int x,
                                    struct dawn_error *err)
{
    struct dawni_planner *pl = p->pl;
    struct dawn_plan_stage *s = dawn_plan_stage(p->plan, x);
    struct dawn_plan_info *info = dawn_plan_info(p->plan);
    const struct dawni_run run = {s->first, s->last, x, false};
    const uint8_t *optimizer = p->plan->optimizer;
    int tensors = pl->graph->tensors, first = s->first, end = s->last + 1;
    double speed = pl->stage[x].speed;
    uint8_t *decision = dawni_calloc(tensors, sizeof *decision);
    struct dawni_decided d = {0};
    enum dawn_status st;

    if (!decision)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    for (int t = 0; t < tensors; t++)
        decision[t] = (uint8_t)dawn_plan_decision(p->plan, x, t);
    st = check_tiers(pl, decision, optimizer, x, err);
    if (!st) {
        d = dawni_price_stage(pl, &run, optimizer, decision);
        if (pl->additive)
            dawni_additive_transfers(pl, first, s->last, x, decision,
                                     &p->transfers);
        else
            dawni_transfers_add(pl, x, &p->transfers);
    }
    p->first[x + 1] = p->transfers.n;
    free(decision);
    if (!st && pl->status)
        st = dawn_fail(err, pl->status, "%s", pl->error.text);
    if (st)
        return st;
    s->predicted.recompute_ns = d.recompute_ns / speed;
    s->predicted.f_ns = (pl->sum_f[end] - pl->sum_f[first]) / speed;
    s->predicted.b_ns =
        (pl->sum_b[end] - pl->sum_b[first]) / speed + s->predicted.recompute_ns;
    s->predicted.w_ns = (pl->sum_w[end] - pl->sum_w[first]) / speed;
    dawni_update_times(pl, first, s->last, x, &s->predicted.update_ns,
                       &s->predicted.step_ns);
    s->predicted.step_ns += d.update_ns;
    info->bottleneck_ns =
        fmax(info->bottleneck_ns, s->predicted.f_ns + s->predicted.b_ns +
                                      s->predicted.w_ns + d.stall_ns);
    return DAWN_OK;
}

/* Stages that use each tier: so many share it. By the additive rule it is
 * shared by all that may, used or not: that is what the bound takes. */
static void count_sharers(struct pricing *p)
{
    struct dawni_planner *pl = p->pl;
    int least[DAWN_DECISIONS];

    memcpy(least, pl->sharers, sizeof least);
    memset(pl->sharers, 0, sizeof pl->sharers);
    for (int x = 0; x < pl->l; x++)
        for (int d = DAWN_TO_HOST; d < DAWN_DECISIONS; d++) {
            bool uses = false;
            for (int t = 0; t < pl->graph->tensors && !uses; t++)
                uses = (int)dawn_plan_decision(p->plan, x, t) == d;
            if (uses && pl->tier_of[d] >= 0)
                pl->sharers[pl->tier_of[d]]++;
        }
    for (int i = 0; i < pl->tiers && pl->additive; i++)
        if (pl->sharers[i] < least[i])
            pl->sharers[i] = least[i];
}

/* Does a rank take moments from the tier? */
static bool updates_from(const struct pricing *p, int rank, int decision)
{
    for (int i = 0; i < p->pl->graph->params; i++)
        if (p->plan->optimizer[i] == decision &&
            dawn_plan_owner(p->plan, i) % p->pl->ranks == rank)
            return true;
    return false;
}

static void count_updaters(struct pricing *p)
{
    struct dawni_planner *pl = p->pl;

    memset(pl->updaters, 0, sizeof pl->updaters);
    for (int d = DAWN_TO_HOST; d < DAWN_DECISIONS; d++)
        for (int rank = 0; rank < pl->ranks && pl->tier_of[d] >= 0; rank++)
            pl->updaters[pl->tier_of[d]] += updates_from(p, rank, d);
}

static enum dawn_status price_memory(struct dawni_planner *pl,
                                     struct dawn_plan *plan, int rank,
                                     struct dawn_error *err)
{
    struct dawn_memory memory;
    enum dawn_status st = dawni_rank_memory(pl, plan, rank, 0, &memory, err);

    for (int x = rank; x < pl->l && !st; x += pl->ranks) {
        struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        s->predicted.peak_bytes = memory.peak_bytes;
        s->predicted.arena_bytes = memory.arena_bytes;
        memcpy(s->predicted.by, memory.by, sizeof s->predicted.by);
    }
    return st;
}

static enum dawn_status price_step(struct pricing *p,
                                   struct dawn_sim_result *result,
                                   struct dawn_error *err)
{
    struct dawni_planner *pl = p->pl;
    struct dawn_plan *plan = p->plan;
    int *cut = dawni_calloc(pl->l + 1, sizeof *cut);
    struct dawni_stage_times times = {0};
    enum dawn_status st = dawni_stage_times_create(pl->l, &times, err);

    if (!cut && !st)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    for (int x = 0; x < pl->l && !st; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        cut[x] = s->first;
        cut[x + 1] = s->last + 1;
        times.f_ns[x] = s->predicted.f_ns;
        times.b_ns[x] = s->predicted.b_ns;
        times.w_ns[x] = s->predicted.w_ns;
        times.step_ns[x] = s->predicted.step_ns;
        times.update_ns[x] = s->predicted.update_ns;
    }
    if (p->transfers.n) {
        times.transfers = &p->transfers;
        times.transfer_first = p->first;
    }
    if (!st)
        st = dawni_simulate_cuts(pl, cut, &times, result, err);
    for (int x = 0; x < pl->l && !st; x++) {
        struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        int rank = x % pl->ranks;
        int chunks = (pl->l - 1 - rank) / pl->ranks + 1;
        s->predicted.stall_ns = result->stall_ns[rank] / chunks / pl->m;
        s->predicted.transfer_ns = result->transfer_ns[rank] / chunks / pl->m;
    }
    if (!st)
        dawn_plan_info(plan)->step_ns = result->step_ns;
    dawni_stage_times_clear(&times);
    free(cut);
    return st;
}

enum dawn_status dawni_price_times(struct dawni_planner *pl,
                                   struct dawn_plan *plan,
                                   struct dawn_sim_result *result,
                                   struct dawn_error *err)
{
    struct pricing p = {.pl = pl, .plan = plan};
    enum dawn_status st = DAWN_OK;
    int sharers[DAWN_DECISIONS], updaters[DAWN_DECISIONS];

    p.first = dawni_calloc(pl->l + 1, sizeof *p.first);
    if (!p.first)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    dawn_plan_info(plan)->bottleneck_ns = 0;
    memcpy(sharers, pl->sharers, sizeof sharers);
    memcpy(updaters, pl->updaters, sizeof updaters);
    count_sharers(&p);
    count_updaters(&p);
    for (int x = 0; x < pl->l && !st; x++)
        st = price_stage(&p, x, err);
    memcpy(pl->sharers, sharers, sizeof sharers);
    memcpy(pl->updaters, updaters, sizeof updaters);
    if (!st)
        st = price_step(&p, result, err);
    dawni_transfers_clear(&p.transfers);
    free(p.first);
    return st;
}

void dawni_note_sizes(const struct dawni_planner *pl,
                      struct dawn_plan_info *info)
{
    int64_t near[2];

    info->size_low = info->size_high = 0;
    if (dawn_profile_find_size(pl->profile, pl->b) < 0 &&
        dawn_profile_near(pl->profile, pl->b, near)) {
        info->size_low = near[0];
        info->size_high = near[1];
    }
}

/* The disk that was priced, where the plan uses one. */
static void note_disk(const struct dawni_planner *pl, struct dawn_plan *plan)
{
    struct dawn_plan_info *info = dawn_plan_info(plan);
    bool used = false;

    *info->offload_dir = 0;
    for (int x = 0; x < pl->l && !used; x++)
        for (int t = 0; t < pl->graph->tensors && !used; t++)
            used = dawn_plan_decision(plan, x, t) == DAWN_TO_SSD;
    for (int i = 0; i < pl->graph->params && !used; i++)
        used = plan->optimizer[i] == DAWN_TO_SSD;
    for (int i = 0; used && i < dawn_machine_tiers(pl->machine); i++) {
        const struct dawn_machine_tier *tier =
            dawn_machine_tier(pl->machine, i);
        if (strcmp(tier->kind, "ssd") == 0 && !*info->offload_dir)
            strcpy(info->offload_dir, tier->path);
    }
}

enum dawn_status dawni_price_plan(struct dawni_planner *pl,
                                  struct dawn_plan *plan,
                                  struct dawn_sim_result *result,
                                  struct dawn_error *err)
{
    struct dawn_plan_info *info = dawn_plan_info(plan);
    struct dawn_sim_result simulated = {0};
    enum dawn_status st = dawni_price_times(pl, plan, &simulated, err);

    if (st)
        return st;
    for (int rank = 0; rank < pl->ranks && !st; rank++)
        st = price_memory(pl, plan, rank, err);
    info->update_every = pl->update_every;
    info->profile_digest = dawn_profile_digest(pl->profile);
    dawni_note_sizes(pl, info);
    note_disk(pl, plan);
    info->priced_digest = dawn_plan_digest(plan);
    if (pl->bound < 0)
        pl->bound = dawni_bound(pl);
    info->bound_ns = pl->bound;
    if (pl->status)
        st = dawn_fail(err, pl->status, "%s", pl->error.text);
    if (st || !result)
        dawn_sim_result_clear(&simulated);
    else
        *result = simulated;
    return st;
}

/* The plan's cap is the largest one; devices may have less. */
static void lower_caps(struct dawni_planner *pl)
{
    for (int x = 0; x < pl->l; x++) {
        struct dawni_stage_spec *s = &pl->stage[x];
        uint64_t memory =
            dawn_machine_device(pl->machine, x % pl->ranks)->memory_bytes;
        if (memory && memory < s->cap)
            s->cap = s->budget = memory;
    }
}

enum dawn_status dawn_planner_simulate(struct dawn_plan *plan,
                                       const struct dawn_profile *profile,
                                       const struct dawn_machine *machine,
                                       struct dawn_sim_result *result,
                                       struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    uint64_t wanted = dawn_graph_digest(dawn_profile_graph(profile));
    struct dawn_planner_opts opts = {
        .schedule = info->schedule,
        .stages = info->stages,
        .microbatches = info->microbatches,
        .microbatch = info->microbatch,
        .update_every = info->update_every,
        .cap_bytes = info->cap_bytes,
        .objective = info->objective,
    };
    const struct dawn_graph *graph = dawn_plan_graph(plan);
    struct dawn_profile *own = NULL; /* in the plan's order */
    struct dawn_machine *placed = NULL;
    struct dawni_planner *pl = NULL;
    enum dawn_status st = DAWN_OK;

    if (info->graph_digest != wanted)
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "the plan is for graph %016llx, the profile is of "
                         "graph %016llx",
                         (unsigned long long)info->graph_digest,
                         (unsigned long long)wanted);
    if (!dawni_graph_same_order(dawn_profile_graph(profile), graph))
        st = dawni_profile_reorder_like(profile, graph, &own, err);
    if (!st && dawni_plan_replicated(plan)) {
        st = dawni_replicas_price_plan(plan, own ? own : profile, machine,
                                       result, err);
        dawn_profile_destroy(own);
        return st;
    }
    if (!st)
        st = dawni_machine_of_plan(plan, machine, &placed, err);
    if (!st)
        st =
            dawni_planner_create(own ? own : profile, placed ? placed : machine,
                                 &opts, info->ranks, &pl, err);
    if (!st && placed)
        lower_caps(pl);
    if (!st)
        st = dawni_price_plan(pl, plan, result, err);
    dawni_planner_destroy(pl);
    dawn_machine_destroy(placed);
    dawn_profile_destroy(own);
    return st;
}

enum dawn_status dawn_planner_price(struct dawn_plan *plan,
                                    const struct dawn_profile *profile,
                                    const struct dawn_machine *machine,
                                    struct dawn_error *err)
{
    return dawn_planner_simulate(plan, profile, machine, NULL, err);
}
