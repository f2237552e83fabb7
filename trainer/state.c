/* SPDX-License-Identifier: Apache-2.0 */
/* What a run must keep to go on later: parameters and optimizer state, by name,
 * so that any number of stages may take them up again.
 */
#include "train.h"
#include <dawnpiper/checkpoint.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define PATH_ROOM 4096

enum dawn_status state_reserve(struct trainer *t, struct dawn_error *err)
{
    size_t bytes =
        (size_t)dawn_checkpoint_state_floats(t->exec) * sizeof *t->copy;
    enum dawn_status st = DAWN_OK;

    if (!t->job.train.checkpoint_every)
        return DAWN_OK;
    t->copy = malloc(bytes + 1);
    if (!t->copy)
        st = dawn_fail(err, DAWN_E_NOMEM,
                       "rank %d: no memory for %zu bytes, a copy of parameters "
                       "and optimizer state while a checkpoint is written",
                       dawn_comm_rank(t->cli.comm), bytes);
    else
        memset(t->copy, 0, bytes); /* now, not in a step */
    return dawn_comm_agree(t->cli.comm, st, err);
}

enum dawn_status state_begin(struct trainer *t, struct dawn_error *err)
{
    if (t->save) { /* disk slower than training */
        enum dawn_status last = state_finish(t, err);
        if (last)
            return last;
    }
    struct dawn_checkpoint_string string[MOST_FACTS];
    int strings = changes_strings(t, string);
    struct dawn_checkpoint_save_opts opts = {.comm = t->cli.comm,
                                             .dir = t->job.out,
                                             .step = t->step,
                                             .keep = t->job.train.keep,
                                             .strings = strings,
                                             .string = string,
                                             .job = &t->job};
    return dawn_checkpoint_save_exec(&opts, t->exec, t->copy, &t->save, err);
}

bool state_written(const struct trainer *t)
{
    return t->save && dawn_checkpoint_save_written(t->save);
}

enum dawn_status state_finish(struct trainer *t, struct dawn_error *err)
{
    struct dawn_checkpoint_save *save = t->save;

    t->save = NULL;
    return save ? dawn_checkpoint_save_finish(save, err) : DAWN_OK;
}

void state_clear(struct trainer *t)
{
    dawn_checkpoint_save_destroy(t->save); /* it reads the copy */
    free(t->copy);
}

enum dawn_status state_open(const struct trainer *t, const char *path,
                            struct dawn_checkpoint **ck_p,
                            struct dawn_error *err)
{
    enum dawn_status st = dawn_checkpoint_open(t->cli.comm, path, ck_p, err);

    if (!st && cli_first(&t->cli) && dawn_checkpoint_skipped(*ck_p))
        fprintf(stderr, "dawn-train: warning: %s\n",
                dawn_checkpoint_skipped(*ck_p));
    return st;
}

/* Parameters only. step_p: out, or NULL */
static enum dawn_status take_values(struct trainer *t, const char *path,
                                    uint64_t *step_p, struct dawn_error *err)
{
    struct dawn_checkpoint *ck = NULL;
    enum dawn_status st = dawn_exec_init(t->exec, err);

    if (st || (st = state_open(t, path, &ck, err)))
        return st;
    if (!(st = dawn_checkpoint_restore(ck, t->exec, false, err)))
        changes_warn_of_model(t, ck);
    if (!st && step_p)
        *step_p = dawn_checkpoint_step(ck);
    dawn_checkpoint_close(ck);
    return st;
}

enum dawn_status state_init(struct trainer *t, struct dawn_error *err)
{
    return *t->job.train.init ? take_values(t, t->job.train.init, NULL, err)
                              : dawn_exec_init(t->exec, err);
}

enum dawn_status state_weights(struct trainer *t, struct dawn_error *err)
{
    bool trained = state_refuse(t->job.out, "", NULL) != DAWN_OK;
    const char *path = trained ? t->job.out : t->job.train.init;
    enum dawn_status st = DAWN_OK;

    if (!*path)
        st = dawn_fail(err, DAWN_E_INVAL,
                       "no trained parameters: %s has no checkpoint, and the "
                       "job no init:",
                       t->job.out);
    if ((st = dawn_comm_agree(t->cli.comm, st, err)))
        return st;
    if (!trained && cli_first(&t->cli))
        fprintf(stderr,
                "dawn-train: %s has no checkpoint: the parameters are those of "
                "init: %s\n",
                t->job.out, path);
    return take_values(t, path, trained ? &t->step : NULL, err);
}

enum dawn_status state_load(struct trainer *t, struct dawn_error *err)
{
    struct dawn_checkpoint *ck = NULL;
    struct changes *changes = NULL;
    enum dawn_status st = state_open(t, t->job.out, &ck, err);

    if (st)
        return st;
    st = dawn_comm_agree(t->cli.comm, changes_check(t, ck, &changes, err), err);
    if (!st && !(st = dawn_checkpoint_restore(ck, t->exec, true, err))) {
        t->step = dawn_checkpoint_step(ck);
        changes_print(changes);
    }
    changes_free(changes);
    dawn_checkpoint_close(ck);
    return st;
}

enum dawn_status state_refuse(const char *dir, const char *hint,
                              struct dawn_error *err)
{
    char pattern[2 * PATH_ROOM + sizeof "/step-*"];
    glob_t found = {0};
    enum dawn_status st = DAWN_OK;

    size_t n = 0;
    for (const char *c = dir; *c && n < 2 * PATH_ROOM; c++) {
        if (strchr("*?[\\", *c))
            pattern[n++] = '\\';
        pattern[n++] = *c;
    }
    strcpy(pattern + n, "/step-*");
    if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc)
        st = dawn_fail(err, DAWN_E_INVAL, "%s is of an earlier run: %s",
                       found.gl_pathv[found.gl_pathc - 1], hint);
    globfree(&found);
    return st;
}
