/* SPDX-License-Identifier: Apache-2.0 */
/* Token files and their windows. A format is where the tokens begin, how wide
 * they are and how many the file promises. */
#include "common/file.h"
#include "common/random.h"

#include <dawnpiper/data.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LLMC_HEADER = 1024, LLMC_MAGIC = 20240520, LLMC_VERSION = 1 };

#define CHECKED_AT_OPEN (UINT64_C(32) << 20)

/* Sets random numbers for data apart from those of the same seed for others. */
#define DATA_KEY UINT64_C(0x646174615f777778)

struct dawn_tokens {
    char *path;
    const unsigned char *map;
    uint64_t map_bytes;
    const unsigned char *first; /* token */
    int width;                  /* bytes of a token */
    uint64_t count;
    uint32_t vocab;
};

/* Formats */

static uint32_t u32_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static enum dawn_status frame_bytes(struct dawn_tokens *t,
                                    struct dawn_error *err)
{
    t->first = t->map;
    t->count = t->map_bytes;
    return DAWN_OK;
}

static enum dawn_status frame_uint16(struct dawn_tokens *t,
                                     struct dawn_error *err)
{
    if (t->map_bytes % 2)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: %" PRIu64 " bytes, an odd number, are no 16-bit "
                         "tokens",
                         t->path, t->map_bytes);
    t->first = t->map;
    t->count = t->map_bytes / 2;
    return DAWN_OK;
}

static enum dawn_status frame_llmc(struct dawn_tokens *t,
                                   struct dawn_error *err)
{
    if (t->map_bytes < LLMC_HEADER)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: %" PRIu64 " bytes, the header has %d", t->path,
                         t->map_bytes, LLMC_HEADER);
    uint32_t magic = u32_at(t->map), version = u32_at(t->map + 4);
    uint32_t count = u32_at(t->map + 8);
    if (magic != LLMC_MAGIC || version != LLMC_VERSION)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: magic %" PRIu32 ", version %" PRIu32
                         "; %d and %d are read",
                         t->path, magic, version, LLMC_MAGIC, LLMC_VERSION);
    if (t->map_bytes != LLMC_HEADER + UINT64_C(2) * count)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: the header says %" PRIu32 " tokens, %" PRIu64
                         " bytes, the file has %" PRIu64,
                         t->path, count, LLMC_HEADER + UINT64_C(2) * count,
                         t->map_bytes);
    t->first = t->map + LLMC_HEADER;
    t->count = count;
    return DAWN_OK;
}

static const struct format {
    const char *name;
    int width;
    enum dawn_status (*frame)(struct dawn_tokens *t, struct dawn_error *err);
} formats[] = {
    {"bytes", 1, frame_bytes},
    {"uint16", 2, frame_uint16},
    {"llmc", 2, frame_llmc},
};

static const struct format *find_format(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

/* Opening */

static enum dawn_status map_file(struct dawn_tokens *t, struct dawn_error *err)
{
    const void *map;
    enum dawn_status st = dawni_file_map(t->path, &map, &t->map_bytes, err);

    if (st)
        return st;
    t->map = map;
    if (!t->map_bytes)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: the file is empty", t->path);
    return DAWN_OK;
}

static uint32_t token_at(const struct dawn_tokens *t, uint64_t offset)
{
    const unsigned char *p = t->first + offset * (uint64_t)t->width;

    return t->width == 1 ? p[0] : (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static enum dawn_status check(const struct dawn_tokens *t, uint64_t from,
                              uint64_t count, struct dawn_error *err)
{
    if (t->vocab >= (t->width == 1 ? 256u : 65536u))
        return DAWN_OK;
    for (uint64_t i = from; i < from + count; i++)
        if (token_at(t, i) >= t->vocab)
            return dawn_fail(err, DAWN_E_FORMAT,
                             "%s: token %" PRIu32 " at offset %" PRIu64
                             ", the vocabulary has %" PRIu32,
                             t->path, token_at(t, i), i, t->vocab);
    return DAWN_OK;
}

static enum dawn_status load(struct dawn_tokens *t, const struct format *format,
                             struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = map_file(t, err)) || (st = format->frame(t, err)))
        return st;
    return check(t, 0, t->count < CHECKED_AT_OPEN ? t->count : CHECKED_AT_OPEN,
                 err);
}

enum dawn_status dawn_tokens_open(const char *path, const char *format,
                                  int64_t vocab, struct dawn_tokens **tokens_p,
                                  struct dawn_error *err)
{
    const struct format *wanted = find_format(format);
    enum dawn_status st;

    if (!wanted)
        return dawn_fail(err, DAWN_E_INVAL,
                         "token format \"%s\", must be bytes, uint16 or llmc",
                         format);
    if (vocab < 1 || vocab > INT32_MAX)
        return dawn_fail(err, DAWN_E_INVAL,
                         "vocabulary of %" PRId64 ", must be 1 to %d", vocab,
                         INT32_MAX);
    struct dawn_tokens *t = calloc(1, sizeof *t);
    if (!t || !(t->path = strdup(path))) {
        st = dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
        goto fail;
    }
    t->width = wanted->width;
    t->vocab = (uint32_t)vocab;
    if ((st = load(t, wanted, err)))
        goto fail;
    *tokens_p = t;
    return DAWN_OK;
fail:
    dawn_tokens_close(t);
    return st;
}

void dawn_tokens_close(struct dawn_tokens *t)
{
    if (!t)
        return;
    dawni_file_unmap(t->map, t->map_bytes);
    free(t->path);
    free(t);
}

uint64_t dawn_tokens_count(const struct dawn_tokens *t)
{
    return t->count;
}

/* Windows */

uint64_t dawn_tokens_windows(const struct dawn_tokens *t, int64_t context)
{
    if (context < 1 || t->count < 1)
        return 0;
    return (t->count - 1) / (uint64_t)context;
}

static void copy(const struct dawn_tokens *t, uint64_t offset, int64_t count,
                 int32_t *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (int32_t)token_at(t, offset + (uint64_t)i);
}

static enum dawn_status fill_row(const struct dawn_tokens *t, uint64_t offset,
                                 const struct dawn_tokens_batch *batch,
                                 int64_t row, struct dawn_error *err)
{
    int64_t context = batch->context;
    enum dawn_status st;

    if ((st = check(t, offset, (uint64_t)context + 1, err)))
        return st;
    if (batch->tokens)
        copy(t, offset, context, batch->tokens + row * context);
    if (batch->targets)
        copy(t, offset + 1, context, batch->targets + row * context);
    return DAWN_OK;
}

static enum dawn_status check_batch(const struct dawn_tokens *t,
                                    const struct dawn_tokens_batch *batch,
                                    struct dawn_error *err)
{
    if (batch->samples < 1 || batch->context < 1)
        return dawn_fail(err, DAWN_E_INVAL,
                         "batch of %" PRId64 " samples of %" PRId64
                         " tokens, must be >= 1",
                         batch->samples, batch->context);
    if (dawn_tokens_windows(t, batch->context))
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_INVAL,
                     "%s: %" PRIu64 " tokens, a context of %" PRId64
                     " needs %" PRId64,
                     t->path, t->count, batch->context, batch->context + 1);
}

/* Where a random window begins: uniform over all places, by the high half of a
 * 64 x 64 bit product. */
static uint64_t place(const struct dawn_tokens *t, int64_t context,
                      struct dawni_u32x4 bits)
{
    uint64_t places = t->count - (uint64_t)context;
    uint64_t x = (uint64_t)bits.v[1] << 32 | bits.v[0];

    return (uint64_t)((unsigned __int128)x * places >> 64);
}

enum dawn_status dawn_tokens_random(const struct dawn_tokens *t, uint64_t seed,
                                    uint64_t step, uint64_t sample,
                                    const struct dawn_tokens_batch *batch,
                                    struct dawn_error *err)
{
    enum dawn_status st = check_batch(t, batch, err);

    for (int64_t row = 0; row < batch->samples && !st; row++) {
        struct dawni_u32x4 bits =
            dawni_philox(seed ^ DATA_KEY, step, sample + (uint64_t)row);
        st = fill_row(t, place(t, batch->context, bits), batch, row, err);
    }
    return st;
}

enum dawn_status dawn_tokens_sequential(const struct dawn_tokens *t,
                                        uint64_t sample,
                                        const struct dawn_tokens_batch *batch,
                                        struct dawn_error *err)
{
    enum dawn_status st = check_batch(t, batch, err);
    uint64_t windows = dawn_tokens_windows(t, batch->context);

    if (st)
        return st;
    if (sample >= windows || (uint64_t)batch->samples > windows - sample)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%s: windows %" PRIu64 " to %" PRIu64
                         " are wanted, there are %" PRIu64,
                         t->path, sample, sample + (uint64_t)batch->samples - 1,
                         windows);
    for (int64_t row = 0; row < batch->samples && !st; row++)
        st = fill_row(t, (sample + (uint64_t)row) * (uint64_t)batch->context,
                      batch, row, err);
    return st;
}
