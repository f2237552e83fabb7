/* SPDX-License-Identifier: Apache-2.0 */
/* Operators: the built-in ones, and a user's own layers as callbacks. */
#ifndef DAWNPIPER_OP_H
#define DAWNPIPER_OP_H

#include <dawnpiper/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The arguments of one kernel call. All buffers are device memory, 64-byte
 * aligned, laid out as the graph's tensors say (row-major, b first).
 * The three phases of a node:
 *   F  forward           in, param, prepared -> out
 *   B  backward, inputs  saved in/out, param, prepared, dout -> din
 *   W  backward, params  saved in/out, dout -> dparam
 */
struct dawn_op_args {
    int64_t microbatch;        /* b, samples */
    const void *const *in;     /* by input; B, W: NULL unless saved */
    void *const *out;          /* by output; B, W: NULL unless saved */
    const float *const *param; /* by parameter: f32 values; where they are may
                                  change from call to call */
    const void *prepared;      /* what prepare() made, or NULL */
    const void *const *dout;   /* by output: its gradient, NULL if none */
    void *const *din;          /* by input: gradient to WRITE, NULL if unwanted;
                                  same dtype and shape as the input */
    const void *const *din_add; /* by input: NULL, or what to add to din[i];
                                   may be din[i] itself */
    float *const *dparam;       /* by parameter: f32 gradient of this use */
    bool dparam_add; /* add to dparam; false: overwrite (first microbatch of an
                        update) */
    void *scratch;   /* scratch bytes as announced for the phase */
    uint64_t seed;   /* of the job: key random numbers by all of these */
    uint64_t step;
    uint64_t sample; /* index in the step of the microbatch's first sample */
    int node;        /* its number: dawn_graph_number */
    bool eval;       /* F of an evaluation; F, B and W of a step whose gradients
                        are only looked at, as for Fisher information: dropout
                        does nothing, batch_norm takes its averages */
};

/* A user's layer. Every function may be called from the one thread that steps
 * the executor only; a nonzero return ends the step with DAWN_E_USER. The same
 * call on the same bytes must give the same bytes: recompute relies on it.
 */
struct dawn_layer_fns {
    int (*forward)(void *user, const struct dawn_op_args *args);
    /* NULL where no input has a gradient */
    int (*backward_input)(void *user, const struct dawn_op_args *args);
    /* NULL where the node has no parameter */
    int (*backward_param)(void *user, const struct dawn_op_args *args);
    /* bytes of scratch in phase 0 F, 1 B, 2 W at microbatch b; NULL is none */
    uint64_t (*scratch_bytes)(void *user, int phase, int64_t microbatch);
};

/* What dawn_op_add is told; outputs, saves and flags follow from the operator.
 *
 * op              inputs                params          attributes
 * embedding       tokens (T) i32        table (V,C)     bf16: output dtype
 * position        x (T,C)               table (>=T,C)
 * layer_norm      x (..,C)              gain, bias      eps
 * rms_norm        x (..,C)              gain            eps
 * linear          x (..,K)              w (N,K)[,bias (N)]
 * gelu            x                                     (tanh form, as GPT-2)
 * relu            x
 * scale           x                                     by, > 0
 * attention       qkv (T,3C)                            heads; causal, fused
 * attend          q (T,C), k (S,C),                     heads; causal, scaled
 *                 v (S,C) [, bias]                      -> (T,C)
 * relative_bias                         table (N,H)     context; max_distance,
 *                                                       causal -> (H,2T-1)
 * attn_scores     qkv (T,3C)                            heads -> (H,T,T)
 * softmax         scores (H,T,T)                        causal
 * attn_values     probs (H,T,T), qkv                    heads -> (T,C)
 * dropout         x                                     p
 * add             a, b
 * gather          x (T,C), rows (M) i32                 -> (M,C), of the sample
 * conv2d          x (H,W,C)             w (N,h,w,C)     stride, pad_h, pad_w,
 *                                                       shift -> (H',W',N)
 * batch_norm      x (..,C)              gain, bias,     eps
 *                                       mean, var (C)
 * max_pool        x (H,W,C)                             size; stride, pad
 * avg_pool        x (H,W,C)                             size; stride, pad
 * mean_pool       x (H,W,C)                             -> (1,C)
 * concat          2 to 16: x (..,C)                     -> (..,sum of C)
 * cross_entropy   logits (T,V), targets (T) i32         -> loss, scalar f32
 *
 * Of the attributes, causal, fused and scaled are 1, max_distance is 128 and
 * eps is 1e-5 (of rms_norm 1e-6) unless given, strides are 1, pads and shift
 * 0; heads, p, by, context and size must be given. Attention with fused 0 is
 * three nodes, NAME.scores, NAME.probs and NAME. Images are channels last.
 *
 * attend is fused attention; scores are divided by sqrt(C / heads) where
 * scaled. Its bias, f32 without b, is (H,T+S-1): element t - s + S - 1 of a
 * head's row is added to the score of query t and key s. relative_bias makes
 * such a bias for T = S = context from a table of N buckets: a bucket for each
 * short distance, wider ones up to max_distance; unless causal the second half
 * of them is for keys after the query (Raffel et al., 2020, section 2.1).
 *
 * conv2d has no bias; row r of a filter for output row i reads row i * stride +
 * r - pad_h + shift of x, columns likewise, or zero outside. Of batch_norm mean
 * and var are averages (graph.h); max_pool takes no window size above 15 and
 * avg_pool counts the pixels that lie in x.
 */
struct dawn_op_desc {
    const char *name; /* of the node; output 0 has the same name */
    const char *op;
    int inputs;
    int input[DAWN_MAX_PORTS]; /* tensor ids */
    int params;
    int param[DAWN_MAX_PORTS]; /* parameter ids */
    int attrs;
    struct dawn_attr attr[8];
};

/* Add a node of a built-in operator. Returns the id of its first output tensor,
 * or -1 (sticky, see graph.h).
 */
DAWN_API int dawn_op_add(struct dawn_graph *graph,
                         const struct dawn_op_desc *desc);

/* The first batch_norm that has one value of each channel to normalize at that
 * microbatch: a sample of one pixel. In training the mean is that value, so the
 * output is the bias and nothing in front of the node learns. Evaluations and
 * Fisher information, which take running statistics, do not suffer.
 *
 *   passes  of the plan, as in struct dawn_plan_info: do they train?
 *
 * Returns its node id; -1: there is none, or nothing is trained.
 */
DAWN_API int dawn_op_lone_norm(const struct dawn_graph *graph,
                               int64_t microbatch, const char *passes);

/* Check a layer of callbacks before it trains: are its gradients those of its
 * forward? It is called here, on drawn numbers from -1 to 1 in f32 inputs and
 * parameters (other inputs are zero), and compared with central differences of
 * step 0.01 of a drawn sum of its outputs, at up to 64 elements of each input
 * and parameter. It is also seen that backward reads nothing that the node has
 * not saved, whose place has garbage here and is NULL in an executor; and that
 * dparam_add adds.
 *
 *   node        of the graph, an op "layer" whose outputs are f32
 *   microbatch  samples, >= 1; a few are enough
 *   tolerance   largest difference, as a share of the largest slope of that
 *               input or parameter; 0: 0.01
 *
 * Layers that are not smooth, or whose numbers must lie elsewhere, may fail
 * though they are right. No device, no MPI; not thread-safe for one layer.
 * Returns DAWN_OK; DAWN_E_NUMERIC, with a text that names node, input or
 * parameter, element and both numbers; DAWN_E_USER (a callback failed),
 * DAWN_E_INVAL (no such layer), DAWN_E_NOTSUP (dtypes) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_gradient_check(const struct dawn_graph *graph,
                                              int node, int64_t microbatch,
                                              double tolerance,
                                              struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
