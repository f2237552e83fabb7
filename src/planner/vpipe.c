/* SPDX-License-Identifier: Apache-2.0 */
/* Policy `vpipe`, to compare with: vPipe (Zhao et al., "vPipe: a virtualized
 * acceleration system for achieving efficient and scalable pipeline parallel
 * DNN training", TPDS 2021), as far as public text tells: it begins with the
 * partition that balances compute, finds for each stage what to swap and what
 * to recompute so that the stage fits its device, then moves layers between
 * neighbouring stages to even out the times that result, and repeats both until
 * no move helps.
 *
 * A move hands nodes at a cut to the other side, many first, then fewer, one in
 * the end. It is taken if the two stages are less over their memory, or as
 * much over it and the slower one is faster. What a stage swaps or recomputes
 * is decided for whole layers, each time anew. Nothing looks at more than two
 * stages at a time. Theirs cuts between modules only; this may cut anywhere.
 */
#include "planner/planner.h"
#include <math.h>

struct pair {       /* the stages on both sides of a cut */
    double over;    /* bytes above their budgets */
    double slowest; /* the larger T */
};

static void add_stage(struct dawni_planner *pl, const int *cut, int x,
                      struct pair *p)
{
    struct dawni_stage_cost c =
        dawni_stage_cost_of(pl, cut[x], cut[x + 1] - 1, x);

    if (!c.fits)
        p->over += fmax(1, (double)c.peak - (double)pl->stage[x].budget);
    p->slowest = fmax(p->slowest, c.time_ns);
}

static struct pair price(struct dawni_planner *pl, const int *cut, int x)
{
    struct pair p = {0};

    add_stage(pl, cut, x - 1, &p);
    add_stage(pl, cut, x, &p);
    return p;
}

static bool less(struct pair a, struct pair b)
{
    if (a.over != b.over)
        return a.over < b.over;
    return a.slowest < b.slowest * (1 - 1e-9);
}

/* Move cut x by d as often as that helps. */
static bool try_move(struct dawni_planner *pl, int *cut, int x, int d)
{
    struct pair now = price(pl, cut, x);
    bool moved = false;

    while (cut[x] + d > cut[x - 1] && cut[x] + d < cut[x + 1] && !pl->status) {
        cut[x] += d;
        struct pair then = price(pl, cut, x);
        if (!less(then, now)) {
            cut[x] -= d;
            break;
        }
        now = then;
        moved = true;
    }
    return moved;
}

static bool move_cuts(struct dawni_planner *pl, int *cut, int d)
{
    bool moved = false;

    for (int x = 1; x < pl->l; x++)
        moved |= try_move(pl, cut, x, d) || try_move(pl, cut, x, -d);
    return moved && !pl->status;
}

static bool all_fit(struct dawni_planner *pl, const int *cut)
{
    for (int x = 0; x < pl->l; x++)
        if (!dawni_stage_cost_of(pl, cut[x], cut[x + 1] - 1, x).fits)
            return false;
    return true;
}

static bool partition(struct dawni_planner *pl, int *cut)
{
    int d = 1;

    if (!dawni_balance(pl, cut))
        return false;
    while (d < pl->n / pl->l / 2)
        d *= 2;
    for (; d >= 1; d /= 2)
        while (move_cuts(pl, cut, d))
            ;
    return all_fit(pl, cut) && !pl->status;
}

static bool decide(struct dawni_planner *pl, int first, int last, int x,
                   uint8_t *decision)
{
    dawni_decide_by_layer(pl, first, last, x, decision);
    return !pl->status;
}

const struct dawni_policy_ops dawni_policy_vpipe = {
    .name = "vpipe",
    .text = "balance compute, make stages fit, move nodes between neighbours",
    .partition = partition,
    .decide = decide,
    .priced_so = true,
};
