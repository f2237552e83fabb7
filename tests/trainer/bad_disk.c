/* SPDX-License-Identifier: Apache-2.0 */
/* A machine without io_uring whose disk moves at most 4 pages at a time, for a
 * program that is started with this library in LD_PRELOAD. FAIL_WRITE=N: from
 * the Nth on, writes find the disk full; FAIL_READ=N: reads fail.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
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

static int fails(const char *variable, atomic_int *calls)
{
    const char *from = getenv(variable);

    return from && atomic_fetch_add(calls, 1) + 1 >= atoi(from);
}

ssize_t pread(int fd, void *data, size_t bytes, off_t place)
{
    static atomic_int calls;

    if (fails("FAIL_READ", &calls)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, data, bytes < MOST ? bytes : MOST, place);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t place)
{
    static atomic_int calls;

    if (fails("FAIL_WRITE", &calls)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, bytes < MOST ? bytes : MOST, place);
}
