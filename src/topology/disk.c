/* SPDX-License-Identifier: Apache-2.0 */
/* Four threads write and read blocks of 4 MiB: that keeps the device's queue
 * filled as the offload tier does. As in training all cores compute meanwhile:
 * a transfer is slower then, and it takes computing time from them. */
#include "topology/disk.h"
#include "common/clock.h"
#include "common/sort.h"
#include "topology/busy.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS = 4,
    BLOCK = 4 << 20,
    PAGE = 4096,
    PASSES = 9,
    LEAST_PASSES = 3, /* on a disk so slow that time is up: */
    MOST_S = 60,      /* other ranks wait, and not for ever */
    SINGLE_READS = 32,
    ALONE_NS = 50000000, /* cores compute, nothing is moved */
};

struct disk {
    char path[512];
    int fd;
    int64_t blocks;
    char *buffer; /* THREADS blocks, aligned */
};

struct lane {
    pthread_t thread;
    const struct disk *disk;
    int index;
    bool is_write;
    int error; /* errno of what failed, 0: nothing did */
};

static enum dawn_status fail_errno(const struct disk *disk, const char *what,
                                   int error, struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_IO, "%s: cannot %s: %s", disk->path, what,
                     strerrordesc_np(error));
}

/* One whole block; 0 or errno. */
static int move_block(const struct disk *disk, char *buffer, int64_t block,
                      bool is_write)
{
    off_t at = (off_t)block * BLOCK;

    for (size_t done = 0; done < BLOCK;) {
        off_t place = at + (off_t)done;
        size_t rest = BLOCK - done;
        ssize_t n = is_write ? pwrite(disk->fd, buffer + done, rest, place)
                             : pread(disk->fd, buffer + done, rest, place);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : ENODATA;
        done += (size_t)n;
    }
    return 0;
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    char *buffer = lane->disk->buffer + (size_t)lane->index * BLOCK;

    for (int64_t i = lane->index; i < lane->disk->blocks && !lane->error;
         i += THREADS)
        lane->error = move_block(lane->disk, buffer, i, lane->is_write);
    return NULL;
}

/* Nanoseconds of one pass over the file. */
static enum dawn_status pass(const struct disk *disk, bool is_write,
                             double *ns_p, struct dawn_error *err)
{
    struct lane lane[THREADS];
    bool is_running[THREADS];
    int error = 0;

    if (!is_write) /* where the page cache cannot be passed by */
        posix_fadvise(disk->fd, 0, 0, POSIX_FADV_DONTNEED);
    uint64_t from = dawni_now_ns();
    for (int i = 0; i < THREADS; i++) {
        lane[i] = (struct lane){.disk = disk, .index = i, .is_write = is_write};
        is_running[i] =
            !pthread_create(&lane[i].thread, NULL, run_lane, &lane[i]);
        if (!is_running[i])
            run_lane(&lane[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        if (is_running[i])
            pthread_join(lane[i].thread, NULL);
        error = error ? error : lane[i].error;
    }
    if (!error && is_write && fdatasync(disk->fd))
        error = errno;
    if (error)
        return fail_errno(disk, is_write ? "write" : "read", error, err);
    double ns = (double)(dawni_now_ns() - from);
    *ns_p = ns > 1 ? ns : 1;
    return DAWN_OK;
}

static enum dawn_status measure_latency(const struct disk *disk,
                                        double *latency_ns,
                                        struct dawn_error *err)
{
    uint64_t pages = (uint64_t)disk->blocks * (BLOCK / PAGE);
    double ns[SINGLE_READS];

    for (uint64_t i = 0; i < SINGLE_READS; i++) {
        off_t at = (off_t)(i * 2654435761u % pages) * PAGE;
        uint64_t from = dawni_now_ns();
        if (pread(disk->fd, disk->buffer, PAGE, at) != PAGE)
            return fail_errno(disk, "read", errno, err);
        ns[i] = (double)(dawni_now_ns() - from);
    }
    *latency_ns = dawni_median(ns, SINGLE_READS);
    return DAWN_OK;
}

struct rounds {
    double write[PASSES], read[PASSES];   /* nanoseconds */
    double alone[PASSES], beside[PASSES]; /* work of the cores a nanosecond */
};

/* Nothing for a while, then the file written and read. */
static enum dawn_status go_round(const struct disk *disk,
                                 const struct dawni_busy *busy,
                                 struct rounds *r, int i,
                                 struct dawn_error *err)
{
    struct dawni_busy_mark start = dawni_busy_now(busy), moving, end;
    struct timespec rest = {0, ALONE_NS};
    enum dawn_status st;

    nanosleep(&rest, NULL);
    moving = dawni_busy_now(busy);
    if ((st = pass(disk, true, &r->write[i], err)) ||
        (st = pass(disk, false, &r->read[i], err)))
        return st;
    end = dawni_busy_now(busy);
    r->alone[i] = dawni_busy_rate(&start, &moving);
    r->beside[i] = dawni_busy_rate(&moving, &end);
    return DAWN_OK;
}

static double spread_of(double *ns, int n)
{
    struct dawni_quartiles q = dawni_quartiles(ns, n);

    return q.high / q.low;
}

static enum dawn_status measure(const struct disk *disk,
                                struct dawn_machine_tier *tier,
                                struct dawn_error *err)
{
    double bytes = (double)disk->blocks * BLOCK;
    struct dawni_busy *busy = NULL;
    struct rounds r;
    int n = 0;
    enum dawn_status st = dawni_busy_create(&busy, err);
    uint64_t end = dawni_now_ns() + (uint64_t)MOST_S * 1000000000;

    while (!st && n < PASSES && (n < LEAST_PASSES || dawni_now_ns() < end))
        st = go_round(disk, busy, &r, n++, err);
    if (!st) {
        double write = dawni_median(r.write, n), read = dawni_median(r.read, n);
        tier->spread = fmax(spread_of(r.write, n), spread_of(r.read, n));
        double alone = fmax(dawni_median(r.alone, n), DBL_MIN);
        double lost = fmax(0, 1 - dawni_median(r.beside, n) / alone);
        tier->write_bytes_per_s = bytes / write * 1e9;
        tier->read_bytes_per_s = bytes / read * 1e9;
        tier->compute_ns_per_byte =
            lost * dawni_busy_threads(busy) * (write + read) / (2 * bytes);
        st = measure_latency(disk, &tier->latency_ns, err);
    }
    dawni_busy_destroy(busy);
    return st;
}

/* Contents that do not compress. */
static void fill(uint64_t *x, size_t count)
{
    uint64_t state = 88172645463325252u;

    for (size_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        x[i] = state;
    }
}

static enum dawn_status disk_open(const char *dir, struct disk *disk,
                                  struct dawn_error *err)
{
    void *buffer;

    disk->fd = -1;
    snprintf(disk->path, sizeof disk->path, "%s/.dawn-disk-XXXXXX", dir);
    if (posix_memalign(&buffer, PAGE, (size_t)THREADS * BLOCK))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the disk test");
    disk->buffer = buffer;
    fill(buffer, (size_t)THREADS * BLOCK / sizeof(uint64_t));
    disk->fd = mkostemp(disk->path, O_DIRECT | O_CLOEXEC);
    if (disk->fd < 0 && errno == EINVAL) { /* no O_DIRECT here */
        unlink(disk->path); /* some systems make the file all the same */
        snprintf(disk->path, sizeof disk->path, "%s/.dawn-disk-XXXXXX", dir);
        disk->fd = mkostemp(disk->path, O_CLOEXEC);
    }
    if (disk->fd < 0)
        return dawn_fail(err, DAWN_E_IO, "%s: cannot write there: %s", dir,
                         strerrordesc_np(errno));
    unlink(disk->path); /* gone whatever happens */
    return DAWN_OK;
}

/* The folder as it is called wherever one stands. */
static enum dawn_status full_path(const char *dir, char *path, size_t room,
                                  struct dawn_error *err)
{
    char *full = realpath(dir, NULL);
    enum dawn_status st = DAWN_OK;

    if (!full)
        return dawn_fail(err, DAWN_E_IO, "%s: cannot write there: %s", dir,
                         strerrordesc_np(errno));
    if (strlen(full) >= room)
        st = dawn_fail(err, DAWN_E_INVAL, "%s: the path is longer than %zu",
                       full, room - 1);
    else
        strcpy(path, full);
    free(full);
    return st;
}

enum dawn_status dawni_disk_measure(const char *dir, uint64_t bytes,
                                    struct dawn_machine_tier *tier,
                                    struct dawn_error *err)
{
    struct dawn_machine_tier found = {.kind = "ssd"};
    struct disk disk = {.fd = -1, .buffer = NULL};
    struct statvfs space;
    enum dawn_status st;

    if ((st = full_path(dir, found.path, sizeof found.path, err)))
        return st;
    disk.blocks = (int64_t)((bytes + BLOCK - 1) / BLOCK);
    if (disk.blocks < 1)
        disk.blocks = 1;
    if (!(st = disk_open(dir, &disk, err)) &&
        !(st = measure(&disk, &found, err)) && !fstatvfs(disk.fd, &space))
        found.capacity_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    if (disk.fd >= 0)
        close(disk.fd);
    free(disk.buffer);
    if (!st)
        *tier = found;
    return st;
}
