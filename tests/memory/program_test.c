/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: buffers never collide, the curve is what the list says, a stage's
 * price is that of the program.
 */
#include "graph/graph.h"
#include "memory/versions.h"
#include "schedule/schedule.h"
#include "tap.h"
#include <dawnpiper/job.h>
#include <stdlib.h>
#include <string.h>

#define MB 8 /* microbatches */

static struct dawn_graph *graph;
static struct dawni_sizes sizes;

/* A GPT-2 of 3 layers; kernels want scratch by their number. */
static void setup(void)
{
    struct dawn_model_opts m = {.preset = "gpt2",
                                .layers = 3,
                                .hidden = 64,
                                .heads = 4,
                                .context = 32,
                                .vocab = 500,
                                .fused_attention = true,
                                .dtype = DAWN_BF16};
    struct dawn_error err = {0};
    if (dawn_model_build(&m, &graph, &err) ||
        dawni_sizes_create(graph, 2, &sizes, &err))
        diag("%s", err.text);
    for (int n = 0; n < graph->nodes; n++) {
        for (int p = 0; p < 3; p++)
            sizes.scratch[n][p] = (uint64_t)((n * 7 + p * 3) % 5) * 1000;
        sizes.prepared[n] = (uint64_t)(n % 3) * 500;
    }
}

enum how { KEEP, RECOMPUTE, SOME, SSD, HOST, MIXED, HOWS };

static const char *const how_name[] = {
    "all kept",    "all recomputed",     "some recomputed",
    "all to disk", "all to host memory", "of everything something"};

/* For a saved tensor; `own`: the stage makes it. */
static int decide(int tensor, bool own, enum how how)
{
    static const uint8_t always[] = {[KEEP] = DAWN_KEEP,
                                     [RECOMPUTE] = DAWN_RECOMPUTE,
                                     [SSD] = DAWN_TO_SSD,
                                     [HOST] = DAWN_TO_HOST};
    int d = always[how % MIXED];
    if (how == SOME)
        d = tensor % 3 ? DAWN_RECOMPUTE : DAWN_KEEP;
    else if (how == MIXED)
        d = tensor * 7 % 13 % DAWN_DECISIONS;
    return d == DAWN_RECOMPUTE && !own ? DAWN_KEEP : d;
}

static uint8_t **decisions(int stages, const int *first, enum how how)
{
    uint8_t **d = calloc((size_t)stages, sizeof *d);
    for (int s = 0; s < stages; s++) {
        d[s] = calloc((size_t)graph->tensors, 1);
        for (int t = 0; t < graph->tensors; t++) {
            bool own = graph->tensor[t].producer >= first[s];
            if (dawni_tensor_saved(graph, t, first[s], first[s + 1] - 1))
                d[s][t] = (uint8_t)decide(t, own, how);
        }
    }
    return d;
}

static void check_layout(const struct dawni_program *p, const char *what)
{
    int bad = 0;
    for (int i = 0; i < p->buffers; i++)
        for (int k = i + 1; k < p->buffers; k++) {
            const struct dawni_buffer *a = &p->buffer[i], *b = &p->buffer[k];
            bool time = a->begin <= b->end && b->begin <= a->end;
            bool space = a->offset < b->offset + b->bytes &&
                         b->offset < a->offset + a->bytes;
            bad += time && space && a->end >= 0 && b->end >= 0;
        }
    is_int(bad, 0, "%s: no two live buffers share an address", what);
}

static void check_curve(const struct dawni_program *p, const char *what)
{
    uint64_t peak = 0, by = 0;
    for (int k = 0; k < p->step_instrs; k++) {
        uint64_t live = 0;
        for (int i = 0; i < p->buffers; i++)
            if (p->buffer[i].begin <= k && p->buffer[i].end >= k)
                live += p->buffer[i].bytes;
        peak = live > peak ? live : peak;
    }
    for (int c = 0; c < DAWN_CATEGORIES; c++)
        by += p->memory.by[c];
    int gaps =
        p->action_at[0] != 0 || p->action_at[p->actions] > p->step_instrs;
    for (int i = 0; i < p->actions; i++)
        gaps += p->action_at[i] > p->action_at[i + 1];
    is_int(gaps, 0, "%s: the actions' instructions follow each other", what);
    is_u64(p->memory.peak_bytes, peak, "%s: the peak is the largest sum", what);
    is_u64(by, peak, "%s: categories add up to it", what);
    ok(p->memory.arena_bytes <= peak * 105 / 100, "%s: arena / bound %.4f",
       what, (double)p->memory.arena_bytes / (double)peak);
}

/* Every operand that is read was written before, in this step. */
static void check_written(const struct dawni_program *p, const char *what)
{
    int bad = 0;
    for (int i = 0; i < p->buffers; i++) {
        const struct dawni_buffer *b = &p->buffer[i];
        if (b->category <= DAWN_CATEGORY_PASSES || b->end < 0)
            continue;
        int kind = p->instr[b->begin].kind;
        bad += kind == DAWNI_I_SEND || kind == DAWNI_I_RECV_WAIT ||
               kind == DAWNI_I_SEND_WAIT || kind == DAWNI_I_LOSS ||
               kind == DAWNI_I_OFFLOAD || kind == DAWNI_I_OFFLOAD_WAIT ||
               kind == DAWNI_I_PREFETCH_WAIT;
    }
    is_int(bad, 0, "%s: nothing is used before it is made", what);
}

/* What buffers and tiers hold when the step runs: tensor * MB + microbatch, or
 * -1 for anything else. */

struct run {
    const struct dawni_program *p;
    int *value;   /* by buffer */
    int *writing; /* by buffer: what it held when its write began; -1: none */
    bool *reading;
    int *tier[2], units[2]; /* by 64 bytes */
    int wrong, moved[2];    /* moved: to a tier, and back */
};

static void expect(struct run *r, int buffer, int tensor, int mb)
{
    if (buffer >= 0)
        r->wrong += r->reading[buffer] || r->value[buffer] != tensor * MB + mb;
}

static void set(struct run *r, int buffer, int value)
{
    if (buffer < 0)
        return;
    r->wrong += r->reading[buffer];
    r->value[buffer] = value;
}

static void run_f(struct run *r, const struct dawni_instr *i)
{
    const struct dawni_node *n = &graph->node[i->id];
    const int *at = &r->p->operand[i->operand];
    for (int k = 0; k < n->desc.inputs; k++)
        expect(r, at[k], n->desc.input[k], i->microbatch);
    for (int k = 0; k < n->desc.outputs; k++)
        set(r, at[n->desc.inputs + k], n->output[k] * MB + i->microbatch);
}

static void run_b(struct run *r, const struct dawni_instr *i)
{
    const struct dawni_node *n = &graph->node[i->id];
    struct dawni_operands o = dawni_program_operands(r->p, &n->desc, i);
    for (int k = 0; k < n->desc.inputs; k++)
        if (dawni_node_saves_input(&n->desc, k))
            expect(r, o.in[k], n->desc.input[k], i->microbatch);
    for (int k = 0; k < n->desc.outputs; k++)
        if (n->desc.save_outputs >> k & 1)
            expect(r, o.out[k], n->output[k], i->microbatch);
    for (int k = 0; k < n->desc.inputs; k++)
        set(r, o.din[k], -1);
}

/* The part of its tier that a transfer is about. */
static int *part(struct run *r, const struct dawni_instr *i, int *units)
{
    int tier = i->peer == DAWN_TO_SSD;
    uint64_t unit = tier ? 4096 : 64;
    uint64_t bytes = dawn_graph_tensor_bytes(graph, i->id, 2);
    *units = (int)((bytes + unit - 1) / unit * unit / 64);
    r->wrong +=
        i->place % unit != 0 || (int)(i->place / 64) + *units > r->units[tier];
    return &r->tier[tier][i->place / 64];
}

static void run_transfer(struct run *r, const struct dawni_instr *i)
{
    int b = r->p->operand[i->operand], units;
    int *at = part(r, i, &units), what = i->id * MB + i->microbatch;
    if (i->kind == DAWNI_I_OFFLOAD) {
        expect(r, b, i->id, i->microbatch);
        r->writing[b] = what;
    } else if (i->kind == DAWNI_I_OFFLOAD_WAIT) {
        /* overwritten meanwhile: it stayed, and was used up */
        for (int u = 0; u < units; u++)
            at[u] = r->value[b] == what ? what : -1;
        r->wrong += r->writing[b] != what;
        r->writing[b] = -1;
        r->moved[0]++;
    } else if (i->kind == DAWNI_I_PREFETCH) {
        r->wrong += r->reading[b];
        r->reading[b] = true;
    } else {
        r->wrong += !r->reading[b];
        r->reading[b] = false;
        for (int u = 0; u < units; u++)
            r->wrong += at[u] != what;
        r->value[b] = what;
        r->moved[1]++;
    }
}

static void run_one(struct run *r, const struct dawni_instr *i)
{
    const int *at = &r->p->operand[i->operand];
    switch (i->kind) {
    case DAWNI_I_F:
        run_f(r, i);
        break;
    case DAWNI_I_B:
    case DAWNI_I_W:
        run_b(r, i);
        break;
    case DAWNI_I_FEED:
    case DAWNI_I_RECV_WAIT:
        if (i->microbatch >= 0)
            set(r, at[0], i->id * MB + i->microbatch);
        break;
    case DAWNI_I_OFFLOAD:
    case DAWNI_I_OFFLOAD_WAIT:
    case DAWNI_I_PREFETCH:
    case DAWNI_I_PREFETCH_WAIT:
        run_transfer(r, i);
        break;
    default:
        break;
    }
}

static void check_values(const struct dawni_program *p, enum how how,
                         const char *what)
{
    struct run r = {.p = p};
    uint64_t bytes[2] = {p->memory.host_bytes, p->memory.ssd_bytes};
    r.value = malloc((size_t)p->buffers * sizeof *r.value);
    r.writing = malloc((size_t)p->buffers * sizeof *r.writing);
    r.reading = calloc((size_t)p->buffers, sizeof *r.reading);
    for (int i = 0; i < p->buffers; i++)
        r.value[i] = r.writing[i] = -1;
    for (int i = 0; i < 2; i++) {
        r.units[i] = (int)(bytes[i] / 64);
        r.tier[i] = calloc((size_t)r.units[i] + 1, sizeof *r.tier[i]);
    }
    for (int k = 0; k < p->step_instrs; k++)
        run_one(&r, &p->instr[k]);
    for (int i = 0; i < p->buffers; i++)
        r.wrong += r.reading[i] || r.writing[i] >= 0;
    is_int(r.wrong, 0, "%s: everything is what it should be where it is used",
           what);
    if (how == SSD || how == HOST)
        ok(r.moved[0] > 0 && r.moved[1] <= r.moved[0],
           "%s: %d tensors leave, %d come back", what, r.moved[0], r.moved[1]);
    else if (how < SSD)
        is_int(r.moved[0] + r.moved[1], 0, "%s: nothing leaves", what);
    free(r.value);
    free(r.writing);
    free(r.reading);
    free(r.tier[0]);
    free(r.tier[1]);
}

static void check_price(const struct dawni_program *p, int first, int last,
                        const uint8_t *decision,
                        const struct dawn_schedule *schedule, int stage,
                        const char *what)
{
    int in_flight = dawn_schedule_in_flight(schedule, stage);
    struct dawni_stage_pricer *pricer;
    struct dawni_stage_memory m;
    dawni_stage_pricer_create(graph, &sizes, &pricer, NULL);
    dawni_stage_pricer_expect(pricer, in_flight);
    is_int(dawni_stage_price(pricer, first, last, decision, &m, NULL, NULL),
           DAWN_OK, "%s: priced", what);
    is_u64(m.kept, p->memory.kept_bytes, "%s: what is kept", what);
    dawni_stage_pricer_versions(pricer,
                                dawni_schedule_versions_full(schedule, stage));
    dawni_stage_price(pricer, first, last, decision, &m, NULL, NULL);
    uint64_t price = dawni_stage_peak(&m, in_flight);
    uint64_t slack = 2 * m.comm + 4096;
    /* a backward may be through with some of its weights when it peaks */
    uint64_t dying = m.kept > p->memory.kept_bytes
                         ? dawni_version_bytes(graph, &sizes, first, last)
                         : 0;
    ok(price + slack >= p->memory.peak_bytes &&
           price <= p->memory.peak_bytes + slack + dying,
       "%s: price %llu, program %llu, comm %llu", what,
       (unsigned long long)price, (unsigned long long)p->memory.peak_bytes,
       (unsigned long long)m.comm);
    dawni_stage_pricer_destroy(pricer);
}

static uint64_t one(int stages, const char *kind, enum how how)
{
    int first[9];
    struct dawni_cuts cuts;
    struct dawn_schedule *schedule = NULL;
    struct dawn_edge act[32], grad[32];
    uint64_t sum = 0;
    for (int s = 0; s <= stages; s++)
        first[s] = graph->nodes * s / stages;
    dawni_cuts_create(graph, stages, first, &cuts, NULL);
    for (int i = 0; i < cuts.acts; i++)
        act[i] = cuts.act[i].edge;
    for (int i = 0; i < cuts.grads; i++)
        grad[i] = cuts.grad[i].edge;
    struct dawn_schedule_opts opts = {.kind = kind,
                                      .stages = stages,
                                      .microbatches = MB,
                                      .act_edge = act,
                                      .act_edges = cuts.acts,
                                      .grad_edge = grad,
                                      .grad_edges = cuts.grads};
    dawn_schedule_create(&opts, &schedule, NULL);
    uint8_t **d = decisions(stages, first, how);
    for (int r = 0; r < stages; r++) {
        struct dawni_program *p = NULL;
        struct dawn_error err = {0};
        char what[80];
        snprintf(what, sizeof what, "%s, stage %d of %d, %s", kind, r, stages,
                 how_name[how]);
        struct dawni_lower_opts lower = {
            .graph = graph,
            .sizes = &sizes,
            .cuts = &cuts,
            .schedule = schedule,
            .first = first,
            .decision = (const uint8_t *const *)d,
            .rank = r,
        };
        is_int(dawni_program_create(&lower, &p, &err), DAWN_OK, "%s: made %s",
               what, err.text);
        check_layout(p, what);
        check_curve(p, what);
        check_written(p, what);
        check_values(p, how, what);
        check_price(p, first[r], first[r + 1] - 1, d[r], schedule, r, what);
        sum += p->memory.peak_bytes;
        lower.cap_bytes = p->memory.peak_bytes - 1;
        dawni_program_destroy(p);
        dawni_program_create(&lower, &p, &err);
        ok(p->memory.peak_bytes == lower.cap_bytes + 1 &&
               p->memory.arena_bytes == p->memory.peak_bytes,
           "%s: not packed where the peak is above the cap", what);
        dawni_program_destroy(p);
    }
    for (int s = 0; s < stages; s++)
        free(d[s]);
    free(d);
    dawn_schedule_destroy(schedule);
    dawni_cuts_clear(&cuts);
    return sum;
}

/* Rebuilding a chain runs each of its nodes once. */
static void test_once(void)
{
    struct dawni_stage_pricer *p;
    struct dawni_stage_memory keep, again;
    int first[2] = {0, graph->nodes};
    uint8_t **d = decisions(1, first, RECOMPUTE);
    uint8_t *runs = calloc((size_t)graph->nodes, 1);
    int most = 0, any = 0;
    dawni_stage_pricer_create(graph, &sizes, &p, NULL);
    dawni_stage_price(p, 0, graph->nodes - 1, NULL, &keep, runs, NULL);
    for (int n = 0; n < graph->nodes; n++)
        any += runs[n];
    is_int(any, 0, "what is kept is not rebuilt");
    dawni_stage_price(p, 0, graph->nodes - 1, d[0], &again, runs, NULL);
    for (int n = 0; n < graph->nodes; n++) {
        most = runs[n] > most ? runs[n] : most;
        any += runs[n];
    }
    ok(any > 0 && most == 1, "%d nodes run again, each once", any);
    ok(again.saved < keep.saved / 4, "what is saved shrinks, %llu to %llu",
       (unsigned long long)keep.saved, (unsigned long long)again.saved);
    dawni_stage_pricer_destroy(p);
    free(runs);
    free(d[0]);
    free(d);
}

int main(void)
{
    plan_lazy();
    setup();
    for (int stages = 1; stages <= 4; stages++)
        for (int k = 0; dawn_schedule_kind(k); k++) {
            const char *kind = dawn_schedule_kind(k);
            uint64_t kept = one(stages, kind, KEEP);
            one(stages, kind, SOME);
            one(stages, kind, SSD);
            one(stages, kind, MIXED);
            uint64_t again = one(stages, kind, RECOMPUTE);
            uint64_t away = one(stages, kind, HOST);
            ok(away < kept, "%s, %d stages: offloading needs less, %.2f", kind,
               stages, (double)away / (double)kept);
            /* one in flight: what one BW rebuilds is all there is */
            if (k == 0 || stages > 1)
                ok(again < kept, "%s, %d stages: recompute needs less", kind,
                   stages);
        }
    test_once();
    dawni_sizes_clear(&sizes);
    dawn_graph_destroy(graph);
    return done_testing();
}
