/* SPDX-License-Identifier: Apache-2.0 */
/* A machine: the devices that ranks run on, their memory, the links between
 * them, the tiers below. Read from machine.yaml, measured, or made by default.
 */
#ifndef DAWNPIPER_MACHINE_H
#define DAWNPIPER_MACHINE_H

#include <dawnpiper/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_machine;

struct dawn_machine_device {
    char name[64];
    char kind[16];         /* "host", "cuda" */
    uint64_t memory_bytes; /* what a rank may use; 0: unknown */
    int cores;             /* 0: unknown */
    double speed;          /* relative to the profiled device; 1 */
};

/* spread: of measurements that were repeated, the upper quartile of the times
 * over the lower one. 1: all were alike; 0: not measured. Above
 * DAWN_MACHINE_STEADY other work, or another machine, had a part in it. */
#define DAWN_MACHINE_STEADY 1.5

struct dawn_machine_link {
    double latency_ns;
    double bytes_per_s; /* > 0 */
    double spread;      /* of large messages */
};

struct dawn_machine_tier {
    char kind[16];  /* "ssd", "host" */
    char path[256]; /* folder, for ssd */
    double read_bytes_per_s, write_bytes_per_s;
    double latency_ns;
    /* computing time that a byte, moved either way, takes from its rank's
     * device; 0: transfers run beside computations */
    double compute_ns_per_byte;
    uint64_t capacity_bytes; /* 0: unknown */
    double spread;           /* of reading or writing, the larger one */
};

/* Make a machine of `devices` equal host devices, unknown memory, links of
 * 5 GB/s and 2 us, no tier. Everything may then be set. 1 <= devices <= 4096.
 */
DAWN_API enum dawn_status dawn_machine_create(int devices,
                                              struct dawn_machine **machine_p,
                                              struct dawn_error *err);
/* Takes NULL. */
DAWN_API void dawn_machine_destroy(struct dawn_machine *machine);

DAWN_API int dawn_machine_devices(const struct dawn_machine *machine);
/* NULL out of range; writable by whoever builds the machine */
DAWN_API struct dawn_machine_device *dawn_machine_device(
    const struct dawn_machine *machine, int device);
/* link from device a to device b */
DAWN_API struct dawn_machine_link *dawn_machine_link(
    const struct dawn_machine *machine, int a, int b);
DAWN_API int dawn_machine_tiers(const struct dawn_machine *machine);
DAWN_API struct dawn_machine_tier *dawn_machine_tier(
    const struct dawn_machine *machine, int tier);
DAWN_API enum dawn_status dawn_machine_add_tier(
    struct dawn_machine *machine, const struct dawn_machine_tier *tier,
    struct dawn_error *err);
/* Free text about the host (hwloc's tree), kept as a block in the file. */
DAWN_API enum dawn_status dawn_machine_set_notes(struct dawn_machine *machine,
                                                 const char *notes,
                                                 struct dawn_error *err);
DAWN_API const char *dawn_machine_notes(const struct dawn_machine *machine);

/* Name the links and tiers whose spread is above DAWN_MACHINE_STEADY, such as
 * "link 0-1 (spread 3.2), ssd (spread 2.0)", the first few of them, for a
 * warning. Returns `text`, which is "" where there is none.
 *
 *   text, room  out: at most `room` bytes
 */
DAWN_API const char *dawn_machine_unsteady(const struct dawn_machine *machine,
                                           char *text, size_t room);

/* Make a machine of some devices of another, in that order, with its tiers and
 * notes: device i is device[i] of `machine`, 0 <= device[i] < devices, each at
 * most once. Returns DAWN_OK, DAWN_E_INVAL or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_machine_select(
    const struct dawn_machine *machine, const int *device, int devices,
    struct dawn_machine **machine_p, struct dawn_error *err);

/* Write and read machine.yaml; as dawn_profile_save and dawn_profile_load. */
DAWN_API enum dawn_status dawn_machine_save(const struct dawn_machine *machine,
                                            const char *path,
                                            struct dawn_error *err);
DAWN_API enum dawn_status dawn_machine_load(const char *path,
                                            struct dawn_machine **machine_p,
                                            struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
