/* SPDX-License-Identifier: Apache-2.0 */
/* dawn_profile_measure over one to three ranks. The times themselves are the
 * machine's business; that they are there, and the same on all ranks, is ours.
 */
#include "comm/comm.h"
#include "graph/graph.h"
#include "runtime/measure_rig.h"
#include "tap.h"
#include <dawnpiper/job.h>
#include <dawnpiper/measure.h>
#include <limits.h>
#include <string.h>

static const int64_t sizes[] = {1, 3};

static struct dawn_graph *build(const struct dawn_model_opts *o)
{
    struct dawn_graph *g = NULL;
    struct dawn_error err = {DAWN_OK, ""};

    if (dawn_model_build(o, &g, &err))
        diag("%s", err.text);
    return g;
}

static struct dawn_graph *tiny(enum dawn_dtype dtype, bool fused)
{
    return build(&(struct dawn_model_opts){.preset = "gpt2",
                                           .layers = 2,
                                           .hidden = 32,
                                           .heads = 2,
                                           .context = 16,
                                           .vocab = 64,
                                           .dropout = 0.1,
                                           .fused_attention = fused,
                                           .dtype = dtype});
}

/* Nearly all work is in the last two nodes. */
static struct dawn_graph *heavy_end(void)
{
    return build(&(struct dawn_model_opts){.preset = "gpt2",
                                           .layers = 1,
                                           .hidden = 8,
                                           .heads = 2,
                                           .context = 16,
                                           .vocab = 4096,
                                           .fused_attention = true,
                                           .dtype = DAWN_F32});
}

static struct dawn_comm *comm;

static bool everywhere(bool held)
{
    int64_t verdict = held;

    return !comm->ops->allreduce_min(comm, &verdict, 1, NULL) && verdict;
}

static int feed_calls, progress_calls, progress_done, progress_all;

static int feed(void *user, const struct dawn_feed *what, void *data)
{
    int *tokens = data;

    feed_calls++;
    for (int64_t i = 0; i < what->samples * 16; i++)
        tokens[i] = (int)(i * 7 % 64);
    return 0;
}

static int broken_feed(void *user, const struct dawn_feed *what, void *data)
{
    return 1;
}

static void progress(void *user, int done, int all)
{
    progress_calls++;
    progress_done = done;
    progress_all = all;
}

/* The first node and size whose costs are not as they must be, or -1. */
static int wrong_node(const struct dawn_profile *p)
{
    const struct dawn_graph *g = dawn_profile_graph(p);

    for (int i = 0; i < g->nodes; i++)
        for (int k = 0; k < 2; k++) {
            const struct dawn_node_cost *c = dawn_profile_cost_of(p, i, k);
            const struct dawni_node *n = &g->node[i];
            bool b = n->needs_b && !(n->desc.flags & DAWN_NODE_GRAD_PASS);
            bool w = n->active && n->desc.params;
            if (c->ns[0] <= 0 || (c->ns[1] > 0) != b || (c->ns[2] > 0) != w ||
                (c->update_ns > 0 || !n->desc.params) != true)
                return i;
            for (int phase = 0; phase < 3; phase++)
                if (!(c->spread_ns[phase] >= 0))
                    return i;
        }
    return -1;
}

static bool same_digest(const struct dawn_profile *p)
{
    int64_t x = (int64_t)(dawn_profile_digest(p) >> 1), least[2] = {x, -x};

    return !comm->ops->allreduce_min(comm, least, 2, NULL) &&
           least[0] == -least[1];
}

static void test_model(const char *name, enum dawn_dtype dtype, bool fused)
{
    struct dawn_graph *g = tiny(dtype, fused);
    struct dawn_profile *p = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    struct dawn_measure_opts o = {.comm = comm,
                                  .sizes = 2,
                                  .size = sizes,
                                  .repeats = 3,
                                  .feed = feed,
                                  .progress = progress};

    feed_calls = progress_done = progress_all = 0;
    enum dawn_status st = dawn_profile_measure(g, &o, &p, &err);
    if (st)
        diag("%s", err.text);
    ok(everywhere(!st), "%s: measured", name);
    if (st) {
        dawn_graph_destroy(g);
        return;
    }
    int wrong = wrong_node(p);
    if (wrong >= 0)
        diag("wrong costs of node %s", g->node[wrong].desc.name);
    ok(everywhere(wrong < 0),
       "%s: F, B, W and update are above 0 where they exist, else 0", name);
    ok(everywhere(same_digest(p)), "%s: every rank has the same profile", name);
    ok(!everywhere(feed_calls == 0), "%s: graph inputs are fed", name);
    ok(everywhere(progress_done == progress_all) &&
           !everywhere(progress_all == 0),
       "%s: progress is told", name);
    dawn_profile_destroy(p);
}

/* Where memory is short, runs are halved until they fit, and a node that does
 * not fit alone is named. So it is when very many ranks share the host: fewer by
 * a fifth each time, until the largest node, the head, just fits. It is measured
 * at two sizes, which are more than a quarter apart, so its run is halved. With
 * 3 ranks the last one's run is empty, and stays so. */
static void test_little_room(void)
{
    struct dawn_graph *g = heavy_end();
    struct dawn_profile *p = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    struct dawn_measure_opts o = {.comm = comm,
                                  .sizes = 2,
                                  .size = sizes,
                                  .repeats = 1,
                                  .feed = feed,
                                  .progress = progress};
    int locals = comm->local_size;

    comm->local_size = INT_MAX;
    enum dawn_status st = dawn_profile_measure(g, &o, &p, &err);
    ok(everywhere(st == DAWN_E_NOFIT) && strstr(err.text, "node 'head' takes "),
       "no room for the head: %s", err.text);
    while (everywhere(st == DAWN_E_NOFIT)) {
        progress_calls = progress_done = progress_all = 0;
        comm->local_size -= comm->local_size / 5;
        st = dawn_profile_measure(g, &o, &p, &err);
    }
    comm->local_size = locals;
    if (st)
        diag("%s", err.text);
    ok(everywhere(!st), "little room: measured");
    if (st) {
        dawn_graph_destroy(g);
        return;
    }
    ok(everywhere(progress_done == progress_all),
       "little room: each node is measured once");
    ok(!everywhere(progress_calls < 2), "little room: in more than one part");
    ok(everywhere(wrong_node(p) < 0), "little room: no node is left out");
    if (comm->size == 3)
        ok(!everywhere(progress_all > 0), "little room: a rank has no node");
    dawn_profile_destroy(p);
}

static void test_refusals(void)
{
    static const int64_t unsorted[] = {2, 1}, zero[] = {0, 1};
    static const struct {
        const char *what;
        struct dawn_measure_opts o;
        enum dawn_status wanted;
    } table[] = {
        {"no size", {.sizes = 0, .size = sizes}, DAWN_E_INVAL},
        {"sizes that descend", {.sizes = 2, .size = unsorted}, DAWN_E_INVAL},
        {"a size of 0", {.sizes = 2, .size = zero}, DAWN_E_INVAL},
        {"an unknown device",
         {.sizes = 2, .size = sizes, .device = "abacus"},
         DAWN_E_NOTSUP},
        {"a feed that fails",
         {.sizes = 2, .size = sizes, .repeats = 1, .feed = broken_feed},
         DAWN_E_USER},
    };
    struct dawn_graph *g = tiny(DAWN_F32, true);

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct dawn_measure_opts o = table[i].o;
        struct dawn_profile *p = NULL;
        struct dawn_error err = {DAWN_OK, ""};
        o.comm = comm;
        enum dawn_status st = dawn_profile_measure(g, &o, &p, &err);
        ok(everywhere(st == table[i].wanted && err.text[0] && !p),
           "%s is refused on every rank: %s", table[i].what,
           dawn_status_name(table[i].wanted));
    }
    dawn_graph_destroy(g);
}

/* Buffers that live at the same time do not overlap. */
static bool disjoint(const struct dawni_rig *r)
{
    for (int i = 0; i < r->buffers; i++)
        for (int k = 0; k < i; k++) {
            const struct dawni_extent *a = &r->extent[i], *b = &r->extent[k];
            if (a->begin <= b->end && b->begin <= a->end &&
                a->offset < b->offset + b->bytes &&
                b->offset < a->offset + a->bytes)
                return false;
        }
    return true;
}

static void test_cuts(void)
{
    struct dawn_graph *g = tiny(DAWN_F32, true);
    struct dawn_error err = {DAWN_OK, ""};
    int wrong = 0, runs = 0;

    for (int first = 0; first < g->nodes; first++)
        for (int last = first; last < g->nodes; last += 3, runs++) {
            struct dawni_rig *r = NULL;
            double ns[64][DAWNI_PHASES], update[64];
            enum dawn_status st = dawni_rig_create(
                g, &dawni_host_device, (int[2]){first, last}, 2, &r, &err);
            if (!st)
                st = dawni_rig_fill(r, feed, NULL, &err);
            if (!st)
                st = dawni_rig_microbatch(r, 0, ns, &err);
            if (!st)
                st = dawni_rig_update(r, update, &err);
            wrong += st || !disjoint(r);
            dawni_rig_destroy(r);
        }
    is_int(wrong, 0, "%d runs of nodes, cut anywhere, can be timed", runs);
    dawn_graph_destroy(g);
}

int main(void)
{
    struct dawn_error err = {DAWN_OK, ""};

    if (dawn_comm_create_mpi(30, &comm, &err)) {
        plan_lazy();
        ok(false, "%s", err.text);
        return done_testing();
    }
    if (comm->rank)
        plan_quiet();
    else
        plan_lazy();
    test_model("f32, fused attention", DAWN_F32, true);
    test_model("f32, unfused attention", DAWN_F32, false);
    test_model("bf16, fused attention", DAWN_BF16, true);
    test_little_room();
    test_refusals();
    if (comm->size == 1)
        test_cuts();
    dawn_comm_destroy(comm);
    return done_testing();
}
