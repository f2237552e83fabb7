/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of other planners' files have in common: a list of nodes and
 * edges in the order of the file, and the profile that it makes.
 */
#ifndef DAWNI_IMPORT_IMPORT_H
#define DAWNI_IMPORT_IMPORT_H

#include "common/namemap.h"
#include "common/ranges.h"
#include <dawnpiper/import.h>

struct dawni_import_node {
    char *name, *label; /* owned copies; label may be NULL */
    double f_ns, b_ns;  /* of one microbatch */
    double output_bytes, param_bytes;
    int variants;
    struct dawn_node_variant variant[DAWN_MAX_VARIANTS]; /* static names */
    int line;
};

struct dawni_import_edge {
    int from, to; /* nodes */
    int line;
};

struct dawni_import {
    const char *path, *format;
    int nodes, node_room;
    struct dawni_import_node *node;
    int edges, edge_room;
    struct dawni_import_edge *edge;
    struct dawni_namemap *names; /* of nodes */
    char unused[256];            /* as dawn_profile_unused */
};

void dawni_import_clear(struct dawni_import *in);

/* Fail with "FILE:LINE: text". */
enum dawn_status dawni_import_fail(const struct dawni_import *in, int line,
                                   struct dawn_error *err, const char *format,
                                   ...) DAWN_PRINTF(4, 5);

enum dawn_status dawni_import_no_memory(struct dawn_error *err);

/* Check a number: from 0 to `most`. */
enum dawn_status dawni_import_check(const struct dawni_import *in, int line,
                                    const char *what, double x, double most,
                                    struct dawn_error *err);

/* x * factor, without the rounding that makes 274000.00000000006 of 0.274 *
 * 1e6: to a millionth, where that changes nothing else. */
double dawni_import_scale(double x, double factor);

/* Add a node; name and label are copied. Fails on a name that is there already
 * or is none, and on a label that is not UTF-8. */
enum dawn_status dawni_import_add_node(struct dawni_import *in,
                                       const struct dawni_import_node *node,
                                       struct dawn_error *err);
/* Add an edge; fails on a name that no node has. */
enum dawn_status dawni_import_add_edge(struct dawni_import *in,
                                       const char *from, const char *to,
                                       int line, struct dawn_error *err);

/* Take out nodes, by number, and their edges. */
enum dawn_status dawni_import_drop(struct dawni_import *in, const bool *drop,
                                   struct dawn_error *err);

/* order.c: a topological order, order[0] first. Fails on a cycle. */
enum dawn_status dawni_import_order(const struct dawni_import *in, int *order,
                                    struct dawn_error *err);

/* build.c: the profile of what was read. */
enum dawn_status dawni_import_build(const struct dawni_import *in,
                                    struct dawn_profile **profile_p,
                                    struct dawn_error *err);

struct dawni_import_ops { /* a format */
    const char *name;
    const char *text; /* one line for people */
    /* Fill `in` from a file's text, in which a zero byte stands behind `bytes`
     * others. It may be written to. */
    enum dawn_status (*read)(struct dawni_import *in, char *text, size_t bytes,
                             struct dawn_error *err);
};

extern const struct dawni_import_ops dawni_import_pipedream;
extern const struct dawni_import_ops dawni_import_piper;

#endif
