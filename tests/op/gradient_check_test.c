/* SPDX-License-Identifier: Apache-2.0 */
/* dawn_gradient_check: a right layer passes, and each kind of fault is named.
 */
#include "tap.h"

#include <dawnpiper/op.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 5, BATCH = 3 };

/* What is wrong with the layer y = tanh(w x), element by element. */
enum fault {
    NONE,
    INPUT,
    PARAM,
    UNSAVED,
    OVERWRITES,
    FORGETS,
    UNWRITTEN,
    BREAKS
};

static int forward(void *user, const struct dawn_op_args *a)
{
    const float *x = a->in[0], *w = a->param[0];
    float *y = a->out[0];

    for (int i = 0; i < BATCH * WIDTH; i++)
        y[i] = tanhf(x[i] * w[i % WIDTH]);
    return *(enum fault *)user == BREAKS ? 7 : 0;
}

static int backward_input(void *user, const struct dawn_op_args *a)
{
    const float *y = a->out[0], *w = a->param[0], *dy = a->dout[0];
    enum fault fault = *(enum fault *)user;
    float *dx = a->din[0];

    for (int i = 0; i < BATCH * WIDTH; i++) {
        dx[i] = dy[i] * (1 - y[i] * y[i]) * w[i % WIDTH];
        if (fault == INPUT && i == 4)
            dx[i] *= 2;
        if (fault == UNSAVED)
            dx[i] += 0 * ((const float *)a->in[1])[i];
        if (fault != UNWRITTEN)
            ((float *)a->din[1])[i] = 0;
    }
    return 0;
}

static int backward_param(void *user, const struct dawn_op_args *a)
{
    const float *x = a->in[0], *y = a->out[0], *dy = a->dout[0];
    enum fault fault = *(enum fault *)user;
    float *dw = a->dparam[0];

    for (int i = 0; i < WIDTH; i++)
        if (!a->dparam_add || fault == OVERWRITES)
            dw[i] = 0;
    for (int i = 0; i < BATCH * WIDTH; i++)
        if (fault != FORGETS || i % WIDTH)
            dw[i % WIDTH] += dy[i] * (1 - y[i] * y[i]) * x[i] *
                             (fault == PARAM ? -1.F : 1.F);
    return 0;
}

static const struct dawn_layer_fns fns = {forward, backward_input,
                                          backward_param, NULL};

/* Two inputs, of which the second one is not saved and does nothing. */
static struct dawn_graph *make(enum fault *fault)
{
    const struct dawn_tensor_desc x = {"x", DAWN_F32, true, true, 1, {WIDTH}};
    const struct dawn_tensor_desc z = {"z", DAWN_F32, true, true, 1, {WIDTH}};
    struct dawn_tensor_desc y = {"y", DAWN_F32, true, false, 1, {WIDTH}};
    struct dawn_graph *g = NULL;
    struct dawn_error err = {0};

    dawn_graph_create("check", &g, &err);
    int in[2] = {dawn_graph_add_input(g, &x), dawn_graph_add_input(g, &z)};
    int w = dawn_graph_add_param(
        g, &(struct dawn_param_desc){.name = "w",
                                     .dims = 1,
                                     .shape = {WIDTH},
                                     .init = DAWN_INIT_NORMAL,
                                     .std = 1});
    int node =
        dawn_graph_add_node(g, &(struct dawn_node_desc){.name = "tanh",
                                                        .op = "layer",
                                                        .inputs = 2,
                                                        .input = in,
                                                        .params = 1,
                                                        .param = &w,
                                                        .outputs = 1,
                                                        .output = &y,
                                                        .save_inputs = 1,
                                                        .save_outputs = 1,
                                                        .fns = &fns,
                                                        .user = fault});
    ok(node == 0, "a graph of one layer");
    return g;
}

int main(void)
{
    static const struct {
        enum fault fault;
        enum dawn_status wanted;
        const char *text;
    } row[] = {
        {NONE, DAWN_OK, NULL},
        {INPUT, DAWN_E_NUMERIC,
         "node 'tanh': gradient of input 0 ('x'), element 4: backward gives "},
        {PARAM, DAWN_E_NUMERIC, "gradient of parameter 'w', element "},
        {UNSAVED, DAWN_E_NUMERIC,
         "reads an input or output that it has not saved"},
        {OVERWRITES, DAWN_E_NUMERIC, "(with dparam_add)"},
        {FORGETS, DAWN_E_NUMERIC, "gradient of parameter 'w', element 0: "},
        {UNWRITTEN, DAWN_E_NUMERIC, "gradient of input 1 ('z'), element 0: "},
        {BREAKS, DAWN_E_USER, "node 'tanh': its forward gave 7"},
    };
    enum fault fault = NONE;
    struct dawn_error err = {0};

    plan_lazy();
    struct dawn_graph *g = make(&fault);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        fault = row[i].fault;
        err.text[0] = '\0';
        is_int(dawn_gradient_check(g, 0, BATCH, 0, &err), row[i].wanted,
               "fault %d: %s", (int)fault, err.text);
        ok(!row[i].text || strstr(err.text, row[i].text), "it says %s",
           row[i].text ? row[i].text : "nothing");
    }
    is_int(dawn_gradient_check(g, 1, BATCH, 0, &err), DAWN_E_INVAL,
           "no such node: %s", err.text);
    dawn_graph_destroy(g);
    return done_testing();
}
