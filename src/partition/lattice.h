/* SPDX-License-Identifier: Apache-2.0 */
/* The downsets of a graph, turned round: sets of nodes that hold, with a node,
 * all that come after it. A pipeline is a chain of them, from the empty one,
 * which grows from the last stage to the first.
 *
 * Where there are too many, only those near one order are listed: a set may
 * have nodes at most `window` places after the first one that it lacks.
 */
#ifndef DAWNI_PARTITION_LATTICE_H
#define DAWNI_PARTITION_LATTICE_H

#include "partition/instance.h"

struct dawni_lattice {
    int n;
    int sets;       /* 0: the empty one; the last one: all nodes */
    bool whole;     /* nothing is left out */
    int window;     /* places that any set reaches past its first gap */
    int *size;      /* [sets]: nodes of it */
    int *gap;       /* [sets]: place of the first node that it lacks; n */
    int *smaller;   /* [sets]: a set with one node less; -1 */
    int *added;     /* [sets]: and that node's place */
    int *larger_at; /* [sets + 1]: sets with one node more begin in */
    int *larger;    /* ... by rising place of that node; the first one fills the
                       gap */
    int *more;      /* beside larger: the place of that node */
    int *order;     /* [n]: the node at a place */
};

/* List the sets.
 *
 *   order      the nodes, each behind all that come after it in the graph
 *   window     0: none
 *   most_sets  give up above this
 *   lattice_p  out: NULL where there are more
 *
 * Returns DAWN_OK or DAWN_E_NOMEM.
 */
enum dawn_status dawni_lattice_create(struct dawni_instance *in,
                                      const int *order, int window,
                                      int most_sets,
                                      struct dawni_lattice **lattice_p,
                                      struct dawn_error *err);
void dawni_lattice_destroy(struct dawni_lattice *lattice); /* takes NULL */

/* Mark the places of a set: member[place] = value; [n] long. */
void dawni_lattice_mark(const struct dawni_lattice *lattice, int set,
                        uint8_t *member, uint8_t value);

#endif
