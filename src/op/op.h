/* SPDX-License-Identifier: Apache-2.0 */
/* How an operator is defined: what it takes, and a function that infers what it
 * gives. One definition a file or family, all listed in op.c.
 */
#ifndef DAWNI_OP_OP_H
#define DAWNI_OP_OP_H

#include <dawnpiper/op.h>

#define DAWNI_OP_OUTPUTS 3
#define DAWNI_OP_ATTRS 4
#define DAWNI_OP_NAME 200 /* bytes of a tensor's name, with the end */

/* A node on its way into the graph. */
struct dawni_op {
    struct dawn_graph *graph;
    const struct dawn_op_desc *desc;
    const struct dawn_tensor_desc *in[DAWN_MAX_PORTS];
    const struct dawn_param_desc *param[DAWN_MAX_PORTS];
    int attrs;
    struct dawn_attr attr[DAWNI_OP_ATTRS]; /* checked, defaults filled in */

    /* set by infer */
    int outputs;
    struct dawn_tensor_desc out[DAWNI_OP_OUTPUTS];
    char out_name[DAWNI_OP_OUTPUTS][DAWNI_OP_NAME];
    uint32_t save_inputs, save_outputs, flags;
    double flops[3];
};

enum dawni_op_attr_kind {
    DAWNI_ATTR_BOOL,     /* 0 or 1 */
    DAWNI_ATTR_COUNT,    /* integral, >= 1 */
    DAWNI_ATTR_NATURAL,  /* integral, >= 0 */
    DAWNI_ATTR_POSITIVE, /* > 0 */
    DAWNI_ATTR_FRACTION, /* 0 <= x < 1 */
};

struct dawni_op_attr {
    const char *key; /* NULL ends the list */
    enum dawni_op_attr_kind kind;
    bool required;
    double otherwise;
};

struct dawni_op_def {
    const char *op;
    int inputs;
    int optional_inputs; /* that may follow them */
    int params_min, params_max;
    /* bits: parameters that kernels read as their compute copy only, where a
     * node has one */
    uint32_t prepared;
    struct dawni_op_attr attr[DAWNI_OP_ATTRS + 1];
    /* Check the shapes and fill in outputs, saves, flags and flops. Called by
     * dawn_op_add with counts and attributes already checked. False after
     * dawni_op_fail. */
    bool (*infer)(struct dawni_op *c);
    /* NULL, or: add other nodes in its place and return the tensor, or -1; -2
     * to go on with infer. */
    int (*expand)(struct dawni_op *c);
};

extern const struct dawni_op_def dawni_op_embedding;
extern const struct dawni_op_def dawni_op_position;
extern const struct dawni_op_def dawni_op_layer_norm;
extern const struct dawni_op_def dawni_op_rms_norm;
extern const struct dawni_op_def dawni_op_linear;
extern const struct dawni_op_def dawni_op_gelu;
extern const struct dawni_op_def dawni_op_relu;
extern const struct dawni_op_def dawni_op_scale;
extern const struct dawni_op_def dawni_op_attention;
extern const struct dawni_op_def dawni_op_attend;
extern const struct dawni_op_def dawni_op_relative_bias;
extern const struct dawni_op_def dawni_op_attn_scores;
extern const struct dawni_op_def dawni_op_softmax;
extern const struct dawni_op_def dawni_op_attn_values;
extern const struct dawni_op_def dawni_op_dropout;
extern const struct dawni_op_def dawni_op_add;
extern const struct dawni_op_def dawni_op_gather;
extern const struct dawni_op_def dawni_op_conv2d;
extern const struct dawni_op_def dawni_op_batch_norm;
extern const struct dawni_op_def dawni_op_max_pool;
extern const struct dawni_op_def dawni_op_avg_pool;
extern const struct dawni_op_def dawni_op_mean_pool;
extern const struct dawni_op_def dawni_op_concat;
extern const struct dawni_op_def dawni_op_cross_entropy;

/* `prepared` of an operator; 0 for those that are not defined here. */
uint32_t dawni_op_prepared(const char *op);

/* Remember that the node is wrong; the text follows "node NAME (OP): ".
 * Returns false. */
bool dawni_op_fail(struct dawni_op *c, const char *format, ...)
    DAWN_PRINTF(2, 3);

/* Value of an attribute that the definition lists. */
double dawni_op_attr(const struct dawni_op *c, const char *key);

/* Input i: dtype f32 or bf16, b first, at least `dims` extents after it. */
bool dawni_op_want_float(struct dawni_op *c, int i, int dims);
/* Input i: dtype i32, b first. */
bool dawni_op_want_index(struct dawni_op *c, int i);
/* Inputs i and k: the same dtype and shape. */
bool dawni_op_want_same(struct dawni_op *c, int i, int k);
/* Parameter i: exactly these extents (dims 1 or 2; 1 ignores the second). */
bool dawni_op_want_param(struct dawni_op *c, int i, int dims, int64_t first,
                         int64_t second);

/* Append an output, batched, without extents, named after the node plus suffix
 * ("" for output 0). Output 0 has a gradient, later ones have none. */
struct dawn_tensor_desc *dawni_op_output(struct dawni_op *c, const char *suffix,
                                         enum dawn_dtype dtype);
/* Copy the first `dims` extents of `from`. */
void dawni_op_copy_shape(struct dawn_tensor_desc *to,
                         const struct dawn_tensor_desc *from, int dims);

/* Elements of one sample; the same without the last extent; the last extent. */
double dawni_op_elements(const struct dawn_tensor_desc *tensor);
double dawni_op_rows(const struct dawn_tensor_desc *tensor);
int64_t dawni_op_last(const struct dawn_tensor_desc *tensor);

/* "(b,16,96) bf16", cut to fit. Returns text. */
#define DAWNI_OP_TEXT 160
const char *dawni_op_tensor_text(const struct dawn_tensor_desc *tensor,
                                 char text[DAWNI_OP_TEXT]);

#endif
