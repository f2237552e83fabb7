/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage recomputes and offloads, decided for whole layers, as systems do
 * that see a model as a list of layers.
 *
 * A layer is a run of nodes of one stage whose names are the same up to the
 * first dot behind a number ("block3.attn.qkv", "enc.block3.mlp.up"), or up to
 * the first dot where no number is before one; a node without a dot is a layer.
 * A layer that is recomputed keeps what others need of it and drops what only
 * itself needs, so it begins again from its inputs. One that is offloaded moves
 * all that it made and, the first of a stage, what the stage received.
 */
#include "common/array.h"
#include "planner/planner.h"
#include <math.h>

struct layer {
    int begin, end;  /* nodes; end is behind the last */
    double saved;    /* bytes of a microbatch that recomputing it saves */
    double again_ns; /* its forward */
    uint8_t way;     /* enum dawn_decision */
};

struct by_layer {
    struct dawni_planner *pl;
    int first, last, x, layers;
    struct layer *layer; /* by worth of recomputing, best first */
    uint8_t *decision;   /* by tensor */
    struct dawni_decided now;
};

static double cost_of(const struct dawni_decided *d)
{
    return d->recompute_ns + d->stall_ns;
}

/* Layers */

/* Letters of a node's name that say which layer it is of. */
static size_t prefix(const char *name)
{
    size_t number = strcspn(name, "0123456789");
    const char *dot = strchr(name + number, '.');

    return dot ? (size_t)(dot - name) : strcspn(name, ".");
}

static bool same_layer(const struct dawni_planner *pl, int a, int b)
{
    const char *p = pl->graph->node[a].desc.name;
    const char *q = pl->graph->node[b].desc.name;
    size_t n = prefix(p);

    return p[n] == '.' && n == prefix(q) && q[n] == '.' &&
           strncmp(p, q, n) == 0;
}

/* Is the tensor, made in nodes begin..end - 1, used by no others? */
static bool is_inner(const struct dawn_graph *g, int tensor, int end)
{
    const struct dawni_tensor *t = &g->tensor[tensor];

    return !t->users || t->user[t->users - 1] < end;
}

static double inner_bytes(const struct by_layer *s, const struct layer *layer)
{
    const struct dawn_graph *g = s->pl->graph;
    double bytes = 0;

    for (int i = layer->begin; i < layer->end; i++)
        for (int k = 0; k < g->node[i].desc.outputs; k++) {
            int t = g->node[i].output[k];
            if (is_inner(g, t, layer->end) &&
                dawni_tensor_saved(g, t, s->first, s->last))
                bytes += (double)dawni_graph_padded_bytes(g, t, s->pl->b);
        }
    return bytes;
}

static int by_worth(const void *a, const void *b)
{
    const struct layer *p = a, *q = b;
    double left = p->saved * q->again_ns, right = q->saved * p->again_ns;

    if (left != right)
        return left > right ? -1 : 1;
    return p->begin - q->begin;
}

static void find_layers(struct by_layer *s)
{
    const struct dawni_planner *pl = s->pl;

    for (int i = s->first, next; i <= s->last; i = next) {
        struct layer *layer = &s->layer[s->layers++];
        for (next = i + 1; next <= s->last && same_layer(pl, i, next);)
            next++;
        *layer = (struct layer){.begin = i, .end = next, .way = DAWN_KEEP};
        layer->saved = inner_bytes(s, layer);
        layer->again_ns = pl->sum_f[next] - pl->sum_f[i];
    }
    qsort(s->layer, (size_t)s->layers, sizeof *s->layer, by_worth);
}

/* Decisions */

static void decide_tensor(struct by_layer *s, int tensor, uint8_t way)
{
    if (dawni_tensor_saved(s->pl->graph, tensor, s->first, s->last))
        s->decision[tensor] = way;
}

/* Was the tensor received, and is node i the first here to need it? */
static bool receives(const struct by_layer *s, int i, int tensor)
{
    const struct dawni_tensor *t = &s->pl->graph->tensor[tensor];
    int k = 0;

    if (t->producer >= s->first)
        return false;
    while (t->user[k] < s->first)
        k++;
    return t->user[k] == i;
}

static void decide_layer(struct by_layer *s, const struct layer *layer)
{
    const struct dawn_graph *g = s->pl->graph;
    bool away = layer->way > DAWN_RECOMPUTE;

    for (int i = layer->begin; i < layer->end; i++) {
        const struct dawni_node *n = &g->node[i];
        for (int k = 0; k < n->desc.inputs; k++)
            if (receives(s, i, n->desc.input[k]))
                decide_tensor(s, n->desc.input[k],
                              away ? layer->way : DAWN_KEEP);
        for (int k = 0; k < n->desc.outputs; k++) {
            bool kept = !away && !is_inner(g, n->output[k], layer->end);
            decide_tensor(s, n->output[k], kept ? DAWN_KEEP : layer->way);
        }
    }
}

/* The first n layers in one way, up to `all` in the other; the rest is kept. */
static bool try_ways(struct by_layer *s, int n, int way, int all, int other)
{
    for (int i = 0; i < s->layers; i++) {
        int chosen = i < n ? way : i < all ? other : DAWN_KEEP;
        s->layer[i].way = (uint8_t)chosen;
        decide_layer(s, &s->layer[i]);
    }
    s->now = dawni_price_decisions(s->pl, s->first, s->last, s->x, s->decision);
    return s->now.fits;
}

/* The fewest layers that have to go that way for the stage to fit; all, if that
 * does not do. */
static int fewest(struct by_layer *s, int way)
{
    int low = 0, high = s->layers;

    if (!try_ways(s, high, way, high, way))
        return high;
    while (low + 1 < high && !s->pl->status) {
        int mid = low + (high - low) / 2;
        if (try_ways(s, mid, way, mid, way))
            high = mid;
        else
            low = mid;
    }
    try_ways(s, high, way, high, way);
    return high;
}

/* Of n layers that are recomputed, offload as many as makes it cheaper. */
static int swap_some(struct by_layer *s, int n, int tier)
{
    int low = 0, high = n + 1;
    double least = s->now.fits ? cost_of(&s->now) : INFINITY;

    while (low + 1 < high && !s->pl->status) {
        int mid = low + (high - low) / 2;
        bool fits = try_ways(s, mid, tier, n, DAWN_RECOMPUTE);
        if (fits && cost_of(&s->now) < least) {
            least = cost_of(&s->now);
            low = mid;
        } else {
            high = mid;
        }
    }
    try_ways(s, low, tier, n, DAWN_RECOMPUTE);
    return low;
}

struct choice {
    int n, way, all, other;
    struct dawni_decided d;
};

static void consider(const struct by_layer *s, struct choice *best,
                     struct choice c)
{
    c.d = s->now;
    if (c.d.fits != best->d.fits ? c.d.fits
        : c.d.fits               ? cost_of(&c.d) < cost_of(&best->d)
                                 : c.d.peak < best->d.peak)
        *best = c;
}

static void choose(struct by_layer *s)
{
    struct choice best = {.d = s->now};
    int n;

    for (int tier = DAWN_TO_HOST; tier <= DAWN_TO_SSD; tier++) {
        if (!s->pl->may_offload[tier])
            continue;
        n = fewest(s, tier);
        consider(s, &best, (struct choice){.n = n, .way = tier, .all = n});
    }
    if (!s->pl->no_recompute) {
        n = fewest(s, DAWN_RECOMPUTE);
        consider(s, &best, (struct choice){.all = n, .other = DAWN_RECOMPUTE});
        for (int tier = DAWN_TO_HOST; tier <= DAWN_TO_SSD; tier++) {
            if (!s->pl->may_offload[tier])
                continue;
            int some = swap_some(s, n, tier);
            consider(s, &best,
                     (struct choice){some, tier, n, DAWN_RECOMPUTE, s->now});
        }
    }
    try_ways(s, best.n, best.way, best.all, best.other);
}

struct dawni_decided dawni_decide_by_layer(struct dawni_planner *pl, int first,
                                           int last, int x, uint8_t *decision)
{
    struct by_layer s = {
        .pl = pl,
        .first = first,
        .last = last,
        .x = x,
        .decision = decision,
    };

    if (pl->additive) /* whose nodes are layers */
        return dawni_decide(pl, first, last, x, true, decision);
    s.now = dawni_price_decisions(pl, first, last, x, decision);
    if (s.now.fits || pl->status)
        return s.now;
    s.layer = dawni_calloc(last - first + 1, sizeof *s.layer);
    if (s.layer) {
        find_layers(&s);
        choose(&s);
    } else {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for decisions");
    }
    free(s.layer);
    return s.now;
}
