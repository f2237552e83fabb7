/* SPDX-License-Identifier: Apache-2.0 */
/* Passes in the executor: bound to their arrays, shown gradients, given the
 * update, asked for figures. Nothing of it runs in a job without passes.
 */
#include "common/array.h"
#include "runtime/exec.h"
#include <math.h>

/* The plan's memory was priced with its passes, so the job has to have them. */
enum dawn_status dawni_exec_check_passes(const struct dawn_exec_opts *o,
                                         struct dawn_error *err)
{
    const char *wanted = o->passes ? o->passes : "";
    const struct dawn_plan_info *info = dawn_plan_info(o->plan);
    struct dawni_passes passes;
    enum dawn_status st = dawni_passes_parse(wanted, &passes, err);

    if (st)
        return st;
    if (strcmp(wanted, info->passes) != 0)
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "the plan was priced with passes: %s, the job has "
                         "passes: %s: plan it with dawn-plan --passes=%s",
                         *info->passes ? info->passes : "none",
                         *wanted ? wanted : "none", *wanted ? wanted : "none");
    if (passes.n && info->ranks != info->stages)
        return dawn_fail(err, DAWN_E_NOTSUP,
                         "%d stages on %d ranks: passes want one stage a rank",
                         info->stages, info->ranks);
    return DAWN_OK;
}

void *dawn_exec_pass_array(const struct dawn_exec *e, int i, int array)
{
    const struct dawni_program *p = e->program;
    if (i < 0 || i >= e->owned || array < 0 || array >= p->arrays)
        return NULL;
    int buffer = p->pass[e->param[i].param * p->arrays + array];
    return buffer < 0 ? NULL : e->arena + p->buffer[buffer].offset;
}

struct dawni_pass_weight dawni_exec_weight(const struct dawn_exec *e, int i,
                                           int pass)
{
    const struct dawn_exec_param *p = &e->param[i];
    struct dawni_pass_weight w = {
        .number = i,
        .elements = p->elements,
        .at = {p->value, p->adam_m, p->adam_v, p->grad},
    };
    int first = dawni_passes_first(&e->passes, pass);
    for (int a = 0; a < e->passes.kind[pass]->arrays; a++)
        w.array[a] = dawn_exec_pass_array(e, i, first + a);
    return w;
}

enum dawn_status dawni_exec_bind_passes(struct dawn_exec *e,
                                        struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    for (int k = 0; !st && k < e->passes.n; k++) {
        const struct dawni_pass_ops *ops =
            dawni_pass_ops_find(e->passes.kind[k]->name);
        st = ops->create(ops, e->owned, &e->pass[k], err);
        e->figures += ops->figures;
    }
    if (!st && e->passes.n && e->program->update_every)
        st = dawn_fail(err, DAWN_E_NOTSUP,
                       "passes (%s) do not go with asynchronous schedules, "
                       "such as the plan's %s",
                       e->opts.passes, dawn_plan_info(e->plan)->schedule);
    if (st || !e->passes.n)
        return st;
    e->observes_each =
        dawni_passes_observe(&e->passes, DAWNI_OBSERVES_MICROBATCHES);
    e->observes = e->observes_each ||
                  dawni_passes_observe(&e->passes, DAWNI_OBSERVES_STEPS);
    e->number = dawni_calloc(e->graph->params, sizeof *e->number);
    e->observed = dawni_calloc(e->owned, sizeof *e->observed);
    e->figure_sum = dawni_calloc((int64_t)e->graph->params * e->figures,
                                 sizeof *e->figure_sum);
    e->figure = dawni_calloc(e->figures, sizeof *e->figure);
    e->observe_microbatches = dawn_plan_info(e->plan)->microbatches;
    if (!e->number || !e->observed || !e->figure_sum || !e->figure)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for passes");
    for (int i = 0; i < e->owned; i++)
        e->number[e->param[i].param] = i;
    return DAWN_OK;
}

void dawni_exec_unbind_passes(struct dawn_exec *e)
{
    for (int k = 0; k < e->passes.n; k++)
        if (e->pass[k])
            e->pass[k]->ops->destroy(e->pass[k]);
    free(e->number);
    free(e->observed);
    free(e->figure_sum);
    free(e->figure);
}

void dawni_exec_begin_passes(struct dawn_exec *e)
{
    if (!e->passes.n)
        return;
    memset(e->observed, 0, (size_t)e->owned * sizeof *e->observed);
    memset(e->figure_sum, 0,
           (size_t)e->graph->params * (size_t)e->figures *
               sizeof *e->figure_sum);
}

void dawni_exec_observe(struct dawn_exec *e, const struct dawni_instr *instr)
{
    int i = e->number[instr->id];
    double squares = 0;
    if (instr->microbatch >= e->observe_microbatches)
        return;
    for (int k = 0; k < e->passes.n; k++) {
        struct dawni_pass_weight w = dawni_exec_weight(e, i, k);
        if (e->pass[k]->ops->observe)
            squares = e->pass[k]->ops->observe(e->pass[k], e->device, &w);
    }
    e->observed[i] += squares;
}

bool dawni_exec_update_by_pass(struct dawn_exec *e, const struct dawni_adamw *o,
                               const struct dawni_exec_part *part)
{
    int figure = 0;
    for (int k = 0; k < e->passes.n; k++) {
        const struct dawni_pass_kind *kind = e->passes.kind[k];
        const struct dawni_pass_ops *ops = e->pass[k]->ops;
        double *sums = &e->figure_sum[part->param * e->figures + figure];
        figure += ops->figures;
        if (!ops->update)
            continue;
        struct dawni_pass_weight w =
            dawni_exec_weight(e, e->number[part->param], k);
        w.elements = part->elements;
        w.at = part->at;
        if (part->piece)
            dawni_exec_piece_arrays(e, k, part, w.array);
        for (int a = 0; !part->piece && a < kind->arrays; a++)
            w.array[a] =
                (char *)w.array[a] + part->first * kind->element_bytes[a];
        ops->update(e->pass[k], e->device, o, &w, sums);
        return true;
    }
    return false;
}

/* As the norm: every rank adds zero where another one owns the weight, then the
 * sums are added in the order of the parameters. */
enum dawn_status dawni_exec_share_figures(struct dawn_exec *e,
                                          struct dawn_error *err)
{
    int n = e->graph->params * e->figures, figure = 0;
    bool updated = !e->status && !e->nonfinite && e->lr >= 0;
    enum dawn_status st =
        n ? e->comm->ops->allreduce_sum(e->comm, e->figure_sum, n, err)
          : DAWN_OK;
    for (int k = 0; !st && n && k < e->passes.n; k++) {
        const struct dawni_pass_ops *ops = e->pass[k]->ops;
        double sums[DAWNI_PASS_FIGURES] = {0}, value[DAWNI_PASS_FIGURES];
        for (int i = 0; i < e->graph->params; i++)
            for (int f = 0; f < ops->figures; f++)
                sums[f] += e->figure_sum[i * e->figures + figure + f];
        ops->finish(e->pass[k], sums, value);
        for (int f = 0; f < ops->figures; f++, figure++)
            e->figure[figure] = (struct dawn_figure){
                ops->figure[f], updated ? value[f] : (double)NAN};
    }
    return st;
}

enum dawn_status dawn_exec_observe_step(struct dawn_exec *e, uint64_t step,
                                        int microbatches,
                                        struct dawn_step_result *result,
                                        struct dawn_error *err)
{
    enum dawn_status st;
    if (!e->observes)
        return dawn_fail(err, DAWN_E_INVAL, "no pass observes anything");
    e->observe_microbatches = microbatches;
    st = dawn_exec_step(e, step, -1, result, err);
    if (!st && result->nonfinite)
        st = dawn_fail(err, DAWN_E_NUMERIC,
                       "step %llu: a gradient is not finite, first in node %s",
                       (unsigned long long)step, result->bad_node);
    return st;
}
