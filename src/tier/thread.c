/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that moves one transfer after the other: host memory, and a disk
 * where there is no io_uring.
 */
#include "tier/tier.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct mover {
    struct dawni_tier tier;
    int file;     /* -1: memory */
    char *memory; /* room_bytes of it */
    uint64_t room_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under the lock: */
    struct dawni_io *first, *last;
    bool ends;
};

/* 0 or an errno. */
static int move_file(const struct mover *m, const struct dawni_io *io)
{
    for (uint64_t done = 0; done < io->bytes;) {
        off_t place = (off_t)(io->place + done);
        size_t left = io->bytes - done;
        ssize_t n = io->is_read ? pread(m->file, io->data + done, left, place)
                                : pwrite(m->file, io->data + done, left, place);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return io->is_read ? ENODATA : ENOSPC;
        done += (uint64_t)n;
    }
    return 0;
}

static void move_one(struct mover *m, struct dawni_io *io)
{
    if (m->file >= 0)
        io->error = move_file(m, io);
    else if (io->is_read)
        memcpy(io->data, m->memory + io->place, io->bytes);
    else
        memcpy(m->memory + io->place, io->data, io->bytes);
    atomic_store(&io->done, true);
}

/* The next transfer; NULL: it is over. */
static struct dawni_io *take(struct mover *m)
{
    struct dawni_io *io;

    pthread_mutex_lock(&m->lock);
    while (!m->first && !m->ends)
        pthread_cond_wait(&m->wake, &m->lock);
    io = m->first;
    if (io) {
        m->first = io->next;
        if (!m->first)
            m->last = NULL;
    }
    pthread_mutex_unlock(&m->lock);
    return io;
}

static void *run(void *arg)
{
    struct mover *m = arg;
    struct dawni_io *io;

    while ((io = take(m)))
        move_one(m, io);
    return NULL;
}

static void start(struct dawni_tier *tier, struct dawni_io *io)
{
    struct mover *m = (struct mover *)tier;

    pthread_mutex_lock(&m->lock);
    if (m->last)
        m->last->next = io;
    else
        m->first = io;
    m->last = io;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

static void progress(struct dawni_tier *tier)
{
    (void)tier;
}

static void clear(struct mover *m)
{
    if (m->file >= 0)
        close(m->file);
    if (m->memory)
        munmap(m->memory, m->room_bytes);
    free(m);
}

/* What is queued is moved first. */
static void destroy(struct dawni_tier *tier)
{
    struct mover *m = (struct mover *)tier;

    pthread_mutex_lock(&m->lock);
    m->ends = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->wake);
    clear(m);
}

static const struct dawni_tier_ops ops = {
    .name = "thread",
    .destroy = destroy,
    .start = start,
    .progress = progress,
};

enum dawn_status dawni_tier_thread(int file, void *memory,
                                   const struct dawni_tier_opts *opts,
                                   struct dawni_tier **tier_p,
                                   struct dawn_error *err)
{
    struct mover *m = calloc(1, sizeof *m);

    if (!m) {
        if (file >= 0)
            close(file);
        if (memory)
            munmap(memory, opts->room_bytes);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a tier");
    }
    m->tier.ops = &ops;
    m->file = file;
    m->memory = memory;
    m->room_bytes = opts->room_bytes;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->wake, NULL);
    int error = pthread_create(&m->thread, NULL, run, m);
    if (error) {
        clear(m);
        return dawn_fail(err, DAWN_E_NOMEM, "no thread to offload with: %s",
                         strerrordesc_np(error));
    }
    *tier_p = &m->tier;
    return DAWN_OK;
}
