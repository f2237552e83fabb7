/* SPDX-License-Identifier: Apache-2.0 */
/* The program of one rank: what it does in a step, instruction by instruction,
 * on buffers whose sizes and lifetimes are known before anything runs.
 *
 * Made from (graph, cuts, schedule, decisions, sizes) without a device. The
 * planner reads its memory off; the runtime binds the instructions to kernels
 * and requests and runs them. A buffer is live from the first to the last
 * instruction that names it; kept buffers (parameters, gradients, moments)
 * always are. Two segments share the arena: the training step, and a forward
 * pass of one microbatch for evaluation.
 */
#ifndef DAWNI_MEMORY_PROGRAM_H
#define DAWNI_MEMORY_PROGRAM_H

#include "memory/memory.h"
#include "plan/cuts.h"
#include <dawnpiper/schedule.h>

enum dawni_instr_kind {
    DAWNI_I_FEED,      /* fill graph input `tensor`: [buffer] */
    DAWNI_I_F,         /* node: in, out, scratch, and where `versioned`: its
                          parameters, their compute copies */
    DAWNI_I_B,         /* node: in, out, dout, din, din_add, and as F */
    DAWNI_I_W,         /* the same operands */
    DAWNI_I_LOSS,      /* add the loss to the step's: [buffer] */
    DAWNI_I_SEED,      /* gradient of the loss = 1 / microbatches: [buffer] */
    DAWNI_I_ADD,       /* gradients of `tensor`: [dst, a, b], dst = a + b */
    DAWNI_I_RECV,      /* post a receive from rank `peer`: [buffer] */
    DAWNI_I_RECV_WAIT, /* [buffer] */
    DAWNI_I_SEND,      /* start a send to rank `peer`: [buffer] */
    DAWNI_I_SEND_WAIT, /* [buffer] */
    DAWNI_I_OFFLOAD,   /* start to write `tensor` to tier `peer`: [buffer];
                          without a microbatch a piece of `param`'s moments,
                          behind which passes keep what is only read back */
    DAWNI_I_OFFLOAD_WAIT,  /* [buffer] */
    DAWNI_I_PREFETCH,      /* start to read it back: [buffer] */
    DAWNI_I_PREFETCH_WAIT, /* [buffer] */
    DAWNI_I_SUM_USES,      /* gradient of `param`: [dst, src], dst += src */
    DAWNI_I_OBSERVE,       /* show passes the gradient of `param`: [gradient] */
    DAWNI_I_NORM,          /* global gradient norm; may end the step here */
    DAWNI_I_STAGE_NORM, /* the same of an UPDATE of stage `id`, on its rank */
    DAWNI_I_ADAMW,      /* update `param`, or a piece: memory/moments.h; in an
                           UPDATE: [to, from] */
    DAWNI_I_AVERAGE,    /* update `param`, an average; likewise */
    DAWNI_I_ZERO,       /* gradient of a use of `param`: [buffer] */
    DAWNI_I_PREPARE,    /* compute copies of the node's parameters; in an
                           UPDATE: [to, parameters] */
    DAWNI_I_KINDS
};

struct dawni_instr {
    uint8_t kind;
    bool again;     /* F: a recompute. PREPARE: UPDATEs have done it, unless
                       parameters were changed from outside */
    bool adds;      /* W: to the gradients that are there */
    bool versioned; /* F, B, W: parameters are operands; else the kept ones */
    int microbatch; /* of an UPDATE: its last; -1: none */
    int id;         /* node, tensor or parameter, as the kind says */
    int peer;       /* of messages: rank; of transfers: enum dawn_decision */
    int tag;        /* of messages; of moments: number of the piece */
    uint64_t place; /* of transfers: on the tier, in bytes */
    int operand;    /* first of its operands in program->operand */
    int operands;   /* buffer ids; -1: none */
};

struct dawni_buffer {
    uint64_t bytes; /* rounded up to 64 */
    int begin, end; /* first and last instruction that names it */
    uint8_t category;
    bool paged; /* begins at the first page in it: moved to or from a disk */
    int refs;   /* while lowering: gradients that share it */
    uint64_t offset;
};

struct dawni_program {
    int instrs;
    int sync_instr;  /* from here to step_instrs: copies of parameters */
    int step_instrs; /* the rest is the evaluation's */
    struct dawni_instr *instr;
    int operands;
    int *operand;
    int buffers;
    struct dawni_buffer *buffer;
    int update_every; /* microbatches; 0: weights are updated by STEP only */
    int actions;      /* of the rank's schedule */
    int *action_at;   /* by action: its first instruction; [actions]: the end */
    int instr_room, operand_room, buffer_room;
    /* kept buffers; -1: not on this rank */
    int *master;          /* by parameter */
    int *adam_m, *adam_v; /* by parameter: owner only, none of an average and
                             of what is away */
    bool *owned;          /* by parameter: this rank updates it */
    int arrays;    /* that passes keep for a weight that this rank owns: */
    int *pass;     /* by (parameter, array); -1 likewise */
    int *use_at;   /* by node: where its parameters' gradients begin in */
    int *use;      /* ... by (node, port): gradient of that use */
    int *prepared; /* by node */
    struct dawn_memory memory;
};

/* Operands of B and W, by position. */
struct dawni_operands {
    const int *in, *out, *dout, *din, *din_add;
    int scratch;
};
struct dawni_operands dawni_program_operands(const struct dawni_program *p,
                                             const struct dawn_node_desc *node,
                                             const struct dawni_instr *instr);

struct dawni_lower_opts {
    const struct dawn_graph *graph;
    const struct dawni_sizes *sizes;
    const struct dawni_cuts *cuts;
    const struct dawn_schedule *schedule;
    const int *first;               /* of each stage, and nodes at [stages] */
    const uint8_t *const *decision; /* by stage: by tensor */
    const uint8_t *optimizer; /* by parameter: enum dawn_decision; NULL: keep */
    int rank;
    uint64_t cap_bytes; /* 0: none */
    int microbatches;   /* only the first so many; 0: all */
};

/* Make the program of a rank, packed: offsets and memory are set. But where the
 * peak is above the cap it is of no use: it is not packed, and arena_bytes is
 * the peak. */
enum dawn_status dawni_program_create(const struct dawni_lower_opts *opts,
                                      struct dawni_program **program_p,
                                      struct dawn_error *err);
void dawni_program_destroy(struct dawni_program *p); /* takes NULL */

/* Bytes live at each instruction; the caller frees it. NULL without memory. */
int64_t *dawni_program_live(const struct dawni_program *p);

/* The same from a plan. */
enum dawn_status dawni_program_of_plan(struct dawn_plan *plan,
                                       const struct dawni_sizes *sizes,
                                       int rank,
                                       struct dawni_program **program_p,
                                       struct dawn_error *err);

/* Likewise, where the cuts and the schedule are known. common: sizes, cuts,
 * schedule, rank, cap_bytes; the rest is the plan's. */
enum dawn_status dawni_program_of_rank(struct dawn_plan *plan,
                                       const struct dawni_lower_opts *common,
                                       struct dawni_program **program_p,
                                       struct dawn_error *err);

/* The schedule and cuts of a plan. */
enum dawn_status dawni_schedule_of_plan(struct dawn_plan *plan,
                                        struct dawni_cuts *cuts,
                                        struct dawn_schedule **schedule_p,
                                        struct dawn_error *err);

/* Stage that owns a parameter: that of its first user. */
int dawni_param_owner(const struct dawn_graph *graph, const int *first,
                      int stages, int param);

/* Buffer of the gradient of an owned parameter, summed over its uses. */
int dawni_param_grad(const struct dawn_graph *graph,
                     const struct dawni_program *p, int param);

const char *dawni_instr_name(enum dawni_instr_kind kind);

/* dump.c */

/* "F(mb 3) 'block0.mlp.up'": an instruction in one phrase, of at most `room`
 * bytes. */
void dawni_instr_describe(const struct dawni_program *p,
                          const struct dawn_graph *graph, int instr, char *text,
                          size_t room);

/* The text of dawn_memory_program; the caller frees it. NULL: no memory. */
char *dawni_program_text(const struct dawni_program *p,
                         const struct dawn_graph *graph);

#endif
