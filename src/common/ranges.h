/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of what files say, wide enough for any machine and narrow enough that
 * sums and products stay finite and whole: 30 years, an exbibyte, and what a
 * tensor, a parameter or a node has of it, a pebibyte. */
#ifndef DAWNI_COMMON_RANGES_H
#define DAWNI_COMMON_RANGES_H

#include <stdint.h>

#define DAWNI_MOST_NS 1e18
#define DAWNI_MOST_BYTES ((int64_t)1 << 60)
#define DAWNI_MOST_NODE_BYTES ((int64_t)1 << 50)
#define DAWNI_LEAST_BYTES_PER_S 1
#define DAWNI_MOST_BYTES_PER_S 1e18
#define DAWNI_MOST_NS_PER_BYTE 1e9
#define DAWNI_LEAST_SPEED 1e-6 /* of a device, against the profiled one */
#define DAWNI_MOST_SPEED 1e6
#define DAWNI_MOST_SAMPLES (1 << 20) /* of a microbatch */

#endif
