/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.json: what a checkpoint has and in which file.
 *
 *     {"dawn": "checkpoint/1", "step": 100,
 *      "strings": {"seed": "1"},
 *      "files": [{"name": "rank-0.safetensors", "bytes": 4096,
 *                 "xxh3": "0123456789abcdef"}],
 *      "tensors": [{"name": "wte", "dtype": "F32", "shape": [256, 64],
 *                   "file": 0}]}
 */
#ifndef DAWNI_CKPT_MANIFEST_H
#define DAWNI_CKPT_MANIFEST_H

#include "ckpt/safetensors.h"

#include <jansson.h>

#define DAWNI_MANIFEST "manifest.json"

struct dawni_manifest_file {
    const char *name; /* no folder in it */
    uint64_t bytes, xxh3;
};

struct dawni_manifest_tensor {
    struct dawn_checkpoint_tensor about; /* without data */
    int file;
};

struct dawni_manifest {
    json_t *json; /* holds all strings */
    uint64_t step;
    json_t *strings; /* object of strings, in `json` */
    int files, tensors;
    struct dawni_manifest_file *file;
    struct dawni_manifest_tensor *tensor;
};

/* What one rank adds: its file and the tensors in it, as JSON text that the
 * caller frees. NULL: no memory. */
char *dawni_manifest_part(const char *name,
                          const struct dawni_safetensors_written *written,
                          const struct dawni_safetensors_layout *layout);

/* Join the parts of all ranks to the manifest's text, which the caller frees.
 * Returns DAWN_OK, DAWN_E_INVAL (a tensor on two ranks, a string that is not
 * UTF-8) or DAWN_E_NOMEM. */
enum dawn_status dawni_manifest_join(
    const struct dawn_checkpoint_save_opts *opts, const char *const *part,
    int parts, char **text_p, struct dawn_error *err);

/* Returns DAWN_OK, DAWN_E_IO, DAWN_E_FORMAT ("FILE:LINE: ..." where there is a
 * line) or DAWN_E_NOMEM. */
enum dawn_status dawni_manifest_read(const char *path,
                                     struct dawni_manifest **manifest_p,
                                     struct dawn_error *err);
/* xxh3 of the file's bytes. Returns DAWN_OK, DAWN_E_IO or DAWN_E_NOMEM. */
enum dawn_status dawni_manifest_digest(const char *path, uint64_t *digest_p,
                                       struct dawn_error *err);
void dawni_manifest_destroy(struct dawni_manifest *manifest); /* takes NULL */

#endif
