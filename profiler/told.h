/* SPDX-License-Identifier: Apache-2.0 */
/* What each rank was told beside its options: the job and files. It is
 * collected, then compared over all ranks.
 *
 *     struct told told = {0};
 *     told_job(&told, &job);
 *     told_file(&told, "--evaluate", path);
 *     st = told_compare(&told, &cli, &err);
 */
#ifndef PROFILER_TOLD_H
#define PROFILER_TOLD_H

#include "cli.h"
#include <dawnpiper/job.h>

struct told { /* {0}: empty */
    bool no_memory;
    int facts, room;
    struct dawn_comm_fact *fact; /* its texts are this struct's */
};

/* All of a job's settings; of files that it reads, what they hold. */
void told_job(struct told *told, const struct dawn_job *job);

/* What a file, or the newest checkpoint of a folder, holds, whatever its path.
 * One that cannot be read equals all that cannot. path: NULL or "": none was
 * given */
void told_file(struct told *told, const char *name, const char *path);

/* The digest of what was read from `path`; 0: it could not be used. */
void told_digest(struct told *told, const char *name, const char *path,
                 uint64_t digest);

/* Compare with rank 0's, and empty it. Collective. Returns DAWN_OK, or
 * DAWN_E_MISMATCH with a text that names all that differs, or another failure;
 * the same on all ranks. */
enum dawn_status told_compare(struct told *told, const struct cli *cli,
                              struct dawn_error *err);

#endif
