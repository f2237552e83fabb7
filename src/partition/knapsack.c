/* SPDX-License-Identifier: Apache-2.0 */
/* The knapsack of a stage: its nodes, a price for memory, a quick choice. */
#include "partition/core.h"
#include "common/array.h"
#include "common/sort.h"

/* Moves that mend a choice, at most: prices are good, few are needed. */
#define MOST_MENDS 24

enum dawn_status dawni_sack_create(struct dawni_instance *in,
                                   struct dawni_sack **s_p,
                                   struct dawn_error *err)
{
    struct dawni_sack *s = calloc(1, sizeof *s);

    if (s)
        s->core = calloc(1, sizeof *s->core);
    if (!s || !s->core) {
        dawni_sack_destroy(s);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a knapsack");
    }
    s->in = in;
    *s_p = s;
    return DAWN_OK;
}

void dawni_sack_destroy(struct dawni_sack *s)
{
    if (!s)
        return;
    dawni_core_destroy(s->core);
    free(s->at);
    free(s->option);
    free(s->choice);
    free(s->base);
    free(s->rank);
    free(s->move);
    free(s->size);
    free(s);
}

static bool make_room(struct dawni_sack *s, int n)
{
    int at_room = s->room, choice_room = s->room, base_room = s->room;
    int move_room = s->room;

    if (n < s->room)
        return true;
    if (!dawni_array_reserve(&s->at, &at_room, n + 1) ||
        !dawni_array_reserve(&s->choice, &choice_room, n + 1) ||
        !dawni_array_reserve(&s->base, &base_room, n + 1) ||
        !dawni_array_reserve(&s->move, &move_room, n + 1))
        return false;
    s->room = at_room;
    return true;
}

bool dawni_sack_fill(struct dawni_sack *s, const int *node, int n, int y)
{
    int options = 0;

    if (!make_room(s, n))
        return false;
    for (int i = 0; i < n; i++) {
        s->at[i] = options;
        if (!dawni_array_reserve(&s->option, &s->options_room,
                                 options + s->in->most_options))
            return false;
        options += dawni_options_of(s->in, node[i], y, &s->option[options]);
    }
    s->at[n] = options;
    s->n = n;
    s->in->work += options;
    return true;
}

struct dawni_sack_sums dawni_sack_sum(const struct dawni_sack *s,
                                      const int *choice)
{
    struct dawni_sack_sums sum = {0, 0, 0, 0};

    for (int i = 0; i < s->n; i++) {
        const struct dawni_option *o = &s->option[choice[i]];
        sum.t += o->t;
        sum.m += o->m;
        sum.r += o->r;
        if (o->r > sum.largest)
            sum.largest = o->r;
    }
    return sum;
}

bool dawni_sack_price(struct dawni_sack *s, const int *node, int n,
                      const struct dawni_level *level, int64_t cap,
                      double *lambda_p)
{
    int64_t over = -cap;
    int ranks = 0, i = 0;

    for (int j = 0; j < n; j++) {
        int v = node[j], end = level->step_at[v + 1];
        over += level->m0[v];
        if (!dawni_array_reserve(&s->rank, &s->rank_room,
                                 ranks + end - level->step_at[v]))
            return false;
        for (int k = level->step_at[v]; k < end; k++)
            s->rank[ranks++] = level->rank[k];
    }
    if (ranks)
        dawni_sort_ints(s->rank, ranks);
    *lambda_p = 0;
    for (; over > 0 && i < ranks; i++) {
        int r = s->rank[i];
        over -= level->dm[r];
        *lambda_p = (double)level->dt[r] / (double)level->dm[r];
    }
    s->in->work += ranks * 4;
    return true;
}

/* Bases: of least penalty. s->bound: at the prices. False: even the smallest
 * options are over the cap. */
static bool choose_bases(struct dawni_sack *s,
                         const struct dawni_sack_limits *limits,
                         int64_t largest)
{
    double bound = 0;
    int64_t smallest = 0;

    for (int i = 0; i < s->n; i++) {
        double least = INFINITY;
        int64_t small = DAWNI_NO_LIMIT;
        for (int j = s->at[i]; j < s->at[i + 1]; j++) {
            const struct dawni_option *o = &s->option[j];
            double cost = dawni_priced(limits, o);
            if (o->r <= largest && o->m < small)
                small = o->m;
            if (o->r > largest || cost >= least)
                continue;
            least = cost;
            s->base[i] = j;
        }
        bound += least;
        smallest += small;
    }
    bound -= limits->lambda * (double)limits->cap;
    if (limits->nu > 0)
        bound -= limits->nu * (double)limits->room;
    s->bound = bound;
    return smallest <= limits->cap;
}

/* Of a move that lowers what is over the cap: those that do away with all of it
 * first, by time; the others by time for a byte. */
static double worth_of(const struct dawni_sack_limits *limits, int64_t over,
                       int64_t dt, int64_t dm, int64_t dr)
{
    double cost = (double)dt + limits->nu * (double)dr;

    if (over <= 0)
        return dm <= -over && dt < 0 ? (double)dt : INFINITY;
    if (dm >= 0)
        return INFINITY;
    return -dm >= over ? cost - 0x1p62 : cost / -(double)dm;
}

static struct dawni_move best_move(const struct dawni_sack *s,
                                   const struct dawni_sack_limits *limits,
                                   int64_t largest,
                                   const struct dawni_sack_sums *sum)
{
    struct dawni_move best = {-1, -1, INFINITY};

    for (int i = 0; i < s->n; i++) {
        const struct dawni_option *now = &s->option[s->choice[i]];
        for (int j = s->at[i]; j < s->at[i + 1]; j++) {
            const struct dawni_option *o = &s->option[j];
            double worth;
            if (j == s->choice[i] || o->r > largest ||
                (o->r > now->r && sum->r + o->r - now->r > limits->room))
                continue;
            worth = worth_of(limits, sum->m - limits->cap, o->t - now->t,
                             o->m - now->m, o->r - now->r);
            if (worth < best.worth)
                best = (struct dawni_move){i, j, worth};
        }
    }
    return best;
}

/* Offload less until there is room: what costs least to hold or run again. */
static struct dawni_move take_back(const struct dawni_sack *s,
                                   const struct dawni_sack_limits *limits)
{
    struct dawni_move best = {-1, -1, INFINITY};

    for (int i = 0; i < s->n; i++) {
        const struct dawni_option *now = &s->option[s->choice[i]];
        for (int j = s->at[i]; now->r && j < s->at[i + 1]; j++) {
            const struct dawni_option *o = &s->option[j];
            double cost = (double)(o->t - now->t) +
                          limits->lambda * (double)(o->m - now->m);
            if (o->r >= now->r)
                continue;
            cost /= (double)(now->r - o->r);
            if (cost < best.worth)
                best = (struct dawni_move){i, j, cost};
        }
    }
    return best;
}

static int compare_moves(const void *a, const void *b)
{
    const struct dawni_move *x = a, *y = b;

    if (x->worth != y->worth)
        return x->worth < y->worth ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* Each item's best move to save memory, by time for a byte. */
static int list_moves(struct dawni_sack *s,
                      const struct dawni_sack_limits *limits, int64_t largest)
{
    int moves = 0;

    for (int i = 0; i < s->n; i++) {
        const struct dawni_option *now = &s->option[s->choice[i]];
        struct dawni_move best = {i, -1, INFINITY};
        for (int j = s->at[i]; j < s->at[i + 1]; j++) {
            const struct dawni_option *o = &s->option[j];
            double cost =
                (double)(o->t - now->t) + limits->nu * (double)(o->r - now->r);
            double worth = cost / (double)(now->m - o->m);
            if (o->m >= now->m || o->r > largest || worth >= best.worth)
                continue;
            best.worth = worth;
            best.option = j;
        }
        if (best.option >= 0)
            s->move[moves++] = best;
    }
    if (moves)
        qsort(s->move, (size_t)moves, sizeof *s->move, compare_moves);
    return moves;
}

/* Many moves at once, where one will not do: until one more might. False: there
 * is none. */
static bool save_much(struct dawni_sack *s,
                      const struct dawni_sack_limits *limits, int64_t largest,
                      const struct dawni_sack_sums *sum)
{
    int moves = list_moves(s, limits, largest);
    int64_t over = sum->m - limits->cap, room = limits->room - sum->r;
    bool any = false;

    for (int i = 0; i < moves; i++) {
        int *choice = &s->choice[s->move[i].item];
        const struct dawni_option *now = &s->option[*choice];
        const struct dawni_option *o = &s->option[s->move[i].option];
        if (o->r - now->r > room)
            continue;
        if (any && now->m - o->m >= over)
            break;
        over -= now->m - o->m;
        room -= o->r - now->r;
        *choice = s->move[i].option;
        any = true;
    }
    s->in->work += 4 * s->at[s->n];
    return any;
}

/* One step to a choice that is within cap and room, or faster. False: none. */
static bool mend(struct dawni_sack *s, const struct dawni_sack_limits *limits,
                 int64_t largest, const struct dawni_sack_sums *sum)
{
    int64_t over = sum->m - limits->cap;
    struct dawni_move move = sum->r > limits->room
                                 ? take_back(s, limits)
                                 : best_move(s, limits, largest, sum);

    if (move.item >= 0 && over > 0 && sum->r <= limits->room) {
        int64_t less =
            s->option[s->choice[move.item]].m - s->option[move.option].m;
        if (less < over)
            return save_much(s, limits, largest, sum);
    }
    if (move.item >= 0)
        s->choice[move.item] = move.option;
    return move.item >= 0;
}

/* The smallest options, whatever they take. */
static void choose_smallest(struct dawni_sack *s, int64_t largest)
{
    for (int i = 0; i < s->n; i++) {
        int64_t small = DAWNI_NO_LIMIT;
        for (int j = s->at[i]; j < s->at[i + 1]; j++)
            if (s->option[j].r <= largest && s->option[j].m < small) {
                small = s->option[j].m;
                s->choice[i] = j;
            }
    }
}

void dawni_sack_greedy(struct dawni_sack *s,
                       const struct dawni_sack_limits *limits, int64_t largest,
                       struct dawni_sack_answer *answer)
{
    bool possible = choose_bases(s, limits, largest);
    struct dawni_sack_sums sum;

    s->in->work += s->at[s->n];
    *answer = (struct dawni_sack_answer){
        .complete = true, .time = DAWNI_NO_LIMIT, .bound = DAWNI_NO_LIMIT};
    if (!possible)
        return;
    memcpy(s->choice, s->base, (size_t)s->n * sizeof *s->choice);
    sum = dawni_sack_sum(s, s->choice);
    for (int mends = 0; mends < MOST_MENDS; mends++) {
        if (!mend(s, limits, largest, &sum))
            break;
        sum = dawni_sack_sum(s, s->choice);
        s->in->work += s->at[s->n];
    }
    if (sum.m > limits->cap || sum.r > limits->room) {
        choose_smallest(s, largest);
        sum = dawni_sack_sum(s, s->choice);
    }
    answer->bound = s->bound > 0 ? (int64_t)s->bound : 0;
    if (sum.m <= limits->cap && sum.r <= limits->room)
        answer->time = sum.t;
    answer->found = answer->time <= limits->limit;
    answer->complete = answer->time <= answer->bound;
}
