/* SPDX-License-Identifier: Apache-2.0 */
/* A stage under construction. */
#include "partition/load.h"
#include "partition/tier.h"
#include "common/array.h"

/* Effort for one knapsack while searching. */
#define SEARCH_EFFORT 400000
#define TIER_EFFORT 40000

enum dawn_status dawni_load_create(struct dawni_instance *in,
                                   struct dawni_load **load_p,
                                   struct dawn_error *err)
{
    struct dawni_load *load = calloc(1, sizeof *load);
    int64_t most_steps = (int64_t)in->n * in->most_options;

    if (!load)
        goto no_memory;
    load->in = in;
    load->effort = in->tier > 0 ? TIER_EFFORT : SEARCH_EFFORT;
    load->node = dawni_calloc(in->n, sizeof *load->node);
    load->tree = dawni_calloc(most_steps + 1, sizeof *load->tree);
    if (!load->node || !load->tree || dawni_sack_create(in, &load->sack, NULL))
        goto no_memory;
    *load_p = load;
    return DAWN_OK;
no_memory:
    dawni_load_destroy(load);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for a stage of %d nodes",
                     in->n);
}

void dawni_load_destroy(struct dawni_load *load)
{
    if (!load)
        return;
    dawni_sack_destroy(load->sack);
    free(load->node);
    free(load->tree);
    free(load);
}

void dawni_load_begin(struct dawni_load *load,
                      const struct dawni_device_type *type, int y,
                      int64_t limit)
{
    load->level = dawni_level_of(load->in, y);
    load->out_of_memory = load->out_of_memory || !load->level;
    load->type = type;
    load->y = y;
    load->real_limit = limit;
    load->limit = dawni_own_limit(type, limit);
    load->t = load->m = 0;
}

/* Put the steps of a node into the tree, or with -1 take them out. */
static void count_steps(struct dawni_load *load, int node, int sign)
{
    const struct dawni_level *level = load->level;

    for (int i = level->step_at[node]; i < level->step_at[node + 1]; i++) {
        int rank = level->rank[i];
        int64_t t = sign * level->dt[rank], m = sign * level->dm[rank];
        for (; rank <= level->steps; rank += rank & -rank) {
            load->tree[rank].t += t;
            load->tree[rank].m += m;
        }
    }
}

void dawni_load_add(struct dawni_load *load, int node)
{
    load->node[load->n++] = node;
    if (!load->level)
        return;
    load->t += load->level->t0[node];
    load->m += load->level->m0[node];
    if (load->type->cap < DAWNI_NO_LIMIT)
        count_steps(load, node, 1);
    load->in->work += 4;
}

void dawni_load_drop(struct dawni_load *load, int nodes)
{
    for (; nodes; nodes--) {
        int node = load->node[--load->n];
        if (!load->level)
            continue;
        load->t -= load->level->t0[node];
        load->m -= load->level->m0[node];
        if (load->type->cap < DAWNI_NO_LIMIT)
            count_steps(load, node, -1);
        load->in->work += 4;
    }
}

/* Take steps by rank while they stay below `over` bytes; the next rank reaches
 * it, if there is one. *sum: of those taken. */
static int descend(const struct dawni_load *load, int64_t over,
                   struct dawni_load_sum *sum)
{
    int steps = load->level->steps, at = 0, stride = 1;

    while (stride <= steps / 2)
        stride *= 2;
    *sum = (struct dawni_load_sum){0, 0};
    for (; stride && steps; stride /= 2) {
        const struct dawni_load_sum *s = &load->tree[at + stride];
        if (at + stride > steps || sum->m + s->m >= over)
            continue;
        at += stride;
        sum->t += s->t;
        sum->m += s->m;
    }
    return at + 1;
}

static enum dawni_fits refuse(const struct dawni_load *load, int64_t own,
                              int64_t *bound_p)
{
    *bound_p = dawni_real_time(load->type, own);
    return DAWNI_FITS_NOT;
}

/* The rounding does not tell: search. */
static enum dawni_fits test_exactly(struct dawni_load *load, double lambda,
                                    int64_t *bound_p)
{
    struct dawni_sack_limits limits = {.cap = load->type->cap,
                                       .limit = load->limit,
                                       .lambda = lambda,
                                       .effort = load->effort,
                                       .any = true};
    struct dawni_sack_answer answer;

    if (!dawni_sack_fill(load->sack, load->node, load->n, load->y) ||
        !dawni_sack_search(load->sack, &limits, 0, &answer)) {
        load->out_of_memory = true;
        return DAWNI_FITS_PERHAPS;
    }
    if (answer.found)
        return DAWNI_FITS;
    if (!answer.complete)
        return DAWNI_FITS_PERHAPS;
    return refuse(load, answer.bound, bound_p);
}

/* Without offloading; where there is that, not to the end. */
static enum dawni_fits test_kept(struct dawni_load *load, bool tier,
                                 int64_t *bound_p)
{
    const struct dawni_level *level = load->level;
    int64_t over = load->m - load->type->cap;
    struct dawni_load_sum sum;
    double relaxed, ratio;
    int rank = descend(load, over, &sum);

    if (rank > level->steps)
        return refuse(load, DAWNI_NO_LIMIT, bound_p);
    if (load->t + sum.t + level->dt[rank] <= load->limit)
        return DAWNI_FITS;
    ratio = (double)level->dt[rank] / (double)level->dm[rank];
    relaxed = (double)(load->t + sum.t) + (double)(over - sum.m) * ratio;
    if (relaxed > (double)load->limit)
        return refuse(load, (int64_t)relaxed, bound_p);
    return tier ? DAWNI_FITS_PERHAPS : test_exactly(load, ratio, bound_p);
}

/* With it. */
static enum dawni_fits test_tier(struct dawni_load *load, int64_t *bound_p)
{
    struct dawni_sack_answer answer;

    if (!dawni_sack_fill(load->sack, load->node, load->n, load->y) ||
        !dawni_tier_decide(load->sack, load->type, load->real_limit,
                           load->effort, &answer)) {
        load->out_of_memory = true;
        return DAWNI_FITS_PERHAPS;
    }
    *bound_p = answer.bound;
    if (answer.found)
        return DAWNI_FITS;
    return answer.complete ? DAWNI_FITS_NOT : DAWNI_FITS_PERHAPS;
}

enum dawni_fits dawni_load_test(struct dawni_load *load, int64_t *bound_p)
{
    bool tier = load->in->tier > 0 && load->y > 1;
    enum dawni_fits kept;

    if (!load->level)
        return DAWNI_FITS_PERHAPS;
    load->in->work += 10;
    if (load->t > load->limit)
        return refuse(load, load->t, bound_p);
    if (load->m <= load->type->cap)
        return DAWNI_FITS;
    kept = test_kept(load, tier, bound_p);
    return kept == DAWNI_FITS || !tier ? kept : test_tier(load, bound_p);
}
