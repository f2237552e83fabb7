/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering: the actions of a rank become instructions on buffers. */
#ifndef DAWNI_MEMORY_LOWER_H
#define DAWNI_MEMORY_LOWER_H

#include "graph/graph.h"
#include "memory/program.h"

struct dawni_lowering {
    const struct dawn_graph *graph;
    const struct dawni_sizes *sizes;
    const struct dawni_cuts *cuts;
    const int *first; /* first node of each stage, and nodes at [stages] */
    int stages, ranks, rank;
    int microbatches;
    bool forward_only; /* evaluation: nothing is kept for a backward */
    const uint8_t *const *decision; /* by stage, then tensor; NULL: keep */
    const int *in_flight; /* by stage, NULL: not known; of what is offloaded */
    struct dawni_program *program;
    bool failed; /* no memory */
    /* Buffers by [chunk][microbatch][tensor], -1 where there is none, of what
     * the rank's nodes make and take: activations; gradients that came from
     * later stages and, after BW, those that go to earlier ones. */
    int *act, *cross;
    /* Of the BW being lowered, by tensor: gradients; activations saved or
     * rebuilt. */
    int *grad, *back;
    uint8_t *runs_again; /* by node: recomputes in a BW; may be NULL */
    int *item; /* by [chunk][tensor]: of what is offloaded; -1: it is not */
    struct dawni_offload *offload; /* NULL: nothing is */
    const uint8_t *optimizer;      /* by parameter: where its moments lie; NULL:
                                      all are kept */
    struct dawni_moments *away;    /* NULL: none are away */
    struct dawni_versions *versions; /* NULL: weights have one */
    int *ring;                       /* by [use][stage]: buffers of observe.c */
};

/* Slots of one microbatch in act or cross, by tensor. */
static inline int *dawni_slots(const struct dawni_lowering *l, int *array,
                               int stage, int microbatch)
{
    size_t chunk = (size_t)(stage / l->ranks);
    size_t row = chunk * (size_t)l->microbatches + (size_t)microbatch;
    return &array[row * (size_t)l->graph->tensors];
}

/* No buffers yet for what the stage's nodes make and take. */
void dawni_slots_clear(const struct dawni_lowering *l, int stage, int *slot);

static inline enum dawn_decision dawni_decision(const struct dawni_lowering *l,
                                                int stage, int tensor)
{
    const uint8_t *d = l->decision ? l->decision[stage] : NULL;
    return d ? (enum dawn_decision)d[tensor] : DAWN_KEEP;
}

/* Most stages that a rank runs. */
int dawni_lower_chunks(const struct dawni_lowering *l);

/* A new buffer, live from where it is first named. -1 without memory. */
int dawni_lower_buffer(struct dawni_lowering *l, uint64_t bytes,
                       enum dawn_category category);
/* A buffer for a tensor of one microbatch. */
int dawni_lower_tensor(struct dawni_lowering *l, int tensor,
                       enum dawn_category category);

/* Append an instruction; its operands follow with dawni_lower_operand. NULL
 * without memory. */
struct dawni_instr *dawni_lower_instr(struct dawni_lowering *l,
                                      enum dawni_instr_kind kind,
                                      int microbatch, int id);
void dawni_lower_operand(struct dawni_lowering *l, int buffer);
/* The scratch operand of a node's phase, 0 F, 1 B, 2 W. */
void dawni_lower_scratch(struct dawni_lowering *l, int node, int phase);
/* An instruction with one operand. */
void dawni_lower_one(struct dawni_lowering *l, enum dawni_instr_kind kind,
                     int microbatch, int id, int buffer);

struct dawni_message {
    enum dawni_instr_kind kind; /* RECV, SEND or a wait for one */
    int microbatch, id, peer, tag;
};
void dawni_lower_message(struct dawni_lowering *l,
                         const struct dawni_message *message, int buffer);

/* Does the tensor stay from its F until its BW? */
bool dawni_lower_keeps(const struct dawni_lowering *l, int stage, int tensor);
/* A tensor's buffer in F: category and size by what becomes of it. `other`: the
 * category of what is not needed by BW. */
int dawni_lower_made(struct dawni_lowering *l, int stage, int tensor,
                     enum dawn_category other);

/* F of one node, from and to slot[tensor]. `again`: a recompute. */
void dawni_lower_node(struct dawni_lowering *l, int stage, int microbatch,
                      int node, int *slot, bool again);

/* One action each. */
void dawni_lower_f(struct dawni_lowering *l, int stage, int microbatch);
void dawni_lower_bw(struct dawni_lowering *l, int stage, int microbatch);
void dawni_lower_transfer(struct dawni_lowering *l,
                          const struct dawn_action *action);
void dawni_lower_reduce(struct dawni_lowering *l);
void dawni_lower_step(struct dawni_lowering *l);

/* Does the rank own the parameter, and so update it? */
bool dawni_lower_updates(const struct dawni_lowering *l, int param);

/* The instruction that updates a parameter. */
static inline enum dawni_instr_kind dawni_update_instr(
    const struct dawn_graph *graph, int param)
{
    return graph->param[param].desc.average > 0 ? DAWNI_I_AVERAGE
                                                : DAWNI_I_ADAMW;
}

/* The stage of a node; first: as in struct dawni_lowering. */
int dawni_stage_of_node(const int *first, int stages, int node);

/* The sum over the uses of a parameter, those on other ranks included. */
void dawni_lower_reduce_param(struct dawni_lowering *l, int param);

/* observe.c: where passes observe each microbatch's gradients; nothing where
 * none does. Begin: behind the kept buffers. Ready: before a BW. Observe:
 * behind it. End: before the norm. */
void dawni_lower_observe_begin(struct dawni_lowering *l);
void dawni_lower_observe_ready(struct dawni_lowering *l, int microbatch);
void dawni_lower_observe(struct dawni_lowering *l, int microbatch);
void dawni_lower_observe_end(struct dawni_lowering *l);

/* endstep.c: tags beyond those of the edges: one for all gradients, one for all
 * values. */
uint64_t dawni_lower_param_bytes(const struct dawni_lowering *l, int param);
int dawni_lower_param_tag(const struct dawni_lowering *l, bool value);

/* Kept buffers of all that the rank's nodes use. First of all. */
void dawni_lower_kept(struct dawni_lowering *l);

/* All actions of the rank, then the evaluation. */
void dawni_lower_all(struct dawni_lowering *l, const struct dawn_action *action,
                     int actions);

/* Set begin and end of kept buffers, memory.peak_bytes and .by. */
enum dawn_status dawni_program_measure(struct dawni_program *p,
                                       struct dawn_error *err);

/* Free what the program holds, not the program. */
void dawni_program_clear(struct dawni_program *p);

/* Working arrays of a lowering; program: an empty one. */
enum dawn_status dawni_lowering_begin(struct dawni_lowering *l,
                                      struct dawn_error *err);
void dawni_lowering_end(struct dawni_lowering *l);

#endif
