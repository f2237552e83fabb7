/* SPDX-License-Identifier: Apache-2.0 */
/* A microbatch that is too small for a batch norm of a plan that trains. */
#include "passes/passes.h"

#include <dawnpiper/op.h>
#include <string.h>

/* Values of a channel, which is the last extent, in a microbatch. */
static int64_t values(const struct dawn_tensor_desc *x, int64_t microbatch)
{
    int64_t n = x->batched ? microbatch : 1;

    for (int i = 0; i + 1 < x->dims; i++)
        n *= x->shape[i];
    return n;
}

int dawn_op_lone_norm(const struct dawn_graph *graph, int64_t microbatch,
                      const char *passes)
{
    struct dawni_passes found;

    if (dawni_passes_parse(passes, &found, NULL) || !dawni_passes_train(&found))
        return -1;
    for (int i = 0; i < dawn_graph_nodes(graph); i++) {
        const struct dawn_node_desc *node = dawn_graph_node(graph, i);
        if (strcmp(node->op, "batch_norm") == 0 && node->inputs > 0 &&
            values(dawn_graph_tensor(graph, node->input[0]), microbatch) == 1)
            return i;
    }
    return -1;
}
