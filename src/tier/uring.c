/* SPDX-License-Identifier: Apache-2.0 */
/* A disk by io_uring: transfers are cut into pieces, of which some move at one
 * time in each direction; reads do not queue behind writes. The arena is
 * registered where the kernel lets us, in parts of at most 1 GiB, which is the
 * most that it takes.
 */
#include "tier/tier.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE (4u << 20)
#define DEPTH 8 /* pieces under way each way */
#define ENTRIES (2 * DEPTH)
#define PART ((uint64_t)1 << 30)
#define MOST_PARTS 1024

struct piece {
    struct dawni_io *io; /* NULL: free */
    uint64_t at;         /* in the transfer */
    unsigned bytes;
};

struct queue { /* of transfers that are not handed over in full */
    struct dawni_io *first, *last;
    int pieces; /* under way */
};

struct uring {
    struct dawni_tier tier;
    int file;
    struct io_uring ring;
    char *arena;
    int parts; /* registered; 0: none */
    struct piece piece[ENTRIES];
    struct queue queue[2]; /* writes, reads */
};

/* The registered part that the bytes lie in; -1: none holds them all. */
static int part_of(const struct uring *u, const char *data, unsigned bytes)
{
    uint64_t at = (uint64_t)(data - u->arena);

    if (!u->parts || at / PART != (at + bytes - 1) / PART)
        return -1;
    return (int)(at / PART);
}

static void prepare(struct uring *u, struct piece *p)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    struct dawni_io *io = p->io;
    char *data = io->data + p->at;
    uint64_t place = io->place + p->at;
    int part = part_of(u, data, p->bytes);

    if (part >= 0 && io->is_read)
        io_uring_prep_read_fixed(sqe, u->file, data, p->bytes, place, part);
    else if (part >= 0)
        io_uring_prep_write_fixed(sqe, u->file, data, p->bytes, place, part);
    else if (io->is_read)
        io_uring_prep_read(sqe, u->file, data, p->bytes, place);
    else
        io_uring_prep_write(sqe, u->file, data, p->bytes, place);
    io_uring_sqe_set_data(sqe, p);
}

static struct piece *free_piece(struct uring *u)
{
    struct piece *p = u->piece;

    while (p->io)
        p++;
    return p;
}

/* Begin pieces of a queue while there is room for more. Returns how many. */
static int hand_over(struct uring *u, struct queue *q)
{
    int begun = 0;

    for (; q->first && q->pieces < DEPTH; begun++) {
        struct dawni_io *io = q->first;
        uint64_t left = io->bytes - io->handed;
        struct piece *p = free_piece(u);

        *p = (struct piece){io, io->handed,
                            left < PIECE ? (unsigned)left : PIECE};
        io->handed += p->bytes;
        io->pieces++;
        q->pieces++;
        prepare(u, p);
        if (io->handed < io->bytes)
            continue;
        q->first = io->next;
        if (!q->first)
            q->last = NULL;
    }
    return begun;
}

/* What did not fit the kernel's queue now is submitted the next time. */
static void submit(struct uring *u)
{
    if (hand_over(u, &u->queue[0]) + hand_over(u, &u->queue[1]) > 0 ||
        io_uring_sq_ready(&u->ring) > 0)
        io_uring_submit(&u->ring);
}

/* A piece has moved `moved` bytes, or failed: -errno. */
static void end_piece(struct uring *u, struct piece *p, int moved)
{
    struct dawni_io *io = p->io;
    struct queue *q = &u->queue[io->is_read];

    if (moved == -EINTR || moved == -EAGAIN)
        moved = 0;
    else if (moved < 0)
        io->error = -moved;
    else if (moved == 0)
        io->error = io->is_read ? ENODATA : ENOSPC;
    if (!io->error && (unsigned)moved < p->bytes) { /* the rest of it */
        p->at += (unsigned)moved;
        p->bytes -= (unsigned)moved;
        prepare(u, p);
        return;
    }
    p->io = NULL;
    q->pieces--;
    if (--io->pieces > 0 || io->handed < io->bytes)
        return;
    u->tier.under_way--;
    atomic_store(&io->done, true);
}

static void reap(struct uring *u)
{
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct piece *p = io_uring_cqe_get_data(cqe);
        int moved = cqe->res;

        io_uring_cqe_seen(&u->ring, cqe);
        end_piece(u, p, moved);
    }
}

static void progress(struct dawni_tier *tier)
{
    struct uring *u = (struct uring *)tier;

    if (tier->under_way) {
        reap(u);
        submit(u);
    }
}

static void start(struct dawni_tier *tier, struct dawni_io *io)
{
    struct uring *u = (struct uring *)tier;
    struct queue *q = &u->queue[io->is_read];

    tier->under_way++;
    if (q->last)
        q->last->next = io;
    else
        q->first = io;
    q->last = io;
    progress(tier);
}

static void destroy(struct dawni_tier *tier)
{
    struct uring *u = (struct uring *)tier;

    while (tier->under_way) {
        struct io_uring_cqe *cqe;

        progress(tier);
        if (tier->under_way)
            io_uring_wait_cqe(&u->ring, &cqe);
    }
    io_uring_queue_exit(&u->ring);
    close(u->file);
    free(u);
}

static const struct dawni_tier_ops ops = {
    .name = "io_uring",
    .destroy = destroy,
    .start = start,
    .progress = progress,
};

int dawni_tier_uring_file(const struct dawni_tier *tier)
{
    return ((const struct uring *)tier)->file;
}

/* Without it transfers work, too; it may fail where little memory may be
 * locked.
 */
static void register_arena(struct uring *u, const struct dawni_tier_opts *opts)
{
    struct iovec part[MOST_PARTS];
    uint64_t parts = (opts->arena_bytes + PART - 1) / PART;

    if (!opts->arena || !parts || parts > MOST_PARTS)
        return;
    for (uint64_t i = 0; i < parts; i++) {
        uint64_t left = opts->arena_bytes - i * PART;

        part[i] = (struct iovec){(char *)opts->arena + i * PART,
                                 left < PART ? left : PART};
    }
    u->arena = opts->arena;
    if (io_uring_register_buffers(&u->ring, part, (unsigned)parts) == 0)
        u->parts = (int)parts;
}

enum dawn_status dawni_tier_uring(int file, const struct dawni_tier_opts *opts,
                                  struct dawni_tier **tier_p,
                                  struct dawn_error *err)
{
    struct uring *u = calloc(1, sizeof *u);

    if (!u) {
        close(file);
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for a tier");
    }
    if (io_uring_queue_init(ENTRIES, &u->ring, 0)) {
        free(u); /* a kernel without it, or a container that forbids it */
        return dawni_tier_thread(file, NULL, opts, tier_p, err);
    }
    u->tier.ops = &ops;
    u->file = file;
    register_arena(u, opts);
    *tier_p = &u->tier;
    return DAWN_OK;
}
