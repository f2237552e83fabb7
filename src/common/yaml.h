/* SPDX-License-Identifier: Apache-2.0 */
/* YAML in: a small tree in which every node knows its line, and tables that say
 * which keys a mapping may have and where their values go.
 *
 * A subset of YAML: no anchors, aliases, tags or second documents. Keys are
 * scalars and stand once. Limits: 64 MiB, 32 levels, 4 million nodes.
 * Failures read "FILE:LINE: key 'x': expected ..., found ...".
 */
#ifndef DAWNI_COMMON_YAML_H
#define DAWNI_COMMON_YAML_H

#include "common/ranges.h"

#include <dawnpiper/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dawni_yaml_doc;

enum dawni_yaml_kind { DAWNI_YAML_SCALAR, DAWNI_YAML_LIST, DAWNI_YAML_MAP };

struct dawni_yaml {
    enum dawni_yaml_kind kind;
    int line;
    int items;                       /* children */
    const char *key;                 /* in a mapping, else NULL */
    const char *text;                /* of a scalar */
    struct dawni_yaml *first;        /* child */
    struct dawni_yaml *next;         /* sibling */
    const struct dawni_yaml *parent; /* NULL: the root */
    const struct dawni_yaml_doc *doc;
};

/* Parse `bytes` of text; `name` stands for the file in errors.
 * Returns DAWN_OK, DAWN_E_FORMAT or DAWN_E_NOMEM.
 */
enum dawn_status dawni_yaml_parse(const char *name, const char *text,
                                  size_t bytes, struct dawni_yaml_doc **doc_p,
                                  struct dawn_error *err);
/* Read a file and parse it; DAWN_E_IO too. */
enum dawn_status dawni_yaml_load(const char *path,
                                 struct dawni_yaml_doc **doc_p,
                                 struct dawn_error *err);
void dawni_yaml_destroy(struct dawni_yaml_doc *doc); /* takes NULL */
const struct dawni_yaml *dawni_yaml_root(const struct dawni_yaml_doc *doc);

/* Child of a mapping by key, NULL when absent. */
const struct dawni_yaml *dawni_yaml_get(const struct dawni_yaml *map,
                                        const char *key);

/* Fail with "FILE:LINE: text", the line being the node's. */
enum dawn_status dawni_yaml_fail(const struct dawni_yaml *node,
                                 enum dawn_status status,
                                 struct dawn_error *err, const char *format,
                                 ...) DAWN_PRINTF(4, 5);
/* Fail with "FILE:LINE: key 'x': expected WANTED, found ...". */
enum dawn_status dawni_yaml_expected(const struct dawni_yaml *node,
                                     const char *wanted,
                                     struct dawn_error *err);

/* One value. *x is untouched on failure. */
enum dawn_status dawni_yaml_int(const struct dawni_yaml *node, int64_t lo,
                                int64_t hi, int64_t *x, struct dawn_error *err);
enum dawn_status dawni_yaml_u64(const struct dawni_yaml *node, uint64_t *x,
                                struct dawn_error *err);
/* Bytes, lo..hi, both >= 0: an integer, perhaps with kB, MB, GB, TB (1000s),
 * KiB, MiB, GiB or TiB (1024s) behind it; with a suffix also a fraction,
 * "1.5GiB". */
enum dawn_status dawni_yaml_size(const struct dawni_yaml *node, int64_t lo,
                                 int64_t hi, uint64_t *x,
                                 struct dawn_error *err);
/* Finite, lo <= x <= hi. */
enum dawn_status dawni_yaml_double(const struct dawni_yaml *node, double lo,
                                   double hi, double *x,
                                   struct dawn_error *err);
enum dawn_status dawni_yaml_bool(const struct dawni_yaml *node, bool *x,
                                 struct dawn_error *err);
/* "xxh3:" and 16 hexadecimal digits */
enum dawn_status dawni_yaml_digest(const struct dawni_yaml *node, uint64_t *x,
                                   struct dawn_error *err);
/* Index of the scalar in a list of words that ends in NULL. */
enum dawn_status dawni_yaml_choice(const struct dawni_yaml *node,
                                   const char *const *choices, int *x,
                                   struct dawn_error *err);
/* Copy a scalar into out[room]. */
enum dawn_status dawni_yaml_string(const struct dawni_yaml *node, char *out,
                                   size_t room, struct dawn_error *err);

enum dawni_yaml_type {
    DAWNI_YAML_INT,    /* int, ilo..ihi */
    DAWNI_YAML_I64,    /* int64_t, ilo..ihi */
    DAWNI_YAML_U64,    /* uint64_t */
    DAWNI_YAML_SIZE,   /* uint64_t, bytes, ilo..ihi; ihi 0: DAWNI_MOST_BYTES */
    DAWNI_YAML_DOUBLE, /* double, lo..hi */
    DAWNI_YAML_BOOL,   /* bool */
    DAWNI_YAML_DIGEST, /* uint64_t */
    DAWNI_YAML_CHOICE, /* int, index in choices */
    DAWNI_YAML_WORD,   /* char[room], one of choices */
    DAWNI_YAML_STRING, /* char[room] */
    DAWNI_YAML_PATH,   /* char[room], a file or folder that is read */
    DAWNI_YAML_TEXT,   /* const char *, lives as long as the document */
    DAWNI_YAML_A_LIST, /* const struct dawni_yaml * */
    DAWNI_YAML_A_MAP,  /* const struct dawni_yaml * */
    DAWNI_YAML_A_NODE, /* the same, whatever it is */
};

/* A key that a mapping may have, and the member that its value goes to. */
struct dawni_yaml_field {
    const char *key;
    enum dawni_yaml_type type;
    size_t offset;
    bool required;
    size_t room;
    int64_t ilo, ihi;
    double lo, hi;
    const char *const *choices;
};

/* A row of such a table: DAWNI_YAML_FIELD(struct job, "lr", DOUBLE, lr, .hi =
 * 1).
 */
#define DAWNI_YAML_FIELD(of, name, kind, member, ...)                          \
    {                                                                          \
        .key = (name), .type = DAWNI_YAML_##kind,                              \
        .offset = offsetof(of, member), .room = sizeof(((of *)0)->member),     \
        __VA_ARGS__                                                            \
    }

/* Read a mapping into *out by a table of `fields` fields. Members whose keys
 * are absent stay as they are. Fails on an unknown key, naming the nearest
 * known one, and on an absent required key.
 */
enum dawn_status dawni_yaml_read(const struct dawni_yaml *map,
                                 const struct dawni_yaml_field *field,
                                 int fields, void *out, struct dawn_error *err);

/* The root must be a mapping whose key `dawn` is `kind` ("plan/1"). */
enum dawn_status dawni_yaml_check_kind(const struct dawni_yaml_doc *doc,
                                       const char *kind,
                                       struct dawn_error *err);

#endif
