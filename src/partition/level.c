/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what nodes cost with y microbatches in flight. */
#include "common/array.h"
#include "partition/instance.h"

struct step {
    double ratio;
    int64_t dt, dm;
    int index; /* in the order of nodes, and of rising ratio in a node */
};

static int compare_steps(const void *a, const void *b)
{
    const struct step *x = a, *y = b;

    if (x->ratio != y->ratio)
        return x->ratio < y->ratio ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The lower hull of options by rising t and falling m, in place; their number.
 */
static int hull(struct dawni_option *o, int count)
{
    int kept = 0;

    for (int i = 0; i < count; i++) {
        while (kept >= 2) {
            const struct dawni_option *a = &o[kept - 2], *b = &o[kept - 1];
            double ab = (double)(b->t - a->t) / (double)(a->m - b->m);
            double bi = (double)(o[i].t - b->t) / (double)(b->m - o[i].m);
            if (ab < bi)
                break;
            kept--;
        }
        o[kept++] = o[i];
    }
    return kept;
}

/* Base and steps of all nodes; *step_p: in the order of nodes. */
static bool list_steps(const struct dawni_instance *in, int y,
                       struct dawni_level *level, struct step **step_p)
{
    struct dawni_option *o = dawni_calloc(in->most_options, sizeof *o);
    int room = 0;

    for (int v = 0; o && v < in->n; v++) {
        int all = dawni_options_of(in, v, y, o), count = 0;
        for (int i = 0; i < all; i++)
            if (!o[i].r && (!count || o[i].m < o[count - 1].m))
                o[count++] = o[i];
        count = hull(o, count);
        level->t0[v] = o[0].t;
        level->m0[v] = o[0].m;
        level->step_at[v] = level->steps;
        if (!in->capped)
            count = 1;
        if (!dawni_array_reserve(step_p, &room, level->steps + count)) {
            free(o);
            return false;
        }
        for (int i = 1; i < count; i++) {
            struct step *s = &(*step_p)[level->steps];
            s->dt = o[i].t - o[i - 1].t;
            s->dm = o[i - 1].m - o[i].m;
            s->ratio = (double)s->dt / (double)s->dm;
            s->index = level->steps++;
        }
    }
    level->step_at[in->n] = level->steps;
    free(o);
    return o != NULL;
}

static struct dawni_level *level_create(const struct dawni_instance *in, int y)
{
    struct dawni_level *level = calloc(1, sizeof *level);
    struct step *step = NULL;
    bool made;

    if (!level)
        return NULL;
    level->t0 = dawni_calloc(in->n, sizeof *level->t0);
    level->m0 = dawni_calloc(in->n, sizeof *level->m0);
    level->step_at = dawni_calloc(in->n + 1, sizeof *level->step_at);
    made = level->t0 && level->m0 && level->step_at &&
           list_steps(in, y, level, &step);
    level->rank = dawni_calloc(level->steps, sizeof *level->rank);
    level->dt = dawni_calloc((int64_t)level->steps + 1, sizeof *level->dt);
    level->dm = dawni_calloc((int64_t)level->steps + 1, sizeof *level->dm);
    made = made && level->rank && level->dt && level->dm;
    if (made && level->steps)
        qsort(step, (size_t)level->steps, sizeof *step, compare_steps);
    for (int i = 0; made && i < level->steps; i++) {
        level->rank[step[i].index] = i + 1;
        level->dt[i + 1] = step[i].dt;
        level->dm[i + 1] = step[i].dm;
    }
    free(step);
    if (made)
        return level;
    dawni_level_destroy(level);
    return NULL;
}

void dawni_level_destroy(struct dawni_level *level)
{
    if (!level)
        return;
    free(level->t0);
    free(level->m0);
    free(level->step_at);
    free(level->rank);
    free(level->dt);
    free(level->dm);
    free(level);
}

const struct dawni_level *dawni_level_of(struct dawni_instance *in, int y)
{
    struct dawni_level **level = &in->level[y - 1];

    if (!*level)
        *level = level_create(in, y);
    return *level;
}
