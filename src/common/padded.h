/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in an arena begins at a multiple of 64 bytes: a cache line, and an
 * AVX-512 register. */
#ifndef DAWNI_COMMON_PADDED_H
#define DAWNI_COMMON_PADDED_H

#include <stdint.h>

/* Rounded up to 64. */
static inline uint64_t dawni_padded(uint64_t bytes)
{
    return (bytes + 63) & ~(uint64_t)63;
}

#endif
