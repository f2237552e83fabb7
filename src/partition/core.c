/* SPDX-License-Identifier: Apache-2.0 */
/* The exact search of a knapsack over its core; see knapsack.h. */
#include "partition/core.h"
#include "common/array.h"

/* States to go on with, however little effort is allowed. */
#define LEAST_STATES 32

/* A search under way. */
struct search {
    struct dawni_sack *s;
    const struct dawni_sack_limits *limits;
    struct dawni_core *c;
    double constant;                /* lambda cap + nu room */
    bool one;                       /* one resource: memory only */
    int64_t target;                 /* a choice is of interest up to here */
    double next;                    /* least bound of all that was left out */
    double undo, redo;              /* of the items to come */
    struct dawni_core_option slack; /* see level_out */
    int best;                       /* trace; -1: that of the greedy choice */
    bool found, out_of_memory, thinned;
    int64_t time;
};

void dawni_core_destroy(struct dawni_core *c)
{
    if (!c)
        return;
    free(c->item);
    free(c->option);
    free(c->list);
    free(c->next);
    free(c->merged);
    free(c->trace);
    free(c->stair);
    free(c->bound);
    free(c);
}

/* Clearly better than a time, as far as we care. */
static int64_t below(int64_t time)
{
    return time - 1 - time / INT64_C(10000000000);
}

/* The options of a node that may matter join the core; false without memory. */
static bool add_item(struct search *q, int i, int64_t largest, double gap,
                     double bound)
{
    const struct dawni_sack *s = q->s;
    struct dawni_core *c = q->c;
    const struct dawni_option *base = &s->option[s->base[i]];
    struct dawni_core_item item = {
        .item = i, .first = c->options, .redo = INFINITY};
    double least = dawni_priced(q->limits, base);

    if (!dawni_array_reserve(&c->option, &c->option_room,
                             c->options + s->at[i + 1] - s->at[i]))
        return false;
    for (int j = s->at[i]; j < s->at[i + 1]; j++) {
        const struct dawni_option *o = &s->option[j];
        double penalty = dawni_priced(q->limits, o) - least;
        int64_t dt = o->t - base->t, dm = o->m - base->m;
        if (j == s->base[i] || o->r > largest)
            continue;
        if (penalty > gap) {
            q->next = fmin(q->next, bound + penalty);
            continue;
        }
        c->option[c->options++] =
            (struct dawni_core_option){dt, dm, o->r - base->r, j};
        if (dm > 0)
            item.undo = fmax(item.undo, (double)-dt / (double)dm);
        if (dm < 0)
            item.redo = fmin(item.redo, (double)dt / (double)-dm);
    }
    item.options = c->options - item.first;
    item.key =
        fmin(q->limits->lambda - item.undo, item.redo - q->limits->lambda);
    if (!item.options)
        return true;
    if (!dawni_array_reserve(&c->item, &c->item_room, c->items + 1))
        return false;
    c->item[c->items++] = item;
    return true;
}

static int compare_items(const void *a, const void *b)
{
    const struct dawni_core_item *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* No choice that goes on from here takes less. */
static double bound_of(const struct search *q, int64_t t, int64_t m, int64_t r)
{
    double slack = (double)(q->limits->cap - m);

    if (q->one)
        return slack >= 0 ? (double)t - slack * q->undo
                          : (double)t - slack * q->redo;
    return (double)t - q->limits->lambda * slack +
           q->limits->nu * (double)(r - q->limits->room);
}

/* A state joins the merged list, unless one before it is no worse. Lists are by
 * rising m. False without memory. */
static bool push(struct search *q, const struct dawni_core_state *state)
{
    struct dawni_core *c = q->c;
    int i = 0, end = c->stairs; /* of those that take no longer: the last */

    while (i < end) {
        int middle = (i + end) / 2;
        if (c->stair[middle].t > state->t)
            end = middle;
        else
            i = middle + 1;
    }
    if (i && c->stair[i - 1].r <= state->r)
        return true;
    for (end = i; end < c->stairs && c->stair[end].r >= state->r;)
        end++;
    if (!dawni_array_reserve(&c->stair, &c->stair_room, c->stairs + 1) ||
        !dawni_array_reserve(&c->merged, &c->merged_room, c->merged_states + 1))
        return false;
    memmove(&c->stair[i + 1], &c->stair[end],
            (size_t)(c->stairs - end) * sizeof *c->stair);
    q->s->in->work += (c->stairs - end) / 8;
    c->stairs += i + 1 - end;
    c->stair[i] = (struct dawni_core_stair){state->t, state->r};
    c->merged[c->merged_states++] = *state;
    return true;
}

static bool comes_before(const struct dawni_core_state *a,
                         const struct dawni_core_state *b)
{
    if (a->m != b->m)
        return a->m < b->m;
    return a->t != b->t ? a->t < b->t : a->r <= b->r;
}

/* Is a state worth keeping? If it is whole and good, remember it. */
static bool worth_keeping(struct search *q,
                          const struct dawni_core_state *state)
{
    double bound = bound_of(q, state->t, state->m, state->r);

    if (bound > (double)q->target) {
        q->next = fmin(q->next, bound);
        return false;
    }
    return true;
}

static void note_best(struct search *q, const struct dawni_core_state *state)
{
    if (state->m > q->limits->cap || state->r > q->limits->room ||
        state->t > q->target)
        return;
    q->found = true;
    q->best = state->trace;
    q->time = state->t;
    q->target = below(state->t);
}

/* Where any choice will do, what cannot get over a limit any more counts as
 * just that: then fewer states are better than others in some way. */
static void level_out(const struct search *q, struct dawni_core_state *state)
{
    if (q->one || !q->limits->any)
        return;
    if (state->t < q->slack.dt)
        state->t = q->slack.dt;
    if (state->m < q->slack.dm)
        state->m = q->slack.dm;
    if (state->r < q->slack.dr)
        state->r = q->slack.dr;
}

/* How much the items from i on can add. */
static void set_slack(struct search *q, int i)
{
    const struct dawni_core *c = q->c;
    struct dawni_core_option s = {q->limits->limit, q->limits->cap,
                                  q->limits->room, 0};

    for (; i < c->items && !q->one; i++) {
        const struct dawni_core_item *item = &c->item[i];
        int64_t dt = 0, dm = 0, dr = 0;
        for (int j = 0; j < item->options; j++) {
            const struct dawni_core_option *o = &c->option[item->first + j];
            dt = o->dt > dt ? o->dt : dt;
            dm = o->dm > dm ? o->dm : dm;
            dr = o->dr > dr ? o->dr : dr;
        }
        s.dt -= dt;
        s.dm -= dm;
        s.dr -= dr;
    }
    q->slack = s;
}

/* One option of an item in place of its base: shift the list by it, and merge
 * it into `next`. False without memory. */
static bool merge_option(struct search *q, const struct dawni_core_item *item,
                         const struct dawni_core_option *o)
{
    struct dawni_core *c = q->c;
    int j = 0;

    c->merged_states = c->stairs = 0;
    for (int i = 0; i < c->states; i++) {
        struct dawni_core_state s = c->list[i];
        s.t += o->dt;
        s.m += o->dm;
        s.r += o->dr;
        if (!worth_keeping(q, &s))
            continue;
        while (j < c->next_states && comes_before(&c->next[j], &s))
            if (!push(q, &c->next[j++]))
                return false;
        if (!dawni_array_reserve(&c->trace, &c->trace_room, c->traces + 1))
            return false;
        c->trace[c->traces] =
            (struct dawni_core_trace){s.trace, item->item, o->index};
        s.trace = c->traces++;
        note_best(q, &s);
        level_out(q, &s);
        if (!push(q, &s))
            return false;
    }
    while (j < c->next_states)
        if (!push(q, &c->next[j++]))
            return false;
    struct dawni_core_state *swap = c->next;
    int room = c->next_room;
    c->next = c->merged;
    c->next_room = c->merged_room;
    c->next_states = c->merged_states;
    c->merged = swap;
    c->merged_room = room;
    q->s->in->work += c->states + c->next_states;
    return true;
}

/* All options of one item. False without memory. */
static bool add_choice(struct search *q, const struct dawni_core_item *item)
{
    struct dawni_core *c = q->c;
    struct dawni_core_state *swap;
    int room;

    if (!dawni_array_reserve(&c->next, &c->next_room, c->states))
        return false;
    c->next_states = 0;
    for (int i = 0; i < c->states; i++)
        if (worth_keeping(q, &c->list[i]))
            c->next[c->next_states++] = c->list[i];
    for (int i = 0; i < item->options; i++)
        if (!merge_option(q, item, &c->option[item->first + i]))
            return false;
    swap = c->list;
    room = c->list_room;
    c->list = c->next;
    c->list_room = c->next_room;
    c->states = c->next_states;
    c->next = swap;
    c->next_room = room;
    return true;
}

/* The items to come can win or lose this much a byte, from each on. */
static void sum_up_ratios(struct dawni_core *c)
{
    for (int i = c->items - 2; i >= 0; i--) {
        c->item[i].undo = fmax(c->item[i].undo, c->item[i + 1].undo);
        c->item[i].redo = fmin(c->item[i].redo, c->item[i + 1].redo);
    }
}

static void take_best(struct search *q)
{
    struct dawni_sack *s = q->s;

    memcpy(s->choice, s->base, (size_t)s->n * sizeof *s->choice);
    for (int t = q->best; t >= 0; t = q->c->trace[t].before)
        s->choice[q->c->trace[t].item] = q->c->trace[t].index;
}

/* The k-th smallest of n, from 0; they are shuffled. */
static double select_nth(double *x, int n, int k)
{
    int low = 0, high = n - 1;

    while (low < high) {
        double pivot = x[low + (high - low) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i <= j) {
                double swap = x[i];
                x[i++] = x[j];
                x[j--] = swap;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return x[k];
}

/* Too many states for the effort allowed: go on with those of least bound. */
static bool thin_out(struct search *q, int most)
{
    struct dawni_core *c = q->c;
    double last;
    int kept = 0;

    if (c->states <= most)
        return true;
    if (!dawni_array_reserve(&c->bound, &c->bound_room, 2 * c->states))
        return false;
    for (int i = 0; i < c->states; i++) {
        const struct dawni_core_state *s = &c->list[i];
        c->bound[i] = bound_of(q, s->t, s->m, s->r);
        c->bound[c->states + i] = c->bound[i];
    }
    last = select_nth(&c->bound[c->states], c->states, most - 1);
    for (int i = 0; i < c->states && kept < most; i++)
        if (c->bound[i] <= last)
            c->list[kept++] = c->list[i];
    q->s->in->work += 4 * c->states;
    c->states = kept;
    q->thinned = true;
    return true;
}

/* Go through the items. False: cut short. */
static bool search_core(struct search *q)
{
    struct dawni_core *c = q->c;
    int64_t end = q->s->in->work + 4 * q->limits->effort;
    int64_t most = q->limits->effort / (c->items + c->options + 1);
    struct dawni_sack_sums sum = dawni_sack_sum(q->s, q->s->base);

    if (!dawni_array_reserve(&c->list, &c->list_room, 1)) {
        q->out_of_memory = true;
        return false;
    }
    c->list[0] = (struct dawni_core_state){sum.t, sum.m, sum.r, -1};
    c->states = 1;
    c->traces = 0;
    note_best(q, &c->list[0]);
    for (int i = 0; i < c->items && c->states; i++) {
        const struct dawni_core_item *after = &c->item[i + 1];
        if (q->found && q->limits->any)
            return true;
        set_slack(q, i + 1);
        q->undo = i + 1 < c->items ? after->undo : 0;
        q->redo = i + 1 < c->items ? after->redo : INFINITY;
        if (!add_choice(q, &c->item[i]) ||
            !thin_out(q, most > LEAST_STATES ? (int)most : LEAST_STATES)) {
            q->out_of_memory = true;
            return false;
        }
        if (q->s->in->work > end)
            return false;
    }
    return !q->thinned;
}

bool dawni_sack_search(struct dawni_sack *s,
                       const struct dawni_sack_limits *limits, int64_t largest,
                       struct dawni_sack_answer *answer)
{
    struct search q = {.s = s,
                       .limits = limits,
                       .c = s->core,
                       .one = limits->nu <= 0 && largest == 0,
                       .next = INFINITY,
                       .time = DAWNI_NO_LIMIT};
    double bound;

    dawni_sack_greedy(s, limits, largest, answer);
    if (answer->complete || answer->bound > limits->limit) {
        answer->complete = true;
        return true;
    }
    q.target = answer->found ? below(answer->time) : limits->limit;
    answer->complete = answer->bound > q.target;
    if ((answer->found && limits->any) || answer->complete)
        return true;
    bound = s->bound;
    s->core->items = s->core->options = 0;
    for (int i = 0; i < s->n; i++)
        if (!add_item(&q, i, largest, (double)q.target - bound, bound))
            return false;
    if (s->core->items)
        qsort(s->core->item, (size_t)s->core->items, sizeof *s->core->item,
              compare_items);
    sum_up_ratios(s->core);
    answer->complete = search_core(&q);
    if (q.out_of_memory)
        return false;
    if (q.found) {
        take_best(&q);
        answer->time = q.time;
        answer->found = true;
    }
    if (answer->complete && q.one && !(q.found && limits->any)) {
        double least = fmin(q.next, (double)answer->time);
        answer->bound = least >= (double)DAWNI_NO_LIMIT
                            ? DAWNI_NO_LIMIT
                            : (int64_t)fmax(bound, least);
    }
    return true;
}
