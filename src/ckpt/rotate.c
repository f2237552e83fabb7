/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/rotate.h"
#include "ckpt/checkpoint.h"
#include "ckpt/folder.h"
#include "comm/comm.h"
#include "common/array.h"
#include "common/hash.h"

#include <fcntl.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 };

/* What is known of a checkpoint. The smallest of all ranks' is what holds. */
enum { BROKEN, NOT_READ, WHOLE };

struct dawni_rotation {
    struct dawn_comm *comm;
    char *dir;
    int keep;             /* besides the one that is being saved */
    int64_t steps, *step; /* of older checkpoints, descending */
    int64_t *verdict;     /* of each */
};

static enum dawn_status make_room(struct dawni_rotation *r, int64_t steps)
{
    r->step = dawni_calloc(steps, sizeof *r->step);
    r->verdict = dawni_calloc(steps, sizeof *r->verdict);
    return r->step && r->verdict ? DAWN_OK : DAWN_E_NOMEM;
}

/* Rank 0: the steps in the folder but the save's own; none where it cannot be
 * read. */
static enum dawn_status list_steps(struct dawni_rotation *r, uint64_t own)
{
    uint64_t *step = NULL;
    int steps = 0;
    enum dawn_status st;

    if (dawni_folder_steps(r->dir, &step, &steps, NULL))
        return DAWN_OK;
    if (!(st = make_room(r, steps)))
        for (int i = 0; i < steps; i++)
            if (step[i] != own && step[i] <= INT64_MAX)
                r->step[r->steps++] = (int64_t)step[i];
    free(step);
    if (r->steps <= r->keep)
        r->steps = 0; /* nothing to remove */
    return st;
}

static enum dawn_status share_steps(struct dawni_rotation *r,
                                    struct dawn_error *err)
{
    struct dawn_comm *comm = r->comm;
    enum dawn_status st =
        comm->ops->bcast(comm, &r->steps, sizeof r->steps, 0, err);

    if (st || !r->steps)
        return st;
    if (comm->rank && (st = make_room(r, r->steps)))
        dawn_fail(err, st, "no memory to look at older checkpoints");
    if ((st = dawni_agree(comm, st, err)))
        return st;
    for (int64_t i = 0; i < r->steps; i++)
        r->verdict[i] = NOT_READ;
    return comm->ops->bcast(comm, r->step, (uint64_t)r->steps * sizeof *r->step,
                            0, err);
}

enum dawn_status dawni_rotation_create(
    const struct dawn_checkpoint_save_opts *opts,
    struct dawni_rotation **rotation_p, struct dawn_error *err)
{
    struct dawni_rotation *r = NULL;
    enum dawn_status st = DAWN_OK;

    *rotation_p = NULL;
    if (!opts->keep)
        return DAWN_OK;
    r = calloc(1, sizeof *r);
    if (!r || !(r->dir = strdup(opts->dir))) {
        st = DAWN_E_NOMEM;
    } else {
        r->comm = opts->comm;
        r->keep = opts->keep - 1;
        st = opts->comm->rank ? DAWN_OK : list_steps(r, opts->step);
    }
    if (st)
        dawn_fail(err, st, "no memory to look at older checkpoints");
    st = dawni_agree(opts->comm, st, err);
    if (!st)
        st = share_steps(r, err);
    if (st || !r->steps)
        dawni_rotation_destroy(r);
    else
        *rotation_p = r;
    return st;
}

void dawni_rotation_destroy(struct dawni_rotation *r)
{
    if (!r)
        return;
    free(r->verdict);
    free(r->step);
    free(r->dir);
    free(r);
}

bool dawni_rotation_leaves_one(const struct dawni_rotation *r)
{
    return r && !r->keep;
}

/* Looking */

bool dawni_file_holds(const char *path, uint64_t bytes, uint64_t xxh3,
                      atomic_bool *stop)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *data = malloc(READ_BYTES);
    struct dawni_hash hash;
    uint64_t all = 0;
    ssize_t n = -1;

    dawni_hash_init(&hash);
    while (fd >= 0 && data && !atomic_load(stop) &&
           (n = read(fd, data, READ_BYTES)) > 0) {
        dawni_hash_add(&hash, data, (size_t)n);
        all += (uint64_t)n;
    }
    if (fd >= 0)
        close(fd);
    free(data);
    return n == 0 && all == bytes && dawni_hash_end(&hash) == xxh3;
}

static bool holds_files(const struct dawni_rotation *r, const char *folder,
                        const struct dawni_manifest *manifest,
                        atomic_bool *stop)
{
    bool whole = true;

    for (int i = 0; i < manifest->files && whole; i++) {
        const struct dawni_manifest_file *about = &manifest->file[i];
        if (i % r->comm->size != r->comm->rank)
            continue;
        char *path = dawni_path_join(folder, about->name);
        whole = path && dawni_file_holds(path, about->bytes, about->xxh3, stop);
        free(path);
    }
    return whole;
}

/* This rank's share of the files, and the manifest. */
static int64_t look_at(const struct dawni_rotation *r, int64_t step,
                       atomic_bool *stop)
{
    struct dawni_manifest *manifest = NULL;
    char *folder = dawni_path_of_step(r->dir, (uint64_t)step);
    char *path = folder ? dawni_path_join(folder, DAWNI_MANIFEST) : NULL;
    bool whole = path && !dawni_manifest_read(path, &manifest, NULL) &&
                 holds_files(r, folder, manifest, stop);

    dawni_manifest_destroy(manifest);
    free(path);
    free(folder);
    return whole ? WHOLE : BROKEN;
}

void dawni_rotation_look(struct dawni_rotation *r, atomic_bool *stop)
{
    int whole = 0;

    for (int64_t i = 0; r && i < r->steps && whole < r->keep; i++) {
        r->verdict[i] = look_at(r, r->step[i], stop);
        whole += r->verdict[i] == WHOLE;
    }
}

/* A rank that found its share of one whole may have stopped where another found
 * its own broken: what is wanted still is read now. */
enum dawn_status dawni_rotation_agree(struct dawni_rotation *r,
                                      struct dawn_error *err)
{
    atomic_bool never = false;
    enum dawn_status st;
    int whole = 0;

    if (!r)
        return DAWN_OK;
    st = r->comm->ops->allreduce_min(r->comm, r->verdict, (int)r->steps, err);
    for (int64_t i = 0; !st && i < r->steps && whole < r->keep; i++) {
        if (r->verdict[i] == NOT_READ) {
            r->verdict[i] = look_at(r, r->step[i], &never);
            st = r->comm->ops->allreduce_min(r->comm, &r->verdict[i], 1, err);
        }
        whole += r->verdict[i] == WHOLE;
    }
    return st;
}

static bool is_complete(const char *path)
{
    struct dawni_share no_checksums = {0, 0};
    struct dawn_checkpoint *ck = NULL;
    bool complete = !dawni_checkpoint_open_one(path, no_checksums, &ck, NULL);

    dawn_checkpoint_close(ck);
    return complete;
}

void dawni_rotation_remove(const struct dawni_rotation *r)
{
    int left = r ? r->keep : 0;

    for (int64_t i = 0; r && i < r->steps; i++) {
        if (left > 0) {
            left -= r->verdict[i] == WHOLE;
            continue;
        }
        char *path = dawni_path_of_step(r->dir, (uint64_t)r->step[i]);
        if (path && r->verdict[i] != BROKEN && is_complete(path))
            dawni_folder_remove(path);
        free(path);
    }
}
