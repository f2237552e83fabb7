/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs, profiles and plans with their nodes in another order. */
#include "common/scratch.h"
#include "graph/graph.h"
#include "runtime/branchy.h"
#include "tap.h"

#include <dawnpiper/memory.h>
#include <dawnpiper/planner.h>
#include <inttypes.h>
#include <string.h>

static struct dawn_graph *graph;
static int order[64];

static int node(const char *name)
{
    return dawn_graph_find_node(graph, name);
}

/* `order` as built, but a stands where b was, and b and all between one later.
 */
static void move_before(const char *a, const char *b)
{
    int from = node(a), to = node(b);

    for (int i = 0; i < graph->nodes; i++)
        order[i] = i > to && i <= from ? i - 1 : i;
    order[to] = from;
}

static void test_copy(void)
{
    struct dawn_graph *g = NULL, *back = NULL;
    bool same = true;
    int place;

    move_before("r0.gelu", "l0.linear");
    place = node("l0.linear");
    is_int(dawn_graph_reorder(graph, order, graph->nodes, &g, NULL), DAWN_OK,
           "a branch may begin earlier");
    is_str(dawn_graph_node(g, place)->name, "r0.gelu", "it stands there");
    is_int(dawn_graph_find_node(g, "l0.linear"), place + 1, "names are found");
    is_int(dawn_graph_number(g, place), node("r0.gelu"),
           "a node remembers its number");
    is_int(dawn_graph_number(g, graph->nodes), -1, "one too many has none");
    is_u64(dawn_graph_digest(g), dawn_graph_digest(graph),
           "the digest is the same");
    for (int i = 0; i < graph->tensors; i++) {
        const struct dawni_tensor *a = &graph->tensor[i], *b = &g->tensor[i];
        same = same && strcmp(a->desc.name, b->desc.name) == 0 &&
               a->needs_grad == b->needs_grad && a->users == b->users &&
               (a->producer < 0 ? b->producer < 0
                                : g->node[b->producer].number == a->producer);
    }
    ok(same, "tensors keep ids, makers and gradients");
    is_int(dawn_graph_reorder(g, g->place, g->nodes, &back, NULL), DAWN_OK,
           "the numbers lead back");
    ok(dawni_graph_same_order(back, graph) && !dawni_graph_same_order(g, graph),
       "to the order first built");
    dawn_graph_destroy(back);
    dawn_graph_destroy(g);
}

static void test_bad(void)
{
    static const struct {
        const char *a, *b; /* moved before b; NULL: a is put over the last */
        const char *wanted;
    } row[] = {
        {"l0.dropout", "l0.linear",
         "node 'l0.dropout' stands before 'l0.linear', whose output 'l0.linear'"
         " it needs"},
        {"r0.gelu", "l0.gelu",
         "node 'r0.gelu' stands before 'l0.gelu': the gradients that both give "
         "'embed' are added"},
        {"embed", NULL, "node 'embed' stands twice"},
    };
    struct dawn_graph *g = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        move_before(row[i].a, row[i].b ? row[i].b : row[i].a);
        if (!row[i].b)
            order[graph->nodes - 1] = node(row[i].a);
        ok(dawn_graph_reorder(graph, order, graph->nodes, &g, &err) ==
                   DAWN_E_INVAL &&
               strstr(err.text, row[i].wanted),
           "refused: %s", err.text);
    }
    move_before("embed", "embed");
    ok(dawn_graph_reorder(graph, order, graph->nodes - 1, &g, &err) ==
               DAWN_E_INVAL &&
           strstr(err.text, "node 'loss' is missing"),
       "refused: %s", err.text);
    order[3] = graph->nodes;
    ok(dawn_graph_reorder(graph, order, graph->nodes, &g, &err) ==
               DAWN_E_INVAL &&
           strstr(err.text, "order: node 24, must be 0 to 23"),
       "refused: %s", err.text);
    ok(!g, "nothing comes out");
}

static struct dawn_profile *profile(void)
{
    struct dawn_profile *p;
    const int64_t size[] = {1, 2};

    if (dawn_profile_create(branchy_graph(DAWN_F32),
                            &(struct dawn_profile_desc){"host", "", 2, size},
                            &p, NULL))
        abort();
    for (int n = 0; n < graph->nodes; n++)
        for (int i = 0; i < 2; i++)
            *dawn_profile_cost(p, n, i) = (struct dawn_node_cost){
                .ns = {n * 10 + i, 1, 1},
                .scratch_bytes = {(uint64_t)n * 640, 64, 64},
                .prepared_bytes = (uint64_t)n * 64};
    return p;
}

static void test_profile(void)
{
    struct dawn_profile *p = profile(), *q = NULL;
    bool same = true;

    dawn_profile_set_label(p, node("r0.gelu"), "GELU", NULL);

    move_before("r0.gelu", "l0.linear");
    is_int(dawn_profile_reorder(p, order, graph->nodes, &q, NULL), DAWN_OK,
           "a profile is reordered");
    for (int n = 0; n < graph->nodes; n++)
        for (int i = 0; i < 2; i++)
            same = same && memcmp(dawn_profile_cost_of(q, n, i),
                                  dawn_profile_cost_of(p, order[n], i),
                                  sizeof(struct dawn_node_cost)) == 0;
    ok(same, "costs go with their nodes");
    is_str(dawn_profile_label(q, node("l0.linear")), "GELU", "and labels");
    is_u64(dawn_profile_digest(q), dawn_profile_digest(p),
           "the digest is the same");
    dawn_profile_save(p, scratch_path("p.yaml"), NULL);
    dawn_profile_save(q, scratch_path("q.yaml"), NULL);
    char *a = scratch_read("p.yaml"), *b = scratch_read("q.yaml");
    ok(a && b && !strcmp(a, b), "it is saved as the same bytes");
    free(a);
    free(b);
    dawn_profile_destroy(q);
    dawn_profile_destroy(p);
}

static void test_variants(void)
{
    const struct dawn_node_variant variant[] = {{"as it is", 1, 2, 3},
                                                {"again", 4, 5, 6}};
    struct dawn_profile *p = profile(), *q = NULL;

    dawn_profile_set_variants(p, node("r0.gelu"), 2, variant, NULL);
    move_before("r0.gelu", "l0.linear");
    dawn_profile_reorder(p, order, graph->nodes, &q, NULL);
    is_int(dawn_profile_variants(q, node("l0.linear")), 2, "variants move");
    is_int(dawn_profile_variants(q, node("r0.gelu")), 0, "none stays");
    is_u64(dawn_profile_digest(q), dawn_profile_digest(p),
           "the digest with them is the same");
    dawn_profile_destroy(q);
    dawn_profile_destroy(p);
}

static const char head[] =
    "dawn: plan/1\ngraph: xxh3:%016" PRIx64 "\n"
    "schedule: {kind: 1f1b, microbatches: 2, microbatch: 2}\n%s";

static enum dawn_status load(const char *text, struct dawn_plan **plan_p,
                             struct dawn_error *err)
{
    static char all[4000];

    *plan_p = NULL;
    snprintf(all, sizeof all, head, dawn_graph_digest(graph), text);
    return dawn_plan_load(scratch_write("hand.yaml", all), graph, plan_p, err);
}

#define ORDER                                                                  \
    "order:\n- [embed, l0.gelu]\n- [r0.gelu, r0.linear]\n"                     \
    "- [l0.linear, l0.dropout]\n- [r0.add, loss]\n"
#define STAGES                                                                 \
    "stages:\n- nodes: [embed, r0.linear]\n- nodes: [l0.linear, loss]\n"

/* Neither memory nor time depends on whose order the profile has. */
static void test_price(struct dawn_plan *plan)
{
    struct dawn_profile *p = profile(), *q;
    struct dawn_memory a, b;
    double step_ns = -1, f_ns = -1;

    dawn_profile_reorder(p, order, graph->nodes, &q, NULL);
    for (int rank = 0; rank < 2; rank++)
        ok(!dawn_memory_of(plan, p, rank, &a, NULL) &&
               !dawn_memory_of(plan, q, rank, &b, NULL) &&
               a.peak_bytes == b.peak_bytes && a.arena_bytes == b.arena_bytes,
           "rank %d has the same memory by either profile", rank);
    if (!dawn_planner_price(plan, p, NULL, NULL)) {
        step_ns = dawn_plan_info(plan)->step_ns;
        f_ns = dawn_plan_stage(plan, 1)->predicted.f_ns;
    }
    ok(!dawn_planner_price(plan, q, NULL, NULL) && step_ns > 0 &&
           dawn_plan_info(plan)->step_ns == step_ns &&
           dawn_plan_stage(plan, 1)->predicted.f_ns == f_ns,
       "a step takes the same %g ns", step_ns);
    dawn_profile_destroy(p);
    dawn_profile_destroy(q);
}

static void test_plan(void)
{
    struct dawn_plan *p, *q;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(load(ORDER STAGES, &p, &err), DAWN_OK, "a plan names its order %s",
           err.text);
    if (!p)
        return;
    const struct dawn_graph *g = dawn_plan_graph(p);
    is_str(dawn_graph_node(g, dawn_plan_stage(p, 1)->first)->name, "l0.linear",
           "its stages are runs of it");
    is_int(dawn_graph_find_node(g, "r0.linear"), 3, "its graph has it");
    for (int i = 0; i < graph->nodes; i++)
        order[i] = dawn_graph_number(g, i);
    test_price(p);
    dawn_plan_save(p, scratch_path("p.yaml"), NULL);
    is_int(dawn_plan_load(scratch_path("p.yaml"), g, &q, &err), DAWN_OK,
           "it loads onto a reordered graph %s", err.text);
    dawn_plan_save(q, scratch_path("q.yaml"), NULL);
    char *a = scratch_read("p.yaml"), *b = scratch_read("q.yaml");
    ok(a && b && strstr(a, ORDER) && !strcmp(a, b),
       "and is written in runs, the same bytes");
    free(a);
    free(b);
    dawn_plan_destroy(q);
    is_int(load("stages:\n- nodes: [embed, r0.linear]\n- nodes: [r0.add, "
                "loss]\n",
                &q, &err),
           DAWN_OK, "one without an order has the graph's %s", err.text);
    ok(q && dawn_plan_graph(q) == graph, "so it needs no graph of its own");
    dawn_plan_destroy(q);
    dawn_plan_destroy(p);
}

static void test_bad_plan(void)
{
    static const struct {
        const char *text, *wanted;
    } row[] = {
        {"order: []\n" STAGES, ":4: node 'embed' is missing in the order"},
        {"order:\n- [embed, r0.gelu]\n- [r0.add, loss]\n" STAGES,
         ":4: node 'r0.linear' is missing"},
        {"order:\n- [embed, loss]\n- r0.add\n" STAGES,
         ":6: node 'r0.add' stands twice"},
        {"order:\n- r0.gelu\n- [embed, l0.dropout]\n- [r0.linear, loss]\n",
         ":1: key 'stages' is missing"},
        {"order:\n- r0.gelu\n- [embed, l0.dropout]\n- [r0.linear, "
         "loss]\n" STAGES,
         ":5: node 'r0.gelu' stands before 'embed', whose output"},
        {"order:\n- embed\n- r0.gelu\n- [l0.gelu, l0.dropout]\n"
         "- [r0.linear, loss]\n" STAGES,
         ":6: node 'r0.gelu' stands before 'l0.gelu': the gradients"},
        {"order:\n- [loss, embed]\n" STAGES,
         ":5: a run ends at 'embed', before it begins at 'loss'"},
        {"order:\n- [embed, gone]\n" STAGES,
         ":5: the graph has no node 'gone'"},
        {"order:\n- [embed]\n" STAGES, ":5: key 'order': expected the first "
                                       "node of a run and its last, found "
                                       "1 names"},
        {"order:\n- {a: b}\n" STAGES,
         ":5: key 'order': expected a node's name"},
        {"order: embed\n" STAGES, ":4: key 'order': expected a list"},
        {ORDER "stages:\n- nodes: [embed, l0.linear]\n- nodes: [r0.linear, "
               "loss]\n",
         ":11: node 'r0.linear' is in two stages"},
    };
    struct dawn_plan *p;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int st = load(row[i].text, &p, &err);
        if (!ok(st == DAWN_E_FORMAT && !p && strstr(err.text, row[i].wanted),
                "refused: %s", err.text))
            diag("wanted %s", row[i].wanted);
    }
}

int main(void)
{
    plan_lazy();
    scratch_make();
    graph = branchy_graph(DAWN_F32);
    test_copy();
    test_bad();
    test_profile();
    test_variants();
    test_plan();
    test_bad_plan();
    dawn_graph_destroy(graph);
    return done_testing();
}
