/* SPDX-License-Identifier: Apache-2.0 */
/* The same profile with its nodes in another order. */
#include "common/array.h"
#include "graph/graph.h"
#include "profile/profile.h"

/* Takes the graph, also when it fails. order[i]: the node of p at place i. */
static enum dawn_status copy_reordered(const struct dawn_profile *p,
                                       const int *order,
                                       struct dawn_graph *graph,
                                       struct dawn_profile **profile_p,
                                       struct dawn_error *err)
{
    struct dawn_profile_desc desc = {p->device, p->description, p->sizes,
                                     p->size};
    size_t row = (size_t)p->sizes;
    struct dawn_profile *to;
    enum dawn_status st = dawn_profile_create(graph, &desc, &to, err);

    if (st) {
        dawn_graph_destroy(graph);
        return st;
    }
    memcpy(to->passes, p->passes, sizeof p->passes);
    for (int i = 0; i < graph->nodes && !st; i++) {
        const struct dawni_profile_node *n = &p->node[order[i]];
        memcpy(&to->cost[(size_t)i * row], &p->cost[(size_t)order[i] * row],
               row * sizeof *p->cost);
        st = dawn_profile_set_label(to, i, n->label, err);
        if (!st && n->variants)
            st = dawn_profile_set_variants(to, i, n->variants, n->variant, err);
    }
    if (st)
        dawn_profile_destroy(to);
    else
        *profile_p = to;
    return st;
}

enum dawn_status dawn_profile_reorder(const struct dawn_profile *p,
                                      const int *order, int count,
                                      struct dawn_profile **profile_p,
                                      struct dawn_error *err)
{
    struct dawn_graph *graph;
    enum dawn_status st =
        dawn_graph_reorder(p->graph, order, count, &graph, err);

    return st ? st : copy_reordered(p, order, graph, profile_p, err);
}

enum dawn_status dawni_profile_reorder_like(const struct dawn_profile *p,
                                            const struct dawn_graph *graph,
                                            struct dawn_profile **profile_p,
                                            struct dawn_error *err)
{
    int *order = dawni_graph_order_like(p->graph, graph);
    enum dawn_status st;

    if (!order)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                         graph->nodes);
    st = dawn_profile_reorder(p, order, graph->nodes, profile_p, err);
    free(order);
    return st;
}
