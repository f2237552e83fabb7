/* SPDX-License-Identifier: Apache-2.0 */
/* The safetensors format: 8 bytes with the length of a JSON header, the header,
 * the tensors one behind the other.
 *
 * What is read is checked in full: the header inside the file, names once, no
 * gap and no overlap, no byte left over; and of each tensor that somebody can
 * use the type and that its shape gives its bytes. Files of others have masks
 * and the like of types that we do not know: those tensors have a fault, which
 * whoever wants to use one asks for.
 */
#ifndef DAWNI_CKPT_SAFETENSORS_H
#define DAWNI_CKPT_SAFETENSORS_H

#include <dawnpiper/checkpoint.h>
#include <stdatomic.h>

/* Half precision, which files of others have and no tensor of a graph; and what
 * a tensor with a fault has. */
#define DAWNI_F16 ((enum dawn_dtype)64)
#define DAWNI_NO_DTYPE ((enum dawn_dtype)65)

/* The format's name of a dtype, NULL when it has none; and back. */
const char *dawni_safetensors_dtype(enum dawn_dtype dtype);
bool dawni_safetensors_dtype_of(const char *name, enum dawn_dtype *dtype_p);

/* Bytes of an element. */
uint64_t dawni_safetensors_element(enum dawn_dtype dtype);

/* Bytes of a tensor; false when an extent is negative or they overflow. */
bool dawni_safetensors_bytes(const struct dawn_checkpoint_tensor *tensor,
                             uint64_t *bytes_p);

/* "[2,3]" */
#define DAWNI_SHAPE_ROOM 160
char *dawni_shape_text(int dims, const int64_t *shape,
                       char out[DAWNI_SHAPE_ROOM]);

/* A file to be written: descriptions are copied, data are not. Names live as
 * long as the layout. Larger elements come first, so that each tensor is
 * aligned to its elements. */
struct dawni_safetensors_layout {
    char *header; /* padded to a multiple of 64 with its length */
    uint64_t header_bytes;
    int tensors;
    struct dawn_checkpoint_tensor *tensor; /* in the order of the file */
};

/* Returns DAWN_OK, DAWN_E_INVAL or DAWN_E_NOMEM. */
enum dawn_status dawni_safetensors_plan(
    const struct dawn_checkpoint_tensor *tensor, int tensors,
    struct dawni_safetensors_layout **layout_p, struct dawn_error *err);
void dawni_safetensors_layout_destroy(struct dawni_safetensors_layout *layout);

struct dawni_safetensors_written {
    uint64_t bytes, xxh3;
};

/* A file that is being written. */
struct dawni_safetensors_file;

/* Make a new file, and write all up to the last tensor that is not in memory;
 * those come first among their size. stop: when that becomes true, writing
 * stops early with DAWN_E_IO. What was written stays on failure. */
enum dawn_status dawni_safetensors_create(
    const struct dawni_safetensors_layout *layout, const char *path,
    atomic_bool *stop, struct dawni_safetensors_file **file_p,
    struct dawn_error *err);
/* Write the rest and sync. Frees `file`, also on failure. */
enum dawn_status dawni_safetensors_finish(
    struct dawni_safetensors_file *file,
    struct dawni_safetensors_written *written, struct dawn_error *err);

/* Both. */
enum dawn_status dawni_safetensors_write(
    const struct dawni_safetensors_layout *layout, const char *path,
    atomic_bool *stop, struct dawni_safetensors_written *written,
    struct dawn_error *err);

/* A file that is read: mapped. */
struct dawni_safetensors;

/* Returns DAWN_OK, DAWN_E_IO, DAWN_E_FORMAT or DAWN_E_NOMEM. */
enum dawn_status dawni_safetensors_open(const char *path,
                                        struct dawni_safetensors **file_p,
                                        struct dawn_error *err);
void dawni_safetensors_close(struct dawni_safetensors *file); /* takes NULL */

uint64_t dawni_safetensors_file_bytes(const struct dawni_safetensors *file);
/* Of all its bytes. */
uint64_t dawni_safetensors_xxh3(const struct dawni_safetensors *file);

/* In the order of the file; NULL when there is none. */
int dawni_safetensors_tensors(const struct dawni_safetensors *file);
const struct dawn_checkpoint_tensor *dawni_safetensors_tensor(
    const struct dawni_safetensors *file, int i);
const struct dawn_checkpoint_tensor *dawni_safetensors_find(
    const struct dawni_safetensors *file, const char *name);

/* Why a tensor of the file cannot be used, "the dtype is F8_E5M2"; NULL: it can
 * be. text: room for it. */
#define DAWNI_FAULT_ROOM 120
const char *dawni_safetensors_fault(const struct dawni_safetensors *file,
                                    const struct dawn_checkpoint_tensor *tensor,
                                    char text[DAWNI_FAULT_ROOM]);

/* Elements [first, first + count) of an f32, bf16 or f16 tensor, as f32. */
void dawni_safetensors_widen(const struct dawn_checkpoint_tensor *tensor,
                             int64_t first, int64_t count, float *to);

#endif
