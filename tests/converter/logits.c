/* SPDX-License-Identifier: Apache-2.0 */
/* logits JOB CHECKPOINT TEXT: what a model makes of the first bytes of a text,
 * a line a place. For bench/hf_logits; looks inside the executor, since a job
 * trains and keeps no logits.
 */
#include "runtime/exec.h"
#include <dawnpiper/checkpoint.h>
#include <dawnpiper/job.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    FILE *file;
    int64_t context;
};

static int feed(void *user, const struct dawn_feed *what, void *data)
{
    struct text *text = user;
    int32_t *token = data;
    bool targets = strcmp(what->name, "targets") == 0;

    fseek(text->file, targets, SEEK_SET);
    for (int64_t i = 0; i < text->context; i++) {
        int c = fgetc(text->file);
        if (c < 0)
            return 1;
        token[i] = c;
    }
    return 0;
}

static enum dawn_status load(struct dawn_exec *e, const char *path,
                             struct dawn_error *err)
{
    struct dawn_checkpoint *ck;
    enum dawn_status st = dawn_exec_init(e, err);

    if (st || (st = dawn_checkpoint_open(NULL, path, &ck, err)))
        return st;
    for (int i = 0; i < dawn_exec_params(e) && !st; i++) {
        const struct dawn_exec_param *p = dawn_exec_param(e, i);
        const struct dawn_param_desc *d = dawn_graph_param(e->graph, p->param);
        st =
            dawn_checkpoint_read(ck, p->name, d->dims, d->shape, p->value, err);
    }
    dawn_checkpoint_close(ck);
    return st ? st : dawn_exec_params_changed(e, err);
}

/* What the loss was computed of: nothing runs after it in an evaluation. */
static const float *logits_of(const struct dawn_exec *e)
{
    int loss = dawn_graph_producer(e->graph, e->graph->loss);

    for (int k = e->program->step_instrs; k < e->program->instrs; k++) {
        const struct dawni_instr *i = &e->program->instr[k];
        if (i->kind == DAWNI_I_F && i->id == loss)
            return e->address[i->operand];
    }
    return NULL;
}

static enum dawn_status print(const struct dawn_job *job, struct dawn_exec *e,
                              struct dawn_error *err)
{
    double loss;
    enum dawn_status st = dawn_exec_eval(e, 1, &loss, err);
    const float *x = logits_of(e);

    if (st || !x)
        return st;
    for (int i = 0; i < job->model.context; i++)
        for (int v = 0; v < job->model.vocab; v++)
            printf("%.9g%c", (double)*x++,
                   v + 1 < job->model.vocab ? ' ' : '\n');
    return DAWN_OK;
}

static enum dawn_status run(const struct dawn_job *job, const char *path,
                            struct text *text, struct dawn_error *err)
{
    struct dawn_graph *graph = NULL;
    struct dawn_plan *plan = NULL;
    struct dawn_comm *alone = NULL;
    struct dawn_exec *e = NULL;
    struct dawn_plan_info info = {
        .schedule = "1f1b", .stages = 1, .ranks = 1, .microbatches = 1};
    struct dawn_plan_stage stage = {0};
    enum dawn_status st = dawn_model_build(&job->model, &graph, err);

    info.microbatch = 1;
    stage.last = st ? 0 : dawn_graph_nodes(graph) - 1;
    if (!st && !(st = dawn_plan_create(graph, &info, &stage, &plan, err)) &&
        !(st = dawn_comm_create_loopback(1, 10, &alone, err))) {
        struct dawn_exec_opts opts = {.graph = graph,
                                      .plan = plan,
                                      .comm = alone,
                                      .seed = 1,
                                      .feed = feed,
                                      .user = text};
        if (!(st = dawn_exec_create(&opts, &e, err)) &&
            !(st = load(e, path, err)))
            st = print(job, e, err);
    }
    dawn_exec_destroy(e);
    dawn_comm_destroy(alone);
    dawn_plan_destroy(plan);
    dawn_graph_destroy(graph);
    return st;
}

int main(int argc, char **argv)
{
    struct dawn_job *job = malloc(sizeof *job);
    struct dawn_error err = {0};
    struct text text = {.file = argc == 4 ? fopen(argv[3], "rb") : NULL};

    if (!job || !text.file) {
        fprintf(stderr, "usage: logits JOB CHECKPOINT TEXT\n");
        return 2;
    }
    enum dawn_status st = dawn_job_load(argv[1], job, &err);
    text.context = st ? 0 : job->model.context;
    if (!st && job->model.dtype != DAWN_F32)
        st = dawn_fail(&err, DAWN_E_INVAL, "%s: dtype is not f32", argv[1]);
    if (!st)
        st = run(job, argv[2], &text, &err);
    if (st)
        fprintf(stderr, "logits: %s\n", err.text);
    fclose(text.file);
    free(job);
    return st ? 1 : 0;
}
