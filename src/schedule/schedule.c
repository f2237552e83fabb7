/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule object: made from options, read by accessors. */
#include "schedule/schedule.h"

#include <limits.h>
#include <stdlib.h>

/* Links */

static enum dawn_status check_opts(const struct dawn_schedule_opts *opts,
                                   struct dawn_error *err)
{
    int64_t edges = opts->stages;

    if (opts->stages < 1)
        return dawn_fail(err, DAWN_E_INVAL, "stages %d, must be >= 1",
                         opts->stages);
    if (opts->microbatches < 1)
        return dawn_fail(err, DAWN_E_INVAL, "microbatches %d, must be >= 1",
                         opts->microbatches);
    if (opts->ranks < 0 || opts->ranks > opts->stages)
        return dawn_fail(err, DAWN_E_INVAL, "ranks %d, must be 1 to %d",
                         opts->ranks, opts->stages);
    if (opts->act_edges < 0 || opts->grad_edges < 0)
        return dawn_fail(err, DAWN_E_INVAL, "%d and %d edges, must be >= 0",
                         opts->act_edges, opts->grad_edges);
    edges += (int64_t)opts->act_edges * 2 + opts->grad_edges;
    if (edges * 8 > INT_MAX / opts->microbatches)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%d stages and %d microbatches are more actions than "
                         "an int counts",
                         opts->stages, opts->microbatches);
    return DAWN_OK;
}

static enum dawn_status add_edges(struct dawn_schedule *s,
                                  const struct dawn_edge *edge, int edges,
                                  bool grad, struct dawn_error *err)
{
    for (int i = 0; i < edges; i++) {
        struct dawn_edge e = edge ? edge[i] : (struct dawn_edge){i, i + 1};

        if (e.from < 0 || e.from >= e.to || e.to >= s->stages)
            return dawn_fail(err, DAWN_E_INVAL,
                             "edge %d from stage %d to %d, must be upwards "
                             "within 0 to %d",
                             i, e.from, e.to, s->stages - 1);
        s->link[s->links++] = (struct dawni_link){grad, grad ? e.to : e.from,
                                                  grad ? e.from : e.to};
    }
    return DAWN_OK;
}

/* Does link i stand before link k in the list of a stage? */
static bool link_before(const struct dawn_schedule *s, bool by_src, int i,
                        int k)
{
    const struct dawni_link *a = &s->link[i], *b = &s->link[k];

    if (a->grad != b->grad)
        return b->grad;
    return by_src ? a->dst < b->dst : a->src < b->src;
}

/* Sort links into lists by stage: count, then insert each into its list. */
static void list_links(const struct dawn_schedule *s, bool by_src, int *first,
                       int *list)
{
    for (int i = 0; i < s->links; i++)
        first[(by_src ? s->link[i].src : s->link[i].dst) + 1]++;
    for (int stage = 0; stage < s->stages; stage++)
        first[stage + 1] += first[stage];
    for (int i = 0; i < s->links; i++)
        list[i] = -1;
    for (int i = 0; i < s->links; i++) {
        int begin = first[by_src ? s->link[i].src : s->link[i].dst], at = begin;

        while (list[at] >= 0)
            at++;
        for (; at > begin && link_before(s, by_src, i, list[at - 1]); at--)
            list[at] = list[at - 1];
        list[at] = i;
    }
}

static enum dawn_status check_twins(const struct dawn_schedule *s,
                                    struct dawn_error *err)
{
    for (int stage = 0; stage < s->stages; stage++)
        for (int i = s->in_first[stage] + 1; i < s->in_first[stage + 1]; i++) {
            const struct dawni_link *a = &s->link[s->in[i - 1]];
            const struct dawni_link *b = &s->link[s->in[i]];

            if (a->grad == b->grad && a->src == b->src)
                return dawn_fail(err, DAWN_E_INVAL,
                                 "two edges between stages %d and %d", stage,
                                 a->src);
        }
    return DAWN_OK;
}

static enum dawn_status make_links(struct dawn_schedule *s,
                                   const struct dawn_schedule_opts *opts,
                                   struct dawn_error *err)
{
    const struct dawn_edge *act = opts->act_edge, *grad = opts->grad_edge;
    int acts = act ? opts->act_edges : s->stages - 1;
    int grads = grad ? opts->grad_edges : acts;
    size_t links = (size_t)acts + (size_t)grads, stages = (size_t)s->stages;
    enum dawn_status st;

    s->link = calloc(links + 1, sizeof *s->link);
    s->in = calloc(links + 1, sizeof *s->in);
    s->out = calloc(links + 1, sizeof *s->out);
    s->in_first = calloc(stages + 1, sizeof *s->in_first);
    s->out_first = calloc(stages + 1, sizeof *s->out_first);
    if (!s->link || !s->in || !s->out || !s->in_first || !s->out_first)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %zu edges", links);
    if ((st = add_edges(s, act, acts, false, err)))
        return st;
    s->act_links = s->links;
    if ((st = add_edges(s, grad ? grad : act, grads, true, err)))
        return st;
    list_links(s, false, s->in_first, s->in);
    list_links(s, true, s->out_first, s->out);
    return check_twins(s, err);
}

int dawni_schedule_link(const struct dawn_schedule *schedule,
                        const struct dawn_action *action)
{
    bool in = dawni_is_recv(action->kind);
    bool grad = dawni_action_is(action->kind, DAWNI_ACTION_BIT(RECV_GRAD) |
                                                  DAWNI_ACTION_BIT(SEND_GRAD) |
                                                  DAWNI_ACTION_BIT(WAIT_GRAD));
    const int *first = in ? schedule->in_first : schedule->out_first;
    const int *list = in ? schedule->in : schedule->out;

    for (int i = first[action->stage]; i < first[action->stage + 1]; i++) {
        const struct dawni_link *link = &schedule->link[list[i]];

        if (link->grad == grad && (in ? link->src : link->dst) == action->peer)
            return list[i];
    }
    return -1;
}

/* Making */

static enum dawn_status create_empty(const struct dawn_schedule_opts *opts,
                                     struct dawn_schedule **schedule_p,
                                     struct dawn_error *err)
{
    struct dawn_schedule *s;
    enum dawn_status st;

    if ((st = check_opts(opts, err)))
        return st;
    s = calloc(1, sizeof *s);
    if (!s)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a schedule");
    s->stages = opts->stages;
    s->ranks = opts->ranks ? opts->ranks : opts->stages;
    s->microbatches = opts->microbatches;
    s->rank = calloc((size_t)s->ranks, sizeof *s->rank);
    if (!s->rank) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d ranks", s->ranks);
        goto fail;
    }
    if ((st = make_links(s, opts, err)))
        goto fail;
    *schedule_p = s;
    return DAWN_OK;
fail:
    dawn_schedule_destroy(s);
    return st;
}

static enum dawn_status fail_kind(const char *kind, struct dawn_error *err)
{
    char text[200] = "";
    int used = 0;

    for (int i = 0; (size_t)used < sizeof text && dawn_schedule_kind(i); i++)
        used += snprintf(text + used, sizeof text - (size_t)used, " %s",
                         dawn_schedule_kind(i));
    return dawn_fail(err, DAWN_E_INVAL, "unknown schedule '%s'; there are%s",
                     kind, text);
}

enum dawn_status dawn_schedule_create(const struct dawn_schedule_opts *opts,
                                      struct dawn_schedule **schedule_p,
                                      struct dawn_error *err)
{
    const struct dawni_schedule_kind_ops *ops;
    struct dawn_schedule *s = NULL;
    enum dawn_status st;

    ops = opts->kind ? dawni_schedule_kind_find(opts->kind) : NULL;
    if (!ops)
        return fail_kind(opts->kind ? opts->kind : "", err);
    if ((st = create_empty(opts, &s, err)))
        return st;
    if ((st = dawni_schedule_set_updates(s, ops, opts->update_every, err)) ||
        (st = ops->fill(s, err)) ||
        (st = dawni_schedule_add_messages(s, err)) ||
        (st = dawni_schedule_find_versions(s, err)))
        goto fail;
    *schedule_p = s;
    return DAWN_OK;
fail:
    dawn_schedule_destroy(s);
    return st;
}

/* Are the fields in range, and is the peer one end of an edge? */
static bool well_formed(const struct dawn_schedule *s, int rank,
                        const struct dawn_action *a)
{
    bool once = dawni_action_is(a->kind, DAWNI_ACTION_BIT(REDUCE) |
                                             DAWNI_ACTION_BIT(STEP));

    if ((unsigned)a->kind > DAWN_ACTION_STEP || a->stage < 0 ||
        a->stage >= s->stages || a->stage % s->ranks != rank)
        return false;
    if (once)
        return a->stage == rank && a->microbatch == -1 && a->peer == -1;
    if (a->microbatch < 0 || a->microbatch >= s->microbatches)
        return false;
    if (dawni_is_compute(a->kind) || a->kind == DAWN_ACTION_UPDATE)
        return a->peer == -1;
    return dawni_schedule_link(s, a) >= 0;
}

enum dawn_status dawni_schedule_from_actions(
    const struct dawn_schedule_opts *opts,
    const struct dawn_action *const *action, const int *n,
    struct dawn_schedule **schedule_p, struct dawn_error *err)
{
    struct dawn_schedule *s = NULL;
    enum dawn_status st;

    const struct dawni_schedule_kind_ops *kind =
        opts->kind ? dawni_schedule_kind_find(opts->kind) : NULL;
    if ((st = create_empty(opts, &s, err)))
        return st;
    if (kind &&
        (st = dawni_schedule_set_updates(s, kind, opts->update_every, err)))
        goto fail;
    for (int rank = 0; rank < s->ranks; rank++)
        for (int i = 0; i < n[rank]; i++) {
            char text[80];

            if (!well_formed(s, rank, &action[rank][i])) {
                st = dawn_fail(
                    err, DAWN_E_INVAL, "rank %d, action %d, %s: out of range",
                    rank, i,
                    dawni_action_text(&action[rank][i], text, sizeof text));
                goto fail;
            }
            if ((st = dawni_actions_add(&s->rank[rank], action[rank][i], err)))
                goto fail;
        }
    if ((st = dawni_schedule_find_versions(s, err)))
        goto fail;
    *schedule_p = s;
    return DAWN_OK;
fail:
    dawn_schedule_destroy(s);
    return st;
}

void dawn_schedule_destroy(struct dawn_schedule *schedule)
{
    if (!schedule)
        return;
    for (int rank = 0; schedule->rank && rank < schedule->ranks; rank++)
        free(schedule->rank[rank].action);
    free(schedule->rank);
    free(schedule->link);
    free(schedule->in);
    free(schedule->out);
    free(schedule->in_first);
    free(schedule->out_first);
    free(schedule->version);
    free(schedule);
}

/* Reading */

int dawn_schedule_stages(const struct dawn_schedule *schedule)
{
    return schedule->stages;
}

int dawn_schedule_ranks(const struct dawn_schedule *schedule)
{
    return schedule->ranks;
}

int dawn_schedule_microbatches(const struct dawn_schedule *schedule)
{
    return schedule->microbatches;
}

const struct dawn_action *dawn_schedule_actions(
    const struct dawn_schedule *schedule, int rank, int *actions_p)
{
    if (rank < 0 || rank >= schedule->ranks)
        return NULL;
    *actions_p = schedule->rank[rank].n;
    return schedule->rank[rank].action;
}

int dawn_schedule_in_flight(const struct dawn_schedule *schedule, int stage)
{
    const struct dawni_actions *actions;
    int now = 0, most = 0;

    if (stage < 0 || stage >= schedule->stages)
        return 0;
    actions = &schedule->rank[stage % schedule->ranks];
    for (int i = 0; i < actions->n; i++) {
        const struct dawn_action *a = &actions->action[i];

        if (a->stage != stage || !dawni_is_compute(a->kind))
            continue;
        if (a->kind == DAWN_ACTION_F)
            now++;
        else if (a->kind != DAWN_ACTION_W)
            now--;
        if (now > most)
            most = now;
    }
    return most;
}
