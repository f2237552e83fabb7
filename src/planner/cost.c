/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of nodes costs as a stage: time by sums, memory by exact pricing,
 * the price of fitting by dawni_decide. Each answer is remembered.
 */
#include "common/array.h"
#include "memory/versions.h"
#include "planner/additive.h"
#include <math.h>

/* Has node i a parameter that also one outside of first..last has? */
static bool shares(const struct dawn_graph *g, int i, int first, int last)
{
    const struct dawn_node_desc *d = &g->node[i].desc;

    for (int k = 0; k < d->params; k++) {
        const struct dawni_param *p = &g->param[d->param[k]];
        for (int u = 0; u < p->users; u++)
            if (p->user[u] < first || p->user[u] > last)
                return true;
    }
    return false;
}

void dawni_update_times(const struct dawni_planner *pl, int first, int last,
                        int x, double *update_ns, double *step_ns)
{
    double speed = pl->stage[x].speed;
    double all = pl->sum_update[last + 1] - pl->sum_update[first], shared = 0;

    *update_ns = 0;
    *step_ns = all / speed;
    if (!pl->update_every)
        return;
    for (int i = first; i <= last; i++)
        if (shares(pl->graph, i, first, last))
            shared += pl->sum_update[i + 1] - pl->sum_update[i];
    *update_ns = fmax(0, all - shared) / speed;
    *step_ns = shared / speed;
}

double dawni_sum_of_kept(const struct dawni_planner *pl, int first, int last,
                         int x)
{
    double kept = pl->sum_kept[last + 1] - pl->sum_kept[first];
    double version = pl->sum_version[last + 1] - pl->sum_version[first];

    return kept + (pl->stage[x].versions - 1) * version;
}

/* Is it the first port of the parameter's first user? That node's update is the
 * parameter's. */
static bool updates(const struct dawn_graph *g, int node, int port)
{
    const struct dawn_node_desc *d = &g->node[node].desc;

    for (int k = 0; k < port; k++)
        if (d->param[k] == d->param[port])
            return false;
    return g->param[d->param[port]].user[0] == node;
}

/* Bytes of an element that an update reads and writes without passes: the norm
 * 4; AdamW reads parameter, moments and gradient, and writes the first three;
 * the sum of two uses 12; an average as much. */
static double update_bytes(const struct dawni_param *p)
{
    return p->desc.average > 0 ? 12 : 4 + 28 + 12 * (p->users - 1);
}

/* What passes add to the update of a node: their arrays are read too, at the
 * speed at which the profiled update, with its compute copies, moved its bytes.
 */
static double passes_ns(const struct dawni_planner *pl, int node,
                        const struct dawn_node_cost *c)
{
    const struct dawn_graph *g = pl->graph;
    const struct dawn_node_desc *d = &g->node[node].desc;
    const struct dawni_passes *passes = &pl->sizes.passes;
    double moved = (double)c->prepared_bytes, read = 0;
    int each = 0;

    for (int i = 0; i < dawni_passes_arrays(passes); i++)
        each += dawni_passes_element_bytes(passes, i);
    for (int k = 0; k < d->params; k++) {
        const struct dawni_param *p = &g->param[d->param[k]];
        double elements = (double)p->elements;
        moved += c->prepared_bytes ? 4 * elements : 0;
        if (!updates(g, node, k))
            continue;
        moved += elements * update_bytes(p);
        read += p->desc.average > 0 ? 0 : elements * each;
    }
    return read > 0 && dawni_passes_train(passes) ? c->update_ns * read / moved
                                                  : 0;
}

static void sum_times(struct dawni_planner *pl)
{
    for (int i = 0; i < pl->n; i++) {
        struct dawn_node_cost c = {0};
        dawn_profile_cost_at(pl->profile, i, pl->b, &c);
        c.update_ns += passes_ns(pl, i, &c);
        pl->sum_f[i + 1] = pl->sum_f[i] + c.ns[0];
        pl->sum_b[i + 1] = pl->sum_b[i] + c.ns[1];
        pl->sum_w[i + 1] = pl->sum_w[i] + c.ns[2];
        pl->sum_update[i + 1] = pl->sum_update[i] + c.update_ns;
        pl->sum_own_update[i + 1] =
            pl->sum_own_update[i] +
            (shares(pl->graph, i, i, i) ? 0 : c.update_ns);
    }
}

/* Bytes of tensors that node i is the first to need in its backward. */
static double first_saved(struct dawni_planner *pl, int i)
{
    const struct dawni_node *node = &pl->graph->node[i];
    double bytes = 0;

    for (int k = 0; k < node->desc.inputs + node->desc.outputs; k++) {
        int o = k - node->desc.inputs;
        int t = o < 0 ? node->desc.input[k] : node->output[o];
        if (pl->stamp[t] == pl->stamps ||
            !dawni_tensor_saved(pl->graph, t, i, i))
            continue;
        pl->stamp[t] = pl->stamps;
        bytes += (double)dawni_graph_padded_bytes(pl->graph, t, pl->b);
    }
    return bytes;
}

static enum dawn_status sum_memory(struct dawni_planner *pl,
                                   struct dawn_error *err)
{
    pl->stamps++;
    for (int i = 0; i < pl->n && pl->additive; i++) {
        pl->sum_kept[i + 1] = pl->sum_kept[i] + dawni_additive_fixed(pl, i);
        pl->sum_saved[i + 1] = pl->sum_saved[i] + dawni_additive_saved(pl, i);
    }
    for (int i = 0; i < pl->n && !pl->additive; i++) {
        struct dawni_stage_memory memory;
        enum dawn_status st =
            dawni_stage_price(pl->pricer, i, i, NULL, &memory, NULL, err);
        if (st)
            return st;
        pl->sum_kept[i + 1] = pl->sum_kept[i] + (double)memory.kept;
        pl->sum_version[i + 1] = pl->sum_version[i];
        if (pl->update_every)
            pl->sum_version[i + 1] +=
                (double)dawni_version_bytes(pl->graph, &pl->sizes, i, i);
        pl->sum_saved[i + 1] = pl->sum_saved[i] + first_saved(pl, i);
    }
    return DAWN_OK;
}

/* Bytes of an activation, and of its gradient on the way back. */
static double message_bytes(const struct dawni_planner *pl, int tensor)
{
    int messages = pl->graph->tensor[tensor].needs_grad ? 2 : 1;
    return messages * (double)dawn_graph_tensor_bytes(pl->graph, tensor, pl->b);
}

/* A tensor crosses every cut between its maker and the last to need it. */
static void sum_cuts(struct dawni_planner *pl)
{
    const struct dawn_graph *g = pl->graph;

    for (int t = 0; t < g->tensors; t++) {
        const struct dawni_tensor *tensor = &g->tensor[t];
        if (tensor->producer < 0 || !tensor->users)
            continue;
        double bytes = message_bytes(pl, t);
        pl->cut_bytes[tensor->producer + 1] += bytes;
        pl->cut_bytes[tensor->user[tensor->users - 1] + 1] -= bytes;
    }
    for (int i = 1; i <= pl->n; i++)
        pl->cut_bytes[i] += pl->cut_bytes[i - 1];
}

enum dawn_status dawni_cost_init(struct dawni_planner *pl,
                                 struct dawn_error *err)
{
    double **sum[] = {&pl->sum_f,      &pl->sum_b,          &pl->sum_w,
                      &pl->sum_update, &pl->sum_kept,       &pl->sum_saved,
                      &pl->cut_bytes,  &pl->sum_own_update, &pl->sum_version};

    for (size_t i = 0; i < sizeof sum / sizeof sum[0]; i++)
        if (!(*sum[i] = dawni_calloc(pl->n + 1, sizeof **sum[i])))
            return dawn_fail(err, DAWN_E_NOMEM, "no memory to plan %d nodes",
                             pl->n);
    pl->stamp = dawni_calloc(pl->graph->tensors, sizeof *pl->stamp);
    if (!pl->stamp)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory to plan %d tensors",
                         pl->graph->tensors);
    sum_times(pl);
    sum_cuts(pl);
    return sum_memory(pl, err);
}

double dawni_base_time(const struct dawni_planner *pl, int first, int last,
                       int x)
{
    double t = dawni_sum_t(pl, last + 1) - dawni_sum_t(pl, first);
    return t / pl->stage[x].speed;
}

/* Time that stage x idles because others have the microbatch that it needs.
 * drain_ns: of updates that it has to do after its last forward. */
static double idle_ns(const struct dawni_planner *pl, int first, int last,
                      int x, double time_ns, double drain_ns)
{
    const struct dawni_stage_spec *spec = &pl->stage[x];
    double f = (pl->sum_f[last + 1] - pl->sum_f[first]) / spec->speed;
    double behind =
        (dawni_sum_t(pl, pl->n) - dawni_sum_t(pl, last + 1)) / pl->max_speed;
    double fill = fmax(0, behind - (spec->in_flight - 1) * f);
    double drain =
        fmax(0, behind - (spec->in_flight - 1) * (time_ns - f) - drain_ns);

    if (pl->stage[pl->l - 1].in_flight == pl->m)
        return behind;
    return spec->in_flight < pl->m ? fill + drain : fmax(fill, drain);
}

/* With updates within the step. The last of them may run while earlier stages
 * do their last backward, and those of shared parameters are left out: S_x is
 * not above the step. */
static double async_step_of(const struct dawni_planner *pl, int first, int last,
                            int x, double time_ns)
{
    int m = pl->m, g = pl->update_every, k = pl->stage[x].in_flight;
    int drained = (m - 1) / g - (m - k) / g;
    double update = (pl->sum_own_update[last + 1] - pl->sum_own_update[first]) /
                    pl->stage[x].speed;

    return dawni_sum_t(pl, first) / pl->max_speed + m * time_ns +
           idle_ns(pl, first, last, x, time_ns, drained * update) +
           (m / g - 1) * update;
}

double dawni_step_of(const struct dawni_planner *pl, int first, int last, int x,
                     double time_ns)
{
    double update = pl->sum_update[last + 1] - pl->sum_update[first];

    if (pl->objective == DAWN_OBJECTIVE_BOTTLENECK)
        return time_ns;
    if (pl->update_every)
        return async_step_of(pl, first, last, x, time_ns);
    return dawni_sum_t(pl, first) / pl->max_speed + pl->m * time_ns +
           idle_ns(pl, first, last, x, time_ns, 0) +
           update / pl->stage[x].speed;
}

/* Messages */

void dawni_traffic(struct dawni_planner *pl, int first, int last, double *in,
                   double *out)
{
    const struct dawn_graph *g = pl->graph;

    pl->stamps++;
    for (int i = first; i <= last; i++) {
        const struct dawni_node *node = &g->node[i];
        for (int k = 0; k < node->desc.inputs; k++) {
            int t = node->desc.input[k], maker = g->tensor[t].producer;
            if (maker < 0 || maker >= first || pl->stamp[t] == pl->stamps)
                continue;
            pl->stamp[t] = pl->stamps;
            *in += message_bytes(pl, t);
        }
        for (int k = 0; k < node->desc.outputs; k++) {
            const struct dawni_tensor *t = &g->tensor[node->output[k]];
            if (t->users && t->user[t->users - 1] > last)
                *out += message_bytes(pl, node->output[k]);
        }
    }
}

static double copy_ns(const struct dawni_planner *pl, int x, int y,
                      double bytes)
{
    int from = x % pl->ranks, to = y % pl->ranks;

    if (from == to)
        return 0;
    return bytes / dawn_machine_link(pl->machine, from, to)->bytes_per_s * 1e9;
}

double dawni_cut_ns(const struct dawni_planner *pl, int x, int p)
{
    return copy_ns(pl, x - 1, x, pl->cut_bytes[p]);
}

/* Time that the processor of stage x moves messages for one microbatch. */
static double comm_ns(struct dawni_planner *pl, int first, int last, int x)
{
    double in = 0, out = 0, ns = 0;

    if (!pl->host_copies || pl->objective == DAWN_OBJECTIVE_BOTTLENECK)
        return 0;
    dawni_traffic(pl, first, last, &in, &out);
    if (x > 0)
        ns += copy_ns(pl, x - 1, x, in);
    if (x < pl->l - 1)
        ns += copy_ns(pl, x, x + 1, out);
    return ns;
}

/* Costs */

static struct dawni_stage_cost make_cost(struct dawni_planner *pl, int first,
                                         int last, int x,
                                         const struct dawni_decided *d)
{
    struct dawni_stage_cost c = {.fits = d->fits, .peak = d->peak};

    c.recompute_ns = d->recompute_ns / pl->stage[x].speed;
    c.stall_ns = d->stall_ns;
    c.update_ns = d->update_ns;
    c.comm_ns = comm_ns(pl, first, last, x);
    c.time_ns = dawni_base_time(pl, first, last, x) + c.recompute_ns +
                c.stall_ns + c.comm_ns;
    c.step_ns =
        c.fits ? dawni_step_of(pl, first, last, x, c.time_ns) : INFINITY;
    if (pl->objective == DAWN_OBJECTIVE_STEP)
        c.step_ns += c.update_ns;
    return c;
}

/* Remember it, or replace what was remembered. */
static void remember(struct dawni_planner *pl, uint64_t key,
                     const struct dawni_stage_cost *c)
{
    int at = dawni_memo_find(&pl->costs, key);

    if (at >= 0) {
        pl->cost[at] = *c;
        return;
    }
    at = pl->cost_count;
    if (!dawni_array_reserve(&pl->cost, &pl->cost_room, at + 1) ||
        !dawni_memo_set(&pl->costs, key, at))
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for a stage's cost");
    else
        pl->cost[pl->cost_count++] = *c;
}

/* What the policy at work would decide. */
static struct dawni_decided decided_by_policy(struct dawni_planner *pl,
                                              int first, int last, int x)
{
    struct dawni_decided none = {0};
    uint8_t *decision = dawni_calloc(pl->graph->tensors, sizeof *decision);

    if (!decision) {
        dawni_planner_fail(pl, DAWN_E_NOMEM, "no memory for decisions");
        return none;
    }
    bool whole = pl->policy->decide(pl, first, last, x, decision);
    struct dawni_decided d =
        whole ? dawni_price_decisions(pl, first, last, x, decision) : none;
    free(decision);
    return d;
}

struct dawni_stage_cost dawni_stage_cost_of(struct dawni_planner *pl, int first,
                                            int last, int x)
{
    uint64_t key = dawni_memo_key(first, last, x);
    int at = dawni_memo_find(&pl->costs, key);

    if (at >= 0)
        return pl->cost[at];
    bool own = pl->policy->priced_so; /* and looks at peaks */
    if (!own && dawni_unfit(pl, first, last, x))
        return (struct dawni_stage_cost){.step_ns = INFINITY};
    struct dawni_decided d =
        own ? decided_by_policy(pl, first, last, x)
            : dawni_decide(pl, first, last, x, false, NULL);
    struct dawni_stage_cost c = make_cost(pl, first, last, x, &d);
    remember(pl, key, &c);
    if (!own && !c.fits && !pl->status)
        dawni_unfit_note(pl, first, last, x);
    return c;
}

void dawni_cost_judged(struct dawni_planner *pl, int first, int last, int x,
                       const struct dawni_decided *d,
                       const struct dawni_way *way)
{
    struct dawni_stage_cost c = make_cost(pl, first, last, x, d);

    c.judged = true;
    c.way = *way;
    remember(pl, dawni_memo_key(first, last, x), &c);
}

void dawni_cost_forget(struct dawni_planner *pl, int x, bool all)
{
    struct dawni_memo kept = {0};
    bool whole = true;

    for (int i = 0; i < pl->costs.room && whole; i++) {
        const struct dawni_memo_entry *e = &pl->costs.entry[i];
        bool stays = (int)(e->key >> 1 & 0x7fff) != x ||
                     (pl->cost[e->value].judged && !all);
        if (e->key && stays)
            whole = dawni_memo_set(&kept, e->key, e->value);
    }
    dawni_memo_clear(&pl->costs);
    pl->costs = kept; /* without memory: less is remembered */
    dawni_unfit_forget(pl, x);
}
