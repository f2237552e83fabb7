/* SPDX-License-Identifier: Apache-2.0 */
/* Masked tokens: as many as wanted, in proportion, the same whoever asks. */
#include "tap.h"

#include <dawnpiper/data.h>
#include <stdbool.h>
#include <string.h>

enum { SAMPLES = 64, CONTEXT = 100, MASKED = 15, VOCAB = 200, MASK = 199 };

static int32_t original[SAMPLES * CONTEXT], tokens[SAMPLES * CONTEXT];
static int32_t places[SAMPLES * MASKED], targets[SAMPLES * MASKED];

static void fill(void)
{
    for (int i = 0; i < SAMPLES * CONTEXT; i++)
        original[i] = i * 7 % (VOCAB - 1);
    memcpy(tokens, original, sizeof tokens);
}

static const struct dawn_tokens_mask all = {.samples = SAMPLES,
                                            .context = CONTEXT,
                                            .masked = MASKED,
                                            .vocab = VOCAB,
                                            .token = MASK,
                                            .tokens = tokens,
                                            .places = places,
                                            .targets = targets};

static void test_places(void)
{
    int wrong = 0, changed = 0, masks = 0, kept = 0, first_half = 0;

    fill();
    is_int(dawn_tokens_mask(5, 3, 10, &all, NULL), DAWN_OK,
           "tokens are masked");
    for (int s = 0; s < SAMPLES; s++)
        for (int m = 0; m < MASKED; m++) {
            int i = s * MASKED + m;
            int at = s * CONTEXT + places[i];
            wrong += places[i] < 0 || places[i] >= CONTEXT ||
                     (m && places[i] <= places[i - 1]) ||
                     targets[i] != original[at];
            masks += tokens[at] == MASK;
            kept += tokens[at] == original[at];
            first_half += places[i] < CONTEXT / 2;
        }
    is_int(wrong, 0, "places ascend, targets are what was there");
    for (int i = 0; i < SAMPLES * CONTEXT; i++)
        changed += tokens[i] != original[i];
    is_int(changed, SAMPLES * MASKED - kept, "no other token is changed");
    /* of 960: 768 +- 12, 96 + 5 +- 10, half */
    ok(masks > 720 && masks < 816, "%d of 960 by the mask", masks);
    ok(kept > 60 && kept < 145, "%d of 960 are left", kept);
    ok(first_half > 420 && first_half < 540, "%d in the first half",
       first_half);
}

/* Row i of one call is row 0 of the call that begins there. */
static void test_rows(void)
{
    static int32_t one[CONTEXT], place[MASKED], target[MASKED];
    struct dawn_tokens_mask row = all;
    bool same = true;

    row.samples = 1;
    row.tokens = one;
    row.places = place;
    row.targets = target;
    for (int s = 0; s < SAMPLES; s++) {
        memcpy(one, original + s * CONTEXT, sizeof one);
        dawn_tokens_mask(5, 3, 10 + (uint64_t)s, &row, NULL);
        same &= !memcmp(one, tokens + s * CONTEXT, sizeof one) &&
                !memcmp(place, places + s * MASKED, sizeof place) &&
                !memcmp(target, targets + s * MASKED, sizeof target);
    }
    ok(same, "a row is the same in any batch");
    row.tokens = row.targets = NULL;
    dawn_tokens_mask(5, 3, 9 + SAMPLES, &row, NULL);
    ok(!memcmp(place, places + (SAMPLES - 1) * MASKED, sizeof place),
       "places need no tokens");
    dawn_tokens_mask(5, 4, 9 + SAMPLES, &row, NULL);
    ok(memcmp(place, places + (SAMPLES - 1) * MASKED, sizeof place) != 0,
       "another step has others");
}

static void test_whole(void)
{
    struct dawn_tokens_mask m = all;
    bool every = true;

    m.samples = 1;
    m.masked = CONTEXT;
    m.tokens = m.targets = NULL;
    dawn_tokens_mask(1, 0, 0, &m, NULL);
    for (int i = 0; i < CONTEXT; i++)
        every &= places[i] == i;
    ok(every, "all tokens can be masked");
}

static void test_bad(void)
{
    const struct {
        int64_t masked;
        int32_t token;
        bool blind;
        const char *text;
    } row[] = {{0, 0, false, "0 masked of 100 tokens"},
               {101, 0, false, "101 masked of 100 tokens"},
               {5, 200, false, "the mask is token 200"},
               {5, -1, false, "the mask is token -1"},
               {5, 0, true, "targets without tokens"}};
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct dawn_tokens_mask m = all;
        m.masked = row[i].masked;
        m.token = row[i].token;
        if (row[i].blind)
            m.tokens = NULL;
        ok(dawn_tokens_mask(1, 0, 0, &m, &err) == DAWN_E_INVAL &&
               strstr(err.text, row[i].text),
           "refused: %s", err.text);
    }
}

int main(void)
{
    plan_lazy();
    test_places();
    test_rows();
    test_whole();
    test_bad();
    return done_testing();
}
