/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for the files of one test program, gone at its end. */
#ifndef TESTS_COMMON_SCRATCH_H
#define TESTS_COMMON_SCRATCH_H

#include <dirent.h>
#include <ftw.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_folder[64];

static inline int scratch_remove_one(const char *path, const struct stat *s,
                                     int kind, struct FTW *ftw)
{
    return remove(path);
}

static inline void scratch_remove(void)
{
    nftw(scratch_folder, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
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

/* Go to a locale whose decimal point is a comma: an installed one, or one made
 * here. False when neither works. setlocale(LC_ALL, "C") goes back. */
static inline bool scratch_comma_locale(void)
{
    char command[400];

    if (setlocale(LC_ALL, "de_DE.UTF-8") || setlocale(LC_ALL, "de_DE"))
        return true;
    snprintf(command, sizeof command,
             "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1",
             scratch_folder);
    if (system(command) || setenv("LOCPATH", scratch_folder, 1))
        return false;
    return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

#endif
