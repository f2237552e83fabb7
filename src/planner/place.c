/* SPDX-License-Identifier: Apache-2.0 */
/* Which device runs which stage, where devices or links differ. Equal devices
 * are one class, so that only the sequences of classes are told apart. If these
 * are few, all are planned for. Otherwise all, or those that exchanges of two
 * devices lead to, are estimated, and the most promising ones planned for.
 */
#include "common/array.h"
#include "planner/additive.h"
#include "planner/planner.h"
#include <math.h>
#include <stdio.h>

#define ALIKE 0.05      /* measurements differ by so much */
#define WORTH_IT 0.01   /* gain for which ranks are told where to run */
#define MOST_PLANNED 24 /* sequences planned for where there are no more */
#define PROMISING 8     /* ... and where there are */
#define MOST_ESTIMATED 5000

struct candidate {
    int *device; /* by rank */
    double estimate;
};

struct placing {
    struct dawni_planner *pl;
    const struct dawn_machine *machine;
    uint64_t cap; /* of every rank; 0: the devices' own */
    int devices;
    int *class_of; /* by device: number of the first device like it */
    int *now;      /* by rank */
    bool *used;    /* by device */
    struct candidate candidate[MOST_PLANNED]; /* the best first */
    int candidates, most;
    int estimates;
    enum dawn_status status;
    struct dawn_error *err;
};

/* Classes */

static bool alike(double a, double b)
{
    return fabs(a - b) <= ALIKE * fmax(fabs(a), fabs(b));
}

static bool same_link(const struct dawn_machine_link *a,
                      const struct dawn_machine_link *b)
{
    return alike(a->bytes_per_s, b->bytes_per_s) &&
           alike(a->latency_ns, b->latency_ns);
}

/* Would nobody notice if a and b changed places? */
static bool same_device(const struct dawn_machine *m, int a, int b)
{
    const struct dawn_machine_device *d = dawn_machine_device(m, a);
    const struct dawn_machine_device *e = dawn_machine_device(m, b);

    if (strcmp(d->kind, e->kind) != 0 || !alike(d->speed, e->speed) ||
        !alike((double)d->memory_bytes, (double)e->memory_bytes) ||
        !same_link(dawn_machine_link(m, a, b), dawn_machine_link(m, b, a)))
        return false;
    for (int c = 0; c < dawn_machine_devices(m); c++)
        if (c != a && c != b &&
            (!same_link(dawn_machine_link(m, a, c),
                        dawn_machine_link(m, b, c)) ||
             !same_link(dawn_machine_link(m, c, a),
                        dawn_machine_link(m, c, b))))
            return false;
    return true;
}

static void find_classes(struct placing *p)
{
    for (int d = 0; d < p->devices; d++) {
        p->class_of[d] = d;
        for (int c = d - 1; c >= 0; c--)
            if (p->class_of[c] == c && same_device(p->machine, c, d))
                p->class_of[d] = c;
    }
}

/* Sequences */

/* Call visit for each sequence of classes from rank `rank` on, with the first
 * devices of each class. Stops when it says so; returns whether it did. */
static bool each_sequence(struct placing *p, int rank,
                          bool (*visit)(struct placing *))
{
    if (rank == p->pl->ranks)
        return visit(p);
    for (int c = 0; c < p->devices; c++) {
        int d = c;
        while (d < p->devices && (p->class_of[d] != c || p->used[d]))
            d++;
        if (p->class_of[c] != c || d == p->devices)
            continue;
        p->used[d] = true;
        p->now[rank] = d;
        bool stop = each_sequence(p, rank + 1, visit);
        p->used[d] = false;
        if (stop)
            return true;
    }
    return false;
}

static bool count_one(struct placing *p)
{
    return ++p->estimates > MOST_ESTIMATED;
}

/* Up to MOST_ESTIMATED + 1 */
static int count_sequences(struct placing *p)
{
    p->estimates = 0;
    each_sequence(p, 0, count_one);
    int count = p->estimates;
    p->estimates = 0;
    return count;
}

static bool same_sequence(const struct placing *p, const int *a, const int *b)
{
    for (int r = 0; r < p->pl->ranks; r++)
        if (p->class_of[a[r]] != p->class_of[b[r]])
            return false;
    return true;
}

/* Estimates */

static bool set_machine(struct placing *p, const int *device,
                        struct dawn_machine **machine_p)
{
    p->status = dawn_machine_select(p->machine, device, p->pl->ranks, machine_p,
                                    p->err);
    if (!p->status)
        p->status = dawni_planner_set_machine(p->pl, *machine_p, p->err);
    if (!p->status && p->cap)
        dawni_planner_set_cap(p->pl, p->cap);
    return !p->status;
}

/* S of a run of nodes with sums for its memory, what is over at the price of an
 * average byte, and messages, which host devices move themselves. */
static double estimate_step(void *arg, int first, int last, int x, double limit)
{
    struct dawni_planner *pl = arg;
    const struct dawni_stage_spec *spec = &pl->stage[x];
    double time = dawni_base_time(pl, first, last, x), comm = 0;
    double kept = dawni_sum_of_kept(pl, first, last, x);
    double saved = pl->sum_saved[last + 1] - pl->sum_saved[first];
    double over = kept + spec->in_flight * saved - (double)spec->cap;

    (void)limit;
    if (spec->cap != UINT64_MAX && over > 0) {
        if (pl->no_recompute || over > spec->in_flight * saved)
            return INFINITY;
        time += over / spec->in_flight * pl->sum_f[pl->n] /
                pl->sum_saved[pl->n] / spec->speed;
    }
    if (pl->objective == DAWN_OBJECTIVE_STEP) {
        if (x > 0)
            comm += dawni_cut_ns(pl, x, first);
        if (x < pl->l - 1)
            comm += dawni_cut_ns(pl, x + 1, last + 1);
        time = pl->host_copies ? time + comm : fmax(time, comm);
    }
    return dawni_step_of(pl, first, last, x, time);
}

/* Remember p->now among the best. */
static void offer(struct placing *p, double estimate)
{
    int at = p->candidates;
    int *mine;

    for (int i = 0; i < p->candidates; i++)
        if (same_sequence(p, p->candidate[i].device, p->now))
            return;
    while (at > 0 && p->candidate[at - 1].estimate > estimate)
        at--;
    if (at == p->most)
        return;
    if (p->candidates == p->most)
        mine = p->candidate[p->most - 1].device;
    else
        mine = dawni_calloc(p->pl->ranks, sizeof *mine);
    if (!mine) {
        p->status =
            dawn_fail(p->err, DAWN_E_NOMEM, "no memory to place stages");
        return;
    }
    p->candidates += p->candidates < p->most;
    memmove(&p->candidate[at + 1], &p->candidate[at],
            (size_t)(p->candidates - 1 - at) * sizeof *p->candidate);
    memcpy(mine, p->now, (size_t)p->pl->ranks * sizeof *mine);
    p->candidate[at] = (struct candidate){mine, estimate};
}

/* S of p->now, about; INFINITY after a failure too. */
static double estimate(struct placing *p)
{
    struct dawn_machine *machine = NULL;
    double step = INFINITY;

    p->estimates++;
    if (set_machine(p, p->now, &machine))
        step = dawni_bottleneck(p->pl, estimate_step, p->pl, NULL);
    dawn_machine_destroy(machine);
    if (!p->status)
        offer(p, step);
    return p->status ? INFINITY : step;
}

static bool estimate_one(struct placing *p)
{
    estimate(p);
    return p->status != DAWN_OK;
}

/* Exchanges */

/* Exchange what ranks a and b have; from `ranks` on, b is a device that nobody
 * has. */
static void exchange(struct placing *p, int a, int b)
{
    int was = p->now[a];

    p->now[a] = p->now[b];
    p->now[b] = was;
}

/* p->now has all devices, the unused ones behind. */
static void climb(struct placing *p)
{
    double now = estimate(p);
    bool moved = true;

    while (moved) {
        moved = false;
        for (int a = 0; a < p->pl->ranks; a++)
            for (int b = a + 1; b < p->devices; b++) {
                if (p->class_of[p->now[a]] == p->class_of[p->now[b]])
                    continue;
                if (p->status || p->estimates >= MOST_ESTIMATED)
                    return;
                exchange(p, a, b);
                double then = estimate(p);
                if (then < now) {
                    now = then;
                    moved = true;
                } else {
                    exchange(p, a, b);
                }
            }
    }
}

static double rank_by_speed(const struct dawn_machine_device *d)
{
    return d->speed;
}

static double rank_by_memory(const struct dawn_machine_device *d)
{
    return d->memory_bytes ? (double)d->memory_bytes : INFINITY;
}

/* As given, the fastest first, the largest first. */
static void climb_from_all(struct placing *p)
{
    static double (*const by[])(const struct dawn_machine_device *) = {
        NULL, rank_by_speed, rank_by_memory};

    for (size_t k = 0; k < sizeof by / sizeof *by && !p->status; k++) {
        for (int d = 0; d < p->devices; d++) {
            int at = d;
            double mine = by[k] ? by[k](dawn_machine_device(p->machine, d)) : 0;
            while (by[k] && at > 0 &&
                   by[k](dawn_machine_device(p->machine, p->now[at - 1])) <
                       mine) {
                p->now[at] = p->now[at - 1];
                at--;
            }
            p->now[at] = d;
        }
        climb(p);
    }
}

/* Plans */

/* What a plan with these devices makes of the objective; INFINITY: nothing that
 * is below `worth` fits. */
static double plan_for(struct placing *p, const int *device, double worth)
{
    struct dawn_machine *machine = NULL;
    struct dawn_plan *plan = NULL;
    double value = INFINITY;

    if (set_machine(p, device, &machine)) {
        p->pl->worth = isinf(worth) ? 0 : worth;
        p->status = dawni_additive_solves(p->pl)
                        ? dawni_additive_best(p->pl, &plan, p->err)
                        : dawni_plan_best(p->pl, &plan, p->err);
        p->pl->worth = 0;
    }
    if (!p->status)
        value = dawni_objective_of(plan);
    if (p->status == DAWN_E_NOFIT)
        p->status = DAWN_OK;
    dawn_plan_destroy(plan);
    dawn_machine_destroy(machine);
    return value;
}

/* The best of the candidates, or the devices as given where it gains little. */
static void choose(struct placing *p, int *device)
{
    double best = (1 - WORTH_IT) * plan_for(p, device, INFINITY);

    for (int i = 0; i < p->candidates && !p->status; i++) {
        double value = plan_for(p, p->candidate[i].device, best);
        if (value < best) {
            best = value;
            memcpy(device, p->candidate[i].device,
                   (size_t)p->pl->ranks * sizeof *device);
        }
    }
}

static void search(struct placing *p, int *device)
{
    int sequences;

    find_classes(p);
    sequences = count_sequences(p);
    if (sequences <= 1)
        return;
    p->most = sequences <= MOST_PLANNED ? MOST_PLANNED : PROMISING;
    if (sequences <= MOST_ESTIMATED)
        each_sequence(p, 0, estimate_one);
    else
        climb_from_all(p);
    if (!p->status)
        choose(p, device);
}

/* Devices and plans */

/* What a plan calls a device. */
static void name_device(const struct dawn_machine *m, int device,
                        char name[DAWNI_DEVICE_NAME])
{
    const char *own = dawn_machine_device(m, device)->name;
    bool unique = *own && *own != '#';

    for (int d = 0; d < dawn_machine_devices(m); d++)
        if (d != device && strcmp(dawn_machine_device(m, d)->name, own) == 0)
            unique = false;
    if (unique)
        snprintf(name, DAWNI_DEVICE_NAME, "%s", own);
    else
        snprintf(name, DAWNI_DEVICE_NAME, "#%d", device);
}

int dawn_planner_device(const struct dawn_plan *plan,
                        const struct dawn_machine *machine, int rank)
{
    const char *wanted = dawn_plan_device(plan, rank);
    char name[DAWNI_DEVICE_NAME];

    if (!wanted)
        return rank >= 0 && rank < dawn_machine_devices(machine) ? rank : -1;
    for (int d = 0; d < dawn_machine_devices(machine); d++) {
        name_device(machine, d, name);
        if (strcmp(name, wanted) == 0)
            return d;
    }
    return -1;
}

enum dawn_status dawni_machine_of_plan(struct dawn_plan *plan,
                                       const struct dawn_machine *machine,
                                       struct dawn_machine **own_p,
                                       struct dawn_error *err)
{
    int ranks = dawn_plan_info(plan)->ranks;
    enum dawn_status st = DAWN_OK;

    *own_p = NULL;
    if (!machine || !dawn_plan_device(plan, 0))
        return DAWN_OK;
    int *device = dawni_calloc(ranks, sizeof *device);
    if (!device)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d devices", ranks);
    for (int r = 0; r < ranks && !st; r++) {
        device[r] = dawn_planner_device(plan, machine, r);
        if (device[r] < 0)
            st = dawn_fail(err, DAWN_E_MISMATCH,
                           "the plan wants rank %d on device '%s', which the "
                           "machine does not have",
                           r, dawn_plan_device(plan, r));
    }
    if (!st)
        st = dawn_machine_select(machine, device, ranks, own_p, err);
    free(device);
    return st;
}

static enum dawn_status name_devices(const struct dawn_machine *machine,
                                     const int *device, int ranks,
                                     struct dawn_plan *plan,
                                     struct dawn_error *err)
{
    char(*text)[DAWNI_DEVICE_NAME] = dawni_calloc(ranks, sizeof *text);
    const char **name = dawni_calloc(ranks, sizeof *name);
    enum dawn_status st;

    for (int r = 0; r < ranks && text && name; r++) {
        name_device(machine, device[r], text[r]);
        name[r] = text[r];
    }
    st = text && name
             ? dawn_plan_set_devices(plan, ranks, name, err)
             : dawn_fail(err, DAWN_E_NOMEM, "no memory for %d devices", ranks);
    free(text);
    free(name);
    return st;
}

enum dawn_status dawni_placed_name(const struct dawni_placed *placed,
                                   const struct dawn_machine *machine,
                                   struct dawn_plan *plan,
                                   struct dawn_error *err)
{
    struct dawn_plan_info *info = dawn_plan_info(plan);
    enum dawn_status st = DAWN_OK;

    if (placed->machine)
        st = name_devices(machine, placed->device, info->ranks, plan, err);
    if (!st && placed->machine && info->priced_digest)
        info->priced_digest = dawn_plan_digest(plan);
    return st;
}

void dawni_placed_clear(struct dawni_placed *placed)
{
    dawn_machine_destroy(placed->machine);
    free(placed->device);
    *placed = (struct dawni_placed){0};
}

static enum dawn_status find(struct placing *p, struct dawni_placed *placed)
{
    for (int r = 0; r < p->pl->ranks; r++)
        placed->device[r] = r;
    search(p, placed->device);
    if (p->candidates && !p->status)
        set_machine(p, placed->device, &placed->machine);
    for (int i = 0; i < p->candidates; i++)
        free(p->candidate[i].device);
    return p->status;
}

enum dawn_status dawni_place(struct dawni_planner *pl,
                             const struct dawn_machine *machine, uint64_t cap,
                             struct dawni_placed *placed,
                             struct dawn_error *err)
{
    int devices = dawn_machine_devices(machine);
    struct placing p = {
        .pl = pl,
        .machine = machine,
        .cap = cap,
        .devices = devices,
        .class_of = dawni_calloc(devices, sizeof *p.class_of),
        .now = dawni_calloc(devices, sizeof *p.now),
        .used = dawni_calloc(devices, sizeof *p.used),
        .err = err,
    };
    enum dawn_status st;

    *placed = (struct dawni_placed){
        .device = dawni_calloc(pl->ranks, sizeof *placed->device)};
    if (p.class_of && p.now && p.used && placed->device)
        st = find(&p, placed);
    else
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to place stages");
    free(p.class_of);
    free(p.now);
    free(p.used);
    return st;
}
