/* SPDX-License-Identifier: Apache-2.0 */
/* What programs that run as MPI ranks share; see cli.h. */
#include "cli.h"
#include "args.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(void *cli, const char *text)
{
    cli_usage(cli, "%s", text);
}

void cli_parse(struct cli *cli, const struct argp *argp, int argc, char **argv,
               void *input)
{
    const struct args args = {cli->program, input, note, cli};

    args_parse(&args, argp, argc, argv);
}

void cli_usage(struct cli *cli, const char *format, ...)
{
    char text[512];
    va_list args;

    if (cli->usage.status)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dawn_fail(&cli->usage, DAWN_E_INVAL, "%s (see %s --help)", text,
              cli->program);
}

int cli_join(struct cli *cli, double timeout_s)
{
    struct dawn_error err = {0};
    enum dawn_status st = dawn_comm_create_mpi(timeout_s, &cli->comm, &err);

    if (st) {
        fprintf(stderr, "%s: %s\n", cli->program, err.text);
        return CLI_FAILED;
    }
    if (!cli->usage.status)
        return CLI_FINE;
    if (cli_first(cli))
        fprintf(stderr, "%s: %s\n", cli->program, cli->usage.text);
    return CLI_USAGE;
}

bool cli_first(const struct cli *cli)
{
    return dawn_comm_rank(cli->comm) == 0;
}

int cli_report(const struct cli *cli, enum dawn_status st,
               const struct dawn_error *err)
{
    if (!st)
        return CLI_FINE;
    if (st == DAWN_E_COMM || st == DAWN_E_TIMEOUT) {
        fprintf(stderr, "%s: rank %d: %s\n", cli->program,
                dawn_comm_rank(cli->comm), err->text);
        dawn_comm_abort(cli->comm, CLI_FAILED);
    } else if (cli_first(cli)) {
        fprintf(stderr, "%s: %s\n", cli->program, err->text);
    }
    return CLI_FAILED;
}

int cli_agree(const struct cli *cli, enum dawn_status st,
              struct dawn_error *err)
{
    st = dawn_comm_agree(cli->comm, st, err);
    return cli_report(cli, st, err);
}

bool cli_terminal(void)
{
    char link[64], target[64];

    if (!isatty(STDOUT_FILENO))
        return false;
    snprintf(link, sizeof link, "/proc/%ld/fd/1", (long)getppid());
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n < 0)
        return true;
    target[n] = 0;
    return !strncmp(target, "/dev/pts/", 9) || !strncmp(target, "/dev/tty", 8);
}

bool cli_int(const char *text, int64_t least, int64_t most, int64_t *value_p)
{
    char *end;

    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        return false;
    *value_p = value;
    return true;
}

enum dawn_status cli_writable(const struct cli *cli, const char *path,
                              struct dawn_error *err)
{
    const char *slash = strrchr(path, '/');
    struct stat s;
    char *folder;

    if (!cli_first(cli))
        return DAWN_OK;
    bool is_there = stat(path, &s) == 0;
    if (is_there && S_ISDIR(s.st_mode))
        return dawn_fail(err, DAWN_E_IO, "%s: is a folder", path);
    if (is_there && !S_ISREG(s.st_mode))
        return DAWN_OK; /* a pipe: it is not replaced */
    folder = strdup(path);
    if (!folder)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    folder[slash ? slash - path + 1 : 0] = 0;
    int failed = access(*folder ? folder : ".", W_OK | X_OK);
    free(folder);
    return failed ? dawn_fail(err, DAWN_E_IO, "%s: cannot write there: %s",
                              path, strerror(errno))
                  : DAWN_OK;
}

const char *cli_mib(uint64_t bytes, char text[32])
{
    snprintf(text, 32, "%.1f MiB", (double)bytes / (1 << 20));
    return text;
}
