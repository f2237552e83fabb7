/* SPDX-License-Identifier: Apache-2.0 */
/* The safetensors format: what is written is read, what is malformed is refused
 * with the reason. */
#include "ckpt/safetensors.h"
#include "common/hash.h"
#include "tap.h"

#include <math.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "safetensors-XXXXXX";

static void put_file(const void *head, size_t head_bytes, size_t data_bytes)
{
    FILE *file = fopen(path, "wb");

    fwrite(head, 1, head_bytes, file);
    for (size_t i = 0; i < data_bytes; i++)
        fputc((int)i, file);
    fclose(file);
}

/* A file with that header and so many bytes of data. */
static void put_header(const char *header, size_t data_bytes)
{
    char head[4096] = {0};
    size_t length = strlen(header);

    for (int i = 0; i < 8; i++)
        head[i] = (char)(length >> (8 * i));
    memcpy(head + 8, header, length);
    put_file(head, 8 + length, data_bytes);
}

#define T(name, dtype, shape, from, to)                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape                   \
    ",\"data_offsets\":[" from "," to "]}"

static const struct {
    const char *claim, *header;
    size_t data_bytes;
    const char *text;
} malformed[] = {
    {"no JSON", "{\"a\":", 0, "header: "},
    {"an array", "[]", 0, "not an object"},
    {"bytes behind the JSON", "{} x", 0, "header: "},
    {"a name twice",
     "{" T("a", "U8", "[1]", "0", "1") "," T("a", "U8", "[1]", "1", "2") "}", 2,
     "duplicate"},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype"},
    {"a tensor that is no object", "{\"a\":3}", 0, "tensor a"},
    {"metadata that are no object", "{\"__metadata__\":3}", 0, "__metadata__"},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1,
     "no shape"},
    {"a negative extent", "{" T("a", "U8", "[-1]", "0", "1") "}", 1,
     "bad shape"},
    {"an extent that is no integer", "{" T("a", "U8", "[1.5]", "0", "1") "}", 1,
     "bad shape"},
    {"a shape that overflows",
     "{" T("a", "F32", "[4294967296,4294967296]", "0", "4") "}", 4,
     "overflows"},
    {"fewer bytes than the shape has", "{" T("a", "F32", "[2]", "0", "4") "}",
     4, "8 bytes by its shape, 4 by its offsets"},
    {"offsets the wrong way round", "{" T("a", "U8", "[1]", "1", "0") "}", 1,
     "bad data_offsets"},
    {"a negative offset", "{" T("a", "U8", "[1]", "-1", "0") "}", 1,
     "bad data_offsets"},
    {"three offsets",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1,
     "bad data_offsets"},
    {"offsets beyond the end", "{" T("a", "U8", "[9]", "0", "9") "}", 8,
     "ends at 9, the data at 8"},
    {"a gap",
     "{" T("a", "U8", "[1]", "0", "1") "," T("b", "U8", "[1]", "2", "3") "}", 3,
     "tensor b begins at 2, the one before ends at 1"},
    {"an overlap",
     "{" T("a", "U8", "[2]", "0", "2") "," T("b", "U8", "[2]", "1", "3") "}", 3,
     "tensor b begins at 1, the one before ends at 2"},
    {"bytes behind the last tensor", "{" T("a", "U8", "[1]", "0", "1") "}", 3,
     "2 bytes behind the last tensor"},
    {"bytes and no tensor", "{}", 1, "1 bytes behind"},
};

static void is_refused(const char *claim, const char *text)
{
    struct dawni_safetensors *file = NULL;
    struct dawn_error err = {DAWN_OK, ""};
    enum dawn_status st = dawni_safetensors_open(path, &file, &err);

    ok(st == DAWN_E_FORMAT && strstr(err.text, text) &&
           strstr(err.text, path) && !file,
       "%s: refused: %s", claim, err.text);
}

static void test_malformed(void)
{
    const char longer[] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    const char longest[] = {-1, -1, -1, -1, -1, -1, -1, -1, '{', '}'};

    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        put_header(malformed[i].header, malformed[i].data_bytes);
        is_refused(malformed[i].claim, malformed[i].text);
    }
    put_file("", 0, 0);
    is_refused("an empty file", "0 bytes are no safetensors file");
    put_file("\0\0\0", 3, 0);
    is_refused("three bytes", "3 bytes are no safetensors file");
    put_file(longer, sizeof longer, 0);
    is_refused("a header beyond the end", "header of 9 bytes in a file of 10");
    put_file(longest, sizeof longest, 0);
    is_refused("a header of 2^64-1 bytes", "header of 18446744073709551615");
}

/* Masks and the like of dtypes that we do not know, and half precision. */
static void test_of_others(void)
{
    static const uint16_t half[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400,
                                    0x8001, 0x3555, 0x7c00, 0x03ff};
    static const float wanted[] = {1,
                                   -2,
                                   65504,
                                   0x1p-24f,
                                   0x1p-14f,
                                   -0x1p-24f,
                                   1365 * 0x1p-12f,
                                   INFINITY,
                                   1023 * 0x1p-24f};
    struct dawni_safetensors *file = NULL;
    char fault[DAWNI_FAULT_ROOM];
    float got[9] = {0};

    put_header("{" T("w", "F16", "[9]", "0", "18") "," T(
                   "mask", "BOOL", "[1,1,2,2]", "18",
                   "22") "," T("f8", "F8_E5M2", "[1]", "22",
                               "23") ","
                                     "\"many\":{\"dtype\":\"F32\",\"shape\":"
                                     "[1,1,1,1,1,1,1,1,1,1,1,1],\"data_"
                                     "offsets\":[23,27]}}",
               27);
    FILE *out = fopen(path, "r+");
    fseek(out, -27, SEEK_END);
    fwrite(half, sizeof half, 1, out);
    fclose(out);
    struct dawn_error err = {0};
    if (!ok(!dawni_safetensors_open(path, &file, &err),
            "a file with half precision, a mask and more is read %s", err.text))
        return;
    const struct dawn_checkpoint_tensor *w = dawni_safetensors_find(file, "w");
    ok(w && !dawni_safetensors_fault(file, w, fault), "numbers can be used");
    dawni_safetensors_widen(w, 0, 9, got);
    for (int i = 0; i < 9; i++)
        ok(got[i] == wanted[i], "half precision %04x is %g, wanted %g", half[i],
           got[i], wanted[i]);
    dawni_safetensors_widen(w, 2, 1, got);
    ok(got[0] == 65504, "from any element on");
    is_str(dawni_safetensors_fault(file, dawni_safetensors_find(file, "mask"),
                                   fault),
           "the dtype is BOOL", "whoever wants a mask is told its dtype");
    is_str(dawni_safetensors_fault(file, dawni_safetensors_find(file, "f8"),
                                   fault),
           "the dtype is F8_E5M2", "likewise");
    ok(dawni_safetensors_fault(file, dawni_safetensors_find(file, "many"),
                               fault) &&
           strstr(fault, "it has more than"),
       "or that there are too many dims");
    dawni_safetensors_close(file);
}

static void test_foreign(void)
{
    struct dawni_safetensors *file = NULL;

    put_header("{\"__metadata__\":{\"format\":\"pt\"}," T(
                   "b", "BF16", "[3]", "4",
                   "10") "," T("a", "F32", "[]", "0", "4") "," T("none", "F32",
                                                                 "[0,5]", "10",
                                                                 "10") "}   ",
               10);
    if (!ok(!dawni_safetensors_open(path, &file, NULL),
            "a file with metadata, a scalar, an empty tensor and padding"))
        return;
    is_int(dawni_safetensors_tensors(file), 3, "it has three tensors");
    const struct dawn_checkpoint_tensor *b = dawni_safetensors_find(file, "b");
    ok(b && b->dtype == DAWN_BF16 && b->dims == 1 && b->shape[0] == 3 &&
           *(const unsigned char *)b->data == 4,
       "b is where its offset says");
    ok(!dawni_safetensors_find(file, "c"), "c is not there");
    dawni_safetensors_close(file);
}

enum { COUNT = 700000 }; /* more than a piece */
static float big[COUNT];

static enum dawn_status give(void *user, uint64_t at, uint64_t bytes,
                             void *into, struct dawn_error *err)
{
    uint64_t *given = user;
    if (at != *given || bytes > DAWN_CHECKPOINT_PIECE)
        return dawn_fail(err, DAWN_E_INVAL, "%llu bytes from %llu on",
                         (unsigned long long)bytes, (unsigned long long)at);
    memcpy(into, (const char *)big + at, bytes);
    *given += bytes;
    return DAWN_OK;
}

static enum dawn_status give_nothing(void *user, uint64_t at, uint64_t bytes,
                                     void *into, struct dawn_error *err)
{
    (void)user;
    (void)into;
    return dawn_fail(err, DAWN_E_IO, "%llu bytes from %llu on: gone",
                     (unsigned long long)bytes, (unsigned long long)at);
}

static void test_not_given(void)
{
    struct dawn_checkpoint_tensor tensor = {"away", DAWN_F32,     1,   {COUNT},
                                            NULL,   give_nothing, NULL};
    struct dawni_safetensors_layout *layout = NULL;
    struct dawni_safetensors_file *out = NULL;
    struct dawn_error err = {0};
    atomic_bool stop = false;

    dawni_safetensors_plan(&tensor, 1, &layout, NULL);
    unlink(path);
    is_int(dawni_safetensors_create(layout, path, &stop, &out, &err), DAWN_E_IO,
           "a tensor that cannot be had: %s", err.text);
    ok(!out && strstr(err.text, "gone"), "the text is its own");
    dawni_safetensors_layout_destroy(layout);
}

static void test_round_trip(void)
{
    uint64_t given = 0;
    float x[6] = {1, -2, 3, 4, 5, 6e-40f}, scalar = 7;
    uint16_t half[3] = {0x3f80, 0xc000, 1};
    struct dawn_checkpoint_tensor tensor[] = {
        {"half", DAWN_BF16, 1, {3}, half, NULL, NULL},
        {"x", DAWN_F32, 2, {2, 3}, x, NULL, NULL},
        {"scalar \"quoted\" \xc3\xa9", DAWN_F32, 0, {0}, &scalar, NULL, NULL},
        {"none", DAWN_F32, 2, {0, 4}, NULL, NULL, NULL},
        {"away", DAWN_F32, 1, {COUNT}, NULL, give, &given},
    };
    struct dawni_safetensors_layout *layout = NULL;
    struct dawni_safetensors_file *out = NULL;
    struct dawni_safetensors_written written;
    struct dawni_safetensors *file = NULL;
    atomic_bool stop = false;

    for (int i = 0; i < COUNT; i++)
        big[i] = (float)i;
    is_int(dawni_safetensors_plan(tensor, 5, &layout, NULL), DAWN_OK,
           "five tensors are laid out");
    unlink(path);
    is_int(dawni_safetensors_create(layout, path, &stop, &out, NULL), DAWN_OK,
           "a file is made");
    ok(!tensor[4].data && given == sizeof big,
       "what is not in memory is asked for at once");
    is_int(dawni_safetensors_finish(out, &written, NULL), DAWN_OK,
           "and the rest written");
    tensor[4].data = big;
    is_int(dawni_safetensors_create(layout, path, &stop, &out, NULL), DAWN_E_IO,
           "a file that is there is not written over");
    is_int(dawni_safetensors_open(path, &file, NULL), DAWN_OK, "and read");
    is_u64(dawni_safetensors_file_bytes(file), written.bytes, "all bytes");
    is_u64(dawni_safetensors_xxh3(file), written.xxh3, "the same checksum");
    for (int i = 0; i < 5; i++) {
        const struct dawn_checkpoint_tensor *got =
            dawni_safetensors_find(file, tensor[i].name);
        uint64_t bytes = 0;
        dawni_safetensors_bytes(&tensor[i], &bytes);
        ok(got && got->dtype == tensor[i].dtype &&
               got->dims == tensor[i].dims &&
               (!bytes || !memcmp(got->data, tensor[i].data, bytes)),
           "%s has its dtype, dims and bits", tensor[i].name);
        ok((uintptr_t)got->data % dawn_dtype_bytes(got->dtype) == 0,
           "%s is aligned", tensor[i].name);
    }
    dawni_safetensors_close(file);
    dawni_safetensors_layout_destroy(layout);
}

static void test_bad_tensors(void)
{
    float x[1] = {0};
    static const struct {
        const char *claim, *name;
        int dtype, dims;
        int64_t extent;
    } bad[] = {
        {"no name", "", DAWN_F32, 1, 1},
        {"a name that the format uses", "__metadata__", DAWN_F32, 1, 1},
        {"a name that is not UTF-8", "\xff", DAWN_F32, 1, 1},
        {"an unknown dtype", "x", 99, 1, 1},
        {"negative dims", "x", DAWN_F32, -1, 1},
        {"too many dims", "x", DAWN_F32, DAWN_MAX_DIMS + 1, 1},
        {"a negative extent", "x", DAWN_F32, 1, -1},
        {"2^63 bytes", "x", DAWN_F32, 1, INT64_C(1) << 61},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dawn_checkpoint_tensor tensor = {
            .name = bad[i].name,
            .dtype = (enum dawn_dtype)bad[i].dtype,
            .dims = bad[i].dims,
            .shape = {bad[i].extent},
            .data = x,
        };
        struct dawni_safetensors_layout *layout = NULL;
        is_int(dawni_safetensors_plan(&tensor, 1, &layout, NULL), DAWN_E_INVAL,
               "%s is refused", bad[i].claim);
    }
    struct dawn_checkpoint_tensor twice[2] = {
        {"x", DAWN_F32, 1, {1}, x, NULL, NULL},
        {"x", DAWN_F32, 1, {1}, x, NULL, NULL}};
    struct dawni_safetensors_layout *layout = NULL;
    is_int(dawni_safetensors_plan(twice, 2, &layout, NULL), DAWN_E_INVAL,
           "a name twice is refused");
}

static void test_no_file(void)
{
    struct dawni_safetensors *file = NULL;

    unlink(path);
    is_int(dawni_safetensors_open(path, &file, NULL), DAWN_E_IO,
           "a missing file");
    is_int(dawni_safetensors_open(".", &file, NULL), DAWN_E_IO, "a folder");
}

int main(void)
{
    plan_lazy();
    close(mkstemp(path));
    test_malformed();
    test_foreign();
    test_of_others();
    test_round_trip();
    test_not_given();
    test_bad_tensors();
    test_no_file();
    return done_testing();
}
