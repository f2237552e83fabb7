/* SPDX-License-Identifier: Apache-2.0 */
/* A plan's inside. */
#ifndef DAWNI_PLAN_PLAN_H
#define DAWNI_PLAN_PLAN_H

#include <dawnpiper/plan.h>

struct dawn_plan {
    const struct dawn_graph *graph;
    struct dawn_graph *own_graph; /* NULL: the caller's */
    struct dawn_plan_info info;
    struct dawn_plan_stage *stage;
    char **device; /* by rank; NULL: any */
    int devices;
    int stages;         /* as made; info.stages may be written by callers */
    uint8_t *decision;  /* [stage * tensors + tensor] */
    uint8_t *optimizer; /* [param] */
};

/* A step's microbatches have no more bytes than sums of 64 bits hold. Returns
 * DAWN_OK or DAWN_E_INVAL. */
enum dawn_status dawni_plan_check_bytes(const struct dawn_graph *graph,
                                        int64_t microbatches,
                                        int64_t microbatch,
                                        struct dawn_error *err);

/* Check the stages against the graph. *bad is the stage that is wrong, -1 when
 * none in particular. Returns DAWN_OK or DAWN_E_INVAL. */
enum dawn_status dawni_plan_check(const struct dawn_graph *graph,
                                  const struct dawn_plan_info *info,
                                  const struct dawn_plan_stage *stage, int *bad,
                                  struct dawn_error *err);

/* Of a stage; and of a whole plan with replicas */
#define DAWNI_MOST_DEVICES 4096

/* Devices that the plan takes, replicas counted; has a stage several? */
int64_t dawni_plan_devices(const struct dawn_plan *plan);
bool dawni_plan_replicated(const struct dawn_plan *plan);

/* The plan's graph becomes `graph`, its own from now on: the same in the same
 * order. */
void dawni_plan_own_graph(struct dawn_plan *plan, struct dawn_graph *graph);

/* "keep", "recompute", "host", "ssd"; NULL ends the list */
extern const char *const dawni_decision_names[];

struct dawni_text;
struct dawni_yaml;

/* optimizer.c */

/* Where the moments of what a stage owns lie; nothing if all are kept. */
void dawni_optimizer_write(struct dawni_text *text,
                           const struct dawn_plan *plan, int stage);
/* node: value of the stage's key `optimizer`; NULL: there is none. */
enum dawn_status dawni_optimizer_read(const struct dawni_yaml *node, int stage,
                                      struct dawn_plan *plan,
                                      struct dawn_error *err);

/* By enum dawn_objective; NULL ends the list. */
extern const char *const dawni_objective_names[];

/* By enum dawn_category. */
extern const char *const dawni_category_names[];

#endif
