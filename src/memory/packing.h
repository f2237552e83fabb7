/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of packing: extents as boxes, and the ways to place them. */
#ifndef DAWNI_MEMORY_PACKING_H
#define DAWNI_MEMORY_PACKING_H

#include "memory/pack.h"
#include <stdbool.h>

/* An extent. Its times are numbers of those at which some extent begins:
 * nothing else matters to whether two live at one time. */
struct dawni_box {
    uint64_t bytes;
    int begin, end; /* times, inclusive */
    int shape;      /* the same for all of the same bytes and life */
    int extent;     /* which one it is */
};

struct dawni_shape {
    uint64_t bytes;
    int64_t life; /* events */
};

struct dawni_boxes {
    struct dawni_box *box; /* by begin */
    int n, times;
    struct dawni_shape *shape;
    int shapes;
    uint64_t bound; /* largest load */
};

/* skyline.c: place each box in the lowest valley that it fits in. */
struct dawni_skyline;

enum dawn_status dawni_skyline_create(const struct dawni_boxes *boxes,
                                      struct dawni_skyline **skyline_p,
                                      struct dawn_error *err);
void dawni_skyline_destroy(struct dawni_skyline *s); /* takes NULL */

/* rank: by shape, which box comes first where several fit, smallest first.
 * offset: out, by box. Returns where the highest box ends. */
uint64_t dawni_skyline_place(struct dawni_skyline *s, const uint32_t *rank,
                             uint64_t *offset);

/* tracks.c: boxes that live long below each other, the rest in between; so much
 * counts as long that no more than `most` boxes of the rest depend on each
 * other. Tries a little harder where the top would be above `good`. offset:
 * out, by box. */
enum dawn_status dawni_tracks_place(const struct dawni_boxes *boxes, int most,
                                    uint64_t good, uint64_t *offset,
                                    uint64_t *top_p, struct dawn_error *err);

#endif
