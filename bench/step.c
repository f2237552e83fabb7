/* SPDX-License-Identifier: Apache-2.0 */
/* Time training steps of a job's GPT-2 on one rank, with random tokens:
 *
 *     step JOB STEPS THREADS
 *
 * prints a line a step: nanoseconds, loss, share of the time outside kernels.
 */
#include <dawnpiper/exec.h>
#include <dawnpiper/job.h>
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

static enum dawn_status run(struct dawn_exec *exec, const struct dawn_job *job,
                            int steps, struct dawn_error *err)
{
    struct dawn_step_result r;
    enum dawn_status st = dawn_exec_init(exec, err);

    for (int i = 0; !st && i < steps; i++) {
        st = dawn_exec_step(exec, (uint64_t)i, job->train.lr, &r, err);
        if (!st)
            printf("%.0f %.4f %.4f\n", r.step_ns, r.loss,
                   r.overhead_ns / r.step_ns);
    }
    return st;
}

int main(int argc, char **argv)
{
    struct dawn_job job;
    struct dawn_graph *graph = NULL;
    struct dawn_plan *plan = NULL;
    struct dawn_comm *comm = NULL;
    struct dawn_exec *exec = NULL;
    struct dawn_error err = {0};
    struct dawn_plan_info info = {
        .policy = "hand", .schedule = "1f1b", .stages = 1, .ranks = 1};
    struct dawn_plan_stage stage = {0};
    enum dawn_status st;

    if (argc != 4) {
        fprintf(stderr, "usage: step JOB STEPS THREADS\n");
        return 2;
    }
    st = dawn_job_load(argv[1], &job, &err);
    if (!st && strncmp(job.model.preset, "gpt2", 4) != 0)
        st = dawn_fail(&err, DAWN_E_NOTSUP, "%s: not a GPT-2", argv[1]);
    if (st || (st = dawn_model_build(&job.model, &graph, &err)))
        goto done;
    info.microbatches = job.train.microbatches;
    info.microbatch = job.train.microbatch;
    stage.last = dawn_graph_nodes(graph) - 1;
    if ((st = dawn_plan_create(graph, &info, &stage, &plan, &err)) ||
        (st = dawn_comm_create_loopback(1, 300, &comm, &err)))
        goto done;
    struct dawn_exec_opts opts = {.graph = graph,
                                  .plan = plan,
                                  .comm = comm,
                                  .threads = atoi(argv[3]),
                                  .seed = 1,
                                  .feed = feed,
                                  .user = &job,
                                  .weight_decay = job.train.weight_decay,
                                  .clip = job.train.clip};
    if (!(st = dawn_exec_create(&opts, &exec, &err)))
        st = run(exec, &job, atoi(argv[2]), &err);
done:
    if (st)
        fprintf(stderr, "step: %s\n", err.text);
    dawn_exec_destroy(exec);
    dawn_comm_destroy(comm);
    dawn_plan_destroy(plan);
    dawn_graph_destroy(graph);
    return st != DAWN_OK;
}
