/* SPDX-License-Identifier: Apache-2.0 */
/* xxh3, 64 bits: digests of graphs, profiles and files. The same on every
 * machine: numbers are hashed little-endian, strings with their length.
 */
#ifndef DAWNI_COMMON_HASH_H
#define DAWNI_COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

struct dawni_hash {
    _Alignas(64) unsigned char state[640];
};

void dawni_hash_init(struct dawni_hash *hash);
void dawni_hash_add(struct dawni_hash *hash, const void *data, size_t bytes);
void dawni_hash_add_u64(struct dawni_hash *hash, uint64_t x);
/* The bits of x; -0.0 and 0.0 differ. */
void dawni_hash_add_double(struct dawni_hash *hash, double x);
/* NULL is the empty string. */
void dawni_hash_add_str(struct dawni_hash *hash, const char *s);
/* The digest of all that was added; more may follow. */
uint64_t dawni_hash_end(const struct dawni_hash *hash);

uint64_t dawni_hash_of(const void *data, size_t bytes);

#endif
