/* SPDX-License-Identifier: Apache-2.0 */
/* dawn-train: train a job's model under a plan, one rank a stage. */
#include "train.h"
#include <stdlib.h>

#define MOST_STEPS ((int64_t)1 << 40) /* as job.yaml has */

enum {
    KEY_PLAN = 2000,
    KEY_STEPS,
    KEY_RESUME,
    KEY_ACCEPT_CHANGES,
    KEY_TIMEOUT,
    KEY_VERIFY,
    KEY_EVALUATE,
    KEY_OFFLOAD_DIR,
    KEY_CHECKED,
    KEY_FISHER,
    KEY_BATCH_MEAN,
    KEY_SAMPLES,
    KEY_JSON
};

static const struct argp_option options[] = {
    {"plan", KEY_PLAN, "FILE", 0, "train under this plan; required", 0},
    {"steps", KEY_STEPS, "N", 0, "stop after N steps (the job's)", 0},
    {"resume", KEY_RESUME, NULL, 0,
     "go on from the newest complete checkpoint, on any number of stages", 0},
    {"accept-changes", KEY_ACCEPT_CHANGES, NULL, 0,
     "with --resume: go on although the job's data, learning rate, optimizer "
     "or "
     "model have changed",
     0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "end the job when nothing moves for so long (300)", 0},
    {"verify", KEY_VERIFY, NULL, 0,
     "compare one step with the same on one stage, bit by bit, and train "
     "nothing",
     0},
    {"evaluate", KEY_EVALUATE, "FILE", 0,
     "print the loss of the run's newest checkpoint on FILE, and train nothing",
     0},
    {"offload-dir", KEY_OFFLOAD_DIR, "DIR", 0,
     "folder on the disk that the plan offloads to; nothing is left there "
     "(the plan's offload_dir, else $TMPDIR, or /tmp)",
     0},
    {"checked", KEY_CHECKED, NULL, 0,
     "see that what is read back from host memory or disk is what was written",
     0},
    {"fisher", KEY_FISHER, "CORPUS", 0,
     "train nothing: write the Fisher information of the job's newest "
     "checkpoint on CORPUS to the folder of -o",
     0},
    {"output", 'o', "DIR", 0, "with --fisher: where to write", 0},
    {"samples", KEY_SAMPLES, "N", 0,
     "with --fisher: the first N windows of the corpus (all)", 0},
    {"fisher-of-batch-mean", KEY_BATCH_MEAN, NULL, 0,
     "with --fisher: square the mean gradient of each step, which is no Fisher "
     "information, to compare with those who do",
     0},
    {"json", KEY_JSON, NULL, 0,
     "print each step's metrics on stdout, the rest on stderr", 0},
    {0},
};

static void parse_timeout(struct trainer *t, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds > 0) || seconds > 1e9)
        cli_usage(&t->cli,
                  "--timeout %s: not a number of seconds above 0 and at most "
                  "1e9",
                  text);
    else
        t->options.timeout_s = seconds;
}

static void parse_job(struct trainer *t, const char *path)
{
    if (t->options.job)
        cli_usage(&t->cli, "one job only, not %s too", path);
    t->options.job = path;
}

static error_t parse_fisher(int key, char *arg, struct trainer *t)
{
    switch (key) {
    case KEY_FISHER:
        t->options.fisher = arg;
        return 0;
    case 'o':
        t->options.output = arg;
        return 0;
    case KEY_SAMPLES:
        if (!cli_int(arg, 1, INT32_MAX, &t->options.samples))
            cli_usage(&t->cli, "--samples %s: not a number from 1 to %d", arg,
                      INT32_MAX);
        return 0;
    case KEY_BATCH_MEAN:
        t->options.of_batch_mean = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What goes together. */
static void check(struct trainer *t)
{
    const struct options *o = &t->options;

    if (!o->job)
        cli_usage(&t->cli, "no JOB given");
    if (!o->plan)
        cli_usage(&t->cli, "no --plan given");
    if (o->resume + o->verify + (o->evaluate != NULL) > 1)
        cli_usage(&t->cli,
                  "--resume, --verify and --evaluate exclude each other");
    if (o->accept_changes && !o->resume)
        cli_usage(&t->cli, "--accept-changes goes with --resume");
    if (!o->fisher && (o->output || o->samples || o->of_batch_mean))
        cli_usage(&t->cli, "-o, --samples and --fisher-of-batch-mean go with "
                           "--fisher");
    if (!o->fisher)
        return;
    if (!o->output)
        cli_usage(&t->cli, "--fisher wants a folder to write: -o DIR");
    else if (!*o->output)
        cli_usage(&t->cli, "-o '': the folder has no name");
    if (o->resume || o->verify || o->evaluate || o->steps || o->json)
        cli_usage(&t->cli, "--fisher excludes --resume, --verify, --evaluate, "
                           "--steps and --json");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct trainer *t = state->input;

    switch (key) {
    case KEY_PLAN:
        t->options.plan = arg;
        return 0;
    case KEY_STEPS:
        if (!cli_int(arg, 1, MOST_STEPS, &t->options.steps))
            cli_usage(&t->cli, "--steps %s: not a number from 1 to %lld", arg,
                      (long long)MOST_STEPS);
        return 0;
    case KEY_RESUME:
        t->options.resume = true;
        return 0;
    case KEY_ACCEPT_CHANGES:
        t->options.accept_changes = true;
        return 0;
    case KEY_TIMEOUT:
        parse_timeout(t, arg);
        return 0;
    case KEY_VERIFY:
        t->options.verify = true;
        return 0;
    case KEY_EVALUATE:
        t->options.evaluate = arg;
        return 0;
    case KEY_OFFLOAD_DIR:
        t->options.offload_dir = arg;
        return 0;
    case KEY_CHECKED:
        t->options.checked = true;
        return 0;
    case KEY_JSON:
        t->options.json = true;
        return 0;
    case ARGP_KEY_ARG:
        parse_job(t, arg);
        return 0;
    case ARGP_KEY_END:
        check(t);
        return 0;
    default:
        return parse_fisher(key, arg, t);
    }
}

static const struct argp argp = {
    options,
    parse,
    "JOB --plan PLAN",
    "Train a job's model under a plan, one MPI rank a stage.\v"
    "Metrics go to metrics.jsonl in the job's out: folder, checkpoints beside "
    "it. SIGTERM, SIGINT or SIGUSR1 to a rank, or SIGUSR1 to mpirun: finish "
    "the step, write a checkpoint (with --fisher: what was observed), stop. "
    "^C: the same, but mpirun leaves a second for it. "
    "Exit status: 0 fine, 1 failed, 2 wrong usage.",
    NULL,
    NULL,
    NULL};

int main(int argc, char **argv)
{
    static const int by_content[] = {KEY_PLAN, KEY_EVALUATE, KEY_FISHER, 0};
    struct trainer t = {
        .cli = {.program = "dawn-train", .by_content = by_content},
        .options = {.timeout_s = 300}};

    cli_parse(&t.cli, &argp, argc, argv, &t);
    int code = cli_join(&t.cli, t.options.timeout_s);
    if (!code)
        code = train_setup(&t);
    if (!code)
        code = t.options.fisher     ? train_fisher(&t)
               : t.options.verify   ? train_verify(&t)
               : t.options.evaluate ? train_evaluate(&t)
                                    : train_loop(&t);
    train_clear(&t);
    return code;
}
