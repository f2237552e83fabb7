/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of staging: what is moved where, as a text per step, and what must hold
 * of any tensors under any schedule.
 */
#include "schedule/staging.h"
#include "common/random.h"
#include "schedule/schedule.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS 26

struct log {
    char text[4000];
    size_t used;
};

static void say(struct log *log, const char *format, char what, int mb)
{
    log->used += (size_t)snprintf(
        log->text + log->used, sizeof log->text - log->used, format, what, mb);
}

/* "a0": the write of item a of microbatch 0 begins; "a0.": it is waited for;
 * "A0", "A0.": the read likewise. */
static void log_move(void *arg, enum dawni_move what,
                     const struct dawni_moved *m)
{
    bool read = what == DAWNI_READ || what == DAWNI_ARRIVED;
    bool wait = what == DAWNI_WRITTEN || what == DAWNI_ARRIVED;

    say(arg, wait ? " %c%d." : " %c%d", (char)((read ? 'A' : 'a') + m->item),
        m->microbatch);
}

/* Take a rank's computations through staging. */
static void walk(struct dawni_staging *s, const struct dawni_staging_set *set,
                 const struct dawn_action *action, int n, struct log *log)
{
    for (int i = 0; i < n; i++) {
        const struct dawn_action *a = &action[i];

        if (!dawni_is_compute(a->kind))
            continue;
        if (log)
            say(log, a->kind == DAWN_ACTION_F ? "%cF%d" : "%cB%d",
                log->used ? '\n' : ' ', a->microbatch);
        dawni_staging_begin(s, a, dawni_staging_next(action, n, i));
        for (int k = 0; k < set[a->stage].n; k++)
            if (a->kind == DAWN_ACTION_F)
                dawni_staging_made(s, k);
            else
                dawni_staging_need(s, set[a->stage].order[k]);
        dawni_staging_end(s);
    }
}

static struct dawn_schedule *schedule_of(const char *kind, int stages,
                                         int ranks, int microbatches)
{
    struct dawn_schedule_opts opts = {.kind = kind,
                                      .stages = stages,
                                      .ranks = ranks,
                                      .microbatches = microbatches};
    struct dawn_schedule *s = NULL;

    if (dawn_schedule_create(&opts, &s, NULL))
        abort();
    return s;
}

/* By hand. Stage 0 offloads a of 4 bytes, b of 2 and c of 4; BW needs c, b and
 * a. Both windows are of 8 bytes: a and b, or b and c, fit, but not all three.
 */
static const struct {
    const char *claim, *kind;
    int stages, microbatches;
    const char *text;
} pictures[] = {
    /* b and c are being written when B0 begins; a is gone */
    {"BW behind its F: what is being written stays", "1f1b", 1, 2,
     " F0 a0 b0 a0. c0\n"
     "B0 A0 A0. b0. c0.\n"
     "F1 a1 b1 a1. c1\n"
     "B1 A1 A1. b1. c1."},
    /* reads go on from B1 into B2, whose F is long over */
    {"three in flight: reads begin a computation ahead", "1f1b", 3, 4,
     " F0 a0 b0 a0. c0\n"
     "F1 b0. a1 c0. b1 a1. c1\n"
     "F2 C0 B0 b1. a2 c1. b2 a2. c2\n"
     "B0 C0. A0 B0. A0. b2. c2.\n"
     "F3 C1 B1 a3 b3 a3. c3\n"
     "B1 C1. A1 B1. C2 A1. B2 b3. c3.\n"
     "B2 C2. A2 B2. C3 A2. B3\n"
     "B3 C3. A3 B3. A3."},
};

static void test_pictures(void)
{
    static const uint64_t bytes[] = {4, 2, 4};
    static const int order[] = {2, 1, 0};

    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        struct dawn_schedule *schedule = schedule_of(
            pictures[i].kind, pictures[i].stages, 0, pictures[i].microbatches);
        struct dawni_staging_set set[8] = {{3, bytes, order}};
        struct log log = {.used = 0};
        struct dawni_staging_opts opts = {
            .stages = pictures[i].stages,
            .ranks = pictures[i].stages,
            .microbatches = pictures[i].microbatches,
            .set = set,
            .move = log_move,
            .arg = &log,
        };
        struct dawni_staging *s = NULL;
        int n;
        const struct dawn_action *action =
            dawn_schedule_actions(schedule, 0, &n);

        if (dawni_staging_create(&opts, &s, NULL))
            abort();
        walk(s, set, action, n, &log);
        is_str(log.text, pictures[i].text, "%s", pictures[i].claim);
        dawni_staging_destroy(s);
        dawn_schedule_destroy(schedule);
    }
}

/* What must hold of all */

struct watch {
    const struct dawni_staging_set *set; /* by stage */
    uint64_t window, writing, reading;
    int now; /* number of the computation */
    struct {
        int write, written, read, arrived; /* when; 0: not yet */
    } seen[ITEMS * 8 * 4];
    int wrong;
};

static void watch_move(void *arg, enum dawni_move what,
                       const struct dawni_moved *m)
{
    struct watch *w = arg;
    uint64_t bytes = w->set[m->stage].bytes[m->item];
    int *at[] = {&w->seen[m->index].write, &w->seen[m->index].written,
                 &w->seen[m->index].read, &w->seen[m->index].arrived};

    w->wrong += *at[what] != 0; /* twice */
    *at[what] = w->now;
    if (what == DAWNI_WRITE)
        w->writing += bytes;
    else if (what == DAWNI_WRITTEN)
        w->writing -= bytes;
    else if (what == DAWNI_READ)
        w->reading += bytes;
    else
        w->reading -= bytes;
    w->wrong += w->writing > w->window || w->reading > w->window;
    w->wrong += what == DAWNI_WRITTEN && (!*at[0] || w->now - *at[0] > 1);
    w->wrong += what == DAWNI_READ && !*at[1];
    w->wrong += what == DAWNI_ARRIVED && (!*at[2] || w->now - *at[2] > 1);
}

static void check_rank(struct dawn_schedule *schedule, int rank,
                       const struct dawni_staging_set *set, struct watch *w)
{
    struct dawni_staging_opts opts = {
        .stages = dawn_schedule_stages(schedule),
        .ranks = dawn_schedule_ranks(schedule),
        .rank = rank,
        .microbatches = dawn_schedule_microbatches(schedule),
        .set = set,
        .move = watch_move,
        .arg = w,
    };
    struct dawni_staging *s = NULL;
    const struct dawn_action *action;
    int n;

    action = dawn_schedule_actions(schedule, rank, &n);
    if (dawni_staging_create(&opts, &s, NULL))
        abort();
    for (int i = 0; i < n; i++) {
        const struct dawn_action *a = &action[i];

        if (!dawni_is_compute(a->kind))
            continue;
        w->now++;
        dawni_staging_begin(s, a, dawni_staging_next(action, n, i));
        for (int k = 0; k < set[a->stage].n; k++)
            if (a->kind == DAWN_ACTION_F) {
                dawni_staging_made(s, k);
            } else {
                int item = set[a->stage].order[k];
                int at = dawni_staging_index(s, a->stage, a->microbatch, item);

                dawni_staging_need(s, item);
                w->wrong += !w->seen[at].write ||
                            (w->seen[at].read && !w->seen[at].arrived) ||
                            (!w->seen[at].read && w->seen[at].written &&
                             w->seen[at].written < w->now - 1);
            }
        dawni_staging_end(s);
    }
    for (int i = 0; i < dawni_staging_indices(s); i++)
        w->wrong +=
            !w->seen[i].written || !w->seen[i].read != !w->seen[i].arrived;
    w->wrong += w->writing || w->reading;
    dawni_staging_destroy(s);
}

static void test_any(void)
{
    static struct watch w;
    uint64_t bytes[4][ITEMS];
    int order[4][ITEMS] = {0}, cases = 0, wrong = 0, stayed = 0;

    for (uint64_t seed = 0; seed < 200; seed++) {
        struct dawni_staging_set set[4];
        int stages = 1 + (int)(seed % 4), ranks = seed % 3 ? stages : 1;
        int m = 1 + (int)(seed / 4 % 8);
        struct dawn_schedule *schedule =
            schedule_of(seed / 32 % 2 ? "gpipe" : "1f1b", stages, ranks, m);
        uint64_t largest[4] = {0};

        for (int x = 0; x < stages; x++) {
            int n = (int)(dawni_philox(seed, 1, (uint64_t)x).v[0] % 9);
            set[x] = (struct dawni_staging_set){n, bytes[x], order[x]};
            for (int i = 0; i < n; i++) {
                uint32_t r =
                    dawni_philox(seed, 2, (uint64_t)(x * 100 + i)).v[0];
                int at = (int)(r / 64) % (i + 1);
                bytes[x][i] = 1 + r % 64;
                if (bytes[x][i] > largest[x % ranks])
                    largest[x % ranks] = bytes[x][i];
                order[x][i] = order[x][at];
                order[x][at] = i;
            }
        }
        for (int rank = 0; rank < ranks; rank++, cases++) {
            w = (struct watch){.set = set, .window = 2 * largest[rank]};
            check_rank(schedule, rank, set, &w);
            wrong += w.wrong;
            for (int i = 0; i < ITEMS * 32; i++)
                stayed += w.seen[i].write && !w.seen[i].read;
        }
        dawn_schedule_destroy(schedule);
    }
    is_int(wrong, 0,
           "%d ranks: all is written once, read at most once and there when "
           "needed, within the windows and a computation",
           cases);
    ok(stayed > 100, "%d tensors were needed before they were written", stayed);
}

int main(void)
{
    plan_lazy();
    test_pictures();
    test_any();
    return done_testing();
}
