/* SPDX-License-Identifier: Apache-2.0 */
#include "additive_rig.h"

#include <dawnpiper/op.h>
#include <stdio.h>
#include <stdlib.h>

static const struct dawn_layer_fns fns;

static uint64_t state;

int additive_draw(int below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)below);
}

static struct dawn_graph *graph_of(const struct additive_model *m)
{
    struct dawn_graph *g = NULL;

    dawn_graph_create("random", &g, NULL);
    for (int i = 0; i < m->n; i++) {
        char name[16];
        int input[ADDITIVE_NODES], inputs = 0;
        snprintf(name, sizeof name, "n%d", i);
        for (int k = 0; k < i; k++)
            if (m->edge[k][i])
                input[inputs++] = k;
        struct dawn_param_desc w = {.name = name, .dims = 1, .shape = {20}};
        struct dawn_tensor_desc y = {.name = name,
                                     .batched = true,
                                     .dims = 1,
                                     .shape = {1 + additive_draw(9)}};
        int param = dawn_graph_add_param(g, &w);
        dawn_graph_add_node(
            g, &(struct dawn_node_desc){.name = name,
                                        .op = "layer",
                                        .inputs = inputs,
                                        .input = input,
                                        .params = 1,
                                        .param = &param,
                                        .outputs = 1,
                                        .output = &y,
                                        .save_outputs = 1,
                                        .flags = DAWN_NODE_ABSTRACT,
                                        .fns = &fns});
    }
    if (dawn_graph_finish(g, NULL))
        abort();
    return g;
}

void additive_make(struct additive_model *m, const struct additive_opts *opts,
                   int seed)
{
    const int64_t one = 1;

    *m = (struct additive_model){.n = opts->least +
                                      seed % (opts->most - opts->least + 1)};
    state = (uint64_t)seed;
    for (int i = 0; i < m->n; i++)
        for (int k = 0; k < i; k++)
            m->edge[k][i] = opts->chain ? k == i - 1
                                        : additive_draw(3) == 0 ||
                                              (k == i - 1 && additive_draw(2));
    if (dawn_profile_create(graph_of(m),
                            &(struct dawn_profile_desc){"test", NULL, 1, &one},
                            &m->profile, NULL))
        abort();
    for (int i = 0; i < m->n; i++) {
        double f = 1 + additive_draw(50), b = 1 + additive_draw(100);
        double a = opts->even ? 30 + additive_draw(20) : additive_draw(80);
        double fixed = additive_draw(opts->even ? 10 : 60);
        struct dawn_node_cost *c = dawn_profile_cost(m->profile, i, 0);
        c->ns[0] = f;
        c->ns[1] = b;
        m->v[i][0] =
            (struct dawn_node_variant){"as it is", f + b, a + 0.5, fixed};
        m->v[i][1] = m->v[i][0];
        m->v[i][1].ns += f;
        m->v[i][1].saved_bytes *= 0.125;
        m->v[i][1].fixed_bytes += m->v[i][0].saved_bytes * 0.875;
        if (additive_draw(5) == 0)
            m->v[i][1] = m->v[i][0]; /* no recompute */
        int variants = m->v[i][1].ns > m->v[i][0].ns ? 2 : 1;
        dawn_profile_set_variants(m->profile, i, variants, m->v[i], NULL);
    }
}
