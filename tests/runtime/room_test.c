/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks of one host share its free memory out; replicas are refused. */
#include "comm/comm.h"
#include "rig.h"
#include "runtime/exec.h"
#include "tap.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct dawn_plan_info info = {.policy = "hand",
                                           .schedule = "1f1b",
                                           .stages = 1,
                                           .ranks = 1,
                                           .microbatches = 2,
                                           .microbatch = 2};

static int feed(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    (void)what;
    (void)data;
    return 0;
}

static void test_exec(struct dawn_comm *comm, struct dawn_graph *graph)
{
    struct dawn_plan_stage stage = {.last = dawn_graph_nodes(graph) - 1};
    struct dawn_plan *plan = NULL;
    struct dawn_exec *exec = NULL;
    struct dawn_error err = {0};

    dawn_plan_create(graph, &info, &stage, &plan, &err);
    struct dawn_exec_opts opts = {
        .graph = graph, .plan = plan, .comm = comm, .feed = feed};
    is_int(dawn_exec_create(&opts, &exec, &err), DAWN_OK,
           "alone on its host a rank has room");
    dawn_exec_destroy(exec);
    exec = NULL;
    comm->local_size = INT_MAX; /* no host leaves each of them a page */
    is_int(dawn_exec_create(&opts, &exec, &err), DAWN_E_NOFIT,
           "among 2147483647 ranks it has not");
    ok(strstr(err.text, "free are 0.0 MiB"), "and says so: %s", err.text);
    comm->local_size = 1;
    dawn_exec_destroy(exec);
    exec = NULL;
    dawn_plan_stage(plan, 0)->replicas = 2;
    is_int(dawn_exec_create(&opts, &exec, &err), DAWN_E_NOTSUP,
           "a plan with replicas is refused: %s", err.text);
    dawn_exec_destroy(exec);
    dawn_plan_destroy(plan);
}

/* Memory of the host that is offloaded to counts: much more than the arena
 * where many microbatches are in flight. */
static void test_offload(struct dawn_comm *comm, struct dawn_graph *graph)
{
    struct dawn_plan_stage stage = {.last = dawn_graph_nodes(graph) - 1};
    struct dawn_plan_info many = info;
    struct dawn_plan *plan = NULL;
    struct dawn_exec *exec = NULL;
    struct dawn_error err = {0};

    snprintf(many.schedule, sizeof many.schedule, "gpipe");
    many.microbatches = 256;
    dawn_plan_create(graph, &many, &stage, &plan, &err);
    for (int t = 0; t < dawn_graph_tensors(graph); t++)
        dawn_plan_decide(plan, 0, t, DAWN_TO_HOST, NULL);
    struct dawn_exec_opts opts = {
        .graph = graph, .plan = plan, .comm = comm, .feed = feed};
    is_int(dawn_exec_create(&opts, &exec, &err), DAWN_OK,
           "alone it has room to offload: %s", err.text);
    struct dawn_memory m =
        exec ? exec->program->memory : (struct dawn_memory){0};
    dawn_exec_destroy(exec);
    exec = NULL;
    ok(m.host_bytes > 16 * m.arena_bytes, "%llu bytes, the arena has %llu",
       (unsigned long long)m.host_bytes, (unsigned long long)m.arena_bytes);
    enum dawn_status st;
    double needs = 0, there = 0;
    while (!(st = dawn_exec_create(&opts, &exec, &err)) &&
           comm->local_size < INT_MAX / 2) {
        dawn_exec_destroy(exec);
        exec = NULL;
        comm->local_size *= 2;
    }
    is_int(st, DAWN_E_NOFIT, "among %d ranks it has not: %s", comm->local_size,
           err.text);
    sscanf(err.text, "rank 0 needs %lf MiB, free are %lf MiB", &needs, &there);
    ok(needs > there && there > (double)m.arena_bytes / 0x1p20,
       "where the arena would have");
    comm->local_size = 1;
    dawn_exec_destroy(exec);
    dawn_plan_destroy(plan);
}

int main(void)
{
    struct dawn_model_opts model = rig_model(DAWN_F32);
    struct dawn_graph *graph = NULL;
    struct dawn_comm *comm = NULL;
    struct dawn_error err = {0};

    plan_lazy();
    if (dawn_model_build(&model, &graph, &err) ||
        dawn_comm_create_loopback(1, 5, &comm, &err))
        ok(false, "%s", err.text);
    if (comm) {
        test_exec(comm, graph);
        test_offload(comm, graph);
    }
    dawn_comm_destroy(comm);
    dawn_graph_destroy(graph);
    return done_testing();
}
