/* SPDX-License-Identifier: Apache-2.0 */
/* What planning begins with: arguments checked, the machine, the schedule's
 * microbatches in flight, sums over the profile.
 */
#include "common/array.h"
#include "plan/plan.h"
#include "planner/additive.h"
#include "schedule/schedule.h"
#include <math.h>
#include <stdio.h>

/* Limits of dawni_memo_key, and of the depth of binary partitioning */
#define MOST_NODES (1 << 24)
#define MOST_STAGES 1024

/* Microbatches times stages: each takes kilobytes to plan and to simulate */
#define MOST_PIECES (1 << 18)

bool dawni_planner_fail(struct dawni_planner *pl, enum dawn_status status,
                        const char *text)
{
    if (!pl->status && text)
        dawn_fail(&pl->error, status, "%s", text);
    if (!pl->status)
        pl->status = status;
    return false;
}

static enum dawn_status check_counts(const struct dawni_planner *pl,
                                     struct dawn_error *err)
{
    if (pl->l < 1)
        return dawn_fail(err, DAWN_E_INVAL, "stages %d, must be >= 1", pl->l);
    if (pl->l > pl->n)
        return dawn_fail(err, DAWN_E_INVAL,
                         "stages %d, but the model has only %d nodes", pl->l,
                         pl->n);
    if (pl->l > MOST_STAGES || pl->n >= MOST_NODES)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "stages %d, nodes %d; the most are %d and %d", pl->l,
                         pl->n, MOST_STAGES, MOST_NODES - 1);
    if (pl->ranks < 1 || pl->ranks > pl->l)
        return dawn_fail(err, DAWN_E_INVAL, "ranks %d, must be 1 to %d",
                         pl->ranks, pl->l);
    if (pl->m < 1)
        return dawn_fail(err, DAWN_E_INVAL, "microbatches %d, must be >= 1",
                         pl->m);
    if ((int64_t)pl->l * pl->m > MOST_PIECES)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d microbatches on %d stages: a step has at most %d "
                         "pieces",
                         pl->m, pl->l, MOST_PIECES);
    return DAWN_OK;
}

static enum dawn_status find_size(struct dawni_planner *pl, int64_t microbatch,
                                  struct dawn_error *err)
{
    int64_t near[2];

    if (microbatch < 0)
        return dawn_fail(err, DAWN_E_INVAL, "microbatch %lld, must be >= 1",
                         (long long)microbatch);
    pl->b = microbatch ? microbatch
                       : dawn_profile_size(pl->profile,
                                           dawn_profile_sizes(pl->profile) - 1);
    if (dawn_profile_near(pl->profile, pl->b, near))
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_INVAL,
                     "microbatch %lld was not profiled; the profile has only "
                     "%lld, from which nothing follows for others",
                     (long long)pl->b,
                     (long long)dawn_profile_size(pl->profile, 0));
}

static enum dawn_status find_policy(struct dawni_planner *pl, const char *name,
                                    struct dawn_error *err)
{
    char text[200] = "";
    int used = 0;

    pl->standard = !name;
    pl->policy = dawni_policy_find(name ? name : "dawnpiper");
    if (pl->policy)
        return DAWN_OK;
    for (int i = 0; (size_t)used < sizeof text && dawn_planner_policy(i); i++)
        used += snprintf(text + used, sizeof text - (size_t)used, " %s",
                         dawn_planner_policy(i));
    return dawn_fail(err, DAWN_E_INVAL, "unknown policy '%s'; there are%s",
                     name, text);
}

enum dawn_status dawni_planner_set_machine(struct dawni_planner *pl,
                                           const struct dawn_machine *machine,
                                           struct dawn_error *err)
{
    if (dawn_machine_devices(machine) < pl->ranks)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d ranks, but the machine has only %d device%s",
                         pl->ranks, dawn_machine_devices(machine),
                         dawn_machine_devices(machine) == 1 ? "" : "s");
    pl->machine = machine;
    pl->max_speed = 0;
    pl->host_copies = false;
    for (int x = 0; x < pl->l; x++) {
        const struct dawn_machine_device *d =
            dawn_machine_device(machine, x % pl->ranks);
        pl->stage[x].speed = d->speed;
        pl->stage[x].cap = d->memory_bytes ? d->memory_bytes : UINT64_MAX;
        pl->host_copies |= strcmp(d->kind, "host") == 0;
        if (d->speed > pl->max_speed)
            pl->max_speed = d->speed;
    }
    dawni_planner_forget(pl);
    dawni_decider_forget(pl->decider);
    pl->bound = -1;
    return DAWN_OK;
}

/* Speeds and links; a caller without a machine gets equal devices. */
static enum dawn_status find_machine(struct dawni_planner *pl,
                                     const struct dawn_machine *machine,
                                     struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    if (!machine)
        st = dawn_machine_create(pl->ranks, &pl->own_machine, err);
    else
        st = dawni_check_machine(machine, err);
    return st ? st
              : dawni_planner_set_machine(
                    pl, machine ? machine : pl->own_machine, err);
}

static enum dawn_status find_in_flight(struct dawni_planner *pl,
                                       struct dawn_error *err)
{
    struct dawn_schedule_opts opts = {
        .kind = pl->schedule,
        .stages = pl->l,
        .ranks = pl->ranks,
        .microbatches = pl->m,
        .update_every = pl->update_every,
    };
    struct dawn_schedule *schedule;
    enum dawn_status st = dawn_schedule_create(&opts, &schedule, err);

    if (st)
        return st;
    for (int x = 0; x < pl->l; x++) {
        pl->stage[x].in_flight = dawn_schedule_in_flight(schedule, x);
        pl->stage[x].versions = dawni_schedule_versions_full(schedule, x);
    }
    pl->update_every = dawn_schedule_update_every(schedule);
    dawn_schedule_destroy(schedule);
    if (pl->update_every && *dawn_profile_passes(pl->profile))
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "passes (%s) do not go with asynchronous schedules, "
                         "such as %s",
                         dawn_profile_passes(pl->profile), pl->schedule);
    return DAWN_OK;
}

static enum dawn_status begin(struct dawni_planner *pl,
                              const struct dawn_machine *machine,
                              const struct dawn_planner_opts *opts,
                              struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = find_policy(pl, opts->policy, err)) ||
        (st = check_counts(pl, err)) ||
        (st = find_size(pl, opts->microbatch, err)) ||
        (st = dawni_plan_check_bytes(pl->graph, pl->m, pl->b, err)))
        return st;
    pl->stage = dawni_calloc(pl->l, sizeof *pl->stage);
    pl->known =
        dawni_calloc((int64_t)pl->ranks * DAWNI_KNOWN, sizeof *pl->known);
    if (!pl->stage || !pl->known)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    if ((st = find_machine(pl, machine, err)) ||
        (st = dawni_rehearsal_create(pl, err)) ||
        (st = dawni_schedules_create(&pl->schedules, err)) ||
        (st = find_in_flight(pl, err)) ||
        (st = dawni_sizes_of_profile(pl->profile, pl->graph, pl->b, &pl->sizes,
                                     err)) ||
        (st = dawni_stage_pricer_create(pl->graph, &pl->sizes, &pl->pricer,
                                        err)) ||
        (st = dawni_decider_create(pl, err)) ||
        (st = dawni_update_create(pl, err)) ||
        (st = dawni_additive_create(pl, err)) ||
        (st = dawni_tiers_find(pl, opts->offload, err)) ||
        (st = dawni_cost_init(pl, err)) || (st = dawni_unfit_create(pl, err)))
        return st;
    if (opts->cap_bytes)
        dawni_planner_set_cap(pl, opts->cap_bytes);
    return DAWN_OK;
}

enum dawn_status dawni_planner_create(const struct dawn_profile *profile,
                                      const struct dawn_machine *machine,
                                      const struct dawn_planner_opts *opts,
                                      int ranks, struct dawni_planner **pl_p,
                                      struct dawn_error *err)
{
    struct dawni_planner *pl = calloc(1, sizeof *pl);
    enum dawn_status st;

    if (!pl)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a planner");
    pl->bound = -1;
    pl->profile = profile;
    pl->graph = dawn_profile_graph(profile);
    pl->schedule = opts->schedule ? opts->schedule : "1f1b";
    pl->objective = opts->objective;
    pl->no_recompute = opts->no_recompute;
    pl->n = dawn_graph_nodes(pl->graph);
    pl->l = opts->stages;
    pl->m = opts->microbatches;
    pl->update_every = opts->update_every;
    pl->ranks = ranks;
    st = begin(pl, machine, opts, err);
    if (st) {
        dawni_planner_destroy(pl);
        return st;
    }
    *pl_p = pl;
    return DAWN_OK;
}

void dawni_planner_destroy(struct dawni_planner *pl)
{
    if (!pl)
        return;
    dawni_memo_clear(&pl->costs);
    free(pl->cost);
    free(pl->unfit);
    dawni_decider_destroy(pl->decider);
    dawni_update_destroy(pl);
    dawni_rehearsal_destroy(pl->rehearsal);
    dawni_schedules_destroy(pl->schedules);
    dawni_additive_destroy(pl->additive);
    dawni_stage_pricer_destroy(pl->pricer);
    dawni_sizes_clear(&pl->sizes);
    dawn_machine_destroy(pl->own_machine);
    free(pl->sum_f);
    free(pl->sum_b);
    free(pl->sum_w);
    free(pl->sum_update);
    free(pl->sum_own_update);
    free(pl->sum_version);
    free(pl->sum_kept);
    free(pl->sum_saved);
    free(pl->cut_bytes);
    free(pl->stamp);
    free(pl->stage);
    free(pl->known);
    free(pl);
}

bool dawni_planner_work(struct dawni_planner *pl, uint64_t nodes)
{
    pl->work += nodes;
    if (!pl->limit_work || pl->work < pl->limit_work)
        return true;
    return dawni_planner_fail(pl, DAWN_E_NOFIT, "too much work");
}

void dawni_planner_set_cap(struct dawni_planner *pl, uint64_t cap)
{
    for (int x = 0; x < pl->l; x++)
        pl->stage[x].cap = cap;
    dawni_planner_forget(pl);
    pl->bound = -1;
}

void dawni_planner_forget(struct dawni_planner *pl)
{
    for (int x = 0; x < pl->l; x++) {
        struct dawni_stage_spec *s = &pl->stage[x];
        s->budget = s->cap;
        /* see rounds.c */
        s->messages = pl->policy->decide ? 0 : -1;
        s->least_messages = s->least_packing = INFINITY;
        dawni_unfit_forget(pl, x);
    }
    dawni_memo_clear(&pl->costs);
    pl->cost_count = 0;
}
