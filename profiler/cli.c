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

/* Is this one of several ranks, to be asked of before MPI is? */
static bool is_launched(void)
{
    static const char *const size[] = {"OMPI_COMM_WORLD_SIZE",
                                       "MV2_COMM_WORLD_SIZE", "PMI_SIZE"};

    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (getenv(size[i]))
            return atoi(getenv(size[i])) > 1;
    return getenv("PMIX_RANK") != NULL;
}

static int count_options(const struct argp *argp)
{
    int n = 0;

    while (argp && argp->options[n].name)
        n++;
    return n;
}

/* Keep what is said, then let the program's own parser have it. */
static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct cli *cli = state->input;
    const struct argp_option *option = cli->argp->options;

    for (int i = 0; option[i].name; i++)
        if (option[i].key == key)
            cli->said[i] = arg ? arg : "given";
    state->input = cli->input;
    error_t rc = cli->argp->parser(key, arg, state);
    state->input = cli;
    return rc;
}

void cli_parse(struct cli *cli, const struct argp *argp, int argc, char **argv,
               void *input)
{
    struct argp listening = *argp;
    const struct args args = {.program = cli->program,
                              .input = cli,
                              .note = note,
                              .user = cli,
                              .asked = is_launched() ? &cli->asked : NULL};

    listening.parser = parse;
    cli->argp = argp;
    cli->input = input;
    cli->said = calloc((size_t)count_options(argp) + 1, sizeof *cli->said);
    if (!cli->said) {
        fprintf(stderr, "%s: no memory\n", cli->program);
        exit(CLI_FAILED);
    }
    args_parse(&args, &listening, argc, argv);
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

/* What ranks tell each other of their command lines before anything else. */
struct line {
    int asked;
    struct dawn_error usage;
};

static bool same_line(const struct line *a, const struct line *b)
{
    return a->asked == b->asked && a->usage.status == b->usage.status &&
           strcmp(a->usage.text, b->usage.text) == 0;
}

/* Rank 0: each wrong line once, with its rank unless all have the same. */
static void print_wrong(const struct cli *cli, const struct line *all)
{
    int ranks = dawn_comm_size(cli->comm), first, same = 1;

    while (same < ranks && same_line(&all[same], all))
        same++;
    for (int rank = 0; rank < ranks; rank++) {
        if (!all[rank].asked && !all[rank].usage.status)
            continue;
        for (first = 0; !same_line(&all[first], &all[rank]);)
            first++;
        if (first < rank)
            continue;
        fprintf(stderr, "%s: ", cli->program);
        if (same < ranks)
            fprintf(stderr, "rank %d: ", rank);
        if (all[rank].asked)
            fprintf(stderr, "%s is not given on all ranks\n",
                    args_asked_name(all[rank].asked));
        else
            fprintf(stderr, "%s\n", all[rank].usage.text);
    }
}

/* *asked_p: what all ranks ask for, or 0. */
static enum dawn_status check_lines(const struct cli *cli, bool *wrong_p,
                                    int *asked_p, struct dawn_error *err)
{
    struct line mine = {.asked = cli->asked};
    int ranks = dawn_comm_size(cli->comm);
    struct line *all = calloc((size_t)ranks, sizeof *all);
    enum dawn_status st = DAWN_OK;

    if (!cli->asked)
        mine.usage = cli->usage;
    if (!all)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d ranks", ranks);
    if (!(st = dawn_comm_agree(cli->comm, st, err)))
        st = dawn_comm_allgather(cli->comm, &mine, sizeof mine, all, err);
    *asked_p = cli->asked;
    *wrong_p = false;
    for (int rank = 0; !st && rank < ranks; rank++) {
        if (all[rank].asked != cli->asked)
            *asked_p = 0;
        if (all[rank].asked || all[rank].usage.status)
            *wrong_p = true;
    }
    if (!st && *wrong_p && !*asked_p && cli_first(cli))
        print_wrong(cli, all);
    free(all);
    return st;
}

static bool is_by_content(const struct cli *cli, int key)
{
    for (const int *at = cli->by_content; at && *at; at++)
        if (*at == key)
            return true;
    return false;
}

/* Have all ranks the same program, library and options? */
static enum dawn_status same_options(const struct cli *cli,
                                     struct dawn_error *err)
{
    int options = count_options(cli->argp), facts = 0;
    struct named {
        char name[64];
    } *named = calloc((size_t)options + 1, sizeof *named);
    struct dawn_comm_fact *fact = calloc((size_t)options + 2, sizeof *fact);
    enum dawn_status st = DAWN_OK;

    if (!named || !fact)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for options");
    if ((st = dawn_comm_agree(cli->comm, st, err)))
        goto out;
    fact[facts++] = (struct dawn_comm_fact){"the program", cli->program, NULL};
    fact[facts++] =
        (struct dawn_comm_fact){"libdawnpiper's version", dawn_version(), NULL};
    for (int i = 0; i < options; i++) {
        const struct argp_option *option = &cli->argp->options[i];
        const char *value = cli->said[i];
        snprintf(named[i].name, sizeof named->name, "--%s", option->name);
        if (value && is_by_content(cli, option->key))
            value = "given";
        fact[facts++] = (struct dawn_comm_fact){named[i].name, value, NULL};
    }
    st = dawn_comm_same(cli->comm, fact, facts, err);
out:
    free(named);
    free(fact);
    return st;
}

static int compare_lines(struct cli *cli)
{
    struct dawn_error err = {0};
    bool wrong;
    int asked;
    enum dawn_status st = check_lines(cli, &wrong, &asked, &err);

    if (!st && asked) {
        if (cli_first(cli))
            args_answer(cli->argp, asked);
        dawn_comm_destroy(cli->comm);
        free(cli->said);
        exit(0);
    }
    if (!st && wrong)
        return CLI_USAGE;
    if (!st)
        st = same_options(cli, &err);
    int code = cli_report(cli, st, &err);
    return st == DAWN_E_MISMATCH ? CLI_USAGE : code;
}

int cli_join(struct cli *cli, double timeout_s)
{
    struct dawn_error err = {0};
    enum dawn_status st = dawn_comm_create_mpi(timeout_s, &cli->comm, &err);
    int code = CLI_FAILED;

    if (!st) {
        code = compare_lines(cli);
    } else if (cli->asked) { /* whatever there is of MPI */
        args_answer(cli->argp, cli->asked);
        exit(0);
    } else {
        fprintf(stderr, "%s: %s\n", cli->program, err.text);
    }
    free(cli->said);
    cli->said = NULL;
    return code;
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
    int rank = dawn_comm_rank(cli->comm);
    struct dawn_error mine;

    if (st && rank && st != DAWN_E_COMM && st != DAWN_E_TIMEOUT) {
        mine = *err;
        dawn_fail(err, st, "rank %d: %s", rank, mine.text);
    }
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
