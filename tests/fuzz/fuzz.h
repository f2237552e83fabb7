/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. A target is a program whose input is one file of
 * a format that we read; it must end without a crash, whatever the bytes.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_file {
    int fd;
    char path[64];
};

/* Put the input into a file in memory, for readers that take a path. */
static inline struct fuzz_file fuzz_file_open(const uint8_t *data, size_t size)
{
    struct fuzz_file file = {.fd = memfd_create("fuzz", 0)};

    if (file.fd < 0 || write(file.fd, data, size) != (ssize_t)size) {
        perror("memfd");
        abort();
    }
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

static inline void fuzz_file_close(const struct fuzz_file *file)
{
    close(file->fd);
}

#endif
