/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of offline packing: validity on random sets, and how close it comes to
 * the bound on the memory of pipeline stages.
 */
#include "memory/pack.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct set {
    struct dawni_extent *extent;
    int n, room;
};

static uint64_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % below);
}

/* Returns the number of the extent. */
static int add(struct set *s, uint64_t bytes, int begin, int end)
{
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 256;
        s->extent = realloc(s->extent, (size_t)s->room * sizeof *s->extent);
        if (!s->extent)
            abort();
    }
    s->extent[s->n] =
        (struct dawni_extent){(bytes + 63) / 64 * 64, begin, end, 0};
    return s->n++;
}

static bool collide(const struct dawni_extent *a, const struct dawni_extent *b)
{
    return a->begin <= b->end && b->begin <= a->end &&
           a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* No two overlap in time and space, offsets are aligned and inside. */
static bool is_valid(const struct set *s, uint64_t arena)
{
    uint64_t top = 0;

    for (int i = 0; i < s->n; i++) {
        const struct dawni_extent *e = &s->extent[i];

        if (e->offset % 64 || e->offset + e->bytes > arena)
            return false;
        if (e->offset + e->bytes > top)
            top = e->offset + e->bytes;
        for (int k = 0; k < i; k++)
            if (collide(e, &s->extent[k]))
                return false;
    }
    return top == arena;
}

static uint64_t slow_bound(const struct set *s)
{
    uint64_t most = 0;

    for (int i = 0; i < s->n; i++) {
        uint64_t sum = 0;

        for (int k = 0; k < s->n; k++)
            if (s->extent[k].begin <= s->extent[i].begin &&
                s->extent[k].end >= s->extent[i].begin)
                sum += s->extent[k].bytes;
        if (sum > most)
            most = sum;
    }
    return most;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Small sets with a known answer */

static void test_small(void)
{
    static const struct {
        const char *claim;
        int n;
        struct dawni_extent extent[6];
        uint64_t arena;
    } table[] = {
        {"nothing takes nothing", 0, {{0}}, 0},
        {"one extent takes its size", 1, {{128, 3, 5, 0}}, 128},
        {"extents apart in time share",
         2,
         {{128, 0, 1, 0}, {64, 2, 3, 0}},
         128},
        {"lives are inclusive", 2, {{128, 0, 1, 0}, {64, 1, 2, 0}}, 192},
        {"what is empty takes nothing", 2, {{0, 0, 9, 0}, {64, 1, 2, 0}}, 64},
        {"what lives all the time is below",
         3,
         {{64, 1, 1, 0}, {640, 0, 9, 0}, {64, 2, 9, 0}},
         704},
        {"a hole is filled",
         5,
         {{64, 0, 9, 0},
          {128, 1, 4, 0},
          {64, 2, 9, 0},
          {64, 5, 8, 0},
          {64, 5, 8, 0}},
         256},
        {"times far apart",
         2,
         {{64, -2000000000, 0, 0}, {64, 1, 2000000000, 0}},
         64},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct set s = {0};
        uint64_t arena = 1;

        for (int k = 0; k < table[i].n; k++)
            add(&s, table[i].extent[k].bytes, table[i].extent[k].begin,
                table[i].extent[k].end);
        is_int(dawni_pack(s.extent, s.n, &arena, NULL), DAWN_OK, "%s: packed",
               table[i].claim);
        is_u64(arena, table[i].arena, "%s", table[i].claim);
        is_u64(dawni_pack_bound(s.extent, s.n), table[i].arena,
               "%s: and the bound is that", table[i].claim);
        free(s.extent);
    }
}

/* Random sets */

static void random_set(struct set *s, int n, int times, uint32_t most_bytes)
{
    s->n = 0;
    for (int i = 0; i < n; i++) {
        int begin = (int)draw((uint32_t)times);
        int most = draw(4) ? times / 20 + 1 : times - begin;

        add(s, draw(most_bytes) + 1, begin, begin + (int)draw((uint32_t)most));
    }
}

static void test_random(void)
{
    int bad = 0, wrong = 0, changed = 0;
    double worst = 1;
    struct set s = {0};

    for (int round = 0; round < 300; round++) {
        uint64_t arena = 0, again = 0, bound;

        random_set(&s, 1 + (int)draw(200), 1 + (int)draw(300),
                   round % 2 ? 1 << 20 : 300);
        dawni_pack(s.extent, s.n, &arena, NULL);
        bound = dawni_pack_bound(s.extent, s.n);
        bad += !is_valid(&s, arena);
        wrong += bound != slow_bound(&s) || arena < bound;
        if ((double)arena / (double)bound > worst)
            worst = (double)arena / (double)bound;
        dawni_pack(s.extent, s.n, &again, NULL);
        changed += again != arena;
    }
    is_int(bad, 0, "300 random sets: no two extents collide");
    is_int(wrong, 0, "300 random sets: the bound is that of the definition");
    is_int(changed, 0, "300 random sets: packed twice, the same arena");
    diag("worst arena / bound of random sets: %.4f", worst);
    free(s.extent);
}

static void test_large(void)
{
    struct set s = {0};
    uint64_t arena = 0;

    random_set(&s, 4000, 20000, UINT32_MAX / 2);
    dawni_pack(s.extent, s.n, &arena, NULL);
    ok(is_valid(&s, arena), "4000 extents of up to 2 GiB: no two collide");
    ok((double)arena <= 1.1 * (double)dawni_pack_bound(s.extent, s.n),
       "4000 extents of up to 2 GiB: within 1.1 of the bound");
    free(s.extent);
}

/* Pipeline stages of a language model under 1F1B */

struct stage {
    const char *name;
    int layers, microbatches, in_flight;
    uint64_t rows, hidden, vocab; /* rows: samples * context */
    bool recompute;               /* saved: the input of each layer only */
};

/* Tensors of one layer, in multiples of rows * hidden * 2 bytes, and whether
 * backward needs them. */
static const struct {
    uint64_t size;
    bool saved;
} node[] = {
    {1, true},  /* norm */
    {3, true},  /* query, key, value */
    {1, true},  /* attention */
    {1, false}, /* projection */
    {1, true},  /* residual */
    {1, true},  /* norm */
    {4, true},  /* up */
    {4, true},  /* GELU */
    {1, false}, /* down */
    {1, true},  /* residual, the input of the next layer */
};

#define NODES ((int)(sizeof node / sizeof node[0]))

struct maker {
    const struct stage *stage;
    struct set *set;
    int time;
    int *saved; /* by microbatch, layer, node: extent, -1: none */
};

static int *saved_at(struct maker *k, int mb, int layer, int i)
{
    return &k->saved[(mb * k->stage->layers + layer) * NODES + i];
}

static uint64_t node_bytes(const struct stage *t, int i)
{
    return node[i].size * t->rows * t->hidden * 2;
}

/* Run a layer's forward; keep: extents live on until backward ends them. */
static void layer_forward(struct maker *k, int mb, int layer, bool keep)
{
    const struct stage *t = k->stage;

    for (int i = 0; i < NODES; i++, k->time++) {
        int e = add(k->set, node_bytes(t, i), k->time, k->time + 1);

        *saved_at(k, mb, layer, i) =
            (keep && node[i].saved) || i == NODES - 1 ? e : -1;
        if (i % 3 == 1)
            add(k->set, 64 * t->hidden * (uint64_t)(1 + i), k->time, k->time);
    }
}

static void layer_backward(struct maker *k, int mb, int layer)
{
    const struct stage *t = k->stage;

    if (t->recompute)
        layer_forward(k, mb, layer, true);
    for (int i = NODES - 1; i >= 0; i--, k->time += 2) {
        int e = *saved_at(k, mb, layer, i);

        /* gradient by the output, scratch of B and W */
        add(k->set, node_bytes(t, i), k->time, k->time + 2);
        if (i % 3 == 1) {
            add(k->set, 96 * t->hidden * (uint64_t)(1 + i), k->time, k->time);
            add(k->set, t->hidden * t->hidden * 4, k->time + 1, k->time + 1);
        }
        if (e >= 0)
            k->set->extent[e].end = k->time + 1;
    }
}

static void forward(struct maker *k, int mb)
{
    const struct stage *t = k->stage;
    uint64_t logits = t->rows * t->vocab * 2;

    /* what the stage takes in: received one computation ahead */
    add(k->set, t->rows * t->hidden * 2, k->time - 15, k->time + 2);
    for (int layer = 0; layer < t->layers; layer++)
        layer_forward(k, mb, layer, !t->recompute);
    if (t->vocab == 0)
        add(k->set, t->rows * t->hidden * 2, k->time, k->time + 20);
    else
        add(k->set, logits, k->time, k->time + 5);
    k->time += 2;
}

static void backward(struct maker *k, int mb)
{
    const struct stage *t = k->stage;

    if (t->vocab)
        add(k->set, t->rows * t->vocab * 2, k->time, k->time + 2);
    k->time += 3;
    for (int layer = t->layers - 1; layer >= 0; layer--)
        layer_backward(k, mb, layer);
    add(k->set, t->rows * t->hidden * 2, k->time, k->time + 20);
}

static void make_stage(const struct stage *t, struct set *s)
{
    struct maker k = {.stage = t, .set = s, .time = 20};
    int ahead = t->in_flight < t->microbatches ? t->in_flight : t->microbatches;
    int first, cells = t->microbatches * t->layers * NODES;

    k.saved = malloc((size_t)cells * sizeof *k.saved);
    if (!k.saved)
        abort();
    for (int layer = 0; layer < t->layers; layer++)
        for (int i = 0; i < 12; i++)
            add(s, t->hidden * t->hidden * (i % 3 ? 4 : 16), 0, 0);
    add(s, t->vocab * t->hidden * 4, 0, 0);
    first = s->n;
    for (int mb = 0; mb < ahead; mb++)
        forward(&k, mb);
    for (int mb = 0; mb < t->microbatches; mb++) {
        backward(&k, mb);
        if (mb + ahead < t->microbatches)
            forward(&k, mb + ahead);
    }
    for (int i = 0; i < first; i++)
        s->extent[i].end = k.time + 30;
    free(k.saved);
}

static void test_stages(void)
{
    static const struct stage table[] = {
        {"first of two", 6, 8, 2, 1024, 256, 0, false},
        {"last of two", 6, 8, 1, 1024, 256, 256, false},
        {"first of four, GPT-2", 3, 8, 4, 4096, 768, 0, false},
        {"last of four, GPT-2", 3, 8, 1, 4096, 768, 50257, false},
        {"last of two, GPT-2, logits", 6, 16, 1, 1024, 768, 50257, false},
        {"alone, GPT-2", 12, 4, 1, 1024, 768, 50257, false},
        {"first of eight", 4, 32, 8, 2048, 1024, 0, false},
        {"recompute, first of four", 6, 16, 4, 2048, 768, 0, true},
        {"recompute, last of four", 6, 16, 1, 2048, 768, 50257, true},
        {"gpipe, last of two", 4, 16, 16, 1024, 768, 50257, false},
        {"large, first of eight", 12, 32, 8, 2048, 1024, 0, false},
        {"large, recompute", 16, 40, 6, 2048, 1024, 32000, true},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct set s = {0};
        uint64_t arena = 0, bound;
        double start, seconds, ratio;

        make_stage(&table[i], &s);
        start = now_s();
        dawni_pack(s.extent, s.n, &arena, NULL);
        seconds = now_s() - start;
        bound = dawni_pack_bound(s.extent, s.n);
        ratio = (double)arena / (double)bound;
        ok(ratio <= 1.05, "%s: %d extents in %.4f of the bound", table[i].name,
           s.n, ratio);
        if (s.n < 20000)
            ok(is_valid(&s, arena), "%s: no two collide", table[i].name);
        diag("%s: %.3f s", table[i].name, seconds);
        free(s.extent);
    }
}

/* Stages that were hard to pack: lines of bytes / 64, begin, end, behind a line
 * with the name */

static void pack_case(const char *name, struct set *s)
{
    uint64_t arena = 0, bound = dawni_pack_bound(s->extent, s->n);

    dawni_pack(s->extent, s->n, &arena, NULL);
    double ratio = (double)arena / (double)bound;
    ok(ratio <= 1.03, "%s: %.4f of the bound", name, ratio);
    ok(is_valid(s, arena), "%s: no two collide", name);
    s->n = 0;
}

static void test_cases(void)
{
    const char *top = getenv("top_srcdir");
    char path[4096], line[256], name[256] = "";
    struct set s = {0};
    int cases = 0;

    snprintf(path, sizeof path, "%s/tests/data/pack-cases.txt",
             top ? top : ".");
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        unsigned long long units;
        int begin, end;
        if (sscanf(line, "%llu %d %d", &units, &begin, &end) == 3) {
            add(&s, units * 64, begin, end);
            continue;
        }
        if (s.n)
            pack_case(name, &s);
        cases += sscanf(line, "case %255[^\n]", name);
    }
    if (s.n)
        pack_case(name, &s);
    is_int(cases, 3, "%s: three stages that were hard to pack", path);
    if (file)
        fclose(file);
    free(s.extent);
}

int main(void)
{
    plan_lazy();
    test_small();
    test_random();
    test_large();
    test_stages();
    test_cases();
    return done_testing();
}
