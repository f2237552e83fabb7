/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a plan's nodes in plan.yaml: a list of runs of the order in
 * which the model was built, each a node or [first, last].
 */
#include "plan/order.h"
#include "common/array.h"
#include "graph/graph.h"

void dawni_order_write(struct dawni_text *t, const struct dawn_graph *g)
{
    if (dawni_graph_is_built_order(g))
        return;
    dawni_text_add(t, "order:\n");
    for (int first = 0, last; first < g->nodes; first = last + 1) {
        last = first;
        while (last + 1 < g->nodes &&
               g->node[last + 1].number == g->node[last].number + 1)
            last++;
        dawni_text_add(t, last > first ? "- [" : "- ");
        dawni_text_add_scalar(t, g->node[first].desc.name);
        if (last > first) {
            dawni_text_add(t, ", ");
            dawni_text_add_scalar(t, g->node[last].desc.name);
        }
        dawni_text_add(t, last > first ? "]\n" : "\n");
    }
}

/* What is read: the node at each place, and the item that says so. */
struct order {
    const struct dawn_graph *graph;
    int *node;
    const struct dawni_yaml **item;
    int count;
    bool *seen; /* by node */
};

enum dawn_status dawni_order_read_node(const struct dawni_yaml *at,
                                       const struct dawn_graph *graph,
                                       int *node, struct dawn_error *err)
{
    if (at->kind != DAWNI_YAML_SCALAR)
        return dawni_yaml_expected(at, "a node's name", err);
    *node = dawn_graph_find_node(graph, at->text);
    if (*node < 0)
        return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                               "the graph has no node '%.100s'", at->text);
    return DAWN_OK;
}

static enum dawn_status add_run(struct order *o, const struct dawni_yaml *at,
                                int first, int last, struct dawn_error *err)
{
    const struct dawn_graph *g = o->graph;

    if (last < first)
        return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                               "a run ends at '%s', before it begins at '%s'",
                               g->node[g->place[last]].desc.name,
                               g->node[g->place[first]].desc.name);
    for (int i = first; i <= last; i++) {
        int node = g->place[i];
        if (o->seen[node])
            return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                                   "node '%s' stands twice in the order",
                                   g->node[node].desc.name);
        o->seen[node] = true;
        o->item[o->count] = at;
        o->node[o->count++] = node;
    }
    return DAWN_OK;
}

static enum dawn_status read_item(struct order *o, const struct dawni_yaml *at,
                                  struct dawn_error *err)
{
    bool run = at->kind == DAWNI_YAML_LIST;
    const struct dawni_yaml *name = run ? at->first : at;
    enum dawn_status st;
    int first, last;

    if (run && at->items != 2)
        return dawni_yaml_fail(at, DAWN_E_FORMAT, err,
                               "key 'order': expected the first node of a run "
                               "and its last, found %d names",
                               at->items);
    if ((st = dawni_order_read_node(name, o->graph, &first, err)))
        return st;
    last = first;
    if (run && (st = dawni_order_read_node(name->next, o->graph, &last, err)))
        return st;
    return add_run(o, at, o->graph->node[first].number,
                   o->graph->node[last].number, err);
}

/* Without a list: the order in which the model was built. */
static enum dawn_status read_order(struct order *o,
                                   const struct dawni_yaml *list,
                                   struct dawn_error *err)
{
    const struct dawn_graph *g = o->graph;
    struct dawn_error why;
    enum dawn_status st;
    int bad;

    for (int i = 0; !list && i < g->nodes; i++)
        o->node[o->count++] = g->place[i];
    if (!list)
        return DAWN_OK;
    for (const struct dawni_yaml *at = list->first; at; at = at->next)
        if ((st = read_item(o, at, err)))
            return st;
    st = dawni_graph_check_order(g, o->node, o->count, &bad, &why);
    if (!st)
        return DAWN_OK;
    return dawni_yaml_fail(bad < o->count ? o->item[bad] : list,
                           st == DAWN_E_INVAL ? DAWN_E_FORMAT : st, err, "%s",
                           why.text);
}

static bool in_place(const struct order *o)
{
    for (int i = 0; i < o->count; i++)
        if (o->node[i] != i)
            return false;
    return true;
}

enum dawn_status dawni_order_read(const struct dawni_yaml *list,
                                  const struct dawn_graph *graph,
                                  struct dawn_graph **own_p,
                                  struct dawn_error *err)
{
    struct order o = {
        .graph = graph,
        .node = dawni_calloc(graph->nodes, sizeof *o.node),
        .item = dawni_calloc(graph->nodes, sizeof *o.item),
        .seen = dawni_calloc(graph->nodes, sizeof *o.seen),
    };
    enum dawn_status st;

    if (o.node && o.item && o.seen)
        st = read_order(&o, list, err);
    else
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to order %d nodes",
                       graph->nodes);
    *own_p = NULL;
    if (!st && !in_place(&o))
        st = dawn_graph_reorder(graph, o.node, o.count, own_p, err);
    free(o.node);
    free(o.item);
    free(o.seen);
    return st;
}
