/* SPDX-License-Identifier: Apache-2.0 */
/* Model builders: one file a model, all listed in models.c. */
#ifndef DAWNI_MODELS_MODELS_H
#define DAWNI_MODELS_MODELS_H

#include <dawnpiper/job.h>

/* Sizes that a preset stands for. */
struct dawni_preset {
    const char *name; /* NULL ends the list */
    bool sized;       /* false: every size must be given */
    bool masked;      /* fills in masked tokens */
    struct dawn_model_opts opts;
    /* Fill an empty graph; what fails is remembered in it. */
    void (*build)(struct dawn_graph *graph, const struct dawn_model_opts *opts);
};

/* All presets; the last one has no name. */
extern const struct dawni_preset dawni_presets[];

/* NULL: unknown */
const struct dawni_preset *dawni_preset_find(const char *name);

void dawni_gpt2_build(struct dawn_graph *graph,
                      const struct dawn_model_opts *opts);
void dawni_bert_build(struct dawn_graph *graph,
                      const struct dawn_model_opts *opts);
void dawni_amoebanet_build(struct dawn_graph *graph,
                           const struct dawn_model_opts *opts);
void dawni_t5_build(struct dawn_graph *graph,
                    const struct dawn_model_opts *opts);

#endif
