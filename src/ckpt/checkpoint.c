/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one checkpoint: manifest and files must agree. */
#include "ckpt/checkpoint.h"
#include "ckpt/folder.h"
#include "common/array.h"
#include "graph/graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAME_ROOM 256 /* bytes of a tensor's name with its suffix */

static enum dawn_status open_file(struct dawn_checkpoint *ck, int i,
                                  bool with_checksum, struct dawn_error *err)
{
    const struct dawni_manifest_file *about = &ck->manifest->file[i];
    char *path = dawni_path_join(ck->path, about->name);
    enum dawn_status st;
    uint64_t xxh3;

    if (!path)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", ck->path);
    if ((st = dawni_safetensors_open(path, &ck->file[i], err)))
        goto out;
    if (dawni_safetensors_file_bytes(ck->file[i]) != about->bytes) {
        st = dawn_fail(err, DAWN_E_FORMAT,
                       "%s: %" PRIu64 " bytes, the "
                       "manifest says %" PRIu64,
                       path, dawni_safetensors_file_bytes(ck->file[i]),
                       about->bytes);
        goto out;
    }
    if (!with_checksum)
        goto out;
    xxh3 = dawni_safetensors_xxh3(ck->file[i]);
    if (xxh3 != about->xxh3)
        st = dawn_fail(err, DAWN_E_FORMAT,
                       "%s: xxh3 %016" PRIx64 ", the "
                       "manifest says %016" PRIx64,
                       path, xxh3, about->xxh3);
out:
    free(path);
    return st;
}

static bool same_shape(const struct dawn_checkpoint_tensor *a, int dims,
                       const int64_t *shape)
{
    if (a->dims != dims)
        return false;
    for (int i = 0; i < dims; i++)
        if (a->shape[i] != shape[i])
            return false;
    return true;
}

static enum dawn_status index_tensor(struct dawn_checkpoint *ck, int i,
                                     struct dawn_error *err)
{
    const struct dawni_manifest_tensor *about = &ck->manifest->tensor[i];
    const char *file = ck->manifest->file[about->file].name;
    const char *name = about->about.name;
    const struct dawn_checkpoint_tensor *tensor =
        dawni_safetensors_find(ck->file[about->file], name);
    enum dawn_status st;

    if (!tensor || tensor->dtype != about->about.dtype ||
        !same_shape(tensor, about->about.dims, about->about.shape))
        return dawn_fail(err, DAWN_E_FORMAT,
                         "%s: tensor %.200s is not in %s "
                         "as the manifest says",
                         ck->path, name, file);
    ck->tensor[i] = tensor;
    st = dawni_namemap_add(ck->names, name, i);
    if (st == DAWN_E_INVAL)
        return dawn_fail(err, DAWN_E_FORMAT, "%s: tensor %.200s is there twice",
                         ck->path, name);
    return st ? dawn_fail(err, st, "%s: no memory", ck->path) : DAWN_OK;
}

static enum dawn_status load(struct dawn_checkpoint *ck,
                             struct dawni_share share, struct dawn_error *err)
{
    char *path = dawni_path_join(ck->path, DAWNI_MANIFEST);
    enum dawn_status st = DAWN_OK;

    if (!path)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", ck->path);
    st = dawni_manifest_read(path, &ck->manifest, err);
    free(path);
    if (st)
        return st;
    ck->file = dawni_calloc(ck->manifest->files, sizeof *ck->file);
    ck->tensor = dawni_calloc(ck->manifest->tensors, sizeof *ck->tensor);
    ck->names = dawni_namemap_create();
    if (!ck->file || !ck->tensor || !ck->names)
        return dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", ck->path);
    for (int i = 0; i < ck->manifest->files && !st; i++)
        st = open_file(ck, i, share.of && i % share.of == share.part, err);
    for (int i = 0; i < ck->manifest->tensors && !st; i++)
        st = index_tensor(ck, i, err);
    return st;
}

enum dawn_status dawni_checkpoint_open_one(const char *path,
                                           struct dawni_share share,
                                           struct dawn_checkpoint **ck_p,
                                           struct dawn_error *err)
{
    struct dawn_checkpoint *ck = calloc(1, sizeof *ck);
    enum dawn_status st;

    if (!ck || !(ck->path = strdup(path))) {
        st = dawn_fail(err, DAWN_E_NOMEM, "%s: no memory", path);
        goto fail;
    }
    if ((st = load(ck, share, err)))
        goto fail;
    *ck_p = ck;
    return DAWN_OK;
fail:
    dawn_checkpoint_close(ck);
    return st;
}

void dawn_checkpoint_close(struct dawn_checkpoint *ck)
{
    if (!ck)
        return;
    for (int i = 0; ck->file && i < ck->manifest->files; i++)
        dawni_safetensors_close(ck->file[i]);
    free(ck->file);
    free(ck->tensor);
    dawni_namemap_destroy(ck->names);
    dawni_manifest_destroy(ck->manifest);
    free(ck->skipped);
    free(ck->path);
    free(ck);
}

uint64_t dawn_checkpoint_step(const struct dawn_checkpoint *ck)
{
    return ck->manifest->step;
}

const char *dawn_checkpoint_path(const struct dawn_checkpoint *ck)
{
    return ck->path;
}

const char *dawn_checkpoint_skipped(const struct dawn_checkpoint *ck)
{
    return ck->skipped;
}

const char *dawn_checkpoint_string(const struct dawn_checkpoint *ck,
                                   const char *key)
{
    return json_string_value(json_object_get(ck->manifest->strings, key));
}

int dawn_checkpoint_tensors(const struct dawn_checkpoint *ck)
{
    return ck->manifest->tensors;
}

const struct dawn_checkpoint_tensor *dawn_checkpoint_tensor(
    const struct dawn_checkpoint *ck, int i)
{
    return i >= 0 && i < ck->manifest->tensors ? ck->tensor[i] : NULL;
}

const struct dawn_checkpoint_tensor *dawn_checkpoint_find(
    const struct dawn_checkpoint *ck, const char *name)
{
    return dawn_checkpoint_tensor(ck, dawni_namemap_find(ck->names, name));
}

enum dawn_status dawni_check_finite(const char *path,
                                    const struct dawn_checkpoint_part *part,
                                    const float *x, struct dawn_error *err)
{
    for (int64_t i = 0; i < part->count; i++)
        if (!isfinite(x[i]))
            return dawn_fail(err, DAWN_E_FORMAT,
                             "%s: tensor %.200s: element %lld is %g, must be "
                             "finite",
                             path, part->name, (long long)(part->first + i),
                             (double)x[i]);
    return DAWN_OK;
}

/* The tensor, if it is as wanted and can be read as f32. */
static enum dawn_status find_wanted(const struct dawn_checkpoint *ck,
                                    const struct dawn_checkpoint_part *part,
                                    const struct dawn_checkpoint_tensor **t_p,
                                    struct dawn_error *err)
{
    const char *name = part->name;
    const struct dawn_checkpoint_tensor *tensor =
        dawn_checkpoint_find(ck, name);
    char has[DAWNI_SHAPE_ROOM], wanted[DAWNI_SHAPE_ROOM];

    if (!tensor)
        return dawn_fail(err, DAWN_E_MISMATCH, "%s: no tensor %s", ck->path,
                         name);
    if (!same_shape(tensor, part->dims, part->shape))
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "%s: tensor %s has shape %s, "
                         "%s is wanted",
                         ck->path, name,
                         dawni_shape_text(tensor->dims, tensor->shape, has),
                         dawni_shape_text(part->dims, part->shape, wanted));
    if (tensor->dtype != DAWN_BF16 && tensor->dtype != DAWN_F32)
        return dawn_fail(err, DAWN_E_MISMATCH,
                         "%s: tensor %s is %s, f32 or "
                         "bf16 is wanted",
                         ck->path, name, dawn_dtype_name(tensor->dtype));
    *t_p = tensor;
    return DAWN_OK;
}

/* Suiting a graph */

/* Does a tensor belong to a parameter of the graph, as itself or with a suffix?
 */
static bool is_of_graph(const struct dawn_graph *graph, const char *tensor)
{
    static const char *const suffix[] = {"", ".fisher", ".adam_m", ".adam_v"};
    size_t bytes = strlen(tensor);
    char name[NAME_ROOM];

    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        size_t end = strlen(suffix[i]);
        if (end > bytes || bytes - end >= sizeof name ||
            strcmp(tensor + bytes - end, suffix[i]) != 0)
            continue;
        memcpy(name, tensor, bytes - end);
        name[bytes - end] = '\0';
        if (dawn_graph_find_param(graph, name) >= 0)
            return true;
    }
    return false;
}

enum dawn_status dawn_checkpoint_suits(const struct dawn_checkpoint *ck,
                                       const struct dawn_graph *graph,
                                       const char *suffix,
                                       struct dawn_error *err)
{
    const struct dawn_checkpoint_tensor *tensor;
    enum dawn_status st;
    char name[NAME_ROOM];

    for (int i = 0; i < graph->params; i++) {
        const struct dawni_param *p = &graph->param[i];
        const struct dawn_checkpoint_part part = {
            .name = name, .dims = p->desc.dims, .shape = p->desc.shape};
        if (!p->users || (p->desc.average > 0 && *suffix))
            continue;
        snprintf(name, sizeof name, "%s%s", p->desc.name, suffix);
        if ((st = find_wanted(ck, &part, &tensor, err)))
            return st;
    }
    for (int i = 0; i < dawn_checkpoint_tensors(ck); i++)
        if (!is_of_graph(graph, ck->tensor[i]->name))
            return dawn_fail(err, DAWN_E_MISMATCH,
                             "%s is of another model: this one has no "
                             "parameter for tensor %.200s",
                             ck->path, ck->tensor[i]->name);
    return DAWN_OK;
}

/* Copying */

static int64_t elements_of(const struct dawn_checkpoint_tensor *tensor)
{
    uint64_t bytes;

    dawni_safetensors_bytes(tensor, &bytes);
    return (int64_t)(bytes / dawn_dtype_bytes(tensor->dtype));
}

enum dawn_status dawn_checkpoint_read(const struct dawn_checkpoint *ck,
                                      const char *name, int dims,
                                      const int64_t *shape, float *dst,
                                      struct dawn_error *err)
{
    struct dawn_checkpoint_part all = {
        .name = name, .dims = dims, .shape = shape};
    const struct dawn_checkpoint_tensor *tensor;
    enum dawn_status st = find_wanted(ck, &all, &tensor, err);

    if (!st)
        dawni_safetensors_widen(tensor, 0, elements_of(tensor), dst);
    return st;
}

enum dawn_status dawn_checkpoint_read_part(
    const struct dawn_checkpoint *ck, const struct dawn_checkpoint_part *part,
    float *dst, struct dawn_error *err)
{
    const struct dawn_checkpoint_tensor *tensor;
    enum dawn_status st = find_wanted(ck, part, &tensor, err);

    if (st)
        return st;
    if (part->first < 0 || part->count < 0 ||
        part->first > elements_of(tensor) - part->count)
        return dawn_fail(err, DAWN_E_INVAL,
                         "%s: tensor %s: %lld elements from %lld on, it has "
                         "%lld",
                         ck->path, part->name, (long long)part->count,
                         (long long)part->first,
                         (long long)elements_of(tensor));
    dawni_safetensors_widen(tensor, part->first, part->count, dst);
    return part->finite ? dawni_check_finite(ck->path, part, dst, err)
                        : DAWN_OK;
}
