/* SPDX-License-Identifier: Apache-2.0 */
/* What dawn-plan prints about a plan. */
#ifndef PLANNER_REPORT_H
#define PLANNER_REPORT_H

#include "options.h"
#include "../profiler/units.h"

struct program {
    struct options options;
    struct dawn_profile *profile;
    struct dawn_machine *machine; /* NULL: none */
};

struct report { /* a plan and what it was made from */
    const struct options *options;
    const struct dawn_profile *profile;
    const struct dawn_machine *machine; /* NULL: none */
    struct dawn_plan *plan;
    double plan_ns; /* how long it took to make */
};

/* main.c: plan with a policy (NULL: the planner's choice). */
enum dawn_status program_plan(const struct program *p, const char *policy,
                              struct report *r, struct dawn_error *err);

/* main.c: warn of a plan whose microbatch is too small for a batch norm. */
void report_lone_norm(struct dawn_plan *plan);

/* nofit.c: find the cap under which it has a plan; a line on a terminal tells
 * how far it is. Not with --devices. */
enum dawn_status find_cap(const struct program *p, const char *policy,
                          struct dawn_planner_nofit *nofit,
                          struct dawn_error *err);
/* Fail with what was found. */
enum dawn_status report_nofit(const struct dawn_planner_nofit *nofit,
                              struct dawn_error *err);

/* compare.c: plan with every policy, print a table or JSON. *best: the best
 * plan by the objective; the caller destroys it. */
enum dawn_status compare(const struct program *p, struct report *best,
                         struct dawn_error *err);

/* counts.c: the best of the plans with 1, 2, ... stages, as --stages 1..N says;
 * stderr is told which it is. The caller destroys the plan. */
enum dawn_status plan_counts(const struct program *p, struct report *best,
                             struct dawn_error *err);
/* Say on stderr where fewer stages than were asked for are better. */
void tell_fewer(const struct program *p, const struct report *r);

/* check.c: price the plan that --check names, and report; written with -o.
 * DAWN_E_NOFIT: it is over some cap. */
enum dawn_status check(struct program *p, struct dawn_error *err);

/* export.c: print the cuts in the words of another trainer; with --snap the
 * plan may be replaced. */
enum dawn_status report_export(struct report *r, struct dawn_error *err);

/* write.c: print a plan's file. */
enum dawn_status write_stdout(const struct dawn_plan *plan,
                              struct dawn_error *err);
/* May the plan be written where the options say? Over a file that was not named
 * and that a person made or edited only if a person says yes. */
enum dawn_status write_allowed(const struct program *p, struct dawn_error *err);

/* For people; as JSON; in one line. */
enum dawn_status report_explain(const struct report *r, struct dawn_error *err);
void report_json(const struct report *r);
/* path NULL: it was not written */
void report_summary(const struct report *r, const char *path);
/* A member of a JSON object, where it is known how many tokens a sample has. */
void report_json_tokens(const struct dawn_plan_info *info);
/* Members of a JSON object that say why there is no plan. */
void report_json_nofit(const struct dawn_planner_nofit *nofit, const char *why);

/* hostfile.c: write the hosts of the ranks' devices, one a line. */
enum dawn_status report_hostfile(const struct report *r, const char *path,
                                 struct dawn_error *err);

/* The device that the rank is meant for; NULL: no machine, or none of its name.
 */
const struct dawn_machine_device *report_device(const struct report *r,
                                                int rank);
/* Devices of a stage; of the plan; has a stage several? */
int report_replicas(const struct report *r, int x);
int report_devices(const struct report *r);
bool report_replicated(const struct report *r);
/* What a microbatch takes on the stage, with all that offloading costs. */
double report_stage_ns(const struct dawn_plan_stage *stage);
/* Memory that a rank may use; 0: no cap. */
uint64_t report_cap(const struct report *r, int rank);
/* Share of all ranks' time in a step in which they compute nothing. */
double report_idle(const struct report *r);
/* What the plan was made to be the least in. */
double report_objective(const struct report *r);
/* "step" */
const char *report_objective_name(const struct report *r);
/* Percent above the lower bound; below 0 if none is known. */
double report_above(const struct report *r);
/* Microbatches in flight on each stage, and versions of its weights; the caller
 * frees both. */
enum dawn_status report_in_flight(const struct report *r, int **in_flight_p,
                                  int **versions_p, struct dawn_error *err);

#endif
