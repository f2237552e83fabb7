/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator once more, in f64 and in the plainest loops: what the kernels
 * are tested against. reference_test checks it by finite differences.
 */
#ifndef TESTS_DEVICE_REFERENCE_H
#define TESTS_DEVICE_REFERENCE_H

#include <dawnpiper/graph.h>

#define CASE_PORTS 4
#define CASE_OUTPUTS 3

struct case_tensor {
    int dims; /* without b */
    int64_t shape[4];
    int64_t below; /* > 0: indices in [0, below); 0: numbers */
    bool fixed;    /* f32 without b, whatever the node's dtype */
};

/* One node to try. */
struct op_case {
    const char *op;
    int64_t b;
    int inputs;
    struct case_tensor in[CASE_PORTS];
    int params;
    struct case_tensor param[CASE_PORTS];
    int attrs;
    struct dawn_attr attr[4];
    double spread; /* numbers are in (-spread, spread); 0 means 1 */
};

/* A case with its values; b first in every tensor but the parameters. */
struct ref_io {
    const struct op_case *c;
    double *in[CASE_PORTS], *param[CASE_PORTS], *out[CASE_OUTPUTS];
    const double *dout; /* of output 0 */
    double *din[CASE_PORTS], *dparam[CASE_PORTS];
    uint64_t seed, step, sample;
    int node;
};

struct reference {
    const char *op;
    void (*forward)(const struct ref_io *io); /* in, param -> out */
    /* in, param, dout -> din, dparam; indices get no din */
    void (*backward)(const struct ref_io *io);
};

/* By operator; NULL when there is none. */
const struct reference *find_reference(const char *op);
/* The same, of those in reference_images.c. */
const struct reference *find_image_reference(const char *op);

/* Extents multiplied, without b. */
int64_t case_elements(const struct case_tensor *t);
/* Of a whole input. */
int64_t case_input_elements(const struct op_case *c, int i);
double case_attr(const struct op_case *c, const char *key, double otherwise);

#endif
