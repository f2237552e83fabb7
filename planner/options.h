/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of dawn-plan. */
#ifndef PLANNER_OPTIONS_H
#define PLANNER_OPTIONS_H

#include <dawnpiper/planner.h>

struct options {
    const char *profile; /* file names */
    const char *machine; /* NULL: none */
    const char *output;  /* "-": stdout; NULL: not said */
    bool compare, explain, json;
    struct dawn_planner_opts plan; /* 0: not said */
};

/* Parse; ends the program after --help, --version or wrong usage (2). */
void options_parse(struct options *options, int argc, char **argv);

/* "600MiB", "2GB", "1.5 GiB", "123456": bytes. False for anything else. */
bool size_parse(const char *text, uint64_t *bytes_p);

/* "12.3 MiB", "45.6 ms": at most `room` bytes; return buf. */
const char *size_text(uint64_t bytes, char *buf, size_t room);
const char *time_text(double ns, char *buf, size_t room);

#define TEXT_ROOM 32
#define SIZE(bytes) size_text((bytes), (char[TEXT_ROOM]){0}, TEXT_ROOM)
#define TIME(ns) time_text((ns), (char[TEXT_ROOM]){0}, TEXT_ROOM)

#endif
