/* SPDX-License-Identifier: Apache-2.0 */
/* A job's data as the executor asks for it. */
#include "feed.h"
#include <dawnpiper/data.h>
#include <stdlib.h>
#include <string.h>

struct feed {
    struct dawn_tokens *train, *eval; /* eval: NULL without a held-out file */
    const char *eval_path;
    int64_t context;
    uint64_t seed;
    struct dawn_tokens_mask mask; /* masked 0: the next token is predicted */
    int32_t *sample;              /* room for one, where tokens are masked */
    struct dawn_error err;        /* of feed_fill */
};

void feed_close(struct feed *feed)
{
    if (!feed)
        return;
    dawn_tokens_close(feed->train);
    dawn_tokens_close(feed->eval);
    free(feed->sample);
    free(feed);
}

static enum dawn_status open_file(const struct dawn_job *job, const char *path,
                                  struct dawn_tokens **tokens_p,
                                  struct dawn_error *err)
{
    int64_t context = job->model.context;
    enum dawn_status st = dawn_tokens_open(path, job->data.format,
                                           job->model.vocab, tokens_p, err);

    if (!st && dawn_tokens_windows(*tokens_p, context) == 0)
        st =
            dawn_fail(err, DAWN_E_INVAL, "%s: %llu tokens, a sample needs %lld",
                      path, (unsigned long long)dawn_tokens_count(*tokens_p),
                      (long long)context + 1);
    return st;
}

enum dawn_status feed_open(const struct dawn_job *job, struct feed **feed_p,
                           struct dawn_error *err)
{
    struct feed *feed = calloc(1, sizeof *feed);
    enum dawn_status st;

    if (!feed)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the data");
    feed->context = job->model.context;
    feed->seed = job->train.seed;
    feed->eval_path = job->data.eval;
    feed->mask = (struct dawn_tokens_mask){
        .samples = 1,
        .context = job->model.context,
        .masked = dawn_model_masked(&job->model),
        .vocab = job->model.vocab,
        .token = job->data.mask,
    };
    feed->sample = calloc((size_t)feed->context, sizeof *feed->sample);
    if (!feed->sample) {
        feed_close(feed);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the data");
    }
    st = open_file(job, job->data.train, &feed->train, err);
    if (!st && job->data.eval[0])
        st = open_file(job, job->data.eval, &feed->eval, err);
    if (st) {
        feed_close(feed);
        return st;
    }
    *feed_p = feed;
    return DAWN_OK;
}

enum dawn_status feed_eval_microbatches(const struct feed *feed,
                                        int64_t microbatch, int wanted,
                                        int *microbatches_p,
                                        struct dawn_error *err)
{
    uint64_t windows = dawn_tokens_windows(feed->eval, feed->context);
    uint64_t there = windows / (uint64_t)microbatch;

    if (!there)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%s has %llu samples, fewer than one microbatch of "
                         "%lld",
                         feed->eval_path, (unsigned long long)windows,
                         (long long)microbatch);
    *microbatches_p = there < (uint64_t)wanted ? (int)there : wanted;
    return DAWN_OK;
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

int feed_fill(struct feed *feed, const struct dawn_feed *what, void *data)
{
    struct dawn_tokens_batch batch = {.samples = what->samples,
                                      .context = feed->context};
    bool tokens = !strcmp(what->name, "tokens");
    int64_t width = tokens ? feed->context : feed->mask.masked;
    enum dawn_status st = DAWN_OK;

    if (!feed->mask.masked) {
        *(tokens ? &batch.tokens : &batch.targets) = data;
        return read_batch(feed, what, what->sample, &batch) != DAWN_OK;
    }
    for (int64_t i = 0; i < what->samples && !st; i++)
        st = fill_masked(feed, what, what->sample + (uint64_t)i,
                         (int32_t *)data + i * width);
    return st != DAWN_OK;
}

enum dawn_status feed_error(const struct feed *feed, struct dawn_error *err)
{
    if (!feed->err.status)
        return DAWN_OK;
    return dawn_fail(err, feed->err.status, "%s", feed->err.text);
}
