/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for the files of one test program, gone at its end. */
#ifndef TESTS_COMMON_SCRATCH_H
#define TESTS_COMMON_SCRATCH_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_folder[64];

static inline void scratch_remove(void)
{
    DIR *dir = opendir(scratch_folder);
    struct dirent *entry;
    char path[400];

    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", scratch_folder, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(scratch_folder);
}

static inline void scratch_make(void)
{
    strcpy(scratch_folder, "/tmp/dawn-test-XXXXXX");
    if (!mkdtemp(scratch_folder)) {
        perror(scratch_folder);
        exit(1);
    }
    atexit(scratch_remove);
}

/* The path of a file in it; valid until the fourth next call. */
static inline const char *scratch_path(const char *name)
{
    static char path[4][400];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", scratch_folder, name);
    return path[turn];
}

static inline const char *scratch_write(const char *name, const char *text)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "wb");

    if (!file || fputs(text, file) < 0 || fclose(file)) {
        perror(path);
        exit(1);
    }
    return path;
}

/* The whole file; the caller frees it. NULL when it is not there. */
static inline char *scratch_read(const char *name)
{
    FILE *file = fopen(scratch_path(name), "rb");
    char *text = NULL;
    size_t bytes = 0;

    if (!file || getdelim(&text, &bytes, 0, file) < 0) {
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

/* Files in it, hidden ones too. */
static inline int scratch_files(void)
{
    DIR *dir = opendir(scratch_folder);
    int files = -2; /* "." and ".." */

    while (dir && readdir(dir))
        files++;
    if (dir)
        closedir(dir);
    return files;
}

#endif
