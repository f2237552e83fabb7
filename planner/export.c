/* SPDX-License-Identifier: Apache-2.0 */
/* --export: a plan's cuts in the words of other trainers.
 *
 * torch     modules at whose beginning torch.distributed.pipelining splits. A
 *           node is a module if it has parameters: "h.3.ln_1.weight" is of
 *           module h.3.ln_1, and where h.3 begins with it, of h.3. Nodes of
 *           imported profiles are modules of their own names.
 * megatron  Megatron-Core's pipeline_model_parallel_layout: stages split by |,
 *           E what comes before the blocks, t a block, L what comes behind.
 *           Blocks are nodes whose label or name begins with a word and a
 *           number, block0.attn or layer_0.
 *
 * Both follow the order in which the model was built, and can cut it at some
 * nodes only. --snap moves other cuts to the nearest of them.
 */
#include "report.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct module { /* a name, of which the end may be left out */
    const char *name;
    size_t bytes; /* 0: none */
};

struct exporter {
    const struct dawn_graph *graph; /* in the order built */
    const struct dawn_profile *profile;
    int nodes, blocks;
    int *block;      /* by node: 0..blocks - 1; -1 before, `blocks` behind */
    bool *may_begin; /* by node: a stage may */
    struct module *module; /* by node */
};

static void clear(struct exporter *e)
{
    free(e->block);
    free(e->may_begin);
    free(e->module);
}

static const char *name_of(const struct exporter *e, int node)
{
    return dawn_graph_node(e->graph, node)->name;
}

/* PyTorch */

/* Did an earlier node use the parameter? Then it is tied. */
static bool used_before(const struct exporter *e, int node, int param)
{
    for (int i = 0; i < node; i++) {
        const struct dawn_node_desc *d = dawn_graph_node(e->graph, i);
        for (int k = 0; k < d->params; k++)
            if (d->param[k] == param)
                return true;
    }
    return false;
}

/* The module that has the parameter. */
static struct module module_of(const char *param)
{
    const char *leaf = strrchr(param, '.');
    bool inside = leaf && (!strcmp(leaf, ".weight") || !strcmp(leaf, ".bias"));

    return (struct module){param,
                           inside ? (size_t)(leaf - param) : strlen(param)};
}

static struct module find_module(const struct exporter *e, int node)
{
    const struct dawn_node_desc *d = dawn_graph_node(e->graph, node);

    if (dawn_profile_additive(e->profile))
        return (struct module){d->name, strlen(d->name)};
    for (int k = 0; k < d->params; k++)
        if (!used_before(e, node, d->param[k]))
            return module_of(dawn_graph_param(e->graph, d->param[k])->name);
    return (struct module){"", 0};
}

/* Is it the outer module, or in it? */
static bool is_within(struct module m, struct module outer)
{
    return m.bytes >= outer.bytes && !memcmp(m.name, outer.name, outer.bytes) &&
           (m.bytes == outer.bytes || m.name[outer.bytes] == '.');
}

static bool begins(const struct exporter *e, int node, struct module outer)
{
    for (int i = 0; i < node; i++)
        if (is_within(e->module[i], outer))
            return false;
    return true;
}

/* The outermost module that begins at a node. */
static struct module outermost(const struct exporter *e, int node)
{
    struct module m = e->module[node], outer = m;

    for (outer.bytes = 0; outer.bytes < m.bytes; outer.bytes++)
        if (m.name[outer.bytes] == '.' && begins(e, node, outer))
            return outer;
    return m;
}

static void find_modules(struct exporter *e)
{
    for (int i = 0; i < e->nodes; i++) {
        e->module[i] = find_module(e, i);
        e->may_begin[i] = e->module[i].bytes > 0;
    }
}

static void print_torch(const struct exporter *e, struct dawn_plan *plan)
{
    int stages = dawn_plan_info(plan)->stages;

    printf("[");
    for (int x = 1; x < stages; x++) {
        struct module m = outermost(e, dawn_plan_stage(plan, x)->first);
        printf("%s\"%.*s\"", x > 1 ? ", " : "", (int)m.bytes, m.name);
    }
    printf("]\n");
}

/* Megatron */

/* "block12.attn": 12, and the bytes of "block"; -1: no block's name. */
static int parse_block(const char *text, size_t *prefix)
{
    size_t bytes = strcspn(text, "0123456789");
    char *end;

    if (!bytes || !isdigit((unsigned char)text[bytes]))
        return -1;
    for (size_t i = 0; i < bytes; i++)
        if (!isalpha((unsigned char)text[i]) && !strchr("_.", text[i]))
            return -1;
    long number = strtol(text + bytes, &end, 10);
    *prefix = bytes;
    return (*end && *end != '.') || number > 1000000 ? -1 : (int)number;
}

static const char *block_text(const struct exporter *e, int node)
{
    const char *label = dawn_profile_label(e->profile, node);

    return label ? label : name_of(e, node);
}

/* The first block's word and number give the others'. */
static bool find_word(const struct exporter *e, const char **word,
                      size_t *bytes, int *first)
{
    for (int i = 0; i < e->nodes; i++) {
        *word = block_text(e, i);
        *first = parse_block(*word, bytes);
        if (*first == 0 || *first == 1)
            return true;
    }
    return false;
}

/* Which block each node is of; e->blocks is one more than the largest. */
static void number_blocks(struct exporter *e, const char *word, size_t bytes,
                          int first)
{
    size_t prefix;

    for (int i = 0; i < e->nodes; i++) {
        int number = parse_block(block_text(e, i), &prefix);
        bool same = number >= first && prefix == bytes &&
                    !strncmp(word, block_text(e, i), bytes);
        e->block[i] = same ? number - first : e->blocks ? INT_MAX : -1;
        if (same && e->block[i] >= e->blocks)
            e->blocks = e->block[i] + 1;
    }
    for (int i = 0; i < e->nodes; i++)
        if (e->block[i] == INT_MAX)
            e->block[i] = e->blocks;
}

/* The first node of other blocks, as a decoder's behind an encoder's; -1. */
static int other_blocks(const struct exporter *e, int first)
{
    for (int i = 0; i < e->nodes; i++) {
        const char *text = block_text(e, i);
        bool ours = e->block[i] >= 0 && e->block[i] < e->blocks;
        size_t prefix = 0;
        if (!ours && parse_block(text, &prefix) == first &&
            strchr(text + prefix, '.'))
            return i;
    }
    return -1;
}

/* Blocks stand one behind the other, between other nodes. */
static enum dawn_status find_blocks(struct exporter *e, struct dawn_error *err)
{
    const char *word;
    size_t bytes;
    int first, other = -1;

    if (find_word(e, &word, &bytes, &first)) {
        number_blocks(e, word, bytes, first);
        other = other_blocks(e, first);
    }
    if (other >= 0)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "export: node '%s' begins a second row of blocks, and "
                         "the layout has one",
                         name_of(e, other));
    if (!e->blocks || e->block[0] >= 0 || e->block[e->nodes - 1] < e->blocks)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "export: the nodes are not named as an embedding, "
                         "blocks such as block0.attn or layer_0, and a head");
    for (int i = 1; i < e->nodes; i++) {
        int step = e->block[i] - e->block[i - 1];
        if (step != 0 && step != 1)
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "export: node '%s' is out of the order of blocks, "
                             "behind '%s'",
                             name_of(e, i), name_of(e, i - 1));
        e->may_begin[i] = step == 1;
    }
    return DAWN_OK;
}

static void print_megatron(const struct exporter *e, struct dawn_plan *plan)
{
    for (int x = 0; x < dawn_plan_info(plan)->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        int from = e->block[s->first], to = e->block[s->last];
        int blocks =
            (to < e->blocks ? to : e->blocks - 1) - (from > 0 ? from : 0) + 1;
        printf("%s%s", x ? "|" : "", from < 0 ? "E" : "");
        if (blocks > 0)
            printf(blocks > 1 ? "t*%d" : "t", blocks);
        printf("%s", to == e->blocks ? "L" : "");
    }
    printf("\n");
}

/* Both */

static const struct kind {
    const char *name;
    const char *what; /* a cut must be there */
    void (*print)(const struct exporter *e, struct dawn_plan *plan);
} kinds[] = {
    {"torch", "before a node with parameters", print_torch},
    {"megatron", "between blocks", print_megatron},
};

static const struct kind *find_kind(const char *name)
{
    return &kinds[strcmp(name, kinds[0].name) == 0 ? 0 : 1];
}

static enum dawn_status begin(struct exporter *e, const struct report *r,
                              struct dawn_error *err)
{
    size_t nodes = (size_t)dawn_graph_nodes(dawn_profile_graph(r->profile));

    e->profile = r->profile;
    e->graph = dawn_profile_graph(r->profile);
    e->nodes = (int)nodes;
    e->block = calloc(nodes, sizeof *e->block);
    e->may_begin = calloc(nodes, sizeof *e->may_begin);
    e->module = calloc(nodes, sizeof *e->module);
    if (!e->block || !e->may_begin || !e->module)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for an export");
    if (find_kind(r->options->export) == &kinds[1])
        return find_blocks(e, err);
    find_modules(e);
    return DAWN_OK;
}

/* Nodes of the plan's stages are runs of the profile's order too. */
static enum dawn_status check_order(struct dawn_plan *plan,
                                    struct dawn_error *err)
{
    const struct dawn_graph *g = dawn_plan_graph(plan);
    int stages = dawn_plan_info(plan)->stages;

    for (int x = 0; x < stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        for (int i = s->first; i <= s->last; i++) {
            int number = dawn_graph_number(g, i);
            if (number < s->first || number > s->last)
                return dawn_fail(
                    err, DAWN_E_NOTSUP,
                    "export: stage %d runs '%s' out of the model's order, "
                    "which other trainers cannot cut so",
                    x, dawn_graph_node(g, i)->name);
        }
    }
    return DAWN_OK;
}

static enum dawn_status check_cuts(const struct exporter *e,
                                   const struct report *r,
                                   struct dawn_error *err)
{
    const struct kind *kind = find_kind(r->options->export);

    for (int x = 1; x < dawn_plan_info(r->plan)->stages; x++) {
        int first = dawn_plan_stage(r->plan, x)->first;
        if (!e->may_begin[first])
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "export: %s cuts %s only, not between '%s' and "
                             "'%s', where stage %d begins; --snap moves such "
                             "cuts",
                             kind->name, kind->what, name_of(e, first - 1),
                             name_of(e, first), x);
    }
    return DAWN_OK;
}

/* Snapping */

/* The nearest node to `first` that a stage may begin with, behind node `low`,
 * with so many more of them behind it; -1: none. */
static int nearest(const struct exporter *e, int first, int low, int more)
{
    int best = -1, behind = 0;

    for (int i = e->nodes - 1; i > low; i--) {
        if (!e->may_begin[i] || behind++ < more)
            continue;
        if (best < 0 || abs(i - first) <= abs(best - first))
            best = i;
    }
    return best;
}

static enum dawn_status move_cuts(const struct exporter *e,
                                  struct dawn_plan *plan,
                                  struct dawn_plan_stage *stage,
                                  struct dawn_error *err)
{
    int stages = dawn_plan_info(plan)->stages;

    for (int x = 0; x < stages; x++)
        stage[x] = *dawn_plan_stage(plan, x);
    for (int x = 1; x < stages; x++) {
        int low = stage[x - 1].first;
        int first = nearest(e, stage[x].first, low, stages - 1 - x);
        if (first < 0)
            return dawn_fail(err, DAWN_E_NOTSUP,
                             "export: there are not enough places to cut into "
                             "%d stages",
                             stages);
        stage[x].first = first;
        stage[x - 1].last = first - 1;
    }
    return DAWN_OK;
}

/* What happens to a tensor goes with the node that makes it. */
static void copy_decisions(struct dawn_plan *from, struct dawn_plan *to)
{
    const struct dawn_graph *g = dawn_plan_graph(to);

    for (int x = 0; x < dawn_plan_info(from)->stages; x++)
        for (int t = 0; t < dawn_graph_tensors(g); t++) {
            enum dawn_decision d = dawn_plan_decision(from, x, t);
            int maker = dawn_graph_producer(g, t);
            if (d != DAWN_KEEP && dawn_plan_decide(to, x, t, d, NULL) &&
                maker >=
                    0) /* it may be needed there no more: then it is kept */
                dawn_plan_decide(to, dawn_plan_stage_of(to, maker), t, d, NULL);
        }
}

static enum dawn_status check_caps(const struct report *r,
                                   struct dawn_error *err)
{
    for (int x = 0; x < dawn_plan_info(r->plan)->stages; x++) {
        const struct dawn_plan_stage *s = dawn_plan_stage(r->plan, x);
        uint64_t cap = report_cap(r, s->rank);
        if (cap && s->predicted.arena_bytes > cap)
            return dawn_fail(
                err, DAWN_E_NOFIT,
                "export: with its cuts moved, stage %d takes %s of "
                "%s",
                x, SIZE(s->predicted.arena_bytes), SIZE(cap));
    }
    return DAWN_OK;
}

/* Another plan instead of the report's, priced. */
static enum dawn_status snap(const struct exporter *e, struct report *r,
                             struct dawn_error *err)
{
    const struct dawn_plan_info *info = dawn_plan_info(r->plan);
    struct dawn_plan_stage *stage = calloc((size_t)info->stages, sizeof *stage);
    struct dawn_plan *plan = NULL;
    enum dawn_status st;

    if (!stage)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages",
                         info->stages);
    st = move_cuts(e, r->plan, stage, err);
    if (!st)
        st = dawn_plan_create(e->graph, info, stage, &plan, err);
    free(stage);
    if (st)
        return st;
    copy_decisions(r->plan, plan);
    st = dawn_planner_price(plan, r->profile, r->machine, err);
    double before = report_objective(r);
    dawn_plan_destroy(r->plan);
    r->plan = plan;
    if (!st)
        st = check_caps(r, err);
    if (!st)
        fprintf(stderr, "dawn-plan: cuts moved; %s %s, was %s\n",
                report_objective_name(r), TIME(report_objective(r)),
                TIME(before));
    return st;
}

enum dawn_status report_export(struct report *r, struct dawn_error *err)
{
    struct exporter e = {0};
    enum dawn_status st = begin(&e, r, err);

    if (!st)
        st = check_order(r->plan, err);
    if (!st && r->options->snap && check_cuts(&e, r, NULL))
        st = snap(&e, r, err);
    if (!st)
        st = check_cuts(&e, r, err);
    if (!st)
        find_kind(r->options->export)->print(&e, r->plan);
    clear(&e);
    return st;
}
