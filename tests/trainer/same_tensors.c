/* SPDX-License-Identifier: Apache-2.0 */
/* Have two checkpoints the same tensors, bit for bit, in whatever files?
 * same_tensors CHECKPOINT CHECKPOINT: exit code 0 and their number, or 1.
 */
#include <dawnpiper/checkpoint.h>
#include <stdio.h>
#include <string.h>

static struct dawn_checkpoint *open_one(const char *path)
{
    struct dawn_checkpoint *ck = NULL;
    struct dawn_error err;

    if (dawn_checkpoint_open(NULL, path, &ck, &err))
        printf("%s\n", err.text);
    return ck;
}

static int same(const struct dawn_checkpoint_tensor *a,
                const struct dawn_checkpoint_tensor *b)
{
    size_t bytes = dawn_dtype_bytes(a->dtype);

    if (!b || a->dtype != b->dtype || a->dims != b->dims)
        return 0;
    for (int i = 0; i < a->dims; i++) {
        if (a->shape[i] != b->shape[i])
            return 0;
        bytes *= (size_t)a->shape[i];
    }
    return memcmp(a->data, b->data, bytes) == 0;
}

int main(int argc, char **argv)
{
    struct dawn_checkpoint *a = argc == 3 ? open_one(argv[1]) : NULL;
    struct dawn_checkpoint *b = argc == 3 ? open_one(argv[2]) : NULL;
    int n = a ? dawn_checkpoint_tensors(a) : 0, differ = !a || !b;

    if (!differ && n != dawn_checkpoint_tensors(b))
        differ = printf("%d tensors and %d\n", n, dawn_checkpoint_tensors(b));
    for (int i = 0; !differ && i < n; i++) {
        const struct dawn_checkpoint_tensor *t = dawn_checkpoint_tensor(a, i);
        if (!same(t, dawn_checkpoint_find(b, t->name)))
            differ = printf("%s differs\n", t->name);
    }
    if (!differ)
        printf("%d\n", n);
    dawn_checkpoint_close(a);
    dawn_checkpoint_close(b);
    return differ != 0;
}
