/* SPDX-License-Identifier: Apache-2.0 */
/* Costs at microbatch sizes that were not profiled. Times are taken as affine
 * between two sizes, and beyond the last one on the last segment; scratch is
 * that of the larger neighbour, and beyond the last size it is extrapolated
 * too. What the tensors take is known exactly at any size.
 */
#include "profile/profile.h"
#include "graph/graph.h"

/* Indices of the sizes on both sides; beyond the ends, of the last two. */
static bool find_near(const struct dawn_profile *p, int64_t microbatch,
                      int at[2])
{
    at[0] = at[1] = dawn_profile_find_size(p, microbatch);
    if (at[0] >= 0)
        return true;
    if (microbatch < 1 || p->sizes < 2)
        return false;
    at[1] = 1;
    while (at[1] < p->sizes - 1 && p->size[at[1]] < microbatch)
        at[1]++;
    at[0] = at[1] - 1;
    return true;
}

bool dawn_profile_near(const struct dawn_profile *p, int64_t microbatch,
                       int64_t near[2])
{
    int at[2];

    if (!find_near(p, microbatch, at))
        return false;
    near[0] = p->size[at[0]];
    near[1] = p->size[at[1]];
    return true;
}

struct line { /* through two profiled sizes, to where it is read */
    int64_t low, high, at;
};

/* Outside of the sizes, noise must not make more samples cheaper. */
static double read_off(const struct line *l, double low, double high)
{
    bool outside = l->at < l->low || l->at > l->high;
    double slope = (high - low) / (double)(l->high - l->low);
    double y;

    if (outside && slope < 0)
        slope = 0;
    y = l->at > l->high ? high + slope * (double)(l->at - l->high)
                        : low + slope * (double)(l->at - l->low);
    return y > 0 ? y : 0;
}

static uint64_t read_scratch(const struct line *l, uint64_t low, uint64_t high)
{
    if (l->at < l->low)
        return low;
    if (l->at < l->high)
        return high > low ? high : low;
    uint64_t bytes = (uint64_t)read_off(l, (double)low, (double)high);
    return (bytes + 63) / 64 * 64;
}

bool dawn_profile_cost_at(const struct dawn_profile *p, int node,
                          int64_t microbatch, struct dawn_node_cost *cost)
{
    int at[2];

    if (node < 0 || node >= p->graph->nodes || !find_near(p, microbatch, at))
        return false;
    const struct dawn_node_cost *low = dawn_profile_cost_of(p, node, at[0]);
    const struct dawn_node_cost *high = dawn_profile_cost_of(p, node, at[1]);
    struct line l = {p->size[at[0]], p->size[at[1]], microbatch};

    *cost = *high;
    for (int phase = 0; phase < 3 && low != high; phase++) {
        cost->ns[phase] = read_off(&l, low->ns[phase], high->ns[phase]);
        cost->spread_ns[phase] =
            read_off(&l, low->spread_ns[phase], high->spread_ns[phase]);
        cost->scratch_bytes[phase] = read_scratch(&l, low->scratch_bytes[phase],
                                                  high->scratch_bytes[phase]);
    }
    return true;
}
