/* SPDX-License-Identifier: Apache-2.0 */
/* Which older checkpoints a save removes.
 *
 * Only checkpoints whose files have the checksums of their manifest count among
 * those that are kept, so that a damaged one never pushes out a good one. The
 * files are read while the save's thread runs; the ranks share them out.
 */
#ifndef DAWNI_CKPT_ROTATE_H
#define DAWNI_CKPT_ROTATE_H

#include <dawnpiper/checkpoint.h>
#include <stdatomic.h>

struct dawni_rotation;

/* Note the checkpoints in `dir` but the one of the save's step. Where nothing
 * can be removed there is no rotation: *rotation_p is NULL, which all functions
 * below take. Collective. Returns DAWN_OK, DAWN_E_NOMEM or DAWN_E_COMM, the
 * same on all ranks. */
enum dawn_status dawni_rotation_create(
    const struct dawn_checkpoint_save_opts *opts,
    struct dawni_rotation **rotation_p, struct dawn_error *err);
void dawni_rotation_destroy(struct dawni_rotation *rotation);

/* Does nothing but the checkpoint that is being saved remain? Then its own
 * files must be read back before others are removed. */
bool dawni_rotation_leaves_one(const struct dawni_rotation *rotation);

/* Read this rank's share of the checkpoints that may stay. Not collective, does
 * not touch the communicator. stop: when that becomes true, it ends early. */
void dawni_rotation_look(struct dawni_rotation *rotation, atomic_bool *stop);

/* Let all ranks know what each found; look at more, where some were broken.
 * Collective. Returns DAWN_OK or DAWN_E_COMM. */
enum dawn_status dawni_rotation_agree(struct dawni_rotation *rotation,
                                      struct dawn_error *err);

/* Rank 0, when the new checkpoint is visible: remove complete checkpoints older
 * than those that stay. What is damaged among them, and what cannot be opened,
 * is left for people to look at. */
void dawni_rotation_remove(const struct dawni_rotation *rotation);

/* Has a file that length and checksum? It is read, not mapped: a bad sector is
 * an answer, not a signal. False also when *stop became true. */
bool dawni_file_holds(const char *path, uint64_t bytes, uint64_t xxh3,
                      atomic_bool *stop);

#endif
