/* SPDX-License-Identifier: Apache-2.0 */
/* dawn-plan: from profile.yaml, and machine.yaml if there is one, to plan.yaml.
 */
#include "report.h"
#include <dawnpiper/import.h>
#include <dawnpiper/op.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Elements of one sample of an integer input; 0: it is none. */
static int64_t index_elements(const struct dawn_graph *g, int tensor)
{
    const struct dawn_tensor_desc *d = dawn_graph_tensor(g, tensor);
    int64_t elements = 1;

    if (dawn_graph_producer(g, tensor) >= 0 || d->dtype != DAWN_I32 ||
        !d->batched)
        return 0;
    for (int i = 0; i < d->dims; i++)
        elements *= d->shape[i];
    return elements;
}

/* The tokens of a sample: what is embedded, of encoder and decoder, else the
 * first integer input, unless it is one number, a label. 0: none. */
static int64_t tokens_per_sample(const struct dawn_graph *g)
{
    int64_t tokens = 0;

    for (int i = 0; i < dawn_graph_nodes(g); i++) {
        const struct dawn_node_desc *n = dawn_graph_node(g, i);
        if (!strcmp(n->op, "embedding"))
            tokens += index_elements(g, n->input[0]);
    }
    for (int t = 0; !tokens && t < dawn_graph_tensors(g); t++)
        tokens = index_elements(g, t);
    return tokens > 1 ? tokens : 0;
}

static enum dawn_status load_profile(struct program *p, struct dawn_error *err)
{
    const struct options *o = &p->options;
    enum dawn_status st;

    if (!o->import)
        return dawn_profile_load(o->profile, &p->profile, err);
    st = dawn_import(o->import, o->profile, &p->profile, err);
    if (!st && *dawn_profile_unused(p->profile))
        fprintf(stderr,
                "dawn-plan: %s also says %s: not used; --stages, --memory, "
                "--machine and --microbatches do\n",
                o->profile, dawn_profile_unused(p->profile));
    if (!st && o->profile_out)
        st = dawn_profile_save(p->profile, o->profile_out, err);
    return st;
}

static void warn_unsteady(const struct program *p)
{
    char text[400];

    if (*dawn_machine_unsteady(p->machine, text, sizeof text))
        fprintf(stderr,
                "dawn-plan: warning: %s: measured while other work ran: %s: "
                "measure again\n",
                p->options.machine, text);
}

static enum dawn_status load(struct program *p, struct dawn_error *err)
{
    struct dawn_planner_opts *o = &p->options.plan;
    enum dawn_status st = load_profile(p, err);

    if (!st && p->options.passes)
        st = dawn_profile_set_passes(p->profile, p->options.passes, err);
    if (!st && p->options.machine)
        st = dawn_machine_load(p->options.machine, &p->machine, err);
    if (st)
        return st;
    if (p->machine)
        warn_unsteady(p);
    if (!o->stages && !o->devices)
        o->stages = p->machine ? dawn_machine_devices(p->machine) : 1;
    if (!o->microbatches)
        o->microbatches = 4 * (o->devices ? o->devices : o->stages);
    o->tokens_per_sample = tokens_per_sample(dawn_profile_graph(p->profile));
    return DAWN_OK;
}

enum dawn_status program_plan(const struct program *p, const char *policy,
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

void report_lone_norm(struct dawn_plan *plan)
{
    const struct dawn_plan_info *info = dawn_plan_info(plan);
    int node = dawn_op_lone_norm(dawn_plan_graph(plan), info->microbatch,
                                 info->passes);

    if (node >= 0)
        fprintf(stderr,
                "dawn-plan: warning: a microbatch of %lld gives %s one value a "
                "channel to normalize: dawn-train evaluates under this plan, "
                "but does not train\n",
                (long long)info->microbatch,
                dawn_graph_node(dawn_plan_graph(plan), node)->name);
}

static enum dawn_status report(struct report *r, struct dawn_error *err)
{
    const struct options *o = r->options;
    const char *path = options_output(o);
    report_lone_norm(r->plan);
    enum dawn_status st = o->export ? report_export(r, err) : DAWN_OK;

    if (!st && o->hostfile)
        st = report_hostfile(r, o->hostfile, err);
    if (!st && path && strcmp(path, "-") == 0)
        return write_stdout(r->plan, err);
    if (!st && path)
        st = dawn_plan_save(r->plan, path, err);
    if (st)
        return st;
    if (o->json)
        report_json(r);
    else if (o->explain)
        st = report_explain(r, err);
    if (!st && !o->json && !o->export)
        report_summary(r, path);
    return st;
}

/* Say why --max-batch does not come down to single samples, where it is so. */
static void tell_not_tried(const struct program *p)
{
    const struct dawn_graph *graph = dawn_profile_graph(p->profile);
    int node = dawn_op_lone_norm(graph, 1, dawn_profile_passes(p->profile));

    if (p->options.plan.max_batch && node >= 0)
        fprintf(stderr,
                "dawn-plan: a microbatch of 1 was not tried: it gives %s one "
                "value a channel to normalize\n",
                dawn_graph_node(graph, node)->name);
}

/* Say at once that nothing fits, then look for a cap that would do. */
static enum dawn_status tell_nofit(const struct program *p,
                                   const struct report *r,
                                   struct dawn_error *err)
{
    struct dawn_planner_nofit nofit = {0};
    struct dawn_error verdict = *err;
    bool wants_cap = !p->options.plan.devices;
    enum dawn_status st = DAWN_OK;

    tell_not_tried(p);
    if (wants_cap) {
        fprintf(stderr, "dawn-plan: %s\n", verdict.text);
        st = find_cap(p, p->options.plan.policy, &nofit, err);
    }
    if (st)
        return st;
    if (p->options.json) {
        printf("{\n  ");
        report_json_nofit(&nofit, verdict.text);
        printf(", \"solve_ns\": %.0f\n}\n", r->plan_ns);
    }
    return wants_cap ? report_nofit(&nofit, err) : DAWN_E_NOFIT;
}

static enum dawn_status run(struct program *p, struct dawn_error *err)
{
    struct report r = {0};
    enum dawn_status st = load(p, err);

    if (st)
        return st;
    if (p->options.check)
        return check(p, err);
    st = write_allowed(p, err);
    if (st)
        return st;
    st = p->options.compare ? compare(p, &r, err)
         : p->options.most_stages
             ? plan_counts(p, &r, err)
             : program_plan(p, p->options.plan.policy, &r, err);
    if (st == DAWN_E_NOFIT && !p->options.compare)
        return tell_nofit(p, &r, err);
    if (!st && (!p->options.compare || p->options.output))
        st = report(&r, err);
    if (!st && !p->options.compare && !p->options.most_stages &&
        !p->options.plan.devices && !p->options.plan.max_batch)
        tell_fewer(p, &r);
    dawn_plan_destroy(r.plan);
    return st;
}

/* Packing takes some MB for each rank and gives them back. Keep them: glibc
 * would have the kernel clear them each time. */
static void keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct dawn_error err = {0};
    enum dawn_status st;

    keep_memory();
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
