/* SPDX-License-Identifier: Apache-2.0 */
/* What is free in an arena, for each of a run of times: rooms, the highest of
 * them open. A box goes to the lowest offset at which all times of its life
 * have room.
 */
#ifndef DAWNI_MEMORY_ROOMS_H
#define DAWNI_MEMORY_ROOMS_H

#include <stdbool.h>
#include <stdint.h>

struct dawni_room {
    uint64_t offset, top;
    int next; /* the next higher one, -1: none */
};

struct dawni_rooms {
    int *first; /* by time: the lowest room */
    struct dawni_room *room;
    int rooms, room_room;
    bool failed; /* no memory; then nothing more may be called but clear */
};

/* {0} before. False without memory. */
bool dawni_rooms_init(struct dawni_rooms *r, int times);
void dawni_rooms_clear(struct dawni_rooms *r);

/* Forget all rooms; at `time`, all from `offset` on is free. */
void dawni_rooms_begin(struct dawni_rooms *r, int time, uint64_t offset);
/* At `time`, the same is free as at the time before. */
void dawni_rooms_copy(struct dawni_rooms *r, int time);
/* A range that is taken, below the highest room, becomes free; or a free one is
 * taken. */
void dawni_rooms_vacate(struct dawni_rooms *r, int time, uint64_t offset,
                        uint64_t top);
void dawni_rooms_occupy(struct dawni_rooms *r, int time, uint64_t offset,
                        uint64_t top);

/* Take room from begin to end, at the lowest offset. Returns that. */
uint64_t dawni_rooms_take(struct dawni_rooms *r, int begin, int end,
                          uint64_t bytes);

#endif
