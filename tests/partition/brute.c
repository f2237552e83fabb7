/* SPDX-License-Identifier: Apache-2.0 */
#include "partition/brute.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t brute_random(uint64_t *seed)
{
    uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x >> 32);
}

int brute_below(uint64_t *seed, int n)
{
    return (int)(brute_random(seed) % (uint32_t)n);
}

/* Small most of the time, large now and then. */
static double skewed(uint64_t *seed, int most)
{
    int x = brute_below(seed, most) + 1;

    return brute_below(seed, 4) ? x : x * (1 + brute_below(seed, 12));
}

static void make_variants(struct brute_problem *b,
                          const struct brute_opts *opts, uint64_t *seed)
{
    int most = 1 + brute_below(seed, opts->tier ? 2 : BRUTE_VARIANTS);
    int count = 0;
    bool like_piper = brute_below(seed, 2);

    for (int v = 0; v < b->p.nodes; v++) {
        struct dawni_variant *first = &b->variant[count];
        int variants = 1 + brute_below(seed, most);
        b->variant_at[v] = count;
        *first = (struct dawni_variant){
            .ns = skewed(seed, 40) - brute_below(seed, 2),
            .saved_bytes = skewed(seed, 30) - 1,
            .fixed_bytes = brute_below(seed, 3) ? 0 : skewed(seed, 20),
            .offloadable = opts->tier && brute_below(seed, 4),
        };
        if (v && !brute_below(seed, 4)) /* the same as the node before */
            *first = b->variant[b->variant_at[v - 1]];
        for (int i = 1; i < variants; i++) {
            struct dawni_variant *w = &first[i];
            w->ns = first->ns + skewed(seed, 15);
            w->saved_bytes =
                floor(first->saved_bytes * brute_below(seed, 8) / 8);
            w->fixed_bytes = first->fixed_bytes;
            if (like_piper)
                w->fixed_bytes += first->saved_bytes - w->saved_bytes;
            w->offloadable = first->offloadable;
        }
        count += variants;
    }
    b->variant_at[b->p.nodes] = count;
}

static void make_edges(struct brute_problem *b, const struct brute_opts *opts,
                       uint64_t *seed)
{
    int n = b->p.nodes, density = 1 + brute_below(seed, 6), edges = 0;

    for (int v = 1; v < n; v++) {
        if (opts->shape == BRUTE_CHAIN) {
            b->edge[edges++] = (struct dawni_partition_edge){v - 1, v};
            continue;
        }
        for (int u = v > 6 ? v - 6 : 0; u < v; u++)
            if (brute_below(seed, 8) < density)
                b->edge[edges++] = (struct dawni_partition_edge){u, v};
    }
    b->p.edges = edges;
}

/* Caps from loose to hopeless: by what a stage would have in even shares. */
static void make_devices(struct brute_problem *b, const struct brute_opts *opts,
                         uint64_t *seed)
{
    struct dawni_partition_problem *p = &b->p;
    double total = 0;

    for (int v = 0; v < p->nodes; v++) {
        const struct dawni_variant *w = &b->variant[b->variant_at[v]];
        total += w->saved_bytes * (p->stages + 1) / 2 + w->fixed_bytes;
    }
    double share = total / p->stages * (2 + brute_below(seed, 12)) / 8;
    bool none = !brute_below(seed, 8);
    for (int i = 0; i < p->stages; i++) {
        struct dawni_partition_device *d = &b->device[i];
        *d = (struct dawni_partition_device){1, floor(share)};
        if (opts->uneven && brute_below(seed, 2)) {
            d->speed = 0.25 * (1 + brute_below(seed, 8));
            d->cap_bytes = floor(share * (2 + brute_below(seed, 8)) / 4);
        }
        if (none)
            d->cap_bytes = INFINITY;
    }
}

void brute_make(struct brute_problem *b, const struct brute_opts *opts,
                uint64_t *seed)
{
    struct dawni_partition_problem *p = &b->p;

    memset(b, 0, sizeof *b);
    p->nodes = 1 + brute_below(seed, opts->most_nodes);
    p->stages = 1 + brute_below(seed, BRUTE_STAGES);
    p->all_stages = p->stages <= p->nodes && !brute_below(seed, 3);
    p->microbatches = brute_below(seed, 2) ? 0 : 1 + brute_below(seed, 4);
    p->any_placement = opts->uneven && brute_below(seed, 2);
    p->variant_at = b->variant_at;
    p->variant = b->variant;
    p->edge = b->edge;
    p->device = b->device;
    if (opts->tier)
        p->tier_bytes_per_s = (1 + brute_below(seed, 40)) * 1e8;
    make_variants(b, opts, seed);
    make_edges(b, opts, seed);
    make_devices(b, opts, seed);
}

struct stage_sums {
    double ns, bytes, sent, largest;
};

/* All choices for the nodes left, with what is chosen already. */
static double try_variants(const struct dawni_partition_problem *p,
                           uint32_t nodes, int y,
                           const struct dawni_partition_device *device,
                           struct stage_sums sums)
{
    double best = INFINITY;
    int v = 0;

    if (!nodes) {
        double transfer =
            sums.sent > 0 ? 2 * sums.sent / p->tier_bytes_per_s * 1e9 : 0;
        if (sums.bytes + DAWNI_PARTITION_STAGING * sums.largest >
            device->cap_bytes)
            return INFINITY;
        return fmax(sums.ns / device->speed, transfer);
    }
    while (!(nodes >> v & 1))
        v++;
    for (int i = p->variant_at[v]; i < p->variant_at[v + 1]; i++) {
        const struct dawni_variant *w = &p->variant[i];
        struct stage_sums with = sums;
        with.ns += w->ns;
        with.bytes += w->saved_bytes * y + w->fixed_bytes;
        best = fmin(best, try_variants(p, nodes & ~(1u << v), y, device, with));
        if (!w->offloadable || p->tier_bytes_per_s <= 0 || y < 2)
            continue;
        with.bytes -= w->saved_bytes * y;
        with.sent += w->saved_bytes;
        with.largest = fmax(with.largest, w->saved_bytes);
        best = fmin(best, try_variants(p, nodes & ~(1u << v), y, device, with));
    }
    return best;
}

double brute_stage(const struct dawni_partition_problem *p, uint32_t nodes,
                   int y, const struct dawni_partition_device *device)
{
    return try_variants(p, nodes, y, device, (struct stage_sums){0, 0, 0, 0});
}

static bool is_whole(const struct dawni_partition_problem *p, uint32_t set)
{
    for (int i = 0; i < p->edges; i++)
        if (set >> p->edge[i].from & 1 && !(set >> p->edge[i].to & 1))
            return false;
    return true;
}

struct brute_search {
    const struct dawni_partition_problem *p;
    uint32_t sets, *set; /* closed under successors, by rising number */
    double *stage;       /* memo: [device][mask of nodes]; of the y at hand */
    double *best;        /* [devices used][set] */
};

static double stage_time(struct brute_search *s, uint32_t nodes, int y, int d)
{
    size_t size = (size_t)1 << s->p->nodes;
    size_t at = ((size_t)(y - 1) * (size_t)s->p->stages + (size_t)d) * size;
    double *memo = &s->stage[at + nodes];

    if (*memo < 0)
        *memo = brute_stage(s->p, nodes, y, &s->p->device[d]);
    return *memo;
}

/* Extend all that these devices can hold by one more device, towards the first
 * stage. */
static void extend(struct brute_search *s, uint32_t used, int d)
{
    int stages = __builtin_popcount(used) + 1;
    int m = s->p->microbatches, y = m && m < stages ? m : stages;
    const double *from = &s->best[(size_t)used * s->sets];
    double *to = &s->best[(size_t)(used | 1u << d) * s->sets];

    for (uint32_t i = 0; i < s->sets; i++) {
        if (isinf(from[i]))
            continue;
        for (uint32_t j = i + 1; j < s->sets; j++) {
            if (s->set[i] & ~s->set[j] || from[i] >= to[j])
                continue;
            double time = stage_time(s, s->set[j] & ~s->set[i], y, d);
            to[j] = fmin(to[j], fmax(time, from[i]));
        }
    }
}

/* May device d be the next one, towards the first stage? */
static bool is_next(const struct dawni_partition_problem *p, uint32_t used,
                    int d)
{
    if (used >> d & 1)
        return false;
    if (p->any_placement)
        return true;
    if (p->all_stages)
        return d == p->stages - 1 - __builtin_popcount(used);
    return !(used & ((1u << d) - 1));
}

double brute_solve(const struct dawni_partition_problem *p)
{
    struct brute_search s = {.p = p};
    size_t size = (size_t)1 << p->nodes;
    size_t memos = size * (size_t)(p->stages * p->stages);
    uint32_t all = (1u << p->stages) - 1;
    double best = INFINITY;

    s.set = calloc(size, sizeof *s.set);
    s.stage = calloc(memos, sizeof *s.stage);
    for (uint32_t set = 0; s.set && set < size; set++)
        if (is_whole(p, set))
            s.set[s.sets++] = set;
    s.best = calloc(((size_t)all + 1) * s.sets, sizeof *s.best);
    if (!s.set || !s.stage || !s.best) {
        best = -1;
        goto done;
    }
    for (size_t i = 0; i < memos; i++)
        s.stage[i] = -1;
    for (size_t i = 0; i < ((size_t)all + 1) * s.sets; i++)
        s.best[i] = i ? INFINITY : 0;
    for (uint32_t used = 0; used <= all; used++)
        for (int d = 0; d < p->stages; d++)
            if (is_next(p, used, d))
                extend(&s, used, d);
    for (uint32_t used = p->all_stages ? all : 0; used <= all; used++)
        best = fmin(best, s.best[(size_t)(used + 1) * s.sets - 1]);
done:
    free(s.set);
    free(s.stage);
    free(s.best);
    return best;
}

static const char *check_stage(const struct dawni_partition_problem *p,
                               const struct dawni_partition *got, int x)
{
    const struct dawni_partition_stage *s = &got->stage[x];
    const struct dawni_partition_device *d = &p->device[s->device];
    int left = got->stages - x, m = p->microbatches, nodes = 0;
    int y = m && m < left ? m : left;
    struct stage_sums sums = {0, 0, 0, 0};

    for (int v = 0; v < p->nodes; v++) {
        const struct dawni_variant *w =
            &p->variant[p->variant_at[v] + got->variant[v]];
        bool away = got->offloaded[v];
        if (got->stage_of[v] != x)
            continue;
        if (got->variant[v] < 0 ||
            got->variant[v] >= p->variant_at[v + 1] - p->variant_at[v])
            return "a variant that does not exist";
        if (away && (!w->offloadable || y < 2 || p->tier_bytes_per_s <= 0))
            return "something offloaded that may not be";
        nodes++;
        sums.ns += w->ns;
        sums.bytes += w->fixed_bytes + (away ? 0 : w->saved_bytes * y);
        sums.sent += away ? w->saved_bytes : 0;
        sums.largest = fmax(sums.largest, away ? w->saved_bytes : 0);
    }
    double transfer =
        sums.sent > 0 ? 2 * sums.sent / p->tier_bytes_per_s * 1e9 : 0;
    double time = fmax(sums.ns / d->speed, transfer);
    double peak = sums.bytes + DAWNI_PARTITION_STAGING * sums.largest;
    if (!nodes || nodes != s->nodes || y != s->in_flight)
        return "nodes or microbatches in flight";
    if (fabs(time - s->time_ns) > 1e-9 * time ||
        fabs(transfer - s->transfer_ns) > 1e-9 * transfer)
        return "a stage's time";
    if (fabs(peak - s->peak_bytes) > 1e-9 * peak)
        return "a stage's peak";
    return peak <= d->cap_bytes * (1 + 2e-12) ? NULL : "a peak above the cap";
}

const char *brute_check(const struct dawni_partition_problem *p,
                        const struct dawni_partition *got)
{
    double bottleneck = 0;
    uint32_t used = 0;

    if (got->bound_ns > got->bottleneck_ns)
        return "a bound above the bottleneck";
    if (!got->feasible)
        return got->stages ? "stages of nothing" : NULL;
    if (got->stages > p->stages || (p->all_stages && got->stages < p->stages))
        return "the number of stages";
    for (int i = 0; i < p->edges; i++)
        if (got->stage_of[p->edge[i].from] > got->stage_of[p->edge[i].to])
            return "an edge that goes back";
    for (int x = 0; x < got->stages; x++) {
        int d = got->stage[x].device;
        const char *wrong;
        if (d < 0 || d >= p->stages || used >> d & 1 ||
            (!p->any_placement && used >> d))
            return "the devices";
        used |= 1u << d;
        wrong = check_stage(p, got, x);
        if (wrong)
            return wrong;
        bottleneck = fmax(bottleneck, got->stage[x].time_ns);
    }
    return fabs(bottleneck - got->bottleneck_ns) <= 1e-9 * bottleneck
               ? NULL
               : "the bottleneck";
}
