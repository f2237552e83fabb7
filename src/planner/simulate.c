/* SPDX-License-Identifier: Apache-2.0 */
/* A partition in the simulator: its schedule, what crosses its cuts, the
 * machine's links.
 */
#include "common/array.h"
#include "planner/planner.h"

enum dawn_status dawni_stage_times_create(int stages,
                                          struct dawni_stage_times *times,
                                          struct dawn_error *err)
{
    double *all = dawni_calloc((int64_t)stages * 5, sizeof *all);

    if (!all)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", stages);
    *times = (struct dawni_stage_times){.f_ns = all,
                                        .b_ns = all + stages,
                                        .w_ns = all + 2 * stages,
                                        .step_ns = all + 3 * stages,
                                        .update_ns = all + 4 * stages};
    return DAWN_OK;
}

void dawni_stage_times_clear(struct dawni_stage_times *times)
{
    free(times->f_ns);
    *times = (struct dawni_stage_times){0};
}

struct simulation { /* what dawn_simulate is told, to be freed */
    struct dawni_cuts cuts;
    double *bytes;          /* by cut: acts, then grads */
    double *latency, *rate; /* [ranks * ranks] */
    const struct dawn_schedule *schedule;
    struct dawn_sim_tier tier[DAWN_DECISIONS];
};

static void clear(struct simulation *s)
{
    dawni_cuts_clear(&s->cuts);
    free(s->bytes);
    free(s->latency);
    free(s->rate);
}

static void set_bytes(struct simulation *s, const struct dawni_planner *pl)
{
    for (int i = 0; i < s->cuts.acts + s->cuts.grads; i++) {
        int g = i - s->cuts.acts;
        const struct dawni_cut *cut =
            g < 0 ? &s->cuts.act[i] : &s->cuts.grad[g];
        s->bytes[i] = (double)dawni_cut_bytes(pl->graph, cut, pl->b);
    }
}

static void set_links(struct simulation *s, const struct dawni_planner *pl)
{
    for (int i = 0; i < pl->ranks * pl->ranks; i++) {
        int from = i / pl->ranks, to = i % pl->ranks;
        const struct dawn_machine_link *link =
            dawn_machine_link(pl->machine, from, to);
        s->latency[i] = from == to ? 0 : link->latency_ns;
        s->rate[i] = from == to ? 1e15 : link->bytes_per_s;
    }
}

/* How many ranks offload to the tier; at least 1. By the additive rule no fewer
 * than the bound takes. */
static int sharers(const struct dawni_planner *pl,
                   const struct dawni_stage_times *times, int tier)
{
    int n = 0;

    for (int rank = 0; rank < pl->ranks; rank++) {
        bool uses = false;
        for (int x = rank; x < pl->l; x += pl->ranks)
            for (int i = times->transfer_first[x];
                 i < times->transfer_first[x + 1]; i++)
                uses |= times->transfers->transfer[i].tier == tier;
        n += uses;
    }
    if (pl->additive && n < pl->sharers[tier])
        n = pl->sharers[tier];
    return n ? n : 1;
}

static void set_tiers(struct simulation *s, const struct dawni_planner *pl,
                      const struct dawni_stage_times *times,
                      struct dawn_sim_costs *costs)
{
    if (!times->transfers)
        return;
    for (int i = 0; i < pl->tiers; i++)
        s->tier[i] = dawni_tier_share(pl, i, sharers(pl, times, i));
    costs->tier = s->tier;
    costs->tiers = pl->tiers;
    costs->transfer_first = times->transfer_first;
    costs->transfer = times->transfers->transfer;
}

static enum dawn_status prepare(struct simulation *s,
                                const struct dawni_planner *pl, const int *cut,
                                struct dawn_error *err)
{
    enum dawn_status st =
        dawni_cuts_create(pl->graph, pl->l, cut, &s->cuts, err);
    if (st)
        return st;
    int edges = s->cuts.acts + s->cuts.grads;
    int64_t links = (int64_t)pl->ranks * pl->ranks;
    s->bytes = dawni_calloc(edges, sizeof *s->bytes);
    s->latency = dawni_calloc(links, sizeof *s->latency);
    s->rate = dawni_calloc(links, sizeof *s->rate);
    if (!s->bytes || !s->latency || !s->rate)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to simulate %d ranks",
                         pl->ranks);
    set_bytes(s, pl);
    set_links(s, pl);
    return dawni_schedule_with(pl, &s->cuts, &s->schedule, err);
}

enum dawn_status dawni_simulate_cuts(const struct dawni_planner *pl,
                                     const int *cut,
                                     const struct dawni_stage_times *times,
                                     struct dawn_sim_result *result,
                                     struct dawn_error *err)
{
    struct simulation s = {0};
    enum dawn_status st = prepare(&s, pl, cut, err);

    if (!st) {
        struct dawn_sim_costs costs = {
            .f_ns = times->f_ns,
            .b_ns = times->b_ns,
            .w_ns = times->w_ns,
            .step_ns = times->step_ns,
            .update_ns = times->update_ns,
            .act_bytes = s.bytes,
            .grad_bytes = s.bytes + s.cuts.acts,
            .latency_ns = s.latency,
            .bytes_per_s = s.rate,
            .host_copies = pl->host_copies,
            .totals_only = times->totals_only,
        };
        set_tiers(&s, pl, times, &costs);
        st = dawn_simulate(s.schedule, &costs, result, err);
    }
    clear(&s);
    return st;
}
