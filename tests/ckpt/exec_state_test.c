/* SPDX-License-Identifier: Apache-2.0 */
/* An executor's whole state is saved and taken up again in one call each: by
 * other numbers of stages, with moments anywhere, to the same bits.
 */
#include "common/scratch.h"
#include "runtime/exec.h"
#include "runtime/rig.h"
#include "tap.h"

#include <dawnpiper/checkpoint.h>
#include <string.h>

enum { SAVED = 2 }; /* steps done then */

static enum dawn_status status[RIG_RANKS];
static struct dawn_error error[RIG_RANKS];
static uint64_t found[RIG_RANKS];
static const char *folder;

static void save(struct dawn_exec *e, int step)
{
    int rank = e->comm->rank;

    if (step == SAVED)
        status[rank] = dawn_exec_save(e, folder, SAVED, 1, &error[rank]);
}

/* As at first, and then as it was saved. */
static void load(struct dawn_exec *e, int step)
{
    int rank = e->comm->rank;

    if (step != SAVED)
        return;
    status[rank] = dawn_exec_init(e, &error[rank]);
    if (!status[rank])
        status[rank] = dawn_exec_load(e, folder, &found[rank], &error[rank]);
}

static void forget(struct dawn_exec *e, int step)
{
    int rank = e->comm->rank;

    if (step == SAVED)
        status[rank] = dawn_exec_init(e, &error[rank]);
}

static void run(struct rig_case *c, struct rig_result *r, const char *what)
{
    memset(status, 0, sizeof status);
    rig_run(c, r);
    for (int rank = 0; rank < c->stages; rank++)
        ok(!status[rank] && !r->status[rank], "%s, rank %d of %d: %s%s", what,
           rank, c->stages, error[rank].text, r->error[rank].text);
}

int main(void)
{
    static const struct {
        int stages, moments;
    } row[] = {{1, 0}, {3, 0}, {4, 1}, {2, 3}};
    struct rig_case c = {.model = rig_model(DAWN_BF16),
                         .schedule = "1f1b",
                         .stages = 2,
                         .microbatches = 4,
                         .clip = 1,
                         .before = save};
    struct rig_result wanted, r;

    plan_lazy();
    scratch_make();
    folder = scratch_path("saved");
    char kept[4096];
    snprintf(kept, sizeof kept, "%s", folder);
    folder = kept;
    run(&c, &wanted, "saved");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        c.stages = row[i].stages;
        c.moments = row[i].moments;
        c.before = load;
        run(&c, &r, "taken up");
        is_u64(found[0], SAVED, "with the number of steps done");
        ok(rig_same(&wanted, &r), "%d stages, moments %d: the same bits",
           c.stages, c.moments);
        c.before = forget;
        run(&c, &r, "begun anew");
        ok(!rig_same(&wanted, &r), "which it has not without");
    }
    folder = scratch_path("none");
    c.before = load;
    rig_run(&c, &r);
    is_int(status[0], DAWN_E_IO, "nothing to take up: %s", error[0].text);
    return done_testing();
}
