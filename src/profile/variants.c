/* SPDX-License-Identifier: Apache-2.0 */
/* What a profile knows of its nodes without having measured it: variants of the
 * additive rule, labels.
 */
#include "common/array.h"
#include "graph/graph.h"
#include "profile/profile.h"
#include <math.h>

void dawni_profile_node_clear(struct dawni_profile_node *n)
{
    for (int i = 0; i < n->variants; i++)
        free((char *)n->variant[i].name);
    free(n->variant);
    free(n->label);
    *n = (struct dawni_profile_node){0};
}

static struct dawni_profile_node *find(const struct dawn_profile *p, int node)
{
    return node >= 0 && node < p->graph->nodes ? &p->node[node] : NULL;
}

static enum dawn_status fail_node(const struct dawn_profile *p, int node,
                                  struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_INVAL, "node %d, must be 0 to %d", node,
                     p->graph->nodes - 1);
}

static bool is_amount(double x)
{
    return isfinite(x) && x >= 0;
}

static enum dawn_status check(const struct dawn_profile *p, int node,
                              int variants, const struct dawn_node_variant *v,
                              struct dawn_error *err)
{
    if (!find(p, node))
        return fail_node(p, node, err);
    const char *name = p->graph->node[node].desc.name;
    if (variants < 1 || variants > DAWN_MAX_VARIANTS)
        return dawn_fail(err, DAWN_E_INVAL,
                         "node '%s' has %d variants, 1 to %d work", name,
                         variants, DAWN_MAX_VARIANTS);
    for (int i = 0; i < variants; i++)
        if (!v[i].name || !is_amount(v[i].ns) || !is_amount(v[i].saved_bytes) ||
            !is_amount(v[i].fixed_bytes))
            return dawn_fail(err, DAWN_E_INVAL,
                             "node '%s': variant %d has no name, or a number "
                             "that is negative or not finite",
                             name, i);
    return DAWN_OK;
}

enum dawn_status dawn_profile_set_variants(
    struct dawn_profile *p, int node, int variants,
    const struct dawn_node_variant *variant, struct dawn_error *err)
{
    enum dawn_status st = check(p, node, variants, variant, err);
    struct dawni_profile_node made = {0};

    if (st)
        return st;
    made.variant = dawni_calloc(variants, sizeof *made.variant);
    for (int i = 0; made.variant && i < variants; i++) {
        made.variant[i] = variant[i];
        made.variant[i].name = strdup(variant[i].name);
        if (!made.variant[i].name)
            break;
        made.variants++;
    }
    if (made.variants < variants) {
        dawni_profile_node_clear(&made);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for variants");
    }
    p->additive += p->node[node].variants == 0;
    made.label = p->node[node].label;
    p->node[node].label = NULL;
    dawni_profile_node_clear(&p->node[node]);
    p->node[node] = made;
    return DAWN_OK;
}

int dawn_profile_variants(const struct dawn_profile *p, int node)
{
    const struct dawni_profile_node *n = find(p, node);

    return n ? n->variants : 0;
}

const struct dawn_node_variant *dawn_profile_variant(
    const struct dawn_profile *p, int node, int i)
{
    return i >= 0 && i < dawn_profile_variants(p, node)
               ? &p->node[node].variant[i]
               : NULL;
}

bool dawn_profile_additive(const struct dawn_profile *p)
{
    return p->additive == p->graph->nodes;
}

/* Costs and variants are of the same node; and a node that may be recomputed
 * has one output, which a plan can decide about. */
static enum dawn_status check_node(const struct dawn_profile *p, int node,
                                   struct dawn_error *err)
{
    const struct dawni_node *n = &p->graph->node[node];
    const struct dawn_node_cost *c = dawn_profile_cost_of(p, node, 0);
    const struct dawni_profile_node *more = &p->node[node];
    double ns = c->ns[0] + c->ns[1] + c->ns[2];

    if (!(fabs(ns - more->variant[0].ns) <= 1e-9 * ns))
        return dawn_fail(err, DAWN_E_INVAL,
                         "node '%s': its F, B and W are not what its first "
                         "variant takes",
                         n->desc.name);
    if (more->variants > 1 &&
        !dawni_tensor_saved(p->graph, n->output[0], node, node))
        return dawn_fail(err, DAWN_E_INVAL,
                         "node '%s' has two variants, but its backward does "
                         "not need its first output",
                         n->desc.name);
    return DAWN_OK;
}

enum dawn_status dawni_profile_check_variants(const struct dawn_profile *p,
                                              struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    int odd = 0;

    if (dawn_profile_additive(p) && p->sizes > 1)
        return dawn_fail(err, DAWN_E_INVAL,
                         "variants are of one microbatch size, the profile has "
                         "%d",
                         p->sizes);
    for (int i = 0; i < p->graph->nodes && dawn_profile_additive(p) && !st; i++)
        st = check_node(p, i, err);
    if (!p->additive || dawn_profile_additive(p))
        return st;
    while (p->node[odd].variants)
        odd++;
    return dawn_fail(err, DAWN_E_INVAL,
                     "node '%s' has no variants, others have: all or none",
                     p->graph->node[odd].desc.name);
}

enum dawn_status dawn_profile_set_label(struct dawn_profile *p, int node,
                                        const char *label,
                                        struct dawn_error *err)
{
    struct dawni_profile_node *n = find(p, node);
    char *copy = label ? strdup(label) : NULL;

    if (!n) {
        free(copy);
        return fail_node(p, node, err);
    }
    if (label && !copy)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a label");
    free(n->label);
    n->label = copy;
    return DAWN_OK;
}

const char *dawn_profile_label(const struct dawn_profile *p, int node)
{
    const struct dawni_profile_node *n = find(p, node);

    return n ? n->label : NULL;
}
