/* SPDX-License-Identifier: Apache-2.0 */
/* Piper's JSON: what is read and what is refused. */
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/import.h>

#define VANILLA(t)                                                             \
    "{\"id\": \"vanilla\", \"timePerSample\": " t                              \
    ", \"parameterSize\": 40, \"memoryUsageA\": 100.5, \"memoryUsageB\": 80}"
#define RECOMPUTE                                                              \
    "{\"id\": \"activation recomp\", \"timePerSample\": 0.004, "               \
    "\"parameterSize\": 40, \"memoryUsageA\": 9.045, "                         \
    "\"memoryUsageB\": 171.455, \"syncTimeFw\": {}}"
#define NODE(id, name, variants)                                               \
    "{\"id\": " id ", \"name\": \"" name "\", \"TMPCs\": {\"1\": [" variants   \
    "], \"2\": []}}"
#define EDGE(from, to, bytes)                                                  \
    "{\"sourceId\": " from ", \"destId\": " to                                 \
    ", \"communicationCost\": " bytes "}"
#define ROOT(nodes, edges)                                                     \
    "{\"maxDevices\": 4,\n\"nodes\": [\n" nodes "\n],\n\"edges\": [\n" edges   \
    "]\n}\n"

/* The order of the file is not that of the edges; a name looks like an end. */
#define LAST NODE("7", "last \\\"]}\\\\", VANILLA("0.003"))
#define FIRST NODE("3", "first", RECOMPUTE "," VANILLA("0.003"))
#define MIDDLE NODE("0", "middle", VANILLA("1e-3"))
static const char text[] = ROOT(
    LAST ",\n" FIRST ",\n" MIDDLE,
    EDGE("0", "7", "0") ",\n" EDGE("3", "0", "8") ",\n" EDGE("3", "7", "24.5"));

static enum dawn_status read_json(const char *what, struct dawn_profile **p_p,
                                  struct dawn_error *err)
{
    scratch_write("in.json", what);
    return dawn_import("piper", scratch_path("in.json"), p_p, err);
}

static void test_good(void)
{
    static const char *const name[] = {"3", "0", "7"};
    struct dawn_profile *p = NULL;
    struct dawn_error err = {0};

    is_int(read_json(text, &p, &err), DAWN_OK, "a graph is read %s", err.text);
    if (!p)
        return;
    const struct dawn_graph *g = dawn_profile_graph(p);
    is_int(dawn_graph_nodes(g), 3, "all its nodes");
    is_str(dawn_profile_unused(p), "maxDevices 4", "what else it says is told");
    for (int i = 0; i < 3; i++)
        is_str(dawn_graph_node(g, i)->name, name[i], "node %d in order", i);
    is_str(dawn_profile_label(p, 2), "last \"]}\\", "names are labels");
    ok(dawn_profile_additive(p), "every node has variants");
    is_int(dawn_profile_variants(p, 0), 2, "one has two");
    is_int(dawn_profile_variants(p, 1), 1, "others one");
    const struct dawn_node_variant *v = dawn_profile_variant(p, 0, 0);
    ok(v->ns == 3e6 && v->saved_bytes == 100.5 && v->fixed_bytes == 80,
       "vanilla comes first, in ns and bytes");
    v = dawn_profile_variant(p, 0, 1);
    ok(v->ns == 4e6 && v->saved_bytes == 9.045 && v->fixed_bytes == 171.455,
       "recompute second, wherever it stands in the file");
    const struct dawn_node_cost *c = dawn_profile_cost_of(p, 0, 0);
    ok(c->ns[0] == 1e6 && c->ns[1] == 2e6, "F is what recompute adds");
    c = dawn_profile_cost_of(p, 1, 0);
    ok(c->ns[0] + c->ns[1] == 1e6 && c->ns[0] == 1e6 / 3,
       "or a third of the time");
    is_u64(dawn_graph_tensor_bytes(g, 0, 1), 28,
           "a node sends its largest edge, in whole f32");
    is_u64(dawn_graph_tensor_bytes(g, 1, 1), 4, "at least one");
    is_u64(dawn_graph_tensor_bytes(g, 2, 1), 104, "the last what it saves");
    dawn_profile_destroy(p);
}

#define ONE NODE("1", "x", VANILLA("1"))

static const struct {
    const char *text, *wanted;
} bad[] = {
    {"", ":1: no JSON: "},
    {"{\"nodes\": [\n}", ":2: no JSON: "},
    {"{\"nodes\": [], \"nodes\": []}", ":1: no JSON: duplicate object key"},
    {"[]", ":1: no list 'nodes'"},
    {"{\"edges\": []}", ":1: no list 'nodes'"},
    {"{\"nodes\": []}", ":1: no list 'edges'"},
    {"{\"nodes\": [], \"edges\": {}}", ":1: no list 'edges'"},
    {ROOT("", ""), ":1: no node"},
    {ROOT("1", ""), ":3: 'id' is missing"},
    {ROOT("{}", ""), ":3: 'id' is missing"},
    {ROOT(NODE("-1", "x", VANILLA("1")), ""), ":3: 'id' is no integer >= 0"},
    {ROOT(NODE("1.5", "x", VANILLA("1")), ""), ":3: 'id' is no integer >= 0"},
    {ROOT(NODE("\"1\"", "x", VANILLA("1")), ""), ":3: 'id' is no integer >= 0"},
    {ROOT("{\"id\": 1, \"TMPCs\": {\"1\": []}}", ""),
     ":3: node 1 has no 'name'"},
    {ROOT("{\"id\": 1, \"name\": \"x\"}", ""),
     ":3: node 1 has no list \"1\" in 'TMPCs'"},
    {ROOT("{\"id\": 1, \"name\": \"x\", \"TMPCs\": []}", ""),
     ":3: node 1 has no list \"1\" in 'TMPCs'"},
    {ROOT("{\"id\": 1, \"name\": \"x\", \"TMPCs\": {\"2\": []}}", ""),
     ":3: node 1 has no list \"1\" in 'TMPCs'"},
    {ROOT(NODE("1", "x", ""), ""), ":3: node 1 has no variant \"vanilla\""},
    {ROOT(NODE("1", "x", RECOMPUTE), ""),
     ":3: node 1 has no variant \"vanilla\""},
    {ROOT(NODE("1", "x", "7"), ""), ":3: node 1: 'id' in TMPCs is \"\""},
    {ROOT(NODE("1", "x", "{\"id\": \"magic\"}"), ""), "is \"magic\""},
    {ROOT(NODE("1", "x", VANILLA("1") "," VANILLA("1")), ""),
     "is \"vanilla\"; it is \"vanilla\" once"},
    {ROOT(NODE("1", "x", VANILLA("\"1\"")), ""),
     ":3: 'timePerSample' is no number"},
    {ROOT(NODE("1", "x", "{\"id\": \"vanilla\"}"), ""),
     ":3: 'timePerSample' is missing"},
    {ROOT(NODE("1", "x", "{\"id\": \"vanilla\", \"timePerSample\": 1}"), ""),
     ":3: 'memoryUsageA' is missing"},
    {ROOT(NODE("1", "x", VANILLA("-1e-9")), ""),
     ":3: timePerSample is -1.0e-09, must be 0 to 1000000000"},
    {ROOT(NODE("1", "x", VANILLA("1e30")), ""), "must be 0 to 1000000000"},
    {ROOT(NODE("1", "x", VANILLA("1e999")), ""), ":3: no JSON: real number"},
    {ROOT(ONE ",\n" ONE, ""), ":4: node '1' is there already, on line 3"},
    {ROOT(ONE, "0"), ":6: 'sourceId' is missing"},
    {ROOT(ONE, "{}"), ":6: 'sourceId' is missing"},
    {ROOT(ONE, "{\"sourceId\": 1}"), ":6: 'destId' is missing"},
    {ROOT(ONE, "{\"sourceId\": 1, \"destId\": 1}"),
     ":6: 'communicationCost' is missing"},
    {ROOT(ONE, EDGE("1", "2", "0")), ":6: an edge names '2'"},
    {ROOT(ONE, EDGE("2", "1", "0")), ":6: an edge names '2'"},
    {ROOT(ONE, EDGE("1", "1", "-3")), ":6: communicationCost is -3"},
    {ROOT(ONE, EDGE("1", "1", "3")), ":6: this edge is on a cycle"},
    {ROOT(ONE ",\n" NODE("2", "y", VANILLA("1")),
          EDGE("1", "2", "3") ",\n\n" EDGE("2", "1", "3")),
     "on a cycle, behind node"},
    {"{\"edges\": [\n" EDGE("1", "8", "3") "], \"nodes\": [" ONE "]}",
     ":2: an edge names '8'"},
};

static void test_bad(void)
{
    struct dawn_profile *p = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum dawn_status st = read_json(bad[i].text, &p, &err);
        if (!ok(st == DAWN_E_FORMAT && !p && strstr(err.text, "/in.json:") &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("status %d, wanted %s", (int)st, bad[i].wanted);
    }
    bool all = true;
    char *cut = strdup(text);
    for (size_t n = strlen(cut) - 3; n; n--) {
        cut[n] = '\0';
        all = all && read_json(cut, &p, &err) == DAWN_E_FORMAT &&
              strstr(err.text, "/in.json:");
    }
    ok(all && !p, "cut anywhere it is refused with its line");
    free(cut);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_good();
    test_bad();
    return done_testing();
}
