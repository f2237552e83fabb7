/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that end a run in order: noted by the rank that gets one, told to all
 * after the step.
 */
#include "train.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal;
static const char *volatile answer; /* NULL: another rank tells */

/* A long step may outlast the time that mpirun leaves: tell at once. */
static void note_signal(int number)
{
    const char *text = answer;
    ssize_t unused = 0;
    int saved = errno;

    if (text && !stop_signal)
        unused = write(STDERR_FILENO, text, strlen(text));
    (void)unused;
    errno = saved;
    stop_signal = number;
}

void train_catch_signals(const struct trainer *t, const char *text)
{
    struct sigaction action = {.sa_handler = note_signal,
                               .sa_flags = SA_RESTART};

    answer = cli_first(&t->cli) ? text : NULL;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* what mpirun hands on */
}

void train_answer_no_signals(void)
{
    answer = NULL;
}

enum dawn_status train_exchange(const struct trainer *t, struct train_note *all,
                                struct train_note *sum, struct dawn_error *err)
{
    struct train_note mine = {0};

    mine.signal = stop_signal;
    mine.written = state_written(t);
    enum dawn_status st =
        dawn_comm_allgather(t->cli.comm, &mine, sizeof mine, all, err);

    *sum = (struct train_note){.signal = 0, .written = true};
    for (int i = 0; !st && i < dawn_comm_size(t->cli.comm); i++) {
        if (all[i].signal)
            sum->signal = all[i].signal;
        sum->written &= all[i].written;
    }
    return st;
}

const char *train_signal_name(int number)
{
    return number == SIGTERM  ? "SIGTERM"
           : number == SIGINT ? "SIGINT"
                              : "SIGUSR1";
}
