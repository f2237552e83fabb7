/* SPDX-License-Identifier: Apache-2.0 */
/* The key `order` of plan.yaml. */
#ifndef DAWNI_PLAN_ORDER_H
#define DAWNI_PLAN_ORDER_H

#include "common/text.h"
#include "common/yaml.h"
#include <dawnpiper/graph.h>

/* Write the key, unless the nodes stand in the order first built. */
void dawni_order_write(struct dawni_text *t, const struct dawn_graph *graph);

/* Read it. list: its value, NULL: absent. *own_p: the graph in that order, the
 * caller's to destroy, or NULL when `graph` has it. Failures name file and
 * line. */
enum dawn_status dawni_order_read(const struct dawni_yaml *list,
                                  const struct dawn_graph *graph,
                                  struct dawn_graph **own_p,
                                  struct dawn_error *err);

/* A node by its name. */
enum dawn_status dawni_order_read_node(const struct dawni_yaml *at,
                                       const struct dawn_graph *graph,
                                       int *node, struct dawn_error *err);

#endif
