/* SPDX-License-Identifier: Apache-2.0 */
/* dawn-convert: checkpoints to and from what other libraries read. */
#include "../profiler/args.h"
#include <dawnpiper/checkpoint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_TO = 1000, KEY_FROM };

struct options {
    const char *job, *from, *output;
    bool import, chosen;
};

static const struct argp_option option[] = {
    {"to", KEY_TO, "FORMAT", 0,
     "read a checkpoint of ours, write FORMAT: hf, a folder of Hugging Face "
     "transformers",
     0},
    {"from", KEY_FROM, "FORMAT", 0, "read FORMAT, write a checkpoint of ours",
     0},
    {"output", 'o', "DIR", 0, "folder to write", 0},
    {0},
};

static const char program[] = "dawn-convert";

static void set_way(struct options *o, const char *format, bool import)
{
    if (strcmp(format, "hf") != 0)
        wrong("unknown format '%s'; there is hf", format);
    if (o->chosen)
        wrong("either --to or --from, and once");
    o->chosen = true;
    o->import = import;
}

static void set_argument(struct options *o, const char *arg)
{
    if (o->from)
        wrong("one JOB and one folder only, not '%s' too", arg);
    if (o->job)
        o->from = arg;
    else
        o->job = arg;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case KEY_TO:
    case KEY_FROM:
        set_way(o, arg, key == KEY_FROM);
        return 0;
    case 'o':
        o->output = arg;
        return 0;
    case ARGP_KEY_ARG:
        set_argument(o, arg);
        return 0;
    case ARGP_KEY_END:
        if (!o->chosen || !o->from || !o->output)
            wrong("--to or --from, JOB, a folder to read and -o are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Shapes do not tell all of a model: not its number of heads. */
static enum dawn_status warn_of_other(const struct dawn_checkpoint *ck,
                                      const struct dawn_job *job,
                                      struct dawn_error *err)
{
    const char *trained = dawn_checkpoint_string(ck, "graph");
    struct dawn_graph *graph = NULL;
    enum dawn_status st = dawn_model_build(&job->model, &graph, err);
    char here[32], what[700];

    if (st)
        return st;
    snprintf(here, sizeof here, "xxh3:%016llx",
             (unsigned long long)dawn_graph_digest(graph));
    dawn_graph_destroy(graph);
    dawn_checkpoint_changes(ck, job, "model.", what, sizeof what);
    if (trained && strcmp(trained, here) != 0)
        fprintf(stderr,
                "%s: warning: %s was not trained by this job's model: what its "
                "shapes do not tell, such as heads, is taken from the "
                "job%s%s\n",
                program, dawn_checkpoint_path(ck), *what ? ": " : "", what);
    return DAWN_OK;
}

static enum dawn_status convert(const struct options *o,
                                const struct dawn_job *job,
                                struct dawn_error *err)
{
    struct dawn_checkpoint *ck = NULL;
    enum dawn_status st;

    if (o->import)
        return dawn_checkpoint_import_hf(o->from, &job->model, o->output, err);
    if ((st = dawn_checkpoint_open(NULL, o->from, &ck, err)))
        return st;
    if (dawn_checkpoint_skipped(ck))
        fprintf(stderr, "%s: warning: %s\n", program,
                dawn_checkpoint_skipped(ck));
    st = dawn_checkpoint_export_hf(ck, &job->model, o->output, err);
    if (!st)
        st = warn_of_other(ck, job, err);
    if (!st)
        printf("%s written from %s\n", o->output, dawn_checkpoint_path(ck));
    dawn_checkpoint_close(ck);
    return st;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = option,
        .parser = parse,
        .args_doc = "JOB FOLDER",
        .doc = "Convert the parameters of a trained GPT-2. JOB is the job.yaml "
               "that says which model it is.\v"
               "Exit codes: 0 fine, 1 it could not be converted, 2 wrong "
               "usage.",
    };
    struct options o = {0};
    struct dawn_error err = {0};
    struct dawn_job *job = malloc(sizeof *job);
    enum dawn_status st;

    args_parse(&(struct args){.program = program, .input = &o}, &argp, argc,
               argv);
    st = job ? dawn_job_load(o.job, job, &err)
             : dawn_fail(&err, DAWN_E_NOMEM, "no memory");
    if (!st)
        st = convert(&o, job, &err);
    free(job);
    if (st)
        fprintf(stderr, "%s: %s\n", program, err.text);
    return st ? 1 : 0;
}
