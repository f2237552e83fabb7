/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing; never more than half full. */
#include "common/namemap.h"
#include "common/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    const char *name; /* NULL: free */
    uint64_t hash;
    int value;
};

struct dawni_namemap {
    struct slot *slot;
    size_t slots; /* a power of two */
    size_t names;
};

struct dawni_namemap *dawni_namemap_create(void)
{
    struct dawni_namemap *map = calloc(1, sizeof *map);

    if (!map)
        return NULL;
    map->slots = 16;
    map->slot = calloc(map->slots, sizeof *map->slot);
    if (!map->slot) {
        free(map);
        return NULL;
    }
    return map;
}

void dawni_namemap_destroy(struct dawni_namemap *map)
{
    if (!map)
        return;
    free(map->slot);
    free(map);
}

/* The slot that has the name, or the free one where it belongs. */
static struct slot *slot_of(struct slot *slot, size_t slots, const char *name,
                            uint64_t hash)
{
    size_t i = (size_t)hash & (slots - 1);

    while (slot[i].name &&
           (slot[i].hash != hash || strcmp(slot[i].name, name) != 0))
        i = (i + 1) & (slots - 1);
    return &slot[i];
}

static bool grow(struct dawni_namemap *map)
{
    size_t slots = map->slots * 2;
    struct slot *slot = slots > map->slots ? calloc(slots, sizeof *slot) : NULL;

    if (!slot)
        return false;
    for (size_t i = 0; i < map->slots; i++) {
        const struct slot *old = &map->slot[i];
        if (old->name)
            *slot_of(slot, slots, old->name, old->hash) = *old;
    }
    free(map->slot);
    map->slot = slot;
    map->slots = slots;
    return true;
}

enum dawn_status dawni_namemap_add(struct dawni_namemap *map, const char *name,
                                   int value)
{
    uint64_t hash = dawni_hash_of(name, strlen(name));

    if (slot_of(map->slot, map->slots, name, hash)->name)
        return DAWN_E_INVAL;
    if (map->names + 1 > map->slots / 2 && !grow(map))
        return DAWN_E_NOMEM;
    *slot_of(map->slot, map->slots, name, hash) =
        (struct slot){name, hash, value};
    map->names++;
    return DAWN_OK;
}

int dawni_namemap_find(const struct dawni_namemap *map, const char *name)
{
    uint64_t hash = dawni_hash_of(name, strlen(name));
    const struct slot *slot = slot_of(map->slot, map->slots, name, hash);

    return slot->name ? slot->value : -1;
}
