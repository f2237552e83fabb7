/* SPDX-License-Identifier: Apache-2.0 */
/* Offline packing: buffers of known size and lifetime into one arena. */
#ifndef DAWNI_MEMORY_PACK_H
#define DAWNI_MEMORY_PACK_H

#include <dawnpiper/status.h>
#include <stdint.h>

struct dawni_extent {
    uint64_t bytes;  /* a multiple of the alignment, 64 */
    int begin, end;  /* live in events begin..end, inclusive */
    uint64_t offset; /* out: 64-byte aligned */
};

/* Give every extent an offset so that no two that live at one time overlap.
 *
 *   extent       n of them; only offset is written
 *   arena_bytes  out: end of the highest extent
 *
 * Deterministic. Returns DAWN_OK or DAWN_E_NOMEM.
 */
enum dawn_status dawni_pack(struct dawni_extent *extent, int n,
                            uint64_t *arena_bytes, struct dawn_error *err);

/* Largest sum of bytes live at one event: no packing can be smaller. 0 without
 * memory. */
uint64_t dawni_pack_bound(const struct dawni_extent *extent, int n);

#endif
