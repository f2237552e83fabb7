/* SPDX-License-Identifier: Apache-2.0 */
/* A solver at work: the best pipeline so far, and how far it may be from the
 * best there is.
 */
#ifndef DAWNI_PARTITION_SOLVER_H
#define DAWNI_PARTITION_SOLVER_H

#include "partition/order.h"
#include "partition/price.h"
#include "partition/search.h"

/* When sets are too many. The callers of dawni_partition_solve need not care;
 * tests make them small. */
struct dawni_solver_limits {
    int most_sets;    /* all sets are gone through if there are no more */
    int few_sets;     /* else about so many near an order */
    int most_entries; /* sets to go on with when all are gone through */
    int few_entries;  /* else */
};

extern const struct dawni_solver_limits dawni_usual_limits;

struct dawni_solver {
    struct dawni_instance *in;
    struct dawni_solver_limits limits;
    struct dawni_sack *sack;
    struct dawni_load *load;
    struct dawni_lattice *lattice; /* the sets at hand; and of what width */
    int window;
    struct dawni_search *search;
    struct dawni_pipeline pipeline; /* what a search found */
    double *worth;                  /* see dawni_search_opts */
    int *order;
    struct dawni_partition *best; /* NULL: none yet */
    int64_t high;                 /* its bottleneck; DAWNI_NO_LIMIT */
    int64_t low;                  /* proven: nothing is below */
    int64_t end_work;
};

struct dawni_tried {
    bool found, complete; /* not found: for certain */
};

/* solve.c */

enum dawn_status dawni_partition_solve_within(
    const struct dawni_partition_problem *problem,
    const struct dawni_solver_limits *limits,
    struct dawni_partition **partition_p, struct dawn_error *err);

/* List sets near an order that is s->order: up to a window, or to about
 * `most` of them. */
enum dawn_status dawni_solver_list(struct dawni_solver *s, int window, int most,
                                   struct dawn_error *err);

/* Try one limit among the sets at hand. What is found is offered as the best.
 */
enum dawn_status dawni_solver_try(struct dawni_solver *s, int64_t limit,
                                  struct dawni_tried *tried,
                                  struct dawn_error *err);

/* The best pipeline of the sets at hand. */
enum dawn_status dawni_solver_bisect(struct dawni_solver *s,
                                     struct dawn_error *err);

/* wide.c: a good pipeline where all sets are too many. */
enum dawn_status dawni_solver_search_wide(struct dawni_solver *s,
                                          struct dawn_error *err);

#endif
