/* SPDX-License-Identifier: Apache-2.0 */
/* dawn-train: what its files share. */
#ifndef TRAINER_TRAIN_H
#define TRAINER_TRAIN_H

#include "../profiler/cli.h"
#include "../profiler/feed.h"
#include <dawnpiper/exec.h>
#include <dawnpiper/job.h>
#include <signal.h>
#include <stdio.h>

#define PASSES_ROOM 160

struct options {
    const char *job, *plan;
    int64_t steps; /* 0: the job's */
    double timeout_s;
    const char *offload_dir; /* NULL: not said */
    const char *evaluate;    /* file; NULL: train */
    const char *fisher;      /* corpus; NULL: train */
    const char *output;      /* of --fisher */
    int64_t samples;         /* 0: the whole corpus */
    bool of_batch_mean;
    bool resume, accept_changes, verify, checked, json;
};

/* What a checkpoint has of its run besides the job's settings. */
#define FACT_ROOM 512
#define MOST_FACTS 8 /* strings in a checkpoint */
struct facts {
    char graph[FACT_ROOM], seed[FACT_ROOM], samples[FACT_ROOM];
    char microbatches[FACT_ROOM], schedule[FACT_ROOM];
    char train[FACT_ROOM], eval[FACT_ROOM]; /* rank 0: which data */
};

struct changes;
struct metrics;
struct progress;
struct dawn_checkpoint;
struct dawn_checkpoint_save;

struct trainer {
    struct cli cli;
    struct options options;
    struct dawn_job job;
    struct dawn_graph *graph;
    struct dawn_plan *plan;
    struct feed *feed;
    struct dawn_exec *exec;
    bool locked;                       /* rank 0: out: is this run's */
    int lock;                          /* then: what holds the lock */
    struct metrics *metrics;           /* rank 0 */
    struct progress *progress;         /* rank 0 */
    struct dawn_checkpoint_save *save; /* being written, or NULL */
    float *copy; /* of this rank's parameters and optimizer state; NULL: a save
                    is finished before the next step */
    uint64_t steps;   /* where to stop */
    uint64_t step;    /* steps done */
    uint64_t kept;    /* step of the newest checkpoint that was begun or read */
    int64_t samples;  /* of a step */
    const char *unit; /* what is counted: "tokens" or "images" */
    int64_t units;    /* of a sample */
    int64_t eval_samples;     /* of an evaluation; 0: nothing is held out */
    char passes[PASSES_ROOM]; /* what they are and hold; "": none */
    struct facts facts;
    uint64_t fisher_samples;
};

/* Everything about one step that is worth keeping. */
struct step_record {
    uint64_t step;
    double lr;
    const struct dawn_step_result *result;
    bool has_eval;
    double eval_loss;
};

/* The executor's options, as the job says, for any plan and communicator. */
struct dawn_exec_opts train_exec_opts(struct trainer *t, struct dawn_plan *plan,
                                      struct dawn_comm *comm);

/* setup.c: load and bind everything; returns CLI_FINE or an exit code, the same
 * on every rank, after one line about what is wrong. */
int train_setup(struct trainer *t);
void train_clear(struct trainer *t);

/* setup.c: make a folder and those above it; they may be there already. */
enum dawn_status train_make_folder(const char *path, struct dawn_error *err);

/* setup.c, rank 0: an output folder that another run writes to, or has written
 * to unless this one resumes, is refused; else, if it is there, it is locked.
 */
enum dawn_status train_refuse(struct trainer *t, struct dawn_error *err);

/* memory.c: print what each rank's memory is for, as the plan predicts it and
 * as the executor computes it. */
void train_print_memory(const struct trainer *t, FILE *out);

/* What the plan predicts for a rank; NULL: nothing (a plan written by hand). */
const struct dawn_plan_stage *train_prediction(const struct trainer *t,
                                               int rank);

/* passes.c: names of the passes, as plans have them; fill them. Collective. */
const char *train_passes(const struct trainer *t);
enum dawn_status passes_load(struct trainer *t, struct dawn_error *err);
/* Are they those that the plan was priced with? */
enum dawn_status passes_check(const struct trainer *t, struct dawn_error *err);
/* For people: what passes_load left in t->passes, or a checkpoint has; NULL is
 * none. text: room for it. */
const char *passes_text(const char *passes, char text[PASSES_ROOM]);

/* fisher.c: collect Fisher information. Returns an exit code. */
int train_fisher(struct trainer *t);
/* Does the plan suit? The corpus is the job's data; fill a microbatch of it. */
enum dawn_status fisher_check(const struct trainer *t, struct dawn_error *err);
enum dawn_status fisher_use_corpus(struct trainer *t, struct dawn_error *err);
int fisher_fill(const struct trainer *t, const struct dawn_feed *what,
                void *data);

/* signals.c: SIGTERM, SIGINT and SIGUSR1 are noted from now on; rank 0 writes
 * `text`, which stays, at once. */
void train_catch_signals(const struct trainer *t, const char *text);
/* The text is no longer true: steps have ended. mpirun ends the others of a
 * rank that failed by a signal, too. */
void train_answer_no_signals(void);

/* What ranks tell each other after a step. */
struct train_note {
    int signal; /* 0: none */
    bool written;
};

/* The signal that some rank got, and whether all ranks have written their part
 * of a checkpoint. The same answer on all. all: room for a note of each. */
enum dawn_status train_exchange(const struct trainer *t, struct train_note *all,
                                struct train_note *sum, struct dawn_error *err);
const char *train_signal_name(int number);

/* loop.c: train. Returns an exit code. */
int train_loop(struct trainer *t);

/* loop.c: the executor knows that a feed failed, the feed knows why; collective
 */
enum dawn_status train_explain(const struct trainer *t, enum dawn_status st,
                               struct dawn_error *err);

/* evaluate.c: print the loss on a file. Returns an exit code. */
int train_evaluate(struct trainer *t);

/* verify.c: compare one step of the plan with the same on one stage. */
int train_verify(struct trainer *t);

/* state.c: checkpoints in the job's out folder. Collective but where it says
 * otherwise. */
/* Make room for the copy, where the job wants checkpoints between steps. */
enum dawn_status state_reserve(struct trainer *t, struct dawn_error *err);
/* Copy, and begin to write; finishes the last one first. */
enum dawn_status state_begin(struct trainer *t, struct dawn_error *err);
/* Has this rank written its part of a save? Not collective. */
bool state_written(const struct trainer *t);
/* Wait for it and make it visible; nothing to do where there is none. */
enum dawn_status state_finish(struct trainer *t, struct dawn_error *err);
/* Abandon what is being written, free the copy. Not collective. */
void state_clear(struct trainer *t);
/* The parameters that the job begins with: drawn, or from another run's
 * checkpoint. */
enum dawn_status state_init(struct trainer *t, struct dawn_error *err);
/* Trained parameters, to look at: of the newest checkpoint in the job's folder,
 * whose step t->step becomes, or else those that it begins with, at step 0. */
enum dawn_status state_weights(struct trainer *t, struct dawn_error *err);
/* Open a checkpoint; warn of newer ones that are broken. */
enum dawn_status state_open(const struct trainer *t, const char *path,
                            struct dawn_checkpoint **ck_p,
                            struct dawn_error *err);
/* The newest complete one; sets t->step. */
enum dawn_status state_load(struct trainer *t, struct dawn_error *err);
/* Fails if there are some already in `dir`: a new run must not mix with an old
 * one. hint: what to do. */
enum dawn_status state_refuse(const char *dir, const char *hint,
                              struct dawn_error *err);

/* changes.c: what is told of a run in its checkpoints. */
/* Fill t->facts. Collective; behind passes_load. */
enum dawn_status changes_note(struct trainer *t, struct dawn_error *err);
struct dawn_checkpoint_string;
/* string: out, room for MOST_FACTS, which live as long as the trainer. Returns
 * how many there are. */
int changes_strings(const struct trainer *t,
                    struct dawn_checkpoint_string *string);
/* Rank 0: compare the run that wrote a checkpoint with this one, which is to go
 * on from it. DAWN_E_MISMATCH: steps that are done would have been others, and
 * that was not accepted. changes_p: out, NULL on other ranks; uses ck. */
enum dawn_status changes_check(const struct trainer *t,
                               const struct dawn_checkpoint *ck,
                               struct changes **changes_p,
                               struct dawn_error *err);
void changes_print(const struct changes *c); /* takes NULL */
void changes_free(struct changes *c);        /* takes NULL */
/* Rank 0: say what differs where only the parameters must be the same. */
void changes_warn_of_model(const struct trainer *t,
                           const struct dawn_checkpoint *ck);

/* metrics.c: out/metrics.jsonl. Opened for a run that has done `step` steps:
 * lines of later steps are removed, all of them when step is 0. */
enum dawn_status metrics_open(const char *path, uint64_t step,
                              struct metrics **metrics_p,
                              struct dawn_error *err);
enum dawn_status metrics_write(struct metrics *m, const struct trainer *t,
                               const struct step_record *record,
                               struct dawn_error *err);
void metrics_close(struct metrics *m); /* takes NULL */

/* progress.c: what a person sees; a line that is overwritten on a terminal. */
struct progress *progress_create(const struct trainer *t); /* NULL: no memory */
void progress_step(struct progress *p, const struct step_record *record);
/* A line of its own. */
void progress_say(struct progress *p, const char *format, ...)
    DAWN_PRINTF(2, 3);
void progress_destroy(struct progress *p); /* takes NULL */

#endif
