/* SPDX-License-Identifier: Apache-2.0 */
/* Fisher information on disk, for those who write it and those who read it. */
#ifndef DAWNI_CKPT_FISHER_H
#define DAWNI_CKPT_FISHER_H

#include "runtime/exec.h"
#include <dawnpiper/checkpoint.h>
#include <dawnpiper/passes.h>

#define DAWNI_FISHER_KIND "fisher information"
#define DAWNI_TENSOR_NAME 256 /* bytes of a name with its suffix */

#define DAWNI_DIGEST_ROOM 32
void dawni_digest_text(uint64_t digest, char text[DAWNI_DIGEST_ROOM]);

/* Of weights: the exclusive or of each one's, of its name and its numbers'
 * hash; then over all ranks. Collective. */
uint64_t dawni_weight_digest(const char *name, uint64_t hash);
enum dawn_status dawni_share_digest(struct dawn_exec *e, uint64_t *digest,
                                    struct dawn_error *err);

/* Is parameter i of those that the rank owns a weight? */
bool dawni_owns_weight(const struct dawn_exec *e, int i);

/* Open a checkpoint that must suit the executor's graph, and be Fisher
 * information or not. Collective. Returns what dawn_checkpoint_open does, or
 * DAWN_E_MISMATCH. */
enum dawn_status dawni_open_suiting(struct dawn_exec *e, const char *path,
                                    bool fisher, struct dawn_checkpoint **ck_p,
                                    struct dawn_error *err);

/* Was a checkpoint written under another graph than the executor's? */
bool dawni_is_of_other_graph(const struct dawn_exec *e,
                             const struct dawn_checkpoint *ck);

struct dawni_weight_part {
    int i;       /* number among the owned parameters */
    bool fisher; /* NAME.fisher, not NAME */
    int64_t first, elements;
};

/* Read of an f32 tensor of the parameter's shape. Every number must be finite,
 * and F not below 0. */
enum dawn_status dawni_read_weight(const struct dawn_exec *e,
                                   const struct dawn_checkpoint *ck,
                                   const struct dawni_weight_part *part,
                                   float *dst, struct dawn_error *err);

/* Mean and largest of F, of which this rank has `of[i]` of each owned weight:
 * sums in f64 by weight, added in the order of the parameters. Collective. */
struct dawni_fisher_sums {
    double *sum, *max; /* by parameter; zero where another rank owns it */
};
enum dawn_status dawni_fisher_sums_create(const struct dawn_exec *e,
                                          struct dawni_fisher_sums *s,
                                          struct dawn_error *err);
void dawni_fisher_sums_clear(struct dawni_fisher_sums *s);
void dawni_fisher_sums_add(const struct dawn_exec *e,
                           struct dawni_fisher_sums *s, int i,
                           const float *fisher);
enum dawn_status dawni_fisher_sums_share(struct dawn_exec *e,
                                         struct dawni_fisher_sums *s,
                                         struct dawn_fisher_info *info,
                                         struct dawn_error *err);

#endif
