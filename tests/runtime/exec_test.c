/* SPDX-License-Identifier: Apache-2.0 */
/* The executor: the same bits for every plan, memory as predicted, failures
 * that reach all ranks and hang none.
 */
#include "rig.h"
#include "tap.h"
#include <dawnpiper/op.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const keeps[] = {
    "keep",        "recompute all",      "recompute some",
    "all to disk", "all to host memory", "something of everything"};

static void test_same_bits(enum dawn_dtype dtype, bool fused, double dropout)
{
    struct rig_case base = {.model = rig_model(dtype),
                            .schedule = "1f1b",
                            .stages = 1,
                            .microbatches = 4,
                            .clip = 1};
    base.model.fused_attention = fused;
    base.model.dropout = dropout;
    struct rig_result one, r;
    rig_run(&base, &one);
    if (!is_int(one.status[0], DAWN_OK, "%s%s: one stage runs",
                dawn_dtype_name(dtype), fused ? "" : " unfused"))
        diag("%s", one.error[0].text);
    ok(one.loss[RIG_STEPS - 1] < one.loss[0], "the loss falls, %g to %g",
       one.loss[0], one.loss[RIG_STEPS - 1]);
    ok(isfinite(one.eval), "an evaluation gives %g", one.eval);
    for (int k = 0; k < 2; k++)
        for (int stages = 1; stages <= 6; stages++)
            for (int re = 0; re < 6; re++) {
                struct rig_case c = base;
                c.schedule = k ? "gpipe" : "1f1b";
                c.stages = stages;
                c.recompute = re;
                rig_run(&c, &r);
                if (!ok(rig_same(&one, &r),
                        "%s%s, %s, %d stages, %s: same bits",
                        dawn_dtype_name(dtype), fused ? "" : " unfused",
                        c.schedule, stages, keeps[re]))
                    diag("status %d %s, loss %a, not %a", r.status[0],
                         r.error[0].text, r.loss[0], one.loss[0]);
                for (int i = 0; i < stages; i++)
                    is_u64(r.peak[i], r.predicted[i],
                           "rank %d: peak as predicted", i);
            }
}

static void test_few_microbatches(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 4,
                         .microbatches = 2,
                         .clip = 1};
    struct rig_result a, b;
    rig_run(&c, &a);
    c.stages = 1;
    rig_run(&c, &b);
    ok(rig_same(&a, &b), "2 microbatches on 4 stages: same bits");
}

static void test_chunks(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 1,
                         .microbatches = 4,
                         .clip = 1};
    struct rig_result a, b;
    c.model.dropout = 0.1;
    rig_run(&c, &a);
    c.stages = 5;
    c.ranks = 2;
    for (c.recompute = 0; c.recompute < 6; c.recompute++) {
        rig_run(&c, &b);
        if (!ok(rig_same(&a, &b),
                "5 stages on 2 ranks, %s: same bits, evaluation too",
                keeps[c.recompute]))
            diag("%s", b.error[0].text);
    }
}

static void test_no_disk(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 3,
                         .microbatches = 3,
                         .recompute = 3,
                         .offload_dir = "/nonexistent"};
    struct rig_result r;
    rig_run(&c, &r);
    for (int i = 0; i < 3; i++)
        ok(r.status[i] == DAWN_E_IO && strstr(r.error[i].text, "/nonexistent"),
           "rank %d: no disk to offload to: %s", i, r.error[i].text);
}

/* An evaluation drops nothing out. */
static void test_eval_dropout(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 1,
                         .microbatches = 4,
                         .no_steps = true};
    struct rig_result a, b;
    rig_run(&c, &a);
    c.model.dropout = 0.5;
    rig_run(&c, &b);
    ok(a.eval > 0 && a.eval == b.eval,
       "held-out loss %a without dropout, %a "
       "with",
       a.eval, b.eval);
}

/* Every rank spoils what it owns of the second block's norm. */
static void spoil(struct dawn_exec *exec, int step)
{
    for (int i = 0; step == 2 && i < dawn_exec_params(exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(exec, i);
        if (strcmp(p->name, "h.1.ln_1.weight") == 0)
            p->value[0] = NAN;
    }
}

static void test_nonfinite(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 3,
                         .microbatches = 4,
                         .before = spoil};
    struct rig_result r;
    rig_run(&c, &r);
    ok(!r.nonfinite[1] && r.nonfinite[2], "a NaN is noticed in its step");
    is_str(r.bad_node[2], "block1.ln1", "the first node that made it is named");
    for (int i = 0; i < 3; i++)
        is_int(r.status[i], DAWN_OK, "rank %d goes on", i);
}

static int bad_feed(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    memset(data, 0, (size_t)what->samples * 16 * 4);
    return strcmp(what->name, "targets") == 0 && what->step == 1;
}

static void test_bad_feed(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "gpipe",
                         .stages = 3,
                         .microbatches = 3,
                         .feed = bad_feed};
    struct rig_result r;
    rig_run(&c, &r);
    for (int i = 0; i < 3; i++) {
        is_int(r.status[i], DAWN_E_USER, "rank %d: the feed's failure", i);
        ok(strstr(r.error[i].text, "feed of 'targets', step 1") != NULL,
           "rank %d: %s", i, r.error[i].text);
    }
}

static int bad_token(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    memset(data, 0, (size_t)what->samples * 16 * 4);
    if (what->step == 1 && strcmp(what->name, "tokens") == 0)
        *(int32_t *)data = 61;
    return 0;
}

static void test_bad_token(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 2,
                         .microbatches = 2,
                         .feed = bad_token};
    struct rig_result r;
    rig_run(&c, &r);
    for (int i = 0; i < 2; i++) {
        is_int(r.status[i], DAWN_E_INVAL, "rank %d: a token out of range", i);
        ok(strstr(r.error[i].text, "61") != NULL, "rank %d: %s", i,
           r.error[i].text);
    }
}

/* An executor's options, of one rank. */
static void test_options(void)
{
    const struct {
        struct dawn_exec_opts opts;
        const char *wanted; /* in the error; NULL: none */
    } row[] = {
        {{.threads = 2}, NULL},
        {{.threads = 4097}, "4097 threads, must be 0 to 4096"},
        {{.threads = -1}, "-1 threads"},
        {{.beta1 = 1}, "beta1 1,"},
        {{.beta1 = -0.1}, "beta1 -0.1,"},
        {{.beta2 = 1 - 1e-12}, "beta2 1:"},
        {{.beta2 = NAN}, "beta2 nan:"},
        {{.eps = -1e-8}, "eps -1e-08,"},
        {{.eps = 1e-50}, "eps 1e-50: is too small for f32"},
        {{.weight_decay = 1e39}, "weight_decay 1e+39: must be finite"},
        {{.weight_decay = -1}, "weight_decay -1:"},
        {{.weight_decay = NAN}, "weight_decay nan:"},
        {{.clip = -1}, "clip -1,"},
        {{.clip = NAN}, "clip nan,"},
    };
    struct dawn_model_opts model = rig_model(DAWN_F32);
    struct dawn_plan_info info = {.policy = "hand",
                                  .schedule = "gpipe",
                                  .stages = 1,
                                  .ranks = 1,
                                  .microbatches = 1,
                                  .microbatch = 1};
    struct dawn_plan_stage stage = {0};
    struct dawn_graph *graph = NULL;
    struct dawn_plan *plan = NULL;
    struct dawn_comm *comm = NULL;

    dawn_model_build(&model, &graph, NULL);
    stage.last = dawn_graph_nodes(graph) - 1;
    is_int(dawn_plan_create(graph, &info, &stage, &plan, NULL), DAWN_OK,
           "a plan of one stage");
    is_int(dawn_comm_create_loopback(1, 1, &comm, NULL), DAWN_OK, "one rank");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct dawn_exec_opts opts = row[i].opts;
        struct dawn_exec *e = NULL;
        struct dawn_error err = {0};
        opts.graph = graph;
        opts.plan = plan;
        opts.comm = comm;
        opts.feed = bad_feed;
        enum dawn_status st = dawn_exec_create(&opts, &e, &err);
        const char *wanted = row[i].wanted;
        ok(wanted ? st == DAWN_E_INVAL && strstr(err.text, wanted)
                  : st == DAWN_OK,
           "options, row %d: %s", (int)i, wanted ? err.text : "fine");
        dawn_exec_destroy(e);
    }
    dawn_comm_destroy(comm);
    dawn_plan_destroy(plan);
    dawn_graph_destroy(graph);
}

static void tell_seed(struct dawn_exec_opts *o, int rank)
{
    o->seed += rank == 1;
}

static void tell_numbers(struct dawn_exec_opts *o, int rank)
{
    if (rank != 1)
        return;
    o->beta1 = 0.5;
    o->beta2 = 0.25;
    o->eps = 1e-4;
    o->weight_decay = 0;
    o->clip = 2;
    o->trace = true;
}

/* Two ranks, and microbatches moved from one plan to the other. */
static void tell_plan(struct dawn_exec_opts *o, int rank)
{
    if (rank == 1)
        dawn_plan_info(o->plan)->microbatches++;
}

/* What is only this rank's business, or the default in other words. */
static void tell_nothing(struct dawn_exec_opts *o, int rank)
{
    if (rank != 1)
        return;
    o->threads = 2;
    o->timeout_s = 100;
    o->checked = false;
    o->offload_dir = "/nowhere";
    o->beta1 = 0.9;
    o->beta2 = 0.95;
    o->eps = 1e-8;
    o->passes = "";
}

static void test_told(void)
{
    static const struct {
        void (*tell)(struct dawn_exec_opts *opts, int rank);
        const char *wanted; /* all of the text, or how it begins; NULL: fine */
    } row[] = {
        {tell_seed, "rank 1 differs from rank 0: seed is 8, there 7"},
        {tell_numbers,
         "rank 1 differs from rank 0: beta1 is 0.5, there 0.9; beta2 is 0.25, "
         "there 0.95; eps is 0.0001, there 1.0e-08; weight_decay is 0, there "
         "0.1; clip is 2, there 0; trace is 1, there 0"},
        {tell_plan, "rank 1 differs from rank 0: the plan is xxh3:"},
        {tell_nothing, NULL},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct rig_case c = {.model = rig_model(DAWN_F32),
                             .schedule = "gpipe",
                             .stages = 2,
                             .microbatches = 2,
                             .steps = 1,
                             .tell = row[i].tell};
        struct rig_result r;
        rig_run(&c, &r);
        for (int rank = 0; rank < 2; rank++)
            ok(row[i].wanted ? r.status[rank] == DAWN_E_MISMATCH &&
                                   !strncmp(r.error[rank].text, row[i].wanted,
                                            strlen(row[i].wanted))
                             : r.status[rank] == DAWN_OK,
               "ranks that are told different things, row %d: %s", (int)i,
               r.error[rank].text);
    }
}

static void test_other_steps(void)
{
    static const struct {
        double lr;
        uint64_t late;
        const char *wanted;
    } row[] = {
        {0.5, 0,
         "rank 1 was given step 0 and lr 0.5, rank 0 step 0 and lr 0.25"},
        {0, 3,
         "rank 1 was given step 3 and lr 0.25, rank 0 step 0 and lr 0.25"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct rig_case c = {.model = rig_model(DAWN_F32),
                             .schedule = "1f1b",
                             .stages = 2,
                             .microbatches = 2,
                             .lr = 0.25,
                             .lr_of_rank_1 = row[i].lr,
                             .late_of_rank_1 = row[i].late};
        struct rig_result r;
        rig_run(&c, &r);
        for (int rank = 0; rank < 2; rank++) {
            is_int(r.status[rank], DAWN_E_INVAL, "rank %d ends", rank);
            is_str(r.error[rank].text, row[i].wanted, "it says why");
        }
    }
}

/* A loss that is a layer of the caller's: the mean of the numbers that are fed,
 * times a weight, which is drawn as 1. */
static int mean_forward(void *user, const struct dawn_op_args *a)
{
    (void)user;
    const float *x = a->in[0];
    float sum = 0;
    for (int64_t i = 0; i < a->microbatch; i++)
        sum += x[i];
    *(float *)a->out[0] = *a->param[0] * sum / (float)a->microbatch;
    return 0;
}

static int mean_backward(void *user, const struct dawn_op_args *a)
{
    (void)user;
    *a->dparam[0] = 0;
    return 0;
}

static struct dawn_graph *build_mean(enum dawn_dtype dtype)
{
    static const struct dawn_layer_fns fns = {mean_forward, NULL, mean_backward,
                                              NULL};
    struct dawn_tensor_desc out = {"loss", DAWN_F32, false, false, 0, {0}};
    struct dawn_tensor_desc in = {"x", dtype, true, false, 1, {1}};
    struct dawn_param_desc weight = {
        .name = "w", .dims = 1, .shape = {1}, .init = DAWN_INIT_ONE};
    struct dawn_graph *g = NULL;
    if (dawn_graph_create("mean", &g, NULL))
        abort();
    int x = dawn_graph_add_input(g, &in), w = dawn_graph_add_param(g, &weight);
    struct dawn_node_desc node = {.name = "loss",
                                  .op = "layer",
                                  .inputs = 1,
                                  .input = &x,
                                  .params = 1,
                                  .param = &w,
                                  .outputs = 1,
                                  .output = &out,
                                  .fns = &fns};
    dawn_graph_set_loss(g,
                        dawn_graph_output(g, dawn_graph_add_node(g, &node), 0));
    if (dawn_graph_finish(g, NULL))
        abort();
    return g;
}

static int feed_squares(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    for (int64_t i = 0; i < what->samples; i++) {
        float x = (float)(what->sample + (uint64_t)i);
        ((float *)data)[i] = x * x;
    }
    return 0;
}

/* Five samples, of which a microbatch of 2 or 3 leaves a part of one. */
static void test_eval_samples(void)
{
    struct rig_case c = {.build = build_mean,
                         .model.dtype = DAWN_F32,
                         .schedule = "1f1b",
                         .stages = 1,
                         .microbatches = 1,
                         .no_steps = true,
                         .feed = feed_squares};
    for (c.microbatch = 1; c.microbatch <= 8; c.microbatch++) {
        struct rig_result r;
        rig_run(&c, &r);
        if (!is_near(r.eval, (0 + 1 + 4 + 9 + 16) / 5.0, 1e-6,
                     "microbatch %d: the mean of 5 samples", (int)c.microbatch))
            diag("status %d %s", r.status[0], r.error[0].text);
    }
}

int main(void)
{
    plan_lazy();
    test_same_bits(DAWN_F32, true, 0);
    test_same_bits(DAWN_BF16, true, 0.1);
    test_same_bits(DAWN_F32, false, 0.1);
    test_few_microbatches();
    test_chunks();
    test_eval_dropout();
    test_eval_samples();
    test_nonfinite();
    test_bad_feed();
    test_bad_token();
    test_options();
    test_told();
    test_other_steps();
    test_no_disk();
    return done_testing();
}
