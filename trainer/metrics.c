/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.jsonl: one JSON object a step, each written out at once. */
#include "train.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct metrics {
    char *path;
    int fd;
    off_t end;     /* behind the last whole line */
    uint64_t lost; /* lines that could not be written, in a row */
};

void metrics_close(struct metrics *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    free(m->path);
    free(m);
}

static enum dawn_status io_error(struct dawn_error *err, const char *what,
                                 const char *path)
{
    return dawn_fail(err, DAWN_E_IO, "cannot %s %s: %s", what, path,
                     strerror(errno));
}

/* Does the line belong to one of the first `step` steps? A line that is cut
 * short is not kept. */
static bool keeps(const char *line, uint64_t step)
{
    json_t *object = json_loads(line, 0, NULL);
    json_t *number = json_object_get(object, "step");
    bool kept =
        json_is_integer(number) && (uint64_t)json_integer_value(number) < step;

    json_decref(object);
    return kept;
}

/* Copy the lines of the first `step` steps. */
static bool copy_lines(FILE *from, FILE *to, uint64_t step)
{
    char *line = NULL;
    size_t room = 0;
    bool fine = true;

    while (fine && getline(&line, &room, from) > 0)
        if (keeps(line, step))
            fine = fputs(line, to) >= 0;
    free(line);
    return fine && !ferror(from);
}

/* Remove the lines of steps that will be done again. */
static enum dawn_status cut(const char *path, uint64_t step,
                            struct dawn_error *err)
{
    char part[4200];
    enum dawn_status st = DAWN_OK;
    struct stat s;

    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode)) /* a pipe blocks */
        return dawn_fail(err, DAWN_E_IO, "%s: is no regular file", path);
    FILE *from = fopen(path, "r");
    if (!from)
        return errno == ENOENT ? DAWN_OK : io_error(err, "read", path);
    snprintf(part, sizeof part, "%s.part", path);
    FILE *to = fopen(part, "w");
    if (!to) {
        st = io_error(err, "write", part);
    } else {
        bool fine = copy_lines(from, to, step);
        fine &= fclose(to) == 0;
        if (!fine || rename(part, path))
            st = io_error(err, "write", path);
    }
    fclose(from);
    return st;
}

enum dawn_status metrics_open(const char *path, uint64_t step,
                              struct metrics **metrics_p,
                              struct dawn_error *err)
{
    struct metrics *m = calloc(1, sizeof *m);
    enum dawn_status st;

    if (!m)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %s", path);
    m->fd = -1;
    if (!(m->path = strdup(path))) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %s", path);
        goto fail;
    }
    if (step && (st = cut(path, step, err)))
        goto fail;
    m->fd =
        open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (step ? 0 : O_TRUNC), 0666);
    m->end = m->fd < 0 ? -1 : lseek(m->fd, 0, SEEK_END);
    if (m->end < 0) {
        st = io_error(err, "write", path);
        goto fail;
    }
    *metrics_p = m;
    return DAWN_OK;
fail:
    metrics_close(m);
    return st;
}

/* A number as JSON has it: null where it is not finite. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static void set_number(json_t *object, const char *key, double x)
{
    json_object_set_new(object, key, number(x));
}

/* A number, and its bits in hexadecimal under KEY_hex. */
static void set_exact(json_t *object, const char *key, double x)
{
    char name[64], hex[64];

    snprintf(name, sizeof name, "%s_hex", key);
    snprintf(hex, sizeof hex, "%a", x);
    set_number(object, key, x);
    json_object_set_new(object, name, json_string(hex));
}

static void set_count(json_t *object, const char *key, uint64_t n)
{
    json_object_set_new(object, key, json_integer((json_int_t)n));
}

static json_t *array_of(const uint64_t *x, int n)
{
    json_t *array = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(array, json_integer((json_int_t)x[i]));
    return array;
}

static json_t *predicted_peaks(const struct trainer *t, int ranks)
{
    json_t *array = json_array();

    for (int i = 0; i < ranks; i++) {
        const struct dawn_plan_stage *s = train_prediction(t, i);
        json_array_append_new(
            array, s ? json_integer((json_int_t)s->predicted.peak_bytes)
                     : json_null());
    }
    return array;
}

static json_t *object_of(const struct trainer *t, const struct step_record *s)
{
    const struct dawn_step_result *r = s->result;
    json_t *o = json_object();
    double units = (double)(r->samples * t->units);
    char rate[32];

    set_count(o, "step", s->step);
    set_exact(o, "loss", r->loss);
    set_exact(o, "grad_norm", r->grad_norm);
    if (r->updates)
        set_count(o, "updates", (uint64_t)r->updates);
    for (int i = 0; i < r->figures; i++)
        set_exact(o, r->figure[i].name, r->figure[i].value);
    set_number(o, "lr", s->lr);
    set_count(o, t->unit, (s->step + 1) * (uint64_t)units);
    snprintf(rate, sizeof rate, "%s_per_s", t->unit);
    set_number(o, rate, units * 1e9 / r->step_ns);
    set_number(o, "step_ns", r->step_ns);
    set_number(o, "predicted_step_ns",
               dawn_plan_edited(t->plan) ? NAN
                                         : dawn_plan_info(t->plan)->step_ns);
    set_number(o, "bubble", r->bubble);
    set_number(o, "exposed_comm_ns", r->exposed_comm_ns);
    set_number(o, "stall_ns", r->stall_ns);
    set_number(o, "overhead", r->overhead_ns / r->step_ns);
    json_object_set_new(o, "peak_bytes", array_of(r->peak_bytes, r->ranks));
    json_object_set_new(o, "predicted_peak_bytes",
                        predicted_peaks(t, r->ranks));
    json_object_set_new(o, "arena_bytes", array_of(r->arena_bytes, r->ranks));
    if (r->nonfinite) {
        json_object_set_new(o, "nonfinite", json_true());
        json_object_set_new(o, "bad_node", json_string(r->bad_node));
    }
    if (s->has_eval) {
        set_exact(o, "eval_loss", s->eval_loss);
        set_count(o, "eval_samples", (uint64_t)t->eval_samples);
    }
    return o;
}

/* Write a whole line or nothing. */
static bool append(struct metrics *m, const char *line, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n =
            pwrite(m->fd, line + done, bytes - done, m->end + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int why = n ? errno : ENOSPC;
            while (ftruncate(m->fd, m->end) && errno == EINTR)
                ;
            errno = why;
            return false;
        }
        done += (size_t)n;
    }
    m->end += (off_t)bytes;
    return true;
}

/* Say when lines begin to be lost, and when there is room again. */
static void note_lost(struct metrics *m, const struct trainer *t, bool written)
{
    if (!written && m->lost++ == 0)
        progress_say(t->progress,
                     "warning: cannot write %s: %s: metrics are lost until it "
                     "can be",
                     m->path, strerror(errno));
    if (!written || !m->lost)
        return;
    progress_say(t->progress,
                 "%s is written again; metrics of %llu step%s are "
                 "lost",
                 m->path, (unsigned long long)m->lost, m->lost == 1 ? "" : "s");
    m->lost = 0;
}

enum dawn_status metrics_write(struct metrics *m, const struct trainer *t,
                               const struct step_record *record,
                               struct dawn_error *err)
{
    json_t *object = object_of(t, record);
    char *line = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    char *whole = NULL;
    enum dawn_status st = DAWN_OK;
    int bytes = line ? asprintf(&whole, "%s\n", line) : -1;

    if (bytes < 0)
        st =
            dawn_fail(err, DAWN_E_NOMEM, "no memory for a line of %s", m->path);
    else
        note_lost(m, t, append(m, whole, (size_t)bytes));
    if (bytes >= 0 && t->options.json)
        puts(line);
    if (bytes >= 0)
        free(whole);
    free(line);
    json_decref(object);
    return st;
}
