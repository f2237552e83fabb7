/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a plan, exact to the byte: the same list of events prices a
 * plan in the planner and lays out the arena at run time.
 */
#ifndef DAWNPIPER_MEMORY_H
#define DAWNPIPER_MEMORY_H

#include <dawnpiper/plan.h>
#include <dawnpiper/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of an additive profile: by its rule; what is held once stands under params,
 * and what is saved under saved. */
struct dawn_memory {
    uint64_t peak_bytes;          /* largest sum of live bytes in a step */
    uint64_t arena_bytes;         /* after packing; >= peak_bytes */
    uint64_t by[DAWN_CATEGORIES]; /* live bytes at the peak */
    uint64_t kept_bytes; /* params, grads, optimizer, passes: always live */
    uint64_t host_bytes, ssd_bytes; /* of the tiers: what is offloaded at one
                                       time, at most */
};

/* Compute what one rank of the plan needs.
 *
 *   plan     where its microbatch was not profiled, scratch is an estimate:
 *            see dawn_profile_cost_at; all else is exact
 *   profile  of the plan's graph: scratch and prepared bytes
 *   rank     0..ranks-1
 *   memory   out
 *
 * Returns DAWN_OK, DAWN_E_INVAL (rank, another microbatch than
 * the only one profiled),
 * DAWN_E_MISMATCH (profile of another graph) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_memory_of(const struct dawn_plan *plan,
                                         const struct dawn_profile *profile,
                                         int rank, struct dawn_memory *memory,
                                         struct dawn_error *err);

/* The memory curve of a rank: what it needs at most while each of its actions
 * runs.
 *
 *   bytes_p    out: largest sum of live bytes in each action, in the order of
 *              dawn_schedule_actions, which is that of the rank's events in
 *              dawn_planner_simulate; the largest of them is peak_bytes. The
 *              caller frees it
 *   actions_p  out: how many
 *
 * The rest as dawn_memory_of.
 */
DAWN_API enum dawn_status dawn_memory_curve(const struct dawn_plan *plan,
                                            const struct dawn_profile *profile,
                                            int rank, uint64_t **bytes_p,
                                            int *actions_p,
                                            struct dawn_error *err);

/* What a rank does in a step, as text for people: the program that the executor
 * runs and that dawn_memory_of measures. Two lines that begin with # are a head
 * and a legend; then a line an instruction, in the order in which they run:
 * number, queue, bytes that are live, what it does, and its buffers, each with
 * offset and size in the arena, in bytes, and its category. A line that begins
 * with # comes before the instructions of an evaluation, which is a program of
 * its own in the same arena.
 *
 *   text_p  out: ends in a newline; the caller frees it
 *
 * The rest as dawn_memory_of. DAWN_E_NOTSUP: of an additive profile, which is
 * no program's.
 */
DAWN_API enum dawn_status dawn_memory_program(const struct dawn_plan *plan,
                                              const struct dawn_profile *profile,
                                              int rank, char **text_p,
                                              struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
