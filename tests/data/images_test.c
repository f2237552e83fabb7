/* SPDX-License-Identifier: Apache-2.0 */
/* Image files: malformed ones, pixels, the order of passes. */
#include "tap.h"

#include <dawnpiper/data.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { H = 2, W = 3, C = 2, PIXELS = H * W * C, COUNT = 11 };

static char path[] = "images-XXXXXX";

static const struct dawn_images_shape shape = {H, W, C, 10};

/* Byte p of image i: 20 i + p; its label is i % 10. */
static void put_images(int count, int label_bytes, size_t more)
{
    FILE *file = fopen(path, "wb");

    for (int i = 0; i < count; i++) {
        if (label_bytes == 2)
            fputc(i % 10 / 2, file);
        fputc(i % 10, file);
        for (int p = 0; p < PIXELS; p++)
            fputc(20 * i + p, file);
    }
    for (size_t i = 0; i < more; i++)
        fputc(0, file);
    fclose(file);
}

static void is_refused(const struct dawn_images_shape *s,
                       enum dawn_status wanted, const char *text)
{
    struct dawn_images *images = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(dawn_images_open(path, s, &images, &err), wanted, "refused: %s",
           err.text);
    ok(strstr(err.text, text) && !images, "it says \"%s\"", text);
}

static void test_malformed(void)
{
    struct dawn_images_shape s = shape;

    put_images(0, 1, 0);
    is_refused(&s, DAWN_E_FORMAT, "0 bytes are no whole number of records");
    put_images(2, 1, 1);
    is_refused(&s, DAWN_E_FORMAT,
               "27 bytes are no whole number of records of 13, a label of 1 "
               "and 2 x 2 x 3 pixels each");
    put_images(COUNT, 1, 0);
    s.classes = 9;
    is_refused(&s, DAWN_E_FORMAT, "image 9 has label 9, there are 9 classes");
    s.classes = 0;
    is_refused(&s, DAWN_E_INVAL, "of 0 classes");
    s = shape;
    s.width = 1 << 20;
    is_refused(&s, DAWN_E_INVAL, "2 x 1048576 x 2");
    unlink(path);
    is_refused(&shape, DAWN_E_IO, path);
}

static void test_wide_labels(void)
{
    struct dawn_images_shape s = shape;
    struct dawn_images *images = NULL;
    int32_t label[COUNT];
    const struct dawn_images_batch batch = {.samples = COUNT, .labels = label};

    s.classes = 4 << 8 | 10;
    put_images(COUNT, 2, 0);
    is_int(dawn_images_open(path, &s, &images, NULL), DAWN_OK,
           "labels of two bytes");
    is_int(dawn_images_sequential(images, 0, &batch, NULL), DAWN_OK,
           "are read");
    bool all = true;
    for (int i = 0; i < COUNT; i++)
        all = all && label[i] == (i % 10 / 2 << 8 | i % 10);
    ok(all, "the higher one first");
    dawn_images_close(images);
}

static void test_pixels(const struct dawn_images *images)
{
    float x[2 * PIXELS];
    uint16_t half[2 * PIXELS];
    struct dawn_images_batch batch = {.samples = 2, .pixels = x};
    struct dawn_error err;
    bool all = true, rounded = true;

    is_int(dawn_images_sequential(images, 3, &batch, NULL), DAWN_OK,
           "two images of a file");
    batch.dtype = DAWN_BF16;
    batch.pixels = half;
    dawn_images_sequential(images, 3, &batch, NULL);
    for (int i = 0; i < 2 * PIXELS; i++) {
        int image = i / PIXELS, place = i % PIXELS / C, channel = i % C;
        int byte = 20 * (3 + image) + channel * H * W + place;
        uint32_t bits = (uint32_t)half[i] << 16;
        float back, wanted = (float)byte / 127.5f - 1;
        memcpy(&back, &bits, sizeof back);
        all = all && x[i] == wanted;
        rounded =
            rounded && back - wanted <= 0x1p-9f && wanted - back <= 0x1p-9f;
    }
    ok(all, "channels become last, bytes numbers from -1 to 1");
    ok(rounded, "or those in bf16");
    ok(dawn_images_sequential(images, COUNT - 1, &batch, &err) ==
               DAWN_E_INVAL &&
           strstr(err.text, "images 10 to 11 are wanted, there are 11"),
       "past the end: %s", err.text);
    batch.dtype = DAWN_I32;
    is_int(dawn_images_shuffled(images, 1, 0, &batch, NULL), DAWN_E_INVAL,
           "integers are refused");
    batch = (struct dawn_images_batch){.samples = 0};
    is_int(dawn_images_shuffled(images, 1, 0, &batch, NULL), DAWN_E_INVAL,
           "and batches of nothing");
}

/* Which image: the first pixel of image i is 20 i mod 256. */
static int which(float first)
{
    int byte = (int)((first + 1) * 127.5f + 0.5f);

    for (int i = 0; i < COUNT; i++)
        if ((20 * i & 255) == byte)
            return i;
    return -1;
}

static void order_of(const struct dawn_images *images, uint64_t seed,
                     uint64_t from, int order[COUNT])
{
    float x[COUNT * PIXELS];
    const struct dawn_images_batch batch = {.samples = COUNT, .pixels = x};

    dawn_images_shuffled(images, seed, from, &batch, NULL);
    for (int i = 0; i < COUNT; i++)
        order[i] = which(x[i * PIXELS]);
}

static bool is_permutation(const int order[COUNT])
{
    int seen = 0;

    for (int i = 0; i < COUNT; i++)
        seen |= order[i] < 0 ? 0 : 1 << order[i];
    return seen == (1 << COUNT) - 1;
}

static void test_order(const struct dawn_images *images)
{
    int a[COUNT], b[COUNT], places[COUNT] = {0};
    int32_t label[1];
    const struct dawn_images_batch one = {.samples = 1, .labels = label};
    bool all = true, labels = true;

    order_of(images, 1, 0, a);
    for (int epoch = 0; epoch < 100; epoch++) {
        order_of(images, 1, (uint64_t)(epoch * COUNT), b);
        all = all && is_permutation(b);
        for (int i = 0; i < COUNT; i++) {
            dawn_images_shuffled(images, 1, (uint64_t)(epoch * COUNT + i), &one,
                                 NULL);
            labels = labels && label[0] == b[i] % 10;
            places[i] += b[i] == 0;
        }
    }
    ok(all, "each pass sees every image once");
    ok(labels, "images and labels, asked for apart, go together");
    for (int i = 0; i < COUNT; i++)
        ok(places[i] >= 1 && places[i] <= 25,
           "of 100 passes %d have the first image at place %d", places[i], i);
    order_of(images, 1, COUNT, b);
    ok(memcmp(a, b, sizeof a) != 0, "the second pass has another order");
    order_of(images, 2, 0, b);
    ok(memcmp(a, b, sizeof a) != 0, "so has another seed");
    order_of(images, 1, 0, b);
    ok(memcmp(a, b, sizeof a) == 0, "the same seed has the same");
}

int main(void)
{
    struct dawn_images *images = NULL;

    plan_lazy();
    close(mkstemp(path));
    test_malformed();
    test_wide_labels();
    put_images(COUNT, 1, 0);
    if (ok(!dawn_images_open(path, &shape, &images, NULL) &&
               dawn_images_count(images) == COUNT,
           "a file of 11 images")) {
        test_pixels(images);
        test_order(images);
    }
    dawn_images_close(images);
    unlink(path);
    return done_testing();
}
