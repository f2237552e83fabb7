/* SPDX-License-Identifier: Apache-2.0 */
/* Is there a pipeline with no stage above a limit T?
 *
 * From the last stage to the first: of the sets that j stages can hold within T
 * only those matter that are in no other one, since a stage that has less to
 * do fits wherever one with more does. Each is extended by one stage in every
 * way that cannot go further, until one is all nodes.
 */
#ifndef DAWNI_PARTITION_SEARCH_H
#define DAWNI_PARTITION_SEARCH_H

#include "partition/lattice.h"
#include "partition/load.h"

/* A pipeline; stages count from the first. */
struct dawni_pipeline {
    int stages;
    int *stage_of; /* by node */
    int *device;   /* by stage */
};

enum dawni_search_kind {
    DAWNI_SEARCH_ANY,  /* fewer stages may be used */
    DAWNI_SEARCH_ALL,  /* all must be; sets within others are left out, which
                          may miss a pipeline */
    DAWNI_SEARCH_FULL, /* all must be, and no set is left out */
};

struct dawni_search_opts {
    enum dawni_search_kind kind;
    int64_t limit;    /* T */
    int most_entries; /* sets to go on with, for each choice of devices left */
    int64_t end_work; /* stop when in->work is above this */
    /* [stages][n]: what it is worth to have a node in the stages 0..j from the
     * end, where not all sets can be kept. */
    const double *worth;
};

struct dawni_search_result {
    bool found;
    bool complete;   /* not found: there is none */
    int64_t refused; /* and none below this limit, which is > T */
};

struct dawni_search; /* working space */

enum dawn_status dawni_search_create(struct dawni_instance *in,
                                     const struct dawni_lattice *lattice,
                                     struct dawni_load *load,
                                     struct dawni_search **q_p,
                                     struct dawn_error *err);
void dawni_search_destroy(struct dawni_search *q); /* takes NULL */

/* pipeline: out, where one is found; its arrays are the caller's, [n] and [l].
 * Returns DAWN_OK or DAWN_E_NOMEM. */
enum dawn_status dawni_search_run(struct dawni_search *q,
                                  const struct dawni_search_opts *opts,
                                  struct dawni_pipeline *pipeline,
                                  struct dawni_search_result *result,
                                  struct dawn_error *err);

#endif
