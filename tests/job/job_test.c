/* SPDX-License-Identifier: Apache-2.0 */
/* job.yaml: defaults, presets, and what is refused. */
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/job.h>
#include <math.h>

#define MODEL                                                                  \
    "model: {preset: gpt2, layers: 6, hidden: 256, heads: 8, context: 128, "   \
    "vocab: 256}\n"
#define DATA "data: {train: kjv.txt}\n"
#define TRAIN "train: {steps: 300}\n"

static enum dawn_status load(const char *text, struct dawn_job *job,
                             struct dawn_error *err)
{
    return dawn_job_load(scratch_write("job.yaml", text), job, err);
}

static void test_full(void)
{
    struct dawn_job job;
    struct dawn_error err = {DAWN_OK, ""};
    char path[400];

    is_int(load("dawn: job/1\n"
                "model: {preset: gpt2, layers: 6, hidden: 256, heads: 8, "
                "context: 256, vocab: 256, dropout: 0.1, attention: unfused, "
                "dtype: f32}\n"
                "data: {train: kjv.train.txt, eval: /data/kjv.eval.txt, "
                "format: uint16}\n"
                "train: {steps: 300, microbatch: 4, microbatches: 8, "
                "lr: 1.0e-3, warmup: 20, decay: none, weight_decay: 0.2, "
                "clip: 0.5, seed: 18446744073709551615, eval_every: 50, "
                "beta1: 0.8, beta2: 0.9, eps: 1e-7, min_lr: 1e-5, "
                "eval_microbatches: 3, checkpoint_every: 7, keep: 5}\n"
                "device: {kind: host, threads: 2}\npasses: []\nout: there\n",
                &job, &err),
           DAWN_OK, "a job with all keys is read %s", err.text);
    is_str(job.model.preset, "gpt2", "preset");
    ok(job.model.layers == 6 && job.model.hidden == 256 &&
           job.model.heads == 8 && job.model.context == 256 &&
           job.model.vocab == 256 && job.model.dropout == 0.1 &&
           !job.model.fused_attention && job.model.dtype == DAWN_F32,
       "model");
    snprintf(path, sizeof path, "%s/kjv.train.txt", scratch_folder);
    is_str(job.data.train, path, "data are relative to the job's folder");
    is_str(job.data.eval, "/data/kjv.eval.txt", "or absolute");
    is_str(job.data.format, "uint16", "format");
    ok(job.train.steps == 300 && job.train.microbatch == 4 &&
           job.train.microbatches == 8 && job.train.lr == 1e-3 &&
           job.train.warmup == 20 && job.train.weight_decay == 0.2 &&
           job.train.clip == 0.5 && job.train.seed == UINT64_MAX &&
           job.train.beta1 == 0.8 && job.train.beta2 == 0.9 &&
           job.train.eps == 1e-7 && job.train.min_lr == 1e-5,
       "training");
    ok(job.train.eval_every == 50 && job.train.eval_samples == 12 &&
           job.train.checkpoint_every == 7 && job.train.keep == 5,
       "evaluation and checkpoints");
    is_str(job.train.decay, "none", "decay");
    ok(!strcmp(job.device.kind, "host") && job.device.threads == 2, "device");
    is_str(job.out, "there", "out");
}

static void test_defaults(void)
{
    struct dawn_job job;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(load("dawn: job/1\n" MODEL DATA TRAIN, &job, &err), DAWN_OK,
           "a job with the required keys only is read %s", err.text);
    ok(job.model.dtype == DAWN_BF16 && job.model.fused_attention &&
           job.model.dropout == 0,
       "bf16, fused attention and no dropout are the defaults");
    ok(job.train.microbatch == 1 && job.train.microbatches == 8 &&
           job.train.clip == 1 && job.train.seed == 1 &&
           job.device.threads == 1,
       "so are these");
    ok(!*job.data.eval && !strcmp(job.data.format, "bytes") &&
           !strcmp(job.train.decay, "cosine") && job.train.min_lr < 0 &&
           job.train.eval_samples == 64 && !strcmp(job.out, "run"),
       "and these");
    is_int(load("dawn: job/1\n" MODEL DATA
                "train: {steps: 3, min_lr: 0, beta1: 0, beta2: 0}\n",
                &job, &err),
           DAWN_OK, "min_lr, beta1 and beta2 may be 0 %s", err.text);
    ok(job.train.min_lr == 0 && job.train.beta1 == 0 && job.train.beta2 == 0,
       "and then are");
    is_int(load("dawn: job/1\n" MODEL DATA
                "train: {steps: 3, microbatch: 8, eval_samples: 5}\n",
                &job, &err),
           DAWN_OK, "eval_samples %s", err.text);
    ok(job.train.eval_samples == 5 && job.train.eval_microbatches == 0,
       "are those evaluated, whatever the microbatch");
    is_int(load("dawn: job/1\nmodel: {preset: gpt2-124m, context: 256}\n" DATA
                    TRAIN,
                &job, &err),
           DAWN_OK, "a preset brings its sizes %s", err.text);
    ok(job.model.layers == 12 && job.model.vocab == 50257 &&
           job.model.context == 256,
       "those given are taken from the file");
    is_int(load("dawn: job/1\nmodel: {preset: gpt2-tiny}\n" DATA TRAIN, &job,
                &err),
           DAWN_OK, "gpt2-tiny too %s", err.text);
    struct dawn_graph *graph = NULL;
    is_int(dawn_model_build(&job.model, &graph, &err), DAWN_OK,
           "its model can be built");
    dawn_graph_destroy(graph);
}

#define HEAD "dawn: job/1\n"
#define EWC(rest) "passes: [{ewc: {fisher: f, anchor: a, lambda: " rest "}}]\n"
#define IMAGES(more)                                                           \
    "model: {preset: amoebanet, layers: 6, filters: 64, classes: 5" more "}\n"

static void test_ewc(void)
{
    char path[300];
    struct dawn_job job;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(
        load(HEAD MODEL DATA TRAIN EWC("1e3, relative: true, form: proximal, "
                                       "state: bf16, online: {decay: 0.9}"),
             &job, &err),
        DAWN_OK, "a job with EWC is read %s", err.text);
    snprintf(path, sizeof path, "%s/f", scratch_folder);
    is_str(job.ewc.fisher, path, "its folders are relative to the job's");
    ok(job.ewc.on && job.ewc.lambda == 1e3 && job.ewc.relative &&
           job.ewc.decay == 0.9,
       "numbers");
    is_str(job.ewc.form, "proximal", "form");
    is_str(dawn_job_passes(&job), "ewc-bf16", "the pass as plans name it");
    is_int(load(HEAD MODEL DATA TRAIN EWC("1"), &job, &err), DAWN_OK,
           "and with what is required only %s", err.text);
    ok(!strcmp(job.ewc.form, "gradient") && !job.ewc.relative &&
           job.ewc.decay == 0,
       "the gradient form and an absolute lambda are the defaults");
    is_str(dawn_job_passes(&job), "ewc", "and f32");
    is_int(load(HEAD MODEL DATA TRAIN, &job, &err), DAWN_OK, "without it");
    is_str(dawn_job_passes(&job), "", "there are no passes");
}

static void test_images(void)
{
    struct dawn_job job;
    struct dawn_error err = {0};

    is_int(load(HEAD IMAGES(", image: 64, channels: 1") DATA TRAIN, &job, &err),
           DAWN_OK, "a model of images %s", err.text);
    ok(job.model.layers == 6 && job.model.filters == 64 &&
           job.model.classes == 5 && job.model.image == 64 &&
           job.model.channels == 1,
       "its sizes are taken from the file");
    is_str(job.data.format, "images", "it reads images");
    is_int(load(HEAD IMAGES(", image: 64") DATA TRAIN, &job, &err), DAWN_OK,
           "channels may be left out %s", err.text);
    is_int(job.model.channels, 3, "there are three then");
}

/* The value of a setting; NULL: there is none of that name. */
static const char *value_of(const struct dawn_job *job, const char *name)
{
    static struct dawn_job_setting setting;

    for (int i = 0; i < dawn_job_settings(); i++) {
        dawn_job_setting(job, i, &setting);
        if (strcmp(setting.name, name) == 0)
            return setting.value;
    }
    return NULL;
}

static void test_settings(void)
{
    static const struct {
        const char *name, *value; /* value "@...": in the job's folder */
    } wanted[] = {
        {"model.preset", "gpt2"},
        {"model.layers", "3"},
        {"model.dropout", "0.1"},
        {"model.attention", "unfused"},
        {"model.dtype", "f32"},
        {"model.image", "0"},
        {"data.train", "@t.txt"},
        {"data.eval", ""},
        {"data.format", "bytes"},
        {"data.mask", "99"},
        {"train.steps", "1099511627776"},
        {"train.lr", "0.0003"},
        {"train.min_lr", "-1"},
        {"train.seed", "18446744073709551615"},
        {"train.beta1", "0"},
        {"train.init", "@ck"},
        {"device.kind", "host"},
        {"device.threads", "1"},
        {"passes.ewc.fisher", "/f"},
        {"passes.ewc.lambda", "1.25"},
        {"passes.ewc.relative", "true"},
        {"passes.ewc.online.decay", "0.5"},
        {"out", "there"},
    };
    struct dawn_job job;
    struct dawn_error err = {0};

    is_int(load(HEAD "model: {preset: gpt2, layers: 3, hidden: 8, heads: 1, "
                     "context: 8, vocab: 100, dropout: 0.1, attention: "
                     "unfused, dtype: f32}\n"
                     "data: {train: t.txt}\n"
                     "train: {steps: 1099511627776, lr: 3e-4, beta1: 0, "
                     "seed: 18446744073709551615, init: ck}\nout: there\n"
                     "passes: [{ewc: {fisher: /f, anchor: a, lambda: 1.25, "
                     "relative: true, online: {decay: 0.5}}}]\n",
                &job, &err),
           DAWN_OK, "a job whose settings are listed %s", err.text);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const char *value = wanted[i].value;
        is_str(value_of(&job, wanted[i].name),
               *value == '@' ? scratch_path(value + 1) : value, "%s",
               wanted[i].name);
    }
}

/* What the reader says it knows, where a key is unknown, is a setting. */
static void test_settings_are_all(void)
{
    static const struct {
        const char *prefix, *text;
        int mappings; /* among the keys */
    } section[] = {
        {"", HEAD MODEL DATA TRAIN "qqqqqqqqqqqqqqqqqq: 1\n", 6},
        {"model.",
         HEAD "model: {preset: gpt2-tiny, qqqqqqqqqqqqqqqqqq: 1}\n" DATA TRAIN,
         0},
        {"data.", HEAD MODEL "data: {train: a, qqqqqqqqqqqqqqqqqq: 1}\n" TRAIN,
         0},
        {"train.", HEAD MODEL DATA "train: {qqqqqqqqqqqqqqqqqq: 1}\n", 0},
        {"device.", HEAD MODEL DATA TRAIN "device: {qqqqqqqqqqqqqqqqqq: 1}\n",
         0},
        {"passes.ewc.", HEAD MODEL DATA TRAIN EWC("1, qqqqqqqqqqqqqqqqqq: 1"),
         1},
        {"passes.ewc.online.",
         HEAD MODEL DATA TRAIN EWC("1, online: {qqqqqqqqqqqqqqqqqq: 1}"), 0},
    };
    int all = 0;
    struct dawn_job job = {0};

    for (size_t i = 0; i < sizeof section / sizeof *section; i++) {
        struct dawn_error err = {0};
        int keys = 0, settings = 0;
        load(section[i].text, &job, &err);
        char *rest = strstr(err.text, "known here: ");
        rest = rest ? rest + strlen("known here:") : NULL;
        for (char *key; (key = strsep(&rest, ","));) {
            char name[80];
            snprintf(name, sizeof name, "%s%s", section[i].prefix, key + 1);
            keys++;
            settings += value_of(&job, name) != NULL;
        }
        ok(keys > 0 && settings == keys - section[i].mappings,
           "of %d keys under '%s' %d have values, %d are settings", keys,
           section[i].prefix, keys - section[i].mappings, settings);
        all += settings;
    }
    is_int(dawn_job_settings(), all, "and there are no other settings");
}

static const struct {
    const char *text, *wanted;
} bad[] = {
    {"", "job.yaml:1: the file is empty"},
    {MODEL DATA TRAIN, "job.yaml:1: no \"dawn: job/1\""},
    {"dawn: plan/1\n", "job.yaml:1: key 'dawn': expected job/1, found"},
    {HEAD DATA TRAIN, "job.yaml:1: key 'model' is missing"},
    {HEAD MODEL TRAIN, "key 'data' is missing"},
    {HEAD MODEL DATA, "key 'train' is missing"},
    {HEAD MODEL DATA "train: {}\n", "job.yaml:4: key 'steps' is missing"},
    {HEAD MODEL DATA TRAIN "modle: 1\n",
     "job.yaml:5: unknown key 'modle'; did you mean 'model'?"},
    {HEAD MODEL DATA "train:\n  steps: 1\n  learning_rate: 1\n",
     "job.yaml:6: unknown key 'learning_rate'; known here: steps"},
    {HEAD "model: {layers: 1}\n" DATA TRAIN,
     "job.yaml:2: key 'preset' is missing"},
    {HEAD "model: {preset: gpt3}\n" DATA TRAIN,
     "job.yaml:2: key 'preset': expected one of gpt2, gpt2-124m, gpt2-tiny, "
     "bert, bert-base, bert-large, bert-tiny, amoebanet, amoebanet-d, "
     "amoebanet-tiny, t5, t5-base, t5-large, t5-tiny, found 'gpt3'"},
    {HEAD "model: {preset: gpt2-tiny, image: 32}\n" DATA TRAIN,
     "job.yaml:2: key 'image': gpt2-tiny has none"},
    {HEAD IMAGES(", context: 9") DATA TRAIN,
     "job.yaml:2: key 'context': amoebanet has none"},
    {HEAD IMAGES(", image: 33") DATA TRAIN,
     "job.yaml:2: key 'image': 33 is no multiple of 32"},
    {HEAD IMAGES("") DATA TRAIN,
     "job.yaml:2: key 'image' is missing: preset amoebanet has no sizes"},
    {HEAD IMAGES(", image: 32") "data: {train: a, format: bytes}\n" TRAIN,
     "job.yaml:3: key 'format': amoebanet reads images only"},
    {HEAD MODEL "data: {train: a, format: images}\n" TRAIN,
     "job.yaml:3: key 'format': gpt2 reads no images"},
    {HEAD "model: {preset: gpt2-tiny, masked: 3}\n" DATA TRAIN,
     "job.yaml:2: key 'masked': gpt2-tiny masks no tokens"},
    {HEAD "model: {preset: bert-tiny, masked: 257}\n" DATA TRAIN,
     "job.yaml:2: key 'masked': is above context"},
    {HEAD "model: {preset: bert-tiny, target_context: 9}\n" DATA TRAIN,
     "job.yaml:2: key 'target_context': bert-tiny has no decoder"},
    {HEAD "model: {preset: gpt2-tiny, buckets: 32}\n" DATA TRAIN,
     "job.yaml:2: key 'buckets': gpt2-tiny has no decoder"},
    {HEAD "model: {preset: t5-tiny, buckets: 34}\n" DATA TRAIN,
     "job.yaml:2: key 'buckets': is no multiple of 4"},
    {HEAD "model: {preset: t5-tiny, max_distance: 16}\n" DATA TRAIN,
     "job.yaml:2: max_distance 16 is not above half of the buckets, 16"},
    {HEAD "model: {preset: t5-tiny, attention: unfused}\n" DATA TRAIN,
     "job.yaml:2: key 'attention': t5-tiny has fused only"},
    {HEAD MODEL "data: {train: a, sentinel: 256}\n" TRAIN,
     "job.yaml:3: key 'sentinel': the vocabulary has 256 tokens"},
    {HEAD MODEL "data: {train: a, mask: 256}\n" TRAIN,
     "job.yaml:3: key 'mask': the vocabulary has 256 tokens"},
    {HEAD "model: {preset: [gpt2]}\n" DATA TRAIN, "expected a string"},
    {HEAD "model: {preset: gpt2, layers: 6}\n" DATA TRAIN,
     "job.yaml:2: key 'hidden' is missing: preset gpt2 has no sizes"},
    {HEAD "model: {preset: gpt2-tiny, heads: 7}\n" DATA TRAIN,
     "job.yaml:2: hidden 256 is no multiple of heads 7"},
    {HEAD "model: {preset: gpt2-tiny, layers: 5000}\n" DATA TRAIN,
     "expected an integer from 1 to 4096, found '5000'"},
    {HEAD "model: {preset: gpt2-tiny, dropout: 1}\n" DATA TRAIN,
     "key 'dropout': expected a number from 0 to 0.99, found '1'"},
    {HEAD "model: {preset: gpt2-tiny, dtype: fp16}\n" DATA TRAIN,
     "key 'dtype': expected bf16 or f32, found 'fp16'"},
    {HEAD MODEL "data: {train: ''}\n" TRAIN, "expected a file, found nothing"},
    {HEAD MODEL "data: {train: a, format: json}\n" TRAIN,
     "key 'format': expected bytes, llmc, uint16 or images, found 'json'"},
    {HEAD MODEL DATA "train: {steps: 0}\n", "expected an integer from 1"},
    {HEAD MODEL DATA "train: {steps: 5, lr: 1e-4, min_lr: 1e-3}\n",
     "job.yaml:4: key 'min_lr': is above lr"},
    {HEAD MODEL DATA "train: {steps: 5, eps: 0}\n",
     "expected a number from 1.1754943508222875e-38 to 1, found '0'"},
    {HEAD MODEL DATA "train: {steps: 5, eps: 1e-50}\n", "found '1e-50'"},
    {HEAD MODEL DATA "train: {steps: 5, microbatch: 0}\n", "found '0'"},
    {HEAD MODEL DATA TRAIN "device: {kind: cuda}\n",
     "key 'kind': expected host, found 'cuda'"},
    {HEAD MODEL DATA TRAIN "passes: [ewc]\n",
     "job.yaml:5: key 'passes': expected a pass, {ewc: {...}}, found 'ewc'"},
    {HEAD MODEL DATA TRAIN "passes: [{ewe: {}}]\n",
     "job.yaml:5: pass 'ewe' is none: ewc is the only one"},
    {HEAD MODEL DATA TRAIN "passes:\n- {ewc: {anchor: a, lambda: 1}}\n",
     "job.yaml:6: key 'fisher' is missing"},
    {HEAD MODEL DATA TRAIN EWC("1, lamda: 2"),
     "job.yaml:5: unknown key 'lamda'; did you mean 'lambda'?"},
    {HEAD MODEL DATA TRAIN EWC("-1"), "job.yaml:5: key 'lambda'"},
    {HEAD MODEL DATA TRAIN EWC("1, form: explicit"),
     "job.yaml:5: key 'form': expected gradient or proximal, found"},
    {HEAD MODEL DATA TRAIN EWC("1, state: fp16"),
     "job.yaml:5: key 'state': expected f32 or bf16, found"},
    {HEAD MODEL DATA TRAIN EWC("1, online: {}"),
     "job.yaml:5: key 'decay' is missing"},
    {HEAD MODEL DATA TRAIN EWC("1, online: {decay: 1.5}"),
     "job.yaml:5: key 'decay'"},
    {HEAD MODEL DATA TRAIN "out: ''\n", "expected a folder, found nothing"},
};

static void test_bad(void)
{
    struct dawn_job job, before;
    struct dawn_error err;

    memset(&job, 7, sizeof job);
    before = job;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.text[0] = '\0';
        if (!ok(load(bad[i].text, &job, &err) == DAWN_E_FORMAT &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("wanted %s", bad[i].wanted);
    }
    ok(!memcmp(&job, &before, sizeof job), "the job is untouched");
    is_int(dawn_job_load(scratch_path("none"), &job, &err), DAWN_E_IO,
           "a missing file: %s", err.text);
}

static void test_lr(void)
{
    struct dawn_job job = {.train = {.steps = 101,
                                     .lr = 1,
                                     .warmup = 10,
                                     .decay = "cosine",
                                     .min_lr = 0.2}};

    is_near(dawn_job_lr(&job, 0), 0.1, 1e-15, "warm-up begins above 0");
    is_near(dawn_job_lr(&job, 9), 1, 1e-15, "and ends at lr");
    is_near(dawn_job_lr(&job, 10), 1, 1e-15, "the cosine begins at lr");
    is_near(dawn_job_lr(&job, 55), 0.6, 1e-12, "is half way in the middle");
    is_near(dawn_job_lr(&job, 100), 0.2, 1e-15, "and ends at min_lr");
    is_near(dawn_job_lr(&job, 1000), 0.2, 1e-15, "where it stays");
    job.train.min_lr = 0;
    is_near(dawn_job_lr(&job, 100), 0, 0, "or at 0");
    job.train.min_lr = -1;
    is_near(dawn_job_lr(&job, 100), 0.1, 1e-15,
            "without min_lr it ends at a tenth of lr");
    strcpy(job.train.decay, "none");
    is_near(dawn_job_lr(&job, 100), 1, 1e-15, "no decay keeps lr");
    strcpy(job.train.decay, "cosine");
    job.train.warmup = 200;
    ok(isfinite(dawn_job_lr(&job, 250)), "more warm-up than steps is finite");
    job.train.warmup = 0;
    job.train.steps = 1;
    is_near(dawn_job_lr(&job, 0), 0.1, 1e-15, "one step is the last one");
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_full();
    test_defaults();
    test_bad();
    test_ewc();
    test_images();
    test_settings();
    test_settings_are_all();
    test_lr();
    return done_testing();
}
