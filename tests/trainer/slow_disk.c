/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is slow or broken, for a program that is started with this
 * library in LD_PRELOAD: fsync of tensor files waits for the file that
 * SLOW_DISK_UNTIL names, or fails where BROKEN_DISK is set.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd)
{
    char link[64], path[4096] = "";
    const char *until = getenv("SLOW_DISK_UNTIL");

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0 ||
        !strstr(path, ".safetensors"))
        return (int)syscall(SYS_fsync, fd);
    while (until && access(until, F_OK) != 0)
        usleep(10000);
    if (getenv("BROKEN_DISK")) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}
