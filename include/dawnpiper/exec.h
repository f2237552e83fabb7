/* SPDX-License-Identifier: Apache-2.0 */
/* The executor: a plan bound to a graph, a device and a transport, ready to
 * step. (libdawnpiper-run)
 *
 * An executor belongs to one thread. Functions marked collective are called by
 * all ranks of the communicator in the same order with the same arguments; they
 * return the same status on all.
 */
#ifndef DAWNPIPER_EXEC_H
#define DAWNPIPER_EXEC_H

#include <dawnpiper/comm.h>
#include <dawnpiper/memory.h>
#include <dawnpiper/plan.h>
#include <dawnpiper/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dawn_exec;

/* A graph input that the executor wants filled. */
struct dawn_feed {
    int tensor;
    const char *name;
    bool eval;       /* of an evaluation, not of a step */
    uint64_t step;   /* as given to dawn_exec_step; 0 in an evaluation */
    uint64_t sample; /* index of the first sample, in the step or evaluation */
    int64_t samples; /* how many: the microbatch, or fewer at the end of an
                        evaluation */
    int64_t of_step; /* samples of a whole step */
};

/* Fill `data` (samples rows of the tensor, row-major). Called from the stepping
 * thread, on every rank whose stages need the tensor. A nonzero return ends the
 * step with DAWN_E_USER on all ranks. */
typedef int (*dawn_feed_fn)(void *user, const struct dawn_feed *what,
                            void *data);

struct dawn_exec_opts {
    const struct dawn_graph *graph; /* the model's, in its own order, whatever
                                       dawn_plan_graph() is; must outlive the
                                       executor */
    struct dawn_plan *plan;         /* likewise; ranks == the communicator's */
    struct dawn_comm *comm;         /* likewise */
    const char *device;             /* NULL: "host" */
    int threads;                    /* of this rank, at most 4096; 0: 1 */
    uint64_t seed;                  /* parameters, dropout */
    dawn_feed_fn feed;
    void *user;
    double beta1, beta2, eps; /* AdamW; 0: 0.9, 0.95, 1e-8; betas are below 1,
                                 nothing is below 0 */
    double weight_decay;      /* AdamW's, of matrices; 0: none, at least 0 */
    double clip;              /* largest global gradient norm; 0: no clipping */
    double timeout_s; /* no progress for so long ends the step; 0: 300 */
    bool trace;       /* keep the timeline of the newest step */
    /* where tensors are offloaded to disk: a folder for a file without a name;
     * NULL: what the plan says, else $TMPDIR, or /tmp */
    const char *offload_dir;
    bool checked; /* see that what is read back is what was written */
    /* passes by name, joined by commas, the same as in the plan; NULL: none */
    const char *passes;
};

/* What a pass says of a step. */
struct dawn_figure {
    const char *name; /* "penalty" */
    double value;     /* NaN where nothing was updated */
};

/* What a step did; the same on every rank. Arrays live until the next call.
 *
 * In an asynchronous schedule (see schedule.h) each update of a stage takes the
 * mean gradient of its microbatches, clipped by the norm of that stage's. A
 * parameter that several stages use keeps its value all through the step, and
 * is updated at its end with the mean gradient of all microbatches, clipped by
 * the norm of all such parameters' gradient. AdamW's bias correction counts
 * updates, as if all steps before had had as many.
 */
struct dawn_step_result {
    double loss;      /* mean over the step's microbatches */
    double grad_norm; /* global, before clipping, tied parameters once; with
                         updates within the step: root mean square of theirs */
    int updates;      /* within the step, of each stage; 0: synchronous */
    bool nonfinite;   /* loss or gradient not finite: nothing was updated; with
                         updates within the step: not by those, of a stage,
                         whose gradient was not finite */
    char bad_node[128]; /* then: the first node that made such a number; with
                           updates within the step its microbatch and stage, or
                           the parameter whose gradient had it */
    int64_t samples;
    double step_ns; /* wall time, slowest rank */
    double bubble; /* share of the ranks' time not spent in kernels or moving */
    double exposed_comm_ns; /* waiting for messages, largest of all ranks */
    double stall_ns;        /* waiting for memory tiers, likewise */
    double overhead_ns;     /* neither in kernels nor waiting, likewise */
    int ranks;
    const double *kernel_ns;     /* by rank: in kernels */
    const double *wait_ns;       /* by rank: waiting for messages */
    const double *stalled_ns;    /* by rank: waiting for memory tiers */
    const uint64_t *peak_bytes;  /* by rank: measured */
    const uint64_t *arena_bytes; /* by rank: allocated */
    int figures;                 /* of passes */
    const struct dawn_figure *figure;
};

/* Bind a plan: make kernels, the program and the arena, which is all the memory
 * that steps use; set up threads. Collective: device, threads, timeout_s,
 * offload_dir, checked, and what the feed gives, are each rank's own; all else
 * must be the same on all. Parameters are zero until dawn_exec_init or a
 * checkpoint fills them.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (ranks differ from the plan's; no such pass; a
 * number of the options out of its range),
 * DAWN_E_MISMATCH (the plan is for another graph, or was priced with other
 * passes; a rank has other options, which the text names), DAWN_E_NOFIT (the
 * arena is larger than the plan's cap, or with what is offloaded to memory of
 * the host than what is free; the text has what takes how much), DAWN_E_IO (no
 * room where the plan offloads to), DAWN_E_NOTSUP (dtype or operator that the
 * device lacks), DAWN_E_NOMEM, DAWN_E_COMM.
 */
DAWN_API enum dawn_status dawn_exec_create(const struct dawn_exec_opts *opts,
                                           struct dawn_exec **exec_p,
                                           struct dawn_error *err);
/* Takes NULL. Not collective. */
DAWN_API void dawn_exec_destroy(struct dawn_exec *exec);

/* Draw the parameters from the seed, as the graph says; the same for every
 * plan. Zero the optimizer state. Collective. */
DAWN_API enum dawn_status dawn_exec_init(struct dawn_exec *exec,
                                         struct dawn_error *err);

/* One training step. Collective.
 *
 *   step    counts from 0; keys the random numbers and AdamW's bias correction
 *   lr      learning rate of this step; negative: no update (gradients stay:
 *           those of all microbatches, whatever the schedule)
 *   result  out
 *
 * A loss or gradient that is not finite is no failure: see result->nonfinite.
 * Returns DAWN_OK, DAWN_E_TIMEOUT, DAWN_E_COMM, DAWN_E_USER, DAWN_E_INVAL (the
 * feed gave a number that is no place in a table: named; ranks were given other
 * steps or learning rates, which is noticed when they have updated),
 * DAWN_E_IO (a tier).
 */
DAWN_API enum dawn_status dawn_exec_step(struct dawn_exec *exec, uint64_t step,
                                         double lr,
                                         struct dawn_step_result *result,
                                         struct dawn_error *err);

/* Mean loss of samples 0 to samples - 1 of an evaluation, forward only.
 * Collective.
 *
 * Each sample weighs the same, whatever the plan's microbatch: of the last one
 * only the samples that are left count. What the feed does not fill of it are
 * copies of its last row. Where the loss is a cross_entropy, the losses of the
 * samples are added in f64, in their order; of another loss, a layer of the
 * caller's, only the mean over a microbatch is known, and the samples that fill
 * none are evaluated one by one, each in all rows.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (samples below 1), or as dawn_exec_step.
 */
DAWN_API enum dawn_status dawn_exec_eval(struct dawn_exec *exec,
                                         int64_t samples, double *loss,
                                         struct dawn_error *err);

/* A parameter that this rank owns. Host pointers into the arena: f32,
 * row-major; valid as long as the executor. */
struct dawn_exec_param {
    int param; /* id in the graph */
    const char *name;
    int64_t elements;
    float *value;
    float *grad; /* summed over microbatches and uses, not clipped, of the
                    newest step; with updates within it: of the last one; where
                    a pass observes each microbatch: of the last of these */
    float *adam_m, *adam_v; /* NULL: of an average, which has no moments, or the
                               plan offloads them */
};

/* Parameters owned by this rank, in id order. */
DAWN_API int dawn_exec_params(const struct dawn_exec *exec);
DAWN_API const struct dawn_exec_param *dawn_exec_param(
    const struct dawn_exec *exec, int i);

/* Copy AdamW's moments of elements first to first + count - 1 of parameter
 * number i, wherever they are: out of the executor, and into it. Between steps
 * only. Those that are offloaded go through the arena, so no more memory is
 * needed; quickest with `first` at a multiple of DAWN_EXEC_MOMENTS and as many
 * elements. Not collective.
 *
 *   m, v  of `get` either may be NULL: not wanted
 *
 * Returns DAWN_OK, DAWN_E_INVAL (no such parameter or elements), DAWN_E_IO or
 * DAWN_E_TIMEOUT.
 */
#define DAWN_EXEC_MOMENTS ((int64_t)1 << 19)
DAWN_API enum dawn_status dawn_exec_moments_get(struct dawn_exec *exec, int i,
                                                int64_t first, int64_t count,
                                                float *m, float *v,
                                                struct dawn_error *err);
DAWN_API enum dawn_status dawn_exec_moments_set(struct dawn_exec *exec, int i,
                                                int64_t first, int64_t count,
                                                const float *m, const float *v,
                                                struct dawn_error *err);

/* After writing to parameters: bring copies on other ranks and compute copies
 * up to date. Collective. */
DAWN_API enum dawn_status dawn_exec_params_changed(struct dawn_exec *exec,
                                                   struct dawn_error *err);

/* An array that passes keep for an owned parameter, counted over all passes, in
 * the arena; zero at first. NULL: there is none, as for averages, or the plan
 * offloads it with the parameter's moments. */
DAWN_API void *dawn_exec_pass_array(const struct dawn_exec *exec, int i,
                                    int array);

/* A step that only shows gradients to passes, of the loss that is evaluated:
 * nothing is updated or dropped out, and batch norms take their running
 * statistics, which stay as they are. Collective.
 *
 *   microbatches  only the first so many, where each is observed alone
 *
 * Returns what dawn_exec_step does, DAWN_E_INVAL where no pass observes, or
 * DAWN_E_NUMERIC: a gradient is not finite.
 */
DAWN_API enum dawn_status dawn_exec_observe_step(
    struct dawn_exec *exec, uint64_t step, int microbatches,
    struct dawn_step_result *result, struct dawn_error *err);

/* The memory of each rank as computed from the device's own kernels; what a
 * step must then measure. */
DAWN_API const struct dawn_memory *dawn_exec_memory(
    const struct dawn_exec *exec, int rank);

/* Write the newest step's timeline of all ranks as Chrome trace JSON.
 * opts.trace must have been set. Collective; rank 0 writes. */
DAWN_API enum dawn_status dawn_exec_write_trace(struct dawn_exec *exec,
                                                const char *path,
                                                struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
