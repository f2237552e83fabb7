/* SPDX-License-Identifier: Apache-2.0 */
/* The table of predicted memory, before the first step. */
#include "train.h"

#define RANKS_SHOWN 16

static const char *const category[] = {
#define NAME(id, text) text,
    DAWN_CATEGORY_MAP(NAME)
#undef NAME
};

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

const struct dawn_plan_stage *train_prediction(const struct trainer *t,
                                               int rank)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);

    for (int s = 0; s < info->stages && !dawn_plan_edited(t->plan); s++) {
        const struct dawn_plan_stage *stage = dawn_plan_stage(t->plan, s);
        if (stage->rank == rank && stage->predicted.peak_bytes)
            return stage;
    }
    return NULL;
}

static bool same(const struct dawn_memory *m, const struct dawn_plan_stage *s)
{
    bool equal = m->peak_bytes == s->predicted.peak_bytes;

    for (int c = 0; c < DAWN_CATEGORIES; c++)
        equal &= m->by[c] == s->predicted.by[c];
    return equal;
}

static void warn(const struct trainer *t, int rank)
{
    const struct dawn_plan_stage *s = train_prediction(t, rank);
    const struct dawn_memory *m = dawn_exec_memory(t->exec, rank);

    if (!s || same(m, s))
        return;
    fprintf(stderr,
            "dawn-train: warning: the plan predicts a peak of %llu bytes on "
            "rank %d, the kernels here need %llu: %s\n",
            (unsigned long long)s->predicted.peak_bytes, rank,
            (unsigned long long)m->peak_bytes,
            dawn_plan_info(t->plan)->size_low
                ? "its microbatch was not profiled"
                : "its profile is from another machine, or of other threads, "
                  "or the plan was edited");
}

void train_print_memory(const struct trainer *t, FILE *out)
{
    int ranks = dawn_plan_info(t->plan)->ranks;
    int shown = ranks < RANKS_SHOWN ? ranks : RANKS_SHOWN;

    fprintf(out, "%-10s", "MiB");
    for (int r = 0; r < shown; r++)
        fprintf(out, " %5s%4d", "rank", r);
    for (int c = 0; c < DAWN_CATEGORIES; c++) {
        if (c == DAWN_CATEGORY_PASSES && !*train_passes(t))
            continue;
        fprintf(out, "\n%-10s", category[c]);
        for (int r = 0; r < shown; r++)
            fprintf(out, " %9.2f", mib(dawn_exec_memory(t->exec, r)->by[c]));
    }
    fprintf(out, "\n%-10s", "peak");
    for (int r = 0; r < shown; r++)
        fprintf(out, " %9.2f", mib(dawn_exec_memory(t->exec, r)->peak_bytes));
    fprintf(out, "\n%-10s", "arena");
    for (int r = 0; r < shown; r++)
        fprintf(out, " %9.2f", mib(dawn_exec_memory(t->exec, r)->arena_bytes));
    fprintf(out, "\n%-10s", "plan says");
    for (int r = 0; r < shown; r++) {
        const struct dawn_plan_stage *s = train_prediction(t, r);
        if (s)
            fprintf(out, " %9.2f", mib(s->predicted.peak_bytes));
        else
            fprintf(out, " %9s", "-");
    }
    fputc('\n', out);
    fflush(out);
    if (dawn_plan_edited(t->plan))
        fprintf(stderr,
                "dawn-train: warning: %s was edited after it was priced, so "
                "nothing is predicted; 'dawn-plan --check %s PROFILE -o %s' "
                "prices it again\n",
                t->options.plan, t->options.plan, t->options.plan);
    for (int r = 0; r < ranks; r++)
        warn(t, r);
}
