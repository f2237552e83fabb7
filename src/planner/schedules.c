/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules. All that they depend on, but for what the planner was asked, is
 * between which stages there are messages, and that is the same for most
 * partitions: the last few are remembered.
 */
#include "common/array.h"
#include "planner/planner.h"

#define MOST 4

struct dawni_schedules {
    struct known {
        struct dawn_edge *edge; /* of activations, then of gradients */
        int acts, grads;
        struct dawn_schedule *schedule; /* NULL: none */
    } known[MOST];
    int next; /* to be forgotten */
};

enum dawn_status dawni_schedules_create(struct dawni_schedules **s_p,
                                        struct dawn_error *err)
{
    *s_p = calloc(1, sizeof **s_p);
    return *s_p ? DAWN_OK
                : dawn_fail(err, DAWN_E_NOMEM, "no memory for schedules");
}

static void forget(struct known *k)
{
    dawn_schedule_destroy(k->schedule);
    free(k->edge);
    *k = (struct known){0};
}

void dawni_schedules_destroy(struct dawni_schedules *s)
{
    for (int i = 0; s && i < MOST; i++)
        forget(&s->known[i]);
    free(s);
}

static bool same_edges(const struct dawni_cut *cut, int cuts,
                       const struct dawn_edge *edge)
{
    for (int i = 0; i < cuts; i++)
        if (cut[i].edge.from != edge[i].from || cut[i].edge.to != edge[i].to)
            return false;
    return true;
}

static bool is_of(const struct known *k, const struct dawni_cuts *cuts)
{
    return k->schedule && k->acts == cuts->acts && k->grads == cuts->grads &&
           same_edges(cuts->act, cuts->acts, k->edge) &&
           same_edges(cuts->grad, cuts->grads, k->edge + k->acts);
}

static enum dawn_status make(const struct dawni_planner *pl,
                             const struct dawni_cuts *cuts, struct known *k,
                             struct dawn_error *err)
{
    enum dawn_status st;

    k->acts = cuts->acts;
    k->grads = cuts->grads;
    k->edge = dawni_calloc((int64_t)k->acts + k->grads, sizeof *k->edge);
    if (!k->edge)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for edges");
    for (int i = 0; i < k->acts; i++)
        k->edge[i] = cuts->act[i].edge;
    for (int i = 0; i < k->grads; i++)
        k->edge[k->acts + i] = cuts->grad[i].edge;
    struct dawn_schedule_opts opts = {
        .kind = pl->schedule,
        .stages = pl->l,
        .ranks = pl->ranks,
        .microbatches = pl->m,
        .update_every = pl->update_every,
        .act_edge = k->edge,
        .act_edges = k->acts,
        .grad_edge = k->edge + k->acts,
        .grad_edges = k->grads,
    };
    st = dawn_schedule_create(&opts, &k->schedule, err);
    if (st)
        forget(k);
    return st;
}

enum dawn_status dawni_schedule_with(const struct dawni_planner *pl,
                                     const struct dawni_cuts *cuts,
                                     const struct dawn_schedule **schedule_p,
                                     struct dawn_error *err)
{
    struct dawni_schedules *s = pl->schedules;
    struct known *k = NULL;
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < MOST && !k; i++)
        if (is_of(&s->known[i], cuts))
            k = &s->known[i];
    if (!k) {
        k = &s->known[s->next];
        s->next = (s->next + 1) % MOST;
        forget(k);
        st = make(pl, cuts, k, err);
    }
    if (!st)
        *schedule_p = k->schedule;
    return st;
}
