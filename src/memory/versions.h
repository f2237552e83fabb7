/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering asynchronous schedules: UPDATEs within the step, and the versions of
 * weights that microbatches in flight read.
 *
 * Versioned are the parameters that one stage alone uses. Those that several
 * stages share, wherever these run, keep the value that they had at the
 * beginning of the step, and are updated at its end with the gradient of all
 * its microbatches.
 *
 * A version lies in the kept buffers or in ones of its own. An update that
 * makes one writes it to the kept buffers where nothing there is to be read any
 * more, in place where nobody reads what it replaces, and to new buffers
 * otherwise. So nothing is ever copied, and in the end the newest is in the
 * kept ones. What is versioned of a parameter is what F, B and W read: its f32
 * values, unless kernels read compute copies only (see dawni_op_prepared), and
 * these.
 */
#ifndef DAWNI_MEMORY_VERSIONS_H
#define DAWNI_MEMORY_VERSIONS_H

#include "memory/lower.h"

/* l->versions stays NULL where the schedule has no UPDATEs. */
enum dawn_status dawni_versions_create(struct dawni_lowering *l,
                                       const struct dawn_schedule *schedule,
                                       struct dawn_error *err);
void dawni_versions_destroy(struct dawni_lowering *l);

/* Is the parameter updated within the step? Are all of the node's? */
bool dawni_versions_has(const struct dawni_lowering *l, int param);
bool dawni_versions_has_all(const struct dawni_lowering *l, int node);

/* Does the node's W of a microbatch add to the gradients that are there? */
bool dawni_versions_adds(const struct dawni_lowering *l, int node,
                         int microbatch);

/* Name what the node's F, B or W, the newest instruction, reads of parameters,
 * behind its other operands. */
void dawni_versions_read(struct dawni_lowering *l, int stage, int microbatch,
                         int node);

/* UPDATE of a stage, of the microbatches up to this one. */
void dawni_lower_update(struct dawni_lowering *l, int stage, int microbatch);

/* The only stage that uses the parameter; -1: several do, or none. */
int dawni_param_stage(const struct dawn_graph *graph, const int *first,
                      int stages, int param);

/* Bytes of a version of nodes first..last as one stage. */
uint64_t dawni_version_bytes(const struct dawn_graph *graph,
                             const struct dawni_sizes *sizes, int first,
                             int last);

#endif
