/* SPDX-License-Identifier: Apache-2.0 */
/* Which checkpoint to open. Rank 0 proposes, newest first; all ranks must be
 * able to open it. */
#include "ckpt/checkpoint.h"
#include "ckpt/folder.h"
#include "comm/comm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct search {
    struct dawn_comm *comm; /* or NULL */
    const char *path;
    int rank, size;
    uint64_t *step; /* rank 0: those there are, descending */
    int steps;
    char *skipped;
};

static enum dawn_status agree(struct search *search, enum dawn_status st,
                              struct dawn_error *err)
{
    return search->comm ? dawni_agree(search->comm, st, err) : st;
}

/* Let rank 0's number be everybody's. */
static enum dawn_status share(struct search *search, int64_t *x,
                              struct dawn_error *err)
{
    if (!search->comm)
        return DAWN_OK;
    return search->comm->ops->bcast(search->comm, x, sizeof *x, 0, err);
}

/* Passing over is for what is on disk; no memory or a lost rank is not. */
static bool is_broken(enum dawn_status st)
{
    return st == DAWN_E_IO || st == DAWN_E_FORMAT;
}

static enum dawn_status note(struct search *search, const char *why,
                             struct dawn_error *err)
{
    char *text;

    if (asprintf(&text, "%s%s%s", search->skipped ? search->skipped : "",
                 search->skipped ? "; " : "", why) < 0)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", search->path);
    free(search->skipped);
    search->skipped = text;
    return DAWN_OK;
}

/* Say what is used instead. */
static enum dawn_status note_used(struct search *search,
                                  const struct dawn_checkpoint *ck,
                                  struct dawn_error *err)
{
    char *text;

    if (!search->skipped)
        return DAWN_OK;
    if (asprintf(&text, "%s: passed over, using %s", search->skipped,
                 dawn_checkpoint_path(ck)) < 0)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", search->path);
    free(search->skipped);
    search->skipped = text;
    return DAWN_OK;
}

static enum dawn_status open_path(struct search *search, const char *path,
                                  struct dawn_checkpoint **ck_p,
                                  struct dawn_error *err)
{
    struct dawni_share part = {search->rank, search->size};
    struct dawn_checkpoint *ck = NULL;
    enum dawn_status st = path ? dawni_checkpoint_open_one(path, part, &ck, err)
                               : dawn_fail(err, DAWN_E_NOMEM, "no memory");

    if ((st = agree(search, st, err)))
        dawn_checkpoint_close(ck);
    else
        *ck_p = ck;
    return st;
}

static enum dawn_status open_newest(struct search *search,
                                    struct dawn_checkpoint **ck_p,
                                    struct dawn_error *err)
{
    struct dawn_error why;
    enum dawn_status st;

    for (int i = 0;; i++) {
        int64_t step = i < search->steps ? (int64_t)search->step[i] : -1;
        if ((st = share(search, &step, err)))
            return st;
        if (step < 0)
            break;
        char *path = dawni_path_of_step(search->path, (uint64_t)step);
        st = open_path(search, path, ck_p, &why);
        free(path);
        if (!st)
            return DAWN_OK;
        if (!is_broken(st))
            return dawn_fail(err, st, "%s", why.text);
        if ((st = agree(search, note(search, why.text, err), err)))
            return st;
    }
    if (search->skipped)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: no checkpoint is whole: %s",
                         search->path, search->skipped);
    return dawn_fail(err, DAWN_E_IO, "%s: no checkpoint", search->path);
}

/* Rank 0 looks whether the path is one checkpoint or a folder of them. */
static enum dawn_status look(struct search *search, bool *is_one_p,
                             struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    int64_t is_one = 0;

    if (!search->rank) {
        char *manifest = dawni_path_join(search->path, DAWNI_MANIFEST);
        is_one = manifest && access(manifest, F_OK) == 0;
        if (!manifest)
            st = dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", search->path);
        else if (!is_one)
            st = dawni_folder_steps(search->path, &search->step, &search->steps,
                                    err);
        free(manifest);
    }
    if ((st = agree(search, st, err)))
        return st;
    st = share(search, &is_one, err);
    *is_one_p = is_one;
    return st;
}

enum dawn_status dawn_checkpoint_open(struct dawn_comm *comm, const char *path,
                                      struct dawn_checkpoint **ck_p,
                                      struct dawn_error *err)
{
    struct search search = {
        .comm = comm,
        .path = path,
        .rank = comm ? comm->rank : 0,
        .size = comm ? comm->size : 1,
    };
    struct dawn_checkpoint *ck = NULL;
    bool is_one = false;
    enum dawn_status st = look(&search, &is_one, err);

    if (!st)
        st = is_one ? open_path(&search, path, &ck, err)
                    : open_newest(&search, &ck, err);
    if (!st)
        st = agree(&search, note_used(&search, ck, err), err);
    free(search.step);
    if (st) {
        dawn_checkpoint_close(ck);
        free(search.skipped);
        return st;
    }
    ck->skipped = search.skipped;
    *ck_p = ck;
    return DAWN_OK;
}

/* The manifest of `path` itself, or of the newest step in it; the caller frees
 * *manifest_p. */
static enum dawn_status find_manifest(const char *path, char **manifest_p,
                                      struct dawn_error *err)
{
    char *manifest = dawni_path_join(path, DAWNI_MANIFEST), *newest;
    uint64_t *step;
    int steps;
    enum dawn_status st;

    if (manifest && access(manifest, F_OK) == 0) {
        *manifest_p = manifest;
        return DAWN_OK;
    }
    free(manifest);
    if ((st = dawni_folder_steps(path, &step, &steps, err)))
        return st;
    if (!steps) {
        free(step);
        return dawn_fail(err, DAWN_E_IO, "%s: no checkpoint", path);
    }
    newest = dawni_path_of_step(path, step[0]);
    manifest = newest ? dawni_path_join(newest, DAWNI_MANIFEST) : NULL;
    free(newest);
    free(step);
    if (!manifest)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    *manifest_p = manifest;
    return DAWN_OK;
}

enum dawn_status dawn_checkpoint_digest(const char *path, uint64_t *digest_p,
                                        struct dawn_error *err)
{
    char *manifest = NULL;
    enum dawn_status st = find_manifest(path, &manifest, err);

    if (st)
        return st;
    st = dawni_manifest_digest(manifest, digest_p, err);
    free(manifest);
    return st;
}
