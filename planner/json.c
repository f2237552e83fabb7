/* SPDX-License-Identifier: Apache-2.0 */
/* --json. Names of nodes and tensors need no escapes: [A-Za-z0-9_.-]+. */
#include "report.h"
#include <inttypes.h>
#include <stdio.h>

static void print_categories(const struct dawn_plan_stage *s)
{
    static const char *const name[] = {
#define NAME(name, text) text,
        DAWN_CATEGORY_MAP(NAME)
#undef NAME
    };

    for (int c = 0; c < DAWN_CATEGORIES; c++)
        printf("%s\"%s\": %" PRIu64, c ? ", " : "", name[c],
               s->predicted.by[c]);
}

static void print_recomputed(const struct report *r, int x)
{
    const struct dawn_graph *g = dawn_profile_graph(r->profile);
    const char *comma = "";

    for (int t = 0; t < dawn_graph_tensors(g); t++) {
        if (dawn_plan_decision(r->plan, x, t) != DAWN_RECOMPUTE)
            continue;
        printf("%s\"%s\"", comma, dawn_graph_tensor(g, t)->name);
        comma = ", ";
    }
}

static void print_stage(const struct report *r, int x)
{
    const struct dawn_graph *g = dawn_plan_graph(r->plan);
    const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);

    printf("    {\"rank\": %d, \"nodes\": [\"%s\", \"%s\"],\n", s->rank,
           dawn_graph_node(g, s->first)->name,
           dawn_graph_node(g, s->last)->name);
    printf("     \"f_ns\": %.0f, \"b_ns\": %.0f, \"w_ns\": %.0f, "
           "\"recompute_ns\": %.0f, \"step_ns\": %.0f,\n",
           s->predicted.f_ns, s->predicted.b_ns, s->predicted.w_ns,
           s->predicted.recompute_ns, s->predicted.step_ns);
    printf("     \"peak_bytes\": %" PRIu64 ", \"arena_bytes\": %" PRIu64
           ", \"cap_bytes\": %" PRIu64 ",\n     \"by\": {",
           s->predicted.peak_bytes, s->predicted.arena_bytes,
           report_cap(r, s->rank));
    print_categories(s);
    printf("},\n     \"recompute\": [");
    print_recomputed(r, x);
    printf("]}");
}

void report_json(const struct report *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    int l = info->stages, m = info->microbatches;

    printf("{\n  \"policy\": \"%s\", \"schedule\": \"%s\",\n", info->policy,
           info->schedule);
    printf("  \"stages\": %d, \"microbatches\": %d, \"microbatch\": %lld,\n", l,
           m, (long long)info->microbatch);
    printf("  \"objective\": \"%s\", \"step_ns\": %.0f, "
           "\"bottleneck_ns\": %.0f, \"bound_ns\": %.0f, "
           "\"tokens_per_s\": %.1f,\n",
           report_objective_name(r), info->step_ns, info->bottleneck_ns,
           info->bound_ns, info->tokens_per_s);
    printf("  \"bubble_of_step\": %.6f, \"bubble_over_ideal\": %.6f, "
           "\"idle_simulated\": %.6f,\n",
           (l - 1.0) / (m + l - 1), (l - 1.0) / m, report_idle(r));
    if (info->size_low)
        printf("  \"size_low\": %lld, \"size_high\": %lld,\n",
               (long long)info->size_low, (long long)info->size_high);
    printf("  \"plan_ns\": %.0f,\n  \"stage\": [\n", r->plan_ns);
    for (int x = 0; x < l; x++) {
        print_stage(r, x);
        printf(x < l - 1 ? ",\n" : "\n");
    }
    printf("  ]\n}\n");
}
