/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a checkpoint's manifest.json. */
#include "ckpt/manifest.h"
#include "fuzz/fuzz.h"

#include <string.h>

static volatile size_t sum;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file input = fuzz_file_open(data, size);
    struct dawni_manifest *manifest = NULL;
    struct dawn_error err;

    if (dawni_manifest_read(input.path, &manifest, &err) == DAWN_OK) {
        for (int i = 0; i < manifest->files; i++)
            sum += strlen(manifest->file[i].name);
        for (int i = 0; i < manifest->tensors; i++) {
            if (manifest->tensor[i].file >= manifest->files)
                abort();
            sum += strlen(manifest->tensor[i].about.name);
        }
    }
    dawni_manifest_destroy(manifest);
    fuzz_file_close(&input);
    return 0;
}
