/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: token files, in each format. */
#include "fuzz/fuzz.h"

#include <dawnpiper/data.h>

static void use(const char *path, const char *format, int64_t vocab)
{
    int32_t x[3 * 5], y[3 * 5];
    struct dawn_tokens_batch batch = {3, 5, x, y};
    struct dawn_tokens *tokens = NULL;
    struct dawn_error err;

    if (dawn_tokens_open(path, format, vocab, &tokens, &err))
        return;
    if (dawn_tokens_random(tokens, 1, 2, 3, &batch, &err) == DAWN_OK)
        for (int i = 0; i < 15; i++)
            if (x[i] >= vocab || y[i] >= vocab)
                abort();
    uint64_t windows = dawn_tokens_windows(tokens, 5);
    if (windows >= 3 &&
        dawn_tokens_sequential(tokens, windows - 3, &batch, &err))
        abort();
    dawn_tokens_close(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file input = fuzz_file_open(data, size);

    use(input.path, "bytes", 128);
    use(input.path, "uint16", 32768);
    use(input.path, "llmc", 50257);
    fuzz_file_close(&input);
    return 0;
}
