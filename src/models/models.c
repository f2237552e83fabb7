/* SPDX-License-Identifier: Apache-2.0 */
/* The models known by name. */
#include "models/models.h"

#include <string.h>

const struct dawni_preset dawni_presets[] = {
    {"gpt2", false, {.preset = "gpt2"}, dawni_gpt2_build},
    {"gpt2-124m",
     true,
     {.preset = "gpt2-124m",
      .layers = 12,
      .hidden = 768,
      .heads = 12,
      .context = 1024,
      .vocab = 50257,
      .fused_attention = true,
      .dtype = DAWN_BF16},
     dawni_gpt2_build},
    {"gpt2-tiny",
     true,
     {.preset = "gpt2-tiny",
      .layers = 4,
      .hidden = 256,
      .heads = 4,
      .context = 256,
      .vocab = 256,
      .fused_attention = true,
      .dtype = DAWN_BF16},
     dawni_gpt2_build},
    {0},
};

const struct dawni_preset *dawni_preset_find(const char *name)
{
    const struct dawni_preset *preset = dawni_presets;

    while (preset->name && strcmp(preset->name, name) != 0)
        preset++;
    return preset->name ? preset : NULL;
}

static enum dawn_status check_sizes(const struct dawn_model_opts *opts,
                                    struct dawn_error *err)
{
    const struct {
        const char *name;
        int value;
    } size[] = {{"layers", opts->layers},
                {"hidden", opts->hidden},
                {"heads", opts->heads},
                {"context", opts->context},
                {"vocab", opts->vocab}};

    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].value < 1)
            return dawn_fail(err, DAWN_E_INVAL,
                             "model '%s': %s %d, must be >= 1", opts->preset,
                             size[i].name, size[i].value);
    if (opts->hidden % opts->heads)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': hidden %d is no multiple of heads %d",
                         opts->preset, opts->hidden, opts->heads);
    if (!(opts->dropout >= 0 && opts->dropout < 1))
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': dropout must be >= 0 and < 1",
                         opts->preset);
    if (opts->dtype != DAWN_F32 && opts->dtype != DAWN_BF16)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': dtype must be f32 or bf16", opts->preset);
    return DAWN_OK;
}

enum dawn_status dawn_model_build(const struct dawn_model_opts *opts,
                                  struct dawn_graph **graph_p,
                                  struct dawn_error *err)
{
    const struct dawni_preset *preset = dawni_preset_find(opts->preset);
    struct dawn_graph *graph;
    enum dawn_status st;

    if (!preset)
        return dawn_fail(err, DAWN_E_INVAL, "no model '%s'", opts->preset);
    if ((st = check_sizes(opts, err)))
        return st;
    if ((st = dawn_graph_create(opts->preset, &graph, err)))
        return st;
    preset->build(graph, opts);
    if ((st = dawn_graph_finish(graph, err))) {
        dawn_graph_destroy(graph);
        return st;
    }
    *graph_p = graph;
    return DAWN_OK;
}
