/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage recomputes and what it offloads.
 *
 * A candidate is a saved tensor. To recompute one that the stage makes saves
 * its bytes of each microbatch in flight and costs a forward of its node, and
 * of each node between that and what is still there. To offload one costs what
 * the transfers of all that are offloaded stall, which is nothing while they
 * hide. Candidates are dropped by bytes per nanosecond until the stage fits,
 * where a transfer counts as if nothing hid it; then those that are dear to
 * rebuild are offloaded instead, as many as can hide. The peak may lie in F, in
 * BW or in what is being rebuilt, so after each batch the stage is priced
 * exactly. Then what turned out not to be needed is kept again, and single
 * candidates are flipped where that makes the whole cheaper.
 */
#include "common/array.h"
#include "planner/additive.h"
#include "planner/prices.h"
#include <math.h>

/* With so few candidates the thorough way costs nothing. */
#define FEW_CANDIDATES 12
/* Nodes that the search for improvements may price, all prices together. */
#define MOST_NODES 8000
/* Rounds of dropping just enough; then twice as much each time. */
#define PATIENT_ROUNDS 8
/* Candidates in a row that are tried in vain before the rest is let alone; and
 * where there are many, and only the cost is asked for */
#define VAIN 64
#define SOON_VAIN 8
#define MANY_CANDIDATES 100
/* Candidates that are tried when a stage is hard to make fit */
#define SAMPLES 16

struct candidate {
    int tensor, node; /* and who makes it; another stage's: -1 */
    uint64_t bytes;
    double extra_ns; /* what dropping it would add, to what is dropped */
    uint8_t way;     /* to drop it at that price: enum dawn_decision */
    uint8_t decision;
};

struct price {
    uint64_t peak, least; /* least: no decision gets below */
    uint64_t kept, comm;
    double recompute_ns, stall_ns;
    double ns; /* both, on the profiled device */
};

struct dawni_decider {
    struct candidate *candidate; /* [tensors] */
    int *order;                  /* [tensors] of candidates */
    int *stack;                  /* [nodes] */
    uint8_t *decision;           /* [tensors] */
    uint8_t *saved;   /* [tensors]: some backward of the run needs it */
    uint8_t *again;   /* [nodes]: for dawni_stage_price */
    uint8_t *reruns;  /* [nodes]: runs again for what is dropped */
    uint8_t *before;  /* [tensors]: of candidates, to go back to */
    uint8_t *first;   /* likewise: of the first of two ways to begin */
    int *seen, seens; /* [nodes]: in walk number `seens` */
    struct dawni_prices prices;
};

struct search { /* one decision */
    struct dawni_planner *pl;
    struct dawni_decider *d;
    int first, last, x, in_flight;
    uint64_t budget;
    double messages;
    const uint8_t *optimizer; /* by parameter: where moments lie; NULL: kept */
    uint64_t staging;         /* what of them is there in an update */
    int candidates, prices;
    int vain; /* VAIN or SOON_VAIN */
    struct price now;
};

static bool fits(const struct search *s)
{
    return s->now.peak <= s->budget;
}

/* Pricing */

/* bytes + more, which may be negative; not below 0. */
static uint64_t plus(uint64_t bytes, int64_t more)
{
    if (more < 0 && bytes < (uint64_t)-more)
        return 0;
    return bytes + (uint64_t)more;
}

/* False: pl->status is set. */
static bool count_work(const struct search *s)
{
    return dawni_planner_work(s->pl, (uint64_t)(s->last - s->first + 1));
}

/* Without messages, and price->peak without what is kept. */
static bool price_anew(struct search *s, const uint8_t *decision,
                       struct price *price)
{
    struct dawni_planner *pl = s->pl;
    uint8_t *again = s->d->again;
    struct dawni_stage_memory m;
    enum dawn_status st;

    if (!count_work(s))
        return false;
    memset(again + s->first, 0, (size_t)s->last - (size_t)s->first + 1);
    dawni_stage_pricer_expect(pl->pricer, s->in_flight);
    dawni_stage_pricer_optimizer(pl->pricer, s->optimizer);
    dawni_stage_pricer_versions(pl->pricer, pl->stage[s->x].versions);
    st = dawni_stage_price(pl->pricer, s->first, s->last, decision, &m, again,
                           &pl->error);
    dawni_stage_pricer_optimizer(pl->pricer, NULL);
    if (st)
        return dawni_planner_fail(pl, st, NULL);
    price->kept = m.kept;
    price->comm = m.comm;
    price->peak = dawni_stage_peak(&m, s->in_flight) - m.kept;
    price->recompute_ns = 0;
    for (int i = s->first; i <= s->last; i++)
        if (again[i])
            price->recompute_ns += again[i] * (pl->sum_f[i + 1] - pl->sum_f[i]);
    return true;
}

/* From a peak without what is kept to all of it. */
static void add_kept(const struct search *s, struct price *price)
{
    int64_t messages = (int64_t)(s->messages * (double)price->comm);

    price->peak = plus(price->kept + price->peak, messages);
    price->least = plus(price->kept + price->comm, messages);
    if (price->peak < price->kept + s->staging)
        price->peak = price->kept + s->staging;
    if (price->least < price->kept + s->staging)
        price->least = price->kept + s->staging;
}

/* Where it does not fit, a search does not ask what it stalls. */
static bool needs_stall(const struct search *s, const struct price *price)
{
    return !s->candidates || price->peak <= s->budget;
}

static bool price_decisions(struct search *s, const uint8_t *decision,
                            struct price *price)
{
    struct dawni_planner *pl = s->pl;
    uint64_t active;

    s->prices++;
    if (!price_anew(s, decision, price))
        return false;
    active = price->peak;
    add_kept(s, price);
    price->stall_ns = 0;
    bool stall = needs_stall(s, price);
    if (stall && dawni_may_offload(pl) && !count_work(s))
        return false;
    if (stall && !dawni_stall(pl, s->x, &price->stall_ns))
        return false;
    price->ns = price->recompute_ns + price->stall_ns * pl->stage[s->x].speed;
    if (s->candidates)
        dawni_prices_add(&s->d->prices,
                         &(struct dawni_known_price){
                             .peak = active,
                             .comm = price->comm,
                             .recompute_ns = price->recompute_ns,
                             .stall_ns = stall ? price->stall_ns : -1,
                         });
    return true;
}

/* The price of what the search has decided, which keeps what it did at first.
 */
static bool reprice(struct search *s)
{
    const struct dawni_known_price *known = dawni_prices_find(&s->d->prices);
    struct price price = {.kept = s->now.kept};

    if (!known)
        return price_decisions(s, s->d->decision, &s->now);
    price.peak = known->peak;
    price.comm = known->comm;
    price.recompute_ns = known->recompute_ns;
    add_kept(s, &price);
    if (needs_stall(s, &price) && known->stall_ns < 0)
        return price_decisions(s, s->d->decision, &s->now);
    price.stall_ns = known->stall_ns < 0 ? 0 : known->stall_ns;
    price.ns = price.recompute_ns + price.stall_ns * s->pl->stage[s->x].speed;
    s->prices++;
    s->now = price;
    return true;
}

/* Candidates */

static void set(struct search *s, int c, int decision)
{
    struct candidate *cand = &s->d->candidate[c];

    dawni_prices_ask_with(&s->d->prices, c, decision);
    cand->decision = (uint8_t)decision;
    s->d->decision[cand->tensor] = (uint8_t)decision;
}

static bool may(const struct search *s, const struct candidate *c, int decision)
{
    if (decision == DAWN_RECOMPUTE)
        return !s->pl->no_recompute && c->node >= 0;
    return decision == DAWN_KEEP || s->pl->may_offload[decision];
}

/* A tensor that is saved, not seen before, and can be dropped somehow. */
static void add_candidate(struct search *s, int tensor, int node)
{
    const struct dawn_graph *g = s->pl->graph;
    struct candidate c = {.tensor = tensor, .node = node};

    if (s->pl->stamp[tensor] == s->pl->stamps)
        return;
    s->pl->stamp[tensor] = s->pl->stamps;
    s->d->decision[tensor] = DAWN_KEEP;
    s->d->saved[tensor] = dawni_tensor_saved(g, tensor, s->first, s->last);
    c.bytes = dawni_graph_padded_bytes(g, tensor, s->pl->b);
    if (s->d->saved[tensor] && (node >= 0 || dawni_may_offload(s->pl)))
        s->d->candidate[s->candidates++] = c;
}

static void add_candidates(struct search *s)
{
    const struct dawn_graph *g = s->pl->graph;

    s->pl->stamps++;
    for (int i = s->first; i <= s->last; i++) {
        const struct dawni_node *node = &g->node[i];
        for (int k = 0; k < node->desc.inputs && dawni_may_offload(s->pl); k++)
            if (g->tensor[node->desc.input[k]].producer < s->first)
                add_candidate(s, node->desc.input[k], -1);
        for (int k = 0; k < node->desc.outputs; k++)
            add_candidate(s, node->output[k], i);
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
                (d->saved[t] && d->decision[t] != DAWN_RECOMPUTE))
                continue;
            d->seen[maker] = d->seens;
            d->stack[top++] = maker;
        }
    }
    return ns;
}

/* Time to write a candidate to a tier and read it back, if nothing hides it,
 * and the computing time that both take. */
static double transfer_ns(const struct search *s, const struct candidate *c,
                          int decision)
{
    const struct dawni_planner *pl = s->pl;
    int tier = pl->tier_of[decision];
    struct dawn_sim_tier t = dawni_tier_share(pl, tier, pl->sharers[tier]);
    double bytes = (double)c->bytes * 1e9;

    return (bytes / t.read_bytes_per_s + bytes / t.write_bytes_per_s +
            2 * (double)c->bytes * t.compute_ns_per_byte) *
           pl->stage[s->x].speed;
}

/* The cheapest way to drop a candidate, and its price. */
static void find_way(struct search *s, struct candidate *c)
{
    c->extra_ns = INFINITY;
    if (may(s, c, DAWN_RECOMPUTE)) {
        c->way = DAWN_RECOMPUTE;
        c->extra_ns = rebuild_ns(s, c->node, false);
    }
    for (int d = DAWN_TO_HOST; d <= DAWN_TO_SSD; d++) {
        double ns = may(s, c, d) ? transfer_ns(s, c, d) : INFINITY;
        if (ns < c->extra_ns) {
            c->way = (uint8_t)d;
            c->extra_ns = ns;
        }
    }
}

/* Work out anew what runs again, and what each other candidate would add. */
static void mark_reruns(struct search *s)
{
    memset(s->d->reruns + s->first, 0, (size_t)s->last - (size_t)s->first + 1);
    for (int c = 0; c < s->candidates; c++)
        if (s->d->candidate[c].decision == DAWN_RECOMPUTE)
            rebuild_ns(s, s->d->candidate[c].node, true);
    for (int c = 0; c < s->candidates; c++)
        find_way(s, &s->d->candidate[c]);
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

/* Most time per byte first: what is best offloaded. */
static int by_dearness(const void *a, const void *b, void *arg)
{
    const struct candidate *cand = arg;
    const struct candidate *x = &cand[*(const int *)a];
    const struct candidate *y = &cand[*(const int *)b];
    int c =
        compare((double)x->bytes * y->extra_ns, (double)y->bytes * x->extra_ns);

    return c ? c : x->tensor - y->tensor;
}

typedef int (*order_fn)(const void *, const void *, void *);

/* Fill `order` with the candidates that are `dropped` or not, but for those
 * that are offloaded; how many there are. */
static int list(struct search *s, bool dropped, order_fn order)
{
    int n = 0;

    for (int c = 0; c < s->candidates; c++)
        if (s->d->candidate[c].decision ==
            (dropped ? DAWN_RECOMPUTE : DAWN_KEEP))
            s->d->order[n++] = c;
    qsort_r(s->d->order, (size_t)n, sizeof *s->d->order, order,
            s->d->candidate);
    return n;
}

/* Those that are offloaded, the largest first. */
static int list_offloaded(struct search *s)
{
    int n = 0;

    for (int c = 0; c < s->candidates; c++) {
        struct candidate *cand = &s->d->candidate[c];
        cand->extra_ns = (double)cand->bytes;
        if (cand->decision > DAWN_RECOMPUTE)
            s->d->order[n++] = c;
    }
    qsort_r(s->d->order, (size_t)n, sizeof *s->d->order, by_time,
            s->d->candidate);
    return n;
}

static void save(const struct search *s, uint8_t *decision)
{
    for (int c = 0; c < s->candidates; c++)
        decision[c] = s->d->candidate[c].decision;
}

static void restore(struct search *s, const uint8_t *decision)
{
    for (int c = 0; c < s->candidates; c++)
        if (s->d->candidate[c].decision != decision[c])
            set(s, c, decision[c]);
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
            if (c == never || isinf(s->d->candidate[c].extra_ns))
                continue;
            set(s, c, s->d->candidate[c].way);
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

/* Decide so if the stage still fits and is no slower; *vain: tries since one
 * was taken. */
static bool try_decision(struct search *s, int c, int decision, int *vain)
{
    struct price old = s->now;
    int was = s->d->candidate[c].decision;

    set(s, c, decision);
    if (!reprice(s))
        return false;
    *vain = fits(s) && s->now.ns <= old.ns ? 0 : *vain + 1;
    if (*vain) {
        set(s, c, was);
        s->now = old;
    }
    return true;
}

/* Keep the first n of `order` again, but for `never`, where that fits. */
static bool keep_listed(struct search *s, int n, int never)
{
    uint64_t others = (uint64_t)(s->in_flight - 1);
    int vain = 0;

    for (int i = 0; i < n && vain < s->vain; i++) {
        int c = s->d->order[i];
        if (c == never ||
            s->now.peak + others * s->d->candidate[c].bytes > s->budget)
            continue;
        if (!try_decision(s, c, DAWN_KEEP, &vain))
            return false;
    }
    return true;
}

static void set_own_times(struct search *s)
{
    for (int c = 0; c < s->candidates; c++) {
        struct candidate *cand = &s->d->candidate[c];
        int node = cand->node;
        cand->extra_ns =
            node < 0 ? INFINITY : s->pl->sum_f[node + 1] - s->pl->sum_f[node];
    }
}

/* Keep again what is not needed to fit, dearest first. `never`: as above. */
static bool keep_again(struct search *s, int never)
{
    set_own_times(s);
    if (!keep_listed(s, list(s, true, by_time), never))
        return false;
    return keep_listed(s, list_offloaded(s), never);
}

/* Offload the first n of `order`, and decide `else_way` about the others. */
static bool offload_first(struct search *s, int n, int all, int tier,
                          int else_way)
{
    for (int i = 0; i < all; i++)
        set(s, s->d->order[i], i < n ? tier : else_way);
    return reprice(s);
}

/* Offload instead of rebuilding: the dearest ones first, as many as make the
 * stage cheaper, by halving. */
static bool offload_dropped(struct search *s, int tier)
{
    int low = 0, high, n;

    set_own_times(s);
    n = list(s, true, by_dearness);
    for (high = n + 1; low + 1 < high;) {
        int mid = high > n ? n : (low + high) / 2;
        struct price old = s->now;
        if (!offload_first(s, mid, n, tier, DAWN_RECOMPUTE))
            return false;
        if (fits(s) && s->now.ns < old.ns) {
            low = mid;
        } else {
            high = mid;
            s->now = old;
        }
    }
    return n == 0 || offload_first(s, low, n, tier, DAWN_RECOMPUTE);
}

static bool offload_any(struct search *s)
{
    for (int d = DAWN_TO_HOST; d <= DAWN_TO_SSD; d++)
        if (s->pl->may_offload[d] && fits(s) && s->now.recompute_ns > 0 &&
            !offload_dropped(s, d))
            return false;
    return true;
}

/* From a stage that keeps everything: offload as few as make it fit, dearest
 * first, by halving; if all do not, all. */
static bool offload_until_fit(struct search *s, int tier)
{
    int low = 0, high, n;

    set_own_times(s);
    n = list(s, false, by_dearness);
    if (!offload_first(s, n, n, tier, DAWN_KEEP) || !fits(s))
        return !s->pl->status;
    for (high = n; low + 1 < high;) {
        int mid = low + (high - low) / 2;
        if (!offload_first(s, mid, n, tier, DAWN_KEEP))
            return false;
        if (fits(s))
            high = mid;
        else
            low = mid;
    }
    return offload_first(s, high, n, tier, DAWN_KEEP);
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
    for (int c = 0; c < s->candidates; c++) {
        bool drop = c < n && may(s, &s->d->candidate[c], DAWN_RECOMPUTE);
        set(s, c, drop ? DAWN_RECOMPUTE : DAWN_KEEP);
    }
    return reprice(s);
}

/* The other way to decide: drop what is kept, keep what is dropped. */
static int flipped(const struct search *s, int c)
{
    const struct candidate *cand = &s->d->candidate[c];

    if (cand->decision != DAWN_KEEP)
        return DAWN_KEEP;
    if (may(s, cand, DAWN_RECOMPUTE))
        return DAWN_RECOMPUTE;
    return s->pl->may_offload[DAWN_TO_HOST] ? DAWN_TO_HOST : DAWN_TO_SSD;
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
        int was = s->d->candidate[c].decision;
        set(s, c, flipped(s, c));
        if (!reprice(s))
            return false;
        set(s, c, was);
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
        set(s, c, flipped(s, c));
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

struct change {
    int c, decision;
};

/* Make two changes (which may be the same: then one), and make the best of the
 * rest; go back if that is dearer. */
static bool try_changes(struct search *s, struct change a, struct change b,
                        bool *improved)
{
    struct price old = s->now;
    bool whole;

    save(s, s->d->before);
    set(s, a.c, a.decision);
    set(s, b.c, b.decision);
    whole = reprice(s) && drop_until_fit(s, a.c) && offload_any(s) &&
            (!fits(s) || keep_again(s, a.c));
    if (!whole || (fits(s) && s->now.ns < old.ns)) {
        *improved = true;
        return whole;
    }
    restore(s, s->d->before);
    s->now = old;
    return true;
}

/* Number i of the changes that can be made to one candidate; false: none. */
static bool change_of(const struct search *s, int i, struct change *change)
{
    int c = i / DAWN_DECISIONS, d = i % DAWN_DECISIONS;
    const struct candidate *cand = &s->d->candidate[c];

    *change = (struct change){c, d};
    return d != cand->decision && may(s, cand, d);
}

static bool try_pair(struct search *s, int i, int k, bool *improved)
{
    struct change a, b;

    if (!change_of(s, i, &a) || !change_of(s, k, &b) || (i != k && a.c >= b.c))
        return true;
    return try_changes(s, a, b, improved);
}

static bool improve(struct search *s)
{
    bool improved = true;
    int most = s->prices + MOST_NODES / (s->last - s->first + 1);
    int64_t n = (int64_t)s->candidates * DAWN_DECISIONS;

    while (improved && s->now.ns > 0) {
        improved = false;
        for (int i = 0; i < n && s->prices < most; i++)
            if (!try_pair(s, i, i, &improved))
                return false;
        for (int64_t i = 0; i < n * n && s->prices < most && !improved; i++)
            if (!try_pair(s, (int)(i / n), (int)(i % n), &improved))
                return false;
    }
    return true;
}

/* The way that begins with offloading. *done: nothing can be better. */
static bool begin_offloading(struct search *s, bool *done)
{
    for (int d = DAWN_TO_HOST; d <= DAWN_TO_SSD && !fits(s); d++)
        if (s->pl->may_offload[d] && !offload_until_fit(s, d))
            return false;
    *done = fits(s) && s->now.ns == 0;
    return true;
}

/* The way that begins with dropping by worth. */
static bool begin_dropping(struct search *s)
{
    for (int c = 0; c < s->candidates; c++)
        set(s, c, DAWN_KEEP);
    return reprice(s) && drop_until_fit(s, -1) && (fits(s) || shrink(s)) &&
           offload_any(s);
}

/* Both ways; the better one stays. */
static bool begin_both(struct search *s, bool *done)
{
    struct price first;

    if (!begin_offloading(s, done))
        return false;
    if (*done)
        return true;
    first = s->now;
    save(s, s->d->first);
    if (!begin_dropping(s))
        return false;
    if (first.peak > s->budget || (fits(s) && s->now.ns <= first.ns))
        return true;
    restore(s, s->d->first);
    s->now = first;
    return true;
}

/* From a stage that keeps everything and does not fit. */
static bool choose(struct search *s, bool thorough)
{
    bool done = false;

    if (s->now.least > s->budget ||
        (s->pl->no_recompute && !dawni_may_offload(s->pl)))
        return true;
    add_candidates(s);
    const struct dawni_priced_run run = {s->first, s->last, s->x, s->in_flight};
    dawni_prices_ask(&s->d->prices, &run, s->candidates);
    s->vain = thorough || s->candidates <= MANY_CANDIDATES ? VAIN : SOON_VAIN;
    if (!(dawni_may_offload(s->pl) ? begin_both(s, &done) : begin_dropping(s)))
        return false;
    if (!fits(s) || (done && !thorough))
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
        .kept = s->now.kept,
        .comm = s->now.comm,
        .recompute_ns = s->now.recompute_ns,
        .stall_ns = s->now.stall_ns,
    };
}

static struct search begin(struct dawni_planner *pl,
                           const struct dawni_run *run,
                           const uint8_t *optimizer)
{
    return (struct search){
        .pl = pl,
        .d = pl->decider,
        .first = run->first,
        .last = run->last,
        .x = run->x,
        .in_flight = pl->stage[run->x].in_flight,
        .budget = pl->stage[run->x].budget,
        .messages = pl->stage[run->x].messages,
        .optimizer = optimizer,
        .staging = dawni_update_staging(pl, run, optimizer),
    };
}

struct dawni_decided dawni_decide_tensors(struct dawni_planner *pl,
                                          const struct dawni_run *run,
                                          const uint8_t *optimizer,
                                          uint8_t *decision)
{
    struct search s = begin(pl, run, optimizer);
    bool whole = price_decisions(&s, NULL, &s.now);

    if (whole && !fits(&s))
        whole = choose(&s, run->thorough);
    for (int c = 0; c < s.candidates; c++) {
        const struct candidate *cand = &s.d->candidate[c];
        if (decision)
            decision[cand->tensor] = s.d->decision[cand->tensor];
        set(&s, c, DAWN_KEEP);
    }
    return result(&s, whole);
}

struct dawni_decided dawni_price_tensors(struct dawni_planner *pl,
                                         const struct dawni_run *run,
                                         const uint8_t *optimizer,
                                         const uint8_t *decision)
{
    struct search s = begin(pl, run, optimizer);
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
    d->before = dawni_calloc(tensors, sizeof *d->before);
    d->first = dawni_calloc(tensors, sizeof *d->first);
    d->seen = dawni_calloc(pl->n, sizeof *d->seen);
    bool whole = dawni_prices_create(&d->prices, tensors);
    pl->decider = d;
    if (!d->candidate || !d->order || !d->stack || !d->decision || !d->saved ||
        !d->again || !d->reruns || !d->before || !d->first || !d->seen ||
        !whole)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for decisions");
    return DAWN_OK;
}

void dawni_decider_forget(struct dawni_decider *d)
{
    if (d)
        dawni_prices_forget(&d->prices);
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
    free(d->before);
    free(d->first);
    free(d->seen);
    dawni_prices_destroy(&d->prices);
    free(d);
}
