/* SPDX-License-Identifier: Apache-2.0 */
/* graph.txt of PipeDream and DAPPLE: what is read, dropped and refused. */
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/import.h>

#define NUMBERS                                                                \
    "forward_compute_time=1, backward_compute_time=2, activation_size=100, "   \
    "parameter_size=10"

/* Nodes in no order, white space everywhere, edges among the nodes. */
static const char text[] =
    "node4 -- __getitem__(0) -- " NUMBERS "\n"
    "\tnode3 -- node4\n"
    "node3 -- Concat(1) --   forward_compute_time = 0.25 ,\t"
    "backward_compute_time=0.125,activation_size= [ 8; 2.5;4 ],"
    "  parameter_size=3.0 -- stage_id=2\r\n"
    "\n"
    "node2 -- Conv2d(3, 64, kernel_size=(1, 1)) -- "
    "forward_compute_time=0.274, backward_compute_time=1e-3, "
    "activation_size=1000.000, parameter_size=400\n"
    "node1 -- Input0 -- forward_compute_time=9, backward_compute_time=0, "
    "activation_size=5, parameter_size=0\n"
    " node2 --  node3 \n"
    "\tnode1 -- node2\n"
    "\tnode2 -- node3\n"
    "node5 -- __getitem__(1) -- " NUMBERS "\n"
    "\tnode3 -- node5\n"
    "\tnode5 -- node6\n"
    "\tnode3 -- node6\n"
    "node6 -- last -- " NUMBERS;

static enum dawn_status read_graph(const char *what, struct dawn_profile **p_p,
                                   struct dawn_error *err)
{
    scratch_write("graph.txt", what);
    return dawn_import("pipedream", scratch_path("graph.txt"), p_p, err);
}

static bool has_variant(const struct dawn_profile *p, int node, int i,
                        double ns, double saved, double fixed)
{
    const struct dawn_node_variant *v = dawn_profile_variant(p, node, i);

    if (v && v->ns == ns && v->saved_bytes == saved && v->fixed_bytes == fixed)
        return true;
    if (v)
        diag("%.17g %.17g %.17g", v->ns, v->saved_bytes, v->fixed_bytes);
    return false;
}

static void test_graph(const struct dawn_profile *p)
{
    const struct dawn_graph *g = dawn_profile_graph(p);
    static const char *const name[] = {"node2", "node3", "node5", "node6"};

    is_int(dawn_graph_nodes(g), 4,
           "inputs and a __getitem__ that nobody takes are left out");
    for (int i = 0; i < 4; i++)
        is_str(dawn_graph_node(g, i)->name, name[i], "node %d in order", i);
    is_int(dawn_graph_node(g, 0)->inputs, 0,
           "what took an input only takes nothing");
    is_int(dawn_graph_node(g, 1)->inputs, 1,
           "an edge that stands twice is one");
    const struct dawn_node_desc *last = dawn_graph_node(g, 3);
    ok(last->inputs == 2 && last->input[0] == 1 && last->input[1] == 2,
       "a node's inputs ascend");
    is_u64(dawn_graph_tensor_bytes(g, 0, 1), 1000, "an activation's bytes");
    is_u64(dawn_graph_tensor_bytes(g, 1, 1), 16,
           "those of a list are summed, and whole f32");
    is_int(dawn_graph_param_elements(g, 0), 100, "a parameter's elements");
    is_str(dawn_profile_label(p, 0), "Conv2d(3, 64, kernel_size=(1, 1))",
           "a description is a label");
}

static void test_numbers(const struct dawn_profile *p)
{
    ok(dawn_profile_additive(p) && dawn_profile_size(p, 0) == 1,
       "every node has variants, of one microbatch size");
    ok(dawn_profile_cost_of(p, 0, 0)->ns[0] == 274000 &&
           dawn_profile_cost_of(p, 0, 0)->ns[1] == 1000,
       "ms are ns, without noise");
    ok(has_variant(p, 0, 0, 275000, 1000, 800), "vanilla: F + B, A, 2W");
    ok(has_variant(p, 0, 1, 549000, 90, 1710),
       "recompute: 2F + B, 0.09 A, 2W + 0.91 A");
    ok(has_variant(p, 1, 0, 375000, 14.5, 6), "fractions of bytes are kept");
}

static void test_same(const struct dawn_profile *p)
{
    static const char *const locale[] = {"de_DE.UTF-8", "de_DE", "C.UTF-8"};
    struct dawn_profile *q = NULL;
    struct dawn_error err = {0};

    for (int i = 0; i < 3; i++) {
        setlocale(LC_ALL, locale[i]);
        read_graph(text, &q, &err);
        setlocale(LC_ALL, "C");
        ok(q && dawn_profile_digest(q) == dawn_profile_digest(p),
           "read again, it is the same %s", err.text);
        dawn_profile_destroy(q);
        q = NULL;
    }
    is_int(dawn_profile_save(p, scratch_path("p.yaml"), &err), DAWN_OK,
           "it is saved as profile.yaml");
    dawn_profile_load(scratch_path("p.yaml"), &q, &err);
    ok(q && dawn_profile_digest(q) == dawn_profile_digest(p),
       "and loaded from there %s", err.text);
    dawn_profile_destroy(q);
}

/* Layers whose names begin like those of inputs and picked items. */
static void test_roles(void)
{
    static const char named[] =
        "n1 -- Input0 -- forward_compute_time=7, backward_compute_time=0, "
        "activation_size=5, parameter_size=0\n"
        "n2 -- InputEmbedding(50257, 1024) -- forward_compute_time=100, "
        "backward_compute_time=249, activation_size=8, parameter_size=16\n"
        "n3 -- Input1 -- " NUMBERS "\n"
        "n4 -- InputNorm -- " NUMBERS "\n"
        "n5 -- __getitem__s -- " NUMBERS "\n"
        "n6 -- __getitem__ -- " NUMBERS "\n"
        "n7 -- Input -- " NUMBERS "\n"
        "\tn1 -- n2\n\tn2 -- n3\n\tn4 -- n3\n\tn3 -- n5\n\tn3 -- n6\n"
        "\tn7 -- n3\n";
    static const char *const kept[] = {"n2", "n4", "n3", "n5"};
    struct dawn_profile *p = NULL;
    struct dawn_error err = {0};
    double ns = 0;

    is_int(read_graph(named, &p, &err), DAWN_OK, "layers by such names %s",
           err.text);
    if (!p)
        return;
    const struct dawn_graph *g = dawn_profile_graph(p);
    is_int(dawn_graph_nodes(g), 4,
           "only inputs that take nothing and items that nobody takes go");
    for (int i = 0; i < dawn_graph_nodes(g) && i < 4; i++) {
        bool there = false;
        for (int k = 0; k < 4; k++)
            there |= !strcmp(dawn_graph_node(g, k)->name, kept[i]);
        ok(there, "%s is a layer", kept[i]);
        ns += dawn_profile_variant(p, i, 0)->ns;
    }
    is_near(ns, 358e6, 1, "349 ms of the embedding and 3 of three others");
    dawn_profile_destroy(p);
}

/* What a model makes may be an item of a list. */
static void test_last_item(void)
{
    static const char lstm[] = "a -- LSTM(8, 8) -- " NUMBERS "\n"
                               "b -- __getitem__(0) -- " NUMBERS "\n"
                               "\ta -- b\n";
    struct dawn_profile *p = NULL;
    struct dawn_error err = {0};

    is_int(read_graph(lstm, &p, &err), DAWN_OK, "a model of a list %s",
           err.text);
    if (p)
        is_int(dawn_graph_nodes(dawn_profile_graph(p)), 2,
               "the item that it makes is kept");
    dawn_profile_destroy(p);
}

#define NODE(id, numbers) id " -- op -- " numbers "\n"

static const struct {
    const char *text, *wanted;
} bad[] = {
    {"", ":1: no node"},
    {"\n \n", ":1: no node"},
    {"node1 -- Input -- " NUMBERS, ":1: no node"},
    {"hello", ":1: neither a node"},
    {"a -- b -- c -- d -- e", ":1: neither a node"},
    {"a -- b -- " NUMBERS " -- stage=1", ":1: neither a node"},
    {"a--b", ":1: neither a node"},
    {NODE("a", NUMBERS) "\ta -- b", ":2: an edge names 'b'"},
    {"\tb -- a\n" NODE("a", NUMBERS), ":1: an edge names 'b'"},
    {"\t -- a\n" NODE("a", NUMBERS), ":1: an edge names ''"},
    {NODE("a", NUMBERS) NODE("a", NUMBERS),
     ":2: node 'a' is there already, on line 1"},
    {NODE("a b", NUMBERS), ":1: node 'a b': an id has only"},
    {NODE("a\xc3\xa4", NUMBERS), ":1: node 'a\xc3\xa4': an id has only"},
    {" -- op -- " NUMBERS, ":1: node '': an id has only"},
    {"a -- \xff -- " NUMBERS, ":1: node 'a': its description is not UTF-8"},
    {NODE("a", "forward_compute_time=1"), ":1: no backward_compute_time"},
    {NODE("a", "forward_compute_time=1, backward_compute_time=2, "
               "activation_size=3"),
     ":1: no parameter_size"},
    {NODE("a", NUMBERS ", parameter_size=1"),
     ":1: 'parameter_size' is there twice"},
    {NODE("a", NUMBERS ","), ":1: '' is no number of a node"},
    {NODE("a", NUMBERS ", colour=1"), ":1: 'colour' is no number of a node"},
    {NODE("a", "forward_compute_time"),
     ":1: 'forward_compute_time' is without its value"},
    {NODE("a", "forward_compute_time="),
     ":1: forward_compute_time: '' is no number"},
    {NODE("a", "forward_compute_time=1ms"), "'1ms' is no number"},
    {NODE("a", "forward_compute_time=1,5"), ":1: '5' is no number of a node"},
    {NODE("a", "forward_compute_time=0x10"), "'0x10' is no number"},
    {NODE("a", "forward_compute_time=nan"), "'nan' is no number"},
    {NODE("a", "forward_compute_time=inf"), "'inf' is no number"},
    {NODE("a", "forward_compute_time=[1; 2]"), "'[1; 2]' is no number"},
    {NODE("a", "forward_compute_time=-1"),
     ":1: forward_compute_time is -1, must be 0 to 1000000000000"},
    {NODE("a", "forward_compute_time=1e300"), "must be 0 to"},
    {NODE("a", "forward_compute_time=1e999"), "is inf, must be 0 to"},
    {NODE("a", "activation_size=[1; 2"), "'[1; 2' is no number"},
    {NODE("a", "activation_size=["), "'[' is no number"},
    {NODE("a", "activation_size=[]"), ":1: activation_size: '' is no number"},
    {NODE("a", "activation_size=[1; ]"), "activation_size: '' is no number"},
    {NODE("a", "activation_size=[1; -2]"), "activation_size is -2"},
    {NODE("a", "activation_size=[1e15; 1e15]"), "is 2000000000000000, must be"},
    {NODE("a", NUMBERS) "a -- a",
     ":2: this edge is on a cycle, behind node 'a'"},
    {NODE("a", NUMBERS) NODE("b", NUMBERS) NODE("c", NUMBERS)
         NODE("d", NUMBERS) "a -- b\nb -- c\nc -- b\nc -- d",
     "on a cycle, behind node "},
};

/* b and c take what a makes; c and its branch may stand first. */
static void test_order(void)
{
    static const char fork[] = NODE("b", NUMBERS) NODE("a", NUMBERS)
        NODE("c", NUMBERS) NODE("d", NUMBERS) "a -- c\na -- b\nc -- d\n";
    static const char *const name[] = {"a", "c", "d", "b"};
    const int order[] = {0, 3, 1, 2};
    struct dawn_profile *p = NULL, *q = NULL;
    struct dawn_error err = {0};

    is_int(read_graph(fork, &p, &err), DAWN_OK, "a fork is read %s", err.text);
    for (int i = 0; i < 4; i++)
        is_str(dawn_graph_node(dawn_profile_graph(p), i)->name, name[i],
               "a branch stays together: node %d", i);
    is_int(dawn_profile_reorder(p, order, 4, &q, &err), DAWN_OK,
           "branches may stand in any order %s", err.text);
    dawn_profile_destroy(p);
    dawn_profile_destroy(q);
}

static void test_bad(void)
{
    struct dawn_profile *p = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum dawn_status st = read_graph(bad[i].text, &p, &err);
        if (!ok(st == DAWN_E_FORMAT && !p && strstr(err.text, "/graph.txt:") &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("status %d, wanted %s", (int)st, bad[i].wanted);
    }
    FILE *file = fopen(scratch_path("graph.txt"), "w");
    fwrite("\n\0b", 1, 3, file);
    fclose(file);
    is_int(dawn_import("pipedream", scratch_path("graph.txt"), &p, &err),
           DAWN_E_FORMAT, "refused: %s", err.text);
    ok(strstr(err.text, ":2: a zero byte"), "with the line of the zero byte");
}

static void test_formats(void)
{
    struct dawn_profile *p = NULL;
    struct dawn_error err;

    is_int(dawn_import("pipedream", scratch_path("none.txt"), &p, &err),
           DAWN_E_IO, "refused: %s", err.text);
    is_int(dawn_import("alpa", scratch_path("graph.txt"), &p, &err),
           DAWN_E_INVAL, "refused: %s", err.text);
    is_str(dawn_import_format(0), "pipedream", "the first format");
    is_str(dawn_import_format(1), "piper", "the second");
    ok(dawn_import_format_text(1) && !dawn_import_format(2) &&
           !dawn_import_format_text(-1),
       "and no more");
}

int main(void)
{
    struct dawn_profile *p = NULL;
    struct dawn_error err = {0};

    plan_lazy();
    scratch_make();
    is_int(read_graph(text, &p, &err), DAWN_OK, "a graph is read %s", err.text);
    if (p) {
        test_graph(p);
        test_numbers(p);
        test_same(p);
    }
    dawn_profile_destroy(p);
    test_roles();
    test_last_item();
    test_order();
    test_bad();
    test_formats();
    return done_testing();
}
