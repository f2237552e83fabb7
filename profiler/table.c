/* SPDX-License-Identifier: Apache-2.0 */
/* A profile, summed up for people. */
#include "table.h"
#include <string.h>

#define MOST_OPS 64

struct row {
    const char *op;
    int nodes;
    double ns[3], spread_ns, flops, update_ns;
};

static struct row *row_of(struct row *row, int *rows, const char *op)
{
    for (int i = 0; i < *rows; i++)
        if (!strcmp(row[i].op, op))
            return &row[i];
    if (*rows == MOST_OPS)
        return &row[MOST_OPS - 1];
    row[*rows] = (struct row){.op = op};
    return &row[(*rows)++];
}

static void add_node(const struct dawn_profile *profile, int node, int size,
                     struct row *row)
{
    const struct dawn_node_cost *c = dawn_profile_cost_of(profile, node, size);
    const struct dawn_node_desc *n =
        dawn_graph_node(dawn_profile_graph(profile), node);
    double samples = (double)dawn_profile_size(profile, size);

    row->nodes++;
    row->update_ns += c->update_ns;
    for (int phase = 0; phase < 3; phase++) {
        row->ns[phase] += c->ns[phase];
        row->spread_ns += c->spread_ns[phase];
        row->flops += n->flops[phase] * samples;
    }
}

static double all_ns(const struct row *row)
{
    return row->ns[0] + row->ns[1] + row->ns[2];
}

static void print_row(const struct row *row, double whole_ns, FILE *out)
{
    double ns = all_ns(row);

    fprintf(out, "%-14s %5d %9.3f %9.3f %9.3f %9.3f %6.1f%% ", row->op,
            row->nodes, row->ns[0] / 1e6, row->ns[1] / 1e6, row->ns[2] / 1e6,
            row->spread_ns / 1e6, whole_ns > 0 ? 100 * ns / whole_ns : 0);
    if (row->flops > 0 && ns > 0)
        fprintf(out, "%9.1f\n", row->flops / ns);
    else
        fprintf(out, "%9s\n", "-");
}

void table_print(const struct dawn_profile *profile, FILE *out)
{
    const struct dawn_graph *graph = dawn_profile_graph(profile);
    int size = dawn_profile_sizes(profile) - 1, rows = 0;
    struct row row[MOST_OPS], sum = {.op = "all"};

    for (int i = 0; i < dawn_graph_nodes(graph); i++) {
        const char *op = dawn_graph_node(graph, i)->op;
        add_node(profile, i, size, row_of(row, &rows, op));
        add_node(profile, i, size, &sum);
    }
    fprintf(out, "%-14s %5s %9s %9s %9s %9s %7s %9s\n", "operator", "nodes",
            "F ms", "B ms", "W ms", "+- ms", "share", "GFLOP/s");
    for (int i = 0; i < rows; i++)
        print_row(&row[i], all_ns(&sum), out);
    print_row(&sum, all_ns(&sum), out);
    fprintf(out, "one microbatch of %lld; optimizer, once a step: %.3f ms\n",
            (long long)dawn_profile_size(profile, size), sum.update_ns / 1e6);
}
