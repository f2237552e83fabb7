/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of schedule tables: as pictures, as lists of actions, and what is in
 * flight.
 */
#include "schedule/schedule.h"
#include "tap.h"

#include <stdlib.h>

static struct dawn_schedule *make(const char *kind, int stages, int ranks,
                                  int microbatches)
{
    struct dawn_schedule_opts opts = {.kind = kind,
                                      .stages = stages,
                                      .ranks = ranks,
                                      .microbatches = microbatches};
    struct dawn_schedule *s = NULL;

    dawn_schedule_create(&opts, &s, NULL);
    return s;
}

/* Pictures */

static const struct {
    const char *kind;
    int stages, ranks, microbatches;
    const char *picture;
} picture[] = {
    {"gpipe", 3, 3, 4,
     "clock  rank 0    rank 1    rank 2\n"
     "    0  F0        .         .\n"
     "    1  F1        F0        .\n"
     "    2  F2        F1        F0\n"
     "    3  F3        F2        F1\n"
     "    4  .         F3        F2\n"
     "    5  .         .         F3\n"
     "    6  .         .         BW0\n"
     "    7  .         BW0       BW1\n"
     "    8  BW0       BW1       BW2\n"
     "    9  BW1       BW2       BW3\n"
     "   10  BW2       BW3       .\n"
     "   11  BW3       .         .\n"},
    {"1f1b", 3, 3, 4,
     "clock  rank 0    rank 1    rank 2\n"
     "    0  F0        .         .\n"
     "    1  F1        F0        .\n"
     "    2  F2        F1        F0\n"
     "    3  .         .         BW0\n"
     "    4  .         BW0       F1\n"
     "    5  BW0       F2        BW1\n"
     "    6  F3        BW1       F2\n"
     "    7  BW1       F3        BW2\n"
     "    8  .         BW2       F3\n"
     "    9  BW2       .         BW3\n"
     "   10  .         BW3       .\n"
     "   11  BW3       .         .\n"},
    {"1f1b", 2, 2, 3,
     "clock  rank 0    rank 1\n"
     "    0  F0        .\n"
     "    1  F1        F0\n"
     "    2  .         BW0\n"
     "    3  BW0       F1\n"
     "    4  F2        BW1\n"
     "    5  BW1       F2\n"
     "    6  .         BW2\n"
     "    7  BW2       .\n"},
    /* fewer microbatches than stages */
    {"1f1b", 4, 4, 2,
     "clock  rank 0    rank 1    rank 2    rank 3\n"
     "    0  F0        .         .         .\n"
     "    1  F1        F0        .         .\n"
     "    2  .         F1        F0        .\n"
     "    3  .         .         F1        F0\n"
     "    4  .         .         .         BW0\n"
     "    5  .         .         BW0       F1\n"
     "    6  .         BW0       .         BW1\n"
     "    7  BW0       .         BW1       .\n"
     "    8  .         BW1       .         .\n"
     "    9  BW1       .         .         .\n"},
    {"gpipe", 4, 4, 2,
     "clock  rank 0    rank 1    rank 2    rank 3\n"
     "    0  F0        .         .         .\n"
     "    1  F1        F0        .         .\n"
     "    2  .         F1        F0        .\n"
     "    3  .         .         F1        F0\n"
     "    4  .         .         .         F1\n"
     "    5  .         .         .         BW0\n"
     "    6  .         .         BW0       BW1\n"
     "    7  .         BW0       BW1       .\n"
     "    8  BW0       BW1       .         .\n"
     "    9  BW1       .         .         .\n"},
    {"1f1b", 1, 1, 3,
     "clock  rank 0\n"
     "    0  F0\n"
     "    1  BW0\n"
     "    2  F1\n"
     "    3  BW1\n"
     "    4  F2\n"
     "    5  BW2\n"},
    {"gpipe", 1, 1, 2,
     "clock  rank 0\n"
     "    0  F0\n"
     "    1  F1\n"
     "    2  BW0\n"
     "    3  BW1\n"},
    /* two stages a rank: microbatch and chunk */
    {"1f1b", 4, 2, 2,
     "clock  rank 0    rank 1\n"
     "    0  F0.0      .\n"
     "    1  F1.0      F0.0\n"
     "    2  F0.1      F1.0\n"
     "    3  F1.1      F0.1\n"
     "    4  .         BW0.1\n"
     "    5  BW0.1     F1.1\n"
     "    6  .         BW1.1\n"
     "    7  BW1.1     BW0.0\n"
     "    8  BW0.0     BW1.0\n"
     "    9  BW1.0     .\n"},
};

static void test_pictures(void)
{
    for (size_t i = 0; i < sizeof picture / sizeof picture[0]; i++) {
        struct dawn_schedule *s =
            make(picture[i].kind, picture[i].stages, picture[i].ranks,
                 picture[i].microbatches);
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        if (!s || !out)
            abort();
        dawn_schedule_print(s, out);
        fclose(out);
        is_str(text, picture[i].picture,
               "%s, %d stages on %d ranks, %d microbatches: the picture",
               picture[i].kind, picture[i].stages, picture[i].ranks,
               picture[i].microbatches);
        free(text);
        dawn_schedule_destroy(s);
    }
}

/* Lists */

static void print_rank(const struct dawn_schedule *s, int rank, FILE *out)
{
    int n = 0;
    const struct dawn_action *a = dawn_schedule_actions(s, rank, &n);

    for (int i = 0; i < n; i++) {
        char text[80];

        fprintf(out, "%s\n", dawni_action_text(&a[i], text, sizeof text));
    }
}

static void is_list(const struct dawn_schedule *s, int rank, const char *wanted,
                    const char *claim)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        abort();
    print_rank(s, rank, out);
    fclose(out);
    is_str(text, wanted, "%s", claim);
    free(text);
}

static void test_lists(void)
{
    struct dawn_schedule *s = make("1f1b", 2, 2, 3);

    if (!s)
        abort();
    is_list(s, 0,
            "F(mb 0, stage 0)\n"
            "RECV_GRAD(mb 0, stage 0 from 1)\n"
            "SEND_ACT(mb 0, stage 0 to 1)\n"
            "F(mb 1, stage 0)\n"
            "WAIT_ACT(mb 0, stage 0 to 1)\n"
            "SEND_ACT(mb 1, stage 0 to 1)\n"
            "BW(mb 0, stage 0)\n"
            "RECV_GRAD(mb 1, stage 0 from 1)\n"
            "F(mb 2, stage 0)\n"
            "RECV_GRAD(mb 2, stage 0 from 1)\n"
            "WAIT_ACT(mb 1, stage 0 to 1)\n"
            "SEND_ACT(mb 2, stage 0 to 1)\n"
            "BW(mb 1, stage 0)\n"
            "BW(mb 2, stage 0)\n"
            "WAIT_ACT(mb 2, stage 0 to 1)\n"
            "REDUCE(stage 0)\n"
            "STEP(stage 0)\n",
            "first of two stages: receives one computation ahead, waits when "
            "the edge sends again");
    is_list(s, 1,
            "RECV_ACT(mb 0, stage 1 from 0)\n"
            "F(mb 0, stage 1)\n"
            "RECV_ACT(mb 1, stage 1 from 0)\n"
            "BW(mb 0, stage 1)\n"
            "SEND_GRAD(mb 0, stage 1 to 0)\n"
            "F(mb 1, stage 1)\n"
            "RECV_ACT(mb 2, stage 1 from 0)\n"
            "BW(mb 1, stage 1)\n"
            "WAIT_GRAD(mb 0, stage 1 to 0)\n"
            "SEND_GRAD(mb 1, stage 1 to 0)\n"
            "F(mb 2, stage 1)\n"
            "BW(mb 2, stage 1)\n"
            "WAIT_GRAD(mb 1, stage 1 to 0)\n"
            "SEND_GRAD(mb 2, stage 1 to 0)\n"
            "WAIT_GRAD(mb 2, stage 1 to 0)\n"
            "REDUCE(stage 1)\n"
            "STEP(stage 1)\n",
            "last of two stages");
    dawn_schedule_destroy(s);
}

static void test_skip(void)
{
    static const struct dawn_edge edge[] = {{0, 3}, {2, 3}, {1, 2}, {0, 1}};
    struct dawn_schedule_opts opts = {
        .kind = "1f1b",
        .stages = 4,
        .microbatches = 4,
        .act_edge = edge,
        .act_edges = 4,
        .grad_edge = edge + 1, /* none on the skip */
        .grad_edges = 3,
    };
    struct dawn_schedule *s = NULL;
    struct dawn_error err = {0};

    if (!is_int(dawn_schedule_create(&opts, &s, &err), DAWN_OK,
                "edges in any order, a skip without gradients: %s", err.text))
        return;
    is_list(s, 0,
            "F(mb 0, stage 0)\n"
            "SEND_ACT(mb 0, stage 0 to 1)\n"
            "SEND_ACT(mb 0, stage 0 to 3)\n"
            "F(mb 1, stage 0)\n"
            "WAIT_ACT(mb 0, stage 0 to 1)\n"
            "WAIT_ACT(mb 0, stage 0 to 3)\n"
            "SEND_ACT(mb 1, stage 0 to 1)\n"
            "SEND_ACT(mb 1, stage 0 to 3)\n"
            "F(mb 2, stage 0)\n"
            "RECV_GRAD(mb 0, stage 0 from 1)\n"
            "WAIT_ACT(mb 1, stage 0 to 1)\n"
            "SEND_ACT(mb 2, stage 0 to 1)\n"
            "SEND_ACT(mb 2, stage 0 to 3)\n"
            "F(mb 3, stage 0)\n"
            "RECV_GRAD(mb 1, stage 0 from 1)\n"
            "WAIT_ACT(mb 2, stage 0 to 1)\n"
            "SEND_ACT(mb 3, stage 0 to 1)\n"
            "SEND_ACT(mb 3, stage 0 to 3)\n"
            "BW(mb 0, stage 0)\n"
            "RECV_GRAD(mb 2, stage 0 from 1)\n"
            "WAIT_ACT(mb 1, stage 0 to 3)\n"
            "WAIT_ACT(mb 2, stage 0 to 3)\n"
            "BW(mb 1, stage 0)\n"
            "RECV_GRAD(mb 3, stage 0 from 1)\n"
            "WAIT_ACT(mb 3, stage 0 to 1)\n"
            "WAIT_ACT(mb 3, stage 0 to 3)\n"
            "BW(mb 2, stage 0)\n"
            "BW(mb 3, stage 0)\n"
            "REDUCE(stage 0)\n"
            "STEP(stage 0)\n",
            "a skip's sends are waited for once the far stage has got there");
    is_int(dawn_schedule_check(s, &err), DAWN_OK, "and that is no deadlock");
    dawn_schedule_destroy(s);
}

/* What is in flight */

static void test_in_flight(void)
{
    int wrong = 0, cases = 0;

    for (int l = 1; l <= 8; l++)
        for (int m = 1; m <= 32; m++)
            for (int ranks = 1; ranks <= l; ranks++) {
                struct dawn_schedule *one = make("1f1b", l, ranks, m);
                struct dawn_schedule *all = make("gpipe", l, ranks, m);

                if (!one || !all)
                    abort();
                for (int s = 0; s < l; s++, cases++) {
                    int most = m < l - s ? m : l - s;

                    wrong += dawn_schedule_in_flight(one, s) != most;
                    wrong += dawn_schedule_in_flight(all, s) != m;
                }
                dawn_schedule_destroy(one);
                dawn_schedule_destroy(all);
            }
    is_int(wrong, 0, "%d stages: 1f1b has min(m, l - s) in flight, gpipe has m",
           cases);
}

/* Updates within the step */

static void test_updates(void)
{
    struct dawn_schedule *s = make("async-1f1b", 2, 2, 2);

    if (!s)
        abort();
    is_list(s, 1,
            "RECV_ACT(mb 0, stage 1 from 0)\n"
            "F(mb 0, stage 1)\n"
            "RECV_ACT(mb 1, stage 1 from 0)\n"
            "BW(mb 0, stage 1)\n"
            "SEND_GRAD(mb 0, stage 1 to 0)\n"
            "UPDATE(mb 0, stage 1)\n"
            "F(mb 1, stage 1)\n"
            "BW(mb 1, stage 1)\n"
            "WAIT_GRAD(mb 0, stage 1 to 0)\n"
            "SEND_GRAD(mb 1, stage 1 to 0)\n"
            "UPDATE(mb 1, stage 1)\n"
            "WAIT_GRAD(mb 1, stage 1 to 0)\n"
            "REDUCE(stage 1)\n"
            "STEP(stage 1)\n",
            "last of two stages: an update behind each backward, which is sent "
            "on first");
    dawn_schedule_destroy(s);
}

/* PipeDream: a stage with k in flight reads what it had k - 1 microbatches ago;
 * 2BW: one batch ago, on all stages. */
static void test_versions(void)
{
    int wrong = 0, cases = 0;

    for (int l = 1; l <= 8; l++)
        for (int m = 1; m <= 32; m++)
            for (int ranks = 1; ranks <= l; ranks++) {
                struct dawn_schedule *s = make("async-1f1b", l, ranks, m);
                if (!s)
                    abort();
                for (int x = 0; x < l; x++, cases++) {
                    int k = m < l - x ? m : l - x;
                    int full = m - k < k - 1 ? m - k : k - 1;
                    int most = m - 1 < k ? m - 1 : k;

                    for (int mb = 0; mb < m; mb++)
                        wrong += dawn_schedule_version(s, x, mb) !=
                                 (mb < k ? 0 : mb - k + 1);
                    wrong += dawni_schedule_versions_full(s, x) != full + 1;
                    wrong += m >= 2 * k && dawn_schedule_versions(s, x) != k;
                    wrong += dawn_schedule_versions(s, x) > most + 1;
                }
                dawn_schedule_destroy(s);
                if (m < l || !(s = make("async-2bw", l, ranks, m)))
                    continue;
                int g = dawn_schedule_update_every(s);
                for (int x = 0; x < l; x++, cases++) {
                    for (int mb = 0; mb < m; mb++)
                        wrong += dawn_schedule_version(s, x, mb) !=
                                 (mb < 2 * g ? 0 : mb / g - 1);
                    wrong += dawn_schedule_versions(s, x) != (m > g ? 2 : 1);
                }
                dawn_schedule_destroy(s);
            }
    is_int(wrong, 0,
           "%d stages: async-1f1b has min(m, l - s) versions, async-2bw two, "
           "and each microbatch the right one",
           cases);
}

/* Arguments */

static void test_arguments(void)
{
    static const struct dawn_edge twice[] = {{0, 1}, {0, 1}};
    static const struct dawn_edge back[] = {{1, 0}};
    static const struct dawn_edge out[] = {{0, 2}};
    static const struct {
        struct dawn_schedule_opts opts;
        const char *text;
    } table[] = {
        {{.kind = "zigzag", .stages = 2, .microbatches = 2},
         "unknown schedule 'zigzag'; there are gpipe 1f1b async-1f1b "
         "async-2bw"},
        {{.kind = NULL, .stages = 2, .microbatches = 2},
         "unknown schedule ''; there are gpipe 1f1b async-1f1b "
         "async-2bw"},
        {{.kind = "1f1b", .stages = 0, .microbatches = 2},
         "stages 0, must be >= 1"},
        {{.kind = "1f1b", .stages = 2, .microbatches = 0},
         "microbatches 0, must be >= 1"},
        {{.kind = "1f1b", .stages = 2, .microbatches = 2, .ranks = 3},
         "ranks 3, must be 1 to 2"},
        {{.kind = "1f1b", .stages = 2, .microbatches = 2, .ranks = -1},
         "ranks -1, must be 1 to 2"},
        {{.kind = "1f1b",
          .stages = 2,
          .microbatches = 2,
          .act_edge = twice,
          .act_edges = 2},
         "two edges between stages 0 and 1"},
        {{.kind = "1f1b",
          .stages = 2,
          .microbatches = 2,
          .act_edge = back,
          .act_edges = 1},
         "edge 0 from stage 1 to 0, must be upwards within 0 to 1"},
        {{.kind = "gpipe",
          .stages = 2,
          .microbatches = 2,
          .grad_edge = out,
          .grad_edges = 1},
         "edge 0 from stage 0 to 2, must be upwards within 0 to 1"},
        {{.kind = "gpipe",
          .stages = 2,
          .microbatches = 2,
          .grad_edge = out,
          .grad_edges = -1},
         "0 and -1 edges, must be >= 0"},
        {{.kind = "gpipe", .stages = 2, .microbatches = 4, .update_every = 2},
         "update_every 2, but gpipe updates once a step"},
        {{.kind = "async-1f1b",
          .stages = 2,
          .microbatches = 4,
          .update_every = 3},
         "update_every 3, must be 1 or more with async-1f1b on 2 stages, and "
         "divide the 4 microbatches"},
        {{.kind = "async-2bw",
          .stages = 3,
          .microbatches = 6,
          .update_every = 2},
         "update_every 2, must be 3 or more with async-2bw on 3 stages, and "
         "divide the 6 microbatches"},
        {{.kind = "async-2bw", .stages = 3, .microbatches = 2},
         "async-2bw on 3 stages updates after 3 microbatches or more, a step "
         "has 2"},
        {{.kind = "1f1b", .stages = 100000, .microbatches = 100000},
         "100000 stages and 100000 microbatches are more actions than an int "
         "counts"},
    };
    struct dawn_schedule *s = NULL;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct dawn_error err = {0};

        is_int(dawn_schedule_create(&table[i].opts, &s, &err), DAWN_E_INVAL,
               "refused: %s", table[i].text);
        is_str(err.text, table[i].text, "and the text says so");
    }
    ok(s == NULL, "nothing is made on failure");
    dawn_schedule_destroy(NULL);
}

static void test_accessors(void)
{
    struct dawn_schedule *s = make("1f1b", 4, 2, 3);
    int n = -1;

    if (!s)
        abort();
    is_int(dawn_schedule_stages(s), 4, "four stages");
    is_int(dawn_schedule_ranks(s), 2, "two ranks");
    is_int(dawn_schedule_microbatches(s), 3, "three microbatches");
    ok(!dawn_schedule_actions(s, 2, &n) && !dawn_schedule_actions(s, -1, &n),
       "no actions of a rank out of range");
    is_int(dawn_schedule_in_flight(s, 4), 0, "none in flight out of range");
    dawn_schedule_destroy(s);

    is_str(dawn_schedule_kind(0), "gpipe", "gpipe is a kind");
    is_str(dawn_schedule_kind(1), "1f1b", "1f1b is a kind");
    is_str(dawn_schedule_kind(2), "async-1f1b", "async-1f1b is a kind");
    is_str(dawn_schedule_kind(3), "async-2bw", "async-2bw is a kind");
    ok(!dawn_schedule_kind(4) && !dawn_schedule_kind(-1), "there is no other");

    s = make("gpipe", 3, 0, 2);
    if (!s)
        abort();
    is_int(dawn_schedule_ranks(s), 3, "ranks 0 means one for each stage");
    dawn_schedule_destroy(s);
}

int main(void)
{
    plan_lazy();
    test_pictures();
    test_lists();
    test_skip();
    test_in_flight();
    test_updates();
    test_versions();
    test_arguments();
    test_accessors();
    return done_testing();
}
