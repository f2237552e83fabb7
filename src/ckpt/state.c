/* SPDX-License-Identifier: Apache-2.0 */
/* An executor's whole state in a checkpoint: parameters and AdamW's moments, by
 * name, so that any plan may take them up again.
 */
#include "common/array.h"
#include "runtime/exec.h"

#include <dawnpiper/checkpoint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_ROOM 256

/* The three tensors of a parameter. */
enum { VALUE, ADAM_M, ADAM_V, PARTS };
static const char *const suffix[PARTS] = {"", ".adam_m", ".adam_v"};

static const struct dawn_param_desc *desc_of(const struct dawn_exec *e,
                                             const struct dawn_exec_param *p)
{
    return dawn_graph_param(e->opts.graph, p->param);
}

static float *part_of(const struct dawn_exec_param *p, int part)
{
    return part == VALUE ? p->value : part == ADAM_M ? p->adam_m : p->adam_v;
}

/* An average has a value only. */
static int parts_of(const struct dawn_exec *e, const struct dawn_exec_param *p)
{
    return desc_of(e, p)->average > 0 ? 1 : PARTS;
}

/* Moments that the plan offloads are not in memory. */
static bool is_away(const struct dawn_exec *e, const struct dawn_exec_param *p,
                    int part)
{
    return part != VALUE &&
           dawn_plan_optimizer(e->opts.plan, p->param) != DAWN_KEEP;
}

static void name_part(char name[NAME_ROOM], const char *param, int part)
{
    snprintf(name, NAME_ROOM, "%s%s", param, suffix[part]);
}

static int count_tensors(const struct dawn_exec *e)
{
    int n = 0;

    for (int i = 0; i < dawn_exec_params(e); i++)
        n += parts_of(e, dawn_exec_param(e, i));
    return n;
}

int64_t dawn_checkpoint_state_floats(const struct dawn_exec *e)
{
    int64_t n = 0;

    for (int i = 0; i < dawn_exec_params(e); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(e, i);
        for (int part = 0; part < parts_of(e, p); part++)
            n += is_away(e, p, part) ? 0 : p->elements;
    }
    return n;
}

/* Saving */

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
static void list_tensors(struct dawn_exec *e, float *copy,
                         struct dawn_checkpoint_tensor *tensor,
                         struct named *named)
{
    int k = 0;

    for (int i = 0; i < dawn_exec_params(e); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(e, i);
        const struct dawn_param_desc *d = desc_of(e, p);
        for (int part = 0; part < parts_of(e, p); part++, k++) {
            name_part(named[k].name, p->name, part);
            tensor[k] =
                (struct dawn_checkpoint_tensor){.name = named[k].name,
                                                .dtype = DAWN_F32,
                                                .dims = d->dims,
                                                .data = part_of(p, part)};
            memcpy(tensor[k].shape, d->shape, sizeof d->shape);
            if (is_away(e, p, part)) {
                named[k].away = (struct away){e, i, part};
                tensor[k].fill = fill;
                tensor[k].user = &named[k].away;
            }
            if (!copy || is_away(e, p, part))
                continue;
            tensor[k].data = memcpy(copy, part_of(p, part),
                                    (size_t)p->elements * sizeof *copy);
            copy += p->elements;
        }
    }
}

enum dawn_status dawn_checkpoint_save_exec(
    const struct dawn_checkpoint_save_opts *opts, struct dawn_exec *e,
    float *copy, struct dawn_checkpoint_save **save_p, struct dawn_error *err)
{
    struct dawn_checkpoint_save_opts all = *opts;
    int n = count_tensors(e);
    struct dawn_checkpoint_tensor *tensor = dawni_calloc(n + 1, sizeof *tensor);
    struct named *named = dawni_calloc(n + 1, sizeof *named);
    enum dawn_status st = DAWN_OK;

    if (!tensor || !named)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a checkpoint");
    st = dawni_agree(opts->comm, st, err);
    if (!st) {
        list_tensors(e, copy, tensor, named);
        all.tensors = n;
        all.tensor = tensor;
        st = dawn_checkpoint_save_begin(&all, save_p, err);
    }
    free(tensor);
    free(named);
    return st;
}

enum dawn_status dawn_exec_save(struct dawn_exec *e, const char *dir,
                                uint64_t step, int keep, struct dawn_error *err)
{
    const struct dawn_checkpoint_save_opts opts = {
        .comm = e->comm, .dir = dir, .step = step, .keep = keep};
    struct dawn_checkpoint_save *save = NULL;
    enum dawn_status st = dawn_checkpoint_save_exec(&opts, e, NULL, &save, err);

    return st ? st : dawn_checkpoint_save_finish(save, err);
}

/* Restoring */

/* Read moments piece by piece into the tier. */
static enum dawn_status read_away(struct dawn_exec *e,
                                  const struct dawn_checkpoint *ck, int i,
                                  struct dawn_error *err)
{
    const struct dawn_exec_param *p = dawn_exec_param(e, i);
    const struct dawn_param_desc *d = desc_of(e, p);
    float *data = dawni_calloc(2 * (int64_t)DAWN_EXEC_MOMENTS, sizeof *data);
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
            st = dawn_exec_moments_set(e, i, part.first, part.count, of[ADAM_M],
                                       of[ADAM_V], err);
    }
    free(data);
    return st;
}

/* Values that are taken alone must be finite, for nothing else is known of
 * where they are from. */
static enum dawn_status read_param(struct dawn_exec *e,
                                   const struct dawn_checkpoint *ck, int i,
                                   bool moments, struct dawn_error *err)
{
    const struct dawn_exec_param *p = dawn_exec_param(e, i);
    const struct dawn_param_desc *d = desc_of(e, p);
    int parts = moments ? parts_of(e, p) : 1;
    enum dawn_status st = DAWN_OK;
    char name[NAME_ROOM];

    for (int part = 0; !st && part < parts; part++) {
        if (is_away(e, p, part))
            return read_away(e, ck, i, err);
        name_part(name, p->name, part);
        const struct dawn_checkpoint_part whole = {.name = name,
                                                   .dims = d->dims,
                                                   .shape = d->shape,
                                                   .count = p->elements,
                                                   .finite = !moments};
        st = dawn_checkpoint_read_part(ck, &whole, part_of(p, part), err);
    }
    return st;
}

enum dawn_status dawn_checkpoint_restore(const struct dawn_checkpoint *ck,
                                         struct dawn_exec *e, bool moments,
                                         struct dawn_error *err)
{
    enum dawn_status st = dawn_checkpoint_suits(ck, e->opts.graph, "", err);

    for (int i = 0; !st && i < dawn_exec_params(e); i++)
        st = read_param(e, ck, i, moments, err);
    if ((st = dawni_agree(e->comm, st, err)))
        return st;
    return dawn_exec_params_changed(e, err);
}

enum dawn_status dawn_exec_load(struct dawn_exec *e, const char *path,
                                uint64_t *step_p, struct dawn_error *err)
{
    struct dawn_checkpoint *ck = NULL;
    enum dawn_status st = dawn_checkpoint_open(e->comm, path, &ck, err);

    if (st)
        return st;
    st = dawn_checkpoint_restore(ck, e, true, err);
    if (!st && step_p)
        *step_p = dawn_checkpoint_step(ck);
    dawn_checkpoint_close(ck);
    return st;
}
