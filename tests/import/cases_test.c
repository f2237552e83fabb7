/* SPDX-License-Identifier: Apache-2.0 */
/* The files that others published, in the folder that DAWN_PLANNER_CASES names:
 * each is read, and a PipeDream file and its conversion to Piper's format say
 * the same.
 */
#include "tap.h"

#include <dawnpiper/import.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

static struct dawn_profile *read_case(const char *format, const char *file)
{
    char path[1024];
    struct dawn_profile *p = NULL;
    struct dawn_error err = {0};

    snprintf(path, sizeof path, "%s/%s", folder, file);
    is_int(dawn_import(format, path, &p, &err), DAWN_OK, "%s is read %s", file,
           err.text);
    return p;
}

static void test_files(void)
{
    static const struct {
        const char *format, *file;
        int nodes;
    } row[] = {
        {"pipedream", "pipedream-vgg16.txt", 40},
        {"pipedream", "pipedream-resnet50.txt", 176},
        {"pipedream", "pipedream-resnet101.txt", 346},
        {"pipedream", "pipedream-densenet121.txt", 428},
        {"pipedream", "pipedream-nasnetamobile.txt", 920},
        {"pipedream", "pipedream-gnmt.txt", 37},
        {"pipedream", "dapple-bert-48.txt", 53},
        {"pipedream", "dapple-amoeba-36.txt", 43},
        {"piper", "piper-bert32a100.json", 37},
        {"piper", "piper-vgg16.json", 40},
        {"piper", "piper-resnet50.json", 176},
        {"piper", "piper-resnet101.json", 346},
        {"piper", "piper-densenet121.json", 428},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct dawn_profile *p = read_case(row[i].format, row[i].file);
        if (p)
            is_int(dawn_graph_nodes(dawn_profile_graph(p)), row[i].nodes,
                   "with its nodes");
        dawn_profile_destroy(p);
    }
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

/* Is node `from` of q, by its label, an input of node j of p? */
static bool has_input(const struct dawn_profile *p, int j,
                      const struct dawn_profile *q, int from)
{
    const struct dawn_graph *g = dawn_profile_graph(p);
    const struct dawn_node_desc *d = dawn_graph_node(g, j);
    int node = dawn_graph_find_node(g, dawn_profile_label(q, from));

    for (int k = 0; k < d->inputs; k++)
        if (d->input[k] == node)
            return true;
    return false;
}

/* Node i of q: in the conversion a node's label is PipeDream's id. */
static bool same_node(const struct dawn_profile *p,
                      const struct dawn_profile *q, int i)
{
    int j =
        dawn_graph_find_node(dawn_profile_graph(p), dawn_profile_label(q, i));
    const struct dawn_node_desc *d = dawn_graph_node(dawn_profile_graph(q), i);
    bool same = j >= 0 && dawn_profile_variants(q, i) == 2 &&
                dawn_graph_node(dawn_profile_graph(p), j)->inputs == d->inputs;

    for (int k = 0; k < 2 && same; k++) {
        const struct dawn_node_variant *a = dawn_profile_variant(p, j, k);
        const struct dawn_node_variant *b = dawn_profile_variant(q, i, k);
        same = near(a->ns, b->ns) && near(a->saved_bytes, b->saved_bytes) &&
               near(a->fixed_bytes, b->fixed_bytes);
    }
    for (int k = 0; k < d->inputs && same; k++)
        same = has_input(p, j, q, d->input[k]);
    return same;
}

static void test_conversions(void)
{
    static const char *const model[] = {"vgg16", "resnet50", "resnet101",
                                        "densenet121"};

    for (size_t i = 0; i < sizeof model / sizeof *model; i++) {
        char txt[64], json[64];
        snprintf(txt, sizeof txt, "pipedream-%s.txt", model[i]);
        snprintf(json, sizeof json, "piper-%s.json", model[i]);
        struct dawn_profile *p = read_case("pipedream", txt);
        struct dawn_profile *q = read_case("piper", json);
        int nodes = q ? dawn_graph_nodes(dawn_profile_graph(q)) : 0, same = 0;
        while (p && same < nodes && same_node(p, q, same))
            same++;
        ok(nodes && same == nodes, "%s: both formats say the same", model[i]);
        dawn_profile_destroy(p);
        dawn_profile_destroy(q);
    }
}

int main(void)
{
    folder = getenv("DAWN_PLANNER_CASES");
    if (!folder || !*folder) {
        plan_skip("DAWN_PLANNER_CASES names no folder of published files");
        return 0;
    }
    plan_lazy();
    test_files();
    test_conversions();
    return done_testing();
}
