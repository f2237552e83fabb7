/* SPDX-License-Identifier: Apache-2.0 */
/* What a checkpoint says of the run that wrote it, and how the job and the plan
 * that go on from it differ. A run that goes on is to have the numbers of one
 * that never stopped, so what would have made the past steps others is refused
 * unless --accept-changes is given.
 */
#include "train.h"
#include <dawnpiper/checkpoint.h>
#include <dawnpiper/data.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE_ROOM 512
#define MOST_RATES 65536 /* learning rates of past steps that are compared */

/* What a change of a setting means for the steps that are done. */
enum effect {
    PAST,   /* they would have been others */
    RATE,   /* they would, if their learning rates had been others */
    FREE,   /* none */
    UNSEEN, /* not told: a string of the checkpoint tells more, or nothing
               depends on it any more */
};

/* By the first row that the name begins with. */
static const struct {
    const char *name;
    enum effect effect;
} effects[] = {
    {"data.train", UNSEEN},
    {"data.eval", UNSEEN},
    {"train.steps", RATE},
    {"train.lr", RATE},
    {"train.warmup", RATE},
    {"train.decay", RATE},
    {"train.min_lr", RATE},
    {"train.microbatch", UNSEEN},
    {"train.seed", UNSEEN},
    {"train.eval_", FREE},
    {"train.checkpoint_", FREE},
    {"train.keep", FREE},
    {"train.init", FREE},
    {"device.", FREE},
    {"passes.", UNSEEN},
    {"out", UNSEEN},
    {"", PAST},
};

static enum effect effect_of(const char *name)
{
    int i = 0;

    while (strncmp(name, effects[i].name, strlen(effects[i].name)) != 0)
        i++;
    return effects[i].effect;
}

/* What the checkpoint has besides the job's settings */

static enum dawn_status note_data(const char *path, char *text,
                                  struct dawn_error *err)
{
    uint64_t bytes, digest;
    enum dawn_status st;

    if (!*path) {
        strcpy(text, "none");
        return DAWN_OK;
    }
    if ((st = dawn_data_digest(path, &bytes, &digest, err)))
        return st;
    snprintf(text, FACT_ROOM, "%llu bytes, xxh3:%016llx",
             (unsigned long long)bytes, (unsigned long long)digest);
    return DAWN_OK;
}

/* Where updates come within a step, numbers depend on where the stages are cut.
 */
static void note_schedule(const struct trainer *t, char *text)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);
    size_t n;

    if (strncmp(info->schedule, "async", 5) != 0) {
        strcpy(text, "one update a step");
        return;
    }
    n = (size_t)snprintf(text, FACT_ROOM, "%s, update_every %d, stages from",
                         info->schedule, info->update_every);
    for (int s = 0; s < info->stages && n < FACT_ROOM; s++)
        n += (size_t)snprintf(
            text + n, FACT_ROOM - n, "%s %s", s ? "," : "",
            dawn_graph_node(t->graph, dawn_plan_stage(t->plan, s)->first)
                ->name);
}

enum dawn_status changes_note(struct trainer *t, struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(t->plan);
    struct facts *f = &t->facts;
    enum dawn_status st = DAWN_OK;

    snprintf(f->graph, FACT_ROOM, "xxh3:%016llx",
             (unsigned long long)dawn_graph_digest(t->graph));
    snprintf(f->seed, FACT_ROOM, "%llu", (unsigned long long)t->job.train.seed);
    snprintf(f->samples, FACT_ROOM, "%lld", (long long)t->samples);
    snprintf(f->microbatches, FACT_ROOM, "%d of %lld", info->microbatches,
             (long long)info->microbatch);
    note_schedule(t, f->schedule);
    if (cli_first(&t->cli) &&
        !(st = note_data(t->job.data.train, f->train, err)))
        st = note_data(t->job.data.eval, f->eval, err);
    return dawn_comm_agree(t->cli.comm, st, err);
}

int changes_strings(const struct trainer *t,
                    struct dawn_checkpoint_string *string)
{
    const struct facts *f = &t->facts;
    const struct dawn_checkpoint_string all[MOST_FACTS] = {
        {"graph", f->graph},
        {"seed", f->seed},
        {"samples_per_step", f->samples},
        {"microbatches", f->microbatches},
        {"schedule", f->schedule},
        {"train_data", f->train},
        {"eval_data", f->eval},
        {"passes", t->passes},
    };

    memcpy(string, all, sizeof all);
    return *t->passes ? MOST_FACTS : MOST_FACTS - 1;
}

/* Changes */

struct line {
    char text[LINE_ROOM];
    bool past;
};

struct changes {
    const struct trainer *t;
    const struct dawn_checkpoint *ck;
    bool has_settings, other_rates, other_model;
    int lines;
    struct line *line; /* room for as many as there can be */
};

static void add(struct changes *c, bool past, const char *format, ...)
    DAWN_PRINTF(3, 4);

static void add(struct changes *c, bool past, const char *format, ...)
{
    struct line *line = &c->line[c->lines++];
    va_list args;

    va_start(args, format);
    vsnprintf(line->text, sizeof line->text, format, args);
    va_end(args);
    line->past = past;
}

/* The number that a setting was, or `otherwise` where that is not said. */
static uint64_t whole_number(const struct dawn_checkpoint *ck, const char *key,
                             uint64_t otherwise)
{
    const char *text = dawn_checkpoint_string(ck, key);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static double number(const struct dawn_checkpoint *ck, const char *key,
                     double otherwise)
{
    const char *text = dawn_checkpoint_string(ck, key);

    return text ? strtod(text, NULL) : otherwise;
}

/* The job with the learning rates that the checkpoint's had. */
static struct dawn_job job_of(const struct changes *c)
{
    const char *decay = dawn_checkpoint_string(c->ck, "job.train.decay");
    struct dawn_job then = c->t->job;

    then.train.steps = whole_number(c->ck, "job.train.steps", then.train.steps);
    then.train.warmup =
        whole_number(c->ck, "job.train.warmup", then.train.warmup);
    then.train.lr = number(c->ck, "job.train.lr", then.train.lr);
    then.train.min_lr = number(c->ck, "job.train.min_lr", then.train.min_lr);
    if (decay)
        snprintf(then.train.decay, sizeof then.train.decay, "%s", decay);
    return then;
}

/* Another learning rate in some past step? Where there are very many, of as
 * many spread over them, the last one among them. */
static void compare_rates(struct changes *c)
{
    uint64_t done = dawn_checkpoint_step(c->ck);
    uint64_t looks = done < MOST_RATES ? done : MOST_RATES;
    struct dawn_job then = job_of(c);

    for (uint64_t i = 1; i <= looks && !c->other_rates; i++) {
        uint64_t step = done / looks * i + done % looks * i / looks - 1;
        c->other_rates =
            dawn_job_lr(&then, step) != dawn_job_lr(&c->t->job, step);
    }
    double was = dawn_job_lr(&then, done), is = dawn_job_lr(&c->t->job, done);
    if (was != is)
        add(c, c->other_rates, "train: lr of the next step: %g then, %g now",
            was, is);
}

static void compare_settings(struct changes *c)
{
    struct dawn_checkpoint_change change;
    char text[LINE_ROOM];
    int next = 0, models = 0;

    while (dawn_checkpoint_next_change(c->ck, &c->t->job, &next, &change)) {
        enum effect effect = effect_of(change.now.name);
        bool model = strncmp(change.now.name, "model.", 6) == 0;
        if (effect == UNSEEN || (model && !c->other_model))
            continue;
        models += model;
        dawn_checkpoint_change_text(&change, text, sizeof text);
        add(c, effect == PAST || (effect == RATE && c->other_rates), "%s",
            text);
    }
    c->other_model = c->other_model && !models; /* else it was told */
}

static void compare_string(struct changes *c, const char *key, const char *name,
                           const char *now, bool past)
{
    const char *then = dawn_checkpoint_string(c->ck, key);

    if (then && strcmp(then, now) != 0)
        add(c, past, "%s: %s then, %s now", name, then, now);
}

/* What all checkpoints have. */
static void compare_identity(struct changes *c, const char *key,
                             const char *here)
{
    const char *there = dawn_checkpoint_string(c->ck, key);

    if (strcmp(there ? there : "", here) != 0)
        add(c, true, "%s is %s there, %s here", key, there ? there : "missing",
            here);
}

static void compare_passes(struct changes *c)
{
    const char *found = dawn_checkpoint_string(c->ck, "passes");
    char there[PASSES_ROOM], here[PASSES_ROOM];

    if (strcmp(found ? found : "", c->t->passes) != 0)
        add(c, true, "passes is %s there, %s here", passes_text(found, there),
            passes_text(c->t->passes, here));
}

static void compare(struct changes *c)
{
    const struct facts *f = &c->t->facts;
    const char *graph = dawn_checkpoint_string(c->ck, "graph");

    c->other_model = !graph || strcmp(graph, f->graph) != 0;
    c->has_settings = dawn_checkpoint_string(c->ck, "job.train.steps") != NULL;
    if (c->has_settings)
        compare_rates(c);
    compare_settings(c);
    compare_string(c, "train_data", "data: train", f->train, true);
    compare_string(c, "eval_data", "data: eval", f->eval, false);
    compare_string(c, "schedule", "plan: schedule", f->schedule, true);
    compare_string(c, "microbatches", "plan: microbatches", f->microbatches,
                   false);
    if (c->other_model)
        compare_identity(c, "graph", f->graph);
    compare_identity(c, "samples_per_step", f->samples);
    compare_identity(c, "seed", f->seed);
    compare_passes(c);
}

/* Those that are refused, in one line. */
static enum dawn_status refuse(const struct changes *c, struct dawn_error *err)
{
    char text[700];
    int left = 0;
    size_t n = 0;

    for (int i = 0; i < c->lines; i++) {
        const char *line = c->line[i].text;
        if (!c->line[i].past)
            continue;
        if (left || n + strlen(line) + 32 > sizeof text)
            left++;
        else
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s",
                                  n ? "; " : "", line);
    }
    if (!n && !left)
        return DAWN_OK;
    if (left)
        snprintf(text + n, sizeof text - n, "; and %d more", left);
    return dawn_fail(err, DAWN_E_MISMATCH,
                     "%.200s is of another run, from which --accept-changes "
                     "goes on: %s",
                     dawn_checkpoint_path(c->ck), text);
}

static void print(const struct changes *c, FILE *out)
{
    fprintf(out, "going on from step %llu%s\n",
            (unsigned long long)dawn_checkpoint_step(c->ck),
            c->lines ? ", with changes:" : "");
    for (int i = 0; i < c->lines; i++)
        fprintf(out, "  %s\n", c->line[i].text);
    if (!c->has_settings)
        fprintf(out,
                "  %s holds no settings of its run: what else has changed is "
                "not known\n",
                dawn_checkpoint_path(c->ck));
}

enum dawn_status changes_check(const struct trainer *t,
                               const struct dawn_checkpoint *ck,
                               struct changes **changes_p,
                               struct dawn_error *err)
{
    size_t most = (size_t)dawn_job_settings() + MOST_FACTS + 1;
    struct changes *c;
    enum dawn_status st = DAWN_OK;

    *changes_p = NULL;
    if (!cli_first(&t->cli))
        return DAWN_OK;
    c = calloc(1, sizeof *c + most * sizeof *c->line);
    if (!c)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to compare jobs");
    *c = (struct changes){.t = t, .ck = ck, .line = (struct line *)(c + 1)};
    compare(c);
    if (!t->options.accept_changes)
        st = refuse(c, err);
    if (st)
        free(c);
    else
        *changes_p = c;
    return st;
}

void changes_print(const struct changes *c)
{
    if (c)
        print(c, c->t->options.json ? stderr : stdout);
}

void changes_free(struct changes *c)
{
    free(c);
}

void changes_warn_of_model(const struct trainer *t,
                           const struct dawn_checkpoint *ck)
{
    const char *graph = dawn_checkpoint_string(ck, "graph");
    char here[FACT_ROOM], what[700];

    snprintf(here, sizeof here, "xxh3:%016llx",
             (unsigned long long)dawn_graph_digest(t->graph));
    if (!cli_first(&t->cli) || !graph || strcmp(graph, here) == 0)
        return;
    dawn_checkpoint_changes(ck, &t->job, "model.", what, sizeof what);
    fprintf(stderr,
            "dawn-train: warning: %s is of another model with the same "
            "parameters%s%s\n",
            dawn_checkpoint_path(ck), *what ? ": " : "", what);
}
