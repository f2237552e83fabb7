/* SPDX-License-Identifier: Apache-2.0 */
/* All that a small stage may recompute. No price tells how well decisions pack,
 * and in a small stage that counts for much. Where it has few tensors, all sets
 * of them can be gone through, least time first: the first that fits is best.
 */
#include "common/array.h"
#include "planner/planner.h"

/* Tensors that the stage makes and saves, of which there may be too many. */
static void list_tensors(const struct dawni_planner *pl, int first, int last,
                         struct dawni_sets *s)
{
    const struct dawn_graph *g = pl->graph;

    for (int i = first; i <= last; i++)
        for (int k = 0; k < g->node[i].desc.outputs; k++) {
            int t = g->node[i].output[k];
            if (!dawni_tensor_saved(g, t, first, last))
                continue;
            if (s->tensors < 0 || s->tensors == DAWNI_SET_TENSORS)
                s->tensors = -1;
            else
                s->tensor[s->tensors++] = t;
        }
}

static void mark(const struct dawni_sets *s, unsigned set, uint8_t *decision)
{
    for (int i = 0; i < s->tensors; i++)
        decision[s->tensor[i]] = set >> i & 1 ? DAWN_RECOMPUTE : DAWN_KEEP;
}

static int by_time(const void *one, const void *two)
{
    const struct dawni_set *a = one, *b = two;

    if (a->priced.recompute_ns != b->priced.recompute_ns)
        return a->priced.recompute_ns < b->priced.recompute_ns ? -1 : 1;
    return a->set < b->set ? -1 : a->set > b->set;
}

enum dawn_status dawni_sets_create(struct dawni_planner *pl, int first,
                                   int last, int x, struct dawni_sets *s,
                                   struct dawn_error *err)
{
    uint8_t *decision = dawni_calloc(pl->graph->tensors, sizeof *decision);

    *s = (struct dawni_sets){0};
    list_tensors(pl, first, last, s);
    if (s->tensors >= 0)
        s->set = dawni_calloc((int64_t)1 << s->tensors, sizeof *s->set);
    if (!decision || (s->tensors >= 0 && !s->set)) {
        free(decision);
        dawni_sets_clear(s);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    }
    for (unsigned set = 0; s->tensors >= 0 && set < 1u << s->tensors; set++) {
        mark(s, set, decision);
        struct dawni_decided d =
            dawni_price_decisions(pl, first, last, x, decision);
        if (d.peak <= pl->stage[x].cap + d.comm) /* prices can be too high */
            s->set[s->sets++] = (struct dawni_set){set, d};
    }
    if (s->sets)
        qsort(s->set, (size_t)s->sets, sizeof *s->set, by_time);
    free(decision);
    if (!pl->status)
        return DAWN_OK;
    dawni_sets_clear(s);
    return dawn_fail(err, pl->status, "%s", pl->error.text);
}

void dawni_sets_clear(struct dawni_sets *s)
{
    free(s->set);
    *s = (struct dawni_sets){0};
}

enum dawn_status dawni_set_decide(const struct dawni_planner *pl,
                                  struct dawn_plan *plan, int x, unsigned set,
                                  struct dawn_error *err)
{
    const struct dawn_plan_stage *stage = dawn_plan_stage(plan, x);
    struct dawni_sets s = {0};
    enum dawn_status st = DAWN_OK;

    list_tensors(pl, stage->first, stage->last, &s);
    for (int i = 0; i < s.tensors && !st; i++)
        st = dawn_plan_decide(plan, x, s.tensor[i],
                              set >> i & 1 ? DAWN_RECOMPUTE : DAWN_KEEP, err);
    return st;
}
