/* SPDX-License-Identifier: Apache-2.0 */
/* A small model with branches, and random orders of its nodes. */
#ifndef TESTS_RUNTIME_BRANCHY_H
#define TESTS_RUNTIME_BRANCHY_H

#include <dawnpiper/op.h>

/* Blocks of two branches (gelu, linear, dropout; gelu, linear) that are added
 * to each other and to what the block began with. All linears share a weight.
 */
struct dawn_graph *branchy_graph(enum dawn_dtype dtype);

/* A topological order made of random swaps of neighbours; seed 0: as built. */
void branchy_order(const struct dawn_graph *graph, int seed, int *order);

#endif
