/* SPDX-License-Identifier: Apache-2.0 */
/* The exact memory of a rank, which packs a whole step: the last answer for
 * each rank is remembered, since rounds of planning often change few of them.
 */
#include "common/array.h"
#include "common/hash.h"
#include "memory/program.h"
#include "planner/planner.h"

/* Microbatches behind those in flight at first, in the step of an estimate */
#define STEADY 6
/* Part of an arena that may come on top where the step is longer */
#define DRIFT 2048

/* What is asked about a rank. */
struct query {
    int rank;
    uint64_t cap;     /* 0: none */
    int microbatches; /* only the first so many; 0: all */
};

/* Digest of all that the memory of a rank depends on. */
static uint64_t digest(const struct dawni_planner *pl, struct dawn_plan *plan,
                       const struct query *q)
{
    struct dawni_hash hash;
    int rank = q->rank;

    dawni_hash_init(&hash);
    dawni_hash_add_u64(&hash, (uint64_t)q->microbatches);
    for (int x = 0; x < pl->l; x++)
        dawni_hash_add_u64(&hash, (uint64_t)dawn_plan_stage(plan, x)->first);
    for (int x = rank; x < pl->l; x += pl->ranks)
        for (int t = 0; t < pl->graph->tensors; t++)
            if (dawn_plan_decision(plan, x, t) != DAWN_KEEP) {
                dawni_hash_add_u64(&hash, (uint64_t)x);
                dawni_hash_add_u64(&hash, (uint64_t)t);
                dawni_hash_add_u64(&hash,
                                   (uint64_t)dawn_plan_decision(plan, x, t));
            }
    for (int i = 0; i < pl->graph->params; i++)
        if (dawn_plan_optimizer(plan, i) != DAWN_KEEP) {
            dawni_hash_add_u64(&hash, (uint64_t)i);
            dawni_hash_add_u64(&hash, (uint64_t)dawn_plan_optimizer(plan, i));
        }
    return dawni_hash_end(&hash);
}

static enum dawn_status find_memory(struct dawni_planner *pl,
                                    struct dawn_plan *plan,
                                    const struct query *q,
                                    struct dawn_memory *memory,
                                    struct dawn_error *err)
{
    int *cut = dawni_calloc(pl->l, sizeof *cut);
    struct dawni_program *program = NULL;
    struct dawni_cuts cuts = {0};
    struct dawni_lower_opts opts = {.sizes = &pl->sizes,
                                    .cuts = &cuts,
                                    .rank = q->rank,
                                    .cap_bytes = q->cap,
                                    .microbatches = q->microbatches};
    enum dawn_status st;

    for (int x = 0; cut && x < pl->l; x++)
        cut[x] = dawn_plan_stage(plan, x)->first;
    st = cut ? dawni_cuts_create(pl->graph, pl->l, cut, &cuts, err)
             : dawn_fail(err, DAWN_E_NOMEM, "no memory for %d stages", pl->l);
    if (!st)
        st = dawni_schedule_with(pl, &cuts, &opts.schedule, err);
    if (!st)
        st = dawni_program_of_rank(plan, &opts, &program, err);
    if (!st)
        *memory = program->memory;
    dawni_program_destroy(program);
    dawni_cuts_clear(&cuts);
    free(cut);
    return st;
}

/* To lower and pack a rank's step takes so many times longer than to price its
 * nodes once for each microbatch. */
#define PACKING 20

static void count_packing(struct dawni_planner *pl, struct dawn_plan *plan,
                          const struct query *q)
{
    int microbatches = q->microbatches ? q->microbatches : pl->m;
    uint64_t nodes = 0;

    for (int x = q->rank; x < pl->l; x += pl->ranks) {
        const struct dawn_plan_stage *s = dawn_plan_stage(plan, x);
        nodes += (uint64_t)(s->last - s->first + 1);
    }
    dawni_planner_work(pl, PACKING * nodes * (uint64_t)microbatches);
}

static enum dawn_status answer(struct dawni_planner *pl, struct dawn_plan *plan,
                               const struct query *q,
                               struct dawn_memory *memory,
                               struct dawn_error *err)
{
    struct dawni_known_memory *known = &pl->known[q->rank * DAWNI_KNOWN];
    struct dawni_known_memory *k = NULL;
    uint64_t key = digest(pl, plan, q), cap = q->cap;
    enum dawn_status st = DAWN_OK;

    if (pl->additive)
        return dawn_memory_of(plan, pl->profile, q->rank, memory, err);
    for (int i = 0; i < DAWNI_KNOWN && !k; i++)
        if (known[i].valid && known[i].key == key &&
            (known[i].packed || (cap && known[i].memory.peak_bytes > cap)))
            k = &known[i];
    if (!k) { /* forget the oldest */
        count_packing(pl, plan, q);
        memmove(known + 1, known, (DAWNI_KNOWN - 1) * sizeof *known);
        k = known;
        st = find_memory(pl, plan, q, &k->memory, err);
        k->valid = !st;
        k->key = key;
        k->packed = !cap || k->memory.peak_bytes <= cap;
    }
    if (!st)
        *memory = k->memory;
    return st;
}

enum dawn_status dawni_rank_memory(struct dawni_planner *pl,
                                   struct dawn_plan *plan, int rank,
                                   uint64_t cap, struct dawn_memory *memory,
                                   struct dawn_error *err)
{
    struct query q = {rank, cap, 0};

    return answer(pl, plan, &q, memory, err);
}

enum dawn_status dawni_rank_estimate(struct dawni_planner *pl,
                                     struct dawn_plan *plan, int rank,
                                     uint64_t cap, struct dawn_memory *memory,
                                     struct dawn_error *err)
{
    struct query q = {rank, cap, STEADY};
    enum dawn_status st;

    /* until there are as many versions as there ever are, and to the end of an
     * update */
    for (int x = rank; x < pl->l; x += pl->ranks)
        q.microbatches += (pl->update_every ? 2 : 1) * pl->stage[x].in_flight;
    q.microbatches += 2 * pl->update_every;
    if (q.microbatches > pl->m / 2)
        return dawni_rank_memory(pl, plan, rank, cap, memory, err);
    st = answer(pl, plan, &q, memory, err);
    if (!st)
        memory->arena_bytes += memory->arena_bytes / DRIFT;
    return st;
}

enum dawn_status dawni_verify(struct dawni_planner *pl, struct dawn_plan *plan,
                              bool *fits_p, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    *fits_p = true;
    for (int x = 0; x < pl->l && !st; x++) {
        struct dawni_stage_spec *s = &pl->stage[x];
        struct dawn_memory memory;
        if (s->cap == UINT64_MAX)
            continue;
        st = dawni_rank_memory(pl, plan, x % pl->ranks, s->cap, &memory, err);
        if (st || memory.arena_bytes <= s->cap)
            continue;
        s->whole = true;
        dawni_cost_forget(pl, x, true);
        *fits_p = false;
    }
    return st;
}

/* Learn from a stage whose rank needs more than its cap: what is on top of its
 * price is put down to messages, up to twice what it receives ahead, and the
 * rest to packing.
 */
static void learn(struct dawni_planner *pl, int x,
                  const struct dawni_decided *priced, uint64_t arena)
{
    struct dawni_stage_spec *s = &pl->stage[x];
    double more = (double)arena - (double)priced->peak;
    double share = priced->comm ? s->messages + more / (double)priced->comm : 0;

    if (share > s->messages && share <= 2) {
        s->messages = share;
    } else {
        uint64_t over = arena - s->cap;
        uint64_t base = priced->peak < s->budget ? priced->peak : s->budget;
        over += over / 2; /* the next packing differs a little */
        s->budget = base > over ? base - over : 0;
    }
    dawni_cost_forget(pl, x, true);
}

static enum dawn_status judge_stage(struct dawni_planner *pl,
                                    struct dawn_plan *plan, int x,
                                    const struct dawni_decided *priced,
                                    bool *over, struct dawn_error *err)
{
    struct dawn_memory memory;
    enum dawn_status st = dawni_rank_memory(pl, plan, x % pl->ranks,
                                            pl->stage[x].cap, &memory, err);

    if (st || memory.arena_bytes <= pl->stage[x].cap)
        return st;
    learn(pl, x, priced, memory.arena_bytes);
    *over = true;
    return DAWN_OK;
}

/* The stages that are nearly full first: they are the likely ones to fail. */
enum dawn_status dawni_judge(struct dawni_planner *pl, struct dawn_plan *plan,
                             const struct dawni_decided *priced,
                             struct dawn_error *err)
{
    bool over = false;

    for (int full = 1; full >= 0 && !over; full--)
        for (int x = 0; x < pl->l; x++) {
            uint64_t cap = pl->stage[x].cap;
            enum dawn_status st = DAWN_OK;
            if (cap != UINT64_MAX && full == (priced[x].peak >= cap - cap / 10))
                st = judge_stage(pl, plan, x, &priced[x], &over, err);
            if (st)
                return st;
        }
    return over ? DAWN_E_NOFIT : DAWN_OK;
}
