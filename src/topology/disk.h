/* SPDX-License-Identifier: Apache-2.0 */
/* How fast the disk behind a folder is. (libdawnpiper-run) */
#ifndef DAWNI_TOPOLOGY_DISK_H
#define DAWNI_TOPOLOGY_DISK_H

#include <dawnpiper/machine.h>

/* Write and read a file of `bytes` in `dir` (removed again), past the page
 * cache where the file system can, while all cores compute; the medians of nine
 * passes, of three at least where that takes more than a minute, and of 32
 * single reads. Fills *tier; its compute_ns_per_byte is the time of one core.
 * Returns DAWN_OK, DAWN_E_IO, DAWN_E_INVAL (the path is too long for a tier) or
 * DAWN_E_NOMEM.
 */
enum dawn_status dawni_disk_measure(const char *dir, uint64_t bytes,
                                    struct dawn_machine_tier *tier,
                                    struct dawn_error *err);

#endif
