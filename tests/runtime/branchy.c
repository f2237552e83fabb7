/* SPDX-License-Identifier: Apache-2.0 */
#include "branchy.h"
#include <stdio.h>
#include <stdlib.h>

#define BLOCKS 3
#define WIDTH 32
#define WORDS 61
#define TOKENS 16

static struct dawn_graph *g;

static int param(const char *name, int rows, int columns)
{
    struct dawn_param_desc d = {.name = name,
                                .dims = columns ? 2 : 1,
                                .shape = {rows, columns},
                                .init = DAWN_INIT_NORMAL,
                                .std = 0.1,
                                .decay = true};

    return dawn_graph_add_param(g, &d);
}

static int input(const char *name)
{
    struct dawn_tensor_desc d = {.name = name,
                                 .dtype = DAWN_I32,
                                 .batched = true,
                                 .dims = 1,
                                 .shape = {TOKENS}};

    return dawn_graph_add_input(g, &d);
}

/* b < 0: one input; w < 0: no parameter */
static int add(const char *block, const char *op, int a, int b, int w)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%s", block, op);
    struct dawn_op_desc d = {.name = name,
                             .op = op,
                             .inputs = b < 0 ? 1 : 2,
                             .input = {a, b},
                             .params = w >= 0,
                             .param = {w}};
    if (op[0] == 'd') {
        d.attrs = 1;
        d.attr[0] = (struct dawn_attr){"p", 0.1};
    }
    return dawn_op_add(g, &d);
}

static int block(int i, int x, int w)
{
    char left[8], right[8], sum[8];

    snprintf(left, sizeof left, "l%d", i);
    snprintf(right, sizeof right, "r%d", i);
    snprintf(sum, sizeof sum, "s%d", i);
    int a = add(left, "linear", add(left, "gelu", x, -1, -1), -1, w);
    a = add(left, "dropout", a, -1, -1);
    int b = add(right, "linear", add(right, "gelu", x, -1, -1), -1, w);
    b = add(right, "add", b, x, -1);
    return add(sum, "add", a, b, -1);
}

struct dawn_graph *branchy_graph(enum dawn_dtype dtype)
{
    if (dawn_graph_create("branchy", &g, NULL))
        abort();
    int table = param("table", WORDS, WIDTH);
    struct dawn_op_desc embed = {.name = "embed",
                                 .op = "embedding",
                                 .inputs = 1,
                                 .input = {input("tokens")},
                                 .params = 1,
                                 .param = {table},
                                 .attrs = 1,
                                 .attr = {{"bf16", dtype == DAWN_BF16}}};
    int x = dawn_op_add(g, &embed);
    int w = param("w", WIDTH, WIDTH);
    for (int i = 0; i < BLOCKS; i++)
        x = block(i, x, w);
    x = add("head", "linear", x, -1, table);
    struct dawn_op_desc loss = {.name = "loss",
                                .op = "cross_entropy",
                                .inputs = 2,
                                .input = {x, input("targets")}};
    dawn_graph_set_loss(g, dawn_op_add(g, &loss));
    if (dawn_graph_finish(g, NULL))
        abort();
    return g;
}

void branchy_order(const struct dawn_graph *graph, int seed, int *order)
{
    int nodes = dawn_graph_nodes(graph);
    uint32_t random = (uint32_t)seed;
    struct dawn_graph *made;

    for (int i = 0; i < nodes; i++)
        order[i] = i;
    for (int i = 0; seed && i < 40 * nodes; i++) {
        random = random * 1664525u + 1013904223u;
        int at = (int)(random >> 8) % (nodes - 1);
        int left = order[at];
        order[at] = order[at + 1];
        order[at + 1] = left;
        if (!dawn_graph_reorder(graph, order, nodes, &made, NULL)) {
            dawn_graph_destroy(made);
            continue;
        }
        order[at + 1] = order[at];
        order[at] = left;
    }
}
