/* SPDX-License-Identifier: Apache-2.0 */
/* --compare: a row for each policy, or an object with --json. */
#include "report.h"
#include <inttypes.h>
#include <stdio.h>

/* Peaks of so many stages are shown one by one. */
#define STAGES_SHOWN 8

struct row { /* a policy */
    const char *policy;
    struct report r; /* plan NULL: nothing fits */
    struct dawn_planner_nofit nofit;
    struct dawn_error why;
};

/* Memory that ranks are given and do not use at their peaks; *caps_p: what they
 * are given in all, 0: there is no cap. */
static uint64_t idle_bytes(const struct report *r, uint64_t *caps_p)
{
    uint64_t idle = 0;

    *caps_p = 0;
    for (int rank = 0; rank < dawn_plan_info(r->plan)->ranks; rank++) {
        uint64_t cap = report_cap(r, rank);
        uint64_t peak = dawn_plan_stage(r->plan, rank)->predicted.peak_bytes;
        *caps_p += cap;
        idle += cap > peak ? cap - peak : 0;
    }
    return idle;
}

/* For people */

static void print_head(const struct program *p)
{
    printf("%-14s %6s %10s %10s %7s %18s %10s  %s\n", "policy", "batch", "step",
           "slowest", "above", "idle memory", "planned in",
           "peak of each stage");
    if (p->options.plan.objective == DAWN_OBJECTIVE_BOTTLENECK)
        printf("(above: percent above the bound on the slowest stage)\n");
}

static void print_peaks(const struct report *r)
{
    int stages = dawn_plan_info(r->plan)->stages;
    uint64_t least = UINT64_MAX, most = 0;

    for (int x = 0; x < stages; x++) {
        uint64_t peak = dawn_plan_stage(r->plan, x)->predicted.peak_bytes;
        least = peak < least ? peak : least;
        most = peak > most ? peak : most;
        if (stages <= STAGES_SHOWN)
            printf("%s%s", x ? ", " : "", SIZE(peak));
    }
    if (stages > STAGES_SHOWN)
        printf("%s to %s", SIZE(least), SIZE(most));
    printf("\n");
}

static void print_row(const struct row *row)
{
    const struct dawn_plan_info *info;
    char idle[40] = "-", above[40] = "-";
    uint64_t caps;

    if (!row->r.plan && row->nofit.works_bytes)
        printf(": needs %s%s, for stage %d\n",
               row->nofit.cut_off ? "at most " : "",
               SIZE(row->nofit.works_bytes), row->nofit.stage);
    else if (!row->r.plan)
        printf(row->nofit.cut_off ? "\n" : ", whatever the memory\n");
    if (!row->r.plan) {
        fflush(stdout); /* before what stderr says in the end */
        return;
    }
    info = dawn_plan_info(row->r.plan);
    uint64_t bytes = idle_bytes(&row->r, &caps);
    if (caps)
        snprintf(idle, sizeof idle, "%s (%.1f%%)", SIZE(bytes),
                 100 * (double)bytes / (double)caps);
    if (report_above(&row->r) >= 0)
        snprintf(above, sizeof above, "%.1f%%", report_above(&row->r));
    printf("%-14s %6lld %10s %10s %7s %18s %10s  ", row->policy,
           (long long)info->microbatch, TIME(info->step_ns),
           TIME(info->bottleneck_ns), above, idle, TIME(row->r.plan_ns));
    print_peaks(&row->r);
}

/* Begin the row of a policy that has no plan, and find the cap that it needs.
 */
static enum dawn_status begin_unfit(const struct program *p, struct row *row)
{
    struct dawn_error why;
    enum dawn_status st;

    if (!p->options.json) {
        printf("%-14s does not fit", row->policy);
        fflush(stdout);
    }
    st = find_cap(p, row->policy, &row->nofit, &why);
    if (st)
        row->why = why;
    return st;
}

/* As JSON */

static void json_peaks(const struct report *r)
{
    for (int x = 0; x < dawn_plan_info(r->plan)->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
        printf("%s{\"time_ns\": %.0f, \"recompute_ns\": %.0f, "
               "\"transfer_ns\": %.0f, "
               "\"peak_bytes\": %" PRIu64 ", \"arena_bytes\": %" PRIu64
               ", \"cap_bytes\": %" PRIu64 "}",
               x ? ",\n    " : "", report_stage_ns(s),
               s->predicted.recompute_ns, s->predicted.transfer_ns,
               s->predicted.peak_bytes, s->predicted.arena_bytes,
               report_cap(r, s->rank));
    }
}

static void json_row(const struct row *row)
{
    const struct report *r = &row->r;
    uint64_t caps, idle;

    printf(" {\"policy\": \"%s\",", row->policy);
    if (!r->plan) {
        printf(" ");
        report_json_nofit(&row->nofit, row->why.text);
        printf("}");
        return;
    }
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    idle = idle_bytes(r, &caps);
    printf(" \"feasible\": true, \"objective\": \"%s\",\n  \"step_ns\": %.0f, "
           "\"bottleneck_ns\": %.0f, \"bound_ns\": %.0f, "
           "\"above_bound\": ",
           report_objective_name(r), info->step_ns, info->bottleneck_ns,
           info->bound_ns);
    if (report_above(r) >= 0)
        printf("%.6f,\n", report_above(r) / 100);
    else
        printf("null,\n");
    printf("  \"microbatch\": %lld", (long long)info->microbatch);
    report_json_tokens(info);
    printf(", \"idle_bytes\": ");
    if (caps)
        printf("%" PRIu64 ", \"idle_share\": %.6f,\n", idle,
               (double)idle / (double)caps);
    else
        printf("null, \"idle_share\": null,\n");
    printf("  \"solve_ns\": %.0f, \"stages\": [\n    ", r->plan_ns);
    json_peaks(r);
    printf("]}");
}

/* Both */

static void print(const struct program *p, const struct row *row, bool first)
{
    if (!p->options.json) {
        print_row(row);
        return;
    }
    printf(first ? "[\n" : ",\n");
    json_row(row);
}

/* The larger microbatch, then the lesser objective: without --max-batch all
 * microbatches are the same. */
static bool is_better(const struct report *r, const struct report *best)
{
    int64_t samples = dawn_plan_info(r->plan)->microbatch;
    int64_t others = dawn_plan_info(best->plan)->microbatch;

    if (samples != others)
        return samples > others;
    return report_objective(r) < report_objective(best);
}

static void keep_better(struct report *best, const struct report *r)
{
    if (!r->plan)
        return;
    if (best->plan && !is_better(r, best)) {
        dawn_plan_destroy(r->plan);
        return;
    }
    dawn_plan_destroy(best->plan);
    *best = *r;
}

enum dawn_status compare(const struct program *p, struct report *best,
                         struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    struct row row;

    *best = (struct report){0};
    if (!p->options.json)
        print_head(p);
    for (int i = 0; !st && dawn_planner_policy(i); i++) {
        row = (struct row){.policy = dawn_planner_policy(i)};
        st = program_plan(p, row.policy, &row.r, &row.why);
        if (st == DAWN_E_NOFIT)
            st = begin_unfit(p, &row);
        if (st)
            break;
        print(p, &row, i == 0);
        keep_better(best, &row.r);
    }
    if (!st && p->options.json)
        printf("\n]\n");
    if (!st && best->plan)
        return DAWN_OK;
    dawn_plan_destroy(best->plan);
    best->plan = NULL;
    if (st)
        return dawn_fail(err, st, "%s", row.why.text);
    return dawn_fail(err, DAWN_E_NOFIT, "no policy has a plan that fits");
}
