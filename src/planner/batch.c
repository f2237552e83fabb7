/* SPDX-License-Identifier: Apache-2.0 */
/* The largest microbatch for which the policy has a plan under the caps: it is
 * taken to need more memory the larger it is, and looked for by doubling and
 * bisection with the whole planner.
 */
#include "planner/planner.h"

#include <dawnpiper/op.h>

#define MOST_SAMPLES (1 << 20) /* of a microbatch, as in plan.yaml */

struct batch {
    const struct dawn_profile *profile;
    const struct dawn_machine *machine;
    struct dawn_planner_opts opts;
    bool capped; /* some stage is */
};

/* DAWN_E_NOFIT: there is no plan for that many samples. */
static enum dawn_status try_batch(struct batch *s, int64_t samples,
                                  struct dawn_error *err)
{
    struct dawni_planner *pl = NULL;
    struct dawn_plan *plan = NULL;
    enum dawn_status st;

    s->opts.microbatch = samples;
    st = dawni_planner_create(s->profile, s->machine, &s->opts, s->opts.stages,
                              &pl, err);
    if (st)
        return st;
    for (int x = 0; x < pl->l; x++)
        s->capped |= pl->stage[x].cap != UINT64_MAX;
    if (s->capped)
        st = dawni_plan_make(pl, &plan, err);
    else
        st = dawn_fail(err, DAWN_E_INVAL,
                       "the largest microbatch: no cap on memory is known");
    dawn_plan_destroy(plan);
    dawni_planner_destroy(pl);
    return st;
}

int64_t dawni_least_batch(const struct dawn_profile *profile)
{
    if (dawn_profile_sizes(profile) == 1)
        return dawn_profile_size(profile, 0);
    return dawn_op_lone_norm(dawn_profile_graph(profile), 1,
                             dawn_profile_passes(profile)) < 0
               ? 1
               : 2;
}

static enum dawn_status search(struct batch *s, int64_t top, int64_t *most_p,
                               struct dawn_error *err)
{
    const int64_t least = dawni_least_batch(s->profile);
    int64_t low = least - 1; /* fits, or is below the least */
    int64_t high = top > least ? top : least;
    enum dawn_status st = DAWN_OK;

    for (; !st && high <= MOST_SAMPLES; high *= 2) {
        st = try_batch(s, high, err);
        low = st ? low : high;
        if (st == DAWN_E_NOFIT)
            break;
    }
    if (!st)
        high = MOST_SAMPLES + 1;
    while ((!st || st == DAWN_E_NOFIT) && high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        st = try_batch(s, middle, err);
        low = st ? low : middle;
        high = st ? middle : high;
    }
    if (st && st != DAWN_E_NOFIT)
        return st;
    *most_p = low < least ? least : low; /* the caller finds out the rest */
    return DAWN_OK;
}

enum dawn_status dawni_largest_batch(const struct dawn_profile *profile,
                                     const struct dawn_machine *machine,
                                     const struct dawn_planner_opts *opts,
                                     int64_t *most_p, struct dawn_error *err)
{
    struct batch s = {.profile = profile, .machine = machine, .opts = *opts};
    int sizes = dawn_profile_sizes(profile);
    int64_t top = dawn_profile_size(profile, sizes - 1);

    if (sizes > 1)
        return search(&s, top, most_p, err);
    *most_p = top; /* nothing is known of another one */
    return DAWN_OK;
}
