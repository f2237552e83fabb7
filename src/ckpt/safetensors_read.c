/* SPDX-License-Identifier: Apache-2.0 */
/* Reading safetensors: the file is mapped, its header checked in full. */
#include "ckpt/safetensors.h"
#include "common/array.h"
#include "common/bf16.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/namemap.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* of the format's own library */
#define HEADER_LIMIT UINT64_C(100000000)
#define TOO_MANY_DIMS (-1)

struct entry {
    struct dawn_checkpoint_tensor tensor;
    uint64_t from, to; /* behind the header */
};

struct dawni_safetensors {
    const char *path; /* while opening */
    const char *map;
    uint64_t bytes;
    json_t *header; /* holds the names */
    int tensors;
    struct entry *entry;
    struct dawni_namemap *names;
};

static enum dawn_status fail_format(const struct dawni_safetensors *file,
                                    const char *name, const char *why,
                                    struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_FORMAT, "%s: tensor %.200s: %s", file->path,
                     name, why);
}

static enum dawn_status map_file(struct dawni_safetensors *file,
                                 struct dawn_error *err)
{
    const void *map;
    enum dawn_status st = dawni_file_map(file->path, &map, &file->bytes, err);

    if (st)
        return st;
    file->map = map;
    if (file->bytes < 8)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: %" PRIu64 " bytes are no safetensors file",
                         file->path, file->bytes);
    return DAWN_OK;
}

static enum dawn_status parse_header(struct dawni_safetensors *file,
                                     uint64_t *data_at, struct dawn_error *err)
{
    uint64_t length = 0;
    json_error_t why;

    for (int i = 0; i < 8; i++)
        length |= (uint64_t)(unsigned char)file->map[i] << (8 * i);
    if (length > file->bytes - 8)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: header of %" PRIu64
                         " bytes in a file of %" PRIu64,
                         file->path, length, file->bytes);
    if (length > HEADER_LIMIT)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: header of %" PRIu64 " bytes, at most %" PRIu64
                         " are allowed",
                         file->path, length, HEADER_LIMIT);
    file->header =
        json_loadb(file->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &why);
    if (!file->header)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: header: %s", file->path,
                         why.text);
    if (!json_is_object(file->header))
        return dawn_fail(err, DAWN_E_FORMAT, "%s: header: not an object",
                         file->path);
    *data_at = 8 + length;
    return DAWN_OK;
}

static enum dawn_status read_shape(const struct dawni_safetensors *file,
                                   const json_t *shape,
                                   struct dawn_checkpoint_tensor *tensor,
                                   struct dawn_error *err)
{
    size_t dims = json_array_size(shape);

    if (!json_is_array(shape))
        return fail_format(file, tensor->name, "no shape", err);
    for (size_t i = 0; i < dims; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return fail_format(file, tensor->name, "bad shape", err);
        if (i < DAWN_MAX_DIMS)
            tensor->shape[i] = json_integer_value(extent);
    }
    tensor->dims = dims > DAWN_MAX_DIMS ? TOO_MANY_DIMS : (int)dims;
    return DAWN_OK;
}

static bool has_fault(const struct dawn_checkpoint_tensor *tensor)
{
    return tensor->dtype == DAWNI_NO_DTYPE || tensor->dims == TOO_MANY_DIMS;
}

static enum dawn_status read_entry(const struct dawni_safetensors *file,
                                   const json_t *about, struct entry *entry,
                                   struct dawn_error *err)
{
    struct dawn_checkpoint_tensor *tensor = &entry->tensor;
    const json_t *at = json_object_get(about, "data_offsets");
    const json_t *from = json_array_get(at, 0), *to = json_array_get(at, 1);
    const char *dtype = json_string_value(json_object_get(about, "dtype"));
    enum dawn_status st;
    uint64_t bytes;

    if (!dtype)
        return fail_format(file, tensor->name, "no dtype", err);
    if (strcmp(dtype, "F16") == 0)
        tensor->dtype = DAWNI_F16;
    else if (!dawni_safetensors_dtype_of(dtype, &tensor->dtype))
        tensor->dtype = DAWNI_NO_DTYPE;
    if ((st = read_shape(file, json_object_get(about, "shape"), tensor, err)))
        return st;
    if (json_array_size(at) != 2 || !json_is_integer(from) ||
        !json_is_integer(to) || json_integer_value(from) < 0 ||
        json_integer_value(to) < json_integer_value(from))
        return fail_format(file, tensor->name, "bad data_offsets", err);
    entry->from = (uint64_t)json_integer_value(from);
    entry->to = (uint64_t)json_integer_value(to);
    if (has_fault(tensor))
        return DAWN_OK;
    if (!dawni_safetensors_bytes(tensor, &bytes))
        return fail_format(file, tensor->name, "the shape overflows", err);
    if (bytes == entry->to - entry->from)
        return DAWN_OK;
    return dawn_fail(err, DAWN_E_FORMAT,
                     "%s: tensor %.200s: %" PRIu64
                     " bytes by its shape, %" PRIu64 " by its offsets",
                     file->path, tensor->name, bytes, entry->to - entry->from);
}

static enum dawn_status read_entries(struct dawni_safetensors *file,
                                     struct dawn_error *err)
{
    size_t count = json_object_size(file->header);
    enum dawn_status st;
    const char *name;
    json_t *about;

    if (count > INT32_MAX)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: %zu tensors", file->path,
                         count);
    file->entry = dawni_calloc((int64_t)count, sizeof *file->entry);
    if (!file->entry)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory for %zu tensors",
                         file->path, count);
    json_object_foreach(file->header, name, about)
    {
        if (strcmp(name, "__metadata__") == 0 && json_is_object(about))
            continue;
        struct entry *entry = &file->entry[file->tensors];
        entry->tensor.name = name;
        if ((st = read_entry(file, about, entry, err)))
            return st;
        file->tensors++;
    }
    return DAWN_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

/* No gap, no overlap, nothing behind the last one. */
static enum dawn_status place(struct dawni_safetensors *file, uint64_t data_at,
                              struct dawn_error *err)
{
    uint64_t end = 0, all = file->bytes - data_at;

    qsort(file->entry, (size_t)file->tensors, sizeof *file->entry, by_place);
    for (int i = 0; i < file->tensors; i++) {
        struct entry *entry = &file->entry[i];
        if (entry->from != end)
            return dawn_fail(err, DAWN_E_FORMAT,
                             "%s: tensor %.200s begins at "
                             "%" PRIu64 ", the one before ends at %" PRIu64,
                             file->path, entry->tensor.name, entry->from, end);
        end = entry->to;
        if (end > all)
            return dawn_fail(err, DAWN_E_FORMAT,
                             "%s: tensor %.200s ends at "
                             "%" PRIu64 ", the data at %" PRIu64,
                             file->path, entry->tensor.name, end, all);
        entry->tensor.data = file->map + data_at + entry->from;
    }
    if (end != all)
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: %" PRIu64 " bytes behind the "
                         "last tensor",
                         file->path, all - end);
    return DAWN_OK;
}

static enum dawn_status index_names(struct dawni_safetensors *file,
                                    struct dawn_error *err)
{
    file->names = dawni_namemap_create();
    for (int i = 0; file->names && i < file->tensors; i++)
        if (dawni_namemap_add(file->names, file->entry[i].tensor.name, i)) {
            dawni_namemap_destroy(file->names);
            file->names = NULL;
        }
    return file->names ? DAWN_OK
                       : dawn_fail(err, DAWN_E_NOMEM,
                                   "%s: no memory for %d "
                                   "names",
                                   file->path, file->tensors);
}

enum dawn_status dawni_safetensors_open(const char *path,
                                        struct dawni_safetensors **file_p,
                                        struct dawn_error *err)
{
    struct dawni_safetensors *file = calloc(1, sizeof *file);
    enum dawn_status st;
    uint64_t data_at;

    if (!file)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    file->path = path;
    if ((st = map_file(file, err)) ||
        (st = parse_header(file, &data_at, err)) ||
        (st = read_entries(file, err)) || (st = place(file, data_at, err)) ||
        (st = index_names(file, err)))
        goto fail;
    file->path = NULL;
    *file_p = file;
    return DAWN_OK;
fail:
    dawni_safetensors_close(file);
    return st;
}

void dawni_safetensors_close(struct dawni_safetensors *file)
{
    if (!file)
        return;
    dawni_namemap_destroy(file->names);
    free(file->entry);
    json_decref(file->header);
    dawni_file_unmap(file->map, file->bytes);
    free(file);
}

uint64_t dawni_safetensors_file_bytes(const struct dawni_safetensors *file)
{
    return file->bytes;
}

uint64_t dawni_safetensors_xxh3(const struct dawni_safetensors *file)
{
    return dawni_hash_of(file->map, (size_t)file->bytes);
}

int dawni_safetensors_tensors(const struct dawni_safetensors *file)
{
    return file->tensors;
}

const struct dawn_checkpoint_tensor *dawni_safetensors_tensor(
    const struct dawni_safetensors *file, int i)
{
    return i >= 0 && i < file->tensors ? &file->entry[i].tensor : NULL;
}

const struct dawn_checkpoint_tensor *dawni_safetensors_find(
    const struct dawni_safetensors *file, const char *name)
{
    return dawni_safetensors_tensor(file,
                                    dawni_namemap_find(file->names, name));
}

const char *dawni_safetensors_fault(const struct dawni_safetensors *file,
                                    const struct dawn_checkpoint_tensor *tensor,
                                    char text[DAWNI_FAULT_ROOM])
{
    const json_t *about = json_object_get(file->header, tensor->name);

    if (!has_fault(tensor))
        return NULL;
    if (tensor->dtype == DAWNI_NO_DTYPE)
        snprintf(text, DAWNI_FAULT_ROOM, "the dtype is %.40s",
                 json_string_value(json_object_get(about, "dtype")));
    else
        snprintf(text, DAWNI_FAULT_ROOM, "it has more than %d dims",
                 DAWN_MAX_DIMS);
    return text;
}

/* Half precision has 5 bits of exponent, from 2^-14 on; below are whole
 * multiples of 2^-24. All its numbers are numbers of f32. */
static float from_f16(uint16_t x)
{
    uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31;
    uint32_t fraction = (uint32_t)(x & 1023) << 13;

    if (exponent == 31)
        return dawni_bits_float(sign | 0x7f800000 | fraction);
    if (exponent)
        return dawni_bits_float(sign | (exponent + 112) << 23 | fraction);
    float small = (float)(x & 1023) * 0x1p-24f;
    return sign ? -small : small;
}

static void widen_f16(const unsigned char *from, int64_t count, float *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] =
            from_f16((uint16_t)(from[2 * i] | (unsigned)from[2 * i + 1] << 8));
}

static void widen_bf16(const unsigned char *from, int64_t count, float *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = dawni_from_bf16(
            (uint16_t)(from[2 * i] | (unsigned)from[2 * i + 1] << 8));
}

void dawni_safetensors_widen(const struct dawn_checkpoint_tensor *tensor,
                             int64_t first, int64_t count, float *to)
{
    const unsigned char *from = tensor->data; /* may be unaligned */

    if (!count)
        return;
    from += (uint64_t)first * dawni_safetensors_element(tensor->dtype);
    if (tensor->dtype == DAWN_BF16)
        widen_bf16(from, count, to);
    else if (tensor->dtype == DAWNI_F16)
        widen_f16(from, count, to);
    else
        memcpy(to, from, (size_t)count * sizeof *to);
}
