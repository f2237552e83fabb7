/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules inside the library: the table, the kinds that fill it, and what the
 * generator, the checker and the simulator share.
 *
 * A link is one directed edge between stages: activations down or gradients up.
 * A message is one microbatch on one link, number link * microbatches +
 * microbatch.
 */
#ifndef DAWNI_SCHEDULE_SCHEDULE_H
#define DAWNI_SCHEDULE_SCHEDULE_H

#include <dawnpiper/schedule.h>
#include <stddef.h>

struct dawni_link {
    bool grad;
    int src, dst; /* stages */
};

/* The actions of one rank. */
struct dawni_actions {
    int n, room;
    struct dawn_action *action;
};

struct dawn_schedule {
    int stages, ranks, microbatches;
    int update_every; /* 0: there are no UPDATEs */
    int delay;        /* as the kind says */
    int *version;     /* by stage * microbatches + microbatch; NULL: all 0 */
    /* act edges in the caller's order, then grad edges */
    int links, act_links;
    struct dawni_link *link;
    /* links into stage s: in[in_first[s]] to in[in_first[s + 1] - 1], those of
     * activations first, then by peer; out likewise */
    int *in_first, *in, *out_first, *out;
    struct dawni_actions *rank;
};

#define DAWNI_NEWEST (-1)

/* A kind fills the order of computation and nothing else: messages, UPDATE,
 * REDUCE and STEP are put in by dawni_schedule_add_messages. */
struct dawni_schedule_kind_ops {
    const char *name;
    /* Least number of microbatches between two updates. NULL: the kind is
     * synchronous. */
    int (*least_every)(const struct dawn_schedule *schedule);
    /* Updates that all stages leave out of what they read, of those of earlier
     * microbatches; DAWNI_NEWEST: each reads the newest that it has. */
    int delay;
    /* Append F and BW (or B and W) to schedule->rank, with dawni_actions_add.
     * Called once by dawn_schedule_create; counts and links are set. */
    enum dawn_status (*fill)(struct dawn_schedule *schedule,
                             struct dawn_error *err);
};

extern const struct dawni_schedule_kind_ops dawni_schedule_gpipe;
extern const struct dawni_schedule_kind_ops dawni_schedule_1f1b;
extern const struct dawni_schedule_kind_ops dawni_schedule_async_1f1b;
extern const struct dawni_schedule_kind_ops dawni_schedule_async_2bw;

/* NULL: no such kind. */
const struct dawni_schedule_kind_ops *dawni_schedule_kind_find(
    const char *name);

/* For kinds in which each stage has an order of its own: action i of 2 * m of
 * a stage. Stages that share a rank are merged as a unit clock would run them,
 * backward first, then the deepest stage first. */
typedef struct dawn_action (*dawni_stage_action_fn)(
    const struct dawn_schedule *schedule, int stage, int i);
enum dawn_status dawni_schedule_fill_by_stage(struct dawn_schedule *schedule,
                                              dawni_stage_action_fn action,
                                              struct dawn_error *err);

/* The order of 1F1B. */
enum dawn_status dawni_schedule_fill_1f1b(struct dawn_schedule *schedule,
                                          struct dawn_error *err);

/* Is an UPDATE due behind this backward? */
static inline bool dawni_update_due(const struct dawn_schedule *schedule,
                                    int microbatch)
{
    return schedule->update_every &&
           (microbatch + 1) % schedule->update_every == 0;
}

/* versions.c: how often a kind updates. opts_every: what was asked for. */
enum dawn_status dawni_schedule_set_updates(
    struct dawn_schedule *schedule, const struct dawni_schedule_kind_ops *kind,
    int opts_every, struct dawn_error *err);
/* Find out from the actions which version each microbatch reads. */
enum dawn_status dawni_schedule_find_versions(struct dawn_schedule *schedule,
                                              struct dawn_error *err);
/* Versions at most, at a time at which most microbatches are in flight. */
int dawni_schedule_versions_full(const struct dawn_schedule *schedule,
                                 int stage);

/* Put RECV, SEND, WAIT, UPDATE, REDUCE and STEP into an order of computation.
 */
enum dawn_status dawni_schedule_add_messages(struct dawn_schedule *schedule,
                                             struct dawn_error *err);

/* Make a schedule of given actions, `n[rank]` at action[rank]. opts->kind says
 * when weights are updated, and nothing else; NULL: at the end. Fields are
 * checked to be in range, and peers to be edges; anything else is for
 * dawn_schedule_check. Returns DAWN_OK, DAWN_E_INVAL or DAWN_E_NOMEM. */
enum dawn_status dawni_schedule_from_actions(
    const struct dawn_schedule_opts *opts,
    const struct dawn_action *const *action, const int *n,
    struct dawn_schedule **schedule_p, struct dawn_error *err);

/* A clock: each F takes one tick, each B, W and BW `backward` ticks, messages
 * none; WAITs are not waited for. end[rank][i]: the tick at which action i is
 * over; for other kinds of action that of the computation before. Returns
 * DAWN_OK, DAWN_E_NOMEM, or DAWN_E_INVAL when the order is stuck; *end_p is set
 * then too, with -1 for all that never ends. */
enum dawn_status dawni_schedule_clock(const struct dawn_schedule *schedule,
                                      int backward, int ***end_p,
                                      struct dawn_error *err);
void dawni_schedule_clock_free(const struct dawn_schedule *schedule, int **end);

enum dawn_status dawni_actions_add(struct dawni_actions *to,
                                   struct dawn_action action,
                                   struct dawn_error *err);

/* Link over which an action moves data; -1: none. The action is a SEND, RECV or
 * WAIT. */
int dawni_schedule_link(const struct dawn_schedule *schedule,
                        const struct dawn_action *action);

/* Fail with a text that names the action, number at[rank], that each rank which
 * is not at its end is stuck at. */
enum dawn_status dawni_schedule_stuck(const struct dawn_schedule *schedule,
                                      const int *at, struct dawn_error *err);

/* "SEND_ACT(mb 3, stage 1 to 2)", at most `size` bytes; returns buf. */
const char *dawni_action_text(const struct dawn_action *action, char *buf,
                              size_t size);

#define DAWNI_ACTION_BIT(name) (1u << DAWN_ACTION_##name)

static inline bool dawni_action_is(enum dawn_action_kind kind, unsigned bits)
{
    return (1u << kind) & bits;
}

static inline bool dawni_is_compute(enum dawn_action_kind kind)
{
    return dawni_action_is(kind, DAWNI_ACTION_BIT(F) | DAWNI_ACTION_BIT(B) |
                                     DAWNI_ACTION_BIT(W) |
                                     DAWNI_ACTION_BIT(BW));
}

/* Does the action take in, and give out, what moves on links of that kind? */
static inline bool dawni_uses_link(enum dawn_action_kind kind, bool grad)
{
    return grad ? kind == DAWN_ACTION_B || kind == DAWN_ACTION_BW
                : kind == DAWN_ACTION_F;
}

static inline bool dawni_is_recv(enum dawn_action_kind kind)
{
    return dawni_action_is(kind, DAWNI_ACTION_BIT(RECV_ACT) |
                                     DAWNI_ACTION_BIT(RECV_GRAD));
}

static inline bool dawni_is_send(enum dawn_action_kind kind)
{
    return dawni_action_is(kind, DAWNI_ACTION_BIT(SEND_ACT) |
                                     DAWNI_ACTION_BIT(SEND_GRAD));
}

static inline bool dawni_is_wait(enum dawn_action_kind kind)
{
    return dawni_action_is(kind, DAWNI_ACTION_BIT(WAIT_ACT) |
                                     DAWNI_ACTION_BIT(WAIT_GRAD));
}

/* Number of the message that a SEND, RECV or WAIT is about. */
static inline size_t dawni_message(const struct dawn_schedule *schedule,
                                   int link, int microbatch)
{
    return (size_t)link * (size_t)schedule->microbatches + (size_t)microbatch;
}

#endif
