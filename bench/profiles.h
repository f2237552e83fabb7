/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles with made-up costs, for programs that measure the planner. */
#ifndef BENCH_PROFILES_H
#define BENCH_PROFILES_H

#include <dawnpiper/job.h>
#include <dawnpiper/profile.h>

/* A model at microbatch 4; times from its FLOPs. */
enum dawn_status bench_model_profile(const struct dawn_model_opts *model,
                                     struct dawn_profile **profile_p,
                                     struct dawn_error *err);

/* A chain of uneven nodes at microbatch 1, two in three with a parameter. */
enum dawn_status bench_chain_profile(int nodes, struct dawn_profile **profile_p,
                                     struct dawn_error *err);

#endif
