/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: plan.yaml, for the graph that the seeds were made for. */
#include "fuzz/fuzz.h"

#include <dawnpiper/job.h>
#include <dawnpiper/plan.h>
#include <string.h>

/* Made once: building a graph takes longer than reading a plan. */
static struct dawn_graph *graph;

static void graph_destroy(void)
{
    dawn_graph_destroy(graph);
}

static void graph_build(void)
{
    struct dawn_model_opts opts = {
        .preset = "gpt2", .layers = 2, .hidden = 16, .heads = 2,
        .context = 8, .vocab = 32, .fused_attention = true, .dtype = DAWN_F32,
    };

    if (dawn_model_build(&opts, &graph, NULL))
        abort();
    atexit(graph_destroy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file file = fuzz_file_open(data, size);
    struct dawn_plan *plan = NULL;
    struct dawn_error err;

    if (!graph)
        graph_build();
    dawn_plan_load(file.path, graph, &plan, &err);
    dawn_plan_destroy(plan);
    fuzz_file_close(&file);
    return 0;
}
