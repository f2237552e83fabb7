/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/rooms.h"
#include "common/array.h"

bool dawni_rooms_init(struct dawni_rooms *r, int times)
{
    r->first = dawni_calloc(times, sizeof *r->first);
    return r->first;
}

void dawni_rooms_clear(struct dawni_rooms *r)
{
    free(r->first);
    free(r->room);
    *r = (struct dawni_rooms){0};
}

/* -1 without memory. */
static int new_room(struct dawni_rooms *r, uint64_t offset, uint64_t top,
                    int next)
{
    if (!dawni_array_reserve(&r->room, &r->room_room, r->rooms + 1)) {
        r->failed = true;
        return -1;
    }
    r->room[r->rooms] = (struct dawni_room){offset, top, next};
    return r->rooms++;
}

void dawni_rooms_begin(struct dawni_rooms *r, int time, uint64_t offset)
{
    r->rooms = 0;
    r->first[time] = new_room(r, offset, UINT64_MAX, -1);
}

void dawni_rooms_copy(struct dawni_rooms *r, int time)
{
    int last = -1;

    for (int i = r->first[time - 1]; i >= 0; i = r->room[i].next) {
        int made = new_room(r, r->room[i].offset, r->room[i].top, -1);
        if (made < 0)
            return;
        *(last < 0 ? &r->first[time] : &r->room[last].next) = made;
        last = made;
    }
}

void dawni_rooms_vacate(struct dawni_rooms *r, int time, uint64_t offset,
                        uint64_t top)
{
    int below = -1, above = r->first[time];

    for (; r->room[above].offset < offset; above = r->room[above].next)
        below = above;
    bool joins = below >= 0 && r->room[below].top == offset;
    if (joins && r->room[above].offset == top) {
        r->room[below].top = r->room[above].top;
        r->room[below].next = r->room[above].next;
    } else if (joins) {
        r->room[below].top = top;
    } else if (r->room[above].offset == top) {
        r->room[above].offset = offset;
    } else {
        int made = new_room(r, offset, top, above);
        *(below < 0 ? &r->first[time] : &r->room[below].next) = made;
    }
}

void dawni_rooms_occupy(struct dawni_rooms *r, int time, uint64_t offset,
                        uint64_t top)
{
    int below = -1, i = r->first[time];

    for (; r->room[i].top < top; i = r->room[i].next)
        below = i;
    struct dawni_room was = r->room[i];
    if (was.offset == offset && was.top == top) {
        *(below < 0 ? &r->first[time] : &r->room[below].next) = was.next;
    } else if (was.offset == offset) {
        r->room[i].offset = top;
    } else {
        int rest =
            was.top == top ? was.next : new_room(r, top, was.top, was.next);
        r->room[i].top = offset;
        r->room[i].next = rest;
    }
}

/* The lowest offset from `offset` on that has room for so much at a time. */
static uint64_t offset_at(const struct dawni_rooms *r, int time,
                          uint64_t offset, uint64_t bytes)
{
    for (int i = r->first[time];; i = r->room[i].next) {
        const struct dawni_room *x = &r->room[i];
        uint64_t low = x->offset > offset ? x->offset : offset;
        if (low <= x->top && x->top - low >= bytes)
            return low;
    }
}

uint64_t dawni_rooms_take(struct dawni_rooms *r, int begin, int end,
                          uint64_t bytes)
{
    int64_t life = (int64_t)end - begin + 1;
    uint64_t offset = 0;

    for (int64_t fits = 0, time = begin; fits < life; fits++) { /* in a row */
        uint64_t here = offset_at(r, (int)time, offset, bytes);
        if (here > offset)
            fits = 0;
        offset = here;
        time = time < end ? time + 1 : begin;
    }
    for (int time = begin; time <= end && !r->failed; time++)
        dawni_rooms_occupy(r, time, offset, offset + bytes);
    return offset;
}
