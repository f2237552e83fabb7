/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the simulator: timelines worked out by hand, and the bubble that the
 * formula says.
 */
#include "schedule/schedule.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>

#define STAGES 8
#define EDGES (STAGES * (STAGES - 1) / 2)

/* Costs, the same for all stages, edges and pairs of ranks */
struct costs {
    double f, b, w, step, act, grad, latency, speed;
    bool host_copies;
};

struct arrays {
    double f[STAGES], b[STAGES], w[STAGES], step[STAGES];
    double act[EDGES], grad[EDGES];
    double latency[STAGES * STAGES], speed[STAGES * STAGES];
    struct dawn_sim_costs costs;
};

static void fill(double *x, int n, double value)
{
    for (int i = 0; i < n; i++)
        x[i] = value;
}

static void spread(const struct costs *c, struct arrays *a)
{
    fill(a->f, STAGES, c->f);
    fill(a->b, STAGES, c->b);
    fill(a->w, STAGES, c->w);
    fill(a->step, STAGES, c->step);
    fill(a->act, EDGES, c->act);
    fill(a->grad, EDGES, c->grad);
    fill(a->latency, STAGES * STAGES, c->latency);
    fill(a->speed, STAGES * STAGES, c->speed);
    a->costs = (struct dawn_sim_costs){
        .f_ns = a->f,
        .b_ns = a->b,
        .w_ns = a->w,
        .step_ns = a->step,
        .act_bytes = a->act,
        .grad_bytes = a->grad,
        .latency_ns = a->latency,
        .bytes_per_s = a->speed,
        .host_copies = c->host_copies,
    };
}

static struct dawn_schedule *make(const struct dawn_schedule_opts *opts)
{
    struct dawn_schedule *s = NULL;

    if (dawn_schedule_create(opts, &s, NULL))
        abort();
    return s;
}

/* By hand. Two stages, two microbatches, 1f1b; a table of what each rank does:
 *
 *   rank 0  F0 F1 BW0 BW1, sends F0 and F1 down
 *   rank 1  F0 BW0 F1 BW1, sends BW0 and BW1 up
 */
static const struct {
    const char *claim;
    struct costs costs;
    double step, busy[2], wait[2], comm[2];
    /* starts of the computations, in the order above */
    double start[2][4];
} timeline[] = {
    /* Messages are free: F 10, BW 20, then STEP 5 on both at once. */
    {"free messages",
     {10, 15, 5, 5, 0, 0, 0, 1e9, false},
     95,
     {65, 65},
     {30, 30},
     {0, 0},
     {{0, 10, 40, 70}, {10, 20, 40, 50}}},
    /* A message takes 3 + 4: it hides behind F1 of rank 0, not otherwise.
     * rank 1: F0 17-27, BW0 27-47, F1 47-57, BW1 57-77; its sends end 54, 84.
     * rank 0: F1 10-20, waits to 20; BW0 54-74, BW1 84-104. */
    {"messages beside computation",
     {10, 15, 5, 5, 4, 4, 3, 1e9, false},
     109,
     {65, 65},
     {30, 30},
     {14, 14},
     {{0, 10, 54, 84}, {17, 27, 47, 57}}},
    /* Copies by the processors, no latency, 4 on each side.
     * rank 0: F0 0-10, F1 10-20, WAIT for F0's send 20-24, sends F1 at 24.
     * rank 1: takes in 10-14, F0 14-24, BW0 24-44, sends it, takes in 44-48, F1
     *         48-58, BW1 58-78, WAIT 78-82, sends BW1 at 82, WAIT 82-86.
     * rank 0: takes in 44-48, BW0 48-68, takes in 82-86, BW1 86-106, WAIT for
     *         F1's send 106-110, STEP 110-115. */
    {"copies by the processors",
     {10, 15, 5, 5, 4, 4, 0, 1e9, true},
     115,
     {65, 65},
     {34, 34},
     {16, 16},
     {{0, 10, 48, 86}, {14, 24, 48, 58}}},
};

static void check_starts(const struct dawn_sim_result *r, int rank,
                         const double *start, const char *claim)
{
    int seen = 0, wrong = 0;

    for (int i = 0; i < r->events; i++) {
        const struct dawn_sim_event *e = &r->event[i];

        if (e->rank != rank || !dawni_is_compute(e->action.kind))
            continue;
        if (seen < 4 && fabs(e->start_ns - start[seen]) > 1e-6 && !wrong++)
            diag("computation %d of rank %d starts at %g, not %g", seen, rank,
                 e->start_ns, start[seen]);
        seen++;
    }
    ok(seen == 4 && !wrong, "%s: rank %d computes when it should", claim, rank);
}

static void test_timelines(void)
{
    struct dawn_schedule_opts opts = {
        .kind = "1f1b", .stages = 2, .microbatches = 2};
    struct dawn_schedule *s = make(&opts);

    for (size_t i = 0; i < sizeof timeline / sizeof timeline[0]; i++) {
        const char *claim = timeline[i].claim;
        struct dawn_sim_result r = {0};
        struct arrays a;

        spread(&timeline[i].costs, &a);
        if (!is_int(dawn_simulate(s, &a.costs, &r, NULL), DAWN_OK,
                    "%s: simulated", claim))
            continue;
        is_near(r.step_ns, timeline[i].step, 1e-6, "%s: the step", claim);
        is_int(r.ranks, 2, "%s: two ranks", claim);
        for (int rank = 0; rank < 2; rank++) {
            is_near(r.busy_ns[rank], timeline[i].busy[rank], 1e-6,
                    "%s: rank %d is busy", claim, rank);
            is_near(r.wait_ns[rank], timeline[i].wait[rank], 1e-6,
                    "%s: rank %d waits", claim, rank);
            is_near(r.comm_ns[rank], timeline[i].comm[rank], 1e-6,
                    "%s: rank %d is held up by messages", claim, rank);
            check_starts(&r, rank, timeline[i].start[rank], claim);
        }
        dawn_sim_result_clear(&r);
        ok(!r.event && r.events == 0, "%s: cleared", claim);
    }
    dawn_schedule_destroy(s);
}

/* STEP begins when all ranks have come to REDUCE, and takes its own time. */
static void test_step(void)
{
    struct dawn_schedule_opts opts = {
        .kind = "gpipe", .stages = 3, .ranks = 2, .microbatches = 1};
    struct dawn_schedule *s = make(&opts);
    struct dawn_sim_result r = {0};
    struct arrays a;
    double begin[2] = {-1, -1};

    spread(&(struct costs){10, 10, 0, 0, 0, 0, 0, 1e9, false}, &a);
    a.step[0] = 1;
    a.step[1] = 2;
    a.step[2] = 4;
    if (dawn_simulate(s, &a.costs, &r, NULL))
        abort();
    for (int i = 0; i < r.events; i++)
        if (r.event[i].action.kind == DAWN_ACTION_STEP)
            begin[r.event[i].rank] = r.event[i].start_ns;
    is_near(begin[0], 60, 1e-9, "rank 0 steps when its last backward is done");
    is_near(begin[1], 60, 1e-9, "rank 1 steps no earlier");
    is_near(r.step_ns, 65, 1e-9, "a rank steps all its stages");
    is_near(r.wait_ns[1], 43, 1e-9, "rank 1 waits, at its end too");
    dawn_sim_result_clear(&r);
    dawn_schedule_destroy(s);
}

/* By hand. F 10, BW 20, an UPDATE 7, STEP 5.
 * rank 1: F0 10-20, BW0 20-40, UPDATE 40-47, F1 47-57, BW1 57-77, UPDATE 77-84.
 * rank 0: F0 0-10, F1 10-20, BW0 40-60, UPDATE 60-67, BW1 77-97, UPDATE 97-104,
 *         STEP 104-109. What goes up is sent before the update. */
static void test_updates(void)
{
    struct dawn_schedule_opts opts = {
        .kind = "async-1f1b", .stages = 2, .microbatches = 2};
    struct dawn_schedule *s = make(&opts);
    static const double wanted[2][2] = {{60, 97}, {40, 77}};
    struct dawn_sim_result r = {0};
    struct arrays a;
    double update[STAGES];

    spread(&(struct costs){10, 15, 5, 5, 0, 0, 0, 1e9, false}, &a);
    fill(update, STAGES, 7);
    a.costs.update_ns = update;
    if (dawn_simulate(s, &a.costs, &r, NULL))
        abort();
    is_near(r.step_ns, 109, 1e-9, "updates are in the step");
    is_near(r.busy_ns[0], 79, 1e-9, "and keep a rank busy");
    for (int i = 0; i < r.events; i++) {
        const struct dawn_sim_event *e = &r.event[i];
        if (e->action.kind == DAWN_ACTION_UPDATE)
            is_near(e->start_ns, wanted[e->rank][e->action.microbatch], 1e-9,
                    "rank %d, update %d", e->rank, e->action.microbatch);
    }
    dawn_sim_result_clear(&r);
    update[1] = NAN;
    is_int(dawn_simulate(s, &a.costs, &r, NULL), DAWN_E_INVAL,
           "a time that is no number is refused");
    dawn_schedule_destroy(s);
}

/* What a rank sends itself may be free. */
static void test_itself(void)
{
    struct dawn_schedule_opts opts = {
        .kind = "1f1b", .stages = 3, .ranks = 1, .microbatches = 2};
    struct dawn_schedule *s = make(&opts);
    struct dawn_sim_result r = {0};
    struct arrays a;

    spread(&(struct costs){1, 1, 1, 1, 9, 9, 0, 0, false}, &a);
    is_int(dawn_simulate(s, &a.costs, &r, NULL), DAWN_OK,
           "bytes_per_s 0 of a rank to itself");
    is_near(r.step_ns, 2 * 3 * 3 + 3, 1e-9, "costs nothing");
    dawn_sim_result_clear(&r);
    dawn_schedule_destroy(s);
}

/* The formula */

static int draw_edges(struct dawn_edge *edge, int stages, unsigned *state)
{
    int edges = 0;

    for (int i = 0; i < stages; i++)
        for (int k = i + 1; k < stages; k++) {
            *state = *state * 1103515245u + 12345u;
            if (k == i + 1 || (*state >> 16) % 3 == 0)
                edge[edges++] = (struct dawn_edge){i, k};
        }
    return edges;
}

/* Is the bubble (l - 1) / (m + l - 1), and do the parts add up to the step? */
static bool is_formula(const struct dawn_schedule_opts *opts,
                       const struct costs *costs)
{
    int l = opts->stages, m = opts->microbatches;
    struct dawn_schedule *s = make(opts);
    struct dawn_sim_result r = {0};
    struct arrays a;
    double busy = 0;
    bool adds_up = true;

    spread(costs, &a);
    if (dawn_simulate(s, &a.costs, &r, NULL))
        abort();
    for (int rank = 0; rank < l; rank++) {
        double sum = r.busy_ns[rank] + r.wait_ns[rank] + r.comm_ns[rank];

        busy += r.busy_ns[rank];
        adds_up &= fabs(sum - r.step_ns) < 1e-9 * r.step_ns;
    }
    busy = 1 - busy / (l * r.step_ns);
    dawn_sim_result_clear(&r);
    dawn_schedule_destroy(s);
    return adds_up && fabs(busy - (l - 1.0) / (m + l - 1.0)) < 1e-9;
}

static void test_formula(void)
{
    static const struct {
        struct costs costs;
        const char *claim;
    } table[] = {
        {{1, 1, 0, 0, 0, 0, 0, 1, false}, "forward as long as backward"},
        {{1, 1, 1, 0, 0, 0, 0, 1, false}, "backward twice as long"},
        {{2, 1, 2, 0, 0, 0, 0, 1, true}, "backward 1.5 times as long"},
        {{2, 2, 3, 0, 0, 0, 0, 1, false}, "backward 2.5 times as long"},
        {{1, 2, 1, 0, 0, 0, 0, 1, true}, "backward three times as long"},
    };
    unsigned state = 3;

    for (size_t i = 0; i < 2 * (sizeof table / sizeof table[0]); i++) {
        const char *kind = dawn_schedule_kind((int)i % 2);
        int wrong = 0, wrong_skips = 0;

        for (int l = 1; l <= STAGES; l++)
            for (int m = 1; m <= 32; m++) {
                struct dawn_edge edge[EDGES];
                struct dawn_schedule_opts opts = {
                    .kind = kind, .stages = l, .microbatches = m};

                wrong += !is_formula(&opts, &table[i / 2].costs);
                opts.act_edge = edge;
                opts.act_edges = draw_edges(edge, l, &state);
                wrong_skips += !is_formula(&opts, &table[i / 2].costs);
            }
        is_int(wrong, 0, "%s, %s: the bubble is (l - 1) / (m + l - 1)", kind,
               table[i / 2].claim);
        is_int(wrong_skips, 0, "%s, %s: skips hold nobody up", kind,
               table[i / 2].claim);
    }
}

/* Arguments */

static void test_refused(void)
{
    struct dawn_schedule_opts opts = {
        .kind = "gpipe", .stages = 2, .microbatches = 1};
    struct dawn_schedule *s = make(&opts);
    struct costs good = {1, 1, 1, 1, 1, 1, 1, 1, false};
    struct dawn_sim_result r = {.ranks = 77};
    struct dawn_error err = {0};
    struct arrays a;

    spread(&good, &a);
    a.b[1] = NAN;
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "a time that is no number: %s", err.text);
    spread(&good, &a);
    a.step[0] = -1;
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "a negative time: %s", err.text);
    spread(&good, &a);
    a.speed[1] = 0;
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "no bandwidth: %s", err.text);
    spread(&good, &a);
    a.act[0] = INFINITY;
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "infinite bytes: %s", err.text);
    is_int(r.ranks, 77, "the result is untouched");
    dawn_schedule_destroy(s);
}

/* By hand. One stage, a tensor of 24 bytes made 2 into F and needed 5 into BW,
 * a tier of a byte a nanosecond each way; F 10, BW 20, STEP 5.
 */
static const struct {
    const char *claim, *kind;
    int microbatches;
    uint64_t bytes;
    struct dawn_sim_tier tier;
    double step, stall, taken;
    double moves[6][2]; /* from, to; 0, 0: none */
} offload[] = {
    /* It is being written when BW begins and so stays. F0 0-10, written 2-27,
     * and so BW0 ends at 30 without waiting; the same again. */
    {"forwarding",
     "1f1b",
     2,
     24,
     {1e9, 1e9, 1, false, 0},
     65,
     0,
     0,
     {{2, 27}, {32, 57}}},
    /* The same where a byte takes a quarter of a nanosecond of computing time:
     * F0 0-16, BW0 16-36, F1 36-52, BW1 52-72. */
    {"transfers that take computing time",
     "1f1b",
     2,
     24,
     {1e9, 1e9, 1, false, 0.25},
     77,
     0,
     12,
     {{2, 27}, {38, 63}}},
    /* The write alone takes longer than F and BW: F0 0-10, written 2-46, BW0
     * 10-30 and waits to 46; F1 46-56, written 48-92, BW1 56-76, to 92. */
    {"a write that is too long",
     "1f1b",
     2,
     44,
     {1e9, 1e9, 0, false, 0},
     97,
     32,
     0,
     {{2, 46}, {48, 92}}},
    /* F0 0-10, written 2-26. F1 10-20, written 26-50, waits for F0's to 26. F2
     * 26-36, reads 0 26-50, written 50-74, waits for F1's to 50. BW0 reads 1
     * 50-74 and needs 0 at 55, 50-70, waits for F2's to 74. BW1 reads 2 74-98
     * and needs 1 at 79, 74-94. BW2 94-114 needs 2 at 99. */
    {"a queue each way",
     "gpipe",
     3,
     24,
     {1e9, 1e9, 0, false, 0},
     119,
     24,
     0,
     {{2, 26}, {26, 50}, {26, 50}, {50, 74}, {50, 74}, {74, 98}}},
    /* F0 0-10, written 2-26. F1 10-20, written 26-50, waits for F0's to 26. F2
     * 26-36, reads 0 50-74, written 74-98, waits for F1's to 50. BW0 reads 1
     * 98-122, needs 0 at 55, waits to 74, is done at 89, waits for F2's to 98.
     * BW1 reads 2 122-146, needs 1 at 103, waits to 122, is done at 137. BW2
     * needs 2 at 142, waits to 146, is done at 161. */
    {"one queue",
     "gpipe",
     3,
     24,
     {1e9, 1e9, 0, true, 0},
     166,
     71,
     0,
     {{2, 26}, {26, 50}, {50, 74}, {74, 98}, {98, 122}, {122, 146}}},
};

static void check_moves(const struct dawn_sim_result *r,
                        const double moves[6][2], const char *claim)
{
    int n = 0, wrong = 0;

    while (n < 6 && moves[n][1] > 0)
        n++;
    is_int(r->moves, n, "%s: as many transfers", claim);
    for (int i = 0; i < n && i < r->moves; i++)
        wrong += fabs(r->move[i].start_ns - moves[i][0]) > 1e-6 ||
                 fabs(r->move[i].end_ns - moves[i][1]) > 1e-6;
    is_int(wrong, 0, "%s: when they should be", claim);
}

static void test_offload(void)
{
    for (size_t i = 0; i < sizeof offload / sizeof offload[0]; i++) {
        struct dawn_schedule_opts opts = {.kind = offload[i].kind,
                                          .stages = 1,
                                          .microbatches =
                                              offload[i].microbatches};
        struct dawn_sim_transfer x = {0, offload[i].bytes, 2, 5};
        struct dawn_schedule *s = make(&opts);
        struct dawn_sim_result r = {0};
        struct arrays a;

        spread(&(struct costs){10, 15, 5, 5, 0, 0, 0, 1e9, false}, &a);
        a.costs.transfer_first = (const int[]){0, 1};
        a.costs.transfer = &x;
        a.costs.tier = &offload[i].tier;
        a.costs.tiers = 1;
        if (!is_int(dawn_simulate(s, &a.costs, &r, NULL), DAWN_OK,
                    "%s: simulated", offload[i].claim))
            continue;
        is_near(r.step_ns, offload[i].step, 1e-6, "%s: the step",
                offload[i].claim);
        is_near(r.stall_ns[0], offload[i].stall, 1e-6, "%s: the stall",
                offload[i].claim);
        is_near(r.transfer_ns[0], offload[i].taken, 1e-6, "%s: the computing",
                offload[i].claim);
        is_near(r.busy_ns[0], offload[i].step - offload[i].stall, 1e-6,
                "%s: nothing else waits", offload[i].claim);
        check_moves(&r, offload[i].moves, offload[i].claim);
        dawn_sim_result_clear(&r);
        dawn_schedule_destroy(s);
    }
}

static void test_bad_tier(void)
{
    struct dawn_schedule_opts opts = {
        .kind = "1f1b", .stages = 1, .microbatches = 1};
    struct dawn_schedule *s = make(&opts);
    struct dawn_sim_transfer x = {0, 1, 0, 0};
    struct dawn_sim_tier tier = {1e9, 0, 0, false, 0};
    struct dawn_sim_result r = {.ranks = 77};
    struct dawn_error err = {0};
    struct arrays a;

    spread(&(struct costs){1, 1, 1, 1, 1, 1, 1, 1, false}, &a);
    a.costs.transfer_first = (const int[]){0, 1};
    a.costs.transfer = &x;
    a.costs.tier = &tier;
    a.costs.tiers = 1;
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "a tier that cannot be written: %s", err.text);
    tier.write_bytes_per_s = 1;
    tier.compute_ns_per_byte = -1;
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "a tier that gives computing time: %s", err.text);
    tier.compute_ns_per_byte = 0;
    x.tier = 1;
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "a tier that is not there: %s", err.text);
    x = (struct dawn_sim_transfer){0, 1, NAN, 0};
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "a time that is no number: %s", err.text);
    is_int(r.ranks, 77, "the result is untouched");
    dawn_schedule_destroy(s);
}

static void test_stuck(void)
{
    static const struct dawn_action lower[] = {
        {DAWN_ACTION_F, 0, 0, -1},
        {DAWN_ACTION_BW, 0, 0, -1},
        {DAWN_ACTION_REDUCE, -1, 0, -1},
        {DAWN_ACTION_STEP, -1, 0, -1},
    };
    static const struct dawn_action upper[] = {
        {DAWN_ACTION_RECV_ACT, 0, 1, 0}, {DAWN_ACTION_F, 0, 1, -1},
        {DAWN_ACTION_BW, 0, 1, -1},      {DAWN_ACTION_REDUCE, -1, 1, -1},
        {DAWN_ACTION_STEP, -1, 1, -1},
    };
    const struct dawn_action *action[] = {lower, upper};
    struct dawn_schedule_opts opts = {.stages = 2, .microbatches = 1};
    struct dawn_sim_result r = {0};
    struct dawn_schedule *s = NULL;
    struct dawn_error err = {0};
    struct arrays a;

    spread(&(struct costs){1, 1, 1, 1, 1, 1, 1, 1, false}, &a);
    if (dawni_schedule_from_actions(&opts, action, (int[]){4, 5}, &s, NULL))
        abort();
    is_int(dawn_simulate(s, &a.costs, &r, &err), DAWN_E_INVAL,
           "a table without its sends does not end");
    is_str(err.text,
           "deadlock: rank 0 at action 1, BW(mb 0, stage 0); rank 1 at action "
           "1, F(mb 0, stage 1)",
           "and the text names what each rank is stuck at");
    dawn_schedule_destroy(s);
}

int main(void)
{
    plan_lazy();
    test_timelines();
    test_step();
    test_updates();
    test_itself();
    test_formula();
    test_refused();
    test_offload();
    test_bad_tier();
    test_stuck();
    return done_testing();
}
