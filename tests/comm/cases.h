/* SPDX-License-Identifier: Apache-2.0 */
/* What every transport must do, as cases that all ranks run together. */
#ifndef TESTS_COMM_CASES_H
#define TESTS_COMM_CASES_H

#include "comm/comm.h"

struct comm_case {
    const char *claim;
    /* Returns whether it held on this rank; if not, `err` has the reason. */
    bool (*run)(struct dawn_comm *comm, struct dawn_error *err);
};

extern const struct comm_case comm_cases[];
extern const int comm_cases_count;

#endif
