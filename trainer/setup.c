/* SPDX-License-Identifier: Apache-2.0 */
/* From files to something that can step. */
#include "../profiler/told.h"
#include "train.h"
#include <dawnpiper/op.h>
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int fill(void *user, const struct dawn_feed *what, void *data)
{
    const struct trainer *t = user;

    if (t->options.fisher)
        return fisher_fill(t, what, data);
    return feed_fill(t->feed, what, data);
}

/* To the executor 0 is its own default; the least number is 0 in its floats. */
static double beta_of(double beta)
{
    return beta > 0 ? beta : DBL_MIN;
}

struct dawn_exec_opts train_exec_opts(struct trainer *t, struct dawn_plan *plan,
                                      struct dawn_comm *comm)
{
    return (struct dawn_exec_opts){.graph = t->graph,
                                   .plan = plan,
                                   .comm = comm,
                                   .device = t->job.device.kind,
                                   .threads = t->job.device.threads,
                                   .seed = t->job.train.seed,
                                   .feed = fill,
                                   .user = t,
                                   .beta1 = beta_of(t->job.train.beta1),
                                   .beta2 = beta_of(t->job.train.beta2),
                                   .eps = t->job.train.eps,
                                   .weight_decay = t->job.train.weight_decay,
                                   .clip = t->job.train.clip,
                                   .timeout_s = t->options.timeout_s,
                                   .offload_dir = t->options.offload_dir,
                                   .checked = t->options.checked,
                                   .passes = train_passes(t)};
}

static enum dawn_status check_ranks(const struct trainer *t,
                                    struct dawn_error *err)
{
    int wanted = dawn_plan_info(t->plan)->ranks;
    int ranks = dawn_comm_size(t->cli.comm);

    if (ranks == wanted)
        return DAWN_OK;
    return dawn_fail(
        err, DAWN_E_INVAL, "%s is for %d rank%s, this job has %d: mpirun -n %d",
        t->options.plan, wanted, wanted == 1 ? "" : "s", ranks, wanted);
}

/* Devices that dawn-profile measured are called HOST:NUMBER. */
static void warn_host(const struct trainer *t)
{
    int rank = dawn_comm_rank(t->cli.comm);
    const char *wanted = dawn_plan_device(t->plan, rank);
    const char *end = wanted ? strchr(wanted, ':') : NULL;
    char here[256] = "";

    if (!end || gethostname(here, sizeof here - 1) ||
        (strncmp(wanted, here, (size_t)(end - wanted)) == 0 &&
         !here[end - wanted]))
        return;
    fprintf(stderr,
            "dawn-train: warning: the plan wants rank %d on %s, it runs on "
            "%s: see dawn-plan --hostfile\n",
            rank, wanted, here);
}

static enum dawn_status load_plan(struct trainer *t, struct dawn_error *err)
{
    struct dawn_error why;
    enum dawn_status st =
        dawn_plan_load(t->options.plan, t->graph, &t->plan, &why);

    if (st == DAWN_E_MISMATCH)
        return dawn_fail(err, st,
                         "%s: the job is another one, or has changed: run "
                         "dawn-profile and dawn-plan again",
                         why.text);
    return st ? dawn_fail(err, st, "%s", why.text) : DAWN_OK;
}

/* All of the file in place of what the job holds out. */
static enum dawn_status evaluate_file(struct trainer *t, struct dawn_error *err)
{
    if (strlen(t->options.evaluate) >= sizeof t->job.data.eval)
        return dawn_fail(err, DAWN_E_INVAL, "--evaluate: the path is too long");
    strcpy(t->job.data.eval, t->options.evaluate);
    t->job.train.eval_samples = INT64_MAX;
    return DAWN_OK;
}

/* The job, with the files in it that options name instead. */
static enum dawn_status load_job(struct trainer *t, struct dawn_error *err)
{
    enum dawn_status st = dawn_job_load(t->options.job, &t->job, err);

    if (!st && t->options.evaluate)
        st = evaluate_file(t, err);
    if (!st && t->options.fisher)
        st = fisher_use_corpus(t, err);
    return st;
}

/* Does this rank have the job, files and plan of all others? The plan may have
 * failed to load. */
static enum dawn_status compare(const struct trainer *t, struct dawn_error *err)
{
    struct told told = {0};

    if (dawn_comm_size(t->cli.comm) > 1) {
        told_digest(&told, "--plan", t->options.plan,
                    t->plan ? dawn_plan_digest(t->plan) : 0);
        told_file(&told, "--evaluate", t->options.evaluate);
        told_file(&told, "--fisher", t->options.fisher);
        told_job(&told, &t->job);
    }
    return told_compare(&told, &t->cli, err);
}

/* The job, the same one on all ranks, and the plan. Collective. */
static int load_told(struct trainer *t)
{
    struct dawn_error err = {0}, why = {0};
    int code = cli_agree(&t->cli, load_job(t, &err), &err);

    if (code)
        return code;
    enum dawn_status st = dawn_model_build(&t->job.model, &t->graph, &why);
    if (!st)
        st = load_plan(t, &why);
    code = cli_report(&t->cli, compare(t, &err), &err);
    return code ? code : cli_agree(&t->cli, st, &why);
}

static bool trains_nothing(const struct trainer *t)
{
    return t->options.verify || t->options.evaluate;
}

/* Can the model learn at the plan's microbatch? */
static enum dawn_status check_norms(const struct trainer *t,
                                    struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);
    int node = dawn_op_lone_norm(t->graph, info->microbatch, info->passes);

    if (node < 0 || trains_nothing(t))
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_INVAL,
                     "%s: its microbatch of %lld gives %s one value a channel "
                     "to normalize, so nothing in front of it would learn: "
                     "plan more samples with dawn-plan --microbatch",
                     t->options.plan, (long long)info->microbatch,
                     dawn_graph_node(t->graph, node)->name);
}

/* What each rank does by itself before the plan is bound. */
static enum dawn_status load(struct trainer *t, struct dawn_error *err)
{
    enum dawn_status st = check_ranks(t, err);

    if (!st)
        warn_host(t);
    if (!st)
        st = t->options.fisher ? fisher_check(t, err) : passes_check(t, err);
    if (!st)
        st = check_norms(t, err);
    if (!st)
        st = feed_open(&t->job, &t->feed, err);
    if (st || !t->job.data.eval[0] || t->options.fisher)
        return st;
    t->eval_samples = feed_eval_samples(t->feed);
    if (t->eval_samples > t->job.train.eval_samples)
        t->eval_samples = t->job.train.eval_samples;
    return DAWN_OK;
}

static void count(struct trainer *t)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);
    int64_t wanted = t->job.train.microbatch * t->job.train.microbatches;
    bool images = dawn_model_takes_images(&t->job.model);

    t->samples = info->microbatch * info->microbatches;
    t->unit = images ? "images" : "tokens";
    t->units = images ? 1
                      : t->job.model.context +
                            dawn_model_target_context(&t->job.model);
    t->steps =
        t->options.steps ? (uint64_t)t->options.steps : t->job.train.steps;
    if (t->options.fisher || trains_nothing(t))
        return;
    if (t->samples != wanted && cli_first(&t->cli))
        fprintf(stderr,
                "dawn-train: warning: the plan has %lld samples a step, the "
                "job %lld: the plan's are trained\n",
                (long long)t->samples, (long long)wanted);
    if (t->job.train.warmup > t->job.train.steps && cli_first(&t->cli))
        fprintf(stderr,
                "dawn-train: warning: warmup: %llu in a job of %llu steps: lr "
                "is not reached\n",
                (unsigned long long)t->job.train.warmup,
                (unsigned long long)t->job.train.steps);
}

/* Those above the folder; that itself tells whether all went well. */
static enum dawn_status make_parents(const char *path, struct dawn_error *err)
{
    char *above = strdup(path);

    if (!above)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    for (char *at = above; (at = strchr(at + 1, '/')); *at = '/') {
        *at = '\0';
        mkdir(above, 0777);
    }
    free(above);
    return DAWN_OK;
}

enum dawn_status train_make_folder(const char *path, struct dawn_error *err)
{
    enum dawn_status st = *path ? make_parents(path, err) : DAWN_OK;
    struct stat s;

    if (st)
        return st;
    if (mkdir(path, 0777) == 0 ||
        (errno == EEXIST && stat(path, &s) == 0 && S_ISDIR(s.st_mode)))
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_IO, "cannot make folder %s: %s", path,
                     strerror(errno));
}

static const char *output_of(const struct trainer *t)
{
    return t->options.fisher ? t->options.output : t->job.out;
}

/* Rank 0: keep other runs out of the folder, if it is there, until this process
 * ends, however it does. A file system that has no such locks keeps none out.
 */
static enum dawn_status lock_output(struct trainer *t, struct dawn_error *err)
{
    if (t->locked)
        return DAWN_OK;
    t->lock = open(output_of(t), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->lock < 0)
        return DAWN_OK;
    t->locked = true;
    if (flock(t->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_IO, "%s: another run is writing there",
                     output_of(t));
}

enum dawn_status train_refuse(struct trainer *t, struct dawn_error *err)
{
    enum dawn_status st;

    if (!cli_first(&t->cli) || trains_nothing(t))
        return DAWN_OK;
    if ((st = lock_output(t, err)) || t->options.resume)
        return st;
    return state_refuse(output_of(t),
                        t->options.fisher
                            ? "remove it, or write elsewhere with -o"
                            : "go on with --resume, or remove it, or set "
                              "another out: in the job",
                        err);
}

/* Rank 0: the folder of the run, its metrics. */
static enum dawn_status open_output(struct trainer *t, struct dawn_error *err)
{
    char path[4200];
    enum dawn_status st = train_make_folder(t->job.out, err);

    if (!st)
        st = train_refuse(t, err); /* again: it may not have been there */
    snprintf(path, sizeof path, "%s/metrics.jsonl", t->job.out);
    if (!st)
        st = metrics_open(path, t->step, &t->metrics, err);
    if (st)
        return st;
    t->progress = progress_create(t);
    return t->progress ? DAWN_OK
                       : dawn_fail(err, DAWN_E_NOMEM, "no memory to train");
}

static enum dawn_status make_exec(struct trainer *t, struct dawn_error *err)
{
    struct dawn_exec_opts opts = train_exec_opts(t, t->plan, t->cli.comm);
    struct dawn_error why;
    enum dawn_status st = dawn_exec_create(&opts, &t->exec, &why);

    bool planned = st == DAWN_E_INVAL || st == DAWN_E_MISMATCH ||
                   st == DAWN_E_NOFIT || st == DAWN_E_NOTSUP;
    if (planned)
        return dawn_fail(err, st, "%s: %s", t->options.plan, why.text);
    return st ? dawn_fail(err, st, "%s", why.text) : DAWN_OK;
}

static enum dawn_status bind(struct trainer *t, struct dawn_error *err)
{
    enum dawn_status st =
        dawn_comm_agree(t->cli.comm, train_refuse(t, err), err);

    if (st || (st = make_exec(t, err)))
        return st;
    if (t->options.evaluate)
        return state_weights(t, err);
    if (cli_first(&t->cli))
        train_print_memory(t, t->options.json ? stderr : stdout);
    if (t->options.verify)
        return DAWN_OK;
    if (t->options.fisher)
        return state_weights(t, err);
    if ((st = passes_load(t, err)) || (st = changes_note(t, err)))
        return st;
    st = t->options.resume ? state_load(t, err) : state_init(t, err);
    if (st || (st = state_reserve(t, err)))
        return st;
    if (cli_first(&t->cli))
        st = open_output(t, err);
    return dawn_comm_agree(t->cli.comm, st, err);
}

int train_setup(struct trainer *t)
{
    struct dawn_error err = {0};
    int code = load_told(t);

    if (!code)
        code = cli_agree(&t->cli, load(t, &err), &err);
    if (code)
        return code;
    count(t);
    return cli_report(&t->cli, bind(t, &err), &err);
}

void train_clear(struct trainer *t)
{
    state_clear(t);
    progress_destroy(t->progress);
    metrics_close(t->metrics);
    dawn_exec_destroy(t->exec);
    feed_close(t->feed);
    dawn_plan_destroy(t->plan);
    dawn_graph_destroy(t->graph);
    dawn_comm_destroy(t->cli.comm);
    if (t->locked)
        close(t->lock);
}
