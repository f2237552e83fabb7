/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes and error text. */
#include "config.h"

#include <ctype.h>
#include <dawnpiper/status.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Names out of a file may hold anything: keep the text one printable line. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* printf writes the sign of a NaN, which means nothing: make "-nan" "nan". */
static void drop_signs_of_nan(char *text)
{
    for (char *at = text; (at = strstr(at, "-nan")); at++) {
        bool word = at > text && isalnum((unsigned char)at[-1]);
        if (!word && !isalnum((unsigned char)at[4]))
            memmove(at, at + 1, strlen(at));
    }
}

enum dawn_status(dawn_fail)(struct dawn_error *err, enum dawn_status status,
                            const char *format, ...)
{
    char text[sizeof err->text]; /* an argument may be err->text itself */
    va_list args;

    if (!err)
        return status;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    make_printable(text);
    drop_signs_of_nan(text);
    err->status = status;
    memcpy(err->text, text, strlen(text) + 1);
    return status;
}

const char *dawn_status_name(enum dawn_status status)
{
    switch (status) {
#define CASE(name, number, text)                                               \
    case DAWN_##name:                                                          \
        return #name;
        DAWN_STATUS_MAP(CASE)
#undef CASE
    }
    return "?";
}

const char *dawn_status_text(enum dawn_status status)
{
    switch (status) {
#define CASE(name, number, text)                                               \
    case DAWN_##name:                                                          \
        return text;
        DAWN_STATUS_MAP(CASE)
#undef CASE
    }
    return "?";
}

const char *dawn_version(void)
{
    return PACKAGE_VERSION;
}
