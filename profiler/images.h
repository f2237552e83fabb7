/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a feed that models of images have: feed.c's only. */
#ifndef PROFILER_IMAGES_H
#define PROFILER_IMAGES_H

#include <dawnpiper/exec.h>
#include <dawnpiper/job.h>

struct images;

enum dawn_status images_open(const struct dawn_job *job,
                             struct images **images_p, struct dawn_error *err);
void images_close(struct images *images); /* takes NULL */

/* How many images are held out. */
uint64_t images_held_out(const struct images *images);

enum dawn_status images_fill(const struct images *images,
                             const struct dawn_feed *what, void *data,
                             struct dawn_error *err);

#endif
