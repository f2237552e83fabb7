/* SPDX-License-Identifier: Apache-2.0 */
/* xxh3 by the header of libxxhash, inlined: the state needs no allocation. */
#include "common/hash.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct dawni_hash),
               "the state fits");
_Static_assert(_Alignof(XXH3_state_t) <= 64, "the state is aligned");

void dawni_hash_init(struct dawni_hash *hash)
{
    XXH3_64bits_reset((XXH3_state_t *)hash->state);
}

void dawni_hash_add(struct dawni_hash *hash, const void *data, size_t bytes)
{
    if (bytes)
        XXH3_64bits_update((XXH3_state_t *)hash->state, data, bytes);
}

void dawni_hash_add_u64(struct dawni_hash *hash, uint64_t x)
{
    unsigned char bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(x >> (8 * i));
    dawni_hash_add(hash, bytes, sizeof bytes);
}

void dawni_hash_add_double(struct dawni_hash *hash, double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    dawni_hash_add_u64(hash, bits);
}

void dawni_hash_add_str(struct dawni_hash *hash, const char *s)
{
    size_t length = s ? strlen(s) : 0;

    dawni_hash_add_u64(hash, length);
    dawni_hash_add(hash, s, length);
}

uint64_t dawni_hash_end(const struct dawni_hash *hash)
{
    return XXH3_64bits_digest((const XXH3_state_t *)hash->state);
}

uint64_t dawni_hash_of(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}
