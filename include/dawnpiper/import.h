/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles that others published, read as profiles of the additive rule (see
 * profile.h), to be planned like our own.
 *
 * pipedream  graph.txt of PipeDream's profiler, and of DAPPLE's. A line a node,
 *            `ID -- DESCRIPTION -- forward_compute_time=F,
 *            backward_compute_time=B, activation_size=A, parameter_size=W`, in
 *            ms and bytes of one minibatch, A perhaps a list `[A; A]` that is
 *            summed; a line an edge, `ID -- ID`. Left out, as by PipeDream's
 *            own planner, are nodes that take nothing and whose DESCRIPTION is
 *            Input or Input0, Input1, ..., and nodes that nobody takes and whose
 *            DESCRIPTION is __getitem__, with or without arguments, unless they
 *            are all that is made of the node that they pick from. Variants,
 *            by the rules of Piper's authors: vanilla F + B, A, 2W; activation
 *            recomp 2F + B, 0.09 A, 2W + 0.91 A.
 *
 * piper      JSON of Piper: nodes with TMPCs, of which those without tensor
 *            parallelism ("1") are read: timePerSample (s), memoryUsageA and
 *            memoryUsageB (bytes) of "vanilla" and of "activation recomp";
 *            edges with communicationCost (bytes). F is what recompute adds, a
 *            third of the time where a node has no such variant.
 *
 * A node of the graph has the file's id as its name, the description as its
 * label, one f32 output of the size of its activation, or of its largest edge,
 * and one parameter, so that each has a backward. Nodes stand in a topological
 * order.
 */
#ifndef DAWNPIPER_IMPORT_H
#define DAWNPIPER_IMPORT_H

#include <dawnpiper/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Read a file of that format.
 *
 *   profile_p  out: additive, of one microbatch size, 1; the caller destroys it
 *
 * Deterministic: the same text gives the same profile, whatever the locale and
 * the file's name. Every failure of the text names file and line.
 * Returns DAWN_OK, DAWN_E_IO, DAWN_E_FORMAT, DAWN_E_NOMEM, or DAWN_E_INVAL: an
 * unknown format.
 */
DAWN_API enum dawn_status dawn_import(const char *format, const char *path,
                                      struct dawn_profile **profile_p,
                                      struct dawn_error *err);

/* Formats, in a fixed order; NULL past the last. */
DAWN_API const char *dawn_import_format(int i);
/* One line about it. */
DAWN_API const char *dawn_import_format_text(int i);

#ifdef __cplusplus
}
#endif

#endif
