/* SPDX-License-Identifier: Apache-2.0 */
/* AmoebaNet-D: nodes, parameters, what is refused. */
#include "tap.h"

#include <dawnpiper/job.h>
#include <dawnpiper/op.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dawn_model_opts sized(int layers, int filters, int classes)
{
    return (struct dawn_model_opts){.preset = "amoebanet",
                                    .layers = layers,
                                    .filters = filters,
                                    .classes = classes,
                                    .image = 224,
                                    .channels = 3,
                                    .dtype = DAWN_BF16};
}

static int64_t weights(const struct dawn_graph *g)
{
    int64_t n = 0;
    for (int i = 0; i < dawn_graph_params(g); i++)
        if (dawn_graph_param(g, i)->average == 0)
            n += dawn_graph_param_elements(g, i);
    return n;
}

/* As many as PyTorch counts in torchgpipe's amoebanetd(num_classes, num_layers,
 * num_filters). GPipe's table 1 says 82 M and 318 M of the first two. */
static void test_sizes(void)
{
    static const struct {
        int layers, filters, classes;
        int64_t weights;
    } wanted[] = {
        {18, 208, 1000, 81505540},
        {18, 416, 1000, 319024120},
        {18, 256, 1000, 122470120},
        {36, 256, 10, 232137994},
    };

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct dawn_model_opts opts =
            sized(wanted[i].layers, wanted[i].filters, wanted[i].classes);
        struct dawn_graph *g = NULL;
        dawn_model_build(&opts, &g, NULL);
        is_u64((uint64_t)weights(g), (uint64_t)wanted[i].weights,
               "AmoebaNet-D (%d, %d) has its parameters", wanted[i].layers,
               wanted[i].filters);
        dawn_graph_destroy(g);
    }
}

static int64_t extent(const struct dawn_graph *g, const char *tensor, int i)
{
    const struct dawn_tensor_desc *t =
        dawn_graph_tensor(g, dawn_graph_find_tensor(g, tensor));
    return t ? t->shape[i] : -1;
}

static void test_cells(void)
{
    static const struct {
        const char *tensor;
        int side, channels;
    } wanted[] = {
        {"stem1.bn", 112, 64},
        {"stem2.concat", 56, 3 * 128},
        {"stem3.reduce2.bn", 56, 256},
        {"stem3.concat", 28, 3 * 256},
        {"cell1_normal1.reduce2.bn", 28, 256},
        {"cell1_normal6.op3.bn2", 28, 64},
        {"cell1_normal6.concat", 28, 4 * 256},
        {"cell2_reduction.op3.bn2", 14, 128},
        {"cell3_normal6.concat", 14, 4 * 512},
        {"cell5_normal6.concat", 7, 4 * 1024},
    };
    struct dawn_model_opts opts = sized(18, 256, 1000);
    struct dawn_graph *g = NULL;

    is_int(dawn_model_build(&opts, &g, NULL), DAWN_OK, "it is built");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        ok(extent(g, wanted[i].tensor, 0) == wanted[i].side &&
               extent(g, wanted[i].tensor, 1) == wanted[i].side &&
               extent(g, wanted[i].tensor, 2) == wanted[i].channels,
           "%s is (%d,%d,%d)", wanted[i].tensor, wanted[i].side, wanted[i].side,
           wanted[i].channels);
    is_int(extent(g, "classify", 1), 1000, "there are 1000 logits");
    is_int(dawn_graph_find_tensor(g, "cell1_normal1.reduce1.bn.relu") >= 0, 1,
           "branches that begin with a relu");
    const struct dawn_node_desc *a =
        dawn_graph_node(g, dawn_graph_find_node(g, "cell1_normal1.op3.conv1"));
    const struct dawn_node_desc *b =
        dawn_graph_node(g, dawn_graph_find_node(g, "cell1_normal1.op4.conv1"));
    ok(a && b && a->input[0] == b->input[0], "share it");
    const struct dawn_param_desc *var =
        dawn_graph_param(g, dawn_graph_find_param(g, "stem1.bn.running_var"));
    ok(var && var->average == 0.1 && var->init == DAWN_INIT_ONE,
       "variances are averages");
    dawn_graph_destroy(g);
}

/* Images of 32 x 32 are halved five times: by the stem's convolution, its two
 * cells and the two reductions; they are one pixel from the last of these on.
 */
static void test_lone_norm(void)
{
    static const struct {
        int image;
        int64_t microbatch;
        const char *passes, *node;
    } row[] = {
        {32, 1, "", "cell4_reduction.op3.bn2"},
        {32, 1, "ewc", "cell4_reduction.op3.bn2"},
        {32, 1, "fisher", ""},
        {32, 2, "", ""},
        {64, 1, "", ""},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct dawn_model_opts opts = sized(3, 32, 10);
        struct dawn_graph *g = NULL;
        opts.image = row[i].image;
        if (dawn_model_build(&opts, &g, NULL))
            abort();
        int n = dawn_op_lone_norm(g, row[i].microbatch, row[i].passes);
        is_str(n < 0 ? "" : dawn_graph_node(g, n)->name, row[i].node,
               "image %d, microbatch %d, passes '%s': the first batch norm of "
               "one value",
               row[i].image, (int)row[i].microbatch, row[i].passes);
        dawn_graph_destroy(g);
    }
}

static void test_refused(void)
{
    struct dawn_model_opts bad[6];
    static const char *const said[6] = {
        "layers 4, must be >= 3 and a multiple of 3",
        "filters 20, must be >= 8 and a multiple of 8",
        "classes 1, must be >= 2",
        "image 48, must be >= 32 and a multiple of 32",
        "has no hidden, heads",
        "'gpt2' has no images",
    };
    struct dawn_error err;
    struct dawn_graph *g = NULL;

    for (int i = 0; i < 6; i++)
        bad[i] = sized(3, 32, 10);
    bad[0].layers = 4;
    bad[1].filters = 20;
    bad[2].classes = 1;
    bad[3].image = 48;
    bad[4].context = 16;
    strcpy(bad[5].preset, "gpt2");
    for (int i = 0; i < 6; i++)
        ok(dawn_model_build(&bad[i], &g, &err) == DAWN_E_INVAL && !g &&
               strstr(err.text, said[i]),
           "refused: %s", err.text);
}

int main(void)
{
    plan_lazy();
    test_sizes();
    test_cells();
    test_lone_norm();
    test_refused();
    return done_testing();
}
