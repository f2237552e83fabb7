/* SPDX-License-Identifier: Apache-2.0 */
/* Writing safetensors: the header is made first, the data are streamed. */
#include "ckpt/safetensors.h"
#include "common/array.h"
#include "common/file.h"
#include "common/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 8 << 20, ALIGN = 64 };

/* The header */

static enum dawn_status check(const struct dawn_checkpoint_tensor *tensor,
                              struct dawn_error *err)
{
    uint64_t bytes;

    if (!tensor->name || !*tensor->name ||
        strcmp(tensor->name, "__metadata__") == 0)
        return dawn_fail(err, DAWN_E_INVAL, "a tensor may not be named \"%s\"",
                         tensor->name ? tensor->name : "");
    if (!dawni_safetensors_dtype(tensor->dtype))
        return dawn_fail(err, DAWN_E_INVAL, "tensor %s: dtype %d", tensor->name,
                         (int)tensor->dtype);
    if (tensor->dims < 0 || tensor->dims > DAWN_MAX_DIMS)
        return dawn_fail(err, DAWN_E_INVAL,
                         "tensor %s: %d dims, must be 0 to "
                         "%d",
                         tensor->name, tensor->dims, DAWN_MAX_DIMS);
    if (!dawni_safetensors_bytes(tensor, &bytes))
        return dawn_fail(err, DAWN_E_INVAL, "tensor %s: bad shape",
                         tensor->name);
    if (bytes && !tensor->data && !tensor->fill)
        return dawn_fail(err, DAWN_E_INVAL, "tensor %s: no data", tensor->name);
    return DAWN_OK;
}

/* NULL: no memory */
static json_t *describe(const struct dawn_checkpoint_tensor *tensor,
                        uint64_t from, uint64_t to)
{
    json_t *shape = json_array();
    bool fine = shape != NULL;

    for (int i = 0; i < tensor->dims; i++)
        fine = fine &&
               !json_array_append_new(shape, json_integer(tensor->shape[i]));
    if (!fine) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype",
                     dawni_safetensors_dtype(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)from, (json_int_t)to);
}

static enum dawn_status add(json_t *header,
                            const struct dawn_checkpoint_tensor *tensor,
                            uint64_t *at, struct dawn_error *err)
{
    uint64_t bytes, end;

    if (json_object_get(header, tensor->name))
        return dawn_fail(err, DAWN_E_INVAL, "tensor %s is there twice",
                         tensor->name);
    dawni_safetensors_bytes(tensor, &bytes);
    if (__builtin_add_overflow(*at, bytes, &end) || end > INT64_MAX)
        return dawn_fail(err, DAWN_E_INVAL, "tensor %s: more than 2^63 bytes",
                         tensor->name);
    json_t *about = describe(tensor, *at, end);
    if (!about)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for tensor %s",
                         tensor->name);
    if (json_object_set_new(header, tensor->name, about))
        return dawn_fail(err, DAWN_E_INVAL, "tensor %s: the name is not UTF-8",
                         tensor->name);
    *at = end;
    return DAWN_OK;
}

/* Text and its length before it, padded with spaces. */
static enum dawn_status fill_header(struct dawni_safetensors_layout *layout,
                                    const json_t *json, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;
    char *text = json_dumps(json, JSON_COMPACT);
    size_t length = text ? strlen(text) : 0;
    size_t bytes = (8 + length + ALIGN - 1) / ALIGN * ALIGN;

    layout->header = malloc(bytes);
    layout->header_bytes = bytes;
    if (!text || !layout->header) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for %zu bytes of header",
                       bytes);
    } else {
        for (int i = 0; i < 8; i++)
            layout->header[i] = (char)((bytes - 8) >> (8 * i));
        memcpy(layout->header + 8, text, length);
        memset(layout->header + 8 + length, ' ', bytes - 8 - length);
    }
    free(text);
    return st;
}

/* Copy the descriptions, larger elements first, of those what is not in memory,
 * otherwise in order. */
static enum dawn_status copy(struct dawni_safetensors_layout *layout,
                             const struct dawn_checkpoint_tensor *tensor,
                             int tensors, struct dawn_error *err)
{
    layout->tensor = dawni_calloc(tensors, sizeof *layout->tensor);
    if (!layout->tensor)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for %d tensors",
                         tensors);
    for (size_t rank = 2 * 8; rank > 0; rank--)
        for (int i = 0; i < tensors; i++) {
            if (2 * dawn_dtype_bytes(tensor[i].dtype) - !tensor[i].fill != rank)
                continue;
            layout->tensor[layout->tensors] = tensor[i];
            char *name = tensor[i].name ? strdup(tensor[i].name) : NULL;
            layout->tensor[layout->tensors].name = name;
            if (!name && tensor[i].name)
                return dawn_fail(err, DAWN_E_NOMEM, "no memory for tensor %s",
                                 tensor[i].name);
            layout->tensors++;
        }
    return DAWN_OK;
}

enum dawn_status dawni_safetensors_plan(
    const struct dawn_checkpoint_tensor *tensor, int tensors,
    struct dawni_safetensors_layout **layout_p, struct dawn_error *err)
{
    struct dawni_safetensors_layout *layout = calloc(1, sizeof *layout);
    /* what other readers want to know */
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    enum dawn_status st = DAWN_OK;
    uint64_t at = 0;

    if (!layout || !header) {
        st = dawn_fail(err, DAWN_E_NOMEM, "no memory for a header");
        goto fail;
    }
    for (int i = 0; i < tensors; i++)
        if ((st = check(&tensor[i], err)))
            goto fail;
    if ((st = copy(layout, tensor, tensors, err)))
        goto fail;
    for (int i = 0; i < layout->tensors; i++)
        if ((st = add(header, &layout->tensor[i], &at, err)))
            goto fail;
    if ((st = fill_header(layout, header, err)))
        goto fail;
    json_decref(header);
    *layout_p = layout;
    return DAWN_OK;
fail:
    json_decref(header);
    dawni_safetensors_layout_destroy(layout);
    return st;
}

void dawni_safetensors_layout_destroy(struct dawni_safetensors_layout *layout)
{
    if (!layout)
        return;
    for (int i = 0; i < layout->tensors; i++)
        free((char *)(uintptr_t)layout->tensor[i].name);
    free(layout->tensor);
    free(layout->header);
    free(layout);
}

/* The file */

struct dawni_safetensors_file {
    const struct dawni_safetensors_layout *layout;
    int next; /* tensor to be written */
    int fd;
    const char *path;
    atomic_bool *stop;
    uint64_t bytes;
    struct dawni_hash hash;
};

static enum dawn_status fail_write(const struct dawni_safetensors_file *file,
                                   const char *reason, struct dawn_error *err)
{
    return dawn_fail(err, DAWN_E_IO,
                     "%s: cannot write after %" PRIu64 " bytes: %s", file->path,
                     file->bytes, reason);
}

static enum dawn_status put(struct dawni_safetensors_file *file,
                            const void *data, uint64_t bytes,
                            struct dawn_error *err)
{
    const char *from = data;

    while (bytes) {
        size_t piece = bytes < PIECE ? (size_t)bytes : PIECE;
        if (atomic_load(file->stop))
            return fail_write(file, "abandoned", err);
        ssize_t n = write(file->fd, from, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_write(file, strerrordesc_np(errno), err);
        dawni_hash_add(&file->hash, from, (size_t)n);
        file->bytes += (uint64_t)n;
        from += n;
        bytes -= (uint64_t)n;
    }
    return DAWN_OK;
}

static enum dawn_status put_filled(struct dawni_safetensors_file *file,
                                   const struct dawn_checkpoint_tensor *tensor,
                                   uint64_t bytes, struct dawn_error *err)
{
    char *piece = malloc(DAWN_CHECKPOINT_PIECE);
    enum dawn_status st = DAWN_OK;

    if (!piece)
        return dawn_fail(err, DAWN_E_NOMEM, "no memory for tensor %s",
                         tensor->name);
    for (uint64_t at = 0, n; at < bytes && !st; at += n) {
        n = bytes - at;
        if (n > DAWN_CHECKPOINT_PIECE)
            n = DAWN_CHECKPOINT_PIECE;
        st = tensor->fill(tensor->user, at, n, piece, err);
        if (!st)
            st = put(file, piece, n, err);
    }
    free(piece);
    return st;
}

/* All tensors before number `end`. */
static enum dawn_status put_tensors(struct dawni_safetensors_file *file,
                                    int end, struct dawn_error *err)
{
    enum dawn_status st = DAWN_OK;

    for (; file->next < end && !st; file->next++) {
        const struct dawn_checkpoint_tensor *t =
            &file->layout->tensor[file->next];
        uint64_t bytes = 0;
        dawni_safetensors_bytes(t, &bytes);
        st = t->fill ? put_filled(file, t, bytes, err)
                     : put(file, t->data, bytes, err);
    }
    return st;
}

enum dawn_status dawni_safetensors_create(
    const struct dawni_safetensors_layout *layout, const char *path,
    atomic_bool *stop, struct dawni_safetensors_file **file_p,
    struct dawn_error *err)
{
    struct dawni_safetensors_file *file = calloc(1, sizeof *file);
    enum dawn_status st;
    int filled = layout->tensors;

    if (!file)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
    *file = (struct dawni_safetensors_file){
        .layout = layout, .path = path, .stop = stop};
    file->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        free(file);
        return dawni_file_fail(path, "create", err);
    }
    dawni_hash_init(&file->hash);
    while (filled && !layout->tensor[filled - 1].fill)
        filled--;
    st = put(file, layout->header, layout->header_bytes, err);
    if (!st)
        st = put_tensors(file, filled, err);
    if (st) {
        close(file->fd);
        free(file);
        return st;
    }
    *file_p = file;
    return DAWN_OK;
}

enum dawn_status dawni_safetensors_finish(
    struct dawni_safetensors_file *file,
    struct dawni_safetensors_written *written, struct dawn_error *err)
{
    enum dawn_status st = put_tensors(file, file->layout->tensors, err);

    if (!st && fsync(file->fd))
        st = fail_write(file, strerrordesc_np(errno), err);
    if (close(file->fd) && !st)
        st = fail_write(file, strerrordesc_np(errno), err);
    if (!st) {
        written->bytes = file->bytes;
        written->xxh3 = dawni_hash_end(&file->hash);
    }
    free(file);
    return st;
}

enum dawn_status dawni_safetensors_write(
    const struct dawni_safetensors_layout *layout, const char *path,
    atomic_bool *stop, struct dawni_safetensors_written *written,
    struct dawn_error *err)
{
    struct dawni_safetensors_file *file;
    enum dawn_status st =
        dawni_safetensors_create(layout, path, stop, &file, err);

    return st ? st : dawni_safetensors_finish(file, written, err);
}
