/* SPDX-License-Identifier: Apache-2.0 */
/* Bisect the limit of a stage's time. */
#include "partition/solver.h"
#include "common/array.h"
#include <math.h>

/* Effort for one knapsack of an answer. */
#define PRICE_EFFORT 4000000

/* Parts of a bottleneck: differences that do not count, where a search is
 * complete, and where it is not. */
#define PROVEN 1000000000
#define NEAR 100000

const struct dawni_solver_limits dawni_usual_limits = {
    .most_sets = 40000,
    .few_sets = 6000,
    .most_entries = 2000,
    .few_entries = 6,
};

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* No better than all devices busy all the time, or than a node alone. */
static enum dawn_status simple_bound(struct dawni_solver *s,
                                     struct dawn_error *err)
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
static enum dawn_status offer(struct dawni_solver *s, int64_t enough,
                              struct dawn_error *err)
{
    int64_t effort = s->in->most_work / 16 / s->pipeline.stages, time;
    struct dawni_stage_opts like = {.method = DAWNI_KNAPSACK_EXACT,
                                    .enough = enough};
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

static enum dawn_status run(struct dawni_solver *s, enum dawni_search_kind kind,
                            int64_t limit, struct dawni_search_result *result,
                            struct dawn_error *err)
{
    struct dawni_search_opts opts = {
        .kind = kind,
        .limit = limit,
        .most_entries =
            s->lattice->whole ? s->limits.most_entries : s->limits.few_entries,
        .end_work = s->end_work,
        .worth = s->worth,
    };
    int64_t now = s->in->work;

    if (kind == DAWNI_SEARCH_FULL)
        opts.end_work = now + (s->end_work - now) / 8;
    return dawni_search_run(s->search, &opts, &s->pipeline, result, err);
}

enum dawn_status dawni_solver_try(struct dawni_solver *s, int64_t limit,
                                  struct dawni_tried *tried,
                                  struct dawn_error *err)
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
    *tried = (struct dawni_tried){result.found, result.complete};
    if (result.found)
        return offer(s, limit, err);
    if (result.complete)
        s->low = later(s->low, result.refused);
    return DAWN_OK;
}

/* A first pipeline: raise the limit until there is one. */
static enum dawn_status find_first(struct dawni_solver *s,
                                   struct dawn_error *err)
{
    double step = 0.01;
    int64_t limit = s->low;
    struct dawni_tried tried;

    for (;;) {
        enum dawn_status st = dawni_solver_try(s, limit, &tried, err);
        if (st || tried.found || limit >= DAWNI_NO_LIMIT ||
            s->low >= DAWNI_NO_LIMIT)
            return st;
        limit = later(s->low, (int64_t)((double)limit * (1 + step)) + 1);
        step *= 4;
        if (step > 10)
            limit = DAWNI_NO_LIMIT;
    }
}

enum dawn_status dawni_solver_bisect(struct dawni_solver *s,
                                     struct dawn_error *err)
{
    int64_t low = s->low; /* no pipeline was found here */
    bool sure = s->lattice->whole;
    enum dawn_status st = s->best ? DAWN_OK : find_first(s, err);

    while (!st && s->best) {
        int64_t gap = s->high - later(low, s->low);
        int64_t limit = s->high - gap / 2, high = s->high;
        struct dawni_tried tried;
        if (gap <= s->high / (sure ? PROVEN : NEAR) ||
            s->in->work > s->end_work)
            break;
        low = later(low, s->low);
        if (sure && gap <= s->high / 10000)
            limit = s->high - 1 - s->high / PROVEN;
        st = dawni_solver_try(s, limit, &tried, err);
        if (st)
            break;
        sure = sure && (tried.found || tried.complete);
        if (!tried.found)
            low = limit;
        else if (s->high >= high)
            break; /* a knapsack gave up */
    }
    return st;
}

static void forget_sets(struct dawni_solver *s)
{
    dawni_search_destroy(s->search);
    dawni_lattice_destroy(s->lattice);
    s->search = NULL;
    s->lattice = NULL;
}

enum dawn_status dawni_solver_list(struct dawni_solver *s, int window, int most,
                                   struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    forget_sets(s);
    s->window = 2 * window;
    while (!st && !s->lattice) {
        s->window /= 2;
        st = dawni_lattice_create(s->in, s->order, s->window,
                                  s->window > 1 ? most : INT_MAX, &s->lattice,
                                  err);
    }
    if (!st)
        st = dawni_search_create(s->in, s->lattice, s->load, &s->search, err);
    return st;
}

/* List all sets if they are not too many, else some of them: wider and wider
 * windows, as long as it looks as if all could be reached. */
static enum dawn_status list_sets(struct dawni_solver *s,
                                  struct dawn_error *err)
{
    struct dawni_lattice *wider = NULL;
    enum dawn_status st = DAWN_OK;
    double sets = 1, growth = 1;

    if (!dawni_order_make(s->in, DAWNI_ORDER_DEPTH, NULL, 0, s->order))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for an order");
    for (int window = 1; !st && sets * growth <= s->limits.most_sets;
         window *= 2) {
        int most = window > 1 ? s->limits.most_sets : INT_MAX;
        st = dawni_lattice_create(s->in, s->order, window, most, &wider, err);
        if (st || !wider)
            break;
        growth = window > 1 ? wider->sets / sets : 1;
        sets = wider->sets;
        dawni_lattice_destroy(s->lattice);
        s->lattice = wider;
        s->window = window;
        if (wider->whole)
            break;
    }
    if (!st)
        st = dawni_search_create(s->in, s->lattice, s->load, &s->search, err);
    return st;
}

static enum dawn_status prepare(struct dawni_solver *s, struct dawn_error *err)
{
    struct dawni_instance *in = s->in;
    int64_t cells = (int64_t)in->n * in->l;
    enum dawn_status st;

    s->pipeline.stage_of = dawni_calloc(in->n, sizeof *s->pipeline.stage_of);
    s->pipeline.device = dawni_calloc(in->l, sizeof *s->pipeline.device);
    s->worth = dawni_calloc(cells, sizeof *s->worth);
    s->order = dawni_calloc(in->n, sizeof *s->order);
    if (!s->order || !s->pipeline.stage_of || !s->pipeline.device || !s->worth)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d nodes", in->n);
    for (int64_t i = 0; i < cells; i++)
        s->worth[i] = (double)in->variant[in->variant_at[i % in->n]].t;
    st = dawni_sack_create(in, &s->sack, err);
    return st ? st : dawni_load_create(in, &s->load, err);
}

static enum dawn_status search(struct dawni_solver *s, struct dawn_error *err)
{
    if (s->lattice->whole)
        return dawni_solver_bisect(s, err);
    return dawni_solver_search_wide(s, err);
}

/* The best pipeline again, with more effort for its variants. */
static enum dawn_status price_again(struct dawni_solver *s,
                                    struct dawn_error *err)
{
    const struct dawni_partition *p = s->best;

    s->pipeline.stages = p->stages;
    memcpy(s->pipeline.stage_of, p->stage_of,
           (size_t)s->in->n * sizeof *p->stage_of);
    for (int x = 0; x < p->stages; x++)
        s->pipeline.device[x] = p->stage[x].device;
    return offer(s, 0, err);
}

/* Where there is a tier, first without: that is quick, and nothing is worse
 * with one. */
static enum dawn_status solve(struct dawni_solver *s, struct dawn_error *err)
{
    double tier = s->in->tier;
    enum dawn_status st = simple_bound(s, err);
    int64_t low = s->low;

    if (st || low >= DAWNI_NO_LIMIT)
        return st;
    st = prepare(s, err);
    if (!st)
        st = list_sets(s, err);
    if (!st && tier > 0) {
        s->in->tier = 0;
        st = search(s, err);
        s->in->tier = tier;
        s->low = low;
    }
    if (!st)
        st = search(s, err);
    return st || !s->best || tier <= 0 ? st : price_again(s, err);
}

enum dawn_status dawni_partition_solve_within(
    const struct dawni_partition_problem *problem,
    const struct dawni_solver_limits *limits,
    struct dawni_partition **partition_p, struct dawn_error *err)
{
    struct dawni_solver s = {.high = DAWNI_NO_LIMIT, .limits = *limits};
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
    forget_sets(&s);
    dawni_load_destroy(s.load);
    dawni_sack_destroy(s.sack);
    free(s.pipeline.stage_of);
    free(s.pipeline.device);
    free(s.worth);
    free(s.order);
    dawni_instance_destroy(s.in);
    return st;
}

enum dawn_status dawni_partition_solve(
    const struct dawni_partition_problem *problem,
    struct dawni_partition **partition_p, struct dawn_error *err)
{
    return dawni_partition_solve_within(problem, &dawni_usual_limits,
                                        partition_p, err);
}
