/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a program, and what all have: --help (also -? and -h),
 * --usage and --version, which end it.
 */
#ifndef PROFILER_ARGS_H
#define PROFILER_ARGS_H

#include <argp.h>
#include <dawnpiper/status.h>
#include <stdbool.h>

struct args {
    const char *program; /* "dawn-plan" */
    void *input;         /* for argp's parser */
    /* Takes what is said of an unknown or incomplete option, and the program
     * goes on; NULL: it ends by wrong(). */
    void (*note)(void *user, const char *text);
    void *user;
    /* Where not NULL, --help, --usage or --version does not end the program:
     * the first one is kept there, for args_answer. */
    int *asked;
};

/* Parse by `argp`, which says nothing of those options. */
void args_parse(const struct args *args, const struct argp *argp, int argc,
                char **argv);

/* After args_parse: print what was asked for, and how that option is called. */
void args_answer(const struct argp *argp, int asked);
const char *args_asked_name(int asked);

/* After args_parse has begun: one line, and the end of the program, with 2. */
_Noreturn void wrong(const char *format, ...) DAWN_PRINTF(1, 2);

/* Would writing `output` replace the file that is read as `input`? Pipes and
 * devices are not replaced. Either may be NULL: no. */
bool args_overwrites(const char *output, const char *input);

#endif
