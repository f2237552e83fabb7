/* SPDX-License-Identifier: Apache-2.0 */
/* Prices are found by all that was decided, not by its hash alone. */
#include "planner/prices.h"
#include "tap.h"

#define CANDIDATES 9

static const struct dawni_priced_run run = {3, 7, 1, 2};

/* Ask for the run with candidate c decided so. */
static void ask(struct dawni_prices *p, int c, int decision)
{
    dawni_prices_ask(p, &run, CANDIDATES);
    dawni_prices_ask_with(p, c, decision);
}

static void add(struct dawni_prices *p, uint64_t peak)
{
    dawni_prices_add(p, &(struct dawni_known_price){.peak = peak});
}

static bool finds(const struct dawni_prices *p, uint64_t peak)
{
    const struct dawni_known_price *found = dawni_prices_find(p);

    return found && found->peak == peak;
}

static void test_decisions(struct dawni_prices *p)
{
    bool each = true, others = true;

    for (int c = 0; c < CANDIDATES; c++)
        for (int d = 1; d < 4; d++) {
            ask(p, c, d);
            each &= !dawni_prices_find(p);
            add(p, (uint64_t)(4 * c + d));
        }
    for (int c = 0; c < CANDIDATES; c++)
        for (int d = 1; d < 4; d++) {
            ask(p, c, 3 - d % 3);
            dawni_prices_ask_with(p, (c + 1) % CANDIDATES, 1);
            others &= !dawni_prices_find(p);
            dawni_prices_ask_with(p, (c + 1) % CANDIDATES, 0);
            dawni_prices_ask_with(p, c, d); /* another way to the same */
            each &= finds(p, (uint64_t)(4 * c + d));
        }
    ok(each, "each decision about each candidate has its own price");
    ok(others, "two decisions are not the one of them");
}

static void test_runs(struct dawni_prices *p)
{
    ask(p, 0, 1);
    add(p, 70);
    for (int i = 0; i < 4; i++) {
        struct dawni_priced_run other = run;
        *(int *[]){&other.first, &other.last, &other.x, &other.in_flight}[i] +=
            1;
        dawni_prices_ask(p, &other, CANDIDATES);
        dawni_prices_ask_with(p, 0, 1);
        ok(!dawni_prices_find(p), "number %d of a run counts", i);
    }
}

/* Give what is asked for now the hash of what was added last. */
static void test_collisions(struct dawni_prices *p)
{
    ask(p, 8, 2);
    add(p, 80);
    uint64_t hash = p->now.hash;
    ask(p, 8, 3);
    p->now.hash = hash;
    ok(!dawni_prices_find(p), "the same hash of another decision: not found");
    add(p, 81);
    ok(finds(p, 81), "what is added takes its place");
    ask(p, 8, 2);
    ok(!dawni_prices_find(p), "and what stood there is gone");
    dawni_prices_ask(p, &(struct dawni_priced_run){3, 8, 1, 2}, CANDIDATES);
    dawni_prices_ask_with(p, 8, 3);
    p->now.hash = hash;
    ok(!dawni_prices_find(p), "the same hash of another run: not found");
}

static void test_forgetting(struct dawni_prices *p)
{
    ask(p, 5, 1);
    add(p, 90);
    dawni_prices_forget(p);
    ok(!dawni_prices_find(p), "forgotten");
    add(p, 91);
    ok(finds(p, 91), "and learnt again");
    p->now.generation = UINT32_MAX;
    dawni_prices_forget(p);
    ok(p->now.generation == 1 && !dawni_prices_find(p),
       "forgotten also where generations begin anew");
}

int main(void)
{
    struct dawni_prices p = {0}, wide = {0};

    if (!dawni_prices_create(&p, CANDIDATES))
        return 1;
    test_decisions(&p);
    test_runs(&p);
    test_collisions(&p);
    test_forgetting(&p);
    ok(dawni_prices_create(&wide, 1 << 20) &&
           wide.room * wide.most_bytes <= (size_t)16 << 20,
       "a graph with many tensors takes no more memory");
    dawni_prices_destroy(&wide);
    dawni_prices_destroy(&p);
    dawni_prices_destroy(&p);
    return done_testing();
}
