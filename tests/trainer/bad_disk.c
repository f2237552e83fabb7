/* SPDX-License-Identifier: Apache-2.0 */
/* A machine without io_uring whose disk moves at most 4 pages at a time, for a
 * program that is started with this library in LD_PRELOAD. FAIL_WRITE=N: from
 * the Nth on, writes find the disk full; FAIL_READ=N: reads fail. Only files
 * without a name are meant, as tiers have; but with FULL=FILE all writes find
 * the disk full while that file is there.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST (4 * 4096)

struct io_uring;
int io_uring_queue_init(unsigned entries, struct io_uring *ring,
                        unsigned flags);

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    return -ENOSYS;
}

static int has_name(int fd)
{
    char link[64], path[4096];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return !strstr(path, " (deleted)");
}

static int fails(const char *variable, int fd, atomic_int *calls)
{
    const char *from = getenv(variable);

    return from && !has_name(fd) &&
           atomic_fetch_add(calls, 1) + 1 >= atoi(from);
}

static int is_full(int fd)
{
    const char *file = getenv("FULL");

    return file && fd > 2 && access(file, F_OK) == 0;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    struct stat s;

    if (is_full(fd) && !fstat(fd, &s) && S_ISREG(s.st_mode)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, data, bytes);
}

ssize_t pread(int fd, void *data, size_t bytes, off_t place)
{
    static atomic_int calls;

    if (fails("FAIL_READ", fd, &calls)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, data, bytes < MOST ? bytes : MOST, place);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t place)
{
    static atomic_int calls;

    if (fails("FAIL_WRITE", fd, &calls)) {
        errno = ENOSPC;
        return -1;
    }
    if (is_full(fd)) { /* half of it still fits */
        if (bytes > 1)
            syscall(SYS_pwrite64, fd, data, bytes / 2, place);
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, bytes < MOST ? bytes : MOST, place);
}
