/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/tier.h"
#include "topology/numa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file that has no name. */
static int open_file(const char *folder)
{
    char path[4200];
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (file < 0) { /* a file system that cannot */
        snprintf(path, sizeof path, "%s/dawnpiper-XXXXXX", folder);
        file = mkostemp(path, O_CLOEXEC);
        if (file >= 0)
            unlink(path);
    }
    return file;
}

/* 0 or an errno. Where the file system cannot, the C library writes bytes one
 * by one: not with O_DIRECT. */
static int make_room(int file, uint64_t bytes)
{
    int error = bytes ? posix_fallocate(file, 0, (off_t)bytes) : 0;

    if (error == EOPNOTSUPP)
        error = ftruncate(file, (off_t)bytes) ? errno : 0;
    return error;
}

static enum dawn_status create_disk(const struct dawni_tier_opts *opts,
                                    struct dawni_tier **tier_p,
                                    struct dawn_error *err)
{
    int file = open_file(opts->folder), error;

    if (file < 0)
        return dawn_fail(err, DAWN_E_IO, "%s: cannot make a file there: %s",
                         opts->folder, strerrordesc_np(errno));
    error = make_room(file, opts->room_bytes);
    if (error) {
        close(file);
        return dawn_fail(err, DAWN_E_IO,
                         "%s: no room for %.1f MiB of offloaded tensors: %s",
                         opts->folder, (double)opts->room_bytes / 0x1p20,
                         strerrordesc_np(error));
    }
    fcntl(file, F_SETFL, O_DIRECT); /* past the page cache where it can */
    if (opts->no_uring)
        return dawni_tier_thread(file, NULL, opts, tier_p, err);
    return dawni_tier_uring(file, opts, tier_p, err);
}

static enum dawn_status no_memory(const struct dawni_tier_opts *opts, int error,
                                  struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_NOMEM,
                     "no %.1f MiB of host memory for offloaded tensors: %s",
                     (double)opts->room_bytes / 0x1p20, strerrordesc_np(error));
}

/* Of another NUMA node where there is one. */
static enum dawn_status create_memory(const struct dawni_tier_opts *opts,
                                      struct dawni_tier **tier_p,
                                      struct dawn_error *err)
{
    void *memory = mmap(NULL, opts->room_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return no_memory(opts, errno, err);
    dawni_numa_bind_far(memory, opts->room_bytes); /* else any memory does */
    if (madvise(memory, opts->room_bytes, MADV_POPULATE_WRITE) &&
        errno != EINVAL) { /* a kernel that cannot: as it is used */
        int error = errno;
        munmap(memory, opts->room_bytes);
        return no_memory(opts, error, err);
    }
    return dawni_tier_thread(-1, memory, opts, tier_p, err);
}

enum dawn_status dawni_tier_create(const struct dawni_tier_opts *opts,
                                   struct dawni_tier **tier_p,
                                   struct dawn_error *err)
{
    enum dawn_status st = opts->folder ? create_disk(opts, tier_p, err)
                                       : create_memory(opts, tier_p, err);

    if (st)
        return st;
    if (opts->folder)
        snprintf((*tier_p)->text, sizeof(*tier_p)->text, "disk under %s",
                 opts->folder);
    else
        snprintf((*tier_p)->text, sizeof(*tier_p)->text, "host memory");
    return DAWN_OK;
}

void dawni_tier_destroy(struct dawni_tier *tier)
{
    if (tier)
        tier->ops->destroy(tier);
}

void dawni_tier_start(struct dawni_tier *tier, struct dawni_io *io)
{
    io->handed = 0;
    io->pieces = io->error = 0;
    io->next = NULL;
    atomic_store(&io->done, false);
    tier->ops->start(tier, io);
}

bool dawni_tier_test(struct dawni_tier *tier, struct dawni_io *io,
                     enum dawn_status *st_p, struct dawn_error *err)
{
    tier->ops->progress(tier);
    if (!atomic_load(&io->done))
        return false;
    *st_p = DAWN_OK;
    if (io->error)
        *st_p = dawn_fail(err, DAWN_E_IO, "%s: cannot %s %llu bytes: %s",
                          tier->text, io->is_read ? "read" : "write",
                          (unsigned long long)io->bytes,
                          strerrordesc_np(io->error));
    return true;
}

void dawni_tier_progress(struct dawni_tier *tier)
{
    tier->ops->progress(tier);
}
