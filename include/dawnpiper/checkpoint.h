/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: named tensors and a few strings on disk. (libdawnpiper-run)
 *
 * A checkpoint is a folder that all ranks see:
 *
 *     DIR/step-00000100/manifest.json        step, strings, files, tensors
 *     DIR/step-00000100/rank-0.safetensors   the tensors that rank 0 gave
 *     DIR/step-00000100/rank-1.safetensors   ...
 *
 * It is written under a temporary name, synced, and renamed once it is whole.
 * Tensors are found by name, so that any number of ranks may read what any
 * other number wrote. The manifest has a checksum (xxh3) of every file.
 */
#ifndef DAWNPIPER_CHECKPOINT_H
#define DAWNPIPER_CHECKPOINT_H

#include <dawnpiper/comm.h>
#include <dawnpiper/graph.h>
#include <dawnpiper/job.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fill `into` with `bytes` bytes of a tensor's data, from byte `at` on. */
typedef enum dawn_status (*dawn_checkpoint_fill_fn)(void *user, uint64_t at,
                                                    uint64_t bytes, void *into,
                                                    struct dawn_error *err);

struct dawn_checkpoint_tensor {
    const char *name; /* UTF-8, not empty, not "__metadata__" */
    enum dawn_dtype dtype;
    int dims; /* 0 to DAWN_MAX_DIMS; 0 is a scalar */
    int64_t shape[DAWN_MAX_DIMS];
    const void *data; /* row-major, little-endian; of one that was read: maybe
                         not aligned */
    /* To write what is not in memory: data is NULL, and this gives it, front to
     * back in pieces of at most DAWN_CHECKPOINT_PIECE bytes, while
     * dawn_checkpoint_save_begin runs. */
    dawn_checkpoint_fill_fn fill;
    void *user;
};

#define DAWN_CHECKPOINT_PIECE ((uint64_t)1 << 21)

struct dawn_checkpoint_string {
    const char *key, *value; /* UTF-8 */
};

/* Writing */

struct dawn_checkpoint_save;

struct dawn_checkpoint_save_opts {
    struct dawn_comm *comm; /* outlives the save */
    const char *dir;        /* made if missing */
    uint64_t step;
    int keep; /* older complete checkpoints are removed until so many are left,
                 this one among them; 0: none is removed. Only those count whose
                 files have their checksums, so some are read meanwhile. What is
                 damaged is not removed before so many newer ones are whole. */
    int tensors; /* of this rank; a name is on one rank only */
    const struct dawn_checkpoint_tensor *tensor;
    int strings; /* those of rank 0 are written */
    const struct dawn_checkpoint_string *string;
    /* or NULL: its settings, rank 0's, are written as strings "job.NAME", for
       dawn_checkpoint_next_change */
    const struct dawn_job *job;
};

/* Begin to write a checkpoint; a thread goes on with it. Collective, the same
 * dir, step and keep on all ranks. Until dawn_checkpoint_save_finish the
 * tensors' data must stay as they are; everything else in `opts` is copied.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (a bad name, dtype or shape, a name twice on
 * this rank), DAWN_E_IO, DAWN_E_NOMEM or DAWN_E_COMM, the same on all ranks.
 */
DAWN_API enum dawn_status dawn_checkpoint_save_begin(
    const struct dawn_checkpoint_save_opts *opts,
    struct dawn_checkpoint_save **save_p, struct dawn_error *err);

/* Has this rank's part been written, or failed to be, and has it read what it
 * must of older checkpoints? Then its data may change again. Not collective;
 * does not wait.
 */
DAWN_API bool dawn_checkpoint_save_written(
    const struct dawn_checkpoint_save *save);

/* Wait until all ranks have written, then make the checkpoint visible: it
 * replaces one of the same step. Frees `save`, also on failure; then nothing
 * is left of it, and earlier checkpoints are as they were. Collective.
 *
 * Returns DAWN_OK, DAWN_E_IO (a full disk, for one), DAWN_E_INVAL (a name on
 * two ranks), DAWN_E_NOMEM or DAWN_E_COMM, the same on all ranks.
 */
DAWN_API enum dawn_status dawn_checkpoint_save_finish(
    struct dawn_checkpoint_save *save, struct dawn_error *err);

/* Abandon a save instead of finishing it, on the way out. Waits for the thread
 * to stop. Takes NULL. Not collective. The next save removes what is left. */
DAWN_API void dawn_checkpoint_save_destroy(struct dawn_checkpoint_save *save);

/* The whole state of an executor: parameters, and AdamW's moments as
 * "NAME.adam_m" and "NAME.adam_v", wherever the plan keeps them. */
struct dawn_exec;

/* Save it, wait until it is on disk, and make it visible. Collective.
 *
 *   dir, step, keep  as in struct dawn_checkpoint_save_opts; step: how many are
 *                    done, from which dawn_exec_step goes on
 *
 * Returns as dawn_checkpoint_save_begin and dawn_checkpoint_save_finish.
 */
DAWN_API enum dawn_status dawn_exec_save(struct dawn_exec *exec,
                                         const char *dir, uint64_t step,
                                         int keep, struct dawn_error *err);

/* Take up the newest whole checkpoint of a folder, or the one at that path, that
 * an executor of the same parameters saved under any plan: steps then give the
 * same bits as if it had never stopped. Collective.
 *
 *   step_p  out, may be NULL: steps done
 *
 * Returns DAWN_OK, DAWN_E_IO (none is there, or it cannot be read),
 * DAWN_E_FORMAT (none is whole), DAWN_E_MISMATCH (other parameters),
 * DAWN_E_NOMEM or DAWN_E_COMM, the same on all ranks. On failure parameters may
 * be half of the checkpoint.
 */
DAWN_API enum dawn_status dawn_exec_load(struct dawn_exec *exec,
                                         const char *path, uint64_t *step_p,
                                         struct dawn_error *err);

/* dawn_checkpoint_save_begin of an executor's state beside what opts says; its
 * tensors are not used. copy: NULL, and the executor must not step before the
 * save is finished; or room for dawn_checkpoint_state_floats, where the state is
 * copied to: it may step at once. */
DAWN_API enum dawn_status dawn_checkpoint_save_exec(
    const struct dawn_checkpoint_save_opts *opts, struct dawn_exec *exec,
    float *copy, struct dawn_checkpoint_save **save_p, struct dawn_error *err);

/* Floats of this rank's state that are in memory. Not collective. */
DAWN_API int64_t dawn_checkpoint_state_floats(const struct dawn_exec *exec);

/* Reading */

struct dawn_checkpoint;

/* Open a checkpoint: `path` itself if it has a manifest, else the newest
 * complete one in it. One whose files are missing, too short, malformed or
 * differ from their checksums is passed over; see dawn_checkpoint_skipped. The
 * files are mapped, not copied.
 *
 *   comm  NULL, or: all ranks call, open the same one, and share the checking
 * out
 *
 * Returns DAWN_OK, DAWN_E_IO (no folder, no checkpoint in it), DAWN_E_FORMAT
 * (there are some, all broken), DAWN_E_NOMEM or DAWN_E_COMM.
 */
DAWN_API enum dawn_status dawn_checkpoint_open(struct dawn_comm *comm,
                                               const char *path,
                                               struct dawn_checkpoint **ck_p,
                                               struct dawn_error *err);
/* What tells a checkpoint from others, whatever their paths: xxh3 of the
 * manifest, which has the checksums of all its files; these are not read.
 *
 *   path  a checkpoint, or a folder of them, of which the newest counts
 *
 * Not collective. Returns DAWN_OK, DAWN_E_IO (no checkpoint) or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_checkpoint_digest(const char *path,
                                                 uint64_t *digest_p,
                                                 struct dawn_error *err);
/* Takes NULL. Not collective. */
DAWN_API void dawn_checkpoint_close(struct dawn_checkpoint *ck);

DAWN_API uint64_t dawn_checkpoint_step(const struct dawn_checkpoint *ck);
/* The folder that was opened. */
DAWN_API const char *dawn_checkpoint_path(const struct dawn_checkpoint *ck);
/* Why newer ones were passed over, and what is used; one line. NULL: none was.
 */
DAWN_API const char *dawn_checkpoint_skipped(const struct dawn_checkpoint *ck);
/* NULL: no such key */
DAWN_API const char *dawn_checkpoint_string(const struct dawn_checkpoint *ck,
                                            const char *key);

/* A setting of a job that a checkpoint was written under with another value. */
struct dawn_checkpoint_change {
    const char *then; /* its value in the checkpoint, and as long as that */
    struct dawn_job_setting now;
};

/* The first change from setting *number of the job on, and set *number to that
 * behind it; start with 0. False: there is none. Settings that the checkpoint
 * does not have, as those written before there were any, are no changes. Paths
 * are compared as they are written, whatever they hold. Thread-safe.
 */
DAWN_API bool dawn_checkpoint_next_change(
    const struct dawn_checkpoint *ck, const struct dawn_job *job, int *number,
    struct dawn_checkpoint_change *change);

/* "train: lr: 0.001 then, 0.01 now"; longer values are cut. */
DAWN_API void dawn_checkpoint_change_text(
    const struct dawn_checkpoint_change *change, char *text, size_t room);

/* How many changes there are of settings whose name begins with `prefix`, and
 * what they are, as one line that says so where not all have room in it.
 * room: at least 64 */
DAWN_API int dawn_checkpoint_changes(const struct dawn_checkpoint *ck,
                                     const struct dawn_job *job,
                                     const char *prefix, char *text,
                                     size_t room);

/* Tensors, in the manifest's order; NULL out of range or not there. Valid until
 * the checkpoint is closed. */
DAWN_API int dawn_checkpoint_tensors(const struct dawn_checkpoint *ck);
DAWN_API const struct dawn_checkpoint_tensor *dawn_checkpoint_tensor(
    const struct dawn_checkpoint *ck, int i);
DAWN_API const struct dawn_checkpoint_tensor *dawn_checkpoint_find(
    const struct dawn_checkpoint *ck, const char *name);

/* Does a checkpoint have the graph's parameters? Names and shapes decide, which
 * graphs that differ in dropout, say, have in common.
 *
 *   suffix  what is behind the parameters' names: "", or ".fisher", ".adam_m",
 *           ".adam_v", which parameters that are averages do not have
 *
 * Thread-safe. Returns DAWN_OK, or DAWN_E_MISMATCH with the name of a tensor:
 * it is missing, has another shape, is neither f32 nor bf16, or belongs to no
 * parameter of the graph, whatever of these suffixes it has.
 */
DAWN_API enum dawn_status dawn_checkpoint_suits(
    const struct dawn_checkpoint *ck, const struct dawn_graph *graph,
    const char *suffix, struct dawn_error *err);

/* Copy a tensor as f32; bf16 is widened. Thread-safe.
 *
 *   dims, shape  what it must have
 *   dst          out, that many elements; untouched on failure
 *
 * Returns DAWN_OK, or DAWN_E_MISMATCH: no such tensor, another shape, neither
 * f32 nor bf16.
 */
DAWN_API enum dawn_status dawn_checkpoint_read(const struct dawn_checkpoint *ck,
                                               const char *name, int dims,
                                               const int64_t *shape, float *dst,
                                               struct dawn_error *err);

struct dawn_checkpoint_part {
    const char *name;
    int dims; /* what the tensor must have */
    const int64_t *shape;
    int64_t first, count; /* elements */
    bool finite;          /* refuse NaN and infinity */
};

/* Likewise `count` elements from `first` on. DAWN_E_INVAL: it has not so many;
 * DAWN_E_FORMAT: one is not finite, and all must be (then dst has them).
 */
DAWN_API enum dawn_status dawn_checkpoint_read_part(
    const struct dawn_checkpoint *ck, const struct dawn_checkpoint_part *part,
    float *dst, struct dawn_error *err);

/* Other formats */

/* Copy a checkpoint's parameters into an executor, with AdamW's moments or
 * without; values that come without must be finite. Collective. Returns as
 * dawn_exec_load. */
DAWN_API enum dawn_status dawn_checkpoint_restore(
    const struct dawn_checkpoint *ck, struct dawn_exec *exec, bool moments,
    struct dawn_error *err);

/* Write the parameters of a GPT-2 as Hugging Face transformers stores them:
 * DIR/model.safetensors (f32) and DIR/config.json, each whole or not at all.
 * The tied head is not written twice. `dir` is made if missing.
 *
 * Returns DAWN_OK, DAWN_E_NOTSUP (another model), DAWN_E_MISMATCH (the
 * checkpoint is none of this model), DAWN_E_IO or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_checkpoint_export_hf(
    const struct dawn_checkpoint *ck, const struct dawn_model_opts *model,
    const char *dir, struct dawn_error *err);

/* The other way: a checkpoint of step 0 in `dir`, of parameters only, from
 * HF_DIR/model.safetensors (f32 or bf16) and HF_DIR/config.json.
 *
 * Returns DAWN_OK, DAWN_E_INVAL (`dir` has checkpoints), DAWN_E_NOTSUP (another
 * model; weights in several files or a pickle),
 * DAWN_E_MISMATCH (a size, shape or name differs from the model's),
 * DAWN_E_FORMAT (also a number that is not finite), DAWN_E_IO or DAWN_E_NOMEM.
 */
DAWN_API enum dawn_status dawn_checkpoint_import_hf(
    const char *hf_dir, const struct dawn_model_opts *model, const char *dir,
    struct dawn_error *err);

#ifdef __cplusplus
}
#endif

#endif
