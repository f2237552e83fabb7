/* SPDX-License-Identifier: Apache-2.0 */
/* What a person sees of a run: one line, overwritten, on a terminal; else a
 * line a step at first, then ever fewer. */
#include "train.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

struct progress {
    const struct trainer *trainer;
    FILE *out; /* stdout; with --json stderr, since stdout has the metrics */
    bool terminal;
    double start_s;
    uint64_t first; /* step at which this run began */
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct progress *progress_create(const struct trainer *t)
{
    struct progress *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->trainer = t;
    p->out = t->options.json ? stderr : stdout;
    p->terminal = !t->options.json && cli_terminal();
    p->start_s = now_s();
    p->first = t->step;
    setvbuf(p->out, NULL, _IOLBF, 0);
    return p;
}

void progress_destroy(struct progress *p)
{
    free(p);
}

static void eta(const struct progress *p, uint64_t step, char text[32])
{
    double each = (now_s() - p->start_s) / (double)(step + 1 - p->first);
    int64_t s = (int64_t)(each * (double)(p->trainer->steps - step - 1));

    snprintf(text, 32, "%lld:%02lld:%02lld", (long long)(s / 3600),
             (long long)(s / 60 % 60), (long long)(s % 60));
}

/* Which steps get a line of their own in a file: the first ten, every tenth of
 * the next ninety, every hundredth after, those evaluated, the last. */
static bool worth_a_line(const struct progress *p, const struct step_record *s)
{
    uint64_t every = s->step < 10 ? 1 : s->step < 100 ? 10 : 100;

    return s->has_eval || s->step % every == 0 ||
           s->step + 1 == p->trainer->steps;
}

/* printf writes the sign of a NaN, which means nothing. */
static double without_sign(double loss)
{
    return isnan(loss) ? NAN : loss;
}

void progress_step(struct progress *p, const struct step_record *s)
{
    const struct dawn_step_result *r = s->result;
    double units = (double)(r->samples * p->trainer->units);
    uint64_t peak = 0;
    char left[32], memory[32];

    if (!p->terminal && !worth_a_line(p, s))
        return;
    for (int i = 0; i < r->ranks; i++)
        if (peak < r->peak_bytes[i])
            peak = r->peak_bytes[i];
    eta(p, s->step, left);
    fprintf(p->out, "%sstep %llu/%llu  loss %.4f  %.*f %s/s  ETA %s  %s",
            p->terminal ? "\r\033[K" : "", (unsigned long long)s->step + 1,
            (unsigned long long)p->trainer->steps, without_sign(r->loss),
            p->trainer->units > 1 ? 0 : 1, units * 1e9 / r->step_ns,
            p->trainer->unit, left, cli_mib(peak, memory));
    if (s->has_eval)
        fprintf(p->out, "  held-out loss %.4f", without_sign(s->eval_loss));
    if (!p->terminal || s->has_eval || s->step + 1 == p->trainer->steps)
        fputc('\n', p->out);
    fflush(p->out);
}

void progress_say(struct progress *p, const char *format, ...)
{
    va_list args;

    if (p->terminal)
        fputs("\r\033[K", p->out);
    va_start(args, format);
    vfprintf(p->out, format, args);
    va_end(args);
    fputc('\n', p->out);
    fflush(p->out);
}
