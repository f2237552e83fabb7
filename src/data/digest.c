/* SPDX-License-Identifier: Apache-2.0 */
/* Which data a file holds. */
#include "common/file.h"
#include "common/hash.h"

#include <dawnpiper/data.h>
#include <stdlib.h>

enum { PIECES = 256, PIECE_BYTES = 256 << 10 };

_Static_assert((uint64_t)PIECES *PIECE_BYTES == DAWN_DATA_WHOLE,
               "pieces of the shortest file that is not read whole do not "
               "overlap");

/* Add `bytes` bytes from `at` on; at most a piece at one time. */
static enum dawn_status add_piece(struct dawni_hash *hash,
                                  const struct dawni_pieces *file, uint64_t at,
                                  uint64_t bytes, char *buffer,
                                  struct dawn_error *err)
{
    enum dawn_status st =
        dawni_pieces_read(file, at, buffer, (size_t)bytes, err);

    if (!st)
        dawni_hash_add(hash, buffer, (size_t)bytes);
    return st;
}

static enum dawn_status add_whole(struct dawni_hash *hash,
                                  const struct dawni_pieces *file, char *buffer,
                                  struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (uint64_t at = 0; at < file->bytes && !st; at += PIECE_BYTES) {
        uint64_t rest = file->bytes - at;
        st = add_piece(hash, file, at, rest < PIECE_BYTES ? rest : PIECE_BYTES,
                       buffer, err);
    }
    return st;
}

static enum dawn_status add_pieces(struct dawni_hash *hash,
                                   const struct dawni_pieces *file,
                                   char *buffer, struct dawn_error *err)
{
    uint64_t last = file->bytes - PIECE_BYTES; /* where the last piece begins */
    enum dawn_status st = DAWN_OK;

    for (uint64_t i = 0; i < PIECES && !st; i++) {
        uint64_t at =
            last / (PIECES - 1) * i + last % (PIECES - 1) * i / (PIECES - 1);
        st = add_piece(hash, file, at, PIECE_BYTES, buffer, err);
    }
    return st;
}

enum dawn_status dawn_data_digest(const char *path, uint64_t *bytes_p,
                                  uint64_t *digest_p, struct dawn_error *err)
{
    struct dawni_hash hash;
    struct dawni_pieces file;
    enum dawn_status st = dawni_pieces_open(path, &file, err);

    if (st)
        return st;
    char *buffer = malloc(PIECE_BYTES);
    dawni_hash_init(&hash);
    dawni_hash_add_u64(&hash, file.bytes);
    if (!buffer)
        st = dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    else if (file.bytes > DAWN_DATA_WHOLE)
        st = add_pieces(&hash, &file, buffer, err);
    else
        st = add_whole(&hash, &file, buffer, err);
    free(buffer);
    dawni_pieces_close(&file);
    if (st)
        return st;
    if (bytes_p)
        *bytes_p = file.bytes;
    *digest_p = dawni_hash_end(&hash);
    return DAWN_OK;
}
