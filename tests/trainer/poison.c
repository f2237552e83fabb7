/* SPDX-License-Identifier: Apache-2.0 */
/* Copy a checkpoint, with one number that is none.
 * poison CHECKPOINT DIR TENSOR: the tensor's last element is NaN in the copy.
 */
#include <dawnpiper/checkpoint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kept[] = {"graph", "seed", "samples_per_step"};

enum { STRINGS = sizeof kept / sizeof *kept };

/* An f32 tensor with a NaN; NULL: it is none, or no memory. */
static float *poisoned(const struct dawn_checkpoint_tensor *t)
{
    size_t elements = 1;

    for (int i = 0; i < t->dims; i++)
        elements *= (size_t)t->shape[i];
    float *x = t->dtype == DAWN_F32 ? malloc(elements * sizeof *x) : NULL;
    if (!x)
        return NULL;
    memcpy(x, t->data, elements * sizeof *x);
    x[elements - 1] = NAN;
    return x;
}

static enum dawn_status save(const struct dawn_checkpoint *ck, const char *dir,
                             struct dawn_checkpoint_tensor *tensor,
                             struct dawn_error *err)
{
    struct dawn_checkpoint_string string[STRINGS];
    struct dawn_checkpoint_save *save = NULL;
    struct dawn_comm *alone = NULL;
    enum dawn_status st = dawn_comm_create_loopback(1, 1, &alone, err);

    for (int i = 0; i < STRINGS; i++)
        string[i] = (struct dawn_checkpoint_string){
            kept[i], dawn_checkpoint_string(ck, kept[i])};
    const struct dawn_checkpoint_save_opts opts = {
        .comm = alone,
        .dir = dir,
        .step = dawn_checkpoint_step(ck),
        .tensors = dawn_checkpoint_tensors(ck),
        .tensor = tensor,
        .strings = STRINGS,
        .string = string};
    if (!st && !(st = dawn_checkpoint_save_begin(&opts, &save, err)))
        st = dawn_checkpoint_save_finish(save, err);
    dawn_comm_destroy(alone);
    return st;
}

int main(int argc, char **argv)
{
    struct dawn_checkpoint *ck = NULL;
    struct dawn_checkpoint_tensor *tensor = NULL;
    struct dawn_error err = {DAWN_E_INVAL, "no such tensor"};
    float *x = NULL;
    int fine = argc == 4 && !dawn_checkpoint_open(NULL, argv[1], &ck, &err);
    int n = fine ? dawn_checkpoint_tensors(ck) : 0;

    tensor = calloc((size_t)n + 1, sizeof *tensor);
    for (int i = 0; tensor && i < n; i++) {
        tensor[i] = *dawn_checkpoint_tensor(ck, i);
        if (strcmp(tensor[i].name, argv[3]) == 0)
            tensor[i].data = x = poisoned(&tensor[i]);
    }
    fine = tensor && x && !save(ck, argv[2], tensor, &err);
    if (!fine)
        printf("%s\n", err.text);
    free(x);
    free(tensor);
    dawn_checkpoint_close(ck);
    return !fine;
}
