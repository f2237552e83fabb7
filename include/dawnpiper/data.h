/* SPDX-License-Identifier: Apache-2.0 */
/* Data: a file of tokens, and the windows of it that training and evaluation
 * see; a file of labelled images. Which window or image it is depends on the
 * numbers given only, so that any rank can fill any microbatch, in any order,
 * again.
 *
 * An open file is read-only: any number of threads may read it.
 */
#ifndef DAWNPIPER_DATA_H
#define DAWNPIPER_DATA_H

#include <dawnpiper/graph.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What tells the contents of one data file from those of another, whatever
 * their names: xxh3 of its length and all its bytes. Of a file above
 * DAWN_DATA_WHOLE bytes only 256 pieces of 256 KiB are read, spread evenly from
 * the first byte to the last: a change between them is not seen, unless the
 * length changes.
 *
 *   bytes_p   out: the file's length; may be NULL
 *   digest_p  out: the same on every machine
 *
 * Returns DAWN_OK, DAWN_E_IO (cannot be read, is no regular file) or
 * DAWN_E_NOMEM.
 */
#define DAWN_DATA_WHOLE ((uint64_t)64 << 20)
DAWN_API enum dawn_status dawn_data_digest(const char *path, uint64_t *bytes_p,
                                           uint64_t *digest_p,
                                           struct dawn_error *err);

struct dawn_tokens;

/* Open a file of tokens; pieces are read when they are wanted.
 *
 *   format  "bytes": any file, a byte is a token
 *           "uint16": 16-bit little-endian tokens and nothing else
 *           "llmc": as llm.c writes: 256 little-endian int32 (20240520, version
 *           1, number of tokens), then 16-bit tokens
 *   vocab   tokens must be below it; 1 to 2^31-1. The first 32 Mi tokens are
 *           checked here, all others when they are used
 *
 * Returns DAWN_OK, DAWN_E_INVAL (unknown format, bad vocab), DAWN_E_IO,
 * DAWN_E_FORMAT (empty, cut off, a token out of range: the text has its offset)
 * or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_tokens_open(const char *path, const char *format,
                                           int64_t vocab,
                                           struct dawn_tokens **tokens_p,
                                           struct dawn_error *err);
/* Takes NULL. */
DAWN_API void dawn_tokens_close(struct dawn_tokens *tokens);

DAWN_API uint64_t dawn_tokens_count(const struct dawn_tokens *tokens);

/* Windows one behind the other, each with its targets: (count - 1) / context.
 * 0 when the file has no context + 1 tokens. */
DAWN_API uint64_t dawn_tokens_windows(const struct dawn_tokens *tokens,
                                      int64_t context);

/* Where windows go. Row i of tokens is context tokens of the file, row i of
 * targets the same moved on by one. (samples, context) int32, row-major; either
 * may be NULL. */
struct dawn_tokens_batch {
    int64_t samples, context; /* >= 1 */
    int32_t *tokens, *targets;
};

/* Training: fill a batch with random windows, drawn with replacement. Row i is
 * a function of seed, step and sample + i.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (the file has no context + 1 tokens) or
 * DAWN_E_FORMAT (a token out of range).
 */
DAWN_API enum dawn_status dawn_tokens_random(
    const struct dawn_tokens *tokens, uint64_t seed, uint64_t step,
    uint64_t sample, const struct dawn_tokens_batch *batch,
    struct dawn_error *err);

/* Evaluation: row i is window sample + i of dawn_tokens_windows. Returns
 * DAWN_OK, DAWN_E_INVAL (no such window) or DAWN_E_FORMAT. */
DAWN_API enum dawn_status dawn_tokens_sequential(
    const struct dawn_tokens *tokens, uint64_t sample,
    const struct dawn_tokens_batch *batch, struct dawn_error *err);

/* Tokens to be filled in: of each sample `masked` places, all sets of them as
 * likely. (Devlin et al., "BERT", 2019, section 3.1) */
struct dawn_tokens_mask {
    int64_t samples, context; /* >= 1 */
    int64_t masked;           /* of a sample, 1 to context */
    int32_t vocab;
    int32_t token;    /* what stands for a masked one, below vocab */
    int32_t *tokens;  /* (samples, context): masked here; NULL: places only */
    int32_t *places;  /* (samples, masked), ascending; NULL: not wanted */
    int32_t *targets; /* (samples, masked): what was there; or NULL */
};

/* Mask tokens. Row i is a function of seed, step, sample + i and the tokens of
 * that row. Returns DAWN_OK or DAWN_E_INVAL. */
DAWN_API enum dawn_status dawn_tokens_mask(uint64_t seed, uint64_t step,
                                           uint64_t sample,
                                           const struct dawn_tokens_mask *mask,
                                           struct dawn_error *err);

/* Spans to be filled in, of 3 tokens on average (Raffel et al., "T5", 2020,
 * section 3.1.4). In the encoder's tokens one sentinel stands for each span;
 * the targets are the spans, each behind its sentinel; both end with token 1.
 * The decoder's tokens are the targets one place later, behind token 0. Lengths
 * are fixed: how many tokens are left out follows from target_context. */
struct dawn_tokens_spans {
    int64_t samples;
    int64_t context, target_context; /* of encoder and decoder */
    int32_t sentinel;      /* of the first span; the next is one less, ... */
    const int32_t *tokens; /* (samples, dawn_tokens_span_window()) */
    int32_t *inputs;       /* (samples, context), or NULL: not wanted */
    int32_t *decoder;      /* (samples, target_context); or NULL */
    int32_t *targets;      /* (samples, target_context); or NULL */
};

/* Tokens of the text that a sample is made of; 0: there is no such sample, at
 * least 3 places each are needed and places enough between the spans. */
DAWN_API int64_t dawn_tokens_span_window(int64_t context,
                                         int64_t target_context);

/* Spans of a sample. */
DAWN_API int64_t dawn_tokens_span_count(int64_t target_context);

/* Leave out spans. Row i is a function of seed, step, sample + i and the tokens
 * of that row. Returns DAWN_OK or DAWN_E_INVAL. */
DAWN_API enum dawn_status dawn_tokens_corrupt(
    uint64_t seed, uint64_t step, uint64_t sample,
    const struct dawn_tokens_spans *spans, struct dawn_error *err);

struct dawn_images;

struct dawn_images_shape {
    int64_t height, width, channels; /* 1 to 65536 */
    int64_t classes;                 /* likewise */
};

/* Open a file of labelled images; they are read when they are wanted. Records stand one
 * behind the other, as in CIFAR-10's binary files: the label, one byte, or two
 * with the higher one first where there are more than 256 classes, then for
 * each channel height x width pixels, a byte each. The first 4096 labels are
 * checked here, all others when they are used.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (a bad shape), DAWN_E_IO, DAWN_E_FORMAT (empty,
 * no whole number of records, a label out of range: the text has its record) or
 * DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_images_open(
    const char *path, const struct dawn_images_shape *shape,
    struct dawn_images **images_p, struct dawn_error *err);
/* Takes NULL. */
DAWN_API void dawn_images_close(struct dawn_images *images);

DAWN_API uint64_t dawn_images_count(const struct dawn_images *images);

/* Where images go; pixels or labels may be NULL. */
struct dawn_images_batch {
    int64_t samples; /* >= 1 */
    /* pixels: (samples, height, width, channels), 0..255 become -1..1 */
    enum dawn_dtype dtype; /* DAWN_F32 or DAWN_BF16 */
    void *pixels;
    int32_t *labels; /* (samples) */
};

/* Training: row i is image sample + i of passes over the file one after
 * another, each in an order of its own; a function of seed and sample + i.
 *
 * Returns DAWN_OK, DAWN_E_INVAL or DAWN_E_FORMAT (a label out of range).
 */
DAWN_API enum dawn_status dawn_images_shuffled(
    const struct dawn_images *images, uint64_t seed, uint64_t sample,
    const struct dawn_images_batch *batch, struct dawn_error *err);

/* Evaluation: row i is image sample + i of the file. Returns DAWN_OK,
 * DAWN_E_INVAL (no such image) or DAWN_E_FORMAT. */
DAWN_API enum dawn_status dawn_images_sequential(
    const struct dawn_images *images, uint64_t sample,
    const struct dawn_images_batch *batch, struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
