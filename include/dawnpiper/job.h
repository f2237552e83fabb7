/* SPDX-License-Identifier: Apache-2.0 */
/* A job: job.yaml, what to train, on which data, how; and the models known by
 * name. Plain data, read-only once loaded.
 */
#ifndef DAWNPIPER_JOB_H
#define DAWNPIPER_JOB_H

#include <dawnpiper/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_model_opts { /* model: */
    char preset[32];     /* "gpt2", "gpt2-124m", "gpt2-tiny", "bert",
                            "bert-base", "bert-large", "bert-tiny",
                            "amoebanet", "amoebanet-d", "amoebanet-tiny",
                            "t5", "t5-base", "t5-large", "t5-tiny" */
    int layers, hidden, heads, context, vocab;
    double dropout;
    bool fused_attention;  /* of presets: true */
    enum dawn_dtype dtype; /* DAWN_BF16, of presets, or DAWN_F32 */
    int masked; /* tokens of a sample that BERT fills in; 0: 15% of them */
    /* AmoebaNet only, which has layers but no hidden, heads, context, vocab */
    int filters, classes; /* a multiple of 8; >= 2 */
    int image, channels;  /* images are (image, image, channels) */
    /* T5 only; layers are those of each stack, context is the encoder's */
    int target_context;        /* places of the decoder; 0: so many that 15% of
                                  a text are left out of it */
    int buckets, max_distance; /* of relative positions: 32, 128 */
};

struct dawn_job {
    struct dawn_model_opts model;
    struct {
        char train[4096], eval[4096]; /* files; relative to the job file's
                                         folder; eval may be "" */
        char format[16];              /* "bytes", "llmc", "uint16", "images" */
        int mask;     /* the token that stands for a masked one: the last */
        int sentinel; /* the first of the tokens that stand for a span, the
                         others are below it: the last */
    } data;
    struct {
        uint64_t steps;
        int64_t microbatch;
        int microbatches;
        double lr;
        uint64_t warmup; /* steps of linear warm-up */
        char decay[16];  /* "cosine", "none" */
        double min_lr;   /* where cosine ends; below 0: a tenth of lr */
        double weight_decay, clip, beta1, beta2, eps;
        uint64_t seed;
        uint64_t eval_every;       /* steps; 0: at the end only */
        int64_t eval_samples;      /* of one evaluation, at most */
        int eval_microbatches;     /* what older jobs say in place of it: so
                                      many times microbatch; 0: not said */
        uint64_t checkpoint_every; /* steps; 0: at the end only */
        int keep;                  /* checkpoints kept */
        char init[4096]; /* checkpoint whose parameters training begins with;
                            relative like data; "": they are drawn */
    } train;
    struct {
        char kind[16];
        int threads; /* of each rank */
    } device;
    struct { /* of passes: */
        bool on;
        char fisher[4096], anchor[4096]; /* folders; relative like data */
        double lambda;
        bool relative; /* lambda is divided by the mean Fisher information */
        char form[16]; /* "gradient", "proximal" */
        char state[8]; /* of the Fisher information: "f32", "bf16" */
        double decay;  /* online: of the Fisher information that the next one is
                          added to; 0: it is not */
    } ewc;
    char out[4096]; /* folder of the run, relative to the working folder */
};

/* Read a job.yaml. Keys left out have defaults (dawn-train(1)). Every failure
 * names file and line; an unknown key is one.
 * Returns DAWN_OK, DAWN_E_IO, DAWN_E_FORMAT or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_job_load(const char *path, struct dawn_job *job,
                                        struct dawn_error *err);

/* A key of job.yaml and its value, whether it was said or is the default. */
struct dawn_job_setting {
    char name[64];    /* with the keys that it stands under: "train.lr" */
    char value[4096]; /* doubles read back as the same number; paths as in
                         struct dawn_job */
    bool is_path;     /* a file or folder that is read; not `out` */
};

/* How many settings a job has; the same for all jobs. */
DAWN_API int dawn_job_settings(void);

/* Setting number 0 to dawn_job_settings() - 1 of a job, to compare jobs or to
 * record them. Two jobs with equal settings differ at most in what their paths
 * hold. */
DAWN_API void dawn_job_setting(const struct dawn_job *job, int number,
                               struct dawn_job_setting *setting);

/* The job's passes by name, as plans have them: "ewc", "ewc-bf16", or "". */
DAWN_API const char *dawn_job_passes(const struct dawn_job *job);

/* Fill in what a preset says: the sizes, but of "gpt2", "bert", "amoebanet" and
 * "t5", which leave them to the caller; no dropout. Returns DAWN_OK, or
 * DAWN_E_INVAL: there is no such preset. */
DAWN_API enum dawn_status dawn_model_preset(const char *name,
                                            struct dawn_model_opts *opts,
                                            struct dawn_error *err);

/* Build the graph of a model, all of whose sizes are set: inputs "tokens" and
 * "targets" (b, context) i32; of BERT "tokens" (b, context), and "places" and
 * "targets" (b, masked): where the masked tokens are, and which they were; of
 * T5 "tokens" (b, context), and "decoder_tokens" and "targets" (b,
 * target_context); of AmoebaNet "images" (b, image, image, channels) of its
 * dtype and "targets" (b, 1). The caller destroys it. Returns DAWN_OK,
 * DAWN_E_INVAL (hidden no multiple of heads, ...) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_model_build(const struct dawn_model_opts *opts,
                                           struct dawn_graph **graph_p,
                                           struct dawn_error *err);

/* Does the model classify images? */
DAWN_API bool dawn_model_takes_images(const struct dawn_model_opts *opts);

/* How many tokens of a sample the model fills in; 0: it predicts the next one
 * of each. */
DAWN_API int dawn_model_masked(const struct dawn_model_opts *opts);

/* Places of the decoder; 0: the model has none. */
DAWN_API int dawn_model_target_context(const struct dawn_model_opts *opts);

/* Learning rate of a step: linear warm-up, then the decay. */
DAWN_API double dawn_job_lr(const struct dawn_job *job, uint64_t step);

#ifdef __cplusplus
}
#endif

#endif
