/* SPDX-License-Identifier: Apache-2.0 */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIPE_PAUSES 250 /* of 20 ms, until somebody reads from a pipe */

enum dawn_status dawni_file_fail(const char *path, const char *what,
                                 struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_IO, "%s: cannot %s: %s", path, what,
                     strerrordesc_np(errno));
}

/* Reading */

/* Read until the end or until `room` bytes are there. -1: errno says why. */
static ssize_t read_upto(int fd, char *data, size_t room)
{
    size_t bytes = 0;

    while (bytes < room) {
        ssize_t n = read(fd, data + bytes, room - bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        bytes += (size_t)n;
    }
    return (ssize_t)bytes;
}

/* A first guess from the file's size; a pipe has none. */
static size_t guess_room(int fd, size_t limit)
{
    struct stat s;

    if (fstat(fd, &s) || !S_ISREG(s.st_mode) || s.st_size < 0)
        return limit < 65536 ? limit + 1 : 65536;
    return (uint64_t)s.st_size < limit ? (size_t)s.st_size + 1 : limit + 1;
}

static enum dawn_status read_fd(int fd, const char *path, size_t limit,
                                char **data_p, size_t *bytes_p,
                                struct dawn_error *err)
{
    size_t room = guess_room(fd, limit), bytes = 0;
    enum dawn_status st;
    char *data = NULL;

    for (;;) { /* one byte more than the file has shows its end */
        char *more = realloc(data, room + 1);
        if (!more) {
            st = dawn_fail(err, DAWN_E_NOMEM, "%s: no memory for %zu bytes",
                           path, room);
            goto fail;
        }
        data = more;
        ssize_t n = read_upto(fd, data + bytes, room - bytes);
        if (n < 0) {
            st = dawni_file_fail(path, "read", err);
            goto fail;
        }
        bytes += (size_t)n;
        if (bytes > limit) {
            st = dawn_fail(err, DAWN_E_IO, "%s: larger than %zu bytes", path,
                           limit);
            goto fail;
        }
        if (bytes < room)
            break;
        room = room > limit / 2 ? limit + 1 : room * 2;
    }
    data[bytes] = '\0';
    *data_p = data;
    *bytes_p = bytes;
    return DAWN_OK;
fail:
    free(data);
    return st;
}

/* A pipe that whoever started the program opened: `program /dev/stdin`,
 * `program <(other)`. */
static bool is_inherited(const char *path)
{
    static const char *const folder[] = {"/dev/fd/", "/proc/self/fd/"};

    for (size_t i = 0; i < sizeof folder / sizeof *folder; i++)
        if (strncmp(path, folder[i], strlen(folder[i])) == 0)
            return true;
    return strcmp(path, "/dev/stdin") == 0;
}

/* Nobody may ever write into a pipe, so without O_NONBLOCK it could take for
 * ever to open. */
static enum dawn_status open_read(const char *path, int *fd_p,
                                  struct dawn_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    enum dawn_status st = DAWN_OK;
    struct stat s;

    if (fd < 0)
        return dawni_file_fail(path, "open", err);
    if (fstat(fd, &s) || fcntl(fd, F_SETFL, 0))
        st = dawni_file_fail(path, "open", err);
    else if (S_ISFIFO(s.st_mode) && !is_inherited(path))
        st = dawn_fail(err, DAWN_E_IO, "%s: is no regular file", path);
    if (st)
        close(fd);
    else
        *fd_p = fd;
    return st;
}

enum dawn_status dawni_file_read(const char *path, size_t limit, char **data_p,
                                 size_t *bytes_p, struct dawn_error *err)
{
    int fd;
    enum dawn_status st = open_read(path, &fd, err);

    if (st)
        return st;
    st = read_fd(fd, path, limit, data_p, bytes_p, err);
    close(fd);
    return st;
}

/* Pieces */

enum dawn_status dawni_pieces_open(const char *path, struct dawni_pieces *file,
                                   struct dawn_error *err)
{
    int fd;
    enum dawn_status st = open_read(path, &fd, err);
    struct stat s;

    if (st)
        return st;
    *file = (struct dawni_pieces){.path = strdup(path), .fd = fd};
    if (!file->path)
        st = dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    else if (fstat(fd, &s) || !S_ISREG(s.st_mode))
        st = dawn_fail(err, DAWN_E_IO, "%s: is no regular file", path);
    else
        file->bytes = (uint64_t)s.st_size;
    if (st)
        dawni_pieces_close(file);
    return st;
}

void dawni_pieces_close(struct dawni_pieces *file)
{
    if (file->path)
        close(file->fd);
    free(file->path);
    file->path = NULL;
}

static enum dawn_status fail_short(const struct dawni_pieces *file,
                                   struct dawn_error *err)
{
    struct stat s;
    uint64_t now = fstat(file->fd, &s) ? 0 : (uint64_t)s.st_size;

    return dawn_fail(err, DAWN_E_IO,
                     "%s: has %" PRIu64 " bytes, had %" PRIu64
                     " when it was opened: somebody has cut it short",
                     file->path, now, file->bytes);
}

enum dawn_status dawni_pieces_read(const struct dawni_pieces *file, uint64_t at,
                                   void *to, size_t bytes,
                                   struct dawn_error *err)
{
    char *into = to;

    while (bytes) {
        ssize_t n = pread(file->fd, into, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dawni_file_fail(file->path, "read", err);
        if (n == 0)
            return fail_short(file, err);
        into += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return DAWN_OK;
}

/* Mapping */

static enum dawn_status map_fd(int fd, const char *path, const void **data_p,
                               uint64_t *bytes_p, struct dawn_error *err)
{
    struct stat s;
    void *data = NULL;

    if (fstat(fd, &s) || !S_ISREG(s.st_mode))
        return dawn_fail(err, DAWN_E_IO, "%s: is no regular file", path);
    if (s.st_size > 0)
        data = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return dawni_file_fail(path, "map", err);
    *data_p = data;
    *bytes_p = (uint64_t)s.st_size;
    return DAWN_OK;
}

enum dawn_status dawni_file_map(const char *path, const void **data_p,
                                uint64_t *bytes_p, struct dawn_error *err)
{
    int fd;
    enum dawn_status st = open_read(path, &fd, err);

    if (st)
        return st;
    st = map_fd(fd, path, data_p, bytes_p, err);
    close(fd);
    return st;
}

void dawni_file_unmap(const void *data, uint64_t bytes)
{
    if (data)
        munmap((void *)(uintptr_t)data, (size_t)bytes);
}

/* Writing */

static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* A pipe that nobody reads would be waited for without end. */
static int open_as_it_is(const char *path)
{
    const struct timespec pause = {0, 20000000};

    for (int i = 0;; i++) {
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && fcntl(fd, F_SETFL, 0) == 0)
            return fd;
        if (fd >= 0)
            close(fd);
        if (errno != ENXIO || i == PIPE_PAUSES)
            return -1;
        nanosleep(&pause, NULL);
    }
}

static enum dawn_status write_as_it_is(const char *path, const char *data,
                                       size_t bytes, struct dawn_error *err)
{
    int fd = open_as_it_is(path);
    enum dawn_status st = DAWN_OK;

    if (fd < 0 && errno == ENXIO)
        return dawn_fail(err, DAWN_E_IO, "%s: nobody reads from this pipe",
                         path);
    if (fd < 0)
        return dawni_file_fail(path, "open", err);
    if (write_all(fd, data, bytes))
        st = dawni_file_fail(path, "write", err);
    if (close(fd) && !st)
        st = dawni_file_fail(path, "write", err);
    return st;
}

/* A new file beside `path`; its name in `temp`, which has `room` bytes. */
static int open_temp(const char *path, char *temp, size_t room)
{
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(temp, room, "%s.tmp-%ld-%u", path, (long)getpid(), i);
        int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* A rename lasts once its folder is on disk. Not every file system can. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    if (length >= sizeof folder)
        return;
    memcpy(folder, path, length);
    folder[length] = '\0';
    if (!length)
        strcpy(folder, slash ? "/" : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* mode: of the file that is replaced, 0: there is none */
static enum dawn_status write_renamed(const char *path, const char *data,
                                      size_t bytes, mode_t mode,
                                      struct dawn_error *err)
{
    size_t room = strlen(path) + 64;
    char *temp = malloc(room);
    enum dawn_status st = DAWN_OK;

    if (!temp)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    int fd = open_temp(path, temp, room);
    if (fd < 0) {
        st = dawni_file_fail(path, "create", err);
        free(temp);
        return st;
    }
    if ((mode && fchmod(fd, mode & 0777)) || write_all(fd, data, bytes) ||
        fsync(fd))
        st = dawni_file_fail(path, "write", err);
    if (close(fd) && !st)
        st = dawni_file_fail(path, "write", err);
    if (!st && rename(temp, path))
        st = dawni_file_fail(path, "rename to it", err);
    if (st)
        unlink(temp);
    else
        sync_folder(path);
    free(temp);
    return st;
}

enum dawn_status dawni_file_write(const char *path, const char *data,
                                  size_t bytes, struct dawn_error *err)
{
    struct stat s;
    enum dawn_status st;

    if (stat(path, &s))
        return write_renamed(path, data, bytes, 0, err);
    if (S_ISDIR(s.st_mode))
        return dawn_fail(err, DAWN_E_IO, "%s: is a folder", path);
    if (!S_ISREG(s.st_mode))
        return write_as_it_is(path, data, bytes, err);
    char *real = realpath(path, NULL); /* a link stays a link */
    if (!real)
        return dawni_file_fail(path, "resolve", err);
    st = write_renamed(real, data, bytes, s.st_mode, err);
    free(real);
    return st;
}
