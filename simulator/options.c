/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator.h"
#include <argp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_TRACE = 1000, KEY_SVG, KEY_JSON, KEY_USAGE };

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
    {"help", '?', NULL, 0, "print this help and exit", -1},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, -1},
    {"usage", KEY_USAGE, NULL, 0, "print a short help and exit", -1},
    {"version", 'V', NULL, 0, "print the version and exit", -1},
    {0},
};

static char program[] = "dawn-simulate";

/* One line, and the end. */
static _Noreturn DAWN_PRINTF(1, 2) void wrong(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (see %s --help)\n", program);
    exit(2);
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
    case '?':
    case 'h':
        argp_help(state->root_argp, stdout, ARGP_HELP_STD_HELP, program);
        exit(0);
    case KEY_USAGE:
        argp_help(state->root_argp, stdout, ARGP_HELP_USAGE, program);
        exit(0);
    case 'V':
        printf("%s %s\n", program, dawn_version());
        exit(0);
    case ARGP_KEY_ARG:
        if (o->plan)
            wrong("one PLAN only, not '%s' too", arg);
        o->plan = arg;
        return 0;
    case ARGP_KEY_ERROR:
        wrong("unknown or incomplete option '%s'",
              state->argv[state->next - 1]);
    case ARGP_KEY_END:
        if (!o->plan)
            wrong("which PLAN?");
        if (o->trace && o->svg && strcmp(o->trace, o->svg) == 0)
            wrong("--trace and --svg want a file each");
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

    *options = (struct options){.profile = "profile.yaml"};
    if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, NULL,
                   options))
        wrong("wrong usage");
}
