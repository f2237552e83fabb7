/* SPDX-License-Identifier: Apache-2.0 */
/* GPT-2 as Hugging Face transformers stores it: config.json and
 * model.safetensors. It has the same parameters under nearly the same names,
 * with the matrices of its blocks the other way round, (inputs, outputs).
 */
#include "ckpt/checkpoint.h"
#include "ckpt/folder.h"
#include "ckpt/safetensors.h"
#include "common/array.h"
#include "common/file.h"

#include <dawnpiper/checkpoint.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_ROOM 256
#define CONFIG_LIMIT (1 << 20)
#define PREFIX "transformer."
#define HEAD "lm_head.weight"
#define TILE 32 /* of a transposition */

struct model {
    const struct dawn_model_opts *opts;
    struct dawn_graph *graph;
    int params;
    struct dawn_checkpoint_tensor *tensor; /* by parameter */
    float **value;                         /* likewise: their data */
    char (*name)[NAME_ROOM];               /* likewise */
    bool untied; /* their config says that the head is not the embedding */
};

static void model_clear(struct model *m)
{
    for (int i = 0; m->value && i < m->params; i++)
        free(m->value[i]);
    free(m->value);
    free(m->tensor);
    free(m->name);
    dawn_graph_destroy(m->graph);
}

static enum dawn_status model_create(const struct dawn_model_opts *opts,
                                     struct model *m, struct dawn_error *err)
{
    enum dawn_status st;

    *m = (struct model){.opts = opts};
    if (strncmp(opts->preset, "gpt2", 4) != 0)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "model %s: only GPT-2 can be converted", opts->preset);
    if ((st = dawn_model_build(opts, &m->graph, err)))
        return st;
    m->params = dawn_graph_params(m->graph);
    m->tensor = dawni_calloc(m->params, sizeof *m->tensor);
    m->value = dawni_calloc(m->params, sizeof *m->value);
    m->name = dawni_calloc(m->params, sizeof *m->name);
    if (m->tensor && m->value && m->name)
        return DAWN_OK;
    model_clear(m);
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d parameters",
                     m->params);
}

/* Names and layout */

/* "h.0.ln_1.weight", "wte.weight" */
static void their_name(const char *ours, char name[NAME_ROOM])
{
    bool table = strcmp(ours, "wte") == 0 || strcmp(ours, "wpe") == 0;

    snprintf(name, NAME_ROOM, "%s%s", ours, table ? ".weight" : "");
}

static bool is_turned(const struct dawn_param_desc *d)
{
    return d->dims == 2 && strncmp(d->name, "h.", 2) == 0;
}

/* (rows, columns) to (columns, rows) */
static void turn(const float *from, int64_t rows, int64_t columns, float *to)
{
    for (int64_t r = 0; r < rows; r += TILE)
        for (int64_t c = 0; c < columns; c += TILE)
            for (int64_t i = r; i < r + TILE && i < rows; i++)
                for (int64_t k = c; k < c + TILE && k < columns; k++)
                    to[k * rows + i] = from[i * columns + k];
}

/* Shape in their file. */
static void their_shape(const struct dawn_param_desc *d,
                        int64_t shape[DAWN_MAX_DIMS])
{
    memcpy(shape, d->shape, sizeof d->shape);
    if (is_turned(d)) {
        shape[0] = d->shape[1];
        shape[1] = d->shape[0];
    }
}

/* Room for a parameter; replaces `value` by what it is the other way round. */
static float *turned(const struct dawn_param_desc *d, float *value,
                     int64_t rows, int64_t columns)
{
    float *other;

    if (!is_turned(d))
        return value;
    other = dawni_calloc(rows * columns, sizeof *other);
    if (other)
        turn(value, rows, columns, other);
    free(value);
    return other;
}

static enum dawn_status no_memory(const struct dawn_param_desc *d,
                                  struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for %s", d->name);
}

/* Out */

static enum dawn_status take_param(struct model *m,
                                   const struct dawn_checkpoint *ck, int i,
                                   struct dawn_error *err)
{
    const struct dawn_param_desc *d = dawn_graph_param(m->graph, i);
    int64_t elements = dawn_graph_param_elements(m->graph, i);
    char name[NAME_ROOM];
    enum dawn_status st;

    m->value[i] = dawni_calloc(elements, sizeof **m->value);
    if (!m->value[i])
        return no_memory(d, err);
    if ((st = dawn_checkpoint_read(ck, d->name, d->dims, d->shape, m->value[i],
                                   err)))
        return st;
    m->value[i] = turned(d, m->value[i], d->shape[0], d->shape[1]);
    if (!m->value[i])
        return no_memory(d, err);
    their_name(d->name, name);
    snprintf(m->name[i], NAME_ROOM, PREFIX "%.200s", name);
    m->tensor[i] = (struct dawn_checkpoint_tensor){
        .name = m->name[i],
        .dtype = DAWN_F32,
        .dims = d->dims,
        .data = m->value[i],
    };
    their_shape(d, m->tensor[i].shape);
    return DAWN_OK;
}

static enum dawn_status write_weights(const struct model *m, const char *dir,
                                      struct dawn_error *err)
{
    struct dawni_safetensors_layout *layout = NULL;
    struct dawni_safetensors_written written;
    char *path = dawni_path_join(dir, "model.safetensors");
    char *temp = dawni_path_join(dir, ".model.safetensors.tmp");
    atomic_bool stop = false;
    enum dawn_status st = DAWN_OK;

    if (!path || !temp)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a path");
    if (!st &&
        !(st = dawni_safetensors_plan(m->tensor, m->params, &layout, err))) {
        unlink(temp); /* of a run that was cut short */
        st = dawni_safetensors_write(layout, temp, &stop, &written, err);
        if (!st && rename(temp, path))
            st = dawni_file_fail(path, "rename to it", err);
        if (st)
            unlink(temp);
    }
    dawni_safetensors_layout_destroy(layout);
    free(path);
    free(temp);
    return st;
}

static json_t *config_of(const struct dawn_model_opts *o)
{
    return json_pack(
        "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:f, s:f, s:b, "
        "s:s, s:n, s:n}",
        "architectures", "GPT2LMHeadModel", "model_type", "gpt2", "vocab_size",
        o->vocab, "n_positions", o->context, "n_embd", o->hidden, "n_layer",
        o->layers, "n_head", o->heads, "activation_function", "gelu_new",
        "layer_norm_epsilon", 1e-5, "resid_pdrop", o->dropout, "embd_pdrop",
        o->dropout, "attn_pdrop", 0.0, "tie_word_embeddings", 1, "torch_dtype",
        "float32", "bos_token_id", "eos_token_id");
}

static enum dawn_status write_config(const struct dawn_model_opts *opts,
                                     const char *dir, struct dawn_error *err)
{
    json_t *config = config_of(opts);
    char *text = config ? json_dumps(config, JSON_INDENT(2)) : NULL;
    char *path = dawni_path_join(dir, "config.json");
    enum dawn_status st;

    if (text && path)
        st = dawni_file_write(path, text, strlen(text), err);
    else
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for config.json");
    json_decref(config);
    free(text);
    free(path);
    return st;
}

enum dawn_status dawn_checkpoint_export_hf(const struct dawn_checkpoint *ck,
                                           const struct dawn_model_opts *model,
                                           const char *dir,
                                           struct dawn_error *err)
{
    struct model m;
    enum dawn_status st = model_create(model, &m, err);

    if (st)
        return st;
    for (int i = 0; !st && i < m.params; i++)
        st = take_param(&m, ck, i, err);
    if (!st && !(st = dawni_folder_make(dir, err)) &&
        !(st = write_weights(&m, dir, err)))
        st = write_config(model, dir, err);
    model_clear(&m);
    return st;
}

/* In */

/* A number of config.json, and what it must be. */
struct figure {
    const char *key, *other; /* another name that transformers takes, or NULL */
    double usual; /* where config.json does not say it: GPT2Config's default */
    double wanted;
};

static enum dawn_status check_number(const json_t *config, const char *path,
                                     const struct figure *f,
                                     struct dawn_error *err)
{
    const json_t *value = json_object_get(config, f->key);
    const char *usual = "";
    double number = f->usual;

    if (!value && f->other)
        value = json_object_get(config, f->other);
    if (value && !json_is_number(value))
        return dawn_fail(err, DAWN_E_FORMAT, "%s: %s is no number", path,
                         f->key);
    if (value)
        number = json_number_value(value);
    else
        usual = ", the default";
    if (number == f->wanted)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_MISMATCH,
                     "%s: %s is %.10g%s, the job has %.10g", path, f->key,
                     number, usual, f->wanted);
}

/* Not said, or null, which stands for the usual. */
static bool lacks(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);

    return !value || json_is_null(value);
}

static enum dawn_status check_kind(const json_t *config, const char *path,
                                   struct dawn_error *err)
{
    const char *kind = json_string_value(json_object_get(config, "model_type"));

    if (lacks(config, "model_type") || (kind && strcmp(kind, "gpt2") == 0))
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_MISMATCH, "%s: model_type is %.60s, not gpt2",
                     path, kind ? kind : "no word");
}

static enum dawn_status check_config(const json_t *config, const char *path,
                                     const struct dawn_model_opts *o,
                                     struct dawn_error *err)
{
    const struct figure number[] = {
        {"n_layer", "num_hidden_layers", 12, o->layers},
        {"n_embd", "hidden_size", 768, o->hidden},
        {"n_head", "num_attention_heads", 12, o->heads},
        {"n_positions", "max_position_embeddings", 1024, o->context},
        {"vocab_size", NULL, 50257, o->vocab},
        {"layer_norm_epsilon", NULL, 1e-5, 1e-5}};
    const struct figure inner = {"n_inner", NULL, 0, 4.0 * o->hidden};
    const char *gelu =
        json_string_value(json_object_get(config, "activation_function"));
    enum dawn_status st = check_kind(config, path, err);

    for (size_t i = 0; i < sizeof number / sizeof *number && !st; i++)
        st = check_number(config, path, &number[i], err);
    if (!st && !lacks(config, "n_inner"))
        st = check_number(config, path, &inner, err);
    if (!st && gelu && strcmp(gelu, "gelu_new") != 0 &&
        strcmp(gelu, "gelu_pytorch_tanh") != 0)
        st = dawn_fail(err, DAWN_E_MISMATCH,
                       "%s: activation_function is %.60s, not gelu_new", path,
                       gelu);
    if (!st && (json_is_true(json_object_get(
                    config, "scale_attn_by_inverse_layer_idx")) ||
                json_is_false(json_object_get(config, "scale_attn_weights"))))
        st = dawn_fail(err, DAWN_E_MISMATCH,
                       "%s: attention is not scaled by 1 / sqrt(head) alone",
                       path);
    return st;
}

static enum dawn_status read_config(struct model *m, const char *dir,
                                    struct dawn_error *err)
{
    char *path = dawni_path_join(dir, "config.json"), *text = NULL;
    json_error_t why;
    json_t *config;
    size_t bytes;
    enum dawn_status st;

    if (!path)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a path");
    st = dawni_file_read(path, CONFIG_LIMIT, &text, &bytes, err);
    if (!st) {
        config = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
        if (!config)
            st = dawn_fail(err, DAWN_E_FORMAT, "%s:%d: %s", path, why.line,
                           why.text);
        else
            st = check_config(config, path, m->opts, err);
        m->untied =
            json_is_false(json_object_get(config, "tie_word_embeddings"));
        json_decref(config);
    }
    free(text);
    free(path);
    return st;
}

static const struct dawn_checkpoint_tensor *find(
    const struct dawni_safetensors *file, const char *ours)
{
    const struct dawn_checkpoint_tensor *t;
    char name[NAME_ROOM], longer[NAME_ROOM + sizeof PREFIX];

    their_name(ours, name);
    snprintf(longer, sizeof longer, PREFIX "%s", name);
    t = dawni_safetensors_find(file, longer);
    return t ? t : dawni_safetensors_find(file, name);
}

static enum dawn_status check_tensor(const struct dawn_param_desc *d,
                                     const struct dawni_safetensors *file,
                                     const struct dawn_checkpoint_tensor *t,
                                     const char *path, struct dawn_error *err)
{
    char there[DAWNI_SHAPE_ROOM], here[DAWNI_SHAPE_ROOM];
    char fault[DAWNI_FAULT_ROOM];
    int64_t shape[DAWN_MAX_DIMS];
    size_t extents = (size_t)d->dims * sizeof *shape;

    their_shape(d, shape);
    if (!t)
        return dawn_fail(err, DAWN_E_MISMATCH, "%s: no tensor for %s", path,
                         d->name);
    if (dawni_safetensors_fault(file, t, fault))
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "%s: tensor %.200s: %s; weights are F32, BF16 or F16",
                         path, t->name, fault);
    if (t->dims != d->dims || memcmp(t->shape, shape, extents) != 0)
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "%s: tensor %.200s: shape %s, the job wants %s", path,
                         t->name, dawni_shape_text(t->dims, t->shape, there),
                         dawni_shape_text(d->dims, shape, here));
    if (t->dtype != DAWN_F32 && t->dtype != DAWN_BF16 && t->dtype != DAWNI_F16)
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "%s: tensor %.200s: none of F32, BF16, F16", path,
                         t->name);
    return DAWN_OK;
}

static enum dawn_status give_param(struct model *m,
                                   const struct dawni_safetensors *file,
                                   const char *path, int i,
                                   struct dawn_error *err)
{
    const struct dawn_param_desc *d = dawn_graph_param(m->graph, i);
    const struct dawn_checkpoint_tensor *t = find(file, d->name);
    int64_t elements = dawn_graph_param_elements(m->graph, i);
    enum dawn_status st = check_tensor(d, file, t, path, err);

    if (st)
        return st;
    m->value[i] = dawni_calloc(elements, sizeof **m->value);
    if (!m->value[i])
        return no_memory(d, err);
    dawni_safetensors_widen(t, 0, elements, m->value[i]);
    const struct dawn_checkpoint_part all = {.name = t->name,
                                             .count = elements};
    if ((st = dawni_check_finite(path, &all, m->value[i], err)))
        return st;
    m->value[i] = turned(d, m->value[i], d->shape[1], d->shape[0]);
    if (!m->value[i])
        return no_memory(d, err);
    m->tensor[i] = (struct dawn_checkpoint_tensor){.name = d->name,
                                                   .dtype = DAWN_F32,
                                                   .dims = d->dims,
                                                   .data = m->value[i]};
    memcpy(m->tensor[i].shape, d->shape, sizeof d->shape);
    return DAWN_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n >= k && strcmp(text + n - k, end) == 0;
}

/* The head is the embedding, which some files have twice. Another one would be
 * lost. */
static enum dawn_status check_head(const struct model *m,
                                   const struct dawni_safetensors *file,
                                   const struct dawn_checkpoint_tensor *head,
                                   const char *path, struct dawn_error *err)
{
    int wte = dawn_graph_find_param(m->graph, "wte");
    const struct dawn_param_desc *d = dawn_graph_param(m->graph, wte);
    int64_t elements = dawn_graph_param_elements(m->graph, wte);
    size_t bytes = (size_t)elements * sizeof(float);
    enum dawn_status st = check_tensor(d, file, head, path, err);

    if (st)
        return st;
    float *value = malloc(bytes);
    if (!value)
        return no_memory(d, err);
    dawni_safetensors_widen(head, 0, elements, value);
    if (memcmp(value, m->value[wte], bytes) != 0)
        st = dawn_fail(err, DAWN_E_MISMATCH,
                       "%s: tensor %.200s is not the embedding, to which the "
                       "head is tied",
                       path, head->name);
    free(value);
    return st;
}

/* The causal mask and the tied head, which some files have, say nothing new. */
static bool is_known(const char *name)
{
    static const char *const known[] = {HEAD, ".attn.bias",
                                        ".attn.masked_bias"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ends_with(name, known[i]))
            return true;
    return false;
}

static bool is_param(const struct model *m,
                     const struct dawni_safetensors *file,
                     const struct dawn_checkpoint_tensor *t)
{
    for (int i = 0; i < m->params; i++)
        if (find(file, dawn_graph_param(m->graph, i)->name) == t)
            return true;
    return false;
}

/* Anything that the model does not have would be lost. */
static enum dawn_status check_extra(const struct model *m,
                                    const struct dawni_safetensors *file,
                                    const char *path, struct dawn_error *err)
{
    const struct dawn_checkpoint_tensor *first = NULL;
    int extra = 0;

    for (int i = 0; i < dawni_safetensors_tensors(file); i++) {
        const struct dawn_checkpoint_tensor *t =
            dawni_safetensors_tensor(file, i);
        if (is_known(t->name) || is_param(m, file, t))
            continue;
        first = first ? first : t;
        extra++;
    }
    if (!extra)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_MISMATCH,
                     "%s: the job's model has no tensor %.200s, the first of "
                     "%d such",
                     path, first->name, extra);
}

static enum dawn_status check_rest(const struct model *m,
                                   const struct dawni_safetensors *file,
                                   const char *path, struct dawn_error *err)
{
    enum dawn_status st = check_extra(m, file, path, err);
    bool head = false;

    for (int i = 0; !st && i < dawni_safetensors_tensors(file); i++) {
        const struct dawn_checkpoint_tensor *t =
            dawni_safetensors_tensor(file, i);
        if (!ends_with(t->name, HEAD))
            continue;
        head = true;
        st = check_head(m, file, t, path, err);
    }
    if (!st && m->untied && !head)
        st = dawn_fail(err, DAWN_E_MISMATCH,
                       "%s: no tensor " HEAD ", though the config says "
                       "tie_word_embeddings: false",
                       path);
    return st;
}

/* Say what the folder has in place of model.safetensors, if it is known. */
static enum dawn_status check_form(const char *dir, const char *path,
                                   struct dawn_error *err)
{
    static const struct {
        const char *name, *is;
    } other[] = {{"model.safetensors.index.json", "in several files"},
                 {"pytorch_model.bin", "a pickle"},
                 {"pytorch_model.bin.index.json", "pickles"}};

    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        char *there = dawni_path_join(dir, other[i].name);
        bool found = access(path, F_OK) != 0 && there && !access(there, F_OK);
        free(there);
        if (found)
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "%s: no model.safetensors, but %s: the weights "
                             "are %s; save_pretrained(DIR, max_shard_size="
                             "\"1000GB\") of transformers writes one file",
                             dir, other[i].name, other[i].is);
    }
    return DAWN_OK;
}

static enum dawn_status read_weights(struct model *m, const char *dir,
                                     struct dawn_error *err)
{
    struct dawni_safetensors *file = NULL;
    char *path = dawni_path_join(dir, "model.safetensors");
    enum dawn_status st;

    if (!path)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a path");
    st = check_form(dir, path, err);
    if (!st)
        st = dawni_safetensors_open(path, &file, err);
    for (int i = 0; !st && i < m->params; i++)
        st = give_param(m, file, path, i, err);
    if (!st)
        st = check_rest(m, file, path, err);
    dawni_safetensors_close(file);
    free(path);
    return st;
}

/* Later checkpoints would be taken for the newest in place of this one. */
static enum dawn_status check_new(const char *dir, struct dawn_error *err)
{
    uint64_t *step = NULL;
    int steps = 0;

    dawni_folder_steps(dir, &step, &steps, NULL); /* none: it is made */
    free(step);
    return steps ? dawn_fail(err, DAWN_E_INVAL,
                             "%s has checkpoints: write to another folder", dir)
                 : DAWN_OK;
}

static enum dawn_status save(const struct model *m, const char *dir,
                             struct dawn_error *err)
{
    struct dawn_checkpoint_save *save = NULL;
    struct dawn_comm *alone = NULL;
    char digest[32];
    const struct dawn_checkpoint_string graph = {"graph", digest};
    enum dawn_status st = dawn_comm_create_loopback(1, 1, &alone, err);

    if (st)
        return st;
    snprintf(digest, sizeof digest, "xxh3:%016" PRIx64,
             dawn_graph_digest(m->graph));
    struct dawn_checkpoint_save_opts opts = {.comm = alone,
                                             .dir = dir,
                                             .tensors = m->params,
                                             .tensor = m->tensor,
                                             .strings = 1,
                                             .string = &graph};
    st = dawn_checkpoint_save_begin(&opts, &save, err);
    if (!st)
        st = dawn_checkpoint_save_finish(save, err);
    dawn_comm_destroy(alone);
    return st;
}

enum dawn_status dawn_checkpoint_import_hf(const char *hf_dir,
                                           const struct dawn_model_opts *model,
                                           const char *dir,
                                           struct dawn_error *err)
{
    struct model m;
    enum dawn_status st = model_create(model, &m, err);

    if (st)
        return st;
    if (!(st = check_new(dir, err)) && !(st = read_config(&m, hf_dir, err)) &&
        !(st = read_weights(&m, hf_dir, err)))
        st = save(&m, dir, err);
    model_clear(&m);
    return st;
}
