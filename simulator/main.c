/* SPDX-License-Identifier: Apache-2.0 */
/* dawn-simulate: the predicted timeline and memory curve of any plan. */
#include "simulator.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static enum dawn_status no_memory(struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_NOMEM, "no memory for the simulation");
}

static enum dawn_status load(struct simulation *s, struct dawn_error *err)
{
    const struct options *o = &s->options;
    enum dawn_status st = dawn_profile_load(o->profile, &s->profile, err);

    if (!st && o->machine)
        st = dawn_machine_load(o->machine, &s->machine, err);
    if (!st)
        st = dawn_plan_load(o->plan, dawn_profile_graph(s->profile), &s->plan,
                            err);
    if (!st)
        st = dawn_profile_set_passes(s->profile,
                                     dawn_plan_info(s->plan)->passes, err);
    return st;
}

/* Where each rank's events begin. */
static void find_first(struct simulation *s)
{
    int rank = 0;

    for (int i = 0; i < s->result.events; i++)
        while (rank < s->result.event[i].rank)
            s->first[++rank] = i;
    while (rank < s->result.ranks)
        s->first[++rank] = s->result.events;
}

static enum dawn_status copy_curve(struct simulation *s, int rank,
                                   struct dawn_error *err)
{
    int first = s->first[rank], events = s->first[rank + 1] - first;
    size_t bytes = (size_t)events * sizeof **s->curve;

    s->curve[rank] = malloc(bytes + 1);
    if (!s->curve[rank])
        return no_memory(err);
    memcpy(s->curve[rank], s->result.live_bytes + first, bytes);
    return DAWN_OK;
}

static enum dawn_status simulate(struct simulation *s, struct dawn_error *err)
{
    enum dawn_status st =
        dawn_planner_simulate(s->plan, s->profile, s->machine, &s->result, err);
    int ranks = s->result.ranks;

    if (st)
        return st;
    s->first = calloc((size_t)ranks + 1, sizeof *s->first);
    s->curve = calloc((size_t)ranks, sizeof *s->curve);
    if (!s->first || !s->curve)
        return no_memory(err);
    find_first(s);
    for (int rank = 0; rank < ranks && !st; rank++) {
        int actions;
        if (s->result.live_bytes) { /* of replicas */
            st = copy_curve(s, rank, err);
            continue;
        }
        st = dawn_memory_curve(s->plan, s->profile, rank, &s->curve[rank],
                               &actions, err);
    }
    return st;
}

uint64_t simulation_cap(const struct simulation *s, int rank)
{
    uint64_t cap = dawn_plan_info(s->plan)->cap_bytes;
    const struct dawn_machine_device *device =
        s->machine && !s->result.live_bytes
            ? dawn_machine_device(
                  s->machine, dawn_planner_device(s->plan, s->machine, rank))
            : NULL;

    uint64_t own = device ? device->memory_bytes : 0;
    return cap && (!own || cap < own) ? cap : own; /* the largest device's */
}

uint64_t simulation_peak(const struct simulation *s, int rank)
{
    uint64_t peak = 0;

    for (int i = s->first[rank]; i < s->first[rank + 1]; i++)
        if (s->curve[rank][i - s->first[rank]] > peak)
            peak = s->curve[rank][i - s->first[rank]];
    return peak;
}

/* A terminal, a pipe, a device: nothing to put another file in place of. */
static bool is_special(const char *path)
{
    struct stat s;

    return !stat(path, &s) && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
}

/* A pipe that nobody reads would be waited for without end: after 5 s errno is
 * ENXIO. */
static FILE *open_special(const char *path)
{
    const struct timespec pause = {0, 20000000};
    int fd = -1;

    for (int i = 0; i < 250 && fd < 0; i++) {
        if (i)
            nanosleep(&pause, NULL);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno != ENXIO)
            return NULL;
    }
    if (fd < 0 || fcntl(fd, F_SETFL, 0))
        return NULL;
    return fdopen(fd, "w");
}

/* Output files are whole or not there. */
static enum dawn_status write_file(const struct simulation *s, const char *path,
                                   void (*print)(const struct simulation *,
                                                 FILE *),
                                   struct dawn_error *err)
{
    char *temporary;
    bool whole, special = is_special(path);
    FILE *file;

    if (asprintf(&temporary, special ? "%s" : "%s.tmp", path) < 0)
        return no_memory(err);
    file = special ? open_special(temporary) : fopen(temporary, "w");
    if (file)
        print(s, file);
    whole = file && !ferror(file);
    if (file && fclose(file))
        whole = false;
    if (whole && !special && rename(temporary, path))
        whole = false;
    int reason = errno;
    if (!whole && !special)
        unlink(temporary);
    free(temporary);
    return whole ? DAWN_OK
                 : dawn_fail(err, DAWN_E_IO, "%s: cannot write it: %s", path,
                             reason == ENXIO ? "nobody reads from this pipe"
                                             : strerror(reason));
}

static enum dawn_status flush(struct dawn_error *err)
{
    if (fflush(stdout) || ferror(stdout))
        return dawn_fail(err, DAWN_E_IO, "stdout: cannot write");
    return DAWN_OK;
}

static enum dawn_status show_program(const struct simulation *s,
                                     struct dawn_error *err)
{
    char *text = NULL;
    enum dawn_status st = dawn_memory_program(s->plan, s->profile,
                                              s->options.program, &text, err);

    if (st)
        return st;
    fputs(text, stdout);
    free(text);
    return flush(err);
}

static enum dawn_status run(struct simulation *s, struct dawn_error *err)
{
    const struct options *o = &s->options;
    enum dawn_status st = load(s, err);

    if (!st && o->program >= 0)
        return show_program(s, err);
    if (!st)
        st = simulate(s, err);
    if (!st && o->trace)
        st = write_file(s, o->trace, print_trace, err);
    if (!st && o->svg)
        st = write_file(s, o->svg, print_svg, err);
    if (st)
        return st;
    (o->json ? print_json : print_table)(s, stdout);
    return flush(err);
}

static void clear(struct simulation *s)
{
    for (int rank = 0; s->curve && rank < s->result.ranks; rank++)
        free(s->curve[rank]);
    free(s->curve);
    free(s->first);
    dawn_sim_result_clear(&s->result);
    dawn_plan_destroy(s->plan);
    dawn_machine_destroy(s->machine);
    dawn_profile_destroy(s->profile);
}

int main(int argc, char **argv)
{
    struct simulation s = {0};
    struct dawn_error err = {0};
    enum dawn_status st;

    options_parse(&s.options, argc, argv);
    st = run(&s, &err);
    clear(&s);
    if (st)
        fprintf(stderr, "dawn-simulate: %s\n", err.text);
    return st ? 1 : 0;
}
