/* SPDX-License-Identifier: Apache-2.0 */
/* Binding a program: kernels, one arena, addresses of all operands, persistent
 * requests. Nothing is allocated after this.
 */
#include "common/array.h"
#include "memory/offload.h"
#include "memory/versions.h"
#include "runtime/exec.h"
#include <assert.h>
#include <stdio.h>
#include <unistd.h>

/* The stages of this rank, as a range of nodes each. */
static bool mine(const struct dawn_exec *e, int node)
{
    int stage = dawn_plan_stage_of(e->plan, node);
    return dawn_plan_stage(e->plan, stage)->rank == e->comm->rank;
}

static enum dawn_status make_kernels(struct dawn_exec *e,
                                     struct dawni_sizes *sizes,
                                     struct dawn_error *err)
{
    int64_t microbatch = dawn_plan_info(e->plan)->microbatch;
    e->kernel = dawni_calloc(e->graph->nodes, sizeof(struct dawni_kernel *));
    if (!e->kernel)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for kernels");
    for (int n = 0; n < e->graph->nodes; n++) {
        if (!mine(e, n))
            continue;
        enum dawn_status st = e->device->kernel_create(e->graph, n, microbatch,
                                                       &e->kernel[n], err);
        if (st)
            return st;
        for (int phase = 0; phase < DAWNI_PHASES; phase++)
            sizes->scratch[n][phase] = e->kernel[n]->scratch_bytes[phase];
        sizes->prepared[n] = e->kernel[n]->prepared_bytes;
    }
    return DAWN_OK;
}

static enum dawn_status make_program(struct dawn_exec *e,
                                     struct dawn_error *err)
{
    struct dawni_sizes sizes;
    enum dawn_status st = dawni_sizes_create(
        e->graph, dawn_plan_info(e->plan)->microbatch, &sizes, err);
    if (st)
        return st;
    st = make_kernels(e, &sizes, err);
    if (!st)
        st = dawni_program_of_plan(e->plan, &sizes, e->comm->rank, &e->program,
                                   err);
    dawni_sizes_clear(&sizes);
    return st;
}

static void table(const struct dawn_memory *m, char *text, size_t room)
{
    static const char *const names[] = {
#define CATEGORY_NAME(name, text) text,
        DAWN_CATEGORY_MAP(CATEGORY_NAME)
#undef CATEGORY_NAME
    };
    size_t at = 0;
    for (int c = 0; c < DAWN_CATEGORIES && at < room; c++)
        if (c != DAWN_CATEGORY_PASSES || m->by[c])
            at += (size_t)snprintf(text + at, room - at, "%s%s %.1f MiB",
                                   c ? ", " : "", names[c],
                                   (double)m->by[c] / 0x1p20);
}

/* Memory that the system can still give. */
static uint64_t free_bytes(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    if (kib)
        return (uint64_t)kib * 1024;
    return (uint64_t)sysconf(_SC_AVPHYS_PAGES) *
           (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A rank's memory, and what it offloads to memory of the host. */
static enum dawn_status check_fit(const struct dawn_exec *e,
                                  struct dawn_error *err)
{
    const struct dawn_memory *m = &e->program->memory;
    uint64_t cap = dawn_plan_info(e->plan)->cap_bytes;
    uint64_t there = free_bytes() / (uint64_t)e->comm->local_size;
    bool capped = cap && m->arena_bytes > cap;
    uint64_t needs = m->arena_bytes + (capped ? 0 : m->host_bytes);
    if (!capped && needs <= there)
        return DAWN_OK;
    char by[400], offloaded[64] = "";
    table(m, by, sizeof by);
    if (!capped && m->host_bytes)
        snprintf(offloaded, sizeof offloaded, ", offloaded %.1f MiB",
                 (double)m->host_bytes / 0x1p20);
    return dawn_fail(err, DAWN_E_NOFIT,
                     "rank %d needs %.1f MiB, %s %.1f MiB: %s%s%s",
                     e->comm->rank, (double)needs / 0x1p20,
                     capped ? "the plan's cap is" : "free are",
                     (double)(capped ? cap : there) / 0x1p20, by, offloaded,
                     dawn_plan_info(e->plan)->size_low
                         ? "; the plan's microbatch was not profiled, so its "
                           "scratch was an estimate"
                         : "");
}

/* What is moved to and from a disk lies on pages. */
static void *at(const struct dawn_exec *e, int buffer)
{
    if (buffer < 0)
        return NULL;
    uint64_t offset = e->program->buffer[buffer].offset;
    if (e->program->buffer[buffer].paged)
        offset = (offset + DAWNI_PAGE - 1) / DAWNI_PAGE * DAWNI_PAGE;
    return e->arena + offset;
}

static enum dawn_status make_addresses(struct dawn_exec *e,
                                       struct dawn_error *err)
{
    const struct dawni_program *p = e->program;
    int uses = p->use_at[e->graph->nodes];
    e->address = dawni_calloc(p->operands, sizeof(void *));
    e->value = dawni_calloc(uses, sizeof(float *));
    e->use_grad = dawni_calloc(uses, sizeof(float *));
    e->alloc_bytes = dawni_calloc(p->instrs, sizeof *e->alloc_bytes);
    e->free_bytes = dawni_calloc(p->instrs, sizeof *e->free_bytes);
    if (!e->address || !e->value || !e->use_grad || !e->alloc_bytes ||
        !e->free_bytes)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d operands",
                         p->operands);
    for (int i = 0; i < p->operands; i++)
        e->address[i] = at(e, p->operand[i]);
    for (int n = 0; n < e->graph->nodes; n++)
        for (int i = 0; i < e->graph->node[n].desc.params; i++) {
            int u = p->use_at[n] + i;
            e->value[u] = at(e, p->master[e->graph->node[n].desc.param[i]]);
            e->use_grad[u] = at(e, p->use[u]);
        }
    for (int i = 0; i < p->buffers; i++) {
        const struct dawni_buffer *b = &p->buffer[i];
        if (b->category <= DAWN_CATEGORY_PASSES) {
            e->kept_bytes += b->bytes;
        } else if (b->end >= 0) {
            e->alloc_bytes[b->begin] += b->bytes;
            e->free_bytes[b->end] += b->bytes;
        }
    }
    return DAWN_OK;
}

static bool is_send(const struct dawni_instr *i)
{
    return i->kind == DAWNI_I_SEND || i->kind == DAWNI_I_SEND_WAIT;
}

static uint64_t message_bytes(const struct dawn_exec *e,
                              const struct dawni_instr *i)
{
    if (i->microbatch < 0)
        return (uint64_t)e->graph->param[i->id].elements * sizeof(float);
    return dawn_graph_tensor_bytes(e->graph, i->id,
                                   dawn_plan_info(e->plan)->microbatch);
}

static enum dawn_status make_request(struct dawn_exec *e, int k,
                                     struct dawn_error *err)
{
    const struct dawni_instr *i = &e->program->instr[k];
    const struct dawni_comm_ops *ops = e->comm->ops;
    void *buffer = e->address[i->operand];
    uint64_t bytes = message_bytes(e, i);
    if (i->kind == DAWNI_I_SEND)
        return ops->send_init(e->comm, buffer, bytes,
                              (struct dawni_peer){i->peer, i->tag}, &e->req[k],
                              err);
    return ops->recv_init(e->comm, buffer, bytes,
                          (struct dawni_peer){i->peer, i->tag}, &e->req[k],
                          err);
}

/* Does the wait end that message? A tensor arrives from one rank only, but may
 * go to several. */
static bool ends(const struct dawni_instr *wait, const struct dawni_instr *i)
{
    return i->id == wait->id && i->microbatch == wait->microbatch &&
           is_send(i) == is_send(wait) &&
           (!is_send(wait) || (i->peer == wait->peer && i->tag == wait->tag));
}

/* The RECV or SEND that a wait is for: the newest before it of the same tensor
 * to the same rank. Two tensors may share one buffer (gradients do), so all
 * that name a buffer are chained: before[k] is the message before k. */
static int started(const struct dawn_exec *e, int wait, int newest,
                   const int *before)
{
    const struct dawni_instr *instr = e->program->instr;
    int k = newest;
    while (k >= 0 && !ends(&instr[wait], &instr[k]))
        k = before[k];
    return k;
}

static enum dawn_status link_messages(struct dawn_exec *e, int *newest,
                                      int *before, struct dawn_error *err)
{
    const struct dawni_program *p = e->program;
    for (int i = 0; i < p->buffers; i++)
        newest[i] = -1;
    for (int k = 0; k < p->instrs; k++) {
        const struct dawni_instr *i = &p->instr[k];
        if (i->kind < DAWNI_I_RECV || i->kind > DAWNI_I_SEND_WAIT)
            continue;
        int *slot = &newest[p->operand[i->operand]];
        if (i->kind == DAWNI_I_RECV_WAIT || i->kind == DAWNI_I_SEND_WAIT) {
            e->waits_for[k] = started(e, k, *slot, before);
            assert(e->waits_for[k] >= 0);
            continue;
        }
        enum dawn_status st = make_request(e, k, err);
        if (st)
            return st;
        before[k] = *slot;
        *slot = k;
    }
    return DAWN_OK;
}

/* A request for each RECV and SEND, and which one each wait ends. */
static enum dawn_status make_requests(struct dawn_exec *e,
                                      struct dawn_error *err)
{
    const struct dawni_program *p = e->program;
    int *newest = dawni_calloc(p->buffers, sizeof *newest);
    int *before = dawni_calloc(p->instrs, sizeof *before);
    e->req = dawni_calloc(p->instrs, sizeof(struct dawni_req *));
    e->waits_for = dawni_calloc(p->instrs, sizeof *e->waits_for);
    enum dawn_status st;
    if (!newest || !before || !e->req || !e->waits_for)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for requests");
    else
        st = link_messages(e, newest, before, err);
    free(newest);
    free(before);
    return st;
}

static bool find_stages(struct dawn_exec *e)
{
    int stages = dawn_plan_info(e->plan)->stages;
    int *first = dawni_calloc(stages, sizeof *first);
    for (int x = 0; first && x < stages; x++)
        first[x] = dawn_plan_stage(e->plan, x)->first;
    for (int i = 0; first && i < e->graph->params; i++)
        e->only_stage[i] = e->program->update_every
                               ? dawni_param_stage(e->graph, first, stages, i)
                               : -1;
    free(first);
    return first;
}

static enum dawn_status list_params(struct dawn_exec *e, struct dawn_error *err)
{
    const struct dawni_program *p = e->program;
    e->param = dawni_calloc(e->graph->params, sizeof *e->param);
    e->sums = dawni_calloc((int64_t)e->graph->params + 2, sizeof *e->sums);
    e->squares = dawni_calloc(e->graph->params, sizeof *e->squares);
    e->only_stage = dawni_calloc(e->graph->params, sizeof *e->only_stage);
    if (!e->param || !e->sums || !e->squares || !e->only_stage ||
        !find_stages(e))
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for parameters");
    for (int i = 0; i < e->graph->params; i++) {
        if (!p->owned[i])
            continue;
        e->param[e->owned++] = (struct dawn_exec_param){
            .param = i,
            .name = e->graph->param[i].desc.name,
            .elements = e->graph->param[i].elements,
            .value = at(e, p->master[i]),
            .grad = at(e, dawni_param_grad(e->graph, p, i)),
            .adam_m = at(e, p->adam_m[i]),
            .adam_v = at(e, p->adam_v[i]),
        };
    }
    return DAWN_OK;
}

enum dawn_status dawni_exec_bind(struct dawn_exec *e, struct dawn_error *err)
{
    enum dawn_status st;
    void *arena = NULL;
    if ((st = e->device->setup(e->opts.threads, e->comm->local_rank,
                               e->comm->local_size, err)) ||
        (st = make_program(e, err)) || (st = check_fit(e, err)) ||
        (st = e->device->alloc(e->program->memory.arena_bytes, &arena, err)))
        return st;
    e->arena = arena;
    if ((st = dawni_passes_parse(dawn_plan_info(e->plan)->passes, &e->passes,
                                 err)) ||
        (st = make_addresses(e, err)) || (st = make_requests(e, err)) ||
        (st = dawni_exec_bind_transfers(e, err)) ||
        (st = list_params(e, err)) || (st = dawni_exec_bind_passes(e, err)) ||
        (st = dawni_exec_bind_moments(e, err)))
        return st;
    if (!e->opts.trace)
        return DAWN_OK;
    e->span = dawni_calloc(e->program->instrs, sizeof *e->span);
    return e->span ? DAWN_OK
                   : dawn_fail(err, DAWN_E_NOMEM, "no memory for a trace");
}

void dawni_exec_unbind(struct dawn_exec *e)
{
    for (int i = 0; e->req && i < e->program->instrs; i++)
        if (e->req[i])
            e->comm->ops->req_destroy(e->req[i]);
    dawni_exec_unbind_transfers(e);
    dawni_exec_unbind_passes(e);
    for (int n = 0; e->kernel && n < e->graph->nodes; n++)
        dawni_kernel_destroy(e->kernel[n]);
    if (e->arena)
        e->device->free(e->arena, e->program->memory.arena_bytes);
    dawni_program_destroy(e->program);
    free(e->kernel);
    free(e->address);
    free(e->value);
    free(e->use_grad);
    free(e->alloc_bytes);
    free(e->free_bytes);
    free(e->req);
    free(e->waits_for);
    free(e->param);
    free(e->piece_at);
    free(e->piece);
    free(e->sums);
    free(e->squares);
    free(e->only_stage);
    free(e->span);
}
