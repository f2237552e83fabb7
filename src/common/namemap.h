/* SPDX-License-Identifier: Apache-2.0 */
/* Names to numbers, O(1). Names are not copied: they must outlive the map. */
#ifndef DAWNI_COMMON_NAMEMAP_H
#define DAWNI_COMMON_NAMEMAP_H

#include <dawnpiper/status.h>

struct dawni_namemap;

/* NULL: no memory */
struct dawni_namemap *dawni_namemap_create(void);
void dawni_namemap_destroy(struct dawni_namemap *map); /* takes NULL */

/* Returns DAWN_OK, DAWN_E_INVAL (the name is there already) or DAWN_E_NOMEM.
 * value >= 0. */
enum dawn_status dawni_namemap_add(struct dawni_namemap *map, const char *name,
                                   int value);

/* The number of a name, -1 when absent. */
int dawni_namemap_find(const struct dawni_namemap *map, const char *name);

#endif
