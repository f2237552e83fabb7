/* SPDX-License-Identifier: Apache-2.0 */
/* A job's data as the executor asks for it: the inputs "tokens" and "targets"
 * of a language model, "images" and "targets" of one of images.
 */
#ifndef PROFILER_FEED_H
#define PROFILER_FEED_H

#include <dawnpiper/exec.h>
#include <dawnpiper/job.h>

struct feed;

/* Open the job's files: training, and evaluation if there is one. */
enum dawn_status feed_open(const struct dawn_job *job, struct feed **feed_p,
                           struct dawn_error *err);
void feed_close(struct feed *feed); /* takes NULL */

/* Samples of the held-out file, which must be there: at least 1. */
int64_t feed_eval_samples(const struct feed *feed);

/* As dawn_feed_fn; why it failed is kept for feed_error. */
int feed_fill(struct feed *feed, const struct dawn_feed *what, void *data);

/* Why feed_fill failed on this rank; DAWN_OK: it did not. */
enum dawn_status feed_error(const struct feed *feed, struct dawn_error *err);

#endif
