/* SPDX-License-Identifier: Apache-2.0 */
/* What passes do beside the executor: one table of functions each. Which arrays
 * they keep, and where, is in passes/passes.h: the planner prices them, and the
 * arena has them.
 *
 * All functions are called on the executor's thread, for weights that its rank
 * owns, and give the same bits for the same input. They allocate nothing but in
 * create.
 */
#ifndef DAWNI_OPTIM_PASS_H
#define DAWNI_OPTIM_PASS_H

#include "device/kernel.h"
#include "passes/passes.h"

#define DAWNI_PASS_FIGURES 2 /* of one pass */

struct dawni_pass;

/* A weight, its gradient and moments, and the pass's own arrays; of an update
 * maybe a part of them, which begins at a multiple of 2^19. */
struct dawni_pass_weight {
    int number; /* among those that the rank owns */
    int64_t elements;
    struct dawni_update at; /* moments: NULL where nothing is trained */
    void *array[2];
};

struct dawni_pass_ops {
    const char *name; /* as in plans */
    /* weights: that the rank owns */
    enum dawn_status (*create)(const struct dawni_pass_ops *ops, int weights,
                               struct dawni_pass **pass_p,
                               struct dawn_error *err);
    /* Take in a gradient, of a microbatch or a step; returns the sum of its
     * squares. NULL: the pass observes nothing. */
    double (*observe)(struct dawni_pass *pass,
                      const struct dawni_device_ops *device,
                      const struct dawni_pass_weight *w);
    /* Update in AdamW's place. sums: adds to the weight's, one a figure. NULL:
     * the pass changes nothing. */
    void (*update)(struct dawni_pass *pass,
                   const struct dawni_device_ops *device,
                   const struct dawni_adamw *o,
                   const struct dawni_pass_weight *w, double *sums);
    /* What it adds to a step's metrics: names, and what they are, from the sums
     * over all weights of all ranks. */
    int figures;
    const char *figure[DAWNI_PASS_FIGURES];
    void (*finish)(const struct dawni_pass *pass, const double *sums,
                   double *figure);
    void (*destroy)(struct dawni_pass *pass);
};

struct dawni_pass { /* first member of each pass's own struct */
    const struct dawni_pass_ops *ops;
};

/* In libdawnpiper-run every kind of passes.c has one. */
const struct dawni_pass_ops *dawni_pass_ops_find(const char *name);

extern const struct dawni_pass_ops dawni_pass_ewc, dawni_pass_ewc_bf16;
extern const struct dawni_pass_ops dawni_pass_fisher, dawni_pass_fisher_mean;

/* EWC: what its penalty is. Until then there is none. */
void dawni_ewc_set(struct dawni_pass *pass, double lambda, bool proximal);
/* Store Fisher information, `fisher` with w->elements numbers, in the array of
 * a weight or of a part of one: as it is, or as bf16 times the weight's
 * largest, which is found first, in all its numbers. */
void dawni_ewc_scale(struct dawni_pass *pass, int number, const float *fisher,
                     int64_t elements);
void dawni_ewc_store(struct dawni_pass *pass, const struct dawni_pass_weight *w,
                     const float *fisher);

#endif
