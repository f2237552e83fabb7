/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring the machine that the ranks run on: each rank's host, the link of
 * each pair of ranks, and the tiers of rank 0. */
#include "comm/comm.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/sort.h"
#include "topology/disk.h"
#include "topology/host.h"
#include "topology/numa.h"

#include <dawnpiper/measure.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    TAG = 32000,
    SMALL = 64,      /* bytes of a message that has latency only */
    LARGE = 4 << 20, /* and of one that has bandwidth as well */
    SMALL_TURNS = 9, /* of a round */
    LARGE_TURNS = 3,
    COPY_TURNS = 7,
    WARM_UP = 2, /* turns before those that count */
    /* Every pair is visited so often, with a pause before each time, so that
     * other work that runs for a while disturbs a few of the visits only. */
    VISITS = 9,
    PAUSE_NS = 20000000,
    NUMBERS = 3, /* of a pair: time of a small and of a large message, spread */
};
/* Who yields the processor to other work gets it back a time slice later. */
#define PATIENCE_NS 2000000
#define DISK_BYTES (UINT64_C(256) << 20)
#define NUMA_BYTES ((size_t)64 << 20)

/* Links */

struct pair {
    struct dawn_comm *comm;
    int peer;
    struct dawni_req *send, *recv;
};

static enum dawn_status wait(const struct pair *pair, struct dawni_req *req,
                             struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = pair->comm->ops;
    struct dawni_wait patience = dawni_wait_begin();
    enum dawn_status st;
    bool done;

    while (!(st = ops->test(req, &done, err)) && !done) {
        double waited_ns = dawni_wait_look(&patience, dawni_now_ns());
        if (waited_ns > pair->comm->timeout_s * 1e9)
            return dawn_fail(err, DAWN_E_TIMEOUT,
                             "link of rank %d and rank %d: no message for "
                             "%.1f s",
                             pair->comm->rank, pair->peer,
                             pair->comm->timeout_s);
        if (pair->comm->crowded || waited_ns > PATIENCE_NS)
            dawni_comm_idle(pair->comm);
    }
    return st;
}

/* There and back; the lower rank begins. */
static enum dawn_status turn(const struct pair *pair, struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = pair->comm->ops;
    bool begins = pair->comm->rank < pair->peer;
    enum dawn_status st;

    if ((st = ops->start(pair->recv, err)))
        return st;
    if (!begins && (st = wait(pair, pair->recv, err)))
        return st;
    if ((st = ops->start(pair->send, err)) ||
        (st = wait(pair, pair->send, err)))
        return st;
    return begins ? wait(pair, pair->recv, err) : DAWN_OK;
}

/* The median time of a message, one way, in a round of turns. */
static enum dawn_status time_round(const struct pair *pair, int turns,
                                   double *ns_p, struct dawn_error *err)
{
    double ns[SMALL_TURNS];
    enum dawn_status st;

    for (int i = 0; i < turns; i++) {
        uint64_t from = dawni_now_ns();
        if ((st = turn(pair, err)))
            return st;
        ns[i] = (double)(dawni_now_ns() - from) / 2;
    }
    *ns_p = dawni_median(ns, turns);
    return DAWN_OK;
}

/* The median time of a message of `bytes` bytes. */
static enum dawn_status time_messages(struct pair *pair, char *buffer,
                                      int bytes, double *ns_p,
                                      struct dawn_error *err)
{
    const struct dawni_comm_ops *ops = pair->comm->ops;
    int turns = bytes == SMALL ? SMALL_TURNS : LARGE_TURNS;
    enum dawn_status st;

    if ((st = ops->send_init(pair->comm, buffer, (uint64_t)bytes,
                             (struct dawni_peer){pair->peer, TAG}, &pair->send,
                             err)) ||
        (st = ops->recv_init(pair->comm, buffer + LARGE, (uint64_t)bytes,
                             (struct dawni_peer){pair->peer, TAG}, &pair->recv,
                             err)))
        goto out;
    for (int i = 0; i < WARM_UP; i++)
        if ((st = turn(pair, err)))
            goto out;
    st = time_round(pair, turns, ns_p, err);
out:
    ops->req_destroy(pair->send);
    ops->req_destroy(pair->recv);
    pair->send = pair->recv = NULL;
    return st;
}

/* The link of a rank with itself: a copy. */
static double time_copy(char *buffer)
{
    double ns[COPY_TURNS];

    for (int i = -WARM_UP; i < COPY_TURNS; i++) {
        uint64_t from = dawni_now_ns();
        memcpy(buffer + LARGE, buffer, LARGE);
        if (i >= 0)
            ns[i] = (double)(dawni_now_ns() - from);
    }
    return dawni_median(ns, COPY_TURNS);
}

/* Times of all visits to one pair. */
struct visits {
    double small[VISITS], large[VISITS];
};

static enum dawn_status visit(struct pair *pair, char *buffer, int number,
                              struct visits *v, struct dawn_error *err)
{
    enum dawn_status st;

    v->small[number] = 0;
    if (pair->peer == pair->comm->rank) {
        v->large[number] = time_copy(buffer);
        return DAWN_OK;
    }
    st = time_messages(pair, buffer, SMALL, &v->small[number], err);
    return st ? st : time_messages(pair, buffer, LARGE, &v->large[number], err);
}

/* Pair after pair, so that none disturbs another. v: by rank, of the pairs with
 * itself and higher ranks. */
static enum dawn_status visit_pairs(struct dawn_comm *comm, char *buffer,
                                    int number, struct visits *v,
                                    struct dawn_error *err)
{
    const struct timespec pause = {0, PAUSE_NS};
    enum dawn_status st = DAWN_OK;
    struct visits unused;

    nanosleep(&pause, NULL);
    for (int a = 0; a < comm->size && !st; a++)
        for (int b = a; b < comm->size && !st; b++) {
            bool is_mine = comm->rank == a || comm->rank == b;
            struct pair pair = {comm, comm->rank == a ? b : a, NULL, NULL};
            if (is_mine)
                st = visit(&pair, buffer, number,
                           comm->rank == a ? &v[b] : &unused, err);
            st = dawni_agree(comm, st, err);
        }
    return st;
}

/* What other work does to a message makes it slower, never quicker, so the
 * lower quartile of the visits' times counts: a quarter of them undisturbed is
 * enough, and one lucky visit is not. */
static void sum_up(struct visits *v, double numbers[NUMBERS])
{
    struct dawni_quartiles small = dawni_quartiles(v->small, VISITS);
    struct dawni_quartiles large = dawni_quartiles(v->large, VISITS);

    numbers[0] = small.low;
    numbers[1] = large.low;
    numbers[2] = large.high / large.low;
}

/* numbers: NUMBERS of each ordered pair of ranks; this rank fills those of its
 * pairs with itself and higher ranks. */
static enum dawn_status measure_pairs(struct dawn_comm *comm, double *numbers,
                                      struct dawn_error *err)
{
    struct visits *v = dawni_calloc(comm->size, sizeof *v);
    char *buffer = calloc(2, LARGE);
    enum dawn_status st = DAWN_OK;

    if (!buffer || !v)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the link test");
    st = dawni_agree(comm, st, err);
    for (int number = 0; number < VISITS && !st; number++)
        st = visit_pairs(comm, buffer, number, v, err);
    for (int b = comm->rank; b < comm->size && !st; b++)
        sum_up(&v[b],
               &numbers[NUMBERS *
                        ((size_t)comm->rank * (size_t)comm->size + (size_t)b)]);
    free(buffer);
    free(v);
    return st;
}

static enum dawn_status share_numbers(struct dawn_comm *comm, double *numbers,
                                      struct dawn_error *err)
{
    size_t row = NUMBERS * (size_t)comm->size;
    enum dawn_status st = DAWN_OK;

    for (int rank = 0; rank < comm->size && !st; rank++)
        st = comm->ops->bcast(comm, numbers + row * (size_t)rank,
                              row * sizeof *numbers, rank, err);
    return st;
}

static enum dawn_status measure_links(struct dawn_comm *comm,
                                      struct dawn_machine *machine,
                                      double *spread, struct dawn_error *err)
{
    int size = comm->size, count = NUMBERS * size * size;
    double *numbers = dawni_calloc(count, sizeof *numbers);
    enum dawn_status st = DAWN_OK;

    if (!numbers)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d links", count);
    if ((st = dawni_agree(comm, st, err)) ||
        (st = measure_pairs(comm, numbers, err)) ||
        (st = share_numbers(comm, numbers, err)))
        goto out;
    for (int a = 0; a < size; a++)
        for (int b = a; b < size; b++) {
            const double *n = &numbers[NUMBERS * (a * size + b)];
            /* on a busy machine a small message may wait for its turn as long
             * as a large one takes */
            double moving = n[1] > 2 * n[0] ? n[1] - n[0] : n[1];
            struct dawn_machine_link link = {n[0], LARGE / moving * 1e9, n[2]};
            *dawn_machine_link(machine, a, b) = link;
            *dawn_machine_link(machine, b, a) = link;
            *spread = *spread > n[2] ? *spread : n[2];
        }
out:
    free(numbers);
    return st;
}

/* Hosts */

/* What a rank tells of its host; the tree only once a host. */
struct card {
    struct dawn_machine_device device;
    uint64_t tree_bytes; /* with the zero byte; 0: another rank tells */
};

static void fill_card(const struct dawn_comm *comm,
                      const struct dawni_host *host, struct card *card)
{
    struct dawn_machine_device *device = &card->device;
    int cores = host->cores / comm->local_size;

    *card = (struct card){.device = {.kind = "host", .speed = 1}};
    snprintf(device->name, sizeof device->name, "%.40s:%d", host->name,
             comm->local_rank);
    device->memory_bytes = host->memory_bytes / (uint64_t)comm->local_size;
    device->cores = cores > 1 ? cores : 1;
    if (!comm->local_rank)
        card->tree_bytes = strlen(host->tree) + 1;
}

/* Append what rank `from` tells to the notes. */
static enum dawn_status add_tree(struct dawn_comm *comm,
                                 struct dawn_machine *machine, int from,
                                 const struct card *card, const char *mine,
                                 struct dawn_error *err)
{
    char *tree = malloc(card->tree_bytes), *notes = NULL;
    enum dawn_status st = DAWN_OK;

    if (!tree)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the topology");
    else if (comm->rank == from)
        memcpy(tree, mine, card->tree_bytes);
    if ((st = dawni_agree(comm, st, err)) ||
        (st = comm->ops->bcast(comm, tree, card->tree_bytes, from, err)))
        goto out;
    if (asprintf(&notes, "%s%.*s\n%s", dawn_machine_notes(machine),
                 (int)strcspn(card->device.name, ":"), card->device.name,
                 tree) < 0)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the topology");
    else
        st = dawn_machine_set_notes(machine, notes, err);
    free(notes);
    st = dawni_agree(comm, st, err);
out:
    free(tree);
    return st;
}

static enum dawn_status gather_hosts(struct dawn_comm *comm,
                                     struct dawn_machine *machine,
                                     const struct dawni_host *host,
                                     struct dawn_error *err)
{
    struct card mine, *card = dawni_calloc(comm->size, sizeof *card);
    enum dawn_status st = DAWN_OK;

    fill_card(comm, host, &mine);
    if (!card)
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %d hosts", comm->size);
    if ((st = dawni_agree(comm, st, err)) ||
        (st = comm->ops->allgather(comm, &mine, sizeof mine, card, err)))
        goto out;
    for (int rank = 0; rank < comm->size && !st; rank++) {
        *dawn_machine_device(machine, rank) = card[rank].device;
        if (card[rank].tree_bytes)
            st = add_tree(comm, machine, rank, &card[rank], host->tree, err);
    }
out:
    free(card);
    return st;
}

static enum dawn_status measure_hosts(struct dawn_comm *comm,
                                      struct dawn_machine *machine,
                                      struct dawn_error *err)
{
    struct dawni_host host = {.tree = NULL};
    enum dawn_status st = dawni_host_read(&host, err);

    if (!(st = dawni_agree(comm, st, err)))
        st = gather_hosts(comm, machine, &host, err);
    free(host.tree);
    return st;
}

/* Tiers */

/* What was measured as the time of one core, as a device's. */
static void share_computing(struct dawn_machine *machine,
                            struct dawn_machine_tier *tier)
{
    tier->compute_ns_per_byte /= dawn_machine_device(machine, 0)->cores;
}

/* Memory of another NUMA node, if there is one. */
static enum dawn_status measure_numa(struct dawn_comm *comm,
                                     struct dawn_machine *machine,
                                     struct dawn_error *err)
{
    struct {
        struct dawn_machine_tier tier;
        bool found;
    } numa;
    enum dawn_status st = DAWN_OK;

    memset(&numa, 0, sizeof numa);
    if (!comm->rank)
        st = dawni_numa_measure(NUMA_BYTES, &numa.tier, &numa.found, err);
    if ((st = dawni_agree(comm, st, err)) ||
        (st = comm->ops->bcast(comm, &numa, sizeof numa, 0, err)))
        return st;
    share_computing(machine, &numa.tier);
    if (numa.found)
        st = dawn_machine_add_tier(machine, &numa.tier, err);
    return dawni_agree(comm, st, err);
}

static enum dawn_status measure_disk(struct dawn_comm *comm,
                                     struct dawn_machine *machine,
                                     const char *dir, struct dawn_error *err)
{
    struct dawn_machine_tier tier;
    enum dawn_status st = DAWN_OK;

    memset(&tier, 0, sizeof tier);
    if (!comm->rank)
        st = dawni_disk_measure(dir, DISK_BYTES, &tier, err);
    if ((st = dawni_agree(comm, st, err)) ||
        (st = comm->ops->bcast(comm, &tier, sizeof tier, 0, err)))
        return st;
    share_computing(machine, &tier);
    return dawni_agree(comm, dawn_machine_add_tier(machine, &tier, err), err);
}

enum dawn_status dawn_machine_measure(struct dawn_comm *comm, const char *dir,
                                      struct dawn_machine **machine_p,
                                      double *spread_p, struct dawn_error *err)
{
    struct dawn_machine *machine = NULL;
    double spread = 1;
    enum dawn_status st = dawn_machine_create(comm->size, &machine, err);

    if ((st = dawni_agree(comm, st, err)) ||
        (st = measure_hosts(comm, machine, err)) ||
        (st = measure_links(comm, machine, &spread, err)) ||
        (st = measure_numa(comm, machine, err)) ||
        (dir && (st = measure_disk(comm, machine, dir, err))))
        goto fail;
    *machine_p = machine;
    if (spread_p)
        *spread_p = spread;
    return DAWN_OK;
fail:
    dawn_machine_destroy(machine);
    return st;
}
