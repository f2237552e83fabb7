/* SPDX-License-Identifier: Apache-2.0 */
/* Small moves of the cuts, judged by the simulator: it sees what S leaves out,
 * how stages wait for each other and what messages cost.
 */
#include "planner/planner.h"
#include <math.h>

/* Simulations for each cut, without and with wide moves; and actions, of all
 * simulations together */
#define MOST_SIMULATIONS 24
#define MOST_WIDE 60
#define MOST_ACTIONS 2000000

/* The last four are wide: over a block of layers, between which messages are
 * small. */
static const int move[] = {-1, 1, -2, 2, -4, 4, -8, 8, -16, 16};
#define MOVES ((int)(sizeof move / sizeof move[0]))
#define NARROW_MOVES (MOVES - 4)

struct refinement {
    struct dawni_planner *pl;
    int *cut;
    struct dawni_stage_times times;
    double step_ns; /* of the cuts as they are */
    int simulations;
};

static bool time_stage(struct refinement *r, int x)
{
    struct dawni_planner *pl = r->pl;
    int first = r->cut[x], end = r->cut[x + 1];
    struct dawni_stage_cost c = dawni_stage_cost_of(pl, first, end - 1, x);
    double speed = pl->stage[x].speed;

    r->times.f_ns[x] = (pl->sum_f[end] - pl->sum_f[first]) / speed;
    r->times.b_ns[x] = (pl->sum_b[end] - pl->sum_b[first]) / speed +
                       c.recompute_ns + c.stall_ns;
    r->times.w_ns[x] = (pl->sum_w[end] - pl->sum_w[first]) / speed;
    dawni_update_times(pl, first, end - 1, x, &r->times.update_ns[x],
                       &r->times.step_ns[x]);
    r->times.step_ns[x] += c.update_ns;
    return c.fits;
}

static bool simulate(struct refinement *r, double *step_ns)
{
    struct dawn_sim_result result = {0};
    enum dawn_status st =
        dawni_simulate_cuts(r->pl, r->cut, &r->times, &result, &r->pl->error);

    r->simulations++;
    *step_ns = result.step_ns;
    dawn_sim_result_clear(&result);
    return !st || dawni_planner_fail(r->pl, st, NULL);
}

/* S of the two stages at a cut, without messages: no simulation is below. */
static double least_step(const struct refinement *r, int x)
{
    double least = 0;

    for (int y = x - 1; y <= x; y++) {
        double time = r->times.f_ns[y] + r->times.b_ns[y] + r->times.w_ns[y];
        least = fmax(
            least, dawni_step_of(r->pl, r->cut[y], r->cut[y + 1] - 1, y, time));
    }
    return least;
}

/* Move cut x by d if the step gets shorter. False: pl->status is set. */
static bool try_move(struct refinement *r, int x, int d, bool *moved)
{
    int was = r->cut[x], p = was + d;
    double step_ns = INFINITY;

    if (p <= r->cut[x - 1] || p >= r->cut[x + 1])
        return true;
    r->cut[x] = p;
    bool fit = time_stage(r, x - 1);
    fit = time_stage(r, x) && fit;
    if (fit && least_step(r, x) < r->step_ns && !simulate(r, &step_ns))
        return false;
    if (step_ns < r->step_ns * (1 - 1e-9)) {
        r->step_ns = step_ns;
        *moved = true;
        return true;
    }
    r->cut[x] = was;
    time_stage(r, x - 1);
    time_stage(r, x);
    return true;
}

/* Wide moves are for the cuts that additive_plan.c gives. */
static bool is_wide(const struct refinement *r)
{
    return r->pl->additive && r->pl->given_cut;
}

/* F, BW and for most of them four messages */
static int most_simulations(const struct refinement *r)
{
    int64_t actions = (int64_t)r->pl->l * r->pl->m * 10;
    int64_t each = is_wide(r) ? MOST_WIDE : MOST_SIMULATIONS;
    int64_t most = each * r->pl->l;

    return (int)(most < MOST_ACTIONS / actions ? most : MOST_ACTIONS / actions);
}

static bool move_cuts(struct refinement *r)
{
    int l = r->pl->l, most = most_simulations(r);
    int moves = is_wide(r) ? MOVES : NARROW_MOVES;
    bool moved = most >= l; /* else one round would be too much */

    while (moved && r->simulations < most) {
        moved = false;
        for (int x = 1; x < l; x++)
            for (int i = 0; i < moves; i++)
                if (!try_move(r, x, move[i], &moved))
                    return false;
    }
    return true;
}

bool dawni_refine(struct dawni_planner *pl, int *cut)
{
    struct refinement r = {.pl = pl, .cut = cut};
    enum dawn_status st = dawni_stage_times_create(pl->l, &r.times, &pl->error);
    bool whole;

    if (st)
        return dawni_planner_fail(pl, st, NULL);
    r.times.totals_only = true;
    for (int x = 0; x < pl->l; x++)
        time_stage(&r, x);
    whole = simulate(&r, &r.step_ns) && move_cuts(&r) && !pl->status;
    dawni_stage_times_clear(&r.times);
    return whole;
}
