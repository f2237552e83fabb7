/* SPDX-License-Identifier: Apache-2.0 */
/* dawn-plan: from profile.yaml, and machine.yaml if there is one, to plan.yaml.
 */
#include "report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct program {
    struct options options;
    struct dawn_profile *profile;
    struct dawn_machine *machine;
};

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Elements of one sample of the first integer input: the tokens. 0: none. */
static int64_t tokens_per_sample(const struct dawn_graph *g)
{
    for (int t = 0; t < dawn_graph_tensors(g); t++) {
        const struct dawn_tensor_desc *d = dawn_graph_tensor(g, t);
        if (dawn_graph_producer(g, t) >= 0 || d->dtype != DAWN_I32 ||
            !d->batched)
            continue;
        int64_t elements = 1;
        for (int i = 0; i < d->dims; i++)
            elements *= d->shape[i];
        return elements;
    }
    return 0;
}

static enum dawn_status load(struct program *p, struct dawn_error *err)
{
    struct dawn_planner_opts *o = &p->options.plan;
    enum dawn_status st =
        dawn_profile_load(p->options.profile, &p->profile, err);

    if (!st && p->options.machine)
        st = dawn_machine_load(p->options.machine, &p->machine, err);
    if (st)
        return st;
    if (!o->stages)
        o->stages = p->machine ? dawn_machine_devices(p->machine) : 1;
    if (!o->microbatches)
        o->microbatches = 4 * o->stages;
    o->tokens_per_sample = tokens_per_sample(dawn_profile_graph(p->profile));
    return DAWN_OK;
}

static enum dawn_status make(const struct program *p, const char *policy,
                             struct report *r, struct dawn_error *err)
{
    struct dawn_planner_opts opts = p->options.plan;
    double begin = now_ns();
    enum dawn_status st;

    opts.policy = policy;
    *r = (struct report){
        .options = &p->options, .profile = p->profile, .machine = p->machine};
    st = dawn_planner_run(p->profile, p->machine, &opts, &r->plan, err);
    r->plan_ns = now_ns() - begin;
    return st;
}

/* Copy a file to stdout. */
static enum dawn_status copy_out(const char *path, struct dawn_error *err)
{
    FILE *file = fopen(path, "r");
    char buf[4096];
    size_t n;

    if (!file)
        return dawn_fail(err, DAWN_E_IO, "%s: cannot read it back", path);
    while ((n = fread(buf, 1, sizeof buf, file)) > 0)
        fwrite(buf, 1, n, stdout);
    fclose(file);
    if (fflush(stdout) || ferror(stdout))
        return dawn_fail(err, DAWN_E_IO, "stdout: cannot write");
    return DAWN_OK;
}

/* By way of a file: plans are written whole or not at all. */
static enum dawn_status save_to_stdout(const struct dawn_plan *plan,
                                       struct dawn_error *err)
{
    const char *dir = getenv("TMPDIR");
    char folder[256], path[300];
    enum dawn_status st;

    snprintf(folder, sizeof folder, "%s/dawn-plan-XXXXXX", dir ? dir : "/tmp");
    if (!mkdtemp(folder))
        return dawn_fail(err, DAWN_E_IO, "%s: cannot make it", folder);
    snprintf(path, sizeof path, "%s/plan.yaml", folder);
    st = dawn_plan_save(plan, path, err);
    if (!st)
        st = copy_out(path, err);
    unlink(path);
    rmdir(folder);
    return st;
}

static enum dawn_status report(const struct report *r, struct dawn_error *err)
{
    const struct options *o = r->options;
    const char *path = o->output ? o->output : "plan.yaml";
    enum dawn_status st;

    if (strcmp(path, "-") == 0)
        return save_to_stdout(r->plan, err);
    st = dawn_plan_save(r->plan, path, err);
    if (st)
        return st;
    if (o->json)
        report_json(r);
    else if (o->explain)
        st = report_explain(r, err);
    if (!st && !o->json)
        report_summary(r, path);
    return st;
}

/* Comparing */

static void print_row(const struct report *r, const char *policy)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    uint64_t arena = 0;
    double recompute = 0;

    for (int x = 0; x < info->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
        if (s->predicted.arena_bytes > arena)
            arena = s->predicted.arena_bytes;
        recompute += s->predicted.recompute_ns;
    }
    printf("%-16s %11s %8.1f%% %8.1f%% %11s %11s %10s\n", policy,
           TIME(info->step_ns), report_above(r), 100 * report_idle(r),
           SIZE(arena), TIME(recompute), TIME(r->plan_ns));
}

/* A row a policy. *best: the fastest plan, if any. */
static enum dawn_status compare(const struct program *p, struct report *best,
                                struct dawn_error *err)
{
    const char *policy;

    *best = (struct report){0};
    printf("%-16s %11s %9s %9s %11s %11s %10s\n", "policy", "step", "above",
           "idle", "memory", "recompute", "planned in");
    for (int i = 0; (policy = dawn_planner_policy(i)); i++) {
        struct report r;
        enum dawn_status st = make(p, policy, &r, err);
        if (st == DAWN_E_NOFIT) {
            printf("%-16s %s\n", policy, err->text);
            continue;
        }
        if (st) {
            dawn_plan_destroy(best->plan);
            best->plan = NULL;
            return st;
        }
        print_row(&r, policy);
        if (!best->plan || report_objective(&r) < report_objective(best)) {
            dawn_plan_destroy(best->plan);
            *best = r;
        } else {
            dawn_plan_destroy(r.plan);
        }
    }
    return best->plan ? DAWN_OK : DAWN_E_NOFIT;
}

static enum dawn_status run(struct program *p, struct dawn_error *err)
{
    struct report r = {0};
    enum dawn_status st = load(p, err);

    if (st)
        return st;
    if (!p->options.compare)
        st = make(p, p->options.plan.policy, &r, err);
    else
        st = compare(p, &r, err);
    if (!st && (!p->options.compare || p->options.output))
        st = report(&r, err);
    dawn_plan_destroy(r.plan);
    return st;
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct dawn_error err = {0};
    enum dawn_status st;

    options_parse(&p.options, argc, argv);
    st = run(&p, &err);
    dawn_machine_destroy(p.machine);
    dawn_profile_destroy(p.profile);
    if (!st && (fflush(stdout) || ferror(stdout)))
        st = dawn_fail(&err, DAWN_E_IO, "stdout: cannot write");
    if (st)
        fprintf(stderr, "dawn-plan: %s\n", err.text);
    return st ? 1 : 0;
}
