/* SPDX-License-Identifier: Apache-2.0 */
/* A user's layer: its functions are called with the caller's pointer, and what
 * they return is what the step ends with.
 */
#include "device/host/host.h"
#include "tap.h"

#include <string.h>

struct user {
    char calls[10];
    int code; /* what to return */
};

static int note(void *user, char phase)
{
    struct user *u = user;
    size_t n = strlen(u->calls);
    u->calls[n] = phase;
    return u->code;
}

static int forward(void *user, const struct dawn_op_args *args)
{
    (void)args;
    return note(user, 'F');
}

static int backward_input(void *user, const struct dawn_op_args *args)
{
    (void)args;
    return note(user, 'B');
}

static int backward_param(void *user, const struct dawn_op_args *args)
{
    (void)args;
    return note(user, 'W');
}

static uint64_t scratch_bytes(void *user, int phase, int64_t microbatch)
{
    (void)user;
    return (uint64_t)(100 * phase + microbatch);
}

static const struct dawn_layer_fns whole = {forward, backward_input,
                                            backward_param, scratch_bytes};
static const struct dawn_layer_fns no_scratch = {forward, backward_input,
                                                 backward_param, NULL};
static const struct dawn_layer_fns no_forward = {NULL, backward_input,
                                                 backward_param, NULL};
static const struct dawn_layer_fns no_param = {forward, backward_input, NULL,
                                               NULL};
static const struct dawn_layer_fns no_input = {forward, NULL, backward_param,
                                               NULL};

/* x (b,4) and a parameter to a scalar */
static struct dawn_graph *make_graph(const struct dawn_layer_fns *fns,
                                     struct user *user)
{
    struct dawn_graph *graph = NULL;
    if (dawn_graph_create("test", &graph, NULL))
        return NULL;
    int x = dawn_graph_add_input(
        graph, &(struct dawn_tensor_desc){
                   .name = "x", .batched = true, .dims = 1, .shape = {4}});
    int w = dawn_graph_add_param(
        graph, &(struct dawn_param_desc){.name = "w", .dims = 1, .shape = {4}});
    const struct dawn_tensor_desc out = {.name = "loss"};
    dawn_graph_add_node(graph, &(struct dawn_node_desc){.name = "mine",
                                                        .op = "layer",
                                                        .inputs = 1,
                                                        .input = &x,
                                                        .params = 1,
                                                        .param = &w,
                                                        .outputs = 1,
                                                        .output = &out,
                                                        .fns = fns,
                                                        .user = user});
    return graph;
}

static void test_calls(void)
{
    struct user user = {0};
    struct dawn_graph *graph = make_graph(&whole, &user);
    const struct dawn_op_args args = {.microbatch = 3};
    struct dawni_kernel *k = NULL;
    struct dawn_error err = {0};
    is_int(dawni_host_layer.create(graph, 0, 3, &k, &err), DAWN_OK,
           "a layer becomes a kernel");
    for (unsigned i = 0; i < DAWNI_PHASES; i++)
        is_u64(k->scratch_bytes[i], 100 * i + 3, "scratch of phase %u", i);
    is_int(k->ops->forward(k, &args, &err), DAWN_OK, "forward works");
    is_int(k->ops->backward_input(k, &args, &err), DAWN_OK, "B works");
    is_int(k->ops->backward_param(k, &args, &err), DAWN_OK, "W works");
    is_str(user.calls, "FBW", "each function is called once");
    user.code = 7;
    is_int(k->ops->backward_param(k, &args, &err), DAWN_E_USER,
           "a callback may fail");
    is_str(err.text, "node mine: its backward_param function gave 7",
           "and the error names node, function and code");
    dawni_kernel_destroy(k);
    dawn_graph_destroy(graph);
}

static void test_refused(const struct dawn_layer_fns *fns, const char *why)
{
    struct user user = {0};
    struct dawn_graph *graph = make_graph(fns, &user);
    struct dawni_kernel *k = NULL;
    struct dawn_error err = {0};
    is_int(dawni_host_layer.create(graph, 0, 1, &k, &err), DAWN_E_INVAL,
           "refused: %s", why);
    ok(strstr(err.text, why) != NULL, "the text says: %s", why);
    ok(!k, "nothing is made");
    dawn_graph_destroy(graph);
}

static void test_gaps(void)
{
    struct user user = {0};
    struct dawn_graph *graph = make_graph(&no_scratch, &user);
    struct dawni_kernel *k = NULL;
    struct dawn_error err = {0};
    is_int(dawni_host_layer.create(graph, 0, 1, &k, &err), DAWN_OK,
           "scratch_bytes may be NULL");
    is_u64(k->scratch_bytes[DAWNI_W], 0, "then there is no scratch");
    dawni_kernel_destroy(k);
    dawn_graph_destroy(graph);
    graph = make_graph(&no_input, &user);
    is_int(dawni_host_layer.create(graph, 0, 1, &k, &err), DAWN_OK,
           "backward_input may be NULL");
    is_int(k->ops->backward_input(k, &(struct dawn_op_args){0}, &err),
           DAWN_E_USER, "it must not be called then");
    dawni_kernel_destroy(k);
    dawn_graph_destroy(graph);
}

int main(void)
{
    plan_lazy();
    test_calls();
    test_refused(&no_forward, "needs a forward function");
    test_refused(&no_param, "needs a backward_param function");
    test_gaps();
    dawni_kernel_destroy(NULL);
    return done_testing();
}
