/* SPDX-License-Identifier: Apache-2.0 */
/* Offloaded tensors: tiers made for what the program moves, transfers started
 * and waited for.
 *
 * A rank whose transfer fails goes on without working, as after a kernel that
 * failed: all ranks learn of it at the norm.
 */
#include "common/array.h"
#include "common/clock.h"
#include "common/hash.h"
#include "memory/moments.h"
#include "memory/offload.h"
#include "runtime/exec.h"
#include "tier/tier.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define SPINS 200 /* tests before the core is offered to others */

static bool is_start(const struct dawni_instr *i)
{
    return i->kind == DAWNI_I_OFFLOAD || i->kind == DAWNI_I_PREFETCH;
}

bool dawni_exec_is_transfer(const struct dawni_instr *i)
{
    return i->kind >= DAWNI_I_OFFLOAD && i->kind <= DAWNI_I_PREFETCH_WAIT;
}

/* Binding */

static uint64_t room_of(const struct dawn_exec *e, enum dawn_decision decision)
{
    return decision == DAWN_TO_SSD ? e->program->memory.ssd_bytes
                                   : e->program->memory.host_bytes;
}

static enum dawn_status make_tier(struct dawn_exec *e,
                                  enum dawn_decision decision,
                                  struct dawn_error *err)
{
    const char *folder = e->opts.offload_dir, *planned;
    struct dawni_tier_opts opts = {
        .room_bytes = room_of(e, decision),
        .arena = e->arena,
        .arena_bytes = e->program->memory.arena_bytes,
    };
    if (!opts.room_bytes)
        return DAWN_OK;
    planned = dawn_plan_info(e->plan)->offload_dir;
    if (!folder)
        folder = *planned ? planned : getenv("TMPDIR");
    if (decision == DAWN_TO_SSD)
        opts.folder = folder && *folder ? folder : "/tmp";
    return dawni_tier_create(&opts, &e->tier[decision], err);
}

/* What passes keep behind moments is read only. */
static uint64_t bytes_of(const struct dawn_exec *e, const struct dawni_instr *i)
{
    enum dawn_decision decision = (enum dawn_decision)i->peer;
    if (i->microbatch >= 0)
        return dawni_offload_bytes(
            dawn_graph_tensor_bytes(e->graph, i->id,
                                    dawn_plan_info(e->plan)->microbatch),
            decision);
    struct dawni_moments_size size = {
        .passes = &e->passes,
        .count = dawni_moments_count(e->graph->param[i->id].elements, i->tag),
        .decision = decision,
    };
    return i->kind == DAWNI_I_PREFETCH
               ? dawni_moments_bytes(&size)
               : dawni_moments_written(size.count, decision);
}

static void fill_io(struct dawn_exec *e, int k)
{
    const struct dawni_instr *i = &e->program->instr[k];
    struct dawni_io *io = &e->io[k];
    io->is_read = i->kind == DAWNI_I_PREFETCH;
    io->data = e->address[i->operand];
    io->place = i->place;
    io->bytes = bytes_of(e, i);
}

/* The newest write before k to where it reads; of moments, which were written
 * in the step before, the one behind it. */
static int written_by(const struct dawn_exec *e, int k)
{
    const struct dawni_instr *read = &e->program->instr[k], *i;
    int step = read->microbatch < 0 ? 1 : -1;
    do
        i = &e->program->instr[k += step];
    while (i->kind != DAWNI_I_OFFLOAD || i->peer != read->peer ||
           i->place != read->place);
    return k;
}

/* Which transfer each wait ends: the newest of its buffer. */
static void link_waits(struct dawn_exec *e, int *newest)
{
    const struct dawni_program *p = e->program;
    for (int i = 0; i < p->buffers; i++)
        newest[i] = -1;
    for (int k = 0; k < p->instrs; k++) {
        const struct dawni_instr *i = &p->instr[k];
        if (!dawni_exec_is_transfer(i))
            continue;
        int *slot = &newest[p->operand[i->operand]];
        if (is_start(i)) {
            fill_io(e, k);
            *slot = k;
            if (i->kind == DAWNI_I_PREFETCH)
                e->waits_for[k] = written_by(e, k);
        } else {
            e->waits_for[k] = *slot;
            assert(*slot >= 0);
        }
    }
}

enum dawn_status dawni_exec_bind_transfers(struct dawn_exec *e,
                                           struct dawn_error *err)
{
    const struct dawni_program *p = e->program;
    if (!p->memory.host_bytes && !p->memory.ssd_bytes)
        return DAWN_OK;
    int *newest = dawni_calloc(p->buffers, sizeof *newest);
    e->io = dawni_calloc((int64_t)p->instrs + 1, sizeof *e->io);
    if (e->opts.checked)
        e->checksum = dawni_calloc(p->instrs, sizeof *e->checksum);
    enum dawn_status st = DAWN_OK;
    if (!newest || !e->io || (e->opts.checked && !e->checksum))
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for transfers");
    else
        link_waits(e, newest);
    free(newest);
    for (int d = DAWN_TO_HOST; !st && d < DAWN_DECISIONS; d++)
        st = make_tier(e, (enum dawn_decision)d, err);
    return st;
}

void dawni_exec_unbind_transfers(struct dawn_exec *e)
{
    for (int d = 0; d < DAWN_DECISIONS; d++)
        dawni_tier_destroy(e->tier[d]);
    free(e->io);
    free(e->checksum);
}

/* Running */

void dawni_exec_move(struct dawn_exec *e)
{
    for (int d = DAWN_TO_HOST; d < DAWN_DECISIONS; d++)
        if (e->tier[d])
            dawni_tier_progress(e->tier[d]);
}

static void fail_work(struct dawn_exec *e, enum dawn_status st,
                      const struct dawn_error *why)
{
    if (e->status)
        return;
    e->status = st;
    e->error = *why;
}

/* Bytes that a read brings behind what the write before it wrote: what passes
 * keep. */
static uint64_t behind(const struct dawn_exec *e, int read)
{
    return e->io[read].bytes - e->io[e->waits_for[read]].bytes;
}

/* What is read back must be what was written. */
static void verify(struct dawn_exec *e, int start)
{
    const struct dawni_instr *i = &e->program->instr[start];
    const struct dawni_io *io = &e->io[start];
    uint64_t rest = behind(e, start), bytes = io->bytes - rest;
    struct dawn_error why;
    char what[200];
    bool same =
        dawni_hash_of(io->data, bytes) == e->checksum[e->waits_for[start]];
    if (same &&
        (!rest || dawni_hash_of(io->data + bytes, rest) == e->checksum[start]))
        return;
    if (i->microbatch < 0)
        snprintf(what, sizeof what, "%s of '%s'",
                 same ? "what passes keep" : "moments",
                 e->graph->param[i->id].desc.name);
    else
        snprintf(what, sizeof what, "'%s', microbatch %d",
                 e->graph->tensor[i->id].desc.name, i->microbatch);
    fail_work(e,
              dawn_fail(&why, DAWN_E_IO,
                        "%s: what was read back from %s is not what was "
                        "written",
                        what, i->peer == DAWN_TO_SSD ? "disk" : "host memory"),
              &why);
}

static void begin(struct dawn_exec *e, int k)
{
    struct dawni_io *io = &e->io[k];
    if (e->checksum && !io->is_read)
        e->checksum[k] = dawni_hash_of(io->data, io->bytes);
    dawni_tier_start(e->tier[e->program->instr[k].peer], io);
}

/* Instruction k waits for what `start` began. */
static enum dawn_status wait(struct dawn_exec *e, int k, int start,
                             struct dawn_error *err)
{
    struct dawni_tier *tier = e->tier[e->program->instr[k].peer];
    uint64_t from = dawni_now_ns();
    struct dawni_wait patience = {.looked_ns = from};
    enum dawn_status st = DAWN_OK;
    struct dawn_error why;
    for (int spin = 0; !dawni_tier_test(tier, &e->io[start], &st, &why);
         spin++) {
        double seconds = dawni_wait_look(&patience, dawni_now_ns()) * 1e-9;
        e->comm->ops->progress(e->comm);
        if (spin >= SPINS)
            dawni_comm_idle(e->comm);
        if (seconds <= e->opts.timeout_s)
            continue;
        char what[200];
        dawni_instr_describe(e->program, e->graph, k, what, sizeof what);
        return dawn_fail(err, DAWN_E_TIMEOUT, "rank %d waits in %s for %.0f s",
                         e->comm->rank, what, seconds);
    }
    e->stall_ns += dawni_now_ns() - from;
    if (st)
        fail_work(e, st, &why);
    else if (e->checksum && e->io[start].is_read && !e->status)
        verify(e, start);
    return DAWN_OK;
}

enum dawn_status dawni_exec_transfer(struct dawn_exec *e, int k,
                                     struct dawn_error *err)
{
    if (!is_start(&e->program->instr[k]))
        return wait(e, k, e->waits_for[k], err);
    begin(e, k);
    return DAWN_OK;
}

enum dawn_status dawni_exec_drain(struct dawn_exec *e, int k,
                                  struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    for (int i = k + 1; i < e->program->step_instrs && !st; i++)
        if (e->program->instr[i].kind == DAWNI_I_PREFETCH_WAIT &&
            e->waits_for[i] < k)
            st = wait(e, i, e->waits_for[i], err);
    return st;
}

/* The transfer that began at `start` is all that there is. */
static enum dawn_status finish(struct dawn_exec *e, int k, int start,
                               struct dawn_error *err)
{
    enum dawn_status st;
    e->status = DAWN_OK;
    st = wait(e, k, start, err);
    if (!st && e->status)
        st = dawn_fail(err, e->status, "%s", e->error.text);
    return st;
}

enum dawn_status dawni_exec_transfer_now(struct dawn_exec *e, int start,
                                         struct dawn_error *err)
{
    begin(e, start);
    return finish(e, start, start, err);
}

enum dawn_status dawni_exec_write_behind(struct dawn_exec *e, int read,
                                         struct dawn_error *err)
{
    const struct dawni_io *whole = &e->io[read];
    struct dawni_io *io = &e->io[e->program->instrs];
    uint64_t bytes = behind(e, read);
    if (!bytes)
        return DAWN_OK;
    io->is_read = false;
    io->data = whole->data + (whole->bytes - bytes);
    io->place = whole->place + (whole->bytes - bytes);
    io->bytes = bytes;
    if (e->checksum)
        e->checksum[read] = dawni_hash_of(io->data, bytes);
    dawni_tier_start(e->tier[e->program->instr[read].peer], io);
    return finish(e, read, e->program->instrs, err);
}
