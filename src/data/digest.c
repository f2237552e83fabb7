/* SPDX-License-Identifier: Apache-2.0 */
/* Which data a file holds. */
#include "common/file.h"
#include "common/hash.h"

#include <dawnpiper/data.h>

enum { PIECES = 256, PIECE_BYTES = 256 << 10 };

_Static_assert((uint64_t)PIECES *PIECE_BYTES == DAWN_DATA_WHOLE,
               "pieces of the shortest file that is not read whole do not "
               "overlap");

static void add_pieces(struct dawni_hash *hash, const unsigned char *data,
                       uint64_t bytes)
{
    uint64_t last = bytes - PIECE_BYTES; /* where the last piece begins */

    for (uint64_t i = 0; i < PIECES; i++) {
        uint64_t at =
            last / (PIECES - 1) * i + last % (PIECES - 1) * i / (PIECES - 1);
        dawni_hash_add(hash, data + at, PIECE_BYTES);
    }
}

enum dawn_status dawn_data_digest(const char *path, uint64_t *bytes_p,
                                  uint64_t *digest_p, struct dawn_error *err)
{
    struct dawni_hash hash;
    const void *data;
    uint64_t bytes;
    enum dawn_status st = dawni_file_map(path, &data, &bytes, err);

    if (st)
        return st;
    dawni_hash_init(&hash);
    dawni_hash_add_u64(&hash, bytes);
    if (bytes > DAWN_DATA_WHOLE)
        add_pieces(&hash, data, bytes);
    else
        dawni_hash_add(&hash, data, bytes);
    dawni_file_unmap(data, bytes);
    if (bytes_p)
        *bytes_p = bytes;
    *digest_p = dawni_hash_end(&hash);
    return DAWN_OK;
}
