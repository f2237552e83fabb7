/* SPDX-License-Identifier: Apache-2.0 */
/* How fast the host's kernels are on the shapes of GPT-2 124M, bf16.
 *
 *     kernels [THREADS [REPEATS [MICROBATCH [CONTEXT]]]]
 *
 * Prints for each kernel and phase the median time, GFLOP/s at the median and
 * at the best, the median as a share of the fastest product's, and how long a
 * step's calls of it take together. Memory is cold for weights, as in a step:
 * each repeat uses another of several copies.
 */
#include "common/clock.h"
#include "device/host/host.h"
#include "device/host/threads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPIES 3 /* of every buffer */
#define PORTS 2
#define WIDTH 768
#define HEADS 12
#define LAYERS 12
#define VOCABULARY 50257
#define REPEATS_MAX 1000

enum measure { FORWARD, INPUT, PARAM, PREPARE, MEASURES };

static const char *const measure_names[MEASURES] = {"F", "B", "W", "prepare"};

struct bench_case {
    const char *name, *op;
    int64_t in, out; /* last extents */
    int calls;       /* in a step */
    bool bias, attention;
};

static const struct bench_case cases[] = {
    {"qkv", "linear", WIDTH, 3 * WIDTH, LAYERS, true, false},
    {"projection", "linear", WIDTH, WIDTH, LAYERS, true, false},
    {"up", "linear", WIDTH, 4 * WIDTH, LAYERS, true, false},
    {"down", "linear", 4 * WIDTH, WIDTH, LAYERS, true, false},
    {"head", "linear", WIDTH, VOCABULARY, 1, false, false},
    {"attention", "attention", 3 * WIDTH, WIDTH, LAYERS, false, true},
};
#define CASES (sizeof cases / sizeof cases[0])

struct result {
    double median_s, best_s, flops;
};

struct bench {
    const struct bench_case *c;
    int repeats;
    int64_t microbatch, context;
    struct dawn_graph *graph;
    const struct dawni_kernel_ops *ops;
    struct dawni_kernel *kernel;
    void *x[COPIES], *y[COPIES], *lse[COPIES], *dx[COPIES], *dy[COPIES];
    void *param[COPIES][PORTS], *dparam[COPIES][PORTS], *prepared[COPIES];
    void *scratch;
};

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "kernels: no memory\n");
        exit(1);
    }
    return p;
}

static void check(enum dawn_status st, const struct dawn_error *err)
{
    if (st) {
        fprintf(stderr, "kernels: %s\n", err->text);
        exit(1);
    }
}

/* Touched, and filled with small numbers in bf16 and in f32. */
static void *buffer(uint64_t bytes)
{
    uint64_t room = (bytes + 4096 + 63) / 64 * 64;
    uint16_t *p = must(aligned_alloc(64, room));
    for (uint64_t i = 0; i < room / 2; i++)
        p[i] = (uint16_t)(0x3c00 + (i * 2654435761u >> 28 & 15) +
                          ((i >> 3 & 1) << 15));
    return p;
}

static struct dawn_graph *build(const struct bench_case *c, int64_t context)
{
    struct dawn_graph *graph = NULL;
    struct dawn_error err = {0};
    struct dawn_op_desc desc = {.name = "node", .op = c->op, .inputs = 1};
    struct dawn_tensor_desc x = {.name = "x",
                                 .dtype = DAWN_BF16,
                                 .batched = true,
                                 .dims = 2,
                                 .shape = {context, c->in}};
    const struct dawn_param_desc w = {
        .name = "w", .dims = 2, .shape = {c->out, c->in}};
    const struct dawn_param_desc bias = {
        .name = "bias", .dims = 1, .shape = {c->out}};

    check(dawn_graph_create("bench", &graph, &err), &err);
    desc.input[0] = dawn_graph_add_input(graph, &x);
    if (c->attention) {
        desc.attrs = 1;
        desc.attr[0] = (struct dawn_attr){"heads", HEADS};
    } else {
        desc.param[desc.params++] = dawn_graph_add_param(graph, &w);
        if (c->bias)
            desc.param[desc.params++] = dawn_graph_add_param(graph, &bias);
    }
    if (dawn_op_add(graph, &desc) < 0) {
        fprintf(stderr, "kernels: no node for %s\n", c->name);
        exit(1);
    }
    return graph;
}

static void allocate(struct bench *b)
{
    const struct dawn_node_desc *node = dawn_graph_node(b->graph, 0);
    int64_t m = b->microbatch;
    uint64_t scratch = 0;

    for (int phase = 0; phase < DAWNI_PHASES; phase++)
        if (b->kernel->scratch_bytes[phase] > scratch)
            scratch = b->kernel->scratch_bytes[phase];
    b->scratch = buffer(scratch);
    for (int i = 0; i < COPIES; i++) {
        int y = dawn_graph_output(b->graph, 0, 0);
        int lse = dawn_graph_output(b->graph, 0, 1);
        b->x[i] = buffer(dawn_graph_tensor_bytes(b->graph, node->input[0], m));
        b->dx[i] = buffer(dawn_graph_tensor_bytes(b->graph, node->input[0], m));
        b->y[i] = buffer(dawn_graph_tensor_bytes(b->graph, y, m));
        b->dy[i] = buffer(dawn_graph_tensor_bytes(b->graph, y, m));
        if (lse >= 0)
            b->lse[i] = buffer(dawn_graph_tensor_bytes(b->graph, lse, m));
        b->prepared[i] = buffer(b->kernel->prepared_bytes);
        for (int j = 0; j < node->params; j++) {
            uint64_t bytes = 4 * (uint64_t)dawn_graph_param_elements(
                                     b->graph, node->param[j]);
            b->param[i][j] = buffer(bytes);
            b->dparam[i][j] = buffer(bytes);
        }
    }
}

static void release(struct bench *b)
{
    for (int i = 0; i < COPIES; i++) {
        void *all[] = {b->x[i],        b->y[i],        b->lse[i],
                       b->dx[i],       b->dy[i],       b->prepared[i],
                       b->param[i][0], b->param[i][1], b->dparam[i][0],
                       b->dparam[i][1]};
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++)
            free(all[j]);
    }
    free(b->scratch);
    dawni_kernel_destroy(b->kernel);
    dawn_graph_destroy(b->graph);
}

static enum dawn_status call(struct bench *b, enum measure what, int copy,
                             struct dawn_error *err)
{
    const void *in[] = {b->x[copy]}, *dout[] = {b->dy[copy], NULL};
    const void *add[] = {NULL};
    void *out[] = {b->y[copy], b->lse[copy]}, *din[] = {b->dx[copy]};
    const float *param[] = {b->param[copy][0], b->param[copy][1]};
    float *dparam[] = {b->dparam[copy][0], b->dparam[copy][1]};
    const struct dawn_op_args args = {
        .microbatch = b->microbatch,
        .in = in,
        .out = out,
        .param = param,
        .prepared = b->prepared[copy],
        .dout = dout,
        .din = din,
        .din_add = add,
        .dparam = dparam,
        .scratch = b->scratch,
    };

    switch (what) {
    case FORWARD:
        return b->ops->forward(b->kernel, &args, err);
    case INPUT:
        return b->ops->backward_input(b->kernel, &args, err);
    case PARAM:
        return b->ops->backward_param(b->kernel, &args, err);
    default:
        return b->ops->prepare(b->kernel, param, b->prepared[copy], err);
    }
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double flops_of(const struct bench *b, enum measure what)
{
    const struct dawn_node_desc *node = dawn_graph_node(b->graph, 0);
    return what == PREPARE ? 0 : node->flops[what] * (double)b->microbatch;
}

static bool has(const struct bench *b, enum measure what)
{
    return what == PARAM     ? b->ops->backward_param != NULL
           : what == PREPARE ? b->kernel->prepared_bytes > 0
                             : true;
}

static struct result measure(struct bench *b, enum measure what)
{
    double time[REPEATS_MAX];
    struct dawn_error err = {0};

    for (int i = -1; i < b->repeats; i++) {
        uint64_t start = dawni_now_ns();
        check(call(b, what, (i + 1) % COPIES, &err), &err);
        if (i >= 0)
            time[i] = (double)(dawni_now_ns() - start) * 1e-9;
    }
    qsort(time, (size_t)b->repeats, sizeof *time, by_time);
    return (struct result){.median_s = time[b->repeats / 2],
                           .best_s = time[0],
                           .flops = flops_of(b, what)};
}

static void run_case(struct bench *b, struct result *result)
{
    struct dawn_error err = {0};

    b->ops = b->c->attention ? &dawni_host_attention : &dawni_host_linear;
    b->graph = build(b->c, b->context);
    check(b->ops->create(b->graph, 0, b->microbatch, &b->kernel, &err), &err);
    allocate(b);
    for (int i = 0; i < MEASURES; i++) {
        if (has(b, i))
            result[i] = measure(b, i);
    }
    release(b);
}

static double rate(double flops, double seconds)
{
    return seconds > 0 ? flops / seconds * 1e-9 : 0;
}

static void print(struct result result[][MEASURES])
{
    double fastest = 0, step[MEASURES] = {0};

    for (size_t i = 0; i < CASES; i++) {
        for (int j = 0; j < PREPARE; j++)
            fastest =
                fmax(fastest, rate(result[i][j].flops, result[i][j].median_s));
    }
    printf("%-10s %-8s %9s %9s %9s %6s %9s\n", "kernel", "phase", "ms",
           "GFLOP/s", "best", "share", "step ms");
    for (size_t i = 0; i < CASES; i++) {
        for (int j = 0; j < MEASURES; j++) {
            const struct result *r = &result[i][j];
            double all = r->median_s * cases[i].calls * 1e3;
            if (r->median_s == 0)
                continue;
            step[j] += all;
            printf("%-10s %-8s %9.3f %9.0f %9.0f %5.0f%% %9.1f\n",
                   cases[i].name, measure_names[j], r->median_s * 1e3,
                   rate(r->flops, r->median_s), rate(r->flops, r->best_s),
                   100 * rate(r->flops, r->median_s) / fastest, all);
        }
    }
    printf("a step: F %.0f ms, B %.0f ms, W %.0f ms, prepare %.0f ms\n",
           step[FORWARD], step[INPUT], step[PARAM], step[PREPARE]);
}

static int64_t number(int argc, char **argv, int i, int64_t otherwise)
{
    int64_t n = i < argc ? strtoll(argv[i], NULL, 10) : otherwise;
    if (n < 1) {
        fprintf(stderr, "usage: kernels [THREADS [REPEATS [MICROBATCH "
                        "[CONTEXT]]]], each >= 1\n");
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    static struct result result[CASES][MEASURES];
    int threads = (int)number(argc, argv, 1, 1);
    int64_t repeats = number(argc, argv, 2, 15);
    int64_t microbatch = number(argc, argv, 3, 4);
    int64_t context = number(argc, argv, 4, 256);
    struct dawn_error err = {0};

    check(dawni_host_setup(threads, 0, 1, &err), &err);
    printf("%d threads, microbatch %lld x %lld, bf16\n", threads,
           (long long)microbatch, (long long)context);
    for (size_t i = 0; i < CASES; i++) {
        struct bench b = {.c = &cases[i],
                          .repeats = repeats < REPEATS_MAX ? (int)repeats
                                                           : REPEATS_MAX,
                          .microbatch = microbatch,
                          .context = context};
        run_case(&b, result[i]);
    }
    print(result);
    return 0;
}
