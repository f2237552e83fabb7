/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text.h"
#include "common/file.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void dawni_text_clear(struct dawni_text *text)
{
    free(text->data);
    *text = (struct dawni_text){0};
}

static void fail(struct dawni_text *text, enum dawn_status status,
                 const char *why)
{
    if (!text->error.status)
        dawn_fail(&text->error, status, "%s", why);
}

/* Room for `more` bytes and the zero byte behind them. */
static bool reserve(struct dawni_text *text, size_t more)
{
    size_t room = text->room ? text->room : 4096;

    if (text->error.status)
        return false;
    while (room - text->bytes <= more && room <= SIZE_MAX / 2)
        room *= 2;
    if (room == text->room)
        return true;
    char *data = room - text->bytes > more ? realloc(text->data, room) : NULL;
    if (!data) {
        fail(text, DAWN_E_NOMEM, "no memory for the text of a file");
        return false;
    }
    text->data = data;
    text->room = room;
    return true;
}

static void add_bytes(struct dawni_text *text, const char *s, size_t bytes)
{
    if (!reserve(text, bytes))
        return;
    memcpy(text->data + text->bytes, s, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = '\0';
}

void dawni_text_add(struct dawni_text *text, const char *s)
{
    add_bytes(text, s, strlen(s));
}

void dawni_text_addf(struct dawni_text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (bytes < 0 || !reserve(text, (size_t)bytes))
        return;
    va_start(args, format);
    vsnprintf(text->data + text->bytes, (size_t)bytes + 1, format, args);
    va_end(args);
    text->bytes += (size_t)bytes;
}

/* Numbers */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "1e-05" is a string to YAML 1.1: make it 1.0e-05. */
static void add_point(char *number)
{
    char *e = strchr(number, 'e');

    if (!e || strchr(number, '.'))
        return;
    memmove(e + 2, e, strlen(e) + 1);
    memcpy(e, ".0", 2);
}

char *dawni_double_text(double x, char out[DAWNI_DOUBLE_ROOM])
{
    if (!isfinite(x))
        return strcpy(out, isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
    if (x == rint(x) && fabs(x) < 0x1p53 && !(x == 0 && signbit(x))) {
        snprintf(out, DAWNI_DOUBLE_ROOM, "%lld", (long long)x);
        return out;
    }
    locale_t c = newlocale(LC_ALL_MASK, "C", NULL); /* static: cannot fail */
    locale_t before = uselocale(c);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, DAWNI_DOUBLE_ROOM - 2, "%.*g", digits, x);
        if (strtod(out, NULL) == x)
            break;
    }
    uselocale(before);
    freelocale(c);
    add_point(out);
    return out;
}

double dawni_double_parse(const char *s, char **end_p)
{
    const char *d = s + (*s == '-' || *s == '+');
    bool begins = is_digit(d[*d == '.']) && !(*d == '0' && (d[1] | 32) == 'x');

    *end_p = (char *)s;
    if (!begins)
        return 0;
    locale_t c = newlocale(LC_ALL_MASK, "C", NULL); /* static: cannot fail */
    double x = strtod_l(s, end_p, c);
    freelocale(c);
    return x;
}

void dawni_text_add_double(struct dawni_text *text, double x)
{
    char number[DAWNI_DOUBLE_ROOM];

    if (!isfinite(x))
        fail(text, DAWN_E_NUMERIC, "a number to be written is not finite");
    dawni_text_add(text, dawni_double_text(x, number));
}

/* Scalars */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* "1f1b": begins with a digit, but no reader takes it for a number. */
static bool is_digit_word(const char *s)
{
    return *s >= '1' && *s <= '9' &&
           s[strcspn(s, "abcdfghijklmnopqrstuvwxyzABCDFGHIJKLMNOPQRSTUVWXYZ")];
}

/* Means itself without quotes, to every YAML reader and in every place. */
static bool is_plain(const char *s)
{
    static const char *const reserved[] = {"true", "false", "yes", "no", "on",
                                           "off",  "null",  "y",   "n"};

    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (!strcasecmp(s, reserved[i]))
            return false;
    if (!is_word(*s) && *s != '/' && !is_digit_word(s))
        return false;
    for (; *s; s++)
        if (!is_word(*s) && !(*s >= '0' && *s <= '9') && !strchr("./+-", *s))
            return false;
    return true;
}

/* Decode one character of UTF-8. Returns its bytes, 0 when malformed. */
static int decode(const unsigned char *s, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int bytes = s[0] < 0x80   ? 1
                : s[0] < 0xc0 ? 0
                : s[0] < 0xe0 ? 2
                : s[0] < 0xf0 ? 3
                : s[0] < 0xf8 ? 4
                              : 0;

    if (bytes <= 1) {
        *code = s[0];
        return bytes;
    }
    *code = s[0] & (0x7fu >> bytes);
    for (int i = 1; i < bytes; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    if (*code < least[bytes] || *code > 0x10ffff ||
        (*code >= 0xd800 && *code < 0xe000))
        return 0;
    return bytes;
}

bool dawni_utf8_valid(const char *s)
{
    uint32_t code;
    int bytes = 0;

    for (; *s; s += bytes)
        if (!(bytes = decode((const unsigned char *)s, &code)))
            return false;
    return true;
}

char *dawni_utf8_escape(const char *s)
{
    char *out = malloc(4 * strlen(s) + 1), *at = out;
    uint32_t code;

    while (out && *s) {
        int bytes = decode((const unsigned char *)s, &code);
        if (bytes)
            memcpy(at, s, (size_t)bytes);
        else
            snprintf(at, 5, "\\x%02x", (unsigned char)*s);
        at += bytes ? bytes : 4;
        s += bytes ? bytes : 1;
    }
    if (out)
        *at = '\0';
    return out;
}

/* Control characters, other line breaks, what an editor does not show. */
static bool must_escape(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0xa0) || code == 0x2028 ||
           code == 0x2029 || code == 0xfeff || (code & 0xfffe) == 0xfffe;
}

static void add_quoted(struct dawni_text *text, const char *s)
{
    uint32_t code;

    dawni_text_add(text, "\"");
    while (*s) {
        int bytes = decode((const unsigned char *)s, &code);
        if (!bytes) {
            fail(text, DAWN_E_INVAL, "a string to be written is not UTF-8");
            return;
        }
        if (code == '"' || code == '\\')
            dawni_text_addf(text, "\\%c", (char)code);
        else if (code == '\n')
            dawni_text_add(text, "\\n");
        else if (must_escape(code))
            dawni_text_addf(text, code > 0xffff ? "\\U%08x" : "\\u%04x", code);
        else
            add_bytes(text, s, (size_t)bytes);
        s += bytes;
    }
    dawni_text_add(text, "\"");
}

void dawni_text_add_scalar(struct dawni_text *text, const char *s)
{
    if (is_plain(s))
        dawni_text_add(text, s);
    else
        add_quoted(text, s);
}

static bool fits_block(const char *s)
{
    const char *at = s;

    for (; *at; at++)
        if ((*at < ' ' && *at != '\n') || (unsigned char)*at >= 0x7f)
            return false;
    return at > s && *s != '\n' && at[-1] == '\n' && at - s >= 2 &&
           at[-2] != '\n';
}

void dawni_text_add_block(struct dawni_text *text, const char *key,
                          const char *s)
{
    if (!fits_block(s)) {
        dawni_text_addf(text, "%s: ", key);
        add_quoted(text, s);
        dawni_text_add(text, "\n");
        return;
    }
    dawni_text_addf(text, "%s: |2\n", key);
    while (*s) {
        const char *end = strchr(s, '\n') + 1;
        if (*s != '\n')
            dawni_text_add(text, "  ");
        add_bytes(text, s, (size_t)(end - s));
        s = end;
    }
}

enum dawn_status dawni_text_save(const struct dawni_text *text,
                                 const char *path, struct dawn_error *err)
{
    if (text->error.status)
        return dawn_fail(err, text->error.status, "%s: not written: %s", path,
                         text->error.text);
    return dawni_file_write(path, text->data ? text->data : "", text->bytes,
                            err);
}
