/* SPDX-License-Identifier: Apache-2.0 */
/* Span corruption (Raffel et al., 2020, section 3.1.4): tokens to leave out and
 * tokens to keep are each cut into as many pieces, all ways to do so as likely,
 * and stand in turn, kept ones first.
 */
#include "common/random.h"

#include <dawnpiper/data.h>

/* Sets random numbers for spans apart from those of the same seed for others.
 */
#define SPAN_KEY UINT64_C(0x7370616e5f777778)

#define MEAN 3 /* tokens of a span */
#define START 0
#define END 1

/* Lengths that follow from those of the sample. */
struct lengths {
    int64_t spans, noise, kept;
};

static struct lengths lengths_of(int64_t context, int64_t target_context)
{
    struct lengths l = {.spans =
                            (target_context - 1 + (MEAN + 1) / 2) / (MEAN + 1)};

    if (l.spans < 1)
        l.spans = 1;
    l.noise = target_context - 1 - l.spans;
    l.kept = context - 1 - l.spans;
    return l;
}

int64_t dawn_tokens_span_window(int64_t context, int64_t target_context)
{
    struct lengths l = lengths_of(context, target_context);

    return l.noise < l.spans || l.kept < l.spans ? 0 : l.noise + l.kept;
}

int64_t dawn_tokens_span_count(int64_t target_context)
{
    return lengths_of(0, target_context).spans;
}

/* Cuts `items` into pieces, one after another. */
struct cutter {
    uint64_t key, step, first;
    int lane; /* of the random numbers */
    int64_t at, items, cuts;
};

/* The length of the next piece. Selection sampling: every set of places to cut
 * is as likely as any other. */
static int64_t next_piece(struct cutter *c)
{
    int64_t begin = c->at++;

    for (; c->at < c->items; c->at++) {
        double chance = (double)c->cuts / (double)(c->items - c->at);
        struct dawni_u32x4 bits =
            dawni_philox(c->key, c->step, c->first + (uint64_t)c->at);
        if (dawni_uniform(bits.v[c->lane]) >= chance)
            continue;
        c->cuts--;
        break;
    }
    return c->at - begin;
}

/* Appends to rows, where they are wanted. */
struct sink {
    int32_t *inputs, *decoder, *targets;
    int64_t targets_left;
};

static void put_input(struct sink *s, int32_t token)
{
    if (s->inputs)
        *s->inputs++ = token;
}

static void put_target(struct sink *s, int32_t token)
{
    if (s->targets)
        *s->targets++ = token;
    s->targets_left--;
    if (s->decoder && s->targets_left > 0) /* the last is never an input */
        *s->decoder++ = token;
}

static void corrupt_row(const struct dawn_tokens_spans *s, struct cutter keep,
                        struct cutter drop, int64_t row)
{
    int64_t window = keep.items + drop.items;
    const int32_t *token = s->tokens + row * window;
    struct sink to = {.targets_left = s->target_context};

    if (s->inputs)
        to.inputs = s->inputs + row * s->context;
    if (s->decoder) {
        to.decoder = s->decoder + row * s->target_context;
        *to.decoder++ = START;
    }
    if (s->targets)
        to.targets = s->targets + row * s->target_context;
    for (int32_t mark = s->sentinel; keep.at < keep.items; mark--) {
        for (int64_t n = next_piece(&keep); n > 0; n--)
            put_input(&to, *token++);
        put_input(&to, mark);
        put_target(&to, mark);
        for (int64_t n = next_piece(&drop); n > 0; n--)
            put_target(&to, *token++);
    }
    put_input(&to, END);
    put_target(&to, END);
}

enum dawn_status dawn_tokens_corrupt(uint64_t seed, uint64_t step,
                                     uint64_t sample,
                                     const struct dawn_tokens_spans *s,
                                     struct dawn_error *err)
{
    struct lengths l = lengths_of(s->context, s->target_context);
    int64_t window = dawn_tokens_span_window(s->context, s->target_context);

    if (s->samples < 1 || !window)
        return dawn_fail(err, DAWN_E_INVAL,
                         "no spans: %lld samples of %lld tokens, %lld targets",
                         (long long)s->samples, (long long)s->context,
                         (long long)s->target_context);
    if (s->sentinel - l.spans < END)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%lld spans from token %d down leave no token %d",
                         (long long)l.spans, (int)s->sentinel, END);
    for (int64_t row = 0; row < s->samples; row++) {
        struct cutter keep = {.key = seed ^ SPAN_KEY,
                              .step = step,
                              .first =
                                  (sample + (uint64_t)row) * (uint64_t)window,
                              .items = l.kept,
                              .cuts = l.spans - 1};
        struct cutter drop = keep;
        drop.lane = 1;
        drop.items = l.noise;
        corrupt_row(s, keep, drop, row);
    }
    return DAWN_OK;
}
