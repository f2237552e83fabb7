/* SPDX-License-Identifier: Apache-2.0 */
/* job.yaml. */
#include "common/text.h"
#include "common/threads.h"
#include "common/yaml.h"
#include "models/models.h"

#include <assert.h>
#include <dawnpiper/job.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const char *const dtypes[] = {"bf16", "f32", NULL};
static const char *const attentions[] = {"fused", "unfused", NULL};
static const char *const formats[] = {"bytes", "llmc", "uint16", "images",
                                      NULL};
static const char *const decays[] = {"cosine", "none", NULL};
static const char *const devices[] = {"host", NULL};

struct sections {
    const char *kind;
    const struct dawni_yaml *model, *data, *train, *device, *passes;
    char out[4096];
};

#define FIELD(...) DAWNI_YAML_FIELD(struct sections, __VA_ARGS__)
static const struct dawni_yaml_field top_fields[] = {
    FIELD("dawn", TEXT, kind),
    FIELD("model", A_MAP, model, .required = true),
    FIELD("data", A_MAP, data, .required = true),
    FIELD("train", A_MAP, train, .required = true),
    FIELD("device", A_MAP, device),
    FIELD("passes", A_LIST, passes),
    FIELD("out", STRING, out),
};
#undef FIELD

struct model {
    struct dawn_model_opts opts;
    int dtype, attention; /* indices */
};

#define FIELD(...) DAWNI_YAML_FIELD(struct model, __VA_ARGS__)
static const struct dawni_yaml_field model_fields[] = {
    FIELD("preset", STRING, opts.preset, .required = true),
    FIELD("layers", INT, opts.layers, .ilo = 1, .ihi = 4096),
    FIELD("hidden", INT, opts.hidden, .ilo = 1, .ihi = 1 << 20),
    FIELD("heads", INT, opts.heads, .ilo = 1, .ihi = 4096),
    FIELD("context", INT, opts.context, .ilo = 1, .ihi = 1 << 24),
    FIELD("vocab", INT, opts.vocab, .ilo = 2, .ihi = 1 << 24),
    FIELD("dropout", DOUBLE, opts.dropout, .lo = 0, .hi = 0.99),
    FIELD("attention", CHOICE, attention, .choices = attentions),
    FIELD("dtype", CHOICE, dtype, .choices = dtypes),
    FIELD("masked", INT, opts.masked, .ilo = 1, .ihi = 1 << 24),
    FIELD("filters", INT, opts.filters, .ilo = 8, .ihi = 1 << 16),
    FIELD("classes", INT, opts.classes, .ilo = 2, .ihi = 1 << 16),
    FIELD("image", INT, opts.image, .ilo = 32, .ihi = 1 << 14),
    FIELD("channels", INT, opts.channels, .ilo = 1, .ihi = 1 << 10),
    FIELD("target_context", INT, opts.target_context, .ilo = 3, .ihi = 1 << 24),
    FIELD("buckets", INT, opts.buckets, .ilo = 4, .ihi = 1 << 16),
    FIELD("max_distance", INT, opts.max_distance, .ilo = 2, .ihi = 1 << 24),
};
#undef FIELD

#define MANY ((int64_t)1 << 40)
#define FIELD(...) DAWNI_YAML_FIELD(struct dawn_job, __VA_ARGS__)
static const struct dawni_yaml_field data_fields[] = {
    FIELD("train", PATH, data.train, .required = true),
    FIELD("eval", PATH, data.eval),
    FIELD("format", WORD, data.format, .choices = formats),
    FIELD("mask", INT, data.mask, .ilo = 0, .ihi = 1 << 24),
    FIELD("sentinel", INT, data.sentinel, .ilo = 0, .ihi = 1 << 24),
};

static const struct dawni_yaml_field train_fields[] = {
    FIELD("steps", I64, train.steps, .required = true, .ilo = 1, .ihi = MANY),
    FIELD("microbatch", I64, train.microbatch, .ilo = 1,
          .ihi = DAWNI_MOST_SAMPLES),
    FIELD("microbatches", INT, train.microbatches, .ilo = 1, .ihi = 1 << 20),
    FIELD("lr", DOUBLE, train.lr, .lo = 0, .hi = 100),
    FIELD("warmup", I64, train.warmup, .ilo = 0, .ihi = MANY),
    FIELD("decay", WORD, train.decay, .choices = decays),
    FIELD("min_lr", DOUBLE, train.min_lr, .lo = 0, .hi = 100),
    FIELD("weight_decay", DOUBLE, train.weight_decay, .lo = 0, .hi = 100),
    FIELD("clip", DOUBLE, train.clip, .lo = 0, .hi = 1e38),
    FIELD("beta1", DOUBLE, train.beta1, .lo = 0, .hi = 0.9999999),
    FIELD("beta2", DOUBLE, train.beta2, .lo = 0, .hi = 0.9999999),
    FIELD("eps", DOUBLE, train.eps, .lo = FLT_MIN, .hi = 1),
    FIELD("seed", U64, train.seed),
    FIELD("eval_every", I64, train.eval_every, .ilo = 0, .ihi = MANY),
    FIELD("eval_samples", I64, train.eval_samples, .ilo = 1, .ihi = MANY),
    FIELD("eval_microbatches", INT, train.eval_microbatches, .ilo = 1,
          .ihi = 1 << 20),
    FIELD("checkpoint_every", I64, train.checkpoint_every, .ilo = 0,
          .ihi = MANY),
    FIELD("keep", INT, train.keep, .ilo = 1, .ihi = 1 << 20),
    FIELD("init", PATH, train.init),
};

static const struct dawni_yaml_field device_fields[] = {
    FIELD("kind", WORD, device.kind, .choices = devices),
    FIELD("threads", INT, device.threads, .ilo = 1, .ihi = DAWNI_MOST_THREADS),
};

struct ewc_in {
    struct dawn_job job;
    const struct dawni_yaml *online;
};

static const char *const forms[] = {"gradient", "proximal", NULL};
static const char *const states[] = {"f32", "bf16", NULL};
#undef FIELD
#define FIELD(...) DAWNI_YAML_FIELD(struct ewc_in, __VA_ARGS__)
static const struct dawni_yaml_field ewc_fields[] = {
    FIELD("fisher", PATH, job.ewc.fisher, .required = true),
    FIELD("anchor", PATH, job.ewc.anchor, .required = true),
    FIELD("lambda", DOUBLE, job.ewc.lambda, .lo = 0, .hi = 1e38,
          .required = true),
    FIELD("relative", BOOL, job.ewc.relative),
    FIELD("form", WORD, job.ewc.form, .choices = forms),
    FIELD("state", WORD, job.ewc.state, .choices = states),
    FIELD("online", A_MAP, online),
};

static const struct dawni_yaml_field online_fields[] = {
    FIELD("decay", DOUBLE, job.ewc.decay, .lo = 1e-6, .hi = 1,
          .required = true),
};
#undef FIELD

/* What a job.yaml is read into, a member for each kind of table. */
struct whole {
    struct sections sections;
    struct model model;
    struct ewc_in in;
};

/* All tables. Mappings are read by these alone, so that no key of a job can be
 * missing among its settings. */
enum { TOP, MODEL, DATA, TRAIN, DEVICE, EWC, ONLINE };
#define TABLE(prefix, fields, member)                                          \
    {                                                                          \
        prefix, fields, COUNT(fields), offsetof(struct whole, member)          \
    }
static const struct table {
    const char *prefix;
    const struct dawni_yaml_field *field;
    int fields;
    size_t offset; /* in struct whole, of what the fields are members of */
} tables[] = {
    [TOP] = TABLE("", top_fields, sections),
    [MODEL] = TABLE("model.", model_fields, model),
    [DATA] = TABLE("data.", data_fields, in.job),
    [TRAIN] = TABLE("train.", train_fields, in.job),
    [DEVICE] = TABLE("device.", device_fields, in.job),
    [EWC] = TABLE("passes.ewc.", ewc_fields, in),
    [ONLINE] = TABLE("passes.ewc.online.", online_fields, in),
};
#undef TABLE

/* out: what the fields of table number `table` are members of */
static enum dawn_status read_table(const struct dawni_yaml *map, int table,
                                   void *out, struct dawn_error *err)
{
    return dawni_yaml_read(map, tables[table].field, tables[table].fields, out,
                           err);
}

static void set_defaults(struct dawn_job *job)
{
    *job = (struct dawn_job){
        .data = {.format = "bytes", .mask = -1, .sentinel = -1},
        .train = {.microbatch = 1,
                  .microbatches = 8,
                  .lr = 1e-3,
                  .decay = "cosine",
                  .min_lr = -1,
                  .weight_decay = 0.1,
                  .clip = 1,
                  .beta1 = 0.9,
                  .beta2 = 0.95,
                  .eps = 1e-8,
                  .seed = 1,
                  .eval_samples = 64,
                  .keep = 2},
        .device = {.kind = "host", .threads = 1},
        .ewc = {.form = "gradient", .state = "f32"},
        .out = "run",
    };
}

/* Model */

static enum dawn_status fail_preset(const struct dawni_yaml *node,
                                    struct dawn_error *err)
{
    char wanted[200] = "one of";

    for (const struct dawni_preset *p = dawni_presets; p->name; p++)
        snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted),
                 "%s %s", p == dawni_presets ? "" : ",", p->name);
    return dawni_yaml_expected(node, wanted, err);
}

/* Keys that only models of the other kind have, of tokens or of images, and
 * sizes that are no multiple of what they must be. */
static enum dawn_status check_kind(const struct dawni_yaml *map,
                                   const struct dawn_model_opts *opts,
                                   struct dawn_error *err)
{
    static const char *const of_tokens[] = {"hidden", "heads",     "context",
                                            "vocab",  "attention", "dropout",
                                            "masked"};
    static const char *const of_images[] = {"filters", "classes", "image",
                                            "channels"};
    bool images = dawn_model_takes_images(opts);
    const char *const *other = images ? of_tokens : of_images;
    const struct {
        const char *key;
        int value, multiple;
    } size[] = {{"layers", opts->layers, 3},
                {"filters", opts->filters, 8},
                {"image", opts->image, 32}};

    for (int i = 0; i < (images ? COUNT(of_tokens) : COUNT(of_images)); i++)
        if (dawni_yaml_get(map, other[i]))
            return dawni_yaml_fail(dawni_yaml_get(map, other[i]), DAWN_E_FORMAT,
                                   err, "key '%s': %s has none", other[i],
                                   opts->preset);
    for (int i = 0; i < COUNT(size) && images; i++)
        if (size[i].value % size[i].multiple)
            return dawni_yaml_fail(
                dawni_yaml_get(map, size[i].key), DAWN_E_FORMAT, err,
                "key '%s': %d is no multiple of %d", size[i].key, size[i].value,
                size[i].multiple);
    return DAWN_OK;
}

/* The sizes that a preset without any needs. */
static enum dawn_status check_sizes(const struct dawni_yaml *map,
                                    const struct dawn_model_opts *opts,
                                    struct dawn_error *err)
{
    static const char *const of_tokens[] = {"layers", "hidden", "heads",
                                            "context", "vocab"};
    static const char *const of_images[] = {"layers", "filters", "classes",
                                            "image"};
    bool images = dawn_model_takes_images(opts);
    const char *const *sizes = images ? of_images : of_tokens;

    for (int i = 0; i < (images ? COUNT(of_images) : COUNT(of_tokens)); i++)
        if (!dawni_yaml_get(map, sizes[i]))
            return dawni_yaml_fail(map, DAWN_E_FORMAT, err,
                                   "key '%s' is missing: preset %s has no "
                                   "sizes of its own",
                                   sizes[i], opts->preset);
    return DAWN_OK;
}

/* Of the keys that only models with a decoder have. */
static enum dawn_status check_decoder(const struct dawni_yaml *map,
                                      const struct dawn_model_opts *opts,
                                      struct dawn_error *err)
{
    static const char *const keys[] = {"target_context", "buckets",
                                       "max_distance"};
    bool decodes = dawn_model_target_context(opts) > 0;

    for (int i = 0; i < COUNT(keys) && !decodes; i++)
        if (dawni_yaml_get(map, keys[i]))
            return dawni_yaml_fail(dawni_yaml_get(map, keys[i]), DAWN_E_FORMAT,
                                   err, "key '%s': %s has no decoder", keys[i],
                                   opts->preset);
    if (decodes && opts->buckets % 4)
        return dawni_yaml_fail(dawni_yaml_get(map, "buckets"), DAWN_E_FORMAT,
                               err, "key 'buckets': is no multiple of 4");
    if (decodes && opts->max_distance <= opts->buckets / 2)
        return dawni_yaml_fail(map, DAWN_E_FORMAT, err,
                               "max_distance %d is not above half of the "
                               "buckets, %d",
                               opts->max_distance, opts->buckets / 2);
    if (decodes && !opts->fused_attention)
        return dawni_yaml_fail(dawni_yaml_get(map, "attention"), DAWN_E_FORMAT,
                               err, "key 'attention': %s has fused only",
                               opts->preset);
    return DAWN_OK;
}

/* Sizes come from the preset, then from the file. */
static enum dawn_status read_model(const struct dawni_yaml *map,
                                   struct dawn_model_opts *opts,
                                   struct dawn_error *err)
{
    const struct dawni_yaml *name = dawni_yaml_get(map, "preset");
    struct model model = {.dtype = -1, .attention = -1};
    const struct dawni_preset *preset = NULL;
    enum dawn_status st;

    if (name && name->kind == DAWNI_YAML_SCALAR) {
        if (!(preset = dawni_preset_find(name->text)))
            return fail_preset(name, err);
        model.opts = preset->opts;
    }
    if ((st = read_table(map, MODEL, &model, err)))
        return st;
    assert(preset); /* its key is required, and a scalar */
    if ((st = check_kind(map, &model.opts, err)) ||
        (!preset->sized && (st = check_sizes(map, &model.opts, err))))
        return st;
    if (model.opts.heads && model.opts.hidden % model.opts.heads)
        return dawni_yaml_fail(map, DAWN_E_FORMAT, err,
                               "hidden %d is no multiple of heads %d",
                               model.opts.hidden, model.opts.heads);
    if (model.dtype >= 0)
        model.opts.dtype = model.dtype == 1 ? DAWN_F32 : DAWN_BF16;
    if (model.opts.masked && !preset->masked)
        return dawni_yaml_fail(dawni_yaml_get(map, "masked"), DAWN_E_FORMAT,
                               err, "key 'masked': %s masks no tokens",
                               preset->name);
    if (model.opts.masked > model.opts.context)
        return dawni_yaml_fail(dawni_yaml_get(map, "masked"), DAWN_E_FORMAT,
                               err, "key 'masked': is above context");
    model.opts.fused_attention = model.attention != 1;
    if ((st = check_decoder(map, &model.opts, err)))
        return st;
    *opts = model.opts;
    return DAWN_OK;
}

/* Files */

/* Paths of data and checkpoints are relative to the job file's folder. */
static enum dawn_status place_path(const struct dawni_yaml *map,
                                   const char *key, const char *job_path,
                                   char path[4096], struct dawn_error *err)
{
    const char *slash = strrchr(job_path, '/');
    size_t folder = slash ? (size_t)(slash - job_path) + 1 : 0;

    if (!*path || *path == '/')
        return DAWN_OK;
    if (folder + strlen(path) >= 4096)
        return dawni_yaml_fail(dawni_yaml_get(map, key), DAWN_E_FORMAT, err,
                               "key '%s': the path is too long", key);
    memmove(path + folder, path, strlen(path) + 1);
    memcpy(path, job_path, folder);
    return DAWN_OK;
}

/* A model of images reads them, and no other does. */
static enum dawn_status check_format(const struct dawni_yaml *map,
                                     struct dawn_job *job,
                                     struct dawn_error *err)
{
    const struct dawni_yaml *format = dawni_yaml_get(map, "format");
    bool takes = dawn_model_takes_images(&job->model);

    if (takes && !format)
        strcpy(job->data.format, "images");
    if (takes == !strcmp(job->data.format, "images"))
        return DAWN_OK;
    return dawni_yaml_fail(format, DAWN_E_FORMAT, err, "key 'format': %s %s",
                           job->model.preset,
                           takes ? "reads images only" : "reads no images");
}

static enum dawn_status read_data(const struct dawni_yaml *map,
                                  const char *job_path, struct dawn_job *job,
                                  struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = read_table(map, DATA, job, err)))
        return st;
    if (!*job->data.train)
        return dawni_yaml_expected(dawni_yaml_get(map, "train"), "a file", err);
    if ((st = check_format(map, job, err)))
        return st;
    if (job->data.mask < 0)
        job->data.mask = job->model.vocab - 1;
    if (job->data.mask >= job->model.vocab)
        return dawni_yaml_fail(dawni_yaml_get(map, "mask"), DAWN_E_FORMAT, err,
                               "key 'mask': the vocabulary has %d tokens",
                               job->model.vocab);
    if (job->data.sentinel < 0)
        job->data.sentinel = job->model.vocab - 1;
    if (job->data.sentinel >= job->model.vocab)
        return dawni_yaml_fail(dawni_yaml_get(map, "sentinel"), DAWN_E_FORMAT,
                               err,
                               "key 'sentinel': the vocabulary has %d "
                               "tokens",
                               job->model.vocab);
    if ((st = place_path(map, "train", job_path, job->data.train, err)))
        return st;
    return place_path(map, "eval", job_path, job->data.eval, err);
}

static enum dawn_status read_train(const struct dawni_yaml *map,
                                   const char *job_path, struct dawn_job *job,
                                   struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = read_table(map, TRAIN, job, err)))
        return st;
    if (job->train.min_lr > job->train.lr)
        return dawni_yaml_fail(dawni_yaml_get(map, "min_lr"), DAWN_E_FORMAT,
                               err, "key 'min_lr': is above lr");
    if (dawni_yaml_get(map, "eval_samples") && job->train.eval_microbatches)
        return dawni_yaml_fail(dawni_yaml_get(map, "eval_microbatches"),
                               DAWN_E_FORMAT, err,
                               "key 'eval_microbatches': eval_samples says "
                               "how many");
    if (job->train.eval_microbatches)
        job->train.eval_samples =
            job->train.eval_microbatches * job->train.microbatch;
    return place_path(map, "init", job_path, job->train.init, err);
}

/* Passes */

static enum dawn_status read_ewc(const struct dawni_yaml *map, const char *path,
                                 struct dawn_job *job, struct dawn_error *err)
{
    struct ewc_in in = {.job = *job};
    enum dawn_status st = read_table(map, EWC, &in, err);

    if (!st && in.online)
        st = read_table(in.online, ONLINE, &in, err);
    if (st)
        return st;
    if (!*in.job.ewc.fisher || !*in.job.ewc.anchor)
        return dawni_yaml_expected(
            dawni_yaml_get(map, *in.job.ewc.fisher ? "anchor" : "fisher"),
            "a folder", err);
    if ((st = place_path(map, "fisher", path, in.job.ewc.fisher, err)) ||
        (st = place_path(map, "anchor", path, in.job.ewc.anchor, err)))
        return st;
    in.job.ewc.on = true;
    *job = in.job;
    return DAWN_OK;
}

/* A list of maps with one key each. */
static enum dawn_status read_passes(const struct dawni_yaml *list,
                                    const char *path, struct dawn_job *job,
                                    struct dawn_error *err)
{
    const struct dawni_yaml *at = list ? list->first : NULL;
    enum dawn_status st = DAWN_OK;

    for (; at && !st; at = at->next) {
        if (at->kind != DAWNI_YAML_MAP || at->items != 1)
            return dawni_yaml_expected(at, "a pass, {ewc: {...}}", err);
        if (strcmp(at->first->key, "ewc") != 0)
            return dawni_yaml_fail(at->first, DAWN_E_FORMAT, err,
                                   "pass '%.60s' is none: ewc is the only one",
                                   at->first->key);
        if (job->ewc.on)
            return dawni_yaml_fail(at->first, DAWN_E_FORMAT, err,
                                   "pass 'ewc' stands twice");
        if (at->first->kind != DAWNI_YAML_MAP)
            return dawni_yaml_expected(at->first, "a mapping", err);
        st = read_ewc(at->first, path, job, err);
    }
    return st;
}

const char *dawn_job_passes(const struct dawn_job *job)
{
    if (!job->ewc.on)
        return "";
    return strcmp(job->ewc.state, "bf16") == 0 ? "ewc-bf16" : "ewc";
}

static enum dawn_status read_job(const struct dawni_yaml_doc *doc,
                                 const char *path, struct dawn_job *job,
                                 struct dawn_error *err)
{
    struct sections s = {.out = "run"};
    enum dawn_status st;

    if ((st = dawni_yaml_check_kind(doc, "job/1", err)))
        return st;
    if ((st = read_table(dawni_yaml_root(doc), TOP, &s, err)))
        return st;
    if ((st = read_model(s.model, &job->model, err)))
        return st;
    if ((st = read_data(s.data, path, job, err)))
        return st;
    if ((st = read_train(s.train, path, job, err)))
        return st;
    if (s.device && (st = read_table(s.device, DEVICE, job, err)))
        return st;
    if ((st = read_passes(s.passes, path, job, err)))
        return st;
    if (!*s.out)
        return dawni_yaml_expected(dawni_yaml_get(dawni_yaml_root(doc), "out"),
                                   "a folder", err);
    strcpy(job->out, s.out);
    return DAWN_OK;
}

enum dawn_status dawn_job_load(const char *path, struct dawn_job *job,
                               struct dawn_error *err)
{
    struct dawni_yaml_doc *doc;
    struct dawn_job loaded;
    enum dawn_status st;

    if ((st = dawni_yaml_load(path, &doc, err)))
        return st;
    set_defaults(&loaded);
    st = read_job(doc, path, &loaded, err);
    dawni_yaml_destroy(doc);
    if (!st)
        *job = loaded;
    return st;
}

/* Settings */

/* A mapping's or list's own keys stand in other tables; the text of `dawn:` is
 * the same in all jobs. */
static bool is_setting(const struct dawni_yaml_field *f)
{
    return f->type != DAWNI_YAML_A_MAP && f->type != DAWNI_YAML_A_LIST &&
           f->type != DAWNI_YAML_TEXT;
}

int dawn_job_settings(void)
{
    int n = 0;

    for (int table = 0; table < COUNT(tables); table++)
        for (int i = 0; i < tables[table].fields; i++)
            n += is_setting(&tables[table].field[i]);
    return n;
}

static void print_value(const struct dawni_yaml_field *f, const void *at,
                        char *text, size_t room)
{
    char number[DAWNI_DOUBLE_ROOM];

    switch (f->type) {
    case DAWNI_YAML_INT:
        snprintf(text, room, "%d", *(const int *)at);
        return;
    case DAWNI_YAML_I64:
        snprintf(text, room, "%" PRId64, *(const int64_t *)at);
        return;
    case DAWNI_YAML_U64:
    case DAWNI_YAML_SIZE:
    case DAWNI_YAML_DIGEST:
        snprintf(text, room, "%" PRIu64, *(const uint64_t *)at);
        return;
    case DAWNI_YAML_DOUBLE:
        snprintf(text, room, "%s",
                 dawni_double_text(*(const double *)at, number));
        return;
    case DAWNI_YAML_BOOL:
        snprintf(text, room, "%s", *(const bool *)at ? "true" : "false");
        return;
    case DAWNI_YAML_CHOICE:
        snprintf(text, room, "%s", f->choices[*(const int *)at]);
        return;
    default:
        snprintf(text, room, "%s", (const char *)at);
    }
}

/* Undo what reading makes of a model's keys. */
static struct model model_of(const struct dawn_model_opts *opts)
{
    return (struct model){.opts = *opts,
                          .dtype = opts->dtype == DAWN_F32,
                          .attention = !opts->fused_attention};
}

void dawn_job_setting(const struct dawn_job *job, int number,
                      struct dawn_job_setting *setting)
{
    struct whole whole = {.model = model_of(&job->model), .in.job = *job};
    const struct table *table = tables;
    int i = -1;

    strcpy(whole.sections.out, job->out);
    for (;;) {
        if (++i == table->fields) {
            table++;
            i = 0;
        }
        if (is_setting(&table->field[i]) && !number--)
            break;
    }
    const struct dawni_yaml_field *f = &table->field[i];
    snprintf(setting->name, sizeof setting->name, "%s%s", table->prefix,
             f->key);
    setting->is_path = f->type == DAWNI_YAML_PATH;
    print_value(f, (const char *)&whole + table->offset + f->offset,
                setting->value, sizeof setting->value);
}

double dawn_job_lr(const struct dawn_job *job, uint64_t step)
{
    const double pi = 3.14159265358979323846;
    uint64_t warmup = job->train.warmup, steps = job->train.steps;
    double lr = job->train.lr;
    double least = job->train.min_lr < 0 ? lr / 10 : job->train.min_lr;

    if (step < warmup)
        return lr * (double)(step + 1) / (double)warmup;
    if (strcmp(job->train.decay, "cosine") != 0)
        return lr;
    if (step + 1 >= steps)
        return least;
    double way = (double)(step - warmup) / (double)(steps - 1 - warmup);
    return least + (lr - least) * 0.5 * (1 + cos(pi * way));
}
