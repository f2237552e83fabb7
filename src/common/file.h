/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files in and out, and what is said when one cannot be had. */
#ifndef DAWNI_COMMON_FILE_H
#define DAWNI_COMMON_FILE_H

#include <dawnpiper/status.h>
#include <stddef.h>
#include <stdint.h>

/* Fail with DAWN_E_IO and "PATH: cannot WHAT: " and what errno says. */
enum dawn_status dawni_file_fail(const char *path, const char *what,
                                 struct dawn_error *err);

/* Read a whole file of at most `limit` bytes; a zero byte is put behind it. The
 * caller frees *data_p. A pipe is read only as /dev/stdin or /dev/fd/N: one
 * with a name of its own would be waited for until somebody writes into it.
 * Returns DAWN_OK, DAWN_E_IO (cannot be read, or larger than the limit) or
 * DAWN_E_NOMEM.
 */
enum dawn_status dawni_file_read(const char *path, size_t limit, char **data_p,
                                 size_t *bytes_p, struct dawn_error *err);

/* A regular file of which pieces are read. Where a map would end in a signal,
 * reading what is there no more fails. Threads may read at one time. */
struct dawni_pieces {
    char *path;
    int fd;         /* -1: none */
    uint64_t bytes; /* when it was opened */
};

/* Returns DAWN_OK, DAWN_E_IO (also: it is no regular file) or DAWN_E_NOMEM. On
 * failure there is nothing to close. */
enum dawn_status dawni_pieces_open(const char *path, struct dawni_pieces *file,
                                   struct dawn_error *err);
void dawni_pieces_close(struct dawni_pieces *file);

/* Read `bytes` bytes from `at` on. Returns DAWN_OK or DAWN_E_IO: the text says
 * so if the file has got shorter. */
enum dawn_status dawni_pieces_read(const struct dawni_pieces *file, uint64_t at,
                                   void *to, size_t bytes,
                                   struct dawn_error *err);

/* Map a regular file to read it; one without bytes is NULL. Undone by
 * dawni_file_unmap, which takes NULL. Returns DAWN_OK or DAWN_E_IO.
 */
enum dawn_status dawni_file_map(const char *path, const void **data_p,
                                uint64_t *bytes_p, struct dawn_error *err);
void dawni_file_unmap(const void *data, uint64_t bytes);

/* Write a whole file: to a temporary name in the same folder, synced, renamed.
 * On failure what was there before is still there. What is no regular file
 * (/dev/stdout, a pipe) is written to as it is; a pipe that nobody has begun to
 * read after 5 s is a failure. Returns DAWN_OK, DAWN_E_IO or
 * DAWN_E_NOMEM.
 */
enum dawn_status dawni_file_write(const char *path, const char *data,
                                  size_t bytes, struct dawn_error *err);

#endif
