/* SPDX-License-Identifier: Apache-2.0 */
/* A user's layer against finite differences. The layer is called on drawn
 * numbers; r . out, with a drawn r, is a function of its inputs and parameters
 * whose gradient backward gives where r is the gradient of the outputs.
 */
#include "common/array.h"
#include "common/random.h"
#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { F, B, W, PHASES };
enum { MOST_ELEMENTS = 64 }; /* that are looked at, of a tensor or parameter */
#define STEP 1e-2            /* of differences; numbers are about 1 */
#define ALIGNMENT 64

struct check {
    const struct dawn_graph *graph;
    const struct dawn_node_desc *desc;
    int node;
    int64_t microbatch;
    double tolerance;
    /* by input, by output, by parameter */
    void **in, **out, **dout, **din;
    float **param, **dparam;
    void *scratch[PHASES];
    float garbage;
    void **no_in, **no_out; /* of the same sizes, to be garbage */
};

static uint64_t bytes_of(const struct check *c, int tensor)
{
    return dawn_graph_tensor_bytes(c->graph, tensor, c->microbatch);
}

static enum dawn_dtype dtype_of(const struct check *c, int tensor)
{
    return dawn_graph_tensor(c->graph, tensor)->dtype;
}

static int output_of(const struct check *c, int k)
{
    return c->graph->node[c->node].output[k];
}

static void *buffer(uint64_t bytes)
{
    uint64_t padded = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    void *p = aligned_alloc(ALIGNMENT, padded);

    if (p)
        memset(p, 0, padded);
    return p;
}

/* Numbers from -1 to 1 that depend on their place and on `what` only. */
static void draw(float *x, int64_t count, uint64_t what)
{
    for (int64_t i = 0; i < count; i++)
        x[i] =
            2 * dawni_uniform_f32(dawni_philox(1, what, (uint64_t)i).v[0]) - 1;
}

static int64_t floats(uint64_t bytes)
{
    return (int64_t)(bytes / sizeof(float));
}

static enum dawn_status no_memory(const struct check *c, struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_NOMEM, "no memory to check node '%s'",
                     c->desc->name);
}

static bool make_tensors(struct check *c)
{
    bool whole = true;

    for (int i = 0; i < c->desc->inputs; i++) {
        uint64_t bytes = bytes_of(c, c->desc->input[i]);
        c->in[i] = buffer(bytes);
        c->din[i] = buffer(bytes);
        c->no_in[i] = buffer(bytes);
        whole &= c->in[i] && c->din[i] && c->no_in[i];
        if (whole && dtype_of(c, c->desc->input[i]) == DAWN_F32)
            draw(c->in[i], floats(bytes), (uint64_t)i);
    }
    for (int k = 0; k < c->desc->outputs; k++) {
        uint64_t bytes = bytes_of(c, output_of(c, k));
        c->out[k] = buffer(bytes);
        c->dout[k] = buffer(bytes);
        c->no_out[k] = buffer(bytes);
        whole &= c->out[k] && c->dout[k] && c->no_out[k];
        if (whole)
            draw(c->dout[k], floats(bytes), 1000 + (uint64_t)k);
    }
    return whole;
}

static bool make_rest(struct check *c)
{
    const struct dawn_layer_fns *fns = c->desc->fns;
    bool whole = true;

    for (int p = 0; p < c->desc->params; p++) {
        int64_t n = dawn_graph_param_elements(c->graph, c->desc->param[p]);
        c->param[p] = buffer((uint64_t)n * sizeof(float));
        c->dparam[p] = buffer((uint64_t)n * sizeof(float));
        whole &= c->param[p] && c->dparam[p];
        if (whole)
            draw(c->param[p], n, 2000 + (uint64_t)p);
    }
    for (int phase = 0; phase < PHASES; phase++) {
        c->scratch[phase] =
            buffer(fns->scratch_bytes
                       ? fns->scratch_bytes(c->desc->user, phase, c->microbatch)
                       : 0);
        whole &= c->scratch[phase] != NULL;
    }
    return whole;
}

static bool create(struct check *c)
{
    const struct dawn_node_desc *d = c->desc;

    c->in = dawni_calloc(d->inputs + 1, sizeof *c->in);
    c->din = dawni_calloc(d->inputs + 1, sizeof *c->din);
    c->no_in = dawni_calloc(d->inputs + 1, sizeof *c->no_in);
    c->out = dawni_calloc(d->outputs + 1, sizeof *c->out);
    c->dout = dawni_calloc(d->outputs + 1, sizeof *c->dout);
    c->no_out = dawni_calloc(d->outputs + 1, sizeof *c->no_out);
    c->param = dawni_calloc(d->params + 1, sizeof *c->param);
    c->dparam = dawni_calloc(d->params + 1, sizeof *c->dparam);
    return c->in && c->din && c->no_in && c->out && c->dout && c->no_out &&
           c->param && c->dparam && make_tensors(c) && make_rest(c);
}

static void clear_list(void **list, int n)
{
    for (int i = 0; list && i < n; i++)
        free(list[i]);
    free(list);
}

static void clear(struct check *c)
{
    const struct dawn_node_desc *d = c->desc;

    clear_list(c->in, d->inputs);
    clear_list(c->din, d->inputs);
    clear_list(c->no_in, d->inputs);
    clear_list(c->out, d->outputs);
    clear_list(c->dout, d->outputs);
    clear_list(c->no_out, d->outputs);
    clear_list((void **)c->param, d->params);
    clear_list((void **)c->dparam, d->params);
    for (int phase = 0; phase < PHASES; phase++)
        free(c->scratch[phase]);
}

/* Calls */

static enum dawn_status call(const struct check *c, int phase,
                             const struct dawn_op_args *args,
                             struct dawn_error *err)
{
    const struct dawn_layer_fns *fns = c->desc->fns;
    int (*const fn[])(void *, const struct dawn_op_args *) = {
        fns->forward, fns->backward_input, fns->backward_param};
    static const char *const name[] = {"forward", "backward_input",
                                       "backward_param"};
    int code = fn[phase](c->desc->user, args);

    return code ? dawn_fail(err, DAWN_E_USER, "node '%s': its %s gave %d",
                            c->desc->name, name[phase], code)
                : DAWN_OK;
}

static enum dawn_status forward(const struct check *c, struct dawn_error *err)
{
    const struct dawn_op_args args = {
        .microbatch = c->microbatch,
        .in = (const void *const *)c->in,
        .out = c->out,
        .param = (const float *const *)c->param,
        .scratch = c->scratch[F],
        .node = dawn_graph_number(c->graph, c->node),
    };

    return call(c, F, &args, err);
}

static void fill(void *to, uint64_t bytes, enum dawn_dtype dtype, float x)
{
    float *f = to;

    for (int64_t i = 0; dtype == DAWN_F32 && i < floats(bytes); i++)
        f[i] = x;
}

/* B or W; dparam is added to if `add`. */
static enum dawn_status backward(const struct check *c, int phase, bool add,
                                 struct dawn_error *err)
{
    const struct dawn_node_desc *d = c->desc;
    const void *in[DAWN_MAX_PORTS * 4];
    void *out[DAWN_MAX_PORTS * 4];
    const void *no_add[DAWN_MAX_PORTS * 4] = {NULL};
    void *din[DAWN_MAX_PORTS * 4] = {NULL};

    for (int i = 0; i < d->inputs; i++) {
        enum dawn_dtype dtype = dtype_of(c, d->input[i]);
        fill(c->no_in[i], bytes_of(c, d->input[i]), dtype, c->garbage);
        in[i] = dawni_node_saves_input(d, i) ? c->in[i] : c->no_in[i];
        din[i] = dtype == DAWN_F32 ? c->din[i] : NULL;
    }
    for (int k = 0; k < d->outputs; k++) {
        fill(c->no_out[k], bytes_of(c, output_of(c, k)), DAWN_F32, c->garbage);
        out[k] = d->save_outputs >> k & 1 ? c->out[k] : c->no_out[k];
    }
    const struct dawn_op_args args = {
        .microbatch = c->microbatch,
        .in = in,
        .out = out,
        .param = (const float *const *)c->param,
        .dout = (const void *const *)c->dout,
        .din = din,
        .din_add = no_add,
        .dparam = c->dparam,
        .dparam_add = add,
        .scratch = c->scratch[phase],
        .node = dawn_graph_number(c->graph, c->node),
    };
    return call(c, phase, &args, err);
}

/* Both backward functions, as in a step's first microbatch. What they do not
 * write is not finite. */
static enum dawn_status both(const struct check *c, struct dawn_error *err)
{
    const struct dawn_node_desc *d = c->desc;
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < d->inputs; i++)
        fill(c->din[i], bytes_of(c, d->input[i]), dtype_of(c, d->input[i]),
             NAN);
    for (int p = 0; p < d->params; p++)
        for (int64_t i = 0;
             i < dawn_graph_param_elements(c->graph, d->param[p]); i++)
            c->dparam[p][i] = NAN;
    if (c->desc->params)
        st = backward(c, W, false, err);
    if (!st && c->desc->fns->backward_input)
        st = backward(c, B, false, err);
    return st;
}

static double weighed(const struct check *c)
{
    double sum = 0;

    for (int k = 0; k < c->desc->outputs; k++) {
        const float *y = c->out[k], *r = c->dout[k];
        int64_t n = floats(bytes_of(c, output_of(c, k)));
        for (int64_t i = 0; i < n; i++)
            sum += (double)y[i] * r[i];
    }
    return sum;
}

/* Looking */

/* One buffer of numbers that the outputs depend on. */
struct subject {
    char name[160];
    float *x;
    const float *gradient;
    int64_t elements;
};

static bool subject_of(const struct check *c, int i, struct subject *s)
{
    const struct dawn_node_desc *d = c->desc;

    if (i < d->inputs) {
        int t = d->input[i];
        *s = (struct subject){.x = c->in[i],
                              .gradient = c->din[i],
                              .elements = floats(bytes_of(c, t))};
        snprintf(s->name, sizeof s->name, "input %d ('%.100s')", i,
                 dawn_graph_tensor(c->graph, t)->name);
        return dtype_of(c, t) == DAWN_F32 && d->fns->backward_input;
    }
    int p = d->param[i - d->inputs];
    *s = (struct subject){.x = c->param[i - d->inputs],
                          .gradient = c->dparam[i - d->inputs],
                          .elements = dawn_graph_param_elements(c->graph, p)};
    snprintf(s->name, sizeof s->name, "parameter '%.100s'",
             dawn_graph_param(c->graph, p)->name);
    return !(dawn_graph_param(c->graph, p)->average > 0);
}

static enum dawn_status difference(const struct check *c, float *x,
                                   double *slope, struct dawn_error *err)
{
    float saved = *x;
    double up, down;
    enum dawn_status st;

    *x = saved + (float)STEP;
    up = *x;
    if ((st = forward(c, err)))
        return st;
    double high = weighed(c);
    *x = saved - (float)STEP;
    down = *x;
    if ((st = forward(c, err)))
        return st;
    *slope = (high - weighed(c)) / (up - down);
    *x = saved;
    return DAWN_OK;
}

/* Compare elements spread over a subject; errors are shares of its largest
 * slope. */
static enum dawn_status look_at(const struct check *c, const struct subject *s,
                                struct dawn_error *err)
{
    int64_t n = s->elements < MOST_ELEMENTS ? s->elements : MOST_ELEMENTS;
    double slope[MOST_ELEMENTS], largest = 1e-3, worst = -1;
    int64_t at = 0, which = 0;
    enum dawn_status st = DAWN_OK;

    for (int64_t i = 0; i < n && !st; i++) {
        st = difference(c, &s->x[s->elements * i / n], &slope[i], err);
        if (!st)
            largest = fmax(largest, fabs(slope[i]));
    }
    for (int64_t i = 0; i < n && !st; i++) {
        double g = s->gradient[s->elements * i / n];
        double error = isfinite(g) ? fabs(g - slope[i]) / largest : INFINITY;
        if (error > worst) {
            worst = error;
            which = i;
            at = s->elements * i / n;
        }
    }
    if (st || worst <= c->tolerance)
        return st;
    return dawn_fail(err, DAWN_E_NUMERIC,
                     "node '%s': gradient of %s, element %lld: backward gives "
                     "%.6g, differences %.6g",
                     c->desc->name, s->name, (long long)at,
                     (double)s->gradient[at], slope[which]);
}

/* Is a gradient another one where what is not saved holds other garbage? */
static enum dawn_status check_saved(struct check *c, struct dawn_error *err)
{
    const struct dawn_node_desc *d = c->desc;
    struct subject s;
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < d->inputs + d->params && !st; i++) {
        if (!subject_of(c, i, &s))
            continue;
        float *first = dawni_calloc(s.elements, sizeof *first);
        if (!first)
            return no_memory(c, err);
        size_t bytes = (size_t)s.elements * sizeof *first;
        c->garbage = 0;
        if (!(st = both(c, err)))
            memcpy(first, s.gradient, bytes);
        c->garbage = NAN;
        if (!st)
            st = both(c, err);
        c->garbage = 0;
        if (!st && memcmp(first, s.gradient, bytes) != 0)
            st = dawn_fail(err, DAWN_E_NUMERIC,
                           "node '%s': backward reads an input or output that "
                           "it has not saved, for the gradient of %s: see "
                           "save_inputs and save_outputs",
                           d->name, s.name);
        free(first);
    }
    return st;
}

/* With dparam_add a gradient is added to what is there. */
static enum dawn_status check_added(const struct check *c,
                                    struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int p = 0; p < c->desc->params && !st; p++)
        for (int64_t i = 0;
             i < dawn_graph_param_elements(c->graph, c->desc->param[p]); i++)
            c->dparam[p][i] = 1;
    if (c->desc->params)
        st = backward(c, W, true, err);
    for (int p = 0; p < c->desc->params && !st; p++) {
        int64_t n = dawn_graph_param_elements(c->graph, c->desc->param[p]);
        for (int64_t i = 0; i < n; i++)
            c->dparam[p][i] -= 1;
    }
    return st;
}

static enum dawn_status run(struct check *c, struct dawn_error *err)
{
    const struct dawn_node_desc *d = c->desc;
    enum dawn_status st = forward(c, err);
    struct subject s;

    if (!st)
        st = check_saved(c, err);
    if (!st)
        st = both(c, err);
    for (int i = 0; i < d->inputs + d->params && !st; i++)
        if (subject_of(c, i, &s))
            st = look_at(c, &s, err);
    if (!st)
        st = forward(c, err); /* of the numbers as they were */
    if (!st)
        st = check_added(c, err);
    for (int p = d->inputs; p < d->inputs + d->params && !st; p++)
        if (subject_of(c, p, &s) && (st = look_at(c, &s, err)))
            st = dawn_fail(err, st, "%.900s (with dparam_add)", err->text);
    return st;
}

static enum dawn_status check_node(const struct check *c, int node,
                                   struct dawn_error *err)
{
    const struct dawn_node_desc *d = c->desc;

    if (!d || !d->fns || !d->fns->forward)
        return dawn_fail(err, DAWN_E_INVAL, "node %d is no layer of callbacks",
                         node);
    if (c->microbatch < 1 || (d->params && !d->fns->backward_param))
        return dawn_fail(err, DAWN_E_INVAL,
                         "node '%s': a microbatch of at least 1, and a "
                         "backward_param for its parameters, are wanted",
                         d->name);
    if (d->inputs > 4 * DAWN_MAX_PORTS)
        return dawn_fail(err, DAWN_E_NOTSUP, "node '%s' has %d inputs", d->name,
                         d->inputs);
    for (int k = 0; k < d->outputs; k++)
        if (dtype_of(c, output_of(c, k)) != DAWN_F32)
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "node '%s': outputs must be f32 to be checked",
                             d->name);
    return DAWN_OK;
}

enum dawn_status dawn_gradient_check(const struct dawn_graph *graph, int node,
                                     int64_t microbatch, double tolerance,
                                     struct dawn_error *err)
{
    struct dawn_error own;
    struct check c = {.graph = graph,
                      .desc = dawn_graph_node(graph, node),
                      .node = node,
                      .microbatch = microbatch,
                      .tolerance = tolerance > 0 ? tolerance : 0.01};
    enum dawn_status st = check_node(&c, node, &own);

    if (!st) {
        st = create(&c) ? run(&c, &own) : no_memory(&c, &own);
        clear(&c);
    }
    return st ? dawn_fail(err, st, "%s", own.text) : DAWN_OK;
}
