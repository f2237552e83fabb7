/* SPDX-License-Identifier: Apache-2.0 */
/* Spans left out: nothing is lost, lengths are fixed, the same whoever asks. */
#include "tap.h"

#include <dawnpiper/data.h>
#include <stdbool.h>
#include <string.h>

enum { SAMPLES = 64, CONTEXT = 100, TARGETS = 25, WINDOW = 111, VOCAB = 500 };
enum { SPANS = 6, NOISE = 18 };

static int32_t text[SAMPLES * WINDOW], inputs[SAMPLES * CONTEXT];
static int32_t decoder[SAMPLES * TARGETS], targets[SAMPLES * TARGETS];

static const struct dawn_tokens_spans all = {.samples = SAMPLES,
                                             .context = CONTEXT,
                                             .target_context = TARGETS,
                                             .sentinel = VOCAB - 1,
                                             .tokens = text,
                                             .inputs = inputs,
                                             .decoder = decoder,
                                             .targets = targets};

static bool is_mark(int32_t token)
{
    return token > VOCAB - 1 - SPANS;
}

/* Put the spans back in; false: it is not the text. */
static bool restored(int sample)
{
    const int32_t *in = inputs + sample * CONTEXT,
                  *out = text + sample * WINDOW;
    const int32_t *span = targets + sample * TARGETS;
    const int32_t *end = out + WINDOW;

    for (int i = 0; i < CONTEXT - 1; i++) {
        if (!is_mark(in[i])) {
            if (out == end || *out++ != in[i])
                return false;
            continue;
        }
        if (*span++ != in[i])
            return false;
        while (out < end && !is_mark(*span) && *span != 1)
            if (*out++ != *span++)
                return false;
    }
    return out == end && in[CONTEXT - 1] == 1 && *span == 1 &&
           span == targets + (sample + 1) * TARGETS - 1;
}

static void test_restored(void)
{
    int wrong = 0, shifted = 0, first_kept = 0, longest = 0, run = 0, ones = 0;

    for (int i = 0; i < SAMPLES * WINDOW; i++)
        text[i] = 2 + i * 7 % (VOCAB - SPANS - 2);
    is_int(dawn_tokens_span_window(CONTEXT, TARGETS), WINDOW,
           "a text of 111 tokens");
    is_int(dawn_tokens_span_count(TARGETS), SPANS, "has 6 spans");
    is_int(dawn_tokens_corrupt(5, 3, 10, &all, NULL), DAWN_OK,
           "spans are left out");
    for (int s = 0; s < SAMPLES; s++) {
        const int32_t *d = decoder + s * TARGETS, *t = targets + s * TARGETS;
        wrong += !restored(s);
        shifted += d[0] == 0 && !memcmp(d + 1, t, (TARGETS - 1) * sizeof *t);
        first_kept += !is_mark(inputs[s * CONTEXT]) && t[0] == VOCAB - 1;
        for (int i = 0; i < TARGETS; i++) {
            run = is_mark(t[i]) || t[i] == 1 ? 0 : run + 1;
            ones += run == 1;
            longest = run > longest ? run : longest;
        }
    }
    is_int(wrong, 0, "inputs and targets together are the text");
    is_int(shifted, SAMPLES, "the decoder sees targets one place later");
    is_int(first_kept, SAMPLES, "a text begins with what is kept");
    is_int(ones, SAMPLES * SPANS, "no span is empty");
    ok(longest > 6 && longest <= NOISE - SPANS + 1,
       "the longest of 384 spans has %d tokens", longest);
}

/* The first piece is as long as any other on average. */
static void test_mean(void)
{
    int kept = 0, left = 0;

    for (int s = 0; s < SAMPLES; s++) {
        const int32_t *in = inputs + s * CONTEXT, *t = targets + s * TARGETS;
        while (!is_mark(*in++))
            kept++;
        while (!is_mark(*++t))
            left++;
    }
    /* 93 kept tokens in 6 pieces: 15.5 each, +- 1.7; spans 3 +- 0.25 */
    ok(kept > 64 * 9 && kept < 64 * 22, "first pieces kept: %.1f on average",
       kept / 64.0);
    ok(left > 64 * 2 && left < 64 * 4, "first spans left out: %.1f on average",
       left / 64.0);
}

/* Row i of one call is row 0 of the call that begins there. */
static void test_rows(void)
{
    static int32_t in[CONTEXT], dec[TARGETS], target[TARGETS];
    struct dawn_tokens_spans row = all;
    bool same = true;

    row.samples = 1;
    for (int s = 0; s < SAMPLES; s++) {
        row.tokens = text + s * WINDOW;
        for (int which = 0; which < 3; which++) {
            row.inputs = which == 0 ? in : NULL;
            row.decoder = which == 1 ? dec : NULL;
            row.targets = which == 2 ? target : NULL;
            dawn_tokens_corrupt(5, 3, 10 + (uint64_t)s, &row, NULL);
        }
        same &= !memcmp(in, inputs + s * CONTEXT, sizeof in) &&
                !memcmp(dec, decoder + s * TARGETS, sizeof dec) &&
                !memcmp(target, targets + s * TARGETS, sizeof target);
    }
    ok(same, "a row is the same in any batch, whatever is asked for");
    dawn_tokens_corrupt(5, 4, 9 + SAMPLES, &row, NULL);
    ok(memcmp(target, targets + (SAMPLES - 1) * TARGETS, sizeof target) != 0,
       "another step has other spans");
    dawn_tokens_corrupt(6, 3, 9 + SAMPLES, &row, NULL);
    ok(memcmp(target, targets + (SAMPLES - 1) * TARGETS, sizeof target) != 0,
       "and so has another seed");
}

static void test_lengths(void)
{
    static const struct {
        int64_t context, target, window;
    } row[] = {{512, 114, 568}, {3, 3, 2}, {4, 4, 4}, {3, 4, 3},  {2, 3, 0},
               {3, 2, 0},       {4, 7, 0}, {5, 7, 6}, {8, 30, 0}, {16, 30, 30}};

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        is_int(dawn_tokens_span_window(row[i].context, row[i].target),
               row[i].window, "places %d and %d", (int)row[i].context,
               (int)row[i].target);
}

static void test_bad(void)
{
    struct dawn_tokens_spans s = all;
    struct dawn_error err;

    s.context = 5;
    ok(dawn_tokens_corrupt(1, 0, 0, &s, &err) == DAWN_E_INVAL &&
           strstr(err.text, "no spans: 64 samples of 5 tokens, 25 targets"),
       "refused: %s", err.text);
    s = all;
    s.sentinel = SPANS;
    ok(dawn_tokens_corrupt(1, 0, 0, &s, &err) == DAWN_E_INVAL &&
           strstr(err.text, "6 spans from token 6 down"),
       "refused: %s", err.text);
    s.sentinel = SPANS + 1;
    is_int(dawn_tokens_corrupt(1, 0, 0, &s, NULL), DAWN_OK,
           "7 to 2 are enough for 6 spans");
}

int main(void)
{
    plan_lazy();
    test_restored();
    test_mean();
    test_rows();
    test_lengths();
    test_bad();
    return done_testing();
}
