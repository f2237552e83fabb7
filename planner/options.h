/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of dawn-plan. */
#ifndef PLANNER_OPTIONS_H
#define PLANNER_OPTIONS_H

#include <dawnpiper/planner.h>

struct options {
    const char *profile;     /* file names */
    const char *machine;     /* NULL: none */
    const char *import;      /* format of the profile; NULL: our own */
    const char *profile_out; /* to write what was imported; NULL: not */
    const char *passes;      /* "ewc"; "": none; NULL: the profile's */
    const char *check;       /* a plan to price; NULL: make one */
    const char *export;      /* "torch", "megatron"; NULL: no */
    bool snap;
    const char *hostfile; /* to write; NULL: not */
    const char *output;   /* "-": stdout; NULL: not said */
    bool compare, explain, json;
    int most_stages; /* --stages 1..N: the best count up to it; 0: no */
    struct dawn_planner_opts plan; /* 0: not said */
};

/* Parse; ends the program after --help, --version or wrong usage (2). */
void options_parse(struct options *options, int argc, char **argv);

/* Where a plan is written; "-": stdout, NULL: nowhere. */
const char *options_output(const struct options *options);

#endif
