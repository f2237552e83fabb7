/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a table with what its actions cost. Exact: every time follows from the
 * table and the costs, in whatever order the ranks are looked at.
 *
 *   - F, B, W, BW, UPDATE and STEP take what the costs say; STEP that of all
 *     stages of the rank. REDUCE takes no time of its own, and ends on no rank
 *     before all ranks have come to it: the gradient norm is global.
 *   - A message begins when its SEND has started and its RECV is posted, and
 *     takes latency + bytes / bandwidth. Messages do not slow each other down.
 *     What takes it in, and the WAIT of its SEND, end no earlier.
 *   - With host_copies nothing moves behind a computation's back, as in an MPI
 *     that makes no progress by itself: the latency passes, and then the
 *     receiver spends bytes / bandwidth where it takes the message in, and the
 *     sender the same in its WAIT. Of a message to itself a rank pays the first
 *     only.
 *
 *   - Offloaded tensors move beside computation. A computation that needs one
 *     that is not there, or has to make room for one more, stalls: see
 * staging.h and tiers.c.
 *
 * A rank that cannot go on waits for a dependency up to the moment at which it
 * could if messages took no time; what comes on top is exposed communication. A
 * rank that is done waits for the slowest one, so that busy, wait, comm and
 * stall add up to the step.
 */
#include "schedule/schedule.h"
#include "schedule/tiers.h"

#include <math.h>
#include <stdlib.h>

struct link {
    double latency_ns, move_ns;
    bool to_itself;
};

struct sim {
    const struct dawn_schedule *schedule;
    const struct dawn_sim_costs *costs;
    struct link *link; /* by link: what a message takes */
    struct dawn_sim_result result;
    struct dawni_tiers *tiers; /* NULL: nothing is offloaded */
    int *at;                   /* by rank: the next action */
    int *event;                /* by rank: its next event */
    double *now;               /* by rank */
    double *sent, *posted;     /* by message; negative: not yet */
    bool *reducing;            /* by rank: has come to REDUCE */
    int reduces;               /* how many have */
    double reduce_ns;          /* when the last of them came */
};

/* A message that has begun */
struct transfer {
    double begin_ns; /* SEND and RECV are both there */
    const struct link *link;
};

/* Costs */

static bool is_cost(double x)
{
    return x >= 0 && isfinite(x);
}

static enum dawn_status check_stages(const struct sim *sim,
                                     struct dawn_error *err)
{
    const struct dawn_sim_costs *c = sim->costs;

    for (int i = 0; i < sim->schedule->stages; i++)
        if (!is_cost(c->f_ns[i]) || !is_cost(c->b_ns[i]) ||
            !is_cost(c->w_ns[i]) || !is_cost(c->step_ns[i]) ||
            (c->update_ns && !is_cost(c->update_ns[i])))
            return dawn_fail(
                err, DAWN_E_INVAL,
                "stage %d: times %g, %g, %g, %g, %g ns, must be finite "
                "and >= 0",
                i, c->f_ns[i], c->b_ns[i], c->w_ns[i], c->step_ns[i],
                c->update_ns ? c->update_ns[i] : 0.0);
    return DAWN_OK;
}

static double link_bytes(const struct sim *sim, int link)
{
    int act = sim->schedule->act_links;

    return link < act ? sim->costs->act_bytes[link]
                      : sim->costs->grad_bytes[link - act];
}

/* Index into latency_ns and bytes_per_s */
static size_t pair_of(const struct sim *sim, const struct dawni_link *link)
{
    int ranks = sim->schedule->ranks;

    return (size_t)(link->src % ranks) * (size_t)ranks +
           (size_t)(link->dst % ranks);
}

static enum dawn_status check_links(const struct sim *sim,
                                    struct dawn_error *err)
{
    for (int i = 0; i < sim->schedule->links; i++) {
        const struct dawni_link *link = &sim->schedule->link[i];
        size_t pair = pair_of(sim, link);
        double bytes = link_bytes(sim, i);
        double latency = sim->costs->latency_ns[pair];
        double speed = sim->costs->bytes_per_s[pair];
        bool to_itself = (link->dst - link->src) % sim->schedule->ranks == 0;

        if (!is_cost(bytes) || !is_cost(latency) ||
            !(speed > 0 || (to_itself && speed == 0)))
            return dawn_fail(err, DAWN_E_INVAL,
                             "messages from stage %d to %d: %g bytes, %g ns, "
                             "%g bytes/s cannot be",
                             link->src, link->dst, bytes, latency, speed);
    }
    return DAWN_OK;
}

static void set_links(struct sim *sim)
{
    for (int i = 0; i < sim->schedule->links; i++) {
        const struct dawni_link *l = &sim->schedule->link[i];
        size_t pair = pair_of(sim, l);
        double speed = sim->costs->bytes_per_s[pair];

        sim->link[i] = (struct link){
            .latency_ns = sim->costs->latency_ns[pair],
            .move_ns = speed > 0 ? link_bytes(sim, i) / speed * 1e9 : 0,
            .to_itself = (l->dst - l->src) % sim->schedule->ranks == 0,
        };
    }
}

static double compute_ns(const struct sim *sim, const struct dawn_action *a)
{
    const struct dawn_sim_costs *c = sim->costs;
    double sum = 0;

    switch (a->kind) {
    case DAWN_ACTION_F:
        return c->f_ns[a->stage];
    case DAWN_ACTION_B:
        return c->b_ns[a->stage];
    case DAWN_ACTION_W:
        return c->w_ns[a->stage];
    case DAWN_ACTION_BW:
        return c->b_ns[a->stage] + c->w_ns[a->stage];
    case DAWN_ACTION_UPDATE:
        return c->update_ns ? c->update_ns[a->stage] : 0;
    default: /* STEP */
        for (int i = a->stage; i < sim->schedule->stages;
             i += sim->schedule->ranks)
            sum += c->step_ns[i];
        return sum;
    }
}

/* Running */

static bool transfer_of(const struct sim *sim, int link, int mb,
                        struct transfer *t)
{
    size_t message = dawni_message(sim->schedule, link, mb);

    if (sim->sent[message] < 0 || sim->posted[message] < 0)
        return false;
    t->begin_ns = fmax(sim->sent[message], sim->posted[message]);
    t->link = &sim->link[link];
    return true;
}

/* A rank goes on at `begin` if messages take no time, and at `end` as they do.
 */
static void pass(struct sim *sim, int rank, double begin, double end)
{
    double *now = &sim->now[rank];

    if (begin > *now) {
        sim->result.wait_ns[rank] += begin - *now;
        *now = begin;
    }
    if (end > *now) {
        sim->result.comm_ns[rank] += end - *now;
        *now = end;
    }
}

/* Take in what a computation needs. Returns false if some of it has not begun
 * to move. */
static bool take_in(struct sim *sim, int rank, const struct dawn_action *a)
{
    const struct dawn_schedule *s = sim->schedule;
    double begin = sim->now[rank], end = begin, copies = 0;

    for (int i = s->in_first[a->stage]; i < s->in_first[a->stage + 1]; i++) {
        struct transfer t;

        if (!dawni_uses_link(a->kind, s->link[s->in[i]].grad))
            continue;
        if (!transfer_of(sim, s->in[i], a->microbatch, &t))
            return false;
        begin = fmax(begin, t.begin_ns);
        end = fmax(end, t.begin_ns + t.link->latency_ns +
                            (sim->costs->host_copies ? 0 : t.link->move_ns));
        copies += sim->costs->host_copies ? t.link->move_ns : 0;
    }
    pass(sim, rank, begin, end + copies);
    return true;
}

static bool wait_for_send(struct sim *sim, int rank,
                          const struct dawn_action *a)
{
    struct transfer t;
    double end;

    if (!transfer_of(sim, dawni_schedule_link(sim->schedule, a), a->microbatch,
                     &t))
        return false;
    if (!sim->costs->host_copies)
        end = t.begin_ns + t.link->latency_ns + t.link->move_ns;
    else if (t.link->to_itself)
        end = t.begin_ns;
    else
        end = fmax(sim->now[rank], t.begin_ns) + t.link->move_ns;
    pass(sim, rank, t.begin_ns, end);
    return true;
}

static bool reduce(struct sim *sim, int rank)
{
    if (!sim->reducing[rank]) {
        sim->reducing[rank] = true;
        sim->reduces++;
        sim->reduce_ns = fmax(sim->reduce_ns, sim->now[rank]);
    }
    if (sim->reduces < sim->schedule->ranks)
        return false;
    pass(sim, rank, sim->reduce_ns, sim->reduce_ns);
    return true;
}

static bool run_message(struct sim *sim, int rank, const struct dawn_action *a)
{
    int link = dawni_schedule_link(sim->schedule, a);
    size_t message = dawni_message(sim->schedule, link, a->microbatch);

    if (dawni_is_wait(a->kind))
        return wait_for_send(sim, rank, a);
    (dawni_is_send(a->kind) ? sim->sent : sim->posted)[message] =
        sim->now[rank];
    return true;
}

static bool is_update(enum dawn_action_kind kind)
{
    return kind == DAWN_ACTION_STEP || kind == DAWN_ACTION_UPDATE;
}

/* Returns false if the action cannot run yet. */
static bool run_action(struct sim *sim, int rank, const struct dawn_action *a)
{
    double start = sim->now[rank], ns = 0;

    if (a->kind == DAWN_ACTION_REDUCE) {
        if (!reduce(sim, rank))
            return false;
    } else if (dawni_is_compute(a->kind) || is_update(a->kind)) {
        if (dawni_is_compute(a->kind) && !take_in(sim, rank, a))
            return false;
        start = sim->now[rank];
        ns = compute_ns(sim, a);
        sim->result.busy_ns[rank] += ns;
        sim->now[rank] = sim->tiers && dawni_is_compute(a->kind)
                             ? dawni_tiers_compute(sim->tiers, rank,
                                                   sim->at[rank], start, ns)
                             : start + ns;
    } else if (!run_message(sim, rank, a)) {
        return false;
    }
    if (!sim->costs->totals_only)
        sim->result.event[sim->event[rank]++] =
            (struct dawn_sim_event){rank, *a, start, sim->now[rank]};
    return true;
}

static bool run_rank(struct sim *sim, int rank)
{
    const struct dawni_actions *actions = &sim->schedule->rank[rank];
    int begin = sim->at[rank];

    while (sim->at[rank] < actions->n &&
           run_action(sim, rank, &actions->action[sim->at[rank]]))
        sim->at[rank]++;
    return sim->at[rank] > begin;
}

static enum dawn_status run(struct sim *sim, struct dawn_error *err)
{
    int ranks = sim->schedule->ranks;
    struct dawn_sim_result *r = &sim->result;
    bool moved = true;

    while (moved) {
        int reduces = sim->reduces;

        moved = false;
        for (int rank = 0; rank < ranks; rank++)
            moved |= run_rank(sim, rank);
        moved |= sim->reduces > reduces;
    }
    for (int rank = 0; rank < ranks; rank++) {
        if (sim->at[rank] < sim->schedule->rank[rank].n)
            return dawni_schedule_stuck(sim->schedule, sim->at, err);
        r->step_ns = fmax(r->step_ns, sim->now[rank]);
    }
    for (int rank = 0; rank < ranks; rank++)
        r->wait_ns[rank] += r->step_ns - sim->now[rank];
    return DAWN_OK;
}

static enum dawn_status make_room(struct sim *sim, struct dawn_error *err)
{
    const struct dawn_schedule *s = sim->schedule;
    struct dawn_sim_result *r = &sim->result;
    size_t ranks = (size_t)s->ranks;
    size_t messages = (size_t)s->links * (size_t)s->microbatches;

    sim->at = calloc(ranks, sizeof *sim->at);
    sim->event = calloc(ranks, sizeof *sim->event);
    sim->link = calloc((size_t)s->links + 1, sizeof *sim->link);
    sim->now = calloc(ranks, sizeof *sim->now);
    sim->reducing = calloc(ranks, sizeof *sim->reducing);
    sim->sent = malloc((messages + 1) * sizeof *sim->sent);
    sim->posted = malloc((messages + 1) * sizeof *sim->posted);
    for (int rank = 0; sim->event && rank < s->ranks; rank++) {
        sim->event[rank] = r->events;
        r->events += sim->costs->totals_only ? 0 : s->rank[rank].n;
    }
    r->ranks = s->ranks;
    r->busy_ns = calloc(ranks, sizeof *r->busy_ns);
    r->transfer_ns = calloc(ranks, sizeof *r->transfer_ns);
    r->wait_ns = calloc(ranks, sizeof *r->wait_ns);
    r->comm_ns = calloc(ranks, sizeof *r->comm_ns);
    r->stall_ns = calloc(ranks, sizeof *r->stall_ns);
    r->event = calloc((size_t)r->events + 1, sizeof *r->event);
    if (!sim->at || !sim->event || !sim->link || !sim->now || !sim->reducing ||
        !sim->sent || !sim->posted || !r->busy_ns || !r->transfer_ns ||
        !r->wait_ns || !r->comm_ns || !r->stall_ns || !r->event)
        return dawn_fail(err, DAWN_E_NOMEM,
                         "no memory to simulate %zu messages", messages);
    for (size_t i = 0; i < messages; i++)
        sim->sent[i] = sim->posted[i] = -1;
    set_links(sim);
    return DAWN_OK;
}

enum dawn_status dawn_simulate(const struct dawn_schedule *schedule,
                               const struct dawn_sim_costs *costs,
                               struct dawn_sim_result *result,
                               struct dawn_error *err)
{
    struct sim sim = {.schedule = schedule, .costs = costs};
    enum dawn_status st;

    if ((st = check_stages(&sim, err)) || (st = check_links(&sim, err)))
        return st;
    if ((st = make_room(&sim, err)) ||
        (st = dawni_tiers_create(schedule, costs, &sim.tiers, err)) ||
        (st = run(&sim, err)))
        goto fail;
    if (sim.tiers && (st = dawni_tiers_result(sim.tiers, &sim.result, err)))
        goto fail;
    *result = sim.result;
    sim.result = (struct dawn_sim_result){0};
fail:
    dawni_tiers_destroy(sim.tiers);
    free(sim.at);
    free(sim.link);
    free(sim.event);
    free(sim.now);
    free(sim.reducing);
    free(sim.sent);
    free(sim.posted);
    dawn_sim_result_clear(&sim.result);
    return st;
}

void dawn_sim_result_clear(struct dawn_sim_result *result)
{
    free(result->busy_ns);
    free(result->transfer_ns);
    free(result->wait_ns);
    free(result->comm_ns);
    free(result->stall_ns);
    free(result->move);
    free(result->event);
    free(result->live_bytes);
    *result = (struct dawn_sim_result){0};
}
