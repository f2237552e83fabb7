/* SPDX-License-Identifier: Apache-2.0 */
/* The host device's table: memory, and a kernel for every operator. */
#include "device/harness.h"
#include "device/host/host.h"
#include "tap.h"

#include <stdint.h>
#include <string.h>

static void test_alloc(void)
{
    static const uint64_t sizes[] = {0, 1, 4096, 10 << 20};
    struct dawn_error err = {0};
    for (int i = 0; i < 4; i++) {
        void *memory = NULL;
        bool zero = true;
        is_int(dawni_host_device.alloc(sizes[i], &memory, &err), DAWN_OK,
               "%llu bytes are given", (unsigned long long)sizes[i]);
        is_int((intptr_t)memory % 64, 0, "at a multiple of 64");
        for (uint64_t k = 0; memory && k < sizes[i]; k++)
            zero = zero && ((const char *)memory)[k] == 0;
        ok(zero, "all zero");
        dawni_host_device.free(memory, sizes[i]);
    }
    void *memory = NULL;
    is_int(dawni_host_device.alloc(UINT64_C(1) << 60, &memory, &err),
           DAWN_E_NOMEM, "2^60 bytes are refused");
    ok(!memory && strstr(err.text, "1152921504606846976"),
       "and the error says how many");
    dawni_host_device.free(NULL, 0);
}

#define X2                                                                     \
    {                                                                          \
        .dims = 2, .shape = { 4, 12 }                                          \
    }
#define SQUARE                                                                 \
    {                                                                          \
        .dims = 3, .shape = { 2, 4, 4 }                                        \
    }
#define INDEX                                                                  \
    {                                                                          \
        .dims = 1, .shape = {4}, .below = 12                                   \
    }
#define W2                                                                     \
    {                                                                          \
        .dims = 2, .shape = { 12, 12 }                                         \
    }
#define W1                                                                     \
    {                                                                          \
        .dims = 1, .shape = { 12 }                                             \
    }
#define HEADS .attrs = 1, .attr = {{"heads", 2}}

static const struct op_case cases[] = {
    {.op = "embedding", .inputs = 1, .in = {INDEX}, .params = 1, .param = {W2}},
    {.op = "position", .inputs = 1, .in = {X2}, .params = 1, .param = {W2}},
    {.op = "layer_norm",
     .inputs = 1,
     .in = {X2},
     .params = 2,
     .param = {W1, W1}},
    {.op = "linear", .inputs = 1, .in = {X2}, .params = 2, .param = {W2, W1}},
    {.op = "gelu", .inputs = 1, .in = {X2}},
    {.op = "rms_norm", .inputs = 1, .in = {X2}, .params = 1, .param = {W1}},
    {.op = "relu", .inputs = 1, .in = {X2}},
    {.op = "scale", .inputs = 1, .in = {X2}, .attrs = 1, .attr = {{"by", 2}}},
    {.op = "attend", .inputs = 3, .in = {X2, X2, X2}, HEADS},
    {.op = "relative_bias",
     .params = 1,
     .param = {W2},
     .attrs = 1,
     .attr = {{"context", 4}}},
    {.op = "attention", .inputs = 1, .in = {X2}, HEADS},
    {.op = "attn_scores", .inputs = 1, .in = {X2}, HEADS},
    {.op = "softmax", .inputs = 1, .in = {SQUARE}},
    {.op = "attn_values", .inputs = 2, .in = {SQUARE, X2}, HEADS},
    {.op = "dropout",
     .inputs = 1,
     .in = {X2},
     .attrs = 1,
     .attr = {{"p", 0.5}}},
    {.op = "add", .inputs = 2, .in = {X2, X2}},
    {.op = "gather", .inputs = 2, .in = {X2, INDEX}},
    {.op = "cross_entropy", .inputs = 2, .in = {X2, INDEX}},
};

/* What a graph says about backward, a kernel can do. */
static void test_kernels(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct op_case *c = &cases[i];
        struct dawn_graph *graph = case_graph(c, DAWN_F32);
        const struct dawn_node_desc *desc = dawn_graph_node(graph, 0);
        struct dawni_kernel *k = NULL;
        struct dawn_error err = {0};
        if (!ok(dawni_host_device.kernel_create(graph, 0, 3, &k, &err) ==
                    DAWN_OK,
                "%s has a kernel", c->op))
            diag("%s", err.text);
        if (k) {
            bool needs_b = c->inputs && !c->in[0].below &&
                           !(desc->flags & DAWN_NODE_GRAD_PASS);
            is_str(k->ops->op, c->op, "%s: the kernel is its own", c->op);
            ok(!needs_b || k->ops->backward_input, "%s: B is there", c->op);
            ok(!c->params || k->ops->backward_param, "%s: W is there", c->op);
            ok(!k->prepared_bytes || k->ops->prepare,
               "%s: what is prepared has a function", c->op);
        }
        dawni_kernel_destroy(k);
        dawn_graph_destroy(graph);
    }
}

static void test_unknown(void)
{
    struct dawn_graph *graph = NULL;
    struct dawni_kernel *k = NULL;
    struct dawn_error err = {0};
    const struct dawn_tensor_desc x = {.name = "x", .batched = true};
    const struct dawn_tensor_desc y = {.name = "y", .batched = true};
    if (dawn_graph_create("g", &graph, &err))
        return;
    int in = dawn_graph_add_input(graph, &x);
    dawn_graph_add_node(graph, &(struct dawn_node_desc){.name = "n",
                                                        .op = "fft",
                                                        .inputs = 1,
                                                        .input = &in,
                                                        .outputs = 1,
                                                        .output = &y});
    is_int(dawni_host_device.kernel_create(graph, 0, 1, &k, &err),
           DAWN_E_NOTSUP, "an operator without a kernel is refused");
    is_str(err.text, "node n: the host device has no operator \"fft\"",
           "by its name");
    is_int(dawni_host_device.kernel_create(graph, 1, 1, &k, &err), DAWN_E_INVAL,
           "a node that is not there is refused");
    dawn_graph_destroy(graph);
}

int main(void)
{
    plan_lazy();
    is_str(dawni_host_device.name, "host", "the device has a name");
    test_alloc();
    test_kernels();
    test_unknown();
    return done_testing();
}
