/* SPDX-License-Identifier: Apache-2.0 */
/* Image files: records of a label and planes of pixels, as CIFAR-10's binary
 * files have them; shuffled anew for each pass over the file by a permutation
 * that is computed where it is needed.
 */
#include "common/bf16.h"
#include "common/file.h"
#include "common/random.h"

#include <dawnpiper/data.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CHECKED_AT_OPEN 4096 /* labels */
#define CHUNK_BYTES 16384    /* read at one time */
#define ROUNDS 6             /* of a Feistel network; 4 look random already */

/* Sets random numbers for shuffling apart from those of the same seed for
 * others. */
#define SHUFFLE_KEY UINT64_C(0x73687566666c6521)

struct dawn_images {
    struct dawni_pieces file;
    uint64_t count;
    struct dawn_images_shape shape;
    uint64_t label_bytes, record_bytes;
};

static enum dawn_status check_shape(const struct dawn_images_shape *s,
                                    struct dawn_error *err)
{
    const int64_t most = 1 << 16;

    if (s->height >= 1 && s->height <= most && s->width >= 1 &&
        s->width <= most && s->channels >= 1 && s->channels <= most &&
        s->classes >= 1 && s->classes <= most)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_INVAL,
                     "images of %" PRId64 " x %" PRId64 " x %" PRId64
                     " of %" PRId64 " classes, all must be 1 to %" PRId64,
                     s->height, s->width, s->channels, s->classes, most);
}

/* ---- opening ---- */

static enum dawn_status count_images(struct dawn_images *f,
                                     struct dawn_error *err)
{
    f->count = f->file.bytes / f->record_bytes;
    if (!f->count || f->file.bytes % f->record_bytes)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: %" PRIu64 " bytes are no whole number of records "
                         "of %" PRIu64 ", a label of %" PRIu64 " and %" PRId64
                         " x %" PRId64 " x %" PRId64 " pixels each",
                         f->file.path, f->file.bytes, f->record_bytes,
                         f->label_bytes, f->shape.channels, f->shape.height,
                         f->shape.width);
    return DAWN_OK;
}

static enum dawn_status read_label(const struct dawn_images *f, uint64_t record,
                                   int32_t *label, struct dawn_error *err)
{
    unsigned char p[2];
    enum dawn_status st = dawni_pieces_read(&f->file, record * f->record_bytes,
                                            p, (size_t)f->label_bytes, err);

    if (st)
        return st;
    *label = f->label_bytes == 1 ? p[0] : p[0] << 8 | p[1];
    if (*label < f->shape.classes)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_FORMAT,
                     "%s: image %" PRIu64 " has label %" PRId32
                     ", there are %" PRId64 " classes",
                     f->file.path, record, *label, f->shape.classes);
}

enum dawn_status dawn_images_open(const char *path,
                                  const struct dawn_images_shape *shape,
                                  struct dawn_images **images_p,
                                  struct dawn_error *err)
{
    enum dawn_status st = check_shape(shape, err);
    int32_t label;

    if (st)
        return st;
    struct dawn_images *f = calloc(1, sizeof *f);
    if (!f)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    if ((st = dawni_pieces_open(path, &f->file, err)))
        goto fail;
    f->shape = *shape;
    f->label_bytes = shape->classes > 256 ? 2 : 1;
    f->record_bytes = f->label_bytes + (uint64_t)shape->height *
                                           (uint64_t)shape->width *
                                           (uint64_t)shape->channels;
    if ((st = count_images(f, err)))
        goto fail;
    for (uint64_t i = 0; i < f->count && i < CHECKED_AT_OPEN; i++)
        if ((st = read_label(f, i, &label, err)))
            goto fail;
    *images_p = f;
    return DAWN_OK;
fail:
    dawn_images_close(f);
    return st;
}

void dawn_images_close(struct dawn_images *f)
{
    if (!f)
        return;
    dawni_pieces_close(&f->file);
    free(f);
}

uint64_t dawn_images_count(const struct dawn_images *f)
{
    return f->count;
}

/* ---- batches ---- */

/* Planes of bytes to numbers, channels last: one plane, from pixel `first` on.
 */
static void copy_pixels(const struct dawn_images_batch *batch, int64_t at,
                        int64_t channels, const unsigned char *from,
                        int64_t pixels)
{
    uint16_t *half = batch->pixels;
    float *whole = batch->pixels;

    for (int64_t i = 0; i < pixels; i++) {
        float x = (float)from[i] / 127.5f - 1;
        if (batch->dtype == DAWN_BF16)
            half[at + i * channels] = dawni_to_bf16(x);
        else
            whole[at + i * channels] = x;
    }
}

static enum dawn_status read_pixels(const struct dawn_images *f,
                                    uint64_t record,
                                    const struct dawn_images_batch *batch,
                                    int64_t row, struct dawn_error *err)
{
    int64_t pixels = f->shape.height * f->shape.width;
    int64_t channels = f->shape.channels;
    uint64_t at = record * f->record_bytes + f->label_bytes;
    unsigned char chunk[CHUNK_BYTES];
    enum dawn_status st = DAWN_OK;

    for (int64_t c = 0; c < channels && !st; c++)
        for (int64_t i = 0; i < pixels && !st; i += CHUNK_BYTES) {
            int64_t n = pixels - i < CHUNK_BYTES ? pixels - i : CHUNK_BYTES;
            st = dawni_pieces_read(&f->file, at + (uint64_t)(c * pixels + i),
                                   chunk, (size_t)n, err);
            if (!st)
                copy_pixels(batch, (row * pixels + i) * channels + c, channels,
                            chunk, n);
        }
    return st;
}

static enum dawn_status fill_row(const struct dawn_images *f, uint64_t record,
                                 const struct dawn_images_batch *batch,
                                 int64_t row, struct dawn_error *err)
{
    int32_t label;
    enum dawn_status st = read_label(f, record, &label, err);

    if (st)
        return st;
    if (batch->labels)
        batch->labels[row] = label;
    return batch->pixels ? read_pixels(f, record, batch, row, err) : DAWN_OK;
}

static enum dawn_status check_batch(const struct dawn_images_batch *batch,
                                    struct dawn_error *err)
{
    if (batch->samples < 1)
        return dawn_fail(err, DAWN_E_INVAL, "batch of %" PRId64 " images",
                         batch->samples);
    if (batch->dtype != DAWN_F32 && batch->dtype != DAWN_BF16)
        return dawn_fail(err, DAWN_E_INVAL, "images must be f32 or bf16");
    return DAWN_OK;
}

/* What place `index` of pass `epoch` holds: a Feistel network permutes the next
 * power of four, and is repeated until it lands among the images. */
static uint64_t shuffled(uint64_t seed, uint64_t epoch, uint64_t index,
                         uint64_t count)
{
    int half = 1;

    while (half < 32 && count > UINT64_C(1) << 2 * half)
        half++;
    const uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t left = index >> half, right = index & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t mixed = left ^ (dawni_philox(seed ^ SHUFFLE_KEY,
                                                  epoch * ROUNDS + round, right)
                                         .v[0] &
                                     mask);
            left = right;
            right = mixed;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}

enum dawn_status dawn_images_shuffled(const struct dawn_images *f,
                                      uint64_t seed, uint64_t sample,
                                      const struct dawn_images_batch *batch,
                                      struct dawn_error *err)
{
    enum dawn_status st = check_batch(batch, err);

    for (int64_t row = 0; row < batch->samples && !st; row++) {
        uint64_t at = sample + (uint64_t)row;
        st = fill_row(f, shuffled(seed, at / f->count, at % f->count, f->count),
                      batch, row, err);
    }
    return st;
}

enum dawn_status dawn_images_sequential(const struct dawn_images *f,
                                        uint64_t sample,
                                        const struct dawn_images_batch *batch,
                                        struct dawn_error *err)
{
    enum dawn_status st = check_batch(batch, err);

    if (st)
        return st;
    if (sample >= f->count || (uint64_t)batch->samples > f->count - sample)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%s: images %" PRIu64 " to %" PRIu64
                         " are wanted, there are %" PRIu64,
                         f->file.path, sample,
                         sample + (uint64_t)batch->samples - 1, f->count);
    for (int64_t row = 0; row < batch->samples && !st; row++)
        st = fill_row(f, sample + (uint64_t)row, batch, row, err);
    return st;
}
