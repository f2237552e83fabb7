/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: made, written, read, and what is refused. */
#include "common/scratch.h"
#include "tap.h"

#include <dawnpiper/job.h>
#include <dawnpiper/plan.h>
#include <inttypes.h>
#include <math.h>

static struct dawn_graph *graph;

static struct dawn_graph *gpt2(int heads)
{
    struct dawn_model_opts opts = {.preset = "gpt2",
                                   .layers = 2,
                                   .hidden = 16,
                                   .heads = heads,
                                   .context = 8,
                                   .vocab = 32,
                                   .fused_attention = true,
                                   .dtype = DAWN_F32};
    struct dawn_graph *g = NULL;

    if (dawn_model_build(&opts, &g, NULL))
        abort();
    return g;
}

static int node(const char *name)
{
    return dawn_graph_find_node(graph, name);
}

static int tensor(const char *name)
{
    return dawn_graph_find_tensor(graph, name);
}

static const struct dawn_plan_info info = {.policy = "dawnpiper",
                                           .schedule = "1f1b",
                                           .stages = 3,
                                           .ranks = 3,
                                           .microbatches = 8,
                                           .microbatch = 4,
                                           .update_every = 2,
                                           .profile_digest = 0xabcdef,
                                           .cap_bytes = 1 << 20,
                                           .objective =
                                               DAWN_OBJECTIVE_BOTTLENECK,
                                           .step_ns = 1234.5,
                                           .bottleneck_ns = 77.25,
                                           .bound_ns = 1000,
                                           .tokens_per_s = 1e6 / 3};

static struct dawn_plan *make(void)
{
    const struct dawn_plan_stage stage[3] = {
        {.rank = 0,
         .first = 0,
         .last = node("block0.attn.core"),
         .predicted = {.f_ns = 0.1,
                       .b_ns = 2,
                       .w_ns = 3,
                       .recompute_ns = 4,
                       .stall_ns = 0.25,
                       .transfer_ns = 0.5,
                       .step_ns = 5,
                       .update_ns = 6.5,
                       .peak_bytes = (uint64_t)1 << 60,
                       .arena_bytes = 7,
                       .by = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}},
        {.rank = 1,
         .first = node("block0.attn.out"),
         .last = node("block1.mlp.up"),
         .predicted = {.f_ns = 1}},
        {.rank = 2, .first = node("block1.mlp.gelu"), .last = node("loss")}};
    struct dawn_plan *plan = NULL;

    if (dawn_plan_create(graph, &info, stage, &plan, NULL) ||
        dawn_plan_decide(plan, 0, tensor("block0.ln1"), DAWN_RECOMPUTE, NULL) ||
        dawn_plan_decide(plan, 1, tensor("block1.attn.core.lse"),
                         DAWN_RECOMPUTE, NULL) ||
        dawn_plan_decide(plan, 1, tensor("block0.attn.core"), DAWN_TO_SSD,
                         NULL) ||
        dawn_plan_decide(plan, 0, tensor("block0.attn.qkv"), DAWN_TO_HOST,
                         NULL))
        abort();
    return plan;
}

static void test_round_trip(void)
{
    struct dawn_plan *p = make(), *q = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(dawn_plan_save(p, scratch_path("p.yaml"), &err), DAWN_OK,
           "a plan is saved %s", err.text);
    is_int(dawn_plan_load(scratch_path("p.yaml"), graph, &q, &err), DAWN_OK,
           "and loaded %s", err.text);
    if (!q)
        return;
    dawn_plan_save(q, scratch_path("q.yaml"), &err);
    char *a = scratch_read("p.yaml"), *b = scratch_read("q.yaml");
    ok(a && b && !strcmp(a, b), "saved again, it gives the same bytes");
    free(a);
    free(b);
    is_u64(dawn_plan_info(q)->graph_digest, dawn_graph_digest(graph),
           "it names the graph");
    ok(dawn_plan_info(q)->tokens_per_s == 1e6 / 3, "numbers come back exactly");
    is_u64(dawn_plan_stage(q, 0)->predicted.peak_bytes, (uint64_t)1 << 60,
           "bytes too");
    is_u64(dawn_plan_stage(q, 0)->predicted.by[DAWN_CATEGORY_COMM],
           DAWN_CATEGORY_COMM + 1, "by category");
    is_u64(dawn_plan_stage(q, 0)->predicted.by[DAWN_CATEGORY_VERSIONS],
           DAWN_CATEGORY_VERSIONS + 1, "versions of the weights too");
    ok(dawn_plan_info(q)->update_every == 2 &&
           dawn_plan_stage(q, 0)->predicted.update_ns == 6.5,
       "updates within the step come back");
    is_int(dawn_plan_decision(q, 0, tensor("block0.ln1")), DAWN_RECOMPUTE,
           "a decision comes back");
    is_int(dawn_plan_decision(q, 0, tensor("block0.attn.qkv")), DAWN_TO_HOST,
           "one to offload to host memory");
    is_int(dawn_plan_decision(q, 1, tensor("block0.attn.core")), DAWN_TO_SSD,
           "one to offload to disk what was received");
    ok(dawn_plan_stage(q, 0)->predicted.stall_ns == 0.25 &&
           dawn_plan_stage(q, 0)->predicted.transfer_ns == 0.5,
       "and what it stalls and computes for that");
    is_int(dawn_plan_decision(q, 0, tensor("tok_embed")), DAWN_KEEP,
           "what is not named is kept");
    dawn_plan_destroy(p);
    dawn_plan_destroy(q);
}

static void test_edited(void)
{
    struct dawn_plan *p = make(), *q = NULL;

    ok(!dawn_plan_edited(p), "what a plan was priced as may be left unsaid");
    dawn_plan_info(p)->priced_digest = dawn_plan_digest(p);
    dawn_plan_save(p, scratch_path("p.yaml"), NULL);
    dawn_plan_load(scratch_path("p.yaml"), graph, &q, NULL);
    ok(q && !dawn_plan_edited(q), "a plan that is loaded is not edited");
    dawn_plan_decide(q, 0, tensor("block0.ln1"), DAWN_KEEP, NULL);
    ok(dawn_plan_edited(q), "with another decision it is");
    dawn_plan_decide(q, 0, tensor("block0.ln1"), DAWN_RECOMPUTE, NULL);
    ok(!dawn_plan_edited(q), "and with the old one again it is not");
    dawn_plan_info(q)->microbatches++;
    ok(dawn_plan_edited(q), "with more microbatches it is");
    dawn_plan_destroy(p);
    dawn_plan_destroy(q);
}

static void test_access(void)
{
    struct dawn_plan *p = make();
    bool all = true;

    for (int i = 0; i < dawn_graph_nodes(graph); i++) {
        int s = dawn_plan_stage_of(p, i);
        all = all && i >= dawn_plan_stage(p, s)->first &&
              i <= dawn_plan_stage(p, s)->last;
    }
    ok(all, "every node is found in its stage");
    is_int(dawn_plan_stage_of(p, dawn_graph_nodes(graph)), -1,
           "one that is not there is not");
    ok(!dawn_plan_stage(p, 3) && !dawn_plan_stage(p, -1),
       "there is no stage out of range");
    is_int(dawn_plan_decision(p, 9, 0), DAWN_KEEP, "nor a decision");
    ok(dawn_plan_graph(p) == graph, "a plan knows its graph");
    dawn_plan_destroy(p);
    dawn_plan_destroy(NULL);
}

static void test_decide(void)
{
    const struct {
        int stage;
        const char *tensor;
        const char *wanted;
    } row[] = {
        {0, "pos_embed", NULL},
        {0, "block0.attn.add", "no backward of stage 0 needs it"},
        {1, "pos_embed", "no backward of stage 1 needs it"},
        {1, "block0.attn.add", NULL},
        {1, "block0.attn.core", "stage 1 cannot recompute what it does not"},
        {0, "block0.attn.core", NULL},
        {0, "tokens", "stage 0 cannot recompute what it does not make"},
        {3, "pos_embed", "stage 3, must be 0 to 2"},
        {0, "nothing", "tensor -1, must be 0 to"},
    };
    struct dawn_plan *p = make();
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int st = dawn_plan_decide(p, row[i].stage, tensor(row[i].tensor),
                                  DAWN_RECOMPUTE, &err);
        if (!row[i].wanted)
            is_int(st, DAWN_OK, "stage %d may recompute %s", row[i].stage,
                   row[i].tensor);
        else
            ok(st == DAWN_E_INVAL && strstr(err.text, row[i].wanted),
               "refused: %s", err.text);
    }
    is_int(dawn_plan_decide(p, 1, tensor("block0.attn.core"), DAWN_KEEP, &err),
           DAWN_OK, "but keeping what was received is fine");
    is_int(dawn_plan_decide(p, 0, tensor("tokens"), DAWN_TO_SSD, &err), DAWN_OK,
           "and so is offloading what is fed");
    is_int(dawn_plan_decide(p, 0, tensor("pos_embed"), DAWN_DECISIONS, &err),
           DAWN_E_INVAL, "refused: %s", err.text);
    ok(dawn_plan_decide(p, 0, tensor("block0.attn.add"), DAWN_TO_HOST, &err) ==
               DAWN_E_INVAL &&
           strstr(err.text, "no backward of stage 0 needs it"),
       "offloading, too, is for saved tensors: %s", err.text);
    dawn_plan_destroy(p);
}

static void test_create_bad(void)
{
    const struct {
        int stages, ranks, microbatches;
        int64_t microbatch;
        int first1, last0, rank1, last1;
        const char *wanted;
    } row[] = {
        {0, 1, 1, 1, 5, 4, 1, 24, "stages 0, must be from 1"},
        {99, 1, 1, 1, 5, 4, 1, 24, "stages 99, must be from 1"},
        {2, 3, 1, 1, 5, 4, 1, 24, "ranks 3, must be from 1 to the number of"},
        {2, 0, 1, 1, 5, 4, 1, 24, "ranks 0"},
        {2, 2, 0, 1, 5, 4, 1, 24, "microbatches 0, must be >= 1"},
        {2, 2, 1, 0, 5, 4, 1, 24, "microbatch 0, must be >= 1"},
        {2, 2, 1, 1, 6, 4, 1, 24,
         "node 'block0.attn.out' is in no stage: "
         "stage 1 begins at 'block0.attn.add'"},
        {2, 2, 1, 1, 4, 4, 1, 24,
         "node 'block0.attn.core' is in two stages: "
         "stage 1 begins there, before stage 0 ends"},
        {2, 2, 1, 1, 5, 4, 0, 24, "stage 1 is on rank 0, must be on rank 1"},
        {2, 2, 1, 1, 5, 4, 1, 23,
         "node 'loss' is in no stage: the last stage "
         "ends at 'head'"},
        {2, 2, 1, 1, 5, 4, 1, 25, "stage 1 is nodes 5 to 25, the graph has 0"},
        {2, 2, 1, 1, 5, 4, 1, 3,
         "stage 1 ends at 'block0.attn.qkv', before it "
         "begins at 'block0.attn.out'"},
    };
    struct dawn_plan *plan = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct dawn_plan_info wrong = {.schedule = "gpipe",
                                       .stages = row[i].stages,
                                       .ranks = row[i].ranks,
                                       .microbatches = row[i].microbatches,
                                       .microbatch = row[i].microbatch};
        const struct dawn_plan_stage stage[2] = {
            {.rank = 0, .first = 0, .last = row[i].last0},
            {.rank = row[i].rank1,
             .first = row[i].first1,
             .last = row[i].last1}};
        ok(dawn_plan_create(graph, &wrong, stage, &plan, &err) ==
                   DAWN_E_INVAL &&
               !plan && strstr(err.text, row[i].wanted),
           "refused: %s", err.text);
    }
}

/* Hand-written plans: the text after the lines "dawn" and "graph". */
#define SCHEDULE "schedule: {kind: 1f1b, microbatches: 8, microbatch: 4}\n"
#define STAGE0 "- nodes: [tok_embed, block0.attn.core]\n"
#define STAGE1 "- nodes: [block0.attn.out, loss]\n"
static const struct {
    const char *text, *wanted;
} bad[] = {
    {"", ":1: key 'schedule' is missing"},
    {SCHEDULE, ":1: key 'stages' is missing"},
    {"schedule: {kind: 1f1b, microbatches: 0, microbatch: 4}\nstages: []\n",
     ":3: key 'microbatches': expected an integer from 1 to 1048576, found "
     "'0'"},
    {"schedule: {kind: 1f1b, microbatches: 1, microbatch: 0}\nstages: []\n",
     ":3: key 'microbatch': expected an integer from 1"},
    {"schedule: {kind: '', microbatches: 1, microbatch: 1}\nstages: []\n",
     ":3: key 'kind': expected a kind of schedule, found nothing"},
    {"schedule: {kind: 1f1b, stages: 3, microbatches: 1, microbatch: 1}\n"
     "stages:\n" STAGE0 STAGE1,
     ":3: key 'stages': 3, but 2 stages are listed"},
    {"schedule: {kind: async-1f1b, microbatches: 8, microbatch: 1, "
     "update_every: 3}\nstages:\n" STAGE0 STAGE1,
     ":3: update_every 3, must divide the 8 microbatches"},
    {"schedule: {kind: async-1f1b, microbatches: 8, microbatch: 1, "
     "update_every: 0}\nstages:\n" STAGE0 STAGE1,
     ":3: key 'update_every': expected an integer from 1 to 1048576, found "
     "'0'"},
    {SCHEDULE "stages: []\n", ":3: stages 0, must be from 1"},
    {SCHEDULE "stages:\n" STAGE0,
     ":5: node 'block0.attn.out' is in no stage: the last stage ends at "
     "'block0.attn.core'"},
    {SCHEDULE "stages:\n" STAGE0 "- nodes: [block0.attn.add, loss]\n",
     ":6: node 'block0.attn.out' is in no stage: stage 1 begins at "
     "'block0.attn.add'"},
    {SCHEDULE "stages:\n" STAGE0 "- nodes: [block0.ln1, loss]\n",
     ":6: node 'block0.ln1' is in two stages: stage 1 begins there, before "
     "stage 0 ends at 'block0.attn.core'"},
    {SCHEDULE "stages:\n- nodes: [loss, tok_embed]\n",
     ":5: stage 0 ends at 'tok_embed', before it begins at 'loss'"},
    {SCHEDULE "stages:\n- nodes: [tok_embed, lost]\n",
     ":5: the graph has no node 'lost'"},
    {SCHEDULE "stages:\n- nodes: [tok_embed]\n",
     ":5: key 'nodes': expected the first node and the last, found 1 names"},
    {SCHEDULE "stages:\n- nodes: [tok_embed, [loss]]\n",
     ":5: key 'nodes': expected a node's name, found a list"},
    {SCHEDULE "stages:\n- [tok_embed, loss]\n",
     ":5: key 'stages': expected a mapping, found a list"},
    {SCHEDULE "stages:\n" STAGE0 "  rank: 1\n" STAGE1,
     ":5: stage 0 is on rank 1, must be on rank 0"},
    {"schedule: {kind: 1f1b, ranks: 3, microbatches: 1, microbatch: 1}\n"
     "stages:\n" STAGE0 STAGE1,
     ":3: ranks 3, must be from 1 to the number of stages, 2"},
    {SCHEDULE "stages:\n" STAGE0 "  replicas: 0\n" STAGE1,
     ":6: key 'replicas': expected an integer from 1 to 4096, found '0'"},
    {SCHEDULE "stages:\n" STAGE0 STAGE1 "  replicas: 1.5\n",
     ":7: key 'replicas': expected an integer from 1 to 4096, found '1.5'"},
    {SCHEDULE "stages:\n" STAGE0 "  replicas: [2, 2]\n" STAGE1,
     ":6: key 'replicas': expected an integer from 1 to 4096, found a list"},
    {SCHEDULE "stages:\n" STAGE0 "  replicas: 4097\n" STAGE1,
     ":6: key 'replicas': expected an integer from 1 to 4096, found '4097'"},
    {SCHEDULE "stages:\n" STAGE0 "  tensors: {block0.ln1: tape}\n" STAGE1,
     ":6: key 'block0.ln1': expected keep, recompute, host or ssd, found "
     "'tape'"},
    {SCHEDULE "stages:\n" STAGE0 "  tensors: {block0.ln1: [host]}\n" STAGE1,
     "expected keep, recompute, host or ssd, found a list"},
    {SCHEDULE "stages:\n" STAGE0 "  tensors:\n    block9.ln1: keep\n" STAGE1,
     ":7: the graph has no tensor 'block9.ln1'"},
    {SCHEDULE "stages:\n" STAGE0 "  tensors: {block1.ln1: recompute}\n" STAGE1,
     ":6: tensor 'block1.ln1': no backward of stage 0 needs it"},
    {SCHEDULE "stages:\n" STAGE0 STAGE1
              "  tensors: {block0.attn.core: recompute}\n",
     ":7: tensor 'block0.attn.core': stage 1 cannot recompute what it does not "
     "make"},
    {SCHEDULE "stages:\n" STAGE0 "  optimizer: recompute\n" STAGE1,
     ":6: key 'optimizer': expected keep, host or ssd, found 'recompute'"},
    {SCHEDULE "stages:\n" STAGE0 "  optimizer: [ssd]\n" STAGE1,
     ":6: key 'optimizer': expected keep, host, ssd, or a mapping of "
     "parameters to them, found a list"},
    {SCHEDULE "stages:\n" STAGE0 "  optimizer: {wte: tape}\n" STAGE1,
     ":6: key 'wte': expected keep, host or ssd, found 'tape'"},
    {SCHEDULE "stages:\n" STAGE0 "  optimizer:\n    wtf: ssd\n" STAGE1,
     ":7: the graph has no parameter 'wtf'"},
    {SCHEDULE "stages:\n" STAGE0 STAGE1 "  optimizer: {wte: ssd}\n",
     ":7: parameter 'wte' is updated by stage 0, the first to use it, "
     "not by stage 1"},
    {SCHEDULE "stages:\n" STAGE0 "  predicted: {by: {parms: 1}}\n" STAGE1,
     ":6: unknown key 'parms'; did you mean 'params'?"},
    {SCHEDULE "stages:\n" STAGE0 "  predicted: {f_ns: x}\n" STAGE1,
     ":6: key 'f_ns': expected a number from 0 to 1.0e+40, found 'x'"},
    {SCHEDULE "memory: lots\nstages:\n" STAGE0 STAGE1,
     ":4: key 'memory': expected a size"},
    {SCHEDULE "stages:\n" STAGE0 STAGE1 "predicted: {step: 1}\n",
     ":7: unknown key 'step'; known here: step_ns"},
    {SCHEDULE "devices: [a]\nstages:\n" STAGE0 STAGE1,
     ":4: 1 devices for 2 ranks"},
    {SCHEDULE "devices: [a, a]\nstages:\n" STAGE0 STAGE1,
     ":4: device 'a' is for rank 0 and for rank 1"},
    {SCHEDULE "devices: [a, []]\nstages:\n" STAGE0 STAGE1,
     ":4: key 'devices': expected a device's name, found a list"},
    {SCHEDULE "stages:\n" STAGE0 "- nodes: [block0.attn.out, lo",
     ":7: did not find expected"},
};

static enum dawn_status load_hand(const char *text, struct dawn_plan **plan_p,
                                  struct dawn_error *err)
{
    static char all[4000];

    snprintf(all, sizeof all, "dawn: plan/1\ngraph: xxh3:%016" PRIx64 "\n%s",
             dawn_graph_digest(graph), text);
    return dawn_plan_load(scratch_write("hand.yaml", all), graph, plan_p, err);
}

static int param(const char *name)
{
    return dawn_graph_find_param(graph, name);
}

/* What is kept of a parameter under passes. */
static void test_bytes(struct dawn_plan *p, int wte)
{
    static const struct {
        const char *passes;
        uint64_t moments, arrays; /* of an element */
    } kept[] = {{"", 8, 0}, {"ewc", 8, 8}, {"fisher", 0, 4}};
    uint64_t n = (uint64_t)dawn_graph_param_elements(graph, wte);

    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        strcpy(dawn_plan_info(p)->passes, kept[i].passes);
        is_u64(dawn_plan_moment_bytes(p, wte), kept[i].moments * n,
               "moments of passes '%s'", kept[i].passes);
        is_u64(dawn_plan_pass_bytes(p, wte), kept[i].arrays * n,
               "and what they keep");
        is_u64(dawn_plan_moment_bytes(p, -1) + dawn_plan_pass_bytes(p, -1), 0,
               "nothing of what is not there");
    }
}

/* One word for all of a stage, or names. */
static void test_optimizer(void)
{
    struct dawn_plan *p = NULL, *q = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    int wte = param("wte"), wpe = param("wpe");
    int last = param("ln_f.weight");

    is_int(load_hand(SCHEDULE "stages:\n" STAGE0 "  optimizer: {wte: ssd, "
                              "wpe: keep, h.0.ln_1.bias: host}\n" STAGE1
                              "  optimizer: host\n",
                     &p, &err),
           DAWN_OK, "moments of some, and of all %s", err.text);
    if (!p)
        return;
    is_int(dawn_plan_owner(p, wte), 0, "a tied parameter is its first user's");
    is_int(dawn_plan_optimizer(p, wte), DAWN_TO_SSD, "one to disk");
    is_int(dawn_plan_optimizer(p, wpe), DAWN_KEEP, "one stays");
    is_int(dawn_plan_optimizer(p, param("h.0.ln_1.bias")), DAWN_TO_HOST,
           "one to host memory");
    is_int(dawn_plan_optimizer(p, last), DAWN_TO_HOST, "all of the next stage");
    dawn_plan_save(p, scratch_path("p.yaml"), &err);
    is_int(dawn_plan_load(scratch_path("p.yaml"), graph, &q, &err), DAWN_OK,
           "it is saved and loaded %s", err.text);
    is_u64(q ? dawn_plan_digest(q) : 0, dawn_plan_digest(p), "the same plan");
    char *text = scratch_read("p.yaml");
    ok(text && strstr(text, "\n  optimizer: host\n") &&
           strstr(text, "\n    wte: ssd\n"),
       "one word where it says all");
    free(text);
    uint64_t digest = dawn_plan_digest(p);
    dawn_plan_decide_optimizer(p, last, DAWN_KEEP, NULL);
    ok(dawn_plan_digest(p) != digest, "with another decision it is another");
    is_int(dawn_plan_decide_optimizer(p, wte, DAWN_RECOMPUTE, &err),
           DAWN_E_INVAL, "moments are not recomputed: %s", err.text);
    is_int(dawn_plan_decide_optimizer(p, -1, DAWN_KEEP, &err), DAWN_E_INVAL,
           "no such parameter: %s", err.text);
    test_bytes(p, wte);
    dawn_plan_destroy(p);
    dawn_plan_destroy(q);
}

static void test_hand(void)
{
    struct dawn_plan *p = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    is_int(load_hand(SCHEDULE "memory: 1.5MiB\nstages:\n" STAGE0
                              "  tensors: {block0.ln1: recompute,"
                              " pos_embed: keep, block0.attn.qkv: ssd,"
                              " tokens: host}\n" STAGE1,
                     &p, &err),
           DAWN_OK, "a plan by hand needs no more than this %s", err.text);
    if (!p)
        return;
    is_str(dawn_plan_info(p)->policy, "hand", "its policy is called hand");
    is_int(dawn_plan_info(p)->ranks, 2, "each stage has a rank");
    is_u64(dawn_plan_info(p)->cap_bytes, 3 << 19, "the cap is read");
    is_u64(dawn_plan_info(p)->profile_digest, 0, "it is for no profile");
    is_int(dawn_plan_decision(p, 0, tensor("block0.ln1")), DAWN_RECOMPUTE,
           "decisions are read");
    is_int(dawn_plan_decision(p, 0, tensor("block0.attn.qkv")), DAWN_TO_SSD,
           "ssd");
    is_int(dawn_plan_decision(p, 0, tensor("tokens")), DAWN_TO_HOST, "host");
    dawn_plan_destroy(p);
    p = NULL;
    is_int(load_hand("schedule: {kind: 1f1b, ranks: 1, stages: 2, "
                     "microbatches: 1, microbatch: 1}\nstages:\n" STAGE0 STAGE1,
                     &p, &err),
           DAWN_OK, "two stages may share a rank %s", err.text);
    is_int(p ? dawn_plan_stage(p, 1)->rank : -1, 0, "it is rank 0");
    dawn_plan_destroy(p);
}

static void test_bad(void)
{
    struct dawn_plan *p = NULL;
    struct dawn_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int st = load_hand(bad[i].text, &p, &err);
        if (!ok(st == DAWN_E_FORMAT && !p && strstr(err.text, "/hand.yaml:") &&
                    strstr(err.text, bad[i].wanted),
                "refused: %s", err.text))
            diag("wanted %s", bad[i].wanted);
    }
}

static void test_mismatch(void)
{
    struct dawn_graph *other = gpt2(4);
    struct dawn_plan *p = make(), *q = NULL;
    struct dawn_error err;
    char wanted[200];

    dawn_plan_save(p, scratch_path("p.yaml"), &err);
    is_int(dawn_plan_load(scratch_path("p.yaml"), other, &q, &err),
           DAWN_E_MISMATCH, "a plan for another graph is refused");
    snprintf(wanted, sizeof wanted,
             "p.yaml:3: the plan is for the graph xxh3:%016" PRIx64
             ", the graph here is 'gpt2', xxh3:%016" PRIx64,
             dawn_graph_digest(graph), dawn_graph_digest(other));
    ok(strstr(err.text, wanted) != NULL, "with both digests: %s", err.text);
    ok(!q, "and no plan comes out");
    dawn_plan_info(p)->step_ns = INFINITY;
    is_int(dawn_plan_save(p, scratch_path("p.yaml"), &err), DAWN_E_NUMERIC,
           "an infinite prediction is not saved: %s", err.text);
    is_int(dawn_plan_load(scratch_path("p.yaml"), graph, &q, &err), DAWN_OK,
           "what was there before still is");
    dawn_plan_destroy(q);
    dawn_plan_destroy(p);
    dawn_graph_destroy(other);
}

int main(void)
{
    plan_lazy();
    scratch_make();
    graph = gpt2(2);
    test_round_trip();
    test_edited();
    test_access();
    test_decide();
    test_create_bad();
    test_hand();
    test_optimizer();
    test_bad();
    test_mismatch();
    dawn_graph_destroy(graph);
    return done_testing();
}
