/* SPDX-License-Identifier: Apache-2.0 */
/* The models known by name. */
#include "models/models.h"

#include <string.h>

#define PLAIN(preset_)                                                         \
    .preset = preset_, .fused_attention = true, .dtype = DAWN_BF16
#define SIZES(preset_, layers_, hidden_, heads_, context_, vocab_)             \
    {                                                                          \
        PLAIN(preset_), .layers = layers_, .hidden = hidden_, .heads = heads_, \
                        .context = context_, .vocab = vocab_                   \
    }

#define IMAGES(preset_, layers_, filters_, classes_, image_)                   \
    {                                                                          \
        PLAIN(preset_), .layers = layers_, .filters = filters_,                \
                        .classes = classes_, .image = image_, .channels = 3    \
    }

#define T5(preset_) PLAIN(preset_), .buckets = 32, .max_distance = 128
#define T5_SIZES(preset_, layers_, hidden_, heads_, context_, vocab_)          \
    {                                                                          \
        T5(preset_), .layers = layers_, .hidden = hidden_, .heads = heads_,    \
                     .context = context_, .vocab = vocab_                      \
    }

const struct dawni_preset dawni_presets[] = {
    {"gpt2", false, false, {PLAIN("gpt2")}, dawni_gpt2_build},
    {"gpt2-124m", true, false, SIZES("gpt2-124m", 12, 768, 12, 1024, 50257),
     dawni_gpt2_build},
    {"gpt2-tiny", true, false, SIZES("gpt2-tiny", 4, 256, 4, 256, 256),
     dawni_gpt2_build},
    {"bert", false, true, {PLAIN("bert")}, dawni_bert_build},
    {"bert-base", true, true, SIZES("bert-base", 12, 768, 12, 512, 30522),
     dawni_bert_build},
    {"bert-large", true, true, SIZES("bert-large", 24, 1024, 16, 512, 30522),
     dawni_bert_build},
    {"bert-tiny", true, true, SIZES("bert-tiny", 4, 256, 4, 256, 256),
     dawni_bert_build},
    {"amoebanet",
     false,
     false,
     {PLAIN("amoebanet"), .channels = 3},
     dawni_amoebanet_build},
    {"amoebanet-d", true, false, IMAGES("amoebanet-d", 18, 256, 1000, 224),
     dawni_amoebanet_build},
    {"amoebanet-tiny", true, false, IMAGES("amoebanet-tiny", 3, 32, 10, 32),
     dawni_amoebanet_build},
    {"t5", false, false, {T5("t5")}, dawni_t5_build},
    {"t5-base", true, false, T5_SIZES("t5-base", 12, 768, 12, 512, 32128),
     dawni_t5_build},
    {"t5-large", true, false, T5_SIZES("t5-large", 24, 1024, 16, 512, 32128),
     dawni_t5_build},
    {"t5-tiny", true, false, T5_SIZES("t5-tiny", 4, 256, 4, 256, 384),
     dawni_t5_build},
    {0},
};

const struct dawni_preset *dawni_preset_find(const char *name)
{
    const struct dawni_preset *preset = dawni_presets;

    while (preset->name && strcmp(preset->name, name) != 0)
        preset++;
    return preset->name ? preset : NULL;
}

bool dawn_model_takes_images(const struct dawn_model_opts *opts)
{
    const struct dawni_preset *preset = dawni_preset_find(opts->preset);

    return preset && preset->build == dawni_amoebanet_build;
}

/* What only networks of images have. */
static enum dawn_status check_images(const struct dawn_model_opts *opts,
                                     struct dawn_error *err)
{
    const struct {
        const char *name;
        int value, multiple, least;
    } size[] = {{"layers", opts->layers, 3, 3},
                {"filters", opts->filters, 8, 8},
                {"classes", opts->classes, 1, 2},
                {"image", opts->image, 32, 32},
                {"channels", opts->channels, 1, 1}};

    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].value < size[i].least || size[i].value % size[i].multiple)
            return dawn_fail(err, DAWN_E_INVAL,
                             "model '%s': %s %d, must be >= %d and a multiple "
                             "of %d",
                             opts->preset, size[i].name, size[i].value,
                             size[i].least, size[i].multiple);
    if (opts->hidden || opts->heads || opts->context || opts->vocab ||
        opts->masked || opts->dropout != 0)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s' has no hidden, heads, context, vocab, "
                         "masked and dropout",
                         opts->preset);
    return DAWN_OK;
}

static bool decodes(const struct dawn_model_opts *opts)
{
    const struct dawni_preset *preset = dawni_preset_find(opts->preset);

    return preset && preset->build == dawni_t5_build;
}

/* What only encoder-decoders have. */
static enum dawn_status check_decoder(const struct dawn_model_opts *opts,
                                      struct dawn_error *err)
{
    int length = dawn_model_target_context(opts);

    if (!decodes(opts) &&
        (opts->target_context || opts->buckets || opts->max_distance))
        return dawn_fail(err, DAWN_E_INVAL, "model '%s' has no decoder",
                         opts->preset);
    if (!decodes(opts))
        return DAWN_OK;
    if (!opts->fused_attention)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s' has fused attention only", opts->preset);
    if (opts->buckets < 4 || opts->buckets % 4)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': buckets %d, must be a multiple of 4",
                         opts->preset, opts->buckets);
    if (opts->max_distance <= opts->buckets / 2)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': max_distance %d, must be above %d, half "
                         "of the buckets",
                         opts->preset, opts->max_distance, opts->buckets / 2);
    if (opts->target_context < 0 || length < 1)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': target_context %d of context %d",
                         opts->preset, opts->target_context, opts->context);
    return DAWN_OK;
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
    enum dawn_status st;

    if (opts->dtype != DAWN_F32 && opts->dtype != DAWN_BF16)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': dtype must be f32 or bf16", opts->preset);
    if ((st = check_decoder(opts, err)))
        return st;
    if (dawn_model_takes_images(opts))
        return check_images(opts, err);
    if (opts->filters || opts->classes || opts->image || opts->channels)
        return dawn_fail(err, DAWN_E_INVAL, "model '%s' has no images",
                         opts->preset);
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
    if (opts->masked && !dawni_preset_find(opts->preset)->masked)
        return dawn_fail(err, DAWN_E_INVAL, "model '%s' has no masked tokens",
                         opts->preset);
    if (opts->masked < 0 || opts->masked > opts->context)
        return dawn_fail(err, DAWN_E_INVAL,
                         "model '%s': masked %d, must be 1 to %d, the context",
                         opts->preset, opts->masked, opts->context);
    return DAWN_OK;
}

int dawn_model_masked(const struct dawn_model_opts *opts)
{
    const struct dawni_preset *preset = dawni_preset_find(opts->preset);

    if (!preset || !preset->masked)
        return 0;
    if (opts->masked)
        return opts->masked;
    return opts->context < 7 ? 1
                             : (int)(((int64_t)opts->context * 3 + 10) / 20);
}

int dawn_model_target_context(const struct dawn_model_opts *opts)
{
    if (!decodes(opts))
        return 0;
    if (opts->target_context)
        return opts->target_context;
    /* The longest text that the encoder has room for once each span is one
     * token: the counts of text-to-text-transfer-transformer. */
    int64_t noise = 1, spans = 1;
    for (int64_t text = opts->context; text <= 2 * (int64_t)opts->context;
         text++) {
        int64_t n = (15 * text + 50) / 100;
        n -= 15 * text % 100 == 50 && n % 2; /* halves to even */
        n = n < 1 ? 1 : n;
        int64_t s = (n + 1) / 3;
        s = s < 1 ? 1 : s;
        if (text - n + s + 1 > opts->context)
            break;
        noise = n;
        spans = s;
    }
    return (int)(noise + spans + 1);
}

enum dawn_status dawn_model_preset(const char *name,
                                   struct dawn_model_opts *opts,
                                   struct dawn_error *err)
{
    const struct dawni_preset *preset = dawni_preset_find(name);

    if (!preset)
        return dawn_fail(err, DAWN_E_INVAL, "no model '%s'", name);
    *opts = preset->opts;
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
