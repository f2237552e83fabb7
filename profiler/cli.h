/* SPDX-License-Identifier: Apache-2.0 */
/* What programs that run as MPI ranks share: options without a chorus of error
 * messages, and one line for every failure.
 *
 * All ranks must have the same command line. So a wrong one is only noted while
 * it is parsed, and told once it is known which ranks have it; --help waits for
 * the other ranks in the same way.
 */
#ifndef PROFILER_CLI_H
#define PROFILER_CLI_H

#include <argp.h>
#include <dawnpiper/comm.h>
#include <stdbool.h>
#include <stdint.h>

enum { CLI_FINE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli {
    const char *program;     /* "dawn-train" */
    const int *by_content;   /* keys of options that may differ between ranks:
                                their files are compared by the program, with
                                told.h; ends in 0. NULL: none */
    struct dawn_error usage; /* status DAWN_OK: the command line is right */
    struct dawn_comm *comm;
    const struct argp *argp; /* of cli_parse; NULL: it was not called */
    void *input;
    const char **said; /* values of argp's options; NULL: was not given */
    int asked;         /* for --help and the like; 0: was not */
};

/* Parse the command line. --help and --version end the program, unless it is
 * one of several ranks: then cli_join does. A wrong option is noted in
 * cli->usage. input: for argp's parser. */
void cli_parse(struct cli *cli, const struct argp *argp, int argc, char **argv,
               void *input);

/* Note a usage error, the first one only; for argp's parser. */
void cli_usage(struct cli *cli, const char *format, ...) DAWN_PRINTF(2, 3);

/* Join the MPI job, report usage errors of any rank, and see that all ranks
 * have the same options and library. Ends the program where all ask for help.
 * Returns CLI_FINE, or the exit code of a program that ends here, the same on
 * all ranks. */
int cli_join(struct cli *cli, double timeout_s);

/* Rank 0 prints "program: text" when st is an error. After a communication
 * failure the ranks cannot agree any more: each tells its own, and the job is
 * aborted. Returns the exit code. */
int cli_report(const struct cli *cli, enum dawn_status st,
               const struct dawn_error *err);

/* dawn_comm_agree, then cli_report, with the rank where it is not 0. For what
 * each rank does by itself. */
int cli_agree(const struct cli *cli, enum dawn_status st,
              struct dawn_error *err);

bool cli_first(const struct cli *cli); /* rank 0 */

/* Is stdout a terminal that a person sees? mpirun gives every rank one,
 * whatever its own output is; so the parent's counts too. */
bool cli_terminal(void);

/* Whole number of an option's text. False: not one, or out of range. */
bool cli_int(const char *text, int64_t least, int64_t most, int64_t *value_p);

/* Rank 0: can a file be written there? For what takes long to make. */
enum dawn_status cli_writable(const struct cli *cli, const char *path,
                              struct dawn_error *err);

/* "123.4 MiB" */
const char *cli_mib(uint64_t bytes, char text[32]);

#endif
