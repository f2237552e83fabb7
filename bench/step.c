/* SPDX-License-Identifier: Apache-2.0 */
/* Time training steps of a job, under several plans that take turns: on
 * machines whose speed drifts only neighbours compare.
 *
 *     mpirun -n RANKS step JOB STEPS [PLAN]...
 *
 * Each plan trains parameters of its own in the same process, with the passes
 * that it was priced with; every other step the turns go backwards. Without a
 * plan the model is one stage, and everything is kept. A line of JSON a plan
 * and step: plan (their number), step, step_ns, loss, overhead (the share of
 * the time outside kernels and waiting), stall_ns, peak_bytes by rank.
 */
#include "../profiler/cli.h"
#include "../profiler/feed.h"
#include <dawnpiper/passes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WAYS 8

/* One way to train the job. */
struct way {
    struct dawn_plan *plan;
    struct dawn_exec *exec;
};

struct bench {
    struct cli cli;
    struct dawn_job job;
    struct dawn_graph *graph;
    struct feed *feed;
    int ways;
    struct way way[MOST_WAYS];
};

static int fill(void *user, const struct dawn_feed *what, void *data)
{
    return feed_fill(user, what, data);
}

static enum dawn_status one_stage(const struct bench *b,
                                  struct dawn_plan **plan_p,
                                  struct dawn_error *err)
{
    struct dawn_plan_info info = {.policy = "hand",
                                  .schedule = "1f1b",
                                  .stages = 1,
                                  .ranks = 1,
                                  .microbatches = b->job.train.microbatches,
                                  .microbatch = b->job.train.microbatch};
    struct dawn_plan_stage stage = {.last = dawn_graph_nodes(b->graph) - 1};

    return dawn_plan_create(b->graph, &info, &stage, plan_p, err);
}

/* path: of a plan; NULL: one stage. */
static enum dawn_status way_create(const struct bench *b, const char *path,
                                   struct way *way, struct dawn_error *err)
{
    enum dawn_status st = path ? dawn_plan_load(path, b->graph, &way->plan, err)
                               : one_stage(b, &way->plan, err);

    if ((st = dawn_comm_agree(b->cli.comm, st, err)))
        return st;
    struct dawn_exec_opts opts = {.graph = b->graph,
                                  .plan = way->plan,
                                  .comm = b->cli.comm,
                                  .threads = b->job.device.threads,
                                  .seed = b->job.train.seed,
                                  .feed = fill,
                                  .user = b->feed,
                                  .weight_decay = b->job.train.weight_decay,
                                  .clip = b->job.train.clip,
                                  .passes = dawn_plan_info(way->plan)->passes};
    return dawn_exec_create(&opts, &way->exec, err);
}

static void way_destroy(struct way *way)
{
    dawn_exec_destroy(way->exec);
    dawn_plan_destroy(way->plan);
}

static enum dawn_status way_start(const struct bench *b, struct way *way,
                                  struct dawn_error *err)
{
    struct dawn_ewc_opts opts = {.fisher = b->job.ewc.fisher,
                                 .anchor = b->job.ewc.anchor,
                                 .lambda = b->job.ewc.lambda,
                                 .relative = b->job.ewc.relative,
                                 .proximal =
                                     strcmp(b->job.ewc.form, "proximal") == 0};
    struct dawn_ewc_info info;
    enum dawn_status st = dawn_exec_init(way->exec, err);

    if (st || !dawn_plan_info(way->plan)->passes[0])
        return st;
    return dawn_ewc_load(way->exec, &opts, &info, err);
}

static void print(const struct bench *b, int k, int step,
                  const struct dawn_step_result *r)
{
    if (!cli_first(&b->cli))
        return;
    printf("{\"plan\": %d, \"step\": %d, \"step_ns\": %.0f, \"loss\": %.17g, "
           "\"overhead\": %.4f, \"stall_ns\": %.0f, \"peak_bytes\": [",
           k, step, r->step_ns, r->loss, r->overhead_ns / r->step_ns,
           r->stall_ns);
    for (int i = 0; i < r->ranks; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)r->peak_bytes[i]);
    printf("]}\n");
    fflush(stdout);
}

static enum dawn_status run(struct bench *b, int steps, struct dawn_error *err)
{
    struct dawn_step_result r;
    enum dawn_status st = DAWN_OK;

    for (int k = 0; !st && k < b->ways; k++)
        st = way_start(b, &b->way[k], err);
    for (int i = 0; !st && i < steps; i++) {
        for (int j = 0; !st && j < b->ways; j++) {
            int k = i % 2 ? b->ways - 1 - j : j;
            st = dawn_exec_step(b->way[k].exec, (uint64_t)i, b->job.train.lr,
                                &r, err);
            if (!st)
                print(b, k, i, &r);
        }
    }
    return st;
}

/* plans: of them `count`. */
static enum dawn_status set_up(struct bench *b, const char *job, char **plans,
                               int count, struct dawn_error *err)
{
    enum dawn_status st = dawn_job_load(job, &b->job, err);

    if (!st)
        st = dawn_model_build(&b->job.model, &b->graph, err);
    if (!st)
        st = feed_open(&b->job, &b->feed, err);
    st = dawn_comm_agree(b->cli.comm, st, err);
    b->ways = count ? count : 1;
    for (int k = 0; !st && k < b->ways; k++)
        st = way_create(b, count ? plans[k] : NULL, &b->way[k], err);
    return st;
}

int main(int argc, char **argv)
{
    struct bench b = {.cli.program = "step"};
    struct dawn_error err = {0};
    int64_t steps = 0;

    if (argc < 3 || argc > 3 + MOST_WAYS ||
        !cli_int(argv[2], 1, 1 << 20, &steps)) {
        fprintf(stderr, "usage: step JOB STEPS [PLAN]...\n");
        return CLI_USAGE;
    }
    int code = cli_join(&b.cli, 300);
    if (!code) {
        enum dawn_status st = set_up(&b, argv[1], argv + 3, argc - 3, &err);
        if (!st)
            st = run(&b, (int)steps, &err);
        code = cli_report(&b.cli, st, &err);
    }
    for (int k = 0; k < b.ways; k++)
        way_destroy(&b.way[k]);
    feed_close(b.feed);
    dawn_comm_destroy(b.cli.comm);
    dawn_graph_destroy(b.graph);
    return code;
}
