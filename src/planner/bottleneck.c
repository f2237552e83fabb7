/* SPDX-License-Identifier: Apache-2.0 */
/* The bottleneck search: the least bound under which every stage can be. Under
 * a bound each stage takes as many nodes as it can; where a longer run never
 * costs less, no other partition gets further.
 */
#include "common/array.h"
#include "planner/planner.h"
#include <math.h>

/* Each round but the last few halves the interval. */
#define MOST_ROUNDS 200

struct bottleneck {
    struct dawni_planner *pl;
    dawni_step_fn step;
    void *arg;
    int *cut;
    double reached; /* largest S of the partition, where it is whole */
    double next;    /* least S above the bound that a stage was refused for */
};

/* Last node that stage x may have when it begins at `first`; the node before
 * `first` when it may not even have that one. *step_p: its S then. */
static int extend(struct bottleneck *s, int first, int x, double bound,
                  double *step_p)
{
    int most = s->pl->n - (s->pl->l - x); /* a node for each stage behind */
    int low = x == s->pl->l - 1 ? most - 1 : first - 1, high = most + 1;

    while (high - low > 1) {
        int last = low + (high - low) / 2;
        double step = s->step(s->arg, first, last, x, bound);
        if (step <= bound) {
            low = last;
            *step_p = step;
        } else {
            high = last;
            s->next = fmin(s->next, step);
        }
    }
    return low;
}

/* Can every stage be within the bound? */
static bool try_bound(struct bottleneck *s, double bound)
{
    int l = s->pl->l;

    s->reached = 0;
    s->next = INFINITY;
    for (int x = 0; x < l; x++) {
        double step = 0;
        int last = extend(s, s->cut[x], x, bound, &step);
        if (last < s->cut[x])
            return false;
        s->cut[x + 1] = last + 1;
        s->reached = fmax(s->reached, step);
    }
    return s->cut[l] == s->pl->n;
}

/* max S of stages that share all work evenly and all run at the largest speed:
 * none is below. */
static double even_share(const struct dawni_planner *pl)
{
    double total = dawni_sum_t(pl, pl->n) / pl->max_speed;

    if (pl->objective == DAWN_OBJECTIVE_BOTTLENECK)
        return total / pl->l;
    return total * fmax(1, (double)pl->m / pl->l);
}

/* Raise the bound until it can be reached. *high_p: what was reached; INFINITY:
 * nothing ever is. Returns a bound that none is below. */
static double first_bound(struct bottleneck *s, double *high_p)
{
    double low = even_share(s->pl), bound = low;

    *high_p = INFINITY;
    while (!try_bound(s, bound)) {
        if (isinf(s->next) || s->pl->status)
            return low;
        low = fmax(low, s->next);
        bound = fmax(low, bound * 1.1);
    }
    *high_p = s->reached;
    return low;
}

static double search(struct bottleneck *s)
{
    double high, low = first_bound(s, &high);

    for (int i = 0; i < MOST_ROUNDS && low < high && !isinf(high); i++) {
        double bound = high - low > 1e-9 * high ? low + (high - low) / 2 : low;
        if (try_bound(s, bound))
            high = s->reached;
        else
            low = fmax(low, s->next);
    }
    return !isinf(high) && try_bound(s, high) ? high : INFINITY;
}

double dawni_bottleneck(struct dawni_planner *pl, dawni_step_fn step, void *arg,
                        int *cut)
{
    struct bottleneck s = {.pl = pl, .step = step, .arg = arg};
    double reached;

    s.cut = dawni_calloc(pl->l + 1, sizeof *s.cut);
    if (!s.cut) {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for the search");
        return INFINITY;
    }
    reached = search(&s);
    if (cut && !isinf(reached))
        memcpy(cut, s.cut, (size_t)(pl->l + 1) * sizeof *cut);
    free(s.cut);
    return reached;
}

double dawni_step_within(void *arg, int first, int last, int x, double limit)
{
    struct dawni_planner *pl = arg;
    double time = dawni_base_time(pl, first, last, x);
    double step = dawni_step_of(pl, first, last, x, time);

    if (step > limit)
        return step; /* whatever it would have to recompute */
    return dawni_stage_cost_of(pl, first, last, x).step_ns;
}

/* First node that stage x may have when it ends before `end`; `end` when it may
 * not even have the node before that. */
static int reach_back(struct dawni_planner *pl, int end, int x, double bound)
{
    int low = x - 1, high = end; /* a node for each stage before */

    while (high - low > 1) {
        int first = low + (high - low) / 2;
        if (dawni_step_within(pl, first, end - 1, x, bound) <= bound)
            high = first;
        else
            low = first;
    }
    return high;
}

struct dawni_window *dawni_windows_within(struct dawni_planner *pl,
                                          double bound)
{
    struct dawni_window *w = dawni_calloc(pl->l + 1, sizeof *w);
    struct bottleneck s = {.pl = pl, .step = dawni_step_within, .arg = pl};

    s.cut = dawni_calloc(pl->l + 1, sizeof *s.cut);
    if (!w || !s.cut) {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for the search");
        free(w);
        w = NULL;
    } else if (try_bound(&s, bound)) {
        w[pl->l] = (struct dawni_window){pl->n, pl->n};
        for (int x = pl->l - 1; x > 0; x--)
            w[x] = (struct dawni_window){reach_back(pl, w[x + 1].low, x, bound),
                                         s.cut[x]};
    }
    free(s.cut);
    return w;
}
