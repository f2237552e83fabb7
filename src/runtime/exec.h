/* SPDX-License-Identifier: Apache-2.0 */
/* The executor's inside: a program bound to kernels, memory and requests. */
#ifndef DAWNI_RUNTIME_EXEC_H
#define DAWNI_RUNTIME_EXEC_H

#include "comm/comm.h"
#include "device/kernel.h"
#include "graph/graph.h"
#include "memory/program.h"
#include "optim/pass.h"
#include <dawnpiper/exec.h>

/* What a rank tells the others at the end of a step. */
struct dawni_rank_stats {
    int64_t status;
    uint64_t step; /* what dawn_exec_step was given */
    double lr;
    double wall_ns, kernel_ns, wait_ns, stall_ns;
    uint64_t peak_bytes, arena_bytes;
};

struct dawni_span { /* of the trace: when an instruction ran */
    uint64_t begin_ns, end_ns;
};

struct dawn_exec {
    const struct dawn_graph *graph; /* in the plan's order */
    struct dawn_graph *own_graph;   /* where that is not the caller's */
    struct dawn_plan *plan;
    struct dawn_comm *comm;
    const struct dawni_device_ops *device;
    struct dawn_exec_opts opts;

    struct dawni_kernel **kernel; /* by node; NULL: on another rank */
    struct dawni_program *program;
    char *arena;
    void **address;         /* by operand: in the arena, NULL for none */
    float **value;          /* by (node, port), program->use_at: masters */
    float **use_grad;       /* likewise: gradient of that use */
    struct dawni_req **req; /* by instruction: of RECV and SEND */
    /* by instruction: which one a wait ends; of PREFETCH: which one wrote that
     */
    int *waits_for;
    struct dawni_tier *tier[DAWN_DECISIONS]; /* NULL: nothing goes there */
    struct dawni_io *io; /* by instruction: transfers; and one more */
    /* by instruction: of what was written; of a PREFETCH of moments: of what
       is behind them; or NULL */
    uint64_t *checksum;
    uint64_t *alloc_bytes, *free_bytes; /* by instruction: live bytes */
    uint64_t kept_bytes;

    int *only_stage; /* by parameter: that alone uses it, and so updates it in
                        an asynchronous step; -1 */
    int owned;       /* parameters that this rank owns */
    struct dawn_exec_param *param;
    /* moments that are away: by number in `param`, where its pieces begin; and
     * all pieces */
    int *piece_at;
    struct dawni_exec_piece {
        int read, write; /* instructions */
    } * piece;
    struct dawn_memory *memory; /* by rank */

    struct dawni_passes passes;
    struct dawni_pass *pass[DAWNI_PASS_ARRAYS];
    bool observes, observes_each; /* ... each microbatch alone */
    int observe_microbatches;     /* only so many of a step */
    int *number;                  /* by parameter: among the owned */
    double *observed;   /* by owned parameter: squares, of the step so far */
    int figures;        /* of all passes */
    double *figure_sum; /* by (parameter, figure) */
    struct dawn_figure *figure;

    /* of the step that runs */
    uint64_t step;
    bool eval, check;          /* check: look for numbers that are not finite */
    uint64_t sample;           /* first of an evaluation's microbatch */
    int64_t counted;           /* samples of it that count: the first ones */
    struct dawni_adamw adamw;  /* of STEP */
    struct dawni_adamw update; /* of the UPDATE that runs */
    bool leave_out;            /* that changes nothing */
    bool loading;    /* parameters were changed from outside: no step runs */
    double *squares; /* by parameter: as sums, added over the UPDATEs */
    /* order of the first UPDATE whose gradient was not finite; INT64_MAX */
    int64_t bad_update;
    double lr;
    double loss;
    double *sums; /* by parameter: squares of the gradient; then the loss */
    double grad_norm;
    bool nonfinite;
    int64_t bad; /* order of the first node that made such a number */
    enum dawn_status status; /* first failure: the step goes on without work */
    struct dawn_error error;
    uint64_t live_bytes, peak_bytes;
    uint64_t kernel_ns, wait_ns, stall_ns;
    uint64_t polled_ns; /* when messages were last moved */
    int done; /* last instruction that did something, for the watchdog */

    struct dawni_rank_stats *stats; /* by rank, of the newest step */
    double *kernel_ns_of, *wait_ns_of, *stall_ns_of;
    uint64_t *peak_of, *arena_of;
    struct dawni_span *span; /* by instruction; NULL without trace */
};

/* Make kernels, program, arena and requests of this rank. Not collective. */
enum dawn_status dawni_exec_bind(struct dawn_exec *e, struct dawn_error *err);
void dawni_exec_unbind(struct dawn_exec *e);

/* Run instructions begin..end-1. Fails only where the job cannot go on
 * (messages); what fails in a kernel or feed is kept in e->status. */
enum dawn_status dawni_exec_run(struct dawn_exec *e, int begin, int end,
                                struct dawn_error *err);

/* Wait for a message; describes itself when nothing comes for too long. */
enum dawn_status dawni_exec_wait(struct dawn_exec *e, int instr,
                                 struct dawn_error *err);

/* transfer.c: what is offloaded. */
bool dawni_exec_is_transfer(const struct dawni_instr *instr);
enum dawn_status dawni_exec_bind_transfers(struct dawn_exec *e,
                                           struct dawn_error *err);
void dawni_exec_unbind_transfers(struct dawn_exec *e);
/* As messages: what fails otherwise is kept in e->status. */
enum dawn_status dawni_exec_transfer(struct dawn_exec *e, int instr,
                                     struct dawn_error *err);
/* The step ends with instruction k: wait for reads that began before. */
enum dawn_status dawni_exec_drain(struct dawn_exec *e, int k,
                                  struct dawn_error *err);
/* Between steps: do what the instruction begins, and wait for it. */
enum dawn_status dawni_exec_transfer_now(struct dawn_exec *e, int start,
                                         struct dawn_error *err);
/* Between steps: write what is behind the moments, where instruction `read`
 * reads it. */
enum dawn_status dawni_exec_write_behind(struct dawn_exec *e, int read,
                                         struct dawn_error *err);
/* Let large transfers move on. */
void dawni_exec_move(struct dawn_exec *e);

/* moments.c: moments that lie on a tier. */
enum dawn_status dawni_exec_bind_moments(struct dawn_exec *e,
                                         struct dawn_error *err);
/* Those of parameter number i become zero, wherever they are. */
enum dawn_status dawni_exec_zero_moments(struct dawn_exec *e, int i,
                                         struct dawn_error *err);
/* Between steps, to fill what passes keep of weight number i: its elements from
 * `first` on, all from 0 on where they are kept, else those of the piece that
 * begins there. Its arrays are then to be filled, and stored. */
struct dawni_pass_weight dawni_exec_fill_weight(const struct dawn_exec *e,
                                                int i, int pass, int64_t first);
enum dawn_status dawni_exec_store_weight(struct dawn_exec *e, int i,
                                         int64_t first, struct dawn_error *err);
/* passes.c */
enum dawn_status dawni_exec_check_passes(const struct dawn_exec_opts *opts,
                                         struct dawn_error *err);
enum dawn_status dawni_exec_bind_passes(struct dawn_exec *e,
                                        struct dawn_error *err);
void dawni_exec_unbind_passes(struct dawn_exec *e);
void dawni_exec_begin_passes(struct dawn_exec *e); /* of a step */
/* A weight that this rank owns, with the arrays of a pass; NULL: they are on a
 * tier. */
struct dawni_pass_weight dawni_exec_weight(const struct dawn_exec *e, int i,
                                           int pass);
void dawni_exec_observe(struct dawn_exec *e, const struct dawni_instr *instr);
/* Update so many elements of a parameter from `first` on, which is a multiple
 * of 2^19. False: no pass does that. */
struct dawni_exec_part {
    int param;
    int64_t first, elements;
    struct dawni_update at; /* from there on */
    char *piece; /* of a tier, with passes' arrays; NULL: all is kept */
};
bool dawni_exec_update_by_pass(struct dawn_exec *e, const struct dawni_adamw *o,
                               const struct dawni_exec_part *part);
/* moments.c: where in part->piece the arrays of a pass are. */
void dawni_exec_piece_arrays(const struct dawn_exec *e, int pass,
                             const struct dawni_exec_part *part, void **array);
/* What passes add to the step's result. Collective. */
enum dawn_status dawni_exec_share_figures(struct dawn_exec *e,
                                          struct dawn_error *err);

/* Does an evaluation add up the losses of single samples? Else it knows their
 * mean over a microbatch only, as of a loss that is a user's layer. */
bool dawni_exec_knows_losses(const struct dawn_exec *e);

/* Run one instruction that is no message or transfer. */
void dawni_exec_work(struct dawn_exec *e, int instr);

/* Begin an UPDATE: the norm of its gradient, and with it what is done to it. */
void dawni_exec_stage_norm(struct dawn_exec *e,
                           const struct dawni_instr *instr);

/* The global norm, and whether all is finite. Collective. */
enum dawn_status dawni_exec_norm(struct dawn_exec *e, struct dawn_error *err);

/* Name the first node whose numbers are not finite: runs the step again up to
 * the norm, looking. Collective. */
enum dawn_status dawni_exec_find_bad(struct dawn_exec *e, char *name,
                                     size_t bytes, struct dawn_error *err);

/* Are the copies of tied parameters on all ranks equal? Collective. */
enum dawn_status dawni_exec_check_copies(struct dawn_exec *e,
                                         struct dawn_error *err);

/* NULL: no such device in this build; NULL name: the host. */
const struct dawni_device_ops *dawni_device_find(const char *name);

/* Draw a parameter: a function of seed, name and index only. */
void dawni_param_init(const struct dawn_param_desc *desc, int64_t elements,
                      uint64_t seed, float *value);

#endif
