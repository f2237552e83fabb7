/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: image files, with labels of one byte and of two. */
#include "fuzz/fuzz.h"

#include <dawnpiper/data.h>

static void use(const char *path, int64_t classes)
{
    const struct dawn_images_shape shape = {2, 3, 2, classes};
    float x[3 * 12];
    int32_t label[3];
    const struct dawn_images_batch batch = {
        .samples = 3, .pixels = x, .labels = label};
    struct dawn_images *images = NULL;
    struct dawn_error err;

    if (dawn_images_open(path, &shape, &images, &err))
        return;
    if (dawn_images_shuffled(images, 1, 2, &batch, &err) == DAWN_OK)
        for (int i = 0; i < 36; i++)
            if (x[i] < -1 || x[i] > 1 || label[i / 12] >= classes)
                abort();
    uint64_t count = dawn_images_count(images);
    if (count >= 3 && dawn_images_sequential(images, count - 3, &batch, &err) &&
        err.status != DAWN_E_FORMAT)
        abort();
    dawn_images_close(images);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file input = fuzz_file_open(data, size);

    use(input.path, 10);
    use(input.path, 1000);
    fuzz_file_close(&input);
    return 0;
}
