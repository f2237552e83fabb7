/* SPDX-License-Identifier: Apache-2.0 */
/* What stages with replicas cost: memory, a microbatch, the sum of gradients.
 */
#include "common/array.h"
#include "plan/plan.h"
#include "planner/replicas.h"
#include <math.h>

#define FEW_LOOKS 20000000

/* The worst device and link of the first `devices`. */
static void find_worst(struct dawni_replicas *s, uint64_t cap)
{
    struct dawni_planner *pl = s->pl;
    struct dawni_stage_spec *spec = &pl->stage[0];
    const struct dawn_machine *m = pl->machine;
    bool own = pl->own_machine; /* no machine was given: all are alike */
    const struct dawn_machine_link *link;

    s->bytes_per_s = INFINITY;
    for (int a = 0; a < (own ? 1 : s->devices); a++) {
        const struct dawn_machine_device *d = dawn_machine_device(m, a);
        spec->speed = fmin(spec->speed, d->speed);
        if (!cap && d->memory_bytes && d->memory_bytes < spec->cap)
            spec->cap = spec->budget = d->memory_bytes;
        pl->host_copies |= strcmp(d->kind, "host") == 0;
        for (int b = 0; b < (own ? 1 : s->devices); b++) {
            if (a == b && s->devices > 1 && !own)
                continue;
            link = dawn_machine_link(m, a, b);
            s->bytes_per_s = fmin(s->bytes_per_s, link->bytes_per_s);
            s->latency_ns = fmax(s->latency_ns, link->latency_ns);
        }
    }
}

static bool sum_gradients(struct dawni_replicas *s)
{
    const struct dawn_graph *g = s->pl->graph;

    s->sum_gradients =
        dawni_calloc((int64_t)g->nodes + 1, sizeof *s->sum_gradients);
    if (!s->sum_gradients)
        return false;
    for (int i = 0; i < g->params; i++)
        s->sum_gradients[g->param[i].user[0] + 1] +=
            (double)g->param[i].elements * sizeof(float);
    for (int v = 0; v < g->nodes; v++)
        s->sum_gradients[v + 1] += s->sum_gradients[v];
    return true;
}

static enum dawn_status check_devices(const struct dawn_machine *machine,
                                      int devices, struct dawn_error *err)
{
    if (devices < 1 || devices > DAWNI_MOST_DEVICES)
        return dawn_fail(err, DAWN_E_INVAL, "devices %d, must be 1 to %d",
                         devices, DAWNI_MOST_DEVICES);
    if (machine && dawn_machine_devices(machine) < devices)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d devices, but the machine has only %d", devices,
                         dawn_machine_devices(machine));
    return machine ? dawni_check_machine(machine, err) : DAWN_OK;
}

enum dawn_status dawni_replicas_create(const struct dawn_profile *profile,
                                       const struct dawn_machine *machine,
                                       const struct dawn_planner_opts *opts,
                                       int devices, struct dawni_replicas *s,
                                       struct dawn_error *err)
{
    struct dawn_planner_opts one = *opts;
    enum dawn_status st = check_devices(machine, devices, err);

    one.stages = 1;
    one.offload = DAWN_OFFLOAD_NONE;
    *s = (struct dawni_replicas){.devices = devices, .few_looks = FEW_LOOKS};
    if (!st)
        st = dawni_planner_create(profile, machine, &one, 1, &s->pl, err);
    if (st)
        return st;
    find_worst(s, opts->cap_bytes);
    if (sum_gradients(s))
        return DAWN_OK;
    dawni_replicas_clear(s);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory to plan %d devices",
                     devices);
}

void dawni_replicas_clear(struct dawni_replicas *s)
{
    dawni_planner_destroy(s->pl);
    dawni_memo_clear(&s->known);
    free(s->sum_gradients);
    free(s->decided);
    *s = (struct dawni_replicas){0};
}

static int share(int m, int replicas)
{
    return (m + replicas - 1) / replicas;
}

int dawni_replicas_in_flight(const struct dawni_replicas *s, int replicas,
                             int devices)
{
    int most = share(s->pl->m, replicas), wanted = share(devices, replicas);

    return wanted < most ? wanted : most;
}

struct dawni_decided dawni_replicas_decide(struct dawni_replicas *s, int first,
                                           int last, int k)
{
    uint64_t key = dawni_memo_key(first, last, k);
    int at = dawni_memo_find(&s->known, key);
    struct dawni_decided d;

    if (at >= 0)
        return s->decided[at];
    if (s->pl->stage[0].cap == UINT64_MAX)
        return (struct dawni_decided){.fits = true}; /* all is kept */
    s->work += last - first + 1;
    s->pl->stage[0].in_flight = k;
    d = dawni_decide(s->pl, first, last, 0, false, NULL);
    if (dawni_array_reserve(&s->decided, &s->room, s->decideds + 1) &&
        dawni_memo_set(&s->known, key, s->decideds))
        s->decided[s->decideds++] = d; /* else it is worked out again */
    return d;
}

/* Bytes of gradients of a run of nodes. */
static double gradients(const struct dawni_replicas *s, int first, int last)
{
    return s->sum_gradients[last + 1] - s->sum_gradients[first];
}

/* The rule of published planners, which additive profiles go by, has no buffer.
 */
static uint64_t reduce_bytes(const struct dawni_replicas *s, int first,
                             int last, int replicas,
                             const struct dawni_decided *d)
{
    bool buffer = replicas > 1 && !s->pl->additive;

    return d->kept +
           (buffer ? (uint64_t)ceil(gradients(s, first, last) / replicas) : 0);
}

uint64_t dawni_replicas_peak(const struct dawni_replicas *s, int first,
                             int last, int replicas,
                             const struct dawni_decided *d)
{
    uint64_t reduce = reduce_bytes(s, first, last, replicas, d);

    return d->peak > reduce ? d->peak : reduce;
}

double dawni_replicas_time(const struct dawni_replicas *s, int first, int last,
                           double recompute_ns)
{
    const struct dawni_planner *pl = s->pl;
    double bytes = pl->cut_bytes[first] + pl->cut_bytes[last + 1];
    bool moves = pl->host_copies && pl->objective == DAWN_OBJECTIVE_STEP;

    return dawni_base_time(pl, first, last, 0) +
           recompute_ns / pl->stage[0].speed +
           (moves ? bytes / s->bytes_per_s * 1e9 : 0);
}

double dawni_replicas_reduce(const struct dawni_replicas *s, int first,
                             int last, int replicas)
{
    double bytes = gradients(s, first, last);

    if (replicas == 1 || bytes == 0)
        return 0;
    return 2.0 * (replicas - 1) / replicas * bytes / s->bytes_per_s * 1e9 +
           2 * (replicas - 1) * s->latency_ns;
}

/* A plan */

/* Messages of a stage, both ways, of a microbatch. */
static double message_ns(const struct dawni_replicas *s, int first, int last)
{
    double in = 0, out = 0;

    dawni_traffic(s->pl, first, last, &in, &out);
    return (in + out) / s->bytes_per_s * 1e9;
}

/* The stage's times and memory, for a step. */
static void fill_times(const struct dawni_replicas *s,
                       const struct dawn_plan_stage *stage,
                       const struct dawni_decided *d, uint64_t one_peak,
                       struct dawni_replica_times *t)
{
    const struct dawni_planner *pl = s->pl;
    int first = stage->first, last = stage->last;
    double apart = pl->cut_bytes[first] / 2 / s->bytes_per_s * 1e9;

    t->f_ns = stage->predicted.f_ns;
    t->b_ns = stage->predicted.b_ns + stage->predicted.w_ns;
    t->reduce_ns = stage->predicted.reduce_ns;
    t->step_ns = stage->predicted.step_ns;
    if (pl->host_copies) /* a half with each direction */
        t->move_ns = message_ns(s, first, last) / 2;
    if (first > 0)
        t->message_ns = s->latency_ns + (pl->host_copies ? 0 : apart);
    t->peak_bytes = d->peak;
    if (t->in_flight > 1)
        t->saved_bytes = (d->peak - one_peak) / (uint64_t)(t->in_flight - 1);
    t->kept_bytes = d->kept;
    t->reduce_bytes = reduce_bytes(s, first, last, t->replicas, d);
}

static enum dawn_status price_stage(struct dawni_replicas *s,
                                    struct dawn_plan *plan, int x, int devices,
                                    struct dawni_replica_times *t,
                                    struct dawn_error *err)
{
    struct dawni_planner *pl = s->pl;
    struct dawn_plan_stage *stage = dawn_plan_stage(plan, x);
    int tensors = pl->graph->tensors, first = stage->first, last = stage->last;
    uint8_t *decision = dawni_calloc(tensors, sizeof *decision);
    double speed = pl->stage[0].speed;

    if (!decision)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    for (int i = 0; i < tensors; i++)
        decision[i] = (uint8_t)dawn_plan_decision(plan, x, i);
    t->replicas = dawni_replicas_of(stage);
    t->in_flight = dawni_replicas_in_flight(s, t->replicas, devices);
    pl->stage[0].in_flight = 1;
    uint64_t one = dawni_price_decisions(pl, first, last, 0, decision).peak;
    pl->stage[0].in_flight = t->in_flight;
    struct dawni_decided d =
        dawni_price_decisions(pl, first, last, 0, decision);
    free(decision);
    if (pl->status)
        return dawn_fail(err, pl->status, "%s", pl->error.text);
    memset(&stage->predicted, 0, sizeof stage->predicted);
    stage->predicted.f_ns = (pl->sum_f[last + 1] - pl->sum_f[first]) / speed;
    stage->predicted.w_ns = (pl->sum_w[last + 1] - pl->sum_w[first]) / speed;
    stage->predicted.recompute_ns = d.recompute_ns / speed;
    stage->predicted.b_ns = (pl->sum_b[last + 1] - pl->sum_b[first]) / speed +
                            stage->predicted.recompute_ns;
    stage->predicted.step_ns =
        (pl->sum_update[last + 1] - pl->sum_update[first]) / speed;
    stage->predicted.reduce_ns =
        dawni_replicas_reduce(s, first, last, t->replicas);
    stage->predicted.peak_bytes = stage->predicted.arena_bytes =
        dawni_replicas_peak(s, first, last, t->replicas, &d);
    fill_times(s, stage, &d, one, t);
    return DAWN_OK;
}

/* All work is shared by all devices, and the first microbatch goes all the way.
 */
static double bound_of(const struct dawni_replicas *s)
{
    const struct dawni_planner *pl = s->pl;
    double total = dawni_sum_t(pl, pl->n) / pl->stage[0].speed;

    if (pl->objective == DAWN_OBJECTIVE_BOTTLENECK)
        return total / s->devices;
    return fmax(total, pl->m * total / s->devices);
}

enum dawn_status dawni_replicas_price(struct dawni_replicas *s,
                                      struct dawn_plan *plan,
                                      struct dawn_sim_result *result,
                                      struct dawn_error *err)
{
    struct dawn_plan_info *info = dawn_plan_info(plan);
    int l = info->stages, devices = 0;
    struct dawni_replica_times *t = dawni_calloc(l, sizeof *t);
    enum dawn_status st = DAWN_OK;
    double step_ns, slowest = 0;

    if (!t)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", l);
    for (int x = l - 1; x >= 0 && !st; x--) {
        const struct dawn_plan_stage *stage = dawn_plan_stage(plan, x);
        devices += dawni_replicas_of(stage);
        st = price_stage(s, plan, x, devices, &t[x], err);
        slowest = fmax(slowest, (t[x].f_ns + t[x].b_ns) / t[x].replicas);
    }
    if (!st)
        st = dawni_replicas_simulate(t, l, s->pl->m, &step_ns, result, err);
    free(t);
    if (st)
        return st;
    info->step_ns = step_ns;
    info->bottleneck_ns = slowest;
    info->profile_digest = dawn_profile_digest(s->pl->profile);
    info->bound_ns = bound_of(s);
    dawni_note_sizes(s->pl, info);
    info->priced_digest = dawn_plan_digest(plan);
    return DAWN_OK;
}

/* What replicas cannot go together with. */
static enum dawn_status check_plan(const struct dawn_plan *plan,
                                   const struct dawn_plan_info *info,
                                   struct dawn_error *err)
{
    if (strcmp(info->schedule, "1f1b") != 0)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "the plan has replicas and schedule %s: replicas are "
                         "for 1f1b",
                         info->schedule);
    if (info->ranks != info->stages)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "the plan has replicas and %d stages on %d ranks: "
                         "replicas are for one stage a rank",
                         info->stages, info->ranks);
    if (dawn_plan_device(plan, 0))
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "the plan has replicas and names devices: with "
                         "replicas these are taken to be alike");
    for (int x = 0; x < info->stages; x++)
        for (int t = 0; t < dawn_graph_tensors(dawn_plan_graph(plan)); t++)
            if (dawn_plan_decision(plan, x, t) >= DAWN_TO_HOST)
                return dawn_fail(
                    err, DAWN_E_NOTSUP,
                    "the plan has replicas, and stage %d offloads "
                    "'%s': replicas are priced without offload",
                    x, dawn_graph_tensor(dawn_plan_graph(plan), t)->name);
    return DAWN_OK;
}

enum dawn_status dawni_replicas_price_plan(struct dawn_plan *plan,
                                           const struct dawn_profile *profile,
                                           const struct dawn_machine *machine,
                                           struct dawn_sim_result *result,
                                           struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    struct dawn_planner_opts opts = {
        .microbatches = info->microbatches,
        .microbatch = info->microbatch,
        .cap_bytes = info->cap_bytes,
        .objective = info->objective,
    };
    int64_t devices = dawni_plan_devices(plan);
    struct dawni_replicas s = {0};
    enum dawn_status st = check_plan(plan, info, err);

    if (!st && devices > DAWNI_MOST_DEVICES)
        st = dawn_fail(err, DAWN_E_NOTSUP,
                       "the plan takes %lld devices, the most are %d",
                       (long long)devices, DAWNI_MOST_DEVICES);
    if (st)
        return st;
    st = dawni_replicas_create(profile, machine, &opts, (int)devices, &s, err);
    if (!st)
        st = dawni_replicas_price(&s, plan, result, err);
    dawni_replicas_clear(&s);
    return st;
}
