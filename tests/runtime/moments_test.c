/* SPDX-License-Identifier: Apache-2.0 */
/* Moments that lie on a tier: the same bits whatever is away, memory as
 * predicted, nothing left under way where a step ends early.
 */
#include "rig.h"
#include "runtime/exec.h"
#include "tap.h"
#include "tier/tier.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const where[] = {"kept", "on disk", "in host memory",
                                    "some of each", "every second on disk"};

static struct rig_case base(void)
{
    return (struct rig_case){.model = rig_model(DAWN_BF16),
                             .schedule = "1f1b",
                             .stages = 1,
                             .microbatches = 4,
                             .clip = 1};
}

static void compare(const struct rig_case *c, const struct rig_result *wanted,
                    const char *what)
{
    struct rig_result r;
    int ranks = c->ranks ? c->ranks : c->stages;

    rig_run(c, &r);
    if (!ok(rig_same(wanted, &r),
            "%s, %d stages on %d ranks, moments %s: "
            "same bits",
            what, c->stages, ranks, where[c->moments]))
        diag("status %d %s, loss %a, not %a", r.status[0], r.error[0].text,
             r.loss[0], wanted->loss[0]);
    for (int i = 0; i < ranks; i++)
        is_u64(r.peak[i], r.predicted[i], "rank %d: peak as predicted", i);
}

/* The embedding is tied to the head, on the first stage and the last. */
static void test_same_bits(void)
{
    struct rig_case c = base();
    struct rig_result wanted;

    rig_run(&c, &wanted);
    is_int(wanted.status[0], DAWN_OK, "all is kept: %s", wanted.error[0].text);
    for (c.stages = 1; c.stages <= 4; c.stages++)
        for (c.moments = 0; c.moments < 5; c.moments++) {
            compare(&c, &wanted, "nothing else away");
            c.recompute = 5;
            compare(&c, &wanted, "something of everything");
            c.recompute = 0;
        }
    c.stages = 5;
    c.ranks = 2;
    for (c.moments = 1; c.moments < 5; c.moments++)
        compare(&c, &wanted, "chunks");
}

/* More than a piece: 9000 words of 64 numbers are 1.1 pieces. */
static void test_pieces(void)
{
    struct rig_case c = base();
    struct rig_result kept, r;
    uint64_t embedding = UINT64_C(9000) * 64;

    c.model.vocab = 9000;
    c.model.hidden = 64;
    c.microbatches = 2;
    rig_run(&c, &kept);
    ok(embedding > DAWN_EXEC_MOMENTS, "an embedding of more than a piece");
    for (c.moments = 1; c.moments < 3; c.moments++) {
        compare(&c, &kept, "in pieces");
        c.stages = 2;
        compare(&c, &kept, "in pieces");
        c.stages = 1;
    }
    c.moments = 1;
    rig_run(&c, &r);
    ok(r.kept[0] + 8 * embedding <= kept.kept[0],
       "%llu bytes are kept, not %llu", (unsigned long long)r.kept[0],
       (unsigned long long)kept.kept[0]);
}

static void spoil(struct dawn_exec *exec, int step)
{
    for (int i = 0; step == 2 && i < dawn_exec_params(exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(exec, i);
        if (strcmp(p->name, "h.1.ln_1.weight") == 0)
            p->value[0] = NAN;
    }
}

static void at_rest(struct dawn_exec *e)
{
    int under_way = 0;
    for (int d = 0; d < DAWN_DECISIONS; d++)
        if (e->tier[d])
            under_way += e->tier[d]->under_way;
    if (under_way)
        abort();
}

/* What was read ahead is thrown away, and the next step reads it again. */
static void test_early_end(void)
{
    struct rig_case c = base();
    struct rig_result kept, r;

    c.stages = 3;
    c.before = spoil;
    c.after = at_rest;
    rig_run(&c, &kept);
    c.moments = 3;
    rig_run(&c, &r);
    ok(r.nonfinite[2] && r.nonfinite[3], "a NaN ends two steps early");
    is_str(r.bad_node[2], "block1.ln1", "its node is named");
    is_u64(r.params_hash, kept.params_hash,
           "parameters and moments are those "
           "of the steps before");
    for (int i = 0; i < 3; i++)
        is_int(r.status[i], DAWN_OK, "rank %d: %s", i, r.error[i].text);
}

/* Moments are set in parts and read back. */
static void set_some(struct dawn_exec *e, int step)
{
    float m[7], v[7], got[7];

    for (int i = 0; step == 1 && i < dawn_exec_params(e); i++) {
        int id = dawn_exec_param(e, i)->param;
        for (int k = 0; k < 7; k++) {
            m[k] = (float)(id + k);
            v[k] = (float)(id * k) + 1;
        }
        if (dawn_exec_moments_set(e, i, 3, 7, m, v, NULL) ||
            dawn_exec_moments_get(e, i, 3, 7, NULL, got, NULL) ||
            memcmp(got, v, sizeof v) ||
            dawn_exec_moments_get(e, i, 3, 7, got, NULL, NULL) ||
            memcmp(got, m, sizeof m))
            abort();
    }
}

static void test_set(void)
{
    struct rig_case c = base();
    struct rig_result kept, other;

    rig_run(&c, &other);
    c.before = set_some;
    rig_run(&c, &kept);
    ok(!rig_same(&other, &kept), "moments that are set make another step");
    c.stages = 3;
    for (c.moments = 1; c.moments < 5; c.moments++)
        compare(&c, &kept, "set");
}

static void bad_ranges(struct dawn_exec *e)
{
    struct dawn_error err = {0};
    float x[2];
    int64_t n = dawn_exec_param(e, 0)->elements;

    is_int(dawn_exec_moments_get(e, 0, n - 1, 2, x, x, &err), DAWN_E_INVAL,
           "beyond the end: %s", err.text);
    is_int(dawn_exec_moments_get(e, 0, -1, 2, x, x, &err), DAWN_E_INVAL,
           "before the beginning: %s", err.text);
    is_int(dawn_exec_moments_set(e, dawn_exec_params(e), 0, 1, x, x, &err),
           DAWN_E_INVAL, "no such parameter: %s", err.text);
    is_int(dawn_exec_moments_set(e, 0, n, 0, x, x, &err), DAWN_OK,
           "none at the end");
}

static void test_bad(void)
{
    struct rig_case c = base();
    struct rig_result r;

    c.moments = 1;
    c.after = bad_ranges;
    rig_run(&c, &r);
    c.after = NULL;
    c.stages = 2;
    c.offload_dir = "/nonexistent";
    rig_run(&c, &r);
    for (int i = 0; i < 2; i++)
        ok(r.status[i] == DAWN_E_IO && strstr(r.error[i].text, "/nonexistent"),
           "rank %d: no disk: %s", i, r.error[i].text);
}

/* A byte of the tier changes behind the executor's back. */
static void damage(struct dawn_exec *e, int step)
{
    float m[1], v[1];
    struct dawni_io *io = &e->io[e->piece[0].write];
    struct dawn_error err;
    enum dawn_status st;

    if (step != 1 || dawn_exec_moments_get(e, 0, 0, 1, m, v, NULL))
        return;
    io->data[5] = (char)(io->data[5] ^ 1);
    dawni_tier_start(e->tier[e->program->instr[e->piece[0].write].peer], io);
    while (!dawni_tier_test(e->tier[e->program->instr[e->piece[0].write].peer],
                            io, &st, &err))
        ;
}

static void test_damage(void)
{
    struct rig_case c = base();
    struct rig_result r;

    c.stages = 3;
    c.before = damage;
    for (c.moments = 1; c.moments < 3; c.moments++) {
        rig_run(&c, &r);
        for (int i = 0; i < 3; i++)
            ok(r.status[i] == DAWN_E_IO && strstr(r.error[i].text, "moments"),
               "%s, rank %d: %s", where[c.moments], i, r.error[i].text);
    }
}

int main(void)
{
    plan_lazy();
    test_same_bits();
    test_pieces();
    test_early_end();
    test_set();
    test_bad();
    test_damage();
    return done_testing();
}
