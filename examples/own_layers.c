/* SPDX-License-Identifier: Apache-2.0 */
/* A trainer of your own: two kinds of layers as callbacks, your data, your
 * main(); the library measures the layers, plans the stages and trains.
 *
 *     cc -O2 -o own_layers own_layers.c \
 *         $(pkg-config --cflags --libs dawnpiper-run) -lm
 *     mpirun -n 2 ./own_layers
 */
#include <dawnpiper/exec.h>
#include <dawnpiper/measure.h>
#include <dawnpiper/op.h>
#include <dawnpiper/planner.h>
#include <math.h>
#include <stdio.h>

enum { WIDTH = 48, BLOCKS = 4, BATCH = 16, MICROBATCHES = 4, STEPS = 200 };

/* Layer one: y = tanh(x W). Its backward needs x and y. */
static int block_forward(void *user, const struct dawn_op_args *a)
{
    const float *x = a->in[0], *w = a->param[0];
    float *y = a->out[0];
    for (int64_t s = 0; s < a->microbatch; s++, x += WIDTH)
        for (int j = 0; j < WIDTH; j++) {
            float sum = 0;
            for (int i = 0; i < WIDTH; i++)
                sum += x[i] * w[j * WIDTH + i];
            *y++ = tanhf(sum);
        }
    return 0;
}

static int block_backward_input(void *user, const struct dawn_op_args *a)
{
    const float *y = a->out[0], *w = a->param[0], *dy = a->dout[0];
    float *dx = a->din[0]; /* x has one user: a->din_add[0] is NULL */
    for (int64_t s = 0; s < a->microbatch; s++, dx += WIDTH) {
        for (int i = 0; i < WIDTH; i++)
            dx[i] = 0;
        for (int j = 0; j < WIDTH; j++, y++, dy++)
            for (int i = 0; i < WIDTH; i++)
                dx[i] += *dy * (1 - *y * *y) * w[j * WIDTH + i];
    }
    return 0;
}

static int block_backward_param(void *user, const struct dawn_op_args *a)
{
    const float *x = a->in[0], *y = a->out[0], *dy = a->dout[0];
    float *dw = a->dparam[0];
    for (int i = 0; i < WIDTH * WIDTH && !a->dparam_add; i++)
        dw[i] = 0;
    for (int64_t s = 0; s < a->microbatch; s++, x += WIDTH)
        for (int j = 0; j < WIDTH; j++, y++, dy++)
            for (int i = 0; i < WIDTH; i++)
                dw[j * WIDTH + i] += *dy * (1 - *y * *y) * x[i];
    return 0;
}

static const struct dawn_layer_fns block = {
    block_forward, block_backward_input, block_backward_param, NULL};

/* Layer two, the loss: the mean of (x - target)^2. */
static int loss_forward(void *user, const struct dawn_op_args *a)
{
    const float *x = a->in[0], *target = a->in[1];
    float sum = 0;
    for (int64_t i = 0; i < a->microbatch * WIDTH; i++)
        sum += (x[i] - target[i]) * (x[i] - target[i]);
    *(float *)a->out[0] = sum / (float)(a->microbatch * WIDTH);
    return 0;
}

static int loss_backward_input(void *user, const struct dawn_op_args *a)
{
    const float *x = a->in[0], *target = a->in[1], *dloss = a->dout[0];
    float *dx = a->din[0], scale = *dloss * 2 / (float)(a->microbatch * WIDTH);
    for (int64_t i = 0; i < a->microbatch * WIDTH; i++)
        dx[i] = scale * (x[i] - target[i]);
    return 0;
}

static const struct dawn_layer_fns loss = {loss_forward, loss_backward_input,
                                           NULL, NULL};

static int add_block(struct dawn_graph *g, int i, int x)
{
    char weight[32], name[32];
    snprintf(name, sizeof name, "block%d", i);
    snprintf(weight, sizeof weight, "block%d.weight", i);
    int w = dawn_graph_add_param(g, &(struct dawn_param_desc){
        weight, 2, {WIDTH, WIDTH}, DAWN_INIT_NORMAL, 0.2, true});
    struct dawn_tensor_desc y = {name, DAWN_F32, true, false, 1, {WIDTH}};
    int node = dawn_graph_add_node(g, &(struct dawn_node_desc){
        .name = name, .op = "layer", .inputs = 1, .input = &x, .params = 1,
        .param = &w, .outputs = 1, .output = &y, .save_inputs = 1,
        .save_outputs = 1, .fns = &block});
    return dawn_graph_output(g, node, 0);
}

static enum dawn_status build(struct dawn_graph **g_p, struct dawn_error *err)
{
    enum dawn_status st = dawn_graph_create("own_layers", g_p, err);
    if (st)
        return st;
    struct dawn_tensor_desc x = {"x", DAWN_F32, true, true, 1, {WIDTH}};
    struct dawn_tensor_desc t = {"target", DAWN_F32, true, true, 1, {WIDTH}};
    struct dawn_tensor_desc out = {"loss", DAWN_F32, false, false, 0, {0}};
    int in[2] = {dawn_graph_add_input(*g_p, &x)};
    in[1] = dawn_graph_add_input(*g_p, &t);
    for (int i = 0; i < BLOCKS; i++)
        in[0] = add_block(*g_p, i, in[0]);
    int node = dawn_graph_add_node(*g_p, &(struct dawn_node_desc){
        .name = "loss", .op = "layer", .inputs = 2, .input = in, .outputs = 1,
        .output = &out, .save_inputs = 3, .fns = &loss});
    dawn_graph_set_loss(*g_p, dawn_graph_output(*g_p, node, 0));
    return dawn_graph_finish(*g_p, err);
}

/* Every sample is a function of its number: x random, target sin(3 x) / 2. */
static int feed(void *user, const struct dawn_feed *what, void *data)
{
    uint64_t first = what->step * BATCH * MICROBATCHES + what->sample;
    float *to = data;
    for (uint64_t n = first; n < first + (uint64_t)what->samples; n++)
        for (uint64_t i = 0, r = n; i < WIDTH; i++) {
            r = r * 6364136223846793005u + 1442695040888963407u;
            float x = (float)(r >> 40) * 0x1p-23f - 1;
            *to++ = what->name[0] == 'x' ? x : sinf(3 * x) / 2;
        }
    return 0;
}

static enum dawn_status train(struct dawn_comm *comm, struct dawn_error *err)
{
    struct dawn_graph *graph;
    struct dawn_profile *profile;
    struct dawn_plan *plan;
    struct dawn_exec *exec;
    struct dawn_step_result r;
    int64_t size = BATCH;
    struct dawn_measure_opts measure = {
        .comm = comm, .sizes = 1, .size = &size, .feed = feed};
    struct dawn_planner_opts planner = {
        .stages = dawn_comm_size(comm), .microbatches = MICROBATCHES};
    enum dawn_status st = build(&graph, err);
    if (st || (st = dawn_profile_measure(graph, &measure, &profile, err)) ||
        (st = dawn_planner_run(profile, NULL, &planner, &plan, err)))
        return st;
    struct dawn_exec_opts opts = {
        .graph = graph, .plan = plan, .comm = comm, .seed = 1, .feed = feed};
    if ((st = dawn_exec_create(&opts, &exec, err)) ||
        (st = dawn_exec_init(exec, err)))
        return st;
    for (uint64_t step = 0; step < STEPS; step++) {
        if ((st = dawn_exec_step(exec, step, 3e-3, &r, err)))
            return st;
        if (dawn_comm_rank(comm) == 0 && (step % 20 == 0 || step == STEPS - 1))
            printf("step %3d  loss %.5f\n", (int)step, r.loss);
    }
    dawn_exec_destroy(exec);
    dawn_plan_destroy(plan);
    dawn_profile_destroy(profile); /* and the graph with it */
    return DAWN_OK;
}

int main(void)
{
    struct dawn_error err = {0};
    struct dawn_comm *comm;
    enum dawn_status st = dawn_comm_create_mpi(300, &comm, &err);
    if (!st && (st = train(comm, &err))) {
        fprintf(stderr, "own_layers: %s\n", err.text);
        dawn_comm_abort(comm, 1);
    }
    if (!st)
        dawn_comm_destroy(comm);
    return st != DAWN_OK;
}
