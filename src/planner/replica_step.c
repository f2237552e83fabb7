/* SPDX-License-Identifier: Apache-2.0 */
/* A step of stages with replicas, simulated: each device does its forwards and
 * backwards in 1F1B's order, each as soon as what it waits for is there. No
 * order of that kind can deadlock: of the microbatches that are not through,
 * the first one is next on every stage.
 */
#include "common/array.h"
#include "planner/replicas.h"
#include <math.h>

struct device { /* replica j of stage x */
    int x, j;
    int mine;     /* microbatches that it has */
    int forwards; /* done so far */
    int backwards;
    int event; /* its next one */
    double now, busy;
};

struct run {
    const struct dawni_replica_times *stage;
    int stages, m;
    struct device *device;
    int devices;
    double *f_end, *b_end; /* [stage * m + microbatch]; below 0: not yet */
    struct dawn_sim_result *result; /* NULL: not wanted */
};

static void add_event(struct run *r, struct device *d, struct dawn_action a,
                      double start, uint64_t bytes)
{
    if (!r->result)
        return;
    r->result->live_bytes[d->event] = bytes;
    r->result->event[d->event++] =
        (struct dawn_sim_event){.rank = (int)(d - r->device),
                                .action = a,
                                .start_ns = start,
                                .end_ns = d->now};
}

/* When the microbatch's input, or its gradient, is there; below 0: not yet. */
static double ready(const struct run *r, const struct device *d, bool forward,
                    size_t at)
{
    const struct dawni_replica_times *s = &r->stage[d->x];
    double end;

    if (d->x == (forward ? 0 : r->stages - 1))
        return 0;
    end = forward ? r->f_end[at - (size_t)r->m] : r->b_end[at + (size_t)r->m];
    return end < 0 ? -1 : end + (forward ? s : s + 1)->message_ns;
}

/* Do the device's next action, if what it waits for is there. */
static bool advance(struct run *r, struct device *d)
{
    const struct dawni_replica_times *s = &r->stage[d->x];
    int flying = d->forwards - d->backwards;
    bool forward = d->forwards < d->mine && flying < s->in_flight;
    int mb = (forward ? d->forwards : d->backwards) * s->replicas + d->j;
    size_t at = (size_t)d->x * (size_t)r->m + (size_t)mb;
    struct dawn_action action = {forward ? DAWN_ACTION_F : DAWN_ACTION_BW, mb,
                                 d->x, -1};

    if (d->backwards == d->mine)
        return false;
    double start = ready(r, d, forward, at);
    if (start < 0)
        return false;
    start = fmax(start, d->now) + s->move_ns;
    d->now = start + (forward ? s->f_ns : s->b_ns);
    d->busy += d->now - start;
    flying += forward;
    add_event(r, d, action, start,
              s->peak_bytes -
                  (uint64_t)(s->in_flight - flying) * s->saved_bytes);
    (forward ? r->f_end : r->b_end)[at] = d->now;
    *(forward ? &d->forwards : &d->backwards) += 1;
    return true;
}

/* Gradients are summed when the last replica is through, stages are updated
 * when all are summed. Returns when that is done. */
static double end_step(struct run *r)
{
    double summed = 0, step = 0;

    for (int i = 0, n = 0; i < r->devices; i = n) {
        const struct dawni_replica_times *s = &r->stage[r->device[i].x];
        double last = 0;
        for (n = i; n < i + s->replicas; n++)
            last = fmax(last, r->device[n].now);
        for (int k = i; k < n; k++) {
            struct dawn_action a = {DAWN_ACTION_REDUCE, -1, r->device[k].x, -1};
            r->device[k].now = last + s->reduce_ns;
            add_event(r, &r->device[k], a, last, s->reduce_bytes);
        }
        summed = fmax(summed, last + s->reduce_ns);
    }
    for (int i = 0; i < r->devices; i++) {
        struct device *d = &r->device[i];
        const struct dawni_replica_times *s = &r->stage[d->x];
        struct dawn_action a = {DAWN_ACTION_STEP, -1, d->x, -1};
        d->now = summed + s->step_ns;
        d->busy += s->step_ns;
        add_event(r, d, a, summed, s->kept_bytes);
        step = fmax(step, d->now);
    }
    return step;
}

static void place_devices(struct run *r)
{
    int n = 0, event = 0;

    for (int x = 0; x < r->stages; x++)
        for (int j = 0; j < r->stage[x].replicas; j++) {
            int replicas = r->stage[x].replicas;
            int mine = j < r->m ? (r->m - j - 1) / replicas + 1 : 0;
            r->device[n++] =
                (struct device){.x = x, .j = j, .mine = mine, .event = event};
            event += 2 * mine + 2;
        }
    for (int i = 0; i < r->stages * r->m; i++)
        r->f_end[i] = r->b_end[i] = -1;
}

static double run_step(struct run *r)
{
    place_devices(r);
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < r->devices; i++)
            while (advance(r, &r->device[i]))
                moved = true;
    }
    return end_step(r);
}

static void split_times(const struct run *r, double step)
{
    struct dawn_sim_result *result = r->result;

    for (int i = 0; i < r->devices; i++) {
        const struct device *d = &r->device[i];
        const struct dawni_replica_times *s = &r->stage[d->x];
        result->busy_ns[i] = d->busy;
        result->comm_ns[i] = 2 * d->mine * s->move_ns + s->reduce_ns;
        result->wait_ns[i] = step - d->busy - result->comm_ns[i];
    }
    result->step_ns = step;
}

static bool make_result(struct dawn_sim_result *result, int devices, int events)
{
    result->ranks = devices;
    result->events = events;
    result->busy_ns = dawni_calloc(devices, sizeof *result->busy_ns);
    result->transfer_ns = dawni_calloc(devices, sizeof *result->transfer_ns);
    result->wait_ns = dawni_calloc(devices, sizeof *result->wait_ns);
    result->comm_ns = dawni_calloc(devices, sizeof *result->comm_ns);
    result->stall_ns = dawni_calloc(devices, sizeof *result->stall_ns);
    result->event = dawni_calloc(events, sizeof *result->event);
    result->live_bytes = dawni_calloc(events, sizeof *result->live_bytes);
    return result->busy_ns && result->transfer_ns && result->wait_ns &&
           result->comm_ns && result->stall_ns && result->event &&
           result->live_bytes;
}

enum dawn_status dawni_replicas_simulate(
    const struct dawni_replica_times *stage, int stages, int m, double *step_ns,
    struct dawn_sim_result *result, struct dawn_error *err)
{
    struct dawn_sim_result made = {0};
    struct run r = {.stage = stage,
                    .stages = stages,
                    .m = m,
                    .result = result ? &made : NULL};
    bool whole = (int64_t)stages * m < INT32_MAX / 4;

    for (int x = 0; x < stages; x++)
        r.devices += stage[x].replicas;
    if (whole) {
        r.device = dawni_calloc(r.devices, sizeof *r.device);
        r.f_end = dawni_calloc((int64_t)stages * m, sizeof *r.f_end);
        r.b_end = dawni_calloc((int64_t)stages * m, sizeof *r.b_end);
        whole = r.device && r.f_end && r.b_end &&
                (!result ||
                 make_result(&made, r.devices, 2 * stages * m + 2 * r.devices));
    }
    if (whole)
        *step_ns = run_step(&r);
    if (whole && result) {
        split_times(&r, *step_ns);
        *result = made;
    } else {
        dawn_sim_result_clear(&made);
    }
    free(r.device);
    free(r.f_end);
    free(r.b_end);
    return whole ? DAWN_OK
                 : dawn_fail(err, DAWN_E_NOMEM,
                             "no memory to simulate %d microbatches on %d "
                             "stages",
                             m, stages);
}
