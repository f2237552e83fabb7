/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator.h"
#include "../profiler/args.h"
#include <stdlib.h>
#include <string.h>

enum { KEY_TRACE = 1000, KEY_SVG, KEY_JSON, KEY_PROGRAM };

static const struct argp_option option[] = {
    {"profile", 'p', "FILE", 0,
     "profile.yaml that the plan was made from (default: profile.yaml)", 0},
    {"machine", 'm', "FILE", 0,
     "machine.yaml: speed, links and tiers; without it devices are equal, with "
     "links of 5 GB/s",
     0},
    {"trace", KEY_TRACE, "FILE", 0,
     "write the timeline and the memory curves as Chrome trace JSON", 0},
    {"svg", KEY_SVG, "FILE", 0, "draw them", 0},
    {"json", KEY_JSON, NULL, 0, "print the figures as JSON", 0},
    {"program", KEY_PROGRAM, "RANK", 0,
     "print what RANK does in a step, instruction by instruction, with buffers "
     "and their offsets, and simulate nothing",
     0},
    {0},
};

/* What is written must not take the place of what is read. */
static void keep_inputs(const struct options *o)
{
    const char *read[] = {o->plan, o->profile, o->machine};

    for (int i = 0; i < 3; i++)
        if (args_overwrites(o->trace, read[i]) ||
            args_overwrites(o->svg, read[i]))
            wrong("--trace or --svg would overwrite %s, which is read",
                  read[i]);
}

static void parse_rank(struct options *o, const char *text)
{
    char *end;
    long rank = strtol(text, &end, 10);

    if (end == text || *end || rank < 0 || rank > 1000000)
        wrong("--program %s: not a rank, which is a number from 0", text);
    o->program = (int)rank;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'p':
        o->profile = arg;
        return 0;
    case 'm':
        o->machine = arg;
        return 0;
    case KEY_TRACE:
        o->trace = arg;
        return 0;
    case KEY_SVG:
        o->svg = arg;
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case KEY_PROGRAM:
        parse_rank(o, arg);
        return 0;
    case ARGP_KEY_ARG:
        if (o->plan)
            wrong("one PLAN only, not '%s' too", arg);
        o->plan = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->plan)
            wrong("which PLAN?");
        if (o->trace && o->svg && strcmp(o->trace, o->svg) == 0)
            wrong("--trace and --svg want a file each");
        if (o->program >= 0 && (o->trace || o->svg || o->json))
            wrong("--program excludes --trace, --svg and --json");
        keep_inputs(o);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void options_parse(struct options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = option,
        .parser = parse,
        .args_doc = "PLAN",
        .doc = "Simulate one step of a plan on the times of its profile: who "
               "computes, waits and sends when, and how much memory each rank "
               "needs at every moment.\v"
               "Exit codes: 0 fine, 1 it could not be simulated, 2 wrong "
               "usage.",
    };

    *options = (struct options){.profile = "profile.yaml", .program = -1};
    args_parse(&(struct args){.program = "dawn-simulate", .input = options},
               &argp, argc, argv);
}
