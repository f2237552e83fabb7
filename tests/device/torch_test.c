/* SPDX-License-Identifier: Apache-2.0 */
/* A small GPT-2, BERT, T5 and AmoebaNet, three steps of training, against what
 * PyTorch computed (tests/data/MODEL-torch.txt): graph, operators and AdamW,
 * without the runtime.
 */
#include "device/host/simd.h"
#include "device/kernel.h"
#include "tap.h"

#include <dawnpiper/job.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORTS DAWN_MAX_PORTS

/* The stored values: lines "KIND [NAME] [I] X". */
struct value {
    char kind[32], name[80];
    long i;
    double x;
};

static struct value values[2000];
static int nvalues;

static bool read_line(char *line, struct value *v)
{
    char *word[4], *rest = line;
    int n = 0;
    for (char *w; n < 4 && (w = strtok_r(n ? NULL : line, " \n", &rest)); n++)
        word[n] = w;
    if (n < 2 || word[0][0] == '#')
        return false;
    snprintf(v->kind, sizeof v->kind, "%s", word[0]);
    snprintf(v->name, sizeof v->name, "%s", n > 2 ? word[1] : "");
    v->i = n == 4 ? atol(word[2]) : n == 3 ? atol(word[1]) : 0;
    v->x = atof(word[n - 1]);
    return true;
}

static bool read_values(const char *model)
{
    char path[4096], line[256];
    const char *top = getenv("top_srcdir");
    snprintf(path, sizeof path, "%s/tests/data/%s-torch.txt", top ? top : ".",
             model);
    nvalues = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    while (nvalues < 2000 && fgets(line, sizeof line, file))
        nvalues += read_line(line, &values[nvalues]);
    fclose(file);
    return nvalues > 0;
}

/* by kind, and by index where the kind has several */
static double stored(const char *kind, long i)
{
    for (int k = 0; k < nvalues; k++)
        if (strcmp(values[k].kind, kind) == 0 && values[k].i == i)
            return values[k].x;
    return NAN;
}

/* The same hash as the script's. */
static uint32_t hash32(const char *name, uint32_t i)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    uint32_t x = h + i * 0x9e3779b9u;
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

static float initial(const struct dawn_param_desc *p, uint32_t i)
{
    double unit = ((double)(hash32(p->name, i) >> 8) - 0x1p23) * 0x1p-23;
    if (p->average > 0)
        return p->init == DAWN_INIT_ONE ? 1 : 0;
    if (p->dims > 1)
        return (float)(unit / (p->dims == 4 ? 2 : 8));
    return (float)(p->init == DAWN_INIT_ONE ? 1 + unit / 16 : unit / 16);
}

/* One rank that keeps everything. */
struct net {
    struct dawn_graph *graph;
    int64_t batch;
    int nodes, tensors, params;
    struct dawni_kernel **kernel; /* by node */
    void **prepared;              /* by node */
    void **value, **grad;         /* by tensor */
    bool *has_grad;               /* by tensor */
    float **p, **g, **m, **v;     /* by parameter */
    bool *has_g;
    void *scratch;
    bool eval;
};

static void *get(uint64_t bytes)
{
    size_t room = (bytes + 127) / 64 * 64;
    void *p = aligned_alloc(64, room);
    if (!p) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    memset(p, 0, room);
    return p;
}

static uint64_t make_kernel(struct net *net, int node)
{
    struct dawn_error err;
    uint64_t most = 0;
    if (dawni_host_device.kernel_create(net->graph, node, net->batch,
                                        &net->kernel[node], &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    if (net->kernel[node]->prepared_bytes)
        net->prepared[node] = get(net->kernel[node]->prepared_bytes);
    for (int i = 0; i < DAWNI_PHASES; i++)
        if (net->kernel[node]->scratch_bytes[i] > most)
            most = net->kernel[node]->scratch_bytes[i];
    return most;
}

static void make_tensors(struct net *net)
{
    net->value = get((uint64_t)net->tensors * sizeof(void *));
    net->grad = get((uint64_t)net->tensors * sizeof(void *));
    net->has_grad = get((uint64_t)net->tensors * sizeof(bool));
    for (int i = 0; i < net->tensors; i++) {
        uint64_t bytes = dawn_graph_tensor_bytes(net->graph, i, net->batch);
        net->value[i] = get(bytes);
        net->grad[i] = get(bytes);
    }
}

static void make_params(struct net *net)
{
    uint64_t bytes = (uint64_t)net->params * sizeof(void *);
    net->p = get(bytes);
    net->g = get(bytes);
    net->m = get(bytes);
    net->v = get(bytes);
    net->has_g = get((uint64_t)net->params * sizeof(bool));
    for (int i = 0; i < net->params; i++) {
        int64_t n = dawn_graph_param_elements(net->graph, i);
        float **all[] = {net->p, net->g, net->m, net->v};
        for (int k = 0; k < 4; k++)
            all[k][i] = get((uint64_t)n * sizeof(float));
        for (int64_t k = 0; k < n; k++)
            net->p[i][k] =
                initial(dawn_graph_param(net->graph, i), (uint32_t)k);
    }
}

static bool make_net(struct net *net, const char *model, enum dawn_dtype dtype,
                     bool fused)
{
    struct dawn_error err;
    struct dawn_model_opts opts = {
        .layers = (int)stored("layers", 0),
        .hidden = (int)stored("hidden", 0),
        .heads = (int)stored("heads", 0),
        .context = (int)stored("context", 0),
        .vocab = (int)stored("vocab", 0),
        .fused_attention = fused,
        .dtype = dtype,
    };
    if (strcmp(model, "bert") == 0)
        opts.masked = (int)stored("masked", 0);
    if (strcmp(model, "amoebanet") == 0)
        opts = (struct dawn_model_opts){
            .layers = (int)stored("layers", 0),
            .filters = (int)stored("filters", 0),
            .classes = (int)stored("classes", 0),
            .image = (int)stored("image", 0),
            .channels = (int)stored("channels", 0),
            .dtype = dtype,
        };
    snprintf(opts.preset, sizeof opts.preset, "%s", model);
    if (strcmp(model, "t5") == 0) {
        opts.target_context = (int)stored("target_context", 0);
        opts.buckets = (int)stored("buckets", 0);
        opts.max_distance = (int)stored("max_distance", 0);
    }
    *net = (struct net){.batch = (int64_t)stored("batch", 0)};
    if (!ok(dawn_model_build(&opts, &net->graph, &err) == DAWN_OK,
            "the model is built"))
        return false;
    net->nodes = dawn_graph_nodes(net->graph);
    net->tensors = dawn_graph_tensors(net->graph);
    net->params = dawn_graph_params(net->graph);
    net->kernel = get((uint64_t)net->nodes * sizeof(void *));
    net->prepared = get((uint64_t)net->nodes * sizeof(void *));
    uint64_t scratch = 0;
    for (int i = 0; i < net->nodes; i++) {
        uint64_t bytes = make_kernel(net, i);
        scratch = bytes > scratch ? bytes : scratch;
    }
    net->scratch = get(scratch);
    make_tensors(net);
    make_params(net);
    return true;
}

static void drop_net(struct net *net)
{
    for (int i = 0; i < net->nodes; i++) {
        dawni_kernel_destroy(net->kernel[i]);
        free(net->prepared[i]);
    }
    for (int i = 0; i < net->tensors; i++) {
        free(net->value[i]);
        free(net->grad[i]);
    }
    for (int i = 0; i < net->params; i++) {
        free(net->p[i]);
        free(net->g[i]);
        free(net->m[i]);
        free(net->v[i]);
    }
    void *all[] = {net->kernel,   net->prepared, net->value,  net->grad,
                   net->has_grad, net->p,        net->g,      net->m,
                   net->v,        net->has_g,    net->scratch};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    dawn_graph_destroy(net->graph);
}

/* The arguments of one node, with room for the pointers. */
struct call {
    struct dawn_op_args args;
    const void *in[PORTS], *dout[PORTS], *add[PORTS];
    void *out[PORTS], *din[PORTS];
    const float *param[PORTS];
    float *dparam[PORTS];
};

static void prepare_call(const struct net *net, int node, struct call *c)
{
    const struct dawn_node_desc *desc = dawn_graph_node(net->graph, node);
    *c = (struct call){.args = {.microbatch = net->batch,
                                .in = c->in,
                                .out = c->out,
                                .param = c->param,
                                .prepared = net->prepared[node],
                                .dout = c->dout,
                                .din = c->din,
                                .din_add = c->add,
                                .dparam = c->dparam,
                                .scratch = net->scratch,
                                .eval = net->eval,
                                .node = node}};
    for (int i = 0; i < desc->inputs; i++)
        c->in[i] = net->value[desc->input[i]];
    for (int i = 0; i < desc->outputs; i++) {
        int t = dawn_graph_output(net->graph, node, i);
        c->out[i] = net->value[t];
        c->dout[i] = net->grad[t];
    }
    for (int i = 0; i < desc->params; i++) {
        c->param[i] = net->p[desc->param[i]];
        c->dparam[i] = net->g[desc->param[i]];
    }
}

static void forward(struct net *net)
{
    for (int node = 0; node < net->nodes; node++) {
        struct dawni_kernel *k = net->kernel[node];
        struct call c;
        prepare_call(net, node, &c);
        if (k->prepared_bytes)
            k->ops->prepare(k, c.param, net->prepared[node], NULL);
        k->ops->forward(k, &c.args, NULL);
    }
}

/* gradients of a node whose inputs' gradients are the output's */
static void pass(struct net *net, int node)
{
    const struct dawn_node_desc *desc = dawn_graph_node(net->graph, node);
    int out = dawn_graph_output(net->graph, node, 0);
    const struct dawn_tensor_desc *t = dawn_graph_tensor(net->graph, out);
    int64_t bytes =
        (int64_t)dawn_graph_tensor_bytes(net->graph, out, net->batch);
    int64_t n = bytes / (int64_t)dawn_dtype_bytes(t->dtype);
    for (int i = 0; i < desc->inputs; i++) {
        int in = desc->input[i];
        if (net->has_grad[in])
            dawni_host_device.add(net->grad[in], net->grad[in], net->grad[out],
                                  t->dtype, n);
        else
            memcpy(net->grad[in], net->grad[out], (size_t)bytes);
        net->has_grad[in] = true;
    }
}

static void backward_node(struct net *net, int node)
{
    const struct dawn_node_desc *desc = dawn_graph_node(net->graph, node);
    struct dawni_kernel *k = net->kernel[node];
    struct call c;
    prepare_call(net, node, &c);
    for (int i = 0; i < desc->params; i++) {
        int p = desc->param[i];
        c.args.dparam_add = net->has_g[p];
        net->has_g[p] = true;
    }
    if (desc->params)
        k->ops->backward_param(k, &c.args, NULL);
    if (desc->flags & DAWN_NODE_GRAD_PASS) {
        pass(net, node);
        return;
    }
    for (int i = 0; i < desc->inputs; i++) {
        int t = desc->input[i];
        if (dawn_graph_tensor(net->graph, t)->dtype == DAWN_I32)
            continue;
        c.din[i] = net->grad[t];
        c.add[i] = net->has_grad[t] ? net->grad[t] : NULL;
        net->has_grad[t] = true;
    }
    if (k->ops->backward_input)
        k->ops->backward_input(k, &c.args, NULL);
}

static void backward(struct net *net)
{
    memset(net->has_grad, 0, (size_t)net->tensors * sizeof(bool));
    memset(net->has_g, 0, (size_t)net->params * sizeof(bool));
    *(float *)net->grad[dawn_graph_loss(net->graph)] = 1;
    for (int node = net->nodes - 1; node >= 0; node--)
        backward_node(net, node);
}

/* Some tokens of each sample become targets, a mask takes their place. */
static void mask_batch(struct net *net, int step, int32_t *tokens)
{
    int64_t context = (int64_t)stored("context", 0);
    int64_t masked = (int64_t)stored("masked", 0);
    int32_t *places = net->value[dawn_graph_find_tensor(net->graph, "places")];
    int32_t *targets =
        net->value[dawn_graph_find_tensor(net->graph, "targets")];
    for (int64_t i = 0; i < net->batch * masked; i++) {
        int64_t row = i / masked;
        uint32_t sample = (uint32_t)(step * net->batch + row);
        places[i] = (int32_t)(hash32("places", sample) % 3 + 3 * (i % masked));
        targets[i] = tokens[row * context + places[i]];
        tokens[row * context + places[i]] = (int32_t)stored("vocab", 0) - 1;
    }
}

/* The decoder's tokens, and its targets one further. */
static void set_decoder(struct net *net, int step)
{
    int64_t n = net->batch * (int64_t)stored("target_context", 0);
    uint32_t vocab = (uint32_t)stored("vocab", 0);
    int32_t *tokens =
        net->value[dawn_graph_find_tensor(net->graph, "decoder_tokens")];
    int32_t *targets =
        net->value[dawn_graph_find_tensor(net->graph, "targets")];
    for (int64_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)(step * n + i);
        tokens[i] = (int32_t)(hash32("decoder", at) % vocab);
        targets[i] = (int32_t)(hash32("decoder", at + 1) % vocab);
    }
}

static void set_images(struct net *net, int step)
{
    int images = dawn_graph_find_tensor(net->graph, "images");
    const struct dawn_tensor_desc *t = dawn_graph_tensor(net->graph, images);
    int64_t n = net->batch * t->shape[0] * t->shape[1] * t->shape[2];
    int32_t *targets =
        net->value[dawn_graph_find_tensor(net->graph, "targets")];
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = hash32("pixel", (uint32_t)(step * n + i));
        double x = ((double)(bits >> 8) - 0x1p23) * 0x1p-23;
        dawni_put(net->value[images], i, (float)x, t->dtype == DAWN_BF16);
    }
    for (int64_t i = 0; i < net->batch; i++)
        targets[i] =
            (int32_t)(hash32("label", (uint32_t)(step * net->batch + i)) %
                      (uint32_t)stored("classes", 0));
}

static void set_batch(struct net *net, int step)
{
    if (dawn_graph_find_tensor(net->graph, "images") >= 0) {
        set_images(net, step);
        return;
    }
    int64_t places = (int64_t)stored("context", 0), n = net->batch * places;
    uint32_t vocab = (uint32_t)stored("vocab", 0);
    int32_t *tokens = net->value[dawn_graph_find_tensor(net->graph, "tokens")];
    int32_t *targets =
        net->value[dawn_graph_find_tensor(net->graph, "targets")];
    bool masked = dawn_graph_find_tensor(net->graph, "places") >= 0;
    bool decodes = dawn_graph_find_tensor(net->graph, "decoder_tokens") >= 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)(step * n + i);
        tokens[i] = (int32_t)(hash32("stream", at) % vocab);
        if (!masked && !decodes)
            targets[i] = (int32_t)(hash32("stream", at + 1) % vocab);
    }
    if (masked)
        mask_batch(net, step, tokens);
    if (decodes)
        set_decoder(net, step);
}

static double loss_of(const struct net *net)
{
    return *(const float *)net->value[dawn_graph_loss(net->graph)];
}

static double norm_of(const struct net *net, int param)
{
    return sqrt(dawni_host_device.sum_squares(
        net->g[param], dawn_graph_param_elements(net->graph, param)));
}

static double global_norm(const struct net *net)
{
    double sum = 0;
    for (int i = 0; i < net->params; i++)
        if (dawn_graph_param(net->graph, i)->average == 0)
            sum += norm_of(net, i) * norm_of(net, i);
    return sqrt(sum);
}

static void update(struct net *net, int step, double norm)
{
    double clip = stored("clip", 0), b1 = stored("beta1", 0);
    double b2 = stored("beta2", 0);
    for (int i = 0; i < net->params; i++) {
        const struct dawn_param_desc *desc = dawn_graph_param(net->graph, i);
        int64_t n = dawn_graph_param_elements(net->graph, i);
        if (desc->average > 0) {
            dawni_host_device.average(net->p[i], net->g[i], n, desc->average,
                                      1);
            continue;
        }
        const struct dawni_adamw o = {
            .lr = (float)stored("lr", 0),
            .beta1 = (float)b1,
            .beta2 = (float)b2,
            .eps = (float)stored("eps", 0),
            .weight_decay = desc->decay ? (float)stored("weight_decay", 0) : 0,
            .grad_scale = norm > clip ? (float)(clip / norm) : 1,
            .bias1 = (float)(1 - pow(b1, step + 1)),
            .bias2 = (float)(1 - pow(b2, step + 1)),
        };
        dawni_host_device.adamw(&o, net->p[i], net->m[i], net->v[i], net->g[i],
                                n);
    }
}

/* How far the worst stored element of a kind is, as a share of the rms. */
static double worst_element(const struct net *net, const char *kind,
                            float *const *data)
{
    double worst = 0;
    for (int k = 0; k < nvalues; k++) {
        if (strcmp(values[k].kind, kind) != 0)
            continue;
        int p = dawn_graph_find_param(net->graph, values[k].name);
        if (p < 0)
            return INFINITY;
        int64_t n = dawn_graph_param_elements(net->graph, p);
        double rms =
            sqrt(dawni_host_device.sum_squares(data[p], n) / (double)n);
        double e = fabs((double)data[p][values[k].i] - values[k].x) / rms;
        worst = e <= worst ? worst : e;
    }
    return worst;
}

static double worst_norm(const struct net *net)
{
    double worst = 0;
    for (int k = 0; k < nvalues; k++) {
        if (strcmp(values[k].kind, "param_grad_norm") != 0)
            continue;
        int p = dawn_graph_find_param(net->graph, values[k].name);
        double e = p < 0 ? INFINITY : fabs(norm_of(net, p) / values[k].x - 1);
        worst = e <= worst ? worst : e;
    }
    return worst;
}

struct setting {
    const char *model, *name;
    enum dawn_dtype dtype;
    bool fused;
    double loss, norm, element, param; /* relative; elements: of the rms */
};

static void train(const struct setting *s)
{
    struct net net;
    if (!make_net(&net, s->model, s->dtype, s->fused))
        return;
    for (int step = 0; step < (int)stored("steps", 0); step++) {
        set_batch(&net, step);
        forward(&net);
        backward(&net);
        double wanted = stored("loss", step), norm = global_norm(&net);
        is_near(loss_of(&net) / wanted, 1, s->loss, "%s: loss of step %d",
                s->name, step);
        is_near(norm / stored("grad_norm", step), 1, s->norm,
                "%s: gradient norm of step %d", s->name, step);
        if (step == 0) {
            is_near(worst_norm(&net), 0, s->norm,
                    "%s: norm of each parameter's gradient", s->name);
            is_near(worst_element(&net, "grad", net.g), 0, s->element,
                    "%s: elements of gradients", s->name);
        }
        update(&net, step, norm);
    }
    is_near(worst_element(&net, "param", net.p), 0, s->param,
            "%s: parameters after the last step", s->name);
    set_batch(&net, 0);
    forward(&net);
    is_near(loss_of(&net) / stored("final_loss", 0), 1, s->loss,
            "%s: loss of the first samples afterwards", s->name);
    if (!isnan(stored("eval_loss", 0))) {
        net.eval = true;
        forward(&net);
        is_near(loss_of(&net) / stored("eval_loss", 0), 1, s->loss,
                "%s: their loss in an evaluation", s->name);
    }
    drop_net(&net);
}

int main(void)
{
    /* T5's gradients are small next to what they are sums of: those of PyTorch
     * in bf16 are as far from the stored ones, by up to 2.4% of a norm in step
     * 0. AdamW divides by the gradient's size: where rounding to bf16 decides
     * the sign of a small one, a parameter moves by up to a step more.
     * AmoebaNet's norms divide small differences by small deviations: PyTorch
     * in f32 is off by 1.6e-5 of the loss and 4e-4 of a norm in step 0, in bf16
     * by eight times a norm, so bf16 is left to the tests of the operators. */
    static const struct setting settings[] = {
        {"gpt2", "f32", DAWN_F32, true, 1e-6, 2e-6, 1e-5, 1e-5},
        {"gpt2", "f32 unfused", DAWN_F32, false, 1e-6, 2e-6, 1e-5, 1e-5},
        {"gpt2", "bf16", DAWN_BF16, true, 2e-3, 1e-2, 0.1, 0.5},
        {"gpt2", "bf16 unfused", DAWN_BF16, false, 2e-3, 1e-2, 0.1, 0.5},
        {"bert", "bert f32", DAWN_F32, true, 1e-6, 2e-6, 1e-5, 5e-5},
        {"bert", "bert f32 unfused", DAWN_F32, false, 1e-6, 2e-6, 1e-5, 5e-5},
        {"bert", "bert bf16", DAWN_BF16, true, 2e-3, 1e-2, 0.1, 0.5},
        {"t5", "t5 f32", DAWN_F32, true, 1e-6, 1e-5, 2e-5, 1e-4},
        {"amoebanet", "amoebanet", DAWN_F32, true, 2e-5, 2e-4, 2e-4, 5e-4},
        {"t5", "t5 bf16", DAWN_BF16, true, 2e-3, 0.12, 0.5, 0.5},
    };
    plan_lazy();
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (ok(read_values(settings[i].model), "%s: stored values are read",
               settings[i].name))
            train(&settings[i]);
    return done_testing();
}
