/* SPDX-License-Identifier: Apache-2.0 */
/* Fisher information: from what a pass observed to files, and its checks. */
#include "ckpt/fisher.h"
#include "common/array.h"
#include "common/hash.h"
#include "common/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

bool dawni_owns_weight(const struct dawn_exec *e, int i)
{
    return e->graph->param[e->param[i].param].desc.average <= 0;
}

/* Reading */

void dawni_digest_text(uint64_t digest, char text[DAWNI_DIGEST_ROOM])
{
    snprintf(text, DAWNI_DIGEST_ROOM, "xxh3:%016" PRIx64, digest);
}

uint64_t dawni_weight_digest(const char *name, uint64_t hash)
{
    uint64_t both[] = {dawni_hash_of(name, strlen(name)), hash};

    return dawni_hash_of(both, sizeof both);
}

enum dawn_status dawni_share_digest(struct dawn_exec *e, uint64_t *digest,
                                    struct dawn_error *err)
{
    uint64_t mine = *digest;
    uint64_t *all = dawni_calloc(e->comm->size, sizeof *all);
    enum dawn_status st =
        all ? DAWN_OK : dawn_fail(err, DAWN_E_NOMEM, "no memory for a digest");

    st = dawni_agree(e->comm, st, err);
    if (!st)
        st = e->comm->ops->allgather(e->comm, &mine, sizeof mine, all, err);
    *digest = 0;
    for (int i = 0; !st && i < e->comm->size; i++)
        *digest ^= all[i];
    free(all);
    return st;
}

static enum dawn_status check_kind(const struct dawn_checkpoint *ck,
                                   bool fisher, struct dawn_error *err)
{
    const char *kind = dawn_checkpoint_string(ck, "kind");

    if (fisher == (kind && strcmp(kind, DAWNI_FISHER_KIND) == 0))
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_MISMATCH, "%s %s", dawn_checkpoint_path(ck),
                     fisher ? "is no Fisher information: dawn-train --fisher "
                              "makes it"
                            : "is Fisher information, a checkpoint of "
                              "parameters is wanted");
}

bool dawni_is_of_other_graph(const struct dawn_exec *e,
                             const struct dawn_checkpoint *ck)
{
    const char *graph = dawn_checkpoint_string(ck, "graph");
    char here[DAWNI_DIGEST_ROOM];

    dawni_digest_text(dawn_graph_digest(e->graph), here);
    return !graph || strcmp(graph, here) != 0;
}

enum dawn_status dawni_open_suiting(struct dawn_exec *e, const char *path,
                                    bool fisher, struct dawn_checkpoint **ck_p,
                                    struct dawn_error *err)
{
    struct dawn_checkpoint *ck;
    enum dawn_status st = dawn_checkpoint_open(e->comm, path, &ck, err);

    if (st)
        return st;
    if ((st = check_kind(ck, fisher, err)) ||
        (st =
             dawn_checkpoint_suits(ck, e->graph, fisher ? ".fisher" : "", err)))
        dawn_checkpoint_close(ck);
    else
        *ck_p = ck;
    return st;
}

static enum dawn_status check_not_negative(const char *path,
                                           const struct dawn_checkpoint_part *of,
                                           const float *x,
                                           struct dawn_error *err)
{
    char number[DAWNI_DOUBLE_ROOM];

    for (int64_t i = 0; i < of->count; i++)
        if (x[i] < 0)
            return dawn_fail(err, DAWN_E_FORMAT,
                             "%s: tensor %s: element %" PRId64
                             " is %s, must not be below 0",
                             path, of->name, of->first + i,
                             dawni_double_text((double)x[i], number));
    return DAWN_OK;
}

enum dawn_status dawni_read_weight(const struct dawn_exec *e,
                                   const struct dawn_checkpoint *ck,
                                   const struct dawni_weight_part *part,
                                   float *dst, struct dawn_error *err)
{
    const struct dawn_exec_param *p = &e->param[part->i];
    const struct dawn_param_desc *d = &e->graph->param[p->param].desc;
    const struct dawn_checkpoint_tensor *tensor;
    char name[DAWNI_TENSOR_NAME];
    enum dawn_status st;

    snprintf(name, sizeof name, "%s%s", p->name, part->fisher ? ".fisher" : "");
    tensor = dawn_checkpoint_find(ck, name);
    if (tensor && tensor->dtype != DAWN_F32)
        return dawn_fail(
            err, DAWN_E_MISMATCH, "%s: tensor %s is %s, f32 is wanted",
            dawn_checkpoint_path(ck), name, dawn_dtype_name(tensor->dtype));
    const struct dawn_checkpoint_part of = {.name = name,
                                            .dims = d->dims,
                                            .shape = d->shape,
                                            .first = part->first,
                                            .count = part->elements,
                                            .finite = true};
    st = dawn_checkpoint_read_part(ck, &of, dst, err);
    if (!st && part->fisher)
        st = check_not_negative(dawn_checkpoint_path(ck), &of, dst, err);
    return st;
}

/* Mean and largest */

enum dawn_status dawni_fisher_sums_create(const struct dawn_exec *e,
                                          struct dawni_fisher_sums *s,
                                          struct dawn_error *err)
{
    int64_t n = e->graph->params;

    s->sum = dawni_calloc(2 * n, sizeof *s->sum);
    if (!s->sum)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for sums");
    s->max = s->sum + n;
    return DAWN_OK;
}

void dawni_fisher_sums_clear(struct dawni_fisher_sums *s)
{
    free(s->sum);
    *s = (struct dawni_fisher_sums){0};
}

void dawni_fisher_sums_add(const struct dawn_exec *e,
                           struct dawni_fisher_sums *s, int i,
                           const float *fisher)
{
    int param = e->param[i].param;
    double sum = 0, max = 0;

    for (int64_t k = 0; k < e->param[i].elements; k++) {
        sum += (double)fisher[k];
        max = (double)fisher[k] > max ? (double)fisher[k] : max;
    }
    s->sum[param] = sum;
    s->max[param] = max;
}

enum dawn_status dawni_fisher_sums_share(struct dawn_exec *e,
                                         struct dawni_fisher_sums *s,
                                         struct dawn_fisher_info *info,
                                         struct dawn_error *err)
{
    int n = e->graph->params;
    enum dawn_status st =
        e->comm->ops->allreduce_sum(e->comm, s->sum, 2 * n, err);
    double sum = 0;

    if (st)
        return st;
    info->max = 0;
    info->weights = 0;
    for (int i = 0; i < n; i++) {
        const struct dawni_param *p = &e->graph->param[i];
        if (p->desc.average > 0 || !p->users)
            continue;
        sum += s->sum[i];
        info->max = fmax(info->max, s->max[i]);
        info->weights += (uint64_t)p->elements;
    }
    info->mean = info->weights ? sum / (double)info->weights : 0;
    return DAWN_OK;
}

/* Writing */

struct fisher {
    const struct dawn_fisher_save_opts *opts;
    struct dawn_checkpoint *previous; /* or NULL */
    float *room;                      /* of the largest weight, likewise */
    struct dawni_fisher_sums sums;
    struct dawn_checkpoint_tensor *tensor;
    char (*names)[DAWNI_TENSOR_NAME];
    int tensors;
    uint64_t weights; /* digest of the weights that F is of */
};

static void clear(struct fisher *f)
{
    dawn_checkpoint_close(f->previous);
    dawni_fisher_sums_clear(&f->sums);
    free(f->room);
    free(f->tensor);
    free(f->names);
}

static enum dawn_status make_room(const struct dawn_exec *e, struct fisher *f,
                                  struct dawn_error *err)
{
    int64_t most = 0;

    for (int i = 0; i < e->owned; i++)
        most = e->param[i].elements > most ? e->param[i].elements : most;
    f->room = dawni_calloc(f->opts->previous ? most : 0, sizeof *f->room);
    f->tensor = dawni_calloc(e->owned, sizeof *f->tensor);
    f->names = dawni_calloc(e->owned, sizeof *f->names);
    if (!f->room || !f->tensor || !f->names)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d tensors",
                         e->owned);
    return dawni_fisher_sums_create(e, &f->sums, err);
}

/* F of one weight, and its place in the file. */
static enum dawn_status finish_weight(const struct dawn_exec *e,
                                      struct fisher *f, int i,
                                      struct dawn_error *err)
{
    const struct dawn_exec_param *p = &e->param[i];
    const struct dawn_param_desc *d = &e->graph->param[p->param].desc;
    struct dawn_checkpoint_tensor *t = &f->tensor[f->tensors];
    float *x = dawn_exec_pass_array(e, i, 0), *old = f->room;
    float decay = (float)f->opts->decay;
    enum dawn_status st;

    for (int64_t k = 0; k < p->elements; k++)
        x[k] /= (float)f->opts->samples;
    if (f->previous) {
        const struct dawni_weight_part all = {i, true, 0, p->elements};
        if ((st = dawni_read_weight(e, f->previous, &all, old, err)))
            return st;
        for (int64_t k = 0; k < p->elements; k++)
            x[k] = decay * old[k] + x[k];
    }
    for (int64_t k = 0; k < p->elements; k++)
        if (!isfinite(x[k]))
            return dawn_fail(err, DAWN_E_NUMERIC,
                             "the sum of squares of %s overflowed", p->name);
    dawni_fisher_sums_add(e, &f->sums, i, x);
    f->weights ^= dawni_weight_digest(
        p->name,
        dawni_hash_of(p->value, (size_t)p->elements * sizeof *p->value));
    snprintf(f->names[f->tensors], DAWNI_TENSOR_NAME, "%s.fisher", p->name);
    *t = (struct dawn_checkpoint_tensor){.name = f->names[f->tensors],
                                         .dtype = DAWN_F32,
                                         .dims = d->dims,
                                         .data = x};
    memcpy(t->shape, d->shape, sizeof d->shape);
    f->tensors++;
    return DAWN_OK;
}

static enum dawn_status finish(struct dawn_exec *e, struct fisher *f,
                               struct dawn_error *err)
{
    enum dawn_status st = make_room(e, f, err);

    for (int i = 0; !st && i < e->owned; i++)
        if (dawni_owns_weight(e, i))
            st = finish_weight(e, f, i, err);
    return st;
}

struct fisher_paths {
    char *corpus, *previous; /* as UTF-8 */
};

static enum dawn_status write(struct dawn_exec *e, const struct fisher *f,
                              const struct fisher_paths *paths,
                              const struct dawn_fisher_info *info,
                              struct dawn_error *err)
{
    char graph[DAWNI_DIGEST_ROOM], weights[DAWNI_DIGEST_ROOM];
    char samples[32], mean[DAWNI_DOUBLE_ROOM];
    char max[DAWNI_DOUBLE_ROOM], decay[DAWNI_DOUBLE_ROOM];
    struct dawn_checkpoint_save *save;
    enum dawn_status st;

    dawni_digest_text(dawn_graph_digest(e->graph), graph);
    dawni_digest_text(f->weights, weights);
    snprintf(samples, sizeof samples, "%" PRIu64, info->samples);
    const struct dawn_checkpoint_string string[] = {
        {"kind", DAWNI_FISHER_KIND},
        {"estimator", e->passes.kind[0]->name},
        {"graph", graph},
        {"weights", weights},
        {e->observes_each ? "samples" : "steps", samples},
        {"mean", dawni_double_text(info->mean, mean)},
        {"max", dawni_double_text(info->max, max)},
        {"corpus", paths->corpus},
        {"previous", paths->previous},
        {"decay", dawni_double_text(f->opts->decay, decay)},
    };
    const struct dawn_checkpoint_save_opts opts = {
        .comm = e->comm,
        .dir = f->opts->dir,
        .step = info->samples,
        .tensors = f->tensors,
        .tensor = f->tensor,
        .strings = f->opts->previous ? 10 : 8,
        .string = string,
        .job = f->opts->job,
    };
    st = dawn_checkpoint_save_begin(&opts, &save, err);
    return st ? st : dawn_checkpoint_save_finish(save, err);
}

/* File names are any bytes, a manifest is UTF-8. */
static enum dawn_status write_paths(struct dawn_exec *e, const struct fisher *f,
                                    const struct dawn_fisher_info *info,
                                    struct dawn_error *err)
{
    const struct dawn_fisher_save_opts *o = f->opts;
    const struct fisher_paths paths = {
        dawni_utf8_escape(o->corpus ? o->corpus : ""),
        dawni_utf8_escape(o->previous ? o->previous : "")};
    enum dawn_status st = DAWN_OK;

    if (!paths.corpus || !paths.previous)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
    if (!(st = dawni_agree(e->comm, st, err)))
        st = write(e, f, &paths, info, err);
    free(paths.corpus);
    free(paths.previous);
    return st;
}

enum dawn_status dawn_fisher_save(struct dawn_exec *e,
                                  const struct dawn_fisher_save_opts *opts,
                                  struct dawn_fisher_info *info_p,
                                  struct dawn_error *err)
{
    struct fisher f = {.opts = opts};
    struct dawn_fisher_info info = {.samples = opts->samples,
                                    .of_batch_mean =
                                        e->observes && !e->observes_each};
    enum dawn_status st = DAWN_OK;

    if (!e->observes || !opts->samples)
        return dawn_fail(err, DAWN_E_INVAL,
                         e->observes ? "no samples were observed"
                                     : "no pass observes gradients");
    if (opts->previous)
        st = dawni_open_suiting(e, opts->previous, true, &f.previous, err);
    if (!st)
        st = dawni_agree(e->comm, finish(e, &f, err), err);
    if (!st)
        st = dawni_fisher_sums_share(e, &f.sums, &info, err);
    if (!st)
        st = dawni_share_digest(e, &f.weights, err);
    if (!st)
        st = write_paths(e, &f, &info, err);
    clear(&f);
    if (!st)
        *info_p = info;
    return st;
}
