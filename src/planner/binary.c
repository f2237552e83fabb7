/* SPDX-License-Identifier: Apache-2.0 */
/* Policy `dawnpiper`: binary partitioning. A group of stages is split into its
 * first ceil(half) and the rest, the cut between them is looked for, and both
 * halves are split in turn.
 *
 * Moving the cut right makes the left half no faster and no emptier, and the
 * right half no slower and no fuller. So the best cut is where the two meet;
 * and if getting rid of excess memory cost the same on both sides, it would lie
 * between the cut p_c that balances time and the cut p_m that balances excess
 * memory. Prices are not the same, so the search starts with that interval and
 * leaves it where the halves do not meet in it.
 */
#include "common/array.h"
#include "planner/planner.h"
#include <math.h>

/* Nodes to each side of a cut that are looked at in the end; more where there
 * are few in all. */
#define REACH 3
#define FEW_NODES 64
/* With more stages it pays to find out first where cuts can be, for a max S
 * that is not above the least by more than SLACK. */
#define FEW_STAGES 4
#define SLACK 0.002

struct group { /* stages x..x+stages-1 on nodes first..last */
    int first, last, x, stages;
    int depth; /* how many times all stages were split for it */
};

struct split {
    double step; /* max S; INFINITY: does not fit */
    int cut;     /* first node of the right half */
};

struct binary {
    struct dawni_planner *pl;
    struct dawni_window *window; /* of each cut; NULL: anywhere */
    struct dawni_memo known;
    struct split *split;
    int splits, split_room;
};

static double best_step(struct binary *s, struct group g);

static struct group left_of(struct group g, int p)
{
    return (struct group){g.first, p - 1, g.x, (g.stages + 1) / 2, g.depth + 1};
}

static struct group right_of(struct group g, int p)
{
    int left = (g.stages + 1) / 2;
    return (struct group){p, g.last, g.x + left, g.stages - left, g.depth + 1};
}

/* The interval */

/* Time on average over the group's stages: S is even where T is. */
static double time_share(const struct dawni_planner *pl, struct group g)
{
    double total = dawni_sum_t(pl, g.last + 1) - dawni_sum_t(pl, g.first);
    double speed = 0;

    for (int x = g.x; x < g.x + g.stages; x++)
        speed += pl->stage[x].speed;
    return total / speed;
}

/* Bytes above the budget, on average over the group's stages, if nothing is
 * recomputed. */
static double excess_share(const struct dawni_planner *pl, struct group g)
{
    double saved = pl->sum_saved[g.last + 1] - pl->sum_saved[g.first];
    double need = pl->sum_kept[g.last + 1] - pl->sum_kept[g.first];
    double version = pl->sum_version[g.last + 1] - pl->sum_version[g.first];

    for (int x = g.x; x < g.x + g.stages; x++) {
        need += version / g.stages * (pl->stage[x].versions - 1);
        need += saved / g.stages * pl->stage[x].in_flight;
        need -= (double)pl->stage[x].budget;
    }
    return need / g.stages;
}

typedef double (*share_fn)(const struct dawni_planner *, struct group);

/* Smallest cut in low..high at which the left half's share is not below the
 * right half's; `high` if there is none. */
static int balance(const struct dawni_planner *pl, struct group g, int low,
                   int high, share_fn share)
{
    while (low < high) {
        int p = low + (high - low) / 2;
        if (share(pl, left_of(g, p)) >= share(pl, right_of(g, p)))
            high = p;
        else
            low = p + 1;
    }
    return low;
}

struct interval {
    int low, high;
};

/* [min(p_c, p_m), max(p_c, p_m)] within low..high; p_c alone where there is
 * room for everything. */
static struct interval aim(const struct dawni_planner *pl, struct group g,
                           int low, int high)
{
    int p_c = balance(pl, g, low, high, time_share);
    int p_m;

    if (excess_share(pl, left_of(g, p_c)) <= 0 &&
        excess_share(pl, right_of(g, p_c)) <= 0)
        return (struct interval){p_c, p_c};
    p_m = balance(pl, g, low, high, excess_share);
    return p_c < p_m ? (struct interval){p_c, p_m}
                     : (struct interval){p_m, p_c};
}

/* The search */

static bool left_is_slower(struct binary *s, struct group g, int p)
{
    return best_step(s, left_of(g, p)) >= best_step(s, right_of(g, p));
}

/* Smallest cut in low..high at which the left half is the slower; `high` if
 * there is none. It is first looked for in the interval `i`. */
static int crossing(struct binary *s, struct group g, int low, int high,
                    struct interval i)
{
    struct interval aimed = {i.low - 1, i.high + 1}; /* cuts are whole nodes */

    s->pl->splits++;
    for (int stride = 1; i.low > low && left_is_slower(s, g, i.low - 1);
         stride *= 2) {
        i.high = i.low - 1;
        i.low = i.high - stride > low ? i.high - stride : low;
    }
    for (int stride = 1; i.high < high && !left_is_slower(s, g, i.high);
         stride *= 2) {
        i.low = i.high + 1;
        i.high = i.low + stride < high ? i.low + stride : high;
    }
    if (i.low < aimed.low || i.high > aimed.high)
        s->pl->widened++;
    while (i.low < i.high) {
        int p = i.low + (i.high - i.low) / 2;
        if (left_is_slower(s, g, p))
            i.high = p;
        else
            i.low = p + 1;
    }
    return i.low;
}

static double step_at(struct binary *s, struct group g, int p)
{
    return fmax(best_step(s, left_of(g, p)), best_step(s, right_of(g, p)));
}

/* Where the cut of a group can be. */
static struct interval find_range(const struct binary *s, struct group g)
{
    int left = (g.stages + 1) / 2;
    struct interval all = {g.first + left, g.last + 1 - g.stages / 2};

    if (!s->window)
        return all;
    struct dawni_window w = s->window[g.x + left];
    struct interval both = {w.low > all.low ? w.low : all.low,
                            w.high < all.high ? w.high : all.high};
    return both.low <= both.high ? both : all;
}

static struct split find_split(struct binary *s, struct group g)
{
    struct interval i = find_range(s, g);
    int low = i.low, high = i.high;
    int p = crossing(s, g, low, high, aim(s->pl, g, low, high));
    double at = step_at(s, g, p), before = INFINITY;

    if (p > low)
        before = step_at(s, g, p - 1);
    return before < at ? (struct split){before, p - 1} : (struct split){at, p};
}

static struct split known_split(struct binary *s, struct group g)
{
    uint64_t key = dawni_memo_key(g.first, g.last, g.x << 4 | g.depth);
    int at = dawni_memo_find(&s->known, key);

    if (at >= 0)
        return s->split[at];
    struct split found = find_split(s, g);
    at = s->splits;
    if (!dawni_array_reserve(&s->split, &s->split_room, at + 1) ||
        !dawni_memo_set(&s->known, key, at)) {
        dawni_planner_fail(s->pl, DAWN_E_NOMEM, "no memory for the search");
        return (struct split){INFINITY, g.first};
    }
    s->split[s->splits++] = found;
    return found;
}

static double best_step(struct binary *s, struct group g)
{
    if (s->pl->status)
        return INFINITY;
    if (g.stages == 1)
        return dawni_stage_cost_of(s->pl, g.first, g.last, g.x).step_ns;
    return known_split(s, g).step;
}

/* Write down the cuts of a group. */
static void write_cuts(struct binary *s, struct group g, int *cut)
{
    if (g.stages == 1)
        return;
    int p = known_split(s, g).cut;
    struct group right = right_of(g, p);
    cut[right.x] = p;
    write_cuts(s, left_of(g, p), cut);
    write_cuts(s, right, cut);
}

/* Where a large tensor crosses a cut, halves are not as even as they should be:
 * look at all cuts nearby. */
static bool look_around(struct dawni_planner *pl, double step, int *cut)
{
    int reach = REACH;
    bool searched = false;

    while (pl->n <= FEW_NODES && reach < 2 * pl->n / pl->l)
        reach *= 2;
    for (; reach >= REACH && !searched; reach /= 2) {
        struct dawni_window *window = dawni_windows_around(pl, cut, reach);
        if (!window)
            return dawni_planner_fail(pl, DAWN_E_NOMEM,
                                      "no memory for the search");
        searched = dawni_window_search(pl, window, &step, cut);
        free(window);
    }
    return true;
}

/* Without it, groups are split in many ways that lead nowhere. */
static void find_windows(struct binary *s)
{
    struct dawni_planner *pl = s->pl;
    double step;

    if (pl->l <= FEW_STAGES || pl->n <= FEW_NODES)
        return;
    step = dawni_bottleneck(pl, dawni_step_within, pl, NULL);
    if (!isinf(step))
        s->window = dawni_windows_within(pl, step * (1 + SLACK));
}

double dawni_halves(struct dawni_planner *pl, double bound, int *cut)
{
    struct binary s = {.pl = pl};
    struct group all = {0, pl->n - 1, 0, pl->l, 0};
    double step;

    find_windows(&s);
    step = best_step(&s, all);

    if (step < bound)
        write_cuts(&s, all, cut);
    dawni_memo_clear(&s.known);
    free(s.split);
    free(s.window);
    return step;
}

static bool partition(struct dawni_planner *pl, int *cut)
{
    double step = dawni_halves(pl, INFINITY, cut);

    if (pl->status)
        return false;
    if (isinf(step)) /* a cap that is barely enough: leave no stone unturned */
        return dawni_policy_exact.partition(pl, cut);
    return look_around(pl, step, cut);
}

const struct dawni_policy_ops dawni_policy_dawnpiper = {
    .name = "dawnpiper",
    .text = "binary partitioning by time and memory, refined by simulation",
    .refine = true,
    .moments = true,
    .orders = true,
    .partition = partition,
    .follows = &dawni_policy_vpipe,
};
