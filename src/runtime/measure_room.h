/* SPDX-License-Identifier: Apache-2.0 */
/* Is there memory to measure the nodes of a graph, at least one by one? */
#ifndef DAWNI_RUNTIME_MEASURE_ROOM_H
#define DAWNI_RUNTIME_MEASURE_ROOM_H

#include "comm/comm.h"
#include "graph/graph.h"
#include <dawnpiper/measure.h>

/* Bytes that a rank may use while nodes are measured: its part of what is free
 * on this host, less a reserve. 0: not known, any. */
uint64_t dawni_measure_room(const struct dawn_comm *comm);

/* Fail with DAWN_E_NOFIT and a text that names the node, where one cannot be
 * measured in `room` bytes at one of the microbatch sizes, before any kernel is
 * made: what kernels take for themselves is not counted. */
enum dawn_status dawni_measure_check_room(const struct dawn_graph *graph,
                                          const struct dawn_measure_opts *opts,
                                          uint64_t room,
                                          struct dawn_error *err);

/* The failure of a node of which it is known that it takes so many bytes. */
enum dawn_status dawni_measure_no_room(const struct dawn_graph *graph, int node,
                                       int64_t microbatch, uint64_t bytes,
                                       uint64_t room, struct dawn_error *err);

#endif
