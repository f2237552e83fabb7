/* SPDX-License-Identifier: Apache-2.0 */
/* Moving nodes between stages. A node goes to a later stage with all behind it
 * that would otherwise stand before it, or to an earlier one with all in front
 * of it; so branches go as a whole. What a move is worth is estimated: times
 * and messages exactly, memory by sums, and what is over a stage's memory at
 * what it costs there to drop a byte.
 */
#include "common/array.h"
#include "planner/orders.h"
#include <math.h>

#define MOST_MEMBERS 64    /* nodes that move together */
#define MOST_WORK 20000000 /* nodes, edges and tensors looked at */
#define NORM_DOUBLINGS 4   /* stages count by the 16th power of their time */

struct load { /* of a stage */
    double ns, comm_ns, kept, saved;
    double room;  /* bytes that cost nothing */
    double price; /* ns for each byte above */
    int nodes;
};

struct group {                                  /* nodes that move together */
    int node[MOST_MEMBERS], from[MOST_MEMBERS]; /* and their stages before */
    int nodes;
};

struct moves {
    struct dawni_planner *pl;
    const struct dawni_dag *dag;
    int *stage_of;
    struct load *load;     /* by stage */
    double *ns;            /* by node */
    double mean;           /* time of a stage, to count in */
    double now;            /* what is made smaller, as it is */
    int *seen, seens;      /* by node: part of closure number `seens` */
    int *touched, touches; /* by tensor, likewise */
    int *reached, reaches; /* by stage, likewise */
    int64_t work;
};

static double node_sum(const double *sum, int v)
{
    return sum[v + 1] - sum[v];
}

/* Messages */

static double message_ns(const struct moves *m, int tensor, int x, int y)
{
    const struct dawni_planner *pl = m->pl;
    int from = x % pl->ranks, to = y % pl->ranks;
    int ways = pl->graph->tensor[tensor].needs_grad ? 2 : 1;

    if (from == to)
        return 0;
    return ways * (double)dawn_graph_tensor_bytes(pl->graph, tensor, pl->b) /
           dawn_machine_link(pl->machine, from, to)->bytes_per_s * 1e9;
}

/* Add the tensor's messages to its stages `sign` times. */
static void count_messages(struct moves *m, int tensor, int sign)
{
    const struct dawni_tensor *t = &m->pl->graph->tensor[tensor];

    if (t->producer < 0)
        return;
    int x = m->stage_of[t->producer];
    m->reached[x] = ++m->reaches;
    m->work += t->users;
    for (int u = 0; u < t->users; u++) {
        int y = m->stage_of[t->user[u]];
        if (m->reached[y] == m->reaches)
            continue;
        m->reached[y] = m->reaches;
        double ns = sign * message_ns(m, tensor, x, y);
        m->load[x].comm_ns += ns;
        m->load[y].comm_ns += ns;
    }
}

static void count_all_messages(struct moves *m, const struct group *c, int sign)
{
    const struct dawn_graph *g = m->pl->graph;

    if (!m->pl->host_copies || m->pl->objective == DAWN_OBJECTIVE_BOTTLENECK)
        return;
    m->touches++;
    for (int i = 0; i < c->nodes; i++) {
        const struct dawni_node *n = &g->node[c->node[i]];
        for (int k = 0; k < n->desc.inputs + n->desc.outputs; k++) {
            int o = k - n->desc.inputs;
            int t = o < 0 ? n->desc.input[k] : n->output[o];
            if (m->touched[t] == m->touches)
                continue;
            m->touched[t] = m->touches;
            count_messages(m, t, sign);
        }
    }
}

/* Loads */

static void count_node(struct moves *m, int v, int sign)
{
    const struct dawni_planner *pl = m->pl;
    struct load *load = &m->load[m->stage_of[v]];

    load->ns += sign * m->ns[v] / pl->stage[m->stage_of[v]].speed;
    load->kept += sign * dawni_sum_of_kept(pl, v, v, m->stage_of[v]);
    load->saved += sign * node_sum(pl->sum_saved, v);
    load->nodes += sign;
}

static double bytes_of(const struct moves *m, int x)
{
    const struct load *load = &m->load[x];

    return load->kept + m->pl->stage[x].in_flight * load->saved;
}

static double time_of(const struct moves *m, int x)
{
    const struct load *load = &m->load[x];
    double over = fmax(0, bytes_of(m, x) - load->room);

    return load->ns + load->comm_ns + (over > 0 ? over * load->price : 0);
}

/* What the moves make smaller. */
static double uneven(const struct moves *m)
{
    double sum = 0;

    for (int x = 0; x < m->pl->l; x++) {
        double t = time_of(m, x) / m->mean;
        for (int i = 0; i < NORM_DOUBLINGS; i++)
            t *= t;
        sum += t;
    }
    return sum;
}

/* Where the plan recomputes, its room is what makes the estimate say the same;
 * elsewhere there is room at least for what it has. */
static void set_room(struct moves *m, const double *recompute_ns)
{
    const struct dawni_planner *pl = m->pl;
    double saved = pl->sum_saved[pl->n];

    for (int x = 0; x < pl->l; x++) {
        const struct dawni_stage_spec *spec = &pl->stage[x];
        struct load *load = &m->load[x];
        double has = bytes_of(m, x);
        if (spec->cap == UINT64_MAX) {
            load->room = INFINITY;
            continue;
        }
        load->price =
            saved > 0 ? pl->sum_f[pl->n] / saved / spec->in_flight / spec->speed
                      : 0;
        load->room = fmax(has, (double)spec->budget);
        if (recompute_ns[x] > 0 && load->price > 0)
            load->room = has - recompute_ns[x] / load->price;
    }
}

/* Moves */

/* The nodes that must go from their stages to y with v: all behind it that
 * stand before y, or all in front of it that stand behind. False: too many. */
static bool gather(struct moves *m, int v, int y, struct group *c)
{
    const struct dawni_dag *d = m->dag;
    bool up = y > m->stage_of[v];
    const int *at = up ? d->after_at : d->before_at;
    const int *edge = up ? d->after : d->before;

    c->node[0] = v;
    c->nodes = 1;
    m->seen[v] = ++m->seens;
    for (int i = 0; i < c->nodes; i++) {
        c->from[i] = m->stage_of[c->node[i]];
        for (int k = at[c->node[i]]; k < at[c->node[i] + 1]; k++) {
            int w = edge[k];
            m->work++;
            if (m->seen[w] == m->seens ||
                (up ? m->stage_of[w] >= y : m->stage_of[w] <= y))
                continue;
            if (c->nodes == MOST_MEMBERS)
                return false;
            m->seen[w] = m->seens;
            c->node[c->nodes++] = w;
        }
    }
    return true;
}

/* Bring the group to stage y; below 0: back to where it was. */
static void carry(struct moves *m, const struct group *c, int y)
{
    count_all_messages(m, c, -1);
    for (int i = 0; i < c->nodes; i++) {
        count_node(m, c->node[i], -1);
        m->stage_of[c->node[i]] = y < 0 ? c->from[i] : y;
        count_node(m, c->node[i], 1);
    }
    count_all_messages(m, c, 1);
    m->work += 8 * c->nodes + m->pl->l;
}

static bool none_empty(const struct moves *m)
{
    for (int x = 0; x < m->pl->l; x++)
        if (m->load[x].nodes == 0)
            return false;
    return true;
}

static bool is_better(struct moves *m)
{
    double then = none_empty(m) ? uneven(m) : INFINITY;

    if (!(then < m->now * (1 - 1e-9)))
        return false;
    m->now = then;
    return true;
}

/* Move v to stage y if that is better. False: too many would go along. */
static bool try_move(struct moves *m, int v, int y, bool *moved)
{
    struct group c;

    if (!gather(m, v, y, &c))
        return false;
    carry(m, &c, y);
    if (is_better(m))
        *moved = true;
    else
        carry(m, &c, -1);
    return true;
}

/* Exchange v, which goes to stage y, for any node of y. */
static bool try_swaps(struct moves *m, int v, int y)
{
    int x = m->stage_of[v];
    struct group c, back;

    if (!gather(m, v, y, &c))
        return false;
    carry(m, &c, y);
    for (int w = 0; w < m->pl->n && m->work < MOST_WORK; w++) {
        m->work++;
        if (m->stage_of[w] != y || w == v || !gather(m, w, x, &back))
            continue;
        carry(m, &back, x);
        if (is_better(m))
            return true;
        carry(m, &back, -1);
    }
    carry(m, &c, -1);
    return false;
}

static bool move_any(struct moves *m)
{
    bool moved = false;

    for (int v = 0; v < m->pl->n && m->work < MOST_WORK; v++) {
        for (int y = m->stage_of[v] + 1; y < m->pl->l; y++)
            if (!try_move(m, v, y, &moved))
                break;
        for (int y = m->stage_of[v] - 1; y >= 0; y--)
            if (!try_move(m, v, y, &moved))
                break;
    }
    return moved;
}

/* Out of the slowest stage only. */
static bool swap_any(struct moves *m)
{
    int slowest = 0;

    for (int x = 1; x < m->pl->l; x++)
        if (time_of(m, x) > time_of(m, slowest))
            slowest = x;
    for (int v = 0; v < m->pl->n && m->work < MOST_WORK; v++) {
        if (m->stage_of[v] != slowest)
            continue;
        if ((slowest + 1 < m->pl->l && try_swaps(m, v, slowest + 1)) ||
            (slowest > 0 && try_swaps(m, v, slowest - 1)))
            return true;
    }
    return false;
}

static bool hill_climb(struct moves *m)
{
    double first = uneven(m);

    m->now = first;
    while ((move_any(m) || swap_any(m)) && m->work < MOST_WORK)
        continue;
    return m->now < first;
}

static void set_loads(struct moves *m, const double *recompute_ns)
{
    struct dawni_planner *pl = m->pl;

    for (int v = 0; v < pl->n; v++) {
        m->ns[v] = node_sum(pl->sum_f, v) + node_sum(pl->sum_b, v) +
                   node_sum(pl->sum_w, v);
        count_node(m, v, 1);
    }
    if (pl->host_copies && pl->objective != DAWN_OBJECTIVE_BOTTLENECK)
        for (int t = 0; t < pl->graph->tensors; t++)
            count_messages(m, t, 1);
    set_room(m, recompute_ns);
    for (int x = 0; x < pl->l; x++)
        m->mean += time_of(m, x) / pl->l;
}

bool dawni_move_nodes(struct dawni_planner *pl, const struct dawni_dag *dag,
                      const double *recompute_ns, int *stage_of)
{
    struct moves m = {
        .pl = pl,
        .dag = dag,
        .stage_of = stage_of,
        .load = dawni_calloc(pl->l, sizeof *m.load),
        .ns = dawni_calloc(pl->n, sizeof *m.ns),
        .seen = dawni_calloc(pl->n, sizeof *m.seen),
        .touched = dawni_calloc(pl->graph->tensors, sizeof *m.touched),
        .reached = dawni_calloc(pl->l, sizeof *m.reached),
    };
    bool moved = false;

    if (m.load && m.ns && m.seen && m.touched && m.reached) {
        set_loads(&m, recompute_ns);
        moved = m.mean > 0 && hill_climb(&m);
    } else {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory to move nodes");
    }
    free(m.load);
    free(m.ns);
    free(m.seen);
    free(m.touched);
    free(m.reached);
    return moved;
}
