/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a safetensors file. Every tensor that it has must be readable.
 */
#include "ckpt/safetensors.h"
#include "fuzz/fuzz.h"

static volatile unsigned sum;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file input = fuzz_file_open(data, size);
    struct dawni_safetensors *file = NULL;
    struct dawn_error err;

    if (dawni_safetensors_open(input.path, &file, &err) == DAWN_OK)
        for (int i = 0; i < dawni_safetensors_tensors(file); i++) {
            const struct dawn_checkpoint_tensor *tensor =
                dawni_safetensors_tensor(file, i);
            uint64_t bytes = 0;
            if (dawni_safetensors_find(file, tensor->name) != tensor ||
                !dawni_safetensors_bytes(tensor, &bytes))
                abort();
            for (uint64_t j = 0; j < bytes; j++)
                sum += ((const uint8_t *)tensor->data)[j];
        }
    dawni_safetensors_close(file);
    fuzz_file_close(&input);
    return 0;
}
