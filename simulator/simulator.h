/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of dawn-simulate share: a plan, its simulated step, and the
 * memory curve of each rank.
 */
#ifndef SIMULATOR_SIMULATOR_H
#define SIMULATOR_SIMULATOR_H

#include <dawnpiper/memory.h>
#include <dawnpiper/planner.h>
#include <stdio.h>

struct options { /* file names; NULL: not said */
    const char *plan, *profile, *machine;
    const char *trace, *svg;
    int program; /* rank whose program is printed; -1: simulate */
    bool json;
};

struct simulation {
    struct options options;
    struct dawn_profile *profile;
    struct dawn_machine *machine; /* NULL: none */
    struct dawn_plan *plan;
    struct dawn_sim_result result;
    int *first;       /* [ranks + 1]: a rank's first event */
    uint64_t **curve; /* [rank][event of the rank]: bytes live at most */
};

/* Parse; ends the program after --help, --version or wrong usage (2). */
void options_parse(struct options *options, int argc, char **argv);

/* Memory that a rank may use: the plan's cap, or what its device has; 0: any */
uint64_t simulation_cap(const struct simulation *s, int rank);
/* The largest value of a rank's memory curve. */
uint64_t simulation_peak(const struct simulation *s, int rank);

/* "F 3", "send act 3 to 1": at most `room` bytes; returns buf. */
const char *event_text(const struct dawn_sim_event *event, char *buf,
                       size_t room);

/* A table for people; one JSON object. */
void print_table(const struct simulation *s, FILE *out);
void print_json(const struct simulation *s, FILE *out);
/* The timeline and the memory curve as Chrome trace JSON; as a picture. */
void print_trace(const struct simulation *s, FILE *out);
void print_svg(const struct simulation *s, FILE *out);

#endif
