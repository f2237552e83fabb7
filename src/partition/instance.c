/* SPDX-License-Identifier: Apache-2.0 */
/* Check a problem and turn it into whole numbers. */
#include "common/array.h"
#include "common/sort.h"
#include "partition/instance.h"
#include <math.h>

/* Effort where the caller names none: about a second of it. */
#define USUAL_WORK 200000000

static enum dawn_status check_variants(const struct dawni_partition_problem *p,
                                       struct dawn_error *err)
{
    if (p->variant_at[0] != 0)
        return dawn_fail(err, DAWN_E_INVAL, "variants begin at %d, not at 0",
                         p->variant_at[0]);
    for (int v = 0; v < p->nodes; v++) {
        if (p->variant_at[v + 1] <= p->variant_at[v])
            return dawn_fail(err, DAWN_E_INVAL, "node %d has no variant", v);
        for (int i = p->variant_at[v]; i < p->variant_at[v + 1]; i++) {
            const struct dawni_variant *w = &p->variant[i];
            if (!(w->ns >= 0 && w->saved_bytes >= 0 && w->fixed_bytes >= 0 &&
                  w->ns <= 1e30 && w->saved_bytes <= 1e30 &&
                  w->fixed_bytes <= 1e30))
                return dawn_fail(err, DAWN_E_INVAL,
                                 "node %d, variant %d: %g ns, %g and %g bytes, "
                                 "must be 0 to 1e30",
                                 v, i - p->variant_at[v], w->ns, w->saved_bytes,
                                 w->fixed_bytes);
        }
    }
    return DAWN_OK;
}

static enum dawn_status check(const struct dawni_partition_problem *p,
                              struct dawn_error *err)
{
    if (p->nodes < 1 || p->edges < 0)
        return dawn_fail(err, DAWN_E_INVAL, "%d nodes, %d edges", p->nodes,
                         p->edges);
    if (p->stages < 1 || (p->all_stages && p->stages > p->nodes))
        return dawn_fail(err, DAWN_E_INVAL, "%d stages of %d nodes", p->stages,
                         p->nodes);
    if (p->microbatches < 0 || p->most_work < 0)
        return dawn_fail(err, DAWN_E_INVAL,
                         "microbatches or work below 0 (%d, %lld)",
                         p->microbatches, (long long)p->most_work);
    if (!(p->tier_bytes_per_s >= 0 && p->tier_bytes_per_s <= 1e30))
        return dawn_fail(err, DAWN_E_INVAL,
                         "a tier of %g bytes/s, must be 0 to 1e30",
                         p->tier_bytes_per_s);
    for (int i = 0; i < p->edges; i++) {
        const struct dawni_partition_edge *e = &p->edge[i];
        if (e->from < 0 || e->from >= e->to || e->to >= p->nodes)
            return dawn_fail(err, DAWN_E_INVAL,
                             "edge %d from node %d to %d of %d: nodes must be "
                             "in a topological order",
                             i, e->from, e->to, p->nodes);
    }
    for (int i = 0; p->device && i < p->stages; i++) {
        const struct dawni_partition_device *d = &p->device[i];
        if (!(d->speed >= 1e-9 && d->speed <= 1e9 && d->cap_bytes >= 0))
            return dawn_fail(err, DAWN_E_INVAL,
                             "device %d: speed %g, must be 1e-9 to 1e9; %g "
                             "bytes",
                             i, d->speed, d->cap_bytes);
    }
    return check_variants(p, err);
}

/* The power of two that takes a sum to just below 2^60. */
static double tick_of(double sum)
{
    int exponent;

    if (sum <= 0)
        return 1;
    frexp(sum, &exponent);
    return ldexp(1, 59 - exponent);
}

/* Choose the units: of the sums over all nodes of what is largest. */
static void choose_ticks(struct dawni_instance *in)
{
    const struct dawni_partition_problem *p = in->problem;
    double time = 0, bytes = 0, sent = 0;

    for (int v = 0; v < p->nodes; v++) {
        double t = 0, b = 0;
        for (int i = p->variant_at[v]; i < p->variant_at[v + 1]; i++) {
            const struct dawni_variant *w = &p->variant[i];
            t = fmax(t, w->ns);
            b = fmax(b, w->saved_bytes * fmax(2, in->most_y) + w->fixed_bytes);
        }
        time += t;
        bytes += b;
    }
    if (p->tier_bytes_per_s > 0)
        sent = 2 * bytes / p->tier_bytes_per_s * 1e9;
    time += time > 0 ? fmin(sent, 0x1p20 * time) : sent;
    in->time_tick = tick_of(time);
    in->byte_tick = tick_of(bytes);
}

static bool copy_variants(struct dawni_instance *in)
{
    const struct dawni_partition_problem *p = in->problem;
    int variants = p->variant_at[p->nodes];

    in->variant_at = dawni_calloc(p->nodes + 1, sizeof *in->variant_at);
    in->variant = dawni_calloc(variants, sizeof *in->variant);
    if (!in->variant_at || !in->variant)
        return false;
    memcpy(in->variant_at, p->variant_at,
           ((size_t)p->nodes + 1) * sizeof *in->variant_at);
    for (int i = 0; i < variants; i++) {
        const struct dawni_variant *w = &p->variant[i];
        struct dawni_part_variant *v = &in->variant[i];
        v->t = llrint(w->ns * in->time_tick);
        v->saved = llrint(w->saved_bytes * in->byte_tick);
        v->fixed = llrint(w->fixed_bytes * in->byte_tick);
        v->offloadable = w->offloadable && p->tier_bytes_per_s > 0;
    }
    for (int v = 0; v < p->nodes; v++) {
        int options = 2 * (p->variant_at[v + 1] - p->variant_at[v]);
        if (options > in->most_options)
            in->most_options = options;
    }
    return true;
}

/* Neighbours by node, each once. */
static bool list_neighbours(const struct dawni_partition_problem *p, bool after,
                            int **at_p, int **list_p)
{
    int n = p->nodes;
    int *at = *at_p = dawni_calloc((int64_t)n + 2, sizeof *at);
    int *list = *list_p = dawni_calloc(p->edges, sizeof *list);
    int kept = 0, begin = 0;

    if (!at || !list)
        return false;
    for (int i = 0; i < p->edges; i++)
        at[2 + (after ? p->edge[i].from : p->edge[i].to)]++;
    for (int v = 2; v <= n + 1; v++)
        at[v] += at[v - 1];
    for (int i = 0; i < p->edges; i++) {
        int v = after ? p->edge[i].from : p->edge[i].to;
        list[at[v + 1]++] = after ? p->edge[i].to : p->edge[i].from;
    }
    for (int v = 0; v < n; v++) {
        int end = at[v + 1], first = kept;
        dawni_sort_ints(&list[begin], end - begin);
        for (int i = begin; i < end; i++)
            if (kept == first || list[kept - 1] != list[i])
                list[kept++] = list[i];
        begin = end;
        at[v + 1] = kept;
    }
    return true;
}

static bool list_types(struct dawni_instance *in)
{
    const struct dawni_partition_problem *p = in->problem;

    in->type = dawni_calloc(in->l, sizeof *in->type);
    in->type_of = dawni_calloc(in->l, sizeof *in->type_of);
    if (!in->type || !in->type_of)
        return false;
    for (int i = 0; i < in->l; i++) {
        struct dawni_device_type type = {1, DAWNI_NO_LIMIT};
        int same = 0;
        if (p->device) {
            double cap = p->device[i].cap_bytes * (1 + 1e-12) * in->byte_tick;
            type.speed = p->device[i].speed;
            if (cap < 0x1p60)
                type.cap = (int64_t)cap;
        }
        while (same < in->types && (in->type[same].speed != type.speed ||
                                    in->type[same].cap != type.cap))
            same++;
        if (same == in->types)
            in->type[in->types++] = type;
        in->type_of[i] = same;
        in->capped = in->capped || type.cap < DAWNI_NO_LIMIT;
    }
    return true;
}

enum dawn_status dawni_instance_create(
    const struct dawni_partition_problem *problem, struct dawni_instance **in_p,
    struct dawn_error *err)
{
    int l = problem->stages < problem->nodes ? problem->stages : problem->nodes;
    int m = problem->microbatches;

    return dawni_instance_create_for(problem, m > 0 && m < l ? m : l, in_p,
                                     err);
}

enum dawn_status dawni_instance_create_for(
    const struct dawni_partition_problem *problem, int most_y,
    struct dawni_instance **in_p, struct dawn_error *err)
{
    enum dawn_status st = check(problem, err);
    struct dawni_instance *in;

    if (st)
        return st;
    in = calloc(1, sizeof *in);
    if (!in)
        goto no_memory;
    in->problem = problem;
    in->n = problem->nodes;
    in->l = problem->stages;
    in->most_y = most_y;
    in->most_work = problem->most_work ? problem->most_work : USUAL_WORK;
    choose_ticks(in);
    in->tier =
        problem->tier_bytes_per_s * 1e-9 * in->byte_tick / in->time_tick / 2;
    in->level = dawni_calloc(in->most_y, sizeof(*in->level));
    if (!in->level || !copy_variants(in) || !list_types(in) ||
        !list_neighbours(problem, false, &in->before_at, &in->before) ||
        !list_neighbours(problem, true, &in->after_at, &in->after))
        goto no_memory;
    *in_p = in;
    return DAWN_OK;
no_memory:
    dawni_instance_destroy(in);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory to partition %d nodes",
                     problem->nodes);
}

void dawni_instance_destroy(struct dawni_instance *in)
{
    if (!in)
        return;
    for (int y = 0; in->level && y < in->most_y; y++)
        dawni_level_destroy(in->level[y]);
    free(in->level);
    free(in->variant_at);
    free(in->variant);
    free(in->before_at);
    free(in->before);
    free(in->after_at);
    free(in->after);
    free(in->type);
    free(in->type_of);
    free(in);
}

/* Would `a` never be chosen beside `b`, which takes no longer? */
static bool dominated(const struct dawni_option *a,
                      const struct dawni_option *b)
{
    return b->m <= a->m && b->r <= a->r;
}

static bool comes_before(const struct dawni_option *a,
                         const struct dawni_option *b)
{
    if (a->t != b->t)
        return a->t < b->t;
    return a->m != b->m ? a->m < b->m : a->r < b->r;
}

int dawni_options_of(const struct dawni_instance *in, int node, int y,
                     struct dawni_option *option)
{
    int first = in->variant_at[node], count = 0, kept = 0;

    for (int i = first; i < in->variant_at[node + 1]; i++) {
        const struct dawni_part_variant *v = &in->variant[i];
        option[count++] =
            (struct dawni_option){v->t, v->saved * y + v->fixed, 0, i - first};
        if (v->offloadable && v->saved && y > 1)
            option[count++] =
                (struct dawni_option){v->t, v->fixed, v->saved, i - first};
    }
    for (int i = 1; i < count; i++) { /* few: by insertion, stable */
        struct dawni_option o = option[i];
        int j = i;
        for (; j && comes_before(&o, &option[j - 1]); j--)
            option[j] = option[j - 1];
        option[j] = o;
    }
    for (int i = 0; i < count; i++) {
        bool keep = true;
        for (int j = 0; keep && j < kept; j++)
            keep = !dominated(&option[i], &option[j]);
        if (keep)
            option[kept++] = option[i];
    }
    return kept;
}
