/* SPDX-License-Identifier: Apache-2.0 */
/* What a run must keep to go on later: parameters and optimizer state, by name,
 * so that any number of stages may take them up again.
 */
#include "train.h"
#include <dawnpiper/checkpoint.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define NAME_ROOM 256
#define PATH_ROOM 4096

/* The three tensors of a parameter. */
enum { VALUE, ADAM_M, ADAM_V, PARTS };
static const char *const suffix[PARTS] = {"", ".adam_m", ".adam_v"};

static float *part_of(const struct dawn_exec_param *p, int part)
{
    return part == VALUE ? p->value : part == ADAM_M ? p->adam_m : p->adam_v;
}

/* An average has a value only. */
static int parts_of(const struct trainer *t, const struct dawn_exec_param *p)
{
    return dawn_graph_param(t->graph, p->param)->average > 0 ? 1 : PARTS;
}

/* Moments that the plan offloads: they are not in memory. */
static bool is_away(const struct trainer *t, const struct dawn_exec_param *p,
                    int part)
{
    return part != VALUE && dawn_plan_optimizer(t->plan, p->param) != DAWN_KEEP;
}

static int state_tensors(const struct trainer *t)
{
    int n = 0;

    for (int i = 0; i < dawn_exec_params(t->exec); i++)
        n += parts_of(t, dawn_exec_param(t->exec, i));
    return n;
}

static void name_part(char name[NAME_ROOM], const char *param, int part)
{
    snprintf(name, NAME_ROOM, "%s%s", param, suffix[part]);
}

/* Floats of all this rank's tensors. */
static size_t state_floats(const struct trainer *t)
{
    size_t n = 0;

    for (int i = 0; i < dawn_exec_params(t->exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(t->exec, i);
        for (int part = 0; part < parts_of(t, p); part++)
            n += is_away(t, p, part) ? 0 : (size_t)p->elements;
    }
    return n;
}

/* Moments that a checkpoint takes from a tier. */
struct away {
    struct dawn_exec *exec;
    int number, part;
};

static enum dawn_status fill(void *user, uint64_t at, uint64_t bytes,
                             void *into, struct dawn_error *err)
{
    const struct away *a = user;
    int64_t first = (int64_t)(at / sizeof(float));
    int64_t count = (int64_t)(bytes / sizeof(float));

    return dawn_exec_moments_get(a->exec, a->number, first, count,
                                 a->part == ADAM_M ? into : NULL,
                                 a->part == ADAM_V ? into : NULL, err);
}

struct named { /* a tensor's, while a save begins */
    char name[NAME_ROOM];
    struct away away;
};

/* Tensors of all parameters of this rank, copied where there is room for a
 * copy. named: room for each. */
static void list_tensors(const struct trainer *t,
                         struct dawn_checkpoint_tensor *tensor,
                         struct named *named)
{
    float *copy = t->copy;
    int k = 0;

    for (int i = 0; i < dawn_exec_params(t->exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(t->exec, i);
        const struct dawn_param_desc *d = dawn_graph_param(t->graph, p->param);
        for (int part = 0; part < parts_of(t, p); part++, k++) {
            name_part(named[k].name, p->name, part);
            tensor[k] =
                (struct dawn_checkpoint_tensor){.name = named[k].name,
                                                .dtype = DAWN_F32,
                                                .dims = d->dims,
                                                .data = part_of(p, part)};
            memcpy(tensor[k].shape, d->shape, sizeof d->shape);
            if (is_away(t, p, part)) {
                named[k].away = (struct away){t->exec, i, part};
                tensor[k].fill = fill;
                tensor[k].user = &named[k].away;
            }
            if (!copy || is_away(t, p, part))
                continue;
            tensor[k].data = memcpy(copy, part_of(p, part),
                                    (size_t)p->elements * sizeof *copy);
            copy += p->elements;
        }
    }
}

static enum dawn_status write_tensors(struct trainer *t,
                                      struct dawn_checkpoint_tensor *tensor,
                                      struct dawn_error *err)
{
    struct dawn_checkpoint_string string[MOST_FACTS];
    int strings = changes_strings(t, string);
    struct dawn_checkpoint_save_opts opts = {.comm = t->cli.comm,
                                             .dir = t->job.out,
                                             .step = t->step,
                                             .keep = t->job.train.keep,
                                             .tensors = state_tensors(t),
                                             .tensor = tensor,
                                             .strings = strings,
                                             .string = string,
                                             .job = &t->job};
    return dawn_checkpoint_save_begin(&opts, &t->save, err);
}

enum dawn_status state_reserve(struct trainer *t, struct dawn_error *err)
{
    size_t bytes = state_floats(t) * sizeof *t->copy;
    enum dawn_status st = DAWN_OK;

    if (!t->job.train.checkpoint_every)
        return DAWN_OK;
    t->copy = malloc(bytes + 1);
    if (!t->copy)
        st = dawn_fail(err, DAWN_E_NOMEM,
                       "rank %d: no memory for %zu bytes, a copy of parameters "
                       "and optimizer state while a checkpoint is written",
                       dawn_comm_rank(t->cli.comm), bytes);
    else
        memset(t->copy, 0, bytes); /* now, not in a step */
    return dawn_comm_agree(t->cli.comm, st, err);
}

enum dawn_status state_begin(struct trainer *t, struct dawn_error *err)
{
    if (t->save) { /* disk slower than training */
        enum dawn_status last = state_finish(t, err);
        if (last)
            return last;
    }
    size_t n = (size_t)state_tensors(t) + 1;
    struct dawn_checkpoint_tensor *tensor = calloc(n, sizeof *tensor);
    struct named *named = calloc(n, sizeof *named);
    enum dawn_status st = DAWN_OK;

    if (!tensor || !named)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a checkpoint");
    st = dawn_comm_agree(t->cli.comm, st, err);
    if (!st) {
        list_tensors(t, tensor, named);
        st = write_tensors(t, tensor, err);
    }
    free(tensor);
    free(named);
    return st;
}

bool state_written(const struct trainer *t)
{
    return t->save && dawn_checkpoint_save_written(t->save);
}

enum dawn_status state_finish(struct trainer *t, struct dawn_error *err)
{
    struct dawn_checkpoint_save *save = t->save;

    t->save = NULL;
    return save ? dawn_checkpoint_save_finish(save, err) : DAWN_OK;
}

void state_clear(struct trainer *t)
{
    dawn_checkpoint_save_destroy(t->save); /* it reads the copy */
    free(t->copy);
}

/* Read moments piece by piece into the tier. */
static enum dawn_status read_away(const struct trainer *t,
                                  const struct dawn_checkpoint *ck, int i,
                                  struct dawn_error *err)
{
    const struct dawn_exec_param *p = dawn_exec_param(t->exec, i);
    const struct dawn_param_desc *d = dawn_graph_param(t->graph, p->param);
    float *data = malloc(2 * (size_t)DAWN_EXEC_MOMENTS * sizeof *data);
    float *of[] = {[ADAM_M] = data, [ADAM_V] = data + DAWN_EXEC_MOMENTS};
    char name[NAME_ROOM];
    struct dawn_checkpoint_part part = {
        .name = name, .dims = d->dims, .shape = d->shape};
    enum dawn_status st = DAWN_OK;

    if (!data)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for moments of '%s'",
                         p->name);
    for (; !st && part.first < p->elements; part.first += part.count) {
        part.count = p->elements - part.first;
        if (part.count > DAWN_EXEC_MOMENTS)
            part.count = DAWN_EXEC_MOMENTS;
        for (int k = ADAM_M; !st && k <= ADAM_V; k++) {
            name_part(name, p->name, k);
            st = dawn_checkpoint_read_part(ck, &part, of[k], err);
        }
        if (!st)
            st = dawn_exec_moments_set(t->exec, i, part.first, part.count,
                                       of[ADAM_M], of[ADAM_V], err);
    }
    free(data);
    return st;
}

static enum dawn_status read_param(const struct trainer *t,
                                   const struct dawn_checkpoint *ck, int i,
                                   int parts, struct dawn_error *err)
{
    const struct dawn_exec_param *p = dawn_exec_param(t->exec, i);
    const struct dawn_param_desc *d = dawn_graph_param(t->graph, p->param);
    enum dawn_status st = DAWN_OK;
    char name[NAME_ROOM];

    for (int part = 0; !st && part < parts && part < parts_of(t, p); part++) {
        if (is_away(t, p, part))
            return read_away(t, ck, i, err);
        name_part(name, p->name, part);
        const struct dawn_checkpoint_part whole = {.name = name,
                                                   .dims = d->dims,
                                                   .shape = d->shape,
                                                   .count = p->elements,
                                                   .finite = parts == 1};
        st = dawn_checkpoint_read_part(ck, &whole, part_of(p, part), err);
    }
    return st;
}

/* parts: of each parameter that has them; of values alone all must be finite,
 * for nothing else is known of where they are from */
static enum dawn_status read_tensors(const struct trainer *t,
                                     const struct dawn_checkpoint *ck,
                                     int parts, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int i = 0; !st && i < dawn_exec_params(t->exec); i++)
        st = read_param(t, ck, i, parts, err);
    return st;
}

enum dawn_status state_open(const struct trainer *t, const char *path,
                            struct dawn_checkpoint **ck_p,
                            struct dawn_error *err)
{
    enum dawn_status st = dawn_checkpoint_open(t->cli.comm, path, ck_p, err);

    if (!st && cli_first(&t->cli) && dawn_checkpoint_skipped(*ck_p))
        fprintf(stderr, "dawn-train: warning: %s\n",
                dawn_checkpoint_skipped(*ck_p));
    return st;
}

/* Parameters only. step_p: out, or NULL */
static enum dawn_status take_values(struct trainer *t, const char *path,
                                    uint64_t *step_p, struct dawn_error *err)
{
    struct dawn_checkpoint *ck = NULL;
    enum dawn_status st = dawn_exec_init(t->exec, err);

    if (st || (st = state_open(t, path, &ck, err)))
        return st;
    if (!(st = dawn_checkpoint_suits(ck, t->graph, "", err)))
        st = dawn_comm_agree(t->cli.comm, read_tensors(t, ck, 1, err), err);
    if (!st)
        st = dawn_exec_params_changed(t->exec, err);
    if (!st)
        changes_warn_of_model(t, ck);
    if (!st && step_p)
        *step_p = dawn_checkpoint_step(ck);
    dawn_checkpoint_close(ck);
    return st;
}

enum dawn_status state_init(struct trainer *t, struct dawn_error *err)
{
    return *t->job.train.init ? take_values(t, t->job.train.init, NULL, err)
                              : dawn_exec_init(t->exec, err);
}

enum dawn_status state_weights(struct trainer *t, struct dawn_error *err)
{
    bool trained = state_refuse(t->job.out, "", NULL) != DAWN_OK;
    const char *path = trained ? t->job.out : t->job.train.init;
    enum dawn_status st = DAWN_OK;

    if (!*path)
        st = dawn_fail(err, DAWN_E_INVAL,
                       "no trained parameters: %s has no checkpoint, and the "
                       "job no init:",
                       t->job.out);
    if ((st = dawn_comm_agree(t->cli.comm, st, err)))
        return st;
    if (!trained && cli_first(&t->cli))
        fprintf(stderr,
                "dawn-train: %s has no checkpoint: the parameters are those of "
                "init: %s\n",
                t->job.out, path);
    return take_values(t, path, trained ? &t->step : NULL, err);
}

enum dawn_status state_load(struct trainer *t, struct dawn_error *err)
{
    struct dawn_checkpoint *ck = NULL;
    struct changes *changes = NULL;
    enum dawn_status st = state_open(t, t->job.out, &ck, err);

    if (st)
        return st;
    if (!(st = changes_check(t, ck, &changes, err)) &&
        !(st = dawn_checkpoint_suits(ck, t->graph, "", err)))
        st = read_tensors(t, ck, PARTS, err);
    st = dawn_comm_agree(t->cli.comm, st, err);
    if (!st) {
        t->step = dawn_checkpoint_step(ck);
        st = dawn_exec_params_changed(t->exec, err);
    }
    if (!st)
        changes_print(changes);
    changes_free(changes);
    dawn_checkpoint_close(ck);
    return st;
}

enum dawn_status state_refuse(const char *dir, const char *hint,
                              struct dawn_error *err)
{
    char pattern[2 * PATH_ROOM + sizeof "/step-*"];
    glob_t found = {0};
    enum dawn_status st = DAWN_OK;

    size_t n = 0;
    for (const char *c = dir; *c && n < 2 * PATH_ROOM; c++) {
        if (strchr("*?[\\", *c))
            pattern[n++] = '\\';
        pattern[n++] = *c;
    }
    strcpy(pattern + n, "/step-*");
    if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc)
        st = dawn_fail(err, DAWN_E_INVAL, "%s is of an earlier run: %s",
                       found.gl_pathv[found.gl_pathc - 1], hint);
    globfree(&found);
    return st;
}
