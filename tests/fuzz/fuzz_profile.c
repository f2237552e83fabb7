/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: profile.yaml. */
#include "fuzz/fuzz.h"

#include <dawnpiper/profile.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file file = fuzz_file_open(data, size);
    struct dawn_profile *profile = NULL;
    struct dawn_error err;

    if (dawn_profile_load(file.path, &profile, &err) == DAWN_OK)
        dawn_profile_digest(profile);
    dawn_profile_destroy(profile);
    fuzz_file_close(&file);
    return 0;
}
