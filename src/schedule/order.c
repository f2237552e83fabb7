/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of computation: stages that share a rank are merged, and a clock says
 * when each action is over.
 */
#include "schedule/schedule.h"

#include <limits.h>
#include <stdlib.h>

enum dawn_status dawni_actions_add(struct dawni_actions *to,
                                   struct dawn_action action,
                                   struct dawn_error *err)
{
    if (to->n == to->room) {
        int room = to->room ? 2 * to->room : 64;
        struct dawn_action *grown =
            realloc(to->action, (size_t)room * sizeof *grown);

        if (!grown)
            return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d actions",
                             room);
        to->action = grown;
        to->room = room;
    }
    to->action[to->n++] = action;
    return DAWN_OK;
}

/* Merging */

/* Stages with an order each, run by a clock of unit ticks. */
struct merge {
    struct dawn_schedule *schedule;
    dawni_stage_action_fn action;
    int tick;
    int *next;          /* by stage: index of the action that is next */
    int *f_end, *b_end; /* by stage * m + mb: tick it is over; INT_MAX: later */
};

/* The action that a stage is at, if it can run in this tick. */
static bool merge_ready(const struct merge *g, int stage,
                        struct dawn_action *action)
{
    int m = g->schedule->microbatches;
    size_t at;

    if (g->next[stage] == 2 * m)
        return false;
    *action = g->action(g->schedule, stage, g->next[stage]);
    at = (size_t)stage * (size_t)m + (size_t)action->microbatch;
    if (action->kind == DAWN_ACTION_F)
        return stage == 0 || g->f_end[at - (size_t)m] <= g->tick;
    return stage == g->schedule->stages - 1 ||
           g->b_end[at + (size_t)m] <= g->tick;
}

/* What a rank does in this tick: a backward if it can, else the forward of its
 * deepest stage. */
static bool merge_choose(const struct merge *g, int rank,
                         struct dawn_action *chosen)
{
    int ranks = g->schedule->ranks;
    int last = (g->schedule->stages - 1 - rank) / ranks * ranks + rank;
    bool found = false;

    for (int stage = last; stage >= 0; stage -= ranks) {
        struct dawn_action action;

        if (!merge_ready(g, stage, &action))
            continue;
        if (!found ||
            (chosen->kind == DAWN_ACTION_F && action.kind != DAWN_ACTION_F))
            *chosen = action;
        found = true;
    }
    return found;
}

static enum dawn_status merge_run(struct merge *g, struct dawn_error *err)
{
    struct dawn_schedule *s = g->schedule;
    int64_t left = 2 * (int64_t)s->stages * s->microbatches;
    enum dawn_status st;

    for (; left > 0; g->tick++)
        for (int rank = 0; rank < s->ranks; rank++) {
            struct dawn_action a;
            size_t at;

            if (!merge_choose(g, rank, &a))
                continue;
            if ((st = dawni_actions_add(&s->rank[rank], a, err)))
                return st;
            at = (size_t)a.stage * (size_t)s->microbatches +
                 (size_t)a.microbatch;
            (a.kind == DAWN_ACTION_F ? g->f_end : g->b_end)[at] = g->tick + 1;
            g->next[a.stage]++;
            left--;
        }
    return DAWN_OK;
}

enum dawn_status dawni_schedule_fill_by_stage(struct dawn_schedule *schedule,
                                              dawni_stage_action_fn action,
                                              struct dawn_error *err)
{
    size_t cells = (size_t)schedule->stages * (size_t)schedule->microbatches;
    struct merge g = {.schedule = schedule, .action = action};
    enum dawn_status st;

    g.next = calloc((size_t)schedule->stages, sizeof *g.next);
    g.f_end = malloc(cells * sizeof *g.f_end);
    g.b_end = malloc(cells * sizeof *g.b_end);
    if (!g.next || !g.f_end || !g.b_end) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to order %zu microbatches",
                       cells);
        goto fail;
    }
    for (size_t i = 0; i < cells; i++)
        g.f_end[i] = g.b_end[i] = INT_MAX;
    st = merge_run(&g, err);
fail:
    free(g.next);
    free(g.f_end);
    free(g.b_end);
    return st;
}

/* Clock */

struct clock {
    const struct dawn_schedule *schedule;
    int backward; /* ticks */
    int *at;      /* by rank: index of the next action */
    int *made;    /* by message: tick at which it was made, -1: not yet */
    int **end;
};

/* Tick at which all that the action takes in is there; -1: not yet. */
static int clock_inputs(const struct clock *c, const struct dawn_action *a)
{
    const struct dawn_schedule *s = c->schedule;
    int ready = 0;

    for (int i = s->in_first[a->stage]; i < s->in_first[a->stage + 1]; i++) {
        int made;

        if (!dawni_uses_link(a->kind, s->link[s->in[i]].grad))
            continue;
        made = c->made[dawni_message(s, s->in[i], a->microbatch)];
        if (made < 0)
            return -1;
        if (made > ready)
            ready = made;
    }
    return ready;
}

static void clock_outputs(const struct clock *c, const struct dawn_action *a,
                          int tick)
{
    const struct dawn_schedule *s = c->schedule;

    for (int i = s->out_first[a->stage]; i < s->out_first[a->stage + 1]; i++)
        if (dawni_uses_link(a->kind, s->link[s->out[i]].grad))
            c->made[dawni_message(s, s->out[i], a->microbatch)] = tick;
}

/* Run a rank as far as it goes; returns whether it went on. */
static bool clock_rank(struct clock *c, int rank)
{
    const struct dawni_actions *actions = &c->schedule->rank[rank];
    int begin = c->at[rank], i;

    for (i = begin; i < actions->n; i++) {
        const struct dawn_action *a = &actions->action[i];
        int tick = i > 0 ? c->end[rank][i - 1] : 0;

        if (dawni_is_compute(a->kind)) {
            int ready = clock_inputs(c, a);

            if (ready < 0)
                break;
            tick = ready > tick ? ready : tick;
            tick += a->kind == DAWN_ACTION_F ? 1 : c->backward;
            clock_outputs(c, a, tick);
        }
        c->end[rank][i] = tick;
    }
    c->at[rank] = i;
    return i > begin;
}

static enum dawn_status clock_run(struct clock *c, struct dawn_error *err)
{
    const struct dawn_schedule *s = c->schedule;
    bool moved = true;

    while (moved) {
        moved = false;
        for (int rank = 0; rank < s->ranks; rank++)
            moved |= clock_rank(c, rank);
    }
    for (int rank = 0; rank < s->ranks; rank++) {
        char text[80];

        if (c->at[rank] == s->rank[rank].n)
            continue;
        return dawn_fail(err, DAWN_E_INVAL, "rank %d never comes to %s", rank,
                         dawni_action_text(&s->rank[rank].action[c->at[rank]],
                                           text, sizeof text));
    }
    return DAWN_OK;
}

static int **clock_ends(const struct dawn_schedule *s)
{
    int **end = calloc((size_t)s->ranks, sizeof *end);

    for (int rank = 0; end && rank < s->ranks; rank++) {
        size_t n = (size_t)s->rank[rank].n;

        end[rank] = malloc((n + 1) * sizeof *end[rank]);
        if (!end[rank]) {
            dawni_schedule_clock_free(s, end);
            return NULL;
        }
        for (size_t i = 0; i < n; i++)
            end[rank][i] = -1;
    }
    return end;
}

enum dawn_status dawni_schedule_clock(const struct dawn_schedule *schedule,
                                      int backward, int ***end_p,
                                      struct dawn_error *err)
{
    size_t messages = (size_t)schedule->links * (size_t)schedule->microbatches;
    struct clock c = {.schedule = schedule, .backward = backward};
    enum dawn_status st;

    c.at = calloc((size_t)schedule->ranks, sizeof *c.at);
    c.made = malloc((messages + 1) * sizeof *c.made);
    c.end = clock_ends(schedule);
    if (!c.at || !c.made || !c.end) {
        dawni_schedule_clock_free(schedule, c.end);
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %zu messages",
                       messages);
        goto done;
    }
    for (size_t i = 0; i < messages; i++)
        c.made[i] = -1;
    st = clock_run(&c, err);
    *end_p = c.end;
done:
    free(c.at);
    free(c.made);
    return st;
}

void dawni_schedule_clock_free(const struct dawn_schedule *schedule, int **end)
{
    for (int rank = 0; end && rank < schedule->ranks; rank++)
        free(end[rank]);
    free(end);
}
