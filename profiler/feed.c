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
    struct dawn_error err; /* of feed_fill */
};

void feed_close(struct feed *feed)
{
    if (!feed)
        return;
    dawn_tokens_close(feed->train);
    dawn_tokens_close(feed->eval);
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

int feed_fill(struct feed *feed, const struct dawn_feed *what, void *data)
{
    struct dawn_tokens_batch batch = {.samples = what->samples,
                                      .context = feed->context};
    enum dawn_status st;

    if (!strcmp(what->name, "tokens"))
        batch.tokens = data;
    else
        batch.targets = data;
    if (what->eval)
        st = dawn_tokens_sequential(feed->eval, what->sample, &batch,
                                    &feed->err);
    else
        st = dawn_tokens_random(feed->train, feed->seed, what->step,
                                what->sample, &batch, &feed->err);
    return st != DAWN_OK;
}

enum dawn_status feed_error(const struct feed *feed, struct dawn_error *err)
{
    if (!feed->err.status)
        return DAWN_OK;
    return dawn_fail(err, feed->err.status, "%s", feed->err.text);
}
