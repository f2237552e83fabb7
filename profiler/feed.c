/* SPDX-License-Identifier: Apache-2.0 */
/* A job's data as the executor asks for it. */
#include "feed.h"
#include "images.h"
#include <dawnpiper/data.h>
#include <stdlib.h>
#include <string.h>

struct feed {
    struct images *images;            /* NULL: tokens */
    struct dawn_tokens *train, *eval; /* eval: NULL without a held-out file */
    int64_t context; /* tokens of a file that a sample is made of */
    uint64_t seed;
    /* with masked and target_context 0 the next token is predicted */
    struct dawn_tokens_mask mask;
    struct dawn_tokens_spans spans;
    int32_t *sample;       /* room for one, where tokens are changed */
    struct dawn_error err; /* of feed_fill */
};

void feed_close(struct feed *feed)
{
    if (!feed)
        return;
    images_close(feed->images);
    dawn_tokens_close(feed->train);
    dawn_tokens_close(feed->eval);
    free(feed->sample);
    free(feed);
}

static enum dawn_status open_file(const struct feed *feed,
                                  const struct dawn_job *job, const char *path,
                                  struct dawn_tokens **tokens_p,
                                  struct dawn_error *err)
{
    int64_t context = feed->context;
    enum dawn_status st = dawn_tokens_open(path, job->data.format,
                                           job->model.vocab, tokens_p, err);

    if (!st && dawn_tokens_windows(*tokens_p, context) == 0)
        st =
            dawn_fail(err, DAWN_E_INVAL, "%s: %llu tokens, a sample needs %lld",
                      path, (unsigned long long)dawn_tokens_count(*tokens_p),
                      (long long)context + 1);
    return st;
}

/* How samples are made of text. */
static enum dawn_status set_task(struct feed *feed, const struct dawn_job *job,
                                 struct dawn_error *err)
{
    const struct dawn_model_opts *model = &job->model;

    feed->context = model->context;
    feed->mask = (struct dawn_tokens_mask){
        .samples = 1,
        .context = model->context,
        .masked = dawn_model_masked(model),
        .vocab = model->vocab,
        .token = job->data.mask,
    };
    feed->spans = (struct dawn_tokens_spans){
        .samples = 1,
        .context = model->context,
        .target_context = dawn_model_target_context(model),
        .sentinel = job->data.sentinel,
    };
    if (!feed->spans.target_context)
        return DAWN_OK;
    feed->context = dawn_tokens_span_window(feed->spans.context,
                                            feed->spans.target_context);
    if (!feed->context)
        return dawn_fail(err, DAWN_E_INVAL,
                         "no text has spans for context %d and target_context "
                         "%lld",
                         model->context, (long long)feed->spans.target_context);
    if (feed->spans.sentinel <=
        dawn_tokens_span_count(feed->spans.target_context))
        return dawn_fail(
            err, DAWN_E_INVAL,
            "%lld spans of a sample, and only %d tokens to stand for them",
            (long long)dawn_tokens_span_count(feed->spans.target_context),
            feed->spans.sentinel - 1);
    return DAWN_OK;
}

enum dawn_status feed_open(const struct dawn_job *job, struct feed **feed_p,
                           struct dawn_error *err)
{
    struct feed *feed = calloc(1, sizeof *feed);
    enum dawn_status st;

    if (!feed)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the data");
    feed->seed = job->train.seed;
    if (dawn_model_takes_images(&job->model)) {
        if ((st = images_open(job, &feed->images, err)))
            feed_close(feed);
        else
            *feed_p = feed;
        return st;
    }
    if ((st = set_task(feed, job, err))) {
        feed_close(feed);
        return st;
    }
    feed->sample = calloc((size_t)feed->context, sizeof *feed->sample);
    if (!feed->sample) {
        feed_close(feed);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the data");
    }
    st = open_file(feed, job, job->data.train, &feed->train, err);
    if (!st && job->data.eval[0])
        st = open_file(feed, job, job->data.eval, &feed->eval, err);
    if (st) {
        feed_close(feed);
        return st;
    }
    *feed_p = feed;
    return DAWN_OK;
}

int64_t feed_eval_samples(const struct feed *feed)
{
    if (feed->images)
        return (int64_t)images_held_out(feed->images);
    return (int64_t)dawn_tokens_windows(feed->eval, feed->context);
}

static enum dawn_status read_batch(struct feed *feed,
                                   const struct dawn_feed *what,
                                   uint64_t sample,
                                   const struct dawn_tokens_batch *batch)
{
    if (what->eval)
        return dawn_tokens_sequential(feed->eval, sample, batch, &feed->err);
    return dawn_tokens_random(feed->train, feed->seed, what->step, sample,
                              batch, &feed->err);
}

/* One sample of a model that fills in masked tokens: `to` is what is wanted. A
 * window of an evaluation is always masked in the same way. */
static enum dawn_status fill_masked(struct feed *feed,
                                    const struct dawn_feed *what,
                                    uint64_t sample, int32_t *to)
{
    struct dawn_tokens_batch batch = {
        .samples = 1, .context = feed->context, .tokens = feed->sample};
    struct dawn_tokens_mask mask = feed->mask;
    enum dawn_status st = read_batch(feed, what, sample, &batch);

    if (st)
        return st;
    mask.tokens = feed->sample;
    if (!strcmp(what->name, "places"))
        mask.places = to;
    else if (!strcmp(what->name, "targets"))
        mask.targets = to;
    st = dawn_tokens_mask(feed->seed, what->eval ? UINT64_MAX : what->step,
                          sample, &mask, &feed->err);
    if (!st && !strcmp(what->name, "tokens"))
        memcpy(to, feed->sample, (size_t)feed->context * sizeof *to);
    return st;
}

/* One sample of a model that fills in spans: `to` is what is wanted. */
static enum dawn_status fill_spans(struct feed *feed,
                                   const struct dawn_feed *what,
                                   uint64_t sample, int32_t *to)
{
    struct dawn_tokens_batch batch = {
        .samples = 1, .context = feed->context, .tokens = feed->sample};
    struct dawn_tokens_spans spans = feed->spans;
    enum dawn_status st = read_batch(feed, what, sample, &batch);

    if (st)
        return st;
    spans.tokens = feed->sample;
    if (!strcmp(what->name, "tokens"))
        spans.inputs = to;
    else if (!strcmp(what->name, "targets"))
        spans.targets = to;
    else
        spans.decoder = to;
    return dawn_tokens_corrupt(feed->seed, what->eval ? UINT64_MAX : what->step,
                               sample, &spans, &feed->err);
}

int feed_fill(struct feed *feed, const struct dawn_feed *what, void *data)
{
    struct dawn_tokens_batch batch = {.samples = what->samples,
                                      .context = feed->context};
    bool tokens = !strcmp(what->name, "tokens");
    bool spans = feed->spans.target_context > 0;
    int64_t other = spans ? feed->spans.target_context : feed->mask.masked;
    int64_t width = tokens ? feed->spans.context : other;
    enum dawn_status st = DAWN_OK;

    if (feed->images)
        return images_fill(feed->images, what, data, &feed->err) != DAWN_OK;
    if (!spans && !feed->mask.masked) {
        *(tokens ? &batch.tokens : &batch.targets) = data;
        return read_batch(feed, what, what->sample, &batch) != DAWN_OK;
    }
    for (int64_t i = 0; i < what->samples && !st; i++)
        st = (spans ? fill_spans : fill_masked)(feed, what,
                                                what->sample + (uint64_t)i,
                                                (int32_t *)data + i * width);
    return st != DAWN_OK;
}

enum dawn_status feed_error(const struct feed *feed, struct dawn_error *err)
{
    if (!feed->err.status)
        return DAWN_OK;
    return dawn_fail(err, feed->err.status, "%s", feed->err.text);
}
