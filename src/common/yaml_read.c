/* SPDX-License-Identifier: Apache-2.0 */
/* From a tree to values. */
#include "common/text.h"
#include "common/yaml.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Errors */

/* The key under which a node stands; of an item, that of its list. */
static const char *key_of(const struct dawni_yaml *node)
{
    while (node && !node->key)
        node = node->parent;
    return node ? node->key : NULL;
}

enum dawn_status dawni_yaml_expected(const struct dawni_yaml *node,
                                     const char *wanted, struct dawn_error *err)
{
    static const char *const kind[] = {"", "a list", "a mapping"};
    const char *key = key_of(node);
    char found[64];

    if (node->kind != DAWNI_YAML_SCALAR)
        snprintf(found, sizeof found, "%s", kind[node->kind]);
    else if (!*node->text)
        snprintf(found, sizeof found, "nothing");
    else
        snprintf(found, sizeof found, "'%.40s%s'", node->text,
                 strlen(node->text) > 40 ? "..." : "");
    if (!key)
        return dawni_yaml_fail(node, DAWN_E_FORMAT, err,
                               "expected %s, found %s", wanted, found);
    return dawni_yaml_fail(node, DAWN_E_FORMAT, err,
                           "key '%.100s': expected %s, found %s", key, wanted,
                           found);
}

static enum dawn_status expectedf(const struct dawni_yaml *node,
                                  struct dawn_error *err, const char *format,
                                  ...) DAWN_PRINTF(3, 4);

static enum dawn_status expectedf(const struct dawni_yaml *node,
                                  struct dawn_error *err, const char *format,
                                  ...)
{
    char wanted[300];
    va_list args;

    va_start(args, format);
    vsnprintf(wanted, sizeof wanted, format, args);
    va_end(args);
    return dawni_yaml_expected(node, wanted, err);
}

/* Numbers */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The text of a scalar that begins like a number; NULL otherwise. */
static const char *number_text(const struct dawni_yaml *node)
{
    const char *s = node->kind == DAWNI_YAML_SCALAR ? node->text : "";
    const char *digits = s + (*s == '-' || *s == '+');

    return is_digit(*digits) || (*digits == '.' && is_digit(digits[1])) ? s
                                                                        : NULL;
}

enum dawn_status dawni_yaml_int(const struct dawni_yaml *node, int64_t lo,
                                int64_t hi, int64_t *x, struct dawn_error *err)
{
    const char *s = number_text(node);
    char *end;

    errno = 0;
    long long value = s ? strtoll(s, &end, 10) : 0;
    if (s && !errno && !*end && value >= lo && value <= hi) {
        *x = value;
        return DAWN_OK;
    }
    if (lo == hi)
        return expectedf(node, err, "the integer %" PRId64, lo);
    if (hi == INT64_MAX)
        return expectedf(node, err, "an integer >= %" PRId64, lo);
    return expectedf(node, err, "an integer from %" PRId64 " to %" PRId64, lo,
                     hi);
}

enum dawn_status dawni_yaml_u64(const struct dawni_yaml *node, uint64_t *x,
                                struct dawn_error *err)
{
    const char *s = number_text(node);
    char *end;

    errno = 0;
    unsigned long long value = s && *s != '-' ? strtoull(s, &end, 10) : 0;
    if (!s || *s == '-' || errno || *end)
        return expectedf(node, err, "an integer from 0 to %" PRIu64,
                         UINT64_MAX);
    *x = value;
    return DAWN_OK;
}

/* The factor of a suffix, 0 when it is none. */
static double unit_of(const char *suffix)
{
    static const struct {
        const char *name;
        double bytes;
    } unit[] = {{"", 1},         {"B", 1},        {"kB", 1e3},    {"KB", 1e3},
                {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},   {"KiB", 1024},
                {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};

    while (*suffix == ' ')
        suffix++;
    for (int i = 0; i < COUNT(unit); i++)
        if (!strcmp(suffix, unit[i].name))
            return unit[i].bytes;
    return 0;
}

/* Bytes of a text that begins like a number >= 0; false: it is no size. */
static bool parse_size(const char *s, double *bytes_p, uint64_t *x)
{
    char *end, *point;

    errno = 0;
    *x = strtoull(s, &end, 10);
    *bytes_p = (double)*x;
    if (!errno && !*end)
        return true;
    double value = dawni_double_parse(s, &point), unit = unit_of(point);
    *bytes_p = value * unit;
    if (*bytes_p < 0x1p63)
        *x = (uint64_t)llrint(*bytes_p);
    return unit > 0 && (unit > 1 || point == end);
}

enum dawn_status dawni_yaml_size(const struct dawni_yaml *node, int64_t lo,
                                 int64_t hi, uint64_t *x,
                                 struct dawn_error *err)
{
    const char *s = number_text(node);
    uint64_t value = 0;
    double bytes = 0; /* also where `value` has no room for it */

    if (!s || *s == '-' || strpbrk(s, "xX") || !parse_size(s, &bytes, &value))
        return dawni_yaml_expected(
            node, "a size such as 1048576, 600MiB or 1.5GB", err);
    if (bytes < 0x1p63 && value >= (uint64_t)lo && value <= (uint64_t)hi) {
        *x = value;
        return DAWN_OK;
    }
    return expectedf(node, err, "a size from %" PRId64 " to %" PRId64 " bytes",
                     lo, hi);
}

enum dawn_status dawni_yaml_double(const struct dawni_yaml *node, double lo,
                                   double hi, double *x, struct dawn_error *err)
{
    char a[DAWNI_DOUBLE_ROOM], b[DAWNI_DOUBLE_ROOM];
    const char *s = number_text(node);
    char *end = NULL;

    if (s && !strpbrk(s, "xX")) {
        double value = dawni_double_parse(s, &end);
        if (!*end && isfinite(value) && value >= lo && value <= hi) {
            *x = value;
            return DAWN_OK;
        }
    }
    return expectedf(node, err, "a number from %s to %s",
                     dawni_double_text(lo, a), dawni_double_text(hi, b));
}

/* Other values */

enum dawn_status dawni_yaml_bool(const struct dawni_yaml *node, bool *x,
                                 struct dawn_error *err)
{
    const char *s = node->kind == DAWNI_YAML_SCALAR ? node->text : "";

    if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
        return dawni_yaml_expected(node, "true or false", err);
    *x = *s == 't';
    return DAWN_OK;
}

enum dawn_status dawni_yaml_digest(const struct dawni_yaml *node, uint64_t *x,
                                   struct dawn_error *err)
{
    const char *s = node->kind == DAWNI_YAML_SCALAR ? node->text : "";

    if (strlen(s) != 21 || strncmp(s, "xxh3:", 5) != 0 ||
        strspn(s + 5, "0123456789abcdef") != 16)
        return dawni_yaml_expected(node, "xxh3: and 16 hexadecimal digits",
                                   err);
    *x = strtoull(s + 5, NULL, 16);
    return DAWN_OK;
}

enum dawn_status dawni_yaml_choice(const struct dawni_yaml *node,
                                   const char *const *choices, int *x,
                                   struct dawn_error *err)
{
    const char *s = node->kind == DAWNI_YAML_SCALAR ? node->text : "";
    char wanted[200] = "";
    size_t at = 0;

    for (int i = 0; choices[i]; i++) {
        if (!strcmp(s, choices[i])) {
            *x = i;
            return DAWN_OK;
        }
        if (at < sizeof wanted)
            at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%s%s",
                                   !i               ? ""
                                   : choices[i + 1] ? ", "
                                                    : " or ",
                                   choices[i]);
    }
    return dawni_yaml_expected(node, wanted, err);
}

enum dawn_status dawni_yaml_string(const struct dawni_yaml *node, char *out,
                                   size_t room, struct dawn_error *err)
{
    if (node->kind != DAWNI_YAML_SCALAR)
        return dawni_yaml_expected(node, "a string", err);
    if (strlen(node->text) >= room)
        return expectedf(node, err, "a string of at most %zu bytes", room - 1);
    strcpy(out, node->text);
    return DAWN_OK;
}

/* Fields */

static enum dawn_status read_int(const struct dawni_yaml *node,
                                 const struct dawni_yaml_field *f, int *out,
                                 struct dawn_error *err)
{
    int64_t x = 0;
    enum dawn_status st = dawni_yaml_int(node, f->ilo, f->ihi, &x, err);

    if (!st)
        *out = (int)x;
    return st;
}

static enum dawn_status read_word(const struct dawni_yaml *node,
                                  const struct dawni_yaml_field *f, char *out,
                                  struct dawn_error *err)
{
    int x = 0;
    enum dawn_status st = dawni_yaml_choice(node, f->choices, &x, err);

    return st ? st : dawni_yaml_string(node, out, f->room, err);
}

static enum dawn_status read_text(const struct dawni_yaml *node,
                                  const char **out, struct dawn_error *err)
{
    if (node->kind != DAWNI_YAML_SCALAR)
        return dawni_yaml_expected(node, "a string", err);
    *out = node->text;
    return DAWN_OK;
}

static enum dawn_status read_node(const struct dawni_yaml *node,
                                  enum dawni_yaml_kind kind,
                                  const struct dawni_yaml **out,
                                  struct dawn_error *err)
{
    if (node->kind != kind)
        return dawni_yaml_expected(
            node, kind == DAWNI_YAML_LIST ? "a list" : "a mapping", err);
    *out = node;
    return DAWN_OK;
}

static enum dawn_status read_field(const struct dawni_yaml *node,
                                   const struct dawni_yaml_field *f, void *out,
                                   struct dawn_error *err)
{
    void *to = (char *)out + f->offset;

    switch (f->type) {
    case DAWNI_YAML_INT:
        return read_int(node, f, to, err);
    case DAWNI_YAML_I64:
        return dawni_yaml_int(node, f->ilo, f->ihi, to, err);
    case DAWNI_YAML_U64:
        return dawni_yaml_u64(node, to, err);
    case DAWNI_YAML_SIZE:
        return dawni_yaml_size(node, f->ilo, f->ihi ? f->ihi : DAWNI_MOST_BYTES,
                               to, err);
    case DAWNI_YAML_DOUBLE:
        return dawni_yaml_double(node, f->lo, f->hi, to, err);
    case DAWNI_YAML_BOOL:
        return dawni_yaml_bool(node, to, err);
    case DAWNI_YAML_DIGEST:
        return dawni_yaml_digest(node, to, err);
    case DAWNI_YAML_CHOICE:
        return dawni_yaml_choice(node, f->choices, to, err);
    case DAWNI_YAML_WORD:
        return read_word(node, f, to, err);
    case DAWNI_YAML_STRING:
    case DAWNI_YAML_PATH:
        return dawni_yaml_string(node, to, f->room, err);
    case DAWNI_YAML_TEXT:
        return read_text(node, to, err);
    case DAWNI_YAML_A_LIST:
        return read_node(node, DAWNI_YAML_LIST, to, err);
    case DAWNI_YAML_A_MAP:
        return read_node(node, DAWNI_YAML_MAP, to, err);
    case DAWNI_YAML_A_NODE:
        return read_node(node, node->kind, to, err);
    }
    return DAWN_OK;
}

/* Edits that turn a into b (Levenshtein); 99 for long words. */
static int distance(const char *a, const char *b)
{
    int row[33], n = (int)strlen(b);

    if (n > 32 || strlen(a) > 32)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

static enum dawn_status fail_unknown(const struct dawni_yaml *node,
                                     const struct dawni_yaml_field *field,
                                     int fields, struct dawn_error *err)
{
    char known[600] = "";
    size_t at = 0;
    int best = 0, least = 99;

    for (int i = 0; i < fields; i++) {
        int d = distance(node->key, field[i].key);
        if (d < least) {
            least = d;
            best = i;
        }
        if (at < sizeof known)
            at += (size_t)snprintf(known + at, sizeof known - at, "%s%s",
                                   i ? ", " : "", field[i].key);
    }
    if (least <= 1 + (int)strlen(field[best].key) / 4)
        return dawni_yaml_fail(node, DAWN_E_FORMAT, err,
                               "unknown key '%.100s'; did you mean '%s'?",
                               node->key, field[best].key);
    return dawni_yaml_fail(node, DAWN_E_FORMAT, err,
                           "unknown key '%.100s'; known here: %s", node->key,
                           known);
}

enum dawn_status dawni_yaml_read(const struct dawni_yaml *map,
                                 const struct dawni_yaml_field *field,
                                 int fields, void *out, struct dawn_error *err)
{
    uint64_t seen = 0;
    enum dawn_status st;

    if (map->kind != DAWNI_YAML_MAP)
        return dawni_yaml_expected(map, "a mapping", err);
    for (const struct dawni_yaml *at = map->first; at; at = at->next) {
        int i = 0;
        while (i < fields && strcmp(at->key, field[i].key) != 0)
            i++;
        if (i == fields)
            return fail_unknown(at, field, fields, err);
        if ((st = read_field(at, &field[i], out, err)))
            return st;
        seen |= (uint64_t)1 << i;
    }
    for (int i = 0; i < fields; i++)
        if (field[i].required && !(seen >> i & 1))
            return dawni_yaml_fail(map, DAWN_E_FORMAT, err,
                                   "key '%s' is missing", field[i].key);
    return DAWN_OK;
}

enum dawn_status dawni_yaml_check_kind(const struct dawni_yaml_doc *doc,
                                       const char *kind, struct dawn_error *err)
{
    const struct dawni_yaml *root = dawni_yaml_root(doc);
    const struct dawni_yaml *found = dawni_yaml_get(root, "dawn");

    if (root->kind != DAWNI_YAML_MAP)
        return dawni_yaml_expected(root, "a mapping", err);
    if (!found)
        return dawni_yaml_fail(root, DAWN_E_FORMAT, err,
                               "no \"dawn: %s\": not such a file", kind);
    if (found->kind != DAWNI_YAML_SCALAR || strcmp(found->text, kind) != 0)
        return dawni_yaml_expected(found, kind, err);
    return DAWN_OK;
}
