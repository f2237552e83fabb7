/* SPDX-License-Identifier: Apache-2.0 */
/* Elastic weight consolidation: the Fisher information of trained weights on a
 * corpus, and training that keeps what they know. (libdawnpiper-run)
 *
 *     L = L_task + lambda / 2 * sum over weights of F (w - anchor)^2
 *
 * F is estimated by an executor with the pass "fisher": dawn_exec_observe_step
 * over the corpus, one sample a microbatch, then dawn_fisher_save. Training
 * uses an executor with the pass "ewc" (or "ewc-bf16", which keeps F as bf16)
 * and dawn_ewc_load. Parameters that are averages have no part in either.
 */
#ifndef DAWNPIPER_PASSES_H
#define DAWNPIPER_PASSES_H

#include <dawnpiper/exec.h>
#include <dawnpiper/job.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_fisher_info {
    double mean, max; /* over all weights, tied ones once */
    uint64_t weights;
    uint64_t samples; /* of "fisher-of-batch-mean": steps */
    bool of_batch_mean;
};

struct dawn_fisher_save_opts {
    const char *dir;      /* made if missing; as of checkpoints */
    const char *corpus;   /* what it is of, for people */
    uint64_t samples;     /* that were observed, >= 1; ... steps */
    const char *previous; /* NULL, or an earlier one that is added, ... */
    double decay;         /* ... times this: online EWC */
    const struct dawn_job *job; /* as of dawn_checkpoint_save_opts */
};

/* Make F of what the executor's pass observed, sum / samples, in place, and
 * write it: tensors NAME.fisher, f32, in the form of a checkpoint, that any
 * plan can read. Collective; once an executor.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (the executor has no such pass, no samples),
 * DAWN_E_MISMATCH or DAWN_E_FORMAT (the earlier one), DAWN_E_NUMERIC,
 * DAWN_E_IO, DAWN_E_NOMEM, DAWN_E_COMM.
 */
DAWN_API enum dawn_status dawn_fisher_save(
    struct dawn_exec *exec, const struct dawn_fisher_save_opts *opts,
    struct dawn_fisher_info *info, struct dawn_error *err);

struct dawn_ewc_opts {
    const char *fisher; /* what dawn_fisher_save wrote */
    const char *anchor; /* a checkpoint of the same parameters */
    double lambda;      /* >= 0 */
    bool relative;      /* lambda is divided by the mean of F */
    bool proximal;      /* else the penalty's gradient joins the task's */
    const struct dawn_job *job; /* or NULL: to tell what differs */
};

struct dawn_ewc_info {
    double lambda; /* as used */
    struct dawn_fisher_info fisher;
    uint64_t digest;    /* of F and anchor: the same on any number of ranks */
    bool other_anchor;  /* F was taken at other weights than the anchor's */
    char skipped[1000]; /* as dawn_checkpoint_skipped, of both folders */
    char differs[2000]; /* where F or the anchor are of another graph with
                           parameters of the same names and shapes: what differs
                           in opts.job's model; "": they are of this one */
};

/* Fill the pass "ewc" or "ewc-bf16" of an executor. Every rank reads what it
 * owns. Collective; before the first step.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (no such pass; a mean of 0 where lambda is
 * relative to it; a lambda beyond f32), DAWN_E_MISMATCH (parameters of other
 * names or shapes, no f32), DAWN_E_FORMAT (broken files; F below 0
 * or not finite), DAWN_E_IO, DAWN_E_NOMEM, DAWN_E_COMM.
 */
DAWN_API enum dawn_status dawn_ewc_load(struct dawn_exec *exec,
                                        const struct dawn_ewc_opts *opts,
                                        struct dawn_ewc_info *info,
                                        struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
