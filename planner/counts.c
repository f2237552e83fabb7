/* SPDX-License-Identifier: Apache-2.0 */
/* How many stages are best: --stages 1..N, and a word where fewer than N are.
 */
#include "report.h"
#include <stdio.h>
#include <stdlib.h>

/* Fewer stages are tried where so many percent of the bound are lost, and nodes
 * times stages are no more. */
#define POOR 50
#define MOST_TRIED 5000

static enum dawn_status plan_count(const struct program *p, int stages,
                                   struct report *r, struct dawn_error *err)
{
    struct program one = *p;

    one.options.plan.stages = stages;
    enum dawn_status st = program_plan(&one, p->options.plan.policy, r, err);
    r->options = &p->options;
    return st;
}

/* Keep the plan if it is better than the best; else forget it. */
static void keep(struct report *best, const struct report *r)
{
    bool better = !best->plan || report_objective(r) < report_objective(best);
    double plan_ns = best->plan_ns + r->plan_ns;

    dawn_plan_destroy(better ? best->plan : r->plan);
    if (better)
        *best = *r;
    best->plan_ns = plan_ns;
}

/* objective_ns: by count, from 1; below 0: nothing fits */
static void tell_counts(const struct report *best, const double *objective_ns)
{
    int most = best->options->most_stages, count = 1;

    while (!(objective_ns[count] >= 0 &&
             objective_ns[count] <= report_objective(best)))
        count++;
    fprintf(stderr, "dawn-plan: of 1..%d stages %d %s best: %s %s;", most,
            count, count > 1 ? "are" : "is", report_objective_name(best),
            TIME(report_objective(best)));
    for (int i = 1; i <= most; i++)
        if (i != count)
            fprintf(stderr, " %d: %s%s", i,
                    objective_ns[i] < 0 ? "does not fit"
                                        : TIME(objective_ns[i]),
                    i == most || (i == most - 1 && count == most) ? "" : ",");
    fprintf(stderr, "\n");
}

enum dawn_status plan_counts(const struct program *p, struct report *best,
                             struct dawn_error *err)
{
    int most = p->options.most_stages;
    double *objective_ns = calloc((size_t)most + 1, sizeof *objective_ns);
    enum dawn_status st = DAWN_OK;

    *best = (struct report){0};
    if (!objective_ns)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d counts", most);
    for (int i = 1; i <= most && !st; i++) {
        struct report r;
        st = plan_count(p, i, &r, err);
        objective_ns[i] = st ? -1 : report_objective(&r);
        if (!st)
            keep(best, &r);
        else if (st == DAWN_E_NOFIT)
            st = DAWN_OK;
    }
    if (!st && best->plan && most > 1)
        tell_counts(best, objective_ns);
    free(objective_ns);
    if (!st && best->plan)
        return DAWN_OK;
    dawn_plan_destroy(best->plan);
    best->plan = NULL;
    return st ? st : DAWN_E_NOFIT; /* the text is that of the last count */
}

void tell_fewer(const struct program *p, const struct report *r)
{
    const struct dawn_planner_opts *o = &p->options.plan;
    int used = dawn_plan_info(r->plan)->stages, best = 0;
    int nodes = dawn_graph_nodes(dawn_profile_graph(p->profile));
    double least_ns = report_objective(r);

    if (used < o->stages)
        fprintf(stderr,
                "dawn-plan: the plan uses %d of the %d stages: no plan with "
                "more was found that is better\n",
                used, o->stages);
    if (used < o->stages || report_above(r) < POOR ||
        (int64_t)nodes * o->stages > MOST_TRIED)
        return;
    for (int l = o->stages / 2; l > 0; l /= 2) {
        struct dawn_error err;
        struct report fewer;
        if (plan_count(p, l, &fewer, &err))
            break;
        bool better = report_objective(&fewer) < least_ns;
        if (better) {
            best = l;
            least_ns = report_objective(&fewer);
        }
        dawn_plan_destroy(fewer.plan);
        if (!better)
            break;
    }
    if (best)
        fprintf(stderr,
                "dawn-plan: %d stage%s would take %s, these %d take %s: "
                "--stages 1..%d plans with the best count\n",
                best, best > 1 ? "s" : "", TIME(least_ns), o->stages,
                TIME(report_objective(r)), o->stages);
}
