/* SPDX-License-Identifier: Apache-2.0 */
/* --check: price a plan that a person wrote or edited; say what is wrong with
 * it, and what it is beside what its file says and beside the planner's own.
 */
#include "report.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    const struct program *p;
    const char *path;
    struct report now;               /* the plan, priced */
    bool edited, other_profile;      /* since the file was written */
    struct dawn_plan_info said;      /* what the file predicts ... */
    struct dawn_plan_stage *said_of; /* ... of each stage; 0: nothing */
    struct report own;               /* the planner's; plan NULL: none fits */
    int wrong;                       /* stages over their cap */
};

/* Bytes above the cap. */
static uint64_t over(const struct check *c, int x)
{
    const struct dawn_plan_stage *s = dawn_plan_stage(c->now.plan, x);
    uint64_t cap = report_cap(&c->now, s->rank);

    return cap && s->predicted.arena_bytes > cap
               ? s->predicted.arena_bytes - cap
               : 0;
}

/* Remember what the file says, then price the plan. */
static enum dawn_status price(struct check *c, struct dawn_error *err)
{
    struct dawn_plan *plan = c->now.plan;
    struct dawn_plan_info *info = dawn_plan_info(plan);
    int l = info->stages;

    c->said_of = calloc((size_t)l, sizeof *c->said_of);
    if (!c->said_of)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", l);
    for (int x = 0; x < l; x++)
        c->said_of[x] = *dawn_plan_stage(plan, x);
    c->said = *info;
    c->edited = dawn_plan_edited(plan);
    c->other_profile =
        info->profile_digest &&
        info->profile_digest != dawn_profile_digest(c->p->profile);
    if (c->edited)
        snprintf(info->policy, sizeof info->policy, "hand");
    if (c->p->options.plan.cap_bytes)
        info->cap_bytes = c->p->options.plan.cap_bytes;
    struct dawn_error why;
    enum dawn_status st =
        dawn_planner_price(plan, c->p->profile, c->p->machine, &why);
    double tokens = (double)c->p->options.plan.tokens_per_sample *
                    (double)info->microbatch * info->microbatches;
    info->tokens_per_s =
        !st && info->step_ns > 0 ? tokens / info->step_ns * 1e9 : 0;
    for (int x = 0; x < l && !st; x++)
        c->wrong += over(c, x) > 0;
    return st ? dawn_fail(err, st, "%s: %s", c->path, why.text) : DAWN_OK;
}

/* Of the machine's largest device; with more, or 0, each has its own cap. */
static uint64_t most_memory(const struct program *p)
{
    uint64_t most = 0;

    for (int d = 0; p->machine && d < dawn_machine_devices(p->machine); d++) {
        uint64_t bytes = dawn_machine_device(p->machine, d)->memory_bytes;
        if (!bytes)
            return UINT64_MAX;
        most = bytes > most ? bytes : most;
    }
    return p->machine ? most : UINT64_MAX;
}

/* What the planner makes of the same task. */
static enum dawn_status plan_own(struct check *c, struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(c->now.plan);
    struct program p = *c->p;
    struct dawn_error why;
    enum dawn_status st;

    if (info->ranks != info->stages)
        return DAWN_OK; /* it makes no such plans */
    p.options.plan.stages = info->stages;
    if (report_replicated(&c->now)) {
        p.options.plan.stages = 0;
        p.options.plan.devices = report_devices(&c->now);
    }
    p.options.plan.microbatches = info->microbatches;
    p.options.plan.microbatch = info->microbatch;
    p.options.plan.schedule = info->schedule;
    p.options.plan.objective = info->objective;
    if (!p.options.plan.cap_bytes && info->cap_bytes < most_memory(c->p))
        p.options.plan.cap_bytes = info->cap_bytes;
    st = program_plan(&p, NULL, &c->own, &why);
    if (st && st != DAWN_E_NOFIT)
        return dawn_fail(err, st, "%s", why.text);
    return DAWN_OK;
}

/* For people */

static void print_stage(const struct check *c, int x)
{
    const struct dawn_graph *g = dawn_plan_graph(c->now.plan);
    const struct dawn_plan_stage *s = dawn_plan_stage(c->now.plan, x);
    const struct dawn_plan_stage *said = &c->said_of[x];

    printf("stage %d", x);
    if (report_replicas(&c->now, x) > 1)
        printf(" on %d devices", report_replicas(&c->now, x));
    printf(": %s", dawn_graph_node(g, s->first)->name);
    if (s->first < s->last)
        printf(" to %s", dawn_graph_node(g, s->last)->name);
    printf(", %s", TIME(report_stage_ns(s)));
    if (report_stage_ns(said) > 0)
        printf(" (file: %s)", TIME(report_stage_ns(said)));
    if (s->predicted.transfer_ns > 0)
        printf(", %s of it for transfers", TIME(s->predicted.transfer_ns));
    printf(", arena %s", SIZE(s->predicted.arena_bytes));
    if (said->predicted.arena_bytes)
        printf(" (file: %s)", SIZE(said->predicted.arena_bytes));
    if (over(c, x))
        printf(", WRONG: %s over its cap of %s", SIZE(over(c, x)),
               SIZE(report_cap(&c->now, s->rank)));
    printf("\n");
}

/* "2.0% slower than WHAT, 61.2 ms" */
static void print_beside(double ns, double other_ns, const char *what)
{
    double percent = 100 * (ns / other_ns - 1);

    if (percent > -0.05 && percent < 0.05)
        printf(", as fast as %s", what);
    else
        printf(", %.1f%% %s than %s", percent > 0 ? percent : -percent,
               percent > 0 ? "slower" : "faster", what);
    printf(" (%s)", TIME(other_ns));
}

static double objective_of(const struct dawn_plan_info *info)
{
    return info->objective == DAWN_OBJECTIVE_BOTTLENECK ? info->bottleneck_ns
                                                        : info->step_ns;
}

static void print_check(const struct check *c)
{
    double ns = report_objective(&c->now);

    printf("%s: %s%s\n", c->path,
           c->edited             ? "edited since it was priced"
           : c->said.step_ns > 0 ? "its predictions are of these stages and "
                                   "decisions"
                                 : "it predicts nothing yet",
           c->other_profile ? "; priced from another profile" : "");
    for (int x = 0; x < dawn_plan_info(c->now.plan)->stages; x++)
        print_stage(c, x);
    printf("%s %s", report_objective_name(&c->now), TIME(ns));
    if (report_above(&c->now) >= 0)
        printf(", %.1f%% above the bound", report_above(&c->now));
    if (objective_of(&c->said) > 0)
        print_beside(ns, objective_of(&c->said), "the file says");
    if (c->own.plan)
        print_beside(ns, report_objective(&c->own), "the planner's own plan");
    printf("\n");
}

/* As JSON */

static void json_stage(const struct check *c, int x)
{
    const struct dawn_graph *g = dawn_plan_graph(c->now.plan);
    const struct dawn_plan_stage *s = dawn_plan_stage(c->now.plan, x);
    const struct dawn_plan_stage *said = &c->said_of[x];

    printf("  {\"rank\": %d, \"replicas\": %d, \"nodes\": [\"%s\", \"%s\"], "
           "\"time_ns\": %.0f, \"file_time_ns\": %.0f, "
           "\"transfer_ns\": %.0f,\n",
           s->rank, report_replicas(&c->now, x),
           dawn_graph_node(g, s->first)->name,
           dawn_graph_node(g, s->last)->name, report_stage_ns(s),
           report_stage_ns(said), s->predicted.transfer_ns);
    printf("   \"peak_bytes\": %" PRIu64 ", \"file_peak_bytes\": %" PRIu64
           ", \"arena_bytes\": %" PRIu64 ", \"cap_bytes\": %" PRIu64
           ", \"over_bytes\": %" PRIu64 "}",
           s->predicted.peak_bytes, said->predicted.peak_bytes,
           s->predicted.arena_bytes, report_cap(&c->now, s->rank), over(c, x));
}

static void json_check(const struct check *c)
{
    const struct dawn_plan_info *info = dawn_plan_info(c->now.plan);

    printf("{\"fits\": %s, \"edited\": %s, \"other_profile\": %s, "
           "\"objective\": \"%s\",\n",
           c->wrong ? "false" : "true", c->edited ? "true" : "false",
           c->other_profile ? "true" : "false", report_objective_name(&c->now));
    printf(" \"step_ns\": %.0f, \"bottleneck_ns\": %.0f, \"bound_ns\": %.0f",
           info->step_ns, info->bottleneck_ns, info->bound_ns);
    report_json_tokens(info);
    printf(",\n \"file_step_ns\": %.0f, \"file_bottleneck_ns\": %.0f,\n",
           c->said.step_ns, c->said.bottleneck_ns);
    if (c->own.plan)
        printf(" \"own_policy\": \"%s\", \"own_step_ns\": %.0f, "
               "\"own_bottleneck_ns\": %.0f,\n",
               dawn_plan_info(c->own.plan)->policy,
               dawn_plan_info(c->own.plan)->step_ns,
               dawn_plan_info(c->own.plan)->bottleneck_ns);
    printf(" \"stages\": [\n");
    for (int x = 0; x < info->stages; x++) {
        json_stage(c, x);
        printf(x < info->stages - 1 ? ",\n" : "\n");
    }
    printf(" ]}\n");
}

/* Both */

static enum dawn_status verdict(const struct check *c, struct dawn_error *err)
{
    int x = 0;

    if (!c->wrong)
        return DAWN_OK;
    while (!over(c, x))
        x++;
    return dawn_fail(err, DAWN_E_NOFIT,
                     "%s: %d of %d stages over their memory: stage %d needs "
                     "%" PRIu64 " bytes, %" PRIu64 " more than its cap",
                     c->path, c->wrong, dawn_plan_info(c->now.plan)->stages, x,
                     dawn_plan_stage(c->now.plan, x)->predicted.arena_bytes,
                     over(c, x));
}

static enum dawn_status run(struct check *c, struct dawn_error *err)
{
    const struct options *o = &c->p->options;
    enum dawn_status st;

    if ((st = price(c, err)) || (st = plan_own(c, err)))
        return st;
    if (o->json)
        json_check(c);
    else if (o->explain)
        st = report_explain(&c->now, err);
    if (!st && !o->json)
        print_check(c);
    if (!st)
        st = verdict(c, err);
    if (!st && o->output)
        st = dawn_plan_save(c->now.plan, o->output, err);
    return st;
}

enum dawn_status check(struct program *p, struct dawn_error *err)
{
    struct check c = {.p = p, .path = p->options.check};
    enum dawn_status st;

    c.now = (struct report){
        .options = &p->options, .profile = p->profile, .machine = p->machine};
    st = dawn_plan_load(c.path, dawn_profile_graph(p->profile), &c.now.plan,
                        err);
    if (st)
        return st;
    report_lone_norm(c.now.plan);
    st = dawn_profile_set_passes(p->profile, dawn_plan_info(c.now.plan)->passes,
                                 err);
    if (!st)
        st = run(&c, err);
    dawn_plan_destroy(c.now.plan);
    dawn_plan_destroy(c.own.plan);
    free(c.said_of);
    return st;
}
