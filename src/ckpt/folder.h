/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of all checkpoints, and those in it. */
#ifndef DAWNI_CKPT_FOLDER_H
#define DAWNI_CKPT_FOLDER_H

#include <dawnpiper/status.h>
#include <stdint.h>

/* Paths are malloc'ed; NULL: no memory. */
char *dawni_path_join(const char *dir, const char *name);
char *dawni_path_of_step(const char *dir, uint64_t step);
char *dawni_path_of_temp(const char *dir, uint64_t step);

/* Make a folder and those above it. DAWN_OK when it is there already, or
 * DAWN_E_IO, DAWN_E_NOMEM. */
enum dawn_status dawni_folder_make(const char *path, struct dawn_error *err);

/* Remove a folder and the files in it, as far as possible. */
void dawni_folder_remove(const char *path);

/* Remove what broken-off saves left. */
void dawni_folder_clean(const char *dir);

enum dawn_status dawni_folder_sync(const char *path, struct dawn_error *err);

/* Give `temp` the name `path`; what had it before is removed. */
enum dawn_status dawni_folder_publish(const char *temp, const char *path,
                                      struct dawn_error *err);

/* Steps that have a folder, descending. The caller frees *step_p. Returns
 * DAWN_OK, DAWN_E_IO (`dir` cannot be read) or DAWN_E_NOMEM. */
enum dawn_status dawni_folder_steps(const char *dir, uint64_t **step_p,
                                    int *steps_p, struct dawn_error *err);

#endif
