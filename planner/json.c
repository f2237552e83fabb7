/* SPDX-License-Identifier: Apache-2.0 */
/* --json. Names of nodes and tensors need no escapes: [A-Za-z0-9_.-]+. */
#include "report.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* Ids of Piper's files are numbers. */
static void print_name(const struct report *r, const char *name)
{
    const char *format = r->options->import;
    bool number = format && strcmp(format, "piper") == 0;

    printf(number ? "%s" : "\"%s\"", name);
}

static void print_nodes(const struct report *r, int x)
{
    const struct dawn_graph *g = dawn_plan_graph(r->plan);
    const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);

    for (int i = s->first; i <= s->last; i++) {
        printf(i > s->first ? ", " : "");
        print_name(r, dawn_graph_node(g, i)->name);
    }
}

/* Tensors with a decision from `from` to `to`. */
static void print_decided(const struct report *r, int x,
                          enum dawn_decision from, enum dawn_decision to)
{
    const struct dawn_graph *g = dawn_plan_graph(r->plan);
    const char *comma = "";

    for (int t = 0; t < dawn_graph_tensors(g); t++) {
        enum dawn_decision d = dawn_plan_decision(r->plan, x, t);
        if (d < from || d > to)
            continue;
        printf("%s", comma);
        print_name(r, dawn_graph_tensor(g, t)->name);
        comma = ", ";
    }
}

/* Parameters of the stage whose moments are offloaded. */
static void print_optimizer(const struct report *r, int x)
{
    const struct dawn_graph *g = dawn_plan_graph(r->plan);
    const char *comma = "";

    for (int i = 0; i < dawn_graph_params(g); i++) {
        if (dawn_plan_optimizer(r->plan, i) == DAWN_KEEP ||
            dawn_plan_owner(r->plan, i) != x ||
            !dawn_plan_moment_bytes(r->plan, i))
            continue;
        printf("%s", comma);
        print_name(r, dawn_graph_param(g, i)->name);
        comma = ", ";
    }
}

static void print_text(const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text >= ' ')
            putchar(*text);
}

static void print_stage(const struct report *r, int x)
{
    const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
    const char *device = dawn_plan_device(r->plan, s->rank);

    printf("    {\"rank\": %d, \"replicas\": %d, ", s->rank,
           report_replicas(r, x));
    if (device) {
        printf("\"device\": \"");
        print_text(device);
        printf("\", ");
    }
    printf("\"nodes\": [");
    print_nodes(r, x);
    printf("],\n     \"time_ns\": %.0f, \"f_ns\": %.0f, \"b_ns\": %.0f, "
           "\"w_ns\": %.0f, \"recompute_ns\": %.0f, \"stall_ns\": %.0f, "
           "\"transfer_ns\": %.0f, "
           "\"step_ns\": %.0f, \"update_ns\": %.0f, \"reduce_ns\": %.0f,\n",
           report_stage_ns(s), s->predicted.f_ns, s->predicted.b_ns,
           s->predicted.w_ns, s->predicted.recompute_ns, s->predicted.stall_ns,
           s->predicted.transfer_ns, s->predicted.step_ns,
           s->predicted.update_ns, s->predicted.reduce_ns);
    printf("     \"peak_bytes\": %" PRIu64 ", \"arena_bytes\": %" PRIu64
           ", \"cap_bytes\": %" PRIu64 ",\n     \"by\": {",
           s->predicted.peak_bytes, s->predicted.arena_bytes,
           report_cap(r, s->rank));
    print_categories(s);
    printf("},\n     \"recompute\": [");
    print_decided(r, x, DAWN_RECOMPUTE, DAWN_RECOMPUTE);
    printf("], \"offload\": [");
    print_decided(r, x, DAWN_TO_HOST, DAWN_TO_SSD);
    printf("], \"optimizer\": [");
    print_optimizer(r, x);
    printf("]}");
}

void report_json_tokens(const struct dawn_plan_info *info)
{
    if (info->tokens_per_s > 0)
        printf(", \"tokens_per_s\": %.1f", info->tokens_per_s);
}

void report_json(const struct report *r)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    int l = info->stages, m = info->microbatches;

    printf("{\n  \"feasible\": true, \"policy\": \"%s\", \"schedule\": "
           "\"%s\", \"objective\": \"%s\",\n",
           info->policy, info->schedule, report_objective_name(r));
    printf("  \"microbatches\": %d, \"microbatch\": %lld, "
           "\"update_every\": %d,\n",
           m, (long long)info->microbatch, info->update_every);
    printf("  \"step_ns\": %.0f, \"bottleneck_ns\": %.0f, "
           "\"bound_ns\": %.0f",
           info->step_ns, info->bottleneck_ns, info->bound_ns);
    report_json_tokens(info);
    printf(",\n  ");
    if (!report_replicated(r))
        printf("\"bubble_of_step\": %.6f, \"bubble_over_ideal\": %.6f, ",
               (l - 1.0) / (m + l - 1), (l - 1.0) / m);
    printf("\"idle_simulated\": %.6f,\n", report_idle(r));
    if (info->size_low)
        printf("  \"size_low\": %lld, \"size_high\": %lld,\n",
               (long long)info->size_low, (long long)info->size_high);
    printf("  \"solve_ns\": %.0f,\n  \"stages\": [\n", r->plan_ns);
    for (int x = 0; x < l; x++) {
        print_stage(r, x);
        printf(x < l - 1 ? ",\n" : "\n");
    }
    printf("  ]\n}\n");
}

/* Nothing fits */

void report_json_nofit(const struct dawn_planner_nofit *nofit, const char *why)
{
    printf("\"feasible\": false, \"why\": \"");
    print_text(why);
    printf("\",\n  \"works_bytes\": %" PRIu64 ", \"fails_bytes\": %" PRIu64
           ", \"cut_off\": %s, \"stage\": %d, \"stage_bytes\": %" PRIu64,
           nofit->works_bytes, nofit->fails_bytes,
           nofit->cut_off ? "true" : "false", nofit->stage, nofit->stage_bytes);
}
