/* SPDX-License-Identifier: Apache-2.0 */
/* All cuts within windows, by dynamic programming. The other searches rely on a
 * longer run of nodes never costing less; a large tensor at a cut breaks that
 * for a few nodes around it. Here nothing is relied on.
 */
#include "common/array.h"
#include "planner/planner.h"
#include <math.h>

/* Runs of nodes that may be priced; each takes up to a millisecond. */
#define MOST_RUNS 4000

struct partial { /* stages 0..x-1 on the nodes before `end` */
    double step; /* max S; INFINITY: nothing found */
    int from;    /* first node of stage x-1 */
};

struct window_search {
    struct dawni_planner *pl;
    const struct dawni_window *window; /* of cut[x], x = 0..l */
    double bound;                      /* only what is below is of use */
    struct partial **partial;          /* [x][end - window[x].low] */
};

/* S where everything is kept: the true one is not below. Grows with `end`. */
static double base_step(const struct dawni_planner *pl, int first, int end,
                        int x)
{
    return dawni_step_of(pl, first, end - 1, x,
                         dawni_base_time(pl, first, end - 1, x));
}

/* Go through the runs that stage x may be; price them unless `count` is wanted.
 */
static int64_t run_stage(struct window_search *s, int x, bool price)
{
    const struct dawni_window *from = &s->window[x], *to = &s->window[x + 1];
    int64_t runs = 0;

    for (int first = from->low; first <= from->high && runs <= MOST_RUNS;
         first++) {
        int low = to->low > first ? to->low : first + 1;
        for (int end = low; end <= to->high; end++) {
            if (base_step(s->pl, first, end, x) >= s->bound)
                break;
            runs++;
            if (!price)
                continue;
            struct partial before = s->partial[x][first - from->low];
            struct partial *p = &s->partial[x + 1][end - to->low];
            if (before.step >= p->step)
                continue;
            double step = dawni_stage_cost_of(s->pl, first, end - 1, x).step_ns;
            if (fmax(step, before.step) < p->step)
                *p = (struct partial){fmax(step, before.step), first};
        }
    }
    return runs;
}

static bool make_room(struct window_search *s)
{
    int l = s->pl->l;

    s->partial = dawni_calloc(l + 1, sizeof *s->partial);
    for (int x = 0; x <= l && s->partial; x++) {
        int width = s->window[x].high - s->window[x].low + 1;
        s->partial[x] = dawni_calloc(width, sizeof **s->partial);
        if (!s->partial[x])
            return false;
        for (int i = 0; i < width; i++)
            s->partial[x][i].step = x ? s->bound : 0;
    }
    return s->partial;
}

static bool within_reason(struct window_search *s)
{
    int64_t runs = 0;

    for (int x = 0; x < s->pl->l && runs <= MOST_RUNS; x++)
        runs += run_stage(s, x, false);
    return runs <= MOST_RUNS;
}

/* Price all runs, then follow the best one back. */
static void search(struct window_search *s, double *step_p, int *cut)
{
    int l = s->pl->l;

    for (int x = 0; x < l; x++)
        run_stage(s, x, true);
    double best = s->partial[l][0].step;
    if (best >= s->bound || s->pl->status)
        return;
    for (int x = l, end = s->pl->n; x > 0; x--) {
        end = s->partial[x][end - s->window[x].low].from;
        cut[x - 1] = end;
    }
    *step_p = best;
}

bool dawni_window_search(struct dawni_planner *pl,
                         const struct dawni_window *window, double *step_p,
                         int *cut)
{
    struct window_search s = {.pl = pl, .window = window, .bound = *step_p};

    if (!within_reason(&s))
        return false;
    if (make_room(&s))
        search(&s, step_p, cut);
    else
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for the search");
    for (int x = 0; x <= pl->l && s.partial; x++)
        free(s.partial[x]);
    free(s.partial);
    return !pl->status;
}

/* Windows */

struct dawni_window *dawni_windows_around(const struct dawni_planner *pl,
                                          const int *cut, int reach)
{
    struct dawni_window *w = dawni_calloc(pl->l + 1, sizeof *w);

    for (int x = 0; x <= pl->l && w; x++) {
        int least = x, most = pl->n - (pl->l - x);
        bool end = x == 0 || x == pl->l;
        w[x].low = end || cut[x] - reach < least ? least : cut[x] - reach;
        w[x].high = end || cut[x] + reach > most ? most : cut[x] + reach;
    }
    if (w) {
        w[0].high = 0;
        w[pl->l].low = pl->n;
    }
    return w;
}

struct dawni_window *dawni_windows_below(const struct dawni_planner *pl,
                                         double bound)
{
    struct dawni_window *w = dawni_calloc(pl->l + 1, sizeof *w);

    if (!w)
        return NULL;
    w[pl->l] = (struct dawni_window){pl->n, pl->n};
    for (int x = 1; x < pl->l; x++) { /* as far right as time allows */
        int p = w[x - 1].high + 1;
        while (p < pl->n - (pl->l - x) &&
               base_step(pl, w[x - 1].high, p + 1, x - 1) < bound)
            p++;
        w[x].high = p;
    }
    for (int x = pl->l - 1; x > 0; x--) { /* and left */
        int p = w[x + 1].low - 1;
        while (p > x && base_step(pl, p - 1, w[x + 1].low, x) < bound)
            p--;
        w[x].low = p;
        if (w[x].high < p)
            w[x].high = p;
    }
    return w;
}
