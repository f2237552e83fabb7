/* SPDX-License-Identifier: Apache-2.0 */
/* The trial of a kernel: forward, backward by input, backward by parameter. */
#include "device/harness.h"
#include "device/host/simd.h"
#include "device/host/threads.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 64 /* bytes */

struct buffer {
    unsigned char *data;
    size_t bytes;
};

struct trial {
    const struct op_case *c;
    const struct trial_opts *opts;
    enum dawn_dtype dtype;
    struct dawn_graph *graph;
    const struct dawn_node_desc *node;
    const struct dawn_tensor_desc *out_desc[CASE_OUTPUTS];
    struct dawni_kernel *kernel;
    char label[120];

    struct ref_io ref;
    int64_t out_n[CASE_OUTPUTS], in_n[CASE_PORTS], param_n[CASE_PORTS];
    struct buffer in[CASE_PORTS], param[CASE_PORTS], dout, add[CASE_PORTS];
    struct buffer prepared, scratch[DAWNI_PHASES];
    double *add_value[CASE_PORTS];
    /* what the first run gave */
    struct buffer out[CASE_OUTPUTS], din[CASE_PORTS], dparam[CASE_PORTS];

    const void *arg_in[CASE_PORTS], *arg_dout[CASE_OUTPUTS];
    const void *arg_add[CASE_PORTS];
    void *arg_out[CASE_OUTPUTS], *arg_din[CASE_PORTS];
    const float *arg_param[CASE_PORTS];
    float *arg_dparam[CASE_PORTS];
    struct dawn_op_args args;
};

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    return p;
}

static struct buffer make(size_t bytes)
{
    size_t room = (bytes + GUARD + 63) / 64 * 64;
    struct buffer b = {.data = must(aligned_alloc(64, room)), .bytes = bytes};
    memset(b.data, 0xff, bytes); /* NaN in every format */
    memset(b.data + bytes, 0xa5, room - bytes);
    return b;
}

static bool guard_holds(const struct buffer *b)
{
    for (size_t i = 0; b->data && i < GUARD; i++)
        if (b->data[b->bytes + i] != 0xa5)
            return false;
    return true;
}

static struct buffer copy(const struct buffer *from)
{
    struct buffer b = make(from->bytes);
    memcpy(b.data, from->data, from->bytes);
    return b;
}

static bool same(const struct buffer *a, const struct buffer *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

static void drop(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

double case_number(uint64_t stream, uint64_t i)
{
    uint64_t x = stream * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u + 1;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return ((double)(x >> 11) + 0.5) * 0x1p-52 - 1;
}

static double read_at(const struct buffer *b, enum dawn_dtype dtype, int64_t i)
{
    if (dtype == DAWN_I32)
        return ((const int32_t *)b->data)[i];
    if (dtype == DAWN_U8)
        return b->data[i];
    return dawni_get(b->data, i, dtype == DAWN_BF16);
}

/* n values in the dtype, and what they are in f64 after rounding */
static struct buffer fill(int64_t n, enum dawn_dtype dtype, double spread,
                          uint64_t stream, double **value_p)
{
    struct buffer b = make((size_t)n * dawn_dtype_bytes(dtype));
    double *value = must(calloc((size_t)n + 1, sizeof *value));
    for (int64_t i = 0; i < n; i++) {
        double x = case_number(stream, (uint64_t)i) * spread;
        if (dtype == DAWN_I32)
            ((int32_t *)b.data)[i] = (int32_t)((x / spread + 1) / 2 * spread);
        else
            dawni_put(b.data, i, (float)x, dtype == DAWN_BF16);
        value[i] = read_at(&b, dtype, i);
    }
    *value_p = value;
    return b;
}

static enum dawn_dtype case_dtype(const struct case_tensor *t,
                                  enum dawn_dtype dtype)
{
    if (t->below)
        return DAWN_I32;
    return t->fixed ? DAWN_F32 : dtype;
}

static struct dawn_tensor_desc input_desc(const struct case_tensor *t,
                                          enum dawn_dtype dtype,
                                          const char *name)
{
    struct dawn_tensor_desc desc = {.name = name,
                                    .dtype = case_dtype(t, dtype),
                                    .batched = !t->fixed,
                                    .dims = t->dims};
    memcpy(desc.shape, t->shape, sizeof t->shape);
    return desc;
}

static int add_param(struct dawn_graph *graph, const struct case_tensor *t,
                     const char *name, double average)
{
    struct dawn_param_desc desc = {
        .name = name, .dims = t->dims, .average = average};
    memcpy(desc.shape, t->shape, sizeof t->shape);
    return dawn_graph_add_param(graph, &desc);
}

/* A graph ends in a scalar loss: where the case gives none, a layer that is
 * never run stands for it. */
static void add_loss(struct dawn_graph *graph, int tensor)
{
    static const struct dawn_layer_fns none;
    const struct dawn_tensor_desc *t = dawn_graph_tensor(graph, tensor);
    if (t->batched || t->dims) {
        struct dawn_tensor_desc loss = {.name = "loss", .dtype = DAWN_F32};
        int node = dawn_graph_add_node(
            graph, &(struct dawn_node_desc){.name = "loss",
                                            .op = "layer",
                                            .inputs = 1,
                                            .input = &tensor,
                                            .outputs = 1,
                                            .output = &loss,
                                            .fns = &none});
        tensor = dawn_graph_output(graph, node, 0);
    }
    dawn_graph_set_loss(graph, tensor);
}

struct dawn_graph *case_graph(const struct op_case *c, enum dawn_dtype dtype)
{
    static const char *const names[] = {"x", "y", "z", "w"};
    static const char *const params[] = {"p", "q", "r", "s"};
    struct dawn_op_desc desc = {.name = "node",
                                .op = c->op,
                                .inputs = c->inputs,
                                .params = c->params,
                                .attrs = c->attrs};
    struct dawn_graph *graph = NULL;
    struct dawn_error err = {0};
    if (dawn_graph_create("case", &graph, &err))
        must(NULL);
    for (int i = 0; i < c->inputs; i++) {
        struct dawn_tensor_desc t = input_desc(&c->in[i], dtype, names[i]);
        desc.input[i] = dawn_graph_add_input(graph, &t);
    }
    for (int i = 0; i < c->params; i++)
        desc.param[i] =
            add_param(graph, &c->param[i], params[i],
                      strcmp(c->op, "batch_norm") == 0 && i > 1 ? 0.1 : 0);
    memcpy(desc.attr, c->attr, sizeof c->attr);
    if (strcmp(c->op, "embedding") == 0)
        desc.attr[desc.attrs++] =
            (struct dawn_attr){"bf16", dtype == DAWN_BF16};
    int tensor = dawn_op_add(graph, &desc);
    if (tensor >= 0)
        add_loss(graph, tensor);
    if (dawn_graph_finish(graph, &err)) {
        fprintf(stderr, "%s: %s\n", c->op, err.text);
        exit(1);
    }
    return graph;
}

static void set_label(struct trial *t)
{
    int used = snprintf(t->label, sizeof t->label, "%s %s b=%lld", t->c->op,
                        dawn_dtype_name(t->dtype), (long long)t->c->b);
    for (int i = 0; i < t->c->inputs; i++) {
        for (int j = 0; j < t->c->in[i].dims; j++)
            used += snprintf(t->label + used, sizeof t->label - (size_t)used,
                             "%c%lld", j ? 'x' : ' ',
                             (long long)t->c->in[i].shape[j]);
    }
}

static void make_values(struct trial *t)
{
    const struct op_case *c = t->c;
    double spread = c->spread ? c->spread : 1, *dout;
    for (int i = 0; i < c->inputs; i++) {
        const struct case_tensor *x = &c->in[i];
        enum dawn_dtype dtype = case_dtype(x, t->dtype);
        uint64_t stream = (uint64_t)i;
        t->in_n[i] = case_input_elements(c, i);
        t->in[i] = fill(t->in_n[i], dtype, x->below ? (double)x->below : spread,
                        stream, &t->ref.in[i]);
        t->add[i] = fill(t->in_n[i], x->below ? t->dtype : dtype, 1,
                         20 + stream, &t->add_value[i]);
        t->ref.din[i] = must(calloc((size_t)t->in_n[i], sizeof(double)));
    }
    for (int i = 0; i < c->params; i++) {
        t->param_n[i] = case_elements(&c->param[i]);
        t->param[i] = fill(t->param_n[i], DAWN_F32, 1, 10 + (uint64_t)i,
                           &t->ref.param[i]);
        t->ref.dparam[i] = must(calloc((size_t)t->param_n[i], sizeof(double)));
    }
    for (int i = 0; i < t->node->outputs; i++) {
        const struct dawn_tensor_desc *out = t->out_desc[i] =
            dawn_graph_tensor(t->graph, dawn_graph_output(t->graph, 0, i));
        t->out_n[i] = out->batched ? c->b : 1;
        for (int j = 0; j < out->dims; j++)
            t->out_n[i] *= out->shape[j];
        t->ref.out[i] = must(calloc((size_t)t->out_n[i], sizeof(double)));
    }
    t->dout = fill(t->out_n[0], t->out_desc[0]->dtype, 1, 30, &dout);
    t->ref.dout = dout;
}

/* bf16 nodes compute with bf16 parameters where they multiply matrices */
static void round_params(struct trial *t)
{
    if (t->dtype != DAWN_BF16 ||
        (strcmp(t->c->op, "linear") != 0 && strcmp(t->c->op, "conv2d") != 0))
        return;
    for (int i = 0; i < t->c->params; i++)
        for (int64_t j = 0; j < t->param_n[i]; j++) {
            float x = (float)t->ref.param[i][j];
            x = dawni_from_bf16(dawni_to_bf16(x));
            ((float *)t->param[i].data)[j] = x;
            t->ref.param[i][j] = x;
        }
}

static void set_args(struct trial *t)
{
    t->args = (struct dawn_op_args){.microbatch = t->c->b,
                                    .in = t->arg_in,
                                    .out = t->arg_out,
                                    .param = t->arg_param,
                                    .dout = t->arg_dout,
                                    .din = t->arg_din,
                                    .din_add = t->arg_add,
                                    .dparam = t->arg_dparam,
                                    .seed = 0x1234567890,
                                    .step = 7,
                                    .sample = 12,
                                    .node = 0};
    t->ref.c = t->c;
    t->ref.seed = t->args.seed;
    t->ref.step = t->args.step;
    t->ref.sample = t->args.sample;
    t->ref.node = t->args.node;
    for (int i = 0; i < t->c->params; i++)
        t->arg_param[i] = (const float *)t->param[i].data;
}

static bool start(struct trial *t, const struct dawni_kernel_ops *ops)
{
    struct dawn_error err = {0};
    t->graph = case_graph(t->c, t->dtype);
    t->node = dawn_graph_node(t->graph, 0);
    set_label(t);
    make_values(t);
    round_params(t);
    set_args(t);
    enum dawn_status st = ops->create(t->graph, 0, t->c->b, &t->kernel, &err);
    if (st == DAWN_E_NOTSUP) {
        skip("%s: %s", t->label, err.text);
        return false;
    }
    if (!ok(st == DAWN_OK, "%s: a kernel is made", t->label)) {
        diag("%s", err.text);
        return false;
    }
    for (int i = 0; i < DAWNI_PHASES; i++)
        t->scratch[i] = make(t->kernel->scratch_bytes[i]);
    t->prepared = make(t->kernel->prepared_bytes);
    t->args.prepared = t->kernel->prepared_bytes ? t->prepared.data : NULL;
    if (t->kernel->prepared_bytes)
        is_int(t->kernel->ops->prepare(t->kernel, t->arg_param,
                                       t->prepared.data, &err),
               DAWN_OK, "%s: it prepares its parameters", t->label);
    const struct reference *reference = find_reference(t->c->op);
    reference->forward(&t->ref);
    reference->backward(&t->ref);
    return true;
}

static void finish(struct trial *t)
{
    dawni_kernel_destroy(t->kernel);
    for (int i = 0; i < CASE_PORTS; i++) {
        struct buffer *all[] = {&t->in[i], &t->param[i], &t->add[i], &t->din[i],
                                &t->dparam[i]};
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++)
            drop(all[j]);
        free(t->ref.in[i]);
        free(t->ref.param[i]);
        free(t->ref.din[i]);
        free(t->ref.dparam[i]);
        free(t->add_value[i]);
    }
    for (int i = 0; i < CASE_OUTPUTS; i++) {
        drop(&t->out[i]);
        free(t->ref.out[i]);
    }
    for (int i = 0; i < DAWNI_PHASES; i++)
        drop(&t->scratch[i]);
    drop(&t->prepared);
    drop(&t->dout);
    free((void *)t->ref.dout);
    dawn_graph_destroy(t->graph);
}

static double tolerance_of(const struct trial *t, enum dawn_dtype dtype)
{
    const struct tolerance *tol = &t->opts->tolerance;
    if (dtype == DAWN_BF16)
        return tol->bf16;
    return t->dtype == DAWN_BF16 ? tol->f32_of_bf16 : tol->f32;
}

/* got against wanted (+ add), with the tolerance of the dtype */
static void agree(const struct trial *t, const struct buffer *got,
                  enum dawn_dtype dtype, const double *wanted,
                  const double *add, const char *what)
{
    int64_t n = (int64_t)(got->bytes / dawn_dtype_bytes(dtype)), worst_i = 0;
    double square = 0, worst = 0, tolerance = tolerance_of(t, dtype);
    for (int64_t i = 0; i < n; i++) {
        double w = wanted[i] + (add ? add[i] : 0);
        square += w * w;
    }
    double rms = sqrt(square / (double)n) + 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double w = wanted[i] + (add ? add[i] : 0);
        double e = fabs(read_at(got, dtype, i) - w) / (fabs(w) + rms);
        if (!(e <= worst)) {
            worst = e;
            worst_i = i;
        }
    }
    if (!ok(worst <= tolerance, "%s: %s agrees", t->label, what))
        diag("element %lld of %lld: got %.9g, wanted %.9g; error %g > %g",
             (long long)worst_i, (long long)n, read_at(got, dtype, worst_i),
             wanted[worst_i] + (add ? add[worst_i] : 0), worst, tolerance);
}

typedef enum dawn_status (*phase_fn)(struct dawni_kernel *,
                                     const struct dawn_op_args *,
                                     struct dawn_error *);

/* One call, its scratch poisoned. */
static bool call(struct trial *t, enum dawni_phase phase, phase_fn fn)
{
    struct dawn_error err = {0};
    struct buffer *scratch = &t->scratch[phase];
    memset(scratch->data, 0xff, scratch->bytes);
    t->args.scratch = scratch->bytes ? scratch->data : NULL;
    enum dawn_status st = fn(t->kernel, &t->args, &err);
    if (st == DAWN_OK && guard_holds(scratch))
        return true;
    return ok(false, "%s: phase %d stays in its scratch: %s", t->label, phase,
              st ? err.text : "it does not");
}

static void point_forward(struct trial *t, struct buffer out[CASE_OUTPUTS])
{
    for (int i = 0; i < t->c->inputs; i++)
        t->arg_in[i] = t->in[i].data;
    for (int i = 0; i < t->node->outputs; i++) {
        if (!out[i].data)
            out[i] = make((size_t)t->out_n[i] *
                          dawn_dtype_bytes(t->out_desc[i]->dtype));
        t->arg_out[i] = out[i].data;
    }
}

/* Into new buffers, compared with the first run's. */
static void forward_again(struct trial *t, bool in_place)
{
    struct buffer out[CASE_OUTPUTS] = {0};
    int last = t->c->inputs - 1;
    bool equal = true, whole = true;
    if (in_place)
        out[0] = copy(&t->in[last]);
    point_forward(t, out);
    if (in_place)
        t->arg_in[last] = out[0].data;
    call(t, DAWNI_F, t->kernel->ops->forward);
    for (int i = 0; i < t->node->outputs; i++) {
        equal = equal && same(&out[i], &t->out[i]);
        whole = whole && guard_holds(&out[i]);
        drop(&out[i]);
    }
    ok(equal && whole, "%s: %s forward gives the same bytes", t->label,
       in_place ? "an in-place" : "a second");
}

static void try_forward(struct trial *t)
{
    point_forward(t, t->out);
    if (!call(t, DAWNI_F, t->kernel->ops->forward))
        return;
    for (int i = 0; i < t->node->outputs; i++) {
        char what[40];
        snprintf(what, sizeof what, "output %d", i);
        agree(t, &t->out[i], t->out_desc[i]->dtype, t->ref.out[i], NULL, what);
        ok(guard_holds(&t->out[i]), "%s: %s keeps its bounds", t->label, what);
    }
    forward_again(t, false);
    if (t->node->flags & DAWN_NODE_INPLACE)
        forward_again(t, true);
}

/* Only what is saved is there. */
static void point_saved(struct trial *t)
{
    for (int i = 0; i < t->c->inputs; i++)
        t->arg_in[i] = t->node->save_inputs >> i & 1 ? t->in[i].data : NULL;
    for (int i = 0; i < t->node->outputs; i++)
        t->arg_out[i] = t->node->save_outputs >> i & 1 ? t->out[i].data : NULL;
    t->arg_dout[0] = t->dout.data;
}

enum add_kind { ADD_NONE, ADD_APART, ADD_SAME };

struct din_run {
    enum add_kind add;
    uint32_t wanted; /* inputs whose gradient is asked for */
    bool over_saved; /* din 0 overwrites saved input 0 */
    const char *what;
};

static void point_din(struct trial *t, const struct din_run *run,
                      struct buffer din[CASE_PORTS])
{
    point_saved(t);
    for (int i = 0; i < t->c->inputs; i++) {
        bool wanted = !t->c->in[i].below && (run->wanted >> i & 1);
        t->arg_din[i] = NULL;
        t->arg_add[i] = NULL;
        if (!wanted)
            continue;
        if (run->add == ADD_SAME)
            din[i] = copy(&t->add[i]);
        else if (run->over_saved && i == 0)
            din[i] = copy(&t->in[0]);
        else
            din[i] = make(t->in[i].bytes);
        t->arg_din[i] = din[i].data;
        if (run->add == ADD_APART)
            t->arg_add[i] = t->add[i].data;
        if (run->add == ADD_SAME)
            t->arg_add[i] = din[i].data;
    }
    if (run->over_saved)
        t->arg_in[0] = din[0].data;
}

static void backward_again(struct trial *t, const struct din_run *run)
{
    struct buffer din[CASE_PORTS] = {0};
    bool equal = true;
    point_din(t, run, din);
    call(t, DAWNI_B, t->kernel->ops->backward_input);
    for (int i = 0; i < t->c->inputs; i++) {
        if (!din[i].data)
            continue;
        if (run->add != ADD_NONE)
            agree(t, &din[i], case_dtype(&t->c->in[i], t->dtype), t->ref.din[i],
                  t->add_value[i], run->what);
        else
            equal = equal && same(&din[i], &t->din[i]);
        equal = equal && guard_holds(&din[i]);
        drop(&din[i]);
    }
    ok(equal, "%s: %s gives the right bytes", t->label, run->what);
}

static void try_backward_input(struct trial *t)
{
    const struct din_run first = {.wanted = ~0u};
    const struct din_run more[] = {
        {.wanted = ~0u, .what = "a second backward"},
        {.wanted = ~0u, .add = ADD_APART, .what = "gradient plus another"},
        {.wanted = ~0u, .add = ADD_SAME, .what = "gradient added in place"},
    };
    static const char *const input_names[CASE_PORTS] = {
        "gradient of input 0", "gradient of input 1", "gradient of input 2",
        "gradient of input 3"};
    point_din(t, &first, t->din);
    if (!call(t, DAWNI_B, t->kernel->ops->backward_input))
        return;
    for (int i = 0; i < t->c->inputs; i++)
        if (t->din[i].data)
            agree(t, &t->din[i], case_dtype(&t->c->in[i], t->dtype),
                  t->ref.din[i], NULL, input_names[i]);
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        backward_again(t, &more[i]);
    if (t->node->flags & DAWN_NODE_GRAD_INPLACE)
        backward_again(
            t, &(struct din_run){.wanted = ~0u,
                                 .over_saved = true,
                                 .what = "backward over the saved input"});
    for (int i = 0; i < t->c->inputs && t->din[1].data; i++)
        backward_again(
            t, &(struct din_run){.wanted = 1u << i,
                                 .what = "backward of one input alone"});
}

/* The operator says that gradients pass through: so does the reference. */
static void try_passing(struct trial *t)
{
    bool equal = true;
    for (int i = 0; i < t->c->inputs; i++)
        equal = equal && memcmp(t->ref.din[i], t->ref.dout,
                                (size_t)t->in_n[i] * sizeof(double)) == 0;
    ok(equal, "%s: the output's gradient passes through", t->label);
}

static void params_again(struct trial *t, bool add)
{
    struct buffer dparam[CASE_PORTS] = {0};
    bool equal = true;
    point_saved(t);
    t->args.dparam_add = add;
    for (int i = 0; i < t->c->params; i++) {
        dparam[i] = add ? copy(&t->param[i]) : make(t->param[i].bytes);
        t->arg_dparam[i] = (float *)dparam[i].data;
    }
    call(t, DAWNI_W, t->kernel->ops->backward_param);
    for (int i = 0; i < t->c->params; i++) {
        if (add)
            agree(t, &dparam[i], DAWN_F32, t->ref.dparam[i], t->ref.param[i],
                  "parameter gradient plus what was there");
        else
            equal = equal && same(&dparam[i], &t->dparam[i]);
        equal = equal && guard_holds(&dparam[i]);
        drop(&dparam[i]);
    }
    ok(equal, "%s: a parameter gradient %s", t->label,
       add ? "keeps its bounds when added" : "has the same bytes twice");
}

static void try_backward_param(struct trial *t)
{
    static const char *const of_param[CASE_PORTS] = {
        "gradient of parameter 0", "gradient of parameter 1",
        "gradient of parameter 2", "gradient of parameter 3"};
    point_saved(t);
    t->args.dparam_add = false;
    for (int i = 0; i < t->c->params; i++) {
        t->dparam[i] = make(t->param[i].bytes);
        t->arg_dparam[i] = (float *)t->dparam[i].data;
    }
    if (!call(t, DAWNI_W, t->kernel->ops->backward_param))
        return;
    for (int i = 0; i < t->c->params; i++)
        agree(t, &t->dparam[i], DAWN_F32, t->ref.dparam[i], NULL, of_param[i]);
    params_again(t, false);
    params_again(t, true);
}

static bool has_float_input(const struct op_case *c)
{
    return c->inputs && !c->in[0].below;
}

/* All again with another number of threads: the same bytes. */
static void try_threads(struct trial *t)
{
    struct buffer din[CASE_PORTS] = {0};
    bool equal = true;
    dawni_host_setup(1, 0, 1, NULL);
    forward_again(t, false);
    if (t->din[0].data) {
        point_din(t, &(struct din_run){.wanted = ~0u}, din);
        call(t, DAWNI_B, t->kernel->ops->backward_input);
    }
    for (int i = 0; i < t->c->inputs; i++) {
        equal = equal && (!din[i].data || same(&din[i], &t->din[i]));
        drop(&din[i]);
    }
    ok(equal, "%s: 1 and 2 threads give the same gradients", t->label);
    if (t->c->params)
        params_again(t, false);
    dawni_host_setup(2, 0, 1, NULL);
}

void try_case(const struct dawni_kernel_ops *ops, const struct op_case *c,
              enum dawn_dtype dtype, const struct trial_opts *opts)
{
    struct trial t = {.c = c, .opts = opts, .dtype = dtype};
    if (start(&t, ops)) {
        try_forward(&t);
        if (t.node->flags & DAWN_NODE_GRAD_PASS)
            try_passing(&t);
        else if (has_float_input(c))
            try_backward_input(&t);
        if (c->params)
            try_backward_param(&t);
        if (opts->any_threads)
            try_threads(&t);
    }
    finish(&t);
}

void try_cases(const struct dawni_kernel_ops *ops, const struct op_case *c,
               int cases, const struct trial_opts *opts)
{
    static const enum dawn_dtype dtypes[] = {DAWN_F32, DAWN_BF16};
    enum dawni_simd most = dawni_simd_level();
    dawni_host_setup(2, 0, 1, NULL);
    for (int i = 0; i < 2 * cases; i++)
        for (int level = DAWNI_SIMD_BASE; level <= (int)most; level++) {
            dawni_simd_limit((enum dawni_simd)level);
            try_case(ops, &c[i / 2], dtypes[i % 2], opts);
        }
}
