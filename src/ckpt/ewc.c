/* SPDX-License-Identifier: Apache-2.0 */
/* What EWC needs, from files to the arrays of its pass. */
#include "ckpt/fisher.h"
#include "common/array.h"
#include "common/hash.h"
#include "common/text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

/* Which of the executor's passes; NULL: none. */
static struct dawni_pass *find(const struct dawn_exec *e, int *pass)
{
    for (*pass = 0; *pass < e->passes.n; (*pass)++)
        if (strncmp(e->passes.kind[*pass]->name, "ewc", 3) == 0)
            return e->pass[*pass];
    return NULL;
}

struct loading {
    struct dawni_pass *pass;
    int number; /* of the pass */
    struct dawn_checkpoint *fisher, *anchor;
    struct dawni_fisher_sums sums;
    float *room;              /* of the largest weight */
    uint64_t digest, weights; /* of F and anchor, of the anchor alone */
};

static void clear(struct loading *l)
{
    dawn_checkpoint_close(l->fisher);
    dawn_checkpoint_close(l->anchor);
    dawni_fisher_sums_clear(&l->sums);
    free(l->room);
}

/* The weight's anchor, and its F, which is in l->room, go where its arrays are:
 * at one time, or piece by piece. */
static enum dawn_status fill(struct dawn_exec *e, struct loading *l, int i,
                             uint64_t *anchor_hash, struct dawn_error *err)
{
    struct dawni_hash hash;
    int64_t all = e->param[i].elements;
    enum dawn_status st = DAWN_OK;

    dawni_hash_init(&hash);
    dawni_ewc_scale(l->pass, i, l->room, all);
    for (int64_t at = 0; !st && at < all;) {
        struct dawni_pass_weight w =
            dawni_exec_fill_weight(e, i, l->number, at);
        struct dawni_weight_part part = {i, false, at, w.elements};
        st = dawni_read_weight(e, l->anchor, &part, w.array[1], err);
        if (st)
            return st;
        dawni_hash_add(&hash, w.array[1], (size_t)w.elements * sizeof(float));
        dawni_ewc_store(l->pass, &w, l->room + at);
        st = dawni_exec_store_weight(e, i, at, err);
        at += w.elements;
    }
    *anchor_hash = dawni_hash_end(&hash);
    return st;
}

static enum dawn_status read_one(struct dawn_exec *e, struct loading *l, int i,
                                 struct dawn_error *err)
{
    const struct dawn_exec_param *p = &e->param[i];
    struct dawni_weight_part fisher = {i, true, 0, p->elements};
    uint64_t hash[3];
    enum dawn_status st;

    if ((st = dawni_read_weight(e, l->fisher, &fisher, l->room, err)) ||
        (st = fill(e, l, i, &hash[2], err)))
        return st;
    dawni_fisher_sums_add(e, &l->sums, i, l->room);
    hash[0] = dawni_hash_of(p->name, strlen(p->name));
    hash[1] = dawni_hash_of(l->room, (size_t)p->elements * sizeof(float));
    l->digest ^= dawni_hash_of(hash, sizeof hash);
    l->weights ^= dawni_weight_digest(p->name, hash[2]);
    return DAWN_OK;
}

static enum dawn_status read_all(struct dawn_exec *e, struct loading *l,
                                 struct dawn_error *err)
{
    int64_t most = 0;
    enum dawn_status st = dawni_fisher_sums_create(e, &l->sums, err);

    for (int i = 0; i < e->owned; i++)
        most = e->param[i].elements > most ? e->param[i].elements : most;
    l->room = dawni_calloc(most, sizeof *l->room);
    if (!st && !l->room)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for Fisher information");
    for (int i = 0; !st && i < e->owned; i++)
        if (dawni_owns_weight(e, i))
            st = read_one(e, l, i, err);
    return st;
}

static enum dawn_status find_lambda(const struct dawn_ewc_opts *opts,
                                    struct dawn_ewc_info *info,
                                    struct dawn_error *err)
{
    char number[DAWNI_DOUBLE_ROOM];

    if (opts->relative && info->fisher.mean <= 0)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%s: the mean is 0, so lambda cannot be relative to "
                         "it",
                         opts->fisher);
    info->lambda =
        opts->relative ? opts->lambda / info->fisher.mean : opts->lambda;
    if (!(info->lambda >= 0) || info->lambda > FLT_MAX)
        return dawn_fail(err, DAWN_E_INVAL,
                         "lambda%s is %s: must be a number from 0 to 3e38",
                         opts->relative ? " / the mean of F" : "",
                         dawni_double_text(info->lambda, number));
    return DAWN_OK;
}

/* Two folders that look alike: a failure says which. */
static enum dawn_status open_one(struct dawn_exec *e, const char *path,
                                 bool fisher, struct dawn_checkpoint **ck_p,
                                 struct dawn_error *err)
{
    struct dawn_error why = {0};
    enum dawn_status st = dawni_open_suiting(e, path, fisher, ck_p, &why);

    if (!st)
        return DAWN_OK;
    return dawn_fail(err, st, "%s: %s", fisher ? "fisher" : "anchor", why.text);
}

/* What F is of. An older one does not say of which weights. */
static void read_strings(const struct loading *l, struct dawn_ewc_info *info)
{
    const char *estimator = dawn_checkpoint_string(l->fisher, "estimator");
    const char *weights = dawn_checkpoint_string(l->fisher, "weights");
    const char *samples;
    char wanted[DAWNI_DIGEST_ROOM];

    info->fisher.of_batch_mean =
        estimator && !strcmp(estimator, "fisher-of-batch-mean");
    samples = dawn_checkpoint_string(
        l->fisher, info->fisher.of_batch_mean ? "steps" : "samples");
    info->fisher.samples = samples ? strtoull(samples, NULL, 10) : 0;
    dawni_digest_text(l->weights, wanted);
    info->other_anchor = weights && strcmp(weights, wanted) != 0;
}

/* Add to info->differs what is another in the model of F or of the anchor. */
static void say_differs(const struct dawn_exec *e,
                        const struct dawn_checkpoint *ck,
                        const struct dawn_ewc_opts *opts,
                        struct dawn_ewc_info *info)
{
    size_t n = strlen(info->differs);
    char what[400] = "";

    if (!dawni_is_of_other_graph(e, ck))
        return;
    if (opts->job)
        dawn_checkpoint_changes(ck, opts->job, "model.", what, sizeof what);
    snprintf(info->differs + n, sizeof info->differs - n,
             "%s%.400s is of another model with the same parameters%s%s",
             n ? "; " : "", dawn_checkpoint_path(ck), *what ? ": " : "", what);
}

static void say_skipped(const struct loading *l, struct dawn_ewc_info *info)
{
    const char *fisher = dawn_checkpoint_skipped(l->fisher);
    const char *anchor = dawn_checkpoint_skipped(l->anchor);

    snprintf(info->skipped, sizeof info->skipped, "%s%s%s",
             fisher ? fisher : "", fisher && anchor ? "; " : "",
             anchor ? anchor : "");
}

static enum dawn_status load(struct dawn_exec *e, struct loading *l,
                             const struct dawn_ewc_opts *opts,
                             struct dawn_ewc_info *info, struct dawn_error *err)
{
    enum dawn_status st;

    if ((st = open_one(e, opts->fisher, true, &l->fisher, err)) ||
        (st = open_one(e, opts->anchor, false, &l->anchor, err)) ||
        (st = dawni_agree(e->comm, read_all(e, l, err), err)) ||
        (st = dawni_fisher_sums_share(e, &l->sums, &info->fisher, err)) ||
        (st = dawni_share_digest(e, &l->digest, err)) ||
        (st = dawni_share_digest(e, &l->weights, err)))
        return st;
    read_strings(l, info);
    info->digest = l->digest;
    say_skipped(l, info);
    say_differs(e, l->fisher, opts, info);
    say_differs(e, l->anchor, opts, info);
    return find_lambda(opts, info, err);
}

enum dawn_status dawn_ewc_load(struct dawn_exec *e,
                               const struct dawn_ewc_opts *opts,
                               struct dawn_ewc_info *info_p,
                               struct dawn_error *err)
{
    struct dawn_ewc_info info = {0};
    struct loading l = {0};
    enum dawn_status st;

    l.pass = find(e, &l.number);
    if (!l.pass)
        return dawn_fail(err, DAWN_E_INVAL, "the executor has no pass 'ewc'");
    st = load(e, &l, opts, &info, err);
    clear(&l);
    if (st)
        return st;
    dawni_ewc_set(l.pass, info.lambda, opts->proximal);
    *info_p = info;
    return DAWN_OK;
}
