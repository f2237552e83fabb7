/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs with too many downsets: a pipeline from the sets near one order, then
 * better ones from the sets near orders that go through its stages.
 */
#include "common/array.h"
#include "partition/relax.h"
#include "partition/solver.h"

/* Effort by node, where the caller names none. */
#define WORK_OF_A_NODE 8000

/* Orders in a row without gain; more of them where the caller names effort. A
 * gain is at least this part. */
#define VAIN_LOTS 16
#define MANY_VAIN_LOTS 200
#define LEAST_GAIN 200000

/* A better bound, and prices that say what is worth having in late stages. */
static enum dawn_status relax(struct dawni_solver *s, struct dawn_error *err)
{
    struct dawni_relax_opts opts = {
        .low = s->low,
        .high = s->high,
        .stages = s->best->stages,
        .stage_of = s->best->stage_of,
        .most_work = (s->end_work - s->in->work) / 2,
    };
    int64_t bound;
    enum dawn_status st = dawni_relax(s->sack, &opts, s->worth, &bound, err);

    if (!st && bound > s->low)
        s->low = bound;
    return st;
}

static enum dawn_status list_sets(struct dawni_solver *s, enum dawni_order kind,
                                  uint64_t lot, struct dawn_error *err)
{
    const int *stage_of = s->best ? s->best->stage_of : NULL;
    int window = s->window < 8 ? 2 * s->window : s->window;

    if (!dawni_order_make(s->in, kind, stage_of, lot, s->order))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for an order");
    return dawni_solver_list(s, window, s->limits.few_sets + 4 * s->in->n, err);
}

/* Sets near orders that go through the stages of the best pipeline. */
static enum dawn_status improve(struct dawni_solver *s, struct dawn_error *err)
{
    uint64_t most = s->in->problem->most_work ? MANY_VAIN_LOTS : VAIN_LOTS;
    enum dawn_status st = DAWN_OK;

    for (uint64_t lot = 0, vain = 0; vain < most && !st; lot++) {
        int64_t step = s->high / LEAST_GAIN + 1;
        struct dawni_tried tried = {true, false};
        if (s->high - step <= s->low || s->in->work > s->end_work)
            break;
        st = list_sets(s, DAWNI_ORDER_STAGES, lot, err);
        for (vain++; !st && tried.found; step *= 2) {
            int64_t high = s->high;
            if (high - step < s->low)
                step = high - s->low;
            st = dawni_solver_try(s, high - step, &tried, err);
            tried.found = tried.found && s->high < high;
            if (tried.found)
                vain = 0;
        }
    }
    return st;
}

enum dawn_status dawni_solver_search_wide(struct dawni_solver *s,
                                          struct dawn_error *err)
{
    int64_t work = (int64_t)s->in->n * WORK_OF_A_NODE;
    int64_t end = s->end_work;
    enum dawn_status st = dawni_solver_bisect(s, err);

    if (!s->in->problem->most_work && s->in->work + work < end)
        s->end_work = s->in->work + work;
    for (int kind = 0; kind < DAWNI_ORDERS && !st && !s->best; kind++) {
        st = list_sets(s, (enum dawni_order)kind, 0, err);
        if (!st)
            st = dawni_solver_bisect(s, err);
    }
    if (!st && s->best && s->in->capped)
        st = relax(s, err);
    if (!st && s->best)
        st = improve(s, err);
    s->end_work = end;
    return st;
}
