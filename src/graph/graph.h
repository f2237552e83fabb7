/* SPDX-License-Identifier: Apache-2.0 */
/* The graph's inside, for the library: what the public accessors read, and what
 * is derived from it when it is finished.
 */
#ifndef DAWNI_GRAPH_GRAPH_H
#define DAWNI_GRAPH_GRAPH_H

#include "common/namemap.h"
#include <dawnpiper/graph.h>
#include <dawnpiper/op.h>

struct dawni_tensor {
    struct dawn_tensor_desc desc;
    int producer;    /* node, -1: graph input */
    int port;        /* which output of the producer */
    bool needs_grad; /* backward makes a gradient of it */
    int users;       /* nodes that take it as input, ascending, each once */
    int *user;
};

struct dawni_param {
    struct dawn_param_desc desc;
    int64_t elements;
    int users; /* nodes that use it, by number, each once: its uses */
    int *user;
};

struct dawni_node {
    struct dawn_node_desc desc; /* input, param, attr: owned copies */
    int *output;                /* tensor ids, desc.outputs of them */
    int number;                 /* its place in the order first built */
    bool active;                /* a gradient of some output arrives */
    bool needs_b;               /* and some input needs one */
};

struct dawn_graph {
    char *name;
    int nodes, tensors, params;
    struct dawni_node *node;
    struct dawni_tensor *tensor;
    struct dawni_param *param;
    int *place; /* by number: node id */
    int node_room, tensor_room, param_room;
    struct dawni_namemap *node_names, *tensor_names, *param_names;
    int loss; /* tensor, -1: none */
    bool finished;
    uint64_t digest;
    struct dawn_error sticky; /* status DAWN_OK: none */
};

/* xxh3 of everything that decides what the graph computes. */
uint64_t dawni_graph_digest(const struct dawn_graph *graph);

/* Who uses what, which tensors get gradients: what a graph derives from its
 * nodes, in any order. False: no memory. */
bool dawni_graph_derive(struct dawn_graph *graph);

/* Copy a description; n->output is room for its outputs' ids. On failure what
 * there is can be destroyed. False: no memory. */
bool dawni_node_copy(struct dawni_node *n, const struct dawn_node_desc *desc);

/* May nodes stand in that order? *bad is the place in `order` that is wrong, or
 * `count` when a node is missing. Returns DAWN_OK, DAWN_E_INVAL or
 * DAWN_E_NOMEM. */
enum dawn_status dawni_graph_check_order(const struct dawn_graph *graph,
                                         const int *order, int count, int *bad,
                                         struct dawn_error *err);

/* Do the nodes stand in the order in which the model was built? */
bool dawni_graph_is_built_order(const struct dawn_graph *graph);

/* Do both have the nodes, which are the same, in the same order? */
bool dawni_graph_same_order(const struct dawn_graph *a,
                            const struct dawn_graph *b);

/* The order that makes `graph` stand as `like`, which is the same model. To be
 * freed; NULL: no memory. */
int *dawni_graph_order_like(const struct dawn_graph *graph,
                            const struct dawn_graph *like);

/* dawn_graph_reorder to that. */
enum dawn_status dawni_graph_reorder_like(const struct dawn_graph *graph,
                                          const struct dawn_graph *like,
                                          struct dawn_graph **graph_p,
                                          struct dawn_error *err);

/* Bytes of a tensor as the memory model counts it: rounded up to 64. */
uint64_t dawni_graph_padded_bytes(const struct dawn_graph *graph, int tensor,
                                  int64_t microbatch);

/* Bytes of all tensors for so many samples, and of all parameters with their
 * gradients and moments: no less than what a rank holds of each. A double, so
 * that no product overflows. */
double dawni_graph_all_bytes(const struct dawn_graph *graph, double samples);

/* Does the node's backward need input i? */
static inline bool dawni_node_saves_input(const struct dawn_node_desc *d, int i)
{
    return i < 32 && (d->save_inputs >> i & 1);
}

/* Does any backward of nodes first..last need this tensor? */
bool dawni_tensor_saved(const struct dawn_graph *graph, int tensor, int first,
                        int last);

#endif
