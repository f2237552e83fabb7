/* SPDX-License-Identifier: Apache-2.0 */
/* Passes under the executor: Fisher information against a closed form, and
 * against gradients of single samples; EWC's penalty and update; the same bits
 * whatever the plan, F and anchor on a tier too; what does not go together.
 */
#include "branchy.h"
#include "common/hash.h"
#include "common/scratch.h"
#include "rig.h"
#include "runtime/exec.h"
#include "tap.h"
#include "tier/tier.h"
#include <dawnpiper/checkpoint.h>
#include <dawnpiper/passes.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Of all ranks together */
static uint64_t arrays_hash;
static double penalty[RIG_STEPS + 1][2];

static void hash_arrays(struct dawn_exec *e)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < dawn_exec_params(e); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(e, i);
        const void *array = dawn_exec_pass_array(e, i, 0);
        uint64_t hash[2] = {(uint64_t)p->param, 0};
        if (!array)
            continue;
        hash[1] = dawni_hash_of(array, (size_t)p->elements * sizeof(float));
        arrays_hash ^= dawni_hash_of(hash, sizeof hash);
    }
    pthread_mutex_unlock(&lock);
}

static bool run(struct rig_case *c, struct rig_result *r)
{
    arrays_hash = 0;
    memset(penalty, 0, sizeof penalty);
    rig_run(c, r);
    for (int i = 0; i < (c->ranks ? c->ranks : c->stages); i++)
        if (r->status[i]) {
            diag("rank %d: %s", i, r->error[i].text);
            return false;
        }
    return true;
}

/* Fisher information */

static struct rig_case fisher_case(void)
{
    return (struct rig_case){.model = rig_model(DAWN_F32),
                             .schedule = "1f1b",
                             .stages = 1,
                             .microbatches = 5,
                             .microbatch = 1,
                             .passes = "fisher",
                             .after = hash_arrays};
}

static void test_fisher_bits(const char *what, struct rig_case c)
{
    struct rig_result one, r;
    ok(run(&c, &one) && arrays_hash, "%s: Fisher information on one stage",
       what);
    uint64_t wanted = arrays_hash;
    for (int k = 0; k < 2; k++)
        for (c.stages = 1; c.stages <= 6; c.stages++)
            for (c.recompute = 0; c.recompute < 6; c.recompute++) {
                c.schedule = k ? "gpipe" : "1f1b";
                ok(run(&c, &r) && arrays_hash == wanted &&
                       memcmp(one.norm, r.norm, sizeof r.norm) == 0,
                   "%s: %s, %d stages, decisions %d: the same bits", what,
                   c.schedule, c.stages, c.recompute);
                for (int i = 0; i < c.stages; i++)
                    is_u64(r.peak[i], r.predicted[i],
                           "rank %d: peak as predicted", i);
            }
}

/* The sum of squares over single samples, one step each, must be what the pass
 * has: not the square of a mean or of half of a tied parameter's gradient. */
#define SAMPLES (RIG_STEPS * 5)
static float *single[16]; /* by parameter */

/* Sample 5 t + i of the steps of five, or step s of those of one. */
static int feed_sample(void *user, const struct dawn_feed *what, void *data)
{
    const uint64_t each = *(const uint64_t *)user;
    uint64_t sample = what->step * each + what->sample;
    int32_t *to = data;
    for (uint64_t t = 0; t < 16; t++)
        to[t] = (int32_t)((sample * 131 + (t + (what->name[1] == 'a')) * 7) *
                              2654435761u >>
                          7) %
                61;
    for (int t = 0; t < 16; t++)
        to[t] = abs(to[t]);
    return 0;
}

struct direct {
    struct dawn_graph *graph;
    struct dawn_plan *plan;
    struct dawn_comm *comm;
    struct dawn_exec *exec;
    uint64_t each;
};

static void direct_begin(struct direct *d, struct dawn_graph *graph,
                         const char *passes, int microbatches,
                         dawn_feed_fn feed)
{
    struct dawn_plan_info info = {
        .stages = 1, .ranks = 1, .microbatches = microbatches, .microbatch = 1};
    struct dawn_plan_stage stage = {.last = dawn_graph_nodes(graph) - 1};
    struct dawn_error err;

    strcpy(info.schedule, "1f1b");
    strcpy(info.passes, passes);
    d->graph = graph;
    d->each = (uint64_t)microbatches;
    if (dawn_comm_create_loopback(1, 5, &d->comm, &err) ||
        dawn_plan_create(graph, &info, &stage, &d->plan, &err))
        abort();
    struct dawn_exec_opts opts = {.graph = graph,
                                  .plan = d->plan,
                                  .comm = d->comm,
                                  .seed = 7,
                                  .feed = feed,
                                  .user = &d->each,
                                  .passes = passes};
    if (dawn_exec_create(&opts, &d->exec, &err) ||
        dawn_exec_init(d->exec, &err)) {
        diag("%s", err.text);
        abort();
    }
}

static void direct_end(struct direct *d)
{
    dawn_exec_destroy(d->exec);
    dawn_plan_destroy(d->plan);
    dawn_comm_destroy(d->comm);
    dawn_graph_destroy(d->graph);
}

static struct dawn_graph *small_model(double dropout)
{
    struct dawn_model_opts model = rig_model(DAWN_F32);
    struct dawn_graph *graph;

    model.layers = 1;
    model.dropout = dropout;
    if (dawn_model_build(&model, &graph, NULL))
        abort();
    return graph;
}

static void add_single(struct direct *d, int samples)
{
    struct dawn_step_result result;

    for (int s = 0; s < samples; s++) {
        if (dawn_exec_step(d->exec, (uint64_t)s, -1, &result, NULL))
            abort();
        for (int i = 0; i < dawn_exec_params(d->exec); i++) {
            const struct dawn_exec_param *p = dawn_exec_param(d->exec, i);
            if (!single[i])
                single[i] = calloc((size_t)p->elements, sizeof(float));
            for (int64_t k = 0; k < p->elements; k++)
                single[i][k] = fmaf(p->grad[k], p->grad[k], single[i][k]);
        }
    }
}

/* Largest |a - b| over largest |b|. */
static double apart(const float *a, const float *b, int64_t n)
{
    double worst = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        most = fmax(most, fabs((double)b[i]));
    }
    return worst / most;
}

static void test_single_samples(void)
{
    const int samples = SAMPLES - 2; /* the last step is not a whole one */
    struct direct d;
    struct dawn_step_result result;

    direct_begin(&d, small_model(0), "", 1, feed_sample);
    add_single(&d, samples);
    direct_end(&d);
    direct_begin(&d, small_model(0.5), "fisher", 5, feed_sample);
    for (int t = 0, left = samples; left > 0; t++, left -= 5)
        is_int(dawn_exec_observe_step(d.exec, (uint64_t)t, left, &result, NULL),
               DAWN_OK, "step %d is observed", t);
    for (int i = 0; i < dawn_exec_params(d.exec); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(d.exec, i);
        double far =
            apart(dawn_exec_pass_array(d.exec, i, 0), single[i], p->elements);
        ok(far < 1e-6,
           "%s: squares of single samples' gradients, without dropout, %g off",
           p->name, far);
        ok(!p->adam_m, "%s: no moments", p->name);
        free(single[i]);
        single[i] = NULL;
    }
    direct_end(&d);
}

/* Softmax regression: F_cd = mean of (p_c - [y = c])^2 x_d^2. */
#define CLASSES 5
#define WIDTH 7
#define POINTS 24

static double point(uint64_t sample, int d)
{
    return sin((double)(sample * 13 + 1) * (d + 1) * 0.7) + 0.25 * d;
}

static int label(uint64_t sample)
{
    return (int)(sample * 7 % CLASSES);
}

static int feed_point(void *user, const struct dawn_feed *what, void *data)
{
    uint64_t sample =
        what->step * *(const uint64_t *)user + (uint64_t)what->sample;
    if (strcmp(what->name, "y") == 0)
        *(int32_t *)data = label(sample);
    for (int d = 0; d < WIDTH && strcmp(what->name, "x") == 0; d++)
        ((float *)data)[d] = (float)point(sample, d);
    return 0;
}

static struct dawn_graph *regression(void)
{
    struct dawn_graph *g;
    if (dawn_graph_create("softmax", &g, NULL))
        abort();
    int x = dawn_graph_add_input(
        g, &(struct dawn_tensor_desc){.name = "x",
                                      .dtype = DAWN_F32,
                                      .batched = true,
                                      .dims = 2,
                                      .shape = {1, WIDTH}});
    int y =
        dawn_graph_add_input(g, &(struct dawn_tensor_desc){.name = "y",
                                                           .dtype = DAWN_I32,
                                                           .batched = true,
                                                           .dims = 1,
                                                           .shape = {1}});
    int w = dawn_graph_add_param(
        g, &(struct dawn_param_desc){.name = "w",
                                     .dims = 2,
                                     .shape = {CLASSES, WIDTH},
                                     .init = DAWN_INIT_NORMAL,
                                     .std = 0.5});
    int logits = dawn_op_add(g, &(struct dawn_op_desc){.name = "logits",
                                                       .op = "linear",
                                                       .inputs = 1,
                                                       .input = {x},
                                                       .params = 1,
                                                       .param = {w}});
    dawn_graph_set_loss(
        g, dawn_op_add(g, &(struct dawn_op_desc){.name = "loss",
                                                 .op = "cross_entropy",
                                                 .inputs = 2,
                                                 .input = {logits, y}}));
    struct dawn_error err;
    if (dawn_graph_finish(g, &err)) {
        diag("%s", err.text);
        abort();
    }
    return g;
}

/* p_c - [y = c] for all classes */
static void residual(const float *w, uint64_t sample, double r[CLASSES])
{
    double sum = 0;
    for (int c = 0; c < CLASSES; c++) {
        double z = 0;
        for (int d = 0; d < WIDTH; d++)
            z += (double)w[c * WIDTH + d] * (double)(float)point(sample, d);
        sum += r[c] = exp(z);
    }
    for (int c = 0; c < CLASSES; c++)
        r[c] = r[c] / sum - (label(sample) == c);
}

static void test_closed_form(void)
{
    struct direct d;
    struct dawn_step_result result;
    double r[CLASSES], worst = 0, most = 0, mean_apart = 0;
    double fisher[CLASSES * WIDTH] = {0}, mean[CLASSES * WIDTH] = {0};

    direct_begin(&d, regression(), "fisher", 4, feed_point);
    const float *w = dawn_exec_param(d.exec, 0)->value;
    const float *got = dawn_exec_pass_array(d.exec, 0, 0);
    for (uint64_t s = 0; s < POINTS; s++) {
        residual(w, s, r);
        for (int k = 0; k < CLASSES * WIDTH; k++) {
            double grad = r[k / WIDTH] * (double)(float)point(s, k % WIDTH);
            fisher[k] += grad * grad / POINTS;
            mean[k] += grad / POINTS;
        }
    }
    for (uint64_t t = 0; t < POINTS / 4; t++)
        is_int(dawn_exec_observe_step(d.exec, t, 4, &result, NULL), DAWN_OK,
               "4 points are observed");
    for (int k = 0; k < CLASSES * WIDTH; k++) {
        worst = fmax(worst, fabs((double)got[k] / POINTS - fisher[k]));
        mean_apart = fmax(mean_apart, fabs(mean[k] * mean[k] - fisher[k]));
        most = fmax(most, fisher[k]);
    }
    is_near(worst / most, 0, 1e-6,
            "softmax regression: its Fisher information");
    ok(mean_apart / most > 0.1, "which is no square of a mean (%g off)",
       mean_apart / most);
    direct_end(&d);
}

/* The penalty's gradient, as AdamW's first step with beta1 = 0 shows it. */
static void test_penalty(void)
{
    const double lambda = 3;
    struct direct d;
    struct dawn_step_result result;
    double wanted[2] = {0, 0}, r[CLASSES], worst = 0;
    float fisher[CLASSES * WIDTH], grad[CLASSES * WIDTH];

    direct_begin(&d, regression(), "ewc", 4, feed_point);
    const struct dawn_exec_param *p = dawn_exec_param(d.exec, 0);
    struct dawni_pass_weight weight = dawni_exec_weight(d.exec, 0, 0);
    float *anchor = weight.array[1];
    for (int k = 0; k < CLASSES * WIDTH; k++) {
        fisher[k] = 0.01f * (float)(k + 1);
        anchor[k] = p->value[k] + 0.02f * (float)(k % 5 - 2);
        grad[k] = 0;
    }
    for (uint64_t s = 0; s < 4; s++) {
        residual(p->value, s, r);
        for (int k = 0; k < CLASSES * WIDTH; k++)
            grad[k] += (float)(r[k / WIDTH] * point(s, k % WIDTH) / 4);
    }
    dawni_ewc_store(d.exec->pass[0], &weight, fisher);
    dawni_ewc_set(d.exec->pass[0], lambda, false);
    for (int k = 0; k < CLASSES * WIDTH; k++) {
        double away = (double)p->value[k] - (double)anchor[k];
        double force = lambda * (double)fisher[k] * away;
        wanted[0] += lambda / 2 * (double)fisher[k] * away * away;
        wanted[1] += force * force;
        grad[k] += (float)force;
    }
    is_int(dawn_exec_step(d.exec, 0, 1e-3, &result, NULL), DAWN_OK, "a step");
    is_int(result.figures, 2, "with two figures");
    is_str(result.figure[0].name, "penalty", "the penalty");
    is_near(result.figure[0].value / wanted[0], 1, 1e-6, "as the formula says");
    is_str(result.figure[1].name, "penalty_grad_norm", "its gradient's norm");
    is_near(result.figure[1].value / sqrt(wanted[1]), 1, 1e-6, "likewise");
    for (int k = 0; k < CLASSES * WIDTH; k++) /* m = (1 - beta1) g */
        worst = fmax(worst, fabs((double)p->adam_m[k] * 10 - (double)grad[k]));
    is_near(worst, 0, 1e-6, "AdamW saw the sum of both gradients");
    is_int(dawn_exec_step(d.exec, 1, -1, &result, NULL), DAWN_OK,
           "a step without an update");
    ok(isnan(result.figure[0].value), "has no penalty to tell");
    direct_end(&d);
}

/* EWC */

static bool proximal;

static void keep_penalty(struct dawn_exec *e, int step)
{
    if (e->comm->rank == 0 && step > 0)
        for (int k = 0; k < 2; k++)
            penalty[step - 1][k] = e->figure[k].value;
}

/* Before step 0: F of any numbers, the anchor where the weights are. */
static void set_anchor(struct dawn_exec *e, int step)
{
    keep_penalty(e, step);
    for (int i = 0; step == 0 && i < dawn_exec_params(e); i++) {
        struct dawni_pass_weight w = dawni_exec_fill_weight(e, i, 0, 0);
        float *fisher = malloc((size_t)w.elements * sizeof *fisher);
        for (int64_t k = 0; k < w.elements; k++)
            fisher[k] = (float)((k * 7 + e->param[i].param) % 11) * 0.1f;
        dawni_ewc_scale(e->pass[0], i, fisher, w.elements);
        dawni_ewc_store(e->pass[0], &w, fisher);
        memcpy(w.array[1], w.at.p, (size_t)w.elements * sizeof *fisher);
        if (dawni_exec_store_weight(e, i, 0, NULL))
            abort();
        free(fisher);
    }
    dawni_ewc_set(e->pass[0], 20, proximal);
}

static void test_ewc_bits(const char *passes)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 1,
                         .microbatches = 4,
                         .clip = 1,
                         .passes = passes,
                         .before = set_anchor};
    struct rig_result plain, one, r;
    double wanted[RIG_STEPS + 1][2];
    c.model.dropout = 0.1;
    c.passes = NULL;
    c.before = NULL;
    run(&c, &plain);
    c.passes = passes;
    c.before = set_anchor;
    ok(run(&c, &one), "%s: one stage trains", passes);
    memcpy(wanted, penalty, sizeof wanted);
    ok(penalty[0][0] == 0 && penalty[0][1] == 0, "no penalty at the anchor");
    ok(penalty[1][0] > 0 && penalty[1][1] > 0, "some off it: %g, %g",
       penalty[1][0], penalty[1][1]);
    ok(plain.loss[0] == one.loss[0] && plain.params_hash != one.params_hash,
       "it changes what is learned, not the first loss");
    for (c.stages = 1; c.stages <= 4; c.stages++)
        for (c.recompute = 0; c.recompute < 6; c.recompute++) {
            c.moments = c.recompute % 4;
            ok(run(&c, &r) && rig_same(&one, &r) &&
                   memcmp(wanted, penalty, sizeof wanted) == 0,
               "%s %s, %d stages, decisions %d, moments %d: the same bits",
               passes, proximal ? "proximal" : "gradient", c.stages,
               c.recompute, c.moments);
            for (int i = 0; i < c.stages; i++)
                is_u64(r.peak[i], r.predicted[i], "rank %d: peak as predicted",
                       i);
        }
}

/* On a tier */

static char fisher_dir[300], anchor_dir[300];
static uint64_t loaded; /* digest of F and anchor */

/* What the pass of a run without EWC saw, and the weights. */
static void save_fisher(struct dawn_exec *e)
{
    struct dawn_fisher_save_opts opts = {.dir = fisher_dir,
                                         .samples = RIG_STEPS};
    struct dawn_checkpoint_tensor tensor[64] = {{0}};
    struct dawn_checkpoint_save *save;
    struct dawn_fisher_info info;
    char graph[32];

    snprintf(graph, sizeof graph, "xxh3:%016llx",
             (unsigned long long)dawn_graph_digest(e->graph));
    for (int i = 0; i < dawn_exec_params(e); i++) {
        const struct dawn_exec_param *p = dawn_exec_param(e, i);
        const struct dawn_param_desc *d = dawn_graph_param(e->graph, p->param);
        tensor[i] = (struct dawn_checkpoint_tensor){.name = p->name,
                                                    .dtype = DAWN_F32,
                                                    .dims = d->dims,
                                                    .data = p->value};
        memcpy(tensor[i].shape, d->shape, sizeof d->shape);
    }
    struct dawn_checkpoint_string string = {"graph", graph};
    struct dawn_checkpoint_save_opts weights = {.comm = e->comm,
                                                .dir = anchor_dir,
                                                .tensors = dawn_exec_params(e),
                                                .tensor = tensor,
                                                .strings = 1,
                                                .string = &string};
    if (dawn_fisher_save(e, &opts, &info, NULL) ||
        dawn_checkpoint_save_begin(&weights, &save, NULL) ||
        dawn_checkpoint_save_finish(save, NULL))
        abort();
}

static void load_fisher(struct dawn_exec *e, int step)
{
    struct dawn_ewc_opts opts = {.fisher = fisher_dir,
                                 .anchor = anchor_dir,
                                 .lambda = 10,
                                 .relative = true,
                                 .proximal = proximal};
    struct dawn_ewc_info info;

    keep_penalty(e, step);
    if (step == 0 && dawn_ewc_load(e, &opts, &info, NULL))
        abort();
    if (step == 0 && e->comm->rank == 0)
        loaded = info.digest;
}

/* Bytes that the first rank does not keep of moments and of a pass with such
 * elements. */
static uint64_t spared;
static uint64_t fisher_bytes;

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static void add_spared(struct dawn_exec *e)
{
    for (int i = 0; e->comm->rank == 0 && i < dawn_exec_params(e); i++) {
        uint64_t n = (uint64_t)dawn_exec_param(e, i)->elements;
        spared += 3 * padded(4 * n) + padded(fisher_bytes * n);
        if (dawn_exec_pass_array(e, i, 0) || dawn_exec_pass_array(e, i, 1))
            abort();
    }
}

/* An embedding of more than a piece, F and anchor from files. */
static void test_away(const char *passes)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 1,
                         .microbatches = 2,
                         .passes = "fisher-of-batch-mean",
                         .after = save_fisher};
    struct rig_result kept, r;
    double wanted[RIG_STEPS + 1][2];
    uint64_t digest;

    snprintf(fisher_dir, sizeof fisher_dir, "%s/F-%s", scratch_folder, passes);
    snprintf(anchor_dir, sizeof anchor_dir, "%s/A-%s", scratch_folder, passes);
    c.model.vocab = 9000;
    c.model.hidden = 64;
    ok(run(&c, &r), "F of a model with an embedding of more than a piece");
    c.passes = passes;
    c.before = load_fisher;
    c.after = NULL;
    fisher_bytes = strcmp(passes, "ewc") == 0 ? 4 : 2;
    ok(run(&c, &kept), "%s: all is kept", passes);
    digest = loaded;
    memcpy(wanted, penalty, sizeof wanted);
    ok(penalty[1][0] > 0, "%s: a penalty of %g", passes, penalty[1][0]);
    for (c.moments = 1; c.moments < 3; c.moments++)
        for (c.stages = 1; c.stages <= 3; c.stages++) {
            spared = loaded = 0;
            c.after = add_spared;
            ok(run(&c, &r) && rig_same(&kept, &r) && loaded == digest &&
                   memcmp(wanted, penalty, sizeof wanted) == 0,
               "%s away, %s, %d stages: the same bits", passes,
               c.moments == 1 ? "disk" : "host memory", c.stages);
            if (c.stages == 1)
                is_u64(kept.kept[0] - r.kept[0], spared,
                       "neither moments nor F nor anchor are kept");
            for (int i = 0; i < c.stages; i++)
                is_u64(r.peak[i], r.predicted[i], "rank %d: peak as predicted",
                       i);
        }
}

static int read_of(const struct dawn_exec *e)
{
    return e->piece[e->piece_at[0]].read;
}

/* A bit of F changes on the tier. */
static void damage(struct dawn_exec *e, int step)
{
    float m[1];

    set_anchor(e, step);
    if (step != 1 || e->comm->rank ||
        dawn_exec_moments_get(e, 0, 0, 1, m, m, NULL))
        return;
    uint64_t sum = e->checksum[read_of(e)];
    *(char *)dawni_exec_fill_weight(e, 0, 0, 0).array[0] ^= 1;
    if (dawni_exec_store_weight(e, 0, 0, NULL))
        abort();
    e->checksum[read_of(e)] = sum;
}

/* The disk can no longer be read. */
static void break_disk(struct dawn_exec *e, int step)
{
    set_anchor(e, step);
    if (step != 1 || e->comm->rank)
        return;
    int file = open("/dev/null", O_WRONLY);
    if (file < 0 || dup2(file, dawni_tier_uring_file(e->tier[DAWN_TO_SSD])) < 0)
        abort();
    close(file);
}

static bool uring_there;

static void look(struct dawn_exec *e)
{
    uring_there = strcmp(e->tier[DAWN_TO_SSD]->ops->name, "io_uring") == 0;
}

static void test_failing(void)
{
    struct rig_case c = {.model = rig_model(DAWN_F32),
                         .schedule = "1f1b",
                         .stages = 2,
                         .microbatches = 2,
                         .moments = 1,
                         .passes = "ewc",
                         .before = damage};
    struct rig_result r;

    rig_run(&c, &r);
    for (int i = 0; i < 2; i++)
        ok(r.status[i] == DAWN_E_IO &&
               strstr(r.error[i].text, "what passes keep of"),
           "rank %d: %s", i, r.error[i].text);
    c.before = set_anchor;
    c.after = look;
    c.stages = 1;
    rig_run(&c, &r);
    c.stages = 2;
    c.after = NULL;
    if (!uring_there) {
        skip("no io_uring here");
        return;
    }
    c.before = break_disk;
    rig_run(&c, &r);
    for (int i = 0; i < 2; i++)
        ok(r.status[i] == DAWN_E_IO && strstr(r.error[i].text, "cannot read"),
           "rank %d: %s", i, r.error[i].text);
}

/* Files */

/* A checkpoint of the regression's w, or of its F. */
struct file {
    const char *kind, *name;
    enum dawn_dtype dtype;
    int columns;
    float first;      /* number */
    bool other_graph; /* it says that it is of another one */
};

static const char *save_file(struct direct *d, const char *path,
                             const struct file *f)
{
    float data[CLASSES * WIDTH];
    char graph[32];
    struct dawn_checkpoint_save *save;
    struct dawn_error err;

    for (int i = 0; i < CLASSES * WIDTH; i++)
        data[i] = i ? 0.25f : f->first;
    snprintf(graph, sizeof graph, "xxh3:%016llx",
             (unsigned long long)dawn_graph_digest(d->graph) + f->other_graph);
    struct dawn_checkpoint_string string[] = {{"graph", graph},
                                              {"kind", f->kind}};
    struct dawn_checkpoint_tensor tensor = {.name = f->name,
                                            .dtype = f->dtype,
                                            .dims = 2,
                                            .shape = {CLASSES, f->columns},
                                            .data = data};
    struct dawn_checkpoint_save_opts opts = {.comm = d->comm,
                                             .dir = path,
                                             .keep = 1,
                                             .tensors = 1,
                                             .tensor = &tensor,
                                             .strings = f->kind ? 2 : 1,
                                             .string = string};
    if (dawn_checkpoint_save_begin(&opts, &save, &err) ||
        dawn_checkpoint_save_finish(save, &err)) {
        diag("%s", err.text);
        abort();
    }
    return path;
}

#define F "fisher information"
static const struct {
    struct file fisher, anchor;
    double lambda;
    bool relative;
    enum dawn_status status;
    const char *text; /* of the error */
} files[] = {
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     2,
     true,
     DAWN_OK,
     ""},
    {{NULL, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     2,
     false,
     DAWN_E_MISMATCH,
     "is no Fisher information"},
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {F, "w", DAWN_F32, WIDTH, 1, false},
     2,
     false,
     DAWN_E_MISMATCH,
     "is Fisher information"},
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, true},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     2,
     false,
     DAWN_OK,
     ""},
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_F32, WIDTH, 1, true},
     2,
     false,
     DAWN_OK,
     ""},
    {{F, "v.fisher", DAWN_F32, WIDTH, 1, true},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     2,
     false,
     DAWN_E_MISMATCH,
     "no tensor w.fisher"},
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_F32, WIDTH - 1, 1, true},
     2,
     false,
     DAWN_E_MISMATCH,
     "has shape [5,6], [5,7] is wanted"},
    {{F, "v.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     2,
     false,
     DAWN_E_MISMATCH,
     "no tensor w.fisher"},
    {{F, "w.fisher", DAWN_F32, WIDTH - 1, 1, false},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     2,
     false,
     DAWN_E_MISMATCH,
     "has shape [5,6], [5,7] is wanted"},
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_BF16, WIDTH, 1, false},
     2,
     false,
     DAWN_E_MISMATCH,
     "tensor w is bf16, f32 is wanted"},
    {{F, "w.fisher", DAWN_F32, WIDTH, -1, false},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     2,
     false,
     DAWN_E_FORMAT,
     "element 0 is -1, must not be below 0"},
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_F32, WIDTH, NAN, false},
     2,
     false,
     DAWN_E_FORMAT,
     "must be finite"},
    {{F, "w.fisher", DAWN_F32, WIDTH, 1, false},
     {NULL, "w", DAWN_F32, WIDTH, 1, false},
     1e39,
     false,
     DAWN_E_INVAL,
     "lambda is 1.0e+39"},
};
#undef F

/* Another graph is taken, since the weight is the same, and told. other: which
 * of both folders is of one; NULL: neither. */
static void test_differs(const struct dawn_ewc_info *info, const char *other)
{
    char wanted[400] = "";

    if (other)
        snprintf(wanted, sizeof wanted,
                 "%s/step-00000000 is of another model with the same "
                 "parameters",
                 other);
    is_str(info->differs, wanted, "what is of another graph");
}

static void test_files(void)
{
    struct direct d;
    struct dawn_ewc_info info;

    direct_begin(&d, regression(), "ewc", 4, feed_point);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char fisher[300], anchor[300];
        snprintf(fisher, sizeof fisher, "%s/f%zu", scratch_folder, i);
        snprintf(anchor, sizeof anchor, "%s/a%zu", scratch_folder, i);
        struct dawn_ewc_opts opts = {
            .fisher = save_file(&d, fisher, &files[i].fisher),
            .anchor = save_file(&d, anchor, &files[i].anchor),
            .lambda = files[i].lambda,
            .relative = files[i].relative,
        };
        struct dawn_error err = {DAWN_OK, ""};
        is_int(dawn_ewc_load(d.exec, &opts, &info, &err), files[i].status,
               "files %zu", i);
        ok(strstr(err.text, files[i].text) != NULL, "%s", err.text);
        if (files[i].status == DAWN_OK)
            test_differs(&info, files[i].fisher.other_graph   ? fisher
                                : files[i].anchor.other_graph ? anchor
                                                              : NULL);
        if (i)
            continue;
        double mean = (1 + 0.25 * (CLASSES * WIDTH - 1)) / (CLASSES * WIDTH);
        is_near(info.fisher.mean, mean, 1e-12, "the mean of F");
        is_near(info.fisher.max, 1, 0, "its largest");
        is_near(info.lambda * mean, 2, 1e-12, "lambda is relative to the mean");
    }
    direct_end(&d);
}

/* What does not go together */

static void test_refused(void)
{
    static const struct {
        const char *passes, *schedule;
        int stages, ranks;
        const char *text;
    } bad[] = {
        {"ewc", "1f1b", 4, 2, "one stage a rank"},
        {"ewc", "async-1f1b", 2, 2, "asynchronous"},
        {"fisher", "async-2bw", 2, 2, "asynchronous"},
        {"ewc,ewc-bf16", "1f1b", 1, 1, "do not go together"},
        {"ewc,fisher", "1f1b", 1, 1, "do not go together"},
        {"fish", "1f1b", 1, 1, "'fish' is none of ewc"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rig_case c = {.model = rig_model(DAWN_F32),
                             .schedule = bad[i].schedule,
                             .stages = bad[i].stages,
                             .ranks = bad[i].ranks,
                             .microbatches = 4,
                             .passes = bad[i].passes};
        struct rig_result r;
        rig_run(&c, &r);
        ok(r.status[0] && strstr(r.error[0].text, bad[i].text),
           "%s under %s: %s", bad[i].passes, bad[i].schedule, r.error[0].text);
    }
}

int main(void)
{
    plan_lazy();
    scratch_make();
    test_closed_form();
    test_single_samples();
    test_penalty();
    test_fisher_bits("gpt2", fisher_case());
    struct rig_case branchy = fisher_case();
    branchy.build = branchy_graph;
    test_fisher_bits("a weight with many uses", branchy);
    branchy = fisher_case();
    branchy.passes = "fisher-of-batch-mean";
    branchy.microbatch = 2;
    test_fisher_bits("batch means", branchy);
    test_ewc_bits("ewc");
    proximal = true;
    test_ewc_bits("ewc");
    test_ewc_bits("ewc-bf16");
    test_away("ewc");
    test_away("ewc-bf16");
    test_failing();
    test_refused();
    test_files();
    return done_testing();
}
