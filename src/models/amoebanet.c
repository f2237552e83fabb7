/* SPDX-License-Identifier: Apache-2.0 */
/* AmoebaNet-D (Real et al., "Regularized Evolution for Image Classifier
 * Architecture Search", 2019) with the sizes by which papers on pipelines give
 * it: layers normal cells, filters / 4 channels after the stem's convolution
 * (GPipe; Kim et al., "torchgpipe", 2020). As there, normal cells join states
 * 0, 3, 4 and 6, not 4, 5 and 6. Unlike there, "max_pool_3x3" is a maximum, and
 * the image is not cut off at zero. Images and states are channels last,
 * filters (outputs, h, w, inputs); a relu that several branches begin with is
 * one node.
 */
#include "models/layers.h"
#include "models/models.h"

#include <dawnpiper/op.h>
#include <math.h>

#define EPSILON 1e-5
#define AVERAGE 0.1

#define NAME(...) dawni_name(__VA_ARGS__).text

enum kind { NONE, MAX_2, MAX_3, AVG_3, CONV_1, CONV_3, CONV_7 };

#define STATES 7 /* the two a cell begins with, and five sums */
#define BRANCHES 10

struct genotype {
    struct {
        int state;
        enum kind kind;
    } branch[BRANCHES]; /* two and two are added */
    int joined, join[4];
};

static const struct genotype normal = {{{1, CONV_1},
                                        {1, MAX_3},
                                        {1, NONE},
                                        {0, CONV_7},
                                        {0, CONV_1},
                                        {0, CONV_7},
                                        {2, MAX_3},
                                        {2, NONE},
                                        {1, AVG_3},
                                        {5, CONV_1}},
                                       4,
                                       {0, 3, 4, 6}};

static const struct genotype reduction = {{{0, MAX_2},
                                           {0, MAX_3},
                                           {2, NONE},
                                           {1, CONV_3},
                                           {2, CONV_7},
                                           {2, MAX_3},
                                           {3, NONE},
                                           {1, MAX_2},
                                           {2, AVG_3},
                                           {3, CONV_1}},
                                          3,
                                          {4, 5, 6}};

static int64_t channels_of(const struct dawni_model *m, int x)
{
    const struct dawn_tensor_desc *t = dawn_graph_tensor(m->graph, x);

    return t ? t->shape[2] : 1; /* NULL: something failed before */
}

/* A filter (to, h, w, channels of x); pads keep the image's size where the
 * stride is 1. */
struct filter {
    int64_t to;
    int h, w, stride, shift;
};

static int conv(struct dawni_model *m, const char *node, int x,
                const struct filter *f)
{
    int64_t from = channels_of(m, x);
    const struct dawni_name name = dawni_name("%s.weight", node);
    struct dawn_param_desc weight = {.name = name.text,
                                     .dims = 4,
                                     .shape = {f->to, f->h, f->w, from},
                                     .init = DAWN_INIT_NORMAL,
                                     .std =
                                         sqrt(2 / (double)(f->h * f->w * from)),
                                     .decay = true};
    struct dawn_op_desc d = {.name = node,
                             .op = "conv2d",
                             .inputs = 1,
                             .input = {x},
                             .params = 1,
                             .attrs = 4,
                             .attr = {{"stride", f->stride},
                                      {"pad_h", (f->h - 1) / 2},
                                      {"pad_w", (f->w - 1) / 2},
                                      {"shift", f->shift}}};

    d.param[0] = dawn_graph_add_param(m->graph, &weight);
    return dawn_op_add(m->graph, &d);
}

static int batch_norm(struct dawni_model *m, const char *node, int x)
{
    static const char *const names[4] = {"weight", "bias", "running_mean",
                                         "running_var"};
    struct dawn_op_desc d = {.name = node,
                             .op = "batch_norm",
                             .inputs = 1,
                             .input = {x},
                             .params = 4,
                             .attrs = 1,
                             .attr = {{"eps", EPSILON}}};

    for (int i = 0; i < 4; i++) {
        const struct dawni_name name = dawni_name("%s.%s", node, names[i]);
        struct dawn_param_desc p = {.name = name.text,
                                    .dims = 1,
                                    .shape = {channels_of(m, x)},
                                    .init = i % 3 == 0 ? DAWN_INIT_ONE
                                                       : DAWN_INIT_ZERO,
                                    .average = i < 2 ? 0 : AVERAGE};
        d.param[i] = dawn_graph_add_param(m->graph, &p);
    }
    return dawn_op_add(m->graph, &d);
}

/* One for all that want it of x. */
static int relu(struct dawni_model *m, int x)
{
    const struct dawn_tensor_desc *t = dawn_graph_tensor(m->graph, x);
    const struct dawni_name name = dawni_name("%s.relu", t ? t->name : "");
    int found = dawn_graph_find_tensor(m->graph, name.text);

    return found >= 0 ? found : dawni_unary(m, name.text, "relu", x);
}

static int relu_conv_norm(struct dawni_model *m, const char *prefix,
                          const char *suffix, int x, const struct filter *f)
{
    x = conv(m, NAME("%s.conv%s", prefix, suffix), relu(m, x), f);
    return batch_norm(m, NAME("%s.bn%s", prefix, suffix), x);
}

static int pool(struct dawni_model *m, const char *node, const char *op, int x,
                struct dawn_attr attr[3])
{
    struct dawn_op_desc d = {.name = node,
                             .op = op,
                             .inputs = 1,
                             .input = {x},
                             .attrs = 3,
                             .attr = {attr[0], attr[1], attr[2]}};

    return dawn_op_add(m->graph, &d);
}

/* Half the size: every second pixel, and those between, side by side. */
static int factorized(struct dawni_model *m, const char *prefix, int x,
                      int64_t to)
{
    const struct dawni_name concat = dawni_name("%s.concat", prefix);
    struct dawn_op_desc d = {.name = concat.text, .op = "concat", .inputs = 2};

    x = relu(m, x);
    for (int i = 0; i < 2; i++)
        d.input[i] = conv(m, NAME("%s.conv%d", prefix, i + 1), x,
                          &(struct filter){to / 2, 1, 1, 2, i});
    return batch_norm(m, NAME("%s.bn", prefix), dawn_op_add(m->graph, &d));
}

static int chain(struct dawni_model *m, const char *prefix, int x, int count,
                 const struct filter *filter)
{
    for (int i = 0; i < count; i++)
        x = relu_conv_norm(m, prefix, NAME("%d", i + 1), x, &filter[i]);
    return x;
}

static int branch(struct dawni_model *m, const char *prefix, enum kind kind,
                  int x, int stride)
{
    int64_t c = channels_of(m, x);
    const struct filter one = {c, 1, 1, stride, 0};
    const struct filter three[3] = {
        {c / 4, 1, 1, 1, 0}, {c / 4, 3, 3, stride, 0}, {c, 1, 1, 1, 0}};
    const struct filter seven[4] = {{c / 4, 1, 1, 1, 0},
                                    {c / 4, 1, 7, 1, 0},
                                    {c / 4, 7, 1, 1, 0},
                                    {c, 1, 1, 1, 0}};
    struct dawn_attr two[3] = {{"size", 2}, {"stride", stride}, {"pad", 0}};
    struct dawn_attr wide[3] = {{"size", 3}, {"stride", stride}, {"pad", 1}};

    switch (kind) {
    case NONE:
        return x;
    case MAX_2:
        return pool(m, NAME("%s.max", prefix), "max_pool", x, two);
    case MAX_3:
        return pool(m, NAME("%s.max", prefix), "max_pool", x, wide);
    case AVG_3:
        return pool(m, NAME("%s.avg", prefix), "avg_pool", x, wide);
    case CONV_1:
        return chain(m, prefix, x, 1, &one);
    case CONV_3:
        return chain(m, prefix, x, 3, three);
    case CONV_7:
        return chain(m, prefix, x, 4, seven);
    }
    return -1;
}

struct cells { /* built so far */
    struct dawni_model *m;
    int64_t channels;
    int last, before; /* what the newest cell gave, and the one before it */
    bool reduced;     /* the newest cell halved the image */
};

/* The two states that a cell begins with, of its number of channels. */
static void begin(struct cells *all, const char *cell, int state[2])
{
    struct dawni_model *m = all->m;
    const struct filter one = {all->channels, 1, 1, 1, 0};
    const struct dawni_name second = dawni_name("%s.reduce2", cell);

    state[0] = relu_conv_norm(m, NAME("%s.reduce1", cell), "", all->last, &one);
    if (all->reduced)
        state[1] = factorized(m, second.text, all->before, all->channels);
    else
        state[1] = relu_conv_norm(m, second.text, "", all->before, &one);
}

static void add_cell(struct cells *all, const char *cell,
                     const struct genotype *g)
{
    const struct dawni_name concat = dawni_name("%s.concat", cell);
    struct dawn_op_desc join = {
        .name = concat.text, .op = "concat", .inputs = g->joined};
    int state[STATES], half[2];

    if (g == &reduction)
        all->channels *= 2;
    begin(all, cell, state);
    for (int i = 0; i < BRANCHES; i++) {
        int from = g->branch[i].state;
        half[i % 2] =
            branch(all->m, NAME("%s.op%d", cell, i), g->branch[i].kind,
                   state[from], g == &reduction && from < 2 ? 2 : 1);
        if (i % 2)
            state[2 + i / 2] = dawni_binary(
                all->m, NAME("%s.add%d", cell, i / 2), "add", half[0], half[1]);
    }
    for (int i = 0; i < g->joined; i++)
        join.input[i] = state[g->join[i]];
    all->before = all->last;
    all->last = dawn_op_add(all->m->graph, &join);
    all->reduced = g == &reduction;
}

static int classify(struct dawni_model *m, int x)
{
    const struct dawni_linear head = {dawni_name("classify"),
                                      dawni_name("classify"), channels_of(m, x),
                                      m->opts->classes, 0.01};

    return dawni_linear(m, &head, dawni_unary(m, "pool", "mean_pool", x));
}

static int stem(struct dawni_model *m)
{
    int64_t side = m->opts->image;
    struct dawn_tensor_desc images = {.name = "images",
                                      .dtype = m->opts->dtype,
                                      .batched = true,
                                      .dims = 3,
                                      .shape = {side, side, m->opts->channels}};
    int x = dawn_graph_add_input(m->graph, &images);

    x = conv(m, "stem1.conv", x,
             &(struct filter){m->opts->filters / 4, 3, 3, 2, 0});
    return batch_norm(m, "stem1.bn", x);
}

void dawni_amoebanet_build(struct dawn_graph *graph,
                           const struct dawn_model_opts *opts)
{
    struct dawni_model m = {graph, opts, EPSILON};
    struct cells all = {.m = &m, .channels = opts->filters / 4};

    all.last = all.before = stem(&m);
    int targets = dawni_index_input(&m, "targets", 1);
    add_cell(&all, "stem2", &reduction);
    add_cell(&all, "stem3", &reduction);
    for (int part = 1; part <= 5; part++) {
        if (part % 2 == 0)
            add_cell(&all, NAME("cell%d_reduction", part), &reduction);
        for (int i = 0; part % 2 && i < opts->layers / 3; i++)
            add_cell(&all, NAME("cell%d_normal%d", part, i + 1), &normal);
    }
    dawn_graph_set_loss(graph, dawni_binary(&m, "loss", "cross_entropy",
                                            classify(&m, all.last), targets));
}
