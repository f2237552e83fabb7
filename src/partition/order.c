/* SPDX-License-Identifier: Apache-2.0 */
/* Linear orders by list scheduling: of the nodes that are ready, the one with
 * the highest priority.
 */
#include "partition/order.h"
#include "common/array.h"
#include "common/random.h"

struct choice { /* of an order */
    enum dawni_order kind;
    const int *stage_of;
    uint64_t lot;
};

struct ready {        /* a binary heap, the highest priority first */
    double *priority; /* by node */
    int *node;
    int count;
};

static bool is_above(const struct ready *r, int a, int b)
{
    if (r->priority[a] != r->priority[b])
        return r->priority[a] > r->priority[b];
    return a > b;
}

static void push(struct ready *r, int node)
{
    int i = r->count++;

    for (; i && is_above(r, node, r->node[(i - 1) / 2]); i = (i - 1) / 2)
        r->node[i] = r->node[(i - 1) / 2];
    r->node[i] = node;
}

static int pop(struct ready *r)
{
    int top = r->node[0], last = r->node[--r->count], i = 0;

    for (;;) {
        int child = 2 * i + 1;
        if (child + 1 < r->count &&
            is_above(r, r->node[child + 1], r->node[child]))
            child++;
        if (child >= r->count || is_above(r, last, r->node[child]))
            break;
        r->node[i] = r->node[child];
        i = child;
    }
    r->node[i] = last;
    return top;
}

static double priority_of(const struct dawni_instance *in,
                          const struct choice *c, int node, int count)
{
    const struct dawni_part_variant *v = &in->variant[in->variant_at[node]];
    uint64_t lot;

    switch (c->kind) {
    case DAWNI_ORDER_DEPTH:
        return count;
    case DAWNI_ORDER_BREADTH:
        return -count;
    case DAWNI_ORDER_SAVED:
        return (double)v->saved / ((double)v->t + 1);
    case DAWNI_ORDER_STAGES:
        lot = dawni_philox(c->lot, 0, (uint64_t)node).v[0];
        return 1e6 * in->n * c->stage_of[node] + (double)(lot % 1000) / 1000 +
               (c->lot % 2 ? count : 0);
    default:
        return 0; /* the highest number first */
    }
}

bool dawni_order_make(const struct dawni_instance *in, enum dawni_order kind,
                      const int *stage_of, uint64_t lot, int *order)
{
    struct choice c = {kind, stage_of, lot};
    int *waits = dawni_calloc(in->n, sizeof *waits);
    struct ready r = {dawni_calloc(in->n, sizeof *r.priority),
                      dawni_calloc(in->n, sizeof *r.node), 0};
    bool made = waits && r.priority && r.node;
    int count = 0;

    for (int v = 0; made && v < in->n; v++) {
        waits[v] = in->after_at[v + 1] - in->after_at[v];
        if (waits[v])
            continue;
        r.priority[v] = priority_of(in, &c, v, 0);
        push(&r, v);
    }
    while (made && r.count) {
        int v = pop(&r);
        order[count++] = v;
        for (int i = in->before_at[v]; i < in->before_at[v + 1]; i++) {
            int u = in->before[i];
            if (--waits[u])
                continue;
            r.priority[u] = priority_of(in, &c, u, count);
            push(&r, u);
        }
    }
    free(waits);
    free(r.priority);
    free(r.node);
    return made;
}
