/* SPDX-License-Identifier: Apache-2.0 */
/* Running and timing the nodes of a rig. */
#include "runtime/measure_rig.h"
#include "common/array.h"
#include "common/bf16.h"
#include "common/clock.h"
#include "graph/graph.h"
#include "runtime/exec.h"

void dawni_rig_destroy(struct dawni_rig *r)
{
    if (!r)
        return;
    for (int i = 0; r->node && i < r->nodes; i++)
        dawni_kernel_destroy(r->node[i].kernel);
    if (r->arena)
        r->device->free(r->arena, r->bytes);
    free(r->node);
    free(r->param);
    free(r->extent);
    free(r->buffer);
    free(r);
}

static enum dawn_status create_kernel(struct dawni_rig *r, int i,
                                      struct dawn_error *err)
{
    const struct dawn_node_desc *d = &r->graph->node[r->first + i].desc;

    if (d->inputs > DAWN_MAX_PORTS)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "node '%s' has %d inputs; at most %d can be measured",
                         d->name, d->inputs, DAWN_MAX_PORTS);
    return r->device->kernel_create(r->graph, r->first + i, r->microbatch,
                                    &r->node[i].kernel, err);
}

enum dawn_status dawni_rig_create(const struct dawn_graph *graph,
                                  const struct dawni_device_ops *device,
                                  const int run[2], int64_t microbatch,
                                  struct dawni_rig **rig_p,
                                  struct dawn_error *err)
{
    struct dawni_rig *r = calloc(1, sizeof *r);
    enum dawn_status st;

    if (!r)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to measure nodes");
    r->graph = graph;
    r->device = device;
    r->first = run[0];
    r->nodes = run[1] - run[0] + 1;
    r->microbatch = microbatch;
    r->node = dawni_calloc(r->nodes, sizeof *r->node);
    r->param = dawni_calloc(graph->params, sizeof *r->param);
    if (!r->node || !r->param) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory to measure %d nodes",
                       r->nodes);
        goto fail;
    }
    for (int i = 0; i < r->nodes; i++)
        if ((st = create_kernel(r, i, err)))
            goto fail;
    if ((st = dawni_rig_lay_out(r, err)))
        goto fail;
    *rig_p = r;
    return DAWN_OK;
fail:
    dawni_rig_destroy(r);
    return st;
}

static void *at(const struct dawni_rig *r, int buffer)
{
    return buffer < 0 ? NULL : r->arena + r->extent[buffer].offset;
}

/* About normal, mean 0: four uniform numbers added. Plausible numbers to time
 * kernels with; fast, for hundreds of millions of them. */
static float draw(uint64_t *state, float std)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    int sum = (int)(x & 0xffff) + (int)(x >> 16 & 0xffff) +
              (int)(x >> 32 & 0xffff) + (int)(x >> 48);
    return (float)(sum - 131070) * (1.7320508f / 65536.0f) * std;
}

static void draw_f32(float *x, int64_t n, float std, uint64_t seed)
{
    uint64_t state = (seed + 1) * 0x9e3779b97f4a7c15u;

    for (int64_t i = 0; i < n; i++)
        x[i] = draw(&state, std);
}

static void draw_bf16(uint16_t *x, int64_t n, float std, uint64_t seed)
{
    uint64_t state = (seed + 1) * 0x9e3779b97f4a7c15u;

    for (int64_t i = 0; i < n; i++)
        x[i] = (uint16_t)(dawni_float_bits(draw(&state, std)) >> 16);
}

/* Whole numbers stay zero: they may be indices. */
static void draw_tensor(const struct dawni_rig *r, int tensor, float std,
                        void *data)
{
    enum dawn_dtype dtype = r->graph->tensor[tensor].desc.dtype;
    int64_t bytes =
        (int64_t)dawn_graph_tensor_bytes(r->graph, tensor, r->microbatch);

    if (dtype == DAWN_F32)
        draw_f32(data, bytes / 4, std, (uint64_t)tensor);
    if (dtype == DAWN_BF16)
        draw_bf16(data, bytes / 2, std, (uint64_t)tensor);
}

static enum dawn_status fill_value(const struct dawni_rig *r, int tensor,
                                   dawn_feed_fn feed, void *user, void *data,
                                   struct dawn_error *err)
{
    const struct dawni_tensor *t = &r->graph->tensor[tensor];
    struct dawn_feed what = {.tensor = tensor,
                             .name = t->desc.name,
                             .samples = r->microbatch,
                             .of_step = r->microbatch};

    if (t->producer >= 0)
        draw_tensor(r, tensor, 1, data);
    else if (feed && feed(user, &what, data))
        return dawn_fail(err, DAWN_E_USER, "feeding input %s failed",
                         t->desc.name);
    return DAWN_OK;
}

static enum dawn_status fill_buffer(const struct dawni_rig *r, int buffer,
                                    dawn_feed_fn feed, void *user,
                                    struct dawn_error *err)
{
    const struct dawni_rig_buffer *b = &r->buffer[buffer];
    void *data = at(r, buffer);

    switch (b->fill) {
    case DAWNI_RIG_VALUE:
        return fill_value(r, b->id, feed, user, data, err);
    case DAWNI_RIG_GRAD:
        draw_tensor(r, b->id, 1e-3f, data);
        break;
    case DAWNI_RIG_ONE:
        *(float *)data = 1;
        break;
    case DAWNI_RIG_PARAM:
        dawni_param_init(&r->graph->param[b->id].desc,
                         r->graph->param[b->id].elements, 1, data);
        break;
    case DAWNI_RIG_EMPTY:
        break;
    }
    return DAWN_OK;
}

/* Pointers to the masters of a node's parameters. */
static void masters(const struct dawni_rig *r, int i, const float **master)
{
    const struct dawn_node_desc *n = &r->graph->node[r->first + i].desc;

    for (int k = 0; k < n->params; k++)
        master[k] = at(r, r->param[n->param[k]].master);
}

static enum dawn_status prepare(const struct dawni_rig *r, int i,
                                struct dawn_error *err)
{
    struct dawni_kernel *kernel = r->node[i].kernel;
    const float *master[DAWN_MAX_PORTS];

    if (!kernel->ops->prepare || !kernel->prepared_bytes)
        return DAWN_OK;
    masters(r, i, master);
    return kernel->ops->prepare(kernel, master, at(r, r->node[i].prepared),
                                err);
}

enum dawn_status dawni_rig_fill(struct dawni_rig *r, dawn_feed_fn feed,
                                void *user, struct dawn_error *err)
{
    void *arena = NULL;
    enum dawn_status st = r->device->alloc(r->bytes, &arena, err);

    if (st)
        return st;
    r->arena = arena;
    for (int i = 0; !st && i < r->buffers; i++)
        st = fill_buffer(r, i, feed, user, err);
    for (int i = 0; !st && i < r->nodes; i++)
        st = prepare(r, i, err);
    return st;
}

/* The arguments of a call, and what they point to. */
struct call {
    struct dawn_op_args args;
    const void *in[DAWN_MAX_PORTS], *dout[DAWN_MAX_PORTS];
    const void *din_add[DAWN_MAX_PORTS];
    void *out[DAWN_MAX_PORTS], *din[DAWN_MAX_PORTS];
    const float *param[DAWN_MAX_PORTS];
    float *dparam[DAWN_MAX_PORTS];
};

static void fill_call(const struct dawni_rig *r, int i, enum dawni_phase phase,
                      struct call *c)
{
    const struct dawni_rig_node *b = &r->node[i];
    const struct dawn_node_desc *n = &r->graph->node[r->first + i].desc;
    bool forward = phase == DAWNI_F;

    for (int k = 0; k < n->inputs; k++) {
        bool given = forward || (n->save_inputs >> k & 1);
        c->in[k] = given ? at(r, b->in[k]) : NULL;
        c->din[k] = at(r, b->din[k]);
        c->din_add[k] = at(r, b->din_add[k]);
    }
    for (int k = 0; k < n->outputs; k++) {
        bool given = forward || (n->save_outputs >> k & 1);
        c->out[k] = given ? at(r, b->out[k]) : NULL;
        c->dout[k] = at(r, b->dout[k]);
    }
    for (int k = 0; k < n->params; k++)
        c->dparam[k] = at(r, b->dparam[k]);
    masters(r, i, c->param);
    c->args = (struct dawn_op_args){.microbatch = r->microbatch,
                                    .in = c->in,
                                    .out = c->out,
                                    .param = c->param,
                                    .prepared = at(r, b->prepared),
                                    .dout = c->dout,
                                    .din = c->din,
                                    .din_add = c->din_add,
                                    .dparam = c->dparam,
                                    .dparam_add = true,
                                    .scratch = at(r, b->scratch[phase]),
                                    .seed = 1,
                                    .node = r->first + i};
}

static enum dawn_status run(const struct dawni_rig *r, int i,
                            enum dawni_phase phase, uint64_t step, double *ns,
                            struct dawn_error *err)
{
    struct dawni_kernel *kernel = r->node[i].kernel;
    struct call c;
    enum dawn_status st;

    *ns = 0;
    if (!r->node[i].calls[phase])
        return DAWN_OK;
    fill_call(r, i, phase, &c);
    c.args.step = step;
    uint64_t start = dawni_now_ns();
    if (phase == DAWNI_F)
        st = kernel->ops->forward(kernel, &c.args, err);
    else if (phase == DAWNI_B)
        st = kernel->ops->backward_input(kernel, &c.args, err);
    else
        st = kernel->ops->backward_param(kernel, &c.args, err);
    *ns = (double)(dawni_now_ns() - start);
    return st;
}

enum dawn_status dawni_rig_microbatch(struct dawni_rig *r, uint64_t step,
                                      double (*ns)[DAWNI_PHASES],
                                      struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int i = 0; !st && i < r->nodes; i++)
        st = run(r, i, DAWNI_F, step, &ns[i][DAWNI_F], err);
    for (int i = r->nodes - 1; !st && i >= 0; i--) {
        /* B may overwrite what W reads */
        st = run(r, i, DAWNI_W, step, &ns[i][DAWNI_W], err);
        if (!st)
            st = run(r, i, DAWNI_B, step, &ns[i][DAWNI_B], err);
    }
    return st;
}

/* Is parameter port k of node i charged to that node? */
static bool owns(const struct dawni_rig *r, int i, int k)
{
    const struct dawn_node_desc *n = &r->graph->node[r->first + i].desc;

    for (int j = 0; j < k; j++)
        if (n->param[j] == n->param[k])
            return false;
    return r->graph->param[n->param[k]].user[0] == r->first + i;
}

/* Tied uses are summed, and the norm is taken, before anything is updated. */
static void reduce(const struct dawni_rig *r, int i)
{
    const struct dawn_node_desc *n = &r->graph->node[r->first + i].desc;

    for (int k = 0; k < n->params; k++) {
        const struct dawni_param *p = &r->graph->param[n->param[k]];
        float *grad = at(r, r->node[i].dparam[k]);
        if (!owns(r, i, k) || p->desc.average > 0)
            continue;
        for (int use = 1; use < p->users; use++)
            r->device->add(grad, grad, at(r, r->param[n->param[k]].extra),
                           DAWN_F32, p->elements);
        volatile double norm = r->device->sum_squares(grad, p->elements);
        (void)norm;
    }
}

static enum dawn_status update(const struct dawni_rig *r, int i,
                               struct dawn_error *err)
{
    static const struct dawni_adamw o = {.lr = 1e-6f,
                                         .beta1 = 0.9f,
                                         .beta2 = 0.95f,
                                         .eps = 1e-8f,
                                         .weight_decay = 0.1f,
                                         .grad_scale = 1,
                                         .bias1 = 0.5f,
                                         .bias2 = 0.5f};
    const struct dawn_node_desc *n = &r->graph->node[r->first + i].desc;

    for (int k = 0; k < n->params; k++) {
        const struct dawni_rig_param *p = &r->param[n->param[k]];
        const struct dawni_param *d = &r->graph->param[n->param[k]];
        if (d->desc.average > 0)
            r->device->average(at(r, p->master), at(r, r->node[i].dparam[k]),
                               d->elements, d->desc.average, 1);
        else if (owns(r, i, k))
            r->device->adamw(&o, at(r, p->master), at(r, p->adam_m),
                             at(r, p->adam_v), at(r, r->node[i].dparam[k]),
                             d->elements);
    }
    return prepare(r, i, err);
}

enum dawn_status dawni_rig_update(struct dawni_rig *r, double *ns,
                                  struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < r->nodes; i++) {
        uint64_t start = dawni_now_ns();
        reduce(r, i);
        ns[i] = (double)(dawni_now_ns() - start);
    }
    for (int i = 0; !st && i < r->nodes; i++) {
        uint64_t start = dawni_now_ns();
        st = update(r, i, err);
        ns[i] += (double)(dawni_now_ns() - start);
    }
    return st;
}
