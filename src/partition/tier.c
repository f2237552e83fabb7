/* SPDX-License-Identifier: Apache-2.0 */
/* The knapsack of a stage that may offload. */
#include "partition/tier.h"
#include "common/array.h"
#include <math.h>

/* Prices tried for one decision, and planes kept of them. */
#define MOST_PRICES 40
#define PLANES 8

/* A choice as a function of the prices: what it is above T. The least of all of
 * them at any prices, if positive, refutes T. */
struct plane {
    double constant, lambda, nu;
};

/* A limit, and one size as the largest that is offloaded. */
struct decision {
    struct dawni_sack *s;
    const struct dawni_device_type *type;
    int64_t limit; /* T */
    int64_t cap, room, largest;
    double lambda, nu; /* the best prices so far, and their bound of T */
    double bound;
    struct plane plane[PLANES];
    int planes;
};

/* Take prices if they are the best so far, and keep their plane. */
static void try_prices(struct decision *d, double lambda, double nu)
{
    struct dawni_sack_limits prices = {.lambda = lambda, .nu = nu};
    const struct dawni_sack *s = d->s;
    int64_t t = 0, m = -d->cap, r = -d->room;
    double bound;

    for (int i = 0; i < s->n; i++) {
        const struct dawni_option *best = NULL;
        double least = INFINITY;
        for (int j = s->at[i]; j < s->at[i + 1]; j++) {
            const struct dawni_option *o = &s->option[j];
            double cost = dawni_priced(&prices, o);
            if (o->r > d->largest || cost >= least)
                continue;
            least = cost;
            best = o;
        }
        t += best->t;
        m += best->m;
        r += best->r;
    }
    s->in->work += s->at[s->n] + 50;
    d->plane[d->planes++] = (struct plane){
        (double)t - (double)d->limit * d->type->speed, (double)m, (double)r};
    bound =
        ((double)t + lambda * (double)m + nu * ((double)r + (double)d->room)) /
        (d->type->speed + nu * s->in->tier);
    if (bound > d->bound) {
        d->bound = bound;
        d->lambda = lambda;
        d->nu = nu;
    }
}

static bool is_refuted(const struct decision *d)
{
    return d->bound > (double)d->limit;
}

/* Prices between 0 and `most` where the least of the planes is highest, so far.
 */
struct peak {
    double lambda, nu, height;
    double most_lambda, most_nu;
};

static void try_peak(const struct decision *d, double lambda, double nu,
                     struct peak *peak)
{
    double least = INFINITY;

    if (!(lambda >= 0 && lambda <= peak->most_lambda && nu >= 0 &&
          nu <= peak->most_nu))
        return;
    for (int i = 0; i < d->planes; i++) {
        const struct plane *p = &d->plane[i];
        least = fmin(least, p->constant + lambda * p->lambda + nu * p->nu);
    }
    if (least > peak->height) {
        peak->lambda = lambda;
        peak->nu = nu;
        peak->height = least;
    }
}

/* Where two planes meet on the sides. */
static void try_sides(const struct decision *d, const struct plane *a,
                      const struct plane *b, struct peak *peak)
{
    double constant = a->constant - b->constant;
    double lambda = a->lambda - b->lambda, nu = a->nu - b->nu;

    try_peak(d, -constant / lambda, 0, peak);
    try_peak(d, 0, -constant / nu, peak);
    try_peak(d, -(constant + nu * peak->most_nu) / lambda, peak->most_nu, peak);
    try_peak(d, peak->most_lambda,
             -(constant + lambda * peak->most_lambda) / nu, peak);
}

/* Where three planes meet. */
static void try_corner(const struct decision *d, const struct plane *a,
                       const struct plane *b, const struct plane *c,
                       struct peak *peak)
{
    double k1 = a->constant - b->constant, k2 = a->constant - c->constant;
    double l1 = a->lambda - b->lambda, l2 = a->lambda - c->lambda;
    double n1 = a->nu - b->nu, n2 = a->nu - c->nu;
    double det = l1 * n2 - l2 * n1;

    try_peak(d, (n1 * k2 - n2 * k1) / det, (l2 * k1 - l1 * k2) / det, peak);
}

static void find_peak(const struct decision *d, struct peak *peak)
{
    peak->height = -INFINITY;
    for (int i = 0; i < 4; i++)
        try_peak(d, i & 1 ? peak->most_lambda : 0, i & 2 ? peak->most_nu : 0,
                 peak);
    for (int i = 0; i < d->planes; i++)
        for (int j = 0; j < i; j++) {
            try_sides(d, &d->plane[i], &d->plane[j], peak);
            for (int k = 0; k < j; k++)
                try_corner(d, &d->plane[i], &d->plane[j], &d->plane[k], peak);
        }
}

/* Forget the plane that is farthest above the peak. */
static void drop_plane(struct decision *d, const struct peak *peak)
{
    int worst = 0;
    double most = -INFINITY;

    for (int i = 0; i < d->planes; i++) {
        const struct plane *p = &d->plane[i];
        double above =
            p->constant + peak->lambda * p->lambda + peak->nu * p->nu;
        if (above > most) {
            most = above;
            worst = i;
        }
    }
    d->plane[worst] = d->plane[--d->planes];
}

/* The best prices, or some that refute the limit: always where the planes known
 * allow most. */
static void find_prices(struct decision *d)
{
    double time = (double)d->limit * d->type->speed;
    struct peak peak = {
        .most_lambda = 1e5 * time / ((double)d->cap + 1),
        .most_nu = 1e5 * time / ((double)d->room + 1),
    };
    double last = INFINITY;

    try_prices(d, d->s->lambda, d->s->nu); /* what was good last time */
    for (int i = 0; i < MOST_PRICES && !is_refuted(d); i++) {
        find_peak(d, &peak);
        if (peak.height <= 0 || peak.height >= last)
            return; /* nothing refutes */
        last = peak.height * (1 - 1e-12);
        if (d->planes == PLANES)
            drop_plane(d, &peak);
        try_prices(d, peak.lambda, peak.nu);
    }
}

/* A decision for sizes first..last (they fall), relaxed if they differ: as
 * large as the first one, staging for the last one. */
static struct decision decision_of(struct dawni_sack *s,
                                   const struct dawni_device_type *type,
                                   int64_t limit, int first, int last)
{
    double room = (double)limit * s->in->tier;
    struct decision d = {.s = s,
                         .type = type,
                         .limit = limit,
                         .cap = type->cap,
                         .room = DAWNI_NO_LIMIT,
                         .largest = s->size[first]};

    if (type->cap < DAWNI_NO_LIMIT)
        d.cap -= DAWNI_PARTITION_STAGING * s->size[last];
    if (limit < DAWNI_NO_LIMIT && room < (double)DAWNI_NO_LIMIT)
        d.room = (int64_t)room;
    return d;
}

static struct dawni_sack_limits limits_of(const struct decision *d,
                                          int64_t effort)
{
    return (struct dawni_sack_limits){
        .cap = d->cap,
        .room = d->room,
        .limit = dawni_own_limit(d->type, d->limit),
        .lambda = d->lambda,
        .nu = d->nu,
        .effort = effort,
        .any = true,
    };
}

/* A quick choice at the prices of last time, for one size. */
static bool try_quickly(struct decision d)
{
    struct dawni_sack_limits limits;
    struct dawni_sack_answer answer;

    d.lambda = d.s->lambda;
    d.nu = d.s->nu;
    limits = limits_of(&d, 0);
    dawni_sack_greedy(d.s, &limits, d.largest, &answer);
    return answer.found;
}

/* Sizes as in decision_of. answer: as of dawni_tier_decide; neither found nor
 * complete where the sizes differ and must be told apart. */
static bool decide_sizes(struct decision *d, bool one, int64_t effort,
                         struct dawni_sack_answer *answer)
{
    struct dawni_sack *s = d->s;
    struct dawni_sack_limits limits;

    *answer =
        (struct dawni_sack_answer){.complete = true, .bound = DAWNI_NO_LIMIT};
    if (d->cap < 0)
        return true;
    find_prices(d);
    answer->bound =
        d->bound < (double)DAWNI_NO_LIMIT ? (int64_t)d->bound : DAWNI_NO_LIMIT;
    if (is_refuted(d))
        return true;
    s->lambda = d->lambda;
    s->nu = d->nu;
    limits = limits_of(d, effort);
    dawni_sack_greedy(s, &limits, d->largest, answer);
    if (answer->bound >= DAWNI_NO_LIMIT)
        return true;
    answer->complete = false;
    if (!one || !effort) {
        answer->found = answer->found && one;
        return true;
    }
    if (!dawni_sack_search(s, &limits, d->largest, answer))
        return false;
    if (!answer->found && answer->complete)
        answer->bound = d->limit + 1;
    return true;
}

static int compare_sizes(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* What can be offloaded, and 0, each once, falling. False without memory. */
static bool list_sizes(struct dawni_sack *s)
{
    int count = 0;

    if (!dawni_array_reserve(&s->size, &s->size_room, s->at[s->n] + 1))
        return false;
    s->size[count++] = 0;
    for (int j = 0; j < s->at[s->n]; j++)
        if (s->option[j].r)
            s->size[count++] = s->option[j].r;
    qsort(s->size, (size_t)count, sizeof *s->size, compare_sizes);
    s->sizes = 0;
    for (int i = 0; i < count; i++)
        if (!i || s->size[i] != s->size[s->sizes - 1])
            s->size[s->sizes++] = s->size[i];
    return true;
}

/* Go through ranges of sizes: halve those that are not refuted as a whole. */
static bool split_sizes(struct dawni_sack *s,
                        const struct dawni_device_type *type, int64_t limit,
                        int64_t effort, struct dawni_sack_answer *all)
{
    struct {
        int first, last;
    } range[64] = {{0, s->sizes - 1}};

    for (int ranges = 1; ranges;) {
        int first = range[--ranges].first, last = range[ranges].last;
        struct decision d = decision_of(s, type, limit, first, last);
        struct dawni_sack_answer answer;
        if (!decide_sizes(&d, first == last, effort, &answer))
            return false;
        if (answer.found) {
            s->last_size = s->size[first];
            *all = answer;
            return true;
        }
        if (answer.complete || first == last) {
            all->complete = all->complete && answer.complete;
            if (answer.complete && answer.bound < all->bound)
                all->bound = answer.bound;
            continue;
        }
        int middle = (first + last) / 2;
        if (try_quickly(decision_of(s, type, limit, middle, middle))) {
            s->last_size = s->size[middle];
            all->found = true;
            return true;
        }
        range[ranges].first = first;
        range[ranges++].last = middle;
        range[ranges].first = middle + 1;
        range[ranges++].last = last;
    }
    return true;
}

bool dawni_tier_decide(struct dawni_sack *s,
                       const struct dawni_device_type *type, int64_t limit,
                       int64_t effort, struct dawni_sack_answer *answer)
{
    int last = 0;

    *answer = (struct dawni_sack_answer){
        .complete = true, .time = DAWNI_NO_LIMIT, .bound = DAWNI_NO_LIMIT};
    if (!list_sizes(s))
        return false;
    while (last < s->sizes - 1 && s->size[last] > s->last_size)
        last++;
    if (try_quickly(decision_of(s, type, limit, last, last))) {
        answer->found = true;
        return true;
    }
    return split_sizes(s, type, limit, effort, answer);
}

/* What the choice takes: the larger of compute and transfer. What takes a
 * million times as long as all compute is just below no limit. */
static int64_t time_of(const struct dawni_sack *s,
                       const struct dawni_device_type *type)
{
    struct dawni_sack_sums sum = dawni_sack_sum(s, s->choice);
    int64_t time = dawni_real_time(type, sum.t);
    double transfer = (double)sum.r / s->in->tier;

    if (transfer >= (double)DAWNI_NO_LIMIT)
        return DAWNI_NO_LIMIT - 1;
    return (double)time > transfer ? time : (int64_t)transfer;
}

/* Bisect between what is refuted and what was found, of which *kept is the
 * choice. */
static bool narrow(struct dawni_sack *s, const struct dawni_device_type *type,
                   int64_t effort, int *kept, struct dawni_sack_answer *answer)
{
    int64_t end = s->in->work + 16 * effort, low = answer->bound;

    while (answer->time - low > answer->time / INT64_C(10000000000) &&
           (s->in->work <= end || !effort)) {
        struct dawni_sack_answer now;
        int64_t limit = answer->time - (answer->time - low + 1) / 2, time;
        if (!dawni_tier_decide(s, type, limit, effort, &now))
            return false;
        if (!now.found) {
            low = limit + 1;
            if (now.complete && now.bound > answer->bound)
                answer->bound = now.bound;
            if (answer->bound > low)
                low = answer->bound;
            continue;
        }
        time = time_of(s, type);
        answer->time = time < limit ? time : limit;
        memcpy(kept, s->choice, (size_t)s->n * sizeof *kept);
    }
    return true;
}

bool dawni_tier_choose(struct dawni_sack *s,
                       const struct dawni_stage_opts *opts,
                       struct dawni_sack_answer *answer)
{
    bool exact = opts->method == DAWNI_KNAPSACK_EXACT;
    int64_t effort = exact ? opts->effort / 16 : 0, least = 0;
    int *kept;
    bool done;

    if (opts->enough) {
        if (!dawni_tier_decide(s, opts->type, opts->enough, effort, answer))
            return false;
        answer->time = opts->enough;
        answer->bound = 0;
        if (answer->found)
            return true;
    }
    for (int i = 0; i < s->n; i++)
        least += s->option[s->at[i]].t;
    if (!dawni_tier_decide(s, opts->type, DAWNI_NO_LIMIT, effort, answer))
        return false;
    if (!answer->found)
        return true;
    kept = dawni_calloc(s->n, sizeof *kept);
    if (!kept)
        return false;
    memcpy(kept, s->choice, (size_t)s->n * sizeof *kept);
    answer->time = time_of(s, opts->type);
    answer->bound = dawni_real_time(opts->type, least);
    done = narrow(s, opts->type, effort, kept, answer);
    if (answer->bound > answer->time)
        answer->bound = answer->time;
    answer->complete = answer->bound == answer->time;
    memcpy(s->choice, kept, (size_t)s->n * sizeof *kept);
    free(kept);
    return done;
}
