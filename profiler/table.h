/* SPDX-License-Identifier: Apache-2.0 */
/* A profile, summed up for people. */
#ifndef PROFILER_TABLE_H
#define PROFILER_TABLE_H

#include <dawnpiper/profile.h>
#include <stdio.h>

/* One line an operator: time of all its nodes in one microbatch of the largest
 * size, share of the whole, rate of arithmetic; then the optimizer. */
void table_print(const struct dawn_profile *profile, FILE *out);

#endif
