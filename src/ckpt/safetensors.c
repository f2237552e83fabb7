/* SPDX-License-Identifier: Apache-2.0 */
/* What reading and writing of safetensors share. */
#include "ckpt/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const dtype_name[] = {
    [DAWN_F32] = "F32",
    [DAWN_BF16] = "BF16",
    [DAWN_I32] = "I32",
    [DAWN_U8] = "U8",
};
enum { DTYPES = sizeof dtype_name / sizeof *dtype_name };

const char *dawni_safetensors_dtype(enum dawn_dtype dtype)
{
    return (unsigned)dtype < DTYPES ? dtype_name[dtype] : NULL;
}

bool dawni_safetensors_dtype_of(const char *name, enum dawn_dtype *dtype_p)
{
    for (int i = 0; i < DTYPES; i++)
        if (dtype_name[i] && strcmp(dtype_name[i], name) == 0) {
            *dtype_p = (enum dawn_dtype)i;
            return true;
        }
    return false;
}

uint64_t dawni_safetensors_element(enum dawn_dtype dtype)
{
    return dtype == DAWNI_F16 ? 2 : dawn_dtype_bytes(dtype);
}

bool dawni_safetensors_bytes(const struct dawn_checkpoint_tensor *tensor,
                             uint64_t *bytes_p)
{
    uint64_t bytes = dawni_safetensors_element(tensor->dtype);
    bool fits = true;

    for (int i = 0; i < tensor->dims; i++) {
        if (tensor->shape[i] < 0)
            return false;
        if (__builtin_mul_overflow(bytes, (uint64_t)tensor->shape[i], &bytes))
            fits = false;
        if (tensor->shape[i] == 0) {
            bytes = 0;
            fits = true;
        }
    }
    *bytes_p = bytes;
    return fits && bytes <= INT64_MAX;
}

char *dawni_shape_text(int dims, const int64_t *shape,
                       char out[DAWNI_SHAPE_ROOM])
{
    int at = snprintf(out, DAWNI_SHAPE_ROOM, "[");

    for (int i = 0; i < dims && i < DAWN_MAX_DIMS; i++)
        at += snprintf(out + at, (size_t)(DAWNI_SHAPE_ROOM - at), "%s%" PRId64,
                       i ? "," : "", shape[i]);
    snprintf(out + at, (size_t)(DAWNI_SHAPE_ROOM - at), "]");
    return out;
}
