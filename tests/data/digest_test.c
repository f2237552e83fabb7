/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of data files: what is read of a file, and what is told apart. */
#include "common/hash.h"
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/data.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIECE = 256 << 10 };

static uint64_t digest_of(const char *path)
{
    struct dawn_error err = {0};
    uint64_t digest = 0;

    is_int(dawn_data_digest(path, NULL, &digest, &err), DAWN_OK, "%s is read%s",
           path, err.text);
    return digest;
}

/* The digest when the byte at `at` is another. */
static uint64_t digest_with(const char *path, int fd, uint64_t at)
{
    const unsigned char other = 1, zero = 0;
    bool fine = pwrite(fd, &other, 1, (off_t)at) == 1;
    uint64_t digest = digest_of(path);

    ok(fine && pwrite(fd, &zero, 1, (off_t)at) == 1, "a byte is changed");
    return digest;
}

static void test_small(void)
{
    static const char wanted[] = "\3\0\0\0\0\0\0\0abc"; /* length, bytes */
    const char *path = scratch_write("small", "abc");
    uint64_t bytes = 0, digest = 0;

    is_int(dawn_data_digest(path, &bytes, &digest, NULL), DAWN_OK, "a file");
    is_u64(bytes, 3, "its length");
    is_u64(digest, dawni_hash_of(wanted, sizeof wanted - 1),
           "xxh3 of length and bytes");
    is_u64(digest_of(scratch_write("copy", "abc")), digest,
           "another name, the same digest");
    ok(digest_of(scratch_write("other", "abd")) != digest,
       "the same length, another byte: another digest");
}

static void test_refused(void)
{
    uint64_t bytes = 7, digest = 7;

    is_int(dawn_data_digest(scratch_path("none"), &bytes, &digest, NULL),
           DAWN_E_IO, "no such file");
    is_int(dawn_data_digest(scratch_folder, &bytes, &digest, NULL), DAWN_E_IO,
           "a folder");
    ok(bytes == 7 && digest == 7, "nothing is set then");
}

/* 255 gaps of 259 bytes between 256 pieces: piece i begins at i * (PIECE +
 * 259). */
static void test_large(void)
{
    const uint64_t gap = 259, bytes = DAWN_DATA_WHOLE + 255 * gap;
    const char *path = scratch_path("large");
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    ok(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0, "a large file, all holes");
    uint64_t digest = digest_of(path);
    ok(digest_with(path, fd, 0) != digest, "its first byte counts");
    ok(digest_with(path, fd, bytes - 1) != digest, "its last byte counts");
    ok(digest_with(path, fd, 100 * (PIECE + gap)) != digest,
       "the first byte of piece 100 counts");
    is_u64(digest_with(path, fd, 100 * (PIECE + gap) - 1), digest,
           "the byte before it, between pieces, does not");
    ok(ftruncate(fd, (off_t)bytes + 1) == 0 && digest_of(path) != digest,
       "the length counts");
    ok(ftruncate(fd, (off_t)DAWN_DATA_WHOLE) == 0, "a file that is read whole");
    digest = digest_of(path);
    ok(digest_with(path, fd, 100 * (PIECE + gap) - 1) != digest,
       "each byte counts");
    close(fd);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_small();
    test_refused();
    test_large();
    return done_testing();
}
