/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a checkpoint: a thread on each rank writes that rank's file to a
 * temporary folder; at the end rank 0 writes the manifest and renames the
 * folder. The thread does not touch the communicator.
 */
#include "ckpt/checkpoint.h"
#include "ckpt/folder.h"
#include "ckpt/rotate.h"
#include "ckpt/settings.h"
#include "comm/comm.h"
#include "common/array.h"
#include "common/file.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct dawn_checkpoint_save {
    struct dawn_comm *comm;
    uint64_t step;
    char *dir, *temp, *final; /* DIR, DIR/.tmp-step-N, DIR/step-N */
    char name[32];            /* of this rank's file */
    char *path;               /* of this rank's file */
    struct dawn_checkpoint_string *string; /* rank 0 */
    int strings;
    struct dawni_safetensors_layout *layout;
    struct dawni_safetensors_file *file; /* NULL: finished, or failed */
    struct dawni_rotation *rotation;     /* NULL: nothing is removed */

    pthread_t thread;
    bool is_running;
    atomic_bool stop, written; /* written: the thread has come to its end */
    enum dawn_status status;   /* the thread's, valid once it was joined */
    struct dawn_error err;
    struct dawni_safetensors_written sums;
};

/* Begin */

/* Older checkpoints are removed for this one: are those that stay whole, or, if
 * none does, is this one? */
static void look(struct dawn_checkpoint_save *save)
{
    if (save->status)
        return;
    dawni_rotation_look(save->rotation, &save->stop);
    if (dawni_rotation_leaves_one(save->rotation) &&
        !dawni_file_holds(save->path, save->sums.bytes, save->sums.xxh3,
                          &save->stop))
        save->status =
            dawn_fail(&save->err, DAWN_E_IO,
                      "%s: does not read back as it was written", save->path);
}

static void *work(void *arg)
{
    struct dawn_checkpoint_save *save = arg;

    if (save->file)
        save->status =
            dawni_safetensors_finish(save->file, &save->sums, &save->err);
    save->file = NULL;
    look(save);
    atomic_store(&save->written, true);
    return NULL;
}

/* What is not in memory is written now, the rest by the thread. Signals are for
 * the program's own threads. Without a thread, all is written now. */
static void start(struct dawn_checkpoint_save *save)
{
    sigset_t all, before;

    save->status = dawni_safetensors_create(
        save->layout, save->path, &save->stop, &save->file, &save->err);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    save->is_running = !pthread_create(&save->thread, NULL, work, save);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!save->is_running)
        work(save);
}

static bool copy_strings(struct dawn_checkpoint_save *save,
                         const struct dawn_checkpoint_save_opts *opts)
{
    int settings = opts->job ? dawn_job_settings() : 0;

    if (save->comm->rank)
        return true;
    save->string =
        dawni_calloc((int64_t)opts->strings + settings, sizeof *save->string);
    if (!save->string)
        return false;
    for (int i = 0; i < opts->strings; i++) {
        save->string[i].key = strdup(opts->string[i].key);
        save->string[i].value = strdup(opts->string[i].value);
        save->strings++;
        if (!save->string[i].key || !save->string[i].value)
            return false;
    }
    for (int i = 0; i < settings; i++)
        if (!dawni_setting_string(opts->job, i, &save->string[save->strings++]))
            return false;
    return true;
}

static enum dawn_status create(const struct dawn_checkpoint_save_opts *opts,
                               struct dawn_checkpoint_save **save_p,
                               struct dawn_error *err)
{
    struct dawn_checkpoint_save *save = calloc(1, sizeof *save);
    enum dawn_status st;

    if (!save)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a checkpoint");
    save->comm = opts->comm;
    save->step = opts->step;
    snprintf(save->name, sizeof save->name, "rank-%d.safetensors",
             opts->comm->rank);
    if (!(save->dir = strdup(opts->dir)) ||
        !(save->temp = dawni_path_of_temp(opts->dir, opts->step)) ||
        !(save->final = dawni_path_of_step(opts->dir, opts->step)) ||
        !(save->path = dawni_path_join(save->temp, save->name)) ||
        !copy_strings(save, opts)) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a checkpoint");
        goto fail;
    }
    if ((st = dawni_safetensors_plan(opts->tensor, opts->tensors, &save->layout,
                                     err)))
        goto fail;
    *save_p = save;
    return DAWN_OK;
fail:
    dawn_checkpoint_save_destroy(save);
    return st;
}

static enum dawn_status prepare(const struct dawn_checkpoint_save *save,
                                struct dawn_error *err)
{
    enum dawn_status st;

    if (save->comm->rank)
        return DAWN_OK;
    if ((st = dawni_folder_make(save->dir, err)))
        return st;
    dawni_folder_clean(save->dir);
    return dawni_folder_make(save->temp, err);
}

enum dawn_status dawn_checkpoint_save_begin(
    const struct dawn_checkpoint_save_opts *opts,
    struct dawn_checkpoint_save **save_p, struct dawn_error *err)
{
    struct dawn_checkpoint_save *save = NULL;
    enum dawn_status st;

    if (!*opts->dir || opts->step > INT64_MAX || opts->keep < 0)
        st = dawn_fail(err, DAWN_E_INVAL,
                       "checkpoint in \"%s\" of step %llu, "
                       "keeping %d",
                       opts->dir, (unsigned long long)opts->step, opts->keep);
    else
        st = create(opts, &save, err);
    if ((st = dawni_agree(opts->comm, st, err)))
        goto fail;
    if ((st = dawni_agree(opts->comm, prepare(save, err), err)) ||
        (st = dawni_rotation_create(opts, &save->rotation, err)))
        goto fail;
    start(save);
    *save_p = save;
    return DAWN_OK;
fail:
    dawn_checkpoint_save_destroy(save);
    return st;
}

bool dawn_checkpoint_save_written(const struct dawn_checkpoint_save *save)
{
    return atomic_load(&save->written);
}

/* Finish */

static void join(struct dawn_checkpoint_save *save)
{
    if (save->is_running)
        pthread_join(save->thread, NULL);
    save->is_running = false;
}

/* Every rank's part of the manifest, each ended by a zero byte, as rows of
 * *room_p bytes. */
static enum dawn_status gather(struct dawn_checkpoint_save *save,
                               const char *mine, char **all_p, uint64_t *room_p,
                               struct dawn_error *err)
{
    struct dawn_comm *comm = save->comm;
    int64_t room = -(int64_t)strlen(mine) - 1;
    enum dawn_status st;
    char *row, *all;

    if ((st = comm->ops->allreduce_min(comm, &room, 1, err)))
        return st;
    room = -room;
    row = calloc(1, (size_t)room);
    all = malloc((size_t)room * (size_t)comm->size);
    if (!row || !all)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
    else
        strcpy(row, mine);
    if (!(st = dawni_agree(comm, st, err)))
        st = comm->ops->allgather(comm, row, (uint64_t)room, all, err);
    free(row);
    if (st) {
        free(all);
        return st;
    }
    *all_p = all;
    *room_p = (uint64_t)room;
    return DAWN_OK;
}

static enum dawn_status write_manifest(struct dawn_checkpoint_save *save,
                                       const char *const *part,
                                       struct dawn_error *err)
{
    struct dawn_checkpoint_save_opts opts = {
        .step = save->step,
        .strings = save->strings,
        .string = save->string,
    };
    char *path = NULL, *text = NULL;
    enum dawn_status st;

    if ((st = dawni_manifest_join(&opts, part, save->comm->size, &text, err)))
        return st;
    path = dawni_path_join(save->temp, DAWNI_MANIFEST);
    st = path ? dawni_file_write(path, text, strlen(text), err)
              : dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
    free(path);
    free(text);
    return st;
}

/* Rank 0, when all files are there. */
static enum dawn_status publish(struct dawn_checkpoint_save *save,
                                const char *all, uint64_t room,
                                struct dawn_error *err)
{
    int size = save->comm->size;
    const char **part = dawni_calloc(size, sizeof *part);
    enum dawn_status st;

    if (!part)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
    for (int rank = 0; rank < size; rank++)
        part[rank] = all + room * (uint64_t)rank;
    st = write_manifest(save, part, err);
    free(part);
    if (st || (st = dawni_folder_sync(save->temp, err)) ||
        (st = dawni_folder_publish(save->temp, save->final, err)) ||
        (st = dawni_folder_sync(save->dir, err)))
        return st;
    dawni_rotation_remove(save->rotation);
    return DAWN_OK;
}

static enum dawn_status commit(struct dawn_checkpoint_save *save,
                               struct dawn_error *err)
{
    struct dawn_comm *comm = save->comm;
    enum dawn_status st = save->status;
    char *mine = NULL, *all = NULL;
    uint64_t room = 0;

    if (st)
        dawn_fail(err, st, "%s", save->err.text);
    else if (!(mine =
                   dawni_manifest_part(save->name, &save->sums, save->layout)))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
    if ((st = dawni_agree(comm, st, err)) ||
        (st = dawni_rotation_agree(save->rotation, err)) ||
        (st = gather(save, mine, &all, &room, err)))
        goto out;
    if (!comm->rank)
        st = publish(save, all, room, err);
    st = dawni_agree(comm, st, err);
out:
    free(all);
    free(mine);
    return st;
}

enum dawn_status dawn_checkpoint_save_finish(struct dawn_checkpoint_save *save,
                                             struct dawn_error *err)
{
    join(save);
    enum dawn_status st = commit(save, err);

    if (st && !save->comm->rank) /* no thread writes any more */
        dawni_folder_remove(save->temp);
    dawn_checkpoint_save_destroy(save);
    return st;
}

void dawn_checkpoint_save_destroy(struct dawn_checkpoint_save *save)
{
    if (!save)
        return;
    atomic_store(&save->stop, true);
    join(save);
    for (int i = 0; i < save->strings; i++) {
        free((char *)(uintptr_t)save->string[i].key);
        free((char *)(uintptr_t)save->string[i].value);
    }
    free(save->string);
    dawni_rotation_destroy(save->rotation);
    dawni_safetensors_layout_destroy(save->layout);
    free(save->path);
    free(save->final);
    free(save->temp);
    free(save->dir);
    free(save);
}
