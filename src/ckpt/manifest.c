/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest, to JSON and back. */
#include "ckpt/manifest.h"
#include "common/array.h"
#include "common/file.h"
#include "common/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KIND "checkpoint/1"
#define LIMIT ((size_t)1 << 30)
#define MOST_STEPS ((int64_t)1 << 40) /* as job.yaml has */

/* Writing */

static json_t *shape_json(const struct dawn_checkpoint_tensor *tensor)
{
    json_t *shape = json_array();

    for (int i = 0; shape && i < tensor->dims; i++)
        if (json_array_append_new(shape, json_integer(tensor->shape[i]))) {
            json_decref(shape);
            return NULL;
        }
    return shape;
}

static json_t *tensors_json(const struct dawni_safetensors_layout *layout)
{
    json_t *tensors = json_array();

    for (int i = 0; tensors && i < layout->tensors; i++) {
        const struct dawn_checkpoint_tensor *tensor = &layout->tensor[i];
        json_t *about =
            json_pack("{s:s, s:s, s:o}", "name", tensor->name, "dtype",
                      dawni_safetensors_dtype(tensor->dtype), "shape",
                      shape_json(tensor));
        if (json_array_append_new(tensors, about)) {
            json_decref(tensors);
            return NULL;
        }
    }
    return tensors;
}

char *dawni_manifest_part(const char *name,
                          const struct dawni_safetensors_written *written,
                          const struct dawni_safetensors_layout *layout)
{
    char xxh3[17];

    snprintf(xxh3, sizeof xxh3, "%016" PRIx64, written->xxh3);
    json_t *part = json_pack("{s:{s:s, s:I, s:s}, s:o}", "file", "name", name,
                             "bytes", (json_int_t)written->bytes, "xxh3", xxh3,
                             "tensors", tensors_json(layout));
    char *text = part ? json_dumps(part, JSON_COMPACT) : NULL;
    json_decref(part);
    return text;
}

/* Add a part's tensors; seen: names so far, each with its file. */
static enum dawn_status join_tensors(json_t *tensors, json_t *seen,
                                     const json_t *part, int file,
                                     struct dawn_error *err)
{
    size_t i;
    json_t *tensor;

    json_array_foreach(json_object_get(part, "tensors"), i, tensor)
    {
        const char *name = json_string_value(json_object_get(tensor, "name"));
        const json_t *other = json_object_get(seen, name);
        if (other)
            return dawn_fail(err, DAWN_E_INVAL,
                             "tensor %s is on rank %d and "
                             "on rank %d",
                             name, (int)json_integer_value(other), file);
        if (json_object_set_new(seen, name, json_integer(file)) ||
            json_object_set_new(tensor, "file", json_integer(file)) ||
            json_array_append(tensors, tensor))
            return dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
    }
    return DAWN_OK;
}

static enum dawn_status join_parts(json_t *json, const char *const *part,
                                   int parts, struct dawn_error *err)
{
    json_t *files = json_object_get(json, "files");
    json_t *tensors = json_object_get(json, "tensors");
    json_t *seen = json_object();
    enum dawn_status st = DAWN_OK;

    for (int i = 0; i < parts && !st; i++) {
        json_t *one = json_loads(part[i], 0, NULL);
        if (!one || !seen ||
            json_array_append(files, json_object_get(one, "file")))
            st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
        else
            st = join_tensors(tensors, seen, one, i, err);
        json_decref(one);
    }
    json_decref(seen);
    return st;
}

static enum dawn_status add_strings(
    json_t *json, const struct dawn_checkpoint_save_opts *opts,
    struct dawn_error *err)
{
    json_t *strings = json_object_get(json, "strings");

    for (int i = 0; i < opts->strings; i++)
        if (json_object_set_new(strings, opts->string[i].key,
                                json_string(opts->string[i].value)))
            return dawn_fail(err, DAWN_E_INVAL,
                             "string %d (%.100s) is not "
                             "UTF-8",
                             i, opts->string[i].key);
    return DAWN_OK;
}

enum dawn_status dawni_manifest_join(
    const struct dawn_checkpoint_save_opts *opts, const char *const *part,
    int parts, char **text_p, struct dawn_error *err)
{
    json_t *json =
        json_pack("{s:s, s:I, s:{}, s:[], s:[]}", "dawn", KIND, "step",
                  (json_int_t)opts->step, "strings", "files", "tensors");
    enum dawn_status st = DAWN_OK;
    char *text = NULL;

    if (!json)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
    if ((st = add_strings(json, opts, err)) ||
        (st = join_parts(json, part, parts, err)))
        goto out;
    text = json_dumps(json, JSON_INDENT(1));
    if (text)
        *text_p = text;
    else
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for the manifest");
out:
    json_decref(json);
    return st;
}

/* Reading */

static bool is_from(const json_t *json, int64_t lo, int64_t hi)
{
    return json_is_integer(json) && json_integer_value(json) >= lo &&
           json_integer_value(json) <= hi;
}

/* Returns the key that is missing or out of its range, NULL when all is read.
 */
static const char *read_file(const json_t *json,
                             struct dawni_manifest_file *file)
{
    const char *xxh3 = json_string_value(json_object_get(json, "xxh3"));
    const json_t *bytes = json_object_get(json, "bytes");

    file->name = json_string_value(json_object_get(json, "name"));
    if (!file->name || !*file->name || *file->name == '.' ||
        strchr(file->name, '/'))
        return "name";
    if (!is_from(bytes, 0, INT64_MAX))
        return "bytes";
    file->bytes = (uint64_t)json_integer_value(bytes);
    if (!xxh3 || strlen(xxh3) != 16 || strspn(xxh3, "0123456789abcdef") != 16 ||
        sscanf(xxh3, "%16" SCNx64, &file->xxh3) != 1)
        return "xxh3";
    return NULL;
}

/* Returns what read_file does. */
static const char *read_tensor(const json_t *json, int files,
                               struct dawni_manifest_tensor *tensor)
{
    const char *dtype = json_string_value(json_object_get(json, "dtype"));
    const json_t *shape = json_object_get(json, "shape");
    const json_t *file = json_object_get(json, "file");
    size_t dims = json_array_size(shape);

    tensor->about.name = json_string_value(json_object_get(json, "name"));
    if (!tensor->about.name)
        return "name";
    if (!dtype || !dawni_safetensors_dtype_of(dtype, &tensor->about.dtype))
        return "dtype";
    if (!json_is_array(shape) || dims > DAWN_MAX_DIMS)
        return "shape";
    tensor->about.dims = (int)dims;
    for (size_t i = 0; i < dims; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!is_from(extent, 0, INT64_MAX))
            return "shape";
        tensor->about.shape[i] = json_integer_value(extent);
    }
    if (!is_from(file, 0, files - 1))
        return "file";
    tensor->file = (int)json_integer_value(file);
    return NULL;
}

static enum dawn_status read_head(struct dawni_manifest *manifest,
                                  const char *path, struct dawn_error *err)
{
    const json_t *json = manifest->json;
    const char *kind = json_string_value(json_object_get(json, "dawn"));
    const json_t *step = json_object_get(json, "step");
    const char *key;
    json_t *value;

    if (!kind || strcmp(kind, KIND) != 0)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: not a \"dawn\": \"" KIND "\"",
                         path);
    if (!is_from(step, 0, MOST_STEPS))
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: key 'step': expected an integer from 0 to "
                         "%" PRId64,
                         path, MOST_STEPS);
    manifest->step = (uint64_t)json_integer_value(step);
    manifest->strings = json_object_get(json, "strings");
    if (!json_is_object(manifest->strings))
        return dawn_fail(err, DAWN_E_FORMAT, "%s: no strings", path);
    json_object_foreach(manifest->strings, key, value) if (
        !json_is_string(value)) return dawn_fail(err, DAWN_E_FORMAT,
                                                 "%s: string %.200s is none",
                                                 path, key);
    return DAWN_OK;
}

static enum dawn_status read_body(struct dawni_manifest *manifest,
                                  const char *path, struct dawn_error *err)
{
    const json_t *files = json_object_get(manifest->json, "files");
    const json_t *tensors = json_object_get(manifest->json, "tensors");
    size_t file_count = json_array_size(files);
    size_t tensor_count = json_array_size(tensors);
    const char *bad;

    if (!file_count || file_count > INT32_MAX || !json_is_array(tensors) ||
        tensor_count > INT32_MAX)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: no files or no tensors",
                         path);
    manifest->file = calloc(file_count, sizeof *manifest->file);
    manifest->tensor =
        dawni_calloc((int64_t)tensor_count, sizeof *manifest->tensor);
    if (!manifest->file || !manifest->tensor)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    manifest->files = (int)file_count;
    manifest->tensors = (int)tensor_count;
    for (int i = 0; i < manifest->files; i++)
        if ((bad = read_file(json_array_get(files, (size_t)i),
                             &manifest->file[i])))
            return dawn_fail(err, DAWN_E_FORMAT,
                             "%s: file %d: key '%s' is missing or wrong", path,
                             i, bad);
    for (int i = 0; i < manifest->tensors; i++)
        if ((bad = read_tensor(json_array_get(tensors, (size_t)i),
                               manifest->files, &manifest->tensor[i])))
            return dawn_fail(err, DAWN_E_FORMAT,
                             "%s: tensor %d: key '%s' is missing or wrong",
                             path, i, bad);
    return DAWN_OK;
}

enum dawn_status dawni_manifest_read(const char *path,
                                     struct dawni_manifest **manifest_p,
                                     struct dawn_error *err)
{
    struct dawni_manifest *manifest = NULL;
    enum dawn_status st;
    json_error_t why;
    char *text = NULL;
    size_t bytes;

    if ((st = dawni_file_read(path, LIMIT, &text, &bytes, err)))
        return st;
    manifest = calloc(1, sizeof *manifest);
    if (!manifest) {
        st = dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
        goto fail;
    }
    manifest->json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!manifest->json) {
        st = dawn_fail(err, DAWN_E_FORMAT, "%s:%d: %s", path, why.line,
                       why.text);
        goto fail;
    }
    if ((st = read_head(manifest, path, err)) ||
        (st = read_body(manifest, path, err)))
        goto fail;
    free(text);
    *manifest_p = manifest;
    return DAWN_OK;
fail:
    free(text);
    dawni_manifest_destroy(manifest);
    return st;
}

enum dawn_status dawni_manifest_digest(const char *path, uint64_t *digest_p,
                                       struct dawn_error *err)
{
    char *text;
    size_t bytes;
    enum dawn_status st = dawni_file_read(path, LIMIT, &text, &bytes, err);

    if (st)
        return st;
    *digest_p = dawni_hash_of(text, bytes);
    free(text);
    return DAWN_OK;
}

void dawni_manifest_destroy(struct dawni_manifest *manifest)
{
    if (!manifest)
        return;
    free(manifest->tensor);
    free(manifest->file);
    json_decref(manifest->json);
    free(manifest);
}
