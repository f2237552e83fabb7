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

/* How many microbatches of an evaluation the held-out file has, `wanted` at
 * most. Returns DAWN_OK, or DAWN_E_INVAL when it has not even one. */
enum dawn_status feed_eval_microbatches(const struct feed *feed,
                                        int64_t microbatch, int wanted,
                                        int *microbatches_p,
                                        struct dawn_error *err);

/* As dawn_feed_fn; why it failed is kept for feed_error. */
int feed_fill(struct feed *feed, const struct dawn_feed *what, void *data);

/* Why feed_fill failed on this rank; DAWN_OK: it did not. */
enum dawn_status feed_error(const struct feed *feed, struct dawn_error *err);

#endif
