/* SPDX-License-Identifier: Apache-2.0 */
/* What the models are built of. Functions that add a node return the tensor
 * that it makes; what fails is remembered in the graph.
 */
#ifndef DAWNI_MODELS_LAYERS_H
#define DAWNI_MODELS_LAYERS_H

#include <dawnpiper/job.h>

struct dawni_name {
    char text[80];
};

/* A name made up of pieces: dawni_name("block%d.ln1", i).text */
struct dawni_name dawni_name(const char *format, ...) DAWN_PRINTF(1, 2);

struct dawni_model {
    struct dawn_graph *graph;
    const struct dawn_model_opts *opts;
    double eps; /* of layer norms */
};

/* Parameters; matrices decay. */
int dawni_matrix(struct dawni_model *m, const char *param, int64_t rows,
                 int64_t columns, double std);
int dawni_vector(struct dawni_model *m, const char *param, int64_t elements,
                 enum dawn_init init);

/* An input (b, count) i32. */
int dawni_index_input(struct dawni_model *m, const char *input, int64_t count);

int dawni_unary(struct dawni_model *m, const char *node, const char *op, int x);
int dawni_binary(struct dawni_model *m, const char *node, const char *op, int a,
                 int b);
/* Nothing where the model drops nothing out. */
int dawni_dropout(struct dawni_model *m, const char *node, int x);

/* Parameters PARAM.weight and PARAM.bias of the model's width. */
int dawni_layer_norm(struct dawni_model *m, const char *node, const char *param,
                     int x);

struct dawni_linear {
    struct dawni_name node, param;
    int64_t from, to; /* widths */
    double std;       /* of its initial weights */
};

/* Parameters PARAM.weight (to, from) and PARAM.bias. */
int dawni_linear(struct dawni_model *m, const struct dawni_linear *l, int x);

/* Row `tokens` of the table, plus the place's row of `places`, both (.., C). */
int dawni_embed(struct dawni_model *m, int tokens, int table, int places);

/* One node PREFIX.core, or the three of unfused attention. */
int dawni_attention(struct dawni_model *m, const char *prefix, int qkv,
                    bool causal);

#endif
