/* SPDX-License-Identifier: Apache-2.0 */
/* Try a kernel on a graph of one node, in every way in which the runtime may
 * call it, against the reference. Every buffer is 64-byte aligned, poisoned
 * before the call where the kernel must write it, and followed by a guard.
 */
#ifndef TESTS_DEVICE_HARNESS_H
#define TESTS_DEVICE_HARNESS_H

#include "device/kernel.h"
#include "device/reference.h"

/* How far a kernel may be from the reference: |got - wanted| / (|wanted| +
 * rms), rms over the wanted tensor. */
struct tolerance {
    double f32;  /* f32 tensors of an f32 node */
    double bf16; /* bf16 tensors */
    double
        f32_of_bf16; /* f32 tensors (statistics, parameters) of a bf16 node */
};

struct trial_opts {
    struct tolerance tolerance;
    /* the bytes must not depend on the number of threads */
    bool any_threads;
};

/* A finished graph whose node 0 is the case; float tensors have that dtype. The
 * process ends when it cannot be built. */
struct dawn_graph *case_graph(const struct op_case *c, enum dawn_dtype dtype);

/* A number in (-1, 1), always the same for (stream, i). */
double case_number(uint64_t stream, uint64_t i);

/* All tests of one case, printed as TAP. */
void try_case(const struct dawni_kernel_ops *ops, const struct op_case *c,
              enum dawn_dtype dtype, const struct trial_opts *opts);

/* The same for `cases` cases, f32 and bf16, with 1 and 2 threads and every
 * instruction set that this processor has. */
void try_cases(const struct dawni_kernel_ops *ops, const struct op_case *c,
               int cases, const struct trial_opts *opts);

#endif
