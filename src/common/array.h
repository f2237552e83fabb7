/* SPDX-License-Identifier: Apache-2.0 */
/* Growing arrays: a pointer, a count and a room, as plain struct members.
 *
 *     if (!dawni_array_reserve(&g->node, &g->node_room, g->nodes + 1))
 *         return dawn_fail(err, DAWN_E_NOMEM, "no memory for a node");
 *     g->node[g->nodes++] = node;
 */
#ifndef DAWNI_COMMON_ARRAY_H
#define DAWNI_COMMON_ARRAY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Make room for `wanted` elements. False, and nothing changed, when there is no
 * memory or the size overflows. What is new is not initialised. */
#define dawni_array_reserve(array_p, room_p, wanted)                           \
    dawni_array_reserve_bytes((array_p), (room_p), (wanted), sizeof **(array_p))

static inline bool dawni_array_reserve_bytes(void *array_p, int *room_p,
                                             int wanted, size_t element)
{
    int room = *room_p < 8 ? 8 : *room_p;
    void *array;

    if (wanted <= *room_p)
        return wanted >= 0;
    while (room < wanted)
        room = room > INT_MAX / 2 ? INT_MAX : room * 2;
    if ((size_t)room > SIZE_MAX / element)
        return false;
    memcpy(&array, array_p, sizeof array); /* of any pointer type */
    array = realloc(array, (size_t)room * element);
    if (!array)
        return false;
    memcpy(array_p, &array, sizeof array);
    *room_p = room;
    return true;
}

/* calloc that takes any count: a count below 0 is no memory, 0 is one element,
 * so that NULL always means failure. */
static inline void *dawni_calloc(int64_t count, size_t element)
{
    if (count < 0 || (uint64_t)count > SIZE_MAX)
        return NULL;
    return calloc(count ? (size_t)count : 1, element);
}

#endif
