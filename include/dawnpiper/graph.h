/* SPDX-License-Identifier: Apache-2.0 */
/* A model as a graph of operators: tensors, parameters, nodes. Plain data.
 *
 * A graph is built once, finished, and read-only from then on; a finished graph
 * may be read by any number of threads. Nodes stand in topological order, the
 * order in which they were added, or another in a reordered copy; a pipeline
 * stage is a contiguous run of them, and the graph may be cut anywhere.
 *
 * Building uses a sticky error: a call that fails remembers the first reason
 * and returns -1, every later call returns -1 too, and dawn_graph_finish
 * reports it. Ids are indices: tensors, parameters and nodes count from 0 each.
 */
#ifndef DAWNPIPER_GRAPH_H
#define DAWNPIPER_GRAPH_H

#include <dawnpiper/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_graph;
struct dawn_layer_fns;

#define DAWN_MAX_DIMS 6
#define DAWN_MAX_PORTS                                                         \
    16 /* outputs, parameters of one node, each; and inputs                    \
          of one that has a kernel */
#define DAWN_MAX_INPUTS 4096 /* inputs of one node */

/* name in files, bytes of one element */
#define DAWN_DTYPE_MAP(X)                                                      \
    X(F32, "f32", 4)                                                           \
    X(BF16, "bf16", 2)                                                         \
    X(I32, "i32", 4)                                                           \
    X(U8, "u8", 1)

enum dawn_dtype {
#define DAWN_DTYPE_ENUM(name, text, bytes) DAWN_##name,
    DAWN_DTYPE_MAP(DAWN_DTYPE_ENUM)
#undef DAWN_DTYPE_ENUM
};

/* A tensor. bytes(b) = fixed_bytes + b * per_sample_bytes. */
struct dawn_tensor_desc {
    const char *name; /* unique in the graph; [A-Za-z0-9_.-]+ */
    enum dawn_dtype dtype;
    bool batched; /* a first extent b, the microbatch, stands before shape */
    bool no_grad; /* an output that gets no gradient (statistics, masks) */
    int dims;     /* extents in shape, without b; 0 is a scalar */
    int64_t shape[DAWN_MAX_DIMS]; /* row-major */
};

enum dawn_init { DAWN_INIT_ZERO, DAWN_INIT_ONE, DAWN_INIT_NORMAL };

/* A parameter. Its master copy is f32, row-major. A parameter used by several
 * nodes is tied: each use has its own gradient, summed in node order.
 */
struct dawn_param_desc {
    const char *name; /* unique among parameters */
    int dims;         /* >= 1 */
    int64_t shape[DAWN_MAX_DIMS];
    enum dawn_init init;
    double std; /* of DAWN_INIT_NORMAL */
    bool decay; /* weight decay applies */
    /* 0: a weight, moved by the optimizer. 0 < average < 1: a statistic of the
     * data, used by one node, whose W adds each microbatch's value where a
     * weight's would add its gradient. A step sets it to (1 - average) * itself
     * + average * the microbatches' mean; it has no moments, no decay and no
     * part in the gradient's norm. */
    double average;
};

struct dawn_attr {
    const char *key;
    double value;
};

/* What backward may do in place, and what it needs. */
enum {
    DAWN_NODE_INPLACE = 1 << 0,   /* output 0 may overwrite the LAST input */
    DAWN_NODE_GRAD_PASS = 1 << 1, /* every input's gradient IS that of output 0:
                                     backward is never called */
    DAWN_NODE_GRAD_INPLACE = 1 << 2, /* gradient of input 0 may overwrite saved
                                        input 0 */
    DAWN_NODE_ABSTRACT = 1 << 3, /* work that is planned and never run: it adds
                                    gradients in any order */
};

struct dawn_node_desc {
    const char *name; /* unique among nodes; [A-Za-z0-9_.-]+ */
    const char *op;   /* operator: "linear", ..., or "layer" with fns */
    int inputs;
    const int *input; /* tensor ids */
    int params;
    const int *param; /* parameter ids */
    int outputs;
    const struct dawn_tensor_desc *output;
    uint32_t save_inputs;  /* bit i: backward needs input i, of the first 32 */
    uint32_t save_outputs; /* bit i: backward needs output i */
    uint32_t flags;        /* DAWN_NODE_* */
    int attrs;
    const struct dawn_attr *attr;     /* what the operator needs to know */
    double flops[3];                  /* F, B, W per sample; 0 where unknown */
    const struct dawn_layer_fns *fns; /* op "layer": the caller's callbacks
                                         (op.h); must outlive the graph */
    void *user;                       /* handed to fns */
};

/* Make an empty graph.
 *
 *   name     of the model, copied
 *   graph_p  out: the caller destroys it
 *
 * Returns DAWN_OK or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_graph_create(const char *name,
                                            struct dawn_graph **graph_p,
                                            struct dawn_error *err);

/* Takes NULL. */
DAWN_API void dawn_graph_destroy(struct dawn_graph *graph);

/* Add a graph input (tokens, targets), filled by the trainer for every
 * microbatch. Returns the tensor's id, or -1.
 */
DAWN_API int dawn_graph_add_input(struct dawn_graph *graph,
                                  const struct dawn_tensor_desc *desc);

/* Add a parameter. Returns its id, or -1. */
DAWN_API int dawn_graph_add_param(struct dawn_graph *graph,
                                  const struct dawn_param_desc *desc);

/* Add a node; everything in `desc` is copied but fns and user. Returns its id,
 * or -1. For the built-in operators dawn_op_add (op.h) infers outputs, saves
 * and flags and then calls this.
 */
DAWN_API int dawn_graph_add_node(struct dawn_graph *graph,
                                 const struct dawn_node_desc *desc);

/* The tensor id of output k of a node, or -1. */
DAWN_API int dawn_graph_output(const struct dawn_graph *graph, int node, int k);

/* The graph's loss: a scalar f32 tensor, the mean over the microbatch. */
DAWN_API void dawn_graph_set_loss(struct dawn_graph *graph, int tensor);

/* Remember why a caller that builds on this graph failed, as the calls above
 * do; later failures do not replace it.
 */
DAWN_API void dawn_graph_fail(struct dawn_graph *graph, enum dawn_status status,
                              const char *format, ...) DAWN_PRINTF(3, 4);

/* Check the whole graph and compute its digest. Nothing may be added after.
 *
 * Returns DAWN_OK, the first failure of an earlier call, or DAWN_E_INVAL (no
 * node, a loss that is no scalar f32).
 */
DAWN_API enum dawn_status dawn_graph_finish(struct dawn_graph *graph,
                                            struct dawn_error *err);

/* Copy a finished graph with its nodes in another topological order.
 *
 *   order     node ids of `graph`, `count` of them: order[i] stands at place i
 *   graph_p   out: the caller destroys it
 *
 * Tensors and parameters keep names and ids, nodes everything but their place;
 * fns and user are shared. It is still the same model: the digest stays, and
 * training gives the same bits. For that the users of a tensor that gets a
 * gradient must keep their order, in which their parts of it are added, unless
 * they are abstract.
 *
 * Returns DAWN_OK, DAWN_E_NOMEM or DAWN_E_INVAL: a graph that is not finished,
 * or an order that lacks a node, has one twice, has a node before one that it
 * needs, or swaps two users of such a tensor; the text names the nodes.
 */
DAWN_API enum dawn_status dawn_graph_reorder(const struct dawn_graph *graph,
                                             const int *order, int count,
                                             struct dawn_graph **graph_p,
                                             struct dawn_error *err);

/* The place of a node in the order in which the model was built, the same in
 * all reordered copies; what random numbers are keyed by. -1: no such node.
 */
DAWN_API int dawn_graph_number(const struct dawn_graph *graph, int node);

/* Read a finished graph. Pointers live as long as the graph; an id out of
 * range gives NULL, -1 or 0.
 */
DAWN_API const char *dawn_graph_name(const struct dawn_graph *graph);
DAWN_API int dawn_graph_nodes(const struct dawn_graph *graph);
DAWN_API int dawn_graph_tensors(const struct dawn_graph *graph);
DAWN_API int dawn_graph_params(const struct dawn_graph *graph);
DAWN_API int dawn_graph_loss(const struct dawn_graph *graph);
DAWN_API const struct dawn_node_desc *dawn_graph_node(
    const struct dawn_graph *graph, int node);
DAWN_API const struct dawn_tensor_desc *dawn_graph_tensor(
    const struct dawn_graph *graph, int tensor);
DAWN_API const struct dawn_param_desc *dawn_graph_param(
    const struct dawn_graph *graph, int param);
/* node that makes the tensor, -1 for a graph input */
DAWN_API int dawn_graph_producer(const struct dawn_graph *graph, int tensor);
/* find by name, -1 when absent; O(1) */
DAWN_API int dawn_graph_find_node(const struct dawn_graph *graph,
                                  const char *name);
DAWN_API int dawn_graph_find_tensor(const struct dawn_graph *graph,
                                    const char *name);
DAWN_API int dawn_graph_find_param(const struct dawn_graph *graph,
                                   const char *name);
/* value of an attribute of a node, or `otherwise` */
DAWN_API double dawn_graph_attr(const struct dawn_graph *graph, int node,
                                const char *key, double otherwise);
/* bytes of a tensor at microbatch b; elements of a parameter */
DAWN_API uint64_t dawn_graph_tensor_bytes(const struct dawn_graph *graph,
                                          int tensor, int64_t microbatch);
DAWN_API int64_t dawn_graph_param_elements(const struct dawn_graph *graph,
                                           int param);
/* xxh3 of the graph's structure; what plans and profiles name */
DAWN_API uint64_t dawn_graph_digest(const struct dawn_graph *graph);

/* "bf16" and 2; NULL and 0 for a number that is no dtype. */
DAWN_API const char *dawn_dtype_name(enum dawn_dtype dtype);
DAWN_API size_t dawn_dtype_bytes(enum dawn_dtype dtype);

#ifdef __cplusplus
}
#endif

#endif
