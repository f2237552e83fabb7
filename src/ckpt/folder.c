/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/folder.h"
#include "common/array.h"
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP "step-"
#define TEMP ".tmp-"
#define OLD ".old-"

char *dawni_path_join(const char *dir, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

char *dawni_path_of_step(const char *dir, uint64_t step)
{
    char *path;

    return asprintf(&path, "%s/" STEP "%08" PRIu64, dir, step) < 0 ? NULL
                                                                   : path;
}

char *dawni_path_of_temp(const char *dir, uint64_t step)
{
    char *path;

    return asprintf(&path, "%s/" TEMP STEP "%08" PRIu64, dir, step) < 0 ? NULL
                                                                        : path;
}

enum dawn_status dawni_folder_make(const char *path, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    char *copy = strdup(path);
    struct stat s;

    if (!copy)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    for (char *at = copy + 1; *copy && *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(copy, 0777); /* the last one tells whether all went well */
        *at = '/';
    }
    if (mkdir(copy, 0777) && errno != EEXIST)
        st = dawni_file_fail(path, "make the folder", err);
    else if (stat(copy, &s) || !S_ISDIR(s.st_mode))
        st = dawn_fail(err, DAWN_E_IO, "%s: is no folder", path);
    free(copy);
    return st;
}

void dawni_folder_remove(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0); /* "." and ".." stay */
    closedir(dir);
    rmdir(path);
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

void dawni_folder_clean(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        if (!begins(entry->d_name, TEMP STEP) &&
            !begins(entry->d_name, OLD STEP))
            continue;
        char *left = dawni_path_join(path, entry->d_name);
        if (left)
            dawni_folder_remove(left);
        free(left);
    }
    closedir(dir);
}

enum dawn_status dawni_folder_sync(const char *path, struct dawn_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum dawn_status st = DAWN_OK;

    if (fd < 0)
        return dawni_file_fail(path, "open", err);
    if (fsync(fd) && errno != EINVAL && errno != ENOTSUP) /* not every file
                                                             system can */
        st = dawni_file_fail(path, "sync", err);
    close(fd);
    return st;
}

/* For file systems that cannot exchange two names: for a moment neither is
 * there. */
static int replace(const char *temp, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *old;

    if (asprintf(&old, "%.*s" OLD "%s", (int)(slash + 1 - path), path,
                 slash + 1) < 0)
        return -1;
    int rc = rename(path, old);
    if (!rc && (rc = rename(temp, path))) {
        int error = errno;
        rename(old, path);
        errno = error;
    } else if (!rc) {
        dawni_folder_remove(old);
    }
    free(old);
    return rc;
}

enum dawn_status dawni_folder_publish(const char *temp, const char *path,
                                      struct dawn_error *err)
{
    if (!rename(temp, path))
        return DAWN_OK;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return dawni_file_fail(path, "rename to it", err);
    if (!renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_EXCHANGE)) {
        dawni_folder_remove(temp);
        return DAWN_OK;
    }
    return replace(temp, path) ? dawni_file_fail(path, "replace", err)
                               : DAWN_OK;
}

static int descending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

/* "step-" and digits only. */
static bool parse_step(const char *name, uint64_t *step)
{
    const char *digits = name + strlen(STEP);
    char *end;

    if (!begins(name, STEP) || *digits < '0' || *digits > '9')
        return false;
    errno = 0;
    *step = strtoull(digits, &end, 10);
    return !errno && !*end;
}

enum dawn_status dawni_folder_steps(const char *path, uint64_t **step_p,
                                    int *steps_p, struct dawn_error *err)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    uint64_t *step = NULL, number;
    int steps = 0, room = 0;

    if (!dir)
        return errno == ENOENT
                   ? dawn_fail(err, DAWN_E_IO,
                               "%s: no checkpoint, there is no such folder",
                               path)
                   : dawni_file_fail(path, "open the folder", err);
    while ((entry = readdir(dir))) {
        if (!parse_step(entry->d_name, &number))
            continue;
        if (!dawni_array_reserve(&step, &room, steps + 1)) {
            free(step);
            closedir(dir);
            return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
        }
        step[steps++] = number;
    }
    closedir(dir);
    if (steps)
        qsort(step, (size_t)steps, sizeof *step, descending);
    *step_p = step;
    *steps_p = steps;
    return DAWN_OK;
}
