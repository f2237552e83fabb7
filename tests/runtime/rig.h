/* SPDX-License-Identifier: Apache-2.0 */
/* Run a small GPT-2, or another graph, under a plan, all ranks as threads of
 * this process. */
#ifndef TESTS_RUNTIME_RIG_H
#define TESTS_RUNTIME_RIG_H

#include <dawnpiper/exec.h>
#include <dawnpiper/job.h>
#include <dawnpiper/schedule.h>

#define RIG_STEPS 4
#define RIG_RANKS 8

struct rig_case {
    struct dawn_model_opts model;
    struct dawn_graph *(*build)(enum dawn_dtype dtype); /* NULL: the model */
    /* NULL, or fill the order that the plan's graph has */
    void (*arrange)(const struct dawn_graph *graph, int seed, int *order);
    int order_seed;
    const char *schedule;
    int stages;
    int ranks; /* 0: as many */
    int microbatches;
    int64_t microbatch; /* 0: 2 */
    const char *passes; /* NULL: none */
    int update_every;
    int steps; /* 0: RIG_STEPS */
    /* 0 keep all, 1 recompute all that may be, 2 every second tensor; 3 offload
     * all to disk, 4 to host memory, 5 of everything something */
    int recompute;
    /* moments: 0 keep all, 1 all to disk, 2 to host memory, 3 some of each, 4
     * every second parameter's to disk */
    int moments;
    const char *offload_dir;
    double clip;
    double lr; /* 0: 1e-2 */
    double lr_of_rank_1;     /* 0: the same */
    uint64_t late_of_rank_1; /* added to its steps */
    bool trace;
    bool no_steps;    /* evaluate only */
    double timeout_s; /* 0: 120 */
    /* called on every rank before a step, may be NULL */
    void (*before)(struct dawn_exec *exec, int step);
    void (*after)(struct dawn_exec *exec); /* all steps; likewise */
    dawn_feed_fn feed;                     /* NULL: counted tokens */
    /* NULL, or change what a rank is told; ranks run beside each other */
    void (*tell)(struct dawn_exec_opts *opts, int rank);
};

struct rig_result {
    enum dawn_status status[RIG_RANKS]; /* by rank */
    struct dawn_error error[RIG_RANKS];
    double loss[RIG_STEPS], norm[RIG_STEPS], eval;
    bool nonfinite[RIG_STEPS];
    char bad_node[RIG_STEPS][128];
    int updates;
    uint64_t peak[RIG_RANKS], predicted[RIG_RANKS], arena[RIG_RANKS];
    uint64_t params_hash;     /* over parameters and moments, after the steps */
    uint64_t kept[RIG_RANKS]; /* by rank: bytes that are always live */
};

/* A small model: 2 layers, 32 wide, 4 heads, 16 tokens, 61 words. */
struct dawn_model_opts rig_model(enum dawn_dtype dtype);

/* Cut the graph into equal runs of nodes and run RIG_STEPS steps. */
void rig_run(const struct rig_case *c, struct rig_result *r);

/* Equal losses, norms and parameters, bit for bit. */
bool rig_same(const struct rig_result *a, const struct rig_result *b);

#endif
