/* SPDX-License-Identifier: Apache-2.0 */
/* The executor's loop: kernels, messages, and the watch over waits.
 *
 * A rank whose feed or kernel fails goes on without working: it still sends and
 * receives, so that nobody hangs, and all ranks learn of it at the norm.
 */
#include "common/clock.h"
#include "runtime/exec.h"
#include <stdio.h>

#define POLL_NS 200000 /* messages are moved so often between kernels */
#define SPINS                                                                  \
    200 /* tests of a request before the core is offered to others             \
         */

static enum dawn_status too_long(const struct dawn_exec *e, int instr,
                                 double seconds, struct dawn_error *err)
{
    const struct dawni_instr *i = &e->program->instr[e->waits_for[instr]];
    char done[200] = "nothing", what[200];
    if (e->done >= 0)
        dawni_instr_describe(e->program, e->graph, e->done, done, sizeof done);
    dawni_instr_describe(e->program, e->graph, instr, what, sizeof what);
    return dawn_fail(err, DAWN_E_TIMEOUT,
                     "rank %d waits in %s %s rank %d for %.0f s; last done %s",
                     e->comm->rank, what,
                     i->kind == DAWNI_I_RECV ? "from" : "to", i->peer, seconds,
                     done);
}

enum dawn_status dawni_exec_wait(struct dawn_exec *e, int instr,
                                 struct dawn_error *err)
{
    struct dawni_req *req = e->req[e->waits_for[instr]];
    uint64_t begin = dawni_now_ns();
    struct dawni_wait wait = {.looked_ns = begin};
    enum dawn_status st = DAWN_OK;
    bool done = false;
    for (int spin = 0; !st && !done; spin++) {
        st = e->comm->ops->test(req, &done, err);
        if (done || st || spin < SPINS)
            continue;
        dawni_comm_idle(e->comm);
        double seconds = dawni_wait_look(&wait, dawni_now_ns()) * 1e-9;
        if (seconds > e->opts.timeout_s)
            st = too_long(e, instr, seconds, err);
    }
    e->wait_ns += dawni_now_ns() - begin;
    return st;
}

static enum dawn_status message(struct dawn_exec *e, int instr,
                                struct dawn_error *err)
{
    int kind = e->program->instr[instr].kind;
    struct dawn_error why = {0};
    enum dawn_status st;
    if (kind == DAWNI_I_RECV || kind == DAWNI_I_SEND)
        st = e->comm->ops->start(e->req[instr], &why);
    else
        st = dawni_exec_wait(e, instr, &why);
    if (!st)
        return DAWN_OK;
    /* one rank alone knows of this: the job has to end */
    return dawn_fail(err, st == DAWN_E_TIMEOUT ? st : DAWN_E_COMM, "%s",
                     why.text);
}

static enum dawn_status run_one(struct dawn_exec *e, int instr,
                                struct dawn_error *err)
{
    const struct dawni_instr *i = &e->program->instr[instr];
    if (i->kind >= DAWNI_I_RECV && i->kind <= DAWNI_I_SEND_WAIT)
        return message(e, instr, err);
    if (dawni_exec_is_transfer(i))
        return dawni_exec_transfer(e, instr, err);
    if (i->kind == DAWNI_I_NORM)
        return dawni_exec_norm(e, err);
    uint64_t begin = dawni_now_ns();
    if (!e->status)
        dawni_exec_work(e, instr);
    uint64_t end = dawni_now_ns();
    e->kernel_ns += end - begin;
    if (end - e->polled_ns > POLL_NS) {
        e->comm->ops->progress(e->comm);
        dawni_exec_move(e);
        e->polled_ns = end;
    }
    return DAWN_OK;
}

enum dawn_status dawni_exec_run(struct dawn_exec *e, int begin, int end,
                                struct dawn_error *err)
{
    for (int k = begin; k < end; k++) {
        uint64_t start = e->span ? dawni_now_ns() : 0;
        e->live_bytes += e->alloc_bytes[k];
        if (e->live_bytes > e->peak_bytes)
            e->peak_bytes = e->live_bytes;
        enum dawn_status st = run_one(e, k, err);
        if (st)
            return st;
        e->live_bytes -= e->free_bytes[k];
        e->done = k;
        if (e->span)
            e->span[k] = (struct dawni_span){start, dawni_now_ns()};
        if (e->program->instr[k].kind == DAWNI_I_NORM &&
            (e->status || e->nonfinite || e->lr < 0))
            return dawni_exec_drain(e, k, err); /* nothing is updated */
    }
    return DAWN_OK;
}
