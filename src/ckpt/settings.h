/* SPDX-License-Identifier: Apache-2.0 */
/* A job's settings among a checkpoint's strings: "job.train.lr". */
#ifndef DAWNI_CKPT_SETTINGS_H
#define DAWNI_CKPT_SETTINGS_H

#include <dawnpiper/checkpoint.h>

/* Setting number 0 to dawn_job_settings() - 1 as a string whose key and value
 * the caller frees. A value that is no UTF-8 is written with escapes. False: no
 * memory; key and value are then NULL or to be freed, too. */
bool dawni_setting_string(const struct dawn_job *job, int number,
                          struct dawn_checkpoint_string *string);

#endif
