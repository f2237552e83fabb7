/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous schedules: the recurrences of PipeDream and PipeDream-2BW, the
 * same bits for every placement and decision, memory as predicted, updates with
 * numbers that are not finite.
 */
#include "common/bf16.h"
#include "rig.h"
#include "tap.h"
#include <dawnpiper/op.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"async-1f1b", "async-2bw"};

/* A chain of linear layers and half the mean squared distance to a target. */

#define LAYERS 4
#define WIDE 32
#define SAMPLES 2 /* in a microbatch */
#define STEPS 3
#define WEIGHTS (WIDE * WIDE)
#define VALUES (WEIGHTS + WIDE) /* of a layer: weights, then biases */

static struct {
    float value[LAYERS][VALUES]; /* first, then last */
    struct dawn_memory memory[RIG_RANKS];
    bool bf16;
    int tied;     /* layers that share their weights, in a row */
    int bad_step; /* of the microbatch whose gradient is NaN; -1: none */
    uint64_t bad_sample;
    int bad_times; /* that it is so; 0: always */
} the;

static float at(const void *x, bool bf16, int i)
{
    return bf16 ? dawni_from_bf16(((const uint16_t *)x)[i])
                : ((const float *)x)[i];
}

static int distance(void *user, const struct dawn_op_args *a)
{
    bool bf16 = user;
    double sum = 0;
    for (int i = 0; i < SAMPLES * WIDE; i++) {
        double d = at(a->in[0], bf16, i) - at(a->in[1], false, i);
        sum += d * d;
    }
    *(float *)a->out[0] = (float)(sum / 2 / (SAMPLES * WIDE));
    return 0;
}

static bool is_bad(const struct dawn_op_args *a)
{
    bool bad = (int)a->step == the.bad_step && a->sample == the.bad_sample;
    return bad && (!the.bad_times || the.bad_times-- > 1);
}

static int distance_back(void *user, const struct dawn_op_args *a)
{
    bool bf16 = user, bad = is_bad(a);
    float scale = *(const float *)a->dout[0] / (SAMPLES * WIDE);
    for (int i = 0; i < SAMPLES * WIDE; i++) {
        float d = at(a->in[0], bf16, i) - at(a->in[1], false, i);
        d = bad ? NAN : d * scale;
        if (bf16)
            ((uint16_t *)a->din[0])[i] = dawni_to_bf16(d);
        else
            ((float *)a->din[0])[i] = d;
    }
    return 0;
}

static const struct dawn_layer_fns distance_fns = {
    .forward = distance,
    .backward_input = distance_back,
};

static void add_distance(struct dawn_graph *g, int x, int target, bool bf16)
{
    struct dawn_tensor_desc loss = {.name = "loss", .dtype = DAWN_F32};
    int input[] = {x, target};
    struct dawn_node_desc d = {.name = "distance",
                               .op = "layer",
                               .inputs = 2,
                               .input = input,
                               .outputs = 1,
                               .output = &loss,
                               .save_inputs = 3,
                               .fns = &distance_fns,
                               .user = bf16 ? &the : NULL};
    dawn_graph_set_loss(g, dawn_graph_output(g, dawn_graph_add_node(g, &d), 0));
}

static int add_layer(struct dawn_graph *g, int x, int layer)
{
    char name[4][16];
    snprintf(name[0], 16, "layer%d", layer);
    snprintf(name[1], 16, "%d.weight", layer / the.tied * the.tied);
    snprintf(name[2], 16, "%d.bias", layer);
    struct dawn_param_desc weight = {.name = name[1],
                                     .dims = 2,
                                     .shape = {WIDE, WIDE},
                                     .init = DAWN_INIT_NORMAL,
                                     .std = 0.2,
                                     .decay = true};
    struct dawn_param_desc bias = {.name = name[2],
                                   .dims = 1,
                                   .shape = {WIDE},
                                   .init = DAWN_INIT_NORMAL,
                                   .std = 0.2};
    struct dawn_op_desc d = {.name = name[0],
                             .op = "linear",
                             .inputs = 1,
                             .input = {x},
                             .params = 2};
    d.param[0] = layer % the.tied ? dawn_graph_find_param(g, name[1])
                                  : dawn_graph_add_param(g, &weight);
    d.param[1] = dawn_graph_add_param(g, &bias);
    return dawn_op_add(g, &d);
}

static struct dawn_graph *chain(enum dawn_dtype dtype)
{
    struct dawn_tensor_desc x = {.name = "x",
                                 .dtype = dtype,
                                 .batched = true,
                                 .dims = 1,
                                 .shape = {WIDE}};
    struct dawn_graph *g = NULL;
    dawn_graph_create("chain", &g, NULL);
    int at = dawn_graph_add_input(g, &x);
    x.name = "target";
    x.dtype = DAWN_F32;
    int target = dawn_graph_add_input(g, &x);
    for (int i = 0; i < LAYERS; i++)
        at = add_layer(g, at, i);
    add_distance(g, at, target, dtype == DAWN_BF16);
    struct dawn_error err;
    if (!dawn_graph_finish(g, &err))
        return g;
    diag("%s", err.text);
    abort();
}

/* What is fed, a number of bf16: of x, or the target. */
static float fed(bool target, uint64_t step, uint64_t sample, int i)
{
    uint64_t k = (step * 64 + sample) * 2 + target;
    uint64_t x = (k * WIDE + (uint64_t)i) * 2654435761u >> 7;
    return dawni_from_bf16(dawni_to_bf16((float)(x % 512) / 256 - 1));
}

static int feed(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    bool target = strcmp(what->name, "target") == 0;
    for (int i = 0; i < SAMPLES * WIDE; i++) {
        uint64_t sample = what->sample + (uint64_t)(i / WIDE);
        float x = fed(target, what->step, sample, i % WIDE);
        if (the.bf16 && !target)
            ((uint16_t *)data)[i] = dawni_to_bf16(x);
        else
            ((float *)data)[i] = x;
    }
    return 0;
}

/* The chain in f64, weights and moments by version */

#define LR 1e-2
#define MICROBATCHES 12

enum rule { NEWEST, BATCH_BEFORE, NO_DELAY, ONE_VERSION, RULES };

static const char *const rule_text[] = {"PipeDream's", "2BW's", "no delay",
                                        "one version a step"};

struct reference {
    enum rule rule;
    int l, m, g;
    double w[LAYERS][MICROBATCHES + 1][VALUES];
    double first[LAYERS][VALUES], second[LAYERS][VALUES]; /* moments */
    double grad[LAYERS][VALUES];
    double step_grad[LAYERS][WEIGHTS]; /* of weights that stages share */
    double in[LAYERS + 1][WIDE];
    bool bad;
};

static int stage_of(int l, int layer)
{
    int stage = 0;
    while ((LAYERS + 1) * (stage + 1) / l - 1 < layer)
        stage++;
    return stage;
}

/* The version of a layer's weights that microbatch j reads. */
static int version_of(const struct reference *r, int layer, int j)
{
    int behind = r->l - stage_of(r->l, layer);
    int k = behind < r->m ? behind : r->m, batch = j / r->g;
    switch (r->rule) {
    case NEWEST: /* there are k in flight once j has gone forward */
        return j < k ? 0 : (j - k + 1) / r->g;
    case BATCH_BEFORE:
        return batch > 0 ? batch - 1 : 0;
    case NO_DELAY:
        return batch;
    default:
        return 0;
    }
}

static void forward(struct reference *r, uint64_t step, int j, int sample)
{
    uint64_t number = (uint64_t)(j * SAMPLES + sample);
    for (int i = 0; i < WIDE; i++)
        r->in[0][i] = fed(false, step, number, i);
    for (int k = 0; k < LAYERS; k++) {
        const double *w = r->w[k][version_of(r, k, j)];
        for (int o = 0; o < WIDE; o++) {
            double y = w[WEIGHTS + o];
            for (int i = 0; i < WIDE; i++)
                y += w[o * WIDE + i] * r->in[k][i];
            r->in[k + 1][o] = y;
        }
    }
}

static void backward(struct reference *r, uint64_t step, int j, int sample)
{
    uint64_t number = (uint64_t)(j * SAMPLES + sample);
    double d[WIDE], back[WIDE];
    for (int i = 0; i < WIDE; i++)
        d[i] = (r->in[LAYERS][i] - fed(true, step, number, i)) /
               (SAMPLES * WIDE) / r->g;
    for (int k = LAYERS - 1; k >= 0; k--) {
        const double *w = r->w[k][version_of(r, k, j)];
        memset(back, 0, sizeof back);
        for (int o = 0; o < WIDE; o++) {
            r->grad[k][WEIGHTS + o] += d[o];
            for (int i = 0; i < WIDE; i++) {
                r->grad[k][o * WIDE + i] += d[o] * r->in[k][i];
                back[i] += d[o] * w[o * WIDE + i];
            }
        }
        memcpy(d, back, sizeof d);
    }
}

/* One value: what it is after update number t with that gradient. */
static double adamw(struct reference *r, int layer, int i, double value,
                    double grad, double t)
{
    double *m = &r->first[layer][i], *v = &r->second[layer][i];
    double keep = i < WEIGHTS ? 1 - LR * 0.1 : 1;
    *m = 0.9 * *m + 0.1 * grad;
    *v = 0.95 * *v + 0.05 * grad * grad;
    return value * keep -
           LR * *m / (1 - pow(0.9, t)) / (sqrt(*v / (1 - pow(0.95, t))) + 1e-8);
}

/* The layer that has the weights of another. */
static int owner_of(int layer)
{
    return layer / the.tied * the.tied;
}

/* Do several stages share the layer's weights? */
static bool is_shared(const struct reference *r, int layer)
{
    int first = owner_of(layer), last = first + the.tied - 1;
    return stage_of(r->l, first) != stage_of(r->l, last);
}

/* Layers that share weights add their gradients, on one stage for its update,
 * on several for the step's. */
static void share_grads(struct reference *r, int layer)
{
    int owner = owner_of(layer);
    bool shared = is_shared(r, layer);
    for (int i = 0; i < WEIGHTS && (shared || layer != owner); i++) {
        double *to = shared ? r->step_grad[owner] : r->grad[owner];
        to[i] += r->grad[layer][i];
        r->grad[layer][i] = 0;
    }
}

static void update(struct reference *r, int layer, int version, double t)
{
    double *old = r->w[layer][version], *new = r->w[layer][version + 1];
    int owner = owner_of(layer);
    for (int i = 0; i < VALUES; i++) {
        bool weight = i < WEIGHTS;
        if (r->bad || (weight && is_shared(r, layer)))
            new[i] = old[i];
        else if (weight && layer != owner)
            new[i] = r->w[owner][version + 1][i];
        else
            new[i] = adamw(r, layer, i, old[i], r->grad[layer][i], t);
    }
    memset(r->grad[layer], 0, sizeof r->grad[layer]);
}

/* At the end of a step: the mean over its microbatches. */
static void update_shared(struct reference *r, int layer, int updates, double t)
{
    double *w = r->w[layer][0], *g = r->step_grad[layer];
    int owner = owner_of(layer);
    for (int i = 0; i < WEIGHTS && is_shared(r, layer); i++)
        w[i] = layer == owner ? adamw(r, layer, i, w[i], g[i] / updates, t)
                              : r->w[owner][0][i];
    memset(g, 0, sizeof r->step_grad[layer]);
}

static void reference_step(struct reference *r, int step)
{
    int updates = r->m / r->g;
    for (int j = 0; j < r->m; j++) {
        for (int s = 0; s < SAMPLES; s++) {
            forward(r, (uint64_t)step, j, s);
            backward(r, (uint64_t)step, j, s);
        }
        r->bad |= step == the.bad_step && j * SAMPLES == (int)the.bad_sample;
        if ((j + 1) % r->g)
            continue;
        for (int k = 0; k < LAYERS; k++)
            share_grads(r, k);
        for (int k = 0; k < LAYERS; k++)
            update(r, k, j / r->g, step * updates + j / r->g + 1);
        r->bad = false;
    }
    for (int k = 0; k < LAYERS; k++) {
        memcpy(r->w[k][0], r->w[k][updates], sizeof r->w[k][0]);
        update_shared(r, k, updates, step + 1);
    }
}

/* Parameters of this rank, to where they are kept; each has one owner. */
static void take(struct dawn_exec *exec)
{
    for (int i = 0; i < dawn_exec_params(exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(exec, i);
        int layer = p->name[0] - '0';
        bool bias = strcmp(p->name + 2, "bias") == 0;
        for (int k = 0; k < (bias ? 1 : the.tied); k++)
            memcpy(the.value[layer + k] + (bias ? WEIGHTS : 0), p->value,
                   (size_t)p->elements * sizeof(float));
    }
}

/* Root mean square of how far the run's parameters are from the reference's,
 * as a part of how far they have moved. */
static double away(const struct reference *r, float begin[LAYERS][VALUES])
{
    double sum = 0, moved = 0;
    for (int k = 0; k < LAYERS; k++)
        for (int i = 0; i < VALUES; i++) {
            double d = the.value[k][i] - r->w[k][0][i];
            double m = (double)the.value[k][i] - begin[k][i];
            sum += d * d;
            moved += m * m;
        }
    return sqrt(sum / moved);
}

static double reference_away(const struct rig_case *c, enum rule rule, int g,
                             float begin[LAYERS][VALUES])
{
    struct reference *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    *r = (struct reference){
        .rule = rule, .l = c->stages, .m = c->microbatches, .g = g};
    for (int k = 0; k < LAYERS; k++)
        for (int i = 0; i < VALUES; i++)
            r->w[k][0][i] = begin[k][i];
    for (int step = 0; step < STEPS; step++)
        reference_step(r, step);
    double far = away(r, begin);
    free(r);
    return far;
}

/* Same first values each time: those of the seed. */
static void first_values(const struct rig_case *c, float begin[LAYERS][VALUES])
{
    struct rig_case once = *c;
    struct rig_result r;
    once.no_steps = true;
    once.after = take;
    rig_run(&once, &r);
    memcpy(begin, the.value, sizeof the.value);
}

static bool same_rule(enum rule a, enum rule b, int stages)
{
    return a == b || (a + b == NEWEST + NO_DELAY && stages == 1);
}

static void test_recurrence(enum dawn_dtype dtype, int kind, int stages, int g)
{
    static float begin[LAYERS][VALUES];
    struct rig_case c = {.model = {.dtype = dtype},
                         .build = chain,
                         .schedule = kinds[kind],
                         .stages = stages,
                         .microbatches = MICROBATCHES,
                         .update_every = g,
                         .steps = STEPS,
                         .after = take,
                         .feed = feed};
    enum rule right = kind ? BATCH_BEFORE : NEWEST;
    double most = dtype == DAWN_BF16 ? 0.03 : 1e-4;
    double least = the.tied > 1 ? 0.02 : 0.08;
    struct rig_result r;
    the.bf16 = dtype == DAWN_BF16;
    first_values(&c, begin);
    rig_run(&c, &r);
    if (!is_int(r.status[0], DAWN_OK,
                "%s, %s, %d stages, an update of %d, weights of %d: runs",
                dawn_dtype_name(dtype), c.schedule, stages, g, the.tied))
        diag("%s", r.error[0].text);
    is_int(r.updates, MICROBATCHES / g, "%d updates in a step", r.updates);
    for (int rule = 0; rule < RULES; rule++) {
        double far = reference_away(&c, (enum rule)rule, g, begin);
        if (same_rule(right, (enum rule)rule, stages))
            ok(far < most, "%s recurrence in f64 comes %.2g of the way from it",
               rule_text[rule], far);
        else
            ok(far > least, "and %s recurrence %.2g", rule_text[rule], far);
    }
}

/* Gradients that are not finite */

static void test_bad_update(int kind, int g, int times)
{
    static float begin[LAYERS][VALUES];
    struct rig_case c = {.model = {.dtype = DAWN_F32},
                         .build = chain,
                         .schedule = kinds[kind],
                         .stages = 3,
                         .microbatches = MICROBATCHES,
                         .update_every = g,
                         .steps = STEPS,
                         .after = take,
                         .feed = feed};
    struct rig_result r;
    const char *node = "distance (microbatch 5, stage 2)";
    char param[80];
    the.bf16 = false;
    first_values(&c, begin);
    the.bad_step = 1;
    the.bad_sample = 5 * SAMPLES;
    the.bad_times = times;
    rig_run(&c, &r);
    ok(!r.nonfinite[0] && r.nonfinite[1] && !r.nonfinite[2],
       "%s: a NaN in a gradient is noticed in its step", c.schedule);
    snprintf(param, sizeof param, "3.weight (gradient, microbatch %d, stage 2)",
             (5 / g + 1) * g - 1);
    is_str(r.bad_node[1], times ? param : node, "what made it is named%s",
           times ? ", as far as the update tells where it does not come again"
                 : "");
    double far = reference_away(&c, kind ? BATCH_BEFORE : NEWEST, g, begin);
    ok(far < 1e-5, "that update is left out, and no other: %.2g", far);
    the.bad_step = -1;
    the.bad_times = 0;
}

/* Moments are moved once a step. */
static void test_moments(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "async-1f1b",
                         .stages = 2,
                         .microbatches = 2,
                         .moments = 2};
    struct rig_result r;
    rig_run(&c, &r);
    for (int i = 0; i < 2; i++)
        ok(r.status[i] == DAWN_E_NOTSUP &&
               strstr(r.error[i].text, "updated within the step"),
           "rank %d: offloaded moments are refused: %s", i, r.error[i].text);
}

/* Memory */

static void take_memory(struct dawn_exec *exec)
{
    for (int i = 0; i < RIG_RANKS && dawn_exec_memory(exec, i); i++)
        the.memory[i] = *dawn_exec_memory(exec, i);
}

/* Of each layer: f32 weights, or their compute copies, and biases. */
static void test_versions(enum dawn_dtype dtype)
{
    bool bf16 = the.bf16 = dtype == DAWN_BF16;
    uint64_t version = WEIGHTS * (bf16 ? 2 : 4) + WIDE * 4;
    for (int kind = 0; kind < 2; kind++)
        for (int stages = 1; stages <= 4; stages++) {
            struct rig_case c = {.model = {.dtype = dtype},
                                 .build = chain,
                                 .schedule = kinds[kind],
                                 .stages = stages,
                                 .microbatches = MICROBATCHES,
                                 .steps = 1,
                                 .after = take_memory,
                                 .feed = feed};
            struct rig_result r;
            rig_run(&c, &r);
            for (int x = 0; x < stages; x++) {
                uint64_t old = kind ? 1 : (uint64_t)(stages - x - 1);
                uint64_t layers = 0;
                for (int i = 0; i < LAYERS; i++)
                    layers += stage_of(stages, i) == x;
                is_u64(the.memory[x].by[DAWN_CATEGORY_VERSIONS],
                       old * layers * version,
                       "%s, %s, stage %d of %d: %d versions at the peak",
                       dawn_dtype_name(dtype), kinds[kind], x, stages,
                       (int)old + 1);
                is_u64(r.peak[x], r.predicted[x], "peak as predicted");
            }
        }
}

/* A small GPT-2: a parameter that two stages share, dropout */

static const char *const keeps[] = {
    "keep",        "recompute all",      "recompute some",
    "all to disk", "all to host memory", "something of everything"};

static void test_same_bits(enum dawn_dtype dtype, int kind, int stages)
{
    struct rig_case base = {.model = rig_model(dtype),
                            .schedule = kinds[kind],
                            .stages = stages,
                            .microbatches = 8,
                            .clip = 1,
                            .lr = 1e-3};
    struct rig_result one, r;
    base.model.dropout = 0.1;
    rig_run(&base, &one);
    if (!is_int(one.status[0], DAWN_OK, "%s, %s, %d stages: runs",
                dawn_dtype_name(dtype), base.schedule, stages))
        diag("%s", one.error[0].text);
    ok(one.loss[RIG_STEPS - 1] < one.loss[0], "the loss falls, %g to %g",
       one.loss[0], one.loss[RIG_STEPS - 1]);
    for (int ranks = 1; ranks <= stages; ranks++)
        for (int re = 0; re < 6; re++) {
            struct rig_case c = base;
            c.ranks = ranks;
            c.recompute = re;
            rig_run(&c, &r);
            if (!ok(rig_same(&one, &r), "on %d ranks, %s: same bits", ranks,
                    keeps[re]))
                diag("status %d %s, loss %a, not %a", r.status[0],
                     r.error[0].text, r.loss[0], one.loss[0]);
            for (int i = 0; i < ranks; i++)
                is_u64(r.peak[i], r.predicted[i], "rank %d: peak as predicted",
                       i);
        }
}

/* The samples of a run, in steps of any size. */

static int per_step;

static int stream(void *user, const struct dawn_feed *what, void *data)
{
    (void)user;
    int shift = strcmp(what->name, "targets") == 0;
    int32_t *to = data;
    for (int64_t s = 0; s < what->samples; s++)
        for (int64_t t = 0; t < 16; t++) {
            uint64_t number =
                what->eval ? 1000 + what->sample
                           : what->step * (uint64_t)per_step + what->sample;
            uint64_t x =
                (number + (uint64_t)s) * 131 + (uint64_t)(t + shift) * 7;
            *to++ = (int32_t)((x * 2654435761u >> 7) % 61);
        }
    return 0;
}

static void run_stream(const char *schedule, int microbatches,
                       enum dawn_dtype dtype, struct rig_result *r)
{
    struct rig_case c = {.model = rig_model(dtype),
                         .schedule = schedule,
                         .stages = 1,
                         .microbatches = microbatches,
                         .steps = RIG_STEPS / microbatches,
                         .clip = 1,
                         .feed = stream};
    per_step = 2 * microbatches;
    rig_run(&c, r);
}

static void test_one_stage(enum dawn_dtype dtype)
{
    struct rig_result sync, async;
    run_stream("1f1b", 1, dtype, &sync);
    for (int m = 2; m <= RIG_STEPS; m += m) {
        run_stream("async-1f1b", m, dtype, &async);
        ok(sync.params_hash == async.params_hash && sync.eval == async.eval,
           "%s, one stage, %d microbatches in %d updates of %d steps: the bits "
           "of %d synchronous steps",
           dawn_dtype_name(dtype), m, m, RIG_STEPS / m, RIG_STEPS);
    }
}

int main(void)
{
    plan_lazy();
    the.bad_step = -1;
    the.tied = 1;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        enum dawn_dtype dtype = bf16 ? DAWN_BF16 : DAWN_F32;
        for (int stages = 1; stages <= 5; stages++) {
            test_recurrence(dtype, 0, stages, 1);
            test_recurrence(dtype, 0, stages, 3);
            if (stages <= 4)
                test_recurrence(dtype, 1, stages, 4);
        }
        test_versions(dtype);
        test_one_stage(dtype);
        test_same_bits(dtype, 0, 3);
        test_same_bits(dtype, 1, 4);
    }
    for (the.tied = 2; the.tied <= LAYERS; the.tied *= 2)
        for (int stages = 1; stages <= 4; stages++) {
            test_recurrence(DAWN_F32, 0, stages, 1);
            test_recurrence(DAWN_F32, 1, stages, 4);
        }
    the.tied = 1;
    test_bad_update(0, 1, 0);
    test_bad_update(0, 3, 2);
    test_bad_update(1, 4, 0);
    test_moments();
    return done_testing();
}
