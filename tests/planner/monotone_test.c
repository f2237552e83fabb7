/* SPDX-License-Identifier: Apache-2.0 */
/* A plan under a cap is one under any larger cap, and of a profile that others
 * published, one for fewer stages is one for more: nothing gets slower by more
 * than 0.1% where a cap grows or where more stages may be used.
 *
 *     monotone_test [CASES [SEED]]
 *
 * Random profiles of PipeDream's shape and of our own; and, where
 * DAWN_PLANNER_CASES names their folder, files that others published.
 */
#include "rig.h"
#include "tap.h"

#include <dawnpiper/import.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARGIN 1e-3

static uint64_t state;

static double draw(double low, double high)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(state >> 11) / 9007199254740992.0;
}

static int draw_int(int low, int high)
{
    int n = low + (int)draw(0, high - low + 1);

    return n < high ? n : high;
}

/* A published profile, or one made up */

struct writer {
    FILE *file;
    int nodes;
    double megabytes; /* of an activation here */
};

static int write_node(struct writer *w, int from, int other, double share)
{
    int id = ++w->nodes;
    double f = draw(0.5, 10);

    fprintf(w->file,
            "node%d -- Layer -- forward_compute_time=%.3f, "
            "backward_compute_time=%.3f, activation_size=%.0f, "
            "parameter_size=%.0f\n",
            id, f, f * draw(1, 3), w->megabytes * share * 1e6 * draw(0.9, 1.1),
            draw(0, 30) * 1e6);
    if (from)
        fprintf(w->file, "\tnode%d -- node%d\n", from, id);
    if (other)
        fprintf(w->file, "\tnode%d -- node%d\n", other, id);
    return id;
}

/* Residual blocks: a branch with thin layers, one with a layer or none, and
 * their sum. Activations shrink from block to block. */
static void write_blocks(FILE *file)
{
    struct writer w = {file, 0, draw(50, 400)};
    int blocks = draw_int(2, 5), at = write_node(&w, 0, 0, 1);

    for (int i = 0; i < blocks; i++) {
        int inner = at, outer = at, layers = draw_int(1, 4);
        w.megabytes *= draw(0, 1) < 0.4 ? 0.5 : 1;
        for (int k = 0; k < layers; k++)
            inner = write_node(&w, inner, 0, k ? 0.25 : 0.5);
        if (draw(0, 1) < 0.4)
            outer = write_node(&w, at, 0, 1);
        at = write_node(&w, inner, outer, 1);
    }
}

static struct dawn_profile *import_file(const char *format, const char *path)
{
    struct dawn_error err = {0};
    struct dawn_profile *p = NULL;

    if (dawn_import(format, path, &p, &err))
        diag("%s: %s", path, err.text);
    return p;
}

static struct dawn_profile *blocks_profile(void)
{
    const char *dir = getenv("TMPDIR");
    char path[512];
    struct dawn_profile *p = NULL;

    snprintf(path, sizeof path, "%s/monotone-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file)
        return NULL;
    write_blocks(file);
    if (!fclose(file))
        p = import_file("pipedream", path);
    unlink(path);
    return p;
}

/* Planning */

struct wanted {
    const struct dawn_profile *profile;
    int stages, microbatches;
    uint64_t cap; /* 0: none */
};

/* INFINITY: nothing fits. *peak_p: bytes of the fullest rank. */
static double step_of(const struct wanted *w, double *peak_p)
{
    struct dawn_planner_opts opts = {.stages = w->stages,
                                     .microbatches = w->microbatches,
                                     .cap_bytes = w->cap};
    struct dawn_error err = {0};
    struct dawn_plan *plan = NULL;
    enum dawn_status st =
        dawn_planner_run(w->profile, NULL, &opts, &plan, &err);
    double step_ns = st ? INFINITY : dawn_plan_info(plan)->step_ns;

    if (st && st != DAWN_E_NOFIT)
        diag("%d stages: %s", w->stages, err.text);
    for (int x = 0; peak_p && !st && x < dawn_plan_info(plan)->stages; x++)
        *peak_p = fmax(*peak_p,
                       (double)dawn_plan_stage(plan, x)->predicted.arena_bytes);
    dawn_plan_destroy(plan);
    return step_ns;
}

struct tally {
    int pairs, worse;
    double worst; /* ratio of the second step to the first */
};

static void count_pair(struct tally *t, const char *name,
                       const struct wanted *a, const struct wanted *b)
{
    double first = step_of(a, NULL), then = step_of(b, NULL);

    if (isinf(first))
        return;
    t->pairs++;
    t->worst = fmax(t->worst, then / first);
    if (then <= first * (1 + MARGIN))
        return;
    t->worse++;
    diag("%s, %d microbatches: %d stages under %" PRIu64
         " bytes %.6g ms, %d under %" PRIu64 " %.6g ms",
         name, a->microbatches, a->stages, a->cap, first * 1e-6, b->stages,
         b->cap, then * 1e-6);
}

/* Compare two caps, or two counts of stages where `counts` says so. */
static void try_pair(struct tally *t, const char *name,
                     const struct dawn_profile *profile, bool counts)
{
    int nodes = dawn_graph_nodes(dawn_profile_graph(profile));
    int most = nodes < 6 ? nodes : 6;
    struct wanted a = {.profile = profile, .stages = draw_int(2, most)}, b;
    double peak = 0;

    a.microbatches = draw_int(1, 3) * a.stages;
    step_of(&a, &peak);
    b = a;
    if (counts) {
        b.stages = a.stages;
        a.stages = draw_int(1, b.stages);
        a.cap = b.cap = draw(0, 1) < 0.5 ? 0 : (uint64_t)(peak * draw(0.3, 1));
    } else {
        double low = draw(0.4, 1), high = draw(low, 1);
        a.cap = (uint64_t)(peak * low);
        b.cap = (uint64_t)(peak * high);
    }
    count_pair(t, name, &a, &b);
}

static void report(const struct tally *t, const char *what)
{
    is_int(t->worse, 0, "%s: none of %d pairs is slower by more than 0.1%%",
           what, t->pairs);
    diag("%s: the worst is %.6f of the first", what, t->worst);
}

static void test_blocks(int cases, bool counts)
{
    struct tally t = {0};

    for (int i = 0; i < cases;) {
        struct dawn_profile *p = blocks_profile();
        char name[32];
        if (!p) {
            ok(false, "a profile of blocks is read");
            return;
        }
        snprintf(name, sizeof name, "blocks %d", i);
        for (int k = 0; k < 5 && i < cases; k++, i++)
            try_pair(&t, name, p, counts);
        dawn_profile_destroy(p);
    }
    ok(t.pairs >= cases / 3, "%d of %d pairs of plans of blocks were made",
       t.pairs, cases);
    report(&t, counts ? "blocks, by stages" : "blocks, by caps");
}

static void test_own(int cases)
{
    struct tally t = {0};

    for (int i = 0; i < cases; i += 5) {
        struct rig_opts opts = {.nodes = draw_int(6, 24),
                                .seed = (uint64_t)draw_int(1, 1 << 20),
                                .branchy = draw(0, 1) < 0.5,
                                .params = true};
        struct dawn_profile *p = rig_profile(&opts);
        char name[64];
        snprintf(name, sizeof name, "%d nodes of our own, seed %" PRIu64 "%s",
                 opts.nodes, opts.seed, opts.branchy ? ", branchy" : "");
        for (int k = 0; p && k < 5 && i + k < cases; k++)
            try_pair(&t, name, p, false);
        dawn_profile_destroy(p);
    }
    ok(t.pairs >= cases / 3, "%d of %d pairs of plans of our own were made",
       t.pairs, cases);
    report(&t, "our own, by caps");
}

static void test_published(const char *folder, int cases)
{
    static const char *const file[][2] = {
        {"pipedream", "pipedream-resnet50.txt"},
        {"pipedream", "pipedream-vgg16.txt"},
        {"piper", "piper-bert32a100.json"},
        {"pipedream", "pipedream-gnmt.txt"},
        {"piper", "piper-resnet50.json"},
        {"pipedream", "pipedream-densenet121.txt"},
        {"piper", "piper-resnet101.json"},
    };
    const int files = sizeof file / sizeof file[0];
    struct tally t = {0};

    for (int i = 0; i < files; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, file[i][1]);
        struct dawn_profile *p = import_file(file[i][0], path);
        ok(p != NULL, "%s is read", file[i][1]);
        for (int k = 0; p && k < cases / files; k++)
            try_pair(&t, file[i][1], p, k % 3 == 2);
        dawn_profile_destroy(p);
    }
    report(&t, "published files");
}

int main(int argc, char **argv)
{
    const char *folder = getenv("DAWN_PLANNER_CASES");
    const char *more = getenv("DAWN_MONOTONE_CASES");
    int cases = tap_cases(argc > 1 ? atoi(argv[1]) : more ? atoi(more) : 500);

    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    plan_lazy();
    test_blocks(cases / 2, false);
    test_blocks(cases / 4, true);
    test_own(cases / 8);
    if (folder && *folder)
        test_published(folder, cases / 8);
    else
        skip("DAWN_PLANNER_CASES names no folder of published files");
    return done_testing();
}
