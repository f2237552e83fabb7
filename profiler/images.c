/* SPDX-License-Identifier: Apache-2.0 */
/* A job's images as the executor asks for them. */
#include "images.h"
#include <dawnpiper/data.h>
#include <stdlib.h>
#include <string.h>

struct images {
    struct dawn_images *train, *eval; /* eval: NULL without a held-out file */
    enum dawn_dtype dtype;
    uint64_t seed;
};

void images_close(struct images *images)
{
    if (!images)
        return;
    dawn_images_close(images->train);
    dawn_images_close(images->eval);
    free(images);
}

enum dawn_status images_open(const struct dawn_job *job,
                             struct images **images_p, struct dawn_error *err)
{
    const struct dawn_images_shape shape = {.height = job->model.image,
                                            .width = job->model.image,
                                            .channels = job->model.channels,
                                            .classes = job->model.classes};
    struct images *images = calloc(1, sizeof *images);
    enum dawn_status st;

    if (!images)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the data");
    images->dtype = job->model.dtype;
    images->seed = job->train.seed;
    st = dawn_images_open(job->data.train, &shape, &images->train, err);
    if (!st && job->data.eval[0])
        st = dawn_images_open(job->data.eval, &shape, &images->eval, err);
    if (st) {
        images_close(images);
        return st;
    }
    *images_p = images;
    return DAWN_OK;
}

uint64_t images_held_out(const struct images *images)
{
    return dawn_images_count(images->eval);
}

enum dawn_status images_fill(const struct images *images,
                             const struct dawn_feed *what, void *data,
                             struct dawn_error *err)
{
    bool pixels = !strcmp(what->name, "images");
    const struct dawn_images_batch batch = {.samples = what->samples,
                                            .dtype = images->dtype,
                                            .pixels = pixels ? data : NULL,
                                            .labels = pixels ? NULL : data};

    if (what->eval)
        return dawn_images_sequential(images->eval, what->sample, &batch, err);
    return dawn_images_shuffled(
        images->train, images->seed,
        what->step * (uint64_t)what->of_step + what->sample, &batch, err);
}
