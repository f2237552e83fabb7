/* SPDX-License-Identifier: Apache-2.0 */
/* Time training steps of a job's GPT-2 on one rank, with random tokens:
 *
 *     step JOB STEPS THREADS
 *
 * prints a line a step: nanoseconds, loss, share of the time outside kernels.
 * For a job with EWC an executor without it does each step, too, in turn: on
 * machines whose speed drifts, only neighbours compare. Its nanoseconds end the
 * line.
 */
#include <dawnpiper/exec.h>
#include <dawnpiper/job.h>
#include <dawnpiper/passes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int feed(void *user, const struct dawn_feed *what, void *data)
{
    const struct dawn_job *job = user;
    uint64_t x = what->step * 0x9e3779b97f4a7c15u + what->sample + 1;
    int32_t *token = data;

    for (int64_t i = 0; i < what->samples * job->model.context; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        token[i] = (int32_t)((x >> 33) % (uint64_t)job->model.vocab);
    }
    return 0;
}

/* One way to train the job. */
struct way {
    struct dawn_plan *plan;
    struct dawn_exec *exec;
};

static enum dawn_status way_create(struct way *way, const char *passes,
                                   const struct dawn_exec_opts *common,
                                   struct dawn_error *err)
{
    const struct dawn_job *job = common->user;
    struct dawn_exec_opts opts = *common;
    struct dawn_plan_info info = {.policy = "hand",
                                  .schedule = "1f1b",
                                  .stages = 1,
                                  .ranks = 1,
                                  .microbatches = job->train.microbatches,
                                  .microbatch = job->train.microbatch};
    struct dawn_plan_stage stage = {.last =
                                        dawn_graph_nodes(common->graph) - 1};
    enum dawn_status st;

    snprintf(info.passes, sizeof info.passes, "%s", passes);
    st = dawn_plan_create(common->graph, &info, &stage, &way->plan, err);
    if (st)
        return st;
    opts.plan = way->plan;
    opts.passes = passes;
    return dawn_exec_create(&opts, &way->exec, err);
}

static void way_destroy(struct way *way)
{
    dawn_exec_destroy(way->exec);
    dawn_plan_destroy(way->plan);
}

static enum dawn_status way_start(struct way *way, const struct dawn_job *job,
                                  bool ewc, struct dawn_error *err)
{
    struct dawn_ewc_opts opts = {.fisher = job->ewc.fisher,
                                 .anchor = job->ewc.anchor,
                                 .lambda = job->ewc.lambda,
                                 .relative = job->ewc.relative,
                                 .proximal =
                                     strcmp(job->ewc.form, "proximal") == 0};
    struct dawn_ewc_info info;
    enum dawn_status st = dawn_exec_init(way->exec, err);

    return st || !ewc ? st : dawn_ewc_load(way->exec, &opts, &info, err);
}

/* ways: one, or two that take turns. */
static enum dawn_status run(struct way *way, int ways,
                            const struct dawn_job *job, int steps,
                            struct dawn_error *err)
{
    struct dawn_step_result r;
    enum dawn_status st = DAWN_OK;

    for (int k = 0; !st && k < ways; k++)
        st = way_start(&way[k], job, !k && ways > 1, err);
    for (int i = 0; !st && i < steps; i++) {
        for (int k = 0; !st && k < ways; k++) {
            st = dawn_exec_step(way[k].exec, (uint64_t)i, job->train.lr, &r,
                                err);
            if (!st && !k)
                printf("%.0f %.4f %.4f", r.step_ns, r.loss,
                       r.overhead_ns / r.step_ns);
            else if (!st)
                printf(" %.0f", r.step_ns);
        }
        printf("\n");
    }
    return st;
}

int main(int argc, char **argv)
{
    struct dawn_job job;
    struct dawn_graph *graph = NULL;
    struct dawn_comm *comm = NULL;
    struct dawn_error err = {0};
    struct way way[2] = {0};
    enum dawn_status st;

    if (argc != 4) {
        fprintf(stderr, "usage: step JOB STEPS THREADS\n");
        return 2;
    }
    st = dawn_job_load(argv[1], &job, &err);
    if (!st && strncmp(job.model.preset, "gpt2", 4) != 0)
        st = dawn_fail(&err, DAWN_E_NOTSUP, "%s: not a GPT-2", argv[1]);
    if (st || (st = dawn_model_build(&job.model, &graph, &err)) ||
        (st = dawn_comm_create_loopback(1, 300, &comm, &err)))
        goto done;
    struct dawn_exec_opts opts = {.graph = graph,
                                  .comm = comm,
                                  .threads = atoi(argv[3]),
                                  .seed = 1,
                                  .feed = feed,
                                  .user = &job,
                                  .weight_decay = job.train.weight_decay,
                                  .clip = job.train.clip};
    int ways = job.ewc.on ? 2 : 1;
    st = way_create(&way[0], dawn_job_passes(&job), &opts, &err);
    if (!st && ways == 2)
        st = way_create(&way[1], "", &opts, &err);
    if (!st)
        st = run(way, ways, &job, atoi(argv[2]), &err);
done:
    if (st)
        fprintf(stderr, "step: %s\n", err.text);
    way_destroy(&way[0]);
    way_destroy(&way[1]);
    dawn_comm_destroy(comm);
    dawn_graph_destroy(graph);
    return st != DAWN_OK;
}
