/* SPDX-License-Identifier: Apache-2.0 */
/* One checkpoint folder, opened. */
#ifndef DAWNI_CKPT_CHECKPOINT_H
#define DAWNI_CKPT_CHECKPOINT_H

#include "ckpt/manifest.h"
#include "common/namemap.h"

struct dawn_checkpoint {
    char *path;
    char *skipped;
    struct dawni_manifest *manifest;
    struct dawni_safetensors **file;              /* manifest->files */
    const struct dawn_checkpoint_tensor **tensor; /* manifest->tensors */
    struct dawni_namemap *names;
};

/* Which files' checksums to check: those whose number mod `of` is `part`; none
 * when of is 0. */
struct dawni_share {
    int part, of;
};

/* Open exactly this folder. Returns DAWN_OK, DAWN_E_IO, DAWN_E_FORMAT or
 * DAWN_E_NOMEM. */
enum dawn_status dawni_checkpoint_open_one(const char *path,
                                           struct dawni_share share,
                                           struct dawn_checkpoint **ck_p,
                                           struct dawn_error *err);

/* Are all `count` numbers of a part finite? DAWN_E_FORMAT: they are not; with
 * the path and the name of the tensor. */
enum dawn_status dawni_check_finite(const char *path,
                                    const struct dawn_checkpoint_part *part,
                                    const float *x, struct dawn_error *err);

#endif
