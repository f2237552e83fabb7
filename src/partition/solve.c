/* SPDX-License-Identifier: Apache-2.0 */
/* Bisect the limit of a stage's time. */
#include "common/array.h"
#include "partition/order.h"
#include "partition/price.h"
#include <math.h>

/* A lattice of more sets is not listed in full. */
#define MOST_SETS 40000

/* Sets to go on with where all are kept as long as they matter. */
#define MOST_ENTRIES 2000

/* Where they are not: sets near an order, sets to go on with, and how near to
 * the bound is near enough, as a part of it. */
#define FEW_SETS 6000
#define FEW_ENTRIES 12
#define NEAR 100000

/* As a part of the bottleneck: differences that do not count. */
#define PROVEN 1000000000

/* Effort for one knapsack of an answer. */
#define PRICE_EFFORT 4000000

struct solver {
    struct dawni_instance *in;
    struct dawni_sack *sack;
    struct dawni_load *load;
    struct dawni_lattice *lattice;
    struct dawni_search *search;
    struct dawni_pipeline pipeline;
    double *worth;
    int *order;
    struct dawni_partition *best; /* NULL: none yet */
    int64_t high;                 /* its bottleneck; DAWNI_NO_LIMIT */
    int64_t low;                  /* proven: nothing is below */
    int64_t end_work;
};

struct tried {
    bool found, complete; /* not found: for certain */
};

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* No better than all devices busy all the time, or than a node alone. */
static enum dawn_status simple_bound(struct solver *s, struct dawn_error *err)
{
    const struct dawni_instance *in = s->in;
    struct dawni_option *option =
        dawni_calloc(in->most_options, sizeof *option);
    double total = 0, speed = 0;
    int64_t largest = 0;

    if (!option)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for options");
    for (int i = 0; i < in->l; i++)
        speed += in->type[in->type_of[i]].speed;
    for (int v = 0; v < in->n; v++) {
        int options = dawni_options_of(in, v, 1, option);
        int64_t least = DAWNI_NO_LIMIT;
        for (int i = 0; i < in->types; i++)
            for (int j = 0; j < options; j++) {
                int64_t time = dawni_real_time(&in->type[i], option[j].t);
                if (option[j].m <= in->type[i].cap && time < least)
                    least = time;
            }
        largest = later(largest, least);
        total += (double)option[0].t;
    }
    s->low = later(largest, (int64_t)(total / speed));
    free(option);
    return DAWN_OK;
}

/* Make a pipeline the best one if it is. enough: see dawni_stage_opts. */
static enum dawn_status offer(struct solver *s, int64_t enough,
                              struct dawn_error *err)
{
    struct dawni_stage_opts like = {.method = DAWNI_KNAPSACK_EXACT,
                                    .enough = enough};
    int64_t effort = s->in->most_work / 16 / s->pipeline.stages, time;
    struct dawni_partition *p = NULL;
    enum dawn_status st;

    like.effort = effort < PRICE_EFFORT ? effort : PRICE_EFFORT;
    st = dawni_pipeline_price(s->sack, &s->pipeline, &like, &p, err);

    if (st)
        return st;
    time = p->feasible ? llrint(fmin(p->bottleneck_ns * s->in->time_tick,
                                     (double)(DAWNI_NO_LIMIT - 1)))
                       : DAWNI_NO_LIMIT;
    if (time >= s->high) {
        dawni_partition_destroy(p);
        return DAWN_OK;
    }
    dawni_partition_destroy(s->best);
    s->best = p;
    s->high = time;
    return DAWN_OK;
}

static enum dawn_status run(struct solver *s, enum dawni_search_kind kind,
                            int64_t limit, struct dawni_search_result *result,
                            struct dawn_error *err)
{
    struct dawni_search_opts opts = {
        .kind = kind,
        .limit = limit,
        .most_entries = s->lattice->whole ? MOST_ENTRIES : FEW_ENTRIES,
        .end_work = s->end_work,
        .worth = s->worth,
    };
    int64_t now = s->in->work;

    if (kind == DAWNI_SEARCH_FULL)
        opts.end_work = now + (s->end_work - now) / 8;
    return dawni_search_run(s->search, &opts, &s->pipeline, result, err);
}

/* Try one limit. Found: it was offered. */
static enum dawn_status try_limit(struct solver *s, int64_t limit,
                                  struct tried *tried, struct dawn_error *err)
{
    bool all = s->in->problem->all_stages;
    struct dawni_search_result result;
    enum dawn_status st = run(s, DAWNI_SEARCH_ANY, limit, &result, err);

    if (!st && result.found && all && s->pipeline.stages < s->in->l) {
        st = run(s, DAWNI_SEARCH_ALL, limit, &result, err);
        if (!st && !result.found)
            st = run(s, DAWNI_SEARCH_FULL, limit, &result, err);
    }
    if (st)
        return st;
    *tried = (struct tried){result.found, result.complete};
    if (result.found)
        return offer(s, limit, err);
    if (result.complete)
        s->low = later(s->low, result.refused);
    return DAWN_OK;
}

/* A first pipeline: raise the limit until there is one. */
static enum dawn_status find_first(struct solver *s, struct dawn_error *err)
{
    double step = 0.01;
    int64_t limit = s->low;
    struct tried tried;

    for (;;) {
        enum dawn_status st = try_limit(s, limit, &tried, err);
        if (st || tried.found || limit >= DAWNI_NO_LIMIT ||
            s->low >= DAWNI_NO_LIMIT)
            return st;
        limit = later(s->low, (int64_t)((double)limit * (1 + step)) + 1);
        step *= 4;
        if (step > 10)
            limit = DAWNI_NO_LIMIT;
    }
}

static enum dawn_status bisect(struct solver *s, struct dawn_error *err)
{
    int64_t low = s->low; /* no pipeline was found here */
    bool sure = s->lattice->whole;
    struct tried tried;

    for (;;) {
        int64_t gap = s->high - later(low, s->low);
        int64_t limit = s->high - gap / 2, high = s->high;
        enum dawn_status st;
        if (gap <= s->high / (sure ? PROVEN : NEAR) ||
            s->in->work > s->end_work)
            return DAWN_OK;
        low = later(low, s->low);
        if (sure && gap <= s->high / 10000)
            limit = s->high - 1 - s->high / PROVEN;
        st = try_limit(s, limit, &tried, err);
        if (st)
            return st;
        sure = sure && (tried.found || tried.complete);
        if (!tried.found)
            low = limit;
        else if (s->high >= high)
            return DAWN_OK; /* a knapsack gave up */
    }
}

static enum dawn_status make_search(struct solver *s, struct dawn_error *err)
{
    return dawni_search_create(s->in, s->lattice, s->load, &s->search, err);
}

static void forget_lattice(struct solver *s)
{
    dawni_search_destroy(s->search);
    dawni_lattice_destroy(s->lattice);
    s->search = NULL;
    s->lattice = NULL;
}

/* List the sets near an order: all, or as many as is worth while. */
static enum dawn_status list_sets(struct solver *s, enum dawni_order kind,
                                  bool whole, struct dawn_error *err)
{
    struct dawni_lattice *wider = NULL;
    enum dawn_status st = DAWN_OK;

    forget_lattice(s);
    if (!dawni_order_make(s->in, kind, s->order))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for an order");
    if (whole) {
        st = dawni_lattice_create(s->in, s->order, 0, MOST_SETS, &s->lattice,
                                  err);
        return st ? st : s->lattice ? make_search(s, err) : DAWN_OK;
    }
    for (int window = 1; !st; window *= 2) {
        int most = window > 1 ? FEW_SETS * 2 + 4 * s->in->n : INT_MAX;
        st = dawni_lattice_create(s->in, s->order, window, most, &wider, err);
        if (st || !wider)
            break;
        dawni_lattice_destroy(s->lattice);
        s->lattice = wider;
    }
    return st ? st : make_search(s, err);
}

static enum dawn_status prepare(struct solver *s, struct dawn_error *err)
{
    struct dawni_instance *in = s->in;
    enum dawn_status st;

    s->pipeline.stage_of = dawni_calloc(in->n, sizeof *s->pipeline.stage_of);
    s->pipeline.device = dawni_calloc(in->l, sizeof *s->pipeline.device);
    s->worth = dawni_calloc(in->n, sizeof *s->worth);
    s->order = dawni_calloc(in->n, sizeof *s->order);
    if (!s->order || !s->pipeline.stage_of || !s->pipeline.device || !s->worth)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d nodes", in->n);
    st = dawni_sack_create(in, &s->sack, err);
    return st ? st : dawni_load_create(in, &s->load, err);
}

/* The best pipeline again, with more effort for its variants. */
static enum dawn_status price_again(struct solver *s, struct dawn_error *err)
{
    const struct dawni_partition *p = s->best;

    s->pipeline.stages = p->stages;
    memcpy(s->pipeline.stage_of, p->stage_of,
           (size_t)s->in->n * sizeof *p->stage_of);
    for (int x = 0; x < p->stages; x++)
        s->pipeline.device[x] = p->stage[x].device;
    return offer(s, 0, err);
}

static enum dawn_status search_kind(struct solver *s, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    if (!s->best)
        st = find_first(s, err);
    if (!st && s->best)
        st = bisect(s, err);
    return st;
}

/* Where there is a tier, first without: that is quick, and nothing is worse
 * with one. */
static enum dawn_status search_lattice(struct solver *s, struct dawn_error *err)
{
    double tier = s->in->tier;
    int64_t low = s->low;
    enum dawn_status st;

    if (tier > 0) {
        s->in->tier = 0;
        st = search_kind(s, err);
        s->in->tier = tier;
        s->low = low;
        if (st)
            return st;
    }
    st = search_kind(s, err);
    return st || !s->best || tier <= 0 ? st : price_again(s, err);
}

static enum dawn_status solve(struct solver *s, struct dawn_error *err)
{
    enum dawn_status st = simple_bound(s, err);

    if (st || s->low >= DAWNI_NO_LIMIT)
        return st;
    st = prepare(s, err);
    if (!st)
        st = list_sets(s, DAWNI_ORDER_DEPTH, true, err);
    if (!st && s->lattice)
        return search_lattice(s, err);
    for (int kind = 0; kind < DAWNI_ORDERS && !st; kind++) {
        st = list_sets(s, (enum dawni_order)kind, false, err);
        if (!st)
            st = search_lattice(s, err);
    }
    return st;
}

enum dawn_status dawni_partition_solve(
    const struct dawni_partition_problem *problem,
    struct dawni_partition **partition_p, struct dawn_error *err)
{
    struct solver s = {.high = DAWNI_NO_LIMIT};
    enum dawn_status st = dawni_instance_create(problem, &s.in, err);

    if (!st) {
        s.end_work = s.in->most_work;
        st = solve(&s, err);
    }
    if (!st && !s.best)
        st = dawni_partition_empty(s.in->n, 0, &s.best, err);
    if (!st) {
        s.best->bound_ns = s.low >= DAWNI_NO_LIMIT
                               ? INFINITY
                               : (double)s.low / s.in->time_tick;
        s.best->work = s.in->work;
        dawni_partition_judge(s.best);
        *partition_p = s.best;
        s.best = NULL;
    }
    dawni_partition_destroy(s.best);
    dawni_search_destroy(s.search);
    dawni_lattice_destroy(s.lattice);
    dawni_load_destroy(s.load);
    dawni_sack_destroy(s.sack);
    free(s.pipeline.stage_of);
    free(s.pipeline.device);
    free(s.worth);
    free(s.order);
    dawni_instance_destroy(s.in);
    return st;
}
