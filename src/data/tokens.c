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

#define CHUNK_BYTES 16384 /* read at one time */

struct dawn_tokens {
    struct dawni_pieces file;
    uint64_t first; /* byte where the tokens begin */
    int width;      /* bytes of a token */
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
    t->count = t->file.bytes;
    return DAWN_OK;
}

static enum dawn_status frame_uint16(struct dawn_tokens *t,
                                     struct dawn_error *err)
{
    if (t->file.bytes % 2)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: %" PRIu64 " bytes, an odd number, are no 16-bit "
                         "tokens",
                         t->file.path, t->file.bytes);
    t->count = t->file.bytes / 2;
    return DAWN_OK;
}

static enum dawn_status frame_llmc(struct dawn_tokens *t,
                                   struct dawn_error *err)
{
    unsigned char header[12];

    if (t->file.bytes < LLMC_HEADER)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: %" PRIu64 " bytes, the header has %d",
                         t->file.path, t->file.bytes, LLMC_HEADER);
    enum dawn_status st =
        dawni_pieces_read(&t->file, 0, header, sizeof header, err);
    if (st)
        return st;
    uint32_t magic = u32_at(header), version = u32_at(header + 4);
    uint32_t count = u32_at(header + 8);
    if (magic != LLMC_MAGIC || version != LLMC_VERSION)
        return dawn_fail(
            err, DAWN_E_FORMAT,
            "%s: magic %" PRIu32 ", version %" PRIu32 "; %d and %d are read",
            t->file.path, magic, version, LLMC_MAGIC, LLMC_VERSION);
    if (t->file.bytes != LLMC_HEADER + UINT64_C(2) * count)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: the header says %" PRIu32 " tokens, %" PRIu64
                         " bytes, the file has %" PRIu64,
                         t->file.path, count, LLMC_HEADER + UINT64_C(2) * count,
                         t->file.bytes);
    t->first = LLMC_HEADER;
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

static uint32_t token_at(const unsigned char *p, int width)
{
    return width == 1 ? p[0] : (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* Where tokens go that are read: token i of them to tokens[i] and targets[i -
 * 1]; each array has `room` places, or is NULL. */
struct window {
    int32_t *tokens, *targets;
    int64_t room;
};

/* Take over one token, if the vocabulary has it. */
static enum dawn_status take(const struct dawn_tokens *t, uint64_t from,
                             int64_t i, uint32_t token, const struct window *w,
                             struct dawn_error *err)
{
    if (token >= t->vocab)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: token %" PRIu32 " at offset %" PRIu64
                         ", the vocabulary has %" PRIu32,
                         t->file.path, token, from + (uint64_t)i, t->vocab);
    if (w->tokens && i < w->room)
        w->tokens[i] = (int32_t)token;
    if (w->targets && i > 0)
        w->targets[i - 1] = (int32_t)token;
    return DAWN_OK;
}

/* Read `count` tokens from number `from` on. */
static enum dawn_status read_tokens(const struct dawn_tokens *t, uint64_t from,
                                    int64_t count, const struct window *w,
                                    struct dawn_error *err)
{
    unsigned char chunk[CHUNK_BYTES];
    const int64_t most = CHUNK_BYTES / t->width;
    enum dawn_status st = DAWN_OK;

    for (int64_t i = 0; i < count && !st;) {
        int64_t end = count - i < most ? count : i + most;
        uint64_t at = t->first + (from + (uint64_t)i) * (uint64_t)t->width;
        st = dawni_pieces_read(&t->file, at, chunk,
                               (size_t)((end - i) * t->width), err);
        for (const unsigned char *p = chunk; i < end && !st; i++, p += t->width)
            st = take(t, from, i, token_at(p, t->width), w, err);
    }
    return st;
}

/* See that tokens at the beginning are in the vocabulary. */
static enum dawn_status check_first(const struct dawn_tokens *t,
                                    struct dawn_error *err)
{
    const struct window none = {NULL, NULL, 0};
    uint64_t count = t->count < CHECKED_AT_OPEN ? t->count : CHECKED_AT_OPEN;

    if (t->vocab >= (t->width == 1 ? 256u : 65536u))
        return DAWN_OK;
    return read_tokens(t, 0, (int64_t)count, &none, err);
}

static enum dawn_status load(struct dawn_tokens *t, const struct format *format,
                             struct dawn_error *err)
{
    enum dawn_status st;

    if (!t->file.bytes)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: the file is empty",
                         t->file.path);
    st = format->frame(t, err);
    return st ? st : check_first(t, err);
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
    if (!t)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    if ((st = dawni_pieces_open(path, &t->file, err)))
        goto fail;
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
    dawni_pieces_close(&t->file);
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

static enum dawn_status fill_row(const struct dawn_tokens *t, uint64_t offset,
                                 const struct dawn_tokens_batch *batch,
                                 int64_t row, struct dawn_error *err)
{
    int64_t context = batch->context, begin = row * context;
    const struct window w = {
        .tokens = batch->tokens ? batch->tokens + begin : NULL,
        .targets = batch->targets ? batch->targets + begin : NULL,
        .room = context,
    };

    return read_tokens(t, offset, context + 1, &w, err);
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
    return dawn_fail(
        err, DAWN_E_INVAL,
        "%s: %" PRIu64 " tokens, a context of %" PRId64 " needs %" PRId64,
        t->file.path, t->count, batch->context, batch->context + 1);
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
                         t->file.path, sample,
                         sample + (uint64_t)batch->samples - 1, windows);
    for (int64_t row = 0; row < batch->samples && !st; row++)
        st = fill_row(t, (sample + (uint64_t)row) * (uint64_t)batch->context,
                      batch, row, err);
    return st;
}
