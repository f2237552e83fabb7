/* SPDX-License-Identifier: Apache-2.0 */
/* Puts messages into an order of computation. Between computation i and i + 1
 * of a rank stand, in this order,
 *
 *   - RECV for what computation i + 2 takes in: one computation ahead, so that
 *     the message moves during i + 1; those of computations 0 and 1 come first
 *     of all,
 *   - WAIT for earlier sends, see below,
 *   - SEND of what computation i made,
 *   - UPDATE, if i is the last backward that is in one,
 *
 * and at the end the WAITs that are left, then one REDUCE and one STEP for all
 * stages of the rank, under the number of its first.
 *
 * The WAIT of a send stands behind the second computation after it, or where
 * its link sends again if that comes first: it has a computation or two to move
 * beside. But it never stands where the peer may not have posted its RECV: if a
 * clock of the table says that the RECV comes no earlier, the WAIT moves on,
 * computation by computation, until it does, or to the end. That happens on
 * links that skip stages, whose receiver is far behind in warm-up; several
 * sends are then under way, and the WAIT's microbatch says which one is meant.
 * The clocks differ in how many forwards a backward is long, so that no rank is
 * held up at any usual ratio.
 *
 * Why no table deadlocks although nothing is buffered: give each action the
 * tick, of any of the clocks, at which the computation before it is over. All
 * that an action can block on has an earlier tick, or stands at the same tick
 * among the RECVs, which block on nothing and come first. WAITs at the end
 * block nobody.
 */
#include "schedule/schedule.h"

#include <stdlib.h>

static const int backward_ticks[] = {1, 2, 3};

#define CLOCKS (sizeof backward_ticks / sizeof backward_ticks[0])

struct wait {
    int behind; /* index of the computation; the number of them: at the end */
    struct dawn_action action;
};

struct builder {
    const struct dawn_schedule *schedule;
    int **end[CLOCKS];   /* of the order of computation */
    int *posted[CLOCKS]; /* by message: tick of its RECV */
    struct wait *wait;
    int waits, next_wait;
    struct dawni_actions out;
};

static struct dawn_action message_action(const struct dawni_link *link,
                                         enum dawn_action_kind act, int mb,
                                         bool at_src)
{
    /* _GRAD stands 3 behind _ACT */
    enum dawn_action_kind kind =
        link->grad ? act + (DAWN_ACTION_RECV_GRAD - DAWN_ACTION_RECV_ACT) : act;

    return (struct dawn_action){kind, mb, at_src ? link->src : link->dst,
                                at_src ? link->dst : link->src};
}

static void note_receives(const struct builder *b, int rank, size_t clock)
{
    const struct dawn_schedule *s = b->schedule;
    int *posted = b->posted[clock];

    for (int i = 0; i < s->rank[rank].n; i++) {
        const struct dawn_action *a = &s->rank[rank].action[i];
        int tick = i < 2 ? 0 : b->end[clock][rank][i - 2];

        for (int k = s->in_first[a->stage]; k < s->in_first[a->stage + 1]; k++)
            if (dawni_uses_link(a->kind, s->link[s->in[k]].grad))
                posted[dawni_message(s, s->in[k], a->microbatch)] = tick;
    }
}

/* By all clocks, is the RECV posted before computation i of a rank is over? */
static bool is_posted(const struct builder *b, size_t message, int rank, int i)
{
    for (size_t clock = 0; clock < CLOCKS; clock++)
        if (b->posted[clock][message] >= b->end[clock][rank][i])
            return false;
    return true;
}

/* The computation behind which the send of computation i over a link is waited
 * for. */
static int wait_behind(const struct builder *b, int rank, int i, int link)
{
    const struct dawni_actions *order = &b->schedule->rank[rank];
    const struct dawn_action *a = &order->action[i], *next = a + 1;
    size_t message = dawni_message(b->schedule, link, a->microbatch);
    int at = i + 2;

    if (i + 1 < order->n && next->stage == a->stage &&
        dawni_uses_link(next->kind, b->schedule->link[link].grad))
        at = i + 1;
    while (at < order->n && !is_posted(b, message, rank, at))
        at++;
    return at < order->n ? at : order->n;
}

static int compare_waits(const void *one, const void *two)
{
    const struct wait *a = one, *b = two;
    int key[][2] = {
        {a->behind, b->behind},
        {(int)a->action.kind, (int)b->action.kind},
        {a->action.stage, b->action.stage},
        {a->action.peer, b->action.peer},
        {a->action.microbatch, b->action.microbatch},
    };

    for (size_t i = 0; i < sizeof key / sizeof key[0]; i++)
        if (key[i][0] != key[i][1])
            return key[i][0] < key[i][1] ? -1 : 1;
    return 0;
}

static void place_waits(struct builder *b, int rank)
{
    const struct dawn_schedule *s = b->schedule;

    b->waits = b->next_wait = 0;
    for (int i = 0; i < s->rank[rank].n; i++) {
        const struct dawn_action *a = &s->rank[rank].action[i];

        for (int k = s->out_first[a->stage]; k < s->out_first[a->stage + 1];
             k++) {
            const struct dawni_link *link = &s->link[s->out[k]];

            if (!dawni_uses_link(a->kind, link->grad))
                continue;
            b->wait[b->waits++] = (struct wait){
                wait_behind(b, rank, i, s->out[k]),
                message_action(link, DAWN_ACTION_WAIT_ACT, a->microbatch, true),
            };
        }
    }
    qsort(b->wait, (size_t)b->waits, sizeof *b->wait, compare_waits);
}

static enum dawn_status emit_receives(struct builder *b, int rank, int i,
                                      struct dawn_error *err)
{
    const struct dawn_schedule *s = b->schedule;
    const struct dawn_action *a = &s->rank[rank].action[i];
    enum dawn_status st = DAWN_OK;

    if (i >= s->rank[rank].n)
        return DAWN_OK;
    for (int k = s->in_first[a->stage]; !st && k < s->in_first[a->stage + 1];
         k++) {
        const struct dawni_link *link = &s->link[s->in[k]];

        if (dawni_uses_link(a->kind, link->grad))
            st = dawni_actions_add(&b->out,
                                   message_action(link, DAWN_ACTION_RECV_ACT,
                                                  a->microbatch, false),
                                   err);
    }
    return st;
}

static enum dawn_status emit_waits(struct builder *b, int behind,
                                   struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    while (!st && b->next_wait < b->waits &&
           b->wait[b->next_wait].behind == behind)
        st = dawni_actions_add(&b->out, b->wait[b->next_wait++].action, err);
    return st;
}

static enum dawn_status emit_sends(struct builder *b, int rank, int i,
                                   struct dawn_error *err)
{
    const struct dawn_schedule *s = b->schedule;
    const struct dawn_action *a = &s->rank[rank].action[i];
    enum dawn_status st = DAWN_OK;

    for (int k = s->out_first[a->stage]; !st && k < s->out_first[a->stage + 1];
         k++) {
        const struct dawni_link *link = &s->link[s->out[k]];

        if (dawni_uses_link(a->kind, link->grad))
            st = dawni_actions_add(
                &b->out,
                message_action(link, DAWN_ACTION_SEND_ACT, a->microbatch, true),
                err);
    }
    return st;
}

static enum dawn_status emit_update(struct builder *b, int rank, int i,
                                    struct dawn_error *err)
{
    const struct dawn_action *a = &b->schedule->rank[rank].action[i];
    struct dawn_action update = {DAWN_ACTION_UPDATE, a->microbatch, a->stage,
                                 -1};

    if ((a->kind != DAWN_ACTION_BW && a->kind != DAWN_ACTION_W) ||
        !dawni_update_due(b->schedule, a->microbatch))
        return DAWN_OK;
    return dawni_actions_add(&b->out, update, err);
}

static enum dawn_status emit_end(struct builder *b, int rank,
                                 struct dawn_error *err)
{
    struct dawn_action reduce = {DAWN_ACTION_REDUCE, -1, rank, -1};
    struct dawn_action step = {DAWN_ACTION_STEP, -1, rank, -1};
    enum dawn_status st = dawni_actions_add(&b->out, reduce, err);

    return st ? st : dawni_actions_add(&b->out, step, err);
}

static enum dawn_status emit_rank(struct builder *b, int rank,
                                  struct dawn_error *err)
{
    const struct dawni_actions *order = &b->schedule->rank[rank];
    enum dawn_status st;

    place_waits(b, rank);
    for (int i = 0; i < 2; i++)
        if ((st = emit_receives(b, rank, i, err)))
            return st;
    for (int i = 0; i < order->n; i++)
        if ((st = dawni_actions_add(&b->out, order->action[i], err)) ||
            (st = emit_receives(b, rank, i + 2, err)) ||
            (st = emit_waits(b, i, err)) ||
            (st = emit_sends(b, rank, i, err)) ||
            (st = emit_update(b, rank, i, err)))
            return st;
    if ((st = emit_waits(b, order->n, err)))
        return st;
    return emit_end(b, rank, err);
}

static enum dawn_status run_clocks(struct builder *b, size_t messages,
                                   struct dawn_error *err)
{
    enum dawn_status st;

    for (size_t i = 0; i < CLOCKS; i++) {
        if ((st = dawni_schedule_clock(b->schedule, backward_ticks[i],
                                       &b->end[i], err)))
            return st;
        b->posted[i] = calloc(messages + 1, sizeof *b->posted[i]);
        if (!b->posted[i])
            return dawn_fail(err, DAWN_E_NOMEM, "no memory for %zu messages",
                             messages);
        for (int rank = 0; rank < b->schedule->ranks; rank++)
            note_receives(b, rank, i);
    }
    return DAWN_OK;
}

enum dawn_status dawni_schedule_add_messages(struct dawn_schedule *schedule,
                                             struct dawn_error *err)
{
    size_t messages = (size_t)schedule->links * (size_t)schedule->microbatches;
    struct builder b = {.schedule = schedule};
    enum dawn_status st;

    if ((st = run_clocks(&b, messages, err)))
        goto fail;
    b.wait = calloc(messages + 1, sizeof *b.wait);
    if (!b.wait) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %zu messages",
                       messages);
        goto fail;
    }
    for (int rank = 0; rank < schedule->ranks; rank++) {
        if ((st = emit_rank(&b, rank, err)))
            goto fail;
        free(schedule->rank[rank].action);
        schedule->rank[rank] = b.out;
        b.out = (struct dawni_actions){0};
    }
fail:
    for (size_t i = 0; i < CLOCKS; i++) {
        dawni_schedule_clock_free(schedule, b.end[i]);
        free(b.posted[i]);
    }
    free(b.wait);
    free(b.out.action);
    return st;
}
