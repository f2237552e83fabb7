/* SPDX-License-Identifier: Apache-2.0 */
/* Token files: formats, malformed ones, windows. */
#include "tap.h"

#include <dawnpiper/data.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONTEXT = 8, SAMPLES = 4 };

static char path[] = "tokens-XXXXXX";

static void put_file(const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");

    fwrite(data, 1, bytes, file);
    fclose(file);
}

/* An llm.c file whose header says `count` and which has `tokens` tokens. */
static void put_llmc(int32_t magic, int32_t version, int32_t count, int tokens)
{
    int32_t header[256] = {magic, version, count};
    FILE *file = fopen(path, "wb");

    fwrite(header, sizeof header, 1, file);
    for (int i = 0; i < tokens; i++) {
        uint16_t token = (uint16_t)(40000 + i);
        fwrite(&token, sizeof token, 1, file);
    }
    fclose(file);
}

static void is_refused(const char *format, int64_t vocab,
                       enum dawn_status wanted, const char *text)
{
    struct dawn_tokens *tokens = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(dawn_tokens_open(path, format, vocab, &tokens, &err), wanted,
           "refused: %s", err.text);
    ok(strstr(err.text, text) && !tokens, "it says \"%s\"", text);
}

static void test_malformed(void)
{
    put_file("", 0);
    is_refused("bytes", 256, DAWN_E_FORMAT, "empty");
    put_file("abc", 3);
    is_refused("uint16", 65536, DAWN_E_FORMAT, "3 bytes, an odd number");
    is_refused("llmc", 65536, DAWN_E_FORMAT, "3 bytes, the header has 1024");
    is_refused("words", 256, DAWN_E_INVAL, "\"words\"");
    is_refused("bytes", 0, DAWN_E_INVAL, "vocabulary of 0");
    is_refused("bytes", INT64_C(1) << 31, DAWN_E_INVAL, "2147483648");
    is_refused("bytes", 'c', DAWN_E_FORMAT,
               "token 99 at offset 2, the vocabulary has 99");
    put_llmc(20240520, 1, 11, 10);
    is_refused("llmc", 65536, DAWN_E_FORMAT,
               "11 tokens, 1046 bytes, the file has 1044");
    put_llmc(20240520, 1, 9, 10);
    is_refused("llmc", 65536, DAWN_E_FORMAT, "9 tokens");
    put_llmc(20240521, 1, 10, 10);
    is_refused("llmc", 65536, DAWN_E_FORMAT, "magic 20240521");
    put_llmc(20240520, 2, 10, 10);
    is_refused("llmc", 65536, DAWN_E_FORMAT, "version 2");
    put_llmc(20240520, 1, 10, 10);
    is_refused("llmc", 40009, DAWN_E_FORMAT, "token 40009 at offset 9");
    unlink(path);
    is_refused("bytes", 256, DAWN_E_IO, "cannot open");
}

static void test_formats(void)
{
    int32_t x[CONTEXT], y[CONTEXT];
    struct dawn_tokens_batch batch = {1, CONTEXT, x, y};
    struct dawn_tokens *tokens = NULL;

    put_llmc(20240520, 1, 10, 10);
    is_int(dawn_tokens_open(path, "llmc", 40010, &tokens, NULL), DAWN_OK,
           "an llm.c file is opened");
    is_u64(dawn_tokens_count(tokens), 10, "it has ten tokens");
    is_int(dawn_tokens_sequential(tokens, 0, &batch, NULL), DAWN_OK,
           "a window is filled");
    ok(x[0] == 40000 && x[7] == 40007 && y[0] == 40001 && y[7] == 40008,
       "16 bits are read without a sign, targets are one further");
    dawn_tokens_close(tokens);
    is_int(dawn_tokens_open(path, "uint16", 65536, &tokens, NULL), DAWN_OK,
           "the same file is opened as raw tokens");
    is_u64(dawn_tokens_count(tokens), 522, "its header is tokens then");
    dawn_tokens_close(tokens);
    put_file("\x00\xff text, 11", 11);
    is_int(dawn_tokens_open(path, "bytes", 256, &tokens, NULL), DAWN_OK,
           "any file is opened as bytes");
    is_u64(dawn_tokens_count(tokens), 11, "a byte is a token");
    dawn_tokens_sequential(tokens, 0, &batch, NULL);
    ok(x[0] == 0 && x[1] == 255 && x[2] == ' ', "of 0 to 255");
    dawn_tokens_close(tokens);
}

/* A file of bytes 0, 1, 2, ... */
static struct dawn_tokens *open_counting(int count)
{
    unsigned char data[256];
    struct dawn_tokens *tokens = NULL;

    for (int i = 0; i < count; i++)
        data[i] = (unsigned char)i;
    put_file(data, (size_t)count);
    dawn_tokens_open(path, "bytes", 256, &tokens, NULL);
    return tokens;
}

static void test_sequential(void)
{
    struct dawn_tokens *tokens = open_counting(100);
    int32_t x[SAMPLES * CONTEXT], y[SAMPLES * CONTEXT];
    struct dawn_tokens_batch batch = {SAMPLES, CONTEXT, x, y};
    struct dawn_error err;

    is_u64(dawn_tokens_windows(tokens, CONTEXT), 12, "99 / 8 windows");
    is_u64(dawn_tokens_windows(tokens, 99), 1, "one of 99 with its targets");
    is_u64(dawn_tokens_windows(tokens, 100), 0, "none of 100");
    is_int(dawn_tokens_sequential(tokens, 8, &batch, NULL), DAWN_OK,
           "the last four windows");
    bool right = true;
    for (int i = 0; i < SAMPLES * CONTEXT; i++)
        right = right && x[i] == 64 + i && y[i] == 65 + i;
    ok(right, "stand one behind the other");
    is_int(dawn_tokens_sequential(tokens, 9, &batch, &err), DAWN_E_INVAL,
           "beyond the end: %s", err.text);
    is_int(dawn_tokens_sequential(tokens, UINT64_MAX, &batch, &err),
           DAWN_E_INVAL, "far beyond: %s", err.text);
    batch.context = 100;
    is_int(dawn_tokens_sequential(tokens, 0, &batch, &err), DAWN_E_INVAL,
           "too short a file: %s", err.text);
    is_int(dawn_tokens_random(tokens, 1, 0, 0, &batch, &err), DAWN_E_INVAL,
           "for training as well");
    ok(strstr(err.text, "100 tokens, a context of 100 needs 101"),
       "it says so: %s", err.text);
    batch.context = 0;
    is_int(dawn_tokens_random(tokens, 1, 0, 0, &batch, &err), DAWN_E_INVAL,
           "no context: %s", err.text);
    dawn_tokens_close(tokens);
}

static void test_random(void)
{
    struct dawn_tokens *tokens = open_counting(20);
    int32_t x[SAMPLES * CONTEXT], y[SAMPLES * CONTEXT], one[CONTEXT];
    struct dawn_tokens_batch batch = {SAMPLES, CONTEXT, x, y};
    struct dawn_tokens_batch row = {1, CONTEXT, NULL, one};
    int seen[20] = {0}, draws = 0;
    bool right = true, same = true;

    for (uint64_t step = 0; step < 1000; step++) {
        dawn_tokens_random(tokens, 7, step, 0, &batch, NULL);
        for (int s = 0; s < SAMPLES; s++, draws++) {
            seen[x[s * CONTEXT]]++;
            for (int i = 0; i < CONTEXT; i++)
                right = right && x[s * CONTEXT + i] == x[s * CONTEXT] + i &&
                        y[s * CONTEXT + i] == x[s * CONTEXT] + i + 1;
        }
        dawn_tokens_random(tokens, 7, step, 3, &row, NULL);
        same = same && !memcmp(one, y + 3 * CONTEXT, sizeof one);
    }
    ok(right, "random windows are runs, targets are one further");
    ok(same, "sample 3 alone is row 3 of the batch; tokens may be left out");
    int least = draws, most = 0;
    for (int i = 0; i < 12; i++) {
        least = seen[i] < least ? seen[i] : least;
        most = seen[i] > most ? seen[i] : most;
    }
    ok(least > draws / 12 * 7 / 10 && most < draws / 12 * 13 / 10,
       "all 12 places come up alike: %d to %d of %d", least, most, draws);
    dawn_tokens_random(tokens, 8, 0, 0, &batch, NULL);
    dawn_tokens_close(tokens);

    tokens = open_counting(CONTEXT + 1);
    is_int(dawn_tokens_random(tokens, 7, 5, 0, &batch, NULL), DAWN_OK,
           "context + 1 tokens are enough");
    is_int(x[0], 0, "there is one place then");
    dawn_tokens_close(tokens);
}

/* Stored, so that a change of the drawing does not pass unseen. */
static void test_stable(void)
{
    struct dawn_tokens *tokens = open_counting(200);
    const int32_t wanted[SAMPLES] = {53, 144, 138, 148};
    int32_t x[SAMPLES * CONTEXT];
    struct dawn_tokens_batch batch = {SAMPLES, CONTEXT, x, NULL};

    dawn_tokens_random(tokens, 1, 2, 3, &batch, NULL);
    for (int i = 0; i < SAMPLES; i++)
        is_int(x[i * CONTEXT], wanted[i], "seed 1, step 2, sample %d", 3 + i);
    dawn_tokens_close(tokens);
}

int main(void)
{
    plan_lazy();
    close(mkstemp(path));
    test_malformed();
    test_formats();
    test_sequential();
    test_random();
    test_stable();
    unlink(path);
    return done_testing();
}
