/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the checker: it accepts every table that is made, and no other. */
#include "schedule/schedule.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#define STAGES 8
#define EDGES (STAGES * (STAGES - 1) / 2)

static uint64_t random_state = 7;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % below);
}

/* All neighbours, and each skip with a chance of one in `sparse`. */
static int draw_edges(struct dawn_edge *edge, int stages, uint32_t sparse)
{
    int edges = 0;

    for (int i = 0; i < stages; i++)
        for (int k = i + 1; k < stages; k++)
            if (k == i + 1 || draw(sparse) == 0)
                edge[edges++] = (struct dawn_edge){i, k};
    return edges;
}

static bool accepted(const struct dawn_schedule_opts *opts,
                     struct dawn_error *err)
{
    struct dawn_schedule *s = NULL;
    enum dawn_status st = dawn_schedule_create(opts, &s, err);

    if (!st)
        st = dawn_schedule_check(s, err);
    dawn_schedule_destroy(s);
    return st == DAWN_OK;
}

/* Numbers of microbatches between updates that a kind may have; [0] is 0: as
 * the kind says. Returns how many; 0: the kind cannot have so many stages. */
static int legal_every(const char *kind, int stages, int m, int *every)
{
    int n = 0, least = strcmp(kind, "async-2bw") == 0 ? stages : 1;

    if (m < least)
        return 0;
    every[n++] = 0;
    if (strncmp(kind, "async", 5) != 0)
        return n;
    for (int g = least; g <= m; g++)
        if (m % g == 0)
            every[n++] = g;
    return n;
}

/* All tables of a kind and a number of stages; returns how many are refused. */
static int count_refused(const char *kind, int stages, int *tables)
{
    int refused = 0;

    for (int m = 1; m <= 32; m++) {
        int every[33], everies = legal_every(kind, stages, m, every);

        for (int round = 0; everies && round < 3 * stages; round++) {
            struct dawn_edge act[EDGES], grad[EDGES];
            struct dawn_schedule_opts opts = {
                .kind = kind,
                .stages = stages,
                .ranks = 1 + round % stages,
                .microbatches = m,
                .update_every = every[draw((uint32_t)everies)],
            };
            struct dawn_error err;

            if (round >= stages) {
                opts.act_edge = act;
                opts.act_edges = draw_edges(act, stages, 1 + draw(4));
            }
            if (round >= 2 * stages) {
                opts.grad_edge = grad;
                opts.grad_edges = draw_edges(grad, stages, 1 + draw(4));
            }
            ++*tables;
            if (accepted(&opts, &err))
                continue;
            if (!refused++)
                diag("%s, %d stages, %d ranks, %d microbatches: %s", kind,
                     stages, opts.ranks, m, err.text);
        }
    }
    return refused;
}

/* Every number of updates, all orders by themselves. */
static void test_updates(void)
{
    static const char *const kind[] = {"async-1f1b", "async-2bw"};

    for (int k = 0; k < 2; k++) {
        int tables = 0, wrong = 0;

        for (int l = 1; l <= STAGES; l++)
            for (int m = 1; m <= 32; m++)
                for (int g = -1; g <= m + 1; g++) {
                    struct dawn_schedule_opts opts = {.kind = kind[k],
                                                      .stages = l,
                                                      .microbatches = m,
                                                      .update_every = g};
                    int least = k ? l : 1;
                    bool legal = g == 0 ? m >= least : g >= least && m % g == 0;

                    tables++;
                    wrong += accepted(&opts, NULL) != legal;
                }
        is_int(wrong, 0, "%s: of %d tables exactly the legal ones are made",
               kind[k], tables);
    }
}

static void test_all(void)
{
    for (int i = 0; dawn_schedule_kind(i); i++)
        for (int l = 1; l <= STAGES; l++) {
            int tables = 0, refused;

            refused = count_refused(dawn_schedule_kind(i), l, &tables);
            is_int(refused, 0,
                   "%s, %d stages, 1 to 32 microbatches, any ranks, with and "
                   "without skips: %d tables are accepted",
                   dawn_schedule_kind(i), l, tables);
        }
}

/* Tables with one mistake */

struct table {
    struct dawn_schedule_opts opts;
    const struct dawn_action *action[STAGES];
    int n[STAGES];
};

/* Returns the status, and in *simulated whether a simulation comes to the end.
 */
static enum dawn_status verdict(const struct table *t, bool *simulated,
                                struct dawn_error *err)
{
    static const double zero[STAGES * STAGES];
    double speed[STAGES * STAGES];
    struct dawn_sim_costs costs = {
        .f_ns = zero,
        .b_ns = zero,
        .w_ns = zero,
        .step_ns = zero,
        .act_bytes = zero,
        .grad_bytes = zero,
        .latency_ns = zero,
        .bytes_per_s = speed,
    };
    struct dawn_sim_result result = {0};
    struct dawn_schedule *s = NULL;
    enum dawn_status st;

    for (int i = 0; i < STAGES * STAGES; i++)
        speed[i] = 1;
    st = dawni_schedule_from_actions(&t->opts, t->action, t->n, &s, err);
    if (st)
        return st;
    st = dawn_schedule_check(s, err);
    *simulated = dawn_simulate(s, &costs, &result, NULL) == DAWN_OK;
    dawn_sim_result_clear(&result);
    dawn_schedule_destroy(s);
    return st;
}

struct tally {
    int tables;
    int missed;    /* accepted although wrong */
    int deadlocks; /* moved without breaking an order, and stuck */
    int strange;   /* refused for another reason, or the simulator disagrees */
};

static void describe(const struct table *t, int rank, int i, const char *what)
{
    char text[80];

    diag("%s of rank %d, action %d, %s", what, rank, i,
         dawni_action_text(&t->action[rank][i], text, sizeof text));
}

static void must_fail(const struct table *t, int rank, int i, const char *what,
                      struct tally *tally)
{
    struct dawn_error err;
    bool simulated;

    tally->tables++;
    if (verdict(t, &simulated, &err) == DAWN_E_INVAL)
        return;
    tally->missed++;
    describe(t, rank, i < t->n[rank] ? i : 0, what);
}

/* Drop and double each action. */
static void mutate_count(const struct table *from, int rank,
                         struct tally *tally)
{
    int n = from->n[rank];
    struct dawn_action *a = calloc((size_t)n + 1, sizeof *a);
    struct table t = *from;

    if (!a)
        abort();
    t.action[rank] = a;
    for (int i = 0; i < n; i++) {
        const struct dawn_action *old = from->action[rank];

        memcpy(a, old, (size_t)i * sizeof *a);
        memcpy(a + i, old + i + 1, (size_t)(n - i - 1) * sizeof *a);
        t.n[rank] = n - 1;
        must_fail(&t, rank, i, "dropped, before", tally);
        t.n[rank] = n + 1;
        for (int k = 0; k <= n; k++) {
            memcpy(a, old, (size_t)k * sizeof *a);
            a[k] = old[i];
            memcpy(a + k + 1, old + k, (size_t)(n - k) * sizeof *a);
            must_fail(&t, rank, k, "doubled", tally);
        }
    }
    free(a);
}

/* Change each field of each action to anything else. */
static void mutate_fields(const struct table *from, int rank,
                          struct tally *tally)
{
    int n = from->n[rank];
    struct dawn_action *a = calloc((size_t)n, sizeof *a);
    struct table t = *from;

    if (!a)
        abort();
    memcpy(a, from->action[rank], (size_t)n * sizeof *a);
    t.action[rank] = a;
    for (int i = 0; i < n; i++) {
        struct dawn_action old = a[i];

        for (int x = -2; x <= STAGES; x++) {
            a[i].microbatch = x;
            if (x != old.microbatch)
                must_fail(&t, rank, i, "microbatch", tally);
            a[i] = old;
            a[i].peer = x;
            if (x != old.peer)
                must_fail(&t, rank, i, "peer", tally);
            a[i] = old;
            a[i].stage = x;
            if (x != old.stage)
                must_fail(&t, rank, i, "stage", tally);
            a[i] = old;
        }
        for (int x = 0; x <= DAWN_ACTION_PREFETCH + 1; x++) {
            a[i].kind = (enum dawn_action_kind)x;
            if (a[i].kind != old.kind)
                must_fail(&t, rank, i, "kind", tally);
            a[i] = old;
        }
    }
    free(a);
}

static bool same_place(const struct dawn_action *a, const struct dawn_action *b)
{
    return a->stage == b->stage && a->peer == b->peer;
}

/* Does `a` make what `b` sends, or take in what `b` receives? */
static bool uses(const struct dawn_action *a, const struct dawn_action *b)
{
    bool act =
        b->kind == DAWN_ACTION_SEND_ACT || b->kind == DAWN_ACTION_RECV_ACT;
    bool grad =
        b->kind == DAWN_ACTION_SEND_GRAD || b->kind == DAWN_ACTION_RECV_GRAD;

    return a->stage == b->stage && a->microbatch == b->microbatch &&
           ((a->kind == DAWN_ACTION_F && act) ||
            (a->kind == DAWN_ACTION_BW && grad));
}

/* Likewise, where one of them is an UPDATE. */
static bool updates_ordered(const struct dawn_schedule_opts *opts,
                            const struct dawn_action *a,
                            const struct dawn_action *b)
{
    int g = opts->update_every;

    if (a->stage != b->stage)
        return false;
    if (a->kind == DAWN_ACTION_BW)
        return a->microbatch <= b->microbatch;
    if (a->kind != DAWN_ACTION_UPDATE)
        return false;
    if (b->kind == DAWN_ACTION_F) /* it may read what was there before */
        return strcmp(opts->kind, "async-2bw") == 0 &&
               b->microbatch / g - 1 >= (a->microbatch + 1) / g;
    return b->kind == DAWN_ACTION_UPDATE || b->kind == DAWN_ACTION_BW;
}

/* Must `a`, which comes earlier on a rank, come before `b`? */
static bool ordered(const struct dawn_schedule_opts *opts,
                    const struct dawn_action *a, const struct dawn_action *b)
{
    if (b->kind == DAWN_ACTION_REDUCE || b->kind == DAWN_ACTION_STEP)
        return true;
    if (a->kind == DAWN_ACTION_UPDATE || b->kind == DAWN_ACTION_UPDATE)
        return updates_ordered(opts, a, b);
    if (dawni_is_send(a->kind) && dawni_is_wait(b->kind) && same_place(a, b) &&
        a->microbatch == b->microbatch &&
        (a->kind == DAWN_ACTION_SEND_ACT) == (b->kind == DAWN_ACTION_WAIT_ACT))
        return true;
    if (a->kind == b->kind && same_place(a, b))
        return a->kind == DAWN_ACTION_BW || dawni_is_send(a->kind) ||
               dawni_is_recv(a->kind);
    if (a->kind == DAWN_ACTION_F && b->kind == DAWN_ACTION_BW)
        return a->stage == b->stage && a->microbatch == b->microbatch;
    if (dawni_is_send(b->kind))
        return uses(a, b);
    return dawni_is_recv(a->kind) && uses(b, a);
}

/* Move each action to each other place of its rank. */
static void mutate_order(const struct table *from, int rank,
                         struct tally *tally)
{
    int n = from->n[rank];
    struct dawn_action *a = calloc((size_t)n, sizeof *a);
    struct table t = *from;

    if (!a)
        abort();
    t.action[rank] = a;
    for (int i = 0; i < n; i++) {
        bool broken = false;

        memcpy(a, from->action[rank], (size_t)n * sizeof *a);
        for (int k = i + 1; k < n; k++) {
            struct dawn_action moved = a[k - 1];
            struct dawn_error err;
            bool simulated = false;
            enum dawn_status st;

            broken |= ordered(&t.opts, &moved, &a[k]);
            a[k - 1] = a[k];
            a[k] = moved;
            if (broken) {
                must_fail(&t, rank, k, "moved", tally);
                continue;
            }
            tally->tables++;
            st = verdict(&t, &simulated, &err);
            tally->deadlocks += st != DAWN_OK;
            if (simulated == (st == DAWN_OK) &&
                (!st || strncmp(err.text, "deadlock:", 9) == 0))
                continue;
            tally->strange++;
            describe(&t, rank, k, st ? err.text : "not simulated: moved");
        }
    }
    free(a);
}

static void test_mutations(void)
{
    static const struct dawn_edge skips[] = {
        {0, 1}, {1, 2}, {2, 3}, {0, 2}, {0, 3}};
    static const struct {
        int stages, ranks, microbatches, edges;
    } size[] = {
        {1, 1, 2, 0}, {2, 2, 1, 0}, {2, 2, 3, 0}, {3, 3, 4, 0},
        {4, 4, 2, 0}, {4, 4, 5, 5}, {4, 2, 2, 0}, {4, 2, 2, 5},
        {1, 1, 6, 0}, {2, 2, 6, 0}, {2, 1, 4, 0}, {3, 3, 6, 0},
    };

    for (size_t i = 0; i < 4 * (sizeof size / sizeof size[0]); i++) {
        struct table t = {.opts = {
                              .kind = dawn_schedule_kind((int)i % 4),
                              .stages = size[i / 4].stages,
                              .ranks = size[i / 4].ranks,
                              .microbatches = size[i / 4].microbatches,
                              .act_edge = size[i / 4].edges ? skips : NULL,
                              .act_edges = size[i / 4].edges,
                          }};
        struct dawn_schedule *s = NULL;
        struct tally tally = {0};
        int every[33];

        if (!legal_every(t.opts.kind, t.opts.stages, t.opts.microbatches,
                         every))
            continue;
        if (dawn_schedule_create(&t.opts, &s, NULL))
            abort();
        t.opts.update_every = dawn_schedule_update_every(s);
        for (int rank = 0; rank < t.opts.ranks; rank++)
            t.action[rank] = dawn_schedule_actions(s, rank, &t.n[rank]);
        for (int rank = 0; rank < t.opts.ranks; rank++) {
            mutate_count(&t, rank, &tally);
            mutate_fields(&t, rank, &tally);
            mutate_order(&t, rank, &tally);
        }
        is_int(tally.missed, 0,
               "%s, %d stages on %d ranks, %d microbatches: of %d tables with "
               "one change, all wrong ones are refused",
               t.opts.kind, t.opts.stages, t.opts.ranks, t.opts.microbatches,
               tally.tables);
        is_int(tally.strange, 0, "and the others pass, but for %d deadlocks",
               tally.deadlocks);
        dawn_schedule_destroy(s);
    }
}

/* What is said about wrong tables */

static void is_refused(const struct table *t, const char *text,
                       const char *claim)
{
    struct dawn_error err = {0};
    bool simulated;

    is_int(verdict(t, &simulated, &err), DAWN_E_INVAL, "%s: refused", claim);
    is_str(err.text, text, "%s: the text says what is wrong", claim);
}

static void test_texts(void)
{
    /* Both ranks wait for a send before they post the receive. */
    static const struct dawn_action down[] = {
        {DAWN_ACTION_F, 0, 0, -1},       {DAWN_ACTION_SEND_ACT, 0, 0, 3},
        {DAWN_ACTION_WAIT_ACT, 0, 0, 3}, {DAWN_ACTION_RECV_ACT, 0, 2, 1},
        {DAWN_ACTION_F, 0, 2, -1},       {DAWN_ACTION_BW, 0, 2, -1},
        {DAWN_ACTION_BW, 0, 0, -1},      {DAWN_ACTION_REDUCE, -1, 0, -1},
        {DAWN_ACTION_STEP, -1, 0, -1},
    };
    static const struct dawn_action up[] = {
        {DAWN_ACTION_F, 0, 1, -1},       {DAWN_ACTION_SEND_ACT, 0, 1, 2},
        {DAWN_ACTION_WAIT_ACT, 0, 1, 2}, {DAWN_ACTION_RECV_ACT, 0, 3, 0},
        {DAWN_ACTION_F, 0, 3, -1},       {DAWN_ACTION_BW, 0, 3, -1},
        {DAWN_ACTION_BW, 0, 1, -1},      {DAWN_ACTION_REDUCE, -1, 1, -1},
        {DAWN_ACTION_STEP, -1, 1, -1},
    };
    static const struct dawn_action early[] = {
        {DAWN_ACTION_BW, 0, 0, -1},
        {DAWN_ACTION_F, 0, 0, -1},
        {DAWN_ACTION_REDUCE, -1, 0, -1},
        {DAWN_ACTION_STEP, -1, 0, -1},
    };
    static const struct dawn_action split[] = {
        {DAWN_ACTION_F, 0, 0, -1},       {DAWN_ACTION_F, 1, 0, -1},
        {DAWN_ACTION_B, 0, 0, -1},       {DAWN_ACTION_B, 1, 0, -1},
        {DAWN_ACTION_W, 0, 0, -1},       {DAWN_ACTION_W, 1, 0, -1},
        {DAWN_ACTION_REDUCE, -1, 0, -1}, {DAWN_ACTION_STEP, -1, 0, -1},
    };
    static const struct dawn_edge cross[] = {{0, 3}, {1, 2}};
    struct table t = {
        .opts = {.stages = 4,
                 .ranks = 2,
                 .microbatches = 1,
                 .act_edge = cross,
                 .act_edges = 2,
                 .grad_edge = cross},
        .action = {down, up},
        .n = {9, 9},
    };
    bool simulated = false;

    is_refused(&t,
               "deadlock: rank 0 at action 2, WAIT_ACT(mb 0, stage 0 to 3); "
               "rank 1 at action 2, WAIT_ACT(mb 0, stage 1 to 2)",
               "two ranks that wait for each other's receive");
    t.opts.act_edges = 1;
    is_refused(&t,
               "rank 0, action 3, RECV_ACT(mb 0, stage 2 from 1): out of range",
               "a message where no edge is");
    t.opts = (struct dawn_schedule_opts){.stages = 1, .microbatches = 1};
    t.action[0] = early;
    t.n[0] = 4;
    is_refused(&t, "rank 0, action 0, BW(mb 0, stage 0): its F is not done",
               "backward first");
    t.n[0] = 0;
    is_refused(&t, "rank 0 has no STEP", "an empty table");
    t.opts.microbatches = 2;
    t.action[0] = split;
    t.n[0] = 8;
    is_int(verdict(&t, &simulated, NULL), DAWN_OK,
           "backward in two parts is accepted");
    ok(simulated, "and can be simulated");
}

int main(void)
{
    plan_lazy();
    test_all();
    test_updates();
    test_mutations();
    test_texts();
    return done_testing();
}
