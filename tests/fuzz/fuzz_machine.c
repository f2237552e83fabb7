/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: machine.yaml. */
#include "fuzz/fuzz.h"

#include <dawnpiper/machine.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file file = fuzz_file_open(data, size);
    struct dawn_machine *machine = NULL;
    struct dawn_error err;

    dawn_machine_load(file.path, &machine, &err);
    dawn_machine_destroy(machine);
    fuzz_file_close(&file);
    return 0;
}
