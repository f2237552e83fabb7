/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: job.yaml. */
#include "fuzz/fuzz.h"

#include <dawnpiper/job.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file file = fuzz_file_open(data, size);
    struct dawn_error err;
    struct dawn_job job;

    if (dawn_job_load(file.path, &job, &err) == DAWN_OK)
        dawn_job_lr(&job, 1);
    fuzz_file_close(&file);
    return 0;
}
