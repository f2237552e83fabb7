/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a table can run: first each rank's list by itself, then the order
 * of messages on each link, then all ranks together without any buffering.
 */
#include "schedule/schedule.h"

#include <stdlib.h>
#include <string.h>

struct checker {
    const struct dawn_schedule *schedule;
    struct dawn_error *err;
    /* by stage * m + mb, and by message: bits of the actions seen */
    uint16_t *piece, *message;
    int *next_b, *next_w;  /* by stage: microbatch of the next backward */
    int *updates;          /* by stage: how many of them */
    int *sent, *received;  /* by link * m + i: microbatch that is i-th */
    int *sends, *receives; /* by link: how many of them */
    uint16_t *ended;       /* by rank: REDUCE, STEP */
    int *at;               /* by rank: next action, in the run together */
};

#define BIT(name) DAWNI_ACTION_BIT(name)
#define RECVS (BIT(RECV_ACT) | BIT(RECV_GRAD))
#define SENDS (BIT(SEND_ACT) | BIT(SEND_GRAD))
#define WAITS (BIT(WAIT_ACT) | BIT(WAIT_GRAD))

/* Each of these returns what is wrong with an action, NULL: nothing. */

static uint16_t *piece_of(const struct checker *c, int stage, int mb)
{
    size_t m = (size_t)c->schedule->microbatches;

    return &c->piece[(size_t)stage * m + (size_t)mb];
}

static const char *check_received(const struct checker *c,
                                  const struct dawn_action *a)
{
    const struct dawn_schedule *s = c->schedule;

    for (int i = s->in_first[a->stage]; i < s->in_first[a->stage + 1]; i++) {
        size_t message = dawni_message(s, s->in[i], a->microbatch);

        if (dawni_uses_link(a->kind, s->link[s->in[i]].grad) &&
            !(c->message[message] & RECVS))
            return "what it takes in has no RECV before it";
    }
    return NULL;
}

static const char *check_compute(struct checker *c, const struct dawn_action *a)
{
    uint16_t *seen = piece_of(c, a->stage, a->microbatch);
    unsigned same = dawni_action_is(a->kind, BIT(F) | BIT(W))
                        ? 1u << a->kind | (a->kind == DAWN_ACTION_W) * BIT(BW)
                        : BIT(B) | BIT(BW);

    if (a->kind == DAWN_ACTION_BW)
        same |= BIT(W);
    if (*seen & same)
        return "done before";
    if (a->kind != DAWN_ACTION_F && !(*seen & BIT(F)))
        return "its F is not done";
    if (a->kind == DAWN_ACTION_W && !(*seen & BIT(B)))
        return "its B is not done";
    if (dawni_action_is(a->kind, BIT(B) | BIT(BW)) &&
        a->microbatch != c->next_b[a->stage]++)
        return "backward is not in microbatch order";
    if (dawni_action_is(a->kind, BIT(W) | BIT(BW)) &&
        a->microbatch != c->next_w[a->stage]++)
        return "backward by weights is not in microbatch order";
    *seen |= (uint16_t)(1u << a->kind);
    return check_received(c, a);
}

/* Of F: are its weights made? Of a backward: do they go into the next update?
 */
static const char *check_weights(const struct checker *c,
                                 const struct dawn_action *a)
{
    const struct dawn_schedule *s = c->schedule;
    int updates = c->updates[a->stage];

    if (!s->update_every)
        return NULL;
    if (a->kind == DAWN_ACTION_F &&
        dawn_schedule_version(s, a->stage, a->microbatch) > updates)
        return "the UPDATE that makes its weights is not done";
    if (dawni_action_is(a->kind, BIT(W) | BIT(BW)) &&
        a->microbatch / s->update_every != updates)
        return "the UPDATE before it is not done";
    return NULL;
}

static const char *check_update(struct checker *c, const struct dawn_action *a)
{
    if (!dawni_update_due(c->schedule, a->microbatch))
        return "no update is due";
    if (c->updates[a->stage] != a->microbatch / c->schedule->update_every)
        return "done before, or before an earlier one";
    if (c->next_w[a->stage] != a->microbatch + 1)
        return "a backward is left";
    c->updates[a->stage]++;
    return NULL;
}

static const char *check_message(struct checker *c, const struct dawn_action *a)
{
    const struct dawn_schedule *s = c->schedule;
    int link = dawni_schedule_link(s, a), mb = a->microbatch;
    size_t first = dawni_message(s, link, 0);
    uint16_t *seen = &c->message[first + (size_t)mb];
    unsigned made = s->link[link].grad ? BIT(B) | BIT(BW) : BIT(F);

    if (*seen & 1u << a->kind)
        return "done before";
    *seen |= (uint16_t)(1u << a->kind);
    if (dawni_is_recv(a->kind))
        c->received[first + (size_t)c->receives[link]++] = mb;
    if (dawni_is_wait(a->kind) && !(*seen & SENDS))
        return "its SEND is not before it";
    if (!dawni_is_send(a->kind))
        return NULL;
    c->sent[first + (size_t)c->sends[link]++] = mb;
    return *piece_of(c, a->stage, mb) & made ? NULL
                                             : "what it sends is not made";
}

/* Pieces of the stages, and sends, that a rank has left out before REDUCE. */
static const char *check_all_done(const struct checker *c, int rank)
{
    const struct dawn_schedule *s = c->schedule;

    for (int stage = rank; stage < s->stages; stage += s->ranks) {
        for (int mb = 0; mb < s->microbatches; mb++) {
            unsigned seen = *piece_of(c, stage, mb);

            if (!(seen & BIT(BW)) && !(seen & BIT(W)))
                return "a backward is left";
        }
        if (s->update_every &&
            c->updates[stage] < s->microbatches / s->update_every)
            return "an UPDATE is left";
        for (int i = s->out_first[stage]; i < s->out_first[stage + 1]; i++)
            for (int mb = 0; mb < s->microbatches; mb++)
                if (!(c->message[dawni_message(s, s->out[i], mb)] & WAITS))
                    return "a SEND is not waited for";
    }
    return NULL;
}

static const char *check_end(struct checker *c, int rank,
                             const struct dawn_action *a)
{
    uint16_t *seen = &c->ended[rank];

    if (*seen & 1u << a->kind)
        return "done before";
    if (a->kind == DAWN_ACTION_STEP && !*seen)
        return "its REDUCE is not before it";
    *seen |= (uint16_t)(1u << a->kind);
    return check_all_done(c, rank);
}

static enum dawn_status check_rank(struct checker *c, int rank)
{
    const struct dawn_schedule *s = c->schedule;
    const struct dawni_actions *actions = &s->rank[rank];
    bool ending = false;

    for (int i = 0; i < actions->n; i++) {
        const struct dawn_action *a = &actions->action[i];
        bool end = dawni_action_is(a->kind, BIT(REDUCE) | BIT(STEP));
        const char *why;
        char text[80];

        if (ending && !end)
            why = "comes after REDUCE";
        else if (end)
            why = check_end(c, rank, a);
        else if (a->kind == DAWN_ACTION_UPDATE)
            why = check_update(c, a);
        else if (!dawni_is_compute(a->kind))
            why = check_message(c, a);
        else if (!(why = check_compute(c, a)))
            why = check_weights(c, a);
        ending |= end;
        if (why)
            return dawn_fail(c->err, DAWN_E_INVAL, "rank %d, action %d, %s: %s",
                             rank, i, dawni_action_text(a, text, sizeof text),
                             why);
    }
    if (!(c->ended[rank] & BIT(STEP)))
        return dawn_fail(c->err, DAWN_E_INVAL, "rank %d has no STEP", rank);
    return DAWN_OK;
}

static enum dawn_status check_links(const struct checker *c)
{
    const struct dawn_schedule *s = c->schedule;

    for (int link = 0; link < s->links; link++) {
        const struct dawni_link *l = &s->link[link];
        const char *what = l->grad ? "gradients" : "activations";

        if (c->sends[link] != c->receives[link])
            return dawn_fail(c->err, DAWN_E_INVAL,
                             "%s from stage %d to %d: %d sends, %d receives",
                             what, l->src, l->dst, c->sends[link],
                             c->receives[link]);
        for (int i = 0; i < c->sends[link]; i++) {
            size_t at = dawni_message(s, link, i);

            if (c->sent[at] != c->received[at])
                return dawn_fail(c->err, DAWN_E_INVAL,
                                 "%s from stage %d to %d: send %d is of "
                                 "microbatch %d, receive %d of %d",
                                 what, l->src, l->dst, i, c->sent[at], i,
                                 c->received[at]);
        }
    }
    return DAWN_OK;
}

/* All ranks together. c->message now says which SENDs and RECVs have begun. */

static bool can_run(const struct checker *c, const struct dawn_action *a)
{
    const struct dawn_schedule *s = c->schedule;

    if (dawni_is_wait(a->kind)) {
        int link = dawni_schedule_link(s, a);

        return c->message[dawni_message(s, link, a->microbatch)] & RECVS;
    }
    if (!dawni_is_compute(a->kind))
        return true;
    for (int i = s->in_first[a->stage]; i < s->in_first[a->stage + 1]; i++)
        if (dawni_uses_link(a->kind, s->link[s->in[i]].grad) &&
            !(c->message[dawni_message(s, s->in[i], a->microbatch)] & SENDS))
            return false;
    return true;
}

static bool run_rank(struct checker *c, int rank)
{
    const struct dawni_actions *actions = &c->schedule->rank[rank];
    int begin = c->at[rank];

    for (; c->at[rank] < actions->n; c->at[rank]++) {
        const struct dawn_action *a = &actions->action[c->at[rank]];

        if (!can_run(c, a))
            break;
        if (dawni_is_send(a->kind) || dawni_is_recv(a->kind)) {
            int link = dawni_schedule_link(c->schedule, a);

            c->message[dawni_message(c->schedule, link, a->microbatch)] |=
                (uint16_t)(1u << a->kind);
        }
    }
    return c->at[rank] > begin;
}

static enum dawn_status check_together(struct checker *c)
{
    const struct dawn_schedule *s = c->schedule;
    size_t messages = (size_t)s->links * (size_t)s->microbatches;
    bool moved = true, stuck = false;

    memset(c->message, 0, messages * sizeof *c->message);
    while (moved) {
        moved = false;
        for (int rank = 0; rank < s->ranks; rank++)
            moved |= run_rank(c, rank);
    }
    for (int rank = 0; rank < s->ranks; rank++)
        stuck |= c->at[rank] < s->rank[rank].n;
    return stuck ? dawni_schedule_stuck(s, c->at, c->err) : DAWN_OK;
}

enum dawn_status dawni_schedule_stuck(const struct dawn_schedule *schedule,
                                      const int *at, struct dawn_error *err)
{
    char text[sizeof err->text] = "";
    size_t used = 0;

    for (int rank = 0; rank < schedule->ranks; rank++) {
        char action[80];

        if (at[rank] == schedule->rank[rank].n || used >= sizeof text)
            continue;
        dawni_action_text(&schedule->rank[rank].action[at[rank]], action,
                          sizeof action);
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%s rank %d at action %d, %s", used ? ";" : "",
                                 rank, at[rank], action);
    }
    return dawn_fail(err, DAWN_E_INVAL, "deadlock:%s", text);
}

static enum dawn_status make_room(struct checker *c)
{
    const struct dawn_schedule *s = c->schedule;
    size_t m = (size_t)s->microbatches, stages = (size_t)s->stages;
    size_t links = (size_t)s->links + 1;

    c->piece = calloc(stages * m, sizeof *c->piece);
    c->message = calloc(links * m, sizeof *c->message);
    c->next_b = calloc(stages, sizeof *c->next_b);
    c->next_w = calloc(stages, sizeof *c->next_w);
    c->updates = calloc(stages, sizeof *c->updates);
    c->ended = calloc((size_t)s->ranks, sizeof *c->ended);
    c->sent = calloc(links * m, sizeof *c->sent);
    c->received = calloc(links * m, sizeof *c->received);
    c->sends = calloc(links, sizeof *c->sends);
    c->receives = calloc(links, sizeof *c->receives);
    c->at = calloc((size_t)s->ranks, sizeof *c->at);
    if (!c->piece || !c->message || !c->next_b || !c->next_w || !c->updates ||
        !c->ended || !c->sent || !c->received || !c->sends || !c->receives ||
        !c->at)
        return dawn_fail(c->err, DAWN_E_NOMEM,
                         "no memory to check %zu messages", links * m);
    return DAWN_OK;
}

enum dawn_status dawn_schedule_check(const struct dawn_schedule *schedule,
                                     struct dawn_error *err)
{
    struct checker c = {.schedule = schedule, .err = err};
    enum dawn_status st = make_room(&c);

    for (int rank = 0; !st && rank < schedule->ranks; rank++)
        st = check_rank(&c, rank);
    if (!st)
        st = check_links(&c);
    if (!st)
        st = check_together(&c);
    free(c.piece);
    free(c.message);
    free(c.next_b);
    free(c.next_w);
    free(c.updates);
    free(c.ended);
    free(c.sent);
    free(c.received);
    free(c.sends);
    free(c.receives);
    free(c.at);
    return st;
}
