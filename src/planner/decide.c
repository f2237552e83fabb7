/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage recomputes.
 *
 * A candidate is a saved tensor that the stage makes; dropping it saves its
 * bytes of each microbatch in flight and costs a forward of its node, and of
 * each node between that and what is still there. Candidates are dropped by
 * bytes per nanosecond until the stage fits. The peak may lie in F, in BW or in
 * what is being rebuilt, so after each batch the stage is priced exactly. Then
 * what turned out not to be needed is kept again, and single candidates are
 * flipped where that makes the whole cheaper.
 */
#include "common/array.h"
#include "planner/additive.h"
#include <math.h>

/* With so few candidates the thorough way costs nothing. */
#define FEW_CANDIDATES 12
/* Nodes that the search for improvements may price, all prices together. */
#define MOST_NODES 30000
/* Rounds of dropping just enough; then twice as much each time. */
#define PATIENT_ROUNDS 8
/* Candidates in a row that are tried in vain before the rest is let alone */
#define VAIN 64
/* Candidates that are tried when a stage is hard to make fit */
#define SAMPLES 16

struct candidate {
    int tensor, node; /* and who makes it */
    uint64_t bytes;
    double extra_ns; /* what dropping it would add, to what is dropped */
    bool dropped;
};

struct price {
    uint64_t peak, least; /* least: no decision gets below */
    uint64_t comm;
    double ns;
};

struct dawni_decider {
    struct candidate *candidate; /* [tensors] */
    int *order;                  /* [tensors] of candidates */
    int *stack;                  /* [nodes] */
    uint8_t *decision;           /* [tensors] */
    uint8_t *saved;   /* [tensors]: some backward of the run needs it */
    uint8_t *again;   /* [nodes]: for dawni_stage_price */
    uint8_t *reruns;  /* [nodes]: runs again for what is dropped */
    bool *flags;      /* [tensors]: of candidates, to go back to */
    int *seen, seens; /* [nodes]: in walk number `seens` */
};

struct search { /* one decision */
    struct dawni_planner *pl;
    struct dawni_decider *d;
    int first, last, in_flight;
    uint64_t budget;
    double messages;
    int candidates, prices;
    struct price now;
};

static bool fits(const struct search *s)
{
    return s->now.peak <= s->budget;
}

/* Pricing */

static bool price_decisions(struct search *s, const uint8_t *decision,
                            struct price *price)
{
    struct dawni_planner *pl = s->pl;
    uint8_t *again = s->d->again;
    struct dawni_stage_memory m;
    enum dawn_status st;

    s->prices++;
    memset(again + s->first, 0, (size_t)s->last - (size_t)s->first + 1);
    st = dawni_stage_price(pl->pricer, s->first, s->last, decision, &m, again,
                           &pl->error);
    if (st)
        return dawni_planner_fail(pl, st, NULL);
    uint64_t messages = (uint64_t)(s->messages * (double)m.comm);
    price->peak = dawni_stage_peak(&m, s->in_flight) + messages;
    price->least = m.kept + m.comm + messages;
    price->comm = m.comm;
    price->ns = 0;
    for (int i = s->first; i <= s->last; i++)
        if (again[i])
            price->ns += again[i] * (pl->sum_f[i + 1] - pl->sum_f[i]);
    return true;
}

static bool reprice(struct search *s)
{
    return price_decisions(s, s->d->decision, &s->now);
}

/* Candidates */

static void set_dropped(struct search *s, int c, bool dropped)
{
    struct candidate *cand = &s->d->candidate[c];

    cand->dropped = dropped;
    s->d->decision[cand->tensor] = dropped ? DAWN_RECOMPUTE : DAWN_KEEP;
}

static void add_candidates(struct search *s, int node)
{
    const struct dawn_graph *g = s->pl->graph;

    for (int k = 0; k < g->node[node].desc.outputs; k++) {
        int t = g->node[node].output[k];
        s->d->decision[t] = DAWN_KEEP;
        s->d->saved[t] = dawni_tensor_saved(g, t, s->first, s->last);
        if (s->d->saved[t])
            s->d->candidate[s->candidates++] = (struct candidate){
                .tensor = t,
                .node = node,
                .bytes = dawni_graph_padded_bytes(g, t, s->pl->b)};
    }
}

/* Nanoseconds of the nodes that must run again to rebuild the outputs of
 * `node`, without those that do anyway. mark: from now on they do. */
static double rebuild_ns(struct search *s, int node, bool mark)
{
    const struct dawni_planner *pl = s->pl;
    struct dawni_decider *d = s->d;
    double ns = 0;
    int top = 0;

    d->seens++;
    d->seen[node] = d->seens;
    d->stack[top++] = node;
    while (top) {
        int i = d->stack[--top];
        const struct dawn_node_desc *desc = &pl->graph->node[i].desc;
        if (d->reruns[i])
            continue; /* and so does all that it needs */
        ns += pl->sum_f[i + 1] - pl->sum_f[i];
        d->reruns[i] = mark;
        for (int k = 0; k < desc->inputs; k++) {
            int t = desc->input[k], maker = pl->graph->tensor[t].producer;
            if (maker < s->first || d->seen[maker] == d->seens ||
                (d->saved[t] && d->decision[t] == DAWN_KEEP))
                continue;
            d->seen[maker] = d->seens;
            d->stack[top++] = maker;
        }
    }
    return ns;
}

/* Work out anew what runs again, and what each other candidate would add. */
static void mark_reruns(struct search *s)
{
    memset(s->d->reruns + s->first, 0, (size_t)s->last - (size_t)s->first + 1);
    for (int c = 0; c < s->candidates; c++)
        if (s->d->candidate[c].dropped)
            rebuild_ns(s, s->d->candidate[c].node, true);
    for (int c = 0; c < s->candidates; c++)
        s->d->candidate[c].extra_ns =
            rebuild_ns(s, s->d->candidate[c].node, false);
}

/* Orders, ties by position: then a plan depends on its input only. */

static int compare(double a, double b)
{
    return a < b ? -1 : a > b;
}

/* Most bytes per nanosecond first. What lies early is rebuilt late in backward,
 * when less is live. */
static int by_worth(const void *a, const void *b, void *arg)
{
    const struct candidate *cand = arg;
    const struct candidate *x = &cand[*(const int *)a];
    const struct candidate *y = &cand[*(const int *)b];
    int c =
        compare((double)y->bytes * x->extra_ns, (double)x->bytes * y->extra_ns);

    return c ? c : x->tensor - y->tensor;
}

/* Largest own time first: what is best kept again. extra_ns must hold it. */
static int by_time(const void *a, const void *b, void *arg)
{
    const struct candidate *cand = arg;
    const struct candidate *x = &cand[*(const int *)a];
    const struct candidate *y = &cand[*(const int *)b];
    int c = compare(y->extra_ns, x->extra_ns);

    return c ? c : y->tensor - x->tensor;
}

/* Fill `order` with the candidates of one kind; how many there are. */
static int list(struct search *s, bool dropped,
                int (*order)(const void *, const void *, void *))
{
    int n = 0;

    for (int c = 0; c < s->candidates; c++)
        if (s->d->candidate[c].dropped == dropped)
            s->d->order[n++] = c;
    qsort_r(s->d->order, (size_t)n, sizeof *s->d->order, order,
            s->d->candidate);
    return n;
}

/* Steps of the search; false: pl->status says why */

/* Drop candidates by worth until the stage fits or none is left. `never`: a
 * candidate that must stay, -1: none. */
static bool drop_until_fit(struct search *s, int never)
{
    for (int round = 1; !fits(s); round++) {
        double excess = (double)(s->now.peak - s->budget);
        int dropped = 0;
        if (round > PATIENT_ROUNDS)
            excess = ldexp(excess, round - PATIENT_ROUNDS);
        mark_reruns(s);
        int n = list(s, false, by_worth);
        for (int i = 0; i < n && excess > 0; i++) {
            int c = s->d->order[i];
            if (c == never)
                continue;
            set_dropped(s, c, true);
            excess -= (double)s->d->candidate[c].bytes * s->in_flight;
            dropped++;
        }
        if (!dropped)
            return true;
        if (!reprice(s))
            return false;
    }
    return true;
}

/* Keep a dropped candidate if the stage still fits and is no slower; *vain:
 * tries since one was kept. */
static bool try_keep(struct search *s, int c, int *vain)
{
    struct price old = s->now;

    set_dropped(s, c, false);
    if (!reprice(s))
        return false;
    *vain = fits(s) && s->now.ns <= old.ns ? 0 : *vain + 1;
    if (*vain) {
        set_dropped(s, c, true);
        s->now = old;
    }
    return true;
}

/* Keep again what is not needed to fit, dearest first. `never`: as above. */
static bool keep_again(struct search *s, int never)
{
    for (int c = 0; c < s->candidates; c++) {
        const struct candidate *cand = &s->d->candidate[c];
        s->d->candidate[c].extra_ns =
            s->pl->sum_f[cand->node + 1] - s->pl->sum_f[cand->node];
    }
    int n = list(s, true, by_time), vain = 0;
    for (int i = 0; i < n && vain < VAIN; i++) {
        int c = s->d->order[i];
        uint64_t others = (uint64_t)(s->in_flight - 1);
        if (c == never ||
            s->now.peak + others * s->d->candidate[c].bytes > s->budget)
            continue;
        if (!try_keep(s, c, &vain))
            return false;
    }
    return true;
}

/* Candidate number i of `tries` that are spread evenly. */
static int spread(const struct search *s, int i, int tries)
{
    return (int)((2 * (int64_t)i + 1) * s->candidates / (2 * tries));
}

static int few(const struct search *s)
{
    return s->candidates < SAMPLES ? s->candidates : SAMPLES;
}

/* Drop the first n candidates and keep the rest. */
static bool drop_first(struct search *s, int n)
{
    for (int c = 0; c < s->candidates; c++)
        set_dropped(s, c, c < n);
    return reprice(s);
}

/* The candidate, of a few, whose flip makes the peak smallest, and the price
 * then; -1: none helps. */
static bool best_flip(struct search *s, int *c_p, struct price *price_p)
{
    struct price old = s->now;
    int tries = few(s);

    *c_p = -1;
    *price_p = old;
    for (int i = 0; i < tries; i++) {
        int c = spread(s, i, tries);
        bool was = s->d->candidate[c].dropped;
        set_dropped(s, c, !was);
        if (!reprice(s))
            return false;
        set_dropped(s, c, was);
        if (s->now.peak < price_p->peak) {
            *price_p = s->now;
            *c_p = c;
        }
    }
    s->now = old;
    return true;
}

/* Flip what makes the peak smallest until the stage fits or nothing helps. */
static bool flip_until_fit(struct search *s)
{
    while (!fits(s)) {
        struct price price;
        int c;
        if (!best_flip(s, &c, &price))
            return false;
        if (c < 0)
            return true;
        set_dropped(s, c, !s->d->candidate[c].dropped);
        s->now = price;
    }
    return true;
}

/* All is dropped and it still does not fit: what is rebuilt at one time is too
 * much. Keeping something in the middle breaks it in two; and what lies last is
 * rebuilt at once, so dropping it alone helps little. */
static bool shrink(struct search *s)
{
    int tries = few(s), best = 0;
    uint64_t least = UINT64_MAX;

    if (!flip_until_fit(s) || fits(s))
        return !s->pl->status;
    for (int i = 0; i < tries; i++) {
        int n = spread(s, i, tries);
        if (!drop_first(s, n))
            return false;
        if (s->now.peak < least) {
            least = s->now.peak;
            best = n;
        }
    }
    return drop_first(s, best) && flip_until_fit(s);
}

/* Flip candidates c and d (which may be the same: then one), and make the best
 * of the rest; go back if that is dearer. */
static bool try_flip(struct search *s, int c, int d, bool *improved)
{
    struct price old = s->now;
    bool whole;

    for (int i = 0; i < s->candidates; i++)
        s->d->flags[i] = s->d->candidate[i].dropped;
    set_dropped(s, c, !s->d->flags[c]);
    set_dropped(s, d, !s->d->flags[d]);
    whole =
        reprice(s) && drop_until_fit(s, c) && (!fits(s) || keep_again(s, c));
    if (!whole || (fits(s) && s->now.ns < old.ns)) {
        *improved = true;
        return whole;
    }
    for (int i = 0; i < s->candidates; i++)
        if (s->d->candidate[i].dropped != s->d->flags[i])
            set_dropped(s, i, s->d->flags[i]);
    s->now = old;
    return true;
}

static bool improve(struct search *s)
{
    bool improved = true;
    int most = s->prices + MOST_NODES / (s->last - s->first + 1);
    int64_t n = s->candidates;

    while (improved && s->now.ns > 0) {
        improved = false;
        for (int c = 0; c < n && s->prices < most; c++)
            if (!try_flip(s, c, c, &improved))
                return false;
        for (int64_t c = 0; c < n * n && s->prices < most && !improved; c++)
            if (c / n < c % n &&
                !try_flip(s, (int)(c / n), (int)(c % n), &improved))
                return false;
    }
    return true;
}

/* From a stage that keeps everything and does not fit. */
static bool choose(struct search *s, bool thorough)
{
    if (s->pl->no_recompute || s->now.least > s->budget)
        return true;
    for (int i = s->first; i <= s->last; i++)
        add_candidates(s, i);
    if (!drop_until_fit(s, -1) || (!fits(s) && !shrink(s)))
        return false;
    if (!fits(s))
        return true;
    if (!keep_again(s, -1))
        return false;
    return !(thorough || s->candidates <= FEW_CANDIDATES) || improve(s);
}

static struct dawni_decided result(const struct search *s, bool whole)
{
    return (struct dawni_decided){
        .fits = whole && fits(s),
        .peak = s->now.peak,
        .comm = s->now.comm,
        .recompute_ns = s->now.ns,
    };
}

static struct search begin(struct dawni_planner *pl, int first, int last, int x)
{
    return (struct search){
        .pl = pl,
        .d = pl->decider,
        .first = first,
        .last = last,
        .in_flight = pl->stage[x].in_flight,
        .budget = pl->stage[x].budget,
        .messages = pl->stage[x].messages,
    };
}

struct dawni_decided dawni_decide(struct dawni_planner *pl, int first, int last,
                                  int x, bool thorough, uint8_t *decision)
{
    if (pl->additive)
        return dawni_additive_decide(pl, first, last, x, thorough, decision);
    struct search s = begin(pl, first, last, x);
    bool whole = price_decisions(&s, NULL, &s.now);

    if (whole && !fits(&s))
        whole = choose(&s, thorough);
    for (int c = 0; c < s.candidates; c++) {
        const struct candidate *cand = &s.d->candidate[c];
        if (decision)
            decision[cand->tensor] = s.d->decision[cand->tensor];
        set_dropped(&s, c, false);
    }
    return result(&s, whole);
}

struct dawni_decided dawni_price_decisions(struct dawni_planner *pl, int first,
                                           int last, int x,
                                           const uint8_t *decision)
{
    if (pl->additive)
        return dawni_additive_price(pl, first, last, x, decision);
    struct search s = begin(pl, first, last, x);
    bool whole = price_decisions(&s, decision, &s.now);

    return result(&s, whole);
}

enum dawn_status dawni_decider_create(struct dawni_planner *pl,
                                      struct dawn_error *err)
{
    struct dawni_decider *d = calloc(1, sizeof *d);
    int tensors = pl->graph->tensors;

    if (!d)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    d->candidate = dawni_calloc(tensors, sizeof *d->candidate);
    d->order = dawni_calloc(tensors, sizeof *d->order);
    d->stack = dawni_calloc(pl->n, sizeof *d->stack);
    d->decision = dawni_calloc(tensors, sizeof *d->decision);
    d->saved = dawni_calloc(tensors, sizeof *d->saved);
    d->again = dawni_calloc(pl->n, sizeof *d->again);
    d->reruns = dawni_calloc(pl->n, sizeof *d->reruns);
    d->flags = dawni_calloc(tensors, sizeof *d->flags);
    d->seen = dawni_calloc(pl->n, sizeof *d->seen);
    pl->decider = d;
    if (!d->candidate || !d->order || !d->stack || !d->decision || !d->saved ||
        !d->again || !d->reruns || !d->flags || !d->seen)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    return DAWN_OK;
}

void dawni_decider_destroy(struct dawni_decider *d)
{
    if (!d)
        return;
    free(d->candidate);
    free(d->order);
    free(d->stack);
    free(d->decision);
    free(d->saved);
    free(d->again);
    free(d->reruns);
    free(d->flags);
    free(d->seen);
    free(d);
}
