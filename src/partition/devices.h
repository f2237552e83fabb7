/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices are left for the stages before those that have one. */
#ifndef DAWNI_PARTITION_DEVICES_H
#define DAWNI_PARTITION_DEVICES_H

#include "partition/instance.h"

enum dawni_placement {
    DAWNI_PLACE_ALIKE, /* all devices are alike: only their number counts */
    DAWNI_PLACE_ORDER, /* in their order, the last stage on the last one; some
                          may be left out */
    DAWNI_PLACE_ANY,   /* in any order */
};

struct dawni_devices {
    const struct dawni_instance *in;
    enum dawni_placement placement;
    bool complete;   /* all that is allowed is tried */
    uint64_t *radix; /* ANY: by type: what one of it counts */
    int *count;      /* ANY: by type: how many there are */
};

struct dawni_device_choice {
    int device; /* ORDER: the device; else its type */
    int type;
    uint64_t left; /* what is left then */
};

/* False without memory. */
bool dawni_devices_init(struct dawni_devices *d,
                        const struct dawni_instance *in);
void dawni_devices_clear(struct dawni_devices *d);

/* What is left before any stage has a device. */
uint64_t dawni_devices_all(const struct dawni_devices *d);

/* The devices that the next stage, towards the first, may have. choice: room
 * for in->types. all: none may be left out. Returns their number. */
int dawni_devices_choices(const struct dawni_devices *d, uint64_t left,
                          bool all, struct dawni_device_choice *choice);

/* From choices by stage to devices, in place. */
void dawni_devices_assign(const struct dawni_devices *d, int stages,
                          int *device);

#endif
