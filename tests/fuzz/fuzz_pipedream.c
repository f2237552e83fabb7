/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: PipeDream's and DAPPLE's graph.txt. What is read can be saved.
 */
#include "fuzz/fuzz.h"

#include <dawnpiper/import.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file file = fuzz_file_open(data, size);
    struct dawn_profile *profile = NULL;
    struct dawn_error err;

    if (dawn_import("pipedream", file.path, &profile, &err) == DAWN_OK &&
        (!dawn_profile_additive(profile) ||
         dawn_profile_save(profile, "/dev/null", &err)))
        abort();
    dawn_profile_destroy(profile);
    fuzz_file_close(&file);
    return 0;
}
